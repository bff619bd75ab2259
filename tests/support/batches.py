"""Tables read as an export reads them, in batches of Arrow."""

from __future__ import annotations

import struct

import pyarrow as pa

from datatransfer.database.connection import Database
from datatransfer.database.dialects import RowSource


def read(db: Database, table: str, source: RowSource | None = None, **options) -> pa.Table:
    """Read a table as the export does: one snapshot, types resolved, batches checked."""
    source = source or RowSource()
    with db.dialect.snapshot() as conn:
        resolved = db.dialect.resolve_types(conn, db.schema.table(table), source)
        batches = list(db.dialect.read(conn, resolved, source, **options))
    for batch in batches:
        batch.validate(full=True)
        assert batch.num_rows
    fields = [(c.name, c.type.arrow()) for c in resolved.columns] + [(n, k.arrow()) for _, n, k in source.extra]
    return pa.Table.from_batches(batches, schema=pa.schema(fields))


def bits(values: list[float | None]) -> list[bytes | None]:
    """Return the bytes of floats, where ``==`` would not tell them apart."""
    return [None if value is None else struct.pack("<d", value) for value in values]


def was_fast(db: Database, table: str) -> bool:
    """Return whether the dialect takes its fast way for a table."""
    with db.dialect.snapshot() as conn:
        resolved = db.dialect.resolve_types(conn, db.schema.table(table), RowSource())
        found = db.dialect._fast(conn, resolved, RowSource(), 65536)
        if found is not None:
            found.close()
        return found is not None
