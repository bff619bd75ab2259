"""Give tables of the application their entity_uuid and imported_from_uuid columns, or take them away again.

Which tables: ``-x tables=users,orders``, or ``config.attributes["tables"]``. Rows that are there get their UUIDs in one
statement a table. Tables that have an entity_uuid column already are left alone, so it may be run again for more tables
with `datatransfer.track`. An application that has Alembic of its own rather calls, in a migration of its own::

    datatransfer.add_entity_uuids(op, "users", "orders")

Revision ID: c38a4ee83811
Revises:
"""

from __future__ import annotations

from alembic import op

from datatransfer.database.tracking import add_entity_uuids, drop_entity_uuids
from datatransfer.errors import UsageError

revision = "c38a4ee83811"
down_revision = None
branch_labels = ("entity_uuids",)
depends_on = None


def asked_tables() -> tuple[str, ...]:
    """Return the tables that were asked for."""
    tables = tuple(op.get_context().opts.get("datatransfer_tables") or ())
    if not tables:
        raise UsageError("no table was named", hint="-x tables=users,orders")
    return tables


def upgrade() -> None:
    add_entity_uuids(op, *asked_tables())


def downgrade() -> None:
    drop_entity_uuids(op, *asked_tables())
