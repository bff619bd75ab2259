"""Bringing rows into SQLite: staged in a sidecar file, merged by INSERT … SELECT from it."""

from __future__ import annotations

import time
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError

from datatransfer import interrupts
from datatransfer.database.writers.base import Writer
from datatransfer.database.writers.sqlite_expressions import SQLiteExpressions
from datatransfer.database.writers.sqlite_hashes import HASH, SQLiteHashes, row_hash
from datatransfer.database.writers.sqlite_staging import SQLiteStaging, sidecar_errors
from datatransfer.errors import DatabaseError, PrivilegeError
from datatransfer.events import Cancellation
from datatransfer.schema.tables import Column, Table

if TYPE_CHECKING:
    from datatransfer.database.connection import Database

_GLANCE_MILLISECONDS = 200
_SETTINGS = ("trusted_schema", "cache_size", "busy_timeout", "read_uncommitted")


class SQLiteWriter(SQLiteStaging, SQLiteExpressions, SQLiteHashes, Writer):
    """Write access to a SQLite database, in a file or in memory."""

    name = "sqlite"
    transactional_ddl = True
    insert_words = "INSERT OR ABORT INTO"  # whatever ON CONFLICT says in the table: REPLACE would delete rows

    def __init__(self, db: Database, import_id: uuid.UUID) -> None:
        super().__init__(db, import_id)
        self._put_back: list[str] = []
        self._enforced = False
        self._raw: Any = None
        self._isolation: str | None = ""
        self._settings: dict[str, int] = {}

    def _remember(self, conn: Any) -> None:
        raw: Any = conn.connection.dbapi_connection
        cursor = raw.cursor()
        self._settings = {name: cursor.execute(f"PRAGMA {name}").fetchone()[0] for name in _SETTINGS}
        self._raw, self._isolation = raw, raw.isolation_level
        cursor.close()

    def _prepare(self) -> None:
        for pragma in (
            "trusted_schema = OFF",
            "cache_size = -65536",
            f"busy_timeout = {self._milliseconds}",
        ):
            self.run(f"PRAGMA {pragma}")
        self._raw = self.conn.connection.dbapi_connection
        self._raw.create_function(HASH, -1, row_hash, deterministic=True)

    def cancel(self) -> None:
        if self._raw is not None:
            self._raw.interrupt()

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

    @interrupts.shielded()
    def close(self) -> None:
        opened = self._conn is not None
        try:
            self.end_ahead()
            super().close()
        finally:
            if opened and self._is_shared:  # the pool has just set what SQLAlchemy takes for usual
                self._put_settings_back()

    def _put_settings_back(self) -> None:
        """Leave a connection as it was: that of a database in memory may be the user's own."""
        with sidecar_errors("giving the connection back"):
            for name, value in self._settings.items():
                self._raw.execute(f"PRAGMA {name} = {value}")
        self._raw.isolation_level = self._isolation

    # --- merge --------------------------------------------------------------------------------------------------

    def _begin(self, asked: Cancellation) -> None:
        until = time.monotonic() + self.lock_seconds
        self.run(f"PRAGMA busy_timeout = {_GLANCE_MILLISECONDS}")  # a wait for a lock cannot be interrupted
        try:
            while True:
                asked.check()
                try:
                    self.run("BEGIN IMMEDIATE")
                except DatabaseError as error:
                    if self.lost or not error.retryable or time.monotonic() > until:
                        raise
                else:
                    return
        finally:
            self.run(f"PRAGMA busy_timeout = {self._milliseconds}")

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

    def definition_of(self, table: Table) -> str:
        found = self.run(
            "SELECT sql FROM main.sqlite_master WHERE type IN ('table', 'index') AND lower(tbl_name) = lower(?) "
            "ORDER BY sql",
            (table.bare_name or table.name,),
        ).scalars()
        return "; ".join(sql or "" for sql in found)

    def fires_triggers(self, table: Table) -> bool:
        found = self.run(
            "SELECT count(*) FROM main.sqlite_master WHERE type = 'trigger' AND lower(tbl_name) = lower(?)",
            (table.bare_name or table.name,),
        ).scalar()
        return bool(found)

    def may_alter(self, table: Table) -> bool:
        return True
