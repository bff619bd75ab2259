"""Rows ⇄ Parquet parts, the ``columns`` encoding.

Parts are written as a stream and read in place. Reading trusts nothing: column names, types and the number of rows
must be those of the manifest, text must be UTF-8, and no batch is larger than a budget of logical bytes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO

from datatransfer.errors import PackageError
from datatransfer.package.manifest import PartEntry
from datatransfer.package.names import part_member

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from datatransfer.package.archive import ArchiveWriter, Member

GROUP_ROWS = 1 << 18
"""Rows of a row group, fewer if they are large."""
GROUP_BYTES = 64 << 20
"""Logical bytes after which a row group ends."""
PART_BYTES = 1 << 30
"""Stored bytes after which a part ends."""
BATCH_BYTES = 64 << 20
"""Most logical bytes of a batch while reading, unless one row alone is larger."""
GROUP_LIMIT = 4 << 30
"""Most bytes that a row group may say it has when it is unpacked."""
_SAMPLE = 20_000


class ColumnsEncoder:
    """Writes the parts of one table.

    Parameters
    ----------
    archive : ArchiveWriter
    slug : str
        What the members are named after.
    schema : pyarrow.Schema
        Of every batch.
    part_rows : int
        Most rows of a part.
    """

    def __init__(self, archive: ArchiveWriter, slug: str, schema: pa.Schema, part_rows: int) -> None:
        self._archive, self._slug, self._schema, self._part_rows = archive, slug, schema, part_rows
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = self._pending_bytes = self._part_done = 0
        self._writer: pq.ParquetWriter | None = None
        self._member: Member | None = None
        self._sink: _Sink | None = None
        self._dictionary: list[str] | None = None
        self.parts: list[PartEntry] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a batch, now or with those that follow."""
        step = max(1, batch.num_rows * GROUP_BYTES // max(batch.nbytes, 1))
        begin = 0
        while begin < batch.num_rows:
            room = min(GROUP_ROWS, self._part_rows - self._part_done) - self._pending_rows
            piece = batch.slice(begin, min(room, step))
            begin += piece.num_rows
            self._pending.append(piece)
            self._pending_rows += piece.num_rows
            self._pending_bytes += piece.nbytes
            if piece.num_rows == room or self._pending_bytes >= GROUP_BYTES:
                self._end_group()

    def finish(self) -> tuple[PartEntry, ...]:
        """Write what is left and return the parts."""
        if self._pending:
            self._end_group()
        self._end_part()
        return tuple(self.parts)

    def abandon(self) -> None:
        """Forget the open part; its writer must not write into what comes next."""
        if self._sink is not None:
            self._sink.dead = True
        if self._member is not None:
            self._member.discard()
        self._writer = self._member = self._sink = None

    def _end_group(self) -> None:
        import pyarrow as pa

        # one chunk, so that the bytes do not depend on how the rows came in batches
        table = pa.Table.from_batches(self._pending, self._schema).combine_chunks()
        if self._dictionary is None:
            self._dictionary = _repetitive(table.slice(0, _SAMPLE))
        if self._writer is None:
            self._begin_part()
        assert self._writer is not None
        assert self._member is not None
        self._writer.write_table(table, row_group_size=max(1, table.num_rows))
        self._part_done += self._pending_rows
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0
        if self._part_done >= self._part_rows or self._member.size >= PART_BYTES:
            self._end_part()

    def _begin_part(self) -> None:
        import pyarrow.parquet as pq

        self._member = self._archive.member(part_member(self._slug, len(self.parts)))
        self._sink = _Sink(self._member.write)
        self._writer = pq.ParquetWriter(
            self._sink, self._schema, compression="zstd", compression_level=1, version="2.6", store_schema=False,
            use_dictionary=self._dictionary or False, write_statistics=True, data_page_version="1.0",
        )  # fmt: skip

    def _end_part(self) -> None:
        if self._writer is None or self._member is None:
            return
        self._writer.close()
        with self._member:
            pass  # ends it
        self.parts.append(PartEntry(self._member.name, self._member.size, self._member.sha256, self._part_done))
        self._writer = self._member = self._sink = None
        self._part_done = 0


class _Sink(io.RawIOBase):
    """What pyarrow writes to."""

    def __init__(self, write: Callable[[bytes], int]) -> None:
        self._write = write
        self.dead = False

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        return len(data) if self.dead else self._write(data)


def _repetitive(sample: pa.Table) -> list[str]:
    """Return the columns whose values repeat so often that a dictionary pays."""
    import pyarrow.compute as pc

    return [
        name
        for name, column in zip(sample.column_names, sample.columns, strict=True)
        if 2 * pc.count_distinct(column, mode="all").as_py() < len(column)
    ]


def read_part(
    file: BinaryIO, schema: pa.Schema, rows: int, *, where: str, batch_rows: int, columns: Sequence[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Read a Parquet part in place.

    Parameters
    ----------
    file : BinaryIO
        Seekable; its sha256 was compared before.
    schema : pyarrow.Schema
        What the manifest says.
    rows : int
        How many rows the manifest says.
    where : str
        Package and member, for errors.
    batch_rows : int
        Most rows of a batch.
    columns : sequence of str, optional
        Read only these.

    Raises
    ------
    PackageError
        It is not a Parquet file, or not the one that the manifest describes.
    """
    import pyarrow as pa

    try:
        yield from _read(file, schema, rows, where, batch_rows, columns)
    except (pa.ArrowException, OSError, ValueError, NotImplementedError, MemoryError, OverflowError) as error:
        raise PackageError(f"cannot be read as Parquet ({type(error).__name__})", where=where) from None


def _read(
    file: BinaryIO, schema: pa.Schema, rows: int, where: str, batch_rows: int, columns: Sequence[str] | None
) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    source = pa.PythonFile(file, mode="r")
    plain = pq.ParquetFile(source)
    _check_footer(plain, schema, rows, where)
    wanted = schema if columns is None else pa.schema([schema.field(name) for name in columns])
    packed = _dictionary_columns(plain.metadata, wanted)
    reader = pq.ParquetFile(source, metadata=plain.metadata, read_dictionary=packed) if packed else plain
    places = [schema.get_field_index(name) for name in wanted.names]
    for group in range(plain.metadata.num_row_groups):
        done = 0
        for found in reader.iter_batches(
            batch_size=batch_rows, row_groups=[group], columns=_paths(plain, places), use_threads=True
        ):
            done += found.num_rows
            for batch in _within_budget(found, wanted):
                batch.validate(full=True)
                yield batch
        if done != plain.metadata.row_group(group).num_rows:
            raise PackageError("holds another number of rows than it says", where=where)


def _paths(reader: pq.ParquetFile, places: Sequence[int]) -> list[str] | None:
    columns = reader.metadata.num_columns
    if list(places) == list(range(columns)):
        return None
    return [reader.schema.column(place).path for place in places]


def _check_footer(reader: pq.ParquetFile, schema: pa.Schema, rows: int, where: str) -> None:
    import pyarrow as pa

    found = reader.schema_arrow
    said = [(field.name, field.type) for field in schema]
    if [(field.name, field.type) for field in found] != said or any(pa.types.is_nested(kind) for kind in found.types):
        raise PackageError("has other columns than the manifest says", where=where)
    metadata = reader.metadata
    groups = [metadata.row_group(group) for group in range(metadata.num_row_groups)]
    if metadata.num_rows != rows or sum(group.num_rows for group in groups) != rows:
        raise PackageError("has another number of rows than the manifest says", where=where)
    if any(group.num_rows < 0 or not 0 <= group.total_byte_size <= GROUP_LIMIT for group in groups):
        raise PackageError(f"has a row group of more than {GROUP_LIMIT} bytes", where=where)


def _dictionary_columns(metadata: Any, wanted: pa.Schema) -> list[str]:
    """Return the text and bytes columns that are stored as a dictionary somewhere.

    Those are read as they are stored, because a dictionary of one long value can stand for any number of bytes.
    """
    import pyarrow as pa

    found = []
    for place in range(metadata.num_columns):
        chunks = [metadata.row_group(group).column(place) for group in range(metadata.num_row_groups)]
        name = chunks[0].path_in_schema if chunks else ""
        is_long = name in wanted.names and wanted.field(name).type in (pa.string(), pa.binary())
        if is_long and any("DICTIONARY" in encoding for chunk in chunks for encoding in chunk.encodings):
            found.append(name)
    return found


def _within_budget(batch: pa.RecordBatch, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Unpack dictionaries, in pieces whose logical size fits the budget."""
    step = batch.num_rows
    while step > 1 and (largest := max(_logical_bytes(batch.slice(at, step)) for at in range(0, batch.num_rows, step))):
        if largest <= BATCH_BYTES:
            break
        step = max(1, min(step // 2, step * BATCH_BYTES // largest))
    for begin in range(0, batch.num_rows, max(step, 1)):
        yield batch.slice(begin, step).cast(schema)


def _logical_bytes(batch: pa.RecordBatch) -> int:
    import pyarrow as pa
    import pyarrow.compute as pc

    total = 0
    for column in batch.columns:
        if isinstance(column, pa.DictionaryArray):
            lengths = pc.binary_length(column.dictionary).take(column.indices)
            total += int(pc.sum(lengths.cast(pa.int64())).as_py() or 0)
        else:
            total += column.nbytes
    return total
