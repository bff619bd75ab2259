"""From a URL to an engine: the driver loaded or named, values kept out of errors, no connection left open.

Nothing is connected here.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.pool import NullPool, StaticPool

from datatransfer.database.sqlitefiles import sqlite_path
from datatransfer.errors import UsageError

_EXTRAS = {"psycopg": "postgresql", "psycopg2": "postgresql", "pymysql": "mariadb", "MySQLdb": "mariadb"}


def make_engine(url: str | sa.URL) -> sa.Engine:
    """Return an engine that keeps values out of its errors and one database in memory in one connection.

    Raises
    ------
    UsageError
        The URL cannot be read, or its dialect or driver is not installed.
    """
    hint = "write it as SQLAlchemy does, e.g. sqlite:///shop.db or postgresql+psycopg://user@host/name"
    try:
        made = sa.make_url(url)
        # Connections are few and short: none stays open behind the caller's back.
        options: dict[str, Any] = {"hide_parameters": True, "poolclass": NullPool}
        if made.get_backend_name() == "sqlite" and sqlite_path(made) is None:
            options |= {"poolclass": StaticPool, "connect_args": {"check_same_thread": False}}
        engine = sa.create_engine(made, **options)
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "")
        how = f"pip install 'datatransfer[{extra}]'" if extra else f"install {error.name}"
        raise UsageError(f"the driver {error.name} is not installed", hint=how) from None
    except exc.NoSuchModuleError:
        raise UsageError("SQLAlchemy knows no such dialect or driver", hint=hint) from None
    except (exc.ArgumentError, ValueError):
        # The text of these errors may repeat the URL, and with it the password.
        raise UsageError("the database URL cannot be read", hint=hint) from None
    if engine.dialect.name == "sqlite":
        sa.event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(raw: Any, _record: Any) -> None:
    """Deny functions to the views and triggers of a file, which may be somebody else's (sqlite.org/security)."""
    raw.execute("PRAGMA trusted_schema=OFF")
    raw.execute("PRAGMA cache_size=-65536")
