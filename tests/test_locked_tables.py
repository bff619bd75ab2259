"""A table that another session holds whole: waits end in time, and the error names the table."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.shop import session
from tests.support.sql import run
from tests.support.transfer import DIALECTS, SERVERS, export_all
from tests.support.undoing import application

SCHEMA = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(20))",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER, FOREIGN KEY (user_id) REFERENCES users (id))",
)
ROWS = ("INSERT INTO users VALUES (1, 'a'), (2, 'b')", "INSERT INTO orders VALUES (1, 1), (2, 2)")


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> dt.DataPackage:
    source = databases.create("sqlite")
    run(source, *SCHEMA, *ROWS)
    return export_all(source, tmp_path / "orders.zip")


@contextmanager
def holding(url: str, table: str) -> Iterator[None]:
    """Hold a table in another session."""
    server = url.startswith("postgresql")
    with session(url) as cursor:
        cursor.execute("BEGIN" if server else "SET autocommit = 1")
        cursor.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE" if server else f"LOCK TABLES {table} WRITE")
        yield
        cursor.execute("ROLLBACK" if server else "UNLOCK TABLES")


@pytest.mark.parametrize("dialect", SERVERS)
@pytest.mark.parametrize("table", ["users", "orders"])
def test_a_table_that_is_held_is_named_by_imports_and_undos(
    databases: Databases, package: dt.DataPackage, dialect: str, table: str
) -> None:
    url = databases.create(dialect)
    run(url, *SCHEMA)
    with dt.Database(url) as db:
        importer = dt.PackageImporter(package, db, lock_timeout=1)
        with holding(url, table), pytest.raises(dt.DatabaseError, match=f"^{table}: .*[Ll]ock"):
            importer.run()
        receipt = importer.run()
        assert receipt.total("insert") == 4
        there = application(exact_digest(url))
        for call in (receipt.check_undo, receipt.undo):
            with holding(url, table), pytest.raises(dt.DatabaseError, match=f"^{table}: .*[Ll]ock") as caught:
                call(lock_timeout=1)
            assert caught.value.retryable
            assert caught.value.hint
        assert_equal(there, application(exact_digest(url)))
        receipt.undo()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_undo_waits_for_a_row_as_long_as_it_is_told(
    databases: Databases, package: dt.DataPackage, dialect: str
) -> None:
    url = databases.create(dialect)
    run(url, *SCHEMA)
    with dt.Database(url) as db:
        receipt = dt.PackageImporter(package, db).run()
        with session(url) as cursor:
            cursor.execute("BEGIN IMMEDIATE" if dialect == "sqlite" else "START TRANSACTION")
            cursor.execute("UPDATE users SET email = 'held' WHERE id = 1")
            with pytest.raises(dt.DatabaseError, match="lock") as caught:
                receipt.undo(lock_timeout=1)
            wanted = {"sqlite": "", "postgresql": "users", "mariadb": "users, orders"}  # it does not tell which
            assert caught.value.where == wanted[dialect], caught.value
            cursor.execute("ROLLBACK")
        assert dt.stages(db).empty
        receipt.undo(lock_timeout=1)
        with pytest.raises(dt.UsageError, match="lock_timeout is a positive number"):
            receipt.undo(lock_timeout=0)
        with pytest.raises(dt.UsageError, match="lock_timeout is a positive number"):
            receipt.check_undo(lock_timeout=-1)
