"""What a form does in the background for a button that returns at once; the latest of each name counts."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, TypeVar

from datatransfer.background import Job, start

T = TypeVar("T")


class Later:
    """Runs small things in a worker thread, so that a button returns at once; the latest of each name counts.

    Parameters
    ----------
    failed : callable
        Takes what was raised.

    Attributes
    ----------
    lock : RLock
        Held while a result is told; who holds it while others are chosen is not told one of what was chosen before.
        Work never takes it, and goes on meanwhile.
    """

    def __init__(self, failed: Callable[[BaseException], object]) -> None:
        self._failed = failed
        self._turn: dict[str, int] = {}
        self._jobs: dict[str, Job[Any]] = {}
        self.lock = threading.RLock()

    def run(self, name: str, work: Callable[[], T], done: Callable[[T], object], *, delay: float = 0.0) -> Job[T]:
        """Run work, after a delay in which a later call of the same name replaces it; then tell its result."""
        with self.lock:
            turn = self._turn[name] = self._turn.get(name, 0) + 1

        def whole(_listener: object, _cancellation: object) -> T | None:
            time.sleep(delay)
            return work() if self._turn[name] == turn else None

        def ended(job: Job[Any]) -> None:
            with self.lock:
                if job.state == "running" or self._turn[name] != turn:
                    return
                error = job.exception()
                if error is not None:
                    self._failed(error)
                    return
                try:
                    done(job.result())
                except Exception as failure:  # what is shown next depends on it
                    self._failed(failure)

        job: Job[Any] = start(name, name, whole, recorded=False)
        self._jobs[name] = job
        job.watch(ended)
        return job

    def forget(self, name: str) -> None:
        """Tell nothing of what still runs under this name, neither its result nor its error."""
        with self.lock:
            self._turn[name] = self._turn.get(name, 0) + 1

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until nothing runs any more, nor what that has begun in turn; for tests and scripts."""
        until = time.monotonic() + timeout
        waited: list[Job[Any]] = []
        while waited != (waiting := list(self._jobs.values())):
            waited = waiting
            if not all(job.wait(max(0.0, until - time.monotonic())) for job in waiting):
                raise TimeoutError("work in the background has not ended")
