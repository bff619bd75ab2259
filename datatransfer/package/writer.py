"""Writing a package: tables as batches of rows, files as streams, then the two documents that describe them."""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from datatransfer.errors import PackageError, clearing_up
from datatransfer.events import Listener, Progress, silent
from datatransfer.package.archive import CHUNK, create_archive
from datatransfer.package.columns import ColumnsEncoder
from datatransfer.package.contents import Contents
from datatransfer.package.digest import EAGER_ROWS, semantic_digest
from datatransfer.package.documents import Document, DocumentsEncoder, column_types
from datatransfer.package.manifest import (
    MANIFEST_MEMBER,
    MAX_MANIFEST_BYTES,
    FileEntry,
    FileReference,
    Manifest,
    PartEntry,
    TableEntry,
)  # fmt: skip
from datatransfer.package.metadata import METADATA_MEMBER, Encoding, PackageMetadata
from datatransfer.package.names import file_member, slug
from datatransfer.schema.identity import ORIGIN_COLUMN, RESERVED_PREFIX, entity_uuid
from datatransfer.schema.tables import Table
from datatransfer.schema.values import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

_QUEUED = 3
_LARGE = 4 * 2**30 - 2**20
_UNKNOWN_NAME = file_member("0" * 64)


class PackageWriter:
    """Writes one package beside its destination and moves it into place.

    Leaving the ``with`` block without `finish` leaves nothing behind.

    Parameters
    ----------
    path : str or Path
        A name that ends in ``.zip`` becomes a ZIP file, any other a folder.
    encoding : {"documents", "columns"}
    overwrite : bool
        Whether an existing destination is replaced, at the very end.
    listener : callable
        Hears a `Progress` with phase ``"write"`` after each batch and file.

    Raises
    ------
    PackageExistsError
        The destination is already there.
    PackageError
        It cannot be written.

    Examples
    --------
    >>> with PackageWriter("some.zip", encoding="columns") as writer:  # doctest: +SKIP
    ...     writer.write_table(table, batches)
    ...     writer.finish(metadata)
    """

    def __init__(
        self, path: str | Path, *, encoding: Encoding, overwrite: bool = False, listener: Listener = silent
    ) -> None:
        self._encoding: Encoding = encoding
        self._listener = listener
        self._archive = create_archive(path, overwrite=overwrite)
        self._tables: dict[str, TableEntry] = {}
        self._documents: dict[str, list[Document]] = {}
        self._files: dict[str, FileEntry] = {}
        self._missing: list[FileEntry] = []
        self._rows = self._bytes = 0

    def __enter__(self) -> PackageWriter:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        with clearing_up(error):
            self._archive.abort()

    # --- rows -------------------------------------------------------------------------------------------------------

    def write_table(
        self, table: Table, batches: Iterable[pa.RecordBatch], *, orphans: Mapping[str, int] | None = None,
        part_rows: int = 1_000_000,
    ) -> int:  # fmt: skip
        """Write the rows of one table.

        Parameters
        ----------
        table : Table
            With definite types.
        batches : iterable of pyarrow.RecordBatch
            With the table's columns in order, each of the Arrow type of its logical type; then, in all of them or in
            none, the two columns of foreign identity.
        orphans : mapping of str to int, optional
            By label of the foreign key, the rows whose parent does not exist.
        part_rows : int
            Most rows of a Parquet part.

        Returns
        -------
        int
            Rows written.

        Raises
        ------
        PackageError
            The table was written before, a batch has other columns, or the package cannot be written.
        ValueLossError
            A value cannot be written exactly.
        """
        if table.name in self._tables:
            raise PackageError("was written before", where=table.name)
        if any(name.startswith(RESERVED_PREFIX) for name in table.column_names):
            raise PackageError(f"has a column whose name starts with {RESERVED_PREFIX}", where=table.name)
        name = slug(table.name, {entry.slug for entry in self._tables.values()})
        rows = _Rows(table, batches, self._written)
        if self._encoding == "documents":
            parts = self._write_documents(name, rows)
        else:
            encoder: Callable[[pa.Schema], ColumnsEncoder] = lambda schema: ColumnsEncoder(  # noqa: E731
                self._archive, name, schema, part_rows
            )
            parts = _in_background(encoder, rows)
        self._tables[table.name] = TableEntry(
            table, name, rows.count, parts, {label: n for label, n in (orphans or {}).items() if n}, rows.foreign
        )
        self._bytes += sum(part.bytes for part in parts)
        return rows.count

    def _write_documents(self, name: str, rows: _Rows) -> tuple[PartEntry, ...]:
        encoder: DocumentsEncoder | None = None
        for batch in rows:
            if encoder is None:
                types = column_types(rows.table, foreign_identity=rows.foreign)
                encoder = DocumentsEncoder(self._archive, name, rows.table, types)
            encoder.add(batch)
        self._documents[rows.table.name] = encoder.documents if encoder else []
        return tuple(document.part for document in self._documents[rows.table.name])

    def _written(self, table: str, rows: int) -> None:
        self._rows += rows
        self._listener(Progress("write", table, rows_done=self._rows, bytes_done=self._bytes))

    # --- files ------------------------------------------------------------------------------------------------------

    def write_file(self, source: BinaryIO, *, references: Sequence[FileReference]) -> FileEntry:
        """Write a file that rows refer to; equal content is stored once.

        Parameters
        ----------
        source : BinaryIO
            Read from where it stands to its end, in chunks.
        references : sequence of FileReference
            The rows that refer to it.

        Returns
        -------
        FileEntry
            With every reference to this content so far.
        """
        with self._archive.member(_UNKNOWN_NAME, large=_may_be_large(source)) as member:
            while chunk := source.read(CHUNK):
                member.write(chunk)
            sha256 = member.sha256
            known = self._files.get(sha256)
            if known is None:
                member.name = file_member(sha256)
            else:
                member.discard()
        everyone = {*(known.references if known else ()), *references}
        entry = FileEntry(sha256, member.size, file_member(sha256), _ordered(everyone))
        if known is None:
            self._bytes += member.size
        self._files[sha256] = entry
        self._listener(Progress("write", rows_done=self._rows, bytes_done=self._bytes))
        return entry

    def record_missing(self, reference: FileReference, reason: str) -> None:
        """Record that a file is not in the package, and why."""
        self._missing.append(FileEntry("", 0, "", (reference,), reason or "missing"))

    # --- the end ----------------------------------------------------------------------------------------------------

    def finish(self, metadata: PackageMetadata) -> Path:
        """Write the two documents and move the package into place.

        Parameters
        ----------
        metadata : PackageMetadata
            What only the caller knows; `encoding`, `counts`, `manifest_sha256`, `requires` and, up to
            `digest.EAGER_ROWS` rows, `digest` are filled in.

        Returns
        -------
        Path
            The destination.
        """
        manifest = Manifest(
            tables=tuple(self._identified(entry, metadata.origin) for entry in self._tables.values()),
            files=(
                *(self._files[sha256] for sha256 in sorted(self._files)),
                *sorted(self._missing, key=lambda entry: _order(entry.references[0])),
            ),
            encoding=self._encoding,
        )
        digest = metadata.digest
        if digest is None and self._rows <= EAGER_ROWS:
            digest = semantic_digest(manifest.schema, Contents(self._archive.reader(), manifest).batches)
        written = manifest.to_bytes()
        _, sha256 = self._archive.write(MANIFEST_MEMBER, written)
        whole = replace(
            metadata, encoding=self._encoding, manifest_sha256=sha256, digest=digest,
            requires=manifest.requires,
            counts={
                "tables": len(manifest.tables), "rows": self._rows, "files": len(self._files),
                "bytes": sum(size for size, _ in manifest.members.values()),
            },
        )  # fmt: skip
        self._archive.write(METADATA_MEMBER, whole.to_bytes())
        _check_readable(manifest, len(written), whole)
        return self._archive.finish()

    def _identified(self, entry: TableEntry, origin: uuid.UUID) -> TableEntry:
        if self._encoding == "columns":
            return entry
        parts = tuple(
            PartEntry(part.member, part.bytes, part.sha256, part.rows, _uuid(entry.table, document, origin), part.key)
            for document in self._documents[entry.table.name]
            for part in [document.part]
        )
        return replace(entry, parts=parts)


def _check_readable(manifest: Manifest, size: int, metadata: PackageMetadata) -> None:
    """Refuse what no reader would open before it is put into place; parts and files are as the writer made them."""
    described = replace(
        manifest, files=(), tables=tuple(replace(entry, rows=0, parts=(), orphans={}) for entry in manifest.tables)
    )
    PackageMetadata.from_bytes(metadata.to_bytes(), f"the new package: {METADATA_MEMBER}")
    Manifest.from_bytes(described.to_bytes(), f"the new package: {MANIFEST_MEMBER}")
    if size > MAX_MANIFEST_BYTES:
        raise PackageError(
            f"the new package: {MANIFEST_MEMBER} would hold {size} bytes, {MAX_MANIFEST_BYTES} are allowed",
            hint='use encoding="columns", or fewer rows and files a package',
        )


def _uuid(table: Table, document: Document, origin: uuid.UUID) -> str:
    if document.uuid:
        return document.uuid
    if document.origin:
        return str(entity_uuid(uuid.UUID(document.origin), table.name, document.origin_key))
    return str(entity_uuid(origin, table.name, document.part.key)) if document.part.key else ""


def _order(reference: FileReference) -> tuple[str, str, str, str]:
    return reference.table, reference.column, reference.key, reference.name


def _ordered(references: Iterable[FileReference]) -> tuple[FileReference, ...]:
    return tuple(sorted(references, key=_order))


def _may_be_large(source: BinaryIO) -> bool:
    """Say whether a stream may hold 4 GiB; if it does not tell, it may."""
    if not source.seekable():
        return True
    here = source.tell()
    size = source.seek(0, 2) - here
    source.seek(here)
    return size >= _LARGE


class _Rows:
    """Batches on their way: counted, and compared with what the table says."""

    def __init__(self, table: Table, batches: Iterable[pa.RecordBatch], written: Callable[[str, int], None]) -> None:
        self.table = table
        self.count = 0
        self.schema: pa.Schema | None = None
        self.foreign = False
        self._batches = iter(batches)
        self._written = written

    def __iter__(self) -> _Rows:
        return self

    def __next__(self) -> pa.RecordBatch:
        batch = next(self._batches)
        if self.schema is None:
            self.foreign = ORIGIN_COLUMN in batch.schema.names
            self.schema = arrow_schema(column_types(self.table, foreign_identity=self.foreign))
        if not batch.schema.equals(self.schema):
            expected = {field.name: field.type for field in self.schema}
            wrong = [field.name for field in batch.schema if expected.get(field.name) != field.type]
            raise PackageError(
                f"a batch does not have the columns of the table, look at {(wrong or ['their order'])[:3]}",
                where=self.table.name,
            )
        self.count += batch.num_rows
        self._written(self.table.name, batch.num_rows)
        return batch


def _in_background(make: Callable[[pa.Schema], ColumnsEncoder], rows: _Rows) -> tuple[PartEntry, ...]:
    """Encode in a thread while the caller's thread fetches the next batch, so that both cores work."""
    waiting: queue.Queue[pa.RecordBatch | None] = queue.Queue(_QUEUED)
    encoders: list[ColumnsEncoder] = []
    failures: list[BaseException] = []

    def work() -> None:
        while (batch := waiting.get()) is not None:
            if failures:
                continue  # so that the other side never waits
            try:
                if not encoders:
                    encoders.append(make(batch.schema))
                encoders[0].add(batch)
            except BaseException as error:
                failures.append(error)

    thread = threading.Thread(target=work, name="datatransfer-encode", daemon=True)
    thread.start()
    try:
        for batch in rows:
            if failures:
                break
            waiting.put(batch)
    except BaseException as error:
        failures.insert(0, error)
    finally:
        waiting.put(None)
        thread.join()
    if failures:
        for encoder in encoders:
            encoder.abandon()
        raise failures[0]
    return encoders[0].finish() if encoders else ()
