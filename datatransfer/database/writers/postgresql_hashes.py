"""Rows hashed by PostgreSQL, also from the stage on a second session: the hash takes half as long as the insert."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from datatransfer.database.writers import ingesting
from datatransfer.database.writers.ahead import PIECE_ROWS, Ahead
from datatransfer.database.writers.hashes import RowHashes
from datatransfer.database.writers.postgresql_rebuild import literal
from datatransfer.schema.tables import Column, Table

if TYPE_CHECKING:
    import pyarrow as pa

#: Kinds of which PostgreSQL hashes two values alike only if they are the same.
_HASHED_AS_THEY_ARE = ("integer", "boolean", "text", "bytes", "date", "time", "timestamp", "timestamptz", "uuid")
_PAGES = 8192
"""How many pages, of 8 KiB each, one block of hashes is made of."""
_SIDE_BY_SIDE = 16
#: Rows are compared and hashed by their texts, which must not depend on the role's settings.
SETTINGS = (
    "SET timezone = 'UTC'",
    "SET datestyle = 'ISO, YMD'",
    "SET intervalstyle = 'postgres'",
    "SET extra_float_digits = 3",
    "SET bytea_output = 'hex'",
    "SET lc_monetary = 'C'",
    "SET array_nulls = on",
)


class _Ahead(Ahead):
    """Hashes that ADBC fetches.

    Parameters
    ----------
    connection : adbc_driver_manager.dbapi.Connection
        Used by nobody else until the end.
    selects : mapping of table name to SELECT of ``k0`` and ``h``
    """

    def __init__(self, connection: Any, selects: Mapping[str, str]) -> None:
        import adbc_driver_manager as adbc

        super().__init__(selects, adbc.Error)
        self._connection = connection
        self._stop: Callable[[], None] = lambda: None

    def prepare(self) -> None:
        for setting in SETTINGS:
            ingesting.execute(self._connection, setting)

    def hashed(self, select: str) -> Iterator[pa.Table]:
        return _in_order(ingesting.query(self._connection, select, self._began))

    def _began(self, stop: Callable[[], None]) -> None:
        self._stop = stop

    def cancel(self) -> None:
        import adbc_driver_manager as adbc

        with contextlib.suppress(adbc.Error):  # the query has just come to its end: there is nothing to cancel
            self._stop()


class PostgreSQLHashes(RowHashes):
    """The part of the PostgreSQL writer that hashes rows."""

    if TYPE_CHECKING:

        def _adbc(self) -> Any:
            """Return a second connection, None where there can be none."""
            ...

        def _close_adbc(self) -> None:
            """Close it."""

        def binary_rows(self, sql: str) -> list[Any]:
            """Return the rows of a SELECT; bytes come as they are, not as digits."""
            ...

    _hashes_records = True
    tells_own_rows = True

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

    def hash_own(self, table: Table, columns: Sequence[Column]) -> pa.Table | None:
        own = "t.xmin::text::int8 = (txid_current() & 4294967295)"
        rows = f"FROM {self.db.dialect.from_sql(table)} t WHERE {own} GROUP BY 1"
        return self._counted(f"SELECT {self.row_hash('t', columns)} AS h, count(*) AS n {rows}")

    def _asked_hashes(self, table: Table, key: Column, columns: Sequence[Column], join: str) -> Iterator[pa.Table]:
        source = f"{self.db.dialect.from_sql(table)} t"
        pages = 0 if join else self._pages(table)
        if not pages:
            yield from self._blocks([self._hashed(key, columns, f"{source} {join}")], " GROUP BY i.k0 >> 18")
            return
        # Ranges of pages need no grouping, for which the server would sort whole rows, and are read side by side.
        starts = range(0, pages, _PAGES)
        for first in range(0, len(starts), _SIDE_BY_SIDE):
            places = [f"t.ctid >= '({start},0)'::tid" for start in starts[first : first + _SIDE_BY_SIDE + 1]]
            ranges = [f"{low} AND NOT {high}" for low, high in pairwise(places)]
            if len(places) <= _SIDE_BY_SIDE:
                ranges.append(places[-1])
            yield from self._blocks([self._hashed(key, columns, f"{source} WHERE {part}") for part in ranges])

    def _blocks(self, parts: Sequence[str], tail: str = "") -> Iterator[pa.Table]:
        """Ask for keys and hashes put together in blocks: to this driver a row each would cost more than the hash."""
        blocks = "string_agg(int8send(i.k0), ''::bytea), string_agg(int8send(i.h), ''::bytea)"
        asked = " UNION ALL ".join(f"(SELECT {blocks} FROM ({part}) i{tail})" for part in parts)
        return _unpacked(row for row in self.binary_rows(asked) if row[0] is not None)

    def _pages(self, table: Table) -> int:
        """Return how many pages a table has whose pages can be asked for by range, 0 for others."""
        if not self._hashes_records:  # both came with the same version
            return 0
        name = f"{literal(self.table(table))}::regclass"
        sql = f"SELECT pg_relation_size({name}) / current_setting('block_size')::int FROM pg_class WHERE oid = {name}"
        return int(self.scalar(f"{sql} AND relkind = 'r'") or 0)

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
            self._ahead.start()

    def end_ahead(self) -> None:
        if self._ahead is not None:
            super().end_ahead()
            self._close_adbc()  # and with it the transaction that has looked into the stage


def _in_order(rows: pa.Table) -> Iterator[pa.Table]:
    """Yield keys and hashes in pieces, in the order of the keys within each."""
    for start in range(0, rows.num_rows, PIECE_ROWS):
        yield rows.slice(start, PIECE_ROWS).combine_chunks().sort_by("k0")


def _unpacked(blocks: Iterable[Any]) -> Iterator[pa.Table]:
    """Yield the keys and hashes of each block, in the order of the keys."""
    import numpy as np
    import pyarrow as pa

    for keys, hashes in blocks:
        pair = [np.frombuffer(bytes(block), dtype=">i8").astype(np.int64) for block in (keys, hashes)]
        if np.any(pair[0][1:] < pair[0][:-1]):
            order = np.argsort(pair[0])
            pair = [values[order] for values in pair]
        yield pa.table({"k0": pair[0], "h": pair[1]})
