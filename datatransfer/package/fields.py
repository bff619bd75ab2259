"""Taking typed fields out of JSON objects that somebody else may have made.

`Fields` is a cursor over one object: it knows where it is, so that every refusal names package, member, path and rule,
and in the end it refuses keys that nobody asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, TypeVar

from datatransfer.errors import PackageError

SHA256 = re.compile(r"[0-9a-f]{64}")
MAX_NAME = 1024
"""Most characters of the name of a table, column or constraint."""

T = TypeVar("T")


def can_be_name(text: str) -> bool:
    """Whether a text can be the name of a table or column in a package."""
    return 0 < len(text) <= MAX_NAME and "\0" not in text


class Fields:
    """One JSON object at work.

    Parameters
    ----------
    data : JSON data
        Must be an object.
    where : str
        Package and member.
    path : str
        Where in the member the object is, e.g. ``"resources[0].schema"``.
    """

    def __init__(self, data: Any, where: str, path: str = "") -> None:
        self.where = where
        self.path = path
        if not isinstance(data, dict):
            self.refuse("must be an object")
        self._data = data
        self._seen: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._data

    def refuse(self, rule: str, name: str = "") -> NoReturn:
        """Raise the error for a broken rule."""
        place = ".".join(part for part in (self.path, name) if part) or "the document"
        raise PackageError(f"{place} {rule}", where=self.where)

    def take(self, name: str, kind: type[T], *, default: T | None = None) -> T:
        """Return a field of exactly one type; with a default the field may be absent."""
        self._seen.add(name)
        if name not in self._data:
            if default is None:
                self.refuse("is missing", name)
            return default
        value = self._data[name]
        if type(value) is not kind:
            self.refuse(f"must be of type {_JSON_NAMES.get(kind, kind.__name__)}", name)
        return value

    def optional(self, name: str, kind: type[T]) -> T | None:
        """Return a field that may be absent or null."""
        self._seen.add(name)
        return None if self._data.get(name) is None else self.take(name, kind)

    def text(self, name: str, pattern: re.Pattern[str] | None = None) -> str:
        """Return a text that matches a pattern as a whole."""
        value = self.take(name, str)
        if pattern is not None and not pattern.fullmatch(value):
            self.refuse("does not have the form it must have", name)
        return value

    def count(self, name: str) -> int:
        """Return an integer that is not negative."""
        value = self.take(name, int)
        if value < 0:
            self.refuse("must not be negative", name)
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """Return an array of names."""
        return self._names(self.take(name, list), name)

    def name_lists(self, name: str) -> tuple[tuple[str, ...], ...]:
        """Return an array of arrays of names."""
        return tuple(self._names(item, name) for item in self.take(name, list))

    def _names(self, items: Any, name: str) -> tuple[str, ...]:
        if not isinstance(items, list):
            self.refuse("must be an array of names", name)
        return tuple(self.checked_name(item, name) for item in items)

    def checked_name(self, value: Any, name: str) -> str:
        """Return a value if it can be the name of a table or column."""
        if not isinstance(value, str) or not can_be_name(value):
            self.refuse(f"must be a name of 1 to {MAX_NAME} characters without NUL", name)
        return value

    def objects(self, name: str) -> Iterator[Fields]:
        """Yield the objects of an array."""
        for index, item in enumerate(self.take(name, list)):
            yield Fields(item, self.where, ".".join(part for part in (self.path, f"{name}[{index}]") if part))

    def object(self, name: str) -> Fields:
        """Return an object."""
        return Fields(self.take(name, dict), self.where, ".".join(part for part in (self.path, name) if part))

    def items(self) -> Iterator[tuple[str, Any]]:
        """Yield every field, for objects whose keys are data."""
        self._seen.update(self._data)
        yield from self._data.items()

    def parsed(self, name: str, parse: Callable[[str], T]) -> T:
        """Return a text turned into something else, which must be written the one way it has."""
        text = self.take(name, str)
        try:
            value = parse(text)
        except ValueError:
            self.refuse("does not have the form it must have", name)
        return value

    def end(self) -> None:
        """Refuse what nobody asked for."""
        if unknown := sorted(set(self._data) - self._seen):
            self.refuse(f"has a key that this version does not know: {unknown[0]!r:.80}")


_JSON_NAMES: dict[type, str] = {
    str: "text", int: "integer", bool: "true or false", list: "array", dict: "object", float: "number",
}  # fmt: skip
