"""Temporary tables of keys: how selected rows are remembered inside the snapshot's own connection.

A selected table has one key table with columns ``k0, k1, …`` (its key, or what names a row where it has none), ``gen``
(in which step the row was reached) and ``edge`` (by what). No statement opens a key table twice, because MySQL cannot
do that with temporary tables. What differs between databases stands in `keyvariants`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datatransfer.database.dialects.base import RowSource
from datatransfer.database.dialects.failures import driver_message, privilege_error
from datatransfer.errors import DatabaseError
from datatransfer.schema.tables import Column, ForeignKey, Table

if TYPE_CHECKING:
    from datatransfer.database.dialects.base import Dialect

INSERT_ROWS = 10_000
PREFIX = "datatransfer_tmp_"


@dataclass(frozen=True)
class KeyTable:
    """A temporary table of keys of one table.

    Parameters
    ----------
    name : str
    width : int
        Number of columns ``k0, k1, …``.
    unique : int
        How many of them, from the first, can hold the same values only once; 0 for no such limit.
    """

    name: str
    width: int
    unique: int = 0

    @property
    def columns(self) -> tuple[str, ...]:
        """``k0, k1, …``."""
        return tuple(f"k{index}" for index in range(self.width))

    @property
    def unique_columns(self) -> str:
        """The unique ones, for SQL."""
        return ", ".join(self.columns[: self.unique])


class KeyTables:
    """Makes, fills and drops temporary key tables; complete on standard SQL.

    Parameters
    ----------
    conn : sqlalchemy.Connection
        From ``dialect.snapshot()``.
    dialect : Dialect
    """

    join_word = "JOIN"
    drops = True

    def __init__(self, conn: sa.Connection, dialect: Dialect) -> None:
        self.conn = conn
        self.dialect = dialect
        self._made: list[str] = []
        self._count = 0

    # --- statements -------------------------------------------------------------------------------------------------

    def run(self, sql: str) -> int:
        """Run a statement that writes a temporary table; return how many rows it wrote."""
        result = self._execute(sql)
        return max(0, result.rowcount)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Return all rows of a small answer."""
        return [tuple(row) for row in self._execute(sql)]

    def one(self, sql: str) -> tuple[Any, ...] | None:
        """Return the first row, if there is one."""
        result = self._execute(sql)
        row = result.first()
        return None if row is None else tuple(row)

    def number(self, sql: str) -> int:
        """Return the one number that a statement answers."""
        row = self.one(sql)
        return int(row[0] or 0) if row else 0

    def _execute(self, sql: str) -> sa.CursorResult[Any]:
        try:
            return self.dialect.execute(self.conn, sql)
        except sa.exc.DBAPIError as error:
            if denied := privilege_error(driver_message(error)):
                raise denied from None
            raise DatabaseError(
                f"the database refused a query of the selection: {driver_message(error)}",
                hint="conditions and undeclared relations must compare values of the same type",
            ) from None

    # --- SQL pieces -------------------------------------------------------------------------------------------------

    def column(self, alias: str, name: str) -> str:
        """Return a quoted column of an alias."""
        return f"{alias}.{self.dialect.quote(name)}"

    def key_of(self, table: Table, alias: str) -> tuple[str, ...]:
        """Return the expressions that name a row; empty where nothing does."""
        if table.key:
            return tuple(self.column(alias, name) for name in table.key)
        row_id = self.dialect.keyless_row_id(table)
        return () if row_id is None else (re.sub(r"\bt\.", f"{alias}.", row_id),)

    def from_table(self, table: Table, alias: str) -> str:
        """Return a table with an alias, as it stands after FROM or JOIN."""
        return f"{self.dialect.from_sql(table)} {alias}"

    def same_key(self, table: Table, alias: str, keys: KeyTable, keys_alias: str = "s") -> str:
        """Return the condition that a row of a table is the one a key table names."""
        pairs = zip(self.key_of(table, alias), keys.columns, strict=True)
        return " AND ".join(f"{expr} = {keys_alias}.{name}" for expr, name in pairs)

    def joined(self, table: Table, keys: KeyTable, alias: str) -> str:
        """Return ``keys s JOIN table alias ON …``, the keys first."""
        return f"{keys.name} s {self.join_word} {self.from_table(table, alias)} ON {self.same_key(table, alias, keys)}"

    def match(
        self, fk: ForeignKey, child: Table, parent: Table, *, names: tuple[str, str] = ("child", "parent")
    ) -> str:
        """Return the condition that one row refers to another, as the database itself compares them."""
        return " AND ".join(
            self.equal(parent.column(p), self.column(names[1], p), child.column(c), self.column(names[0], c))
            for c, p in zip(fk.columns, fk.parent_columns, strict=True)
        )

    def equal(self, parent: Column, parent_sql: str, child: Column, child_sql: str) -> str:
        """Return the condition that two values of a reference are equal."""
        return f"{parent_sql} = {child_sql}"

    def referring(self, fk: ForeignKey, alias: str) -> str:
        """Return the condition that a row refers to anything at all: no column of the key is NULL."""
        return " AND ".join(f"{self.column(alias, name)} IS NOT NULL" for name in fk.columns)

    def is_direct(self, fk: ForeignKey, child: Table, parent: Table) -> bool:
        """Return whether the keys of the parent's key table can be compared with the child's columns directly."""
        return (
            bool(parent.key) and set(fk.parent_columns) == set(parent.key) and len(set(fk.columns)) == len(parent.key)
        )

    def match_keys(self, fk: ForeignKey, parent: Table) -> str:
        """Return the condition that alias ``child`` refers to the key in alias ``s``."""
        place = {name: f"s.k{index}" for index, name in enumerate(parent.key)}
        pairs = zip(fk.columns, fk.parent_columns, strict=True)
        return " AND ".join(f"{self.column('child', c)} = {place[p]}" for c, p in pairs)

    def exact(self, column_sql: str, key_sql: str) -> str:
        """Return the condition that a column holds a key given by the caller, of the same type."""
        return f"{column_sql} = {key_sql}"

    def source(self, table: Table, keys: KeyTable) -> RowSource:
        """Return how the rows of a key table are read."""
        return RowSource(join=f"JOIN {keys.name} s ON {self.same_key(table, 't', keys)}", whole=False)

    def limit(self, rows: int) -> str:
        """Return the end of a query that wants only the first rows."""
        return f"LIMIT {rows}"

    # --- making and filling -----------------------------------------------------------------------------------------

    def create(self, table: Table, exprs: Sequence[str] | None = None, *, unique: bool | int = True) -> KeyTable:
        """Make an empty key table for a table.

        Parameters
        ----------
        table : Table
        exprs : sequence of str, optional
            Expressions over alias ``t`` whose types the columns take; the table's key if not given.
        unique : bool or int
            Whether a key can be in it only once, or how many of its columns count for that.
        """
        self._count += 1
        exprs = tuple(self.key_of(table, "t") if exprs is None else exprs)
        width = len(exprs)
        keys = KeyTable(f"{PREFIX}{self._count}", width, width if unique is True else int(unique))
        self._create(keys, table, exprs)
        self._made.append(keys.name)
        return keys

    def _create(self, keys: KeyTable, table: Table, exprs: Sequence[str]) -> None:
        shape = ", ".join(f"{expr} AS {name}" for expr, name in zip(exprs, keys.columns, strict=True))
        source = f"SELECT {shape}, 0 AS gen, 0 AS edge FROM {self.from_table(table, 't')} WHERE 1 = 0"
        self.run(f"CREATE TEMPORARY TABLE {keys.name} AS {source}")
        if keys.unique:
            self.run(f"CREATE UNIQUE INDEX {keys.name}_k ON {keys.name} ({keys.unique_columns})")

    def index_generations(self, keys: KeyTable) -> None:
        """Make the keys of one generation quick to find: in a cycle there may be as many generations as rows."""
        self.run(f"CREATE INDEX {keys.name}_g ON {keys.name} (gen)")

    def insert(self, keys: KeyTable, rows: Iterable[Sequence[Any]]) -> int:
        """Insert keys given as Python values, in batches; return how many."""
        target = sa.table(keys.name, *[sa.column(name) for name in (*keys.columns, "gen", "edge")])
        names = (*keys.columns, "gen", "edge")
        count, waiting = 0, iter(rows)
        while batch := list(islice(waiting, INSERT_ROWS)):
            self.conn.execute(sa.insert(target), [dict(zip(names, (*row, 0, 0), strict=True)) for row in batch])
            count += len(batch)
        return count

    def add(self, keys: KeyTable, exprs: Sequence[str], tail: str, gen: int, edge: int) -> int:
        """Insert the keys that a query finds and that are not there yet; return how many were new.

        Parameters
        ----------
        keys : KeyTable
        exprs : sequence of str
            The key's expressions in the query.
        tail : str
            The query from FROM on; it may not name `keys` itself, see `add_through`.
        gen, edge : int
            Written beside each key.
        """
        return self.run(self.add_sql(keys, exprs, tail, gen, edge))

    def add_sql(self, keys: KeyTable, exprs: Sequence[str], tail: str, gen: int, edge: int) -> str:
        """Return the statement of `add`."""
        names = ", ".join((*keys.columns, "gen", "edge"))
        fresh = " AND ".join(f"x.{name} = q.{name}" for name in keys.columns[: keys.unique])
        shape = ", ".join(f"{expr} AS {name}" for expr, name in zip(exprs, keys.columns, strict=True))
        return (
            f"INSERT INTO {keys.name} ({names}) SELECT q.*, {gen}, {edge} FROM (SELECT DISTINCT {shape} {tail}) q "
            f"WHERE NOT EXISTS (SELECT 1 FROM {keys.name} x WHERE {fresh})"
        )

    def add_through(self, keys: KeyTable, table: Table, exprs: Sequence[str], tail: str, marks: tuple[int, int]) -> int:
        """Like `add` where the query reads `keys` itself: what it finds rests in a table between."""
        between = self.create(table, unique=False)
        self.run(f"INSERT INTO {between.name} SELECT DISTINCT {', '.join(exprs)}, 0, 0 {tail}")
        gen, edge = marks
        added = self.add(keys, [f"b.{name}" for name in between.columns], f"FROM {between.name} b", gen, edge)
        self.drop(between)
        return added

    def second(self, table: Table, keys: KeyTable) -> KeyTable:
        """Return a table with the same keys for a statement that reads `keys` already."""
        return keys

    def drop(self, keys: KeyTable) -> None:
        """Drop a key table."""
        self.run(f"DROP TABLE {keys.name}")
        self._made.remove(keys.name)

    def drop_all(self) -> None:
        """Drop everything that was made, so that a pooled connection goes back as it came."""
        while self.drops and self._made:
            self.run(f"DROP TABLE {self._made.pop()}")
