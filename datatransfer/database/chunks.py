"""Arrow tables in rows of the ledger: as Parquet, in chunks that every database takes.

Integer columns are delta-encoded, so that a map of a million dense keys takes a few kilobytes. A chunk longer than
`PIECE_BYTES` is cut into several rows, of which only the first states how many rows of data it holds. Each ends with
its sha256: an undo goes by what was recorded, or not at all.

Knows the shape of the two tables that hold chunks, and nothing of what the chunks mean.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datatransfer.database.dialects.failures import database_errors
from datatransfer.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

# A driver may escape every byte into two, and MariaDB's usual max_allowed_packet is 16 MB.
PIECE_BYTES = 4 * 2**20
CHUNK_ROWS = 1_000_000
# Stands before the sha256 of a chunk, which ends it; chunks of earlier versions end with their Parquet.
_SEAL = b"sha256:"


def add_chunks(
    conn: sa.Connection,
    own: sa.Table,
    import_id: str | uuid.UUID,
    table: str,
    data: pa.Table,
    more: Mapping[str, str],
) -> None:
    """Write a table behind the chunks that are there, in the caller's transaction."""
    mine = (own.c.import_id == str(import_id)) & (own.c.table_name == table)
    with database_errors(conn.engine, "writing the receipt", where=table):
        query = sa.select(sa.func.coalesce(sa.func.max(own.c.chunk), -1) + 1).where(mine)
        chunk = int(conn.execute(query).scalar_one())
        for start in range(0, data.num_rows, CHUNK_ROWS):
            part = data.slice(start, CHUNK_ROWS)
            whole = encode(part)
            for offset in range(0, len(whole), PIECE_BYTES):
                values = {"import_id": str(import_id), "table_name": table, "chunk": chunk, **more}
                piece = whole[offset : offset + PIECE_BYTES]
                rows = part.num_rows if offset == 0 else 0
                conn.execute(own.insert().values({**values, "rows": rows, "data": piece}))
                chunk += 1


def read_chunks(
    conn: sa.Connection, own: sa.Table, imports: sa.Table, wanted: sa.ColumnElement[bool]
) -> Iterator[tuple[str, str, pa.Table]]:
    """Yield ``(import id, table, data)``, the newest import first, one chunk at a time."""
    order = (imports.c.seq.desc(), own.c.table_name, own.c.chunk)
    query = sa.select(own.c.import_id, own.c.table_name, own.c.chunk, own.c.rows).where(wanted).order_by(*order)
    with database_errors(conn.engine, "reading the receipts"):
        pieces = conn.execute(query).all()
    number = 0
    numbered = []
    for piece in pieces:
        number += piece.rows > 0
        numbered.append((number, piece))
    for _, group in groupby(numbered, key=lambda item: item[0]):
        # One chunk at a time: a map of many millions of keys never lies in memory as a whole.
        parts = [piece for _, piece in group]
        first = parts[0]
        same = (own.c.import_id == first.import_id) & (own.c.table_name == first.table_name)
        these = own.c.chunk.between(first.chunk, parts[-1].chunk)
        with database_errors(conn.engine, "reading the receipts", where=first.table_name):
            blobs = conn.execute(sa.select(own.c.data).where(same & these).order_by(own.c.chunk)).scalars().all()
        yield first.import_id, first.table_name, decode(b"".join(bytes(blob) for blob in blobs))


def encode(data: pa.Table) -> bytes:
    """Return an Arrow table as Parquet: zstd, integers as differences, everything else as it compresses best.

    Examples
    --------
    >>> import pyarrow as pa
    >>> len(encode(pa.table({"s.id": range(100_000), "t.id": range(7, 100_007)}))) < 4_000
    True
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    integers = [item.name for item in data.schema if pa.types.is_integer(item.type)]
    others = [item.name for item in data.schema if not pa.types.is_integer(item.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        data,
        sink,
        compression="zstd",
        use_dictionary=others,
        # A long block per page: the fixed cost of a page is what dense keys consist of.
        data_page_size=8 * 2**20,
        column_encoding=dict.fromkeys(integers, "DELTA_BINARY_PACKED") or None,
        write_statistics=False,
    )
    parquet: bytes = sink.getvalue().to_pybytes()
    return parquet + _SEAL + hashlib.sha256(parquet).digest()


def decode(data: bytes) -> pa.Table:
    """Return the Arrow table that `encode` wrote.

    Raises
    ------
    UsageError
        It is not what was written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    hint = "nothing was changed; what it says is lost, look for a backup of the database"
    end = len(data) - len(_SEAL) - 32
    if data[end : end + len(_SEAL)] == _SEAL:
        if hashlib.sha256(data[:end]).digest() != data[-32:]:
            raise UsageError("the record of an import is damaged", hint=hint)
        data = data[:end]
    try:
        # By this thread alone: others may hold on to bytes of Python's when it ends, which ends it by an abort.
        return pq.ParquetFile(pa.BufferReader(data)).read(use_threads=False)
    except (pa.ArrowException, OSError, ValueError) as error:  # cut, or changed where it says that it is sealed
        raise UsageError(f"the record of an import is damaged ({type(error).__name__})", hint=hint) from None
