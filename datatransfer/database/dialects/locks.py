"""Which tables other sessions keep for themselves, asked after a wait for a lock has ended in an error.

The server's own message names no table where a whole one is held. By now the other session may be done: then nobody
can tell, and nothing is returned.
"""

from __future__ import annotations

import contextlib

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import SingletonThreadPool, StaticPool

_TIMED_OUT = ("55P03", 1205)
#: The strongest lock of each table, the strongest first; what keeps nobody from writing is left out.
_POSTGRESQL = """
SELECT c.relname, min(array_position(ARRAY['AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock',
    'ShareLock'], l.mode)) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.granted AND l.pid <> pg_backend_pid() AND l.database = (SELECT oid FROM pg_database WHERE datname =
    current_database()) AND c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND c.relname !~ '^datatransfer_s_'
    AND l.mode IN ('AccessExclusiveLock', 'ExclusiveLock', 'ShareRowExclusiveLock', 'ShareLock')
GROUP BY c.relname ORDER BY 2, 1
"""


def timed_out(original: BaseException | None) -> bool:
    """Whether a driver's error says that a lock was waited for too long."""
    code = original.args[0] if original is not None and original.args else None
    return getattr(original, "sqlstate", None) in _TIMED_OUT or code in _TIMED_OUT


def held_tables(engine: sa.Engine, statement: str = "", at: str = "") -> list[str]:
    """Return the tables that other sessions hold now, the most strongly held only; none where nobody can tell.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    statement : str
        Only tables that it names, if any of them is held; else it waits for one that refers to its own.
    at : str
        The table that it is known to work on, which is returned where none that it names is held whole.
    """
    if isinstance(engine.pool, SingletonThreadPool | StaticPool):
        return [at] if at else []  # everybody has the one connection, whose transaction has failed
    found: list[tuple[str, int]] = []
    # Whatever is wrong with looking: the error that is being told of is the one that matters.
    with contextlib.suppress(exc.SQLAlchemyError), engine.connect() as conn:
        if engine.dialect.name == "postgresql":
            found = [(str(name), int(rank)) for name, rank in conn.exec_driver_sql(_POSTGRESQL).all()]
        elif engine.dialect.name in ("mysql", "mariadb"):
            rows = conn.exec_driver_sql("SHOW OPEN TABLES FROM " + _database(conn) + " WHERE In_use > 0").all()
            found = [(str(row[1]), 1) for row in rows]
    quote = engine.dialect.identifier_preparer.quote_identifier
    named = [(name, rank) for name, rank in found if quote(name) in statement]
    if not named and at:
        return [at]
    named = named or found
    return [name for name, rank in named if rank == named[0][1]]


def _database(conn: sa.Connection) -> str:
    name = str(conn.exec_driver_sql("SELECT DATABASE()").scalar_one())
    return conn.dialect.identifier_preparer.quote_identifier(name)
