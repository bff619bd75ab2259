"""What is known of jobs on disk: one file a job, appended to while it runs, readable by other processes afterwards.

Files lie in the user's state folder, or where ``DATATRANSFER_JOBS`` says, and only their owner can read them. A file
holds lines of JSON: what began, how far it is (at most once a second), how it ended. While a job runs, its process
holds a lock beside the file; a job without an end and without a lock was interrupted. No password and no row is in it.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer.errors import DataTransferError, UsageError

if TYPE_CHECKING:
    import filelock
    import pandas as pd

FOLDER = "DATATRANSFER_JOBS"
RUNNING, DONE, FAILED, CANCELLED, INTERRUPTED = "running", "done", "failed", "cancelled", "interrupted"
RESUMED = "resumed"
_KEPT = 200
_BEGINNING = ("id", "kind", "what", "started", "code", "facts")
_COLUMNS = ["id", "kind", "state", "what", "started", "seconds", "phase", "rows", "message", "code"]


def folder() -> Path:
    """Return where journals are kept; it need not exist yet."""
    if given := os.environ.get(FOLDER):
        return Path(given)
    import platformdirs

    return Path(platformdirs.user_state_dir("datatransfer", appauthor=False)) / "jobs"


@dataclass(frozen=True)
class Record:
    """What a journal says of one job.

    Attributes
    ----------
    id, kind, what, started : str
        ``started`` is ISO 8601, in UTC.
    code : str
        The call that goes on where the job was interrupted, or repeats it.
    state : str
        ``running``, ``done``, ``failed``, ``cancelled``, ``interrupted`` or ``resumed``.
    """

    id: str
    kind: str
    what: str
    started: str
    code: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    state: str = RUNNING
    seconds: float = 0.0
    phase: str = ""
    rows: int = 0
    message: str = ""


class Journal:
    """Writes one job's file."""

    def __init__(self, path: Path, lock: filelock.BaseFileLock) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def begin(cls, record: Record) -> Journal:
        """Open the file of a job that begins.

        Raises
        ------
        UsageError
            The folder cannot be written.
        """
        import filelock

        path = folder() / f"{record.started[:19].replace(':', '')}-{record.id}.jsonl"
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = filelock.FileLock(f"{path}.lock", timeout=0, mode=0o600, thread_local=False)
            lock.acquire()
            journal = cls(path, lock)
            journal._append(
                {name: getattr(record, name) for name in ("id", "kind", "what", "started", "code", "facts")}
            )
        except OSError as error:
            raise UsageError(
                f"the journal of jobs cannot be written ({type(error).__name__})", where=str(path.parent),
                hint=f"name a folder of yours in the environment variable {FOLDER}",
            ) from None  # fmt: skip
        _prune(path.parent)
        return journal

    def note(self, seconds: float, phase: str, rows: int) -> None:
        """Say how far the job is."""
        self._append({"seconds": round(seconds, 3), "phase": phase, "rows": rows})

    def end(self, state: str, seconds: float, message: str = "") -> None:
        """Say how the job ended, and let go of the file."""
        try:
            self._append({"state": state, "seconds": round(seconds, 3), "message": message})
        finally:
            self._lock.release()
            _remove(Path(f"{self.path}.lock"))

    def _append(self, values: Mapping[str, Any]) -> None:
        _write(self.path, values)


def records() -> list[Record]:
    """Return what the journals say, the oldest first."""
    found = [record for path in _files(folder()) if (record := _read(path)) is not None]
    return sorted(found, key=lambda record: (record.started, record.id))


def jobs() -> pd.DataFrame:
    """Return one row for each transfer that was started in the background, here or in another process.

    Returns
    -------
    pandas.DataFrame
        id, kind, state (``running``, ``done``, ``failed``, ``cancelled``, ``interrupted``: its process is gone, or
        ``resumed``: it failed or was interrupted, and what went on with it, which the message names, has ended well),
        what, started (UTC), seconds, phase, rows (of that phase), message, code (the call that goes on with it).

    Examples
    --------
    >>> import os, tempfile
    >>> import datatransfer as dt
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     os.environ["DATATRANSFER_JOBS"] = folder
    ...     len(dt.jobs())
    0
    >>> del os.environ["DATATRANSFER_JOBS"]
    """
    import pandas as pd

    return pd.DataFrame([[getattr(record, name) for name in _COLUMNS] for record in records()], columns=_COLUMNS)


def note_resumed(facts: Mapping[str, str], begun: str, message: str) -> None:
    """Say of a job that failed or was interrupted, and of those that went on with it, that this has ended well.

    Parameters
    ----------
    facts : mapping of str to str
        What the journals of these jobs know, as `start` was told.
    begun : str
        When the first of them was at work, ISO 8601 in UTC; those that went on with it have the fact ``resumes``.
    message : str
        Stands in place of why they ended.
    """
    left: list[tuple[Path, Record]] = []
    for path in _files(folder()):
        record = _read(path)
        if record and record.state in (FAILED, INTERRUPTED) and facts.items() <= record.facts.items():
            left.append((path, record))
    left.sort(key=lambda one: one[1].started)
    first = [one for one in left if "resumes" not in one[1].facts and one[1].started[:19] <= begun[:19]]
    later = [one for one in left if "resumes" in one[1].facts and one[1].started[:19] >= begun[:19]]
    for path, _ in [*first[-1:], *later]:
        _write(path, {"state": RESUMED, "message": message, "code": ""}, before="\n")  # its last line may be cut


def new_record(kind: str, what: str, code: str, facts: Mapping[str, str]) -> Record:
    """Return the record of a job that begins now."""
    now = dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds")
    return Record(uuid.uuid4().hex[:12], kind, what, now, code, dict(facts))


def described(error: BaseException) -> str:
    """Return an error as one line for the journal; others than ours may hold anything, so only their class is told."""
    return str(error) if isinstance(error, DataTransferError) else type(error).__name__


def _write(path: Path, values: Mapping[str, Any], *, before: str = "") -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    with os.fdopen(descriptor, "a", encoding="utf-8") as file:
        file.write(before + json.dumps(values, sort_keys=True) + "\n")


def _files(where: Path) -> list[Path]:
    return sorted(where.glob("*.jsonl")) if where.is_dir() else []


def _read(path: Path) -> Record | None:
    """Return what a file says; None where it is gone meanwhile or says nothing of use."""
    held = _is_held(path)  # asked first: a job that ends now is running or ended, never interrupted
    values: dict[str, Any] = {}
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    for line in lines:
        try:
            values |= json.loads(line)
        except ValueError:  # the line at which the process was killed
            continue
    known = {name: value for name, value in values.items() if name in Record.__dataclass_fields__}
    if not {"id", "kind", "what", "started"} <= set(known):
        return None
    if "state" not in known:
        known["state"] = RUNNING if held else INTERRUPTED
    return Record(**known)


def _is_held(path: Path) -> bool:
    with _claimed(path) as mine:
        return not mine


@contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    """Try to take the lock of a job; nobody holds it if that succeeds."""
    import filelock

    beside = Path(f"{path}.lock")
    if not beside.exists():
        yield True
        return
    lock = filelock.FileLock(beside, timeout=0, mode=0o600, thread_local=False)
    try:
        lock.acquire()
    except filelock.Timeout:
        yield False
        return
    try:
        yield True
    finally:
        lock.release()


def _prune(where: Path) -> None:
    """Forget the oldest jobs that have ended."""
    for path in _files(where)[:-_KEPT]:
        if not _is_held(path):
            _remove(path)
            _remove(Path(f"{path}.lock"))


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
