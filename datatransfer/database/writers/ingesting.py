"""Statements of an ADBC connection, without what its DB-API makes of signals, and the batches that it takes in.

`Cursor.execute` and `Cursor.adbc_ingest` put a handler of SIGINT of their own in place while they run. A signal becomes
an error of the driver then, or, where the call had just ended, nothing at all (adbc-driver-manager 1.1 to 1.13,
``_blocking_impl.cc``). `datatransfer.interrupts` would never hear of it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


class Stream:
    """Batches that are read through a C stream, which tells neither how many rows went by nor why it was cut short.

    Parameters
    ----------
    batches : iterable of pyarrow.RecordBatch

    Attributes
    ----------
    rows : int
        How many went by so far.
    failure : BaseException or None
        What the batches raised; the C stream would lose its type.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._batches = batches
        self.rows = 0
        self.failure: BaseException | None = None

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        try:
            for batch in self._batches:
                self.rows += batch.num_rows
                yield batch
        except BaseException as error:
            self.failure = error
            raise

    def reader(self, schema: pa.Schema) -> pa.RecordBatchReader:
        """Return the stream; what the schema says beside names and types stays behind."""
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(schema.remove_metadata(), iter(self))


def execute(connection: Any, sql: str) -> None:
    """Run a statement that gives no rows.

    Parameters
    ----------
    connection : adbc_driver_manager.dbapi.Connection
    sql : str
    """
    import adbc_driver_manager as adbc

    with adbc.AdbcStatement(connection.adbc_connection) as statement:
        statement.set_sql_query(sql)
        statement.execute_update()


def query(connection: Any, sql: str, begun: Callable[[Callable[[], None]], None]) -> pa.Table:
    """Run a query and return all of its rows.

    Parameters
    ----------
    connection : adbc_driver_manager.dbapi.Connection
    sql : str
    begun : callable
        Given what stops the query, to be called from another thread.
    """
    import adbc_driver_manager as adbc
    import pyarrow as pa

    with adbc.AdbcStatement(connection.adbc_connection) as statement:
        begun(statement.cancel)
        statement.set_sql_query(sql)
        stream, _ = statement.execute_query()
        with pa.RecordBatchReader.from_stream(stream) as reader:
            return reader.read_all()


def ingest(
    connection: Any,
    table: str,
    batches: pa.RecordBatchReader,
    *,
    schema: str | None = None,
    begun: Callable[[Callable[[], None]], None] = lambda _stop: None,
) -> None:
    """Append batches to a table.

    Parameters
    ----------
    connection : adbc_driver_manager.dbapi.Connection
    table : str
        Its name, without quotes.
    batches : pyarrow.RecordBatchReader
    schema : str, optional
        The database schema that the table is in.
    begun : callable, optional
        Given what stops it, to be called from another thread; at the end, what does nothing.
    """
    import adbc_driver_manager as adbc

    options = {"adbc.ingest.target_table": table, "adbc.ingest.mode": "adbc.ingest.mode.append"}
    if schema is not None:
        options[adbc.StatementOptions.INGEST_TARGET_DB_SCHEMA.value] = schema
    with adbc.AdbcStatement(connection.adbc_connection) as statement:
        statement.set_options(**options)
        statement.bind_stream(batches)
        begun(lambda: _cancel(statement))
        try:
            statement.execute_update()
        finally:
            begun(lambda: None)


def _cancel(statement: Any) -> None:
    import adbc_driver_manager as adbc

    with contextlib.suppress(adbc.Error):  # it has just come to its end: there is nothing to cancel
        statement.cancel()
