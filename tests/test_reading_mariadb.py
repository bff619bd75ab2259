"""Rows come out of MariaDB exactly, or a typed error says which column cannot be carried."""

from __future__ import annotations

import struct

import pytest

from datatransfer.cli import main
from datatransfer.database.dialects import RowSource
from datatransfer.errors import DatabaseError, ValueLossError
from tests.support.batches import read
from tests.support.scripts import opened_with

MARIADB = r"""
CREATE TABLE t (id BIGINT UNSIGNED PRIMARY KEY, i8 BIGINT, t8 TINYINT UNSIGNED, f FLOAT, d DOUBLE, n DECIMAL(38,10), c CHAR(5), vc VARCHAR(10), l1 VARCHAR(5) CHARACTER SET latin1, bi BINARY(3), bl LONGBLOB, da DATE, ti TIME(6), dt DATETIME(6), ts TIMESTAMP(6) NULL, y YEAR, e ENUM('a','b'), s SET('x','y'), j JSON, b BIT(64), u UUID, ip INET6, g INT AS (y * 2) STORED);
SET time_zone = '+05:00';
INSERT INTO t (id, i8, t8, f, d, n, c, vc, l1, bi, bl, da, ti, dt, ts, y, e, s, j, b, u, ip) VALUES (18446744073709551615, -9223372036854775808, 255, 0.1, 1.7976931348623157e308, '12345678901234567890.0123456789', 'a', 'b ', 'é', x'01', '', '0001-01-01', '-838:59:59.5', '9999-12-31 23:59:59.999999', '2020-01-01 05:00:00.000001', 2155, 'b', 'x,y', '{"b": 1.0,  "a":2}', 0xffffffffffffffff, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '::1');
INSERT INTO t (id, vc) VALUES (1, '😀');
SET time_zone = DEFAULT
"""  # noqa: E501


def test_mariadb_values_are_exact(mariadb_url):
    with opened_with(mariadb_url(), MARIADB) as db:
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
    with opened_with(mariadb_url(), script) as db, pytest.raises(ValueLossError, match=r"^t\.v: ") as caught:
        read(db, "t")
    assert "0000" not in str(caught.value)


def test_the_cure_for_a_column_that_cannot_be_carried_is_said_in_both_languages(mariadb_url, tmp_path, capsys):
    url = mariadb_url()
    script = "CREATE TABLE t (id INT PRIMARY KEY, g GEOMETRY);\nINSERT INTO t VALUES (1, POINT(1, 2))"
    with opened_with(url, script) as db, pytest.raises(ValueLossError) as caught:
        read(db, "t")
    assert 'leave_out("t.g")' in caught.value.hint
    package = str(tmp_path / "p.zip")
    assert main(["export", url, package, "--all"]) == 4
    assert "hint:  --leave-out t.g keeps the column out" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    assert main(["export", url, package, "--all", "--leave-out", "t.g"]) == 0


def test_a_key_that_cannot_be_carried_is_not_said_to_be_left_out(mariadb_url):
    script = "SET sql_mode = '';\nCREATE TABLE t (d DATE PRIMARY KEY);\nINSERT INTO t VALUES ('0000-00-00')"
    with opened_with(mariadb_url(), script) as db, pytest.raises(ValueLossError, match=r"^t\.d: ") as caught:
        read(db, "t")
    assert "leave_out" not in caught.value.hint
    assert "repair the value" in caught.value.hint


def test_mariadb_refuses_tables_outside_its_snapshot(mariadb_url):
    script = "CREATE TABLE kept (id INT PRIMARY KEY);\nCREATE TABLE loose (id INT PRIMARY KEY) ENGINE=MyISAM"
    with opened_with(mariadb_url(), script) as db:
        assert read(db, "kept").num_rows == 0
        with pytest.raises(DatabaseError, match="MyISAM") as caught:
            read(db, "loose")
        assert caught.value.where == "loose"


def test_mariadb_snapshot_does_not_see_what_others_write(mariadb_url):
    with opened_with(mariadb_url(), "CREATE TABLE t (id INT PRIMARY KEY);\nINSERT INTO t VALUES (1), (2)") as db:
        table = db.schema.table("t")
        with db.dialect.snapshot() as conn:
            with db.engine.begin() as other:
                other.exec_driver_sql("DELETE FROM t")
            db.dialect.execute(conn, "CREATE TEMPORARY TABLE chosen (id INT PRIMARY KEY)")
            db.dialect.execute(conn, "INSERT INTO chosen VALUES (2)")
            (batch,) = db.dialect.read(conn, table, RowSource("JOIN chosen c ON c.id = t.id", whole=False))
            assert batch["id"].to_pylist() == [2]
            assert sum(batch.num_rows for batch in db.dialect.read(conn, table)) == 2
