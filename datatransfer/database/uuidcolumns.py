"""The columns ``entity_uuid`` and ``imported_from_uuid`` of one table: how each database adds them and takes them away.

Rows that are there are filled in one statement, without firing the table's triggers, and the new column keeps a default
of random UUIDs, so that an application that knows nothing of it goes on inserting.

==========  ==========================================================================================================
PostgreSQL  one ``ALTER TABLE``; ``gen_random_uuid()`` is computed for each row
MariaDB     one ``ALTER TABLE``; so is an expression of random bytes (``uuid()`` before 10.10)
SQLite      ``ADD COLUMN`` with a constant default, one ``UPDATE``, a unique index; then the constant is replaced by an
            expression in the stored schema, as https://sqlite.org/lang_altertable.html (section 7) allows for defaults.
            Unlike a rebuilt table that keeps rowids, indexes, triggers, views, generated columns, WITHOUT ROWID, STRICT
            and the foreign keys of other tables exactly as they were.
==========  ==========================================================================================================
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from datatransfer.database.dialects.failures import database_errors
from datatransfer.errors import DatabaseError, UnknownTableError, UsageError
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID

_SQLITE_UUID = (
    "lower(hex(randomblob(6)) || '4' || substr(hex(randomblob(2)), 2)"
    " || substr('89AB', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || hex(randomblob(6)))"
)
_MARIADB_UUID = (
    "lower(concat(hex(random_bytes(6)), '4', substr(hex(random_bytes(2)), 2),"
    " substr('89ab', 1 + floor(rand() * 4), 1), substr(hex(random_bytes(2)), 2), hex(random_bytes(6))))"
)


@dataclass(frozen=True)
class TrackedTable:
    """One table to change, with everything that its statements need."""

    conn: sa.Connection
    name: str
    schema: str | None

    @property
    def label(self) -> str:
        return self.name if self.schema is None else f"{self.schema}.{self.name}"

    @property
    def sql(self) -> str:
        own = self.quote(self.name)
        return own if self.schema is None else f"{self.quote(self.schema)}.{own}"

    @property
    def unique(self) -> str:
        """The name of the unique key, by which `drop_entity_uuids` knows that it was made here."""
        return _short(f"datatransfer_uuid_{self.name}")

    @property
    def index(self) -> str:
        return _short(f"datatransfer_from_{self.name}")

    @property
    def uuid_type(self) -> str:
        return sa.Uuid().compile(self.conn.dialect)

    def quote(self, name: str) -> str:
        return self.conn.dialect.identifier_preparer.quote_identifier(name)

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.conn.exec_driver_sql(statement)

    def rows(self, statement: str, *values: str) -> list[Any]:
        return list(self.conn.exec_driver_sql(statement, values).all())


def _short(name: str) -> str:
    """Cut a name to what every database takes, unmistakably."""
    if len(name.encode()) <= 63:
        return name
    return name.encode()[:50].decode(errors="ignore") + "_" + hashlib.sha256(name.encode()).hexdigest()[:12]


def find_table(conn: sa.Connection, name: str) -> TrackedTable:
    """Find a table by ``"name"`` or ``"schema.name"``; names may hold dots themselves."""
    with database_errors(conn.engine, "reading the schema", where=name):
        inspector = sa.inspect(conn)
        schema, _, bare = name.partition(".")
        default = inspector.default_schema_name
        if inspector.has_table(name):
            found = TrackedTable(conn, name, None)
        elif bare and inspector.has_table(bare, schema=schema):
            found = TrackedTable(conn, bare, None if schema == default else schema)
        else:
            raise UnknownTableError(f"there is no table {name!r}", where=name, hint="see Database.tables")
        views = inspector.get_view_names(schema=found.schema)
    if found.name in views:
        raise UnknownTableError(f"{name!r} is a view, not a table", where=name)
    return found


def columns_of(target: TrackedTable) -> set[str]:
    """Return the names of the columns of a table."""
    with database_errors(target.conn.engine, "reading the schema", where=target.label):
        return {column["name"] for column in sa.inspect(target.conn).get_columns(target.name, schema=target.schema)}


def unique_names(target: TrackedTable) -> set[str | None]:
    """Return the names of the indexes of a table, among which its unique keys are."""
    if target.conn.dialect.name == "sqlite":
        # The inspector would warn of every index on an expression.
        return {row.name for row in target.rows("SELECT name FROM pragma_index_list(?)", target.name)}
    inspector = sa.inspect(target.conn)
    return {index["name"] for index in inspector.get_indexes(target.name, schema=target.schema)}


# --- PostgreSQL and MariaDB -----------------------------------------------------------------------------------------


def _add_postgresql(target: TrackedTable) -> None:
    quote = target.quote
    target.run(
        f"ALTER TABLE {target.sql}"
        f" ADD COLUMN {quote(ENTITY_UUID)} {target.uuid_type} NOT NULL DEFAULT gen_random_uuid(),"
        f" ADD COLUMN {quote(IMPORTED_FROM_UUID)} {target.uuid_type},"
        f" ADD CONSTRAINT {quote(target.unique)} UNIQUE ({quote(ENTITY_UUID)})",
        f"CREATE INDEX {quote(target.index)} ON {target.sql} ({quote(IMPORTED_FROM_UUID)})",
    )


def _add_mariadb(target: TrackedTable) -> None:
    dialect: Any = target.conn.dialect
    random = not dialect.is_mariadb or dialect.server_version_info >= (10, 10)
    value = _MARIADB_UUID if random else "lower(replace(uuid(), '-', ''))"
    quote, uuid_type = target.quote, target.uuid_type
    # One statement: MariaDB commits after each, and this one is done wholly or not at all.
    target.run(
        f"ALTER TABLE {target.sql}"
        f" ADD COLUMN {quote(ENTITY_UUID)} {uuid_type} NOT NULL DEFAULT ({value}),"
        f" ADD COLUMN {quote(IMPORTED_FROM_UUID)} {uuid_type} NULL,"
        f" ADD UNIQUE KEY {quote(target.unique)} ({quote(ENTITY_UUID)}),"
        f" ADD KEY {quote(target.index)} ({quote(IMPORTED_FROM_UUID)})"
    )


def _drop_other(target: TrackedTable) -> None:
    columns = (target.quote(ENTITY_UUID), target.quote(IMPORTED_FROM_UUID))
    target.run(f"ALTER TABLE {target.sql} {', '.join(f'DROP COLUMN {column}' for column in columns)}")


# --- SQLite ---------------------------------------------------------------------------------------------------------


def _add_sqlite(target: TrackedTable) -> None:
    quote = target.quote
    # A STRICT table knows no CHAR(32).
    strict = any(row.strict for row in target.rows("SELECT strict FROM pragma_table_list(?)", target.name))
    uuid_type = "TEXT" if strict else target.uuid_type
    placeholder = f"datatransfer:{secrets.token_hex(16)}"
    with _sqlite_savepoint(target):
        target.run(
            f"ALTER TABLE {target.sql} ADD COLUMN {quote(ENTITY_UUID)} {uuid_type} NOT NULL DEFAULT '{placeholder}'",
            f"ALTER TABLE {target.sql} ADD COLUMN {quote(IMPORTED_FROM_UUID)} {uuid_type}",
        )
        with _without_triggers(target):
            target.run(f"UPDATE {target.sql} SET {quote(ENTITY_UUID)} = {_SQLITE_UUID}")
        target.run(
            f"CREATE UNIQUE INDEX {quote(target.unique)} ON {quote(target.name)} ({quote(ENTITY_UUID)})",
            f"CREATE INDEX {quote(target.index)} ON {quote(target.name)} ({quote(IMPORTED_FROM_UUID)})",
        )
        _replace_default(target, f"'{placeholder}'", f"({_SQLITE_UUID})")


def _drop_sqlite(target: TrackedTable) -> None:
    quote = target.quote
    with _sqlite_savepoint(target), _without_triggers(target):
        target.run(f"DROP INDEX {quote(target.unique)}", f"DROP INDEX {quote(target.index)}")
        for column in (ENTITY_UUID, IMPORTED_FROM_UUID):
            target.run(f"ALTER TABLE {target.sql} DROP COLUMN {quote(column)}")


@contextmanager
def _sqlite_savepoint(target: TrackedTable) -> Iterator[None]:
    """All or nothing, whether or not the driver has begun a transaction (Python's begins none before DDL)."""
    if target.schema is not None:
        raise UsageError("tables of attached files cannot be tracked", where=target.label, hint="open that file itself")
    target.run("SAVEPOINT datatransfer_tracking")
    try:
        yield
    except BaseException:
        target.run("ROLLBACK TO datatransfer_tracking")
        raise
    finally:
        target.run("RELEASE datatransfer_tracking")


@contextmanager
def _without_triggers(target: TrackedTable) -> Iterator[None]:
    """Drop the table's triggers and create them again from their own text; SQLite cannot switch them off in SQL."""
    wanted = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY rowid"
    triggers = target.rows(wanted, target.name)
    target.run(*(f"DROP TRIGGER {target.quote(trigger.name)}" for trigger in triggers))
    yield
    target.run(*(trigger.sql for trigger in triggers))


def _replace_default(target: TrackedTable, old: str, new: str) -> None:
    version = target.rows("PRAGMA schema_version")[0][0]
    target.run("PRAGMA writable_schema=ON")
    try:
        changed = target.conn.exec_driver_sql(
            "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = ? COLLATE NOCASE",
            (old, new, target.name),
        ).rowcount
        # Every other connection reads the schema again, and this one too.
        target.run(f"PRAGMA schema_version={version + 1}")
    finally:
        target.run("PRAGMA writable_schema=RESET")
    found = target.rows("SELECT dflt_value FROM pragma_table_info(?) WHERE name = ?", target.name, ENTITY_UUID)
    if changed != 1 or not found or found[0][0] != new[1:-1]:
        raise DatabaseError("SQLite did not take the default of the new column", where=target.label)


#: What adds the columns, by the name of the dialect.
ADD: Mapping[str, Callable[[TrackedTable], None]] = {
    "sqlite": _add_sqlite,
    "postgresql": _add_postgresql,
    "mysql": _add_mariadb,
    "mariadb": _add_mariadb,
}
#: What takes them away.
DROP: Mapping[str, Callable[[TrackedTable], None]] = {
    "sqlite": _drop_sqlite,
    "postgresql": _drop_other,
    "mysql": _drop_other,
    "mariadb": _drop_other,
}
