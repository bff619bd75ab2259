"""What a running transfer tells, and how it is asked to stop.

A listener is any callable that takes an event. The library is silent without one. Events are plain data; who shows them
(tqdm, a notebook, a log) is not known here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from datatransfer import interrupts
from datatransfer.errors import Cancelled

Phase = Literal["select", "read", "files", "write", "verify", "stage", "plan", "merge", "receipt"]


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
    """A flag that one thread sets and the transfer looks at between batches.

    Examples
    --------
    >>> stop = Cancellation()
    >>> stop.cancel()
    >>> stop.requested
    True
    """

    def __init__(self) -> None:
        self._flag = threading.Event()

    @property
    def requested(self) -> bool:
        """Whether somebody asked to stop."""
        return self._flag.is_set()

    def cancel(self) -> None:
        """Ask the transfer to stop at the next batch."""
        self._flag.set()

    def check(self) -> None:
        """Raise `Cancelled` if somebody asked to stop, KeyboardInterrupt if it was a signal that is held back."""
        interrupts.checkpoint()
        if self._flag.is_set():
            raise Cancelled("the transfer was cancelled", hint="run the same call again to start over")
