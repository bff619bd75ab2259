"""Fixtures: fresh databases on every dialect, and those of ``shared/data``."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.loaders import Library
from tests.support.servers import Databases, Server, mariadb_server, postgresql_server, required
from tests.support.transfer import DIALECTS

# Skips that are no gap wherever they happen start with this word.
OPTIONAL = "optional:"


class QuietNotebooks:
    """No progress bars in notebooks under test: on a slow machine one would appear, and stored outputs differ."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Tell the kernel that nbval is about to start, or nobody."""
        if item.path.suffix == ".ipynb":
            os.environ["TQDM_DISABLE"] = "1"
        else:
            os.environ.pop("TQDM_DISABLE", None)


def pytest_configure(config: pytest.Config) -> None:
    """Listen to all items, also those outside this folder; and to Ctrl-C, which a background job of a shell ignores."""
    config.pluginmanager.register(QuietNotebooks())
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def servers() -> Iterator[Callable[[str], Server]]:
    """Return a function that gives the server of a dialect, found or started at the first call."""
    with contextlib.ExitStack() as stack:
        found: dict[str, Server] = {}
        ways = {"postgresql": postgresql_server, "mariadb": mariadb_server}

        def server(dialect: str) -> Server:
            if dialect not in found:
                found[dialect] = stack.enter_context(ways[dialect]())
            return found[dialect]

        yield server


@pytest.fixture(scope="session", autouse=True)
def journals_of_tests(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Jobs of tests and notebooks leave their journal in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATATRANSFER_JOBS", str(tmp_path_factory.mktemp("jobs")))
        yield


@pytest.fixture
def databases(tmp_path: Path, servers: Callable[[str], Server]) -> Iterator[Databases]:
    """Make fresh databases of any dialect: ``databases.create("mariadb")``; dropped after the test."""
    made = Databases(tmp_path, servers)
    yield made
    made.drop_all()


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    """Return the name of each dialect in its turn, for tests that do not say themselves which."""
    return str(request.param)


@pytest.fixture
def sqlite_url(databases: Databases) -> Callable[[], str]:
    """Return a function that gives the URL of a fresh SQLite file."""
    return lambda: databases.create("sqlite")


@pytest.fixture
def postgresql_url(databases: Databases) -> Callable[[], str]:
    """Return a function that makes a fresh PostgreSQL database and gives its URL."""
    databases.server("postgresql")
    return lambda: databases.create("postgresql")


@pytest.fixture
def mariadb_url(databases: Databases) -> Callable[[], str]:
    """Return a function that makes a fresh MariaDB database and gives its URL."""
    databases.server("mariadb")
    return lambda: databases.create("mariadb")


@pytest.fixture
def plain_role(databases: Databases) -> Iterator[str]:
    """Make a role of PostgreSQL that owns nothing yet and may do nothing; it goes with the databases of the test."""
    server, role = databases.server("postgresql"), f"datatransfer_plain_{os.getpid()}"
    server.run(f"CREATE ROLE {role} LOGIN")
    yield role
    databases.drop_all()
    server.run(f"DROP ROLE {role}")


@pytest.fixture(scope="session")
def library(tmp_path_factory: pytest.TempPathFactory, servers: Callable[[str], Server]) -> Iterator[Library]:
    """Return the databases of ``shared/data`` on any dialect, loaded once for the whole run; read them only."""
    shelf = Databases(tmp_path_factory.mktemp("library"), servers)
    yield Library(shelf)
    shelf.drop_all()


# --- nothing that is required may be skipped ----------------------------------------------------------------------


def _not_allowed(report: pytest.TestReport | pytest.CollectReport) -> str | None:
    """Return the reason of a skip that hides a gap where everything is required, else None."""
    if not report.skipped or hasattr(report, "wasxfail") or not required() or not os.environ.get("CI"):
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    reason = reason.removeprefix("Skipped: ")
    return None if reason.startswith(OPTIONAL) else reason


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """Turn a skip into a failure where CI demands that everything runs."""
    report = yield
    if (reason := _not_allowed(report)) is not None:
        report.outcome, report.longrepr = "failed", f"skipped, but nothing may be skipped here: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[Any]:
    """Do the same for whole modules that skip themselves."""
    report = yield
    if (reason := _not_allowed(report)) is not None:
        report.outcome, report.longrepr = "failed", f"skipped, but nothing may be skipped here: {reason}"
    return report
