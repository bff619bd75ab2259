"""Job: a transfer that runs in a worker thread while its caller goes on.

The worker never prints or displays. Whoever wants to show a job is told of changes at most ten times a second, in the
worker's thread, and reads `Job.progress`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from datatransfer.background import journal as journals
from datatransfer.background.journal import CANCELLED, DONE, FAILED, RUNNING, Journal, described, new_record
from datatransfer.background.rates import JobProgress, Speedometer
from datatransfer.display import blocks, shown
from datatransfer.display.blocks import Tone
from datatransfer.display.grouping import grouped
from datatransfer.errors import Cancelled, UsageError
from datatransfer.events import Cancellation, Event, Listener, Warned
from datatransfer.progress import Throughput

if TYPE_CHECKING:
    from datatransfer.display.charts import Chart

T = TypeVar("T")
Work = Callable[[Listener, Cancellation], T]
_TELL_SECONDS, _NOTE_SECONDS = 0.1, 1.0


class Job(shown.Listed, Generic[T]):
    """A transfer under way; made by `PackageBuilder.start`, `PackageImporter.start` and their like.

    Attributes
    ----------
    id : str
        As `datatransfer.jobs` lists it.
    kind : str
        ``export``, ``import``, …
    what : str
        For people: from where to where.

    Examples
    --------
    >>> job = builder.start("part.zip")      # doctest: +SKIP
    >>> job.progress.rows_done               # doctest: +SKIP
    12000
    >>> package = job.result()               # doctest: +SKIP
    >>> package = await job                  # doctest: +SKIP
    """

    def __init__(
        self, record: journals.Record, work: Work[T], listener: Listener | None, *, recorded: bool = True
    ) -> None:
        self.id, self.kind, self.what = record.id, record.kind, record.what
        self._cancellation = Cancellation()
        self._future: Future[T] = Future()
        self._watchers: list[Callable[[Job[T]], None]] = []
        self._meter = Speedometer()
        self._throughput = Throughput(listener)
        self._begun = time.monotonic()
        self._ended = 0.0
        self._told = self._noted = float("-inf")
        self._journal = Journal.begin(record) if recorded else None
        self._future.set_running_or_notify_cancel()
        self._thread = threading.Thread(target=self._run, args=(work,), name=f"datatransfer-{self.id}", daemon=True)

    # --- looking ------------------------------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """``running``, ``done``, ``failed`` or ``cancelled``."""
        if not self._future.done():
            return RUNNING
        error = self._future.exception()
        if error is None:
            return DONE
        return CANCELLED if isinstance(error, Cancelled) else FAILED

    @property
    def seconds(self) -> float:
        """Since it began, until it ended."""
        return (self._ended or time.monotonic()) - self._begun

    @property
    def progress(self) -> JobProgress:
        """How far it is."""
        return self._meter.progress

    def watch(self, watcher: Callable[[Job[T]], None]) -> None:
        """Call a function at most ten times a second while the job runs, and once when it has ended.

        It is called in the worker's thread and must return quickly. One that raises is not called again, and the
        job has a warning more.
        """
        self._watchers.append(watcher)
        if self._future.done():
            self._tell()

    # --- steering -----------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """Ask it to stop; `result` then raises `Cancelled`, and nothing is left behind; a COMMIT is not stopped."""
        self._cancellation.cancel()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it has ended, at most so many seconds; return whether it has."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def result(self, timeout: float | None = None) -> T:
        """Wait for what the blocking call would have returned.

        Parameters
        ----------
        timeout : float, optional
            Seconds.

        Raises
        ------
        DataTransferError
            What the blocking call would have raised.
        UsageError
            It has not ended by then; it goes on.
        """
        try:
            return self._future.result(timeout)
        except FutureTimeout:
            if self._future.done():
                raise  # its own
            hint = "wait longer, or cancel the job"
            raise UsageError("the job has not ended yet", where=self.what, hint=hint) from None

    def exception(self) -> BaseException | None:
        """Return why it failed, None if it runs or has succeeded; never waits."""
        return self._future.exception() if self._future.done() else None

    def __await__(self) -> Generator[Any, None, T]:
        return asyncio.wrap_future(self._future).__await__()

    # --- the worker ---------------------------------------------------------------------------------------------

    def _start(self) -> Job[T]:
        self._thread.start()
        return self

    def _run(self, work: Work[T]) -> None:
        outcome: Callable[[], None]
        try:
            value = work(self._hear, self._cancellation)
            state, message = DONE, ""
            outcome = lambda: self._future.set_result(value)  # noqa: E731
        except BaseException as error:  # kept, shown by whoever looks, and raised again by result()
            kept, state, message = error, CANCELLED if isinstance(error, Cancelled) else FAILED, described(error)
            outcome = lambda: self._future.set_exception(kept)  # noqa: E731
        self._ended = time.monotonic()
        try:
            if self._journal is not None:
                last = self._meter.progress  # told once a second until now
                if last.phase:
                    self._journal.note(self.seconds, last.phase, last.rows_done)
                self._journal.end(state, self.seconds, message)
        except OSError as error:
            self._warn("journal", f"the journal could not be ended ({type(error).__name__})")
        outcome()
        self._tell()

    def _hear(self, event: Event) -> None:
        now = time.monotonic()
        before = self._meter.progress.phase
        progress = self._meter.note(event, now - self._begun)
        self._throughput(event)
        if now - self._noted >= _NOTE_SECONDS or progress.phase != before:
            self._noted = now
            self._note(progress)
        if now - self._told >= _TELL_SECONDS:
            self._told = now
            self._tell()

    def _note(self, progress: JobProgress) -> None:
        if self._journal is None:
            return
        try:
            self._journal.note(progress.seconds, progress.phase, progress.rows_done)
        except OSError as error:  # the transfer matters more; whoever looks at the job is told
            self._noted = float("inf")
            self._warn("journal", f"the journal cannot be written any more ({type(error).__name__})")

    def _tell(self) -> None:
        for watcher in list(self._watchers):
            try:
                watcher(self)
            except Exception as error:  # who shows a transfer must not end it
                self._watchers.remove(watcher)
                self._warn("watcher", f"what showed this job failed ({type(error).__name__}) and shows no more")

    def _warn(self, code: str, message: str) -> None:
        self._meter.note(Warned(code, message), self.seconds)

    # --- showing ------------------------------------------------------------------------------------------------

    @shown.as_text
    def __repr__(self) -> str:
        return f"Job({self.kind} {self.what}: {self.told()})"

    @shown.as_html
    def _repr_html_(self) -> str:
        progress = self.progress
        fraction = 1.0 if self.state == DONE else progress.fraction
        tone: Tone = {DONE: "good", FAILED: "bad", CANCELLED: "warn"}.get(self.state, "quiet")  # type: ignore[assignment]
        parts: list[str] = [blocks.note(tone, self.told())]
        if fraction is not None:
            parts.append(blocks.bar(fraction))
        if progress.warnings:
            title = blocks.plural(len(progress.warnings), "warning")
            parts.append(blocks.fold(title, grouped(progress.warnings)))
        return blocks.block(f"{self.kind.capitalize()} {self.what}", *parts)

    def plot(self) -> Chart:
        """Return rows per second over time, a line for each phase, as an object that draws itself."""
        return self._throughput.plot()

    def told(self) -> str:
        """Return where it stands, in a few words."""
        error = self.exception()
        if error is not None:
            return f"{self.state} after {self.seconds:.1f} s: {described(error)}"
        if self.state == DONE:
            return f"done in {self.seconds:.1f} s"
        progress = self.progress
        if not progress.phase:
            return "running"
        return f"running, {progress.phase} {progress.table}".rstrip() + f", {progress.rows_told}"


def start(
    kind: str,
    what: str,
    work: Work[T],
    *,
    code: str = "",
    facts: Mapping[str, str] | None = None,
    listener: Listener | None = None,
    recorded: bool = True,
) -> Job[T]:
    """Run work in a thread of its own and return at once.

    Parameters
    ----------
    kind, what : str
        For the journal and for people.
    work : callable
        Takes a listener and a cancellation, and returns the job's result.
    code : str
        The call that goes on if this process ends before the job does.
    facts : mapping of str to str, optional
        What else the journal should know, e.g. the path of a package; never a password.
    listener : callable, optional
        Told of every event, in the worker's thread.
    recorded : bool
        Whether it stands in the journal; small things that only look need not.

    Returns
    -------
    Job

    Examples
    --------
    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     os.environ["DATATRANSFER_JOBS"] = folder
    ...     start("count", "to three", lambda listener, cancellation: 3).result()
    3
    >>> del os.environ["DATATRANSFER_JOBS"]
    """
    return Job(new_record(kind, what, code, facts or {}), work, listener, recorded=recorded)._start()
