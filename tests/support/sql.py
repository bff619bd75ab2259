"""SQL as an application runs it, on any dialect and without the library."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool


@contextmanager
def connected(url: str) -> Iterator[sa.Connection]:
    """Yield a connection, and commit what was done by it."""
    engine = sa.create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def run(url: str, *statements: str) -> None:
    """Run statements in one transaction; empty ones are passed over."""
    with connected(url) as connection:
        for statement in filter(str.strip, statements):
            connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


def asked(url: str, sql: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query."""
    with connected(url) as connection:
        return [tuple(row) for row in connection.exec_driver_sql(sql)]
