"""Bringing rows into MariaDB and MySQL: staged in InnoDB tables without keys of their own, merged by INSERT … SELECT.

DDL commits implicitly here, so everything that needs DDL happens before the merge's transaction; triggers cannot rest.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from datatransfer import interrupts
from datatransfer.database.dialects.failures import driver_message, privilege_error
from datatransfer.database.dialects.locks import held_tables
from datatransfer.database.dialects.mariadb import AS_CHAR
from datatransfer.database.writers.base import Writer
from datatransfer.database.writers.mariadb_hashes import MariaDBHashes
from datatransfer.database.writers.mariadb_refusals import refuse_changed
from datatransfer.database.writers.session import refused_by_trigger
from datatransfer.errors import DatabaseError, MergeError, PrivilegeError
from datatransfer.schema.tables import Column, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

_LOCKED = (1205, 1213)
_NONE = re.compile(r"(?!)")
_NAMED = re.compile(r"constraint [`'](.+?)[`'] (?:failed|is violated|FOREIGN)", re.IGNORECASE)
#: Where the server's messages name a constraint; what else they quote may be a value.
_COLUMN = re.compile(r".* for column (?:`[^`]*`\.)*[`']([^`']+)[`'] at row \d+$", re.DOTALL)
#: A number is out of range, a value is cut, has another form, or is too long.
_NO_ROOM = (1264, 1265, 1366, 1406)
_CONSTRAINT = {4025: _NAMED, 3819: _NAMED, 1452: _NAMED, 1062: re.compile(r" for key '([^']*)'$")}
#: Access to a database, table, column or routine, or a privilege of the whole server, is denied.
_DENIED = (1044, 1142, 1143, 1227, 1345, 1370)
_BYTES = {
    "tinytext": 255,
    "text": 65535,
    "mediumtext": 2**24 - 1,
    "tinyblob": 255,
    "blob": 65535,
    "mediumblob": 2**24 - 1,
}
_TEXTS = ("text", "json", "enum", "native", "uuid")
_REWRITTEN = re.compile(r"(uuid|inet4|inet6|time(\(\d\))?)$")
#: Character sets that are not compared with utf8mb4.
_WIDE = ("ucs2", "utf16", "utf32")
_ROWS_AT_ONCE = 10_000
#: PARTITION BY takes texts for the same that are so up to here, by default 1024 bytes; keys have up to 3072.
_SORTED_BYTES = 8192
_SORT_BUFFER = 32 << 20  # a sort holds 15 keys at least, of all the columns of a wide table
_MERGE_LOCK = "concat('dtmerge_', md5(DATABASE()))"  # names of locks hold for the whole server, and 64 characters


class MariaDBWriter(MariaDBHashes, Writer):
    """Write access to a MariaDB or MySQL database."""

    name = "mariadb"
    stage_types: ClassVar[dict[str, str]] = {
        "integer": "BIGINT", "float": "DOUBLE", "boolean": "TINYINT", "bytes": "LONGBLOB", "date": "DATE",
        "time": "TIME(6)", "timestamp": "DATETIME(6)", "timestamptz": "DATETIME(6)",
    }  # fmt: skip
    text_type = "LONGTEXT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"

    def _prepare(self) -> None:
        self._filled: set[str] = set()
        self._tells_transactions = bool(self.db.engine.dialect.is_mariadb)  # type: ignore[attr-defined]
        seconds = max(1, round(self.lock_seconds))  # the server counts in whole ones
        self.run(
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_AUTO_VALUE_ON_ZERO,NO_ENGINE_SUBSTITUTION', "
            f"time_zone = '+00:00', innodb_lock_wait_timeout = {seconds}, lock_wait_timeout = {seconds}, "
            f"max_sort_length = {_SORTED_BYTES}, sort_buffer_size = {_SORT_BUFFER}"
        )
        # Otherwise INSERT … SELECT, with which plans are made, locks every row and gap of the target that it reads.
        if not self._statements_are_logged():
            self.run("SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED")
        self.session_id = str(self.scalar("SELECT CONNECTION_ID()"))

    def cancel(self) -> None:
        if self.session_id:
            # Where that fails, the statement runs to its end.
            with contextlib.suppress(SQLAlchemyError), self.db.engine.connect() as other:
                other.exec_driver_sql(f"KILL QUERY {int(self.session_id)}")

    def _statements_are_logged(self) -> bool:
        """Whether the server replicates statements as they are, for which it wants the locks of REPEATABLE READ."""
        return bool(self.scalar("SELECT @@log_bin = 1 AND @@binlog_format = 'STATEMENT'"))

    def explain(self, error: DBAPIError) -> Any:
        number = error.orig.args[0] if error.orig is not None and error.orig.args else 0
        if refused_by_trigger(error.orig):
            return self.trigger_error()
        if number in _LOCKED:
            # The server does not say what was waited for, a row or a whole table.
            where = self.at or ", ".join(held_tables(self.db.engine, error.statement or ""))
            return DatabaseError(
                "another session holds a lock for too long", where=where, hint="try again when it is done"
            )
        if number in _DENIED:
            said = driver_message(error)
            hint = "nothing was changed; grant it, or use another account"
            return privilege_error(said, where=self.at) or PrivilegeError(said, where=self.at, hint=hint)
        return MergeError(
            f"the database refused a statement (error {number}{self.constraint_of(error)})",
            where=self.at,
            hint="nothing was changed; compare the package with the target's constraints",
            evidence={"driver_error": number},
        )

    def constraint_of(self, error: DBAPIError) -> str:
        arguments = error.orig.args if error.orig is not None else ()
        if len(arguments) > 1 and arguments[0] in _NO_ROOM and (column := _COLUMN.match(str(arguments[1]))):
            return f": column {column[1]}"
        found = _CONSTRAINT.get(arguments[0], _NONE).search(str(arguments[1])) if len(arguments) > 1 else None
        return f": {found[1]}" if found else ""

    def hold(self, *, fresh: bool = False) -> bool:
        return bool(self.scalar(f"SELECT GET_LOCK('{self._prefix}stage', 0)") == 1)

    def stage_type(self, kind: LogicalType) -> str:
        if kind.kind == "integer" and kind.unsigned:
            return "BIGINT UNSIGNED"
        return super().stage_type(kind)

    def key_type(self, column: Column) -> str:
        if column.type.kind in ("text", "enum", "json"):
            collation = column.collation if column.collation.startswith(_WIDE) else "utf8mb4_bin"
            return f"VARCHAR(700) CHARACTER SET {collation.split('_')[0]} COLLATE {collation}"
        return re.sub(r"\bauto_increment\b", "", column.declared, flags=re.IGNORECASE)

    def _stage_options(self) -> str:
        return " ENGINE=InnoDB"

    def index(self, kind: str, number: int, columns: Sequence[str]) -> None:
        name = self._bare_stage_name(kind, number)
        types = dict(
            self.run(
                "SELECT column_name, data_type FROM information_schema.columns "
                f"WHERE table_schema = DATABASE() AND table_name = '{name}'"
            ).all()
        )
        parts = [f"{c}(190)" if types[c] in ("longtext", "longblob") else c for c in columns]
        index = self.quote(f"{name}_{'_'.join(columns)}"[:60])
        self.run(f"CREATE INDEX IF NOT EXISTS {index} ON {self.quote(name)} ({', '.join(parts)})")

    def target_kind(self, source: LogicalType, column: Column) -> LogicalType | None:
        if source.kind == "boolean" and column.type.kind == "integer":
            return column.type
        return column.type

    def fraction_digits(self, column: Column) -> int:
        if not re.match("time|datetime", column.declared.lower()):
            return super().fraction_digits(column)  # points stand in addresses and in the labels of a SET too
        found = re.search(r"\((\d)\)", column.declared)
        return int(found.group(1)) if found else 0

    def refuse_changed(self, values: pa.Array, source: Column, column: Column) -> None:
        refuse_changed(values, source, column)

    def stage_values(self, values: pa.Array, kind: LogicalType, column: Column) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        from datatransfer.errors import ValueLossError

        if kind.kind == "float" and pc.all(pc.is_finite(values), min_count=0).as_py() is False:
            hint = "repair the value in the source, or let the target's column hold text"
            raise ValueLossError("a float is not finite, which MariaDB cannot store", where=column.name, hint=hint)
        room = _BYTES.get(column.declared.lower())
        if room and (pc.max(pc.binary_length(values)).as_py() or 0) > room:
            raise ValueLossError(
                f"a value is longer than the {room} bytes of {column.declared}", where=column.name,
                hint="declare a longer type in the target, such as LONGTEXT or LONGBLOB",
            )  # fmt: skip
        if kind.kind == "timestamptz":
            return values.cast(pa.timestamp("us"))
        return values

    def expression(self, staged: str, kind: LogicalType, column: Column) -> str:
        if kind.kind == "decimal":
            return f"CAST({staged} AS DECIMAL({kind.precision or 65},{kind.scale or 0}))"
        if kind.kind == "float" and column.type.bits == 32:
            return f"CAST({staged} AS FLOAT)"
        return staged

    def held(self, value: str, column: Column) -> str:
        if not column.collation or column.type.kind in ("bytes", "uuid"):
            return value
        return f"CONVERT({value} USING {column.collation.split('_')[0]}) COLLATE {column.collation}"

    def equal(self, left: str, right: str, column: Column | None = None) -> str:
        if column is not None and column.collation.startswith(_WIDE):
            left, right = (f"CONVERT({value} USING utf8mb4) COLLATE utf8mb4_bin" for value in (left, right))
        return super().equal(left, right, column)

    def kept(self, value: str, kind: LogicalType, column: Column) -> str:
        if kind.kind == "float":
            return f"CAST({value} AS DOUBLE)"  # a FLOAT is shown rounded
        if column.declared.startswith("bit"):
            return f"{value} + 0"
        return f"CAST({value} AS CHAR)" if kind.kind in AS_CHAR else value

    def same(self, left: str, right: str, column: Column) -> str:
        if column.type.kind not in _TEXTS:
            return f"({left} <=> {right})"
        left, right = (self._shown(value, column) for value in (left, right))
        return f"({self._bytes(left, column)} <=> {self._bytes(right, column)})"

    def is_default(self, value: str, column: Column) -> str:
        return self.same(value, f"DEFAULT({value})", column)  # a FLOAT's own 0.1 is not that of SQL

    @staticmethod
    def _shown(value: str, column: Column) -> str:
        """Return SQL for a value as its column shows it, where one value is written in several ways."""
        kind = column.declared.lower()
        if not _REWRITTEN.match(kind):
            return value
        return f"coalesce(CAST(CAST({value} AS {kind}) AS CHAR), {value})"

    @staticmethod
    def _bytes(value: str, column: Column) -> str:
        """Return SQL for the bytes of a text in one character set, whatever that of its column is."""
        text = f"CONVERT({value} USING utf8mb4)"
        if column.declared.lower().startswith("char"):  # CHAR gives its values back without trailing spaces
            text = f"RTRIM({text})"
        return f"CAST({text} AS BINARY)"

    def concat(self, parts: Sequence[str]) -> str:
        return f"concat({', '.join(parts)})"

    def united(self, value: str, column: Column) -> str:
        if column.type.kind not in _TEXTS:
            return value
        return self._bytes(self._shown(value, column), column)  # character sets do not mix

    def _begin_sql(self) -> str:
        return "START TRANSACTION"

    def _before_merge(self) -> None:
        # References are verified by the plan; here they would be verified row by row, and cycles not at all.
        self._one_merge_at_a_time()
        self.run("SET SESSION foreign_key_checks = 0")

    def _after_merge(self) -> None:
        self.run("SET SESSION foreign_key_checks = 1, unique_checks = 1")
        self.run(f"DO RELEASE_LOCK({_MERGE_LOCK})")

    def _one_merge_at_a_time(self) -> None:
        """Wait until other imports into this database have committed: they would wait for each other in a circle."""
        if self.scalar(f"SELECT GET_LOCK({_MERGE_LOCK}, {self.lock_seconds})") != 1:
            raise DatabaseError("another import into this database takes too long", hint="try again when it is done")

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        self._one_merge_at_a_time()
        try:
            yield
        finally:
            if not self.lost:
                with interrupts.shielded():
                    self.run(f"DO RELEASE_LOCK({_MERGE_LOCK})")

    def locking(self, alias: str, *, shared: bool = False) -> str:
        return " LOCK IN SHARE MODE" if shared else " FOR UPDATE"

    def enforce_references(self, enforce: bool) -> None:
        self.run(f"SET SESSION foreign_key_checks = {int(enforce)}")

    def end_session(self, session_id: str) -> None:
        # A server that was started anew counts from the beginning, and that number may be an application's session.
        if str(self.scalar(f"SELECT IS_USED_LOCK({_MERGE_LOCK})")) == session_id:
            with contextlib.suppress(MergeError):  # it is gone already
                self.run(f"KILL CONNECTION {int(session_id)}")
        self._one_merge_at_a_time()
        self.run(f"DO RELEASE_LOCK({_MERGE_LOCK})")

    def run(self, sql: str, parameters: Any = None) -> Any:
        if self.in_merge and sql.lstrip()[:6].upper() in ("CREATE", "ALTER ", "DROP T", "TRUNCA", "RENAME"):
            raise MergeError("DDL inside the merge would commit it", hint="this is an error of the library")
        if self.in_merge and sql.lstrip()[:6].upper() in ("INSERT", "UPDATE", "DELETE", "COMMIT"):
            self._refuse_committed()
        return super().run(sql, parameters)

    def _refuse_committed(self) -> None:
        """Refuse to go on where something has ended the transaction: what follows would be committed one by one.

        Raises
        ------
        MergeError
        """
        if self._tells_transactions and not super().run("SELECT @@in_transaction").scalar():
            raise MergeError(
                "something committed the merge half way: DDL, or another user of its connection", where=self.at,
                hint="nothing more was written, and no receipt; rows of this import may have stayed",
            )  # fmt: skip

    def prepare_tables(
        self, tables: Sequence[Table], *, suspend: bool, bulk: Sequence[Table], cyclic: Sequence[Table], closed: bool
    ) -> None:
        self._filled = {table.name for table in bulk}

    def rows_at_once(self, table: Table) -> int:
        # A statement that inserts keys into an AUTO_INCREMENT column keeps all others from inserting until it ends.
        return 0 if table.name in self._filled else _ROWS_AT_ONCE

    def insert(self, table: Table, columns: Sequence[Column], select: str) -> int:
        # An empty table is filled at one go, which is allowed only where nobody asks for unique keys row by row.
        self.run(f"SET SESSION unique_checks = {int(table.name not in self._filled)}")
        return super().insert(table, columns, select)

    def reserve(self, table: Table, column: Column, top: int) -> int | None:
        last = self._last_given(table)
        if last is None or last >= top:
            return last
        alone = tuple(table.key) == (column.name,) and not self.in_merge and not self.fires_triggers(table)
        if not alone or not self._give_only_above(table, column, top):
            return None  # whether the keys are still free is seen in the merge
        self.run("SET TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")  # of the next statement: others may be at work
        key = self.quote(column.name)
        return int(self.scalar(f"SELECT max({key}) FROM {self.table(table)} WHERE {key} <= {top}") or 0)

    def _last_given(self, table: Table) -> int | None:
        """Return the last key that a table of InnoDB has given; None where it gives none."""
        next_one = self.scalar(
            "SELECT auto_increment FROM information_schema.tables "
            f"WHERE {self._is('table_schema', 'table_name', table)} AND engine = 'InnoDB'"
        )
        return None if next_one is None else int(next_one) - 1

    def _give_only_above(self, table: Table, column: Column, top: int) -> bool:
        """Let a table give only keys above one; changes nothing else. False where it cannot be brought to.

        One statement inserts two rows of that key, so that it fails and leaves none of them, whenever it ends; but what
        InnoDB has counted stays counted. ``ALTER TABLE … AUTO_INCREMENT`` would lock the tables that its references
        name too, and end the transactions of others that insert parents and then children in a deadlock (10.11).
        """
        settings = "innodb_lock_wait_timeout = 1, foreign_key_checks = 0, check_constraint_checks = 0"
        rows = f"INSERT INTO {self.table(table)} ({self.quote(column.name)}) SELECT {top} UNION ALL SELECT {top}"
        with contextlib.suppress(DatabaseError, MergeError):  # the counter shows whether it had its effect
            self.run(f"SET STATEMENT {settings}, sql_mode = 'NO_AUTO_VALUE_ON_ZERO' FOR {rows}")
        return (self._last_given(table) or 0) >= top

    @staticmethod
    def _is(schema: str, name: str, table: Table) -> str:
        """Return the condition that columns of the information schema name a table."""
        bare = (table.bare_name or table.name).replace("\\", "\\\\").replace("'", "''")
        owner = f"'{table.db_schema}'" if table.db_schema else "DATABASE()"
        return f"{schema} = {owner} AND {name} = '{bare}'"

    def update(
        self, table: Table, keys: Sequence[tuple[str, str]], sets: Sequence[tuple[str, str]], select: str
    ) -> int:
        on = " AND ".join(f"t.{self.quote(c)} = x.{n}" for c, n in keys)
        assigns = ", ".join(f"t.{self.quote(c)} = x.{n}" for c, n in sets)
        result = self.run(f"UPDATE {self.table(table)} t JOIN ({select}) x ON {on} SET {assigns}")
        return int(result.rowcount)

    def delete(self, table: Table, keys: Sequence[tuple[str, str]], source: str, where: str) -> int:
        on = self._on(table, keys, "t")
        return int(self.run(f"DELETE t FROM {self.table(table)} t JOIN {source} x ON {on} WHERE {where}").rowcount)

    def definition_of(self, table: Table) -> str:
        named = self._is("table_schema", "table_name", table)
        columns = "SELECT concat_ws(' ', column_name, column_type, is_nullable) FROM information_schema.columns"
        keys = (
            "SELECT concat_ws(' ', constraint_name, column_name, referenced_table_name, referenced_column_name) "
            "FROM information_schema.key_column_usage"
        )
        return "; ".join(sorted(self.run(f"{columns} WHERE {named} UNION ALL {keys} WHERE {named}").scalars()))

    def hold_definitions(self, tables: Sequence[Table]) -> None:
        for table in tables:
            self.at = table.name
            # Locks no row, but the table's metadata, as writing does: beside a SELECT alone an ALTER that copies the
            # table would begin, and the merge then wait for it in a circle.
            self.run(f"SELECT 1 FROM {self.table(table)} LIMIT 0 FOR UPDATE")

    def fires_triggers(self, table: Table) -> bool:
        named = self._is("event_object_schema", "event_object_table", table)
        return bool(self.scalar(f"SELECT count(*) FROM information_schema.triggers WHERE {named}"))
