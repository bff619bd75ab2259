"""Named places where a test may end the process, to prove that what follows repairs it.

Off by default: a place costs one look at the environment. ``DATATRANSFER_FAILPOINT=merge.before_commit:1`` ends the
process with SIGKILL at the first pass of that place, ``…:3`` at the third. ``DATATRANSFER_FAILPOINT_LOG=file`` writes
the name of every place that is passed into a file, a line each, so that a harness can list them all and kill at every
one. With ``DATATRANSFER_FAILPOINT_WAIT=file`` the process does not end there but waits until the file is gone, so
that another process can act at that moment. ``DATATRANSFER_FAILPOINT_SIGNAL=SIGINT`` sends itself that signal instead.

This module knows nothing of what the places are in.
"""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path

from datatransfer.errors import UsageError
from datatransfer.given import suggestion

NAMES = {
    "export.batch": "a batch of rows is about to be written into the package",
    "export.file": "a file is about to be written into the package",
    "export.before_move": "the package is complete beside its destination",
    "export.after_move": "the package is in place",
    "stage.opened": "the log of the stage says which import this is, no row is staged",
    "stage.batch": "a batch was converted and is about to be staged",
    "stage.before_commit": "a part is staged with its checkpoint, not committed",
    "stage.after_commit": "a part and its checkpoint are committed",
    "plan.table": "a table was planned",
    "merge.begin": "the plan and its decisions are logged, the transaction is about to begin",
    "merge.file": "a file is about to be placed",
    "file.before_link": "a file is complete beside its place",
    "file.after_link": "a file is in its place",
    "merge.batch": "a batch of rows that were not staged was sent, inside the transaction",
    "merge.table": "a table was merged, inside the transaction",
    "merge.before_commit": "everything is done, the receipt written, nothing committed",
    "merge.after_commit": "the merge is committed, the stage still there",
    "stage.dropped": "the stage was removed",
    "undo.begin": "the transaction of an undo is about to begin",
    "undo.table": "a table was put back, inside the transaction",
    "undo.before_commit": "everything is put back, nothing committed",
    "undo.after_commit": "the undo is committed, its files are still there",
    "undo.file": "a file is about to be removed",
    "undo.finished": "the files are removed",
}
"""Every place, and what is true when it is passed."""

_passed: Counter[str] = Counter()


def failpoint(name: str) -> None:
    """Pass a place; end the process there if the environment says so.

    Parameters
    ----------
    name : str
        One of `NAMES`.
    """
    log, chosen = os.environ.get("DATATRANSFER_FAILPOINT_LOG"), os.environ.get("DATATRANSFER_FAILPOINT")
    if not log and not chosen:
        return
    assert name in NAMES, name
    _passed[name] += 1
    if log:
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{name}\n")
    if chosen == f"{name}:{_passed[name]}":
        _stop()


def refuse_unknown() -> None:
    """Refuse a place that is never passed, so that nobody takes a run that was not stopped for a proof.

    Whoever passes places calls this before anything is written.

    Raises
    ------
    UsageError
        The environment names a place that is none of `NAMES`, or not which pass of it.
    """
    chosen = os.environ.get("DATATRANSFER_FAILPOINT")
    if not chosen:
        return
    name, _, number = chosen.partition(":")
    where = f"DATATRANSFER_FAILPOINT={chosen}"
    if name not in NAMES:
        raise UsageError("this names no place", where=where, hint=suggestion(name, NAMES))
    if not number.isdecimal() or int(number) < 1:
        raise UsageError("this does not say which pass", where=where, hint=f"write {name}:1 for the first")


def _stop() -> None:
    waiting = os.environ.get("DATATRANSFER_FAILPOINT_WAIT")
    if not waiting:
        os.kill(os.getpid(), signal.Signals[os.environ.get("DATATRANSFER_FAILPOINT_SIGNAL", "SIGKILL")])
        return
    file = Path(waiting)
    file.touch()
    while file.exists():
        time.sleep(0.01)
