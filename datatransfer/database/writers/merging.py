"""The statements by which a merge changes a target's tables: rows inserted, updated, deleted; keys kept free; locks.

Rows come from a SELECT over the stage. Which rows those are, and which table comes when, is the caller's to say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from datatransfer.database.writers.expressions import ValueExpressions
from datatransfer.database.writers.session import Session
from datatransfer.schema.tables import Column, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa


class MergeStatements(Session, ValueExpressions):
    """The part of a writer that changes the target."""

    insert_words = "INSERT INTO"

    def locking(self, alias: str, *, shared: bool = False) -> str:
        """Return what ends a SELECT so that its rows of one table stay until the merge ends.

        Parameters
        ----------
        alias : str
            Of the table.
        shared : bool
            Others may change the rows, and not delete them; empty where foreign keys see to that.
        """
        return ""

    def enforce_references(self, enforce: bool) -> None:
        """Have the database look up the parents of rows that are inserted from now on, where it can be asked not to."""

    def rows_at_once(self, table: Table) -> int:
        """Return how many rows one statement may insert, 0 for any number."""
        return 0

    def reserve(self, table: Table, column: Column, top: int) -> int | None:
        """Keep the keys up to one for this import: the database gives others only higher ones from now on.

        A target that is in use goes on inserting while an import is planned and merged. Keys that are not used in the
        end are lost, as after any rollback.

        Returns
        -------
        int or None
            The last key that the database had given before; None if it gives no keys, or cannot be asked to. With a top
            of 0 nothing is kept.
        """
        return None

    def let_others_end(self) -> bool:
        """Wait, a second at most, for the transactions that are at work now, so that what they write can be seen.

        Returns
        -------
        bool
            Whether keys that were given before `reserve` may still come; False where it has seen to that itself.
        """
        return False

    def insert(self, table: Table, columns: Sequence[Column], select: str) -> int:
        """Insert the rows of a SELECT; return how many."""
        names = ", ".join(self.quote(column.name) for column in columns)
        return int(self.run(f"{self.insert_words} {self.table(table)} ({names}) {select}").rowcount)

    def copies(self, table: Table, columns: Sequence[tuple[LogicalType, Column]]) -> bool:
        """Whether `copy` can bring values of these kinds into columns of a table, all rules of which are then kept."""
        return False

    def copy(
        self, table: Table, columns: Sequence[tuple[LogicalType, Column]], batches: Iterable[pa.RecordBatch],
        told: Callable[[int], None],
    ) -> int:  # fmt: skip
        """Insert rows that were never staged, but are as they would be; return how many.

        Parameters
        ----------
        table : Table
            Of which `copies` is true.
        columns : sequence of (LogicalType, Column)
            As for `copies`, in the order of the batches' columns.
        batches : iterable of pyarrow.RecordBatch
            Used in another thread.
        told : callable
            Called, in this one, with the number of rows that were sent.

        Raises
        ------
        MergeError
            The database refused them, or they cannot be written in the form that it reads.
        """
        raise NotImplementedError

    def update(
        self, table: Table, keys: Sequence[tuple[str, str]], sets: Sequence[tuple[str, str]], select: str
    ) -> int:
        """Update rows from a SELECT.

        Parameters
        ----------
        table : Table
        keys, sets : sequence of (column name, name in the SELECT)
        select : str
            Gives one row for each row to update.
        """
        where = " AND ".join(f"{self.table(table)}.{self.quote(c)} = x.{n}" for c, n in keys)
        assigns = ", ".join(f"{self.quote(c)} = (SELECT x.{n} FROM ({select}) x WHERE {where})" for c, n in sets)
        exists = f"EXISTS (SELECT 1 FROM ({select}) x WHERE {where})"
        return int(self.run(f"UPDATE {self.table(table)} SET {assigns} WHERE {exists}").rowcount)

    def delete(self, table: Table, keys: Sequence[tuple[str, str]], source: str, where: str) -> int:
        """Delete the rows of a table that a staging table names.

        Parameters
        ----------
        table : Table
        keys : sequence of (column name, name in the staging table)
        source : str
            The staging table, known as ``x`` in ``where``.
        """
        name = self.table(table)
        on = self._on(table, keys, name)
        return int(
            self.run(f"DELETE FROM {name} WHERE EXISTS (SELECT 1 FROM {source} x WHERE {on} AND {where})").rowcount
        )

    def _on(self, table: Table, keys: Sequence[tuple[str, str]], alias: str) -> str:
        columns = table.by_name
        return " AND ".join(f"{alias}.{self.quote(c)} = {self.held(f'x.{n}', columns[c])}" for c, n in keys)

    def definition_of(self, table: Table) -> str:
        """Return what changes whenever a table's columns, keys or foreign keys do; empty if it is gone."""
        return ""

    def hold_definitions(self, tables: Sequence[Table]) -> None:
        """Inside the merge: keep other sessions from altering these tables, and from nothing else, until it ends."""

    def lock_tables(self, tables: Sequence[Table]) -> None:
        """Inside the merge: keep other sessions from writing into these tables until it ends."""

    def prepare_tables(
        self, tables: Sequence[Table], *, suspend: bool, bulk: Sequence[Table], cyclic: Sequence[Table], closed: bool
    ) -> None:
        """Inside the merge: let triggers rest, and take away what makes bulk inserts slow or cycles impossible.

        Triggers of tables that `may_alter` denies go on firing.
        """

    def restore_tables(self) -> None:
        """Inside the merge: put back everything that `prepare_tables` took away."""

    def fires_triggers(self, table: Table) -> bool:
        """Whether the table has triggers that fire during the merge."""
        return False

    def may_alter(self, table: Table) -> bool:
        """Whether the merge may put a table's triggers to rest, and take its keys and indexes away for a while."""
        return False

    def sequence_of(self, table: Table, column: Column) -> str | None:
        """Return the SQL name of the sequence that gives a column its values, None if there is none."""
        return None

    def advance_sequences(self, table: Table) -> None:
        """Make the next key that the database gives itself a free one."""
