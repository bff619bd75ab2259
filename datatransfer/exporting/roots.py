"""Roots: the rows that were asked for, found and put into key tables as generation 0."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datatransfer.database.dialects.base import RowSource
from datatransfer.errors import KeyValueError, UsageError
from datatransfer.exporting.conditions import Condition, condition_sql, refused
from datatransfer.exporting.keys import Key, check_keys
from datatransfer.exporting.plan import Root
from datatransfer.schema.identity import entity_uuid
from datatransfer.schema.tables import ENTITY_UUID, Table
from datatransfer.schema.values import untag

if TYPE_CHECKING:
    from datatransfer.database.connection import Database
    from datatransfer.exporting.closure import Closure


def find(closure: Closure, root: Root, number: int) -> None:
    """Put the rows of one root into the key table of its table.

    Raises
    ------
    ConditionError, KeyValueError, UsageError
    """
    if root.kind == "where":
        _by_condition(closure, root, number)
    elif root.kind == "keys":
        table = closure.table(root.table)
        if not table.key:
            raise UsageError(
                "it has no key", where=table.name, hint="its rows can be selected by where= or through their parents"
            )
        keys = list(dict.fromkeys(check_keys(typed_key(closure, table), root.keys)))
        closure.checked_keys[number] = keys
        _by_keys(closure, table, keys, number)
    else:
        _by_uuids(closure, root, number)


def count(db: Database, table: str, where: Condition | None = None, params: Mapping[str, Any] | None = None) -> int:
    """Return how many rows a root would ask for, without what belongs to them.

    Raises
    ------
    ConditionError
        The database does not accept the condition.
    """
    found = db.schema.table(table)
    if where is None:
        return db.count(table)
    condition = condition_sql(db.dialect, found, where, params)
    sql = f"SELECT count(*) FROM {db.dialect.from_sql(found)} WHERE ({condition}\n)"
    with db.dialect.snapshot() as conn:
        try:
            return int(db.dialect.execute(conn, sql).scalar_one())
        except sa.exc.DBAPIError as error:
            raise refused(error, found, where, params) from None


def typed_key(closure: Closure, table: Table) -> Table:
    """Return the table with definite types of its key columns; looking at all columns would take a scan of each."""
    narrow = replace(table, columns=tuple(table.column(name) for name in table.key))
    resolved = closure.db.dialect.resolve_types(closure.conn, narrow, RowSource())
    return table.with_types({column.name: column.type for column in resolved.columns})


def _by_condition(closure: Closure, root: Root, number: int) -> None:
    assert root.where is not None
    chosen = closure.taken(root.table)
    if chosen.whole is not None:
        return
    table, sql = chosen.table, closure.sql
    if not sql.key_of(table, "t"):
        condition = condition_sql(closure.db.dialect, table, root.where, root.params, qualifier="t")
        _try(closure, root, f"SELECT count(*) FROM {sql.from_table(table, 't')} WHERE ({condition}\n)")
        chosen.parts.append(condition)
        return
    condition = condition_sql(closure.db.dialect, table, root.where, root.params)
    # Not through an alias: the caller may write orders.placed as well as placed.
    own = closure.db.dialect.table_sql(table)
    exprs = sql.key_of(table, own)
    keys = closure.keys_of(chosen)
    tail = f"FROM {closure.db.dialect.from_sql(table)} WHERE ({condition}\n)"
    _try(closure, root, sql.add_sql(keys, exprs, tail, 0, number))


def _try(closure: Closure, root: Root, statement: str) -> None:
    assert root.where is not None
    try:
        closure.db.dialect.execute(closure.conn, statement).close()
    except sa.exc.DBAPIError as error:
        raise refused(error, closure.table(root.table), root.where, root.params) from None


def _by_keys(closure: Closure, table: Table, keys: Sequence[Key], number: int) -> None:
    chosen = closure.taken(table.name)
    if chosen.whole is not None:
        return
    sql = closure.sql
    asked = sql.create(table, unique=False)
    try:
        sql.insert(asked, keys)
    except (sa.exc.SQLAlchemyError, OverflowError):
        raise KeyValueError(
            "the database does not take these values as keys", where=table.name, hint="compare them with the key's type"
        ) from None
    own = sql.key_of(table, "t")
    same = " AND ".join(sql.exact(expr, f"s.{name}") for expr, name in zip(own, asked.columns, strict=True))
    tail = f"FROM {asked.name} s {sql.join_word} {sql.from_table(table, 't')} ON {same}"
    sql.add(closure.keys_of(chosen), own, tail, 0, number)
    found = sql.number(f"SELECT count(*) FROM (SELECT DISTINCT {', '.join(own)} {tail}) q")
    if found < len(keys):
        closure.missing_keys[table.name] = closure.missing_keys.get(table.name, 0) + len(keys) - found
    sql.drop(asked)


def _by_uuids(closure: Closure, root: Root, number: int) -> None:
    table = closure.table(root.table)
    wanted = {str(value) for value in root.uuids}
    if table.tracked:
        _by_tracked(closure, table, sorted(wanted), number)
        return
    if not table.key:
        raise UsageError("its rows have no UUID, because it has no key", where=table.name, hint="select by where=")
    recorded = closure.identities.keys_of(table, root.uuids)
    keys = recorded + list(_derived(closure, table, wanted))
    if keys:
        _by_keys(closure, table, list(dict.fromkeys(keys)), number)
    if len(keys) < len(wanted):
        closure.missing_keys[table.name] = closure.missing_keys.get(table.name, 0) + len(wanted) - len(keys)


def _by_tracked(closure: Closure, table: Table, wanted: Sequence[str], number: int) -> None:
    chosen = closure.taken(table.name)
    if chosen.whole is not None:
        return
    sql = closure.sql
    column = sql.column("t", ENTITY_UUID)
    asked = sql.create(table, [column], unique=False)
    sql.insert(asked, [(value,) for value in wanted])
    tail = f"FROM {asked.name} s {sql.join_word} {sql.from_table(table, 't')} ON {column} = s.k0"
    found = sql.add(closure.keys_of(chosen), sql.key_of(table, "t"), tail, 0, number)
    sql.drop(asked)
    if found < len(wanted):
        closure.missing_keys[table.name] = closure.missing_keys.get(table.name, 0) + len(wanted) - found


def _derived(closure: Closure, table: Table, wanted: set[str]) -> Iterator[Key]:
    """Yield the keys whose derived UUID is wanted, computing them over the table's keys in batches."""
    origin = closure.db.origin
    for key in keys_in_batches(closure, table):
        if str(entity_uuid(origin, table.name, key)) in wanted:
            yield key


def keys_in_batches(closure: Closure, table: Table) -> Iterator[tuple[Any, ...]]:
    """Yield all keys of a table as Python values."""
    narrow = replace(table, columns=tuple(table.column(name) for name in table.key), foreign_keys=(), uniques=())
    resolved = closure.db.dialect.resolve_types(closure.conn, narrow, RowSource())
    tagged = [column.type.kind == "any" for column in resolved.columns]
    for batch in closure.db.dialect.read(closure.conn, resolved, RowSource()):
        closure.check()
        columns = [
            [untag(value) for value in column.to_pylist()] if is_tagged else column.to_pylist()
            for column, is_tagged in zip(batch.columns, tagged, strict=True)
        ]
        yield from zip(*columns, strict=True)
