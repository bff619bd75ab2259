"""Rows come out of PostgreSQL exactly, or a typed error says which column cannot be carried."""

from __future__ import annotations

import math
import struct

import pytest
import sqlalchemy as sa

from datatransfer.database.connection import Database
from datatransfer.errors import DatabaseError
from tests.support.batches import bits, read, was_fast
from tests.support.scripts import opened_with
from tests.support.servers import knows_xml

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
    return opened_with(url, script if knows_xml(url) else script.replace("'<a/>'", "NULL"))


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
    with opened_with(postgresql_url(), script) as db:
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
    with opened_with(url, script) as db:
        engine = sa.create_engine(url, connect_args={"options": "-c role=pg_read_all_data"})
        for fast in (True, False):
            other = Database(engine)
            other.dialect.fast = fast
            with pytest.raises(DatabaseError, match="row-level security"):
                read(other, "t")
        engine.dispose()
        assert db.schema.table("t").key == ("id",)
