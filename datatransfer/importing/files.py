"""Files of a package placed in the target's stores: before the commit, and taken away again if there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from datatransfer.database.filestores import CHUNK_BYTES
from datatransfer.database.ledger import ImportedFile
from datatransfer.display.plain import counted
from datatransfer.errors import FileStoreError
from datatransfer.failpoints import failpoint
from datatransfer.importing.pathsbeside import PathsBeside
from datatransfer.importing.remap import TablePlan

if TYPE_CHECKING:
    from datatransfer.database.connection import Database
    from datatransfer.database.filestores import FileStore
    from datatransfer.database.writers import Writer
    from datatransfer.events import Cancellation
    from datatransfer.package.manifest import FileEntry, FileReference
    from datatransfer.package.package import DataPackage


def skipped_files(package: DataPackage) -> list[str]:
    """Return the warning that files were missing when a package was made, if any were."""
    lost = {(r.table, r.column, r.name) for e in package.manifest_data.files if e.missing for r in e.references}
    where = ", ".join(sorted({f"{table}.{column}" for table, column, _ in lost}))
    if not lost:
        return []
    were = f"{counted(len(lost), 'file')} {'was' if len(lost) == 1 else 'were'}"
    return [f"{where}: {were} missing when the package was made, and cannot come with it; their rows do"]


def taken_warning(count: int) -> str:
    """Return the warning of a plan that files of the target are in the way of others."""
    found = f"{counted(count, 'file')} would find other content in place, and the merge would be refused"
    return f"{found}: see plan.file_conflicts, and move those away"


class FilePlacer:
    """Writes the files that the rows of one import refer to.

    Parameters
    ----------
    package : DataPackage
    target : Database
    plans : list of TablePlan
    cancellation : Cancellation
        Asked before each chunk of a file that is read.
    """

    def __init__(
        self, package: DataPackage, target: Database, plans: list[TablePlan], cancellation: Cancellation
    ) -> None:
        self.cancellation = cancellation
        self.package = package
        self.target = target
        self.placed: list[ImportedFile] = []
        self.unmapped: set[str] = set()
        self._targets = {plan.fit.source.name: plan for plan in plans}
        self._written: list[tuple[FileStore, str]] = []
        self._only: set[tuple[str, str, str]] | None = None

    def keep_to_lost(self, writer: Writer) -> bool:
        """Place only what rows of the target name already and is not there; return whether anything is."""
        absent = self.absent()
        named = PathsBeside(writer, [path for _, _, path in absent])
        places = {(table, column) for table, column, _ in absent}
        held = {place: named.held_in(self.target.schema.table(place[0]), place[1]) for place in places}
        self._only = {file for r, file in enumerate(absent) if r in held[file[:2]]}
        return bool(self._only)

    def absent(self) -> list[tuple[str, str, str]]:
        """Return the files that are not in their stores yet: table, column, path."""
        return [
            (*where, reference.name)
            for _, reference, where, store in self._wanted()
            if not store.exists(reference.name)
        ]

    def taken(self) -> list[tuple[str, str, str]]:
        """Return the files whose path holds other content, or nothing that can be read: table, column, path."""
        return [
            (*where, reference.name)
            for entry, reference, where, store in self._wanted()
            if store.exists(reference.name) and not self._holds(store, reference.name, entry.sha256)
        ]

    def _wanted(self) -> Iterator[tuple[FileEntry, FileReference, tuple[str, str], FileStore]]:
        for entry in self.package.manifest_data.files:
            for reference in entry.references:
                plan = self._targets.get(reference.table)
                fit = plan.fit.by_source(reference.column) if plan else None
                if plan is None or fit is None or entry.missing:
                    continue
                where = (plan.fit.target.name, fit.target.name)
                store = self.target.files.get(where)
                if store is None:
                    self.unmapped.add(".".join(where))
                elif self._only is None or (*where, reference.name) in self._only:
                    yield entry, reference, where, store

    def _holds(self, store: FileStore, path: str, sha256: str) -> bool:
        """Whether a store holds this very content; what cannot be read is no such content, and the merge says why."""
        try:
            found = hashlib.sha256()
            with store.open(path) as file:
                while chunk := self.cancellation.reading(file).read(CHUNK_BYTES):
                    found.update(chunk)
            return found.hexdigest() == sha256
        except FileStoreError:
            return False

    def place(self, ours: Collection[tuple[str, str, str]] = ()) -> None:
        """Write every file whose column has a store in the target; one that is there already stays.

        Parameters
        ----------
        ours : collection of (table, column, path)
            Files that are there because an earlier attempt at this import wrote them.

        Raises
        ------
        FileStoreError
            Another file has that path already.
        """
        earlier = set(ours)
        for entry, reference, where, store in self._wanted():
            failpoint("merge.file")
            with self.package.open_file(entry.sha256) as source:
                written = store.write(reference.name, self.cancellation.reading(source), entry.sha256)
            mine = written or (*where, reference.name) in earlier
            if mine:
                self._written.append((store, reference.name))
            action = "written" if mine else "found"
            self.placed.append(ImportedFile(*where, reference.name, entry.sha256, entry.bytes, action))

    def take_back(self) -> None:
        """Remove what was written, after a rollback.

        Raises
        ------
        FileStoreError
            Some cannot be removed; all others are.
        """
        stuck: list[FileStoreError] = []
        while self._written:
            store, path = self._written.pop()
            try:
                store.delete(path)
            except FileStoreError as error:
                stuck.append(error)
        if stuck:
            many = counted(len(stuck), "file that was", "files that were")
            raise FileStoreError(
                f"{many} written cannot be removed: {stuck[0].message}", where=stuck[0].where,
                hint="resume the import, or drop its stage, when that is cured",
            )  # fmt: skip
