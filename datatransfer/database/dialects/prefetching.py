"""A thread that reads ahead, so that who reads batches and who uses them work at the same time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Iterator
from typing import TypeVar

_AHEAD = 3
_T = TypeVar("_T")


def prefetched(batches: Iterator[_T], *, abandon: Callable[[], None], ahead: int = _AHEAD) -> Generator[_T, None, None]:
    """Yield batches, or what is made of them, that a thread fetches in advance.

    Parameters
    ----------
    batches : iterator
        Used in the thread only.
    abandon : callable
        Makes a blocked ``batches`` fail, when the caller stops before the end.
    ahead : int
        How many batches to hold.
    """
    held: queue.Queue[_T | BaseException | None] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(item: _T | BaseException | None) -> None:
        while not stopped.is_set():
            try:
                held.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def fetch() -> None:
        try:
            for batch in batches:
                put(batch)
                if stopped.is_set():
                    return
        except BaseException as error:  # handed to the caller's thread, which raises it
            put(error)
        else:
            put(None)

    thread = threading.Thread(target=fetch, name="datatransfer-reader", daemon=True)
    thread.start()
    finished = False
    try:
        while (item := held.get()) is not None:
            if isinstance(item, BaseException):
                finished = True
                raise item
            yield item
        finished = True
    finally:
        stopped.set()
        if not finished:
            abandon()
        thread.join()
