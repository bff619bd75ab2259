"""Conditions that a caller writes: SQL text with parameters, or a SQLAlchemy expression, as one piece of plain SQL.

Parameters become literals through SQLAlchemy's own literal processors, because the condition is put into statements
over temporary tables, and, for tables without a key, into the reading statement itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.sql import visitors

from datatransfer.database.dialects.failures import driver_message
from datatransfer.errors import ConditionError, UnknownColumnError
from datatransfer.given import kind_of, suggestion
from datatransfer.schema.tables import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from datatransfer.database.dialects.base import Dialect

Condition = str | sa.ColumnElement[bool]

# SQLSTATEs of PostgreSQL, numbers of MySQL and MariaDB; SQLite has only words.
_UNKNOWN_COLUMN = frozenset({"42703", "42P01", 1054})
_SYNTAX = frozenset({"42601", 1064})
_SQLITE_SYNTAX = re.compile(r"syntax error|^incomplete input|^unrecognized token")


def check_condition(table: Table, where: object, params: object) -> None:
    """Refuse what can be no condition, before any SQL runs.

    Raises
    ------
    ConditionError
    """
    if not isinstance(where, str | sa.ClauseElement) and not hasattr(where, "__clause_element__"):
        raise ConditionError(
            f"where= takes a text or an expression of SQLAlchemy, not {kind_of(where)}", where=table.name,
            hint='write where="id = :id", params={"id": 5}',
        )  # fmt: skip
    if params is not None and not (isinstance(params, Mapping) and all(isinstance(name, str) for name in params)):
        raise ConditionError("params= takes names and values", where=table.name, hint='write params={"id": 5}')


def condition_sql(
    dialect: Dialect, table: Table, where: Condition, params: Mapping[str, Any] | None, *, qualifier: str = ""
) -> str:
    """Return a condition as plain SQL.

    Parameters
    ----------
    dialect : Dialect
    table : Table
        The table whose columns an expression refers to.
    where : str or SQLAlchemy expression
    params : mapping, optional
        Values of the ``:names`` in the text.
    qualifier : str
        What an expression's columns are qualified with; the table's own name if not given.

    Raises
    ------
    ConditionError
        It cannot be written as SQL: a name without a value, a value of a type that the database has no literal for.
    UnknownColumnError
        The expression names a column that the table does not have.
    """
    if isinstance(where, str):
        if not where.strip():
            raise ConditionError("the condition is empty", where=table.name, hint="leave where= out for all rows")
        _check_params(table, where, params or {})
        clause: Any = sa.text(where).bindparams(**{k: plain(v) for k, v in (params or {}).items()})
    else:
        if params:
            raise ConditionError(
                "params= goes with a condition written as text", where=table.name, hint="put values into the expression"
            )
        clause = _own_columns(dialect.quote, table, where, qualifier or dialect.table_sql(table))
    return _literal(dialect.engine, table, clause)


def plain(value: Any) -> Any:
    """Return a NumPy or pandas scalar as the Python value it stands for."""
    if value is None or type(value) in (str, int, float, bytes, bool):
        return value
    for name in ("to_pydatetime", "as_py", "item"):
        method: Callable[[], Any] | None = getattr(value, name, None)
        if method is not None:
            return method()
    return value


def _check_params(table: Table, where: str, params: Mapping[str, Any]) -> None:
    known = set(sa.text(where)._bindparams)
    missing, unused = known - set(params), set(params) - known
    if missing:
        raise ConditionError(
            f"the condition has no value for {', '.join(sorted(missing))}",
            where=table.name,
            hint="give it in params=, or write a colon that is not a parameter as \\:",
        )
    if unused:
        raise ConditionError(
            f"the condition does not use the parameter {', '.join(sorted(unused))}",
            where=table.name,
            hint="write it with a colon where its value belongs, as in id = :id, or do not give it",
        )


def _own_columns(quote: Callable[[str], str], table: Table, where: Any, qualifier: str) -> Any:
    """Replace the caller's table objects by ours, so that no second FROM entry appears."""
    clause = sa.sql.coercions.expect(sa.sql.roles.WhereHavingRole, where)
    own = sa.table(table.bare_name or table.name, *[sa.column(name) for name in table.column_names])
    foreign: set[str] = set()

    def replace(element: Any, **_kw: Any) -> Any:
        if not isinstance(element, sa.ColumnClause) or element.table is None:
            return None
        owner: Any = element.table
        if getattr(owner, "name", None) != own.name or getattr(owner, "schema", None) not in (None, table.db_schema):
            foreign.add(str(getattr(owner, "name", owner)))
            return None
        if element.name not in table.by_name:
            hint = suggestion(element.name, table.column_names)
            raise UnknownColumnError(f"there is no column {element.name!r}", where=table.name, hint=hint)
        return sa.literal_column(f"{qualifier}.{quote(element.name)}", type_=element.type)

    replaced = visitors.replacement_traverse(clause, {}, replace)
    loose = {str(getattr(f, "name", f)) for f in sa.select(sa.literal(1)).where(replaced).get_final_froms()}
    if loose & foreign:
        raise ConditionError(
            f"the expression refers to other tables: {', '.join(sorted(loose & foreign))}",
            where=table.name,
            hint="wrap them in exists() or in_(select(...))",
        )
    return replaced


def _literal(engine: sa.Engine, table: Table, clause: Any) -> str:
    # The named style keeps percent signs single; the copy leaves the caller's engine alone.
    dialect: Any = type(engine.dialect)(paramstyle="named")  # type: ignore[call-arg]
    for name in ("_backslash_escapes", "server_version_info", "is_mariadb"):
        if name in vars(engine.dialect):
            setattr(dialect, name, getattr(engine.dialect, name))
    try:
        return str(clause.compile(dialect=dialect, compile_kwargs={"literal_binds": True}))
    except sa.exc.SQLAlchemyError as error:
        raise ConditionError(
            f"a value of the condition cannot be written in SQL: {type(error).__name__}",
            where=table.name,
            hint="use numbers, text, dates or None",
        ) from None


def refused(
    error: sa.exc.DBAPIError, table: Table, where: Condition, params: Mapping[str, Any] | None
) -> ConditionError:
    """Return what the database said about a condition, without the values in it."""
    message = driver_message(error)
    for value in (params or {}).values():
        if str(value) and len(str(value)) > 1:
            message = message.replace(str(value), "…")
    if not isinstance(where, str):
        message = "the database does not accept the expression"
    return ConditionError(
        f"the database does not accept the condition: {message}",
        where=table.name,
        hint=_hint(error, table),
    )


def _hint(error: sa.exc.DBAPIError, table: Table) -> str:
    """Say what to do: list the columns only where one is unknown, which is not so of a typing error."""
    original: Any = error.orig
    number = original.args[0] if original.args else None
    known = {getattr(original, "sqlstate", None), number if isinstance(number, int) else None}
    said = str(original)
    if known & _UNKNOWN_COLUMN or said.startswith("no such column"):
        return f"it has the columns {', '.join(table.column_names[:20])}"
    if known & _SYNTAX or _SQLITE_SYNTAX.search(said):
        return "the condition is not complete or has a typing error; check quotes and brackets"
    return "write what may follow WHERE in the database's own SQL"
