"""``%datatransfer``: looking at packages and databases in one line, with the code that it ran.

After ``%load_ext datatransfer``::

    %datatransfer inspect orders.zip
    %datatransfer tables sqlite:///shop.db
    %datatransfer diff orders.zip db          # db: a Database in the notebook

Each line prints the calls that it stands for and returns what they return. Nothing here writes to a database.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import datatransfer as dt
from datatransfer.errors import UsageError
from datatransfer.given import suggestion


@dataclass(frozen=True)
class _Verb:
    """What a word stands for: its places, what it says, and the call."""

    places: tuple[str, ...]
    says: str
    code: str
    call: Callable[..., Any]


def _package(path: str, names: Mapping[str, Any]) -> Any:
    found = names.get(path)
    return found if isinstance(found, dt.DataPackage) else dt.DataPackage.open(path)


def _database(url: str, names: Mapping[str, Any]) -> Any:
    found = names.get(url)
    return found if isinstance(found, dt.Database) else dt.Database(url)


def _either(word: str, names: Mapping[str, Any]) -> Any:
    found = names.get(word)
    if isinstance(found, dt.DataPackage | dt.Database):
        return found
    return dt.Database(word) if "://" in word else dt.DataPackage.open(word)


_OPEN = {"PACKAGE": _package, "URL": _database, "PACKAGE|URL": _either}
VERBS: Mapping[str, _Verb] = {
    "inspect": _Verb(("PACKAGE",), "what is in a package", "{0}", lambda package: package),
    "verify": _Verb(("PACKAGE",), "whether it is complete and valid", "{0}.verify()", lambda package: package.verify()),
    "tables": _Verb(("URL",), "the tables of a database", "{0}.tables", lambda db: db.tables),
    "graph": _Verb(("PACKAGE|URL",), "which table depends on which", "{0}.graph", lambda each: each.graph),
    "diff": _Verb(("PACKAGE", "PACKAGE|URL"), "what differs", "{0}.diff({1})", lambda a, b: a.diff(b)),
    "check": _Verb(
        ("PACKAGE", "URL"), "whether the schemas fit", "dt.PackageImporter({0}, {1}).check()",
        lambda package, db: dt.PackageImporter(package, db).check(),
    ),
    "receipts": _Verb(("URL",), "all imports into a database", "dt.receipts({0})", lambda db: dt.receipts(db)),
    "stages": _Verb(("URL",), "imports that were interrupted", "dt.stages({0})", lambda db: dt.stages(db)),
    "jobs": _Verb((), "transfers in the background", "dt.jobs()", lambda: dt.jobs()),
    "export": _Verb(("URL",), "the form that exports", "dt.ExportForm({0})", lambda db: dt.ExportForm(db)),
    "import": _Verb(("URL",), "the form that imports", "dt.ImportForm({0})", lambda db: dt.ImportForm(db)),
}  # fmt: skip

_HELP = ("--help", "-h", "help", "?")


def usage() -> str:
    """Return one line a verb."""
    lines = [f"  {' '.join((name, *verb.places)):<32}{verb.says}" for name, verb in VERBS.items()]
    return "\n".join(["%datatransfer VERB …", *lines])


def run(line: str, names: Mapping[str, Any]) -> tuple[str, Any]:
    """Carry out a line of the magic.

    Parameters
    ----------
    line : str
    names : mapping
        The notebook's variables; a Database or DataPackage may be named instead of an address.

    Returns
    -------
    tuple of str and object
        The calls that were made, and their result; the usage if the line is empty or asks for help.

    Raises
    ------
    UsageError
        The verb is not known, or has too few or too many words after it.
    """
    try:
        words = shlex.split(line)
    except ValueError:
        raise UsageError("a quotation mark is missing", where="%datatransfer") from None
    if not words or words[0] in _HELP:
        return usage(), None
    verb = VERBS.get(words[0])
    if verb is None:
        raise UsageError(f"there is no verb {words[0]!r}", where="%datatransfer", hint=suggestion(words[0], VERBS))
    if len(words) - 1 != len(verb.places):
        wanted = " ".join(("%datatransfer", words[0], *verb.places))
        raise UsageError("these words do not fit the verb", where="%datatransfer", hint=f"write {wanted}")
    given = [_OPEN[place](word, names) for place, word in zip(verb.places, words[1:], strict=True)]
    spelled = [_spelled(word, names, each) for word, each in zip(words[1:], given, strict=True)]
    return verb.code.format(*spelled), verb.call(*given)


def _spelled(word: str, names: Mapping[str, Any], opened: Any) -> str:
    """Return the code for what was opened, with no password in it."""
    if names.get(word) is opened:
        return word
    if isinstance(opened, dt.Database):
        return str(opened.code)
    return f"dt.DataPackage.open({word!r})"


def load(shell: Any) -> None:
    """Give a notebook its magic."""

    def datatransfer(line: str) -> Any:
        code, result = run(line, shell.user_ns)
        print(code)  # noqa: T201 - the magic's whole purpose is to show it
        if line.split()[:1] == ["diff"] and result.empty:
            print("no differences")  # noqa: T201 - an empty frame may look like a failure
        return result

    datatransfer.__doc__ = f"Look at packages and databases.\n\n{usage()}"
    shell.register_magic_function(datatransfer, "line", "datatransfer")
