"""MariaDB and MySQL: reflection by ``information_schema``, InnoDB snapshots, exact values."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from datatransfer.database.dialects import mariadb_reflection
from datatransfer.database.dialects.base import Dialect, Rows, RowSource
from datatransfer.database.dialects.columns import value_loss
from datatransfer.errors import DatabaseError
from datatransfer.schema.tables import Column, Schema, Table

if TYPE_CHECKING:
    import pyarrow as pa

#: Read as text and parsed by us: drivers turn zero dates into None and decimals into whatever they prefer.
AS_CHAR = frozenset({"date", "timestamp", "timestamptz", "decimal", "uuid", "json", "enum", "native"})
#: What the error value of an ENUM is read as, which else looks like an empty text; members have 255 characters at most.
_NO_MEMBER = "0" * 256


class MariadbDialect(Dialect):
    """Reads through one consistent InnoDB snapshot, in UTC and utf8mb4."""

    name = "mariadb"

    def __init__(self, engine: sa.Engine, schema: str | None = None) -> None:
        super().__init__(engine, schema)
        self._engines: dict[str, str] = {}

    def reflect(self, conn: sa.Connection) -> Schema:
        """Return the tables of one database, and those of others that they refer to."""
        found = mariadb_reflection.reflect(conn, self.schema)
        self._engines = found.other_engines
        return found.schema

    def estimated_rows(self, conn: sa.Connection, tables: Sequence[Table]) -> dict[str, int]:
        """Return what the optimizer counts with."""
        sql = "SELECT table_schema, table_name, table_rows FROM information_schema.tables WHERE table_rows IS NOT NULL"
        home = self.default_schema or self.execute(conn, "SELECT DATABASE()").scalar_one()
        return self._known_rows(self.execute(conn, sql), home, tables)

    def read_sql(self, column: Column) -> str:
        """Return the expression that reads a column exactly."""
        name = super().read_sql(column)
        kind = column.type.kind
        if kind == "float":
            return f"CAST({name} AS DOUBLE)"  # FLOAT itself is sent with six digits only
        if column.declared.startswith("bit"):
            return f"{name} + 0"
        if kind == "enum":
            return f"IF({name} + 0 = 0, '{_NO_MEMBER}', CAST({name} AS CHAR))"
        if kind in AS_CHAR and not mariadb_reflection.is_geometry(column.type):
            return f"CAST({name} AS CHAR)"
        return name

    def is_loose(self, child: Column, parent: Column) -> bool:
        """Return whether a collation makes different texts equal; those named ``bin`` ignore spaces at the end."""
        both = (child, parent)
        return all(c.type.kind == "text" for c in both) and not all("_nopad_bin" in c.collation for c in both)

    def exact_sql(self, value: str) -> str:
        """Return the bytes of a text, whatever its character set."""
        return f"CAST(CONVERT({value} USING utf8mb4) AS BINARY)"

    def _begin_snapshot(self, conn: sa.Connection) -> None:
        conn.execution_options(isolation_level="REPEATABLE READ")
        row: Any = self.execute(conn, "SELECT @@character_set_results, @@time_zone").one()
        charset, zone = row
        if charset != "utf8mb4":
            raise DatabaseError(
                f"the connection speaks {charset}, which does not hold every character",
                hint="add charset=utf8mb4 to the URL",
            )
        conn.info["datatransfer"] = zone
        self.execute(conn, "SET time_zone = '+00:00', net_write_timeout = 3600")
        self.execute(conn, "START TRANSACTION WITH CONSISTENT SNAPSHOT")

    def canceller(self, conn: sa.Connection) -> Callable[[], None]:
        number = int(self.execute(conn, "SELECT CONNECTION_ID()").scalar_one())

        def cancel() -> None:
            with suppress(SQLAlchemyError), self.engine.connect() as other:  # else the statement runs to its end
                other.exec_driver_sql(f"KILL QUERY {number}")

        return cancel

    def _put_back(self, conn: sa.Connection) -> None:
        conn.rollback()
        zone = None if conn.invalidated else conn.info.pop("datatransfer", None)
        if zone is not None:
            escaped = zone.replace("'", "''")
            self.execute(conn, f"SET time_zone = '{escaped}', net_write_timeout = DEFAULT")
            conn.rollback()

    def resolve_types(self, conn: sa.Connection, table: Table, source: RowSource) -> Table:
        """Return the table; its types are definite, but its storage must take part in snapshots."""
        self._check_storage(table)
        return table

    def read(
        self, conn: sa.Connection, table: Table, source: RowSource | None = None, *, batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """Read rows; see `Dialect.read`.

        Raises
        ------
        DatabaseError
            The table's storage engine knows no snapshots, so its rows could change while they are read.
        """
        self._check_storage(table)
        yield from super().read(conn, table, source, batch_rows=batch_rows)

    def _fetch(self, rows: Rows, size: int, table: Table) -> Sequence[Sequence[Any]]:
        fetched = super()._fetch(rows, size, table)
        for place, column in enumerate(table.columns):
            if column.type.kind == "enum" and any(row[place] == _NO_MEMBER for row in fetched):
                why = "an ENUM holds its error value (index 0), which looks like an empty text and is no member"
                raise value_loss(table.name, column.name, column.type, why, key=table.key)
        return fetched

    def _check_storage(self, table: Table) -> None:
        storage = self._engines.get(table.name)
        if storage is None:
            return
        others = ", ".join(sorted(self._engines))
        raise DatabaseError(
            f"the storage engine {storage} takes no part in a consistent snapshot",
            where=table.name,
            hint=f"convert to InnoDB or leave out: {others}",
        )
