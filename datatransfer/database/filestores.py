"""Where the files lie that rows refer to: a folder, or memory.

A store knows paths relative to itself and nothing of tables or packages. A path comes from a row, perhaps of a package
from a stranger, so every store refuses one that could lead out of it, and never overwrites a file by different content.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import stat
from collections.abc import Iterator
from typing import BinaryIO, Protocol, runtime_checkable

from datatransfer.display.plain import counted
from datatransfer.errors import FileStoreError
from datatransfer.failpoints import failpoint
from datatransfer.given import path_of

CHUNK_BYTES = 2**20
_LONGEST_PATH = 4096
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


@runtime_checkable
class FileStore(Protocol):
    """What every store of files can do.

    Paths are text with ``/`` between their parts, relative to the store, as they stand in the column. Every failure is
    a `FileStoreError` that names the path.
    """

    def open(self, path: str) -> BinaryIO:
        """Open a file to be read from its start; the caller closes it."""

    def size(self, path: str) -> int:
        """Return the length of a file in bytes."""

    def exists(self, path: str) -> bool:
        """Return whether there is something under a path, readable or not."""

    def write(self, path: str, source: BinaryIO, sha256: str) -> bool:
        """Write a file in one step: it is there wholly or not at all.

        Parameters
        ----------
        path : str
        source : binary file
            Read to its end, in chunks.
        sha256 : str
            What its content must hash to, 64 hexadecimal digits.

        Returns
        -------
        bool
            False if a file with this content was there already and nothing was written.

        Raises
        ------
        FileStoreError
            Another content lies there, the content is not what the hash says, or it cannot be written.
        """

    def delete(self, path: str) -> bool:
        """Remove a file; return whether it was there."""


def parts_of(path: str) -> tuple[str, ...]:
    """Split a path of a row into its parts.

    Raises
    ------
    FileStoreError
        It is empty, absolute, too long, or holds ``.``, ``..``, an empty part, a backslash, a NUL or half a
        character.

    Examples
    --------
    >>> parts_of("2026/report.pdf")
    ('2026', 'report.pdf')
    """
    parts = tuple(path.split("/"))
    drive = len(parts[0]) == 2 and parts[0][1] == ":"
    # A lone surrogate is no text that an operating system could take.
    no_name = len(path) > _LONGEST_PATH or any(c in "\0\\" or "\ud800" <= c <= "\udfff" for c in path)
    if drive or no_name or {"", ".", ".."} & set(parts):
        raise FileStoreError(
            "the path does not stay inside its store",
            where=_shown(path),
            hint="paths are relative to the store, with / between their parts",
        )
    return parts


def _shown(path: str) -> str:
    """Return a path as an error may show it: no control characters, not longer than a line."""
    plain = "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in path)
    return plain if len(plain) <= 200 else plain[:199] + "…"


class FolderStore:
    """The files under one folder.

    Parameters
    ----------
    root : path
        The folder; it need not exist before the first file is written.

    Notes
    -----
    Each part of a path is opened below the part before it, and none of them may be a symbolic link, so nothing can be
    exchanged between check and use. FIFOs, devices and sockets are refused without waiting for them.

    Examples
    --------
    >>> import hashlib, io, tempfile
    >>> store = FolderStore(tempfile.mkdtemp())
    >>> store.write("a/b.txt", io.BytesIO(b"hello"), hashlib.sha256(b"hello").hexdigest())
    True
    >>> with store.open("a/b.txt") as file:
    ...     file.read()
    b'hello'
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = path_of(root, "root")

    def __repr__(self) -> str:
        return f"FolderStore({str(self.root)!r})"

    def open(self, path: str) -> BinaryIO:
        """Open a file to be read from its start; the caller closes it."""
        return self._open(path)

    def _open(self, path: str) -> io.BufferedReader:
        with self._failures(path), self._folder(path) as (folder, name):
            descriptor = os.open(name, _FILE, dir_fd=folder)
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                os.close(descriptor)
                raise FileStoreError("this is not a regular file", where=_shown(path))
            return os.fdopen(descriptor, "rb")

    def size(self, path: str) -> int:
        """Return the length of a file in bytes."""
        with self.open(path) as file:
            return os.fstat(file.fileno()).st_size

    def exists(self, path: str) -> bool:
        """Return whether there is something under a path, readable or not."""
        try:
            with self._failures(path), self._folder(path) as (folder, name):
                os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileStoreError as error:
            if error.evidence.get("errno") in (errno.ENOENT, errno.ENOTDIR):
                return False
            raise
        return True

    def write(self, path: str, source: BinaryIO, sha256: str) -> bool:
        """Write a file in one step, unless one with this content is there; see `FileStore.write`."""
        parts_of(path)
        with self._failures(path):
            # The root itself may be anything the caller chose, a link too; only what rows name is checked.
            self.root.mkdir(parents=True, exist_ok=True)
            with self._folder(path, make=True) as (folder, name):
                if self._same_content(folder, name, path, sha256):
                    return False
                return self._place(folder, name, path, source, sha256)

    def _same_content(self, folder: int, name: str, path: str, sha256: str) -> bool:
        """Return whether the file is there with this content; raise if there is anything else."""
        try:
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            return False
        with self._open(path) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return True
        raise _other_content(path)

    def _place(self, folder: int, name: str, path: str, source: BinaryIO, sha256: str) -> bool:
        # The same name for the same file, so that what a killed process left is taken up and not left for ever.
        beside = f".{hashlib.sha256(name.encode()).hexdigest()[:32]}.part"
        descriptor, made = _open_alone(folder, beside), [beside]
        try:
            with os.fdopen(descriptor, "wb") as file:
                _copy(source, file, path, sha256)
                file.flush()
                os.fsync(file.fileno())
            failpoint("file.before_link")
            try:
                _link(folder, beside, name)
                made.append(name)
            except FileExistsError:
                return not self._same_content(folder, name, path, sha256)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(beside, dir_fd=folder)
            os.fsync(folder)
        except BaseException:
            for each in made:  # also where only the last step failed: the caller takes it for not written
                with contextlib.suppress(OSError):
                    os.unlink(each, dir_fd=folder)
            raise
        failpoint("file.after_link")
        return True

    def delete(self, path: str) -> bool:
        """Remove a file; return whether it was there. Folders stay."""
        if not self.exists(path):
            return False
        with self._failures(path), self._folder(path) as (folder, name):
            os.unlink(name, dir_fd=folder)
        return True

    @contextlib.contextmanager
    def _folder(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """Yield the open folder that a path lies in, and the path's last part."""
        *folders, name = parts_of(path)
        descriptor = os.open(self.root, _DIRECTORY & ~getattr(os, "O_NOFOLLOW", 0))
        try:
            for part in folders:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(part, dir_fd=descriptor)
                inner = os.open(part, _DIRECTORY, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = inner
            yield descriptor, name
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _failures(self, path: str) -> Iterator[None]:
        """Turn errors of the operating system into ours."""
        try:
            yield
        except OSError as error:
            reasons = {
                errno.ENOENT: "there is no such file",
                errno.ENOTDIR: "a part of the path is a symbolic link or no folder",
                errno.ELOOP: "a part of the path is a symbolic link",
                errno.EACCES: "the file may not be accessed",
                errno.ENXIO: "this is not a regular file",
                errno.EISDIR: "this is not a regular file",
            }
            reason = reasons.get(error.errno or 0, os.strerror(error.errno or 0).lower())
            hint = f"the store is the folder {self.root}"
            raise FileStoreError(reason, where=_shown(path), hint=hint, evidence={"errno": error.errno}) from error


class MemoryStore:
    """Files in memory, for tests and for trying things out.

    Parameters
    ----------
    files : mapping of str to bytes, optional
        What is there at first.

    Examples
    --------
    >>> MemoryStore({"a.txt": b"hello"}).size("a.txt")
    5
    """

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files: dict[str, bytes] = {}
        for path, content in (files or {}).items():
            self.files["/".join(parts_of(path))] = bytes(content)

    def __repr__(self) -> str:
        return f"MemoryStore({counted(len(self.files), 'file')})"

    def _content(self, path: str) -> bytes:
        parts_of(path)
        try:
            return self.files[path]
        except KeyError:
            raise FileStoreError("there is no such file", where=_shown(path)) from None

    def open(self, path: str) -> BinaryIO:
        """Open a file to be read from its start."""
        return io.BytesIO(self._content(path))

    def size(self, path: str) -> int:
        """Return the length of a file in bytes."""
        return len(self._content(path))

    def exists(self, path: str) -> bool:
        """Return whether there is a file under a path."""
        parts_of(path)
        return path in self.files

    def write(self, path: str, source: BinaryIO, sha256: str) -> bool:
        """Write a file, unless one with this content is there; see `FileStore.write`."""
        parts_of(path)
        if path in self.files:
            if hashlib.sha256(self.files[path]).hexdigest() != sha256:
                raise _other_content(path)
            return False
        sink = io.BytesIO()
        _copy(source, sink, path, sha256)
        self.files[path] = sink.getvalue()
        return True

    def delete(self, path: str) -> bool:
        """Remove a file; return whether it was there."""
        parts_of(path)
        return self.files.pop(path, None) is not None


def _open_alone(folder: int, name: str) -> int:
    """Open an empty file that no other process has open in this way; wait for one that has."""
    import fcntl

    while True:
        descriptor = os.open(name, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666, dir_fd=folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino == os.fstat(descriptor).st_ino:
                os.ftruncate(descriptor, 0)
                return descriptor
        except FileNotFoundError:  # the process before us has finished with it, and it has no name any more
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _link(folder: int, beside: str, name: str) -> None:
    """Give a finished file its name; unlike a rename, a link never replaces a file that came up meanwhile."""
    try:
        os.link(beside, name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        # A file system without links, such as FAT: there was no such file a moment ago.
        os.replace(beside, name, src_dir_fd=folder, dst_dir_fd=folder)


def _copy(source: BinaryIO, target: BinaryIO, path: str, sha256: str) -> None:
    digest = hashlib.sha256()
    while chunk := source.read(CHUNK_BYTES):
        digest.update(chunk)
        target.write(chunk)
    if digest.hexdigest() != sha256:
        raise FileStoreError("the content is not what its sha256 says", where=_shown(path), hint="the file was changed")


def _other_content(path: str) -> FileStoreError:
    return FileStoreError(
        "a file with different content is there, and is never overwritten", where=_shown(path), hint="move it away"
    )
