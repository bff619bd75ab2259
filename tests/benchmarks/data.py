"""The database that the benchmarks measure on: customers, orders and items, made by SQL, the same every time."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path

ROWS = 2_450_000  # 50,000 customers, 400,000 orders, 2,000,000 items
TABLES = ("customers", "orders", "items")
CREATE = {
    "customers": """CREATE TABLE customers (id {key}, name {text} NOT NULL, email {text} NOT NULL UNIQUE,
        country {text}, created {text})""",
    "orders": """CREATE TABLE orders (id {key}, customer_id {int} NOT NULL REFERENCES customers (id),
        placed {text} NOT NULL, status {text} NOT NULL, total {real} NOT NULL, note {text})""",
    "items": """CREATE TABLE items (id {key}, order_id {int} NOT NULL REFERENCES orders (id), sku {text} NOT NULL,
        quantity {int} NOT NULL, price {real} NOT NULL, discount {real}, comment {text})""",
}
INDEXES = (
    "CREATE INDEX ix_orders_customer ON orders (customer_id)",
    "CREATE INDEX ix_items_order ON items (order_id)",
    "CREATE INDEX ix_items_sku ON items (sku)",
)
TYPES = {
    "sqlite": {"key": "INTEGER PRIMARY KEY", "text": "TEXT", "int": "INTEGER", "real": "REAL"},
    "postgresql": {"key": "integer PRIMARY KEY", "text": "text", "int": "integer", "real": "double precision"},
    "mariadb": {"key": "INTEGER PRIMARY KEY", "text": "VARCHAR(120)", "int": "INTEGER", "real": "DOUBLE"},
}
# A cheap generator of numbers that look random: the same in every SQLite.
_FILL = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :customers)
INSERT INTO customers SELECT i, 'Name ' || i || ' ' || substr('lorem ipsum dolor sit amet', 1 + i % 20, 6),
    'u' || i || '@example.org', substr('DEFRUSJP', 1 + 2 * (i % 4), 2),
    date('2024-01-01', (i * 7919 % 366) || ' days') || ' 10:00:00' FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :orders)
INSERT INTO orders SELECT i, 1 + i * 48271 % :customers, datetime('2025-01-01', (i * 7919 % 525600) || ' minutes'),
    CASE i % 3 WHEN 0 THEN 'open' WHEN 1 THEN 'paid' ELSE 'sent' END, (i * 7907 % 100000) / 100.0,
    'adipiscing elit sed do eiusmod tempor ' || substr('consectetur amet sit dolor', 1 + i % 19, 1 + i % 17) || i
    FROM n;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :items)
INSERT INTO items SELECT i, 1 + i * 69621 % :orders, 'SKU-' || printf('%06d', i * 16807 % 20000), 1 + i % 9,
    (i * 7907 % 10000) / 100.0, CASE i % 3 WHEN 0 THEN NULL WHEN 1 THEN 0.1 ELSE 0.2 END,
    'ipsum dolor sit amet consectetur ' || substr('elit sed do eiusmod lorem', 1 + i % 19, 1 + i % 23) || i FROM n;
"""


def workspace() -> Path:
    """Return the folder where made databases are kept between runs."""
    folder = Path(os.environ.get("DATATRANSFER_BENCHMARKS", Path(tempfile.gettempdir()) / "datatransfer-benchmarks"))
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def schema(dialect: str) -> list[str]:
    """Return the statements that make the empty tables with keys and indexes."""
    types = TYPES[dialect]
    tables = [CREATE[name].format(**types) for name in TABLES]
    if dialect == "mariadb":  # which ignores REFERENCES inside a column, and makes foreign keys their indexes
        return [_outside(statement) for statement in tables] + [INDEXES[2]]
    return [*tables, *INDEXES]


def _outside(statement: str) -> str:
    found = re.search(r"(\w+) INTEGER NOT NULL REFERENCES (\w+) \(id\)", statement)
    if found is None:
        return statement
    plain = statement.replace(f" REFERENCES {found[2]} (id)", "")
    return f"{plain[:-1]}, FOREIGN KEY ({found[1]}) REFERENCES {found[2]} (id))"


def big_database(rows: int = ROWS) -> Path:
    """Return a SQLite file of about that many rows, made once."""
    path = workspace() / f"big-{rows}.db"
    if path.exists():
        return path
    made = path.with_suffix(".part")
    made.unlink(missing_ok=True)
    sizes = {"customers": max(1, rows * 50 // 2450), "orders": max(1, rows * 400 // 2450)}
    sizes["items"] = rows - sum(sizes.values())
    with closing(sqlite3.connect(made)) as connection:
        connection.execute("PRAGMA synchronous = off")
        connection.execute("PRAGMA cache_size = -200000")
        for statement in schema("sqlite")[:3]:
            connection.execute(statement)
        for statement in _FILL.strip().split(";\n"):
            names = {key: value for key, value in sizes.items() if f":{key}" in statement}
            connection.execute(statement.rstrip(";"), names)
        for statement in INDEXES:
            connection.execute(statement)
        connection.commit()
    made.rename(path)
    return path


def empty_sqlite(path: Path) -> str:
    """Make the empty tables in a new file and return its URL."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        for statement in schema("sqlite"):
            connection.execute(statement)
        connection.commit()
    return f"sqlite:///{path}"


def tpch(scale: float) -> Path:
    """Return a folder of TPC-H's tables as ``.tbl`` files, made once by tpchgen-cli."""
    folder = workspace() / f"tpch-{scale}"
    if not (folder / "done").exists():
        folder.mkdir(exist_ok=True)
        tool = Path(sys.executable).with_name("tpchgen-cli")
        subprocess.run([tool, "-s", str(scale), "--output-dir", folder], check=True, stdout=subprocess.DEVNULL)
        (folder / "done").touch()
    return folder
