"""The one connection that an import has into its target: its settings, statements and transactions.

It is in autocommit mode, and BEGIN and COMMIT are said here, so that staging, planning and the merge have the
transactions that they need and no other. What a statement says is not known here.
"""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy.exc import DBAPIError, PendingRollbackError
from sqlalchemy.pool import SingletonThreadPool, StaticPool

from datatransfer import interrupts
from datatransfer.errors import DatabaseError, DataTransferError, MergeError
from datatransfer.events import Cancellation
from datatransfer.failpoints import failpoint
from datatransfer.schema.tables import Table

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from datatransfer.database.connection import Database

LOCK_SECONDS = 30.0
"""How long a statement of an import waits for another session's lock before it gives up, if nobody says otherwise."""

#: Errors of MariaDB of which its own message quotes a column, key or constraint.
_NAMING = (1048, 1062, 1451, 1452, 3819, 4025)


def refused_by_trigger(original: BaseException | None) -> bool:
    """Whether a trigger raised a driver's error itself, whatever code it took for it.

    That is RAISE in PostgreSQL, of which the server tells which of its functions it was, and in SQLite, and SIGNAL in
    MariaDB, whose own messages of these errors quote a name.
    """
    arguments = original.args if original is not None else ()
    code, said = (arguments[0], str(arguments[-1])) if arguments else (None, "")
    function = getattr(getattr(original, "diag", None), "source_function", None)
    return (
        getattr(original, "sqlstate", "") == "P0001"
        or function in ("exec_stmt_raise", "exec_stmt_assert")
        or code == 1644
        or (code in _NAMING and not re.search("[`'\"]", said))
        or getattr(original, "sqlite_errorname", "") == "SQLITE_CONSTRAINT_TRIGGER"
    )


class Session:
    """The part of a writer that holds the connection.

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

    def __init__(self, db: Database, import_id: uuid.UUID) -> None:
        self.db = db
        self.import_id = import_id
        self._conn: Connection | None = None
        self.lost = False
        self.in_merge = False
        self.committing = False
        self.committed = False
        self.session_id = ""
        self.lock_seconds = LOCK_SECONDS
        self._clearing = threading.Lock()
        #: The target table of the statement at work, for errors that the database gives no table for.
        self.at = ""

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

    @contextmanager
    def stoppable(self, cancellation: Cancellation) -> Iterator[None]:
        """Cancel the statement that runs inside when somebody asks to stop.

        Raises
        ------
        Cancelled
            In place of the error of the statement.
        """
        with cancellation.ending(self._stop, lambda: self.lost):
            yield

    def _stop(self) -> None:
        """Make everything fail that runs for this import, but no clearing up; called from another thread."""
        with self._clearing:
            self.cancel()

    def _lost(self) -> DatabaseError:
        self.lost = True
        return DatabaseError("the connection to the database was lost", hint="nothing is half done: resume the import")

    def scalar(self, sql: str) -> Any:
        """Return the first value of the first row."""
        row = self.run(sql).first()
        return None if row is None else row[0]

    def explain(self, error: DBAPIError) -> DataTransferError:
        """Turn a database error into ours; driver messages may hold row values, so only the class is shown."""
        if refused_by_trigger(error.orig):
            return self.trigger_error()
        kind = type(error.orig).__name__ if error.orig is not None else type(error).__name__
        return MergeError(
            f"the database refused a statement ({kind}{self.constraint_of(error)})",
            where=self.at,
            hint="nothing was changed; compare the package with the target's constraints",
            evidence={"driver_error": kind},
        )

    def trigger_error(self) -> MergeError:
        """Return the error for a statement that the target's own code refused; what it said may hold row values."""
        rest = ', or let triggers rest: triggers="suspend"' if self.transactional_ddl else ""
        return MergeError(
            "a trigger of the target, or a function that it calls, refused a row", where=self.at,
            hint=f"nothing was changed; see what the trigger asks for{rest}",
        )  # fmt: skip

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

    # --- transactions -------------------------------------------------------------------------------------------

    @contextmanager
    def merge(self, cancellation: Cancellation | None = None) -> Iterator[None]:
        """Run the one transaction that changes the target; any error rolls all of it back.

        Parameters
        ----------
        cancellation : Cancellation, optional
            Ends it in the midst of a statement, but not once COMMIT has begun.

        Raises
        ------
        Cancelled
        DatabaseError
            The connection was lost; `unanswered` tells whether while the answer to COMMIT was awaited.
        """
        asked = cancellation or Cancellation()
        with self.stoppable(asked):
            self._before_merge()
            self._begin(asked)
        self.in_merge = True
        try:
            with self.stoppable(asked):
                self._begun()
                yield
            failpoint("merge.before_commit")
            asked.check()
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

    def _begin(self, asked: Cancellation) -> None:
        """Begin the transaction; who waits for that long is to look whether somebody asked to stop."""
        self.run(self._begin_sql())

    def _begin_sql(self) -> str:
        return "BEGIN"

    @interrupts.shielded()
    def _rollback(self) -> None:
        """Roll back on the way of an error; where the connection is gone, the server has done so."""
        if not self.lost:
            with self._clearing:
                self.run("ROLLBACK")

    def _before_merge(self) -> None:
        """Set what cannot be set inside a transaction."""

    def _begun(self) -> None:
        """Do what comes first inside the transaction."""

    def _after_merge(self) -> None:
        """Put back what `_before_merge` set."""

    @contextmanager
    def one_at_a_time(self) -> Iterator[None]:
        """Keep other imports into this database from merging meanwhile, where what follows is not in a transaction."""
        yield

    @interrupts.shielded()
    def close(self) -> None:
        """Give the connection back."""
        if self._conn is not None:
            self._conn.close()
            self._conn = None
