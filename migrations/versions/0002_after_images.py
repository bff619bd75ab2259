"""What undo tells edits by: keys and hashes of the rows that an import wrote, as it left them.

Revision ID: 7c1e0d5b92f4
Revises: 539b49a4279e
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "7c1e0d5b92f4"
down_revision = "539b49a4279e"
branch_labels = None
depends_on = None

_OPTIONS: dict[str, Any] = {
    f"{name}_{option}": value
    for name in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("default_charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def upgrade() -> None:
    op.create_table(
        "datatransfer_after_images",
        sa.Column("import_id", sa.String(36), sa.ForeignKey("datatransfer_imports.import_id"), primary_key=True),
        sa.Column("table_name", sa.String(255), primary_key=True),
        sa.Column("chunk", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("data", _BLOB, nullable=False),
        **_OPTIONS,
    )


def downgrade() -> None:
    op.drop_table("datatransfer_after_images")
