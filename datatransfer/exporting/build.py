"""One build inside an open snapshot, step by step.

1. Find the closure (`closure`; done by the caller).
2. Count, so that the encoding and the progress are known; warn of what deserves a look.
3. Refuse what cannot be meant: required parents left out, files that are missing.
4. Write each table, parents first, with orphans counted or nulled while its rows pass (`rows`).
5. Write each file once (`files`).
6. Finish: metadata, digests, and the move into place. An error or a cancellation at any step leaves no file.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datatransfer import __version__, interrupts
from datatransfer.display.plain import counted
from datatransfer.errors import DataTransferError, FileStoreError
from datatransfer.events import Cancellation, Listener, Progress, Warned
from datatransfer.exporting.closure import Closure, nothing_selected
from datatransfer.exporting.files import Referenced, all_referenced, missing_error, size_of
from datatransfer.exporting.leaving import refuse_nameless
from datatransfer.exporting.orphans import OnOrphan, count_outside
from datatransfer.exporting.preview import facts
from datatransfer.exporting.rows import Prepared, Rows
from datatransfer.failpoints import failpoint

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.filestores import FileStore
    from datatransfer.package.metadata import PackageMetadata
    from datatransfer.package.writer import PackageWriter

DOCUMENTS_UP_TO = 1_000
"""Entities up to which ``encoding="auto"`` writes documents."""

OnMissingFile = Literal["error", "skip"]
Encoding = Literal["auto", "documents", "columns"]


@dataclass(frozen=True)
class Options:
    """How to build, checked."""

    path: Path
    overwrite: bool
    encoding: Encoding
    on_orphan: OnOrphan
    on_missing_file: OnMissingFile
    package_id: uuid.UUID
    created: dt.datetime
    description: str


class Build:
    """One run of a build inside an open snapshot."""

    def __init__(self, closure: Closure, options: Options, listener: Listener, cancellation: Cancellation) -> None:
        self.closure = closure
        self.options = options
        self.tell = listener
        self.cancellation = cancellation
        self.rows = Rows(closure, options.on_orphan)
        self.done = 0
        self.bytes = 0
        self.missing = 0
        self.counts: dict[str, int] = {}

    def run(self, revision: str | None) -> None:
        """Write everything; see the module."""
        from datatransfer.package.writer import PackageWriter

        self.tell(Progress("select"))
        closure, options = self.closure, self.options
        if not closure.plan.is_everything:
            closure.settle()
        self.counts = closure.counts()
        total = sum(self.counts.values())
        if not self.counts or (not total and not closure.plan.is_everything):
            raise nothing_selected()
        refuse_nameless(map(closure.carried, self.counts))
        kept, nulled = count_outside(closure)
        for warning in facts(closure, self.counts):
            self.tell(warning)
        self._check_files()
        encoding = options.encoding
        if encoding == "auto":
            encoding = "documents" if total <= DOCUMENTS_UP_TO else "columns"
        # The writer is silent: rows written are the rows read, and one bar for them is enough.
        with PackageWriter(options.path, encoding=encoding, overwrite=options.overwrite) as writer:
            for name in self.counts:
                self._write_table(writer, name, total)
            self._write_files(writer)
            self.cancellation.check()
            writer.finish(self._metadata(revision, self._selection(kept, nulled)))
        interrupts.tell(f"the package is complete: {options.path}")

    def _write_table(self, writer: PackageWriter, name: str, total: int) -> None:
        prepared = self.rows.prepare(name)
        writer.write_table(prepared.table, self._passing(prepared, total), orphans=prepared.orphans)
        for label, count in prepared.orphans.items():
            if count:
                done = "set to NULL" if self.options.on_orphan == "null" else "carried as they are"
                self.tell(Warned("orphan", f"{counted(count, 'reference')} to rows that do not exist: {done}", label))

    def _passing(self, prepared: Prepared, total: int) -> Iterator[pa.RecordBatch]:
        name = prepared.table.name
        self.tell(Progress("read", name, self.done, max(total, self.done), self.bytes))
        for batch in self.rows.batches(prepared):
            failpoint("export.batch")
            yield batch
            self.done += batch.num_rows
            self.bytes += batch.nbytes
            self.tell(Progress("read", name, self.done, max(total, self.done), self.bytes))

    # --- files ------------------------------------------------------------------------------------------------------

    def _check_files(self) -> None:
        """Look for missing files before gigabytes of rows are written, not after."""
        if self.options.on_missing_file == "skip":
            return
        missing = []
        for one, store in all_referenced(self.closure):
            self.cancellation.check()
            problem = size_of(store, one)[1]
            if problem:
                missing.append(replace(one, problem=problem))
        if missing:
            raise missing_error(missing)

    def _write_files(self, writer: PackageWriter) -> None:
        done = 0
        for one, store in all_referenced(self.closure):
            self.cancellation.check()
            done += self._write_file(writer, one, store)
            self.tell(Progress("files", one.table, bytes_done=done))

    def _write_file(self, writer: PackageWriter, one: Referenced, store: FileStore) -> int:
        from datatransfer.package.manifest import FileReference

        references = [FileReference(one.table, key, one.column, one.path) for key in one.keys]
        try:
            source = store.open(one.path)
        except (FileStoreError, OSError) as error:
            reason = error.message if isinstance(error, DataTransferError) else (error.strerror or "it cannot be read")
            if self.options.on_missing_file == "error":
                raise missing_error([replace(one, problem=reason)]) from None
            for reference in references:
                writer.record_missing(reference, reason)
            self.missing += 1
            self.tell(Warned("file_missing", f"{one.path!r}: {reason}", f"{one.table}.{one.column}"))
            return 0
        failpoint("export.file")
        with source:
            return writer.write_file(self.cancellation.reading(source), references=references).bytes

    # --- metadata ---------------------------------------------------------------------------------------------------

    def _metadata(self, revision: str | None, selection: Mapping[str, Any]) -> PackageMetadata:
        from datatransfer.package.metadata import PackageMetadata

        db, options = self.closure.db, self.options
        return PackageMetadata(
            package_id=options.package_id,
            created=options.created,
            created_by=f"datatransfer {__version__}",
            origin=db.origin,
            dialect=db.dialect.name,
            source_revision=revision,
            selection=selection,
        )

    def _selection(self, kept: Mapping[str, int], nulled: Mapping[str, int]) -> dict[str, Any]:
        """Return how the selection can be made again, and what it cut."""
        plan = self.closure.plan
        checked = self.closure.checked_keys
        undeclared = [fk for fk in plan.schema.foreign_keys() if not fk.declared]
        return {
            "everything": plan.is_everything,
            "roots": [] if plan.is_everything else [r.to_json(checked.get(n)) for n, r in enumerate(plan.roots)],
            "rules": plan.rules.to_json(),
            "relations": [
                {"child": fk.label, "parent": f"{fk.parent}.({', '.join(fk.parent_columns)})"} for fk in undeclared
            ],
            **({"left_out": {t: sorted(c) for t, c in sorted(plan.left_out.items())}} if plan.left_out else {}),
            "on_orphan": self.options.on_orphan,
            "on_missing_file": self.options.on_missing_file,
            "missing_files": self.missing,
            "outside": dict(kept),
            "nulled": dict(nulled),
            **({"description": self.options.description} if self.options.description else {}),
        }
