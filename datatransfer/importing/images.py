"""What a change of a target leaves in the ledger so that it can be reversed.

A *before-image* holds rows as they were before they were updated or deleted. An *after-image* holds, of rows that were
updated or inserted, the key and a hash of the content as the database holds it; of tables without a key, how many rows
of each hash came. Every piece says in its Arrow metadata what was done with its rows and what its columns are, so that
columns which are added to the table later do not matter.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datatransfer.database import ledger
from datatransfer.database.dialects.base import RowSource
from datatransfer.errors import MergeError, TargetChangedError
from datatransfer.importing.actions import Action
from datatransfer.importing.remap import TablePlan
from datatransfer.schema.tables import Column, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.writers import Writer
    from datatransfer.importing.plan import ImportPlan

INSERT, UPDATE, DELETE = "insert", "update", "delete"
_META = b"datatransfer"
_PIECE_ROWS = 500_000
_AHEAD_ROWS = 10_000


@dataclass(frozen=True)
class Facts:
    """What a piece of an image says of itself.

    Parameters
    ----------
    action : {"insert", "update", "delete"}
        What was done with the rows.
    key : tuple of str
        The key columns, ``k0`` … of an after-image; empty where rows are told apart by their content only.
    hashed : tuple of str
        The columns that are in the hash, in order.
    types : tuple of LogicalType
        Of the image's own columns that hold values of the table.
    """

    action: str
    key: tuple[str, ...] = ()
    hashed: tuple[str, ...] = ()
    types: tuple[LogicalType, ...] = field(default=())

    def on(self, data: pa.Table) -> pa.Table:
        """Return the data with these facts on it."""
        text = json.dumps({**vars(self), "types": [kind.to_json() for kind in self.types]})
        return data.replace_schema_metadata({_META: text.encode()})

    @classmethod
    def of(cls, data: pa.Table) -> Facts | None:
        """Return the facts of a piece; None if an earlier version wrote it."""
        found = (data.schema.metadata or {}).get(_META)
        if found is None:
            return None
        values = json.loads(found)
        lists = {name: tuple(values[name]) for name in ("key", "hashed")}
        return cls(values["action"], types=tuple(map(LogicalType.from_json, values["types"])), **lists)


def hashed_columns(table: Table) -> tuple[Column, ...]:
    """Return the columns whose values make a row what it is: all that are written, not those that are computed."""
    return tuple(column for column in table.columns if not column.generated)


# --- before ---------------------------------------------------------------------------------------------------------


def before_image(writer: Writer, table: Table, source: RowSource, action: str, key: Sequence[str]) -> pa.Table | None:
    """Return rows of the target that are about to be updated or deleted, as they are; None if there are none."""
    import pyarrow as pa

    dialect = writer.db.dialect
    resolved = dialect.resolve_types(writer.conn, table, source)
    batches = list(dialect.read(writer.conn, resolved, source))
    if not batches:
        return None
    types = [column.type for column in resolved.columns] + [kind for _, _, kind in source.extra]
    return Facts(action, tuple(key), (), tuple(types)).on(pa.Table.from_batches(batches))


# --- after ----------------------------------------------------------------------------------------------------------


def record_after(writer: Writer, change: uuid.UUID, table: Table, key: Sequence[str], chosen: tuple[str, str]) -> int:
    """Record keys and hashes of rows that were written; return how many.

    Parameters
    ----------
    writer : Writer
    change : uuid.UUID
        The import that wrote them.
    table : Table
    key : sequence of str
    chosen : tuple of str
        The action, and a JOIN to the rows, empty for all.
    """
    action, join = chosen
    columns = hashed_columns(table)
    names = tuple(column.name for column in columns)
    pieces = (
        (Facts(action, tuple(key), names, tuple(types)), rows)
        for types, rows in writer.key_hashes(table, key, columns, join)
    )
    total = 0
    for facts, rows in _gathered(pieces):
        ledger.add_after_image(writer.conn, change, table.name, facts.on(rows))
        total += rows.num_rows
    return total


def _gathered(pieces: Iterator[tuple[Facts, pa.Table]]) -> Iterator[tuple[Facts, pa.Table]]:
    """Yield pieces that are worth a chunk of the ledger each."""
    import pyarrow as pa

    held: list[pa.Table] = []
    facts = None
    for facts, rows in pieces:
        held.append(rows)
        if sum(piece.num_rows for piece in held) >= _PIECE_ROWS:
            yield facts, pa.concat_tables(held)
            held = []
    if held and facts is not None:
        yield facts, pa.concat_tables(held)


def counted_before(writer: Writer, table: Table) -> pa.Table | None:
    """Return how many rows of each content a table without a key holds, where `record_more` will need it."""
    return None if writer.tells_own_rows else writer.hash_counts(table, hashed_columns(table))


def record_more(
    writer: Writer, change: uuid.UUID, table: Table, before: pa.Table | None, rows: int | None = None
) -> None:
    """Record how many rows of each content an import brought into a table without a key.

    Parameters
    ----------
    writer : Writer
    change : uuid.UUID
    table : Table
    before : pyarrow.Table, optional
        What `counted_before` returned before the first row was written.
    rows : int, optional
        How many came, if nothing but this import, such as a trigger, wrote into the table.

    Raises
    ------
    TargetChangedError
        Others wrote into it meanwhile, and nothing tells their rows from ours.
    """
    import pyarrow.compute as pc

    columns = hashed_columns(table)
    more = writer.hash_own(table, columns)
    if more is None:
        assert before is not None
        more = _difference(before, writer.hash_counts(table, columns))
        if rows is not None and (pc.sum(more["n"]).as_py() or 0) != rows:
            what = "rows of others came into the table, which has no key to tell them by"
            raise TargetChangedError(what, where=table.name, hint="nothing was changed; plan again")
    facts = Facts(INSERT, (), tuple(column.name for column in columns))
    if more.num_rows:
        ledger.add_after_image(writer.conn, change, table.name, facts.on(more))


def _difference(before: pa.Table, after: pa.Table) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    minus = before.set_column(1, "n", pc.negate(before["n"]))
    both = pa.concat_tables([after, minus]).group_by("h").aggregate([("n", "sum")])
    return both.filter(pc.greater(both["n_sum"], 0)).select(["h", "n_sum"]).rename_columns(["h", "n"])


class AfterImages:
    """Records what an import wrote, once all of it is written.

    Parameters
    ----------
    plan : ImportPlan
    """

    def __init__(self, plan: ImportPlan) -> None:
        self.plan = plan
        self.writer: Writer = plan.writer
        self._before: dict[str, Any] = {}

    def begin(self, *, suspended: bool) -> None:
        """Begin to hash what will be inserted as it lies in the stage, where nothing can change it on the way.

        Parameters
        ----------
        suspended : bool
            Triggers rest, of tables that the role may alter.
        """
        coming = {}
        for table in () if self.plan.straight else self.plan.plans.values():
            target, columns = table.fit.target, hashed_columns(table.fit.target)
            fits = {fit.target.name: fit for fit in table.fit.columns}
            if (
                table.was_empty
                and not table.mapped
                and table.staged.rows >= _AHEAD_ROWS
                and table.fit.surrogate
                and all(c.name in fits and self.writer.keeps(fits[c.name].kind, c) for c in columns)
                and ((suspended and self.writer.may_alter(target)) or not self.writer.fires_triggers(target))
            ):
                named = [(f"n{i}", fits[column.name]) for i, column in enumerate(columns)]
                key = target.by_name[table.fit.surrogate]
                coming[target.name] = key, columns, self.plan.remap.select(table, named)
        self.writer.hash_ahead(coming)

    def end(self) -> None:
        """Stop what was begun."""
        self.writer.end_ahead()

    def before_insert(self, table: TablePlan) -> None:
        """Remember what a table without a key holds, before rows are inserted."""
        if not table.key and self._possible(table):
            target = table.fit.target
            self._before[target.name] = counted_before(self.writer, target)

    def _possible(self, table: TablePlan) -> bool:
        return bool(self.writer.row_hash("t", table.fit.target.columns))

    def record(self) -> None:
        """Record keys and hashes of all that was inserted and updated."""
        for table in self.plan.plans.values():
            wrote = [action for action in (Action.INSERT, Action.UPDATE) if table.counts.get(action)]
            if wrote and not self._possible(table):
                continue
            if wrote and not table.key:
                target = table.fit.target
                fired = any(self.writer.fires_triggers(p.fit.target) for p in self.plan.plans.values() if p.counts)
                rows = None if fired else sum(table.counts[action] for action in wrote)
                record_more(self.writer, self.plan.writer.import_id, target, self._before.pop(target.name), rows)
                continue
            for action in wrote:
                self._record(table, action)

    def _record(self, table: TablePlan, action: Action) -> None:
        target, change = table.fit.target, self.plan.writer.import_id
        straight = self.plan.straight is not None
        whole = action is Action.INSERT and table.was_empty and (straight or self._holds(table, table.counts[action]))
        join = "" if whole else self._join(table, action)
        recorded = record_after(self.writer, change, target, table.key, (str(action), join))
        if straight and recorded != table.counts[action]:  # the stage could tell ours from those
            raise MergeError("rows of others came into the table meanwhile", where=target.name)

    def _holds(self, table: TablePlan, rows: int) -> bool:
        return int(self.writer.scalar(f"SELECT count(*) FROM {self.writer.table(table.fit.target)}")) == rows

    def _join(self, table: TablePlan, action: Action) -> str:
        """Return the JOIN to the rows that were inserted or updated."""
        w = self.writer
        on = " AND ".join(f"t.{w.quote(c)} = m.k{i}" for i, c in enumerate(table.key))
        if table.mapped:
            return f"JOIN {w.stage_name('m', table.number)} m ON {on} AND m.a = '{action}'"
        keys = [(f"k{i}", table.fit.fit_of(column)) for i, column in enumerate(table.key)]
        return f"JOIN ({self.plan.remap.select(table, keys)}) m ON {on}"
