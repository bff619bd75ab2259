"""Reading ZIP files that somebody else may have made.

Everything is decided by structure, before a byte is inflated:

1. the end record is the last thing in the file and states how many members there are: too many, and nothing else is
   read;
2. the central directory ends where the end record (or its zip64 form) begins, and says the same as it;
3. every member is stored or deflated, an ordinary file or an empty directory, not encrypted, and named in ASCII or
   UTF-8;
4. the members' local headers, data and descriptors fill the file from its first byte to the central directory
   without gap or overlap, and say the same as the central directory;
5. no two members have the same name, by case and Unicode form too;
6. if one member is written the way we write all of them, every one is; so a flipped bit anywhere shows.

While reading, size and CRC must come out as stated.
"""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO, cast

from datatransfer.errors import PackageError
from datatransfer.package import zipformat as z
from datatransfer.package.archive import CHUNK, MAX_ENTRIES, Window, check_distinct, closed, read_at, read_limited
from datatransfer.package.zipformat import Entry, ZipRuleError

_MOST_PER_ENTRY = 46 + 1024
"""Most bytes of the central directory for one member, on average."""
_SMALL_BYTES = 16 << 20
_MOST_RATIO = 400
"""How often a member of more than 1 MiB may be larger inflated; deflate could reach 1032."""


class ZipReader:
    """An open ZIP file whose structure is in order; see `datatransfer.package.archive.ArchiveReader`.

    Parameters
    ----------
    path : Path

    Raises
    ------
    PackageError
        A rule is broken.
    OSError
        The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_plain(path)
        try:
            found = self._decided()
        except (ZipRuleError, struct.error) as error:
            self.close()
            rule = str(error) if isinstance(error, ZipRuleError) else "has a record that is cut off"
            raise PackageError(rule, where=str(path), hint="get the package again from where it came") from None
        except PackageError:
            self.close()
            raise
        self._entries = {entry.name: (entry, start) for entry, start in found}
        self.sizes: Mapping[str, int] = MappingProxyType({entry.name: entry.size for entry, _ in found})

    def _decided(self) -> list[tuple[Entry, int]]:
        """Return the members in the order of the directory, each with the place where its data begin."""
        total = os.fstat(self._file.fileno()).st_size
        end = _find_end(self._file, total)
        entries = list(_central(self._file, end))
        check_distinct((entry.name for entry in entries), str(self.path))
        starts = _check_layout(self._file, entries, end.offset)
        own = [entry.own_profile for entry in entries]
        if any(own) and not (all(own) and end.own_profile):
            raise ZipRuleError("was changed after it was written: its members are not all of one make")
        return [(entry, starts[entry.offset]) for entry in entries]

    def open(self, name: str) -> BinaryIO:
        """Open a member; a stored one is seekable, a deflated one can be read once from its beginning."""
        entry, start = self._entry(name)
        where = f"{self.path}: {name}"
        window = Window(self._file, start, entry.packed, where)
        if entry.method == z.STORED:
            return cast(BinaryIO, window)
        return cast(BinaryIO, io.BufferedReader(_Inflating(window, entry, where), CHUNK))

    def read(self, name: str, limit: int) -> bytes:
        """Return a member of at most so many bytes, its CRC checked."""
        entry, _ = self._entry(name)
        with self.open(name) as file:
            data = read_limited(file, entry.size, limit, f"{self.path}: {name}")
        if zlib.crc32(data) != entry.crc:
            hint = "get the package again from where it came"
            raise PackageError("does not have the CRC that is stated", where=f"{self.path}: {name}", hint=hint)
        return data

    def extent(self, name: str) -> tuple[int, int] | None:
        """Return offset and size of a stored member in the file."""
        entry, start = self._entry(name)
        return (start, entry.size) if entry.method == z.STORED else None

    def check_small(self) -> None:
        """Inflate the deflated members that are small, so that sizes that lie show before anything is used."""
        left = _SMALL_BYTES
        for entry, _ in self._entries.values():
            if entry.method == z.DEFLATED and entry.size <= left:
                self.read(entry.name, entry.size)
                left -= entry.size

    def close(self) -> None:
        """Give back the file."""
        self._file.close()

    def _entry(self, name: str) -> tuple[Entry, int]:
        if self._file.closed:
            raise closed(self.path)
        try:
            return self._entries[name]
        except KeyError:
            raise PackageError("is not in the package", where=f"{self.path}: {name}") from None


def open_plain(path: str | Path, *, dir_fd: int | None = None, follow: bool = True) -> io.FileIO:
    """Open an ordinary file for reading, never waiting for a pipe.

    Raises
    ------
    PackageError
        It is not an ordinary file.
    OSError
        It cannot be opened.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    number = os.open(path, flags | (0 if follow else getattr(os, "O_NOFOLLOW", 0)), dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise PackageError("is not an ordinary file", where=str(path))
    return _Plain(number, "rb")


class _Plain(io.FileIO):
    """A file that closes itself without a warning when nobody reads the package any more."""

    def __del__(self) -> None:
        self.close()


class _End:
    """What the end record says: how many entries, and where the central directory is."""

    def __init__(self, count: int, size: int, offset: int, *, own_profile: bool) -> None:
        self.count, self.size, self.offset, self.own_profile = count, size, offset, own_profile


def _find_end(file: io.FileIO, total: int) -> _End:
    tail = read_at(file, min(total, z.END.size + z.MAX16 + 1), max(0, total - z.END.size - z.MAX16 - 1))
    base = total - len(tail)
    place = tail.rfind(z.END_SIGN)
    if place < 0:
        raise ZipRuleError("is not a ZIP file, or it is cut off: it has no end record")
    if len(tail) - place < z.END.size:
        raise ZipRuleError("is cut off in its end record")
    _, disk, first_disk, here, count, size, offset, comment = z.END.unpack_from(tail, place)
    if place + z.END.size + comment != len(tail):
        raise ZipRuleError("has data after its end record")
    if _other_end(tail, place):
        raise ZipRuleError("has two end records")
    if (disk, first_disk) != (0, 0) or here != count:
        raise ZipRuleError("is spread over several files")
    locator = tail[max(0, place - z.LOCATOR.size) : place]
    stated = (count, size, offset)
    if locator.startswith(z.LOCATOR_SIGN) and len(locator) == z.LOCATOR.size:
        end, border = _end64(file, locator, base + place - z.LOCATOR.size, stated)
        end.own_profile &= comment == 0
    elif count == z.MAX16 or z.MAX32 in (size, offset):
        raise ZipRuleError("announces a zip64 end record and has none")
    else:
        end, border = _End(count, size, offset, own_profile=comment == 0), base + place
    if end.count > MAX_ENTRIES:
        raise ZipRuleError(f"has {end.count} members, {MAX_ENTRIES} are allowed")
    if end.offset + end.size != border:
        raise ZipRuleError("has a central directory that does not end at the end record")
    if end.size > end.count * _MOST_PER_ENTRY:
        raise ZipRuleError("has a central directory that is too large")
    return end


def _other_end(tail: bytes, place: int) -> bool:
    """Say whether an earlier end record fits as well, as its comment holding the later one."""
    found = tail.rfind(z.END_SIGN, 0, place)
    while found >= 0:
        if found + z.END.size <= len(tail):
            (comment,) = struct.unpack_from("<H", tail, found + z.END.size - 2)
            if found + z.END.size + comment == len(tail):
                return True
        found = tail.rfind(z.END_SIGN, 0, found)
    return False


def _end64(file: io.FileIO, locator: bytes, position: int, stated: tuple[int, int, int]) -> tuple[_End, int]:
    _, disk, offset, disks = z.LOCATOR.unpack(locator)
    if disk != 0 or disks != 1 or offset + z.END64.size != position:
        raise ZipRuleError("has a zip64 locator that does not point to the record before it")
    fields = z.END64.unpack(read_at(file, z.END64.size, offset))
    sign, size, made_by, needed, disk, first_disk, here, count, directory, start = fields
    if sign != z.END64_SIGN or size != z.END64.size - 12:
        raise ZipRuleError("has a zip64 end record of another form than the standard's first")
    if (disk, first_disk) != (0, 0) or here != count:
        raise ZipRuleError("is spread over several files")
    for short, full, most in zip(stated, (count, directory, start), (z.MAX16, z.MAX32, z.MAX32), strict=True):
        if short not in (most, full):
            raise ZipRuleError("has two end records that differ")
    own = (made_by, needed) == (z.OWN_MADE_BY, z.OWN_NEEDED)
    return _End(count, directory, start, own_profile=own), offset


def _central(file: io.FileIO, end: _End) -> Iterator[Entry]:
    raw = read_at(file, end.size, end.offset)
    position = 0
    for _ in range(end.count):
        fields = z.CENTRAL.unpack_from(raw, position)
        lengths = fields[10:13]
        position += z.CENTRAL.size
        if fields[0] != z.CENTRAL_SIGN or position + sum(lengths) > len(raw):
            raise ZipRuleError("has a central directory with fewer entries than stated")
        name = raw[position : position + lengths[0]]
        extra = raw[position + lengths[0] : position + lengths[0] + lengths[1]]
        if lengths[2] or fields[13]:
            raise ZipRuleError("has a member with a comment, or on another disk")
        yield _entry(fields, name, extra)
        position += sum(lengths)
    if position != len(raw):
        raise ZipRuleError("has a central directory with more in it than the entries stated")


def _entry(fields: tuple[int, ...], raw_name: bytes, raw_extra: bytes) -> Entry:
    _, made_by, needed, flags, method, time, date, crc, packed, size = fields[:10]
    internal, attributes, offset = fields[14:]
    extra = z.extra_fields(raw_extra)
    size, packed, offset = z.widened([size, packed, offset], extra)
    entry = Entry(
        _name(raw_name, flags), raw_name, made_by, needed, flags, method, time, date, crc, packed, size, internal,
        attributes, offset, tuple(extra),
    )  # fmt: skip
    _check_kind(entry)
    return entry


def _name(raw: bytes, flags: int) -> str:
    try:
        name = raw.decode("utf-8" if flags & z.IS_UTF8 else "ascii")
    except UnicodeDecodeError:
        raise ZipRuleError("has a member whose name is neither ASCII nor marked UTF-8") from None
    bare = name.removesuffix("/")
    if not bare or "\0" in name or "\\" in name or any(part in ("", ".", "..") for part in bare.split("/")):
        raise ZipRuleError("has a member whose name is empty or leads elsewhere")
    return name


def _check_kind(entry: Entry) -> None:
    if entry.needed > z.OWN_NEEDED or entry.method not in (z.STORED, z.DEFLATED):
        raise ZipRuleError("has a member that is neither stored nor deflated")
    if entry.flags & ~(z.HAS_DESCRIPTOR | z.IS_UTF8 | (0x0006 if entry.method == z.DEFLATED else 0)):
        raise ZipRuleError("has a member that is encrypted or patched")
    kind, mode = stat.S_IFMT(entry.attributes >> 16), entry.attributes >> 16
    is_directory = entry.name.endswith("/")
    allowed = (0, stat.S_IFDIR) if is_directory else (0, stat.S_IFREG)
    if kind not in allowed or mode & 0o7000 or entry.attributes & 0x08 or entry.internal & ~1:
        raise ZipRuleError("has a member that is a link, a device or has special permissions")
    if bool(entry.attributes & 0x10) and not is_directory:
        raise ZipRuleError("has a member that is a directory by its attributes and a file by its name")
    if is_directory and (entry.size or entry.packed or entry.crc or entry.method != z.STORED):
        raise ZipRuleError("has a directory with content")
    if entry.method == z.STORED and entry.size != entry.packed:
        raise ZipRuleError("has a stored member of two sizes")
    if entry.method == z.DEFLATED and (entry.packed < 2 or entry.size > max(entry.packed * _MOST_RATIO, 1 << 20)):
        raise ZipRuleError("has a member that is far larger than its data")


def _check_layout(file: io.FileIO, entries: list[Entry], border: int) -> dict[int, int]:
    """Compare all local headers; return where the data behind each begin, by the place of the header."""
    position = 0
    starts = {}
    for entry in sorted(entries, key=lambda entry: entry.offset):
        if entry.offset != position:
            raise ZipRuleError("has data before, between or below its members")
        starts[position], position = _check_local(file, entry, border)
    if position != border:
        raise ZipRuleError("has data between its members and the central directory")
    return starts


def _check_local(file: io.FileIO, entry: Entry, border: int) -> tuple[int, int]:
    """Compare a local header with the central directory; return where the data begin and where the member ends."""
    raw = read_at(file, z.LOCAL.size + len(entry.raw_name) + 64, entry.offset)
    sign, needed, flags, method, time, date, crc, packed, size, names, extras = z.LOCAL.unpack_from(raw)
    if sign != z.LOCAL_SIGN:
        raise ZipRuleError("has a member without a header")
    begin = z.LOCAL.size + names
    if begin + extras > len(raw):
        raw = read_at(file, begin + extras, entry.offset)
    if raw[z.LOCAL.size : begin] != entry.raw_name:
        raise ZipRuleError("has a member with two names")
    extra = z.extra_fields(raw[begin : begin + extras])
    size, packed = z.widened([size, packed], extra)
    if (needed, flags, method, time, date) != (entry.needed, entry.flags, entry.method, entry.time, entry.date):
        raise ZipRuleError("has a member whose two headers differ")
    if entry.own_profile and set(extra) - {z.ZIP64}:
        raise ZipRuleError("has a member whose two headers differ")
    start: int = entry.offset + begin + extras
    after = start + entry.packed
    if after > border:
        raise ZipRuleError("has a member that reaches into the central directory")
    stated, true = (crc, packed, size), (entry.crc, entry.packed, entry.size)
    if not flags & z.HAS_DESCRIPTOR:
        if stated != true:
            raise ZipRuleError("has a member whose two headers state different sizes")
        return start, after
    if any(short not in (0, full) for short, full in zip(stated, true, strict=True)):
        raise ZipRuleError("has a member whose two headers state different sizes")
    return start, after + _descriptor_size(read_at(file, 24, after), true)


def _descriptor_size(raw: bytes, true: tuple[int, int, int]) -> int:
    for form in (struct.Struct("<4s3I"), struct.Struct("<4sI2Q")):
        if len(raw) >= form.size and form.unpack_from(raw) == (z.DESCRIPTOR_SIGN, *true):
            return form.size
    raise ZipRuleError("has a member whose data descriptor states other sizes, or is not there")


class _Inflating(io.RawIOBase):
    """A deflated member, inflated as it is read, never beyond the stated size."""

    def __init__(self, window: Window, entry: Entry, where: str) -> None:
        self._window, self._where = window, where
        self._left, self._crc, self._stated_crc = entry.size, 0, entry.crc
        self._inflate = zlib.decompressobj(-15)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        data = self._next(min(len(view), self._left + 1))
        view[: len(data)] = data
        return len(data)

    def _next(self, wanted: int) -> bytes:
        data = b""
        while not data and not self._inflate.eof:
            raw = self._inflate.unconsumed_tail or self._window.read(1 << 16)
            try:
                data = self._inflate.decompress(raw, wanted)
            except zlib.error:
                raise PackageError("is not deflated as it must be", where=self._where) from None
            if not data and not raw and not self._inflate.eof:
                raise PackageError("ends before its time", where=self._where)
        self._left -= len(data)
        self._crc = zlib.crc32(data, self._crc)
        if self._left < 0:
            raise PackageError("is larger than stated", where=self._where)
        if not data and (self._left or self._inflate.unused_data or self._window.read(1)):
            raise PackageError("does not have the size that is stated", where=self._where)
        if not data and self._crc != self._stated_crc:
            raise PackageError("does not have the CRC that is stated", where=self._where)
        return data
