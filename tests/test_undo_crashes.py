"""SIGKILL at every named place of an undo: whoever calls it again gets what an undisturbed undo gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from datatransfer.failpoints import NAMES
from tests.support.children import KILLED
from tests.support.transfer import DIALECTS
from tests.support.undoing import UndoScene, undo_scene


@pytest.fixture(scope="module")
def scene(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, servers: object
) -> Iterator[UndoScene]:
    with undo_scene(request.param, tmp_path_factory.mktemp("undo"), servers) as made:
        yield made


@pytest.mark.parametrize("scene", DIALECTS, indirect=True)
def test_a_kill_at_any_place_of_an_undo_is_repaired_by_calling_it_again(scene: UndoScene, tmp_path: Path) -> None:
    log = tmp_path / "places.txt"
    call = scene.fresh(DATATRANSFER_FAILPOINT_LOG=str(log))
    call.check()
    scene.check(call)
    passed: Counter[str] = Counter()
    for name in log.read_text().split():
        passed[name] += 1
        place = f"{name}:{passed[name]}"
        call = scene.fresh(DATATRANSFER_FAILPOINT=place)
        assert call.run() == KILLED, place
        done = name in ("merge.after_commit", "undo.after_commit", "undo.file", "undo.finished")
        assert scene.again(call) is done, place
        scene.check(call)
    assert {name for name in NAMES if name.startswith("undo.")} <= set(passed)
