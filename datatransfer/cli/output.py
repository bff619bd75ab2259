"""What a command shows: a document or text on standard output, bars, warnings and errors on standard error.

Knows the errors and events of a transfer, and how to keep passwords and control characters out of a terminal.
"""

from __future__ import annotations

import json
import os
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from datatransfer.cli.wording import as_typed
from datatransfer.display.plain import visible
from datatransfer.errors import Cancelled, ConditionError, DataTransferError, UsageError
from datatransfer.events import Event, Warned
from datatransfer.interrupts import NOTHING_LEFT
from datatransfer.progress import TqdmListener, in_terminal

if TYPE_CHECKING:
    import pandas as pd

_USER_AND_PASSWORD = re.compile(r"(?P<head>\b[\w+.-]+://[^\s:/@]*:)\S+@")
_MASKED = r"[\w.-]*(?:passw|pwd|secret|token|api_?key)[\w.-]*"
_SECRET_PARAMETER = re.compile(rf"(?P<head>[?&;]{_MASKED}=)[^&;\s'\"]+", re.IGNORECASE)


def without_passwords(text: str, secrets: Iterable[str] = ()) -> str:
    """Return the text with the passwords of addresses, and the given secrets, masked.

    Examples
    --------
    >>> without_passwords("postgresql://ann:pa@ss@host/db?sslpassword=hush&x=1")
    'postgresql://ann:***@host/db?sslpassword=***&x=1'
    """
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, "***")
    text = _USER_AND_PASSWORD.sub(r"\g<head>***@", text)
    return _SECRET_PARAMETER.sub(r"\g<head>***", text)


def resolved(address: str) -> str:
    """Return an address, read from the environment if it is written ``env:NAME``."""
    return os.environ.get(address[4:], "") if address.startswith("env:") else address


def secrets_of(values: Iterable[object]) -> set[str]:
    """Return the passwords in those values that are addresses, as written and decoded."""
    from urllib.parse import unquote

    found: set[str] = set()
    for value in values:
        text = resolved(value) if isinstance(value, str) else ""
        for match in re.finditer(r"://[^\s:/@]*:(\S+)@", text):
            found |= {match[1], unquote(match[1])}
        for match in re.finditer(rf"[?&;]{_MASKED}=([^&;\s]+)", text, re.IGNORECASE):
            found |= {match[1], unquote(match[1])}
    return found


class OutputLostError(Exception):
    """Standard output cannot be written, for another reason than that its reader left."""


class Output:
    """Where a command speaks; use it as a context, so that no bar is left behind.

    Parameters
    ----------
    as_json : bool
        One JSON document instead of text, and no bars.
    quiet : bool
        Neither bars nor warnings.
    arguments : mapping
        The command's arguments; passwords in them are masked in errors.
    """

    def __init__(
        self, *, as_json: bool = False, quiet: bool = False, arguments: Mapping[str, Any] | None = None
    ) -> None:
        self.as_json = as_json
        self.warnings: list[Warned] = []
        self._quiet = quiet
        self._done = False
        self._secrets = secrets_of((arguments or {}).values())
        self._bars = TqdmListener(delay=0.3) if in_terminal() and not (quiet or as_json) else None

    def __enter__(self) -> Output:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        if self._bars is not None:
            self._bars.close()

    def listener(self, event: Event) -> None:
        """Listen to a transfer: keep its warnings, show its progress."""
        if isinstance(event, Warned):
            self.warn(event)
        elif self._bars is not None:
            self._bars(event)

    def warn(self, warning: Warned) -> None:
        """Keep a warning, and show it unless the command is quiet."""
        if warning in self.warnings:
            return
        self.warnings.append(warning)
        if not self._quiet and not self.as_json:
            where = f"{warning.where}: " if warning.where else ""
            self._to_stderr(f"warning: {visible(where + as_typed(warning.message))}")

    def result(self, document: Mapping[str, Any], text: str) -> None:
        """Show a command's result: the document with ``--json``, else the text."""
        if self.as_json:
            said = [{**vars(warning), "message": as_typed(warning.message)} for warning in self.warnings]
            extra = {"warnings": said} if said else {}
            text = json.dumps({**document, **extra}, indent=2, default=str)
        self._done = True
        with _to_stdout():
            _write(sys.stdout, text)

    def say(self, text: str) -> None:
        """Show a line of a story as it happens; with ``--json`` the result holds it."""
        if not self.as_json:
            with _to_stdout():
                _write(sys.stdout, text)
                sys.stdout.flush()

    def error(self, error: DataTransferError) -> None:
        """Show an error: what happened, where, and what to do."""
        # what a database said of a condition is not ours to put in other words
        ours = isinstance(error, UsageError) and not isinstance(error, ConditionError)
        # findings stand a line each, escaped where they were made; no other text may make lines
        told = error.message.splitlines() if "findings" in error.evidence else [error.message]
        told = [as_typed(line) if ours or (len(told) > 1 and line.startswith("and ")) else line for line in told]
        message = "\n".join(told)
        if self.as_json:
            document = {**error.to_dict(), "message": message, "hint": as_typed(error.hint)}
            self._to_stderr(json.dumps(document, indent=2, default=str))
            return
        lines = [f"error: {visible(told[0])}", *map(visible, told[1:])]
        lines += [f"where: {visible(error.where)}"] if error.where else []
        lines += [f"hint:  {visible(as_typed(error.hint))}"] if error.hint else []
        self._to_stderr("\n".join(lines))

    def interrupted(self, text: str) -> None:
        """Say that the person stopped the command, and what was done by then."""
        text = text or ("interrupted; the command was done" if self._done else NOTHING_LEFT)
        document = {**Cancelled(text).to_dict(), "retryable": text == NOTHING_LEFT}
        self._to_stderr(json.dumps(document, indent=2) if self.as_json else visible(as_typed(text)))

    def bug(self, error: Exception) -> None:
        """Show an error that nobody foresaw, with all that helps to find it."""
        details = "".join(traceback.format_exception(error))
        self._to_stderr(f"{details}this is a bug in datatransfer; please report the lines above")

    def flush(self) -> None:
        """Hand over what was written, so that a reader that left is known before the interpreter ends."""
        with _to_stdout():
            sys.stdout.flush()

    def lost(self, error: OutputLostError) -> None:
        """Say that the result could not be written, and whether the command was done."""
        self.abandon()
        message = f"standard output cannot be written: {error}{'; the command was done' if self._done else ''}"
        document = {"error": "output", "message": message, "retryable": False}
        self._to_stderr(json.dumps(document, indent=2) if self.as_json else f"error: {visible(message)}")

    def abandon(self) -> None:
        """Write nothing more, also not when the interpreter ends."""
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _to_stderr(self, text: str) -> None:
        _write(sys.stderr, without_passwords(text, self._secrets))


@contextmanager
def _to_stdout() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputLostError(error.strerror or str(error)) from error


def _write(stream: TextIO, text: str) -> None:
    # a terminal of another encoding (LANG=C) shows escapes instead of failing
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def plain(value: Any) -> Any:
    """Return a value of a DataFrame as JSON data: what is missing as None, what JSON lacks as text."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in value]
    if hasattr(value, "item") and callable(value.item):  # a number of numpy
        value = value.item()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, bytes):
        return value.hex()
    text = str(value)
    return None if text in ("NaT", "<NA>") else text


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return a DataFrame as a list of JSON objects, one a row; a named index becomes columns."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    names = [str(name) for name in frame.columns]
    rows = frame.itertuples(index=False, name=None)
    return [dict(zip(names, map(plain, row), strict=True)) for row in rows]
