"""Putting a finished package where it belongs, all of it or nothing; and errors of the file system as our own."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from datatransfer.errors import PackageError, PackageExistsError, clearing_up

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

_HINTS = {
    errno.ENOSPC: "the disk is full: free some space or choose another place",
    errno.EDQUOT: "the disk quota is used up: free some space or choose another place",
    errno.EFBIG: "the file would exceed what the system allows: choose another place",
    errno.ENOENT: "the folder does not exist: create it first",
    errno.EACCES: "the folder may not be written: choose another place",
    errno.EROFS: "the folder may not be written: choose another place",
}


@contextlib.contextmanager
def put_aside_errors(path: Path, *, doing: str = "written") -> Iterator[None]:
    """Turn an error of the file system into a `PackageError` that names the destination.

    Parameters
    ----------
    path : Path
    doing : str
        What it cannot be.

    Raises
    ------
    PackageError
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        hint = _HINTS.get(error.errno or 0, "")
        raise PackageError(f"cannot be {doing}: {reason}", where=str(path), hint=hint) from error


def is_there(path: str | Path) -> bool:
    """Say whether a name is taken, by a broken link too."""
    return os.path.lexists(path)


def is_package(path: Path) -> bool:
    """Say whether what is there is a package, of any format version, as its reader sees it: only that is replaced."""
    from datatransfer.package.archive import open_archive
    from datatransfer.package.metadata import MAX_METADATA_BYTES, METADATA_MEMBER, require_version

    if path.is_symlink() or not (path.is_dir() or path.is_file()):
        return False
    try:
        archive = open_archive(path)
        try:
            require_version(archive.read(METADATA_MEMBER, MAX_METADATA_BYTES), str(path))
            return "manifest.json" in archive.sizes
        finally:
            archive.close()
    except (PackageError, OSError):  # what cannot be read is left alone
        return False


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise if a destination is taken and may not be overwritten; what is no package may never be.

    Raises
    ------
    PackageExistsError
    """
    if not is_there(path):
        return
    if not is_package(path):
        raise PackageExistsError(
            "is already there, and is no package: it is never replaced", where=str(path), hint="choose another name"
        )
    if not overwrite:
        raise PackageExistsError("is already there", where=str(path), hint="pass overwrite=True to replace it")


def hold(number: int) -> None:
    """Mark an open half as somebody's who lives; where the system has no such marks, nothing is ever swept."""
    if fcntl is not None:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)


def sweep(path: Path) -> None:
    """Remove what processes that were killed left beside a destination.

    That are halves of packages that nobody holds, and what a package in place has replaced.
    """
    if fcntl is None or not path.parent.is_dir():
        return
    ours = re.compile(rf"\.{re.escape(path.name)}\.[a-z0-9_]{{8}}\.(part|old)")
    with os.scandir(path.parent) as found:
        left = [Path(item.path) for item in found if ours.fullmatch(item.name) and not item.is_symlink()]
    for beside in left:
        if (beside.suffix == ".part" or is_there(path)) and _is_abandoned(beside):
            shutil.rmtree(beside) if beside.is_dir() else beside.unlink()


def _is_abandoned(beside: Path) -> bool:
    try:
        number = os.open(beside, os.O_RDONLY)
    except FileNotFoundError:  # its owner has just finished
        return False
    try:
        hold(number)
    except BlockingIOError:
        return False
    finally:
        os.close(number)
    return True


def place_file(beside: str, path: Path, *, overwrite: bool) -> None:
    """Move a finished file into place, durably; without ``overwrite`` never onto another, even one that came meanwhile.

    Where the last steps fail, it is taken away again: the caller is told that there is no package.
    """
    _move(beside, path, overwrite=overwrite)
    try:
        Path(beside).unlink(missing_ok=True)
        sync_folder(path.parent)
    except OSError as error:
        if not overwrite:
            with clearing_up(error):
                path.unlink(missing_ok=True)
        raise


def _move(beside: str, path: Path, *, overwrite: bool) -> None:
    if overwrite:
        refuse_existing(path, overwrite=True)
        Path(beside).replace(path)
        return
    try:
        os.link(beside, path)
    except FileExistsError:
        refuse_existing(path, overwrite=False)
        raise
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK):
            raise
        # a file system without hard links: the check and the move cannot be one step
        refuse_existing(path, overwrite=False)
        Path(beside).replace(path)


def sync_folder(path: Path) -> None:
    """Make a rename in a folder durable, where the system can."""
    if os.name != "posix":
        return
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
