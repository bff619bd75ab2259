"""Errors in the words of a form: its controls where the library's errors speak of parameters and calls.

What an error is about is told by its kind and its evidence where these say it; what is left of Python in a sentence is
translated by one table, as for the command line. Knows no widgets, databases or packages.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from datatransfer.errors import Cancelled, DataTransferError, PackageError

_CALLS = {
    "look at plan.to_frame(); values are": "choose another decision; values are",
    "look at plan.to_frame()": "choose another decision",
    "plan.to_frame()": "the list of conflicts",
    'call add("table", …) or add_all() first': "choose tables first",
    "preview()": "“What belongs to it”",
    "dt.stages(db) lists those there are": "start over: what was interrupted is listed there",
    "see dt.receipts(db)": "start over",
    "give it in params=, or write": "write its value itself, or write",
    "in params=": "itself",
}
_CALL = re.compile("|".join(map(re.escape, _CALLS)))
_WORD = r'"[\w-]+"'
_WORDS = rf"{_WORD}(?:(?:, or |, | or ){_WORD})*"


class Wording:
    """How a form words errors.

    Parameters
    ----------
    labels : mapping of str to str
        What the control of a parameter is called.
    kinds : mapping of error class to str
        What to do about errors of a kind, where the form has something for it.

    Examples
    --------
    >>> words = Wording({"on_orphan": "References without a parent", "overwrite": "Replace it"})
    >>> words.said('import the parents first, or say on_orphan="keep" or "null"')
    'import the parents first, or choose keep or null at “References without a parent”'
    >>> words.said("pass overwrite=True")
    'tick “Replace it”'
    """

    def __init__(
        self, labels: Mapping[str, str] | None = None, kinds: Mapping[type[DataTransferError], str] | None = None
    ) -> None:
        self._labels = dict(labels or {})
        self._kinds = dict(kinds or {})
        names = "|".join(sorted(self._labels, key=len, reverse=True)) or "(?!)"
        self._given = re.compile(rf"(?:(?:say|pass|choose|use) )?\b({names})=(?:(?P<words>{_WORDS})|(?P<tick>True)|…)?")

    def message(self, error: DataTransferError) -> str:
        """Return what went wrong."""
        findings = [item for item in error.evidence.get("findings", ()) if item["severity"] == "error"]
        if findings:
            told = "; ".join(f"{item['where']}: {item['message']} ({self.said(item['hint'])})" for item in findings)
            return f"the package does not fit the target: {told}"
        return self.said(error.message)

    def advice(self, error: DataTransferError, offer: Sequence[str] = ()) -> str:
        """Return what to do, where buttons are offered for it."""
        if isinstance(error, Cancelled):  # its own hint speaks of calls
            again = " or ".join(f"“{label}”" for label in offer)
            return f"go back, or press {again} when you like" if again else "begin again when you like"
        for kind in type(error).__mro__:
            if kind in self._kinds:
                return self._kinds[kind]
        if "findings" in error.evidence:
            return "nothing was changed: settle it at the plan, or change the target and plan again"
        if error.hint:
            return self.said(error.hint)
        if isinstance(error, PackageError):
            return "choose another file, or ask whoever made the package to send it again"
        return "look at the details"

    def said(self, text: str) -> str:
        """Return a sentence with controls for parameters, and places of the form for calls."""
        return self._given.sub(self._control, _CALL.sub(lambda found: _CALLS[found[0]], text))

    def _control(self, found: re.Match[str]) -> str:
        label = f"“{self._labels[found[1]]}”"
        if found["words"]:
            return f"choose {found['words'].replace(chr(34), '')} at {label}"
        return f"tick {label}" if found["tick"] else f"{found[0].partition(found[1])[0]}{label}"
