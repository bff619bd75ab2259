"""What an import did to rows: which key became which, and how rows were before and after it.

All are Arrow tables, kept in chunks, see `datatransfer.database.chunks`.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datatransfer.database import chunks, models

if TYPE_CHECKING:
    import pyarrow as pa


def add_key_map(
    conn: sa.Connection,
    import_id: str | uuid.UUID,
    table: str,
    keys: pa.Table,
    *,
    origin: str | uuid.UUID,
    schema: str | None = None,
) -> None:
    """Record which key of the source became which key of the target.

    Parameters
    ----------
    table : str
        The target's table.
    keys : pyarrow.Table
        Columns ``s.<key column>``, ``t.<key column>``, ``action``; perhaps ``origin`` and ``key``. Sorted by the source
        key it takes least space.
    origin : UUID
        Of the source database.
    """
    own = models.table_in(models.key_maps, schema)
    chunks.add_chunks(conn, own, import_id, table, keys, {"origin": str(origin)})


def key_maps(
    conn: sa.Connection,
    *,
    table: str | None = None,
    origin: str | uuid.UUID | None = None,
    import_id: str | uuid.UUID | None = None,
    schema: str | None = None,
) -> Iterator[tuple[str, str, pa.Table]]:
    """Yield ``(import id, table, keys)``, the newest import first, chunk by chunk.

    Parameters
    ----------
    table, origin : optional
        Only of this table, only from this source database.
    import_id : optional
        Of this import, whatever its state. Without it: of all imports in state ``merged``.
    """
    own = models.table_in(models.key_maps, schema)
    imports = models.table_in(models.imports, schema)
    wanted = own.c.import_id == imports.c.import_id
    wanted &= imports.c.state == "merged" if import_id is None else imports.c.import_id == str(import_id)
    if table is not None:
        wanted &= own.c.table_name == table
    if origin is not None:
        wanted &= own.c.origin == str(origin)
    yield from chunks.read_chunks(conn, own, imports, wanted)


def add_before_image(
    conn: sa.Connection, import_id: str | uuid.UUID, table: str, rows: pa.Table, schema: str | None = None
) -> None:
    """Record rows of the target as they are before the import changes them."""
    own = models.table_in(models.before_images, schema)
    chunks.add_chunks(conn, own, import_id, table, rows, {})


def before_images(
    conn: sa.Connection, import_id: str | uuid.UUID, *, table: str | None = None, schema: str | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Yield ``(table, rows)`` of one import, chunk by chunk, in the order they were recorded."""
    own = models.table_in(models.before_images, schema)
    imports = models.table_in(models.imports, schema)
    wanted = (own.c.import_id == imports.c.import_id) & (imports.c.import_id == str(import_id))
    if table is not None:
        wanted &= own.c.table_name == table
    for _, name, rows in chunks.read_chunks(conn, own, imports, wanted):
        yield name, rows


def add_after_image(
    conn: sa.Connection, import_id: str | uuid.UUID, table: str, rows: pa.Table, schema: str | None = None
) -> None:
    """Record keys and hashes of rows of the target as the import left them."""
    own = models.table_in(models.after_images, schema)
    chunks.add_chunks(conn, own, import_id, table, rows, {})


def after_images(
    conn: sa.Connection, import_id: str | uuid.UUID, *, table: str | None = None, schema: str | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Yield ``(table, keys and hashes)`` of one import, chunk by chunk, in the order they were recorded."""
    if not sa.inspect(conn).has_table(models.after_images.name, schema=schema):
        return  # made by an earlier version, which nothing was imported with since
    own = models.table_in(models.after_images, schema)
    imports = models.table_in(models.imports, schema)
    wanted = (own.c.import_id == imports.c.import_id) & (imports.c.import_id == str(import_id))
    if table is not None:
        wanted &= own.c.table_name == table
    for _, name, rows in chunks.read_chunks(conn, own, imports, wanted):
        yield name, rows
