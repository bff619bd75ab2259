"""A small shop, customers and their orders, made without the library; and bare sessions of a driver."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

from tests.support.reading import driver_dsn, mariadb_connection
from tests.support.servers import Databases

SHOP = sa.MetaData()
INNODB: dict[str, Any] = {"mysql_engine": "InnoDB"}
customers = sa.Table(
    "customers", SHOP, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(50), unique=True),
    sa.Column("city", sa.String(50)), **INNODB,
)  # fmt: skip
orders = sa.Table(
    "orders", SHOP, sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("customer_id", sa.ForeignKey(customers.c.id), nullable=False), sa.Column("note", sa.String(50)),
    **INNODB,
)  # fmt: skip


def make_shop(url: str, prefix: str, rows: int) -> None:
    """Make the tables and as many customers, whose names begin with a prefix, with an order each."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    SHOP.create_all(engine)
    with engine.begin() as connection:
        connection.execute(customers.insert(), [{"name": f"{prefix}{n}", "city": "here"} for n in range(rows)])
        connection.execute(orders.insert(), [{"customer_id": n + 1, "note": f"{prefix}{n}"} for n in range(rows)])


def two_shops(databases: Databases, dialect: str = "sqlite", *, rows: int = 3, own: int = 5) -> tuple[str, str]:
    """Make a shop to export from, on SQLite, and on a dialect one with rows of its own; return both addresses."""
    source, target = databases.create("sqlite"), databases.create(dialect)
    make_shop(source, "s", rows)
    make_shop(target, "own", own)
    return source, target


@contextmanager
def session(url: str, *, seconds: int = 1) -> Iterator[Any]:
    """Yield a cursor of the bare driver, in autocommit mode, that waits so long for a lock; a minute on SQLite."""
    backend = make_url(url).get_backend_name()
    if backend == "sqlite":
        with closing(sqlite3.connect(str(make_url(url).database), timeout=60, isolation_level=None)) as connection:
            with closing(connection.cursor()) as cursor:  # one whose statement has not ended would keep its lock
                yield cursor
    elif backend == "postgresql":
        import psycopg

        with psycopg.connect(driver_dsn(url), autocommit=True) as connection:
            connection.execute(f"SET lock_timeout = '{seconds}s'")
            yield connection.cursor()
    else:
        with mariadb_connection(url) as connection:
            connection.autocommit(True)
            cursor = connection.cursor()
            cursor.execute(f"SET innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}")
            yield cursor
