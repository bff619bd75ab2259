"""SQLite: values have storage classes, columns do not; rows come raw from the driver or from a quicker child."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datatransfer.database.dialects import sqlite_reflection
from datatransfer.database.dialects.base import Dialect, Rows, RowSource
from datatransfer.database.dialects.columns import value_loss
from datatransfer.database.dialects.failures import database_errors
from datatransfer.database.dialects.sqlite_classes import Rowset, storage_classes
from datatransfer.database.dialects.sqlite_fast import BATCH_ROWS, ChildFailed, FastSnapshot, file_of
from datatransfer.errors import DatabaseError
from datatransfer.schema.tables import Schema, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

_UNDECODABLE = re.compile(r"Could not decode to UTF-8 column '(.*?)' with text '", re.DOTALL)


class SqliteDialect(Dialect):
    """Reflects by pragmas and reads storage classes exactly."""

    name = "sqlite"
    estimate_word = "up to"
    #: Size in bytes of a file from which on a child process reads whole tables; below, its start would cost more.
    fast_above = 16 * 1024 * 1024

    def __init__(self, engine: sa.Engine, schema: str | None = None) -> None:
        super().__init__(engine, schema)
        self.default_schema = schema or "main"
        self._reflected: Schema | None = None

    def reflect(self, conn: sa.Connection) -> Schema:
        """Return the tables of the database file."""
        self._reflected = sqlite_reflection.reflect(conn, self.default_schema or "main")
        return self._reflected

    # --- SQL ----------------------------------------------------------------------------------------------------

    def quote(self, identifier: str) -> str:
        """Return an identifier quoted; an empty one is a name in SQLite."""
        return super().quote(identifier) if identifier else '""'

    def estimated_rows(self, conn: sa.Connection, tables: Sequence[Table]) -> dict[str, int]:
        """Return how many rows fit between the first and the last rowid, which are found at once."""
        listed: Any = self.execute(conn, "SELECT schema, name FROM pragma_table_list WHERE wr = 1")
        without = {name for space, name in listed if space == self.default_schema}
        found = {}
        for table in tables:
            row_id = None if table.name in without else self._row_id(table)
            if row_id is not None:
                place = self.table_sql(table)
                ends = [f"coalesce((SELECT {end}({row_id}) FROM {place} t), 0)" for end in ("max", "min")]
                row: Any = self.execute(conn, f"SELECT {', '.join(ends)}").one()
                last, first = row
                found[table.name] = last - first + 1 if last or first else 0
        return found

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
        known = [table.by_name.get(name) for name in table.key]
        if table.key_kind == "primary" and not any(column is not None and column.nullable for column in known):
            return None
        return self._row_id(table)

    def _row_id(self, table: Table) -> str | None:
        """Return the rowid under a name that no column has taken, if there is one."""
        taken = {name.lower() for name in (*table.column_names, *table.hidden)}
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

        def begin() -> None:
            raw.execute("BEGIN")
            raw.execute(f"SELECT count(*) FROM {self.quote(self.default_schema or 'main')}.sqlite_schema").fetchall()

        fast = self._fast_snapshot(raw)
        if fast is None:
            begin()
        elif fast.begin(begin, raw.rollback):
            conn.info["datatransfer_fast"] = fast
        else:
            fast.close()

    def _fast_snapshot(self, raw: sqlite3.Connection) -> FastSnapshot | None:
        """Return the quick way for a plain file that is large enough for it to pay."""
        url = self.engine.url
        if self.engine.dialect.driver != "pysqlite" or url.query or self.default_schema != "main":
            return None
        path = file_of(raw)
        if path is None or path.stat().st_size < self.fast_above:
            return None
        try:
            return FastSnapshot(path, self.quote)
        except (ChildFailed, OSError):
            return None

    def canceller(self, conn: sa.Connection) -> Callable[[], None]:
        raw, fast = _driver(conn), conn.info.get("datatransfer_fast")

        def cancel() -> None:
            if fast is not None:
                fast.cancel()
            raw.interrupt()

        return cancel

    def _put_back(self, conn: sa.Connection) -> None:
        raw = _driver(conn)
        fast = conn.info.pop("datatransfer_fast", None)
        if fast is not None:
            fast.close()
        if raw.in_transaction:
            raw.execute("ROLLBACK")
        settings = conn.info.pop("datatransfer", None)
        if settings is not None:
            raw.isolation_level, raw.text_factory, raw.row_factory = settings

    # --- reading ------------------------------------------------------------------------------------------------

    def resolve_types(self, conn: sa.Connection, table: Table, source: RowSource) -> Table:
        """Look at the storage classes of the rows, and give each ``any`` column the one it has, if it has one.

        A column that holds only NULLs takes the type of its declared affinity. One that holds several classes stays
        ``any``.
        """
        open_columns = [column for column in table.columns if column.type.kind == "any"]
        if not open_columns:
            return table

        rows = self._rowset(table, source)
        fast: FastSnapshot | None = conn.info.get("datatransfer_fast")
        with database_errors(self.engine, "looking at storage classes", where=table.name):
            if fast is not None and self._is_whole(table, source):
                others = [(other, self._rowset(other, RowSource())) for other in self._parents_first()]
                return table.with_types(fast.classes(table, rows, others).types)
            raw = _driver(conn)
            found = storage_classes(lambda sql: raw.execute(sql).fetchall(), open_columns, rows, self.quote)
        return table.with_types(found.types)

    def _rowset(self, table: Table, source: RowSource) -> Rowset:
        return Rowset(f"{self.from_sql(table)} t {source.join}".strip(), source.where, self.order_sql(table))

    def _parents_first(self) -> list[Table]:
        """Return the tables roughly in the order in which an export asks for them."""
        assert self._reflected is not None
        left = dict(self._reflected.tables)
        found: list[Table] = []
        while left:
            ready = [t for t in left.values() if not any(fk.parent in left and not fk.is_self for fk in t.foreign_keys)]
            found.extend(left.pop(table.name) for table in ready or list(left.values())[:1])
        return found

    def _is_whole(self, table: Table, source: RowSource) -> bool:
        """Whether all rows of a table of this database are asked for, all columns but hidden ones, and nothing else."""
        if self._reflected is None or not source.whole or source.join or source.where or source.extra:
            return False
        known = self._reflected.tables.get(table.name)
        if known is None or known.key != table.key:
            return False
        return table.column_names == tuple(name for name in known.column_names if name not in table.hidden)

    def _fast(
        self, conn: sa.Connection, table: Table, source: RowSource, batch_rows: int
    ) -> Iterator[pa.RecordBatch] | None:
        fast: FastSnapshot | None = conn.info.get("datatransfer_fast")
        if fast is None or batch_rows < BATCH_ROWS or not self._is_whole(table, source):
            return None
        batches = fast.read(table, self._rowset(table, source))
        return None if batches is None else self._resumed(batches, conn, table, batch_rows)

    def _resumed(
        self, batches: Iterator[pa.RecordBatch], conn: sa.Connection, table: Table, batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Go on by the driver where the child failed: same snapshot, same order."""
        done = 0
        try:
            for batch in batches:
                done += batch.num_rows
                yield batch
        except ChildFailed:
            yield from self._slow(conn, table, RowSource(), batch_rows, tail=f" LIMIT -1 OFFSET {done}")

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
                raise value_loss(table.name, broken.group(1), LogicalType("text"), why, key=table.key) from None


def _driver(conn: sa.Connection) -> sqlite3.Connection:
    raw: Any = conn.connection.dbapi_connection  # driver_connection is None once a connection is detached
    assert isinstance(raw, sqlite3.Connection)
    return raw
