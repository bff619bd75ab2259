"""SQLite: values have storage classes, columns do not; rows come raw from the driver or from a quicker child process."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from datatransfer.database.dialects import sqlite_reflection
from datatransfer.database.dialects.base import Dialect, Rows, RowSource
from datatransfer.database.dialects.columns import value_loss
from datatransfer.database.dialects.failures import database_errors
from datatransfer.database.dialects.sqlite_classes import Rowset, storage_classes
from datatransfer.errors import DatabaseError
from datatransfer.schema.tables import Schema, Table
from datatransfer.schema.values import LogicalType

_UNDECODABLE = re.compile(r"Could not decode to UTF-8 column '(.*?)' with text '", re.DOTALL)


class SqliteDialect(Dialect):
    """Reflects by pragmas and reads storage classes exactly."""

    name = "sqlite"

    def __init__(self, engine: sa.Engine, schema: str | None = None) -> None:
        super().__init__(engine, schema)
        self.default_schema = schema or "main"

    def reflect(self, conn: sa.Connection) -> Schema:
        """Return the tables of the database file."""
        return sqlite_reflection.reflect(conn, self.default_schema or "main")

    # --- SQL ----------------------------------------------------------------------------------------------------

    def order_sql(self, table: Table) -> str:
        """Return the key, and the rowid after it: SQLite lets keys repeat where they hold NULL."""
        row_id = self.keyless_row_id(table)
        keys = [f"t.{self.quote(name)}" for name in table.key]
        if not keys and not row_id:
            keys = [f"t.{self.quote(name)}" for name in table.column_names]
        return ", ".join([*keys, row_id] if row_id else keys)

    def keyless_row_id(self, table: Table) -> str | None:
        """Return the rowid under a name that no column has taken, for tables whose key may hold NULL or is missing.

        A table WITHOUT ROWID always has a key of NOT NULL columns.
        """
        taken = {name.lower() for name in table.column_names}
        known = [table.by_name.get(name) for name in table.key]
        if table.key_kind == "primary" and not any(column is not None and column.nullable for column in known):
            return None
        free = next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)
        return f"t.{free}" if free else None

    # --- snapshot -----------------------------------------------------------------------------------------------

    def _begin_snapshot(self, conn: sa.Connection) -> None:
        """Begin a real read transaction.

        The driver begins one only before it writes, and SQLite takes its snapshot at the first read.
        """
        raw = _driver(conn)
        if raw.in_transaction:
            raise DatabaseError(
                "a transaction is open on the only connection of an in-memory database",
                hint="commit it or roll it back first",
            )
        conn.info["datatransfer"] = (raw.isolation_level, raw.text_factory, raw.row_factory)
        raw.isolation_level, raw.text_factory, raw.row_factory = None, str, None
        raw.execute("BEGIN")
        raw.execute(f"SELECT count(*) FROM {self.quote(self.default_schema or 'main')}.sqlite_schema").fetchall()

    def _end_snapshot(self, conn: sa.Connection) -> None:
        raw = _driver(conn)
        with database_errors(self.engine, "closing a snapshot"):
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            settings = conn.info.pop("datatransfer", None)
            if settings is not None:
                raw.isolation_level, raw.text_factory, raw.row_factory = settings
            conn.close()

    # --- reading ------------------------------------------------------------------------------------------------

    def resolve_types(self, conn: sa.Connection, table: Table, source: RowSource) -> Table:
        """Look at the storage classes of the rows, and give each ``any`` column the one it has, if it has one.

        A column that holds only NULLs takes the type of its declared affinity. One that holds several classes stays
        ``any``.
        """
        open_columns = [column for column in table.columns if column.type.kind == "any"]
        if not open_columns:
            return table

        rows = Rowset(f"{self.from_sql(table)} t {source.join}".strip(), source.where, self.order_sql(table))
        with database_errors(self.engine, "looking at storage classes", where=table.name):
            raw = _driver(conn)
            found = storage_classes(lambda sql: raw.execute(sql).fetchall(), open_columns, rows, self.quote)
        return table.with_types(found.types)

    def _open(self, conn: sa.Connection, sql: str) -> Rows:
        # The driver's own cursor: SQLAlchemy's result would cost a third more time and give the same values.
        cursor: Rows = _driver(conn).execute(sql)
        return cursor

    def _fetch(self, rows: Rows, size: int, table: Table) -> Sequence[Sequence[Any]]:
        with database_errors(self.engine, "reading rows", where=table.name):
            try:
                return rows.fetchmany(size)
            except sqlite3.OperationalError as error:
                broken = _UNDECODABLE.match(str(error))
                if broken is None:
                    raise
                # The driver's message ends with the text itself, so it is not passed on.
                why = "a text is not valid UTF-8"
                raise value_loss(table.name, broken.group(1), LogicalType("text"), why) from None


def _driver(conn: sa.Connection) -> sqlite3.Connection:
    raw = conn.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw
