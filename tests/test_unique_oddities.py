"""Unique rules in odd places: names, trees, tables without a key, parents that become one, columns of every type."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.servers import Databases
from tests.support.sql import asked, connected, run
from tests.support.transfer import DIALECTS, export_all, import_into


def _make(databases: Databases, dialect: str, script: str) -> str:
    url = databases.create(dialect)
    run(url, *script.split(";"))
    return url


def _conflicts(package: dt.DataPackage, url: str, **policies: object) -> list[tuple[str, object]]:
    with dt.Database(url) as target, dt.PackageImporter(package, target).plan(**policies) as plan:  # type: ignore[arg-type]
        return [(c.table, c.source_key) for c in plan.conflicts.itertuples()]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_names_that_the_plan_uses_itself_may_be_columns(dialect: str, databases: Databases, tmp_path: Path) -> None:
    schema = (
        "CREATE TABLE m (s INTEGER PRIMARY KEY, r VARCHAR(9), h VARCHAR(9), t INTEGER, k0 INTEGER, UNIQUE (r, h, k0))"
    )
    source = _make(databases, dialect, f"{schema}; INSERT INTO m VALUES (1, 'a', 'b', 1, 7), (2, 'a', 'b', 1, 8)")
    target = _make(databases, dialect, f"{schema}; INSERT INTO m VALUES (1, 'a', 'b', 1, 8)")
    assert _conflicts(export_all(source, tmp_path / "p.zip"), target) == [("m", 2)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_branches_of_a_tree_clash_under_the_parent_that_they_get(
    dialect: str, databases: Databases, tmp_path: Path
) -> None:
    schema = """CREATE TABLE c (id INTEGER PRIMARY KEY, above INTEGER, name VARCHAR(20), code VARCHAR(20) UNIQUE,
        UNIQUE (above, name), FOREIGN KEY (above) REFERENCES c (id))"""
    rows = "INSERT INTO c VALUES (1, NULL, 'root', 'r'), (2, 1, 'leaf', NULL)"
    source = _make(databases, dialect, f"{schema}; {rows}; INSERT INTO c VALUES (3, 1, 'twig', NULL)")
    target = _make(databases, dialect, f"{schema}; {rows.replace('1', '11').replace('(2', '(12')}")
    package = export_all(source, tmp_path / "p.zip")
    assert _conflicts(package, target) == [("c", 1), ("c", 2)]
    # the root is the target's own then, and a leaf of that name is there
    assert _conflicts(package, target, on_clash="reuse") == [("c", 2)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_parents_that_become_one_clash_and_so_do_their_children(
    dialect: str, databases: Databases, tmp_path: Path
) -> None:
    parents = "CREATE TABLE p (id INTEGER PRIMARY KEY, name VARCHAR(20){})"
    children = """CREATE TABLE q (id INTEGER PRIMARY KEY, p_id INTEGER NOT NULL, n INTEGER NOT NULL,
        UNIQUE (p_id, n), FOREIGN KEY (p_id) REFERENCES p (id))"""
    rows = "INSERT INTO p VALUES (1, 'a'), (2, 'A'); INSERT INTO q VALUES (1, 1, 5), (2, 2, 5), (3, 2, 6)"
    source = _make(databases, "sqlite", f"{parents.format('')}; {children}; {rows}")
    unique = {
        "sqlite": "CREATE UNIQUE INDEX i ON p (lower(name))",
        "postgresql": "CREATE UNIQUE INDEX i ON p (lower(name))",
        "mariadb": "ALTER TABLE p ADD low VARCHAR(20) AS (lower(name)), ADD UNIQUE (low)",
    }[dialect]
    target = _make(
        databases, dialect, f"{parents.format('')}; {unique}; {children}; INSERT INTO p (id, name) VALUES (7, 'a')"
    )
    package = export_all(source, tmp_path / "p.zip")
    found = _conflicts(package, target, on_clash="reuse")
    assert found == [("p", 2), ("q", 2)]  # two rows that match one, and what they would both have below it


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("there", [True, False], ids=["beside-others", "into-an-empty-table"])
def test_rows_without_a_key_are_held_against_rules_too(
    there: bool, dialect: str, databases: Databases, tmp_path: Path
) -> None:
    source = _make(
        databases,
        "sqlite",
        "CREATE TABLE k (a VARCHAR(9), b INTEGER); INSERT INTO k VALUES ('x', 1), ('y', 1), ('x', 2)",
    )
    target = _make(databases, dialect, "CREATE TABLE k (a VARCHAR(9), b INTEGER, UNIQUE (a))")
    if there:
        with connected(target) as connection:
            connection.exec_driver_sql("INSERT INTO k VALUES ('y', 9)")
    assert len(_conflicts(export_all(source, tmp_path / "p.zip"), target)) == (2 if there else 1)


TYPES = """CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE DOMAIN mail AS varchar(40);
CREATE TABLE k (id INTEGER PRIMARY KEY, a mood, b mail, c numeric(6, 2), d timestamptz, e uuid, f integer[], g char(5),
    h double precision, i date, j bytea, k boolean, UNIQUE (a, k), UNIQUE (b), UNIQUE (c), UNIQUE (d), UNIQUE (e),
    UNIQUE (f), UNIQUE (g), UNIQUE (h), UNIQUE (i), UNIQUE (j))"""
ONE = """({}, 'sad', 'm{}', 1.5{}, '2026-01-0{} 00:00+00', '00000000-0000-0000-0000-00000000000{}', '{{1,{}}}', 'c{}',
    0.{}, '2026-01-0{}', '\\\\x0{}', {})"""


def test_columns_of_every_type_are_compared(databases: Databases, tmp_path: Path) -> None:
    def row(key: int, digit: int, flag: str) -> str:
        return "INSERT INTO k VALUES " + ONE.format(key, *[digit] * 9, flag)

    source = _make(databases, "postgresql", f"{TYPES}; {row(1, 1, 'true')}; {row(2, 2, 'false')}; {row(3, 3, 'NULL')}")
    for number in range(1, 10):
        target = _make(databases, "postgresql", TYPES)
        package = export_all(source, tmp_path / f"p{number}.zip")
        digits = [2 if place == number else 9 for place in range(1, 10)]
        with connected(target) as connection:
            connection.exec_driver_sql("INSERT INTO k VALUES " + ONE.format(50, *digits, "NULL"))
        assert _conflicts(package, target) == [("k", 2)], number


@pytest.mark.parametrize("dialect", DIALECTS)
def test_values_of_a_computed_column_are_exchanged(dialect: str, databases: Databases, tmp_path: Path) -> None:
    low = {
        "sqlite": "low VARCHAR(20) AS (lower(name)) UNIQUE",
        "postgresql": "low VARCHAR(20) GENERATED ALWAYS AS (lower(name)) STORED UNIQUE",
        "mariadb": "low VARCHAR(20) AS (lower(name)) VIRTUAL UNIQUE",
    }[dialect]
    source = _make(
        databases,
        "sqlite",
        "CREATE TABLE p (id INTEGER PRIMARY KEY, name VARCHAR(60)); INSERT INTO p VALUES (1, 'B'), (2, 'a')",
    )
    target = _make(
        databases,
        dialect,
        f"CREATE TABLE p (id INTEGER PRIMARY KEY, name VARCHAR(60), {low});"
        "INSERT INTO p (id, name) VALUES (1, 'a'), (2, 'b')",
    )
    import_into(export_all(source, tmp_path / "p.zip"), target, on_match="update", match_on={"p": ["id"]})
    assert asked(target, "SELECT id, name, low FROM p ORDER BY id") == [(1, "B", "b"), (2, "a", "a")]


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("required", ["", " NOT NULL"])
def test_numbers_are_exchanged(required: str, dialect: str, databases: Databases, tmp_path: Path) -> None:
    schema = f"CREATE TABLE p (id INTEGER PRIMARY KEY, place INTEGER{required} UNIQUE)"
    source = _make(databases, dialect, f"{schema}; INSERT INTO p VALUES (1, 2), (2, 3), (3, 1), (4, 4)")
    target = _make(
        databases, dialect, f"{schema}; INSERT INTO p VALUES (1, 1), (2, 2), (3, 3), (4, 4), (5, 2147483640)"
    )
    import_into(export_all(source, tmp_path / "p.zip"), target, on_match="update", match_on={"p": ["id"]})
    assert asked(target, "SELECT place FROM p ORDER BY id") == [(2,), (3,), (1,), (4,), (2147483640,)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_inserted_row_does_not_take_what_an_update_gives_up(
    dialect: str, databases: Databases, tmp_path: Path
) -> None:
    schema = "CREATE TABLE p (id INTEGER PRIMARY KEY, name VARCHAR(9) UNIQUE)"
    source = _make(databases, dialect, f"{schema}; INSERT INTO p VALUES (1, 'new'), (2, 'old')")
    target = _make(databases, dialect, f"{schema}; INSERT INTO p VALUES (1, 'old')")
    package = export_all(source, tmp_path / "p.zip")
    assert _conflicts(package, target, on_match="update", match_on={"p": ["id"]}) == [("p", 2)]


@pytest.mark.parametrize("others", ["", ", (4, '~z')"], ids=["its-own", "another-row"])
def test_a_place_to_hold_values_is_in_nobodys_way(others: str, databases: Databases, tmp_path: Path) -> None:
    """The values that rows would hold meanwhile all start with a tilde, and only first letters count here."""
    schema = "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT NOT NULL)"
    moved = "(1, 'b'), (2, 'a')" if not others else "(1, 'b'), (2, 'c')"
    source = _make(databases, "sqlite", f"{schema}; INSERT INTO p VALUES {moved}")
    target = _make(
        databases,
        "sqlite",
        f"{schema}; INSERT INTO p VALUES (1, 'a'), (2, 'b'){others}; CREATE UNIQUE INDEX i ON p (substr(name, 1, 1))",
    )
    package = export_all(source, tmp_path / "p.zip")
    found = _conflicts(package, target, on_match="update", match_on={"p": ["id"]})
    assert found == ([("p", 1), ("p", 2)] if not others else [("p", 2)])


def test_the_condition_of_an_index_compares_as_its_columns_do(databases: Databases, tmp_path: Path) -> None:
    schema = "CREATE TABLE p (id INTEGER PRIMARY KEY, name TEXT, state TEXT COLLATE NOCASE)"
    index = "CREATE UNIQUE INDEX i ON p (name) WHERE state = 'OPEN'"
    source = _make(databases, "sqlite", f"{schema}; INSERT INTO p VALUES (1, 'a', 'open'), (2, 'a', 'shut')")
    target = _make(databases, "sqlite", f"{schema}; {index}; INSERT INTO p VALUES (5, 'a', 'Open')")
    assert _conflicts(export_all(source, tmp_path / "p.zip"), target) == [("p", 1)]
