"""Undo: what an import wrote is taken back, in one transaction, or nothing is.

1. The images of the import are laid beside the target, and every row that it touched is **sorted**: reversible, edited
   since or written again by a later import, referenced by a row that stays, gone, or its key or a unique value taken.
   The check also names those whose parents will be gone.
2. Unless all of it is well, the undo **refuses**, or leaves these rows and what they need where they are.
3. What was inserted is **deleted**, children first; what was deleted is inserted again under its keys; what was updated
   gets its earlier values. Rows are counted against 1.
4. The undo is **recorded** as a change of its own with images of its own: so it can be undone, too.
5. Files that only this import brought are removed after the commit, also by the next call if this one is killed.

The steps of a merge are those of `datatransfer.importing.merge`; nothing here knows packages.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datatransfer import interrupts
from datatransfer.database import ledger
from datatransfer.database.dialects.failures import database_errors
from datatransfer.database.writers.session import LOCK_SECONDS
from datatransfer.errors import AlreadyUndoneError, DatabaseError, UndoConflictError, UsageError, clearing_up
from datatransfer.events import Cancellation, Listener, Progress
from datatransfer.failpoints import failpoint, refuse_unknown
from datatransfer.importing import stages
from datatransfer.importing.backup import Backup
from datatransfer.importing.images import INSERT, UPDATE
from datatransfer.importing.orphaned import Orphaned
from datatransfer.importing.reversal import Reversal
from datatransfer.importing.rights import refuse_staging, refuse_undo
from datatransfer.importing.sides import check_seconds
from datatransfer.importing.touched import GONE, REVERSIBLE, TouchedRows
from datatransfer.importing.undofiles import UndoFiles, finish_files
from datatransfer.importing.undoreport import UndoReport
from datatransfer.progress import checked_listener, listening
from datatransfer.schema.secrets import has_secret_key

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from datatransfer.database.connection import Database
    from datatransfer.database.writers import Writer


@interrupts.held()
def check_undo(db: Database, import_id: str | uuid.UUID, *, lock_timeout: float = LOCK_SECONDS) -> UndoReport:
    """Say what an undo of an import would find; nothing in the target changes.

    Parameters
    ----------
    db : Database
    import_id : str or UUID
    lock_timeout : float
        As for `undo`.

    Raises
    ------
    AlreadyUndoneError
        It was undone.
    UsageError
        There is no such import, or it cannot be undone.
    DatabaseError
        The database does not answer, or refuses.
    """
    with database_errors(db.engine, "looking at the import", where=str(import_id)):
        check_seconds(lock_timeout)
        return _check_undo(db, import_id, lock_timeout)


def _check_undo(db: Database, import_id: str | uuid.UUID, lock_timeout: float) -> UndoReport:
    record = _undoable(db, str(import_id))
    db.refresh(lock_timeout=lock_timeout)  # tables and columns that came since may hold what an undo would take away
    writer = _begin(db, record.import_id, lock_timeout)
    try:
        touched = TouchedRows(writer, record.import_id)
        touched.lay()
        _refuse_gaps(touched, record)
        touched.sort()
        Orphaned(touched, record).mark()
        files = UndoFiles(writer, record.import_id)
        stay = [*files.warnings(), *files.edited()]
        hidden = frozenset(name for name, each in touched.tables.items() if has_secret_key(each.table))
        report = UndoReport(record.import_id, touched.counts(), list(touched.problems()), stay, hidden)
    except BaseException as error:
        _end(writer, error)
        raise
    _end(writer)
    return report


@interrupts.held()
def undo(
    db: Database,
    import_id: str | uuid.UUID,
    *,
    keep_edited: bool = False,
    backup: str | Path | None = None,
    lock_timeout: float = LOCK_SECONDS,
    listener: Listener | None = None,
    cancellation: Cancellation | None = None,
) -> str:
    """Take back what an import wrote; return the id of the undo, which is a change of its own.

    Parameters
    ----------
    db : Database
    import_id : str or UUID
    keep_edited : bool
        Whether rows that were edited since, and those that others refer to, stay as they are.
    backup : str or Path, optional
        A package that gets the rows which are deleted or restored, as they are, before any of them is.
    lock_timeout : float
        Seconds that a statement waits for a lock of another session before the undo ends with a `DatabaseError` that
        names the table; MariaDB counts whole ones.
    listener : callable, optional
        Told how far it is; by default bars in a terminal or notebook, else nobody.
    cancellation : Cancellation, optional
        Ends it in the midst of a statement, but not once COMMIT has begun.

    Raises
    ------
    UndoConflictError
        Rows were edited since, or others refer to them; nothing was changed.
    AlreadyUndoneError
        It was undone, by this process or another.
    PrivilegeError
        The role may not do what takes the import back; nothing was changed.
    DatabaseError
        The database does not answer, or refuses.
    Cancelled
        Somebody asked to stop; nothing was changed.
    """
    checked_listener(listener)
    with database_errors(db.engine, "undoing the import", where=str(import_id)), listening(listener) as told:
        check_seconds(lock_timeout)
        refuse_unknown()
        how = _How(lock_timeout, keep_edited, backup, told, cancellation or Cancellation())
        return _undo(db, import_id, how)


@dataclass(frozen=True)
class _How:
    """How to undo."""

    lock_timeout: float
    keep_edited: bool
    backup: str | Path | None
    listener: Listener
    cancellation: Cancellation


def _undo(db: Database, import_id: str | uuid.UUID, how: _How) -> str:
    try:
        record = _undoable(db, str(import_id))
    except AlreadyUndoneError:
        stages.sweep(db)
        finish_files(db, str(import_id))  # of an undo that ended between its commit and its files
        raise
    how.listener(Progress("check"))
    db.refresh(lock_timeout=how.lock_timeout)
    writer = _begin(db, record.import_id, how.lock_timeout)
    try:
        failpoint("undo.begin")
        saved = Backup(how.backup, db) if how.backup else None
        with writer.stoppable(how.cancellation):
            touched, files = _laid(writer, record)
        try:
            _reverse(touched, files, Reversal(touched, record, saved, how.listener), how)
        except DatabaseError:
            if not writer.unanswered or not stages.was_committed(db, writer):
                raise
        interrupts.tell(f"the undo is done: receipt {writer.import_id}")
        failpoint("undo.after_commit")
    except BaseException as error:
        _end(writer, error)
        raise
    _end(writer)
    with interrupts.shielded():
        finish_files(db, record.import_id)
    failpoint("undo.finished")
    return str(writer.import_id)


def _laid(writer: Writer, record: ledger.ImportRecord) -> tuple[TouchedRows, UndoFiles]:
    """Lay beside the target what the import wrote."""
    if not writer.transactional_ddl:  # making our tables would commit the undo half way
        ledger.create_ledger(writer.conn)
    touched = TouchedRows(writer, record.import_id)
    touched.lay()
    _refuse_gaps(touched, record)
    refuse_undo(touched)
    files = UndoFiles(writer, record.import_id)
    files.lay()
    return touched, files


def _reverse(touched: TouchedRows, files: UndoFiles, reversal: Reversal, how: _How) -> None:
    """Run the one transaction."""
    writer, keep_edited = touched.writer, how.keep_edited
    with writer.merge(how.cancellation):
        _still_merged(writer, reversal.record.import_id)  # another process may have been quicker
        touched.later.refuse_others()
        reversal.prepare()
        touched.sort()
        _refuse(touched, keep_edited=keep_edited)
        reversal.save()
        reversal.run(keep_edited=keep_edited)
        writer.restore_tables()
        files.choose()
        reversal.warnings += files.warnings()
        reversal.finish()
        failpoint("undo.before_commit")


def _refuse(touched: TouchedRows, *, keep_edited: bool) -> None:
    counts = touched.counts()
    bad: dict[str, int] = {}
    for name, states in counts.items():
        for (_, state), n in states.items():
            if state not in (REVERSIBLE, GONE):
                bad[f"{name} ({state})"] = bad.get(f"{name} ({state})", 0) + n
    if bad and not keep_edited:
        parts = ", ".join(f"{n} of {where}" for where, n in sorted(bad.items()))
        later = ", then ".join(touched.later.named())
        first = f"; some were written again by later imports: undo {later} first" if later else ""
        raise UndoConflictError(
            f"rows of the import were edited since, or others refer to them or hold their values: {parts}",
            hint=f"nothing was changed; check_undo() names them, keep_edited=True leaves them where they are{first}",
            evidence={"rows": bad},
        )


# --- the state of an import -----------------------------------------------------------------------------------------


def _undoable(db: Database, import_id: str) -> ledger.ImportRecord:
    with db.connect() as conn:
        record = ledger.read_import(conn, import_id)
        _refuse_state(conn, record)
        if _writes(record) and next(ledger.after_images(conn, import_id), None) is None:
            raise UsageError(
                "there is no record of how it left its rows", where=import_id,
                hint="it was made by an earlier version, or on a database whose rows cannot be hashed",
            )  # fmt: skip
    return record


def _refuse_gaps(touched: TouchedRows, record: ledger.ImportRecord) -> None:
    """Refuse if the images are not those of all rows that were written: some were lost, or cut off."""
    for name, counts in record.counts.items():
        held = touched.tables[name].staged if name in touched.tables else {}
        keyed = name in touched.tables and bool(touched.tables[name].key)
        if record.options.get("undo_of"):
            wanted = {f"b{action}": counts.get(action, 0) for action in (UPDATE,)}
        else:
            wanted = {f"s{INSERT}": counts.get(INSERT, 0), f"s{UPDATE}": counts.get(UPDATE, 0)}
            wanted[f"b{UPDATE}"] = counts.get(UPDATE, 0)
        gaps = [mark for mark, n in wanted.items() if (held.get(mark, 0) != n if keyed else n and not held)]
        if gaps:
            raise UsageError(
                "the record of how rows were before, or how the import left them, is not whole", where=name,
                hint="nothing was changed; look for a backup of the database",
            )  # fmt: skip


def _writes(record: ledger.ImportRecord) -> bool:
    return any(counts.get(action) for counts in record.counts.values() for action in (INSERT, UPDATE))


def _refuse_state(conn: Connection, record: ledger.ImportRecord) -> None:
    if record.state == "undone":
        raise AlreadyUndoneError("the import was already undone", where=record.import_id, hint="see dt.receipts(db)")
    if record.state != "merged":
        raise UsageError(
            f"an import that is {record.state} cannot be undone", where=record.import_id, hint="see dt.receipts(db)"
        )
    below, wanted = record, "undone"
    while above := below.options.get("undo_of"):
        below = ledger.read_import(conn, above)
        if below.state != wanted:
            raise AlreadyUndoneError(
                f"what it had changed was {below.state} again since", where=record.import_id, hint="see dt.receipts(db)"
            )
        wanted = "merged" if wanted == "undone" else "undone"


def _still_merged(writer: Writer, import_id: str) -> None:
    _refuse_state(writer.conn, ledger.read_import(writer.conn, import_id))


# --- the stage ------------------------------------------------------------------------------------------------------


def _begin(db: Database, import_id: str, lock_timeout: float) -> Writer:
    """Open a stage that says what it is for; what an earlier attempt left is dropped."""
    stages.sweep(db)
    writer = stages.writer_for(db, uuid.uuid4())
    writer.lock_seconds = lock_timeout
    try:
        if not writer.hold(fresh=True):
            raise UsageError("another process holds this undo", where=import_id, hint=stages.WAIT)
        refuse_staging(writer)
        writer.open_log()
        writer.note(stages.UNDO_OF, import_id)
    except BaseException as error:
        _end(writer, error)
        raise
    return writer


def _end(writer: Writer, error: BaseException | None = None) -> None:
    """Remove the stage, which is of use only to the undo that made it."""
    with interrupts.shielded(), clearing_up(error):
        try:
            if not writer.lost:
                writer.drop_stage()
        finally:
            writer.close()
