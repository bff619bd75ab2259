"""The database that the benchmarks measure on: customers, orders and items, drawn from a seed, the same every time.

Texts have the letter frequencies of prose, numbers are drawn evenly, so that rows neither pack better nor worse than
those of a real shop: 2.45 million take about 300 MB in SQLite and 130 MB as Parquet.
"""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

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
SEED = 20_260_101
_WRITTEN_AT_ONCE = 100_000
# How often each of these occurs in English prose, in percent: text that packs as well as what people write.
_LETTERS = " etaoinshrdlcumwfgypbvkjxqz"
_OFTEN = (18.0, 10.3, 7.5, 6.5, 6.2, 5.7, 5.7, 5.3, 5.0, 4.9, 3.5, 3.3, 2.3, 2.3, 2.0, 1.9, 1.8, 1.6, 1.6, 1.5, 1.3,
          0.8, 0.6, 0.12, 0.12, 0.1, 0.06)  # fmt: skip


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
    path = workspace() / f"big-{SEED}-{rows}.db"
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
        for table, filling in _FILL.items():
            for start in range(0, sizes[table], _WRITTEN_AT_ONCE):
                count = min(_WRITTEN_AT_ONCE, sizes[table] - start)
                columns = filling(np.random.default_rng([SEED, len(table), start]), start, count, sizes)
                marks = ", ".join("?" * len(columns))
                connection.executemany(f"INSERT INTO {table} VALUES ({marks})", zip(*columns, strict=True))
        for statement in INDEXES:
            connection.execute(statement)
        connection.commit()
    made.rename(path)
    return path


def _texts(rng: np.random.Generator, count: int, least: int, most: int) -> list[str]:
    weights = np.array(_OFTEN) / sum(_OFTEN)
    letters = np.frombuffer(_LETTERS.encode(), dtype=np.uint8)
    ends = np.cumsum(rng.integers(least, most, count))
    drawn = letters[rng.choice(len(letters), int(ends[-1]), p=weights)].tobytes().decode()
    return [drawn[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _picked(rng: np.random.Generator, count: int, values: Sequence[Any]) -> list[Any]:
    return [values[place] for place in rng.integers(0, len(values), count)]


def _moments(rng: np.random.Generator, count: int) -> list[str]:
    return (np.datetime64("2025-01-01T00:00:00") + rng.integers(0, 31_536_000, count)).astype(str).tolist()


def _customers(rng: np.random.Generator, start: int, count: int, sizes: Mapping[str, int]) -> list[Sequence[Any]]:
    ids = range(start + 1, start + count + 1)
    emails = [f"u{number}@example.org" for number in ids]
    return [ids, _texts(rng, count, 8, 24), emails, _picked(rng, count, ("DE", "FR", "US", "JP")), _moments(rng, count)]


def _orders(rng: np.random.Generator, start: int, count: int, sizes: Mapping[str, int]) -> list[Sequence[Any]]:
    totals = (rng.integers(0, 1_000_000, count) / 100).tolist()
    customers = rng.integers(1, sizes["customers"] + 1, count).tolist()
    states = _picked(rng, count, ("open", "paid", "sent"))
    return [range(start + 1, start + count + 1), customers, _moments(rng, count), states, totals,
            _texts(rng, count, 30, 90)]  # fmt: skip


def _items(rng: np.random.Generator, start: int, count: int, sizes: Mapping[str, int]) -> list[Sequence[Any]]:
    skus = [f"SKU-{number:06d}" for number in rng.integers(0, 20_000, count)]
    prices = (rng.integers(0, 100_000, count) / 100).tolist()
    orders = rng.integers(1, sizes["orders"] + 1, count).tolist()
    return [range(start + 1, start + count + 1), orders, skus, rng.integers(1, 10, count).tolist(), prices,
            _picked(rng, count, (None, 0.1, 0.2)), _texts(rng, count, 30, 65)]  # fmt: skip


_FILL = {"customers": _customers, "orders": _orders, "items": _items}


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
