"""The places on disk that a database lives in: its file, SQLite's files beside it, and the folders of its file stores.

Nothing that is written elsewhere, a package or a backup, may take one of them, or a folder that holds one.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from datatransfer.database.filestores import FolderStore
from datatransfer.database.sqlitefiles import COMPANIONS, sqlite_path
from datatransfer.errors import PackageExistsError

if TYPE_CHECKING:
    from datatransfer.database.connection import Database


def refuse_own_places(db: Database, path: str | Path) -> None:
    """Raise if a file or folder written at a path would take the place of something that a database lives in.

    Raises
    ------
    PackageExistsError
    """
    wanted = Path(path).absolute().resolve()
    for own, name in _own(db):
        place = own.absolute().resolve()
        if wanted == place or wanted in place.parents:
            what = f"is {name}" if wanted == place else f"holds {name}"
            raise PackageExistsError(f"{what}, and is never replaced", where=str(path), hint="choose another name")


def _own(db: Database) -> Iterator[tuple[Path, str]]:
    file = sqlite_path(db.engine.url)
    if file is not None:
        yield file, "the database itself"
        for end in COMPANIONS:
            yield file.with_name(file.name + end), "a file of the database"
    for (table, column), store in db.files.items():
        if isinstance(store, FolderStore):
            yield store.root, f"the store of {table}.{column}"
