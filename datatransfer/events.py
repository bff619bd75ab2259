"""What a running transfer tells, and how it is asked to stop.

A listener is any callable that takes an event. The library is silent without one. Events are plain data; who shows them
(tqdm, a notebook, a log) is not known here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, TypeAlias, cast

from datatransfer import interrupts
from datatransfer.errors import Cancelled

Phase = Literal["select", "read", "files", "write", "verify", "stage", "plan", "merge", "receipt", "check", "undo"]
_EVERY = 0.5
"""Seconds after which what still runs is stopped once more: it may have begun after the first time."""


@dataclass(frozen=True)
class Progress:
    """How far a phase has come.

    Parameters
    ----------
    phase : str
        One of `Phase`.
    table : str
        The table at work, empty for the phase as a whole.
    rows_done, rows_total : int
        Rows of the whole phase; a total of 0 means that it is not known.
    bytes_done, bytes_total : int
        Bytes of the whole phase.
    """

    phase: Phase
    table: str = ""
    rows_done: int = 0
    rows_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0


@dataclass(frozen=True)
class Warned:
    """Something the caller should know that did not stop the transfer."""

    code: str
    message: str
    where: str = ""


Event: TypeAlias = Progress | Warned
Listener: TypeAlias = Callable[[Event], None]


def silent(_event: Event) -> None:
    """Listen and do nothing."""


class Cancellation:
    """A flag that one thread sets and the transfer looks at between batches; what runs for long is stopped at once.

    Examples
    --------
    >>> stop = Cancellation()
    >>> stop.cancel()
    >>> stop.requested
    True
    """

    def __init__(self) -> None:
        self._flag = threading.Event()
        self._lock = threading.Lock()
        self._stops: list[Callable[[], None]] = []

    @property
    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._flag.is_set()

    def cancel(self) -> None:
        """Ask the transfer to stop, at the next batch or in the midst of a statement; returns at once."""
        if self._flag.is_set():
            return
        self._flag.set()  # first: what registers from here on sees it
        if self._stops:
            threading.Thread(target=self._stop, name="datatransfer-cancel", daemon=True).start()

    def _stop(self) -> None:
        while True:
            with self._lock:
                if not self._stops:
                    return
                for stop in self._stops:
                    stop()
            time.sleep(_EVERY)

    @contextmanager
    def stops(self, stop: Callable[[], None]) -> Iterator[None]:
        """Have `cancel` call something, from another thread and perhaps several times, until the end.

        Parameters
        ----------
        stop : callable
            Makes what runs inside fail. A failure of its own only costs time, and must not leave it.

        Raises
        ------
        Cancelled
            Somebody asked to stop before.
        """
        with self._lock:
            self._stops.append(stop)
        try:
            self.check()
            yield
        finally:
            with self._lock:
                self._stops.remove(stop)

    @contextmanager
    def ending(self, stop: Callable[[], None], lost: Callable[[], bool]) -> Iterator[None]:
        """Call `stop` when somebody asks to stop, and raise `Cancelled` for the error of what it ended.

        Parameters
        ----------
        stop : callable
            As for `stops`.
        lost : callable
            Whether the connection is gone, so that the error has another cause.

        Raises
        ------
        Cancelled
        """
        with self.stops(stop):
            try:
                yield
            except Cancelled:
                raise
            except Exception:
                if self.requested and not lost():
                    raise self.error() from None
                raise

    def reading(self, file: BinaryIO) -> BinaryIO:
        """Return a file that raises `Cancelled`, instead of going on to read, when somebody asked to stop."""
        return cast(BinaryIO, _Stoppable(file, self))

    def check(self) -> None:
        """Raise `Cancelled` if somebody asked to stop, KeyboardInterrupt if it was a signal that is held back."""
        interrupts.checkpoint()
        if self._flag.is_set():
            raise self.error()

    @staticmethod
    def error() -> Cancelled:
        """Return what `check` raises."""
        return Cancelled("the transfer was cancelled", hint="run the same call again to start over")


class _Stoppable:
    """A file that asks before each read."""

    def __init__(self, file: BinaryIO, cancellation: Cancellation) -> None:
        self._file = file
        self._cancellation = cancellation

    def read(self, size: int = -1) -> bytes:
        self._cancellation.check()
        return self._file.read(size)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)
