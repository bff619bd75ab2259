"""The quick way out of PostgreSQL: a second connection by ADBC that reads the snapshot of the first.

The first connection exports its snapshot (``pg_export_snapshot``), the second adopts it, so both see the same state.
Types that the ADBC driver is known to carry exactly travel as they are, every other one as its own text.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer.database.dialects.prefetching import prefetched
from datatransfer.errors import DatabaseError
from datatransfer.schema.tables import Table
from datatransfer.schema.values import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

#: Kinds that the driver's own form was tested for, bit by bit; see ``tests/test_reading_postgresql.py``.
NATIVE_KINDS = frozenset({"integer", "float", "boolean", "text", "bytes", "date", "time", "timestamp", "timestamptz"})
_BATCH_BYTES = 16 * 1024 * 1024


class Unavailable(Exception):
    """ADBC cannot be used here; the caller goes the slow way. Never leaves this package."""


def _library() -> Path | None:
    spec = importlib.util.find_spec("adbc_driver_postgresql")
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.glob("libadbc_driver_postgresql.*"))), None)


def conninfo(raw: Any) -> str:
    """Return how to connect once more to where a psycopg connection is connected.

    The host is always given: the driver's own libpq looks for sockets in another folder.
    """
    from psycopg.conninfo import make_conninfo

    info = raw.info
    known = {"host": info.host, "port": info.port, "user": info.user, "dbname": info.dbname}
    if info.password:
        known["password"] = info.password
    return make_conninfo(**{**info.get_parameters(), **known})


class FastReader:
    """A connection by ADBC inside an adopted snapshot.

    Parameters
    ----------
    raw : psycopg.Connection
        The connection that holds the snapshot.
    snapshot : str
        What ``pg_export_snapshot()`` returned on it.
    settings : sequence of str
        Statements that fix how values are written as text.

    Raises
    ------
    Unavailable
        The driver is not installed, or cannot connect.
    """

    def __init__(self, raw: Any, snapshot: str, settings: Sequence[str]) -> None:
        library = _library()
        if library is None or type(raw).__module__.split(".")[0] != "psycopg":
            raise Unavailable
        import adbc_driver_manager
        import adbc_driver_manager._lib as adbc

        self._adbc = adbc
        self._failed = False
        self._streams: list[Generator[pa.RecordBatch, None, None]] = []
        self._handles: list[Any] = []
        self._errors = adbc_driver_manager.Error
        try:
            self._database = self._kept(adbc.AdbcDatabase(driver=str(library), uri=conninfo(raw)))
            self._connection = self._kept(adbc.AdbcConnection(self._database))
            self._run("BEGIN ISOLATION LEVEL REPEATABLE READ")
            self._run(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
            for setting in (*settings, "SET LOCAL client_encoding = 'UTF8'"):
                self._run(setting)
        except self._errors:
            self.close()
            # The message may hold the connection string, and it does not matter: there is another way.
            raise Unavailable from None

    def _kept(self, handle: Any) -> Any:
        """Remember what must be closed, last first."""
        self._handles.append(handle)
        return handle

    def _run(self, sql: str) -> None:
        statement = self._kept(self._adbc.AdbcStatement(self._connection))
        statement.set_sql_query(sql)
        statement.execute_update()

    def read(self, sql: str, table: Table) -> Iterator[pa.RecordBatch] | None:
        """Return the batches of a statement, None if the driver gives other types than were asked for.

        Parameters
        ----------
        sql : str
            Selects the table's columns.
        table : Table
            With definite types.

        Raises
        ------
        Unavailable
            The server refused; the other way tells why.
        """
        import pyarrow as pa

        if self._failed:  # the transaction is aborted
            raise Unavailable
        statement = self._kept(self._adbc.AdbcStatement(self._connection))
        statement.set_options(**{"adbc.postgresql.batch_size_hint_bytes": str(_BATCH_BYTES)})
        statement.set_sql_query(sql)
        try:
            handle, _ = statement.execute_query()
        except self._errors:
            self._failed = True
            raise Unavailable from None
        arrived = self._kept(pa.RecordBatchReader._import_from_c(handle.address))
        wanted = arrow_schema({column.name: column.type for column in table.columns})
        if not all(_is_same(have.type, want.type) for have, want in zip(arrived.schema, wanted, strict=True)):
            return None

        def batches() -> Iterator[pa.RecordBatch]:
            try:
                for batch in arrived:
                    arrays = [array.cast(field.type) for array, field in zip(batch.columns, wanted, strict=True)]
                    if batch.num_rows:
                        yield pa.RecordBatch.from_arrays(arrays, schema=wanted)
            except (pa.ArrowException, OSError):
                # The message is left out: it may quote a value.
                problem = "the server ended the stream of rows"
                raise DatabaseError(problem, where=table.name, hint="see the server's log, and try again") from None

        self._streams.append(prefetched(batches(), abandon=self.cancel))
        return self._streams[-1]

    def cancel(self) -> None:
        """Make what is being read fail."""
        self._connection.cancel()

    def close(self) -> None:
        """End what is still being read, the transaction and the connection."""
        for stream in self._streams:
            stream.close()
        while self._handles:
            self._handles.pop().close()


def _is_same(have: pa.DataType, want: pa.DataType) -> bool:
    """Whether the driver's type is the wanted one, or a narrower integer or another string type, which cast exactly."""
    import pyarrow as pa

    if pa.types.is_signed_integer(have) and want == pa.int64():
        return True
    if want == pa.string():
        return have in (pa.string(), pa.large_string())
    return bool(have == want)
