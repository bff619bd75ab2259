"""The databases that the tests travel with, loaded without the library.

`Library` gives each of them on any dialect: as SQLite files, loaded from SQL (Pagila), or translated from SQLite by
`translate`, which derives the other dialect's tables from the declared types and copies the rows with plain SQLAlchemy.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from pathlib import Path

from sqlalchemy.engine import make_url

from tests.support.copies import empty_copy
from tests.support.kinds import Kinds
from tests.support.reading import driver_dsn
from tests.support.servers import Databases, absent
from tests.support.translation import kinds_of, translate

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
SQLITE = {
    "chinook": "chinook/Chinook_Sqlite.sqlite",
    "northwind": "northwind/northwind.sqlite",
    "northwind_small": "northwind/Northwind_small.sqlite",
    "datasette": "datasette_fixtures/fixtures.sqlite",
    "sakila": "sakila/sakila.sqlite",
}


def data_file(relative: str) -> Path:
    """Return a file of ``shared/data``, which stands beside the checkout; skip where it is absent."""
    path = DATA / relative
    if not path.is_file():
        absent("data", f"shared/data/{relative} is not beside this checkout")
    return path


def sqlite_file(name: str) -> Path:
    """Return the stored SQLite file of a database; it is not to be written to."""
    return data_file(SQLITE[name])


def sqlite_copy(name: str, folder: Path) -> str:
    """Copy a stored database into a folder and return the copy's URL."""
    copy = folder / f"{name}.db"
    shutil.copyfile(sqlite_file(name), copy)
    return f"sqlite:///{copy}"


def run_postgresql_dump(url: str, path: Path) -> None:
    """Run a plain SQL dump, COPY blocks included, as psql would."""
    import psycopg

    with psycopg.connect(driver_dsn(url), autocommit=True) as connection:
        statements: list[str] = []
        lines = iter(path.read_text(encoding="utf-8").splitlines(keepends=True))
        for line in lines:
            if line.startswith("COPY ") and line.rstrip().lower().endswith("from stdin;"):
                _run(connection, statements)
                with connection.cursor().copy(line.rstrip().rstrip(";").encode()) as copy:
                    for row in iter(lambda: next(lines), "\\.\n"):
                        copy.write(row)
            elif not line.startswith(("\\", "ALTER SCHEMA public OWNER")):
                statements.append(line)
        _run(connection, statements)


def _run(connection: object, statements: list[str]) -> None:
    script = "".join(statements)
    statements.clear()
    if script.strip():
        connection.execute(script.encode())  # type: ignore[attr-defined]


def make_stock_chinook(url: str) -> None:
    """Make the tables of Chinook's own script for PostgreSQL in an empty database: the names in snake case, no rows."""
    import psycopg

    script = data_file("chinook/Chinook_PostgreSql.sql").read_text(encoding="utf-8")
    statements = re.findall(r"^(?:CREATE TABLE|ALTER TABLE|CREATE INDEX)\b.*?;", script, re.DOTALL | re.MULTILINE)
    with psycopg.connect(driver_dsn(url)) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def load_pagila(url: str) -> None:
    """Load Pagila into an empty PostgreSQL database."""
    run_postgresql_dump(url, data_file("pagila/pagila-schema.sql"))
    run_postgresql_dump(url, data_file("pagila/pagila-data.sql"))


def make_sample(url: str, folder: Path) -> None:
    """Fill an empty database with the project's own sample catalogue; its files are the same for every database."""
    from datatransfer.sample import create_sample

    create_sample(url, folder).close()


class Library:
    """Loaded databases by name and dialect, made once; nobody writes to them.

    Parameters
    ----------
    shelf : Databases
        Where they are made.
    """

    def __init__(self, shelf: Databases) -> None:
        self.shelf = shelf
        self._urls: dict[tuple[str, str], str] = {}

    def url(self, name: str, dialect: str = "sqlite") -> str:
        """Return the URL of a filled database.

        Parameters
        ----------
        name : str
            A key of `SQLITE`, ``"pagila"`` or ``"sample"``.
        dialect : {"sqlite", "postgresql", "mariadb"}
        """
        return self._once(name, dialect, lambda url: self._fill(name, url))

    def _fill(self, name: str, url: str) -> None:
        if name == "pagila":
            load_pagila(url)
        elif name == "sample":
            make_sample(url, self.sample_files)
        elif make_url(url).get_backend_name() == "sqlite":
            shutil.copyfile(sqlite_file(name), str(make_url(url).database))
        else:
            translate(sqlite_file(name), url)

    def _once(self, name: str, dialect: str, fill: Callable[[str], None]) -> str:
        if (name, dialect) not in self._urls:
            if name in SQLITE:
                sqlite_file(name)  # skips before a database is made
            url = self.shelf.create(dialect)
            fill(url)
            self._urls[name, dialect] = url
        return self._urls[name, dialect]

    @property
    def sample_files(self) -> Path:
        """The folder that the sample's files are in."""
        return self.shelf.folder / "sample_files"

    def kinds(self, name: str) -> Kinds:
        """Return what each column means, for comparing across dialects."""
        path = Path(str(make_url(self.url("sample")).database)) if name == "sample" else sqlite_file(name)
        return kinds_of(path)

    def copy(self, databases: Databases, name: str, dialect: str = "sqlite") -> str:
        """Return a filled database of one's own, to write to."""
        if dialect == "mariadb":
            url = databases.create(dialect)
            self._fill(name, url)
            return url
        return databases.create(dialect, template=self.url(name, dialect))

    def empty(self, databases: Databases, name: str, dialect: str = "sqlite") -> str:
        """Return a database with the same schema and no rows."""
        return empty_copy(self.url(name, dialect), databases)
