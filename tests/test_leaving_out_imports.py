"""Packages without some columns: imported, undone and compared."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer import errors
from tests.support.scripts import Make, made_by, run_script
from tests.support.secrets import CANARY, ODD, SECRETS, SHOP, empty, everything
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS, written


def values(db: dt.Database, sql: str) -> list[tuple[Any, ...]]:
    with db.engine.connect() as conn:
        return [tuple(row) for row in conn.exec_driver_sql(sql)]


@pytest.fixture
def make(databases: Databases) -> Iterator[Make]:
    with made_by(SHOP, databases) as made:
        yield made


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_target_that_requires_the_column_says_so_and_takes_a_default(
    make: Make, tmp_path: Path, dialect: str
) -> None:
    target = make(empty(), dialect)
    with everything(make(dialect=dialect), *SECRETS).build(tmp_path / "p.zip", progress=False) as package:
        importer = dt.PackageImporter(package, target)
        report = importer.check()
        assert [f.where for f in report.errors] == ["users.password"]
        with pytest.raises(errors.SchemaMismatchError):
            importer.run()
        assert target.count("users") == 0
        receipt = importer.run(mapping=report.mapping | dt.Mapping(default={"users": {"password": "reset"}}))
        assert written(receipt) == 9
        found = values(target, "SELECT password, token FROM users")
        assert found == [("reset", None), ("reset", None)]
        again = importer.run(mapping=dt.Mapping(default={"users": {"password": "reset"}}))
        assert written(again) == 0
        dt.PackageBuilder(target).add_all().build(tmp_path / "there.zip", progress=False).close()
        with dt.DataPackage.open(tmp_path / "there.zip") as there:  # it says which rows were imported
            assert package.diff(there).empty
        receipt.undo()
        assert target.count("users") == target.count("visits") == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_default_for_a_reference_that_was_left_out_must_lead_somewhere(
    make: Make, tmp_path: Path, dialect: str
) -> None:
    target = make(f"{empty()}; INSERT INTO teams VALUES (7, 'theirs')", dialect)
    builder = dt.PackageBuilder(make(dialect=dialect)).add("users").leave_out("users.team_id")
    with builder.stop("users.team_id", direction="up").build(tmp_path / "p.zip", progress=False) as package:
        importer = dt.PackageImporter(package, target)
        with pytest.raises(errors.MergeError) as caught:
            importer.run(default={"users": {"team_id": 77}})
        if dialect != "postgresql":  # which says it in its own words
            assert caught.value.where == "users.team_id"
            assert "2 rows would refer to rows of teams that do not exist" in caught.value.message
        assert target.count("users") == 0
        assert importer.run(default={"users": {"team_id": 7}}).total("insert") == 4
    assert values(target, "SELECT team_id FROM users") == [(7,), (7,)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reference_to_what_was_left_out_must_lead_somewhere_in_the_target(
    make: Make, tmp_path: Path, dialect: str
) -> None:
    script = """
        CREATE TABLE people (id INTEGER PRIMARY KEY, ssn VARCHAR(9) UNIQUE);
        CREATE TABLE cards (id INTEGER PRIMARY KEY, holder VARCHAR(9), FOREIGN KEY (holder) REFERENCES people (ssn));
    """
    target = make(f"{script}; INSERT INTO people VALUES (9, 'y')", dialect)
    source = make(f"{script}; INSERT INTO people VALUES (1, 'x'); INSERT INTO cards VALUES (5, 'x')", dialect)
    with everything(source, "people.ssn").build(tmp_path / "p.zip", progress=False) as package:
        with pytest.raises(errors.MergeError):
            dt.PackageImporter(package, target).run()
        assert target.count("people") == 1
        if dialect != "postgresql":  # where nobody can ask for it
            dt.PackageImporter(package, target).run(on_orphan="keep")
            assert values(target, "SELECT holder FROM cards") == [("x",)]
    there = make(f"{script}; INSERT INTO people VALUES (9, 'x')", dialect)
    with everything(source, "people.ssn").build(tmp_path / "q.zip", progress=False) as package:
        assert written(dt.PackageImporter(package, there).run()) == 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rows_that_are_there_keep_what_the_package_does_not_have(make: Make, tmp_path: Path, dialect: str) -> None:
    db = make(dialect=dialect)
    with everything(db, *SECRETS).build(tmp_path / "p.zip", progress=False) as package:
        importer = dt.PackageImporter(package, db)
        policy = {"match_on": {"users": ["email"]}, "default": {"users": {"password": "reset"}}}
        assert written(importer.run(on_match="update", **policy)) == 0
        run_script(db.engine.url.render_as_string(hide_password=False), "UPDATE users SET team_id = 2 WHERE id = 1")
        assert set(package.diff(db)["field"]) == {"team_id"}
        assert written(importer.run(on_match="update", **policy)) == 1
        assert values(db, "SELECT password, token, team_id FROM users WHERE id = 1") == [
            (f"{CANARY}-1", f"{CANARY}-2", 1)
        ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_column_that_was_left_out_is_no_difference_and_every_other_one_is(
    make: Make, tmp_path: Path, dialect: str
) -> None:
    db = make(dialect=dialect)
    with (
        everything(db, *SECRETS).build(tmp_path / "p.zip", progress=False) as package,
        dt.PackageBuilder(db).add_all().build(tmp_path / "q.zip", progress=False) as whole,
    ):
        assert package.diff(db).empty
        assert package.diff(whole).empty
        assert whole.diff(package).empty
        run_script(db.engine.url.render_as_string(hide_password=False), "ALTER TABLE posts ADD COLUMN more VARCHAR(9)")
        db.refresh()
        found = package.diff(db)
    assert [tuple(row) for row in found[["table", "change", "field"]].to_numpy()] == [("posts", "added", "more")]


def test_tracked_rows_keep_their_identity_without_where_they_came_from(make: Make, tmp_path: Path) -> None:
    script = f"{ODD}; INSERT INTO marked VALUES (1, '{'0' * 8}-0000-4000-8000-{'0' * 11}1', NULL)"
    target = make(ODD)
    with everything(make(script), "marked.imported_from_uuid").build(tmp_path / "p.zip", progress=False) as package:
        assert package.verify().ok
        assert written(dt.PackageImporter(package, target).run()) == 1
        assert written(dt.PackageImporter(package, target).run()) == 0
        assert package.diff(target).empty
