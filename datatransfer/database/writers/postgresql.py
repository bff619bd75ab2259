"""Bringing rows into PostgreSQL: staged in unlogged tables through ADBC or COPY, merged by INSERT … SELECT."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy.exc import DBAPIError

from datatransfer import interrupts
from datatransfer.database.dialects.failures import driver_message, privilege_error
from datatransfer.database.dialects.locks import held_tables
from datatransfer.database.dialects.prefetching import prefetched
from datatransfer.database.writers import copying, ingesting
from datatransfer.database.writers.base import Writer
from datatransfer.database.writers.postgresql_expressions import PostgreSQLExpressions
from datatransfer.database.writers.postgresql_hashes import SETTINGS, PostgreSQLHashes
from datatransfer.database.writers.postgresql_loading import load_every_time
from datatransfer.database.writers.postgresql_rebuild import Rebuild, literal
from datatransfer.database.writers.postgresql_sequences import PostgreSQLSequences
from datatransfer.database.writers.session import refused_by_trigger
from datatransfer.errors import DatabaseError, MergeError, PrivilegeError
from datatransfer.failpoints import failpoint
from datatransfer.schema.tables import Column, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

_MERGE_LOCK = int.from_bytes(b"dtxmerge")


class PostgreSQLWriter(PostgreSQLHashes, PostgreSQLExpressions, PostgreSQLSequences, Writer):
    """Write access to a PostgreSQL database."""

    name = "postgresql"
    transactional_ddl = True
    stage_types: ClassVar[dict[str, str]] = {
        "integer": "bigint", "float": "double precision", "boolean": "boolean", "bytes": "bytea", "date": "date",
        "time": "time", "timestamp": "timestamp", "timestamptz": "timestamptz",
    }  # fmt: skip
    text_type = "text"
    _raw: Any = None
    _stop_ingesting: Callable[[], None] | None = None

    def _prepare(self) -> None:
        self._second: Any = None
        self._lasting = -1
        self._rebuild = Rebuild(self.run, self.table, self.quote)
        for setting in SETTINGS:
            self.run(setting)
        self.run("SET work_mem = '64MB'")
        self.run("SET maintenance_work_mem = '64MB'")  # sorting in more was measured to be slower
        self.run(f"SET lock_timeout = {max(1, round(self.lock_seconds * 1000))}")
        self.run("SET row_security = off")  # rows that a policy hides are an error, not absent
        self._hashes_records = int(self.scalar("SHOW server_version_num")) >= 140_000
        self.session_id = str(self.scalar("SELECT pg_backend_pid()"))
        self._raw = self.conn.connection.dbapi_connection
        if not self._is_shared:
            load_every_time(self._raw)

    @property
    def _is_psycopg(self) -> bool:
        return type(self._raw).__module__.split(".")[0] == "psycopg"

    def cancel(self) -> None:
        if self._raw is not None:
            self._raw.cancel()

    def explain(self, error: DBAPIError) -> Any:
        state = getattr(error.orig, "sqlstate", "") or ""
        if refused_by_trigger(error.orig):
            return self.trigger_error()
        if state in ("55P03", "40P01"):
            return DatabaseError(
                "another session holds a lock for too long", where=self._locked(error), hint="try again when it is done"
            )
        if state == "42501":
            said = driver_message(error)
            hint = "nothing was changed; grant it, or use another role"
            return privilege_error(said, where=self.at) or PrivilegeError(said, where=self.at, hint=hint)
        return super().explain(error)

    def _locked(self, error: DBAPIError) -> str:
        """Return the relation that a lock was waited for in: as the server names it, or who looks, or the statement."""
        context = getattr(getattr(error.orig, "diag", None), "context", None) or ""
        found = re.search(r'relation "((?:[^"]|"")+)"', context)
        if found:
            return found.group(1)
        return ", ".join(held_tables(self.db.engine, error.statement or "", self.at))

    def constraint_of(self, error: DBAPIError) -> str:
        diagnosis = getattr(error.orig, "diag", None)
        parts = [getattr(diagnosis, name, None) for name in ("table_name", "constraint_name", "column_name")]
        named = [part for part in parts if part]
        return f" at {' '.join(named)}" if named else ""

    # --- staging ------------------------------------------------------------------------------------------------

    def _stage_words(self) -> str:
        return "UNLOGGED "

    def create(self, kind: str, number: int, columns: Sequence[tuple[str, str]], *, keyed: bool = True) -> str:
        # Staged rows are joined by hashes; an index on their numbers would only slow down loading.
        return super().create(kind, number, columns, keyed=keyed and kind != "s")

    def stage_name(self, kind: str, number: int) -> str:
        return self._stage_sql(self._bare_stage_name(kind, number))

    def _stage_sql(self, bare: str) -> str:
        schema = self.db.dialect.default_schema
        return f"{self.quote(schema)}.{self.quote(bare)}" if schema else self.quote(bare)

    def hold(self, *, fresh: bool = False) -> bool:
        key = int.from_bytes(self.import_id.bytes[:6])  # as much as the names of the tables tell
        return bool(self.scalar(f"SELECT pg_try_advisory_lock({key})"))

    def index(self, kind: str, number: int, columns: Sequence[str]) -> None:
        index = self.quote(f"{self._bare_stage_name(kind, number)}_{'_'.join(columns)}"[:60])
        self.run(f"CREATE INDEX IF NOT EXISTS {index} ON {self.stage_name(kind, number)} ({', '.join(columns)})")

    def analyze(self, kind: str, number: int) -> None:
        self.run(f"ANALYZE {self.stage_name(kind, number)}")

    def load(
        self, kind: str, number: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, checkpoint: str = ""
    ) -> int:
        iterator = iter(batches)
        first = next(iterator, None)
        if first is None:
            return 0
        adbc = self._adbc()
        stream = chain([first], iterator)
        if adbc is None:
            return self._copy(self.stage_name(kind, number), stream, checkpoint)
        return self._ingest(adbc, self._bare_stage_name(kind, number), schema, stream, checkpoint)

    def _adbc(self) -> Any:
        """Return a second connection, by ADBC, or None where that is not installed or the driver is another one."""
        if self._second is None:
            self._second = self._open_adbc()
        return self._second

    def _open_adbc(self) -> Any:
        try:
            import adbc_driver_postgresql.dbapi as adbc
        except ImportError:
            return None
        info = getattr(self.conn.connection.dbapi_connection, "info", None)
        if info is None or not hasattr(info, "get_parameters"):
            return None
        # ADBC brings its own libpq, whose default socket folder differs: the host is always named.
        known = {**info.get_parameters(), "host": info.host, "port": str(info.port), "password": info.password}
        names = ("host", "port", "user", "password", "dbname", "sslmode", "sslrootcert", "sslcert", "sslkey")
        pairs = [(n, str(known[n])) for n in names if known.get(n)]
        try:
            return adbc.connect(" ".join(f"{n}='{_escaped(v)}'" for n, v in pairs))
        except adbc.Error as error:
            raise self._not_staged(error) from None

    def _close_adbc(self) -> None:
        if self._second is not None:
            self._second.close()
            self._second = None

    @interrupts.shielded()
    def close(self) -> None:
        self.end_ahead()
        if self._conn is not None:
            self._close_adbc()
        super().close()

    def _ingest(
        self, adbc: Any, name: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], checkpoint: str
    ) -> int:
        stream = ingesting.Stream(batches)
        try:
            place = self.db.dialect.default_schema
            ingesting.ingest(adbc, name, stream.reader(schema), schema=place, begun=self._ingests)
            if checkpoint:
                ingesting.execute(adbc, self._checkpoint_sql(checkpoint, stream.rows))
                failpoint("stage.before_commit")
            adbc.commit()
        except BaseException as error:
            self._close_adbc()  # with what it has begun
            if stream.failure is not None:
                raise stream.failure from None
            if not isinstance(error, Exception):
                raise
            raise self._not_staged(error) from None
        if checkpoint:
            failpoint("stage.after_commit")
        return stream.rows

    def _ingests(self, stop: Callable[[], None]) -> None:
        with self._clearing:  # what is over must not be stopped any more
            self._stop_ingesting = stop

    def _stop(self) -> None:
        super()._stop()
        with self._clearing:
            if self._stop_ingesting is not None:
                self._stop_ingesting()

    @staticmethod
    def _not_staged(error: Exception) -> DatabaseError:
        return DatabaseError(
            f"the database refused to stage rows ({type(error).__name__})",
            hint="nothing was changed, and the import can be resumed",
        )

    def _copy(self, name: str, batches: Iterable[pa.RecordBatch], checkpoint: str) -> int:
        import psycopg

        rows = 0
        self.run("BEGIN")
        try:
            raw: Any = self.conn.connection.dbapi_connection
            with raw.cursor() as cursor, cursor.copy(f"COPY {name} FROM STDIN") as copy:
                for batch in batches:
                    for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                        copy.write_row(row)
                    rows += batch.num_rows
            if checkpoint:
                self.run(self._checkpoint_sql(checkpoint, rows))
                failpoint("stage.before_commit")
        except BaseException as error:
            self._rollback()
            if isinstance(error, psycopg.Error):
                raise self._not_staged(error) from None
            raise
        self.run("COMMIT")
        if checkpoint:
            failpoint("stage.after_commit")
        return rows

    # --- merge --------------------------------------------------------------------------------------------------

    def _begun(self) -> None:
        self._one_merge_at_a_time()

    def _one_merge_at_a_time(self) -> None:
        """Wait until other imports into this database have committed: they would wait for each other in a circle."""
        before, self.at = self.at, "another import into this database"
        self.run(f"SELECT pg_advisory_xact_lock({_MERGE_LOCK})")
        self.at = before

    def locking(self, alias: str, *, shared: bool = False) -> str:
        return "" if shared else f" FOR UPDATE OF {alias}"

    def end_session(self, session_id: str) -> None:
        # A number may be that of another process by now: ours holds the lock until it has ended.
        self.run(
            f"SELECT pg_terminate_backend(pid) FROM pg_locks WHERE pid = {int(session_id)} AND locktype = 'advisory' "
            f"AND (classid::bigint << 32) | objid::bigint = {_MERGE_LOCK}"
        )
        self.run("BEGIN")
        self._one_merge_at_a_time()
        self.run("COMMIT")

    def insert(self, table: Table, columns: Sequence[Column], select: str) -> int:
        names = ", ".join(self.quote(column.name) for column in columns)
        sql = f"INSERT INTO {self.table(table)} ({names}) OVERRIDING SYSTEM VALUE {select}"
        return int(self.run(sql).rowcount)

    def copies(self, table: Table, columns: Sequence[tuple[LogicalType, Column]]) -> bool:
        if not self._is_psycopg or self._raw.info.encoding != "utf-8" or not self.may_alter(table):
            return False
        # A foreign key that is not valid would be put back without looking at the rows.
        sql = (
            "SELECT count(*) FROM pg_class c WHERE relkind IN ('r', 'p') AND NOT relhasrules AND NOT EXISTS (SELECT 1 "
            "FROM pg_constraint WHERE conrelid = c.oid AND contype = 'f' AND NOT convalidated) "
            f"AND c.oid = {literal(self.table(table))}::regclass"
        )
        # As an assignment or a cast of the text gives it, so does what COPY reads.
        casts = all(self.expression("x", k, c) in ("x", f"x::{c.declared}", "x::real") for k, c in columns)
        return casts and bool(self.scalar(sql))

    def copy(
        self, table: Table, columns: Sequence[tuple[LogicalType, Column]], batches: Iterable[pa.RecordBatch],
        told: Callable[[int], None],
    ) -> int:  # fmt: skip
        names = ", ".join(self.quote(column.name) for _, column in columns)
        options, data = copying.encoded(columns, batches)
        try:
            with self._driver() as raw, closing(prefetched(data, abandon=lambda: None)) as ahead:
                cursor = raw.cursor()
                with cursor.copy(f"COPY {self.table(table)} ({names}) FROM STDIN{options}") as copy:
                    for piece, rows in ahead:
                        copy.write(piece)
                        told(rows)
                return int(cursor.rowcount)
        except copying.Unwritable as error:
            raise MergeError(
                f"values cannot be copied: {error}", where=table.name, hint="nothing was changed"
            ) from None

    @contextmanager
    def _driver(self) -> Iterator[Any]:
        """Yield the connection of psycopg itself, for what SQLAlchemy does not pass on; its errors become ours."""
        import psycopg

        raw: Any = self.conn.connection.dbapi_connection
        try:
            with interrupts.cancelling(self.cancel):
                yield raw
        except psycopg.Error as error:
            if raw.closed:
                self.conn.invalidate()  # as SQLAlchemy does with what goes through it
                raise self._lost() from None
            interrupts.checkpoint()  # it is why the statement failed
            raise self.explain(DBAPIError("", None, error)) from None

    def binary_rows(self, sql: str) -> list[Any]:
        if not self._is_psycopg:
            return list(self.run(sql).all())
        with self._driver() as raw:
            return list(raw.cursor(binary=True).execute(sql).fetchall())

    def update(
        self, table: Table, keys: Sequence[tuple[str, str]], sets: Sequence[tuple[str, str]], select: str
    ) -> int:
        where = " AND ".join(f"t.{self.quote(c)} = x.{n}" for c, n in keys)
        assigns = ", ".join(f"{self.quote(c)} = x.{n}" for c, n in sets)
        return int(
            self.run(f"UPDATE {self.table(table)} AS t SET {assigns} FROM ({select}) AS x WHERE {where}").rowcount
        )

    def delete(self, table: Table, keys: Sequence[tuple[str, str]], source: str, where: str) -> int:
        on = self._on(table, keys, "t")
        return int(self.run(f"DELETE FROM {self.table(table)} t USING {source} x WHERE {on} AND {where}").rowcount)

    def definition_of(self, table: Table) -> str:
        name = f"to_regclass({literal(self.table(table))})"  # NULL where it is gone
        columns = (
            "SELECT string_agg(concat_ws(' ', attname, format_type(atttypid, atttypmod), attnotnull, attisdropped), "
            f"', ' ORDER BY attnum) FROM pg_attribute WHERE attrelid = {name} AND attnum > 0"
        )
        keys = (
            "SELECT string_agg(concat_ws(' ', oid, conname, convalidated), ', ' ORDER BY oid) FROM pg_constraint "
            f"WHERE conrelid = {name}"
        )
        return str(self.scalar(f"SELECT CASE WHEN {name} IS NULL THEN '' ELSE concat(({columns}), '; ', ({keys})) END"))

    def hold_definitions(self, tables: Sequence[Table]) -> None:
        for table in tables:
            self.at = table.name
            self.run(f"LOCK TABLE {self.table(table)} IN ROW EXCLUSIVE MODE")  # what its rows are inserted under

    def lock_tables(self, tables: Sequence[Table]) -> None:
        for table in tables:
            self.at = table.name
            self.run(f"LOCK TABLE {self.table(table)} IN SHARE ROW EXCLUSIVE MODE")
        self.at = ""

    def prepare_tables(
        self, tables: Sequence[Table], *, suspend: bool, bulk: Sequence[Table], cyclic: Sequence[Table], closed: bool
    ) -> None:
        self._rebuild.take_away(tables, suspend=suspend, bulk=bulk, cyclic=cyclic, closed=closed)

    def restore_tables(self) -> None:
        self._rebuild.put_back()

    def _after_merge(self) -> None:
        self._rebuild.forget()

    def fires_triggers(self, table: Table) -> bool:
        return bool(
            self.scalar(
                "SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal AND tgenabled <> 'D' "
                f"AND tgrelid = {literal(self.table(table))}::regclass"
            )
        )

    def may_alter(self, table: Table) -> bool:
        return self._rebuild.may_alter(table)


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")
