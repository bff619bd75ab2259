"""What an import did, read at any time from the target, and the way back.

The receipt is written with the import, in one transaction, by `datatransfer.importing.recording`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from datatransfer import interrupts
from datatransfer.database import ledger
from datatransfer.database.connection import checked
from datatransfer.database.writers.session import LOCK_SECONDS
from datatransfer.display import shown
from datatransfer.errors import UnknownTableError, UsageError
from datatransfer.given import instance, suggestion, uuid_of
from datatransfer.importing import background
from datatransfer.importing.listing import key_frame
from datatransfer.importing.looks import actions_chart, receipt_html, receipt_story, seconds_chart, state_since
from datatransfer.importing.mapping import same_name

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from datatransfer.background import Job
    from datatransfer.database.connection import Database
    from datatransfer.display.charts import Chart
    from datatransfer.events import Cancellation, Listener
    from datatransfer.importing.undoreport import UndoReport

_SUMMARY = {"inserted": "insert", "updated": "update", "reused": "reuse", "skipped": "skip", "conflicts": "conflict"}
_UNDONE = {"removed": "delete", "restored": "update", "brought back": "insert", "kept": "keep"}


@dataclass
class Known:
    """What was read last of the record of an import: pictures show it, for they ask no database."""

    record: ledger.ImportRecord | None = None
    files: Sequence[ledger.ImportedFile] = ()


@dataclass(frozen=True, repr=False)
class Receipt(shown.Listed):
    """The story of one import, or of one undo.

    Attributes
    ----------
    import_id : uuid.UUID
    package_id : str
    counts : mapping of table to mapping of action to int
    warnings : sequence of str
    recorded : bool
        Whether it stands in the target; an import that had nothing to write leaves none.
    timings : mapping of str to float
        Seconds of each phase: stage, plan, wait (for other merges), merge (the transaction, in which locks are held).
    undo_of : str
        Of an undo: the import that it took back.
    renamed : mapping of str to str
        The target's names of the package's tables that a mapping renamed.

    Examples
    --------
    >>> receipt = importer.run()                        # doctest: +SKIP
    >>> receipt.summary                                 # doctest: +SKIP
    >>> receipt.id_map("orders")                        # doctest: +SKIP
    >>> receipt.check_undo(), receipt.undo()            # doctest: +SKIP
    """

    _unlisted = frozenset({"maps", "known", "renamed", "when", "way_back"})

    target: Database = field(repr=False)
    import_id: uuid.UUID
    package_id: str
    counts: Mapping[str, Mapping[str, int]]
    warnings: Sequence[str] = ()
    recorded: bool = True
    timings: Mapping[str, float] = field(default_factory=dict)
    maps: Mapping[str, Sequence[pa.Table]] = field(default_factory=dict, repr=False)
    undo_of: str = ""
    known: Known = field(default_factory=Known, repr=False, compare=False)
    renamed: Mapping[str, str] = field(default_factory=dict, repr=False)

    # --- what was done ------------------------------------------------------------------------------------------

    @property
    def kind(self) -> str:
        """``"import"`` or ``"undo"``."""
        return "undo" if self.undo_of else "import"

    @property
    def state(self) -> str:
        """``"merged"``, or ``"undone"``, as it is now; empty where nothing was recorded."""
        record = self._record()
        return record.state if record else ""

    def _record(self) -> ledger.ImportRecord | None:
        if not self.recorded:
            return None
        with self.target.connect() as conn:
            self.known.record = ledger.read_import(conn, self.import_id)
        return self.known.record

    @property
    def _names(self) -> dict[str, str]:
        return _UNDONE if self.undo_of else _SUMMARY

    @property
    def summary(self) -> pd.DataFrame:
        """One row a table: rows of the package, and how many were inserted, updated, reused, skipped, in conflict.

        Of an undo: how many were removed, restored to what they were, brought back, and kept.
        """
        import pandas as pd

        rows = []
        for table, counts in self.counts.items():
            numbers = {name: counts.get(action, 0) for name, action in self._names.items()}
            rows.append({"table": table, "rows": sum(numbers.values()), **numbers})
        return pd.DataFrame(rows, columns=["table", "rows", *self._names])

    def plot(self, what: Literal["rows", "seconds"] = "rows") -> Chart:
        """Return what was done as bars.

        Parameters
        ----------
        what : {"rows", "seconds"}
            How many rows of each table were inserted, updated and so on; or how long each phase took.

        Raises
        ------
        UsageError
            It is something else.
        """
        if what not in ("rows", "seconds"):
            raise UsageError(f"plot() takes no {what!r}", hint="use 'rows' or 'seconds'")
        if what == "seconds":
            return seconds_chart(self.timings)
        named = {t: {name: c.get(action, 0) for name, action in self._names.items()} for t, c in self.counts.items()}
        return actions_chart("What the undo did" if self.undo_of else "What the import did", named)

    @property
    def tables(self) -> pd.DataFrame:
        """The same as `summary`: one row a table."""
        return self.summary

    def total(self, action: str) -> int:
        """Return how many entities an action was taken on, e.g. ``"insert"``."""
        return sum(counts.get(action, 0) for counts in self.counts.values())

    def id_map(self, table: str) -> pd.DataFrame:
        """Return which key in the target each key of the package became.

        Parameters
        ----------
        table : str
            As the target calls it, or as the package does.

        Returns
        -------
        pandas.DataFrame
            ``source.<column>``, ``target.<column>``, ``action``.

        Raises
        ------
        UnknownTableError
            The import did not touch that table.
        """
        import pandas as pd

        frames = [key_frame(keys) for keys in self._key_maps(self._named(table))]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["action"])

    def _named(self, table: str) -> str:
        """Return what the target calls a table, whichever of its names is given."""
        given = instance(table, str, "table")
        found = given if given in self.counts else self.renamed.get(given) or same_name(given, self.counts)
        if found is None or found not in self.counts:
            hint = suggestion(given, sorted({*self.counts, *self.renamed}))
            raise UnknownTableError(f"the import has no table {table!r}", hint=hint)
        return found

    def _key_maps(self, table: str) -> Iterator[pa.Table]:
        if not self.recorded:
            yield from self.maps.get(table, ())
            return
        with self.target.connect() as conn:
            for _, _, keys in ledger.key_maps(conn, table=table, import_id=self.import_id):
                yield keys

    def before_images(self, table: str) -> pd.DataFrame:
        """Return the rows of a table that were updated or removed, as they were before.

        Raises
        ------
        UnknownTableError
            The import did not touch that table.
        """
        import pandas as pd

        name = self._named(table)
        if not self.recorded:
            return pd.DataFrame()
        with self.target.connect() as conn:
            found = ledger.before_images(conn, self.import_id, table=name)
            frames = [rows.replace_schema_metadata(None).to_pandas() for _, rows in found]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()

    @property
    def files(self) -> pd.DataFrame:
        """One row a file: table, column, path, bytes, and whether it was written, found in place, or removed since."""
        import pandas as pd

        rows = [(f.store_table, f.store_column, f.path, f.bytes, f.action) for f in self._files()]
        return pd.DataFrame(rows, columns=["table", "column", "path", "bytes", "action"])

    def _files(self) -> list[ledger.ImportedFile]:
        if not self.recorded:
            return []
        with self.target.connect() as conn:
            self.known.files = ledger.imported_files(conn, self.import_id)
        return list(self.known.files)

    # --- the way back -------------------------------------------------------------------------------------------

    def check_undo(self, *, lock_timeout: float = LOCK_SECONDS) -> UndoReport:
        """Say what `undo` would find; nothing in the target changes.

        Parameters
        ----------
        lock_timeout : float
            As for `undo`.

        Returns
        -------
        UndoReport
            Empty where the import wrote nothing.

        Raises
        ------
        AlreadyUndoneError
            It was undone before.
        """
        from datatransfer.importing import undo
        from datatransfer.importing.undoreport import UndoReport

        if not self.recorded:
            return UndoReport(str(self.import_id), {})
        return undo.check_undo(self.target, self.import_id, lock_timeout=lock_timeout)

    @interrupts.held()  # from here: a signal in the midst of an import of Python is no KeyboardInterrupt any more
    def undo(
        self,
        *,
        keep_edited: bool = False,
        backup: str | Path | None = None,
        lock_timeout: float = LOCK_SECONDS,
        listener: Listener | None = None,
        cancellation: Cancellation | None = None,
    ) -> Receipt:
        """Take back what the import wrote, in one transaction; its files, too, if only this import brought them.

        Parameters
        ----------
        keep_edited : bool
            Whether rows that were edited since, rows that others refer to, and what these need, stay.
        backup : str or Path, optional
            A package that gets the rows which are removed or restored, as they are, before any of them is.
        lock_timeout, listener, cancellation : optional
            As for `PackageImporter`; the first are seconds that a statement waits for a lock of another session.

        Returns
        -------
        Receipt
            Of the undo, which can be undone itself.

        Raises
        ------
        UndoConflictError
            Rows were edited since, or others refer to them or hold their values; nothing was changed.
        AlreadyUndoneError
            It was undone before.
        Cancelled
            Somebody asked to stop; nothing was changed.

        Examples
        --------
        >>> importer.run().undo().summary   # doctest: +SKIP
        """
        from datatransfer.importing import undo

        self._refuse_unrecorded()
        done = undo.undo(
            self.target, self.import_id, keep_edited=keep_edited, backup=backup, lock_timeout=lock_timeout,
            listener=listener, cancellation=cancellation,
        )  # fmt: skip
        self._record()
        return receipt(self.target, done)

    def start_undo(self, *, progress: Listener | None = None, **options: Any) -> Job[Receipt]:
        """Do what `undo` does in a worker thread, and return at once.

        Parameters
        ----------
        progress : callable, optional
            A listener, called in that thread; `Job.progress` tells the same.
        **options
            As for `undo`.

        Returns
        -------
        Job
            Its result is the receipt of the undo.

        Raises
        ------
        UsageError
            The import wrote nothing, or the target is in memory. All else comes from `Job.result`.
        """
        self._refuse_unrecorded()
        return background.start_undo(self, progress, options)

    def _refuse_unrecorded(self) -> None:
        if not self.recorded:
            raise UsageError("the import wrote nothing, so there is nothing to undo", where=str(self.import_id))

    # --- the story ----------------------------------------------------------------------------------------------

    def facts(self) -> list[tuple[str, str]]:
        """Return what is known of the import by name: ids, state, origin, path, policies; as it was read last."""
        record = self.known.record
        if record is None:
            return [("package", self.package_id), ("state", "nothing was written: it was all there already")]
        options = dict(record.options)
        facts = [("undo" if self.undo_of else "import", str(self.import_id)), ("state", self.when)]
        if self.undo_of:
            facts.append(("of", self.undo_of))
        facts += [("package", record.package_id), ("from", record.origin)]
        if options.get("package"):
            facts.append(("path", str(options.pop("package"))))
        words = [f"{name}={value}" for name, value in sorted(options.items()) if value and name != "undo_of"]
        return [*facts, ("policies", ", ".join(words))] if words else facts

    @property
    def when(self) -> str:
        """The state that was read last, and since when."""
        return state_since(self.known.record) if self.known.record else ""

    @property
    def way_back(self) -> str:
        """What to say to undo it; empty where nothing was written, or all of it was taken back already."""
        if self.known.record is None or self.known.record.state != "merged":
            return ""
        return f"receipt.undo(), or: datatransfer undo URL {self.import_id}"

    def story(self) -> str:
        """Return the receipt as text: when, what, from where, how it was decided, and the way back."""
        self._record()
        return receipt_story(self, self._files())

    def __str__(self) -> str:
        return self.story()

    @shown.as_text
    def __repr__(self) -> str:
        parts = [f"{self.total(action):,} {name}" for name, action in self._names.items() if self.total(action)]
        return f"{'Undo' if self.undo_of else ''}Receipt({str(self.import_id)[:8]}: {', '.join(parts) or 'nothing'})"

    @shown.as_html
    def _repr_html_(self) -> str:
        return receipt_html(self, self._names)


# --- reading --------------------------------------------------------------------------------------------------------


def receipt(db: Database, import_id: str | uuid.UUID) -> Receipt:
    """Return the receipt of one import or undo.

    Raises
    ------
    UsageError
        There is none of that id.
    """
    wanted = uuid_of(import_id, "import_id", hint="see dt.receipts(db)")
    with checked(db).connect() as conn:
        record = ledger.read_import(conn, wanted)
        files = ledger.imported_files(conn, record.import_id)
    timings = json.loads(record.session or "{}").get("timings", {})
    return Receipt(
        db, uuid.UUID(record.import_id), record.package_id, record.counts, tuple(record.warnings),
        timings=timings, undo_of=str(record.options.get("undo_of", "")), known=Known(record, files),
        renamed=record.options.get("mapping", {}).get("rename_tables", {}),
    )  # fmt: skip
