"""Awkward values of many types, the types that they may meet in a target, and whether both hold the same value.

Values are read by plain SQL as texts, and compared by what they mean, see `tests.support.kinds`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError

from tests.support.kinds import canonical
from tests.support.sql import asked, connected, run

_MOST_COLUMNS = 120
_FEW = 4
#: By declared type: what its values are, and some that another type may change.
Sources = dict[str, tuple[str, list[Any]]]

_UUID = "00112233-4455-6677-8899-aabbccddeeff"
_TEXTS = [
    "", "a", "A", "a ", " a", "ab  ", "b,a", "a,b", "a,a", "1", "2", "01", "1.0", "1.50", "1e3", "é", "😀", "NULL",
    "true", "101111", "10", "12:34:56.789", "24:00:00", "2024-02-29", "2024-02-29 12:34:56.789012", "2024-02-30",
    "2024", "2024-02-29 12:34:56.789012+00:00", "0000-00-00", '{"a": 1, "a": 2}', '{"a": 1.50, "b": 1e400}',
    '{"a": "\\u0000"}', "{a,bcdef}", "{1.234}", "1 mon 00:00:01.256", "1.2.3.4", _UUID, "x" * 63 + "é", "x" * 300,
    "(1,a)", "(1," + "x" * 64 + ")", "Top.b", '"a"=>"1"', '"a"=>"1", "a"=>"2"', "a=>1", "(0.1,2)",
    "0.1234567890123456789", "{0.1}", "{1.2345678901234567}", "(0.1234567890123456789,2)", "[2024-02-29 12:00,)",
    "00:00:01.1234567", "2024-02-29 12:34+00",
]  # fmt: skip
_INTEGERS = [99, 2**53 + 1, 255, -1, 0, 1, 5, 127, 128, 256, 1900, 2155, 32768, 65536, 16777217, 2**31, 2**63 - 1]
_DECIMALS = ["0.1", "1.005", "-0.01", "1", "99", "0.3000000004", "123456789.12", "16777217", "0.0000000001"]
_FLOATS = ["1.23456", "0.1", "1", "16777217", "-0.0", "1.5", "1e30", "1e300", "5e-324"]
_DATES = ["2024-02-29", "1000-01-01", "9999-12-31", "1969-12-31"]
_MOMENTS = ["2024-02-29 12:34:56.789012", "2024-02-29 12:34:56.5", "2024-02-29 00:00:00", "9999-12-31 23:59:59.9"]
_TIMES = ["12:34:56.789012", "12:34:56", "23:59:59.9", "00:00:00"]
_DOCUMENTS = [
    '{"a": 1, "a": 2}', '{"b": 1, "a": {"c": 1, "\\u0063": 2}}', '{"b": 1, "a": [1.50, 1e2]}', "1e400", "1.50",
    "12345678901234567890", "-0", '"\\u0000"', '"\\ud800"', "null", '"1"', "[]", '{"a": {"b": 1}, "c": {"b": 1}}',
]  # fmt: skip
_BYTES = [b"", b"a", b"aa", b"\x00\xff \x00\xff", b"\0", b"a\0", b" ", b"ab "]

SOURCES: dict[str, Sources] = {
    "sqlite": {
        "TEXT": ("text", _TEXTS),
        "BIGINT": ("integer", _INTEGERS),
        "DOUBLE": ("float", [float(value) for value in _FLOATS]),
        "BLOB": ("bytes", _BYTES),
    },
    "postgresql": {
        "text": ("text", _TEXTS),
        "char(5)": ("char", ["", "a", " a", "ab"]),
        "bigint": ("integer", _INTEGERS),
        "numeric": ("decimal", [*_DECIMALS, "NaN", "1e400"]),
        "numeric(30,10)": ("decimal", _DECIMALS),
        "double precision": ("float", ["NaN", "Infinity", *_FLOATS]),
        "real": ("single", ["NaN", "0.1", "16777216", "1e30"]),
        "boolean": ("boolean", ["true", "false"]),
        "bytea": ("bytes", _BYTES),
        "date": ("date", ["infinity", *_DATES, "0044-03-15 BC"]),
        "time": ("time", ["24:00:00", *_TIMES]),
        "timestamp": ("timestamp", ["infinity", *_MOMENTS]),
        "timestamptz": ("timestamptz", [f"{value}+00" for value in _MOMENTS] + ["1969-12-31 00:00:00+00"]),
        "interval": ("native", ["1 mon 00:00:01.256", "-1 days"]),
        "timetz": ("native", ["12:34:56.789+00"]),
        "bit varying": ("native", ["101111", "10"]),
        "name": ("native", ["a", "ab"]),
        "text[]": ("native", ["{a,bcdef}"]),
        "json": ("json", _DOCUMENTS),
        "uuid": ("uuid", [_UUID]),
    },
    "mariadb": {
        "LONGTEXT CHARACTER SET utf8mb4": ("text", _TEXTS),
        "CHAR(5) CHARACTER SET utf8mb4": ("char", ["", "a", " a", "ab"]),
        "BIGINT": ("integer", _INTEGERS),
        "BIGINT UNSIGNED": ("integer", [2**64 - 1, 70]),
        "DECIMAL(40,10)": ("decimal", _DECIMALS),
        "DOUBLE": ("float", _FLOATS),
        "FLOAT": ("single", ["0.1", "16777216", "1e30"]),
        "LONGBLOB": ("bytes", _BYTES),
        "DATE": ("date", _DATES),
        "TIME(6)": ("native", [*_TIMES, "-838:59:58.5"]),
        "DATETIME(6)": ("timestamp", _MOMENTS),
        "TIMESTAMP(6) NULL": ("timestamptz", ["2024-02-29 12:34:56.789012", "1970-01-01 00:00:01"]),
        "ENUM('a','A ','1','b,a','3')": ("enum", ["a", "1", "b,a", "3"]),
        "SET('a','b','1')": ("native", ["", "a,b", "b", "a,b,1"]),
        "YEAR": ("integer", [2024, 1901, 0]),
        "BIT(8)": ("integer", [5, 255]),
        "JSON": ("json", [document for document in _DOCUMENTS if document != '"\\ud800"']),
        "UUID": ("uuid", [_UUID]),
        "INET6": ("native", ["::ffff:192.0.2.1", "2001:db8::1"]),
    },
}

#: By declared type: what its values are.
TARGETS: dict[str, dict[str, str]] = {
    "sqlite": {
        "INTEGER": "", "REAL": "", "TEXT": "", "BLOB": "", "NUMERIC": "", "": "", "VARCHAR(3)": "", "DECIMAL(10,2)": "",
        "BOOLEAN": "", "DATE": "", "DATETIME": "", "JSON": "", "CHAR(5)": "", "UUID": "", "TINYINT": "",
    },
    "postgresql": {
        "text": "text", "varchar(3)": "text", "char(5)": "char", "name": "text", '"char"': "text",
        "smallint": "integer", "integer": "integer", "bigint": "integer", "numeric": "decimal",
        "numeric(10,2)": "decimal", "numeric(4,-1)": "decimal", "real": "float", "double precision": "float",
        "boolean": "boolean",
        "bytea": "bytes", "date": "date", "time": "time", "time(0)": "time", "timestamp": "timestamp",
        "timestamp(0)": "timestamp", "timestamptz": "timestamptz", "timestamptz(1)": "timestamptz", "uuid": "uuid",
        "json": "json", "jsonb": "json", "mood": "text", "interval": "native", "interval(0)": "native",
        "timetz(0)": "native", "bit(3)": "native", "bit varying(3)": "native", "inet": "native", "money": "native",
        "text[]": "native", "varchar(3)[]": "native", "char(3)[]": "native", "name[]": "native",
        "numeric(4,2)[]": "native", "jsonb[]": "native", "tsvector": "native", "xml": "native",
        "short": "text", "shorter": "text", "padded": "char", "named": "text", "letter": "text", "cents": "decimal",
        "cents_of_cents": "decimal", "moment": "timestamp", "later": "timestamp", "clock": "time",
        "instant": "timestamptz", "document": "json", "few_bits": "native", "shorts": "native", "short[]": "native",
        "moment[]": "native", "small": "integer", "single": "float", "citext": "text", "pair": "native",
        "pair[]": "native", "hstore": "native", "ltree": "text", "cube": "native", "point": "native",
        "real[]": "native", "double precision[]": "native", "date[]": "native", "timestamp[]": "native",
        "daterange": "native", "numrange": "native", "xml[]": "native",
        "oid": "native", "int4range": "native",
    },
    "mariadb": {
        "VARCHAR(3)": "text", "CHAR(5)": "char", "TINYTEXT": "text", "LONGTEXT": "text",
        "VARCHAR(9) CHARACTER SET latin1": "text", "CHAR(5) CHARACTER SET ascii": "char",
        "TEXT CHARACTER SET utf8mb3": "text", "TINYINT": "integer", "TINYINT UNSIGNED": "integer",
        "SMALLINT": "integer", "MEDIUMINT": "integer", "INT": "integer", "BIGINT": "integer",
        "BIGINT UNSIGNED": "integer", "BOOLEAN": "integer", "BIT(1)": "integer", "BIT(3)": "integer",
        "BIT(64)": "integer", "YEAR": "integer", "INT ZEROFILL": "integer",
        "DECIMAL(10,2)": "decimal", "DECIMAL(5,0)": "decimal", "DECIMAL(10,2) UNSIGNED": "decimal",
        "FLOAT": "float", "FLOAT(7,3)": "float", "DOUBLE": "float", "DOUBLE(10,2)": "float", "DOUBLE UNSIGNED": "float",
        "DATE": "date", "TIME": "native", "TIME(6)": "native", "DATETIME": "timestamp", "DATETIME(6)": "timestamp",
        "DATETIME(1)": "timestamp", "TIMESTAMP NULL": "timestamptz", "TIMESTAMP(6) NULL": "timestamptz",
        "ENUM('a','b','A ','10','é')": "text", "ENUM('true','ab')": "text", "SET('a','b','10')": "native",
        "SET('b','a','1')": "native", "BINARY(2)": "bytes", "VARBINARY(2)": "bytes", "TINYBLOB": "bytes",
        "LONGBLOB": "bytes", "JSON": "json", "UUID": "uuid", "INET6": "native", "INET4": "native", "CHAR(36)": "char",
    },
}  # fmt: skip
_FIRST = """
CREATE TYPE mood AS ENUM ('a', 'A', '1', 'a ');
CREATE TYPE pair AS (a integer, b name);
CREATE DOMAIN short AS varchar(3);
CREATE DOMAIN shorter AS short;
CREATE DOMAIN padded AS char(5);
CREATE DOMAIN named AS name;
CREATE DOMAIN letter AS "char";
CREATE DOMAIN cents AS numeric(10,2);
CREATE DOMAIN cents_of_cents AS cents;
CREATE DOMAIN moment AS timestamp(0);
CREATE DOMAIN later AS moment;
CREATE DOMAIN clock AS time(0);
CREATE DOMAIN instant AS timestamptz(3);
CREATE DOMAIN document AS jsonb;
CREATE DOMAIN few_bits AS bit varying(3);
CREATE DOMAIN shorts AS varchar(3)[];
CREATE DOMAIN small AS smallint;
CREATE DOMAIN single AS real;
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE EXTENSION ltree;
CREATE EXTENSION cube
"""


@dataclass(frozen=True)
class Case:
    """A value of one type, and the type that it meets.

    Parameters
    ----------
    declared, kind, value : str, str, object
        Of the source.
    other, other_kind : str, str
        Of the target; no kind on SQLite, whose types say little of values.
    """

    declared: str
    kind: str
    value: Any
    other: str
    other_kind: str


Tables = dict[str, dict[str, Case]]


def made(source: str, target: str, *, fully: bool) -> Tables:
    """Make tables of one row, a column for each case, filled in the source; return the cases by table and column.

    Parameters
    ----------
    source, target : str
        URLs of empty databases.
    fully : bool
        Else texts of SQLite only, as a text is one wherever it comes from, and few values of each other type.
    """
    tables: Tables = {}
    here, there = (make_url(url).get_backend_name().replace("mysql", "mariadb") for url in (source, target))
    if there == "postgresql":
        run(target, *_FIRST.split(";\n"))
    for declared, (kind, values) in SOURCES[here].items():
        if not fully and kind == "text" and here != "sqlite":
            continue
        chosen = values if fully or kind == "text" else values[:_FEW]
        cases = [Case(declared, kind, value, *other) for value in chosen for other in TARGETS[there].items()]
        for start in range(0, len(cases), _MOST_COLUMNS):
            name = f"t{len(tables)}"
            tables[name] = {f"v{i}": case for i, case in enumerate(cases[start : start + _MOST_COLUMNS])}
            fill(source, name, tables[name])
            columns = ", ".join(f"{column} {case.other}" for column, case in tables[name].items())
            run(target, f"CREATE TABLE {name} (id INTEGER PRIMARY KEY, {columns})")
    return tables


def fill(url: str, table: str, cases: Mapping[str, Case]) -> None:
    """Make a table of the cases' own types, and its one row."""
    run(url, f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, "
             f"{', '.join(f'{column} {case.declared}' for column, case in cases.items())})")  # fmt: skip
    marks = ", ".join(_mark(url, column, case.declared) for column, case in cases.items())
    with connected(url) as connection:
        given = {column: _written(url, case.value) for column, case in cases.items()}
        connection.execute(sa.text(f"INSERT INTO {table} VALUES (1, {marks})"), given)


def _mark(url: str, name: str, declared: str) -> str:
    return f"CAST(:{name} AS {declared})" if url.startswith("postgresql") else f":{name}"


def _written(url: str, value: Any) -> Any:
    if not url.startswith("postgresql"):
        return value
    return f"\\x{value.hex()}" if isinstance(value, bytes) else str(value)


def taken(url: str, table: str, cases: Mapping[str, Case]) -> dict[str, Case]:
    """Return those of the cases whose value the target's database takes at all, when it is strict."""
    found = {}
    engine = sa.create_engine(url)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "mysql":
            connection.exec_driver_sql("SET sql_mode = 'STRICT_ALL_TABLES'")
        for column, case in cases.items():
            sql = f"INSERT INTO {table} (id, {column}) VALUES (9, {_mark(url, column, case.other)})"
            try:
                connection.execute(sa.text(sql), {column: _written(url, case.value)})
            except DBAPIError:
                continue
            found[column] = case
            connection.exec_driver_sql(f"DELETE FROM {table}")
    engine.dispose()
    return found


def held(url: str, table: str, columns: Mapping[str, str]) -> dict[str, Any]:
    """Return what the one row of a table holds: texts, as SQL writes them; on SQLite the values themselves."""
    shown = [_shown(url, name, re.split(r"[( ]", declared)[0].lower()) for name, declared in columns.items()]
    (found,) = asked(url, f"SELECT {', '.join(shown)} FROM {table}")
    return dict(zip(columns, found, strict=True))


def _shown(url: str, name: str, word: str) -> str:
    if url.startswith("sqlite"):
        return name
    if url.startswith("postgresql"):
        special = {"bytea": f"encode({name}, 'hex')", "inet": f"abbrev({name})"}
        special |= dict.fromkeys(("real", "single"), f"{name}::float8::text")
        special |= dict.fromkeys(("timestamptz", "instant"), f"({name} AT TIME ZONE 'UTC')::text")
        return special.get(word, f"{name}::text")
    if word in ("binary", "varbinary", "tinyblob", "longblob"):
        return f"lower(HEX({name}))"
    numbers = {"bit": f"{name} + 0", "float": f"CAST({name} AS DOUBLE)"}
    return f"CAST({numbers.get(word, name)} AS CHAR)"


_NUMBERS = ("integer", "decimal", "float", "single", "boolean")


def is_same(case: Case, value: Any, there: Any) -> bool:
    """Whether a source's value and a target's are the same; a zero has no sign where SQLite stores it."""
    kind, other = case.kind, case.other_kind
    if "char" in (kind, other):
        return (str(value).rstrip(" ") if kind == "char" else str(value)) == str(there).rstrip(" ")
    if kind in _NUMBERS and other in (*_NUMBERS, ""):
        if kind == "single" and other == "decimal":
            return bool(np.float32(value) == np.float32(there))
        return not isinstance(there, bytes) and _digits(value) == _digits(there)
    if kind == "bytes":
        return _hexadecimal(value) == _hexadecimal(there)
    if not isinstance(there, str):
        return False
    if other == "native" and kind in ("text", "native"):
        return _unified(value, case.other) == _unified(there, case.other)
    meant = other or kind
    if kind in ("date", "timestamp") and other in ("date", "timestamp"):
        meant = "timestamp"
    if meant not in ("date", "time", "timestamp", "timestamptz", "uuid", "json"):
        meant = "text"
    return canonical(meant)(value) == canonical(meant)(there)


def _digits(value: Any) -> Any:
    word = {"true": "1", "false": "0"}.get(str(value), str(value))
    return "0" if word in ("-0", "-0.0") else canonical("decimal")(word)


def _hexadecimal(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def _unified(text: str, declared: str) -> str:
    """Return a text without what its type may write or leave out."""
    if declared == "money":
        return str(Decimal(re.sub("[$,]", "", text)).normalize())
    if declared.startswith("TIME"):
        return re.sub(r"\.?0*$", "", text) if "." in text else text
    if declared == "oid":
        return text.lstrip("0")
    return text.removesuffix("+00")
