"""The quick way out of a SQLite file: a child process reads by ADBC while this one encodes.

Why a child: the ADBC driver brings a SQLite library of its own, and two copies of SQLite in one process break each
other's POSIX advisory locks: closing any descriptor of a file drops all of the process's locks on it ("How To Corrupt
An SQLite Database File", section 2.2.1). The transaction of this process would lose its lock, and the file might be
written under it. Processes are what the locks are made for; and two use two cores.

Why both see the same: with a rollback journal, nobody can commit while this process holds its read lock, so whenever
the child begins, it sees the same state. With a write-ahead log, a third connection's ``data_version`` is compared
before and after both have begun.

Why a proof of storage classes comes first: the driver takes a column's type from its first batch and converts other
values inside that batch silently. Only columns of one proven class are asked of it, and columns of several as one for
each class (`sqlite_columns`).
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as quote_url

from datatransfer.database.dialects.prefetching import prefetched
from datatransfer.database.dialects.sqlite_classes import Classes, Rowset, storage_classes
from datatransfer.database.dialects.sqlite_columns import STAND_IN, Asked
from datatransfer.schema.tables import Table
from datatransfer.schema.values import LogicalType, arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_ROWS = 16384
#: Above this size of the file, no table with a row above `_WIDE_ROW` goes the quick way: batches there are counted in
#: rows, and a file of this size bounds what one can hold.
_GUARDED_BYTES = 400 * 1024 * 1024
_WIDE_ROW = 4096
_ATTEMPTS = 5
#: SQLite's limit of columns in a result (limits.html, number 2).
_MOST_COLUMNS = 2000


class ChildFailed(Exception):
    """The child cannot go on; its caller goes the slow way. Never leaves this package."""


class Child:
    """The process, and the pipe to it.

    Parameters
    ----------
    path : pathlib.Path
        The database file.
    """

    def __init__(self, path: Path) -> None:
        driver = _driver_library()
        if driver is None:
            raise ChildFailed("no driver")
        uri = f"file:{quote_url(str(path))}?mode=ro"
        script = Path(__file__).with_name("_sqlite_reader.py")
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, str(script), str(driver), uri],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C in a terminal, or a kernel, goes to the whole group: this process decides
        )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        _widen(self._out.fileno())
        self._unanswered = 1  # it greets when its imports are done
        self.usable = True

    def send(self, **command: Any) -> None:
        """Send a command and do not wait."""
        try:
            self._in.write(json.dumps(command).encode() + b"\n")
            self._in.flush()
        except OSError:
            self.usable = False
        self._unanswered += 1

    def settle(self) -> None:
        """Wait for the answers to everything sent.

        Raises
        ------
        ChildFailed
            One of them is an error, or the process has ended.
        """
        while self._unanswered:
            line = self._out.readline()
            self._unanswered -= 1
            if not line or "ok" not in json.loads(line):
                self.usable = False
                raise ChildFailed("no answer" if not line else "an error")

    def stream(self, sql: str) -> pa.RecordBatchReader:
        """Run a query and return its batches as they arrive."""
        import pyarrow as pa

        self.send(sql=sql, rows=BATCH_ROWS)
        self.settle()
        return pa.ipc.open_stream(self._out)

    def confirm(self, rows: int) -> None:
        """Make sure that a stream has ended because all of its rows were sent.

        Raises
        ------
        ChildFailed
            It ended early.
        """
        line = self._out.readline()
        if not line or json.loads(line) != {"rows": rows}:
            self.usable = False
            raise ChildFailed("a stream ended early")

    def kill(self) -> None:
        """End the process, whatever it is doing."""
        self.usable = False
        self._process.kill()

    def close(self) -> None:
        """End the process and give back its pipes."""
        self.kill()
        with contextlib.suppress(OSError):  # what is left in the buffer has no reader any more
            self._in.close()
        self._out.close()
        self._process.wait()


def _driver_library() -> Path | None:
    spec = importlib.util.find_spec("adbc_driver_sqlite")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    return next(iter(sorted(folder.glob("libadbc_driver_sqlite.*"))), None)


def _widen(descriptor: int) -> None:
    """Let a batch fit into the pipe, where the system allows it: fewer switches between the two processes."""
    try:
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, 1024 * 1024)
    except (ImportError, AttributeError, OSError):
        return


class FastSnapshot:
    """One snapshot of a file, read by a child; and a thread with a connection of its own that proves storage classes.

    Parameters
    ----------
    path : pathlib.Path
        The database file.
    quote : callable
        Quotes an identifier.
    """

    def __init__(self, path: Path, quote: Callable[[str], str]) -> None:
        self._quote = quote
        self._guarded = path.stat().st_size > _GUARDED_BYTES
        self._child = Child(path)
        uri = f"file:{quote_url(str(path))}?mode=ro"
        self._prover = sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)
        self._pool = ThreadPoolExecutor(1, "datatransfer-classes")
        self._proofs: dict[str, Future[Classes]] = {}
        self._streams: list[Generator[pa.RecordBatch, None, None]] = []
        self._waiting: list[tuple[Table, Rowset]] = []
        self._lock = threading.Lock()

    def begin(self, begin_own: Callable[[], None], rollback_own: Callable[[], None]) -> bool:
        """Begin a transaction here and in the child, and return whether both are known to see the same.

        Parameters
        ----------
        begin_own, rollback_own : callable
            Begin and end the read transaction of the caller's own connection. It has begun when this returns.
        """
        self._prover.execute("PRAGMA trusted_schema=OFF")
        is_wal = self._prover.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        if not is_wal:
            begin_own()
            self._begin_prover()
            self._child.send(begin=True)  # not waited for: its imports overlap with our own work
            return True
        with contextlib.closing(sqlite3.connect(self._file_uri(), uri=True)) as monitor:
            return self._begin_wal(monitor, begin_own, rollback_own)

    def _file_uri(self) -> str:
        name = next(row[2] for row in self._prover.execute("PRAGMA database_list") if row[1] == "main")
        return f"file:{quote_url(name)}?mode=ro"

    def _begin_wal(
        self, monitor: sqlite3.Connection, begin_own: Callable[[], None], rollback_own: Callable[[], None]
    ) -> bool:
        try:
            self._child.settle()
        except ChildFailed:
            begin_own()
            return False
        for attempt in range(_ATTEMPTS):
            before = monitor.execute("PRAGMA data_version").fetchone()
            begin_own()
            try:
                self._begin_prover()
                self._child.send(begin=True)
                self._child.settle()
            except (ChildFailed, sqlite3.Error):
                return False
            if monitor.execute("PRAGMA data_version").fetchone() == before:
                return True
            if attempt + 1 < _ATTEMPTS:
                rollback_own()
                self._prover.execute("ROLLBACK")
                self._child.send(rollback=True)
        return False

    def _begin_prover(self) -> None:
        self._prover.execute("BEGIN")
        self._prover.execute("SELECT count(*) FROM sqlite_schema").fetchall()

    def cancel(self) -> None:
        """Make what is being read or proved fail."""
        self._child.kill()
        self._prover.interrupt()

    def close(self) -> None:
        """End the child, the thread and its connection."""
        for stream in self._streams:
            stream.close()
        self._prover.interrupt()
        self._pool.shutdown(cancel_futures=True)
        self._prover.close()
        self._child.close()

    # --- storage classes ----------------------------------------------------------------------------------------

    def classes(self, table: Table, rows: Rowset, others: Sequence[tuple[Table, Rowset]]) -> Classes:
        """Return the storage classes of a whole table, and look at the others meanwhile.

        Parameters
        ----------
        table, rows : Table, Rowset
            Comes before everything that waits.
        others : sequence
            What the caller is likely to ask next, in that order.
        """
        found = self._proof(table, rows, others)
        unknown = set(found.hidden) - set(table.hidden)
        # Looked at before it was asked for, with a column that is left out now: that one may be what is wide.
        if unknown or (found.wide and found.hidden != table.hidden):
            with self._lock:
                self._proofs.pop(table.name)
            found = self._proof(table, rows, ())
        return found

    def _proof(self, table: Table, rows: Rowset, others: Sequence[tuple[Table, Rowset]]) -> Classes:
        with self._lock:
            self._waiting = [(table, rows) if one[0].name == table.name else one for one in self._waiting]
            for other, other_rows in [(table, rows), *others]:
                if other.name not in self._proofs:
                    self._proofs[other.name] = Future()
                    self._waiting.append((other, other_rows))
                    self._pool.submit(self._prove_next)
            self._waiting.sort(key=lambda item: item[0].name != table.name)
            found = self._proofs[table.name]
        return found.result()

    def _prove_next(self) -> None:
        with self._lock:
            table, rows = self._waiting.pop(0)
            future = self._proofs[table.name]
        try:
            future.set_result(self._prove(table, rows))
        except sqlite3.Error as error:
            future.set_exception(error)

    def _prove(self, table: Table, rows: Rowset) -> Classes:
        columns = [column for column in table.columns if column.type.kind == "any"]
        found = storage_classes(lambda sql: self._prover.execute(sql).fetchall(), columns, rows, self._quote)
        found.hidden = table.hidden
        if self._guarded:
            found.wide = self._has_wide_row(table, found.types, rows)
        return found

    def _has_wide_row(self, table: Table, types: Mapping[str, LogicalType], rows: Rowset) -> bool:
        sized = [c for c in table.columns if types.get(c.name, c.type).kind in ("text", "bytes", "any")]
        if not sized:
            return False
        total = " + ".join(f"coalesce(length(t.{self._quote(c.name)}), 0)" for c in sized)
        sql = f"SELECT EXISTS({rows.select('1', also=f'{total} > {_WIDE_ROW}')})"
        return bool(self._prover.execute(sql).fetchone()[0])

    # --- rows ---------------------------------------------------------------------------------------------------

    def read(self, table: Table, rows: Rowset) -> Iterator[pa.RecordBatch] | None:
        """Return the batches of a whole table, or None if it must go the slow way.

        Parameters
        ----------
        table : Table
            As `classes` resolved it.
        rows : Rowset
            The whole table in order.
        """
        proof = self._proofs.get(table.name)
        if proof is None or not self._child.usable or not proof.done() or proof.exception() or proof.result().wide:
            return None
        asked = self._asked(table, proof.result())
        if asked is None:
            return None
        exprs = [sql for one in asked for sql in one.expressions()]
        try:
            arrived = self._child.stream(rows.select(", ".join(exprs), ordered=True))
        except ChildFailed:
            return None
        if [field.type for field in arrived.schema] != [kind for one in asked for kind in one.types()]:
            self._child.kill()
            return None
        self._streams.append(prefetched(self._batches(arrived, table, asked), abandon=self._child.kill))
        return self._streams[-1]

    def _asked(self, table: Table, known: Classes) -> list[Asked] | None:
        """Return how each column is asked for, None where one cannot be."""
        found = []
        for column in table.columns:
            classes = known.mixed.get(column.name, ())
            if known.types.get(column.name, column.type) != column.type:
                return None
            if not classes and column.type.kind not in STAND_IN:
                return None
            late = column.nullable and column.name not in known.seen
            found.append(Asked(column, f"t.{self._quote(column.name)}", late, classes))
        return found if sum(len(one.types()) for one in found) <= _MOST_COLUMNS else None

    def _batches(self, arrived: pa.RecordBatchReader, table: Table, asked: Sequence[Asked]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa

        rows = 0
        try:
            for batch in arrived:
                rows += batch.num_rows
                if batch.num_rows:
                    yield _repaired(batch, table, asked)
            self._child.confirm(rows)
        except (pa.ArrowException, OSError, ValueError) as error:
            self._child.usable = False
            raise ChildFailed(type(error).__name__) from None


def _repaired(batch: pa.RecordBatch, table: Table, asked: Sequence[Asked]) -> pa.RecordBatch:
    """Make the table's columns of those that came."""
    import pyarrow as pa

    arrays, start = [], 0
    for one in asked:
        end = start + len(one.types())
        arrays.append(one.array(batch.columns[start:end], table))
        start = end
    schema = arrow_schema({column.name: column.type for column in table.columns})
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def file_of(connection: sqlite3.Connection) -> Path | None:
    """Return the file of a connection's main database, None if it has none."""
    name = next((row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main"), "")
    return Path(os.fsdecode(name)) if name else None
