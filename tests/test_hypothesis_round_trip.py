"""Made-up schemas and rows come through whole, or are refused with a typed error and nothing changed.

``DATATRANSFER_EXAMPLES`` sets how many are tried; ``python -m tests.campaign`` tries many more.
"""

from __future__ import annotations

import os
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

import datatransfer as dt
from tests.support.digest import assert_equal, exact_digest
from tests.support.reading import driver_dsn, mariadb_connection
from tests.support.schemas import MadeDatabase, quoted, server_databases, sqlite_databases
from tests.support.servers import Databases, knows_xml
from tests.support.transfer import ENCODINGS, export_all, import_into

EXAMPLES = int(os.environ.get("DATATRANSFER_EXAMPLES", "40"))
COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
}


def _carry(source: str, target: str, folder: Path, encoding: str) -> str:
    """Carry a database; return "equal", or the code of the typed error that refused it."""
    wanted, before = exact_digest(source), exact_digest(target)
    try:
        package = export_all(source, folder / "package.zip", encoding=encoding)
    except dt.DataTransferError as error:
        assert not (folder / "package.zip").exists()
        assert_equal(wanted, exact_digest(source))
        note(f"refused by the export: {error}")
        return error.code
    try:
        import_into(package, target)
    except dt.DataTransferError as error:
        assert_equal(before, exact_digest(target))
        note(f"refused by the import: {error}")
        return error.code
    assert_equal(wanted, exact_digest(target))
    assert_equal(wanted, exact_digest(source))
    return "equal"


def _mostly(outcome: str, outcomes: Counter[str], least: float = 0.9) -> None:
    """Fail if so much is refused that the rest proves little."""
    assert outcomes[outcome] >= least * outcomes.total() > 0, outcomes


def test_sqlite_databases_come_through_whole() -> None:
    outcomes: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, **COMMON)
    @given(made=sqlite_databases(), encoding=st.sampled_from(ENCODINGS))
    def check(made: MadeDatabase, encoding: str) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            made.fill_sqlite(str(folder / "source.db"))
            made.fill_sqlite(str(folder / "target.db"), rows=False)
            urls = [f"sqlite:///{folder / end}" for end in ("source.db", "target.db")]
            outcomes[_carry(*urls, folder, encoding)] += 1

    check()
    _mostly("equal", outcomes, least=0.95)


def test_sqlite_databases_join_another_whole() -> None:
    outcomes: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES, **COMMON)
    @given(made=sqlite_databases())
    def check(made: MadeDatabase) -> None:
        with tempfile.TemporaryDirectory() as name:
            outcomes[_join(made, Path(name))] += 1

    check()
    # a key with no room above it is refused whatever is said
    assert outcomes["joined"] >= 0.1 * outcomes.total(), outcomes
    assert outcomes["joined"] + outcomes["reused"] >= 0.8 * outcomes.total(), outcomes


def _join(made: MadeDatabase, folder: Path) -> str:
    """Import into a database that holds the same rows as its own; again; and say how it went.

    Rows under the same key of text are in the way: refused at first, then reused.
    """
    for end in ("source.db", "target.db"):
        made.fill_sqlite(str(folder / end))
    source, target = (f"sqlite:///{folder / end}" for end in ("source.db", "target.db"))
    before = exact_digest(target)
    try:
        package = export_all(source, folder / "package.zip")
        receipt, policies, outcome = import_into(package, target), {}, "joined"
    except dt.ConflictError:
        assert_equal(before, exact_digest(target))
        policies, outcome = {"on_clash": "reuse"}, "reused"
        try:
            receipt = import_into(package, target, **policies)
        except dt.DataTransferError as error:
            assert_equal(before, exact_digest(target))
            note(f"refused: {error}")
            return error.code
    except dt.DataTransferError as error:
        assert_equal(before, exact_digest(target))
        return error.code
    _nothing_is_written_again(made, package, target, policies, before.rows, receipt)
    return outcome


def _nothing_is_written_again(
    made: MadeDatabase, package: dt.DataPackage, target: str, policies: dict[str, str], before: Any, receipt: Any
) -> None:
    after = exact_digest(target)
    summary = receipt.summary.set_index("table")
    for table, rows in before.items():
        assert after.rows[table] == rows + (int(summary.loc[table, "inserted"]) if table in summary.index else 0)
    again = import_into(package, target, **policies)
    assert int(again.summary["updated"].sum()) == 0
    keyed = {table.name for table in made.tables if "PRIMARY KEY" in table.create or "UNIQUE" in table.create}
    assert all(again.summary.set_index("table").loc[t, "inserted"] == 0 for t in keyed & set(again.summary["table"]))


def _fill_postgresql(made: MadeDatabase, url: str, *, with_rows: bool = True) -> None:
    import psycopg

    with psycopg.connect(driver_dsn(url)) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")
        for table in made.tables:
            connection.execute(table.create.encode())
            names = ", ".join(map(quoted, table.columns)).replace("%", "%%")
            marks = ", ".join(f"CAST(%s::text AS {cast})" for cast in made.casts[table.name])
            rows = table.rows if with_rows else ()
            for row in _parents_first(rows) if table.name == "parent" else rows:
                values = [None if value is None else str(value) for value in row]
                connection.execute(f"INSERT INTO {table.name} ({names}) VALUES ({marks})".encode(), values)


def _fill_mariadb(made: MadeDatabase, url: str, *, with_rows: bool = True) -> None:
    with mariadb_connection(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0")
        cursor.execute("SET sql_mode = 'ALLOW_INVALID_DATES'")  # as the databases where 0000-00-00 comes from
        cursor.execute("SHOW TABLES")
        for (name,) in cursor.fetchall():
            cursor.execute(f"DROP TABLE `{name}`")
        for table in made.tables:
            cursor.execute(table.create)
            names = ", ".join("`" + c.replace("`", "``") + "`" for c in table.columns).replace("%", "%%")
            marks = ", ".join(["%s"] * len(table.columns))
            if table.rows and with_rows:
                cursor.executemany(f"INSERT INTO {table.name} ({names}) VALUES ({marks})", table.rows)


def _parents_first(rows: tuple[tuple[Any, ...], ...]) -> list[tuple[Any, ...]]:
    """Order rows so that most references exist; the rest lose theirs (a made-up self reference may be a cycle)."""
    done: set[Any] = set()
    ordered = []
    for row in sorted(rows, key=lambda row: row[0]):
        ordered.append(row if row[1] is None or row[1] in done or row[1] == row[0] else (row[0], None, *row[2:]))
        done.add(row[0])
    return ordered


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_server_databases_come_through_whole(databases: Databases, dialect: str) -> None:
    outcomes = _carry_many(databases, dialect, examples=max(10, EXAMPLES // 2))
    _mostly("equal", outcomes, least=0.9)


def test_dates_of_zeros_come_through_whole_or_are_refused(databases: Databases) -> None:
    outcomes = _carry_many(databases, "mariadb", examples=max(5, EXAMPLES // 8), zero_dates=True)
    assert set(outcomes) <= {"equal", "value-loss"}, outcomes


def _carry_many(databases: Databases, dialect: str, *, examples: int, zero_dates: bool = False) -> Counter[str]:
    source, target = databases.create(dialect), databases.create(dialect)
    fill = _fill_postgresql if dialect == "postgresql" else _fill_mariadb
    without = {"xml"} if dialect == "postgresql" and not knows_xml(source) else set()
    outcomes: Counter[str] = Counter()

    @settings(max_examples=examples, **COMMON)
    @given(made=server_databases(dialect, without=without, zero_dates=zero_dates), encoding=st.sampled_from(ENCODINGS))
    def check(made: MadeDatabase, encoding: str) -> None:
        fill(made, source)
        fill(made, target, with_rows=False)
        with tempfile.TemporaryDirectory() as name:
            outcomes[_carry(source, target, Path(name), encoding)] += 1

    check()
    return outcomes
