"""How many rows each table has, soon: counted while there is time, and what the database estimates of the rest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datatransfer.database.dialects.failures import database_errors
from datatransfer.display.plain import counted
from datatransfer.errors import DataTransferError

if TYPE_CHECKING:
    from datatransfer.database.connection import Database
    from datatransfer.schema.tables import Table

_AGAIN = 0.2
"""Seconds after which a statement is cancelled again: a call between two statements has cancelled none."""


@dataclass(frozen=True)
class RowCount:
    """How many rows a table has.

    Parameters
    ----------
    rows : int, optional
    word : str
        Empty for a count, else how an estimate is to be read: ``"about"``, or ``"up to"``.
    problem : str
        Why it could not be counted.

    Examples
    --------
    >>> print(RowCount(1200), RowCount(3_000_000, "about"), RowCount(), sep="; ")
    1,200; about 3,000,000; not counted
    """

    rows: int | None = None
    word: str = ""
    problem: str = ""

    def __str__(self) -> str:
        if self.rows is None:
            return f"not counted: {self.problem}" if self.problem else "not counted"
        return f"{self.word} {self.rows:,}".strip()

    @property
    def told(self) -> str:
        """The same with its unit."""
        return str(self) if self.rows is None else f"{self.word} {counted(self.rows, 'row')}".strip()


def quick_counts(db: Database, *, seconds: float = 2.0) -> dict[str, RowCount]:
    """Return how many rows each table has; the smallest are counted first, until the time is over.

    Parameters
    ----------
    db : Database
    seconds : float
        For all tables together. What is still being counted then is cancelled.

    Raises
    ------
    DatabaseError
        The database does not answer.

    Examples
    --------
    >>> quick_counts(db)["orders"].rows                 # doctest: +SKIP
    """
    tables = list(db.schema)
    with database_errors(db.engine, "counting rows"), db.connect() as conn:
        # each statement alone: one that is cancelled or refused must not end the others
        conn.execution_options(isolation_level="AUTOCOMMIT")
        estimates = db.dialect.estimated_rows(conn, tables)
        found = {
            table.name: RowCount(estimates.get(table.name), db.dialect.estimate_word if table.name in estimates else "")
            for table in tables
        }
        with _limited(db.dialect.canceller(conn), seconds) as over:
            for table in sorted(tables, key=lambda each: (each.name not in estimates, estimates.get(each.name, 0))):
                if over.is_set():
                    break
                found[table.name] = _counted(db, conn, table, over) or found[table.name]
    return found


def _counted(db: Database, conn: sa.Connection, table: Table, over: threading.Event) -> RowCount | None:
    """Count a table; None if the time was over before."""
    try:
        with database_errors(db.engine, "counting rows", where=table.name):
            sql = f"SELECT count(*) FROM {db.dialect.from_sql(table)} t"
            return RowCount(int(db.dialect.execute(conn, sql).scalar_one()))
    except DataTransferError as error:
        return None if over.is_set() else RowCount(problem=error.message)


@contextmanager
def _limited(cancel: Callable[[], None], seconds: float) -> Iterator[threading.Event]:
    """Yield what is set when the time is over; from then on statements are cancelled until it is left."""
    over, left = threading.Event(), threading.Event()

    def watch() -> None:
        if left.wait(seconds):
            return
        over.set()
        cancel()
        while not left.wait(_AGAIN):
            cancel()

    watching = threading.Thread(target=watch, name="datatransfer-time-limit", daemon=True)
    watching.start()
    try:
        yield over
    finally:
        left.set()
        watching.join()
