"""Which file a SQLite URL means, and that asking for one that is not there makes none.

SQLite creates what it is asked to open, so that a mistyped path would look like an empty database.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from datatransfer.errors import DatabaseError

COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite itself adds to a file's name, for files beside it that belong to the database."""


def sqlite_path(url: sa.URL) -> Path | None:
    """Return the file of a SQLite URL, None for a database in memory or of another kind."""
    if url.get_backend_name() != "sqlite":
        return None
    name = url.database or ""
    if name.startswith("file:"):
        if "memory" in (url.query.get("mode"), name.split("?")[0][5:].strip(":")) or "mode=memory" in name:
            return None
        name = name[5:].split("?")[0]
    return None if name in ("", ":memory:") else Path(name)


def is_missing(url: sa.URL) -> bool:
    """Say whether a URL names a file that is not there."""
    path = sqlite_path(url)
    return path is not None and not path.exists()


def refuse_missing(url: sa.URL) -> None:
    """Raise where connecting would make a new, empty file.

    Raises
    ------
    DatabaseError
    """
    if is_missing(url):
        raise DatabaseError("there is no such database file", where=str(sqlite_path(url)), hint="check the path")
