"""The difference of two packages, or of a package and anything else that gives its rows in the same way.

Rows are the same entity if they have the same UUID; of what is left, if they have the same key. Values are compared as
the digest sees them, those of two types as `datatransfer.package.alike` does; but a foreign key is equal if both
parents are the same entity, whatever their keys are.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from datatransfer.package.alike import differing
from datatransfer.package.linking import Held, blobs, find_parents, hold
from datatransfer.schema.identity import KEY_COLUMN, ORIGIN_COLUMN, canonical_key, entity_uuid
from datatransfer.schema.notations import as_postgresql_writes, from_iso, is_written_as
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID, ForeignKey, Schema, Table
from datatransfer.schema.values import LogicalType, untag

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import pyarrow as pa

    Places = npt.NDArray[np.int64]

COLUMNS = ("table", "key", "change", "field", "before", "after")


class RowSource(Protocol):
    """What can be compared: a package, or the rows of a database."""

    @property
    def schema(self) -> Schema:
        """The tables with definite types."""

    @property
    def origin(self) -> uuid.UUID:
        """Where rows come from that do not say it themselves."""

    def batches(self, table: str) -> Iterable[pa.RecordBatch]:
        """Return the rows of a table."""


def diff(before: RowSource, after: RowSource, *, ignoring: Mapping[str, Collection[str]] | None = None) -> pd.DataFrame:
    """Return how one source differs from another.

    Parameters
    ----------
    before, after : RowSource
    ignoring : mapping of table to columns, optional
        What is not compared, whether or not a side has it.

    Returns
    -------
    DataFrame
        One row for each entity that was ``added`` or ``removed``, and for each field that was ``changed``; columns
        ``table``, ``key``, ``change``, ``field``, ``before``, ``after``. Surrogate keys and the columns that hold
        identities are not compared.
    """
    import pandas as pd

    names = sorted({*before.schema.tables, *after.schema.tables})
    sides = _Side(before, ignoring or {}), _Side(after, ignoring or {})
    for one, other in (sides, sides[::-1]):
        one.write_as(other.schema)
    related = before.origin == after.origin  # equal keys of unrelated databases mean nothing
    matches = {name: _match(sides[0].rows(name), sides[1].rows(name), by_key=related) for name in names}
    found = [row for name in names for row in _table(name, sides, matches)]
    return pd.DataFrame(found, columns=list(COLUMNS), dtype=object)


@dataclass
class _Table:
    """All rows of one table on one side."""

    held: Held
    keys: list[str]
    uuids: list[str]


class _Side:
    """One of the two sources; each table is read once."""

    def __init__(self, source: RowSource, ignoring: Mapping[str, Collection[str]]) -> None:
        self.source = source
        self.schema = source.schema.without(ignoring)
        self._tables: dict[str, _Table | None] = {}
        self._written: dict[str, dict[str, LogicalType]] = {}

    def write_as(self, other: Schema) -> None:
        """Write dates and times as text that are text in another schema, for it holds some that are nothing else."""
        for table in self.schema:
            there = other.tables[table.name].by_name if table.name in other else {}
            pairs = [(c, there[c.name].type) for c in table.columns if c.name in there]
            self._written[table.name] = {c.name: kind for c, kind in pairs if is_written_as(c.type, kind)}

    def rows(self, name: str) -> _Table | None:
        """Return a table, or None if this side does not have it."""
        if name not in self._tables:
            self._tables[name] = self._read(self.schema.tables[name]) if name in self.schema else None
        return self._tables[name]

    def _read(self, table: Table) -> _Table:
        batches = list(self.source.batches(table.name))
        extra = {ORIGIN_COLUMN, KEY_COLUMN} & set(batches[0].schema.names) if batches else set()
        written = self._written.get(table.name, {})
        if written:
            batches = [_written(batch, table, written) for batch in batches]
        held = hold(table.with_types(written), batches, {*table.column_names, *extra})
        return _Table(held, *_identities(held, self.source.origin))

    def parents(self, name: str, fk: ForeignKey) -> tuple[Places | None, _Table | None]:
        """Return where each row's parent is, if this side has the foreign key and the parent table."""
        child, parent = self.rows(name), self.rows(fk.parent)
        if child is None or parent is None or fk.columns not in {own.columns for own in child.held.table.foreign_keys}:
            return None, None
        return find_parents(child.held, parent.held, fk), parent


def _written(batch: pa.RecordBatch, table: Table, columns: Collection[str]) -> pa.RecordBatch:
    """Return a batch with some of its dates and times as PostgreSQL writes them, also in other keys."""
    import pyarrow as pa

    arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
    for name in columns:
        arrays[name] = as_postgresql_writes(arrays[name], table.by_name[name].type)
    if KEY_COLUMN in arrays and set(columns) & set(table.key):
        keys = [None if key is None else _rewritten(key, table, columns) for key in arrays[KEY_COLUMN].to_pylist()]
        arrays[KEY_COLUMN] = pa.array(keys, type=pa.string())
    return pa.RecordBatch.from_pydict(arrays)


def _rewritten(key: str, table: Table, columns: Collection[str]) -> str:
    values = json.loads(key)
    if len(values) != len(table.key):
        return key
    named = zip(table.key, values, strict=True)
    plain = [from_iso(value) if name in columns and isinstance(value, str) else value for name, value in named]
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"))


def _identities(held: Held, origin: uuid.UUID) -> tuple[list[str], list[str]]:
    table = held.table
    if not table.key:
        found, _ = blobs(held, table.column_names)
        values = [value.hex() for value in found.to_pylist()]
        seen: dict[str, int] = {}
        numbered = []
        for value in values:
            seen[value] = seen.get(value, 0) + 1
            numbered.append(f"{value}#{seen[value]}")
        return [""] * held.rows, numbered
    kinds = [table.by_name[name].type for name in table.key]
    columns = [held.columns[name].to_pylist() for name in table.key]
    keys = [canonical_key(values, kinds) for values in zip(*columns, strict=True)]
    if table.tracked:  # some databases keep them as 32 digits
        return keys, [(value or "").replace("-", "").lower() for value in held.columns[ENTITY_UUID].to_pylist()]
    uuids = [entity_uuid(origin, table.name, key).hex for key in keys]
    if ORIGIN_COLUMN in held.columns:
        recorded = zip(held.columns[ORIGIN_COLUMN].to_pylist(), held.columns[KEY_COLUMN].to_pylist(), strict=True)
        for row, (other, other_key) in enumerate(recorded):
            if other:
                uuids[row] = entity_uuid(uuid.UUID(other), table.name, other_key).hex
    return keys, uuids


def _match(before: _Table | None, after: _Table | None, *, by_key: bool) -> Places:
    """Return for each row before its place after, or -1."""
    import numpy as np

    found = np.full(before.held.rows if before else 0, -1, np.int64)
    if before is None or after is None:
        return found
    places = {value: row for row, value in enumerate(after.uuids)}
    for row, value in enumerate(before.uuids):
        found[row] = places.get(value, -1)
    if by_key and before.held.table.key and after.held.table.key:
        taken = set(found.tolist())
        left = {key: row for row, key in enumerate(after.keys) if row not in taken}
        for row in np.flatnonzero(found < 0).tolist():
            found[row] = left.pop(before.keys[row], -1)
    return found


def _table(name: str, sides: tuple[_Side, _Side], matches: dict[str, Places]) -> Iterator[tuple[Any, ...]]:
    before, after = sides[0].rows(name), sides[1].rows(name)
    match = matches[name]
    if before is not None:
        for row in (match < 0).nonzero()[0].tolist():
            yield name, before.keys[row], "removed", None, None, None
    if after is not None:
        for row in sorted(set(range(after.held.rows)) - set(match.tolist())):
            yield name, after.keys[row], "added", None, None, None
    if before is not None and after is not None:
        yield from _changes(name, sides, matches, (before, after))


def _changes(
    name: str, sides: tuple[_Side, _Side], matches: dict[str, Places], tables: tuple[_Table, _Table]
) -> Iterator[tuple[Any, ...]]:
    before, after = tables
    one, two = before.held.table, after.held.table
    for column in one.column_names:
        if column not in two.by_name:
            yield name, "", "removed", column, None, None
    for column in two.column_names:
        if column not in one.by_name:
            yield name, "", "added", column, None, None
    if not one.key or not two.key:
        return  # rows without a key are equal as a whole, or not there
    rows = (matches[name] >= 0).nonzero()[0]
    places = matches[name][rows]
    ignored = {ENTITY_UUID, IMPORTED_FROM_UUID, one.surrogate, two.surrogate}
    same_parents = _same_parents(name, sides, matches, rows)
    for column in one.column_names:
        if column in ignored or column not in two.by_name:
            continue
        values = before.held.values(column, rows), after.held.values(column, places)
        differs = differing(*values, (one.by_name[column], two.by_name[column]))
        for at in differs.tolist():
            if (column, at) in same_parents:
                continue
            row, place = int(rows[at]), int(places[at])
            yield name, before.keys[row], "changed", column, _value(before, column, row), _value(after, column, place)


def _same_parents(
    name: str, sides: tuple[_Side, _Side], matches: dict[str, Places], rows: Places
) -> set[tuple[str, int]]:
    """Return the columns and rows whose every foreign key leads to the same entity on both sides."""
    table = sides[0].rows(name)
    assert table is not None
    good: dict[str, set[int]] = {}
    for fk in table.held.table.foreign_keys:
        (mine, parent), (theirs, _) = sides[0].parents(name, fk), sides[1].parents(name, fk)
        if mine is None or theirs is None or parent is None or not parent.held.rows:
            continue
        places = matches[name][rows]
        left = mine[rows]
        led = (left >= 0) & (matches[fk.parent][left] == theirs[places]) & (theirs[places] >= 0)
        equal = set(led.nonzero()[0].tolist())
        for column in fk.columns:
            good[column] = good[column] & equal if column in good else equal
    return {(column, at) for column, found in good.items() for at in found}


def _value(table: _Table, column: str, row: int) -> Any:
    value = table.held.columns[column][row].as_py()
    return untag(value) if table.held.table.by_name[column].type.kind == "any" else value


def lacking(other: Any) -> Sequence[str]:
    """Return the names of what an object lacks to be compared."""
    return [name for name in ("schema", "origin", "batches") if not hasattr(other, name)]
