"""Databases made from a script of SQL, on any dialect, without the library; and opened with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import datatransfer as dt
from tests.support.servers import Databases
from tests.support.sql import run

Make = Callable[..., dt.Database]


def run_script(url: str, script: str) -> None:
    """Run the statements of a script, which none of its values may divide by a semicolon."""
    run(url, *script.split(";"))


def opened_with(url: str, script: str) -> dt.Database:
    """Run statements that are parted by a semicolon at a line's end, and open the database."""
    db = dt.Database(url)
    with db.engine.begin() as conn:
        for statement in script.strip().split(";\n"):
            conn.exec_driver_sql(statement, execution_options={"no_parameters": True})
    return db


@contextmanager
def made_by(usual: str, databases: Databases) -> Iterator[Make]:
    """Yield a function ``make(script, dialect, **options)`` that opens a database it made; ``usual`` is the script."""
    opened: list[dt.Database] = []

    def made(script: str = usual, dialect: str = "sqlite", **options: Any) -> dt.Database:
        url = databases.create(dialect)
        run_script(url, script)
        opened.append(dt.Database(url, **options))
        return opened[-1]

    yield made
    for db in opened:
        db.close()
