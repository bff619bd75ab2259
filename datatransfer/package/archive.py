"""The bytes of a package: the one way in, and what a ZIP file and a folder have in common.

Whoever reads a package calls `open_archive`; whoever writes one calls `create_archive`. What the members mean is not
known here.

==================  ====================================================================
`open_archive`      a reader: `zipreader.ZipReader` for a file, `folders.FolderReader`
`create_archive`    a writer: `zipwriter.ZipWriter` for a name that ends in ``.zip``,
                    `folders.FolderWriter` for any other
==================  ====================================================================
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import unicodedata
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from datatransfer.errors import PackageError, UsageError
from datatransfer.package.names import MEMBER

if TYPE_CHECKING:
    from collections.abc import Callable

CHUNK = 1 << 20
"""Bytes that are copied at once."""
MAX_ENTRIES = 200_000
"""Most members of a package."""
_UNREADABLE = "look whether the path is right, and whether this user may read it"


class ArchiveReader(Protocol):
    """Members of an open package, by name."""

    path: Path

    @property
    def sizes(self) -> Mapping[str, int]:
        """Bytes of every member, in the order they are stored."""

    def open(self, name: str) -> BinaryIO:
        """Open a member: seekable if it is stored as it is, else only to be read once."""

    def read(self, name: str, limit: int) -> bytes:
        """Return a member of at most so many bytes."""

    def extent(self, name: str) -> tuple[int, int] | None:
        """Offset and size of a stored member in the file; None if it is compressed or the package is a folder."""

    def check_small(self) -> None:
        """Inflate what is compressed and small, to see that sizes do not lie; the rest is seen when it is read."""

    def close(self) -> None:
        """Give back the file; calling it twice is fine."""


class Member(AbstractContextManager["Member"], Protocol):
    """A member while it is being written; leaving the block without an error ends it."""

    name: str

    @property
    def size(self) -> int:
        """Bytes written so far."""

    @property
    def sha256(self) -> str:
        """Of the bytes written so far."""

    def write(self, data: bytes | memoryview) -> int:
        """Write more."""

    def discard(self) -> None:
        """Forget the member; the next one takes its place."""


class ArchiveWriter(Protocol):
    """A package being written beside its destination."""

    path: Path

    def member(self, name: str, *, large: bool = False) -> Member:
        """Begin a member that is stored as it is; ``large`` if it may exceed 4 GiB. A later `rename` fixes its name."""

    def write(self, name: str, data: bytes) -> tuple[int, str]:
        """Write a small member, compressed if the archive does that; return its size and sha256."""

    def reader(self) -> ArchiveReader:
        """Return a reader of the members that are written so far."""

    def finish(self) -> Path:
        """Make the package durable and move it into place."""

    def abort(self) -> None:
        """Leave nothing behind; calling it after `finish` does nothing."""


def open_archive(path: str | Path) -> ArchiveReader:
    """Open a package and decide on its structure before anything is inflated.

    Parameters
    ----------
    path : str or Path
        A ZIP file, or a folder.

    Raises
    ------
    PackageError
        There is nothing, it cannot be read, or a rule of the format is broken.
    """
    from datatransfer.package.folders import FolderReader
    from datatransfer.package.zipreader import ZipReader

    where = Path(path)
    try:
        reader: ArchiveReader = FolderReader(where) if where.is_dir() else ZipReader(where)
    except OSError as error:
        raise PackageError(f"cannot be read: {error.strerror}", where=str(path), hint=_UNREADABLE) from error
    try:
        reader.check_small()
        check_names(reader.sizes, str(path))
    except PackageError:
        reader.close()
        raise
    return reader


def create_archive(path: str | Path, *, overwrite: bool = False) -> ArchiveWriter:
    """Begin a package beside its destination.

    Parameters
    ----------
    path : str or Path
        A name that ends in ``.zip`` becomes a ZIP file, any other a folder.
    overwrite : bool

    Raises
    ------
    PackageExistsError
        The destination is already there.
    PackageError
        It cannot be written.
    """
    from datatransfer.package.folders import FolderWriter
    from datatransfer.package.zipwriter import ZipWriter

    where = Path(path)
    kind: Callable[..., ArchiveWriter] = ZipWriter if where.suffix.lower() == ".zip" else FolderWriter
    return kind(where, overwrite=overwrite)


def check_names(names: Iterable[str], where: str) -> None:
    """Refuse members that no package has.

    Raises
    ------
    PackageError
        ``metadata.json`` is not there, or a name is not one that the format derives.
    """
    found = list(names)
    if "metadata.json" not in found:
        raise PackageError(
            "is not a package: it has no metadata.json", where=where, hint="name a file or folder that an export wrote"
        )
    for name in found:
        if not MEMBER.fullmatch(name):
            hint = "pack it without entries for directories, e.g. zip -D" if name.endswith("/") else ""
            raise PackageError(f"has a member with a name that no package has: {name!r:.80}", where=where, hint=hint)


def check_distinct(names: Iterable[str], where: str) -> None:
    """Refuse names that some file system or reader takes for the same."""
    seen: set[str] = set()
    for name in names:
        folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
        if folded in seen:
            raise PackageError(f"has the member {name!r:.80} twice, perhaps in another case", where=where)
        seen.add(folded)
    for name in seen:
        parents = name.rstrip("/").split("/")[:-1]
        if any("/".join(parents[: n + 1]) in seen for n in range(len(parents))):
            raise PackageError(f"has the member {name!r:.80} below another member", where=where)


def read_limited(file: BinaryIO, size: int, limit: int, where: str) -> bytes:
    """Read a member that must not be larger than a limit."""
    if size > limit:
        raise PackageError(f"holds {size} bytes, {limit} are allowed", where=where)
    return file.read()


def sha256_of(file: BinaryIO) -> tuple[int, str]:
    """Return size and sha256 of what is left of a file."""
    total, digest = 0, hashlib.sha256()
    while chunk := file.read(CHUNK):
        total += len(chunk)
        digest.update(chunk)
    return total, digest.hexdigest()


def closed(package: str | Path) -> UsageError:
    """Return the error for a package that is read after it was closed."""
    return UsageError("the package was closed", where=str(package), hint="open it again: dt.DataPackage.open(path)")


class Window(io.RawIOBase):
    """A part of an open file as a file of its own, read by position; many may share the one below.

    Parameters
    ----------
    file : BinaryIO
        Unbuffered.
    start, size : int
        In bytes.
    where : str
        Package and member, for errors.
    """

    def __init__(self, file: io.FileIO, start: int, size: int, where: str) -> None:
        self._file, self._start, self._size, self._where = file, start, size, where
        self._position = 0

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def seekable(self) -> bool:
        """Say that it can be read in any order."""
        return True

    def tell(self) -> int:
        """Return the position in the window."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move in the window."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1) -> bytes:
        """Read from the position on, never beyond the window."""
        rest = max(0, self._size - self._position)
        wanted = rest if size is None or size < 0 else min(size, rest)
        if wanted and self._file.closed:  # while somebody was reading
            raise closed(self._where)
        pieces = []
        while wanted:
            piece = read_at(self._file, wanted, self._start + self._position)
            if not piece:
                raise PackageError("ends before its time: it was cut while it was read", where=self._where)
            pieces.append(piece)
            self._position += len(piece)
            wanted -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)


def read_at(file: io.FileIO, size: int, offset: int) -> bytes:
    """Read from a position, whatever other threads read; fewer bytes only at the end of the file."""
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), size, offset)
    with _SEEKING:
        file.seek(offset)
        return file.read(size)


_SEEKING = threading.Lock()
