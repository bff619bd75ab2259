"""Rows hashed by PostgreSQL, also while they are still being brought in.

What a bulk insert will write is hashed ahead, from the stage and on a second connection, so that both processors of
the server work: the hash takes about half as long as the insert. It may be so only where the rows of the table will
be what the stage says; the caller knows.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from datatransfer.database.dialects.failures import database_errors
from datatransfer.database.writers.hashes import RowHashes
from datatransfer.errors import DatabaseError
from datatransfer.schema.tables import Column, Table

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection

#: Kinds of which PostgreSQL hashes two values alike only if they are the same.
_HASHED_AS_THEY_ARE = ("integer", "boolean", "text", "bytes", "date", "time", "timestamp", "timestamptz", "uuid")
#: Rows are compared and hashed by their texts, which must not depend on the role's settings.
SETTINGS = (
    "SET timezone = 'UTC'",
    "SET datestyle = 'ISO, YMD'",
    "SET intervalstyle = 'postgres'",
    "SET extra_float_digits = 3",
    "SET bytea_output = 'hex'",
    "SET lc_monetary = 'C'",
)


@dataclass
class _Ahead:
    """Hashes that a second session works out, table by table."""

    conn: Connection
    selects: Mapping[str, str]
    found: dict[str, list[tuple[Any, Any]]] = field(default_factory=dict)
    failure: DBAPIError | None = None

    def __post_init__(self) -> None:
        self._thread = threading.Thread(target=self._work, name="datatransfer-hashes", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            for name, select in self.selects.items():
                self.found[name] = [tuple(row) for row in self.conn.exec_driver_sql(select).all()]
        except DBAPIError as error:  # told to whoever takes the hashes
            self.failure = error

    def take(self, name: str) -> list[tuple[Any, Any]] | None:
        """Return the blocks of a table, None if nobody asked for them."""
        if name not in self.selects:
            return None
        self._thread.join()
        if self.failure is not None:
            raise DatabaseError(
                f"rows could not be hashed ({type(self.failure.orig).__name__})", where=name,
                hint="nothing was changed; run the import again",
            ) from None  # fmt: skip
        return self.found.pop(name)

    def end(self) -> None:
        """Stop, whether done or not."""
        raw: Any = self.conn.connection.dbapi_connection
        if self._thread.is_alive():
            raw.cancel()
            self._thread.join()
        self.conn.close()


class PostgreSQLHashes(RowHashes):
    """The part of the PostgreSQL writer that hashes rows."""

    _hashes_records = True
    _ahead: _Ahead | None = None

    def row_hash(self, alias: str, columns: Sequence[Column]) -> str:
        parts = []
        for column in columns:
            name = f"{alias}.{self.quote(column.name)}"
            if column.type.kind not in _HASHED_AS_THEY_ARE:  # equal values need not be the same there: 1.0 and 1.00
                name = f"{name}::text"
            elif column.collation:
                name = f'({name} COLLATE "C")'
            parts.append(name)
        row = f"ROW({', '.join(parts)})"
        return f"hash_record_extended({row}, 0)" if self._hashes_records else f"hashtextextended({row}::text, 0)"

    def _integer_hashes(self, table: Table, key: Column, columns: Sequence[Column], join: str) -> Iterator[pa.Table]:
        taken = self._ahead.take(table.name) if self._ahead and not join else None
        if taken is None:
            rows = f"{self.db.dialect.from_sql(table)} t {join}"
            taken = self.run(self._blocks(key, columns, rows)).all()
        return _ordered(taken)

    def _blocks(self, key: Column, columns: Sequence[Column], rows: str) -> str:
        """Let the server put keys and hashes together in blocks: a row each would cost more than the hash."""
        inner = f"SELECT t.{self.quote(key.name)}::int8 AS k, {self.row_hash('t', columns)} AS h FROM {rows}"
        return (
            "SELECT string_agg(int8send(i.k), ''::bytea), string_agg(int8send(i.h), ''::bytea) "
            f"FROM ({inner}) i GROUP BY i.k >> 18"
        )

    def hash_ahead(self, coming: Mapping[str, tuple[Column, Sequence[Column], str]]) -> None:
        selects = {}
        for name, (key, columns, select) in coming.items():
            held = ", ".join(f"{self.held(f'y.n{i}', c)} AS {self.quote(c.name)}" for i, c in enumerate(columns))
            selects[name] = self._blocks(key, columns, f"(SELECT {held} FROM ({select}) y) t")
        if not selects:
            return
        with database_errors(self.db.engine, "opening a second session"):
            conn = self.db.engine.connect().execution_options(isolation_level="AUTOCOMMIT")
            conn.detach()
            for setting in SETTINGS:
                conn.exec_driver_sql(setting)
        self._ahead = _Ahead(conn, selects)

    def end_ahead(self) -> None:
        if self._ahead is not None:
            self._ahead.end()
            self._ahead = None


def _ordered(blocks: Sequence[Any]) -> Iterator[pa.Table]:
    """Yield keys and hashes, in the order of the keys within each block."""
    import numpy as np
    import pyarrow as pa

    for keys, hashes in blocks:
        pair = [np.frombuffer(bytes(block), dtype=">i8").astype(np.int64) for block in (keys, hashes)]
        order = np.argsort(pair[0])
        yield pa.table({"k0": pair[0][order], "h": pair[1][order]})
