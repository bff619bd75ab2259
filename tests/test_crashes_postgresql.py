"""SIGKILL at every named place, on PostgreSQL."""

from __future__ import annotations

import pytest

from tests.support.scenes import crash_scene, kill_at_every_place


def test_a_kill_at_any_place_of_an_import_is_repaired_by_resuming(
    tmp_path_factory: pytest.TempPathFactory, servers: object
) -> None:
    with crash_scene("postgresql", tmp_path_factory.mktemp("crashes"), servers) as scene:
        kill_at_every_place(scene)
