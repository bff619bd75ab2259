"""How an object is shown without ever raising: what fails is replaced by a line of text that says so.

A repr is called by notebooks, debuggers and logs, where an error of its own would hide what it was called for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from typing import Any, ClassVar, TypeVar

from datatransfer.display.blocks import block, escape
from datatransfer.display.plain import visible

_Method = TypeVar("_Method", bound=Callable[..., Any])


def as_text(method: _Method) -> _Method:
    """Guard a ``__repr__``: an error inside it becomes a line that names the class and the kind of error."""
    return _guarded(method, lambda line: line)


def as_html(method: _Method) -> _Method:
    """Guard a ``_repr_html_``: an error inside it becomes that line in a block."""
    return _guarded(method, lambda line: block("", f"<div>{escape(line)}</div>"))


def as_bundle(method: _Method) -> _Method:
    """Guard a ``_repr_mimebundle_``: an error inside it becomes a bundle of that line."""
    return _guarded(method, lambda line: {"text/plain": line})


def _guarded(method: _Method, otherwise: Callable[[str], Any]) -> _Method:
    @wraps(method)
    def guarded(self: Any, *given: Any, **named: Any) -> Any:
        try:
            return method(self, *given, **named)
        except Exception as error:
            return otherwise(visible(f"<{type(self).__name__}, not shown: {type(error).__name__}>"))

    return guarded  # type: ignore[return-value]


class Listed:
    """What ``dir()``, and with it the Tab key, offers of an object: its public names."""

    _unlisted: ClassVar[frozenset[str]] = frozenset()

    def __dir__(self) -> Iterable[str]:
        names = super().__dir__()
        return [name for name in names if name not in self._unlisted and (name[:1] != "_" or name[:2] == "__")]
