"""The rows of a package laid beside the target, table by table, before anything in the target changes.

Each staged row has a number ``r``, the columns ``c0``, ``c1``, … as the target takes them, and where the table has
them ``u``, ``o`` and ``k`` (see `datatransfer.importing.stagedidentity`). While rows stream past, references without a
parent in the package are counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import TYPE_CHECKING

from datatransfer.database.dialects.prefetching import prefetched
from datatransfer.errors import ValueLossError
from datatransfer.events import Cancellation, Listener, Progress
from datatransfer.failpoints import failpoint
from datatransfer.importing.actions import Identity, Policies
from datatransfer.importing.casting import Cast, castable
from datatransfer.importing.keptkeys import keep
from datatransfer.importing.losses import Changes, Losses
from datatransfer.importing.stagedidentity import identity_arrays, identity_columns, make_copies
from datatransfer.importing.validation import ColumnFit, TableFit
from datatransfer.package.contents import BATCH_ROWS
from datatransfer.package.convert import Convert, converter
from datatransfer.package.linking import as_parents_write
from datatransfer.schema.keysets import KeySet
from datatransfer.schema.tables import Column, ForeignKey
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.writers import Writer
    from datatransfer.package.package import DataPackage

PART_ROWS = 1 << 18
"""Rows after which what is staged is committed with a checkpoint."""


@dataclass
class StagedTable:
    """One table of the stage.

    Attributes
    ----------
    number : int
        Names its staging tables: ``s<number>`` rows, ``m<number>`` map, …
    columns : list of (stage column, ColumnFit)
    rows : int
    key_chunks : list of bytes
        The integer keys in order, as compressed Parquet.
    keeps_texts : bool
        Whether keys that are texts are kept so, too.
    outside : dict of ForeignKey to int
        References whose parent is not in the package; -1 where the stage has to be asked.
    """

    number: int
    fit: TableFit
    rows: int = 0
    has_uuid: bool = False
    has_foreign: bool = False
    key_chunks: list[bytes] = field(default_factory=list)
    keeps_texts: bool = False
    outside: dict[ForeignKey, int] = field(default_factory=dict)

    @property
    def has_keys(self) -> bool:
        """Whether origins and keys are staged as the package writes them."""
        return self.has_foreign or self.fit.changes_key

    @property
    def columns(self) -> list[tuple[str, ColumnFit]]:
        """The stage columns in order."""
        return [(f"c{i}", fit) for i, fit in enumerate(self.fit.columns)]

    def stage_column(self, target_column: str) -> str:
        """Return the stage column that holds the values for a target column."""
        return next(name for name, fit in self.columns if fit.target.name == target_column)

    def stage_of_source(self, source_column: str) -> str | None:
        """Return the stage column that holds a package column."""
        return next((name for name, fit in self.columns if fit.source.name == source_column and not fit.given), None)

    @property
    def spelled(self) -> list[tuple[str, ForeignKey, str]]:
        """The stage columns that hold references as their parents are written, where rows write them otherwise."""
        return [
            (f"f{number}_{place}", fk, column)
            for number, fk in enumerate(self.fit.source.foreign_keys)
            for place, column in enumerate(fk.columns)
            if fk.spelled(column) and self.stage_of_source(column)
        ]

    def reference(self, fk: ForeignKey, source_column: str) -> str | None:
        """Return the stage column by which the parents of a foreign key are found."""
        found = next((name for name, other, c in self.spelled if other == fk and c == source_column), None)
        return found or self.stage_of_source(source_column)


class Stager:
    """Loads a package into the stage.

    Parameters
    ----------
    package : DataPackage
    writer : Writer
    policies : Policies
    listener, cancellation
        Told after each batch, asked before it.
    part_rows : int
        Rows after which what is staged is committed with a checkpoint; parts end with batches.

    Notes
    -----
    A stage that was left before its end goes on after its last checkpoint; a table of it that would be laid in another
    way now, because the target's schema has changed, is staged anew. Every row is read and looked at once more,
    for the references and keys that are remembered in this process; only those behind the checkpoint are staged.
    """

    def __init__(
        self,
        package: DataPackage,
        writer: Writer,
        policies: Policies,
        listener: Listener,
        cancellation: Cancellation,
        *,
        part_rows: int = PART_ROWS,
    ) -> None:
        self.package = package
        self.writer = writer
        self.policies = policies
        self.listener = listener
        self.cancellation = cancellation
        self.losses = Losses()
        self.changes = Changes()
        self._part_rows = part_rows
        self._keys: dict[tuple[str, str], KeySet] = {}
        self._done = 0
        self._total = 0

    def stage(self, fits: dict[str, TableFit], order: list[str], rows: dict[str, int]) -> dict[str, StagedTable]:
        """Load all tables, parents first."""
        self._total = sum(rows[name] for name in order)
        noted = self.writer.noted()
        checkpoints = checkpoints_of(noted)
        tables = self.tables(fits, order)
        for name, table in tables.items():
            as_it_was = noted.get(f"{_LAYOUT}{table.number}") == _layout(table)
            self._stage_table(
                name, table, order[: table.number], checkpoints.get(table.number, {}) if as_it_was else {}
            )
        return tables

    def tables(self, fits: Mapping[str, TableFit], order: list[str]) -> dict[str, StagedTable]:
        """Return what will be known of each table, before any row of it was seen."""
        tables = {}
        for number, name in enumerate(order):
            table = StagedTable(number, fits[name])
            table.has_foreign = self.package.entry(name).foreign_identity
            table.has_uuid = table.fit.source.tracked
            tables[name] = table
            for fk in table.fit.source.foreign_keys:
                if len(fk.parent_columns) == 1 and fk.parent in fits:
                    self._keys.setdefault((fk.parent, fk.parent_columns[0]), KeySet())
        return tables

    def converted(self, table: StagedTable, before: list[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table as they are staged; references and keys are counted and remembered.

        Parameters
        ----------
        table : StagedTable
        before : list of str
            The package tables whose rows went by before.
        """
        for fk in table.fit.source.foreign_keys:
            watched = fk.parent in before and len(fk.columns) == 1
            table.outside[fk] = 0 if watched else -1
        yield from self._convert(table)

    def _stage_table(self, name: str, table: StagedTable, before: list[str], done: Mapping[int, int]) -> None:
        stage_columns = [("r", "BIGINT")]
        stage_columns += [(c, self.writer.stage_type(fit.kind)) for c, fit in table.columns]
        stage_columns += [(c, self.writer.text_type) for c, _, _ in table.spelled]
        stage_columns += [
            (c, self.writer.text_type if c == "k" else self.writer.key_type(_UUID_TEXT))
            for c in identity_columns(table)
        ]
        if not self._holds("s", table.number, done):
            done = {}
            self.writer.recreate("s", table.number, stage_columns)
            self.writer.note(f"{_LAYOUT}{table.number}", _layout(table))
        # A thread reads and converts ahead, while this one hands over; who listens is called from here only.
        with closing(prefetched(self.converted(table, before), abandon=lambda: None)) as ahead:
            self._load(table, self._told(name, ahead), done)

    def _told(self, name: str, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        self.listener(Progress("stage", name, self._done, self._total))
        for batch in batches:
            failpoint("stage.batch")
            self.cancellation.check()  # once more: no signal reaches the thread that reads ahead
            yield batch
            self._done += batch.num_rows
            self.listener(Progress("stage", name, self._done, self._total))

    def _load(self, table: StagedTable, batches: Iterator[pa.RecordBatch], done: Mapping[int, int]) -> None:
        first = next(batches, None)
        if first is None:
            return
        tagged = [c for c, fit in table.columns if fit.kind.kind == "any"]
        arrow = first.schema.with_metadata({"tagged": ",".join(tagged)} if tagged else None)

        for part, rows in enumerate(_parts(chain([first], batches), self._part_rows)):
            if part in done:
                table.rows += sum(batch.num_rows for batch in rows)
            else:
                checkpoint = f"{_PART}{table.number}:{part}"
                table.rows += self.writer.load("s", table.number, arrow, rows, checkpoint=checkpoint)

    def _holds(self, kind: str, number: int, done: Mapping[int, int]) -> bool:
        """Whether the stage holds what its checkpoints say; a server that crashed empties unlogged tables."""
        if not done:
            return False
        held = int(self.writer.scalar(f"SELECT count(*) FROM {self.writer.stage_name(kind, number)}"))
        return held == sum(done.values())

    def _convert(self, table: StagedTable) -> Iterator[pa.RecordBatch]:
        import numpy as np
        import pyarrow as pa

        name = table.fit.source.name
        converters = [self._converter(table, fit) for _, fit in table.columns]
        start = 0
        for batch in self.package.batches(name, min(BATCH_ROWS, self._part_rows)):
            self.cancellation.check()
            self._watch(table, batch)
            arrays: list[pa.Array] = [pa.array(np.arange(start, start + batch.num_rows, dtype=np.int64))]
            for (_, fit), convert in zip(table.columns, converters, strict=True):
                if fit.given and fit.fill is not None:
                    arrays.append(pa.repeat(fit.fill[0], batch.num_rows))
                else:
                    arrays.append(convert(batch.column(fit.source.name)))
            arrays += [as_parents_write(batch.column(c), fk.spelled(c)) for _, fk, c in table.spelled]
            arrays += identity_arrays(table, batch)
            spelled = [c for c, _, _ in table.spelled]
            names = ["r", *(c for c, _ in table.columns), *spelled, *identity_columns(table)]
            if table.has_uuid and self.policies.identity is Identity.COPY:
                make_copies(table, names, arrays)
            keep(table, names, arrays)
            start += batch.num_rows
            yield pa.RecordBatch.from_arrays(arrays, names=names)

    def _converter(self, table: StagedTable, fit: ColumnFit) -> Convert:
        where = f"{table.fit.source.name}.{fit.source.name}"
        digits = self.writer.fraction_digits(fit.target)
        change: Convert = converter(fit.source.type, fit.kind, fraction_digits=digits, where=where)
        if fit.lossy:
            change = self.changes.casts.setdefault(where, Cast(fit.source.type, fit.kind, digits, where))

        source = self._said_of(fit.source)

        def whole(array: pa.Array) -> pa.Array:
            changed = change(array)
            self.writer.refuse_changed(changed, source, fit.target)
            return self.writer.stage_values(changed, fit.kind, fit.target)

        def run(array: pa.Array) -> pa.Array:
            import pyarrow as pa

            try:
                return self.changes.filled(where, whole(array), fit)
            except ValueLossError as error:  # the import will be refused, with all that is found until then
                self.losses.add(where, error, array, whole, castable=self._castable(fit, digits, array))
                return whole(pa.nulls(len(array), array.type))

        return run

    def _castable(self, fit: ColumnFit, digits: int, array: pa.Array) -> bool:
        """Whether values that do not fit would, if they may change."""
        if fit.lossy or not castable(fit.source.type, fit.kind):
            return False
        try:
            changed = Cast(fit.source.type, fit.kind, digits)(array)
            self.writer.refuse_changed(changed, self._said_of(fit.source), fit.target)
            self.writer.stage_values(changed, fit.kind, fit.target)
        except ValueLossError:
            return False
        return True

    def _said_of(self, source: Column) -> Column:
        """Return a column of the package; what SQLite declares says nothing of the values."""
        return replace(source, declared="") if self.package.metadata.dialect == "sqlite" else source

    def converters(self, table: TableFit) -> list[tuple[ColumnFit, Convert]]:
        """Return how each column of the package that travels is converted; losses and changes are counted."""
        named = StagedTable(0, table)
        return [(fit, self._converter(named, fit)) for fit in table.columns if not fit.given]

    def _watch(self, table: StagedTable, batch: pa.RecordBatch) -> None:
        """Count references without a parent and remember the keys that later tables refer to."""
        import pyarrow as pa

        for fk in table.fit.source.foreign_keys:
            keys = self._keys.get((fk.parent, fk.parent_columns[0])) if len(fk.columns) == 1 else None
            if table.outside[fk] < 0:
                continue
            column = batch.column(fk.columns[0])
            if keys is None or not keys.usable or not pa.types.is_int64(column.type):
                table.outside[fk] = -1
            else:
                table.outside[fk] += int(keys.missing(column).sum())
        for (parent, name), keys in self._keys.items():
            if parent == table.fit.source.name:
                column = batch.column(name)
                if pa.types.is_int64(column.type):
                    keys.add(column)
                else:
                    keys.usable = False


def _layout(table: StagedTable) -> str:
    """Return what the columns of a staged table mean; rows that were laid in another way are no use."""
    fit = table.fit
    columns = [
        f"{name}: {c.source.name} {c.source.type} > {c.target.name} {c.target.declared} {c.kind} {c.lossy}"
        for name, c in table.columns
    ]
    whole = [
        fit.source.name,
        fit.target.name,
        *columns,
        str(table.has_uuid),
        str(table.has_foreign),
        str(table.has_keys),
    ]
    return hashlib.sha256("\n".join(whole).encode()).hexdigest()


def checkpoints_of(noted: Mapping[str, str]) -> dict[int, dict[int, int]]:
    """Return the staged parts that a log tells of: ``{table number: {part: rows}}``."""
    found: dict[int, dict[int, int]] = {}
    for name, rows in noted.items():
        if name.startswith(_PART):
            number, part = name.removeprefix(_PART).split(":")
            found.setdefault(int(number), {})[int(part)] = int(rows)
    return found


def _parts(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[Iterator[pa.RecordBatch]]:
    """Cut a stream into streams of at least that many rows, each to be used up before the next is asked for."""

    def part(first: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
        yield first
        count = first.num_rows
        while count < rows and (batch := next(batches, None)) is not None:
            yield batch
            count += batch.num_rows

    for first in batches:
        yield part(first)


_PART, _LAYOUT = "part ", "layout "
_UUID_TEXT = Column("u", LogicalType("text"), declared="varchar(200)")
