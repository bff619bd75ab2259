"""Gives tables their ``entity_uuid`` and ``imported_from_uuid`` columns, or takes them away again.

The columns have the types that `datatransfer.database.models.EntityMixin` gives them. Rows that are there are filled in
one statement a table, without firing the table's triggers, and the new column keeps a default of random UUIDs, so that
an application that knows nothing of it goes on inserting.

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
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datatransfer.database import ledger
from datatransfer.database.connection import Database
from datatransfer.database.dialects.failures import database_errors
from datatransfer.errors import DatabaseError, UnknownTableError, UsageError
from datatransfer.given import names_of
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID

if TYPE_CHECKING:
    from types import ModuleType

REVISION = "c38a4ee83811"

_SQLITE_UUID = (
    "lower(hex(randomblob(6)) || '4' || substr(hex(randomblob(2)), 2)"
    " || substr('89AB', 1 + (random() & 3), 1) || substr(hex(randomblob(2)), 2) || hex(randomblob(6)))"
)
_MARIADB_UUID = (
    "lower(concat(hex(random_bytes(6)), '4', substr(hex(random_bytes(2)), 2),"
    " substr('89ab', 1 + floor(rand() * 4), 1), substr(hex(random_bytes(2)), 2), hex(random_bytes(6))))"
)


@dataclass(frozen=True)
class _Target:
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


# --- for a migration of the user's own ------------------------------------------------------------------------------


def add_entity_uuids(op: Any, *tables: str) -> list[str]:
    """Track tables, in one line of an Alembic migration of your own.

    Parameters
    ----------
    op : module
        Alembic's ``op``, or an ``Operations`` object.
    *tables : str
        ``"users"``, or ``"schema.users"``.

    Returns
    -------
    list of str
        Those that were changed; a table that has an ``entity_uuid`` already is left alone.

    Raises
    ------
    UnknownTableError
        There is no such table; nothing was changed.
    DatabaseError
        The database refused. On SQLite and PostgreSQL nothing was changed.

    Examples
    --------
    ::

        def upgrade():
            datatransfer.add_entity_uuids(op, "users", "orders")
    """
    add = {"sqlite": _add_sqlite, "postgresql": _add_postgresql, "mysql": _add_mariadb, "mariadb": _add_mariadb}
    found = _targets(op, tables, add)
    changed = [target for target in found if ENTITY_UUID not in _columns(target)]
    for target in changed:
        with database_errors(target.conn.engine, f"adding {ENTITY_UUID}", where=target.label):
            add[target.conn.dialect.name](target)
    return [target.label for target in changed]


def drop_entity_uuids(op: Any, *tables: str) -> list[str]:
    """Take away what `add_entity_uuids` added; the same in reverse.

    Returns
    -------
    list of str
        Those that were changed; a table without an ``entity_uuid`` is left alone.

    Raises
    ------
    UsageError
        A table's ``entity_uuid`` was not added by us.
    UnknownTableError, DatabaseError
        As `add_entity_uuids`.
    """
    drop = {"sqlite": _drop_sqlite, "postgresql": _drop_other, "mysql": _drop_other, "mariadb": _drop_other}
    changed = [target for target in _targets(op, tables, drop) if ENTITY_UUID in _columns(target)]
    for target in changed:
        if target.unique not in _unique_names(target):
            raise UsageError(
                f"its {ENTITY_UUID} was not added by datatransfer",
                where=target.label,
                hint="drop it in a migration of your own",
            )
    for target in changed:
        with database_errors(target.conn.engine, f"dropping {ENTITY_UUID}", where=target.label):
            drop[target.conn.dialect.name](target)
    return [target.label for target in changed]


def _targets(op: Any, tables: Sequence[str], known: Mapping[str, Callable[[_Target], None]]) -> list[_Target]:
    conn = op.get_bind()
    if conn is None:
        raise UsageError("tracking looks at the database first", hint="run the migration without --sql")
    if conn.dialect.name not in known:
        raise UsageError(f"tables on {conn.dialect.name} cannot be tracked", hint=f"only on {', '.join(known)}")
    return [_target(conn, name) for name in dict.fromkeys(tables)]


def _target(conn: sa.Connection, name: str) -> _Target:
    """Find a table by ``"name"`` or ``"schema.name"``; names may hold dots themselves."""
    with database_errors(conn.engine, "reading the schema", where=name):
        inspector = sa.inspect(conn)
        schema, _, bare = name.partition(".")
        default = inspector.default_schema_name
        if inspector.has_table(name):
            found = _Target(conn, name, None)
        elif bare and inspector.has_table(bare, schema=schema):
            found = _Target(conn, bare, None if schema == default else schema)
        else:
            raise UnknownTableError(f"there is no table {name!r}", where=name, hint="see Database.tables")
        views = inspector.get_view_names(schema=found.schema)
    if found.name in views:
        raise UnknownTableError(f"{name!r} is a view, not a table", where=name)
    return found


def _columns(target: _Target) -> set[str]:
    with database_errors(target.conn.engine, "reading the schema", where=target.label):
        return {column["name"] for column in sa.inspect(target.conn).get_columns(target.name, schema=target.schema)}


def _unique_names(target: _Target) -> set[str | None]:
    if target.conn.dialect.name == "sqlite":
        # The inspector would warn of every index on an expression.
        return {row.name for row in target.rows("SELECT name FROM pragma_index_list(?)", target.name)}
    inspector = sa.inspect(target.conn)
    return {index["name"] for index in inspector.get_indexes(target.name, schema=target.schema)}


# --- PostgreSQL and MariaDB -----------------------------------------------------------------------------------------


def _add_postgresql(target: _Target) -> None:
    quote = target.quote
    target.run(
        f"ALTER TABLE {target.sql}"
        f" ADD COLUMN {quote(ENTITY_UUID)} {target.uuid_type} NOT NULL DEFAULT gen_random_uuid(),"
        f" ADD COLUMN {quote(IMPORTED_FROM_UUID)} {target.uuid_type},"
        f" ADD CONSTRAINT {quote(target.unique)} UNIQUE ({quote(ENTITY_UUID)})",
        f"CREATE INDEX {quote(target.index)} ON {target.sql} ({quote(IMPORTED_FROM_UUID)})",
    )


def _add_mariadb(target: _Target) -> None:
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


def _drop_other(target: _Target) -> None:
    columns = (target.quote(ENTITY_UUID), target.quote(IMPORTED_FROM_UUID))
    target.run(f"ALTER TABLE {target.sql} {', '.join(f'DROP COLUMN {column}' for column in columns)}")


# --- SQLite ---------------------------------------------------------------------------------------------------------


def _add_sqlite(target: _Target) -> None:
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


def _drop_sqlite(target: _Target) -> None:
    quote = target.quote
    with _sqlite_savepoint(target), _without_triggers(target):
        target.run(f"DROP INDEX {quote(target.unique)}", f"DROP INDEX {quote(target.index)}")
        for column in (ENTITY_UUID, IMPORTED_FROM_UUID):
            target.run(f"ALTER TABLE {target.sql} DROP COLUMN {quote(column)}")


@contextmanager
def _sqlite_savepoint(target: _Target) -> Iterator[None]:
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
def _without_triggers(target: _Target) -> Iterator[None]:
    """Drop the table's triggers and create them again from their own text; SQLite cannot switch them off in SQL."""
    wanted = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name = ? COLLATE NOCASE ORDER BY rowid"
    triggers = target.rows(wanted, target.name)
    target.run(*(f"DROP TRIGGER {target.quote(trigger.name)}" for trigger in triggers))
    yield
    target.run(*(trigger.sql for trigger in triggers))


def _replace_default(target: _Target, old: str, new: str) -> None:
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


# --- for a whole database -------------------------------------------------------------------------------------------


def track(target: Database | str | sa.URL | sa.Engine, tables: str | Iterable[str] | None = None) -> list[str]:
    """Give tables of a database their ``entity_uuid``, by the migration ``add_entity_uuids``.

    Parameters
    ----------
    target : Database, str, sqlalchemy.URL or sqlalchemy.Engine
    tables : str or iterable of str, optional
        Every table that has a key if not given.

    Returns
    -------
    list of str
        The tables that were changed; those tracked already are left alone.

    Raises
    ------
    UnknownTableError, DatabaseError

    Examples
    --------
    >>> db = Database("sqlite://")
    >>> with db.engine.begin() as conn:
    ...     _ = conn.execute(sa.text("CREATE TABLE users (id INTEGER PRIMARY KEY)"))
    >>> track(db)
    ['users']
    >>> track(db)
    []
    >>> db.close()
    """
    with _opened(target) as db:
        wanted = [table.name for table in db.schema if table.key] if tables is None else names_of(tables, "tables")
        missing = [name for name in wanted if not db.schema.table(name).tracked]
        if missing:
            _run(db, missing, lambda migration: migration.upgrade())
            with db.engine.begin() as conn:
                ledger.stamp(conn, REVISION, db.dialect.schema)
        return missing


def untrack(target: Database | str | sa.URL | sa.Engine, tables: str | Iterable[str]) -> list[str]:
    """Take away what `track` added to these tables; the identities recorded there are lost.

    Returns
    -------
    list of str
        The tables that were changed.

    Raises
    ------
    UsageError
        A table's ``entity_uuid`` was not added by `track`.
    """
    with _opened(target) as db:
        present = [name for name in names_of(tables, "tables") if db.schema.table(name).tracked]
        if present:
            _run(db, present, lambda migration: migration.downgrade())
        return present


@contextmanager
def _opened(target: Database | str | sa.URL | sa.Engine) -> Iterator[Database]:
    if isinstance(target, Database):
        yield target
        return
    with Database(target) as db:
        yield db


def _run(db: Database, tables: list[str], step: Callable[[ModuleType], None]) -> None:
    from alembic.migration import MigrationContext
    from alembic.operations import Operations
    from alembic.script import ScriptDirectory

    own_schema = db.dialect.schema
    names = [name if own_schema is None or "." in name else f"{own_schema}.{name}" for name in tables]
    migration = ScriptDirectory(str(migrations_folder())).get_revision(REVISION).module
    with database_errors(db.engine, "tracking"), db.engine.begin() as conn:
        context = MigrationContext.configure(conn, opts={"datatransfer_tables": names})
        with Operations.context(context):
            step(migration)
    db.refresh()


def migrations_folder() -> Path:
    """Return where our Alembic environment lies: in the installed package, else beside it in a source tree."""
    import datatransfer

    package = Path(datatransfer.__file__).parent
    installed = package / "_migrations"
    return installed if installed.is_dir() else package.parent / "migrations"
