"""Rows that came from another database keep their identity: what earlier imports recorded, as a temporary table."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datatransfer.database import ledger
from datatransfer.exporting.keys import Key
from datatransfer.schema.identity import KEY_COLUMN, ORIGIN_COLUMN, canonical_key
from datatransfer.schema.tables import Table
from datatransfer.schema.values import LogicalType, untag

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.exporting.closure import Closure

_TEXT = LogicalType("text")

Extra = tuple[tuple[str, str, LogicalType], ...]


def foreign_identity(closure: Closure, table: Table) -> tuple[str, Extra]:
    """Return a join to the identities recorded for a table's rows, and the two columns to read; both empty without any.

    Parameters
    ----------
    closure : Closure
    table : Table
        With definite types of its key.
    """
    if not table.key or table.tracked:
        return "", ()
    mapped = None
    for chunk in _chunks(closure, table.name):
        rows = list(_identities(table, chunk))
        if rows:
            mapped = mapped or closure.sql.create_map(table)
            closure.sql.insert_new(mapped, table, rows)
    if mapped is None:
        return "", ()
    pairs = zip(closure.sql.key_of(table, "t"), mapped.columns, strict=False)
    on = " AND ".join(f"{expr} = m.{name}" for expr, name in pairs)
    width = len(table.key)
    extra = ((f"m.k{width}", ORIGIN_COLUMN, _TEXT), (f"m.k{width + 1}", KEY_COLUMN, _TEXT))
    return f"LEFT JOIN {mapped.name} m ON {on}", extra


def keys_of_recorded(closure: Closure, table: Table, wanted: Sequence[uuid.UUID]) -> list[Key]:
    """Return the keys of rows that were imported with one of these UUIDs."""
    found = []
    uuids = set(wanted)
    for chunk in _chunks(closure, table.name):
        for row in _identities(table, chunk):
            origin, key = row[-2:]
            if uuid.uuid5(uuid.UUID(origin), f"{table.name}\n{key}") in uuids:
                found.append(tuple(row[:-2]))
    return found


def _chunks(closure: Closure, table: str) -> Iterator[tuple[str, pa.Table]]:
    """Yield (origin, key map) of the merged imports into a table that kept identities, the newest first."""
    space = closure.db.dialect.schema
    if closure.kept_imports is None:
        closure.kept_imports = _kept_imports(closure.conn, space)
    if not closure.kept_imports:
        return
    for import_id, _, recorded in ledger.key_maps(closure.conn, table=table, schema=space):
        closure.check()
        if import_id in closure.kept_imports:
            yield closure.kept_imports[import_id], recorded


def _kept_imports(conn: sa.Connection, space: str | None) -> dict[str, str]:
    """Return the origins of the merged imports whose rows kept their identity; copies are rows of this database."""
    if not ledger.has_ledger(conn, space):
        return {}
    merged = [record for record in ledger.list_imports(conn, schema=space) if record.state == "merged"]
    return {str(r.import_id): str(r.origin) for r in merged if r.options.get("identity") != "copy"}


def _identities(table: Table, chunk: tuple[str, pa.Table]) -> Iterator[tuple[Any, ...]]:
    """Yield (key here…, origin, canonical key there) of the rows that an import inserted."""
    default_origin, recorded = chunk
    names = set(recorded.column_names)
    if not {f"t.{name}" for name in table.key} <= names:
        return
    size = recorded.num_rows
    here = [_values(recorded, f"t.{name}", table.column(name).type) for name in table.key]
    there = [_values(recorded, f"s.{name}", table.column(name).type) for name in table.key if f"s.{name}" in names]
    actions = recorded["action"].to_pylist() if "action" in names else ["insert"] * size
    origins = recorded["origin"].to_pylist() if "origin" in names else [None] * size
    keys = recorded["key"].to_pylist() if "key" in names else [None] * size
    for index in range(size):
        if actions[index] != "insert":
            continue
        key = keys[index] if origins[index] else canonical_key([values[index] for values in there])
        yield (*(values[index] for values in here), origins[index] or default_origin, key)


def _values(recorded: pa.Table, name: str, kind: LogicalType) -> list[Any]:
    import pyarrow as pa

    values: list[Any] = recorded[name].to_pylist()
    if kind.kind == "any" and pa.types.is_string(recorded.schema.field(name).type):
        return [untag(value) for value in values]
    return values
