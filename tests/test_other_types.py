"""Whatever type a target's column has, a value is the same in it, or it is refused and nothing is written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer import errors
from tests.support.digest import assert_equal, exact_digest
from tests.support.lengths import FULL
from tests.support.othertypes import Case, fill, held, is_same, made, taken
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.transfer import PAIRS, export_all, import_into

_UUID = "6fa459ea-ee8a-3ca4-894e-db77e160355e"


class _Matrix:
    """A package and a target of other types; ``carried`` counts the cases whose values arrived."""

    def __init__(self, source: str, target: dt.Database, package: dt.DataPackage) -> None:
        self.source, self.url = source, target.engine.url.render_as_string(hide_password=False)
        self.package, self.importer = package, dt.PackageImporter(package, target)
        self.before = exact_digest(self.url)
        self.carried = 0
        self.changed: list[str] = []

    def carry(self, table: str, cases: Mapping[str, Case]) -> None:
        """Import these columns of a table and compare what arrived; halves of them if the database refuses one."""
        if not cases:
            return
        columns = self.package.schema.table(table).column_names
        drop = {table: [name for name in columns if name != "id" and name not in cases]}
        others = [name for name in self.package.schema.tables if name != table]
        try:
            receipt = self.importer.run(drop=drop, drop_tables=others)
        except errors.DataTransferError:
            assert_equal(self.before, exact_digest(self.url))
            names = list(cases)
            for part in (names[: len(names) // 2], names[len(names) // 2 :]):
                self.carry(table, {name: cases[name] for name in part if len(names) > 1})
            return
        mine = held(self.source, table, {name: case.declared for name, case in cases.items()})
        theirs = held(self.url, table, {name: case.other for name, case in cases.items()})
        self.carried += len(cases)
        self.changed += [f"{case.declared} → {case.other}: {mine[name]!r} became {theirs[name]!r}"
                         for name, case in cases.items() if not is_same(case, mine[name], theirs[name])]  # fmt: skip
        receipt.undo()


@pytest.mark.longer
@pytest.mark.parametrize(("source_dialect", "target_dialect"), PAIRS)
def test_a_value_is_the_same_in_any_type_or_refused_and_nothing_is_written(
    source_dialect: str, target_dialect: str, databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create(source_dialect), databases.create(target_dialect)
    tables = made(source, url, fully=FULL)
    package = export_all(source, tmp_path / "package.zip")
    with dt.Database(url) as target:
        matrix = _Matrix(source, target, package)
        refused = {item.where for item in matrix.importer.check().errors}
        with pytest.raises((errors.SchemaMismatchError, errors.ValueLossError)):
            matrix.importer.run()
        assert_equal(matrix.before, exact_digest(url))
        for table, cases in tables.items():
            left = {name: case for name, case in cases.items() if f"{table}.{name}" not in refused}
            matrix.carry(table, taken(url, table, left))
    assert matrix.changed == []
    assert matrix.carried > len(refused) / 50


EXTENSIONS = ("citext", "cube", "hstore", "isn", "ltree")
DOMAINS = (
    "CREATE DOMAIN named AS name", "CREATE DOMAIN padded AS char(5)", "CREATE DOMAIN document AS jsonb",
    "CREATE DOMAIN moment AS timestamp(0)", "CREATE DOMAIN later AS moment", "CREATE DOMAIN clock AS time(0)",
    "CREATE DOMAIN instant AS timestamptz(3)", "CREATE DOMAIN cents AS numeric(10,2)",
    "CREATE DOMAIN short AS varchar(3)", "CREATE DOMAIN shorter AS short",
    "CREATE TYPE pair AS (a integer, b name)", "CREATE TYPE price AS (a numeric(4,2), b text)",
    "CREATE DOMAIN pair_of_them AS pair", *(f"CREATE EXTENSION {name}" for name in EXTENSIONS),
)  # fmt: skip
_NUL = '{"a": "\\u0000"}'
REFUSED = [
    # source, its type, value, target, its type, what is said
    ("sqlite", "TEXT", "é" * 32, "postgresql", "name", r"longer than 63 bytes, and name cuts it"),
    ("sqlite", "TEXT", "x" * 64, "postgresql", "named", r"longer than 63 bytes"),
    ("sqlite", "TEXT", "ab", "postgresql", '"char"', r"longer than 1 byte, and \"char\" cuts it"),
    ("sqlite", "TEXT", "{ab}", "postgresql", "name[]", r"does not go into name\[\]"),
    ("sqlite", "TEXT", "{abcd}", "postgresql", "short[]", r"does not go into short\[\]"),
    ("sqlite", "TEXT", "abcd", "postgresql", "shorter", r"4 characters does not fit 3"),
    ("sqlite", "TEXT", "ab  ", "postgresql", "char(5)", r"ends with spaces, which are no part of .* character\(5\)"),
    ("sqlite", "TEXT", "ab  ", "postgresql", "padded", r"ends with spaces"),
    ("postgresql", "varchar(9)", "ab  ", "postgresql", "char(5)", r"ends with spaces"),
    ("postgresql", "text", "ab  ", "mariadb", "CHAR(5)", r"ends with spaces, which char\(5\) takes away"),
    ("mariadb", "VARCHAR(9)", "ab  ", "mariadb", "CHAR(5)", r"ends with spaces"),
    ("postgresql", "json", '{"a": 1, "\\u0061": 1}', "postgresql", "jsonb", r"has a member twice, of which"),
    ("mariadb", "JSON", '[{"a": 1, "a": 2}]', "postgresql", "document", r"has a member twice"),
    ("postgresql", "json", _NUL, "postgresql", "jsonb", r"is none that jsonb takes"),
    ("postgresql", "json", "1e-20000", "postgresql", "jsonb", r"is none that jsonb takes"),
    ("sqlite", "TEXT", "no document", "postgresql", "jsonb", r"is none that jsonb takes"),
    ("sqlite", "TEXT", "", "postgresql", "jsonb", r"is none that jsonb takes"),
    ("postgresql", "json", '["\\ud800"]', "postgresql", "jsonb", r"is none that jsonb takes"),
    ("sqlite", "TEXT", "b a a", "postgresql", "tsvector", r"is no tsvector as PostgreSQL writes it"),
    ("sqlite", "TEXT", "1.234", "postgresql", "money", r"is no amount of money in cents"),
    ("sqlite", "TEXT", "1", "postgresql", "interval", r"has no unit"),
    ("sqlite", "TEXT", "1 mon 1 day", "postgresql", "interval year to month", r"does not go into interval year"),
    ("postgresql", "citext", "É", "postgresql", "text", r"citext \(native\) does not go into text"),
    ("sqlite", "TEXT", f"(1,{'x' * 64})", "postgresql", "pair", r"does not go into pair"),
    ("sqlite", "TEXT", "(1.005,a)", "postgresql", "price", r"does not go into price"),
    ("sqlite", "TEXT", "(1,a)", "postgresql", "pair_of_them", r"does not go into pair_of_them"),
    ("sqlite", "TEXT", "{(1,a)}", "postgresql", "pair[]", r"does not go into pair\[\]"),
    ("sqlite", "TEXT", "0.12345678901234567", "postgresql", "cube", r"does not go into cube"),
    ("sqlite", "TEXT", "978-0-393-04002-9", "postgresql", "isbn", r"does not go into isbn"),
    ("sqlite", "TEXT", '"a"=>"1", "a"=>"2"', "postgresql", "hstore", r"a key twice, of which hstore keeps the first"),
    ("sqlite", "TEXT", '"a"=>"1", "\\a"=>NULL', "postgresql", "hstore", r"has a key twice"),
    ("sqlite", "TEXT", "a=>1", "postgresql", "hstore", r"is no hstore as PostgreSQL writes it"),
    ("sqlite", "TEXT", "(0.12345678901234567,1)", "postgresql", "point", r"more than the 15 digits that point keeps"),
    ("sqlite", "TEXT", "{1.2345678}", "postgresql", "real[]", r"more than the 6 digits that real\[\] keeps"),
    ("sqlite", "TEXT", "{2024-02-29 12:00}", "postgresql", "date[]", r"does not go into date\[\]"),
    ("sqlite", "TEXT", "[2024-02-29 12:00,)", "postgresql", "daterange", r"does not go into daterange"),
    ("sqlite", "TEXT", "2024-02-29 12:00+00", "postgresql", "timetz", r"is no time of day alone"),
    ("sqlite", "TEXT", "00:00:01.1234567", "postgresql", "interval", r"more than the 6 digits of a second"),
    ("postgresql", "timestamp", "2024-02-29 12:00:00.5", "postgresql", "later", r"keeps 0 digits of a second"),
    ("postgresql", "time", "12:00:00.5", "postgresql", "clock", r"keeps 0 digits of a second"),
    ("postgresql", "timestamptz", "2024-02-29 12:00:00.0005", "postgresql", "instant", r"keeps 3 digits of a second"),
    ("postgresql", "numeric", "1.005", "postgresql", "cents", r"does not fit 10 digits, 2 of them"),
    ("sqlite", "TEXT", "101111", "postgresql", "bit(3)", r"is no value of bit\(3\)"),
    ("sqlite", "TEXT", "00:00:01.25", "postgresql", "interval(1)", r"keeps 1 digits of a second"),
    ("sqlite", "BLOB", b"a", "mariadb", "BINARY(2)", r"less than the 2 bytes to which binary\(2\) fills it up"),
    ("sqlite", "BIGINT", 5, "mariadb", "YEAR", r"is no YEAR from 1901 to 2155"),
    ("sqlite", "TEXT", "b,a", "mariadb", "SET('a','b')", r"does not name members of the SET"),
    ("mariadb", "SET('a','b')", "a,b", "mariadb", "SET('b','a')", r"each once and in its order"),
    ("sqlite", "TEXT", "101", "mariadb", "TIME", r"is no time of hours, minutes and seconds"),
    ("sqlite", "DOUBLE", 1.25, "mariadb", "DOUBLE(5,1)", r"more than the 1 digits after the point"),
    ("mariadb", "DECIMAL(9,2)", "0.10", "mariadb", "FLOAT", r"does not fit kind float"),
    ("postgresql", "uuid", "0123456789ab8def7123456789abcdef", "mariadb", "UUID", r"that the type UUID of MariaDB"),
    ("sqlite", "TEXT", "0123456789abcdef", "mariadb", "UUID", r"of kind text does not fit kind uuid"),
    ("sqlite", "TEXT", "no uuid", "postgresql", "uuid", r"of kind text does not fit kind uuid"),
    ("postgresql", "double precision", "NaN", "sqlite", "REAL", r"which SQLite stores as NULL"),
    ("sqlite", "BIGINT", 2**53 + 1, "sqlite", "REAL", r"has more digits than a float"),
    ("mariadb", "BIGINT UNSIGNED", 2**63, "sqlite", "BIGINT", r"does not fit 64 bits"),
    ("postgresql", "json", "1e400", "sqlite", "JSON", r"would change its storage class"),
    ("postgresql", "bit varying", "101", "sqlite", "NUMERIC", r"would change its storage class"),
]  # fmt: skip


def _moved(databases: Databases, folder: Path, case: tuple[str, str, Any, str, str]) -> tuple[dt.DataPackage, str]:
    """Return a package of one value, and a target whose column has the other type."""
    dialect, declared, value, other, there = case
    source, url = databases.create(dialect), databases.create(other)
    for at, needed in ((source, dialect), (url, other)):
        run(at, *(DOMAINS if needed == "postgresql" else ()))
    fill(source, "t", {"v": Case(declared, "", value, there, "")})
    run(url, f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {there})")
    return export_all(source, folder / "package.zip"), url


@pytest.mark.parametrize("case", REFUSED, ids=[f"{case[1]} to {case[4]}, {i}" for i, case in enumerate(REFUSED)])
def test_a_value_that_would_change_is_refused_by_name_before_anything_is_staged(
    case: tuple[str, str, Any, str, str, str], databases: Databases, tmp_path: Path
) -> None:
    package, url = _moved(databases, tmp_path, case[:5])
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        with pytest.raises((errors.ValueLossError, errors.SchemaMismatchError), match=rf"t\.v: .*{case[5]}") as caught:
            importer.run()
        assert [item.where for item in importer.check().errors] == ["t.v"]
        assert caught.value.hint
        assert len(str(case[2])) < 5 or str(case[2]) not in str(caught.value)
    assert asked(url, "SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize(
    ("case", "held_there"),
    [
        (("sqlite", "TEXT", "é" * 31, "postgresql", "name"), "é" * 31),
        (("sqlite", "TEXT", "x", "postgresql", '"char"'), "x"),
        (("sqlite", "TEXT", "ab   ", "postgresql", "char(5)"), "ab   "),
        (("postgresql", "char(5)", "ab", "postgresql", "char(9)"), "ab" + " " * 7),
        (("postgresql", "padded", "ab", "postgresql", "padded"), "ab   "),
        (("postgresql", "char(5)", "ab", "mariadb", "CHAR(9)"), "ab"),
        (("postgresql", "json", '{"b": 1.50, "a": [{"b": 1e400}]}', "postgresql", "json"), None),
        (("sqlite", "TEXT", "12:34:56.5", "postgresql", "time"), None),
        (("sqlite", "TEXT", "{a,bcdef}", "postgresql", "text[]"), None),
        (("sqlite", "TEXT", "'a':1,3B 'it''s'", "postgresql", "tsvector"), None),
        (("sqlite", "TEXT", '{"a": "\\ud83d\\ude00 \\\\u0000", "b": {"a": -0}}', "postgresql", "jsonb"), None),
        (("mariadb", "JSON", '{"b": 1.50, "a": [{"b": 1}]}', "postgresql", "document"), None),
        (("postgresql", "timestamp", "2024-02-29 12:00:00", "postgresql", "later"), None),
        (("sqlite", "TEXT", " É ", "postgresql", "citext"), " É "),
        (("sqlite", "TEXT", "Top.b_1", "postgresql", "ltree"), "Top.b_1"),
        (("sqlite", "TEXT", r'"a"=>"x, \"y\"", "b"=>NULL, ""=>""', "postgresql", "hstore"), None),
        (("postgresql", "hstore", '"a"=>"1", "b"=>NULL', "postgresql", "hstore"), None),
        (("postgresql", "ltree", "Top.b_1", "postgresql", "ltree"), None),
        (("postgresql", "pair", "(1,a)", "postgresql", "pair"), None),
        (("postgresql", "pair_of_them", "(1,a)", "postgresql", "pair_of_them"), None),
        (("sqlite", "TEXT", "(0.1,-2.5e10)", "postgresql", "point"), None),
        (("sqlite", "TEXT", "{0.1,NULL,NaN}", "postgresql", "real[]"), None),
        (("postgresql", "uuid", _UUID, "mariadb", "CHAR(32)"), _UUID.replace("-", "")),
        (("postgresql", "uuid", _UUID, "postgresql", "varchar(32)"), _UUID.replace("-", "")),
        (("postgresql", "uuid", _UUID, "sqlite", "CHAR(32)"), _UUID.replace("-", "")),
        (("mariadb", "UUID", _UUID, "mariadb", "CHAR(36)"), _UUID),
        (("postgresql", "uuid", "00000000-0000-f000-00ff-00000000000a", "mariadb", "UUID"), None),
        (("postgresql", "uuid", "ffffffff-ffff-ffff-ffff-ffffffffffff", "mariadb", "UUID"), None),
        (("mariadb", "SET('a','b')", "a,b", "mariadb", "SET('a','x','b')"), "a,b"),
    ],
)
def test_a_value_that_keeps_its_meaning_is_carried_and_known_again(
    case: tuple[str, str, Any, str, str], held_there: str | None, databases: Databases, tmp_path: Path
) -> None:
    package, url = _moved(databases, tmp_path, case)
    receipt = import_into(package, url)
    assert receipt.total("insert") == 1
    if held_there is not None:
        assert asked(url, "SELECT v FROM t") == [(held_there,)]
    assert import_into(package, url, on_match="update").total("reuse") == 1


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb", "sqlite"])
def test_uuids_as_keys_are_the_same_rows_where_they_are_32_digits(
    dialect: str, databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create("postgresql"), databases.create(dialect)
    for at, kind in ((source, "uuid"), (url, "CHAR(32)")):
        run(at, f"CREATE TABLE t (id {kind} PRIMARY KEY)")
        run(at, f"CREATE TABLE u (id INTEGER PRIMARY KEY, t {kind} NOT NULL, FOREIGN KEY (t) REFERENCES t (id))")
    run(source, f"INSERT INTO t VALUES ('{_UUID}')", f"INSERT INTO u VALUES (1, '{_UUID}')")
    package = export_all(source, tmp_path / "package.zip")
    receipt = import_into(package, url)
    assert asked(url, "SELECT t.id FROM t JOIN u ON u.t = t.id") == [(_UUID.replace("-", ""),)]
    assert import_into(package, url, on_match="error").total("reuse") == 2
    receipt.undo()
    assert asked(url, "SELECT count(*) FROM t") == [(0,)]


@pytest.mark.parametrize(("dialect", "declared"), [("postgresql", "numeric(20,2)"), ("mariadb", "BIGINT UNSIGNED")])
def test_rows_whose_integer_keys_became_decimals_elsewhere_are_known_when_they_come_back(
    dialect: str, declared: str, databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create("sqlite"), databases.create(dialect)
    run(source, "CREATE TABLE t (id INTEGER PRIMARY KEY, v TEXT)", "INSERT INTO t VALUES (1, 'a'), (7, NULL)")
    run(url, f"CREATE TABLE t (id {declared} PRIMARY KEY, v TEXT)")
    import_into(export_all(source, tmp_path / "there.zip"), url)
    back = export_all(url, tmp_path / "back.zip")
    run(source, "UPDATE t SET v = 'edited' WHERE id = 7")
    assert import_into(back, source, on_match="update").total("update") == 1
    assert asked(source, "SELECT id, v FROM t ORDER BY id") == [(1, "a"), (7, None)]


@pytest.mark.parametrize(
    ("source_dialect", "declared", "dialect", "other"),
    [
        ("sqlite", "VARCHAR(5)", "postgresql", "char(5)"),
        ("postgresql", "varchar(5)", "postgresql", "char(5)"),
        ("postgresql", "char(5)", "mariadb", "CHAR(5)"),
        ("mariadb", "CHAR(5)", "postgresql", "char(5)"),
        ("postgresql", "varchar(5)", "postgresql", "padded"),
    ],
)
def test_rows_whose_keys_are_padded_elsewhere_are_known_when_they_come_back(
    source_dialect: str, declared: str, dialect: str, other: str, databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create(source_dialect), databases.create(dialect)
    if dialect == "postgresql":
        run(url, *DOMAINS)
    for at, kind in ((source, declared), (url, other)):
        run(at, f"CREATE TABLE t (id {kind} PRIMARY KEY, v VARCHAR(9))")
        run(at, f"CREATE TABLE u (id INTEGER PRIMARY KEY, t {kind}, FOREIGN KEY (t) REFERENCES t (id))")
    run(source, "INSERT INTO t VALUES ('a', 'x')", "INSERT INTO u VALUES (1, 'a')")
    import_into(export_all(source, tmp_path / "there.zip"), url)
    receipt = import_into(export_all(url, tmp_path / "back.zip"), source, on_match="update")
    assert receipt.total("insert") == 0
    assert asked(source, "SELECT count(*) FROM t JOIN u ON u.t = t.id") == [(1,)]
    assert asked(source, "SELECT count(*) FROM t") == [(1,)]
