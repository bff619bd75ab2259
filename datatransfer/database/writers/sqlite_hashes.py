"""Rows hashed by SQLite, with a function that Python lends it, also while they are still being brought in.

The function holds Python's lock and the insert does not, so that hashing from the stage on a connection of its own
costs an import little.
"""

from __future__ import annotations

import marshal
import sqlite3
import tempfile
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from datatransfer.database.dialects.sqlite_classes import affinity
from datatransfer.database.writers.ahead import PIECE_ROWS, Ahead
from datatransfer.database.writers.hashes import RowHashes
from datatransfer.schema.tables import Column
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

HASH, _GATHER = "datatransfer_hash", "datatransfer_gather"
_MOST_ARGUMENTS = 100  # of a function; SQLite takes 127 before version 3.48
_NUMBERS = ("integer", "boolean")
#: Kinds that are staged as texts which never look like numbers.
_MOMENTS = ("date", "time", "timestamp", "timestamptz")
_TEXTS = (*_MOMENTS, "text", "uuid", "json", "enum", "native", "decimal")


class _Pieces:
    """Keys and hashes as they come, kept in a file: many millions would take more memory than all else.

    Every piece is 2 × `PIECE_ROWS` integers, the last one may be shorter: keys, then hashes, in the order of the keys.
    """

    def __init__(self) -> None:
        self.keys, self.hashes = array("q"), array("q")
        self._file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed when it has been read, or let go
        self._rows: list[int] = []

    def step(self, key: int, *values: Any) -> None:
        """Take a row in: what SQLite calls for each."""
        self.keys.append(key)
        self.hashes.append(row_hash(*values))
        if len(self.keys) == PIECE_ROWS:
            self._keep()

    def finalize(self) -> int:
        """End: what SQLite calls once."""
        self._keep()
        return sum(self._rows)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _keep(self) -> None:
        import numpy as np

        keys, hashes = (np.array(values, dtype=np.int64) for values in (self.keys, self.hashes))
        order = np.argsort(keys, kind="stable")
        self._file.write(keys[order].tobytes() + hashes[order].tobytes())
        self._rows.append(len(keys))
        del self.keys[:], self.hashes[:]

    def __iter__(self) -> Iterator[pa.Table]:
        import numpy as np
        import pyarrow as pa

        with self._file as file:
            file.seek(0)
            for rows in self._rows:
                keys, hashes = (np.frombuffer(file.read(8 * rows), dtype=np.int64) for _ in range(2))
                yield pa.table({"k0": keys, "h": hashes})


class _Ahead(Ahead):
    """Hashes from the sidecar, on a connection of their own.

    Parameters
    ----------
    sidecar : Path
        Attached as ``dts``, as the SELECTs name it.
    """

    def __init__(self, sidecar: Path, selects: Mapping[str, str]) -> None:
        super().__init__(selects, sqlite3.Error)
        self._sidecar = sidecar
        self._raw = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        self._pieces: list[_Pieces] = []

    def prepare(self) -> None:
        self._raw.execute("PRAGMA trusted_schema = OFF")
        self._raw.create_function(HASH, -1, row_hash, deterministic=True)
        self._raw.execute("ATTACH DATABASE ? AS dts", (str(self._sidecar),))

    def hashed(self, select: str) -> Iterator[pa.Table]:
        pieces = _Pieces()
        self._pieces.append(pieces)
        self._raw.create_aggregate(_GATHER, -1, lambda: pieces)
        self._raw.execute(select).fetchone()
        return iter(pieces)

    def cancel(self) -> None:
        self._raw.interrupt()

    def end(self) -> None:
        super().end()
        self._raw.close()
        for pieces in self._pieces:  # also those that nobody has read
            pieces.close()


class SQLiteHashes(RowHashes):
    """The part of the SQLite writer that hashes rows."""

    if TYPE_CHECKING:
        _sidecar: Path

    def row_hash(self, alias: str, columns: Sequence[Column]) -> str:
        return f"{HASH}({', '.join(_arguments(f'{alias}.{self.quote(column.name)}' for column in columns))})"

    def keeps(self, kind: LogicalType, column: Column) -> bool:
        holds = affinity(column.declared)
        if holds == "real":
            return kind.kind in (*_NUMBERS, "float")
        if holds == "text":
            return kind.kind in (*_TEXTS, "bytes")
        if holds == "blob":
            return kind.kind in (*_NUMBERS, *_TEXTS, "bytes", "float")
        return kind.kind in (*_NUMBERS, *_MOMENTS, "text", "bytes")  # a text that looks like a number is refused

    def hash_ahead(self, coming: Mapping[str, tuple[Column, Sequence[Column], str]]) -> None:
        if not coming:
            return
        selects = {}
        for name, (key, columns, select) in coming.items():
            place = next(i for i, column in enumerate(columns) if column.name == key.name)
            values = _arguments(_held(f"y.n{i}", column) for i, column in enumerate(columns))
            selects[name] = f"SELECT {_GATHER}(y.n{place}, {', '.join(values)}) FROM ({select}) y"
        self._ahead = _Ahead(self._sidecar, selects)
        self._ahead.start()


def _held(value: str, column: Column) -> str:
    """Return SQL for a number as a column holds it: one of affinity REAL knows no -0.0."""
    return f"{value} + 0.0" if affinity(column.declared) == "real" else value


def _arguments(values: Iterator[str]) -> list[str]:
    """Return arguments for the hash, not more than SQLite takes: the first are hashed before, if need be."""
    parts = list(values)
    while len(parts) > _MOST_ARGUMENTS:
        parts = [f"{HASH}({', '.join(parts[:_MOST_ARGUMENTS])})", *parts[_MOST_ARGUMENTS:]]
    return parts


def row_hash(*values: Any) -> int:
    """Return the hash of the values of a row; that of `marshal`'s second version has no references in it.

    Examples
    --------
    >>> row_hash(1, "a") == row_hash(1, "a"), row_hash(1) == row_hash(1.0), row_hash(0.0) == row_hash(-0.0)
    (True, False, False)
    """
    data = marshal.dumps(values, 2)
    both = zlib.crc32(data) << 32 | zlib.adler32(data)
    return both - 2**64 if both >= 2**63 else both
