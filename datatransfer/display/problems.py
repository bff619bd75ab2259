"""How an error of this library looks in a notebook: what, where, why, what to do; the traceback on request."""

from __future__ import annotations

import sys
import sysconfig
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from datatransfer.display import blocks
from datatransfer.display.plain import visible

_OWN = __name__.partition(".")[0]
_RED, _PLAIN = "\x1b[31m", "\x1b[0m"


class Problem(Protocol):
    """What is known of an error."""

    message: str
    where: str
    hint: str
    evidence: dict[str, Any]

    @property
    def code(self) -> str:
        """The stable name of the kind of error."""

    @property
    def __cause__(self) -> BaseException | None:
        """What led to it."""

    @property
    def __traceback__(self) -> TracebackType | None:
        """Where it was raised."""


def error_html(error: Problem) -> str:
    """Return the box of an error."""
    try:
        told = [(str(name), _plain(value)) for name, value in error.evidence.items()]
        facts = [(name, blocks.lines(value) if "\n" in value else value) for name, value in _facts(error)]
        return blocks.problem(f"{type(error).__name__} ({error.code})", facts, told)
    except Exception as other:  # a box that fails must not hide what it is about
        return blocks.block("", blocks.escape(f"{type(error).__name__}, not shown: {type(other).__name__}"))


def _facts(error: Problem) -> list[tuple[str, str]]:
    cause = error.__cause__
    return [
        ("what", error.message),
        ("where", error.where),
        ("why", f"{type(cause).__module__.partition('.')[0]} raised {type(cause).__name__}" if cause else ""),
        ("what to do", error.hint),
    ]


def _plain(value: object) -> str:
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return blocks.names([str(item) for item in value[:20]], 5) if len(value) <= 20 else f"{len(value):,} of them"
    return str(value)


def rendered(error: Any) -> list[str]:
    """Return the lines that IPython prints for an error that ends a cell.

    Where the error was raised inside this library tells nobody anything, so the lines name the caller's own and say
    what, where, why and what to do. ``%xmode Verbose`` (or Plain, Minimal) before, or ``%tb Verbose`` after it, gives
    the usual traceback.
    """
    usual = _usual(error)
    if usual is not None:
        return usual
    lines = [f"{_RED}{type(error).__name__}{_PLAIN} ({error.code})"]
    lines += [f"  {name + ':':<12}{_indented(value)}" for name, value in _facts(error) if value]
    return lines + _more(error)


def rendered_interrupt(error: KeyboardInterrupt) -> list[str]:
    """Return the lines that IPython prints for a transfer that was interrupted, see `rendered`."""
    usual = _usual(error)
    if usual is not None:
        return usual
    return [f"{_RED}KeyboardInterrupt{_PLAIN}", f"  {'what:':<12}{_indented(str(error))}", *_more(error)]


def _more(error: BaseException) -> list[str]:
    """Return where a call was made that failed, and how to see more."""
    called = [f"  {'called in:':<12}{visible(line)}" for line in _callers(error.__traceback__)]
    return [*called, f"  {'traceback:':<12}%tb Verbose"]


def _indented(text: str) -> str:
    return f"\n{' ' * 14}".join(visible(line) for line in text.splitlines())


def _callers(trace: TracebackType | None) -> list[str]:
    """Name the lines of the caller's own code that led here: the last two frames outside of this library.

    Frames of Python itself and of installed packages count only where there are none of the caller's own.
    """
    found, own = [], []
    for frame, line in traceback.walk_tb(trace):
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in (_OWN, "IPython"):
            place = "this cell" if module == "__main__" else frame.f_code.co_filename
            inside = "" if frame.f_code.co_name == "<module>" else f", {frame.f_code.co_name}()"
            found.append(f"{place}, line {line}{inside}")
            if module == "__main__" or not _is_installed(frame.f_code.co_filename):
                own.append(found[-1])
    return (own or found)[-2:]


def _is_installed(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    folders = (sysconfig.get_paths()[name] for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    return file.startswith("<frozen ") or any(Path(file).is_relative_to(folder) for folder in folders)


def _usual(error: Any) -> list[str] | None:
    """Return IPython's own traceback if the user asked for a certain kind of it, None in the kind that is preset."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    maker = getattr(shell, "InteractiveTB", None)
    if maker is None:
        return traceback.format_exception(error)
    if maker.mode == "Context":
        return None
    lines: list[str] = maker.structured_traceback(type(error), error, error.__traceback__, tb_offset=maker.tb_offset)
    return lines
