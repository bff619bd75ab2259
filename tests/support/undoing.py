"""A shop, and what an import and its undo made of it."""

from __future__ import annotations

import sqlalchemy as sa

from tests.support.digest import DatabaseDigest
from tests.support.servers import Databases
from tests.support.sql import connected, run

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, email VARCHAR(50) UNIQUE, name VARCHAR(50), balance NUMERIC(10,2),
    score DOUBLE PRECISION);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, parent_id INTEGER, note VARCHAR(50),
    FOREIGN KEY (customer_id) REFERENCES customers (id), FOREIGN KEY (parent_id) REFERENCES orders (id));
CREATE TABLE items (order_id INTEGER NOT NULL, sku VARCHAR(20) NOT NULL, amount INTEGER, PRIMARY KEY (order_id, sku),
    FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE);
CREATE TABLE notes (item_order INTEGER, item_sku VARCHAR(20), body VARCHAR(50),
    FOREIGN KEY (item_order, item_sku) REFERENCES items (order_id, sku))
"""


def shop(databases: Databases, dialect: str, name: str, *, first: int = 1, count: int = 10) -> str:
    """Make a shop with integer keys from ``first`` on; every second note is there twice."""
    url = databases.create(dialect)
    run(url, *SHOP.split(";"))
    with connected(url) as connection:
        for k in range(first, first + count):
            run_with(
                connection, "INSERT INTO customers VALUES (?, ?, ?, ?, ?)", k, f"{k}@example.org", name, "1.50", k / 3
            )
        for k in range(first, first + count):
            above = k - 1 if k > first and k % 3 else None
            run_with(connection, "INSERT INTO orders VALUES (?, ?, ?, ?)", k, k, above, f"{name} {k}")
            run_with(connection, "INSERT INTO items VALUES (?, ?, ?)", k, "a", k)
            for _ in range(1 + k % 2):
                run_with(connection, "INSERT INTO notes VALUES (?, ?, ?)", k, "a", "the same")
    return url


def run_with(connection: sa.Connection, statement: str, *values: object) -> None:
    """Run a statement with values for its question marks."""
    for number in range(len(values)):
        statement = statement.replace("?", f":v{number}", 1)
    connection.execute(sa.text(statement), {f"v{n}": value for n, value in enumerate(values)})


def application(digest: DatabaseDigest) -> DatabaseDigest:
    """Leave our own tables out."""
    return digest.without([name for name in digest.tables if name.startswith("datatransfer_")])
