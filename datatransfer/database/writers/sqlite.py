"""Bringing rows into SQLite: staged in a sidecar file, merged by INSERT … SELECT from it.

The sidecar is written by ADBC, whose SQLite is another copy of the library than Python's. Two copies must never hold
one file open at a time in one process ("How To Corrupt An SQLite Database", 2.2.1), so the sidecar is attached only
after ADBC has closed it, and ADBC never opens the target.
"""

from __future__ import annotations

import marshal
import os
import re
import sqlite3
import tempfile
import uuid
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote as quote_url

from sqlalchemy.exc import DBAPIError

from datatransfer import interrupts
from datatransfer.database.dialects.sqlite_classes import affinity
from datatransfer.database.sqlitefiles import refuse_missing
from datatransfer.database.writers import ingesting
from datatransfer.database.writers.base import Writer
from datatransfer.database.writers.staging import STAGE_PREFIX
from datatransfer.errors import DatabaseError, PrivilegeError
from datatransfer.failpoints import failpoint
from datatransfer.schema.tables import Column, Table
from datatransfer.schema.values import LogicalType, untag

if TYPE_CHECKING:
    import filelock
    import pyarrow as pa

    from datatransfer.database.connection import Database

# Sidecars that ADBC's copy of SQLite has open in this process, so that Python's must keep its hands off them.
_LOADING: set[Path] = set()
_GLANCE_SECONDS = 1.0
_NUMBER = r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$"


@contextmanager
def _beside(doing: str) -> Iterator[None]:
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
    with _beside("reading a stage"):
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


def _hash(*values: Any) -> int:
    """Return the hash of the values of a row; that of `marshal`'s second version has no references in it."""
    data = marshal.dumps(values, 2)
    both = zlib.crc32(data) << 32 | zlib.adler32(data)
    return both - 2**64 if both >= 2**63 else both


_HASH = "datatransfer_hash"
_SETTINGS = ("trusted_schema", "cache_size", "busy_timeout", "read_uncommitted")
_MOST_ARGUMENTS = 100  # of a function; SQLite takes 127 before version 3.48


def _file_of(db: Database) -> Path | None:
    """Return the file of a database, None if it is in memory."""
    database = db.engine.url.database
    if not database or database == ":memory:" or str(database).startswith("file:"):
        return None
    return Path(database)


class SQLiteWriter(Writer):
    """Write access to a SQLite database, in a file or in memory."""

    name = "sqlite"
    transactional_ddl = True
    insert_words = "INSERT OR ABORT INTO"  # whatever ON CONFLICT says in the table: REPLACE would delete rows

    def __init__(self, db: Database, import_id: uuid.UUID) -> None:
        super().__init__(db, import_id)
        self._sidecar = self._sidecar_path()
        self._attached = self._attaching = False
        self._put_back: list[str] = []
        self._enforced = False
        self._lock: filelock.BaseFileLock | None = None
        self._raw: Any = None
        self._isolation: str | None = ""
        self._settings: dict[str, int] = {}

    def _sidecar_path(self) -> Path:
        name = f"{STAGE_PREFIX}{self.import_id.hex[:12]}.sqlite"
        path = _file_of(self.db)
        return path.with_name(f"{path.name}.{name}") if path else Path(tempfile.gettempdir()) / name

    @classmethod
    def logs(cls, db: Database) -> dict[str, dict[str, str]]:
        refuse_missing(db.engine.url)  # else a mistyped path would look like a database without stages
        path = _file_of(db)
        found: dict[str, dict[str, str]] = {}
        if path is None or not path.parent.is_dir():
            return found
        ours = re.compile(rf"({re.escape(path.name)}\.{STAGE_PREFIX}([0-9a-f]+)\.sqlite)(-journal|\.lock)*")
        with _beside("looking for stages"), os.scandir(path.parent) as items:
            beside = sorted(match.groups()[:2] for item in items if (match := ours.fullmatch(item.name)))
        for name, prefix in beside:
            if prefix not in found:
                found[prefix] = _log_of(path.with_name(name))
        return found

    def _remember(self, conn: Any) -> None:
        raw: Any = conn.connection.dbapi_connection
        cursor = raw.cursor()
        self._settings = {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in _SETTINGS}
        self._raw, self._isolation = raw, raw.isolation_level
        cursor.close()

    def _prepare(self) -> None:
        for pragma in (
            "trusted_schema = OFF",
            "cache_size = -131072",
            f"busy_timeout = {self._milliseconds}",
        ):
            self.run(f"PRAGMA {pragma}")
        self._raw = self.conn.connection.dbapi_connection
        self._raw.create_function(_HASH, -1, _hash, deterministic=True)

    @property
    def _milliseconds(self) -> int:
        return round(self.lock_seconds * 1000)

    def explain(self, error: DBAPIError) -> Any:
        text = str(error.orig)
        if "locked" in text or "busy" in text:
            return DatabaseError("the database is locked by another connection", hint="try again when it is free")
        if "readonly" in text:
            return PrivilegeError(
                "the database may not be written", where=str(self.db.engine.url.database),
                hint="nothing was changed; make the file and its folder writable for this user",
            )  # fmt: skip
        return super().explain(error)

    def constraint_of(self, error: DBAPIError) -> str:
        text = str(error.orig)  # SQLite names columns here, never values
        return f": {text}" if "constraint failed" in text else ""

    # --- staging ------------------------------------------------------------------------------------------------

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
        with _beside("making the stage beside the database"):
            os.close(os.open(self._sidecar, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            with closing(sqlite3.connect(self._sidecar, timeout=self.lock_seconds)) as raw:
                raw.execute("PRAGMA page_size = 16384")

    def _detach(self) -> None:
        if self._attached:
            self.run("DETACH DATABASE dts")
            self._attached = False

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
        import pyarrow as pa

        plain = schema.remove_metadata()
        first = next(iterator := iter(batches), None)
        if first is None:
            return 0
        rows = 0

        def counted() -> Iterable[pa.RecordBatch]:
            nonlocal rows
            for batch in chain([first], iterator):
                rows += batch.num_rows
                yield batch

        failure: list[BaseException] = []

        def guarded() -> Iterable[pa.RecordBatch]:
            try:
                yield from counted()
            except BaseException as error:  # carried past the C stream, which would lose its type
                failure.append(error)
                raise

        try:
            with adbc.connect(str(self._sidecar), autocommit=True) as raw:
                ingesting.execute(raw, "PRAGMA synchronous = OFF")
                ingesting.execute(raw, "PRAGMA cache_size = -65536")
                ingesting.execute(raw, f"PRAGMA busy_timeout = {self._milliseconds}")  # others look into the log
                raw.adbc_connection.set_autocommit(False)
                ingesting.ingest(raw, name, pa.RecordBatchReader.from_batches(plain, guarded()))
                if checkpoint:
                    ingesting.execute(raw, f"INSERT INTO log VALUES ('{checkpoint}', '{rows}')")
                    failpoint("stage.before_commit")
                raw.adbc_connection.commit()
        except Exception as error:
            if failure:
                raise failure[0] from None
            raise self._not_staged(error) from None
        if checkpoint:
            failpoint("stage.after_commit")
        return rows

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
        with _beside("opening the stage"):
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

    @interrupts.shielded()
    def drop_stage(self) -> None:
        try:
            if self._conn is not None:
                self._detach()
        finally:
            with _beside("removing the stage beside the database"):
                for suffix in ("", "-journal", "-wal", "-shm"):
                    Path(f"{self._sidecar}{suffix}").unlink(missing_ok=True)
                self._let_go()

    def hold(self) -> bool:
        import filelock

        lock = filelock.FileLock(f"{self._sidecar}.lock", timeout=0, mode=0o600, thread_local=False)
        with _beside("claiming the stage beside the database"):
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

    # --- values -------------------------------------------------------------------------------------------------

    def target_kind(self, source: LogicalType, column: Column) -> LogicalType | None:
        """Return what the column stores without changing it, by its affinity; None where affinity would."""
        kind, holds = source.kind, affinity(column.declared)
        strict = column.type.kind if column.type.kind != "any" else ""
        if strict and strict != kind and not (strict == "integer" and kind in ("integer", "boolean", "any")):
            if strict == "text" and kind in (
                "date",
                "time",
                "timestamp",
                "timestamptz",
                "uuid",
                "json",
                "enum",
                "native",
            ):
                return source
            return column.type
        if holds == "text" and kind in ("integer", "float", "boolean"):
            return None
        return source

    def stage_values(self, values: pa.Array, kind: LogicalType, column: Column) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        if kind.kind in ("text", "any"):
            self._check_affinity(values, kind, column)
        if kind.kind == "timestamp":
            return pc.strftime(values, format="%Y-%m-%d %H:%M:%S")
        if kind.kind == "timestamptz":
            return pc.binary_join_element_wise(
                pc.strftime(values, format="%Y-%m-%d %H:%M:%S"), pa.scalar("+00:00"), "", null_handling="emit_null"
            )
        if kind.kind in ("date", "time"):
            return values.cast(pa.string())
        if kind.kind == "boolean" or (kind.kind == "integer" and values.type != pa.int64()):
            return values.cast(pa.int64())
        if kind.kind == "float" and values.type != pa.float64():
            return values.cast(pa.float64())
        if kind.kind == "uuid" and "32" in column.declared:
            return pc.replace_substring(values, "-", "")
        if kind.kind == "decimal" and affinity(column.declared) != "text":
            self._check_decimals(values, column)
        return values

    def _check_affinity(self, values: pa.Array, kind: LogicalType, column: Column) -> None:
        """Refuse values that the column would store as another class; those of the same affinity never are."""
        import pyarrow.compute as pc

        from datatransfer.errors import ValueLossError

        text = "t" if kind.kind == "any" else ""
        changed = {
            "text": r"^[ir]" if kind.kind == "any" else "",
            "blob": "",
            "real": rf"^{text}{_NUMBER}" + (r"|^i" if kind.kind == "any" else ""),
        }.get(affinity(column.declared), rf"^{text}{_NUMBER}")
        if changed and pc.any(pc.match_substring_regex(values, changed), min_count=0).as_py():
            raise ValueLossError(
                f"a value would change its storage class in a column of affinity {affinity(column.declared).upper()}",
                where=column.name,
                hint="give the target's column the type that the source has",
            )

    def _check_decimals(self, values: pa.Array, column: Column) -> None:
        """SQLite keeps 15 digits of a decimal that it stores as a float, and all 18 of an integer."""
        import pyarrow.compute as pc

        from datatransfer.errors import ValueLossError

        digits = pc.replace_substring_regex(values, r"^-?0*(\d*)(?:\.(\d*?)0*)?$", r"\1\2")
        fits = pc.match_substring_regex(pc.replace_substring_regex(digits, r"^0+", ""), r"^\d{0,15}$")
        if pc.all(fits, min_count=0).as_py() is False:
            raise ValueLossError(
                "a decimal has more than the 15 digits that SQLite keeps",
                where=column.name,
                hint="declare the column TEXT in the target",
            )

    def expression(self, staged: str, kind: LogicalType, column: Column) -> str:
        holds = affinity(column.declared)
        if kind.kind == "decimal" and holds in ("numeric", "integer"):
            return f"CAST({staged} AS NUMERIC)"
        if holds == "real" and kind.kind in ("decimal", "integer", "boolean"):
            return f"CAST({staged} AS REAL)"
        return staged

    def held(self, value: str, column: Column) -> str:
        return f"({value}) COLLATE {column.collation}" if column.collation else value

    def folded(self, value: str, collation: str) -> str:
        # Joins by COLLATE RTRIM lose rows: the hash of SQLite's Bloom filters (3.38 and later) counts the spaces.
        if collation == "RTRIM":
            return f"iif(typeof({value}) = 'text', rtrim({value}, ' '), {value})"
        return f"{value} COLLATE {collation}"

    def equal(self, left: str, right: str, column: Column | None = None) -> str:
        if column is not None and column.type.kind == "integer":
            return f"{left} = {right}"
        return f"({left} = {right} AND typeof({left}) = typeof({right}))"

    def same(self, left: str, right: str, column: Column) -> str:
        return f"({left} COLLATE BINARY IS {right} AND typeof({left}) = typeof({right}))"

    def ordered(self, value: str, kind: LogicalType, column: Column) -> str:
        if re.search("DATE|TIME", column.declared, re.IGNORECASE):  # one moment is written as text in several ways
            moment = f"CASE WHEN typeof({value}) = 'text' THEN strftime('%Y-%m-%d %H:%M:%f', {value}) END"
            return f"coalesce({moment}, {value})"
        return self.held(value, column)

    def uuid_text(self, value: str, column: Column) -> str:
        return f"lower(replace({value}, '-', ''))" if "32" not in column.declared else value

    def exact_text(self, value: str, column: Column) -> str:
        return f"typeof({value}), {value} COLLATE BINARY"

    # --- merge --------------------------------------------------------------------------------------------------

    def _begin_sql(self) -> str:
        return "BEGIN IMMEDIATE"

    def cancel(self) -> None:
        if self._raw is not None:
            self._raw.interrupt()

    @interrupts.shielded()
    def _rollback(self) -> None:
        if not self.lost and self._raw is not None and self._raw.in_transaction:  # else SQLite has done so itself
            super()._rollback()

    def _before_merge(self) -> None:
        # References are verified by the plan; row by row they would be verified once more, and cycles not at all.
        self._enforced = bool(self.scalar("PRAGMA foreign_keys"))
        self.run("PRAGMA foreign_keys = OFF")

    def _after_merge(self) -> None:
        self._put_back.clear()
        if self._enforced:
            self.run("PRAGMA foreign_keys = ON")

    def insert(self, table: Table, columns: Sequence[Column], select: str) -> int:
        super().insert(table, columns, select)
        return int(self.scalar("SELECT changes()"))

    def update(
        self, table: Table, keys: Sequence[tuple[str, str]], sets: Sequence[tuple[str, str]], select: str
    ) -> int:
        where = " AND ".join(f"t.{self.quote(c)} = x.{n}" for c, n in keys)
        assigns = ", ".join(f"{self.quote(c)} = x.{n}" for c, n in sets)
        self.run(f"UPDATE OR ABORT {self.table(table)} AS t SET {assigns} FROM ({select}) AS x WHERE {where}")
        return int(self.scalar("SELECT changes()"))

    def row_hash(self, alias: str, columns: Sequence[Column]) -> str:
        parts = [f"{alias}.{self.quote(column.name)}" for column in columns]
        while len(parts) > _MOST_ARGUMENTS:
            parts = [f"{_HASH}({', '.join(parts[:_MOST_ARGUMENTS])})", *parts[_MOST_ARGUMENTS:]]
        return f"{_HASH}({', '.join(parts)})"

    def delete(self, table: Table, keys: Sequence[tuple[str, str]], source: str, where: str) -> int:
        columns = ", ".join(self.quote(c) for c, _ in keys)
        left = f"({columns})" if len(keys) > 1 else columns
        chosen = f"SELECT {', '.join(f'x.{n}' for _, n in keys)} FROM {source} x WHERE {where}"
        self.run(f"DELETE FROM {self.table(table)} WHERE {left} IN ({chosen})")
        return int(self.scalar("SELECT changes()"))

    def prepare_tables(
        self, tables: Sequence[Table], *, suspend: bool, bulk: Sequence[Table], cyclic: Sequence[Table], closed: bool
    ) -> None:
        for kind, wanted in (("trigger", tables if suspend else ()), ("index", bulk)):
            for table in wanted:
                found = self.run(
                    "SELECT name, sql FROM main.sqlite_master WHERE type = ? AND lower(tbl_name) = lower(?) "
                    "AND sql IS NOT NULL",
                    (kind, table.bare_name or table.name),
                ).all()
                for name, sql in found:
                    self.run(f"DROP {kind.upper()} main.{self.quote(name)}")
                    self._put_back.append(sql)

    def restore_tables(self) -> None:
        for sql in sorted(self._put_back, key=lambda text: "TRIGGER" in text.upper()[:24]):
            self.run(sql)
        self._put_back.clear()

    def fires_triggers(self, table: Table) -> bool:
        found = self.run(
            "SELECT count(*) FROM main.sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(?)",
            (table.bare_name or table.name,),
        ).scalar()
        return bool(found)

    def may_alter(self, table: Table) -> bool:
        return True

    @interrupts.shielded()
    def close(self) -> None:
        try:
            if self._conn is not None:
                self._detach()
        finally:
            opened = self._conn is not None
            super().close()
            if opened and self._is_shared:  # the pool has just set what SQLAlchemy takes for usual
                self._put_settings_back()
            if self._lock is not None:
                self._lock.release()
                self._lock = None

    def _put_settings_back(self) -> None:
        """Leave a connection as it was: that of a database in memory may be the user's own."""
        with _beside("giving the connection back"):
            for name, value in self._settings.items():
                self._raw.execute(f"PRAGMA {name} = {value}")
        self._raw.isolation_level = self._isolation
