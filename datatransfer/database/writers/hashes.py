"""Rows told apart by a hash of their content that the database itself computes, also where they have no key.

A hash is a signed 64-bit integer over the exact values of some columns of a row, as the table holds them. It is no
protection against somebody who wants two rows to have the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from datatransfer.database.dialects.base import RowSource
from datatransfer.database.writers.ahead import Ahead
from datatransfer.database.writers.expressions import ValueExpressions
from datatransfer.database.writers.session import Session
from datatransfer.schema.tables import Column, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

INTEGER = LogicalType("integer", bits=64)
_ASKED_ROWS = 250_000


class RowHashes(Session, ValueExpressions):
    """The part of a writer that hashes rows."""

    _ahead: Ahead | None = None
    #: `hash_own` knows the rows of this merge, so that nothing needs to be counted before it.
    tells_own_rows = False

    def row_hash(self, alias: str, columns: Sequence[Column]) -> str:
        """Return SQL for the hash of a row; empty where the database has no function for it."""
        return ""

    def hash_ahead(self, coming: Mapping[str, tuple[Column, Sequence[Column], str]]) -> None:
        """Begin to hash rows that will be inserted, where that saves time; `key_hashes` then has them at once.

        Parameters
        ----------
        coming : mapping of table name to (key column, hashed columns, SELECT)
            The SELECT, over committed rows of the stage, gives the hashed columns as ``n0``, ``n1``, …
        """

    def _stop(self) -> None:
        super()._stop()
        if self._ahead is not None:
            self._ahead.cancel()

    def end_ahead(self) -> None:
        """Stop what `hash_ahead` began, and forget it."""
        if self._ahead is not None:
            self._ahead.end()
            self._ahead = None

    def keeps(self, kind: LogicalType, column: Column) -> bool:
        """Whether `hash_ahead` knows what a column will hold of a staged value of a kind."""
        return True

    def key_hashes(
        self, table: Table, key: Sequence[str], columns: Sequence[Column], join: str = ""
    ) -> Iterator[tuple[list[LogicalType], pa.Table]]:
        """Yield keys ``k0`` … and hashes ``h`` of rows, with the types of the keys.

        Parameters
        ----------
        table : Table
        key : sequence of str
        columns : sequence of Column
            What is hashed.
        join : str
            Which rows, see `RowSource`; all if empty.
        """
        import pyarrow as pa

        keys = tuple(table.by_name[name] for name in key)
        if [column.type.kind for column in keys] == ["integer"] and not keys[0].type.unsigned:
            yield from (([INTEGER], rows) for rows in self._integer_hashes(table, keys[0], columns, join))
            return
        part = replace(table, columns=keys, key=tuple(key))
        source = RowSource(join=join, whole=False, extra=((self.row_hash("t", columns), "h", INTEGER),))
        part = self.db.dialect.resolve_types(self.conn, part, source)
        types = [column.type for column in part.columns]
        names = [*(f"k{i}" for i in range(len(keys))), "h"]
        for batch in self.db.dialect.read(self.conn, part, source):
            yield types, pa.table(batch.columns, names=names)

    def _integer_hashes(self, table: Table, key: Column, columns: Sequence[Column], join: str) -> Iterator[pa.Table]:
        taken = self._ahead.take(table.name) if self._ahead and not join else None
        yield from self._asked_hashes(table, key, columns, join) if taken is None else taken

    def _asked_hashes(self, table: Table, key: Column, columns: Sequence[Column], join: str) -> Iterator[pa.Table]:
        rows = f"FROM {self.db.dialect.from_sql(table)} t {join}"
        name = f"t.{self.quote(key.name)}"
        yield from self.fetched(f"SELECT {name}, {self.row_hash('t', columns)} {rows} ORDER BY {name}", ("k0", "h"))

    def hash_own(self, table: Table, columns: Sequence[Column]) -> pa.Table | None:
        """Inside the merge: return what `hash_counts` does, of the rows that it wrote; None if they are not known."""
        return None

    def hash_counts(self, table: Table, columns: Sequence[Column]) -> pa.Table:
        """Return how many rows ``n`` of a table have each hash ``h``."""
        return self._counted(self.hash_counts_sql(table, columns))

    def _counted(self, sql: str) -> pa.Table:
        import pyarrow as pa

        found = list(self.fetched(f"SELECT h, n FROM ({sql}) c", ("h", "n")))
        empty = pa.table({"h": pa.array([], pa.int64()), "n": pa.array([], pa.int64())})
        return pa.concat_tables([empty, *found])

    def hash_counts_sql(self, table: Table, columns: Sequence[Column]) -> str:
        """Return a SELECT of how many rows ``n`` of a table have each hash ``h``."""
        inner = f"SELECT {self.row_hash('t', columns)} AS h FROM {self.db.dialect.from_sql(table)} t"
        return f"SELECT i.h AS h, count(*) AS n FROM ({inner}) i GROUP BY i.h"

    def fetched(self, sql: str, names: Sequence[str]) -> Iterator[pa.Table]:
        """Yield a SELECT of integers in pieces, through the driver's own cursor."""
        import pyarrow as pa

        cursor = self.run(sql).cursor
        while rows := cursor.fetchmany(_ASKED_ROWS):
            columns = zip(*rows, strict=True)
            yield pa.table({name: pa.array(values, pa.int64()) for name, values in zip(names, columns, strict=True)})

    # --- rows without a key -------------------------------------------------------------------------------------

    def numbered_copies(self, table: Table, columns: Sequence[Column], row_id: str) -> str:
        """Return a SELECT of row ids, hashes and the number ``c`` of each row among those of the same hash."""
        inner = f"SELECT {row_id} AS rid, {self.row_hash('t', columns)} AS h FROM {self.db.dialect.from_sql(table)} t"
        return f"SELECT i.rid, i.h, row_number() OVER (PARTITION BY i.h ORDER BY i.rid DESC) AS c FROM ({inner}) i"

    def prepare_copies(self, table: Table, number: int) -> None:
        """Before the merge: make what `delete_copies` needs."""

    def delete_copies(self, table: Table, columns: Sequence[Column], source: str, number: int) -> int:
        """Delete ``n`` of the rows that have the hash ``h``, for each row ``x`` of a staging table.

        Parameters
        ----------
        table : Table
        columns : sequence of Column
            What is hashed.
        source : str
            A SELECT of h and n.
        number : int
            As `prepare_copies` was given.
        """
        name = self.table(table)
        row_id = self.db.dialect.keyless_row_id(table)
        if row_id is None:  # it has a key, so there is one row of each hash
            chosen = f"SELECT x.h FROM ({source}) x"
            return int(self.run(f"DELETE FROM {name} AS t WHERE {self.row_hash('t', columns)} IN ({chosen})").rowcount)
        copies = self.numbered_copies(table, columns, row_id)
        chosen = f"SELECT d.rid FROM ({copies}) d JOIN ({source}) x ON x.h = d.h WHERE d.c <= x.n"
        return int(self.run(f"DELETE FROM {name} AS t WHERE {row_id} IN ({chosen})").rowcount)
