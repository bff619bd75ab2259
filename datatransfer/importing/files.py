"""Files of a package placed in the target's stores: before the commit, and taken away again if there is none."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from datatransfer.database.ledger import ImportedFile
from datatransfer.errors import FileStoreError
from datatransfer.failpoints import failpoint
from datatransfer.importing.remap import TablePlan

if TYPE_CHECKING:
    from datatransfer.database.connection import Database
    from datatransfer.database.filestores import FileStore
    from datatransfer.package.manifest import FileEntry, FileReference
    from datatransfer.package.package import DataPackage


class FilePlacer:
    """Writes the files that the rows of one import refer to.

    Parameters
    ----------
    package : DataPackage
    target : Database
    plans : list of TablePlan
    """

    def __init__(self, package: DataPackage, target: Database, plans: list[TablePlan]) -> None:
        self.package = package
        self.target = target
        self.placed: list[ImportedFile] = []
        self.unmapped: set[str] = set()
        self._targets = {plan.fit.source.name: plan for plan in plans}
        self._written: list[tuple[FileStore, str]] = []

    def absent(self) -> list[tuple[str, str, str]]:
        """Return the files that are not in their stores yet: table, column, path."""
        return [
            (*where, reference.name)
            for _, reference, where, store in self._wanted()
            if not store.exists(reference.name)
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
                else:
                    yield entry, reference, where, store

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
                written = store.write(reference.name, source, entry.sha256)
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
            raise FileStoreError(
                f"{len(stuck)} files that were written cannot be removed: {stuck[0].message}", where=stuck[0].where,
                hint="resume the import, or drop its stage, when that is cured",
            )  # fmt: skip
