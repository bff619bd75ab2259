"""The independent digest notices what it must notice, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from tests.support.copies import empty_copy
from tests.support.digest import (
    DatabaseDigest,
    assert_contains,
    assert_equal,
    differences,
    encode_row,
    exact_digest,
    logical_digest,
)
from tests.support.kinds import canonical, kind_of
from tests.support.loaders import Library
from tests.support.servers import Databases


def _run(url: str, *statements: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(str(make_url(url).database))) as connection:
            for statement in statements:
                connection.execute(statement)
            connection.commit()
        return
    with sa.create_engine(url, poolclass=NullPool).begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _digest(databases: Databases, dialect: str, table: str, *values: str) -> DatabaseDigest:
    url = databases.create(dialect)
    _run(url, f"CREATE TABLE t {table}", *(f"INSERT INTO t VALUES ({row})" for row in values))
    return exact_digest(url)


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("1", "'1'"), ("1", "1.0"), ("''", "NULL"), ("'a'", "x'61'"), ("'a'", "'a '"), ("'a'", "'A'"),
        ("9007199254740993", "9007199254740992"), ("0.1", "0.1000000000000000055e0 + 2e-17"),
        ("char(97, 0, 98)", "'a'"), ("'é'", "'e' || char(769)"), ("1e999", "9e307"),
    ],
)  # fmt: skip
def test_sqlite_values_that_look_alike_differ(databases: Databases, left: str, right: str) -> None:
    one, two = _digest(databases, "sqlite", "(v)", left), _digest(databases, "sqlite", "(v)", right)
    assert one.digest != two.digest
    assert differences(one, two) == [
        "t: 1 rows expected, 1 found; 1 expected rows are not there, 1 rows are there that were not expected"
    ]


@pytest.mark.parametrize(
    ("kind", "left", "right"),
    [
        ("numeric", "0.10", "0.1"), ("numeric", "'NaN'", "NULL"), ("double precision", "'-0'", "'0'"),
        ("text", "''", "NULL"), ("json", """'{"a":1}'""", """'{"a": 1}'"""),
        ("timestamptz", "'infinity'", "'9999-12-31'"),
        ("timestamp", "'2020-01-01 00:00:00.000001'", "'2020-01-01'"), ("int[]", "'{{1,2}}'", "'{1,2}'"),
        ("interval", "'1 month'", "'30 days'"), ("bytea", "'\\x00'", "''"), ("varchar(9)", "'a'", "'a '"),
        ("double precision", "0.1", "0.10000000000000002"),
    ],
)  # fmt: skip
def test_postgresql_values_that_look_alike_differ(databases: Databases, kind: str, left: str, right: str) -> None:
    table = f"(v {kind})"
    one, two = _digest(databases, "postgresql", table, left), _digest(databases, "postgresql", table, right)
    assert one.digest != two.digest


@pytest.mark.parametrize(
    ("kind", "left", "right"),
    [
        ("varchar(9)", "'a'", "'a '"), ("varchar(9) COLLATE utf8mb4_general_ci", "'a'", "'A'"), ("text", "''", "NULL"),
        ("bigint unsigned", "18446744073709551615", "18446744073709551614"), ("decimal(20,10)", "0.1", "0.1000000001"),
        ("double", "0.1", "0.10000000000000002"), ("float", "0.1", "0.10000001"), ("blob", "x'00'", "x''"),
        ("datetime(6)", "'2020-01-01 00:00:00.000001'", "'2020-01-01'"), ("time", "'838:59:59'", "'838:59:58'"),
        ("bit(9)", "b'100000000'", "b'000000000'"), ("json", """'{"a":1}'""", """'{"a": 1}'"""),
        ("text", "'\U0001f600'", "'?'"),
    ],
)  # fmt: skip
def test_mariadb_values_that_look_alike_differ(databases: Databases, kind: str, left: str, right: str) -> None:
    table = f"(v {kind})"
    one, two = _digest(databases, "mariadb", table, left), _digest(databases, "mariadb", table, right)
    assert one.digest != two.digest


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_order_of_rows_and_columns_does_not_matter_but_their_number_does(databases: Databases, dialect: str) -> None:
    one = _digest(databases, dialect, "(a int, b int)", "1, 2", "1, 2", "3, 4")
    two = _digest(databases, dialect, "(b int, a int)", "4, 3", "2, 1", "2, 1")
    assert_equal(one, two)
    fewer = _digest(databases, dialect, "(a int, b int)", "1, 2", "3, 4")
    swapped = _digest(databases, dialect, "(a int, b int)", "2, 1", "2, 1", "4, 3")
    assert differences(one, fewer)
    assert differences(one, swapped)
    assert_contains(one, fewer)
    with pytest.raises(AssertionError, match="t: 1 of 3 rows"):
        assert_contains(fewer, one)


def test_rows_are_framed_so_that_values_cannot_run_into_each_other() -> None:
    assert encode_row("ab", [("t", b"xy"), ("t", b"z")]) != encode_row("ab", [("t", b"x"), ("t", b"yz")])
    assert encode_row("a", [("t", None)]) != encode_row("a", [("t", b"")])


def test_a_missing_table_is_named() -> None:
    assert differences(DatabaseDigest({}), DatabaseDigest({})) == []


def test_the_librarys_own_tables_and_fts_shadows_are_not_counted(sqlite_url: Callable[[], str]) -> None:
    url = sqlite_url()
    _run(url, "CREATE TABLE datatransfer_origin (a)", "CREATE TABLE kept (a)", "CREATE VIRTUAL TABLE f USING fts5(a)")
    assert set(exact_digest(url).tables) == {"kept"}


def test_partitions_are_read_once_and_inherited_rows_too(postgresql_url: Callable[[], str]) -> None:
    url = postgresql_url()
    _run(
        url,
        "CREATE TABLE p (a int) PARTITION BY RANGE (a)",
        "CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE parent (a int)",
        "CREATE TABLE child () INHERITS (parent)",
        "CREATE SCHEMA other",
        "CREATE TABLE other.p (a int)",
        "INSERT INTO p VALUES (1)",
        "INSERT INTO child VALUES (1)",
    )
    assert exact_digest(url).rows == {"p": 1, "parent": 0, "child": 1, "other.p": 0}


@pytest.mark.parametrize("name", ["chinook", "sakila"])
@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_a_translated_database_is_logically_equal_and_has_its_keys(library: Library, name: str, dialect: str) -> None:
    kinds = library.kinds(name)
    original, translated = library.url(name), library.url(name, dialect)
    assert_equal(logical_digest(original, kinds), logical_digest(translated, kinds))
    left, right = (sa.inspect(sa.create_engine(url, poolclass=NullPool)) for url in (original, translated))
    for table in kinds:
        assert len(left.get_foreign_keys(table)) == len(right.get_foreign_keys(table))
        key = left.get_pk_constraint(table)["constrained_columns"]
        assert key == right.get_pk_constraint(table)["constrained_columns"]


def test_a_translated_digest_notices_one_changed_value(library: Library, databases: Databases) -> None:
    kinds = library.kinds("chinook")
    url = library.copy(databases, "chinook", "postgresql")
    _run(url, """UPDATE "Track" SET "UnitPrice" = 1.00 WHERE "TrackId" = 7""")
    found = differences(logical_digest(library.url("chinook"), kinds), logical_digest(url, kinds))
    assert [line.split(":")[0] for line in found] == ["Track"]


def test_an_empty_copy_keeps_triggers_and_indexes(library: Library, databases: Databases) -> None:
    source, copy = library.url("sakila"), library.empty(databases, "sakila")
    listing = "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY 1, 2"
    found = []
    for url in (source, copy):
        with closing(sqlite3.connect(str(make_url(url).database))) as connection:
            found.append(connection.execute(listing).fetchall())
    assert found[0] == found[1]
    assert {row[0] for row in found[0]} >= {"trigger", "index", "table", "view"}


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_an_empty_copy_on_a_server_has_the_tables_and_no_rows(databases: Databases, dialect: str) -> None:
    url = databases.create(dialect)
    _run(url, "CREATE TABLE a (id int PRIMARY KEY)", "CREATE TABLE b (a int REFERENCES a(id))",
         "INSERT INTO a VALUES (1)", "INSERT INTO b VALUES (1)")  # fmt: skip
    assert exact_digest(empty_copy(url, databases)).rows == {"a": 0, "b": 0}
    assert exact_digest(url).rows == {"a": 1, "b": 1}


def test_pagila_loads_whole(library: Library) -> None:
    rows = exact_digest(library.url("pagila", "postgresql")).rows
    assert (rows["film"], rows["payment"], rows["rental"]) == (1000, 16049, 16044)


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("decimal", 0.1, "0.10"), ("decimal", 5, "5.00"), ("boolean", True, 1), ("char", "a  ", "a"),
        ("timestamp", "2020-01-01 00:00:00", "2020-01-01T00:00:00.000000"),
        ("date", "2020-01-01 00:00:00", "2020-01-01"),
        ("uuid", "0" * 32, "00000000-0000-0000-0000-000000000000"), ("json", '{"b": 1, "a": [2]}', '{"a":[2],"b":1}'),
        ("timestamptz", "2020-01-01 02:00:00+02:00", "2020-01-01 00:00:00"),
    ],
)  # fmt: skip
def test_across_dialects_two_spellings_of_one_value_are_equal(kind: str, one: object, other: object) -> None:
    assert canonical(kind)(one) == canonical(kind)(other)


def test_a_value_that_does_not_fit_its_kind_is_not_hidden() -> None:
    assert canonical("integer")("7") != canonical("integer")(7)
    assert canonical("timestamp")("soon")[0] == "timestamp?str"
    assert kind_of("DATETIME") == "timestamp"
    assert kind_of("INT") == "integer"


def test_a_fresh_database_each_time(tmp_path: Path, sqlite_url: Callable[[], str]) -> None:
    assert sqlite_url() != sqlite_url()
