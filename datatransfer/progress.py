"""Listeners that show a running transfer as bars.

The library itself prints nothing: it calls a listener. `default_listener` is the one used where the caller gives none;
it shows bars to a person, in a terminal or a notebook, and is silent in scripts, pipes and tests. What a transfer is,
is not known here.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from datatransfer.display.plain import counted, visible
from datatransfer.errors import UsageError
from datatransfer.events import Event, Listener, Progress, Warned, silent
from datatransfer.given import kind_of

if TYPE_CHECKING:
    from datatransfer.display.charts import Chart

_SPANS = 120
WORDS = {
    "select": "choosing rows",
    "read": "reading rows",
    "files": "carrying files",
    "write": "writing the package",
    "verify": "verifying",
    "stage": "staging rows",
    "plan": "planning",
    "merge": "merging",
    "receipt": "writing the receipt",
    "check": "looking for later changes",
    "undo": "taking rows back",
}
"""What a bar calls each phase."""


def in_notebook() -> bool:
    """Return whether the code runs in a Jupyter kernel, without importing IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return type(shell).__name__ == "ZMQInteractiveShell"


def in_terminal(stream: TextIO | None = None) -> bool:
    """Return whether a person watches the stream (default: standard error)."""
    stream = stream or sys.stderr
    try:
        return stream.isatty()
    except (AttributeError, ValueError):  # None under pythonw, a closed file
        return False


def default_listener() -> Listener:
    """Return bars in a terminal or notebook, and silence everywhere else.

    A transfer that takes less than two seconds shows nothing, and bars leave nothing behind, so that stored notebooks
    hold results and no "0%". ``TQDM_DISABLE=1`` in the environment turns bars off wherever they would be shown.
    """
    return tqdm_listener() if in_notebook() or in_terminal() else silent


@contextmanager
def listening(listener: Listener | None) -> Iterator[Listener]:
    """Yield who listens: the one that is given, else the default one, whose bars are closed afterwards."""
    if listener is not None:
        yield listener
        return
    ours = default_listener()
    try:
        yield ours
    finally:
        if isinstance(ours, TqdmListener):
            ours.close()


def tqdm_listener(*, delay: float = 2.0, stream: TextIO | None = None) -> TqdmListener:
    """Return a listener that shows one tqdm bar a phase.

    Parameters
    ----------
    delay : float
        Seconds that a transfer may take before its first bar appears.
    stream : text file, optional
        Where bars go; a notebook shows widgets instead, unless a stream is given. Default: standard error.

    Examples
    --------
    >>> import io
    >>> with tqdm_listener(delay=0, stream=io.StringIO()) as listener:
    ...     listener(Progress("read", "orders", rows_done=5, rows_total=10))
    """
    return TqdmListener(delay=delay, stream=stream)


def checked_listener(listener: Listener | None) -> Listener | None:
    """Return what was given to listen, if it can be called.

    Raises
    ------
    UsageError
        It cannot.
    """
    if listener is not None and not callable(listener):
        raise UsageError(f"a listener is called with events, {kind_of(listener)} cannot be", where="listener")
    return listener


class TqdmListener:
    """Bars for the phases of a transfer; call it with events, close it (or leave its context) at the end."""

    def __init__(self, *, delay: float = 2.0, stream: TextIO | None = None) -> None:
        self._delay = delay
        self._started = self._heard = float("-inf")
        self._stream = stream
        self._widgets = stream is None and in_notebook()
        self._bars: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._clock: threading.Thread | None = None

    def __call__(self, event: Event) -> None:
        """Show one event."""
        with self._lock:
            if isinstance(event, Warned):
                self._warn(event)
                return
            self._show(event)
            if self._bars and self._clock is None:
                self._clock = threading.Thread(target=self._go_on, name="datatransfer-clock", daemon=True)
                self._clock.start()

    def __enter__(self) -> TqdmListener:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take all bars away."""
        with self._lock:
            for bar in self._bars.values():
                bar.close()
            self._bars.clear()

    def _go_on(self) -> None:
        """Let bars show once a second how long they are at it, also where nothing is told for long."""
        while True:
            time.sleep(1.0)
            with self._lock:
                if not self._bars:
                    self._clock = None
                    return
                for bar in self._bars.values():
                    # A bar of a notebook is shown first by an event, in the thread of the cell that it belongs to.
                    if getattr(bar, "displayed", not self._widgets) and time.time() >= bar.start_t + bar.delay:
                        bar.refresh()

    def _warn(self, event: Warned) -> None:
        if self._widgets:  # a notebook's result object lists the warnings; a line of stderr would stay in the file
            return
        from tqdm import tqdm

        where = f"{event.where}: " if event.where else ""
        tqdm.write(visible(f"warning: {where}{event.message}"), file=self._stream or sys.stderr)

    def _show(self, event: Progress) -> None:
        self._note_time()
        in_rows = bool(event.rows_total or event.rows_done) or not (event.bytes_total or event.bytes_done)
        done, total = (event.rows_done, event.rows_total) if in_rows else (event.bytes_done, event.bytes_total)
        self._end_phases_of_unknown_length(event.phase)
        finished = 0 < total <= done
        bar = self._bars.get(event.phase)
        if bar is None and not finished:
            bar = self._bars[event.phase] = self._new_bar(event.phase, " rows" if in_rows else "B")
        if bar is None:
            return
        if finished:
            self._bars.pop(event.phase).close()
            return
        bar.total = total or None
        bar.set_postfix_str(visible(event.table), refresh=False)
        if done >= bar.n:
            bar.update(done - bar.n)
        else:  # the phase began anew
            bar.n = done
            bar.refresh()

    def _note_time(self) -> None:
        # after a silence the next event is taken for another transfer: in a notebook, the next cell
        now = time.monotonic()
        if now - self._heard > max(self._delay, 1.0) and not self._bars:
            self._started = now
        self._heard = now

    def _end_phases_of_unknown_length(self, current: str) -> None:
        for phase in [p for p, bar in self._bars.items() if p != current and not bar.total]:
            self._bars.pop(phase).close()

    def _new_bar(self, phase: str, unit: str) -> Any:
        return self._bar_class()(
            desc=WORDS.get(phase, phase),
            unit=unit,
            unit_scale=True,
            leave=False,
            delay=max(0.0, self._started + self._delay - self._heard),
            dynamic_ncols=True,
            file=self._stream or sys.stderr,
        )

    def _bar_class(self) -> Any:
        if self._widgets:
            from importlib.util import find_spec

            if find_spec("ipywidgets") is not None:
                from tqdm.notebook import tqdm as widget_bar

                return widget_bar
        from tqdm import tqdm

        return tqdm


class Throughput:
    """A listener that remembers how fast a transfer was, by phase, and draws it.

    Parameters
    ----------
    then : callable, optional
        Another listener that gets every event, too.
    clock : callable
        Seconds that never go back.

    Examples
    --------
    >>> ticks = iter([0.0, 1.0, 3.0])
    >>> seen = Throughput(clock=lambda: next(ticks))
    >>> for rows in (0, 100, 500):
    ...     seen(Progress("read", "orders", rows_done=rows, rows_total=500))
    >>> seen.rates("read")
    [(0.0, 100.0), (1.0, 100.0), (1.0, 200.0), (3.0, 200.0)]
    """

    def __init__(self, then: Listener | None = None, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._then = then
        self._clock = clock
        self._begun: float | None = None
        self._last = 0.0
        self._seen: dict[str, list[tuple[float, int]]] = {}

    def __call__(self, event: Event) -> None:
        """Remember one event."""
        if isinstance(event, Progress):
            now = self._clock()
            self._begun = now if self._begun is None else self._begun
            if event.phase not in self._seen:  # its rows were carried since the event before
                self._seen[event.phase] = [(self._last, 0)] if event.rows_done else []
            self._last = now - self._begun
            self._seen[event.phase].append((self._last, event.rows_done))
        if self._then is not None:
            self._then(event)

    def __repr__(self) -> str:
        return f"Throughput({'; '.join(self._notes()) or 'nothing was told'})"

    def rates(self, phase: str) -> list[tuple[float, float]]:
        """Return (seconds, rows per second) at the beginning and the end of at most 120 spans of a phase."""
        told = self._seen.get(phase, [])
        every = max(1, -(-len(told) // _SPANS))
        kept = [*told[::every], *([told[-1]] if told and (len(told) - 1) % every else [])]
        found: list[tuple[float, float]] = []
        for (a, before), (b, after) in pairwise(kept):
            if b > a and after >= before:
                found += [(a, (after - before) / (b - a)), (b, (after - before) / (b - a))]
        return found

    def _notes(self) -> list[str]:
        notes = []
        for phase, told in self._seen.items():
            seconds, rows = told[-1][0] - told[0][0], told[-1][1] - told[0][1]
            words = WORDS.get(phase, phase)
            speed = f", {rows / seconds:,.0f} rows/s" if seconds > 0 and rows > 0 else ""
            notes.append(f"{words}: {counted(max(0, rows), 'row')} in {seconds:.1f} s{speed}")
        return notes

    def plot(self) -> Chart:
        """Return rows per second over time, a line for each phase, as an object that draws itself."""
        from datatransfer.display.charts import rates

        lines = {phase: self.rates(phase) for phase in self._seen}
        return rates("Rows per second", lines, unit="rows/s", notes=self._notes())
