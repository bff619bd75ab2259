"""Writing a package as a ZIP file: beside its destination, always the same bytes, each member hashed on its way.

Members are stored, not deflated: Parquet is compressed inside and read in place, documents are small, and deflate would
make the bytes depend on the build of zlib and leave padding bits where a change would not show.
"""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO, NamedTuple, cast

from datatransfer.errors import PackageError
from datatransfer.failpoints import failpoint
from datatransfer.package import zipformat as z
from datatransfer.package.archive import CHUNK, MAX_ENTRIES, Window, read_limited
from datatransfer.package.placing import (
    hold,
    place_file,
    put_aside_errors,
    refuse_existing,
    sweep,
)


class _Written(NamedTuple):
    """A member that is complete: what the directory says of it, and whether its header has 64-bit sizes."""

    name: bytes
    crc: int
    size: int
    offset: int
    large: bool


class ZipMember:
    """A member of a ZIP file while it is being written; see `datatransfer.package.archive.Member`."""

    def __init__(self, writer: ZipWriter, name: str, *, large: bool) -> None:
        self.name = name
        self.size = 0
        self._writer = writer
        self._large = large
        self._hash = hashlib.sha256()
        self._crc = 0

    @property
    def sha256(self) -> str:
        """Of the bytes written so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> int:
        """Write more."""
        size = len(data) if isinstance(data, bytes) else memoryview(data).nbytes
        if self.size + size >= z.MAX32 and not self._large:
            raise PackageError("is larger than 4 GiB and was not announced to be", where=self.name)
        self._hash.update(data)
        self._crc = zlib.crc32(data, self._crc)
        self._writer.write_raw(data)
        self.size += size
        return size

    def discard(self) -> None:
        """Forget the member."""
        self._writer.discard(self)

    def __enter__(self) -> ZipMember:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if kind is None:
            self._writer.end_member(self, self._crc, large=self._large)


class ZipWriter:
    """A ZIP file being written; see `datatransfer.package.archive.ArchiveWriter`.

    Parameters
    ----------
    path : Path
        The destination.
    overwrite : bool
    """

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        self._overwrite = overwrite
        with put_aside_errors(path):
            sweep(path)
            refuse_existing(path, overwrite=overwrite)
            number, self._beside = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
            hold(number)
            self._held = os.dup(number)  # which holds it until it is in place
            self._file = io.BufferedRandom(io.FileIO(number, "r+b"), CHUNK)
        self._directory: list[_Written] = []
        self._names: set[str] = set()
        self._open: ZipMember | None = None
        self._begin = 0

    def member(self, name: str, *, large: bool = False) -> ZipMember:
        """Begin a member; ``large`` if it may exceed 4 GiB."""
        assert self._open is None, "one member at a time"
        self._open = ZipMember(self, name, large=large)
        with put_aside_errors(self.path):
            self._begin = self._file.tell()
            # sizes, CRC and a name that depends on the content are filled in when the member ends
            self._file.write(_local(name.encode(), 0, 0, large=large))
        return self._open

    def write(self, name: str, data: bytes) -> tuple[int, str]:
        """Write a small member in one go, with nothing to fill in later; return its size and sha256."""
        assert self._open is None, "one member at a time"
        if len(data) >= z.MAX32:
            raise PackageError("is larger than 4 GiB and was not announced to be", where=name)
        raw, crc = name.encode(), zlib.crc32(data)
        self._take(name)
        with put_aside_errors(self.path):
            self._directory.append(_Written(raw, crc, len(data), self._file.tell(), large=False))
            self._file.write(_local(raw, crc, len(data), large=False) + data)
        return len(data), hashlib.sha256(data).hexdigest()

    def write_raw(self, data: bytes | memoryview) -> None:
        """Write bytes of the open member."""
        with put_aside_errors(self.path):
            self._file.write(data)

    def end_member(self, member: ZipMember, crc: int, *, large: bool) -> None:
        """Fill in the header of the open member."""
        if self._open is not member:
            return
        name = member.name.encode()
        self._take(member.name)
        with put_aside_errors(self.path):
            end = self._file.tell()
            self._file.seek(self._begin)
            self._file.write(_local(name, crc, member.size, large=large))
            self._file.seek(end)
        self._directory.append(_Written(name, crc, member.size, self._begin, large=large))
        self._open = None

    def _take(self, name: str) -> None:
        if name in self._names:
            raise PackageError("would be written twice", where=f"{self.path}: {name}")
        self._names.add(name)

    def discard(self, member: ZipMember) -> None:
        """Take the open member back out of the file."""
        if self._open is member:
            with put_aside_errors(self.path):
                self._file.seek(self._begin)
                self._file.truncate()
            self._open = None

    def reader(self) -> WrittenMembers:
        """Return a reader of the members that are written so far."""
        with put_aside_errors(self.path):
            self._file.flush()
        extents = {
            made.name.decode(): (made.offset + len(_local(made.name, 0, 0, large=made.large)), made.size)
            for made in self._directory
        }
        return WrittenMembers(self.path, self._file.raw, extents)

    def finish(self) -> Path:
        """Write the directory, make the file durable, and move it into place."""
        if len(self._directory) > MAX_ENTRIES:
            raise PackageError(
                f"would have {len(self._directory)} members, {MAX_ENTRIES} are allowed",
                where=str(self.path), hint='choose encoding="columns"',
            )  # fmt: skip
        with put_aside_errors(self.path):
            self._file.write(_directory(self._directory, self._file.tell()))
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            failpoint("export.before_move")
            place_file(self._beside, self.path, overwrite=self._overwrite)
        failpoint("export.after_move")
        self._let_go()
        return self.path

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._held < 0:
            return
        try:
            with put_aside_errors(self.path, doing="cleared away"):
                try:
                    self._file.raw.close()
                finally:
                    Path(self._beside).unlink(missing_ok=True)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        os.close(self._held)
        self._held = -1


class WrittenMembers:
    """Members of a ZIP file that is still being written; see `datatransfer.package.archive.ArchiveReader`."""

    def __init__(self, path: Path, file: io.RawIOBase, extents: Mapping[str, tuple[int, int]]) -> None:
        self.path = path
        self._file = cast(io.FileIO, file)
        self._extents = extents
        self.sizes: Mapping[str, int] = MappingProxyType({name: size for name, (_, size) in extents.items()})

    def open(self, name: str) -> BinaryIO:
        """Open a member."""
        start, size = self._extents[name]
        return cast(BinaryIO, Window(self._file, start, size, f"{self.path}: {name}"))

    def read(self, name: str, limit: int) -> bytes:
        """Return a member of at most so many bytes."""
        return read_limited(self.open(name), self.sizes[name], limit, f"{self.path}: {name}")

    def extent(self, name: str) -> tuple[int, int] | None:
        """Return offset and size of a member in the file."""
        return self._extents[name]

    def check_small(self) -> None:
        """Do nothing: nothing is compressed."""

    def close(self) -> None:
        """Do nothing: the file belongs to the writer."""


def _local(name: bytes, crc: int, size: int, *, large: bool) -> bytes:
    extra = b"\1\0\x10\0" + size.to_bytes(8, "little") * 2 if large else b""
    stated = z.MAX32 if large else size
    return (
        z.LOCAL.pack(
            z.LOCAL_SIGN, z.OWN_NEEDED, 0, z.STORED, z.OWN_TIME, z.OWN_DATE, crc, stated, stated, len(name), len(extra)
        )
        + name
        + extra
    )


def _directory(entries: list[_Written], begin: int) -> bytes:
    whole = bytearray()
    for name, crc, size, offset, _ in entries:
        wide = [value for value in (size, size, offset) if value >= z.MAX32]
        extra = b"\1\0" + (8 * len(wide)).to_bytes(2, "little") if wide else b""
        extra += b"".join(value.to_bytes(8, "little") for value in wide)
        whole += z.CENTRAL.pack(
            z.CENTRAL_SIGN, z.OWN_MADE_BY, z.OWN_NEEDED, 0, z.STORED, z.OWN_TIME, z.OWN_DATE, crc,
            min(size, z.MAX32), min(size, z.MAX32), len(name), len(extra), 0, 0, 0, z.OWN_ATTRIBUTES,
            min(offset, z.MAX32),
        ) + name + extra  # fmt: skip
    count, size = len(entries), len(whole)
    if count >= z.MAX16 or size >= z.MAX32 or begin >= z.MAX32:
        end64 = begin + size
        whole += z.END64.pack(
            z.END64_SIGN, z.END64.size - 12, z.OWN_MADE_BY, z.OWN_NEEDED, 0, 0, count, count, size, begin
        )
        whole += z.LOCATOR.pack(z.LOCATOR_SIGN, 0, end64, 1)
    short = min(count, z.MAX16)
    whole += z.END.pack(z.END_SIGN, 0, 0, short, short, min(size, z.MAX32), min(begin, z.MAX32), 0)
    return bytes(whole)
