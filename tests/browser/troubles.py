"""What goes otherwise than planned in both forms, view by view, for tests and pictures alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

import datatransfer as dt
from datatransfer.sample import create_sample, create_schema
from tests.browser.forms import FormPage
from tests.browser.page import SECONDS, Lab
from tests.support.forms import SHOP, package_of, shop
from tests.support.servers import Databases
from tests.support.spellings import CAMEL, SNAKE
from tests.support.sql import run

WAIT = """
import os
os.environ["DATATRANSFER_FAILPOINT"], os.environ["DATATRANSFER_FAILPOINT_WAIT"] = {place!r}, {file!r}
"""
END_SESSIONS = """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
FORM = "import datatransfer as dt\ndb = dt.Database({url!r})\nform = dt.{kind}(db); form"


@contextmanager
def stopped(file: Path) -> Iterator[None]:
    """Wait until the kernel stands still at its place; afterwards let it go on."""
    until = time.monotonic() + SECONDS
    while not file.exists():
        assert time.monotonic() < until, "the place was not reached"
        time.sleep(0.02)
    yield
    file.unlink()


def end_sessions(url: str) -> None:
    """End all sessions in a database of PostgreSQL, of which there must be some."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        assert connection.exec_driver_sql(END_SESSIONS).all()


def damaged(package: Path) -> Path:
    """Write a copy of a package, one byte of whose first rows is another."""
    content = bytearray(package.read_bytes())
    content[100] ^= 0xFF
    bad = package.with_name("damaged.zip")
    bad.write_bytes(content)
    return bad


def to_plan(form: FormPage, package: Path) -> None:
    """Go from the first step of an import to its plan."""
    form.write("Package", str(package))
    form.see("verified: complete and valid")
    form.click("Next")
    form.click("Next")


@dataclass
class Troubles:
    """Databases and packages on which things go wrong, and the ways through them.

    Parameters
    ----------
    lab : Lab
    databases : Databases
    folder : Path
        Empty.
    theme : {"light", "dark"}
    """

    lab: Lab
    databases: Databases
    folder: Path
    theme: str = "light"

    def walk(self) -> Iterator[tuple[str, FormPage]]:
        """Go all the ways, and yield the name of each view, while it is shown."""
        for way in (self.exporting, self.spelling, self.settling, self.importing):
            yield from way()
            self.lab.close()

    def _opened(self, kind: str, url: str, place: str = "") -> FormPage:
        cells = [WAIT.format(place=place, file=str(self._file))] if place else []
        self.lab.notebook([*cells, FORM.format(url=url, kind=kind)], theme=self.theme)
        self.lab.run()
        return FormPage(self.lab, len(cells))

    @property
    def _file(self) -> Path:
        return self.folder / "wait"

    def exporting(self) -> Iterator[tuple[str, FormPage]]:
        """A condition that the database refuses; an export that is cancelled."""
        url = f"sqlite:///{self.folder}/catalogue.db"
        create_sample(url, self.folder / "files").close()
        form = self._opened("ExportForm", url, "export.batch:3")
        form.choose("Tables", "datasets", "users")
        form.choose("Only some rows of", "datasets")
        form.write("where", "owner = 'ann'")
        form.see("This did not work")
        form.click("Copy report")
        yield "export-1-refused", form
        form.write("where", "owner_id = 1")
        form.see("rows asked for")
        form.click("Next")
        form.see("nothing has been written")
        form.click("Next")
        form.write("New file", str(self.folder / "cancelled.zip"))
        form.click("Export")
        with stopped(self._file):
            form.see(" rows")
            yield "export-4-running", form
            form.click("Cancel")
            form.see("stopping")
        form.see("or press “Try again” when you like")
        yield "export-4-cancelled", form

    def spelling(self) -> Iterator[tuple[str, FormPage]]:
        """Names that are spelled otherwise, a column that the target requires, and tables that it does not have."""
        url, source = self.databases.create("postgresql"), self.databases.create("sqlite")
        run(source, *CAMEL, "ALTER TABLE Track ADD Rating TEXT", "UPDATE Track SET Rating = '4.5'",
            "CREATE TABLE Genre (GenreId INTEGER PRIMARY KEY)", "INSERT INTO Genre VALUES (1)")  # fmt: skip
        run(url, *SNAKE, "ALTER TABLE track ADD rating INTEGER", "ALTER TABLE artist ADD born DATE NOT NULL",
            "ALTER TABLE track ADD sold INTEGER NOT NULL", "CREATE TABLE sort (id INTEGER PRIMARY KEY)")  # fmt: skip
        form = self._opened("ImportForm", url)
        to_plan(form, package_of(source, self.folder / "camel.zip"))
        form.see("that lose nothing")
        yield "import-3-proposals", form
        form.click("Accept all proposals")
        form.click("▸ 11 settled")
        yield "import-3-settled", form
        form.choose("Table Genre", "goes into sort")
        form.choose("Column Track.Rating", "its values become integer, and may change")
        form.click("Use this value")
        form.see("2 findings about the schemas must be settled")
        form.click("Show code")
        yield "import-3-code", form

    def settling(self) -> Iterator[tuple[str, FormPage]]:
        """A schema that differs, and users with the addresses of those that come."""
        url = self.databases.create("sqlite")
        run(url, SHOP[0], SHOP[1].replace(", note VARCHAR(50)", ""))
        run(url, *(f"INSERT INTO users VALUES ({k + 10}, '{k}@example.org', 'own')" for k in (1, 2, 3)))
        form = self._opened("ImportForm", url)
        to_plan(form, package_of(shop(self.databases), self.folder / "shop.zip"))
        form.see("the plan is made when the findings above are settled")
        yield "import-3-findings", form
        form.choose("Column orders.note", "is left out")
        form.see("3 conflicts to decide")
        yield "import-3-conflicts", form
        form.choose("users 1", "rename")
        form.see("1 decision made")
        form.choose("users 2", "reuse")
        form.click("▸ 2 decisions made")
        yield "import-3-decided", form
        form.choose("users 1 decided as", "insert")
        form.see("This did not work")
        yield "import-3-refused", form
        form.choose("users 1 decided as", "take back")
        form.choose("users 2 decided as", "take back")
        form.see("3 conflicts to decide")
        form.choose("An entity is there with other content", "error")
        form.write("Natural keys", "users.email")
        form.see("in the package")
        yield "import-3-differences", form

    def importing(self) -> Iterator[tuple[str, FormPage]]:
        """Packages that are none; a database that is lost, a kernel that goes away, an import that is cancelled."""
        url = self.databases.create("postgresql")
        create_schema(url)
        with create_sample(f"sqlite:///{self.folder}/whole.db", self.folder / "more") as db:
            package = self.folder / "whole.zip"
            dt.PackageBuilder(db).add_all().build(package, progress=False).close()
        none = self.folder / "none.zip"
        none.write_text("not a package")
        form = self._opened("ImportForm", url, "merge.table:3")
        form.write("Package", str(none))
        form.see("This did not work")
        form.click("Copy report")
        yield "import-1-broken", form
        form.write("Package", str(damaged(package)))
        form.see("the package is damaged")
        yield "import-1-damaged", form
        to_plan(form, package)
        form.see("Nothing in the target has changed yet")
        form.click("Import")
        with stopped(self._file):
            form.see(" rows")
            yield "import-4-running", form
            end_sessions(url)
        form.see("This did not work")
        yield "import-4-lost", form
        self.lab.restart_kernel()
        self.lab.run()
        form = FormPage(self.lab, 1)
        form.see("an import was interrupted")
        yield "import-1-interrupted", form
        form.click("Resume")
        with stopped(self._file):
            form.click("Cancel")
        form.see("Cancelled")
        yield "import-4-cancelled", form
        form.click("Plan again")
        form.see("Nothing in the target has changed yet")
        form.click("Import")
        form.see("the import is done")
        yield "import-5-at-last", form
