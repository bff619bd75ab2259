"""TPC-H, with its composite foreign key, carried through SQLite and PostgreSQL and compared row by row."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import tests.benchmarks.data as data
from tests.benchmarks.measure import Line, measure
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.reading import driver_dsn, sqlite_path
from tests.support.servers import Databases, postgresql_server

SCHEMA = """
CREATE TABLE region (r_regionkey INTEGER PRIMARY KEY, r_name VARCHAR(25) NOT NULL, r_comment VARCHAR(152));
CREATE TABLE nation (n_nationkey INTEGER PRIMARY KEY, n_name VARCHAR(25) NOT NULL,
    n_regionkey INTEGER NOT NULL REFERENCES region (r_regionkey), n_comment VARCHAR(152));
CREATE TABLE supplier (s_suppkey INTEGER PRIMARY KEY, s_name VARCHAR(25) NOT NULL, s_address VARCHAR(40) NOT NULL,
    s_nationkey INTEGER NOT NULL REFERENCES nation (n_nationkey), s_phone VARCHAR(15), s_acctbal DECIMAL(15,2),
    s_comment VARCHAR(101));
CREATE TABLE customer (c_custkey INTEGER PRIMARY KEY, c_name VARCHAR(25) NOT NULL, c_address VARCHAR(40) NOT NULL,
    c_nationkey INTEGER NOT NULL REFERENCES nation (n_nationkey), c_phone VARCHAR(15), c_acctbal DECIMAL(15,2),
    c_mktsegment VARCHAR(10), c_comment VARCHAR(117));
CREATE TABLE part (p_partkey INTEGER PRIMARY KEY, p_name VARCHAR(55), p_mfgr VARCHAR(25), p_brand VARCHAR(10),
    p_type VARCHAR(25), p_size INTEGER, p_container VARCHAR(10), p_retailprice DECIMAL(15,2), p_comment VARCHAR(23));
CREATE TABLE partsupp (ps_partkey INTEGER NOT NULL REFERENCES part (p_partkey),
    ps_suppkey INTEGER NOT NULL REFERENCES supplier (s_suppkey), ps_availqty INTEGER, ps_supplycost DECIMAL(15,2),
    ps_comment VARCHAR(199), PRIMARY KEY (ps_partkey, ps_suppkey));
CREATE TABLE orders (o_orderkey INTEGER PRIMARY KEY, o_custkey INTEGER NOT NULL REFERENCES customer (c_custkey),
    o_orderstatus VARCHAR(1), o_totalprice DECIMAL(15,2), o_orderdate DATE, o_orderpriority VARCHAR(15),
    o_clerk VARCHAR(15), o_shippriority INTEGER, o_comment VARCHAR(79));
CREATE TABLE lineitem (l_orderkey INTEGER NOT NULL REFERENCES orders (o_orderkey), l_partkey INTEGER NOT NULL,
    l_suppkey INTEGER NOT NULL, l_linenumber INTEGER NOT NULL, l_quantity DECIMAL(15,2), l_extendedprice DECIMAL(15,2),
    l_discount DECIMAL(15,2), l_tax DECIMAL(15,2), l_returnflag VARCHAR(1), l_linestatus VARCHAR(1), l_shipdate DATE,
    l_commitdate DATE, l_receiptdate DATE, l_shipinstruct VARCHAR(25), l_shipmode VARCHAR(10), l_comment VARCHAR(44),
    PRIMARY KEY (l_orderkey, l_linenumber),
    FOREIGN KEY (l_partkey, l_suppkey) REFERENCES partsupp (ps_partkey, ps_suppkey))
"""
TABLES = ("region", "nation", "supplier", "customer", "part", "partsupp", "orders", "lineitem")


def _rows(folder: Path, table: str) -> Iterator[list[str]]:
    with (folder / f"{table}.tbl").open(encoding="utf-8") as lines:
        for line in lines:
            yield line.rstrip("\n").removesuffix("|").split("|")


def _fill(url: str, folder: Path) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(sqlite_path(url))) as connection:
            connection.executescript(SCHEMA)
            for table in TABLES:
                width = len(connection.execute(f"SELECT * FROM {table}").description)
                marks = ", ".join("?" * width)
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", _rows(folder, table))
            connection.commit()
        return
    import psycopg

    with psycopg.connect(driver_dsn(url)) as connection:
        connection.execute(SCHEMA.encode())
        for table in TABLES:
            with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                for row in _rows(folder, table):
                    copy.write_row(row)


def tpch(scale: float = 0.1, runs: int = 1) -> list[Line]:
    """Carry TPC-H on SQLite and PostgreSQL; equality is checked, the times are for information."""
    folder, lines = data.tpch(scale), []
    with postgresql_server() as server:
        shelf = Databases(data.workspace(), lambda _: server)
        for dialect in ("sqlite", *(["postgresql"] if server.url else [])):
            source = shelf.create(dialect)
            _fill(source, folder)
            target = empty_copy(source, shelf)
            package = data.workspace() / "tpch.zip"
            out = measure("export", source, str(package), runs=runs)
            into = measure("load", str(package), target, runs=1)
            wanted, found = exact_digest(source), exact_digest(target)
            assert_equal(wanted, found)
            rows = sum(wanted.rows.values())
            for verb, measured in (("export", out), ("import", into)):
                note = f"{rows / measured.seconds:,.0f} rows/s, {measured.peak >> 20} MB"
                lines.append(Line(f"TPC-H {scale:g}, {dialect}: {verb}", measured.seconds, "s", note=note))
            lines.append(Line(f"TPC-H {scale:g}, {dialect}: rows lost of {rows:,}", 0, "", most=0.0))
            package.unlink()
        for path in data.workspace().glob("database_*.db*"):
            path.unlink()
        shelf.drop_all()
    return lines
