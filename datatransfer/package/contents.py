"""The rows and files of a package, each member compared with its recorded sha256 before it is used."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO, cast

from datatransfer.errors import PackageError
from datatransfer.package.archive import CHUNK, ArchiveReader, sha256_of
from datatransfer.package.columns import read_part
from datatransfer.package.documents import MAX_DOCUMENT_BYTES, column_types, read_documents
from datatransfer.package.manifest import FileEntry, Manifest, PartEntry
from datatransfer.schema.values import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 65_536
"""Rows of a batch unless told otherwise."""
_IN_MEMORY = 16 << 20
_OTHER = "does not have the sha256 that the manifest says"
_AGAIN = "get the package again from where it came"


class Contents:
    """What a manifest describes, read from an archive.

    Parameters
    ----------
    archive : ArchiveReader
        Stays open as long as this is used; all reads go through it, so a package that is replaced meanwhile does not
        matter.
    manifest : Manifest
    """

    def __init__(self, archive: ArchiveReader, manifest: Manifest) -> None:
        self.archive = archive
        self.manifest = manifest
        self._checked: set[str] = set()

    def arrow_schema(self, table: str) -> pa.Schema:
        """Return the Arrow schema of a table's batches."""
        entry = self.manifest.by_table[table]
        return arrow_schema(column_types(entry.table, foreign_identity=entry.foreign_identity))

    def batches(
        self, table: str, batch_rows: int = BATCH_ROWS, columns: Sequence[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table; with ``columns`` only those.

        Raises
        ------
        PackageError
            A member is not what the manifest says.
        """
        entry = self.manifest.by_table[table]
        if self.manifest.encoding == "documents":
            package = str(self.archive.path)
            for batch in read_documents(entry, self.document, package=package, batch_rows=batch_rows):
                yield batch if columns is None else batch.select(list(columns))
            return
        schema = self.arrow_schema(table)
        for part in entry.parts:
            self.check(part.member, part.bytes, part.sha256)
            with self._seekable(part.member) as file:
                yield from read_part(
                    file, schema, part.rows, where=self.where(part.member), batch_rows=batch_rows, columns=columns
                )

    def _seekable(self, member: str) -> BinaryIO:
        """Open a member to be read in any order; one that somebody packed again with deflate is inflated aside."""
        file = self.archive.open(member)
        if file.seekable():
            return file
        aside = cast(BinaryIO, tempfile.SpooledTemporaryFile(_IN_MEMORY))  # noqa: SIM115  closed by the caller
        with file:
            shutil.copyfileobj(file, aside, CHUNK)
        aside.seek(0)
        return aside

    def document(self, part: PartEntry) -> bytes:
        """Return the bytes of a document, read once and compared with what is recorded."""
        problem = self._problem_of_size(part.member, part.bytes)
        data = b"" if problem else self.archive.read(part.member, MAX_DOCUMENT_BYTES)
        if not problem and hashlib.sha256(data).hexdigest() != part.sha256:
            problem = _OTHER
        if problem:
            raise PackageError(problem, where=self.where(part.member), hint=_AGAIN)
        self._checked.add(part.member)
        return data

    def file(self, entry: FileEntry) -> BinaryIO:
        """Open a file that rows refer to."""
        self.check(entry.member, entry.bytes, entry.sha256)
        return self.archive.open(entry.member)

    def check(self, member: str, size: int, sha256: str) -> None:
        """Compare a member with what is recorded, once.

        Raises
        ------
        PackageError
            It is missing or another.
        """
        if member in self._checked:
            return
        if problem := self.problem(member, size, sha256):
            raise PackageError(problem, where=self.where(member), hint=_AGAIN)
        self._checked.add(member)

    def problem(self, member: str, size: int, sha256: str) -> str:
        """Say what is wrong with a member, or return an empty text."""
        if problem := self._problem_of_size(member, size):
            return problem
        with self.archive.open(member) as file:
            found_size, found = sha256_of(file)
        return _OTHER if found_size != size or found != sha256 else ""

    def _problem_of_size(self, member: str, size: int) -> str:
        found = self.archive.sizes.get(member)
        if found is None:
            return "is not in the package"
        return "" if found == size else f"has {found} bytes, the manifest says {size}"

    def where(self, member: str) -> str:
        """Return package and member, for errors."""
        return f"{self.archive.path}: {member}"
