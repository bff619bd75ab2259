"""Values that PostgreSQL types hold and others do not: carried exactly, or refused where the target would cut them."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.reading import driver_dsn
from tests.support.servers import Databases
from tests.support.transfer import ENCODINGS, export_all, import_into


def _run(url: str, *statements: str) -> None:
    import psycopg

    with psycopg.connect(driver_dsn(url)) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize(
    ("kind", "odd", "usual"),
    [
        ("time", "24:00:00", "12:34:56.789012"), ("time(3)", "24:00:00", "12:34:56.789"),
        ("date", "infinity", "2024-02-29"), ("timestamp", "-infinity", "2024-02-29 01:02:03.456789"),
        ("timestamp(3)", "infinity", "2024-02-29 01:02:03.456"),
        ("timestamptz(0)", "infinity", "2024-02-29 01:02:03+00"),
    ],
)  # fmt: skip
def test_times_that_no_calendar_knows_travel(
    databases: Databases, tmp_path: Path, kind: str, odd: str, usual: str, encoding: str
) -> None:
    source = databases.create("postgresql")
    _run(
        source,
        f"CREATE TABLE t (id integer PRIMARY KEY, v {kind})",
        f"INSERT INTO t VALUES (1, '{odd}'), (2, '{usual}')",
    )
    target = empty_copy(source, databases)
    import_into(export_all(source, tmp_path / "package.zip", encoding=encoding), target)
    assert_equal(exact_digest(source), exact_digest(target))


@pytest.mark.parametrize(
    ("kind", "narrow", "value"),
    [
        ("timestamp", "timestamp(3)", "2024-02-29 01:02:03.456789"), ("time", "time(0)", "12:34:56.5"),
        ("interval", "interval(0)", "1 day 00:00:01.5"), ("interval(6)", "interval(3)", "00:00:01.123456"),
        ("bit(5)", "bit(3)", "10101"), ("bit(3)", "bit(5)", "101"), ("varbit(9)", "varbit(3)", "10101"),
        ("varbit", "varbit(3)", "10101"), ("varchar(9)[]", "varchar(2)[]", "{abcdef}"),
        ("text[]", "varchar(2)[]", "{abc}"),
        ("numeric(9,4)[]", "numeric(9,2)[]", "{1.2345}"), ("timetz", "timetz(0)", "12:34:56.789+14"),
    ],
)  # fmt: skip
def test_values_that_the_target_would_cut_are_refused(
    databases: Databases, tmp_path: Path, kind: str, narrow: str, value: str
) -> None:
    source, target = databases.create("postgresql"), databases.create("postgresql")
    odd = {"timestamp": "infinity", "time": "24:00"}.get(kind, value)  # makes the column travel as text
    _run(
        source,
        f"CREATE TABLE t (id integer PRIMARY KEY, v {kind})",
        f"INSERT INTO t VALUES (1, '{value}'), (2, '{odd}')",
    )
    _run(target, f"CREATE TABLE t (id integer PRIMARY KEY, v {narrow})")
    package = export_all(source, tmp_path / "package.zip")
    with pytest.raises((dt.SchemaMismatchError, dt.ValueLossError), match=r"t\.v"):
        import_into(package, target)
    assert exact_digest(target).rows == {"t": 0}


@pytest.mark.parametrize(
    ("kind", "wide", "value"),
    [
        ("bit varying(5)", "bit varying(9)", "10101"), ("interval(3)", "interval", "1 day 00:00:01.5"),
        ("interval", "interval(6)", "1 day 00:00:01.5"), ("varchar(2)[]", "varchar(5)[]", "{ab,NULL}"),
        ("numeric(9,2)[]", "numeric(12,4)[]", "{1.23}"), ("bit varying(5)", "bit varying", "10101"),
    ],
)  # fmt: skip
def test_a_wider_column_takes_them(databases: Databases, tmp_path: Path, kind: str, wide: str, value: str) -> None:
    source, target = databases.create("postgresql"), databases.create("postgresql")
    _run(source, f"CREATE TABLE t (id integer PRIMARY KEY, v {kind})", f"INSERT INTO t VALUES (1, '{value}')")
    _run(target, f"CREATE TABLE t (id integer PRIMARY KEY, v {wide})")
    receipt = import_into(export_all(source, tmp_path / "package.zip"), target)
    assert int(receipt.summary["inserted"].sum()) == 1
    _run(
        target,
        f"DO $$ BEGIN IF (SELECT v <> '{value}'::{kind}::{wide} FROM t) THEN RAISE 'another value'; END IF; END $$",
    )
