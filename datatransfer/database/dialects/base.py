"""A complete dialect on plain SQLAlchemy: reflection by the Inspector, rows as the driver gives them.

The other dialects override what differs in their database or is faster there. Nothing here writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import sqlalchemy as sa

from datatransfer import interrupts
from datatransfer.database.dialects import inspector
from datatransfer.database.dialects.columns import column_array
from datatransfer.database.dialects.failures import database_errors
from datatransfer.database.sqlitefiles import refuse_missing
from datatransfer.errors import DatabaseError, UsageError, clearing_up
from datatransfer.events import Cancellation
from datatransfer.schema.tables import Column, Schema, Table
from datatransfer.schema.values import LogicalType, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

#: A batch is closed when it holds this many bytes, however few rows that are.
BATCH_BYTES = 32 * 1024 * 1024
_FIRST_ROWS = 256
_STEP_ROWS = 8192


@dataclass(frozen=True)
class RowSource:
    """Which rows of a table to read, as SQL; the table's alias is always ``t``.

    Parameters
    ----------
    join : str
        A complete ``JOIN … ON …`` clause, over temporary tables of the same connection.
    where : str
        A condition, without the word WHERE.
    whole : bool
        Whether that is the whole table, so that a faster way may be taken.
    extra : tuple of (sql, name, LogicalType)
        Expressions that follow the table's own columns.
    """

    join: str = ""
    where: str = ""
    whole: bool = True
    extra: tuple[tuple[str, str, LogicalType], ...] = ()

    def tail(self) -> str:
        """Return join and condition as they follow ``FROM table t``."""
        return f"{' ' + self.join if self.join else ''}{' WHERE ' + self.where if self.where else ''}"


class Rows(Protocol):
    """What rows are fetched from: a driver's cursor or SQLAlchemy's result."""

    def fetchmany(self, size: int, /) -> Sequence[Sequence[Any]]:
        """Return up to so many rows, none at the end."""
        ...

    def close(self) -> None:
        """Give the cursor back."""
        ...


class Dialect:
    """How one kind of database is reflected and read.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    schema : str, optional
        The database schema whose tables have bare names; the connection's default one if not given.
    """

    name = "generic"
    #: How `estimated_rows` are to be read.
    estimate_word = "about"

    def __init__(self, engine: sa.Engine, schema: str | None = None) -> None:
        self.engine = engine
        self.schema = schema
        #: Where unqualified table names live; known after `reflect`.
        self.default_schema: str | None = schema

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}>"

    # --- reflection ---------------------------------------------------------------------------------------------

    def limit_waits(self, conn: sa.Connection, seconds: float) -> None:
        """Let the transaction wait so long for a lock at most, where reading a schema waits for any."""

    def reflect(self, conn: sa.Connection) -> Schema:
        """Return the tables of the database, and those of other schemas that they refer to."""
        return inspector.reflect(conn, self.schema)

    def estimated_rows(self, conn: sa.Connection, tables: Sequence[Table]) -> dict[str, int]:
        """Return how many rows tables have as far as the database knows without counting, by name."""
        return {}

    @staticmethod
    def _known_rows(rows: Any, home: str | None, tables: Sequence[Table]) -> dict[str, int]:
        """Return what rows of schema, name and number of rows say of tables."""
        known = {(space, name): int(count) for space, name, count in rows}
        places = {table.name: (table.db_schema or home, table.bare_name or table.name) for table in tables}
        return {name: known[place] for name, place in places.items() if place in known}

    # --- SQL ----------------------------------------------------------------------------------------------------

    def quote(self, identifier: str) -> str:
        """Return an identifier quoted for this database, always, so that no word list is needed.

        Percent signs are not doubled: run the statement with `execute`, or inside ``sqlalchemy.text`` with colons
        escaped.

        Raises
        ------
        UsageError
            It is empty or holds a NUL, which no database can name.
        """
        if not identifier or "\0" in identifier:
            raise UsageError("an identifier may not be empty or hold a NUL character")
        rules = self.engine.dialect.identifier_preparer
        inner = identifier.replace(rules.escape_quote, rules.escape_to_quote)
        return f"{rules.initial_quote}{inner}{rules.final_quote}"

    def table_sql(self, table: Table) -> str:
        """Return the table's quoted name, with its schema where one is known."""
        schema = table.db_schema or self.default_schema
        bare = self.quote(table.bare_name or table.name)
        return f"{self.quote(schema)}.{bare}" if schema else bare

    def from_sql(self, table: Table) -> str:
        """Return what stands after FROM to read exactly the table's own rows."""
        return self.table_sql(table)

    def read_sql(self, column: Column) -> str:
        """Return the expression that reads a column of ``t`` without loss."""
        return f"t.{self.quote(column.name)}"

    def order_sql(self, table: Table) -> str:
        """Return the expressions to order by, so that the same rows always come in the same order."""
        names = table.key or table.column_names
        return ", ".join(f"t.{self.quote(name)}" for name in names)

    def is_loose(self, child: Column, parent: Column) -> bool:
        """Return whether a reference may be written otherwise than its parent, by rules that no package names."""
        return False

    def exact_sql(self, value: str) -> str:
        """Return SQL for a value as a package writes it, by which nothing but the same value is equal."""
        return value

    def keyless_row_id(self, table: Table) -> str | None:
        """Return an expression over ``t`` that names a row inside one snapshot, or None if there is none."""
        return None

    def statement(self, table: Table, source: RowSource) -> str:
        """Return the complete SELECT of a table's columns, then the source's extra ones, in order."""
        exprs = [self.read_sql(column) for column in table.columns] + [sql for sql, _, _ in source.extra]
        order = self.order_sql(table)
        tail = f"{source.tail()}{' ORDER BY ' + order if order else ''}"
        return f"SELECT {', '.join(exprs)} FROM {self.from_sql(table)} t{tail}"

    def execute(self, conn: sa.Connection, sql: str, **options: Any) -> sa.CursorResult[Any]:
        """Run one statement exactly as written: no parameters, so that percent signs and colons are themselves."""
        return conn.exec_driver_sql(sql, execution_options={"no_parameters": True, **options})

    # --- reading ------------------------------------------------------------------------------------------------

    def snapshot(self) -> AbstractContextManager[sa.Connection]:
        """Return a context manager that yields a connection which sees one state of the database until it is left.

        Temporary tables can be created in it; they are gone afterwards.
        """
        return self._snapshot()

    @contextmanager
    def _snapshot(self) -> Iterator[sa.Connection]:
        refuse_missing(self.engine.url)
        with database_errors(self.engine, "opening a snapshot"):
            conn = self.engine.connect()
        try:
            with database_errors(self.engine, "opening a snapshot"):
                self._begin_snapshot(conn)
            with interrupts.cancelling(self.canceller(conn)):
                yield conn
        except BaseException as error:
            with interrupts.shielded(), clearing_up(error):
                self._end_snapshot(conn)
            raise
        with interrupts.shielded():
            self._end_snapshot(conn)

    def canceller(self, conn: sa.Connection) -> Callable[[], None]:
        """Return what makes the statement of a snapshot fail that runs when it is called, from another thread."""
        return lambda: None

    @contextmanager
    def stoppable(self, conn: sa.Connection, cancellation: Cancellation) -> Iterator[None]:
        """Cancel the statement of a snapshot that runs inside when somebody asks to stop.

        Raises
        ------
        Cancelled
            In place of the error of the statement.
        """
        with cancellation.ending(self.canceller(conn), lambda: conn.invalidated):
            yield

    def _begin_snapshot(self, conn: sa.Connection) -> None:
        levels = self.engine.dialect.get_isolation_level_values(conn.connection.dbapi_connection)  # type: ignore[arg-type]
        if "REPEATABLE READ" in levels or "SERIALIZABLE" in levels:
            level: Any = "REPEATABLE READ" if "REPEATABLE READ" in levels else "SERIALIZABLE"
            conn.execution_options(isolation_level=level)
        conn.begin()

    def _end_snapshot(self, conn: sa.Connection) -> None:
        try:
            with database_errors(self.engine, "closing a snapshot"):
                self._put_back(conn)
        except DatabaseError:
            conn.invalidate()  # in the caller's pool it would go on with our settings
            raise
        finally:
            conn.close()

    def _put_back(self, conn: sa.Connection) -> None:
        """End the transaction, and undo what `_begin_snapshot` set."""
        conn.rollback()

    def resolve_types(self, conn: sa.Connection, table: Table, source: RowSource) -> Table:
        """Return the table with definite types for the rows of a source; here they are definite already."""
        return table

    def resolve_references(self, conn: sa.Connection, table: Table) -> Table:
        """Return a resolved table whose references have the types of what they refer to, in whatever rows."""
        return table

    def read(
        self, conn: sa.Connection, table: Table, source: RowSource | None = None, *, batch_rows: int = 65536
    ) -> Iterator[pa.RecordBatch]:
        """Read rows in the order of the table's key.

        Parameters
        ----------
        conn : sqlalchemy.Connection
            From `snapshot`.
        table : Table
            From `resolve_types` with the same source.
        source : RowSource, optional
            The whole table if not given.
        batch_rows : int
            Most rows a batch; a batch of more than 32 MiB is closed earlier.

        Yields
        ------
        pyarrow.RecordBatch
            The table's columns, then ``source.extra``; at least one row.

        Raises
        ------
        ValueLossError
            A value cannot be carried exactly.
        DatabaseError
        """
        source = source or RowSource()
        fast = self._fast(conn, table, source, batch_rows)
        yield from fast if fast is not None else self._slow(conn, table, source, batch_rows)

    def _slow(
        self, conn: sa.Connection, table: Table, source: RowSource, batch_rows: int, *, tail: str = ""
    ) -> Iterator[pa.RecordBatch]:
        """Read by the driver; ``tail`` ends the statement."""
        types = [(c.name, c.type) for c in table.columns] + [(name, kind) for _, name, kind in source.extra]
        with database_errors(self.engine, "reading rows", where=table.name):
            rows = self._open(conn, self.statement(table, source) + tail)
        try:
            yield from joined(self._chunks(rows, table, types, batch_rows), batch_rows)
        finally:
            rows.close()

    def _fast(
        self, conn: sa.Connection, table: Table, source: RowSource, batch_rows: int
    ) -> Iterator[pa.RecordBatch] | None:
        """Return a quicker way of reading the same batches, None where there is none."""
        return None

    def _open(self, conn: sa.Connection, sql: str) -> Rows:
        return self.execute(conn, sql, stream_results=True, max_row_buffer=_STEP_ROWS)

    def _fetch(self, rows: Rows, size: int, table: Table) -> Sequence[Sequence[Any]]:
        with database_errors(self.engine, "reading rows", where=table.name):
            return rows.fetchmany(size)

    def _chunks(
        self, rows: Rows, table: Table, types: Sequence[tuple[str, LogicalType]], batch_rows: int
    ) -> Iterator[pa.RecordBatch]:
        """Fetch in steps that follow the width of the rows, so that neither small nor huge rows cost much memory."""
        import pyarrow as pa

        schema = arrow_schema(dict(types))
        size = min(_FIRST_ROWS, batch_rows)
        while fetched := self._fetch(rows, size, table):
            columns = zip(*fetched, strict=True)
            arrays = [
                column_array(values, kind, table=table.name, column=name, key=table.key)
                for values, (name, kind) in zip(columns, types, strict=True)
            ]
            batch = pa.RecordBatch.from_arrays(arrays, schema=schema)
            yield batch
            size = max(1, min(_STEP_ROWS, batch_rows, BATCH_BYTES * len(fetched) // max(1, batch.nbytes)))


def joined(chunks: Iterator[pa.RecordBatch], batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Join small batches until they have ``batch_rows`` rows or 32 MiB; cut none."""
    held: list[pa.RecordBatch] = []
    rows = size = 0
    for chunk in chunks:
        if held and rows + chunk.num_rows > batch_rows:
            yield _join(held)
            held, rows, size = [], 0, 0
        held.append(chunk)
        rows += chunk.num_rows
        size += chunk.nbytes
        if rows >= batch_rows or size >= BATCH_BYTES:
            yield _join(held)
            held, rows, size = [], 0, 0
    if held:
        yield _join(held)


def _join(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    import pyarrow as pa

    if len(batches) == 1:
        return batches[0]
    whole = pa.Table.from_batches(batches).combine_chunks()
    return whole.to_batches()[0]
