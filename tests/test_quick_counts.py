"""Rows of all tables, soon: counted as far as there is time, estimated beyond, and never in the way of anybody."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer.database.counting import RowCount, quick_counts
from tests.support.servers import Databases
from tests.support.sql import connected, run
from tests.support.transfer import DIALECTS

LARGE = 200_000
FILL = {
    "sqlite": f"""INSERT INTO large WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {LARGE})
    SELECT i, 'x' FROM n""",
    "postgresql": f"INSERT INTO large SELECT i, 'x' FROM generate_series(1, {LARGE}) i",
    "mariadb": f"INSERT INTO large SELECT seq, 'x' FROM seq_1_to_{LARGE}",
}
KNOWN = {"postgresql": "ANALYZE large", "mariadb": "ANALYZE TABLE large"}


def filled(databases: Databases, dialect: str) -> str:
    url = databases.create(dialect)
    run(
        url,
        "CREATE TABLE large (id INTEGER PRIMARY KEY, name VARCHAR(10))",
        "CREATE TABLE small (id INTEGER PRIMARY KEY)",
        "CREATE TABLE empty (id INTEGER PRIMARY KEY)",
        "INSERT INTO small VALUES (7), (9)",
        FILL[dialect],
    )
    return url


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_table_is_counted_where_there_is_time(databases: Databases, dialect: str) -> None:
    with dt.Database(filled(databases, dialect)) as db:
        found = quick_counts(db, seconds=60)
    assert found == {"empty": RowCount(0), "large": RowCount(LARGE), "small": RowCount(2)}
    assert [count.told for count in found.values()] == ["0 rows", "200,000 rows", "2 rows"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_there_is_no_time_for_is_estimated(databases: Databases, dialect: str) -> None:
    url = filled(databases, dialect)
    if dialect in KNOWN:
        run(url, KNOWN[dialect])
    with dt.Database(url) as db:
        large = quick_counts(db, seconds=0)["large"]
    assert large.word == ("up to" if dialect == "sqlite" else "about")
    assert large.rows == pytest.approx(LARGE, rel=0.1)


def test_postgresql_knows_nothing_of_a_table_that_was_never_analysed(databases: Databases) -> None:
    url = databases.create("postgresql")
    run(url, "CREATE TABLE fresh (id INTEGER PRIMARY KEY) WITH (autovacuum_enabled = false)")
    with dt.Database(url) as db:
        assert quick_counts(db, seconds=0)["fresh"].told == "not counted"


def test_a_table_that_somebody_locks_is_not_waited_for(databases: Databases) -> None:
    url = filled(databases, "postgresql")
    with dt.Database(url) as db, connected(url) as other:
        assert len(db.schema) == 3
        other.exec_driver_sql("LOCK TABLE small IN ACCESS EXCLUSIVE MODE")
        begun = time.monotonic()
        found = quick_counts(db, seconds=0.5)
        assert time.monotonic() - begun < 3
        assert found["small"].rows in (None, 2)
        assert found["small"] != RowCount(2)
        assert db.count("empty") == 0  # the connection was given back in order


def test_a_table_that_may_not_be_read_says_so_and_the_others_are_counted(databases: Databases) -> None:
    url = filled(databases, "postgresql")
    role = "counts_" + sa.make_url(url).database.lower()  # type: ignore[union-attr]
    run(url, f"CREATE ROLE {role} LOGIN PASSWORD 'x'", f"GRANT SELECT ON large, empty TO {role}")
    try:
        with dt.Database(sa.make_url(url).set(username=role, password="x")) as db:
            found = quick_counts(db, seconds=60)
        assert found["large"] == RowCount(LARGE)
        assert found["empty"] == RowCount(0)
        assert found["small"].rows is None
        assert found["small"].told.startswith("not counted: ")
        assert "small" in found["small"].problem
    finally:
        run(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_table_without_rowid_is_counted_and_not_estimated(databases: Databases) -> None:
    url = databases.create("sqlite")
    run(url, "CREATE TABLE t (id TEXT PRIMARY KEY) WITHOUT ROWID", "INSERT INTO t VALUES ('a')")
    run(url, "CREATE TABLE hole (id INTEGER PRIMARY KEY)", "INSERT INTO hole VALUES (-5), (4)")
    with dt.Database(url) as db:
        assert quick_counts(db, seconds=60) == {"hole": RowCount(2), "t": RowCount(1)}
        assert quick_counts(db, seconds=0) == {"hole": RowCount(10, "up to"), "t": RowCount()}
