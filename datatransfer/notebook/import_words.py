"""What the form of an import calls its steps, and what it says of errors for which it has a control."""

from __future__ import annotations

from datatransfer.errors import AlreadyImportedError, AlreadyUndoneError, ConflictError, UndoConflictError
from datatransfer.notebook.settling import NATURAL_KEYS, POLICIES
from datatransfer.notebook.undoing import KEEP
from datatransfer.notebook.wording import Wording

LABELS = {"package": "Package", "inside": "What is inside", "plan": "Plan", "run": "Run", "receipt": "Receipt"}
WORDING = Wording(
    {name: label for name, (label, _) in POLICIES.items()} | {"match_on": NATURAL_KEYS},
    {
        UndoConflictError: f"nothing was changed: tick “{KEEP}”, or undo later imports of the same rows first",
        AlreadyUndoneError: "nothing is left to be undone: start over",
        AlreadyImportedError: "nothing is left to be done: the package is in the target",
        ConflictError: "nothing was changed: plan again, and decide",
    },
)
