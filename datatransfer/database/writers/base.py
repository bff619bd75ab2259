"""How rows are laid beside a target and brought into it, on any database that SQLAlchemy reaches.

`Writer` is complete on plain SQL; a dialect overrides only what differs or is faster. It holds one connection in
autocommit mode and says BEGIN and COMMIT itself, so that staging, planning and the merge have the transactions that
they need and no other. It knows tables and SQL, nothing of packages and policies.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from datatransfer import interrupts
from datatransfer.database.dialects.failures import database_errors
from datatransfer.database.writers.hashes import RowHashes
from datatransfer.errors import DatabaseError, DataTransferError, MergeError
from datatransfer.failpoints import failpoint
from datatransfer.schema.tables import Column, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa
    from sqlalchemy import Connection

    from datatransfer.database.connection import Database

STAGE_PREFIX = "datatransfer_s_"
LOG_SUFFIX = "_log"
LOCK_SECONDS = 30.0
"""How long a statement of an import waits for another session's lock before it gives up, if nobody says otherwise."""
_BATCH = 1_000


def stage_tables(conn: Connection, schema: str | None) -> list[str]:
    """Return the bare names of all staging tables in a database, whoever made them."""
    with database_errors(conn.engine, "looking for stages"):
        names = sa.inspect(conn).get_table_names(schema=schema)
    return sorted(name for name in names if name.startswith(STAGE_PREFIX))


class Writer(RowHashes):
    """Write access to one target for one import.

    Parameters
    ----------
    db : Database
        The target.
    import_id : uuid.UUID
        Names the staging tables.
    """

    name = "generic"
    #: The database undoes DDL with the transaction.
    transactional_ddl = False
    #: SQL type of a staged value, by kind.
    stage_types: ClassVar[dict[str, str]] = {
        "integer": "BIGINT", "float": "DOUBLE PRECISION", "boolean": "SMALLINT", "bytes": "BLOB", "date": "DATE",
        "time": "TIME", "timestamp": "TIMESTAMP", "timestamptz": "TIMESTAMP WITH TIME ZONE",
    }  # fmt: skip
    text_type = "TEXT"
    insert_words = "INSERT INTO"

    def __init__(self, db: Database, import_id: uuid.UUID) -> None:
        self.db = db
        self.import_id = import_id
        self._conn: Connection | None = None
        self.lost = False
        self.in_merge = False
        self.committing = False
        self.committed = False
        #: The stage names files that are still to be removed, and must stay until they are.
        self.needed = False
        self.session_id = ""
        self.lock_seconds = LOCK_SECONDS
        #: The target table of the statement at work, for errors that the database gives no table for.
        self.at = ""

    # --- the connection -----------------------------------------------------------------------------------------

    @property
    def conn(self) -> Connection:
        """The one connection of this import, in autocommit mode."""
        if self._conn is None:
            conn = self.db.connect()
            self._remember(conn)
            conn = conn.execution_options(isolation_level="AUTOCOMMIT")
            if not self._is_shared:
                conn.detach()  # closed for good afterwards, so that no setting of ours outlives the import
            self._conn = conn
            self._prepare()
        return self._conn

    @property
    def _is_shared(self) -> bool:
        """Whether the engine has one connection for everybody, as for a database in memory."""
        return isinstance(self.db.engine.pool, SingletonThreadPool | StaticPool)

    def _remember(self, conn: Connection) -> None:
        """Note the settings of a connection that may be the user's own, before anything is set."""

    def _prepare(self) -> None:
        """Set what the session needs, once."""

    def run(self, sql: str, parameters: Any = None) -> Any:
        """Execute a statement as the driver takes it.

        Raises
        ------
        MergeError
            The database refused it.
        """
        conn = self.conn
        try:
            with interrupts.held("interrupted"), interrupts.cancelling(self.cancel):
                if parameters is None:
                    return conn.exec_driver_sql(
                        sql, execution_options={"no_parameters": True, "preserve_rowcount": True}
                    )
                return conn.exec_driver_sql(sql, parameters)
        except DBAPIError as error:
            if error.connection_invalidated:
                raise self._lost() from None
            interrupts.checkpoint()  # it is why the statement failed
            raise self.explain(error) from None
        except PendingRollbackError:  # a second signal hit the driver, and SQLAlchemy has given the connection up
            raise self._lost() from None

    def cancel(self) -> None:
        """Make the statement that runs fail; called from another thread, perhaps when there is none any more."""

    def _lost(self) -> DatabaseError:
        self.lost = True
        return DatabaseError("the connection to the database was lost", hint="nothing is half done: resume the import")

    def scalar(self, sql: str) -> Any:
        """Return the first value of the first row."""
        row = self.run(sql).first()
        return None if row is None else row[0]

    def explain(self, error: DBAPIError) -> DataTransferError:
        """Turn a database error into ours; driver messages may hold row values, so only the class is shown."""
        kind = type(error.orig).__name__ if error.orig is not None else type(error).__name__
        return MergeError(
            f"the database refused a statement ({kind}{self.constraint_of(error)})",
            where=self.at,
            hint="nothing was changed; compare the package with the target's constraints",
            evidence={"driver_error": kind},
        )

    def constraint_of(self, error: DBAPIError) -> str:
        """Return the name of the violated constraint if the driver tells it, without values."""
        return ""

    # --- names --------------------------------------------------------------------------------------------------

    def quote(self, name: str) -> str:
        """Quote an identifier."""
        return self.db.dialect.quote(name)

    def table(self, table: Table) -> str:
        """Return the SQL name of a target table."""
        return self.db.dialect.table_sql(table)

    def stage_name(self, kind: str, number: int) -> str:
        """Return the SQL name of a staging table."""
        return self.quote(self._bare_stage_name(kind, number))

    def _bare_stage_name(self, kind: str, number: int) -> str:
        return f"{self._prefix}{kind}{number}"

    # --- staging ------------------------------------------------------------------------------------------------

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

    # --- values -------------------------------------------------------------------------------------------------

    def target_kind(self, source: LogicalType, column: Column) -> LogicalType | None:
        """Return the kind that a target column takes for a package column, None if nothing fits."""
        return column.type

    def fraction_digits(self, column: Column) -> int:
        """Return how many digits of a second a column keeps."""
        return 6

    def stage_values(self, values: pa.Array, kind: LogicalType, column: Column) -> pa.Array:
        """Turn values of a kind into what the staging table takes."""
        return values

    def expression(self, staged: str, kind: LogicalType, column: Column) -> str:
        """Return the SQL that turns a staged value into one of the target column's type."""
        return staged

    def held(self, value: str, column: Column) -> str:
        """Return SQL for a value as the column would hold it: of its type, compared by its collation."""
        return value

    def folded(self, value: str, collation: str) -> str:
        """Return SQL for a staged text that is equal for texts which a collation of SQLite makes equal."""
        return f"lower({value})" if collation == "NOCASE" else f"rtrim({value})"

    def equal(self, left: str, right: str, column: Column | None = None) -> str:
        """Return SQL that is true where two values that are not null are the same key."""
        return f"{left} = {right}"

    def same(self, left: str, right: str, column: Column) -> str:
        """Return SQL that is true where two values are the same, null included, to the last bit."""
        return f"({left} = {right} OR ({left} IS NULL AND {right} IS NULL))"

    def exact_text(self, value: str, column: Column) -> str:
        """Return SQL that is equal for two values only if they are the same to the last bit."""
        return value

    def united(self, value: str, column: Column) -> str:
        """Return SQL for a value that stands in one column with others, staged or of the target's column."""
        return value

    def ordered(self, value: str, kind: LogicalType, column: Column) -> str:
        """Return SQL for a value of a kind, as its column holds it, that is greater for what is later or more."""
        return self.held(value, column)

    def any_value(self, value: str) -> str:
        """Return SQL for one of a group's values."""
        return f"min({value})"

    def uuid_text(self, value: str, column: Column) -> str:
        """Return SQL for a UUID as 32 hexadecimal digits in lower case."""
        return f"lower(replace(CAST({value} AS CHAR(36)), '-', ''))"

    def concat(self, parts: Sequence[str]) -> str:
        """Return SQL that joins texts."""
        return " || ".join(parts)

    # --- merge --------------------------------------------------------------------------------------------------

    @contextmanager
    def merge(self) -> Iterator[None]:
        """Run the one transaction that changes the target; any error rolls all of it back.

        Raises
        ------
        DatabaseError
            The connection was lost; `unanswered` tells whether while the answer to COMMIT was awaited.
        """
        self._before_merge()
        self.run(self._begin_sql())
        self.in_merge = True
        try:
            yield
            failpoint("merge.before_commit")
            interrupts.checkpoint()
            with interrupts.shielded():
                self.committing = True
                self.run("COMMIT")
                self.committing, self.committed = False, True
        except BaseException:
            self._rollback()
            raise
        finally:
            self.in_merge = False
            if not self.lost:
                with interrupts.shielded():
                    self._after_merge()
        failpoint("merge.after_commit")

    @property
    def unanswered(self) -> bool:
        """Whether the connection was lost while the answer to COMMIT was awaited."""
        return self.lost and self.committing

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read in one transaction; inside the merge, in that."""
        if self.in_merge:
            yield
            return
        self.run("BEGIN")
        try:
            yield
        finally:
            self._rollback()

    def end_session(self, session_id: str) -> None:
        """Make sure that a lost session of ours is over, so that what it committed can be seen and nothing follows."""

    def _begin_sql(self) -> str:
        return "BEGIN"

    @interrupts.shielded()
    def _rollback(self) -> None:
        """Roll back on the way of an error; where the connection is gone, the server has done so."""
        if not self.lost:
            self.run("ROLLBACK")

    def _before_merge(self) -> None:
        """Set what cannot be set inside a transaction."""

    def _after_merge(self) -> None:
        """Put back what `_before_merge` set."""

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Keep other imports into this database from merging meanwhile, where what follows is not in a transaction."""
        yield

    def locking(self, alias: str, *, shared: bool = False) -> str:
        """Return what ends a SELECT so that its rows of one table stay until the merge ends.

        Parameters
        ----------
        alias : str
            Of the table.
        shared : bool
            Others may change the rows, and not delete them; empty where foreign keys see to that.
        """
        return ""

    def enforce_references(self, enforce: bool) -> None:
        """Have the database look up the parents of rows that are inserted from now on, where it can be asked not to."""

    def rows_at_once(self, table: Table) -> int:
        """Return how many rows one statement may insert, 0 for any number."""
        return 0

    def reserve(self, table: Table, column: Column, top: int) -> int | None:
        """Keep the keys up to one for this import: the database gives others only higher ones from now on.

        A target that is in use goes on inserting while an import is planned and merged. Keys that are not used in the
        end are lost, as after any rollback.

        Returns
        -------
        int or None
            The last key that the database had given before; None if it gives no keys, or cannot be asked to.
        """
        return None

    def let_others_end(self) -> None:
        """Wait, a second at most, for the transactions that are at work now, so that what they write can be seen."""

    def insert(self, table: Table, columns: Sequence[Column], select: str) -> int:
        """Insert the rows of a SELECT; return how many."""
        names = ", ".join(self.quote(column.name) for column in columns)
        return int(self.run(f"{self.insert_words} {self.table(table)} ({names}) {select}").rowcount)

    def update(
        self, table: Table, keys: Sequence[tuple[str, str]], sets: Sequence[tuple[str, str]], select: str
    ) -> int:
        """Update rows from a SELECT.

        Parameters
        ----------
        table : Table
        keys, sets : sequence of (column name, name in the SELECT)
        select : str
            Gives one row for each row to update.
        """
        where = " AND ".join(f"{self.table(table)}.{self.quote(c)} = x.{n}" for c, n in keys)
        assigns = ", ".join(f"{self.quote(c)} = (SELECT x.{n} FROM ({select}) x WHERE {where})" for c, n in sets)
        exists = f"EXISTS (SELECT 1 FROM ({select}) x WHERE {where})"
        return int(self.run(f"UPDATE {self.table(table)} SET {assigns} WHERE {exists}").rowcount)

    def delete(self, table: Table, keys: Sequence[tuple[str, str]], source: str, where: str) -> int:
        """Delete the rows of a table that a staging table names.

        Parameters
        ----------
        table : Table
        keys : sequence of (column name, name in the staging table)
        source : str
            The staging table, known as ``x`` in ``where``.
        """
        name = self.table(table)
        on = self._on(table, keys, name)
        return int(
            self.run(f"DELETE FROM {name} WHERE EXISTS (SELECT 1 FROM {source} x WHERE {on} AND {where})").rowcount
        )

    def _on(self, table: Table, keys: Sequence[tuple[str, str]], alias: str) -> str:
        columns = table.by_name
        return " AND ".join(f"{alias}.{self.quote(c)} = {self.held(f'x.{n}', columns[c])}" for c, n in keys)

    def lock_tables(self, tables: Sequence[Table]) -> None:
        """Inside the merge: keep other sessions from writing into these tables until it ends."""

    def prepare_tables(
        self, tables: Sequence[Table], *, suspend: bool, bulk: Sequence[Table], cyclic: Sequence[Table], closed: bool
    ) -> None:
        """Inside the merge: let triggers rest, and take away what makes bulk inserts slow or cycles impossible.

        Triggers of tables that `may_alter` denies go on firing.
        """

    def restore_tables(self) -> None:
        """Inside the merge: put back everything that `prepare_tables` took away."""

    def fires_triggers(self, table: Table) -> bool:
        """Whether the table has triggers that fire during the merge."""
        return False

    def may_alter(self, table: Table) -> bool:
        """Whether the merge may put a table's triggers to rest, and take its keys and indexes away for a while."""
        return False

    def sequence_of(self, table: Table, column: Column) -> str | None:
        """Return the SQL name of the sequence that gives a column its values, None if there is none."""
        return None

    def advance_sequences(self, table: Table) -> None:
        """Make the next key that the database gives itself a free one."""

    @interrupts.shielded()
    def close(self) -> None:
        """Give the connection back."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None
