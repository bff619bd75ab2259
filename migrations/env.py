"""Alembic's environment for our own tables and for the entity_uuid columns.

Its version table is ``datatransfer_alembic_version``, never the application's. Two branches that can be upgraded each
on their own: ``ledger`` (our own tables) and ``entity_uuids`` (tracked tables; needs to know which)::

    alembic -c migrations/alembic.ini -x url=sqlite:///shop.db upgrade ledger@head
    alembic -c migrations/alembic.ini -x url=sqlite:///shop.db -x tables=users,orders upgrade entity_uuids@head

Programs give a connection and the tables in ``config.attributes`` instead.
"""

from __future__ import annotations

from typing import Any

from alembic import context

from datatransfer.database.engines import make_engine
from datatransfer.database.models import METADATA, VERSION_TABLE
from datatransfer.errors import UsageError


def asked_tables() -> tuple[str, ...]:
    """Return the tables that were asked for."""
    given = context.config.attributes.get("tables")
    if given is None:
        given = [name.strip() for name in context.get_x_argument(as_dictionary=True).get("tables", "").split(",")]
    return tuple(name for name in given if name)


def run(connection: Any) -> None:
    """Run the migrations on a connection."""
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        version_table=VERSION_TABLE,
        transaction_per_migration=True,
        datatransfer_tables=asked_tables(),
    )
    with context.begin_transaction():
        context.run_migrations()


def main() -> None:
    """Use the connection that was given, else open one."""
    if context.is_offline_mode():
        raise UsageError("these migrations look at the database first", hint="run them without --sql")
    connection = context.config.attributes.get("connection")
    if connection is not None:
        run(connection)
        return
    url = context.get_x_argument(as_dictionary=True).get("url")
    if not url:
        raise UsageError("no database was given", hint="alembic -c migrations/alembic.ini -x url=sqlite:///shop.db …")
    engine = make_engine(url)
    try:
        with engine.connect() as opened:
            run(opened)
    finally:
        engine.dispose()


main()
