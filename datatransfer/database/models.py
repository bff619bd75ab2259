"""The mixin for tracked models, and the tables of our own that we keep in a target database.

Our tables are SQLAlchemy Core tables in one `MetaData`, the same on SQLite, PostgreSQL and MariaDB (InnoDB, utf8mb4).
All their names start with ``datatransfer_``. What is in them is read and written by `datatransfer.database.ledger`;
this module knows only their shape.

==============================  ======================================================================================
table                           one row is
==============================  ======================================================================================
datatransfer_alembic_version    the revision of these tables (Alembic's own layout, never the application's)
datatransfer_origin             the identity of this database; there is one row
datatransfer_imports            one import, from its first staged row to its undo
datatransfer_checkpoints        one staged part of one import
datatransfer_key_maps           a chunk of source key → target key of one table, as Parquet
datatransfer_before_images      a chunk of rows as they were before an update, as Parquet
datatransfer_after_images       a chunk of keys and hashes of rows as an import left them, as Parquet
datatransfer_import_files       one file that an import wrote or found
==============================  ======================================================================================
"""

from __future__ import annotations

import datetime as dt
import json
import uuid
from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import Mapped, mapped_column

PREFIX = "datatransfer_"
VERSION_TABLE = "datatransfer_alembic_version"
STATES = ("staging", "merged", "undone", "dropped")


class EntityMixin:
    """Gives a declarative model the two columns of a tracked table.

    ``entity_uuid`` names the row for ever, in every database; ``imported_from_uuid`` is NULL for a native row, and the
    row's UUID in its package for an imported one.

    Examples
    --------
    >>> from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
    >>> class Base(DeclarativeBase): ...
    >>> class User(EntityMixin, Base):
    ...     __tablename__ = "users"
    ...     id: Mapped[int] = mapped_column(primary_key=True)
    >>> sorted(User.__table__.columns.keys())
    ['entity_uuid', 'id', 'imported_from_uuid']
    """

    entity_uuid: Mapped[uuid.UUID] = mapped_column(sa.Uuid(), default=uuid.uuid4, unique=True, nullable=False)
    imported_from_uuid: Mapped[uuid.UUID | None] = mapped_column(sa.Uuid(), index=True, nullable=True)


class JsonText(sa.types.TypeDecorator[Any]):
    """A JSON document as text, its keys in the order given, whatever the engine's own JSON settings are."""

    # LONGTEXT where TEXT ends at 64 kB.
    impl = sa.Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write the document."""
        return None if value is None else json.dumps(value, ensure_ascii=False)

    def process_result_value(self, value: Any, dialect: Dialect) -> Any:
        """Read the document."""
        return None if value is None else json.loads(value)


class UtcTime(sa.types.TypeDecorator[dt.datetime]):
    """An instant as ISO 8601 text in UTC: equal to the microsecond on every database."""

    impl = sa.String(32)
    cache_ok = True

    def process_bind_param(self, value: dt.datetime | None, dialect: Dialect) -> str | None:
        """Write the instant."""
        return None if value is None else value.astimezone(dt.UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any, dialect: Dialect) -> dt.datetime | None:
        """Read the instant."""
        return None if value is None else dt.datetime.fromisoformat(value)


METADATA = sa.MetaData()
_MYSQL: dict[str, Any] = {
    f"{name}_{option}": value
    for name in ("mysql", "mariadb")
    for option, value in (("engine", "InnoDB"), ("default_charset", "utf8mb4"), ("collate", "utf8mb4_bin"))
}
_UUID_TEXT = sa.String(36)
# Long enough for "schema.table" of 63 characters each, short enough for an InnoDB key in utf8mb4.
_TABLE_NAME = sa.String(255)
_BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb")


def _import_id() -> sa.Column[Any]:
    target = f"{PREFIX}imports.import_id"
    return sa.Column("import_id", _UUID_TEXT, sa.ForeignKey(target), primary_key=True)


def _chunks(name: str, *more: sa.Column[Any]) -> sa.Table:
    return sa.Table(
        PREFIX + name,
        METADATA,
        _import_id(),
        sa.Column("table_name", _TABLE_NAME, primary_key=True),
        sa.Column("chunk", sa.Integer, primary_key=True, autoincrement=False),
        *more,
        sa.Column("rows", sa.BigInteger, nullable=False),
        sa.Column("data", _BLOB, nullable=False),
        **_MYSQL,
    )


version = sa.Table(VERSION_TABLE, METADATA, sa.Column("version_num", sa.String(32), primary_key=True), **_MYSQL)

origin = sa.Table(
    PREFIX + "origin",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("origin", _UUID_TEXT, nullable=False),
    sa.Column("created", UtcTime, nullable=False),
    **_MYSQL,
)

imports = sa.Table(
    PREFIX + "imports",
    METADATA,
    sa.Column("import_id", _UUID_TEXT, primary_key=True),
    sa.Column("seq", sa.Integer, nullable=False, unique=True),
    sa.Column("package_id", _UUID_TEXT, nullable=False),
    sa.Column("package_digest", sa.String(64), nullable=False, index=True),
    sa.Column("origin", _UUID_TEXT, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    # Set while an import claims something that only one may have, e.g. one package under one set of options; two
    # processes that claim the same meet at this unique key, NULLs never meet.
    sa.Column("claim", sa.String(128), unique=True),
    sa.Column("created", UtcTime, nullable=False),
    sa.Column("finished", UtcTime),
    sa.Column("undone_at", UtcTime),
    sa.Column("options", JsonText, nullable=False),
    sa.Column("counts", JsonText, nullable=False),
    sa.Column("warnings", JsonText, nullable=False),
    sa.Column("plan_fingerprint", sa.String(128), nullable=False),
    sa.Column("session", sa.Text, nullable=False),
    **_MYSQL,
)

checkpoints = sa.Table(
    PREFIX + "checkpoints",
    METADATA,
    _import_id(),
    sa.Column("table_name", _TABLE_NAME, primary_key=True),
    sa.Column("part", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rows", sa.BigInteger, nullable=False),
    sa.Column("created", UtcTime, nullable=False),
    **_MYSQL,
)

key_maps = _chunks("key_maps", sa.Column("origin", _UUID_TEXT, nullable=False))

before_images = _chunks("before_images")

after_images = _chunks("after_images")

import_files = sa.Table(
    PREFIX + "import_files",
    METADATA,
    _import_id(),
    sa.Column("n", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("store_table", _TABLE_NAME, nullable=False),
    sa.Column("store_column", sa.String(255), nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("sha256", sa.String(64), nullable=False),
    sa.Column("bytes", sa.BigInteger, nullable=False),
    sa.Column("action", sa.String(16), nullable=False),
    **_MYSQL,
)


@lru_cache(maxsize=32)
def metadata_in(schema: str | None) -> sa.MetaData:
    """Return our tables, in the default schema of the database or in another one."""
    if schema is None:
        return METADATA
    copy = sa.MetaData(schema=schema)
    for table in METADATA.tables.values():
        table.to_metadata(copy)
    return copy


def table_in(table: sa.Table, schema: str | None) -> sa.Table:
    """Return one of our tables as it is in a schema."""
    return table if schema is None else metadata_in(schema).tables[f"{schema}.{table.name}"]
