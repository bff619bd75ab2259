"""The error value of an ENUM looks like an empty text: neither becomes the other, and the column is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.errors import MergeError, ValueLossError
from tests.support.scripts import run_script
from tests.support.servers import Databases

E = "CREATE TABLE e (id INT PRIMARY KEY, v {}, n INT)"
PLAIN, EMPTY = "ENUM('a', 'it''s')", "ENUM('a', '', 'it''s')"


def made(databases: Databases, kind: str, *rows: str) -> dt.Database:
    """Return a MariaDB with a table of one ENUM; a value that is no member becomes the error value."""
    url = databases.create("mariadb")
    run_script(url, "; ".join([E.format(kind), "SET sql_mode = ''", *(f"INSERT INTO e VALUES {row}" for row in rows)]))
    return dt.Database(url)


def indexes(db: dt.Database) -> list[Any]:
    with db.connect() as conn:
        return [tuple(row) for row in conn.exec_driver_sql("SELECT id, v + 0 FROM e ORDER BY id")]


@pytest.mark.parametrize("kind", [PLAIN, EMPTY])
@pytest.mark.parametrize("encoding", ["documents", "columns"])
def test_the_error_value_of_an_enum_is_refused_by_name(
    databases: Databases, tmp_path: Path, kind: str, encoding: Any
) -> None:
    with made(databases, kind, "(1, 'a', 1)", "(2, 'other', 2)", "(3, NULL, 3)") as db:
        assert indexes(db) == [(1, 1), (2, 0), (3, None)]
        builder = dt.PackageBuilder(db).add_all()
        with pytest.raises(ValueLossError, match=r"^e\.v: an ENUM holds its error value") as caught:
            builder.build(tmp_path / "p.zip", encoding=encoding, progress=False)
        assert 'leave_out("e.v")' in caught.value.hint
        assert list(tmp_path.iterdir()) == []
        with dt.PackageBuilder(db).add("e", keys=[1]).build(tmp_path / "p.zip", progress=False) as package:
            with pytest.raises(ValueLossError, match=r"^e\.v: "):  # it is not said to be equal to anything
                package.diff(db)


@pytest.mark.parametrize("encoding", ["documents", "columns"])
def test_members_travel_exactly_the_empty_one_too(databases: Databases, tmp_path: Path, encoding: Any) -> None:
    rows = ["(1, 'a', 1)", "(2, '', 2)", "(3, NULL, 3)", "(4, 'it''s', 4)"]
    with made(databases, EMPTY, *rows) as db, made(databases, EMPTY) as target:
        with dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", encoding=encoding, progress=False) as package:
            dt.PackageImporter(package, target).run()
            assert package.diff(target).empty
        assert indexes(target) == indexes(db) == [(1, 1), (2, 2), (3, None), (4, 3)]


def test_an_empty_text_that_is_no_member_is_refused_before_anything_is_written(
    databases: Databases, tmp_path: Path
) -> None:
    with made(databases, EMPTY, "(1, '', 1)", "(2, 'a', 1)") as db, made(databases, PLAIN) as target:
        with dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", progress=False) as package:
            with pytest.raises(ValueLossError, match=r"^e\.v: a text is no member .*: '', in 1 row"):
                dt.PackageImporter(package, target).run()
        assert indexes(target) == []


@pytest.mark.parametrize(("kind", "value"), [("TEXT", "1"), ("TEXT", "A"), ("TEXT", "a "), ("ENUM('1', 'b')", "1")])
def test_what_is_no_member_by_its_letters_is_refused_and_no_number_of_one(
    databases: Databases, tmp_path: Path, kind: str, value: str
) -> None:
    with made(databases, kind, f"(1, '{value}', 1)") as db, made(databases, PLAIN) as target:
        with dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", progress=False) as package:
            with pytest.raises(ValueLossError, match=r"^e\.v: a text is no member of the ENUM .* in 1 row"):
                dt.PackageImporter(package, target).run()
        assert indexes(target) == []


def test_members_of_odd_letters_are_known(databases: Databases, tmp_path: Path) -> None:
    odd = r"ENUM('a\\b', 'x,y', 'two\nlines', 'it''s', '😀', '?')"
    with made(databases, odd, *(f"({i}, {i}, {i})" for i in range(1, 7))) as db, made(databases, odd) as target:
        with dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", progress=False) as package:
            dt.PackageImporter(package, target).run()
        assert indexes(target) == indexes(db) == [(i, i) for i in range(1, 7)]


def test_a_value_that_the_database_refuses_is_said_with_its_column(databases: Databases, tmp_path: Path) -> None:
    wide, narrow = (f"VARCHAR(9) CHARACTER SET {name}" for name in ("utf8mb4", "latin1"))
    with made(databases, wide, "(1, 'secret 😀', 1)") as db, made(databases, narrow) as target:
        with dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", progress=False) as package:
            with pytest.raises(MergeError, match=r"^e: .*\(error \d+: column v\)") as caught:
                dt.PackageImporter(package, target).run()
        assert "secret" not in str(caught.value)
        assert indexes(target) == []
