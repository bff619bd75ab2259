"""The sessions of imports that are under way or were left: what they are, how they go on, how they are dropped.

A stage says in its own log which import it belongs to, from the first moment until its last table is dropped: the
package, its digest, the policies and decisions, the files that were about to be placed. So a process that knows
nothing of the one before can go on, and nobody takes rows of another package, or of another version of this library,
for its own.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer import __version__, interrupts
from datatransfer.database import ledger
from datatransfer.database.connection import checked
from datatransfer.database.writers import WRITERS, Writer
from datatransfer.errors import DatabaseError, DataTransferError, UsageError, clearing_up
from datatransfer.failpoints import failpoint, refuse_unknown
from datatransfer.given import uuid_of
from datatransfer.importing.actions import Policies
from datatransfer.importing.fingerprint import Fingerprint
from datatransfer.importing.staging import PART_ROWS, checkpoints_of

if TYPE_CHECKING:
    import pandas as pd

    from datatransfer.database.connection import Database
    from datatransfer.package.package import DataPackage

_SESSION, _DECISIONS, _FILES, _BOUND = "session", "decisions", "files", "bound"
UNDO_OF = "undo of"
"""What the log of an undo's stage says instead of a session."""
WAIT = "wait until it has ended; dt.stages(db) lists what is under way"
"""The hint where another process is at work."""


@dataclass(frozen=True)
class Session:
    """What the log of a stage says of its import.

    Parameters
    ----------
    import_id : uuid.UUID
    package : str
        The path of the package, for people.
    package_id, package_digest : str
    policies : mapping
        As `Policies.of` takes them.
    checkpoint_rows : int
        How the rows were cut into parts.
    version : str
        Of the library that staged.
    created : str
        ISO 8601, for people.
    number : int
        Higher than that of every stage that was there when it was begun: clocks go back.
    """

    import_id: uuid.UUID
    package: str
    package_id: str
    package_digest: str
    policies: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_rows: int = PART_ROWS
    version: str = __version__
    created: str = ""
    number: int = 0

    @classmethod
    def of(
        cls, package: DataPackage, policies: Policies, import_id: uuid.UUID, checkpoint_rows: int = PART_ROWS
    ) -> Session:
        """Make the session of a new import."""
        metadata = package.metadata
        return cls(
            import_id, str(Path(package.path).absolute()), str(metadata.package_id), metadata.manifest_sha256,
            policies.to_json(), checkpoint_rows, created=ledger.now().isoformat(timespec="seconds"),
        )  # fmt: skip

    @classmethod
    def read(cls, noted: Mapping[str, str]) -> Session | None:
        """Return the session that a log tells of; None if the process ended before it was written, or it is damaged.

        What a later version says more is left out.
        """
        try:
            values = json.loads(noted[_SESSION])
            known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
            return cls(**{**known, "import_id": uuid.UUID(str(values["import_id"]))})
        except (KeyError, TypeError, ValueError):
            return None

    def policies_here(self) -> Policies:
        """Return the policies of the call that was interrupted.

        Raises
        ------
        UsageError
            Another version of this library knows others.
        """
        try:
            return Policies.of(**self.policies)
        except (TypeError, UsageError) as error:
            if self.version == __version__:
                raise
            raise UsageError(
                f"version {self.version} began this import, with policies that are not known here",
                where=str(self.import_id), hint="resume it with that version, or drop its stage and import anew",
            ) from error  # fmt: skip

    def write(self, writer: Writer) -> None:
        """Write it into the log of a stage."""
        writer.note(_SESSION, json.dumps({**asdict(self), "import_id": str(self.import_id)}, sort_keys=True))


def begin(writer: Writer, session: Session) -> None:
    """Open a new stage: claimed by this process, and saying whose it is."""
    others = sweep(writer.db)
    session = replace(session, number=1 + max((other.number for other in others), default=0))
    if not writer.hold(fresh=True):
        raise UsageError("another process holds this import", where=str(session.import_id), hint=WAIT)
    try:
        writer.open_log()
        session.write(writer)
    except BaseException as error:
        if not writer.lost:
            with clearing_up(error):
                writer.drop_stage()  # nobody could tell whose it is
        raise
    failpoint("stage.opened")


def sweep(target: Database) -> list[Session]:
    """Remove stages of undos, and of processes that ended before they said whose; return those of other imports."""
    sessions = []
    for import_id, noted in find(target).items():
        if (session := Session.read(noted)) is not None:
            sessions.append(session)
            continue
        writer = writer_for(target, import_id)
        try:
            if writer.hold():
                writer.drop_stage()
        finally:
            writer.close()
    return sessions


def leave(writer: Writer, error: BaseException | None) -> None:
    """End work on a stage: remove it, unless it is needed, or an error says that going on later may succeed."""
    with interrupts.shielded(), clearing_up(error):
        try:
            may_go_on = isinstance(error, DatabaseError) and error.retryable and not interrupts.came()
            if writer.lost or writer.needed or may_go_on:
                _tell_left(writer)
                return
            try:
                writer.drop_stage()
            except DataTransferError:
                _tell_left(writer)
                raise
            failpoint("stage.dropped")
        finally:
            writer.close()


def _tell_left(writer: Writer) -> None:
    if not writer.committed:
        interrupts.tell(f"nothing was changed; import {writer.import_id} can be resumed, or its stage dropped")


def note_decisions(writer: Writer, decisions: Any) -> None:
    """Remember what was decided by hand, before the merge begins."""
    writer.note(_DECISIONS, json.dumps(decisions, sort_keys=True))


def noted_decisions(noted: Mapping[str, str]) -> Any:
    """Return what was decided by hand, None if nothing was."""
    return json.loads(noted[_DECISIONS]) if _DECISIONS in noted else None


def note_bound(writer: Writer, fingerprint: Fingerprint) -> None:
    """Remember to what state of the target a plan is bound that somebody has looked at."""
    writer.note(_BOUND, json.dumps(asdict(fingerprint), sort_keys=True))


def noted_bound(noted: Mapping[str, str]) -> Fingerprint | None:
    """Return to what state of the target the plan was bound, None where nobody looked at it."""
    return Fingerprint(**json.loads(noted[_BOUND])) if _BOUND in noted else None


def note_files(writer: Writer, files: Sequence[tuple[str, str, str]]) -> None:
    """Remember the files that are about to be placed and are not there yet: table, column, path."""
    writer.note(_FILES, json.dumps([list(file) for file in files]))


def noted_files(noted: Mapping[str, str]) -> list[tuple[str, str, str]]:
    """Return the files that an earlier attempt was about to place."""
    return [(table, column, path) for table, column, path in json.loads(noted.get(_FILES, "[]"))]


def writer_for(target: Database, import_id: uuid.UUID) -> Writer:
    """Return write access to a target for one import, before which nothing is written."""
    refuse_unknown()
    return WRITERS.get(target.engine.dialect.name, Writer)(target, import_id)


def find(target: Database) -> dict[uuid.UUID, Mapping[str, str]]:
    """Return the log of every stage in a target, by import; where a log says nothing, by what its tables are named."""
    kind = WRITERS.get(target.engine.dialect.name, Writer)
    found: dict[uuid.UUID, Mapping[str, str]] = {}
    for prefix, noted in kind.logs(target).items():
        session = Session.read(noted)
        found[session.import_id if session else uuid.UUID(prefix.ljust(32, "0"))] = noted
    return found


def resumable(target: Database, package: DataPackage, import_id: uuid.UUID | None) -> list[Session]:
    """Return the sessions that brought this package, the newest first."""
    sessions = [session for noted in find(target).values() if (session := Session.read(noted)) is not None]
    mine = [s for s in sessions if s.package_digest == package.metadata.manifest_sha256]
    return sorted((s for s in mine if import_id in (None, s.import_id)), key=lambda s: s.number, reverse=True)


def stages(db: Database) -> pd.DataFrame:
    """Return one row for each import into a database that was begun and is not finished.

    Returns
    -------
    pandas.DataFrame
        import_id, package, created, rows (staged so far), state: ``running`` in another process, ``left`` by one that
        is gone, ``merged`` where only the stage is left over. Where a stage is of no package, or does not say of which,
        there stands what it is instead; those that were left are removed by `drop_stage`, and by the next import.

    Examples
    --------
    >>> import datatransfer as dt
    >>> len(dt.stages(dt.Database("sqlite://")))
    0
    """
    from datatransfer.display.frames import OneLine

    rows: list[tuple[int, dict[str, Any]]] = []
    for import_id, noted in find(checked(db)).items():
        session = Session.read(noted)
        staged = sum(sum(parts.values()) for parts in checkpoints_of(noted).values())
        state = _state(db, import_id)
        row = (
            {"import_id": str(import_id), "package": session.package if session else _unsaid(noted, state),
             "created": session.created if session else "", "rows": staged, "state": state}
        )  # fmt: skip
        rows.append((session.number if session else 0, row))
    ordered = [row for _, row in sorted(rows, key=lambda item: item[0])]
    return OneLine(ordered, columns=["import_id", "package", "created", "rows", "state"])


def _unsaid(noted: Mapping[str, str], state: str) -> str:
    """Say what a stage is that belongs to no package, or does not say to which."""
    if UNDO_OF in noted:
        return f"none: undo of {noted[UNDO_OF]}"
    if _SESSION in noted:
        return "unknown: what it says of its package is damaged; it can only be dropped"
    if state == "running":
        return "unknown: it has just begun"
    return "unknown: begun by a process that was killed before it said which package; it can only be dropped"


def _state(db: Database, import_id: uuid.UUID) -> str:
    writer = writer_for(db, import_id)
    try:
        if not writer.hold():
            return "running"
        return "merged" if is_merged(db, import_id) else "left"
    finally:
        writer.close()


def is_merged(db: Database, import_id: uuid.UUID) -> bool:
    """Whether the receipt of an import stands in the database."""
    with db.connect() as conn:
        return any(r.import_id == str(import_id) and r.state != "staging" for r in ledger.list_imports(conn))


@interrupts.shielded()
def was_committed(target: Database, lost: Writer) -> bool:
    """Find out, on a new connection, how a COMMIT ended whose answer never came."""
    writer = writer_for(target, lost.import_id)
    try:
        writer.end_session(lost.session_id)
        committed = is_merged(target, lost.import_id)
        if committed:
            writer.drop_stage()
        return committed
    finally:
        writer.close()


def drop_stage(db: Database, import_id: str | uuid.UUID) -> None:
    """Remove what an import left behind that will not be resumed: its staged rows, and files that it placed.

    Parameters
    ----------
    db : Database
    import_id : str or UUID
        As `stages` shows it.

    Raises
    ------
    UsageError
        There is no such stage, or a process is at work on it.
    """
    wanted = uuid_of(import_id, "import_id", hint="see dt.stages(db)")
    noted = find(checked(db)).get(wanted)
    if noted is None:
        raise UsageError("there is no such stage", where=str(wanted), hint="dt.stages(db) lists those there are")
    writer = writer_for(db, wanted)
    try:
        if not writer.hold():
            who = "another process is at work on this import, or a plan of this one that was not discarded"
            raise UsageError(who, where=str(wanted), hint="stop it first")
        if not is_merged(db, wanted):
            for table, column, path in noted_files(noted):
                store = db.files.get((table, column))
                if store is not None:
                    store.delete(path)
        writer.drop_stage()
    finally:
        writer.close()
