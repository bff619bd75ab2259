"""Ctrl-C at any moment of an import: nothing happened and nothing is left, or it is done and the message says so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from tests.support.children import INTERRUPTED, Call
from tests.support.digest import DatabaseDigest, assert_equal, exact_digest
from tests.support.scenes import Scene, contents, crash_scene, leftovers
from tests.support.stopping import NOTHING, POINTS, duration, no_session_is_left, passes, said_after, said_at
from tests.support.transfer import DIALECTS


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, servers: object) -> Iterator[Scene]:
    with crash_scene(request.param, tmp_path_factory.mktemp("interrupts"), servers) as made:
        yield made


def _check_import(scene: Scene, call: Call, before: DatabaseDigest, *, done: bool) -> None:
    no_session_is_left(call.url)
    if done:
        scene.check(call)
        return
    assert_equal(before, exact_digest(call.url))
    assert leftovers(call.url) == []
    assert contents(Path(call.files)) == contents(scene.files)
    scene.databases.drop(call.url)


@pytest.mark.parametrize("scene", DIALECTS, indirect=True)
def test_an_import_that_is_interrupted_happened_wholly_or_not_at_all(scene: Scene) -> None:
    before = exact_digest(scene.target)
    dialect = sa.make_url(scene.target).get_backend_name().replace("mysql", "mariadb")
    told = set()
    for place in passes(scene.log, POINTS[dialect]):
        call = scene.fresh()
        said = said_at(call, place)
        done = place.startswith(("merge.after_commit", "stage.dropped"))
        assert said.startswith("interrupted; the import is done: receipt ") if done else said == NOTHING, place
        _check_import(scene, call, before, done=done)
        told.add(done)
    assert told == {False, True}


@pytest.mark.parametrize("scene", ["sqlite"], indirect=True)
def test_an_import_that_is_interrupted_at_any_time_happened_wholly_or_not_at_all(scene: Scene) -> None:
    before = exact_digest(scene.target)
    whole = duration(scene.fresh())
    interrupted = 0
    for step in range(50):
        call = scene.fresh()
        code, said = said_after(call, whole * step / 50)
        interrupted += code == INTERRUPTED
        with dt.Database(call.url) as db:
            done = len(dt.receipts(db)) == 2
        assert done if code == 0 or "done" in said else not (said == NOTHING and done), said
        _check_import(scene, call, before, done=done)
    assert interrupted > 20
