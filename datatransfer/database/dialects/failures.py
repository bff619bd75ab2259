"""What a database's own errors become: one typed error that names the place and never a value or a password."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc

from datatransfer.database.dialects import locks
from datatransfer.errors import DatabaseError, DataTransferError, PrivilegeError

_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\(.*\)""", re.DOTALL)
# MySQL and MariaDB: duplicate entry, truncated or incorrect values, out of range.
_VALUE_CODES = frozenset({1062, 1264, 1265, 1292, 1366, 1406, 1411, 1452, 1525, 3140, 4025, 4038})
# What a driver says of a server that it cannot reach, without saying twice that it cannot.
_UNREACHED = re.compile(
    r"(?:connection (?:failed|is bad): )?connection to (?P<server>server .+?) failed: (?:FATAL:\s+)?(?P<why>.+)"
    r"|Can't connect to (?:MySQL|MariaDB) (?P<other>server on '[^']*') \((?P<reason>.+)\)"
)
_SECRET = re.compile(r"pass|pwd|secret|token|credential|(^|_)key$", re.IGNORECASE)


def _names_values(original: BaseException) -> bool:
    """Whether the driver's message of this error may quote a row's values (SQLSTATE classes 22 and 23 do)."""
    state = getattr(original, "sqlstate", None) or ""
    code = original.args[0] if original.args else None
    return state[:2] in ("22", "23") or code in _VALUE_CODES


def driver_message(error: BaseException) -> str:
    """Return the first line of what the database said, without values of rows.

    Parameters
    ----------
    error : BaseException
        Of SQLAlchemy or of a driver.
    """
    original = getattr(error, "orig", None) or error
    diagnosis = getattr(original, "diag", None)
    message = getattr(diagnosis, "message_primary", None)
    if not message:
        arguments = original.args
        message = arguments[1] if len(arguments) > 1 and isinstance(arguments[0], int) else str(original)
    lines = str(message).strip().splitlines()
    line = lines[0] if lines else type(original).__name__
    if line.startswith("Could not decode to UTF-8"):
        return "text that is not valid UTF-8"
    if unreached := _UNREACHED.fullmatch(line):
        return f"{unreached['why'] or unreached['reason']} ({unreached['server'] or unreached['other']})"
    return _QUOTED.sub("…", line) if _names_values(original) else line


def secrets_of(url: sa.URL) -> list[str]:
    """Return what must never be shown of a URL: the password and query values that look like one."""
    found = [str(url.password)] if url.password else []
    for name, value in url.query.items():
        if _SECRET.search(name):
            found.extend([value] if isinstance(value, str) else value)
    return [secret for secret in found if secret]


def shown_url(url: sa.URL) -> str:
    """Return a URL as it may be shown: passwords, also those in its query, are ``***``."""
    hidden = {name: "***" for name in url.query if _SECRET.search(name)}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)


def _hint(error: exc.SQLAlchemyError, url: sa.URL) -> str:
    if isinstance(error, exc.TimeoutError):
        return "every connection of the engine's pool is in use; close some"
    text = driver_message(error).lower()
    if "lock" in text:
        return "somebody else holds a lock; try again"
    if "denied" in text or "permission" in text or "authentication" in text:
        return "check the user, the password and what the role may do"
    if isinstance(error, exc.OperationalError | exc.InterfaceError):
        return f"check that the database at {shown_url(url)} runs and can be reached"
    return ""


_DENIED = re.compile(
    r"""permission denied for (?P<kind>table|view|sequence|schema) "?(?P<name>[^"]+)"?$"""
    r"""|^(?P<right>[A-Z, ]+) command denied .* for (?:table|column) .*?[`'.]?(?P<other>[^`'.]+)[`']+$"""
)
_FILTERED = re.compile(r"row-level security policy for table \"(?P<name>[^\"]+)\"")


def privilege_error(message: str, *, where: str = "") -> PrivilegeError | None:
    """Return the error for what a server says when a role may not read something; None if it says something else.

    Parameters
    ----------
    message : str
        Of the driver, without values.
    where : str
        The place, if the message names none.
    """
    if found := _FILTERED.search(message):
        hint = "all rows are taken, or none: use a role that sees them all, such as one with BYPASSRLS"
        return PrivilegeError("row-level security hides rows from this role", where=found["name"], hint=hint)
    if found := _DENIED.search(message):
        name, right = found["name"] or found["other"] or where, found["right"] or "SELECT"
        kind = f"{found['kind'].upper()} " if found["kind"] in ("schema", "sequence") else ""
        right = {"SCHEMA ": "USAGE", "SEQUENCE ": "SELECT, UPDATE"}.get(kind, right)
        return PrivilegeError(message, where=name, hint=f"GRANT {right} ON {kind}{name} TO this role, or use another")
    return None


@contextmanager
def database_errors(engine: sa.Engine, doing: str, *, where: str = "", hint: str = "") -> Iterator[None]:
    """Turn errors of SQLAlchemy and of its driver into `DatabaseError`.

    Parameters
    ----------
    engine : sqlalchemy.Engine
    doing : str
        What was tried, as in ``"reading the schema"``.
    where : str
        The table it happened at.
    hint : str
        What to do, if more is known than the error says.

    Raises
    ------
    DatabaseError
        In place of every error of SQLAlchemy or the driver; it keeps neither statement, parameters nor password.
    """
    driver: Any = getattr(engine.dialect.loaded_dbapi, "Error", exc.DBAPIError)
    try:
        yield
    except DataTransferError:
        raise
    except (exc.SQLAlchemyError, driver) as error:
        message = driver_message(error)
        for secret in secrets_of(engine.url):
            message = message.replace(secret, "***")
        if denied := privilege_error(message, where=where):
            raise denied from None
        if not where and locks.timed_out(getattr(error, "orig", None) or error):
            where = ", ".join(locks.held_tables(engine))
        found = hint or (_hint(error, engine.url) if isinstance(error, exc.SQLAlchemyError) else "")
        # The original is left out of the chain: SQLAlchemy's text may hold the parameters of a user's engine.
        raise DatabaseError(f"{doing} failed: {message}", where=where, hint=found) from None
