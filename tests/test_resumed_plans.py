"""An interrupted import of a plan that somebody has looked at, and a target that has changed when it is resumed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.cli.wording import as_typed
from tests.support.children import KILLED, Call
from tests.support.digest import exact_digest
from tests.support.scenes import ended
from tests.support.servers import Databases
from tests.support.sql import asked, connected
from tests.support.transfer import DIALECTS, export_all
from tests.test_decisions import SOURCE, TARGET
from tests.test_policies import make

EDIT = "UPDATE users SET name = 'Later' WHERE id = 5"
OTHER = "INSERT INTO users VALUES (40, 'z@x', 'Zoe', NULL)"
NATURAL: dict[str, Any] = {"match_on": {"users": ["email"]}, "on_clash": "reuse"}


@pytest.fixture
def target(databases: Databases, dialect: str) -> str:
    return make(databases, dialect, **TARGET)


@pytest.fixture
def opened(databases: Databases, target: str, dialect: str, tmp_path: Path) -> Iterator[dt.PackageImporter]:
    package = export_all(make(databases, dialect, **SOURCE), tmp_path / "package.zip")
    with dt.Database(target) as db:
        yield dt.PackageImporter(package, db)


def _killed(opened: dt.PackageImporter, target: str, verb: str, options: dict[str, Any]) -> None:
    environment = {"DATATRANSFER_FAILPOINT": "merge.before_commit:1"}
    assert Call(verb, str(opened.package.path), target, options=options, environment=environment).run() == KILLED
    ended(opened.target)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rows_that_were_edited_since_they_were_decided_on_are_not_overwritten(
    opened: dt.PackageImporter, target: str, tmp_path: Path
) -> None:
    with opened.plan(**NATURAL) as plan:
        saved = plan.decide("users", 1, "update").save(tmp_path / "decisions.json")
    _killed(opened, target, "import", {**NATURAL, "decisions": str(saved)})
    with connected(target) as connection:
        connection.exec_driver_sql(EDIT)
    before = exact_digest(target)
    with pytest.raises(dt.TargetChangedError, match="interrupted plan") as caught:
        opened.resume()
    assert caught.value.where == "users"
    assert exact_digest(target) == before
    assert dt.stages(opened.target).empty


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("change", [EDIT, OTHER])
def test_a_plan_that_was_handed_over_is_resumed_for_the_rows_that_it_showed(
    opened: dt.PackageImporter, target: str, change: str
) -> None:
    _killed(opened, target, "carry out", {**NATURAL, "on_match": "update"})
    with connected(target) as connection:
        connection.exec_driver_sql(change)
    if change is EDIT:
        with pytest.raises(dt.TargetChangedError):
            opened.resume()
    else:
        assert opened.resume().total("update") == 3
    names = ["Later", "Benno"] if change is EDIT else ["Ann", "Ben"]
    assert asked(target, "SELECT name FROM users WHERE id IN (5, 6) ORDER BY id") == [(name,) for name in names]
    assert dt.stages(opened.target).empty


@pytest.mark.parametrize("dialect", ["sqlite"])
def test_policies_alone_go_on_with_what_is_there(opened: dt.PackageImporter, target: str) -> None:
    _killed(opened, target, "import", {**NATURAL, "on_match": "update"})
    with connected(target) as connection:
        connection.exec_driver_sql(EDIT)
    assert opened.resume().total("update") == 3


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_target_that_does_not_fit_is_mended_and_the_import_resumed_by_the_same_process(
    opened: dt.PackageImporter, target: str
) -> None:
    _killed(opened, target, "import", NATURAL)
    for name, other in (("title", "caption"), ("caption", "title")):
        with connected(target) as connection:
            connection.exec_driver_sql(f"ALTER TABLE posts RENAME COLUMN {name} TO {other}")
        if other == "caption":
            with pytest.raises(dt.SchemaMismatchError, match="resume takes no mapping: repair the target") as caught:
                opened.resume()
            assert "drop its stage, see datatransfer stages, and import anew" in as_typed(caught.value.hint)
            assert list(dt.stages(opened.target)["state"]) == ["left"]
    assert opened.resume().total("insert") > 0
    assert dt.stages(opened.target).empty


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_a_plan_does_not_wait_without_end_for_who_alters_a_table(opened: dt.PackageImporter, target: str) -> None:
    plan = opened.plan(**NATURAL)
    plan.writer.lock_seconds = 0.5
    with connected(target) as connection:
        with connection.begin_nested():
            connection.exec_driver_sql("LOCK TABLE posts IN ACCESS EXCLUSIVE MODE")
            with pytest.raises(dt.DatabaseError, match="lock") as caught:
                opened.run(plan)
    assert caught.value.retryable
    assert opened.resume().total("insert") > 0
