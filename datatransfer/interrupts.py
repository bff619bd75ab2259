"""Ctrl-C and SIGTERM during a transfer: noted at once, obeyed where nothing is half done.

An exception that a signal raises between any two instructions cannot be cleaned up after: it may hit the cleaning, a
callback of SQLite, whose error it becomes, or a statement, whose connection SQLAlchemy then gives up. So inside `held`
a signal raises nothing. It is noted; the statement that runs at that moment is cancelled (`cancelling`) by a thread,
which hears of signals even while this one is inside a driver; and the next `checkpoint` raises KeyboardInterrupt from
where everything can be undone. Cleaning and COMMIT are `shielded`. When `held` ends, KeyboardInterrupt goes on to the
caller, and says what is so: nothing was left behind, or what was done (`tell`). Who has no patience sends the signal
once more: that one raises at once, wherever it is.

Only the interpreter's own handler of SIGINT gives way, and `terminate` below: an application's own keeps its say. In
other threads than the main one, which no signal reaches, all of this does nothing.

Signals belong to the process, so what is known of them does, too. Nothing is known here of what a transfer is.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

NOTHING_LEFT = "interrupted; nothing was left behind"
AGAIN = "interrupted twice, while cleaning; dt.stages lists what may be left of an import"
_EVERY = 0.5
"""Seconds after which a statement that still runs is cancelled once more: it may have begun after the first time."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C came during a transfer; the text says what is so."""

    def _render_traceback_(self) -> list[str]:
        """Tell IPython how to show it when it ends a cell: briefly, with the usual traceback on request."""
        from datatransfer.display.problems import rendered_interrupt

        return rendered_interrupt(self)


Interrupted.__name__ = "KeyboardInterrupt"  # by which clients of a kernel know it


class Terminated(Interrupted):
    """SIGTERM came, and the process is to end as with Ctrl-C."""


def terminate(_signal: int, _frame: FrameType | None) -> None:
    """Handle SIGTERM as SIGINT is handled; for `signal.signal`.

    Raises
    ------
    Terminated
    """
    raise Terminated


def _gives_way(number: int) -> bool:
    return signal.getsignal(number) in (signal.default_int_handler, terminate)


class _Hold:
    """What is known of signals while they are held back."""

    def __init__(self, text: str) -> None:
        self.came = 0
        self.raised = False
        self.text = text
        self.shields = 0
        self.cancels: list[Callable[[], None]] = []
        self.lock = threading.Lock()
        self._handled = 0
        self._handlers: dict[int, Any] = {}
        self._before = -1

    def begin(self, numbers: Sequence[int]) -> None:
        for number in numbers:  # first: from here on a signal raises nothing
            self._handlers[number] = signal.signal(number, self._handle)
        self._ear, self._mouth = socket.socketpair()
        self._mouth.setblocking(False)
        self._thread = threading.Thread(target=self._watch, name="datatransfer-signals", daemon=True)
        self._thread.start()
        self._before = signal.set_wakeup_fd(self._mouth.fileno(), warn_on_full_buffer=False)

    def end(self) -> None:
        signal.set_wakeup_fd(self._before)
        self._mouth.close()
        self._thread.join()
        self._ear.close()
        for number, handler in self._handlers.items():  # last: from here on a signal raises anywhere
            signal.signal(number, handler)

    def error(self) -> Interrupted:
        return (Terminated if self.came == signal.SIGTERM else Interrupted)(self.text)

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._handled += 1
        if self._handled > 1:
            self.came, self.text = number, AGAIN
            self.raised = True
            raise self.error()
        self.came = number

    def _watch(self) -> None:
        """Hear of signals while the main thread is inside a driver, and cancel what it does there."""
        while True:
            try:
                numbers = self._ear.recv(64)
            except TimeoutError:
                numbers = b"\0"
            if not numbers:
                return
            if self._before >= 0 and (others := numbers.strip(b"\0")):
                self._pass_on(others)
            if not self.came:
                self.came = next((n for n in numbers if n in self._handlers), 0)
            with self.lock:
                if self.came and not (self.raised or self.shields):
                    for cancel in self.cancels:
                        cancel()
            self._ear.settimeout(_EVERY if self.came else None)

    def _pass_on(self, numbers: bytes) -> None:
        """Give what came to whom the interpreter told before, an event loop."""
        with socket.socket(fileno=self._before) as other:
            try:
                other.send(numbers)
            finally:
                other.detach()


_hold: _Hold | None = None


def _mine() -> _Hold | None:
    return _hold if threading.current_thread() is threading.main_thread() else None


@contextmanager
def held(text: str = NOTHING_LEFT) -> Iterator[None]:
    """Hold signals back until a `checkpoint` or the end; inside another one, until the end of that.

    Parameters
    ----------
    text : str
        What KeyboardInterrupt says, unless `tell` changes it.

    Raises
    ------
    KeyboardInterrupt
        A signal came meanwhile; its text says what was done, or that nothing was left behind.
    """
    global _hold
    numbers = [number for number in (signal.SIGTERM, signal.SIGINT) if _gives_way(number)]
    if _hold is not None or not numbers or threading.current_thread() is not threading.main_thread():
        yield
        return
    hold = _Hold(text)
    hold.begin(numbers)
    _hold = hold
    try:
        yield
    except BaseException as error:
        _end(hold)
        if not hold.came:
            raise
        if isinstance(error, KeyboardInterrupt):
            error.args = (hold.text,)
            raise
        raise hold.error() from error
    _end(hold)
    if hold.came:
        raise hold.error()


def _end(hold: _Hold) -> None:
    global _hold
    _hold = None
    hold.end()


def came() -> bool:
    """Whether a signal came, obeyed or not."""
    hold = _mine()
    return hold is not None and bool(hold.came)


def checkpoint() -> None:
    """Obey a signal that came, here, where all can be cleaned up; it is raised once, and not inside `shielded`.

    Raises
    ------
    KeyboardInterrupt
    """
    hold = _mine()
    if hold is not None and hold.came and not (hold.raised or hold.shields):
        hold.raised = True
        raise hold.error()


def tell(text: str) -> None:
    """Have KeyboardInterrupt say this, if a signal comes or came, in place of what it said."""
    hold = _mine()
    if hold is not None and hold.text != AGAIN:
        hold.text = f"interrupted; {text}"


@contextmanager
def shielded() -> Iterator[None]:
    """Let nothing be interrupted that must be done wholly: cleaning, a COMMIT and what follows it."""
    hold = _mine()
    if hold is None:
        yield
        return
    with hold.lock:
        hold.shields += 1
    try:
        yield
    finally:
        with hold.lock:
            hold.shields -= 1


@contextmanager
def cancelling(cancel: Callable[[], None]) -> Iterator[None]:
    """Call something, from another thread and perhaps several times, if a signal comes before the end.

    Parameters
    ----------
    cancel : callable
        Makes what runs inside fail. A failure of its own only costs time, and must not leave it.
    """
    hold = _mine()
    if hold is None:
        yield
        return
    checkpoint()
    with hold.lock:
        hold.cancels.append(cancel)
    try:
        yield
    finally:
        with hold.lock:
            hold.cancels.remove(cancel)
