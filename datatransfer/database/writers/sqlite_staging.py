"""The stage of an import into SQLite: a sidecar file beside the database, attached to its connection as ``dts``.

The sidecar is written by ADBC, whose SQLite is another copy of the library than Python's. Two copies must never hold
one file open at a time in one process ("How To Corrupt An SQLite Database", 2.2.1), so the sidecar is attached only
after ADBC has closed it, and ADBC never opens the target.
"""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as quote_url

from datatransfer import interrupts
from datatransfer.database.sqlitefiles import refuse_missing
from datatransfer.database.writers import ingesting
from datatransfer.database.writers.staging import STAGE_PREFIX, StagingTables
from datatransfer.errors import DatabaseError, PrivilegeError
from datatransfer.failpoints import failpoint
from datatransfer.schema.tables import Column
from datatransfer.schema.values import LogicalType, untag

if TYPE_CHECKING:
    import filelock
    import pyarrow as pa

    from datatransfer.database.connection import Database

# Sidecars that ADBC's copy of SQLite has open in this process, so that Python's must keep its hands off them.
_LOADING: set[Path] = set()
_GLANCE_SECONDS = 1.0


@contextmanager
def sidecar_errors(doing: str) -> Iterator[None]:
    """Turn what the sidecar's files and other copy of SQLite raise into `DatabaseError`, without their messages."""
    try:
        yield
    except PermissionError as error:
        raise PrivilegeError(
            f"{doing} failed: the folder may not be written", where=str(Path(error.filename or "").parent),
            hint="nothing was changed; make it writable for this user",
        ) from None  # fmt: skip
    except (sqlite3.Error, OSError) as error:
        raise DatabaseError(
            f"{doing} failed ({type(error).__name__})", hint="the disk may be full; nothing was changed"
        ) from None


def _log_of(sidecar: Path) -> dict[str, str]:
    """Return what the log of a stage says; nothing while rows are being loaded, which keeps the file locked."""
    if sidecar in _LOADING or not sidecar.exists():
        return {}
    # not read-only: what a killed process had begun is rolled back first
    where = f"file:{quote_url(str(sidecar))}?mode=rw"
    with sidecar_errors("reading a stage"):
        try:
            with closing(sqlite3.connect(where, uri=True, timeout=_GLANCE_SECONDS)) as raw:
                if not raw.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'log'").fetchone()[0]:
                    return {}
                return dict(raw.execute("SELECT name, value FROM log").fetchall())
        except sqlite3.OperationalError as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code != sqlite3.SQLITE_BUSY and (code != sqlite3.SQLITE_CANTOPEN or sidecar.exists()):
                raise
    return {}


def _file_of(db: Database) -> Path | None:
    """Return the file of a database, None if it is in memory."""
    database = db.engine.url.database
    if not database or database == ":memory:" or str(database).startswith("file:"):
        return None
    return Path(database)


class SQLiteStaging(StagingTables):
    """The part of the SQLite writer that stages rows."""

    def __init__(self, db: Database, import_id: uuid.UUID) -> None:
        super().__init__(db, import_id)
        self._sidecar = self._sidecar_path()
        self._attached = self._attaching = False
        self._lock: filelock.BaseFileLock | None = None

    def _sidecar_path(self) -> Path:
        name = f"{STAGE_PREFIX}{self.import_id.hex[:12]}.sqlite"
        path = _file_of(self.db)
        return path.with_name(f"{path.name}.{name}") if path else Path(tempfile.gettempdir()) / name

    @property
    def _milliseconds(self) -> int:
        return round(self.lock_seconds * 1000)

    @classmethod
    def logs(cls, db: Database) -> dict[str, dict[str, str]]:
        refuse_missing(db.engine.url)  # else a mistyped path would look like a database without stages
        path = _file_of(db)
        found: dict[str, dict[str, str]] = {}
        if path is None or not path.parent.is_dir():
            return found
        ours = re.compile(rf"({re.escape(path.name)}\.{STAGE_PREFIX}([0-9a-f]+)\.sqlite)(-journal|\.lock)*")
        with sidecar_errors("looking for stages"), os.scandir(path.parent) as items:
            beside = sorted(match.groups()[:2] for item in items if (match := ours.fullmatch(item.name)))
        for name, prefix in beside:
            if prefix not in found:
                found[prefix] = _log_of(path.with_name(name))
        return found

    # --- names --------------------------------------------------------------------------------------------------

    def stage_name(self, kind: str, number: int) -> str:
        return self._stage_sql(f"{kind}{number}")

    @property
    def log_name(self) -> str:
        return self._stage_sql("log")

    def _stage_sql(self, bare: str) -> str:
        return f"dts.{self.quote(bare)}"

    def _staged_tables(self) -> list[str]:
        return [str(n) for n in self.run("SELECT name FROM dts.sqlite_schema WHERE type = 'table'").scalars()]

    @property
    def _prefix(self) -> str:
        return ""  # the sidecar belongs to one import

    def stage_type(self, kind: LogicalType) -> str:
        return ""  # no affinity: a value keeps its storage class

    def key_type(self, column: Column) -> str:
        # with the affinity of the column itself, or no index on the key is used where both are compared
        return "INTEGER" if "INT" in column.declared.upper() else ""

    # --- the file -----------------------------------------------------------------------------------------------

    @property
    def conn(self) -> Any:
        conn = super().conn
        if not self._attached and not self._attaching:
            self._attaching = True
            try:
                if not self._sidecar.exists():
                    self._make_sidecar()
                quoted = str(self._sidecar).replace("'", "''")
                self.run(f"ATTACH DATABASE '{quoted}' AS dts")
                self._attached = True
            finally:
                self._attaching = False
            # Planning writes small tables one by one. What a killed process wrote is safe with the system; only a
            # crash of the machine may spoil the stage, and then the import starts over.
            self.run("PRAGMA dts.synchronous = OFF")
        return conn

    def _make_sidecar(self) -> None:
        with sidecar_errors("making the stage beside the database"):
            os.close(os.open(self._sidecar, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            with closing(sqlite3.connect(self._sidecar, timeout=self.lock_seconds)) as raw:
                raw.execute("PRAGMA page_size = 16384")

    def _detach(self) -> None:
        if self._attached:
            self.run("DETACH DATABASE dts")
            self._attached = False

    @interrupts.shielded()
    def drop_stage(self) -> None:
        try:
            if self._conn is not None:
                self._detach()
        finally:
            with sidecar_errors("removing the stage beside the database"):
                for suffix in ("", "-journal", "-wal", "-shm"):
                    Path(f"{self._sidecar}{suffix}").unlink(missing_ok=True)
                self._let_go()

    def hold(self, *, fresh: bool = False) -> bool:
        import filelock

        # Who sweeps takes the lock of a file that it finds, for a moment, perhaps before we do.
        seconds = self.lock_seconds if fresh else 0
        lock = filelock.FileLock(f"{self._sidecar}.lock", timeout=seconds, mode=0o600, thread_local=False)
        with sidecar_errors("claiming the stage beside the database"):
            try:
                lock.acquire()
            except filelock.Timeout:  # an OSError too, but not a failure
                return False
        self._lock = lock
        return True

    def _let_go(self) -> None:
        if self._lock is not None:
            Path(self._lock.lock_file).unlink(missing_ok=True)  # first: who opens it later locks a file of its own
            self._lock.release()
            self._lock = None

    @interrupts.shielded()
    def close(self) -> None:
        try:
            if self._conn is not None:
                self._detach()
        finally:
            super().close()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    # --- rows ---------------------------------------------------------------------------------------------------

    def create(self, kind: str, number: int, columns: Sequence[tuple[str, str]], *, keyed: bool = True) -> str:
        name = self.stage_name(kind, number)
        lines = [f"{column} {sql_type}".strip() for column, sql_type in columns]
        if keyed:
            lines[0] = f"{columns[0][0]} INTEGER PRIMARY KEY"
        self.run(f"CREATE TABLE {name} ({', '.join(lines)})")
        return name

    def load(
        self, kind: str, number: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, checkpoint: str = ""
    ) -> int:
        self._detach()
        _LOADING.add(self._sidecar)
        try:
            if schema.metadata and schema.metadata.get(b"tagged"):
                return self._load_slowly(f"{kind}{number}", schema, batches, checkpoint)
            return self._load_fast(f"{kind}{number}", schema, batches, checkpoint)
        finally:
            _LOADING.discard(self._sidecar)
            with interrupts.shielded():
                _ = self.conn  # attached again

    def _load_fast(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], checkpoint: str) -> int:
        import adbc_driver_sqlite.dbapi as adbc

        first = next(iterator := iter(batches), None)
        if first is None:
            return 0
        stream = ingesting.Stream(chain([first], iterator))
        try:
            with adbc.connect(str(self._sidecar), autocommit=True) as raw:
                ingesting.execute(raw, "PRAGMA synchronous = OFF")
                ingesting.execute(raw, "PRAGMA cache_size = -65536")
                ingesting.execute(raw, f"PRAGMA busy_timeout = {self._milliseconds}")  # others look into the log
                raw.adbc_connection.set_autocommit(False)
                ingesting.ingest(raw, name, stream.reader(schema))
                if checkpoint:
                    ingesting.execute(raw, f"INSERT INTO log VALUES ('{checkpoint}', '{stream.rows}')")
                    failpoint("stage.before_commit")
                raw.adbc_connection.commit()
        except Exception as error:
            if stream.failure is not None:
                raise stream.failure from None
            raise self._not_staged(error) from None
        if checkpoint:
            failpoint("stage.after_commit")
        return stream.rows

    @staticmethod
    def _not_staged(error: Exception) -> DatabaseError:
        """Return what a failure of the sidecar means; the driver's message may hold a value."""
        return DatabaseError(
            f"rows could not be staged beside the database ({type(error).__name__})",
            hint="the disk may be full; nothing was changed, and the import can be resumed",
        )

    def _load_slowly(self, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], checkpoint: str) -> int:
        tagged = {name.decode() for name in schema.metadata[b"tagged"].split(b",")}
        insert = f"INSERT INTO {name} ({', '.join(schema.names)}) VALUES ({', '.join('?' * len(schema.names))})"
        with sidecar_errors("opening the stage"):
            raw = sqlite3.connect(self._sidecar, isolation_level=None, timeout=self.lock_seconds)
        rows = 0
        try:
            raw.execute("PRAGMA synchronous = OFF")
            raw.execute("BEGIN")
            for batch in batches:
                lists = [
                    [untag(v) for v in column.to_pylist()] if label in tagged else column.to_pylist()
                    for label, column in zip(schema.names, batch.columns, strict=True)
                ]
                raw.executemany(insert, zip(*lists, strict=True))
                rows += batch.num_rows
            if checkpoint:
                raw.execute("INSERT INTO log VALUES (?, ?)", (checkpoint, str(rows)))
                failpoint("stage.before_commit")
            raw.execute("COMMIT")
        except sqlite3.Error as error:
            raise self._not_staged(error) from None
        finally:
            raw.close()
        if checkpoint:
            failpoint("stage.after_commit")
        return rows

    def index(self, kind: str, number: int, columns: Sequence[str]) -> None:
        name = self.quote(f"{kind}{number}_{'_'.join(columns)}")
        self.run(f"CREATE INDEX IF NOT EXISTS dts.{name} ON {self.quote(f'{kind}{number}')} ({', '.join(columns)})")
