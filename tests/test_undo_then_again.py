"""A package that comes again after its import was undone but for rows that stay: these are known again."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.transfer import DIALECTS, export_all

SCHEMA = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(20) UNIQUE, name VARCHAR(20))",
    "CREATE TABLE orders (code VARCHAR(9) PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id), note TEXT)",
)
ROWS = (
    "INSERT INTO users VALUES (1, 'a@x', 'Ann'), (2, 'b@x', 'Bob'), (3, 'c@x', 'Cid')",
    "INSERT INTO orders VALUES ('one', 1, 'n'), ('two', 2, 'n'), ('three', 3, 'n')",
)
#: Takes the keys of the package, so that its rows get others.
THERE = "INSERT INTO users VALUES (1, 'z@x', 'Zoe'), (2, 'y@x', 'Yan')"

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> dt.DataPackage:
    source = databases.create("sqlite")
    run(source, *SCHEMA, *ROWS)
    return export_all(source, tmp_path / "orders.zip")


@pytest.fixture
def url(databases: Databases, dialect: str) -> str:
    made = databases.create(dialect)
    run(made, *SCHEMA, THERE)
    return made


def actions(plan: dt.ImportPlan, table: str) -> list[tuple[str, str]]:
    frame = plan.to_frame(table)
    return list(zip(frame["action"], frame["matched_by"].fillna(""), strict=True))


@every_dialect
def test_rows_that_an_undo_left_are_found_when_the_package_comes_again(package: dt.DataPackage, url: str) -> None:
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        receipt = importer.run()
        run(url, "UPDATE orders SET note = 'mine' WHERE code = 'two'")
        undone = receipt.undo(keep_edited=True)
        [bob] = asked(url, "SELECT id FROM users WHERE email = 'b@x'")
        assert [tuple(row) for row in undone.id_map("users").iloc[:, :2].itertuples(index=False)] == [(2, bob[0])]
        with importer.plan() as plan:
            assert actions(plan, "users") == [("insert", ""), ("reuse", "receipt"), ("insert", "")]
            assert sorted(actions(plan, "orders")) == [("insert", ""), ("insert", ""), ("skip", "receipt")]
        again = importer.run()
        assert asked(url, "SELECT note FROM orders WHERE code = 'two'") == [("mine",)]
        assert len(asked(url, "SELECT * FROM orders")) == 3
        assert len(asked(url, "SELECT * FROM users")) == 5
        again.undo()
        assert asked(url, "SELECT code, user_id FROM orders") == [("two", bob[0])]


@every_dialect
def test_an_undo_that_is_undone_and_done_again_still_tells_what_stays(package: dt.DataPackage, url: str) -> None:
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        first = importer.run().undo()
        back = first.undo()  # the rows come again
        run(url, "UPDATE users SET name = 'Anna' WHERE email = 'a@x'")
        left = back.undo(keep_edited=True)
        assert list(left.id_map("users")["source.id"]) == [1]
        with importer.plan() as plan:
            assert actions(plan, "users") == [("skip", "receipt"), ("insert", ""), ("insert", "")]
    assert asked(url, "SELECT name FROM users WHERE email = 'a@x'") == [("Anna",)]


@every_dialect
def test_an_undo_that_keeps_nothing_knows_no_keys(package: dt.DataPackage, url: str) -> None:
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        undone = importer.run().undo(keep_edited=True)
        assert undone.id_map("users").empty
        with importer.plan() as plan:
            assert {action for action, _ in actions(plan, "users")} == {"insert"}


@every_dialect
def test_copies_that_stay_keep_the_identity_that_they_got(package: dt.DataPackage, url: str, tmp_path: Path) -> None:
    with dt.Database(url) as target:
        receipt = dt.PackageImporter(package, target).run(identity="copy")
        run(url, "UPDATE users SET name = 'Anna' WHERE email = 'a@x'")
        before = set(export_all(url, tmp_path / "before.zip").manifest["entity_uuid"])
        receipt.undo(keep_edited=True)
    after = set(export_all(url, tmp_path / "after.zip").manifest["entity_uuid"])
    assert after < before
    assert not after & set(package.manifest["entity_uuid"])
