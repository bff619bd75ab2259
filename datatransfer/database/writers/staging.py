"""The tables of a stage: rows laid beside a target, what planning makes of them, and the log of their import.

A stage outlives the process that made it. Its log says who works on it and which parts are there, each noted in the
transaction that brought it, so that an import can be resumed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa

from datatransfer import interrupts
from datatransfer.database.dialects.failures import database_errors
from datatransfer.database.writers.session import Session
from datatransfer.errors import DatabaseError
from datatransfer.failpoints import failpoint
from datatransfer.schema.tables import Column
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection

    from datatransfer.database.connection import Database

STAGE_PREFIX = "datatransfer_s_"
LOG_SUFFIX = "_log"
_BATCH = 1_000


def stage_tables(conn: Connection, schema: str | None) -> list[str]:
    """Return the bare names of all staging tables in a database, whoever made them."""
    with database_errors(conn.engine, "looking for stages"):
        names = sa.inspect(conn).get_table_names(schema=schema)
    return sorted(name for name in names if name.startswith(STAGE_PREFIX))


class StagingTables(Session):
    """The part of a writer that stages rows."""

    #: SQL type of a staged value, by kind.
    stage_types: ClassVar[dict[str, str]] = {
        "integer": "BIGINT", "float": "DOUBLE PRECISION", "boolean": "SMALLINT", "bytes": "BLOB", "date": "DATE",
        "time": "TIME", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMP WITH TIME ZONE",
    }  # fmt: skip
    text_type = "TEXT"
    #: The stage names files that are still to be removed, and must stay until they are.
    needed = False

    def stage_name(self, kind: str, number: int) -> str:
        """Return the SQL name of a staging table."""
        return self.quote(self._bare_stage_name(kind, number))

    def _bare_stage_name(self, kind: str, number: int) -> str:
        return f"{self._prefix}{kind}{number}"

    def stage_type(self, kind: LogicalType) -> str:
        """Return the SQL type in which a value of a kind is staged."""
        return self.stage_types.get(kind.kind, self.text_type)

    def key_type(self, column: Column) -> str:
        """Return the SQL type of a target key in a map."""
        return column.declared

    def key_type_of(self, kind: LogicalType) -> str:
        """Return the SQL type of a staged key that is joined with staged rows."""
        return self.stage_type(kind)

    def create(self, kind: str, number: int, columns: Sequence[tuple[str, str]], *, keyed: bool = True) -> str:
        """Create a staging table; ``keyed`` makes its first column the primary key."""
        name = self.stage_name(kind, number)
        lines = [f"{column} {sql_type}".strip() for column, sql_type in columns]
        if keyed:
            lines[0] += " NOT NULL PRIMARY KEY"
        self.run(f"CREATE {self._stage_words()}TABLE {name} ({', '.join(lines)}){self._stage_options()}")
        return name

    def recreate(self, kind: str, number: int, columns: Sequence[tuple[str, str]]) -> str:
        """Create a staging table in place of one that holds nothing of use, and forget the checkpoints of that."""
        self.run(f"DROP TABLE IF EXISTS {self.stage_name(kind, number)}")
        self.run(f"DELETE FROM {self.log_name} WHERE name LIKE 'part {int(number)}:%'")
        return self.create(kind, number, columns)

    def create_as(self, kind: str, number: int, select: str) -> str:
        """Create a staging table from a SELECT."""
        name = self.stage_name(kind, number)
        self.run(f"CREATE {self._stage_words()}TABLE {name} AS {select}")
        return name

    def _stage_words(self) -> str:
        return ""

    def _stage_options(self) -> str:
        return ""

    def load(
        self, kind: str, number: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, checkpoint: str = ""
    ) -> int:
        """Bring batches into a staging table and return how many rows came.

        Parameters
        ----------
        checkpoint : str, optional
            Noted in the log with the number of rows, in the same transaction.
        """
        name = self.stage_name(kind, number)
        marks = ", ".join([self._mark()] * len(schema.names))
        insert = f"INSERT INTO {name} ({', '.join(schema.names)}) VALUES ({marks})"
        rows = 0
        self.run("BEGIN")
        try:
            for batch in batches:
                lists = [self.python_values(column) for column in batch.columns]
                for start in range(0, batch.num_rows, _BATCH):
                    self.run(insert, list(zip(*(values[start : start + _BATCH] for values in lists), strict=True)))
                rows += batch.num_rows
            if checkpoint:
                self.run(self._checkpoint_sql(checkpoint, rows))
                failpoint("stage.before_commit")
        except BaseException:
            self._rollback()
            raise
        with interrupts.shielded():
            self.run("COMMIT")
        if checkpoint:
            failpoint("stage.after_commit")
        return rows

    def python_values(self, column: pa.Array) -> list[Any]:
        """Return a staged column as the values that the driver binds."""
        return list(column.to_pylist())

    def _mark(self) -> str:
        return {"qmark": "?", "format": "%s", "pyformat": "%s"}[self.db.engine.dialect.paramstyle]

    def index(self, kind: str, number: int, columns: Sequence[str]) -> None:
        """Index a staging table for joins on these columns."""
        name = self._bare_stage_name(kind, number)
        index = self.quote(f"{name}_{'_'.join(columns)}"[:60])
        self.run(f"CREATE INDEX {index} ON {self.quote(name)} ({', '.join(columns)})")

    def analyze(self, kind: str, number: int) -> None:
        """Tell the query planner of the database what a staging table holds now."""

    @interrupts.shielded()
    def drop_stage(self) -> None:
        """Remove the stage of this import: every table of its name, also of a process that was killed."""
        for name in sorted(self._staged_tables(), key=lambda name: name.endswith(LOG_SUFFIX)):
            self.run(f"DROP TABLE IF EXISTS {self._stage_sql(name)}")

    def forget_stage(self) -> None:
        """Remove all that was staged and planned, with the checkpoints, and keep what the log says of the import."""
        for name in self._staged_tables():
            if not name.endswith(LOG_SUFFIX[1:]):
                self.run(f"DROP TABLE IF EXISTS {self._stage_sql(name)}")
        self.run(f"DELETE FROM {self.log_name} WHERE name LIKE 'part %'")

    def drop_planned(self, keep: str = "s") -> None:
        """Remove what planning made, and leave the log and tables of these kinds, as a rule the staged rows."""
        kept = re.compile(rf"{re.escape(self._prefix)}([{keep}]\d+|{LOG_SUFFIX[1:]})$")
        for name in self._staged_tables():
            if not kept.match(name):
                self.run(f"DROP TABLE IF EXISTS {self._stage_sql(name)}")

    @property
    def _prefix(self) -> str:
        return f"{STAGE_PREFIX}{self.import_id.hex[:12]}_"

    def _stage_sql(self, bare: str) -> str:
        return self.quote(bare)

    def _staged_tables(self) -> list[str]:
        """Return the bare names of this import's tables."""
        return [name for name in stage_tables(self.conn, self.db.dialect.default_schema) if self._prefix in name]

    # --- the log of the stage -----------------------------------------------------------------------------------

    def open_log(self) -> None:
        """Make the log, where the session and the checkpoints of this import are kept."""
        self.run(
            f"CREATE TABLE {self.log_name} (name VARCHAR(200) NOT NULL PRIMARY KEY, "
            f"value {self.text_type} NOT NULL){self._stage_options()}"
        )

    @property
    def log_name(self) -> str:
        """The SQL name of the log."""
        return self._stage_sql(self._prefix[:-1] + LOG_SUFFIX)

    def note(self, name: str, value: str) -> None:
        """Write into the log, in a transaction of its own; what stood there is replaced."""
        mark = self._mark()
        self.run("BEGIN")
        try:
            self.run(f"DELETE FROM {self.log_name} WHERE name = {mark}", (name,))
            self.run(f"INSERT INTO {self.log_name} (name, value) VALUES ({mark}, {mark})", (name, value))
        except BaseException:
            self._rollback()
            raise
        with interrupts.shielded():
            self.run("COMMIT")

    def noted(self) -> dict[str, str]:
        """Return what the log says."""
        return {str(name): str(value) for name, value in self.run(f"SELECT name, value FROM {self.log_name}").all()}

    def _checkpoint_sql(self, name: str, rows: int) -> str:
        """Return SQL that notes a checkpoint; its name is ours."""
        return f"INSERT INTO {self.log_name} (name, value) VALUES ('{name}', '{int(rows)}')"

    @classmethod
    def logs(cls, db: Database) -> dict[str, dict[str, str]]:
        """Return what the logs of all stages in a database say, by the part of the import's id that names them."""
        found: dict[str, dict[str, str]] = {}
        schema = db.dialect.default_schema
        # Each statement by itself: others make and drop stages at the same time.
        with db.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
            for name in stage_tables(conn, schema):
                if not name.endswith(LOG_SUFFIX):
                    continue
                quoted = f"{db.dialect.quote(schema)}.{db.dialect.quote(name)}" if schema else db.dialect.quote(name)
                try:
                    with database_errors(db.engine, "reading a stage"):
                        rows = conn.exec_driver_sql(f"SELECT name, value FROM {quoted}").all()
                except DatabaseError:
                    if name in stage_tables(conn, schema):
                        raise
                    continue  # its import has just ended
                prefix = name.removeprefix(STAGE_PREFIX).removesuffix(LOG_SUFFIX)
                found[prefix] = {str(key): str(value) for key, value in rows}
        return found

    def hold(self, *, fresh: bool = False) -> bool:
        """Claim this stage for this process until it ends; False if another process holds it.

        Parameters
        ----------
        fresh : bool
            It is new, so that another can only be looking whether anybody holds it: that is waited for.
        """
        return True
