"""Forms as widgets: a small shop, a package of it, and the way to a step."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as w

import datatransfer as dt
from tests.support.servers import Databases
from tests.support.sql import run

SHOP = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(50) NOT NULL UNIQUE, password VARCHAR(50))",
    """CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, parent_id INTEGER, note VARCHAR(50),
    FOREIGN KEY (user_id) REFERENCES users (id), FOREIGN KEY (parent_id) REFERENCES orders (id))""",
)


def shop(databases: Databases, dialect: str = "sqlite", *, rows: int = 3, name: str = "a") -> str:
    """Return the URL of a database with as many users as orders."""
    url = databases.create(dialect)
    run(url, *SHOP)
    for k in range(1, rows + 1):
        run(
            url,
            f"INSERT INTO users VALUES ({k}, '{k}@example.org', 'pw{name}')",
            f"INSERT INTO orders VALUES ({k}, {k}, NULL, '{name}')",
        )
    return url


def package_of(url: str, path: Path) -> Path:
    """Export a whole database."""
    with dt.Database(url) as db:
        dt.PackageBuilder(db).add_all().build(path, progress=False).close()
    return path


def walk(widget: w.Widget) -> list[w.Widget]:
    """Return a widget and all below it."""
    found = [widget]
    for child in getattr(widget, "children", ()):
        found += walk(child)
    return found


def is_shown(widget: w.Widget) -> bool:
    """Whether a widget is not hidden itself."""
    return bool(widget.layout.display != "none")


def named(widget: w.Widget, label: str) -> w.Widget:
    """Return the control below a widget that has this label."""
    return next(each for each in walk(widget) if getattr(each, "description", None) == label)


def to_plan(form: dt.ImportForm, package: Path) -> None:
    """Go from the first step of an import to its plan."""
    form.picker.path.value = str(package)
    form.later.wait()
    form.next.click()
    form.next.click()
    form.wait()


def ready_to_import(target: dt.Database, package: Path) -> dt.ImportForm:
    """Return a form at its plan."""
    form = dt.ImportForm(target)
    to_plan(form, package)
    return form
