"""Rows hashed on a second connection, in a thread of its own, while they are still being brought in.

What a bulk insert will write is hashed ahead, from the stage, so that both processors work. It may be so only where
the rows of the table will be what the stage says; the caller knows.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from datatransfer.errors import DatabaseError

if TYPE_CHECKING:
    import pyarrow as pa

PIECE_ROWS = 1 << 18


class Ahead(ABC):
    """Hashes that a second session works out, table by table; `start` it when it is ready.

    Parameters
    ----------
    selects : mapping of table name to str
        SELECTs of keys and hashes, as the subclass understands them.
    failures : type of Exception
        What the connection may raise, beside OSError.
    """

    def __init__(self, selects: Mapping[str, str], *failures: type[Exception]) -> None:
        self._selects = selects
        self._failures: tuple[type[Exception], ...] = (OSError, *failures)
        self._found: dict[str, Iterator[pa.Table]] = {}
        self._failure: Exception | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._work, name="datatransfer-hashes", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @abstractmethod
    def prepare(self) -> None:
        """Make the connection ready, in the thread."""

    @abstractmethod
    def hashed(self, select: str) -> Iterator[pa.Table]:
        """Run one SELECT to its end, in the thread; return keys ``k0`` and hashes ``h``, each piece by its keys."""

    @abstractmethod
    def cancel(self) -> None:
        """Stop the SELECT that is running, if one is."""

    def _work(self) -> None:
        try:
            self.prepare()
            for name, select in self._selects.items():
                if not self._ended:
                    self._found[name] = self.hashed(select)
        except self._failures as error:  # told to whoever takes the hashes
            self._failure = error

    def take(self, name: str) -> Iterator[pa.Table] | None:
        """Return the keys and hashes of a table, None if nobody asked for them."""
        if name not in self._selects:
            return None
        self._thread.join()
        if self._failure is not None:
            raise DatabaseError(
                f"rows could not be hashed ({type(self._failure).__name__})", where=name,
                hint="nothing was changed; run the import again",
            ) from None  # fmt: skip
        return self._found.pop(name)

    def end(self) -> None:
        """Stop, whether done or not."""
        self._ended = True
        while self._thread.is_alive():
            self.cancel()
            self._thread.join(0.2)  # once more: it may have come between two queries
