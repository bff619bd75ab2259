"""A JupyterLab of the tests' own: on loopback, with private folders, a token, and nothing that asks the network."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 60
COMMAND = (sys.executable, "-m", "jupyterlab")
# The debugger asks kernels that are going away and complains of it; the manager of extensions asks the network.
SWITCHED_OFF = ("@jupyterlab/debugger-extension", "@jupyterlab/extensionmanager-extension")
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
    # every cell is in the page, also those that are scrolled away
    "notebook-extension/tracker": {"windowingMode": "none", "autoStartDefaultKernel": True},
    "docmanager-extension/plugin": {"autosave": False},
}


@dataclass(frozen=True)
class Server:
    """A running JupyterLab.

    Parameters
    ----------
    url : str
        Without a slash at the end.
    token : str
    folder : Path
        What it serves.
    """

    url: str
    token: str
    folder: Path

    def address(self, path: str) -> str:
        """Return the address of a page of it."""
        return f"{self.url}/{path}?token={self.token}"


@contextlib.contextmanager
def jupyterlab(private: Path, command: Sequence[str] = COMMAND) -> Iterator[Server]:
    """Start JupyterLab, with everything that it reads and writes under a private folder; stop it at the end.

    Parameters
    ----------
    private : Path
        It serves the folder ``work`` of this one.
    command : sequence of str, optional
        What starts it, before its options.

    Raises
    ------
    RuntimeError
        It did not answer within a minute; the message has the end of its log.
    """
    server = Server(f"http://127.0.0.1:{_free_port()}", secrets.token_hex(16), private / "work")
    server.folder.mkdir(parents=True)
    _write_settings(private)
    log = private / "jupyterlab.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*command, *_options(server)], env=_environment(private), cwd=server.folder, stdin=subprocess.DEVNULL,
            stdout=out, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            _wait(server, process, log)
            yield server
        finally:
            _stop(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _write_settings(private: Path) -> None:
    written = {f"settings/@jupyterlab/{name}.jupyterlab-settings": settings for name, settings in SETTINGS.items()}
    written["config/labconfig/page_config.json"] = {"disabledExtensions": dict.fromkeys(SWITCHED_OFF, True)}
    for name, content in written.items():
        path = private / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")


def _options(server: Server) -> list[str]:
    return [
        "--no-browser", "--allow-root",
        "--ServerApp.ip=127.0.0.1", f"--ServerApp.port={server.url.rpartition(':')[2]}", "--ServerApp.port_retries=0",
        f"--IdentityProvider.token={server.token}",
        "--ServerApp.terminals_enabled=False", "--LabApp.expose_app_in_browser=True",
        "--LabApp.extension_manager=readonly", "--LabApp.news_url=None",
    ]  # fmt: skip


def _environment(private: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "JPY_", "IPYTHON"))}
    folders = {
        "HOME": "home", "JUPYTER_CONFIG_DIR": "config", "JUPYTER_DATA_DIR": "data", "JUPYTER_RUNTIME_DIR": "runtime",
        "JUPYTERLAB_SETTINGS_DIR": "settings", "JUPYTERLAB_WORKSPACES_DIR": "workspaces", "IPYTHONDIR": "ipython",
        "TMPDIR": "tmp",
    }  # fmt: skip
    for name in folders.values():
        (private / name).mkdir(exist_ok=True)
    # the kernel finds the library as the tests do
    return kept | {name: str(private / folder) for name, folder in folders.items()} | {"PYTHONPATH": str(ROOT)}


def _wait(server: Server, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(server.address("api/status"), timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    said = log.read_text(encoding="utf-8", errors="replace")[-3000:]
    raise RuntimeError(f"JupyterLab did not start:\n{said}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server, which ends its kernels; if it will not, kill it."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
