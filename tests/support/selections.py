"""A shop to select from, and which rows a builder selects."""

from __future__ import annotations

from typing import Any

import datatransfer as dt
from datatransfer.exporting.closure import closed

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(40), referred_by INTEGER,
                        FOREIGN KEY (referred_by) REFERENCES customers (id));
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL,
                     placed VARCHAR(10) NOT NULL, coupon_id INTEGER,
                     FOREIGN KEY (customer_id) REFERENCES customers (id));
CREATE TABLE products (code VARCHAR(20) PRIMARY KEY, category_id INTEGER NOT NULL);
CREATE TABLE categories (id INTEGER PRIMARY KEY, name VARCHAR(40));
CREATE TABLE items (order_id INTEGER NOT NULL, line INTEGER NOT NULL, product VARCHAR(20) NOT NULL,
                    PRIMARY KEY (order_id, line),
                    FOREIGN KEY (order_id) REFERENCES orders (id), FOREIGN KEY (product) REFERENCES products (code));
CREATE TABLE returns (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, line INTEGER NOT NULL,
                      FOREIGN KEY (order_id, line) REFERENCES items (order_id, line));
CREATE TABLE notes (order_id INTEGER, body VARCHAR(40), FOREIGN KEY (order_id) REFERENCES orders (id));
INSERT INTO customers VALUES (1, 'Ann', NULL), (2, 'Bob', 1), (3, 'Cy', 2), (4, 'Di', NULL);
INSERT INTO categories VALUES (1, 'tools'), (2, 'toys'), (3, 'unused');
INSERT INTO products VALUES ('hammer', 1), ('saw', 1), ('doll', 2), ('x', 2);
INSERT INTO orders VALUES (10, 1, '2026-01-01', NULL), (11, 2, '2026-01-02', NULL),
    (12, 2, '2026-02-01', NULL), (13, 4, '2026-02-02', NULL);
INSERT INTO items VALUES (10, 1, 'hammer'), (11, 1, 'saw'), (11, 2, 'doll'), (12, 1, 'doll'), (13, 1, 'hammer');
INSERT INTO returns VALUES (100, 11, 2), (101, 13, 1);
INSERT INTO notes VALUES (11, 'same'), (11, 'same'), (13, 'other'), (NULL, 'lost');
"""


def keys_of(builder: dt.PackageBuilder) -> dict[str, list[Any]]:
    """Return the selected rows by table: the first two columns of each row, sorted."""
    with closed(builder.db, builder._plan()) as closure:
        found = {}
        for name in closure.counts():
            table, tail = closure.table(name), closure.source(name).tail()
            names = ", ".join(f"t.{builder.db.dialect.quote(c)}" for c in (table.key or table.column_names))
            rows = closure.sql.rows(f"SELECT {names} FROM {builder.db.dialect.from_sql(table)} t{tail}")
            found[name] = sorted(row[0] if len(row) == 1 else row for row in rows)
        return found
