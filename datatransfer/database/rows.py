"""All rows of a database in the form in which a package gives them, so that both can be digested and compared."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import sqlalchemy as sa

from datatransfer.database.dialects.base import Dialect, RowSource
from datatransfer.database.dialects.spellings import spelled
from datatransfer.database.identities import Identities
from datatransfer.errors import UsageError
from datatransfer.schema.tables import Schema, Table

if TYPE_CHECKING:
    import pyarrow as pa


class Rowed(Protocol):
    """What rows are read from: a `Database`."""

    dialect: Dialect

    @property
    def schema(self) -> Schema:
        """Its tables."""

    @property
    def origin(self) -> uuid.UUID:
        """Which database it is."""


class DatabaseRows:
    """All rows of a database in one snapshot, in the form in which a package gives them.

    Parameters
    ----------
    db : Database
    tables : sequence of str, optional
        Only these; all if not given.
    identities : bool
        Whether rows that were imported carry the origin and key that receipts record, as those of a package do.

    Examples
    --------
    >>> import sqlalchemy as sa
    >>> from datatransfer.database.connection import Database
    >>> db = Database("sqlite://")
    >>> with db.engine.begin() as conn:
    ...     _ = conn.execute(sa.text("CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT)"))
    ...     _ = conn.execute(sa.text("INSERT INTO users VALUES (1, 'Ann')"))
    >>> with DatabaseRows(db) as rows:
    ...     [batch.num_rows for batch in rows.batches("users")]
    [1]
    >>> db.close()
    """

    def __init__(self, db: Rowed, tables: Sequence[str] | None = None, *, identities: bool = False) -> None:
        self.db = db
        self._identities = identities
        self._names = list(tables) if tables is not None else list(db.schema.tables)
        for name in self._names:
            db.schema.table(name)
        self._stack = ExitStack()
        self._conn: sa.Connection | None = None

    def __enter__(self) -> DatabaseRows:
        self._conn = self._conn or self._stack.enter_context(self.db.dialect.snapshot())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave the snapshot."""
        self._conn = None
        self._stack.close()

    @property
    def _open(self) -> sa.Connection:
        if self._conn is None:
            raise UsageError("the rows of a database are read in one snapshot", hint="use it in a with statement")
        return self._conn

    @property
    def origin(self) -> uuid.UUID:
        """Which database it is."""
        return self.db.origin

    @cached_property
    def schema(self) -> Schema:
        """The tables with definite types."""
        dialect, conn, every = self.db.dialect, self._open, self.db.schema.tables
        tables = {name: dialect.resolve_types(conn, every[name], RowSource()) for name in self._names}
        tables = {name: dialect.resolve_references(conn, table) for name, table in tables.items()}
        tables = {n: spelled(dialect, conn, table, every, RowSource()) for n, table in tables.items()}
        return Schema({name: self._keyed(table) for name, table in tables.items()}, self.db.schema.left_out)

    def _keyed(self, table: Table) -> Table:
        """Return the table without its key where rows have NULL in it, as an export does."""
        loose = [self.db.dialect.quote(name) for name in table.key if table.column(name).nullable]
        if not loose:
            return table
        nulls = " OR ".join(f"t.{name} IS NULL" for name in loose)
        rows = f"SELECT 1 FROM {self.db.dialect.from_sql(table)} t WHERE {nulls}"
        found = self.db.dialect.execute(self._open, f"SELECT CASE WHEN EXISTS ({rows}) THEN 1 ELSE 0 END").scalar_one()
        return replace(table, key=(), key_kind="none") if found else table

    def batches(self, table: str, batch_rows: int = 65536) -> Iterator[pa.RecordBatch]:
        """Yield all rows of a table."""
        found = self.schema.table(table)
        known = Identities(self._open, self.db.dialect.schema).recorded(found) if self._identities else None
        for batch in self.db.dialect.read(self._open, found, RowSource(), batch_rows=batch_rows):
            yield known.beside(batch) if known else batch
