"""Refusals of an import say who refused, and what helps for the call that was made."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.importing.merge import Merge
from tests.support.reading import sqlite_path
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.stopping import names_in
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


_SIGNAL = "CREATE TRIGGER g BEFORE INSERT ON users FOR EACH ROW SIGNAL SQLSTATE '23000' SET MYSQL_ERRNO = {}"


@pytest.mark.parametrize(
    ("dialect", "code"),
    [*(("postgresql", code) for code in ("23505", "23514", "42501", "55P03")),
     *(("mariadb", code) for code in ("1062", "1452", "4025"))],
)  # fmt: skip
def test_a_trigger_that_refuses_with_a_code_of_a_constraint_is_called_one(
    databases: Databases, package: dt.DataPackage, dialect: str, code: str
) -> None:
    url = databases.create(dialect)
    if dialect == "postgresql":
        raised = f"'no Ann here' USING ERRCODE = '{code}'"
        triggers = [sql.replace("'no Ann here'", raised) for sql in TRIGGERS[dialect]]
    else:
        triggers = [f"{_SIGNAL.format(code)}, MESSAGE_TEXT = 'no Ann here'"]
    run(url, USERS, *triggers)
    with dt.Database(url) as db:
        with pytest.raises(dt.MergeError, match=r"^users: a trigger of the target.* refused a row") as caught:
            dt.PackageImporter(package, db).run(triggers="fire")
    assert "Ann" not in str(caught.value)


@pytest.mark.parametrize(
    ("dialect", "rule", "named"),
    [
        ("postgresql", "CONSTRAINT once UNIQUE (name)", "once"),
        ("mariadb", "CONSTRAINT once UNIQUE (name)", "once"),
        ("mariadb", "CONSTRAINT long_ones CHECK (char_length(name) > 5)", "long_ones"),
    ],
)
def test_a_constraint_that_a_trigger_runs_into_is_called_one(
    databases: Databases, package: dt.DataPackage, dialect: str, rule: str, named: str
) -> None:
    url = databases.create(dialect)
    body = "INSERT INTO noted VALUES (NEW.name)"
    run(url, USERS, f"CREATE TABLE noted (name VARCHAR(20), {rule})")
    if "UNIQUE" in rule:
        run(url, "INSERT INTO noted VALUES ('Ann')")
    if dialect == "postgresql":
        function = f"RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body}; RETURN NEW; END $$"
        run(url, f"CREATE FUNCTION g() {function}", TRIGGERS[dialect][1])
    else:
        run(url, f"CREATE TRIGGER g BEFORE INSERT ON users FOR EACH ROW {body}")
    with dt.Database(url) as db, pytest.raises(dt.MergeError, match=named):
        dt.PackageImporter(package, db).run(triggers="fire")


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


@pytest.mark.parametrize(
    ("chosen", "told"),
    [
        ("merge.befor_commit:1", "names no place (did you mean 'merge.before_commit'"),
        ("unknown:1", "names no place (there are "),
        ("merge.begin", "does not say which pass (write merge.begin:1 for the first)"),
        ("merge.begin:0", "does not say which pass"),
        ("merge.begin:x", "does not say which pass"),
    ],
)
def test_a_failpoint_that_is_none_is_refused_before_anything_is_written(
    databases: Databases, package: dt.DataPackage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *,
    chosen: str, told: str,
) -> None:  # fmt: skip
    url = databases.create("sqlite")
    run(url, USERS)
    with dt.Database(url) as db:
        receipt = dt.PackageImporter(package, db).run()
        places = tmp_path, Path(sqlite_path(url)).parent
        before, tables = [*map(names_in, places)], asked(url, "SELECT name FROM sqlite_master")
        monkeypatch.setenv("DATATRANSFER_FAILPOINT", chosen)
        calls = [
            lambda: dt.PackageImporter(package, db).run(),
            lambda: dt.PackageBuilder(db).add_all().build(tmp_path / "again.zip"),
            lambda: dt.PackageBuilder(db).add_all().start(tmp_path / "again.zip"),
            receipt.undo,
        ]
        for call in calls:
            with pytest.raises(dt.UsageError) as caught:
                call()
            assert f"DATATRANSFER_FAILPOINT={chosen}: this {told}" in str(caught.value)
    assert [*map(names_in, places)] == before
    assert asked(url, "SELECT name FROM sqlite_master") == tables


def test_one_entity_is_in_conflict(databases: Databases, package: dt.DataPackage) -> None:
    url = databases.create("sqlite")
    run(url, USERS, "INSERT INTO users VALUES (1, 'Bea')")
    with dt.Database(url, origin=package.metadata.origin) as db:
        with pytest.raises(dt.ConflictError, match="1 entity is in conflict"):
            dt.PackageImporter(package, db).run(on_match="error")
