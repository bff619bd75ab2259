"""Rows come out exactly, or a typed error says which column cannot be carried."""

from __future__ import annotations

import math
import sqlite3
import struct
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
from tests.support.servers import knows_xml
from tests.test_reflection import run


def read(db: Database, table: str, source: RowSource | None = None, **options) -> pa.Table:
    """Read a table as the export does: one snapshot, types resolved, batches checked."""
    source = source or RowSource()
    with db.dialect.snapshot() as conn:
        resolved = db.dialect.resolve_types(conn, db.schema.table(table), source)
        batches = list(db.dialect.read(conn, resolved, source, **options))
    for batch in batches:
        batch.validate(full=True)
        assert batch.num_rows
    fields = [(c.name, c.type.arrow()) for c in resolved.columns] + [(n, k.arrow()) for _, n, k in source.extra]
    return pa.Table.from_batches(batches, schema=pa.schema(fields))


def bits(values: list[float | None]) -> list[bytes | None]:
    return [None if value is None else struct.pack("<d", value) for value in values]


# --- SQLite ---------------------------------------------------------------------------------------------------------

LONG = "x" * 5000


def sqlite_torture(url: str, *, rows: int = 0) -> Database:
    """Make a table with every storage class at its extremes; ``rows`` more rows make several batches."""
    db = run(url, "CREATE TABLE t (id INTEGER PRIMARY KEY, i INTEGER, r REAL, s TEXT, b BLOB, d NUMERIC, late TEXT, n)")
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


def was_fast(db: Database, table: str) -> bool:
    with db.dialect.snapshot() as conn:
        resolved = db.dialect.resolve_types(conn, db.schema.table(table), RowSource())
        found = db.dialect._fast(conn, resolved, RowSource(), 65536)
        if found is not None:
            found.close()
        return found is not None


@pytest.mark.parametrize("journal", ["delete", "wal"])
def test_the_fast_way_gives_what_the_slow_way_gives(sqlite_url, monkeypatch, journal):
    with sqlite_torture(sqlite_url(), rows=60_000) as db:
        with db.engine.connect() as conn:
            conn.connection.driver_connection.execute(f"PRAGMA journal_mode={journal}")
        slow = read(db, "t")
        monkeypatch.setattr(SqliteDialect, "fast_above", 0)
        assert was_fast(db, "t")
        fast = read(db, "t")
        assert fast.schema == slow.schema
        assert fast.equals(slow)
        assert bits(fast["r"].to_pylist()) == bits(slow["r"].to_pylist())


def test_a_column_of_several_classes_is_tagged_and_goes_the_fast_way(sqlite_url, always_fast):
    values = [1, 1.0, "1", b"1", None, 2**53 + 1, 1.5]
    with run(sqlite_url(), "CREATE TABLE t (id INTEGER PRIMARY KEY, v);\nCREATE TABLE k (v PRIMARY KEY)") as db:
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
    with run(sqlite_url(), script) as db:
        values = [first[n % len(first)] for n in range(20_000)] + late
        with db.engine.begin() as conn:
            raw = conn.connection.driver_connection
            raw.executemany("INSERT INTO t (v, w, s) VALUES (?, ?, 's')", zip(values, [None, *values], strict=False))
        with db.engine.connect() as conn:
            conn.connection.driver_connection.execute(f"PRAGMA journal_mode={journal}")
            wanted = conn.connection.driver_connection.execute("SELECT v, w FROM t ORDER BY id").fetchall()
        slow = read(db, "t")
        monkeypatch.setattr(SqliteDialect, "fast_above", 0)
        assert was_fast(db, "t")
        fast = read(db, "t")
        assert fast.schema == slow.schema
        assert fast.equals(slow)
        assert fast["v"].to_pylist() == [tag(v) for v, _ in wanted]
        assert fast["w"].to_pylist() == [tag(w) for _, w in wanted]


def test_more_columns_than_a_query_may_have_go_the_slow_way(sqlite_url, always_fast):
    names = [f"c{n}" for n in range(500)]
    with run(sqlite_url(), f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(names)})") as db:
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
    with run(sqlite_url(), script) as db, pytest.raises(ValueLossError, match=r"^t\.s: .*UTF-8") as caught:
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
    with run(sqlite_url(), "CREATE TABLE t (id INTEGER PRIMARY KEY, s TEXT)") as db:
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


# --- PostgreSQL -----------------------------------------------------------------------------------------------------

POSTGRESQL = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN email AS varchar(50);
CREATE TABLE t (id int PRIMARY KEY, i2 smallint, i4 int, i8 bigint, f4 real, f8 double precision, n numeric, n2 numeric(38,10), b boolean, s text, bc char(5), by bytea, d date, ti time, ts timestamp, tz timestamptz, u uuid, j json, jb jsonb, m mood, e email, arr int[], iv interval, ttz timetz, ip inet, r int4range, tv tsvector, mo money, bi bit(4), xm xml);
INSERT INTO t VALUES (1, -32768, 2147483647, -9223372036854775808, 0.1, '-0', '1e400', 1.5, true, '', 'ab', '\\x00ff', '0001-01-01', '23:59:59.999999', '9999-12-31 23:59:59.999999', '0001-01-01 00:00:00+00', 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{"a" : 1.0, "a":2}', '{"b":1.0}', 'ok', 'x@y', '{{1,2},{3,NULL}}', '1 mon 2 days 03:00:00', '10:00+14', '::1', '[1,3)', 'a b', '-1234.5', B'1010', '<a/>');
INSERT INTO t VALUES (2, NULL, NULL, 9223372036854775807, 'nan', '-inf', 'nan', 0.10, false, 'é', '', '', '9999-12-31', '00:00', '0001-01-01', '9999-12-31 23:59:59.999999+00', NULL, NULL, NULL, NULL, NULL, '{}', '-1 day', NULL, NULL, 'empty', '', '0', B'0000', NULL);
INSERT INTO t (id, f4, f8) VALUES (3, 1e-45, 5e-324);
CREATE TABLE odd (id int PRIMARY KEY, d date, ti time, ts timestamp, tz timestamptz);
INSERT INTO odd VALUES (1, 'infinity', '24:00', '-infinity', '0044-03-15 00:00:00+00 BC'), (2, '2024-01-01', '01:00', '2024-01-01', '2024-01-01 00:00:00+00')
"""  # noqa: E501


def postgresql_torture(url: str) -> Database:
    script = POSTGRESQL.replace("\\\\", "\\")
    return run(url, script if knows_xml(url) else script.replace("'<a/>'", "NULL"))


@pytest.fixture(params=["fast", "slow"])
def postgresql(request: pytest.FixtureRequest, postgresql_url) -> Database:
    with postgresql_torture(postgresql_url()) as db:
        db.dialect.fast = request.param == "fast"
        yield db


def test_postgresql_values_are_exact_by_both_ways(postgresql):
    table = read(postgresql, "t")
    first, second, third = table.to_pylist()
    assert (first["i2"], first["i4"], first["i8"], second["i8"]) == (-32768, 2**31 - 1, -(2**63), 2**63 - 1)
    assert struct.pack("<f", first["f4"]) == struct.pack("<f", 0.1)
    assert bits([first["f8"], second["f8"], third["f8"]]) == bits([-0.0, -math.inf, 5e-324])
    assert math.isnan(second["f4"])
    assert third["f4"] == struct.unpack("<f", b"\x01\0\0\0")[0]
    assert (first["n"], second["n"], first["n2"], second["n2"]) == (
        "1" + "0" * 400,
        "NaN",
        "1.5000000000",
        "0.1000000000",
    )
    assert (first["s"], second["s"], third["s"], first["bc"], second["bc"]) == ("", "é", None, "ab   ", "     ")
    assert (first["by"], second["by"], third["by"]) == (b"\0\xff", b"", None)
    assert [str(first[name]) for name in ("d", "ti", "ts", "tz")] == [
        "0001-01-01", "23:59:59.999999", "9999-12-31 23:59:59.999999", "0001-01-01 00:00:00+00:00",
    ]  # fmt: skip
    assert str(second["tz"]) == "9999-12-31 23:59:59.999999+00:00"
    assert first["u"] == "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    assert (first["j"], first["jb"]) == ('{"a" : 1.0, "a":2}', '{"b": 1.0}')
    assert (first["m"], first["e"], first["arr"]) == ("ok", "x@y", "{{1,2},{3,NULL}}")
    assert (first["iv"], first["ttz"], first["r"]) == ("1 mon 2 days 03:00:00", "10:00:00+14", "[1,3)")
    assert (first["tv"], first["mo"], first["bi"]) == ("'a' 'b'", "-$1,234.50", "1010")
    assert first["xm"] == ("<a/>" if knows_xml(postgresql.engine.url.render_as_string(hide_password=False)) else None)


def test_postgresql_dates_that_arrow_cannot_hold_become_its_own_text(postgresql):
    first, second = read(postgresql, "odd").to_pylist()
    assert first == {"id": 1, "d": "infinity", "ti": "24:00:00", "ts": "-infinity", "tz": "0044-03-15 00:00:00+00 BC"}
    assert (second["d"], second["ts"]) == ("2024-01-01", "2024-01-01 00:00:00")


def test_postgresql_fast_way_is_taken_and_equal_to_the_slow_way(postgresql_url):
    with postgresql_torture(postgresql_url()) as db:
        fast = read(db, "t")
        assert was_fast(db, "t")
        db.dialect.fast = False
        assert not was_fast(db, "t")
        slow = read(db, "t")
        assert fast.schema == slow.schema
        assert str(fast.to_pylist()) == str(slow.to_pylist())


def test_postgresql_inheritance_and_partitions_give_each_row_once(postgresql_url):
    script = """
CREATE TABLE base (id int PRIMARY KEY);
CREATE TABLE derived (y text) INHERITS (base);
INSERT INTO base VALUES (1);
INSERT INTO derived VALUES (2, 'y');
CREATE TABLE part (id int, d int) PARTITION BY LIST (d);
CREATE TABLE part_1 PARTITION OF part FOR VALUES IN (1);
CREATE TABLE part_2 PARTITION OF part FOR VALUES IN (2);
INSERT INTO part VALUES (1, 1), (1, 2), (1, 1)"""
    with run(postgresql_url(), script) as db:
        assert [read(db, name)["id"].to_pylist() for name in ("base", "derived", "part")] == [[1], [2], [1, 1, 1]]
        assert [db.count(name) for name in ("base", "derived", "part")] == [1, 1, 3]
        row_id = db.dialect.keyless_row_id(db.schema.table("part"))
        with db.dialect.snapshot() as conn:
            found = db.dialect.execute(conn, f"SELECT count(DISTINCT {row_id}) FROM part t").scalar_one()
        assert found == 3


def test_postgresql_snapshot_holds_for_both_connections(postgresql):
    with postgresql.dialect.snapshot() as conn:
        with postgresql.engine.begin() as other:
            other.exec_driver_sql("DELETE FROM t")
        assert sum(batch.num_rows for batch in postgresql.dialect.read(conn, postgresql.schema.table("t"))) == 3


def test_postgresql_says_when_row_security_would_hide_rows(postgresql_url):
    url = postgresql_url()
    script = """
CREATE TABLE t (id int PRIMARY KEY);
INSERT INTO t VALUES (1), (2);
ALTER TABLE t ENABLE ROW LEVEL SECURITY;
ALTER TABLE t FORCE ROW LEVEL SECURITY;
CREATE POLICY p ON t USING (id = 1);
GRANT ALL ON t TO pg_read_all_data;
CREATE TABLE seen AS SELECT count(*) FROM t"""
    with run(url, script) as db:
        engine = sa.create_engine(url, connect_args={"options": "-c role=pg_read_all_data"})
        for fast in (True, False):
            other = Database(engine)
            other.dialect.fast = fast
            with pytest.raises(DatabaseError, match="row-level security"):
                read(other, "t")
        engine.dispose()
        assert db.schema.table("t").key == ("id",)


# --- MariaDB --------------------------------------------------------------------------------------------------------

MARIADB = r"""
CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, i8 BIGINT, t8 TINYINT UNSIGNED, f FLOAT, d DOUBLE, n DECIMAL(38,10), c CHAR(5), vc VARCHAR(10), l1 VARCHAR(5) CHARACTER SET latin1, bi BINARY(3), bl LONGBLOB, da DATE, ti TIME(6), dt DATETIME(6), ts TIMESTAMP(6) NULL, y YEAR, e ENUM('a','b'), s SET('x','y'), j JSON, b BIT(64), u UUID, ip INET6, g INT AS (y * 2) STORED);
SET time_zone = '+05:00';
INSERT INTO t (id, i8, t8, f, d, n, c, vc, l1, bi, bl, da, ti, dt, ts, y, e, s, j, b, u, ip) VALUES (18446744073709551615, -9223372036854775808, 255, 0.1, 1.7976931348623157e308, '12345678901234567890.0123456789', 'a', 'b ', 'é', x'01', '', '0001-01-01', '-838:59:59.5', '9999-12-31 23:59:59.999999', '2020-01-01 05:00:00.000001', 2155, 'b', 'x,y', '{"b": 1.0,  "a":2}', 0xffffffffffffffff, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1');
INSERT INTO t (id, vc) VALUES (1, '😀');
SET time_zone = DEFAULT
"""  # noqa: E501


def test_mariadb_values_are_exact(mariadb_url):
    with run(mariadb_url(), MARIADB) as db:
        second, first = read(db, "t").to_pylist()
        assert (second["vc"], second["bl"]) == ("😀", None)
        assert {name: value for name, value in first.items() if name not in ("dt", "ts", "da", "f")} == {
            "id": 2**64 - 1, "i8": -(2**63), "t8": 255, "d": 1.7976931348623157e308,
            "n": "12345678901234567890.0123456789", "c": "a", "vc": "b ", "l1": "é", "bi": b"\1\0\0", "bl": b"",
            "ti": "-838:59:59.500000", "y": 2155, "e": "b", "s": "x,y", "j": '{"b": 1.0,  "a":2}', "b": 2**64 - 1,
            "u": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "ip": "::1", "g": 4310,
        }  # fmt: skip
        assert struct.pack("<f", first["f"]) == struct.pack("<f", 0.1)
        assert [str(first[name]) for name in ("da", "dt", "ts")] == [
            "0001-01-01", "9999-12-31 23:59:59.999999", "2020-01-01 00:00:00.000001+00:00",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("declared", "value"),
    [("DATETIME", "'0000-00-00 00:00:00'"), ("DATE", "'2024-00-00'"), ("GEOMETRY", "POINT(1, 2)")],
)
def test_mariadb_refuses_what_it_cannot_carry_by_name(mariadb_url, declared, value):
    script = (
        f"SET sql_mode = '';\nCREATE TABLE t (id INT PRIMARY KEY, v {declared});\nINSERT INTO t VALUES (1, {value})"
    )
    with run(mariadb_url(), script) as db, pytest.raises(ValueLossError, match=r"^t\.v: ") as caught:
        read(db, "t")
    assert "0000" not in str(caught.value)


def test_mariadb_refuses_tables_outside_its_snapshot(mariadb_url):
    script = "CREATE TABLE kept (id INT PRIMARY KEY);\nCREATE TABLE loose (id INT PRIMARY KEY) ENGINE=MyISAM"
    with run(mariadb_url(), script) as db:
        assert read(db, "kept").num_rows == 0
        with pytest.raises(DatabaseError, match="MyISAM") as caught:
            read(db, "loose")
        assert caught.value.where == "loose"


def test_mariadb_snapshot_does_not_see_what_others_write(mariadb_url):
    with run(mariadb_url(), "CREATE TABLE t (id INT PRIMARY KEY);\nINSERT INTO t VALUES (1), (2)") as db:
        table = db.schema.table("t")
        with db.dialect.snapshot() as conn:
            with db.engine.begin() as other:
                other.exec_driver_sql("DELETE FROM t")
            db.dialect.execute(conn, "CREATE TEMPORARY TABLE chosen (id INT PRIMARY KEY)")
            db.dialect.execute(conn, "INSERT INTO chosen VALUES (2)")
            (batch,) = db.dialect.read(conn, table, RowSource("JOIN chosen c ON c.id = t.id", whole=False))
            assert batch["id"].to_pylist() == [2]
            assert sum(batch.num_rows for batch in db.dialect.read(conn, table)) == 2


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
