"""Faults on purpose: the n-th call of a database driver or of the file system fails; a network that loses a COMMIT."""

from __future__ import annotations

import errno
import os
import re
import socket
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import patch

import adbc_driver_manager
from adbc_driver_manager import dbapi as adbc

import datatransfer as dt
from datatransfer.database.writers import ingesting


class Countdown:
    """Lets calls pass until the n-th, and fails that one, or that one and all after it.

    Parameters
    ----------
    n : int
        Counted from 1; 0 fails none.
    for_ever : bool
    """

    def __init__(self, n: int, *, for_ever: bool) -> None:
        self.n, self.for_ever, self.passed = n, for_ever, 0
        self._lock = threading.Lock()

    def fails(self) -> bool:
        """Count a call, and say whether it fails."""
        with self._lock:
            self.passed += 1
            return self.passed == self.n or (self.for_ever and 0 < self.n < self.passed)

    @property
    def struck(self) -> bool:
        """Whether a call was failed."""
        return 0 < self.n <= self.passed


@contextmanager
def failing_database(db: dt.Database, countdown: Countdown) -> Iterator[None]:
    """Let the n-th call of the drivers fail: of SQLAlchemy's, of Python's sqlite3, of ADBC."""
    dialect, module = db.engine.dialect, db.engine.dialect.loaded_dbapi

    def wrapped(call: Callable[..., Any], error: Callable[[], Exception]) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            if countdown.fails():
                raise error()
            return call(*arguments, **named)

        return run

    def driver() -> Exception:
        return module.OperationalError("a fault on purpose")  # type: ignore[no-any-return]

    def arrow() -> Exception:
        return adbc.OperationalError("a fault on purpose", status_code=adbc_driver_manager.AdbcStatusCode.IO)

    with ExitStack() as stack:
        for name in ("do_execute", "do_execute_no_params", "do_executemany", "do_commit"):
            stack.enter_context(patch.object(dialect, name, wrapped(getattr(dialect, name), driver)))
        for name in ("ingest", "execute"):
            stack.enter_context(patch.object(ingesting, name, wrapped(getattr(ingesting, name), arrow)))
        stack.enter_context(patch.object(adbc.Connection, "commit", wrapped(adbc.Connection.commit, arrow)))
        if dialect.name == "sqlite":
            stack.enter_context(patch.object(sqlite3, "connect", wrapped(sqlite3.connect, driver)))
        yield


def fails(call: Callable[[], object], countdown: Countdown) -> None:
    """Run something during which a call fails: it does not matter, or there is a typed error."""
    try:
        call()
    except dt.DataTransferError:
        assert countdown.struck


def again(importer: Callable[[], dt.PackageImporter], **policies: str) -> None:
    """Do what a person would: drop what is of no use, resume, and if there is nothing to resume, run."""
    found = dt.stages(importer().target)
    for stage in found[found["package"].str.startswith("unknown: ")]["import_id"]:  # it could not say whose it is
        dt.drop_stage(importer().target, stage)
    try:
        importer().resume()
    except dt.UsageError:
        importer().run(**policies)


def again_undone(db: dt.Database, import_id: object) -> None:
    """Undo once more, which has nothing but the rest to do where it had happened."""
    try:
        dt.receipt(db, str(import_id)).undo()
    except dt.AlreadyUndoneError:
        assert dt.receipt(db, str(import_id)).state == "undone"


_EVENTS = {"open", "os.link", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.scandir", "os.truncate"}
_watch: list[tuple[Countdown, str, int]] = []


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if not _watch or event not in _EVENTS:
        return
    countdown, folder, number = _watch[-1]
    path = arguments[0]
    name = path if isinstance(path, str) else os.fsdecode(path) if isinstance(path, bytes | os.PathLike) else ""
    if (name.startswith(folder) or (name and not name.startswith("/"))) and countdown.fails():
        raise OSError(number, os.strerror(number))


sys.addaudithook(_audit)


@contextmanager
def failing_files(folder: Path, countdown: Countdown, number: int = errno.EIO) -> Iterator[None]:
    """Let the n-th call fail that opens, makes, links, moves, removes or syncs a file in a folder."""
    sync = os.fsync

    def synced(descriptor: int) -> None:
        if countdown.fails():
            raise OSError(number, os.strerror(number))
        sync(descriptor)

    with patch.object(os, "fsync", synced):
        _watch.append((countdown, str(folder), number))
        try:
            yield
        finally:
            _watch.pop()


class Proxy:
    """Forwards a port to a server; when armed, the next COMMIT of a client is lost, or the answer to it.

    Parameters
    ----------
    host, port : str, int
        Of the server.
    deliver : bool
        Whether the server gets that COMMIT.
    """

    def __init__(self, host: str, port: int, *, deliver: bool) -> None:
        self.server, self.deliver = (host, port), deliver
        self.armed, self.struck = threading.Event(), threading.Event()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                server = socket.create_connection(self.server)
                cut = threading.Event()
                threading.Thread(target=self._upstream, args=(client, server, cut), daemon=True).start()
                threading.Thread(target=self._downstream, args=(server, client, cut), daemon=True).start()

    def _upstream(self, client: socket.socket, server: socket.socket, cut: threading.Event) -> None:
        committing = {b"COMMIT"}  # and the names of statements that say so, which psycopg prepares when they come again
        with suppress(OSError):
            while data := client.recv(1 << 16):
                committing.update(name + b"\0" for name in re.findall(rb"(_pg3_\d+)\0COMMIT", data))
                if self.armed.is_set() and any(word in data for word in committing):
                    self.armed.clear()
                    self.struck.set()
                    if not self.deliver:
                        break
                    cut.set()  # the answer goes nowhere
                server.sendall(data)
        _end(client) if not cut.is_set() else None
        _end(server) if not cut.is_set() else None

    @staticmethod
    def _downstream(server: socket.socket, client: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if cut.is_set():
                    break
                client.sendall(data)
        _end(server)
        _end(client)


def _end(end: socket.socket) -> None:
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
