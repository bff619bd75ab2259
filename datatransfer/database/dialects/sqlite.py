"""SQLite: values have storage classes, columns do not; rows come raw from the driver or from a quicker child process."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from datatransfer.database.dialects import sqlite_reflection
from datatransfer.database.dialects.base import Dialect, Rows, RowSource
from datatransfer.database.dialects.columns import value_loss
from datatransfer.database.dialects.failures import database_errors
from datatransfer.errors import DatabaseError
from datatransfer.schema.tables import Column, Schema, Table
from datatransfer.schema.values import Kind, LogicalType

_CLASSES: Mapping[str, Kind] = {"integer": "integer", "real": "float", "text": "text", "blob": "bytes"}
#: SQLite allows 2,000 result columns; four counts a column stay well below.
_COLUMNS_A_QUERY = 400
_SAMPLE_ROWS = 100
_UNDECODABLE = re.compile(r"Could not decode to UTF-8 column '(.*?)' with text '", re.DOTALL)

Ask = Callable[[str], Sequence[Sequence[Any]]]


class SqliteDialect(Dialect):
    """Reflects by pragmas and reads storage classes exactly."""

    name = "sqlite"

    def __init__(self, engine: sa.Engine, schema: str | None = None) -> None:
        super().__init__(engine, schema)
        self.default_schema = schema or "main"

    def reflect(self, conn: sa.Connection) -> Schema:
        """Return the tables of the database file."""
        return sqlite_reflection.reflect(conn, self.default_schema or "main")

    # --- SQL ----------------------------------------------------------------------------------------------------

    def order_sql(self, table: Table) -> str:
        """Return the key, and the rowid after it: SQLite lets keys repeat where they hold NULL."""
        row_id = self.keyless_row_id(table)
        keys = [f"t.{self.quote(name)}" for name in table.key]
        if not keys and not row_id:
            keys = [f"t.{self.quote(name)}" for name in table.column_names]
        return ", ".join(keys + [row_id] if row_id else keys)

    def keyless_row_id(self, table: Table) -> str | None:
        """Return the rowid under a name that no column has taken, for tables whose key may hold NULL or is missing.

        A table WITHOUT ROWID always has a key of NOT NULL columns.
        """
        taken = {name.lower() for name in table.column_names}
        if table.key_kind == "primary" and not any(table.by_name[name].nullable for name in table.key):
            return None
        free = next((name for name in ("rowid", "_rowid_", "oid") if name not in taken), None)
        return f"t.{free}" if free else None

    # --- snapshot -----------------------------------------------------------------------------------------------

    def _begin_snapshot(self, conn: sa.Connection) -> None:
        """Begin a real read transaction.

        The driver begins one only before it writes, and SQLite takes its snapshot at the first read.
        """
        raw = _driver(conn)
        if raw.in_transaction:
            raise DatabaseError(
                "a transaction is open on the only connection of an in-memory database",
                hint="commit it or roll it back first",
            )
        conn.info["datatransfer"] = (raw.isolation_level, raw.text_factory, raw.row_factory)
        raw.isolation_level, raw.text_factory, raw.row_factory = None, str, None
        raw.execute("BEGIN")
        raw.execute(f"SELECT count(*) FROM {self.quote(self.default_schema or 'main')}.sqlite_schema").fetchall()

    def _end_snapshot(self, conn: sa.Connection) -> None:
        raw = _driver(conn)
        with database_errors(self.engine, "closing a snapshot"):
            if raw.in_transaction:
                raw.execute("ROLLBACK")
            settings = conn.info.pop("datatransfer", None)
            if settings is not None:
                raw.isolation_level, raw.text_factory, raw.row_factory = settings
            conn.close()

    # --- reading ------------------------------------------------------------------------------------------------

    def resolve_types(self, conn: sa.Connection, table: Table, source: RowSource) -> Table:
        """Look at the storage classes of the rows, and give each ``any`` column the one it has, if it has one.

        A column that holds only NULLs takes the type of its declared affinity. One that holds several classes stays
        ``any``.
        """
        open_columns = [column for column in table.columns if column.type.kind == "any"]
        if not open_columns:
            return table

        def ask(sql: str) -> Sequence[Sequence[Any]]:
            with database_errors(self.engine, "looking at storage classes", where=table.name):
                return _driver(conn).execute(sql).fetchall()

        found = storage_classes(ask, open_columns, f"{self.from_sql(table)} t{source.tail()}", self.quote)
        return table.with_types(found)

    def _open(self, conn: sa.Connection, sql: str) -> Rows:
        # The driver's own cursor: SQLAlchemy's result would cost a third more time and give the same values.
        cursor: Rows = _driver(conn).execute(sql)
        return cursor

    def _fetch(self, rows: Rows, size: int, table: Table) -> Sequence[Sequence[Any]]:
        with database_errors(self.engine, "reading rows", where=table.name):
            try:
                return rows.fetchmany(size)
            except sqlite3.OperationalError as error:
                broken = _UNDECODABLE.match(str(error))
                if broken is None:
                    raise
                # The driver's message ends with the text itself, so it is not passed on.
                why = "a text is not valid UTF-8"
                raise value_loss(table.name, broken.group(1), LogicalType("text"), why) from None


def _driver(conn: sa.Connection) -> sqlite3.Connection:
    raw = conn.connection.driver_connection
    assert isinstance(raw, sqlite3.Connection)
    return raw


def affinity_type(declared: str) -> LogicalType:
    """Return the type of a column that holds nothing, by SQLite's rules of affinity (datatype3.html, 3.1)."""
    text = declared.upper()
    if "INT" in text:
        return LogicalType("integer", bits=64)
    if any(word in text for word in ("CHAR", "CLOB", "TEXT")):
        return LogicalType("text")
    if not text or "BLOB" in text:
        return LogicalType("bytes")
    if any(word in text for word in ("DATE", "TIME", "JSON", "UUID")):
        return LogicalType("text")  # affinity NUMERIC, which no such value follows
    return LogicalType("integer" if "BOOL" in text else "float", bits=64)


def storage_classes(
    ask: Ask, columns: Sequence[Column], from_sql: str, quote: Callable[[str], str]
) -> dict[str, LogicalType]:
    """Find the one storage class of each column, ``any`` where there are several.

    A guess from the first rows is checked over all of them with one count a column; only columns where it fails are
    counted class by class.

    Parameters
    ----------
    ask : callable
        Runs a query and returns its rows.
    columns : sequence of Column
    from_sql : str
        What stands after FROM, with the alias ``t``.
    quote : callable
        Quotes an identifier.
    """
    found: dict[str, LogicalType] = {}
    for start in range(0, len(columns), _COLUMNS_A_QUERY):
        part = columns[start : start + _COLUMNS_A_QUERY]
        names = [f"t.{quote(column.name)}" for column in part]
        guesses = _guess(ask, part, names, from_sql)
        checks = [f"sum(typeof({n}) IN ('{_class_of(g)}', 'null'))" for n, g in zip(names, guesses, strict=True)]
        counts = ask(f"SELECT count(*), {', '.join(checks)} FROM {from_sql}")[0]
        failed = []
        for column, name, guess, count in zip(part, names, guesses, counts[1:], strict=True):
            found[column.name] = guess
            if (count or 0) != counts[0]:
                failed.append((column, name))
        if failed:
            found.update(_count_classes(ask, failed, from_sql))
    return found


def _class_of(kind: LogicalType) -> str:
    return next(name for name, value in _CLASSES.items() if value == kind.kind)


def _typed(storage: str) -> LogicalType:
    kind = _CLASSES[storage]
    return LogicalType(kind, bits=64 if kind in ("integer", "float") else 0)


def _guess(ask: Ask, columns: Sequence[Column], names: Sequence[str], from_sql: str) -> list[LogicalType]:
    sample = ask(f"SELECT {', '.join(f'typeof({name})' for name in names)} FROM {from_sql} LIMIT {_SAMPLE_ROWS}")
    guesses = []
    for index, column in enumerate(columns):
        first = next((row[index] for row in sample if row[index] != "null"), None)
        guesses.append(_typed(first) if first else affinity_type(column.declared))
    return guesses


def _count_classes(ask: Ask, failed: Sequence[tuple[Column, str]], from_sql: str) -> dict[str, LogicalType]:
    sums = [f"sum(typeof({name}) = '{storage}')" for _, name in failed for storage in _CLASSES]
    counts = ask(f"SELECT {', '.join(sums)} FROM {from_sql}")[0]
    found = {}
    for index, (column, _) in enumerate(failed):
        own = counts[index * len(_CLASSES) : (index + 1) * len(_CLASSES)]
        present = [storage for storage, count in zip(_CLASSES, own, strict=True) if count]
        found[column.name] = _typed(present[0]) if len(present) == 1 else LogicalType("any")
    return found
