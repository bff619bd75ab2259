"""The files that only one import brought: chosen inside the transaction of its undo, removed after it.

A file is removed if the import wrote it, or found it where one wrote it that was undone before; no other import that
is in force records it, no row refers to it any more, and its content is still what was written. Between the commit and
the removal the ledger calls it ``removing``, so that a process that is killed there leaves nothing that the next call
of undo would not finish.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from datatransfer.database import ledger
from datatransfer.display import blocks
from datatransfer.failpoints import failpoint
from datatransfer.importing.pathsbeside import PathsBeside

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from datatransfer.database.connection import Database
    from datatransfer.database.filestores import FileStore
    from datatransfer.database.ledger import ImportedFile
    from datatransfer.database.writers import Writer

_CHUNK_BYTES = 2**20
_LISTED = 5


class UndoFiles:
    """Chooses the files that an undo removes.

    Parameters
    ----------
    writer : Writer
    import_id : str
        The import that is undone.
    """

    def __init__(self, writer: Writer, import_id: str) -> None:
        self.writer = writer
        self.import_id = import_id
        left = ledger.left_paths(writer.conn, import_id)
        recorded = ledger.imported_files(writer.conn, import_id)
        self.files = [file for file in recorded if file.action == "written" or _place(file) in left]

    def lay(self) -> None:
        """Bring the paths of files that the import wrote beside the target."""
        self._paths = PathsBeside(self.writer, [file.path for file in self.files])

    def choose(self) -> None:
        """Record, inside the transaction, which files are to be removed after it."""
        if not self.files:
            return
        w = self.writer
        wanted: set[int] = set(range(len(self.files)))
        for table, column in self._columns():
            held = self._paths.held_in(w.db.schema.table(table), column)
            wanted -= {r for r in held if self._in_same_store(self.files[r], table, column)}
        others = ledger.other_paths(w.conn, self.import_id)
        chosen = [f for r, f in enumerate(self.files) if r in wanted and _place(f) not in others]
        ledger.move_files(w.conn, self.import_id, chosen, "removing")
        self.files = chosen

    def warnings(self) -> list[str]:
        """Say which files stay, because nobody said where they are."""
        stores = self.writer.db.files
        unreached = Counter(
            f"{f.store_table}.{f.store_column}" for f in self.files if (f.store_table, f.store_column) not in stores
        )
        return [
            f"{blocks.plural(count, 'file')} of {column} {'stays' if count == 1 else 'stay'}: the database was opened "
            f"without {'its' if count == 1 else 'their'} store; open it with files={{'{column}': …}} and call undo "
            f"again, which removes {'it' if count == 1 else 'them'}"
            for column, count in sorted(unreached.items())
        ]

    def edited(self) -> list[str]:
        """Say which files stay, because they hold another content by now; reads each of them."""
        stores = self.writer.db.files
        known = [(stores.get((file.store_table, file.store_column)), file) for file in self.files]
        return _edited_warnings([file for store, file in known if store is not None and _is_other(store, file)])

    def _columns(self) -> list[tuple[str, str]]:
        """Return the columns that may hold paths of these files."""
        schema = self.writer.db.schema
        own = [(f.store_table, f.store_column) for f in self.files]
        known = [(t, c) for t, c in own if t in schema and c in schema.table(t).by_name]
        return list(dict.fromkeys([*known, *self.writer.db.files]))

    def _in_same_store(self, file: ImportedFile, table: str, column: str) -> bool:
        stores = self.writer.db.files
        mine, other = stores.get((file.store_table, file.store_column)), stores.get((table, column))
        return (file.store_table, file.store_column) == (table, column) or _same(mine, other)


def _place(file: ImportedFile) -> tuple[str, str, str]:
    return file.store_table, file.store_column, file.path


def _same(one: FileStore | None, other: FileStore | None) -> bool:
    if one is None or other is None:
        return False
    root: Any = getattr(one, "root", None)
    return one is other or (root is not None and root == getattr(other, "root", None))


def finish_files(db: Database, import_id: str) -> None:
    """Remove the files that an undo has chosen, record each as removed, and tell of those that stay as edited."""
    with db.connect() as conn:
        files = [file for file in ledger.imported_files(conn, import_id) if file.action == "removing"]
    done: dict[str, list[ImportedFile]] = {"removed": [], "kept": []}
    for file in files:
        store = db.files.get((file.store_table, file.store_column))
        if store is None:
            continue  # a later call that knows the store removes it
        failpoint("undo.file")
        if _is_other(store, file):
            done["kept"].append(file)  # somebody has put another content there
        else:
            store.delete(file.path)
            done["removed"].append(file)
    with db.connect() as conn, conn.begin():
        for action, moved in done.items():
            ledger.move_files(conn, import_id, moved, action)
        ledger.forget_left(conn, done["removed"])
        if warnings := _edited_warnings(done["kept"]):
            ledger.add_warnings(conn, _undo_of(conn, import_id), warnings)


def _undo_of(conn: Connection, import_id: str) -> str:
    """Return the latest undo of an import that was undone."""
    undos = [r.import_id for r in ledger.list_imports(conn) if r.options.get("undo_of") == import_id]
    return undos[-1]


def _edited_warnings(files: Sequence[ImportedFile]) -> list[str]:
    counts = Counter(f"{file.store_table}.{file.store_column}" for file in files)
    return [
        f"{blocks.plural(count, 'file')} of {column} {'stays' if count == 1 else 'stay'}: edited since the import, as "
        f"{_listed([f.path for f in files if f'{f.store_table}.{f.store_column}' == column])}"
        for column, count in sorted(counts.items())
    ]


def _listed(paths: Sequence[str]) -> str:
    more = len(paths) - _LISTED
    return ", ".join([*paths[:_LISTED], *([f"and {more} more"] if more > 0 else [])])


def _is_other(store: FileStore, file: ImportedFile) -> bool:
    """Whether the path of a file holds another content than was written there."""
    return store.exists(file.path) and not _is(store, file)


def _is(store: FileStore, file: ImportedFile) -> bool:
    digest = hashlib.sha256()
    with store.open(file.path) as source:
        while chunk := source.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest() == file.sha256
