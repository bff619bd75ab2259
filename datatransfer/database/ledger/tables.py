"""The ledger's own tables, the revision they are at, and the identity of the database that they lie in.

Only `create_ledger` makes tables: call it on its own, for MariaDB commits at every DDL.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

import sqlalchemy as sa

from datatransfer.database import models
from datatransfer.database.dialects.failures import database_errors, driver_message

# The revision of migrations/versions/0002_after_images.py, with which the tables are as `create_ledger` makes them.
LEDGER_REVISION = "7c1e0d5b92f4"
_EARLIER_REVISIONS = ("539b49a4279e",)


def create_ledger(conn: sa.Connection, schema: str | None = None) -> None:
    """Create the tables that are missing, and note the revision they are at.

    Parameters
    ----------
    conn : sqlalchemy.Connection
        MariaDB commits its transaction if a table has to be made.
    schema : str, optional
        Where the tables live; the default schema of the connection if not given.

    Raises
    ------
    DatabaseError
        The role may not create tables.

    Examples
    --------
    >>> engine = sa.create_engine("sqlite://")
    >>> with engine.begin() as conn:
    ...     create_ledger(conn)
    ...     has_ledger(conn)
    True
    >>> engine.dispose()
    """
    with database_errors(conn.engine, "creating the tables of datatransfer"):
        models.metadata_in(schema).create_all(conn, checkfirst=True)
    stamp(conn, LEDGER_REVISION, schema, replaces=_EARLIER_REVISIONS)


def stamp(conn: sa.Connection, revision: str, schema: str | None = None, *, replaces: Sequence[str] = ()) -> None:
    """Note, in our own version table, that one of our Alembic revisions is applied, in place of earlier ones."""
    version = models.table_in(models.version, schema)
    with database_errors(conn.engine, "recording a revision", where=version.name):
        version.create(conn, checkfirst=True)
        if replaces:
            conn.execute(version.delete().where(version.c.version_num.in_(replaces)))
        if revision not in conn.execute(sa.select(version.c.version_num)).scalars().all():
            conn.execute(version.insert().values(version_num=revision))


def has_ledger(conn: sa.Connection, schema: str | None = None) -> bool:
    """Return whether all of the tables are there: MariaDB commits each, so that a kill can leave the first few."""
    with database_errors(conn.engine, "looking for the tables of datatransfer"):
        try:
            # the last that `create_ledger` makes
            return sa.inspect(conn).has_table(models.key_maps.name, schema=schema)
        except sa.exc.DBAPIError as error:
            # MariaDB lists a table that another session is about to make, and then says that it is not whole.
            if error.connection_invalidated or not driver_message(error).startswith("Table '"):
                raise
            return False


def read_origin(conn: sa.Connection, schema: str | None = None) -> uuid.UUID | None:
    """Return the recorded identity of this database, None if there is none."""
    if not has_ledger(conn, schema):
        return None
    table = models.table_in(models.origin, schema)
    with database_errors(conn.engine, "reading the origin"):
        found = conn.execute(sa.select(table.c.origin).where(table.c.id == 1)).scalar_one_or_none()
    return uuid.UUID(found) if found else None


def ensure_origin(conn: sa.Connection, derived: uuid.UUID | None = None, schema: str | None = None) -> uuid.UUID:
    """Return the recorded identity of this database; record one if there is none.

    Parameters
    ----------
    derived : uuid.UUID, optional
        What the database was known by so far, so that identities derived from it stay; a random one if not given.
    """
    found = read_origin(conn, schema)
    if found is not None:
        return found
    chosen = derived or uuid.uuid4()
    values = {"id": 1, "origin": str(chosen), "created": now()}
    with database_errors(conn.engine, "recording the origin"):
        conn.execute(models.table_in(models.origin, schema).insert().values(values))
    return chosen


def now() -> dt.datetime:
    """Return the time, for people to read: nothing is ordered by it."""
    return _now()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
