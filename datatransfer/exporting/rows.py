"""The selected rows of a table as batches, in the order of its key, with orphans counted or nulled on the way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datatransfer.database.dialects.base import RowSource
from datatransfer.database.dialects.spellings import spelled
from datatransfer.database.identities import Recorded
from datatransfer.database.rows import DatabaseRows
from datatransfer.errors import UsageError
from datatransfer.exporting.closure import Closure
from datatransfer.exporting.orphans import (
    OnOrphan,
    checked_keys,
    count_orphans,
    count_where,
    left_out,
    null_columns,
    orphan_error,
    without_parent,
)
from datatransfer.schema.arrays import integers, mask_array
from datatransfer.schema.identity import RESERVED_PREFIX
from datatransfer.schema.keysets import KeySet
from datatransfer.schema.tables import ForeignKey, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from datatransfer.database.connection import Database

_MASK = LogicalType("integer", bits=64)


@dataclass
class Prepared:
    """How one table is read.

    Parameters
    ----------
    table : Table
        With definite types.
    source : RowSource
    identities : Recorded, optional
        Of imported rows; their origin and key follow the table's columns.
    orphans : dict of label to count
        Complete when all batches were read.
    looked_up : tuple of ForeignKey
        Whose parents are looked up in a `KeySet` while streaming.
    masks : tuple of (name, columns)
        Extra columns that say where columns become NULL.
    """

    table: Table
    source: RowSource
    identities: Recorded | None = None
    orphans: dict[str, int] = field(default_factory=dict)
    looked_up: tuple[ForeignKey, ...] = ()
    masks: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Rows:
    """Reads the tables of a closure, parents first.

    Parameters
    ----------
    closure : Closure
    on_orphan : {"error", "keep", "null"}
    """

    def __init__(self, closure: Closure, on_orphan: OnOrphan) -> None:
        self.closure = closure
        self.on_orphan = on_orphan
        self._sets: dict[tuple[str, str], KeySet] = {}
        self._rank = {name: rank for rank, name in enumerate(closure.graph.order)}

    def prepare(self, name: str) -> Prepared:
        """Decide how a table is read; to be called when its parents were read, because their keys are used.

        Raises
        ------
        OrphanError
            Rows without parent, and the policy is ``error``.
        """
        closure = self.closure
        table, source = closure.carried(name), closure.source(name)
        reserved = [column.name for column in table.columns if column.name.startswith(RESERVED_PREFIX)]
        if reserved:
            raise UsageError(f"columns may not start with {RESERVED_PREFIX!r}", where=f"{name}.{reserved[0]}")
        dialect = closure.db.dialect
        resolved = dialect.resolve_types(closure.conn, table, source)
        resolved = dialect.resolve_references(closure.conn, resolved)
        resolved = spelled(dialect, closure.conn, resolved, closure.plan.schema.tables, source)
        prepared = Prepared(resolved, source, closure.identities.recorded(resolved))
        masks = self._rule_masks(name) + self._check_orphans(prepared)
        named = [(f"{RESERVED_PREFIX}mask{number}", columns) for number, (_, columns) in enumerate(masks)]
        prepared.masks = tuple(named)
        numbers = [f"CASE WHEN {condition} THEN 1 ELSE 0 END" for condition, _ in masks]
        extra = tuple((sql, mask, _MASK) for sql, (mask, _) in zip(numbers, named, strict=True))
        if extra:
            prepared.source = RowSource(source.join, source.where, whole=False, extra=extra)
        self._remember(prepared)
        return prepared

    def _rule_masks(self, name: str) -> list[tuple[str, tuple[str, ...]]]:
        closure = self.closure
        return [
            (left_out(closure, fk), null_columns(closure.plan.schema.table(fk.table), fk))
            for fk, direction, rule in closure.plan.rules
            if direction == "up" and rule.nulls and fk.table == name and closure.plan.carries(fk)
        ]

    def _check_orphans(self, prepared: Prepared) -> list[tuple[str, tuple[str, ...]]]:
        """Count orphans by SQL where they cannot be looked up; return the masks of those that become NULL."""
        closure = self.closure
        masks = []
        for fk in checked_keys(closure, prepared.table.name):
            if self._can_look_up(fk, prepared):
                prepared.looked_up += (fk,)
                continue
            condition = without_parent(closure, fk)
            count = count_where(closure, fk.table, condition)
            if count:
                self._decide(fk)
                prepared.orphans[fk.label] = count
                if self.on_orphan == "null":
                    masks.append((condition, null_columns(closure.plan.schema.table(fk.table), fk)))
        return masks

    def _decide(self, fk: ForeignKey) -> None:
        """Raise for orphans that may not travel; the error names those of every foreign key, not of the first."""
        if self.on_orphan == "error":
            raise orphan_error(count_orphans(self.closure))
        if self.on_orphan == "null" and not null_columns(self.closure.plan.schema.table(fk.table), fk):
            counts = count_orphans(self.closure)
            error = orphan_error({fk.label: counts.get(fk.label, 0)})
            error.hint = 'none of its columns may be NULL or all are read by other keys: pass on_orphan="keep"'
            raise error

    def _can_look_up(self, fk: ForeignKey, prepared: Prepared) -> bool:
        chosen = self.closure.chosen
        parent = chosen.get(fk.parent)
        known = self._sets.get((fk.parent, fk.parent_columns[0]))
        return (
            len(fk.columns) == 1
            and prepared.source.whole
            and parent is not None
            and parent.whole is not None
            and self._rank[fk.parent] < self._rank[fk.table]
            and known is not None
            and known.usable
            and prepared.table.column(fk.columns[0]).type == _MASK
        )

    def _remember(self, prepared: Prepared) -> None:
        """Make room for the integer keys that later tables look up."""
        if not prepared.source.whole:
            return
        for fk in self.closure.plan.carried.children_of(prepared.table.name):
            if fk.enforced or len(fk.parent_columns) != 1 or fk.is_self:
                continue
            name = fk.parent_columns[0]
            if name in prepared.table.by_name and prepared.table.column(name).type == _MASK:
                self._sets.setdefault((prepared.table.name, name), KeySet())

    def batches(self, prepared: Prepared) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table.

        Raises
        ------
        OrphanError, ValueLossError, DatabaseError, Cancelled
        """
        closure, name = self.closure, prepared.table.name
        keysets = [(column, keys) for (table, column), keys in self._sets.items() if table == name]
        lookups = [(fk, self._sets[fk.parent, fk.parent_columns[0]]) for fk in prepared.looked_up]
        for read in closure.db.dialect.read(closure.conn, prepared.table, prepared.source):
            closure.check()
            batch = read
            for column, keys in keysets:
                keys.add(batch.column(column))
            for fk, keys in lookups:
                missing = keys.missing(batch.column(fk.columns[0]))
                count = int(missing.sum())
                if count:
                    prepared.orphans[fk.label] = prepared.orphans.get(fk.label, 0) + count
                    self._decide(fk)
                    if self.on_orphan == "null":
                        batch = with_nulls(batch, fk.columns, missing)
            if prepared.masks:
                batch = masked(batch, prepared)
            yield prepared.identities.beside(batch) if prepared.identities else batch


def masked(batch: pa.RecordBatch, prepared: Prepared) -> pa.RecordBatch:
    """Set to NULL what the mask columns of a batch say, and take those columns away."""
    for mask, columns in prepared.masks:
        hits = integers(batch.column(mask)) == 1
        if hits.any():
            batch = with_nulls(batch, columns, hits)
    width = batch.num_columns - len(prepared.masks)
    return batch.select(list(range(width)))


def with_nulls(
    batch: pa.RecordBatch, columns: Sequence[str], where: np.ndarray[Any, np.dtype[np.bool_]]
) -> pa.RecordBatch:
    """Return a batch with NULL in some columns of some rows."""
    import pyarrow as pa
    import pyarrow.compute as pc

    mask = mask_array(where)
    for name in columns:
        column = batch.column(name)
        nulled = pc.if_else(mask, pa.nulls(len(column), column.type), column)
        batch = batch.set_column(batch.schema.get_field_index(name), batch.schema.field(name), nulled)
    return batch


def database_digest(db: Database, tables: Sequence[str] | None = None) -> str:
    """Return the semantic digest of a database: equal to that of a package or database with the same content."""
    from datatransfer.package.digest import semantic_digest

    with DatabaseRows(db, tables) as rows:
        return semantic_digest(rows.schema, rows.batches)
