"""Dates and times that Python's own types cannot hold come from PostgreSQL as text, and are no error."""

from __future__ import annotations

from typing import Any

_LOADERS = ("Date", "Time", "Timetz", "Timestamp", "Timestamptz", "Interval")


def load_every_time(raw: Any) -> None:
    """Let a connection of psycopg show infinity, years before 1 and after 9999 and the time 24:00, alone or in ranges.

    Parameters
    ----------
    raw : psycopg.Connection, or of another driver
        Of which nothing is changed then.
    """
    if type(raw).__module__.split(".")[0] != "psycopg":
        return
    from psycopg import DataError
    from psycopg.types import datetime

    for name in _LOADERS:
        usual: Any = getattr(datetime, f"{name}Loader")
        raw.adapters.register_loader(name.lower(), _or_text(usual, (DataError, ValueError, OverflowError)))


def _or_text(usual: Any, errors: tuple[type[Exception], ...]) -> Any:
    class Loader(usual):  # type: ignore[misc]
        def load(self, data: Any) -> Any:
            try:
                return super().load(data)
            except errors:
                return bytes(data).decode("utf-8")

    return Loader
