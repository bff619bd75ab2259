"""Calls that are sent SIGINT, at a named place or after a time, and what they must leave behind."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from tests.support.children import INTERRUPTED, Call

POINTS = {"sqlite": 50, "postgresql": 0, "mariadb": 0}
"""Evenly spaced ones, beside the first pass of every named place."""

NOTHING = "interrupted; nothing was left behind"


def passes(log: list[str], points: int) -> list[str]:
    """Return evenly spaced passes of named places, each name at least once."""
    passed: Counter[str] = Counter()
    every = []
    for name in log:
        passed[name] += 1
        every.append(f"{name}:{passed[name]}")
    spaced = [every[n * len(every) // points] for n in range(points)]
    return list(dict.fromkeys([*(place for place in every if place.endswith(":1")), *spaced]))


def said_at(call: Call, place: str) -> str:
    """Send a call SIGINT at a place, and return what it said."""
    told = {"DATATRANSFER_FAILPOINT": place, "DATATRANSFER_FAILPOINT_SIGNAL": "SIGINT"}
    assert Call(**{**vars(call), "environment": told}).run() == INTERRUPTED, (place, Path(call.said).read_text())
    return Path(call.said).read_text()


def said_after(call: Call, seconds: float) -> tuple[int | None, str]:
    """Send a call SIGINT a time after its first line; return how it ended and what it said."""
    begun = Path(f"{call.said}.begun")
    for path in (begun, Path(call.said)):
        path.unlink(missing_ok=True)
    process = Call(**{**vars(call), "environment": {**call.environment, "DATATRANSFER_TEST_BEGUN": str(begun)}}).start()
    wait_until(begun.exists)
    time.sleep(seconds)
    if process.is_alive():
        os.kill(int(process.pid or 0), signal.SIGINT)
    process.join(120)
    said = Path(call.said).read_text() if Path(call.said).exists() else ""
    assert process.exitcode in (0, INTERRUPTED), said
    return process.exitcode, said


def duration(call: Call) -> float:
    """Return how long an undisturbed call takes."""
    begin = time.perf_counter()
    call.check()
    return time.perf_counter() - begin


def no_session_is_left(url: str) -> None:
    """Fail if a session of PostgreSQL still does something."""
    if not url.startswith("postgresql"):
        return
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        sql = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert [state for (state,) in connection.exec_driver_sql(sql) if state != "idle"] == []


def names_in(folder: Path) -> list[str]:
    """Return the names of what lies in a folder."""
    return [path.name for path in folder.iterdir()]


def wait_until(there: Callable[[], bool]) -> None:
    """Wait for something, a minute at the most."""
    until = time.monotonic() + 60
    while not there():
        assert time.monotonic() < until
        time.sleep(0.01)
