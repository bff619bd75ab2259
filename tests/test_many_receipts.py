"""Many earlier imports of one source: what their receipts know is found at once, and the latest counts."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.transfer import DIALECTS, export_all, import_into, written

SCHEMA = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(9))",
    "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER, FOREIGN KEY (user_id) REFERENCES users (id))",
)


def _pair(databases: Databases, dialect: str) -> tuple[str, str]:
    source, target = databases.create("sqlite"), databases.create(dialect)
    for url in (source, target):
        run(url, *SCHEMA)
    run(target, "INSERT INTO users VALUES (1, 'own')")
    return source, target


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_keys_of_many_small_imports_are_laid_as_one_table(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = _pair(databases, dialect)
    for number in range(1, 5):
        run(source, f"INSERT INTO users VALUES ({number}, 'u{number}')")
        run(source, f"INSERT INTO posts VALUES ({number}, {number})")
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
    run(source, "INSERT INTO users VALUES (1, 'a'), (2, 'b')")
    package = export_all(source, tmp_path / "package.zip")
    import_into(package, target)
    first = asked(target, "SELECT id FROM users WHERE name = 'a'")[0][0]
    run(target, "DELETE FROM users WHERE name = 'a'")
    import_into(package, target)
    second = asked(target, "SELECT id FROM users WHERE name = 'a'")[0][0]
    if first != second:
        run(target, f"INSERT INTO users VALUES ({first}, 'another')")
    assert written(import_into(package, target, on_match="update")) == 0
    run(source, "INSERT INTO posts VALUES (1, 1), (2, 2)", "DELETE FROM users")
    children = export_all(source, tmp_path / "children.zip", on_orphan="keep")
    assert written(import_into(children, target)) == 2
    found = asked(target, "SELECT u.id, u.name FROM posts p JOIN users u ON u.id = p.user_id ORDER BY p.id")
    assert found[0] == (second, "a")
    assert found[1][1] == "b"
