"""A package as a folder: the same members as files."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO, cast

from datatransfer.errors import PackageError, clearing_up
from datatransfer.failpoints import failpoint
from datatransfer.package.archive import MAX_ENTRIES, Window, check_distinct, closed, read_limited
from datatransfer.package.placing import hold, is_there, put_aside_errors, refuse_existing, sweep, sync_folder
from datatransfer.package.zipreader import open_plain


class FolderReader:
    """A folder whose files are in order; see `datatransfer.package.archive.ArchiveReader`.

    Parameters
    ----------
    path : Path

    Raises
    ------
    PackageError
        It holds a link, a pipe or a device, or two names that are the same on some systems.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._closed = False
        sizes = dict(sorted(_walk(path, path)))
        check_distinct(sizes, str(path))
        self.sizes: Mapping[str, int] = MappingProxyType(sizes)

    def open(self, name: str) -> BinaryIO:
        """Open a member."""
        where = f"{self.path}: {name}"
        if self._closed:
            raise closed(self.path)
        if name not in self.sizes:
            raise PackageError("is not in the package", where=where)
        try:
            file = open_plain(self.path / name, follow=False)
        except OSError as error:
            raise PackageError(f"cannot be read: {error.strerror}", where=where) from error
        return cast(BinaryIO, _OwnWindow(file, 0, os.fstat(file.fileno()).st_size, where))

    def read(self, name: str, limit: int) -> bytes:
        """Return a member of at most so many bytes."""
        with self.open(name) as file:
            return read_limited(file, self.sizes[name], limit, f"{self.path}: {name}")

    def extent(self, name: str) -> None:
        """Return None: every member is a file of its own."""
        del name

    def check_small(self) -> None:
        """Do nothing: nothing is compressed."""

    def close(self) -> None:
        """Read nothing more; no file stays open."""
        self._closed = True


class _OwnWindow(Window):
    """A window that closes the file below."""

    def close(self) -> None:
        self._file.close()
        super().close()


def _walk(folder: Path, root: Path) -> Iterator[tuple[str, int]]:
    count = 0
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        with os.scandir(here) as found:
            for item in found:
                kind = item.stat(follow_symlinks=False)
                name = Path(item.path).relative_to(root).as_posix()
                count += 1
                if count > 2 * MAX_ENTRIES or name.count("/") > 3:
                    raise PackageError(f"has more than {MAX_ENTRIES} members or is too deep", where=str(root))
                if stat.S_ISDIR(kind.st_mode):
                    waiting.append(Path(item.path))
                elif stat.S_ISREG(kind.st_mode):
                    yield name, kind.st_size
                else:
                    raise PackageError(f"has a link, a pipe or a device: {name!r:.80}", where=str(root))


def _raised(error: OSError) -> None:
    raise error


class FolderMember:
    """A file of a folder while it is being written; see `datatransfer.package.archive.Member`."""

    def __init__(self, writer: FolderWriter, name: str) -> None:
        self.name = name
        self.size = 0
        self._writer = writer
        self._hash = hashlib.sha256()
        self._beside = writer.beside / f".{secrets.token_hex(8)}"
        with put_aside_errors(writer.path):
            self._file = self._beside.open("xb", buffering=1 << 20)

    @property
    def sha256(self) -> str:
        """Of the bytes written so far."""
        return self._hash.hexdigest()

    def write(self, data: bytes | memoryview) -> int:
        """Write more."""
        self._hash.update(data)
        with put_aside_errors(self._writer.path):
            self._file.write(data)
        size = memoryview(data).nbytes
        self.size += size
        return size

    def discard(self) -> None:
        """Forget the member."""
        self._file.close()
        self._beside.unlink()

    def __enter__(self) -> FolderMember:
        return self

    def __exit__(self, kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        if self._file.closed:
            return
        if kind is not None:
            # what failed was perhaps the disk, and closing would try to write again
            with contextlib.suppress(OSError):
                self._file.close()
            return
        target = self._writer.beside / self.name
        with put_aside_errors(self._writer.path):
            try:
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                with clearing_up(error):
                    self._file.close()
                raise
            self._file.close()
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.exists():
                raise PackageError("would be written twice", where=f"{self._writer.path}: {self.name}")
            self._beside.replace(target)


class FolderWriter:
    """A folder being written beside its destination; see `datatransfer.package.archive.ArchiveWriter`."""

    def __init__(self, path: Path, *, overwrite: bool = False) -> None:
        self.path = path
        self._overwrite = overwrite
        with put_aside_errors(path):
            sweep(path)
            refuse_existing(path, overwrite=overwrite)
            self.beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
            try:
                self._held = os.open(self.beside, os.O_RDONLY)
            except OSError as error:
                with clearing_up(error):
                    self.beside.rmdir()
                raise
            hold(self._held)

    def member(self, name: str, *, large: bool = False) -> FolderMember:
        """Begin a member."""
        del large  # a file may have any size
        return FolderMember(self, name)

    def write(self, name: str, data: bytes) -> tuple[int, str]:
        """Write a small member; return its size and sha256."""
        with self.member(name) as member:
            member.write(data)
        return member.size, member.sha256

    def reader(self) -> FolderReader:
        """Return a reader of the members that are written so far."""
        with put_aside_errors(self.path):
            return FolderReader(self.beside)

    def finish(self) -> Path:
        """Make the folder durable and move it into place."""
        with put_aside_errors(self.path):
            for folder, _, _ in os.walk(self.beside, onerror=_raised):
                sync_folder(Path(folder))
            failpoint("export.before_move")
            if self._overwrite and is_there(self.path):
                old = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.old")
                self.path.rename(old)
                try:
                    self.beside.rename(self.path)
                except OSError as error:
                    with clearing_up(error):
                        old.rename(self.path)
                    raise
                shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
            else:
                refuse_existing(self.path, overwrite=False)
                self.beside.rename(self.path)
            self._make_durable()
        failpoint("export.after_move")
        self._let_go()
        return self.path

    def _make_durable(self) -> None:
        try:
            sync_folder(self.path.parent)
        except OSError as error:
            if not self._overwrite:  # the caller is told that there is no package
                with clearing_up(error):
                    shutil.rmtree(self.path)
            raise

    def abort(self) -> None:
        """Leave nothing behind."""
        if self._held < 0:
            return
        try:
            with put_aside_errors(self.path, doing="cleared away"):
                if is_there(self.beside):
                    shutil.rmtree(self.beside)
        finally:
            self._let_go()

    def _let_go(self) -> None:
        if self._held >= 0:
            os.close(self._held)
            self._held = -1
