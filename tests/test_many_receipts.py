"""Many earlier imports of one source: what their receipts know is found at once, and the latest counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import datatransfer as dt
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS, export_all, import_into, written

SCHEMA = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(9))",
    "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER, FOREIGN KEY (user_id) REFERENCES users (id))",
)


@contextmanager
def _connected(url: str) -> Iterator[sa.Connection]:
    engine = sa.create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def _run(url: str, *statements: str) -> None:
    with _connected(url) as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _asked(url: str, sql: str) -> list[tuple[Any, ...]]:
    with _connected(url) as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]


def _pair(databases: Databases, dialect: str) -> tuple[str, str]:
    source, target = databases.create("sqlite"), databases.create(dialect)
    for url in (source, target):
        _run(url, *SCHEMA)
    _run(target, "INSERT INTO users VALUES (1, 'own')")
    return source, target


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_keys_of_many_small_imports_are_laid_as_one_table(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = _pair(databases, dialect)
    for number in range(1, 5):
        _run(source, f"INSERT INTO users VALUES ({number}, 'u{number}')")
        _run(source, f"INSERT INTO posts VALUES ({number}, {number})")
        import_into(export_all(source, tmp_path / f"{number}.zip"), target)
    said: list[str] = []
    with dt.Database(target) as db:
        sa.event.listen(db.engine, "before_cursor_execute", lambda *arguments: said.append(arguments[2]))
        package = dt.DataPackage.open(tmp_path / "4.zip")
        assert dt.PackageImporter(package, db).run().total("reuse") == 8
        package.close()
    indexes = [sql for sql in said if sql.startswith("CREATE INDEX") and "l" in sql.split("(")[0].split("_s0")[0][-3:]]
    assert len(indexes) == 2, indexes


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_latest_of_receipts_that_contradict_each_other_counts(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = _pair(databases, dialect)
    _run(source, "INSERT INTO users VALUES (1, 'a'), (2, 'b')")
    package = export_all(source, tmp_path / "package.zip")
    import_into(package, target)
    first = _asked(target, "SELECT id FROM users WHERE name = 'a'")[0][0]
    _run(target, "DELETE FROM users WHERE name = 'a'")
    import_into(package, target)
    second = _asked(target, "SELECT id FROM users WHERE name = 'a'")[0][0]
    if first != second:
        _run(target, f"INSERT INTO users VALUES ({first}, 'another')")
    assert written(import_into(package, target, on_match="update")) == 0
    _run(source, "INSERT INTO posts VALUES (1, 1), (2, 2)", "DELETE FROM users")
    children = export_all(source, tmp_path / "children.zip", on_orphan="keep")
    assert written(import_into(children, target)) == 2
    found = _asked(target, "SELECT u.id, u.name FROM posts p JOIN users u ON u.id = p.user_id ORDER BY p.id")
    assert found[0] == (second, "a")
    assert found[1][1] == "b"
