"""The models of the sample catalogue: plain SQLAlchemy, as an application would have them.

Small enough to read at a glance, and yet it holds what makes a transfer hard: a cycle (a dataset and its current
version), a self reference (folders), a link table with a composite key, files on disk, tracked tables (users, datasets)
beside untracked ones, and one column of every common type.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from datatransfer.database.models import EntityMixin

# Names, so that the constraints are called the same on every database.
_NAMES = {
    "pk": "pk_%(table_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "ix": "ix_%(table_name)s_%(column_0_name)s",
}
# MariaDB's DATETIME drops the microseconds unless told to keep them.
_DATETIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")


class Base(DeclarativeBase):
    """The declarative base of the catalogue."""

    metadata = sa.MetaData(naming_convention=_NAMES)
    type_annotation_map = {str: sa.String(200), dt.datetime: _DATETIME, dict[str, Any]: sa.JSON}


class User(EntityMixin, Base):
    """A person who owns datasets."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    name: Mapped[str]
    active: Mapped[bool]
    created: Mapped[dt.datetime]


class DataSource(Base):
    """Where data comes from."""

    __tablename__ = "data_sources"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    settings: Mapped[dict[str, Any] | None]


class Folder(Base):
    """A node of the folder tree."""

    __tablename__ = "folders"
    __table_args__ = (sa.UniqueConstraint("parent_id", "name"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None] = mapped_column(sa.ForeignKey("folders.id"), index=True)
    name: Mapped[str]


class Dataset(EntityMixin, Base):
    """A dataset, of which one version is current."""

    __tablename__ = "datasets"
    id: Mapped[int] = mapped_column(primary_key=True)
    owner_id: Mapped[int] = mapped_column(sa.ForeignKey("users.id"), index=True)
    source_id: Mapped[int | None] = mapped_column(sa.ForeignKey("data_sources.id"), index=True)
    folder_id: Mapped[int] = mapped_column(sa.ForeignKey("folders.id"), index=True)
    # The cycle: versions belong to a dataset, and a dataset points at one of them.
    current_version_id: Mapped[int | None] = mapped_column(sa.ForeignKey("dataset_versions.id"), index=True)
    name: Mapped[str]
    description: Mapped[str | None] = mapped_column(sa.Text)
    price: Mapped[Decimal | None] = mapped_column(sa.Numeric(10, 2))
    quality: Mapped[float | None] = mapped_column(sa.Double)
    public: Mapped[bool]
    created: Mapped[dt.datetime]


class DatasetVersion(Base):
    """One state of a dataset."""

    __tablename__ = "dataset_versions"
    __table_args__ = (sa.UniqueConstraint("dataset_id", "number"),)
    id: Mapped[int] = mapped_column(primary_key=True)
    dataset_id: Mapped[int] = mapped_column(sa.ForeignKey("datasets.id"))
    number: Mapped[int]
    rows: Mapped[int] = mapped_column(sa.BigInteger)
    checksum: Mapped[bytes] = mapped_column(sa.LargeBinary(32))
    statistics: Mapped[dict[str, Any] | None]
    created: Mapped[dt.datetime]


class Tag(Base):
    """A word that datasets are found by."""

    __tablename__ = "tags"
    id: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(unique=True)


class DatasetTag(Base):
    """Which dataset has which tag."""

    __tablename__ = "dataset_tags"
    dataset_id: Mapped[int] = mapped_column(sa.ForeignKey("datasets.id"), primary_key=True)
    tag_id: Mapped[int] = mapped_column(sa.ForeignKey("tags.id"), primary_key=True, index=True)


class Attachment(Base):
    """A file that belongs to a version of a dataset; ``path`` is relative to the catalogue's folder of files."""

    __tablename__ = "attachments"
    id: Mapped[int] = mapped_column(primary_key=True)
    version_id: Mapped[int] = mapped_column(sa.ForeignKey("dataset_versions.id"), index=True)
    path: Mapped[str] = mapped_column(unique=True)
    media_type: Mapped[str]
    bytes: Mapped[int]
