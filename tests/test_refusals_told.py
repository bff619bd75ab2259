"""Refusals of an import say who refused, and what helps for the call that was made."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.importing.merge import Merge
from tests.support.servers import Databases
from tests.support.sql import run
from tests.support.transfer import DIALECTS, export_all

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(20))"
TRIGGERS = {
    "sqlite": ["CREATE TRIGGER g BEFORE INSERT ON users BEGIN SELECT RAISE(ABORT, 'no Ann here'); END"],
    "postgresql": [
        "CREATE FUNCTION g() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no Ann here'; END $$",
        "CREATE TRIGGER g BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION g()",
    ],
    "mariadb": [
        "CREATE TRIGGER g BEFORE INSERT ON users FOR EACH ROW SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no Ann here'"
    ],
}

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> dt.DataPackage:
    source = databases.create("sqlite")
    run(source, USERS, "INSERT INTO users VALUES (1, 'Ann')")
    return export_all(source, tmp_path / "users.zip")


@every_dialect
def test_a_trigger_that_refuses_is_called_one(databases: Databases, package: dt.DataPackage, dialect: str) -> None:
    url = databases.create(dialect)
    run(url, USERS, *TRIGGERS[dialect])
    with dt.Database(url) as db:
        with pytest.raises(dt.MergeError, match=r"^users: a trigger of the target.* refused a row") as caught:
            dt.PackageImporter(package, db).run(triggers="fire")
        assert "Ann" not in str(caught.value)
        assert dt.stages(db).empty


@pytest.mark.parametrize("planned", [False, True])
def test_a_target_that_changed_is_planned_again_only_by_who_planned(
    databases: Databases, package: dt.DataPackage, monkeypatch: pytest.MonkeyPatch, planned: bool
) -> None:
    url = databases.create("sqlite")
    run(url, USERS)
    begin = Merge.run

    def later(merge: Merge) -> None:
        run(url, "INSERT INTO users VALUES (7, 'Late')")
        begin(merge)

    monkeypatch.setattr(Merge, "run", later)
    with dt.Database(url) as db:
        importer = dt.PackageImporter(package, db)
        plan = importer.plan() if planned else None
        with pytest.raises(dt.TargetChangedError) as caught:
            importer.run(plan)
    assert caught.value.hint == f"nothing was changed; {'plan again' if planned else 'run the import again'}"


@pytest.mark.parametrize("chosen", ["unknown:1", "merge.begin", "merge.begin:0", "merge.begin:x"])
def test_a_failpoint_that_is_none_is_refused_with_the_known_ones(
    databases: Databases, package: dt.DataPackage, monkeypatch: pytest.MonkeyPatch, chosen: str
) -> None:
    url = databases.create("sqlite")
    run(url, USERS)
    monkeypatch.setenv("DATATRANSFER_FAILPOINT", chosen)
    with dt.Database(url) as db, pytest.raises(dt.UsageError, match="names no place") as caught:
        dt.PackageImporter(package, db).run()
    assert "merge.before_commit" in caught.value.hint


def test_one_entity_is_in_conflict(databases: Databases, package: dt.DataPackage) -> None:
    url = databases.create("sqlite")
    run(url, USERS, "INSERT INTO users VALUES (1, 'Bea')")
    with dt.Database(url, origin=package.metadata.origin) as db:
        with pytest.raises(dt.ConflictError, match="1 entity is in conflict"):
            dt.PackageImporter(package, db).run(on_match="error")
