"""Columns that are not carried: which may be, and what is worth a word when they are not. Runs no SQL."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from datatransfer.errors import SelectionError, UsageError
from datatransfer.events import Warned
from datatransfer.package.fields import MAX_NAME, can_be_name
from datatransfer.schema.tables import ENTITY_UUID, Schema, Table

Columns = Mapping[str, frozenset[str]]
"""Names of columns by table."""


def with_columns(schema: Schema, known: Columns, more: Sequence[Any]) -> Columns:
    """Return the columns to leave out, and some more.

    Parameters
    ----------
    schema : Schema
    known : mapping
    more : sequence of str
        ``"table.column"``, or ``"table.(a, b)"``.

    Raises
    ------
    UnknownTableError, UnknownColumnError
    UsageError
        A column cannot be left out, or nothing would be left of its table.
    """
    if not more:
        raise UsageError("leave_out() names no column", hint='write leave_out("table.column")')
    found = dict(known)
    for dotted in more:
        if not isinstance(dotted, str):
            problem = f"leave_out() takes no {type(dotted).__name__}"
            raise UsageError(problem, hint='write leave_out("table.column", "table.other")')
        table, names = schema.split(dotted)
        found[table.name] = found.get(table.name, frozenset()) | set(names)
    check(schema, found)
    return found


def check(schema: Schema, columns: Columns) -> None:
    """Refuse to leave out what is not there or cannot be missed.

    Raises
    ------
    UnknownTableError, UnknownColumnError, UsageError
    """
    for name, names in columns.items():
        table = schema.table(name)
        for column in sorted(names):
            _refuse_needed(table, table.column(column).name)
        if names >= set(table.column_names):
            raise UsageError(
                "no column of the table would be left", where=name, hint="leave its rows out: do not ask for them"
            )


def _refuse_needed(table: Table, name: str) -> None:
    """Refuse columns without which rows cannot be told from each other, here and where they are brought."""
    if name == ENTITY_UUID:
        why = "holds the identity of the rows, by which they are found again elsewhere"
        hint = 'identity="copy" on import gives them new ones'
    elif name in table.key:
        why = "belongs to the key, by which rows are told from each other and matched"
        hint = "leave out other columns, or the rows: stop the foreign keys that lead to them"
    else:
        return
    raise UsageError(f"the column cannot be left out: it {why}", where=f"{table.name}.{name}", hint=hint)


def refuse_nameless(tables: Iterable[Table]) -> None:
    """Refuse tables and columns whose names a package cannot hold; SQLite takes an empty one.

    Raises
    ------
    SelectionError
    """
    for table in tables:
        if not can_be_name(table.name):
            problem = f"a package cannot hold a table of this name: it must have 1 to {MAX_NAME} characters"
            raise SelectionError(problem, where=repr(table.name[:40]), hint="rename the table in the source")
        for name in table.column_names:
            if not can_be_name(name):
                hint = "rename the column in the source"
                if name not in table.key:
                    hint += f', or leave it out: leave_out("{table.name}.{name}")'
                problem = f"a package cannot hold the column {name[:40]!r}: a name must have 1 to {MAX_NAME} characters"
                raise SelectionError(problem, where=table.name, hint=hint)


def dotted(columns: Columns) -> tuple[str, ...]:
    """Return ``"table.column"`` for each column, in the order of names."""
    return tuple(f"{table}.{name}" for table in sorted(columns) for name in sorted(columns[table]))


def copies_of(table: Table, schema: Schema, gone: Columns) -> Iterator[Warned]:
    """Yield the columns of a table that are carried and hold what a column holds that is left out."""
    mine = gone.get(table.name, frozenset())
    for fk in table.foreign_keys:
        for name, other in zip(fk.columns, fk.parent_columns, strict=False):
            if fk.parent in schema and other in gone.get(fk.parent, ()) and name not in mine:
                yield _copy(table, name, f"holds the values of {fk.parent}.{other}")
    for column in table.columns:
        for name in sorted(mine) if column.name not in mine else ():
            if name and re.search(rf"(?<!\w){re.escape(name)}(?!\w)", column.formula, re.IGNORECASE):
                yield _copy(table, column.name, f"is computed from {table.name}.{name}")


def _copy(table: Table, name: str, what: str) -> Warned:
    text = f"the column {what}, which is left out, and would be carried{cure(table, name)}"
    return Warned("column_left_out", text, f"{table.name}.{name}")


def cure(table: Table, name: str) -> str:
    """Return how a column is kept out of a package, as the end of a sentence that says that it is in it."""
    if name in table.key:
        return "; it belongs to the key, so that only its rows can be left out"
    return f'; leave_out("{table.name}.{name}") keeps it out'
