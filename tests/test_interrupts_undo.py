"""Ctrl-C at any moment of an undo: it happened wholly, or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from tests.support.children import Call
from tests.support.digest import DatabaseDigest, assert_equal, exact_digest
from tests.support.scenes import contents, leftovers
from tests.support.stopping import NOTHING, POINTS, duration, no_session_is_left, passes, said_after, said_at
from tests.support.transfer import DIALECTS
from tests.support.undoing import UndoScene, undo_scene


@pytest.fixture(scope="module")
def undone(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, servers: object
) -> Iterator[UndoScene]:
    with undo_scene(request.param, tmp_path_factory.mktemp("undo"), servers) as made:
        yield made


@pytest.mark.parametrize("undone", DIALECTS, indirect=True)
def test_an_undo_that_is_interrupted_happened_wholly_or_not_at_all(undone: UndoScene, tmp_path: Path) -> None:
    log, scene = tmp_path / "log", undone
    call = scene.fresh(DATATRANSFER_FAILPOINT_LOG=str(log))
    dialect = sa.make_url(call.url).get_backend_name().replace("mysql", "mariadb")
    whole = duration(call)
    before, files = exact_digest(scene.target), contents(scene.folder / "target-files")
    for place in passes(log.read_text().split(), POINTS[dialect]):
        call = scene.fresh()
        said = said_at(call, place)
        done = place.startswith(("merge.after_commit", "undo.after_commit", "undo.file", "undo.finished"))
        assert said.startswith("interrupted; the undo is done: receipt ") if done else said == NOTHING, (place, said)
        _check_undo(scene, call, before, files, done=done)
    for step in range(50 if dialect == "sqlite" else 0):
        call = scene.fresh()
        code, said = said_after(call, whole * step / 50)
        with dt.Database(call.url) as db:
            done = len(dt.receipts(db)) == 2
        assert done if code == 0 or "done" in said else not (said == NOTHING and done), said
        _check_undo(scene, call, before, files, done=done)


def _check_undo(scene: UndoScene, call: Call, before: DatabaseDigest, files: dict[str, str], *, done: bool) -> None:
    no_session_is_left(call.url)
    if done:
        scene.check(call)
        return
    assert_equal(before, exact_digest(call.url))
    assert contents(Path(call.files)) == files
    assert leftovers(call.url) == []
    scene.databases.drop(call.url)
