"""The files of each import: where it wrote them or found them in place, and what became of them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from datatransfer.database import models
from datatransfer.database.dialects.failures import database_errors


@dataclass(frozen=True)
class ImportedFile:
    """One file that an import wrote, or found in place with the same content."""

    store_table: str
    store_column: str
    path: str
    sha256: str
    bytes: int
    action: str


def add_file(
    conn: sa.Connection, import_id: str | uuid.UUID, files: Sequence[ImportedFile], schema: str | None = None
) -> None:
    """Record the files of an import; may be called several times."""
    if not files:
        return
    own = models.table_in(models.import_files, schema)
    mine = own.c.import_id == str(import_id)
    with database_errors(conn.engine, "recording files"):
        start = conn.execute(sa.select(sa.func.coalesce(sa.func.max(own.c.n), -1) + 1).where(mine)).scalar_one()
        rows = [{"import_id": str(import_id), "n": start + n, **file.__dict__} for n, file in enumerate(files)]
        conn.execute(own.insert(), rows)


def imported_files(conn: sa.Connection, import_id: str | uuid.UUID, schema: str | None = None) -> list[ImportedFile]:
    """Return the files of an import, in the order they were recorded."""
    own = models.table_in(models.import_files, schema)
    columns = [own.c[name] for name in ImportedFile.__dataclass_fields__]
    query = sa.select(*columns).where(own.c.import_id == str(import_id)).order_by(own.c.n)
    with database_errors(conn.engine, "reading the files of an import"):
        return [ImportedFile(**row) for row in conn.execute(query).mappings()]


def other_paths(
    conn: sa.Connection, import_id: str | uuid.UUID, schema: str | None = None
) -> set[tuple[str, str, str]]:
    """Return the files of an import that another merged import has, too: table, column, path."""
    own = models.table_in(models.import_files, schema)
    imports = models.table_in(models.imports, schema)
    other = own.alias("other")
    place = (own.c.store_table, own.c.store_column, own.c.path)
    same = sa.and_(*(column == other.c[column.name] for column in place))
    query = (
        sa.select(*place)
        .join(other, same & (other.c.import_id != own.c.import_id))
        .join(imports, imports.c.import_id == other.c.import_id)
        .where((own.c.import_id == str(import_id)) & (imports.c.state == "merged"))
    )
    with database_errors(conn.engine, "reading the files of imports"):
        return {(row.store_table, row.store_column, row.path) for row in conn.execute(query)}


def left_paths(conn: sa.Connection, import_id: str | uuid.UUID, schema: str | None = None) -> set[tuple[str, str, str]]:
    """Return the files that an import found and an undone one wrote, with the same content: table, column, path."""
    own = models.table_in(models.import_files, schema)
    imports = models.table_in(models.imports, schema)
    other = own.alias("other")
    place = (own.c.store_table, own.c.store_column, own.c.path)
    same = sa.and_(*(column == other.c[column.name] for column in (*place, own.c.sha256)))
    query = (
        sa.select(*place)
        .join(other, same & (other.c.import_id != own.c.import_id) & (other.c.action == "written"))
        .join(imports, imports.c.import_id == other.c.import_id)
        .where((own.c.import_id == str(import_id)) & (own.c.action == "found") & (imports.c.state == "undone"))
    )
    with database_errors(conn.engine, "reading the files of imports"):
        return {(row.store_table, row.store_column, row.path) for row in conn.execute(query)}


def forget_left(conn: sa.Connection, files: Sequence[ImportedFile], schema: str | None = None) -> None:
    """Record files that were removed as removed with the undone imports that wrote them, too."""
    if not files:
        return
    own = models.table_in(models.import_files, schema)
    imports = models.table_in(models.imports, schema)
    undone = sa.select(imports.c.import_id).where(imports.c.state == "undone")
    wanted = own.c.import_id.in_(undone) & (own.c.action == "written") & (own.c.path == sa.bindparam("p"))
    wanted &= (own.c.store_table == sa.bindparam("t")) & (own.c.store_column == sa.bindparam("c"))
    rows = [{"p": file.path, "t": file.store_table, "c": file.store_column} for file in files]
    with database_errors(conn.engine, "recording files"):
        conn.execute(own.update().where(wanted).values(action="removed"), rows)


def move_files(
    conn: sa.Connection,
    import_id: str | uuid.UUID,
    files: Sequence[ImportedFile],
    action: str,
    schema: str | None = None,
) -> None:
    """Record what is being done with files of an import: ``removing`` until they are gone, then ``removed``."""
    if not files:
        return
    own = models.table_in(models.import_files, schema)
    wanted = (own.c.import_id == str(import_id)) & (own.c.path == sa.bindparam("p"))
    wanted &= (own.c.store_table == sa.bindparam("t")) & (own.c.store_column == sa.bindparam("c"))
    rows = [{"p": file.path, "t": file.store_table, "c": file.store_column} for file in files]
    with database_errors(conn.engine, "recording files"):
        conn.execute(own.update().where(wanted).values(action=action), rows)
