"""Rows come out of SQLite exactly, by the fast way as by the slow one; and out of any database by the generic way."""

from __future__ import annotations

import math
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa

from datatransfer.database.connection import Database
from datatransfer.database.dialects import Dialect, RowSource
from datatransfer.database.dialects.sqlite import SqliteDialect
from datatransfer.database.dialects.sqlite_fast import BATCH_ROWS, Child
from datatransfer.errors import DatabaseError, ValueLossError
from datatransfer.schema.values import LogicalType, tag
from tests.support.batches import bits, read, was_fast
from tests.support.scripts import opened_with

# --- SQLite ---------------------------------------------------------------------------------------------------------

LONG = "x" * 5000


def sqlite_torture(url: str, *, rows: int = 0) -> Database:
    """Make a table with every storage class at its extremes; ``rows`` more rows make several batches."""
    db = opened_with(
        url, "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, r REAL, s TEXT, b BLOB, d NUMERIC, late TEXT, n)"
    )
    values = [
        (2**63 - 1, math.inf, "a\0b", b"", "2024-01-01", None),
        (-(2**63), -math.inf, "", b"\0\xff", "", None),
        (2**53 + 1, 5e-324, "\N{GRINNING FACE} e\u0301 é \ufffd", b"abc", "x", None),
        (None, None, None, None, None, None),
        (0, -0.0, " ", b"'", "'", None),
    ]
    more = (
        (k, k / 7, f"row {k}", str(k).encode(), f"day {k}", f"late {k}" if k > 40_000 else None) for k in range(rows)
    )
    with db.engine.begin() as conn:
        raw = conn.connection.driver_connection
        raw.executemany("INSERT INTO t (i, r, s, b, d, late) VALUES (?, ?, ?, ?, ?, ?)", [*values, *more])
    return db


def test_sqlite_values_are_those_of_the_driver(sqlite_url):
    with sqlite_torture(sqlite_url()) as db:
        table = read(db, "t")
        assert [str(kind) for kind in table.schema.types] == [
            "int64", "int64", "double", "string", "binary", "string", "string", "binary",
        ]  # fmt: skip
        with db.engine.connect() as conn:
            wanted = conn.connection.driver_connection.execute("SELECT * FROM t ORDER BY id").fetchall()
        rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
        assert rows == wanted
        assert bits(table["r"].to_pylist()) == bits([row[2] for row in wanted])


@pytest.fixture
def always_fast(monkeypatch):
    monkeypatch.setattr(SqliteDialect, "fast_above", 0)


def both_ways(db: Database, monkeypatch: pytest.MonkeyPatch) -> tuple[pa.Table, pa.Table]:
    """Read a table the slow way and the fast way, and compare all that Arrow compares."""
    slow = read(db, "t")
    monkeypatch.setattr(SqliteDialect, "fast_above", 0)
    assert was_fast(db, "t")
    fast = read(db, "t")
    assert fast.schema == slow.schema
    assert fast.equals(slow)
    return slow, fast


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_the_fast_way_gives_what_the_slow_way_gives(sqlite_url, monkeypatch, journal):
    with sqlite_torture(sqlite_url(), rows=60_000) as db:
        with db.engine.connect() as conn:
            conn.connection.driver_connection.execute(f"PRAGMA journal_mode={journal}")
        slow, fast = both_ways(db, monkeypatch)
        assert bits(fast["r"].to_pylist()) == bits(slow["r"].to_pylist())


def test_a_column_of_several_classes_is_tagged_and_goes_the_fast_way(sqlite_url, always_fast):
    values = [1, 1.0, "1", b"1", None, 2**53 + 1, 1.5]
    with opened_with(sqlite_url(), "CREATE TABLE t (id INTEGER PRIMARY KEY, v);\nCREATE TABLE k (v PRIMARY KEY)") as db:
        with db.engine.begin() as conn:
            raw = conn.connection.driver_connection
            raw.executemany("INSERT INTO t (v) VALUES (?)", [(value,) for value in values])
            raw.executemany("INSERT INTO k VALUES (?)", [(value,) for value in (1, "1", b"1", None, None)])
        assert read(db, "t")["v"].to_pylist() == [tag(value) for value in values]
        assert sorted(map(str, read(db, "k")["v"].to_pylist())) == ["None", "None", "b31", "i1", "t1"]
        assert was_fast(db, "t")


# Classes that one column holds, and those that come only after the rows that are looked at first.
MIXTURES = {
    "NUMERIC": ([1, 0.1, 2**53 + 1, 1.5, -(2**63), 2**63 - 1, -0.0, 5e-324, 1e300, float("inf")], []),
    "DECIMAL(15,2)": ([0.25, 3, None], ["x", b"x"]),
    "INTEGER": ([None, 1], [1.5, "1x", b"1"]),
    "REAL": ([1.5, 2.0], ["", "é"]),
    "TEXT": (["a", "1.0", "nul\0inside"], [b"a", b""]),
    "BLOB": ([1, 1.0, "1", b"1", None], [2**53 + 1, "\0"]),
}


@pytest.mark.parametrize("journal", ["delete", "wal"])
@pytest.mark.parametrize("declared", MIXTURES)
def test_several_classes_come_the_fast_way_as_they_come_the_slow_way(sqlite_url, monkeypatch, declared, journal):
    first, late = MIXTURES[declared]
    script = f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared}, w {declared}, s TEXT NOT NULL)"
    with opened_with(sqlite_url(), script) as db:
        values = [first[n % len(first)] for n in range(20_000)] + late
        with db.engine.begin() as conn:
            raw = conn.connection.driver_connection
            raw.executemany("INSERT INTO t (v, w, s) VALUES (?, ?, 's')", zip(values, [None, *values], strict=False))
        with db.engine.connect() as conn:
            conn.connection.driver_connection.execute(f"PRAGMA journal_mode={journal}")
            wanted = conn.connection.driver_connection.execute("SELECT v, w FROM t ORDER BY id").fetchall()
        _, fast = both_ways(db, monkeypatch)
        assert fast["v"].to_pylist() == [tag(v) for v, _ in wanted]
        assert fast["w"].to_pylist() == [tag(w) for _, w in wanted]


def test_more_columns_than_a_query_may_have_go_the_slow_way(sqlite_url, always_fast):
    names = [f"c{n}" for n in range(500)]
    with opened_with(sqlite_url(), f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(names)})") as db:
        with db.engine.begin() as conn:
            for value in ("1", "1.5", "'t'", "x'00'"):
                conn.exec_driver_sql(f"INSERT INTO t ({', '.join(names)}) VALUES ({', '.join([value] * 500)})")
        assert not was_fast(db, "t")
        assert read(db, "t")["c499"].to_pylist() == ["i1", "r0x1.8000000000000p+0", "tt", "b00"]


@pytest.mark.parametrize(
    ("declared", "values", "kind"),
    [
        ("INTEGER", [1, -(2**63), 2**63 - 1], "integer"),
        ("INTEGER", [1, -9223372036854775808.0], "any"),
        ("INTEGER", [1, 1.5], "any"),
        ("INTEGER", [1, "x"], "any"),
        ("INTEGER", [1, b"1"], "any"),
        ("REAL", [1.5, 2.0], "float"),
        ("REAL", [1.5, "x"], "any"),
        ("TEXT", ["a", ""], "text"),
        ("TEXT", ["a", b""], "any"),
        ("TEXT COLLATE NOCASE", ["a", b""], "any"),
        ("BLOB", [b"a", b""], "bytes"),
        ("BLOB", [b"a", ""], "any"),
        ("", ["a", ""], "text"),
        ("", ["a", 1], "any"),
        ("NUMERIC", [1.5, 2.5], "float"),
        ("NUMERIC", [1.5, 2], "any"),
        ("DATETIME", ["2024-01-01", None], "text"),
        ("DATETIME", ["2024-01-01", 5], "any"),
        ("INTEGER", [None], "integer"),
        ("VARCHAR(9)", [None], "text"),
        ("DATETIME", [None], "text"),
        ("BOOLEAN", [None], "integer"),
        ("DECIMAL(9,2)", [None], "float"),
        ("", [None], "bytes"),
    ],
)
def test_one_class_makes_the_type_and_several_make_any(declared, values, kind):
    """The first hundred rows hold the first value only, so the proof over all rows decides."""
    with Database("sqlite://") as db:
        with db.engine.begin() as conn:
            conn.exec_driver_sql(f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})")
            many = [(values[0],)] * 150 + [(value,) for value in values]
            conn.connection.driver_connection.executemany("INSERT INTO t (v) VALUES (?)", many)
        with db.dialect.snapshot() as conn:
            resolved = db.dialect.resolve_types(conn, db.schema.table("t"), RowSource())
            assert resolved.column("v").type.kind == kind
            some = db.dialect.resolve_types(conn, db.schema.table("t"), RowSource(where="t.id < 100", whole=False))
            assert some.column("v").type.kind != "any"


@pytest.mark.parametrize("declared", ["TEXT", "BLOB"])
@pytest.mark.parametrize("fast", [False, True])
def test_text_that_is_no_utf8_is_refused_by_name(sqlite_url, monkeypatch, fast, declared):
    if fast:
        monkeypatch.setattr(SqliteDialect, "fast_above", 0)
    script = (
        f"CREATE TABLE t (id INTEGER PRIMARY KEY, s {declared});\n"
        "INSERT INTO t (s) VALUES ('fine'), (1), (CAST(x'ff41' AS TEXT))"
    )
    with opened_with(sqlite_url(), script) as db, pytest.raises(ValueLossError, match=r"^t\.s: .*UTF-8") as caught:
        read(db, "t")
    assert "41" not in str(caught.value)


def test_a_child_that_dies_is_replaced_by_the_slow_way_without_a_row_lost_or_doubled(sqlite_url, always_fast):
    with sqlite_torture(sqlite_url(), rows=60_000) as db, db.dialect.snapshot() as conn:
        resolved = db.dialect.resolve_types(conn, db.schema.table("t"), RowSource())
        batches = db.dialect.read(conn, resolved)
        ids = next(batches)["id"].to_pylist()
        conn.info["datatransfer_fast"]._child.kill()
        for batch in batches:
            ids += batch["id"].to_pylist()
        assert ids == list(range(1, 60_006))


def test_a_wide_row_does_not_make_batches_wide(sqlite_url, always_fast, monkeypatch):
    monkeypatch.setattr("datatransfer.database.dialects.sqlite_fast._GUARDED_BYTES", 0)
    with opened_with(sqlite_url(), "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)") as db:
        with db.engine.begin() as conn:
            conn.execute(sa.text("INSERT INTO t (s) VALUES ('x'), (:long)"), {"long": LONG})
        assert not was_fast(db, "t")
        assert read(db, "t")["s"].to_pylist() == ["x", LONG]


def test_large_rows_close_a_batch_early():
    with Database("sqlite://") as db:
        with db.engine.begin() as conn:
            conn.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, b BLOB)")
            conn.exec_driver_sql("WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600) "
                                 "INSERT INTO t (b) SELECT zeroblob(200000) FROM n")  # fmt: skip
        with db.dialect.snapshot() as conn:
            resolved = db.dialect.resolve_types(conn, db.schema.table("t"), RowSource())
            sizes = [batch.nbytes for batch in db.dialect.read(conn, resolved)]
        assert len(sizes) > 1
        assert max(sizes) < 100 * 1024 * 1024


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_a_snapshot_does_not_see_what_others_write(sqlite_url, always_fast, journal):
    url = sqlite_url()
    with sqlite_torture(url, rows=100) as db:
        path = str(sa.make_url(url).database)
        with closing(sqlite3.connect(path, timeout=0)) as other:
            other.execute(f"PRAGMA journal_mode={journal}")
            with db.dialect.snapshot() as conn:
                if journal == "wal":
                    other.execute("DELETE FROM t")
                    other.commit()
                else:
                    other.execute("DELETE FROM t WHERE id > 5")
                    with pytest.raises(sqlite3.OperationalError, match="locked"):
                        other.commit()
                    other.rollback()
                resolved = db.dialect.resolve_types(conn, db.schema.table("t"), RowSource())
                assert sum(batch.num_rows for batch in db.dialect.read(conn, resolved)) == 105
                db.dialect.execute(conn, "CREATE TEMP TABLE chosen AS SELECT id FROM t WHERE id < 3")
                source = RowSource(
                    "JOIN chosen c ON c.id = t.id", "", False, (("c.id * 2", "double", LogicalType("integer")),)
                )
                chosen = db.dialect.resolve_types(conn, db.schema.table("t"), source)
                (batch,) = db.dialect.read(conn, chosen, source)
                assert (batch["id"].to_pylist(), batch["double"].to_pylist()) == ([1, 2], [2, 4])
            with db.engine.connect() as conn:
                found = conn.exec_driver_sql("SELECT count(*) FROM sqlite_temp_schema").scalar()
                assert found == 0


def test_an_open_transaction_on_the_only_connection_is_refused_and_kept():
    with Database("sqlite://") as db:
        raw = db.engine.raw_connection()
        raw.execute("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        raw.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(DatabaseError, match="transaction is open"), db.dialect.snapshot():
            pass
        raw.close()


def test_the_child_ends_when_its_parent_does(sqlite_url):
    with sqlite_torture(sqlite_url()) as db:
        path = Path(str(db.engine.url.database))
        child = Child(path)
        child.send(begin=True)
        child.settle()
        child._in.close()
        assert child._process.wait(timeout=10) == 0
        child.close()
    code = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from datatransfer.database.dialects.sqlite_fast import Child
child = Child(Path(sys.argv[1]))
child.settle()
print(child._process.pid, flush=True)
os.kill(os.getpid(), 9)
"""
    root = str(Path(__file__).parents[1])
    ended = subprocess.run([sys.executable, "-c", code, str(path), root], capture_output=True, text=True, check=False)
    assert ended.stdout.strip().isdigit()
    gone = threading.Event()
    for _ in range(100):
        status = Path(f"/proc/{ended.stdout.strip()}/stat")
        if not status.exists() or ") Z " in status.read_text():
            gone.set()
            break
        gone.wait(0.05)
    assert gone.is_set() or not Path("/proc").exists()


# --- the generic way ------------------------------------------------------------------------------------------------


def test_the_generic_way_reads_what_it_knows_and_refuses_the_rest():
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    with engine.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(9), amount FLOAT)")
        conn.exec_driver_sql("INSERT INTO t VALUES (2, 'b', 0.5), (1, NULL, 1)")
    dialect = Dialect(engine)
    with engine.connect() as conn:
        table = dialect.reflect(conn).table("t")
        (batch,) = dialect.read(conn, table)
        assert batch.to_pylist() == [{"id": 1, "name": None, "amount": 1.0}, {"id": 2, "name": "b", "amount": 0.5}]
        conn.exec_driver_sql("UPDATE t SET name = x'00'")
        with pytest.raises(ValueLossError, match=r"^t\.name: "):
            list(dialect.read(conn, table))
    engine.dispose()


def test_batches_have_the_rows_that_were_asked_for():
    with sqlite_torture("sqlite://", rows=1000) as db, db.dialect.snapshot() as conn:
        resolved = db.dialect.resolve_types(conn, db.schema.table("t"), RowSource())
        sizes = [batch.num_rows for batch in db.dialect.read(conn, resolved, batch_rows=100)]
    assert sum(sizes) == 1005
    assert max(sizes) <= 100 < BATCH_ROWS
