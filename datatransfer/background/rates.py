"""How far a job is and how fast it goes, from the events of its transfer; plain data, no clock of its own."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

from datatransfer.display.plain import counted
from datatransfer.events import Event, Progress, Warned

_WINDOW_SECONDS = 10.0


@dataclass(frozen=True)
class JobProgress:
    """How far a job is, at one moment.

    Attributes
    ----------
    phase, table : str
        What is at work, see `datatransfer.events.Progress`; empty before the first event.
    rows_done, rows_total, bytes_done, bytes_total : int
        Of the phase; a total of 0 is not known.
    seconds : float
        Since the job began.
    rows_per_second, bytes_per_second : float
        Over the last ten seconds of the phase; 0 until two events of it have come.
    seconds_left : float, optional
        Until the end of this phase at that speed; None where it is not known. Other phases may follow.
    warnings : tuple of str
    """

    phase: str = ""
    table: str = ""
    rows_done: int = 0
    rows_total: int = 0
    bytes_done: int = 0
    bytes_total: int = 0
    seconds: float = 0.0
    rows_per_second: float = 0.0
    bytes_per_second: float = 0.0
    seconds_left: float | None = None
    warnings: tuple[str, ...] = ()

    @property
    def rows_told(self) -> str:
        """How many rows are done, of how many, in words."""
        if not self.rows_total:
            return counted(self.rows_done, "row")
        return f"{self.rows_done:,} of {counted(self.rows_total, 'row')}"

    @property
    def fraction(self) -> float | None:
        """How much of the phase is done, from 0 to 1; None where that is not known."""
        for done, total in ((self.rows_done, self.rows_total), (self.bytes_done, self.bytes_total)):
            if total > 0:
                return min(1.0, done / total)
        return None


@dataclass(frozen=True)
class _Sample:
    seconds: float
    phase: str
    rows: int
    bytes: int


class Speedometer:
    """Turns events into `JobProgress`.

    Examples
    --------
    >>> meter = Speedometer()
    >>> _ = meter.note(Progress("read", "orders", rows_done=100, rows_total=1000), 1.0)
    >>> seen = meter.note(Progress("read", "orders", rows_done=300, rows_total=1000), 2.0)
    >>> seen.rows_per_second, seen.seconds_left
    (200.0, 3.5)
    """

    def __init__(self) -> None:
        self.progress = JobProgress()
        self._recent: deque[_Sample] = deque()

    def note(self, event: Event, seconds: float) -> JobProgress:
        """Take an event that came so many seconds after the beginning."""
        if isinstance(event, Warned):
            text = f"{event.where}: {event.message}" if event.where else event.message
            self.progress = replace(self.progress, warnings=(*self.progress.warnings, text))
            return self.progress
        sample = _Sample(seconds, event.phase, event.rows_done, event.bytes_done)
        self._remember(sample)
        rows, of_bytes = self._speed(sample)
        self.progress = JobProgress(
            event.phase, event.table, event.rows_done, event.rows_total, event.bytes_done, event.bytes_total,
            seconds, rows, of_bytes, _left(event, rows, of_bytes), self.progress.warnings,
        )  # fmt: skip
        return self.progress

    def _remember(self, sample: _Sample) -> None:
        recent = self._recent
        if recent and (recent[-1].phase != sample.phase or sample.rows < recent[-1].rows):
            recent.clear()  # another phase, or the same anew
        recent.append(sample)
        while len(recent) > 2 and sample.seconds - recent[0].seconds > _WINDOW_SECONDS:
            recent.popleft()

    def _speed(self, sample: _Sample) -> tuple[float, float]:
        first = self._recent[0]
        passed = sample.seconds - first.seconds
        if passed <= 0:
            return 0.0, 0.0
        return (sample.rows - first.rows) / passed, (sample.bytes - first.bytes) / passed


def _left(event: Progress, rows: float, of_bytes: float) -> float | None:
    pairs = ((event.rows_total, event.rows_done, rows), (event.bytes_total, event.bytes_done, of_bytes))
    for total, done, speed in pairs:
        if total > 0:
            return max(0.0, total - done) / speed if speed > 0 else None
    return None
