"""Gives tables their ``entity_uuid`` and ``imported_from_uuid`` columns, or takes them away again.

The columns have the types that `datatransfer.database.models.EntityMixin` gives them. How each database adds them is in
`datatransfer.database.uuidcolumns`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datatransfer.database import ledger
from datatransfer.database.connection import Database
from datatransfer.database.dialects.failures import database_errors
from datatransfer.database.uuidcolumns import ADD, DROP, TrackedTable, columns_of, find_table, unique_names
from datatransfer.errors import UsageError
from datatransfer.given import names_of
from datatransfer.schema.tables import ENTITY_UUID

if TYPE_CHECKING:
    from types import ModuleType

REVISION = "c38a4ee83811"


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
    found = _targets(op, tables)
    changed = [target for target in found if ENTITY_UUID not in columns_of(target)]
    for target in changed:
        with database_errors(target.conn.engine, f"adding {ENTITY_UUID}", where=target.label):
            ADD[target.conn.dialect.name](target)
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
    changed = [target for target in _targets(op, tables) if ENTITY_UUID in columns_of(target)]
    for target in changed:
        if target.unique not in unique_names(target):
            raise UsageError(
                f"its {ENTITY_UUID} was not added by datatransfer",
                where=target.label,
                hint="drop it in a migration of your own",
            )
    for target in changed:
        with database_errors(target.conn.engine, f"dropping {ENTITY_UUID}", where=target.label):
            DROP[target.conn.dialect.name](target)
    return [target.label for target in changed]


def _targets(op: Any, tables: Sequence[str]) -> list[TrackedTable]:
    conn = op.get_bind()
    if conn is None:
        raise UsageError("tracking looks at the database first", hint="run the migration without --sql")
    if conn.dialect.name not in ADD:
        raise UsageError(f"tables on {conn.dialect.name} cannot be tracked", hint=f"only on {', '.join(ADD)}")
    return [find_table(conn, name) for name in dict.fromkeys(tables)]


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
