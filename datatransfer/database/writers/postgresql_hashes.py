"""Rows hashed by PostgreSQL, also while they are still being brought in.

What a bulk insert will write is hashed ahead, from the stage and on a second connection, so that both processors of
the server work: the hash takes about half as long as the insert. It may be so only where the rows of the table will
be what the stage says; the caller knows.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from datatransfer.database.writers import ingesting
from datatransfer.database.writers.hashes import RowHashes
from datatransfer.errors import DatabaseError
from datatransfer.schema.tables import Column, Table

if TYPE_CHECKING:
    import pyarrow as pa

#: Kinds of which PostgreSQL hashes two values alike only if they are the same.
_HASHED_AS_THEY_ARE = ("integer", "boolean", "text", "bytes", "date", "time", "timestamp", "timestamptz", "uuid")
_PIECE_ROWS = 1 << 18
#: Rows are compared and hashed by their texts, which must not depend on the role's settings.
SETTINGS = (
    "SET timezone = 'UTC'",
    "SET datestyle = 'ISO, YMD'",
    "SET intervalstyle = 'postgres'",
    "SET extra_float_digits = 3",
    "SET bytea_output = 'hex'",
    "SET lc_monetary = 'C'",
)


class _Ahead:
    """Hashes that a second session works out, table by table.

    Parameters
    ----------
    connection : adbc_driver_manager.dbapi.Connection
        Used by nobody else until the end.
    selects : mapping of table name to SELECT of ``k0`` and ``h``
    """

    def __init__(self, connection: Any, selects: Mapping[str, str]) -> None:
        self._connection = connection
        self._selects = selects
        self._found: dict[str, pa.Table] = {}
        self._failure: Exception | None = None
        self._ended = False
        self._cancel: Callable[[], None] = lambda: None
        self._thread = threading.Thread(target=self._work, name="datatransfer-hashes", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        import adbc_driver_manager as adbc

        try:
            for setting in SETTINGS:
                ingesting.execute(self._connection, setting)
            for name, select in self._selects.items():
                if not self._ended:
                    self._found[name] = ingesting.query(self._connection, select, self._began)
        except (adbc.Error, OSError) as error:  # told to whoever takes the hashes
            self._failure = error

    def _began(self, cancel: Callable[[], None]) -> None:
        self._cancel = cancel

    def take(self, name: str) -> pa.Table | None:
        """Return the keys and hashes of a table, None if nobody asked for them."""
        if name not in self._selects:
            return None
        self._thread.join()
        if self._failure is not None:
            raise DatabaseError(
                f"rows could not be hashed ({type(self._failure).__name__})", where=name,
                hint="nothing was changed; run the import again",
            ) from None  # fmt: skip
        return self._found.pop(name)

    def end(self) -> None:
        """Stop, whether done or not."""
        import adbc_driver_manager as adbc

        self._ended = True
        while self._thread.is_alive():
            with contextlib.suppress(adbc.Error):  # the query has just come to its end: there is nothing to cancel
                self._cancel()
            self._thread.join(0.2)  # once more: it may have come between two queries


class PostgreSQLHashes(RowHashes):
    """The part of the PostgreSQL writer that hashes rows."""

    if TYPE_CHECKING:

        def _adbc(self) -> Any:
            """Return a second connection, None where there can be none."""
            ...

        def _close_adbc(self) -> None:
            """Close it."""

    _hashes_records = True
    _ahead: _Ahead | None = None

    def row_hash(self, alias: str, columns: Sequence[Column]) -> str:
        parts = []
        for column in columns:
            name = f"{alias}.{self.quote(column.name)}"
            if column.type.kind == "float":  # 0.0 and -0.0 are equal, and not the same
                name = f"float{(column.type.bits or 64) // 8}send({name})"
            elif column.type.kind not in _HASHED_AS_THEY_ARE:  # nor need others be: 1.0 and 1.00
                name = f"{name}::text"
            elif column.collation:
                name = f'({name} COLLATE "C")'
            parts.append(name)
        row = f"ROW({', '.join(parts)})"
        return f"hash_record_extended({row}, 0)" if self._hashes_records else f"hashtextextended({row}::text, 0)"

    def _integer_hashes(self, table: Table, key: Column, columns: Sequence[Column], join: str) -> Iterator[pa.Table]:
        taken = self._ahead.take(table.name) if self._ahead and not join else None
        if taken is not None:
            return _in_order(taken)
        # The server puts keys and hashes together in blocks: to this driver a row each would cost more than the hash.
        rows = self._hashed(key, columns, f"{self.db.dialect.from_sql(table)} t {join}")
        blocks = "string_agg(int8send(i.k0), ''::bytea), string_agg(int8send(i.h), ''::bytea)"
        return _unpacked(self.run(f"SELECT {blocks} FROM ({rows}) i GROUP BY i.k0 >> 18").all())

    def _hashed(self, key: Column, columns: Sequence[Column], rows: str) -> str:
        """Return SQL for the keys and hashes of rows ``t``."""
        return f"SELECT t.{self.quote(key.name)}::int8 AS k0, {self.row_hash('t', columns)} AS h FROM {rows}"

    def hash_ahead(self, coming: Mapping[str, tuple[Column, Sequence[Column], str]]) -> None:
        selects = {}
        for name, (key, columns, select) in coming.items():
            held = ", ".join(f"{self.held(f'y.n{i}', c)} AS {self.quote(c.name)}" for i, c in enumerate(columns))
            selects[name] = self._hashed(key, columns, f"(SELECT {held} FROM ({select}) y) t")
        connection = self._adbc() if selects else None
        if connection is not None:
            self._ahead = _Ahead(connection, selects)

    def end_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.end()
            self._ahead = None
            self._close_adbc()  # and with it the transaction that has looked into the stage


def _in_order(rows: pa.Table) -> Iterator[pa.Table]:
    """Yield keys and hashes in pieces, in the order of the keys within each."""
    for start in range(0, rows.num_rows, _PIECE_ROWS):
        yield rows.slice(start, _PIECE_ROWS).combine_chunks().sort_by("k0")


def _unpacked(blocks: Sequence[Any]) -> Iterator[pa.Table]:
    """Yield the keys and hashes of each block, in the order of the keys."""
    import numpy as np
    import pyarrow as pa

    for keys, hashes in blocks:
        pair = [np.frombuffer(bytes(block), dtype=">i8").astype(np.int64) for block in (keys, hashes)]
        order = np.argsort(pair[0])
        yield pa.table({"k0": pair[0][order], "h": pair[1][order]})
