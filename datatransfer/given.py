"""What a caller gave, checked: of the kind that is needed, or one error that says which argument, why, and what else.

Knows no table and no package; who asks says what is needed.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Collection, Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from datatransfer.errors import UsageError

T = TypeVar("T")

_CLOSE, _MOST = 3, 10


def instance(value: Any, kind: type[T], name: str, *, hint: str = "") -> T:
    """Return a value of a kind.

    Raises
    ------
    UsageError
        It is something else.

    Examples
    --------
    >>> instance(5, str, "table")
    Traceback (most recent call last):
        ...
    datatransfer.errors.UsageError: table: a str is needed, not an int
    """
    if not isinstance(value, kind):
        raise UsageError(f"{_a(kind)} is needed, not {kind_of(value)}", where=name, hint=hint)
    return value


def kind_of(value: object) -> str:
    """Return what a value is, with its article, and never the value.

    Examples
    --------
    >>> kind_of(5), kind_of(None), kind_of(Path)
    ('an int', 'None', 'the class Path')
    """
    if value is None:
        return "None"
    return f"the class {value.__name__}" if isinstance(value, type) else _a(type(value))


def _a(kind: type) -> str:
    return f"an {kind.__name__}" if kind.__name__[0] in "aeiouAEIOU" else f"a {kind.__name__}"


def uuid_of(value: Any, name: str, *, hint: str = "give a uuid.UUID, or 36 characters of text") -> uuid.UUID:
    """Return a UUID that was given as such or as text.

    Raises
    ------
    UsageError
        It is none.
    """
    if isinstance(value, uuid.UUID):
        return value
    try:
        return uuid.UUID(value if isinstance(value, str) else "")
    except ValueError:
        raise UsageError("this is not a UUID", where=name, hint=hint) from None


def path_of(value: Any, name: str, *, hint: str = "give a str or a pathlib.Path") -> Path:
    """Return a path of text.

    Raises
    ------
    UsageError
        It is none.
    """
    text = os.fspath(value) if isinstance(value, str | os.PathLike) else None
    if not isinstance(text, str):
        raise UsageError(f"a path is needed, not {kind_of(value)}", where=name, hint=hint)
    return Path(text)


def folder_of(value: Any, name: str) -> Path:
    """Return the path of a folder that exists.

    Raises
    ------
    UsageError
        It is no path, or there is no such folder.
    """
    folder = path_of(value, name)
    if not folder.is_dir():
        raise UsageError("there is no such folder", where=f"{name} {folder}", hint="make it first, or name another")
    return folder


def saved(path: Any, text: str) -> Path:
    """Write a text into the file that the caller named, and return its path.

    Raises
    ------
    UsageError
        It is no path, or cannot be written.
    """
    file = path_of(path, "path")
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"the file cannot be written ({error.strerror})", where=str(file), hint="name one in a folder that exists"
        ) from None
    return file


def names_of(value: Any, name: str) -> list[str]:
    """Return names; a single one is taken as a list of one.

    Raises
    ------
    UsageError
        They are no names.
    """
    found = [value] if isinstance(value, str) else list(value) if isinstance(value, Iterable) else [value]
    names = [item for item in found if isinstance(item, str)]
    if len(names) < len(found):
        raise UsageError("names are needed", where=name, hint='give a list of texts, such as ["users", "orders"]')
    return names


def listed(names: Collection[str]) -> str:
    """Return names for a hint: ten at most, and how many more there are.

    Examples
    --------
    >>> listed(["a", "b"])
    'a, b'
    """
    shown = ", ".join(list(names)[:_MOST])
    return f"{shown} and {len(names) - _MOST} more" if len(names) > _MOST else shown


def suggestion(name: str, known: Collection[str], *, nothing: str = "there are none") -> str:
    """Return the hint for a name that is not known: those that are close to it, else those that there are.

    Examples
    --------
    >>> suggestion("order", ["orders", "users"])
    "did you mean 'orders'?"
    >>> suggestion("xyz", ["orders", "users"])
    'there are orders, users'
    """
    if not known:
        return nothing
    close = [one for one in known if one.lower() == name.lower()] or get_close_matches(name, known, n=_CLOSE)
    if close:
        first, last = close[:-1], repr(close[-1])
        return f"did you mean {', '.join(map(repr, first))} or {last}?" if first else f"did you mean {last}?"
    return f"there are {listed(sorted(known))}"
