"""Our own tables, as they were in the first version.

They are written out, not taken from the models, so that this step stays what it was when the models change. Where
`datatransfer.database.ledger.create_ledger` has made them already, it has also noted this revision.

Revision ID: 539b49a4279e
Revises:
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "539b49a4279e"
down_revision = None
branch_labels = ("ledger",)
depends_on = None

_OPTIONS: dict[str, Any] = {
    f"{name}_{option}": value
    for name in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("default_charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
_LONG_TEXT = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")
_UUID, _NAME, _TIME = sa.String(36), sa.String(255), sa.String(32)


def _import_id() -> sa.Column[Any]:
    return sa.Column("import_id", _UUID, sa.ForeignKey("datatransfer_imports.import_id"), primary_key=True)


def _numbered(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, primary_key=True, autoincrement=False)


def upgrade() -> None:
    op.create_table(
        "datatransfer_origin",
        _numbered("id"),
        sa.Column("origin", _UUID, nullable=False),
        sa.Column("created", _TIME, nullable=False),
        **_OPTIONS,
    )
    _create_imports()
    op.create_table(
        "datatransfer_checkpoints",
        _import_id(),
        sa.Column("table_name", _NAME, primary_key=True),
        _numbered("part"),
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("created", _TIME, nullable=False),
        **_OPTIONS,
    )
    for name, more in (("key_maps", [sa.Column("origin", _UUID, nullable=False)]), ("before_images", [])):
        op.create_table(
            f"datatransfer_{name}",
            _import_id(),
            sa.Column("table_name", _NAME, primary_key=True),
            _numbered("chunk"),
            *more,
            sa.Column("rows", sa.BigInteger, nullable=False),
            sa.Column("data", _BLOB, nullable=False),
            **_OPTIONS,
        )
    op.create_table(
        "datatransfer_import_files",
        _import_id(),
        _numbered("n"),
        sa.Column("store_table", _NAME, nullable=False),
        sa.Column("store_column", _NAME, nullable=False),
        sa.Column("path", sa.Text, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("bytes", sa.BigInteger, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        **_OPTIONS,
    )


def _create_imports() -> None:
    op.create_table(
        "datatransfer_imports",
        sa.Column("import_id", _UUID, primary_key=True),
        sa.Column("seq", sa.Integer, nullable=False, unique=True),
        sa.Column("package_id", _UUID, nullable=False),
        sa.Column("package_digest", sa.String(64), nullable=False, index=True),
        sa.Column("origin", _UUID, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("claim", sa.String(128), unique=True),
        sa.Column("created", _TIME, nullable=False),
        sa.Column("finished", _TIME),
        sa.Column("undone_at", _TIME),
        sa.Column("options", _LONG_TEXT, nullable=False),
        sa.Column("counts", _LONG_TEXT, nullable=False),
        sa.Column("warnings", _LONG_TEXT, nullable=False),
        sa.Column("plan_fingerprint", sa.String(128), nullable=False),
        sa.Column("session", sa.Text, nullable=False),
        **_OPTIONS,
    )


def downgrade() -> None:
    for name in ("import_files", "before_images", "key_maps", "checkpoints", "imports", "origin"):
        op.drop_table(f"datatransfer_{name}")
