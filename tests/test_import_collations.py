"""References that SQLite accepts by the collation of their parent are references in a package and its target too."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import datatransfer as dt
from datatransfer.package.fields import Fields
from datatransfer.package.tablejson import _column
from datatransfer.schema.tables import Column
from datatransfer.schema.values import LogicalType
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS, ENCODINGS, export_all, import_into, written

SCHEMA = """
CREATE TABLE codes (code VARCHAR(20){collation} PRIMARY KEY, name VARCHAR(20));
CREATE TABLE uses (id INTEGER PRIMARY KEY, code VARCHAR(20), FOREIGN KEY (code) REFERENCES codes (code))
"""
ROWS = {
    "NOCASE": "INSERT INTO codes VALUES ('ABCÄ', 'a'), ('x', 'b'); INSERT INTO uses VALUES (1, 'abcÄ'), (2, 'X')",
    "RTRIM": "INSERT INTO codes VALUES ('abc', 'a'), ('x', 'b'); INSERT INTO uses VALUES (1, 'abc  '), (2, 'x')",
}
MEANING = "SELECT l.id, c.name FROM uses l JOIN codes c ON c.code = l.code ORDER BY l.id"


def _run(url: str, script: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(url, poolclass=NullPool)
    found: list[tuple[object, ...]] = []
    with engine.begin() as connection:
        for statement in script.split(";"):
            result = connection.exec_driver_sql(statement)
            found = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return found


def _source(databases: Databases, collation: str) -> str:
    url = databases.create("sqlite")
    _run(url, SCHEMA.format(collation=f" COLLATE {collation}"))
    _run(url, ROWS[collation])
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as raw:
        assert raw.execute("PRAGMA foreign_key_check").fetchall() == []
    return url


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("collation", ROWS)
def test_a_package_with_such_references_is_valid(
    collation: str, encoding: str, databases: Databases, tmp_path: Path
) -> None:
    package = export_all(_source(databases, collation), tmp_path / "package.zip", encoding=encoding)
    assert list(package.verify()) == []
    assert dt.DataPackage.open(tmp_path / "package.zip").schema.table("codes").by_name["code"].folding == collation


def test_a_collation_that_nobody_knows_is_refused() -> None:
    column = Column("a", LogicalType("text"), collation="nocase")
    data = {"name": "a", **column.to_json()}
    assert _column(Fields(dict(data), "p.zip")).folding == "NOCASE"
    with pytest.raises(dt.PackageError, match="collation must be one of NOCASE, RTRIM"):
        _column(Fields({**data, "collation": "OTHER"}, "p.zip"))


@pytest.mark.parametrize("collation", ROWS)
@pytest.mark.parametrize("there", [True, False], ids=["beside-others", "into-empty-tables"])
def test_a_target_of_the_same_collation_gets_them_as_they_are(
    collation: str, there: bool, databases: Databases, tmp_path: Path
) -> None:
    source = _source(databases, collation)
    package = export_all(source, tmp_path / "package.zip")
    target = databases.create("sqlite")
    _run(target, SCHEMA.format(collation=f" COLLATE {collation}"))
    if there:
        _run(target, "INSERT INTO codes VALUES ('other', 'o'); INSERT INTO uses VALUES (9, 'other')")
    import_into(package, target)
    if there:
        _run(target, "DELETE FROM uses WHERE id = 9; DELETE FROM codes WHERE code = 'other'")
    assert_equal(exact_digest(source), exact_digest(target))


@pytest.mark.parametrize("there", [True, False], ids=["beside-others", "into-empty-tables"])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("collation", ROWS)
def test_a_target_without_that_collation_gets_the_spelling_of_the_parent(
    collation: str, dialect: str, there: bool, databases: Databases, tmp_path: Path
) -> None:
    source = _source(databases, collation)
    package = export_all(source, tmp_path / "package.zip")
    target = databases.create(dialect)
    _run(target, SCHEMA.format(collation=""))
    if there:
        _run(target, "INSERT INTO codes VALUES ('other', 'o'); INSERT INTO uses VALUES (9, NULL)")
    import_into(package, target)
    assert _run(target, MEANING) == _run(source, MEANING) == [(1, "a"), (2, "b")]
    assert written(import_into(package, target)) == 0


def test_parents_that_only_the_target_takes_for_the_same_keep_their_children(
    databases: Databases, tmp_path: Path
) -> None:
    """NOCASE knows the letters A to Z alone, the lower case of a server knows others too."""
    source, target = databases.create("sqlite"), databases.create("mariadb")
    _run(source, SCHEMA.format(collation=" COLLATE NOCASE"))
    _run(source, "INSERT INTO codes VALUES ('Ä', 'a'), ('ä', 'b'); INSERT INTO uses VALUES (1, 'Ä'), (2, 'ä')")
    _run(target, SCHEMA.format(collation=""))
    _run(target, "INSERT INTO codes VALUES ('other', 'o')")
    import_into(export_all(source, tmp_path / "package.zip"), target)
    assert _run(target, MEANING) == [(1, "a"), (2, "b")]
