"""What differs from database to database, in one visible place.

A dialect that is not in `DIALECTS` is served by `Dialect` itself, which needs nothing but SQLAlchemy.
"""

from __future__ import annotations

import sqlalchemy as sa

from datatransfer.database.dialects.base import Dialect, RowSource
from datatransfer.database.dialects.mariadb import MariadbDialect
from datatransfer.database.dialects.postgresql import PostgresqlDialect
from datatransfer.database.dialects.sqlite import SqliteDialect

#: SQLAlchemy's name of a dialect, and who serves it.
DIALECTS: dict[str, type[Dialect]] = {
    "sqlite": SqliteDialect,
    "postgresql": PostgresqlDialect,
    "mariadb": MariadbDialect,
    "mysql": MariadbDialect,
}


def dialect_for(engine: sa.Engine, schema: str | None = None) -> Dialect:
    """Return the dialect that serves an engine."""
    return DIALECTS.get(engine.dialect.name, Dialect)(engine, schema)


__all__ = ["DIALECTS", "Dialect", "RowSource", "dialect_for"]
