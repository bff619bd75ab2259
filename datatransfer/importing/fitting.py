"""A package's tables fitted into a target's, under a mapping: every table and column compared, every finding at once.

Reads schemas only; knows which package column goes into which target column, and as what kind of value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from datatransfer.errors import ValueLossError
from datatransfer.importing import cures
from datatransfer.importing.casting import castable
from datatransfer.importing.mapping import Mapping
from datatransfer.importing.spellings import respelled, similar
from datatransfer.importing.validation import ColumnFit, Misfit, TableFit
from datatransfer.package.convert import converter, convertible
from datatransfer.schema.graph import DependencyGraph
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID, Column, ForeignKey, Schema, Table
from datatransfer.schema.values import LogicalType, from_json, tag

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.writers import Writer

_OURS = (ENTITY_UUID, IMPORTED_FROM_UUID)
_CLASSES = ("integer", "float", "text", "boolean")
_NUMBER = re.compile(r"^-?\d+(\.\d+)?$")


@dataclass
class Comparison:
    """A package's schema beside a target's.

    Attributes
    ----------
    fits : dict of str to TableFit
        By package table.
    misfits : list of Misfit
        Also those that forbid nothing.
    """

    fits: dict[str, TableFit] = field(default_factory=dict)
    misfits: list[Misfit] = field(default_factory=list)

    @property
    def errors(self) -> list[Misfit]:
        """The findings that forbid the import."""
        return [item for item in self.misfits if item.severity == "error"]

    @property
    def order(self) -> list[str]:
        """The package's tables, parents first."""
        return list(DependencyGraph(Schema({name: fit.source for name, fit in self.fits.items()})).order)


def compare(package: Schema, rows: dict[str, int], target: Schema, writer: Writer, mapping: Mapping) -> Comparison:
    """Fit every table of a package that has rows into the target, and find all that does not fit.

    Raises
    ------
    UnknownTableError, UnknownColumnError, UsageError
        The mapping names what is not there, or contradicts itself.
    """
    mapping.check(package, target)
    found = Comparison()
    carried = [table for table in package if rows.get(table.name) and table.name not in mapping.drop_tables]
    names = {table.name: mapping.table_of(table.name, target) for table in carried}
    taken = Counter(name for name in names.values() if name)
    missing = [table for table in carried if names[table.name] is None]
    meant = cures.meant_tables(missing, [t for t in target if t.name not in taken])
    for table in carried:
        name = names[table.name]
        if name is None:
            other = meant.get(table.name)
            found.misfits.append(cures.missing_table(table, other, target.tables[other.name] if other else None))
        elif taken[name] > 1:
            found.misfits.append(cures.taken_table(table, name))
        else:
            fitter = _TableFitter(table, target.tables[name], package, writer, mapping)
            found.fits[table.name] = fitter.fit()
            found.misfits += fitter.misfits
    _stage_as_parents(found)
    _follow_references(found, target, writer, mapping)
    return found


class _TableFitter:
    """Fits one table; ``misfits`` holds what was found."""

    def __init__(self, source: Table, target: Table, package: Schema, writer: Writer, mapping: Mapping) -> None:
        self.source = source
        self.target = target
        self.writer = writer
        self.mapping = mapping
        self.misfits: list[Misfit] = []
        self.dropped = set(mapping.drop.get(source.name, ()))
        self.casts = mapping.cast.get(source.name, {})
        self.referenced = {c for fk in package.children_of(source.name) for c in fk.parent_columns}
        self.refers = {c for fk in source.foreign_keys for c in fk.columns}
        self.kept = [c for c in source.columns if c.name not in self.dropped]
        self.names = {c.name: mapping.column_of(source.name, c.name, target) for c in self.kept}
        self.meant = self._meant()

    def fit(self) -> TableFit:
        """Fit the columns, then what the target wants besides."""
        for name in sorted(self.dropped & {*self.source.key, *self.referenced, ENTITY_UUID}):
            self.misfits.append(cures.needed(self.source, name, is_key=name in self.source.key))
        taken = Counter(name for name in self.names.values() if name)
        columns: list[ColumnFit] = []
        for column in self.kept:
            there = self.names[column.name]
            if there is not None and taken[there] > 1:
                self.misfits.append(cures.taken_column(self.source, column, there, self._optional(column)))
            elif (made := self._fit_column(column, there)) is not None:
                columns.append(made)
        columns = self._with_defaults(columns)
        self._find_required(columns)
        keys = tuple(fk for fk in self.source.foreign_keys if not self.dropped & set(fk.columns))
        made_fit = TableFit(replace(self.source, foreign_keys=keys), self.target, tuple(columns))
        if self.source.key and not made_fit.keyed and not self.misfits:
            self.misfits.append(cures.other_key(made_fit))
        return made_fit

    def _meant(self) -> dict[str, cures.Meant]:
        """Return the column of the target that each column without one may be; no two the same."""
        missing = [c for c in self.kept if self.names[c.name] is None and c.name not in _OURS and not c.generated]
        free = {c.name: c for c in self.target.columns
                if c.name not in self.names.values() and c.name not in _OURS and not c.generated}  # fmt: skip
        found = {
            name: cures.Meant(there, sure=True) for name, there in respelled([c.name for c in missing], free).items()
        }
        for column in missing:
            taken = {meant.name for meant in found.values()}
            alike = [n for n, c in free.items() if n not in taken and self._kind(column, c) is not None]
            guess = similar(column.name, alike)
            if guess is None and len(alike) == 1 and not self._optional(column):
                guess = alike[0]
            if column.name not in found and guess is not None:
                found[column.name] = cures.Meant(guess)
        return found

    def _optional(self, column: Column) -> bool:
        """Whether the package's column may be dropped, as far as the package goes."""
        return column.name not in {*self.source.key, *self.referenced, ENTITY_UUID}

    def _fit_column(self, column: Column, name: str | None) -> ColumnFit | None:
        if name is None:
            if column.name not in _OURS and not column.generated:
                meant, droppable = self.meant.get(column.name), self._optional(column)
                self.misfits.append(cures.missing_column(self.source, column, meant, droppable=droppable))
            return None
        there = self.target.by_name[name]
        if there.generated:
            if not column.generated:
                self.misfits.append(cures.computed(self.source, column, droppable=self._optional(column)))
            return None
        if column.name in self.casts:
            return self._cast(column, there)
        kind = self._kind(column, there)
        if kind is None:
            self.misfits.append(cures.other_type(self.source, column, there, self._cure_of_type(column, there)))
            return None
        fitted = ColumnFit(column, there, kind)
        self.misfits += cures.narrowed(self.source, fitted)
        return fitted

    def _kind(self, column: Column, there: Column) -> LogicalType | None:
        """Return as what kind of value a column travels without loss, None if it does not."""
        kind = self.writer.target_kind(column.type, there)
        return kind if kind is not None and convertible(column.type, kind) else None

    # --- lossy conversions --------------------------------------------------------------------------------------

    def _fixed(self, column: Column) -> bool:
        return column.name in {*self.source.key, *self.referenced, *self.refers, *_OURS}

    def _cast(self, column: Column, there: Column) -> ColumnFit | None:
        wanted = self.casts[column.name]
        kind = self._taken_as(wanted, there)
        if self._fixed(column):
            self.misfits.append(cures.fixed(self.source, column))
        elif kind is None:
            self.misfits.append(cures.other_cast(self.source, column, there, wanted))
        elif not castable(column.type, kind):
            cure = self._drop(column, there)
            self.misfits.append(cures.no_cast(self.source, column, wanted, cure))
        else:
            return ColumnFit(column, there, kind, lossy=True)
        return None

    def _taken_as(self, kind: str, there: Column) -> LogicalType | None:
        """Return the type that a target column has for values of a kind, None if it takes others."""
        found = self.writer.target_kind(LogicalType(kind), there)  # type: ignore[arg-type]
        return found if found is not None and found.kind == kind else None

    def _cure_of_type(self, column: Column, there: Column) -> Mapping:
        if not self._fixed(column):
            kinds = [there.type.kind] if there.type.kind != "any" else ["text", "float", "integer"]
            for kind in kinds:
                taken = self._taken_as(kind, there)
                if taken is not None and castable(column.type, taken):
                    return Mapping(cast={self.source.name: {column.name: kind}})
        return self._drop(column, there)

    def _drop(self, column: Column, there: Column) -> Mapping:
        if not self._optional(column):
            return Mapping()
        return cures.drop(self.source, column.name) | self._default_of(there)

    # --- values that the package does not have ------------------------------------------------------------------

    def _default_of(self, there: Column) -> Mapping:
        """Return what a required column may hold in rows that bring nothing."""
        if cures.is_optional(there):
            return Mapping()
        unique = {c for rule in (self.target.key, *self.target.uniques) for c in rule}
        refers = {c for fk in self.target.foreign_keys for c in fk.columns}
        if there.name in unique | refers:
            return Mapping()
        for value in cures.neutral(there):
            if self._typed(value, there, None) is not None:
                return Mapping(default={self.source.name: {there.name: value}})
        return Mapping()

    def _with_defaults(self, columns: list[ColumnFit]) -> list[ColumnFit]:
        made = {c.target.name: c for c in columns}
        for name, value in self.mapping.defaults_of(self.source.name, self.target).items():
            there, before = self.target.by_name[name], made.get(name)
            if there.generated or name in _OURS or (before is not None and self._fixed(before.source)):
                self.misfits.append(cures.no_default(self.target, there))
                continue
            typed = self._typed(value, there, before)
            if typed is None:
                self.misfits.append(cures.other_default(self.target, there))
                continue
            if before is not None:
                made[name] = replace(before, fill=typed[1])
            else:
                column = Column(f"default of {name}", typed[0], nullable=value is None)
                made[name] = ColumnFit(column, there, typed[0], fill=typed[1], given=True)
        return list(made.values())

    def _typed(self, value: Any, there: Column, before: ColumnFit | None) -> tuple[LogicalType, pa.Array] | None:
        """Return a default as it is staged, and as what kind; None if the column does not take it."""
        digits = self.writer.fraction_digits(there)
        for given, kind in _readings(value):
            taken = before.kind if before else self.writer.target_kind(kind, there)
            mixed = taken is not None and taken.kind == "any" and before is not None and kind.kind in _CLASSES
            if taken is None or not (mixed or (convertible(kind, taken) and taken.kind != "any")):
                continue
            try:
                if mixed:
                    return taken, self.writer.stage_values(from_json([tag(given)], taken), taken, there)
                changed = converter(kind, taken, fraction_digits=digits)(from_json([given], kind))
                self.writer.refuse_changed(changed, Column("", kind), there)
                return taken, self.writer.stage_values(changed, taken, there)
            except ValueLossError:
                continue
        return None

    def _find_required(self, columns: list[ColumnFit]) -> None:
        taken = {fit.target.name for fit in columns} | {meant.name for meant in self.meant.values()}
        waiting = {self.names[m.where.removeprefix(f"{self.source.name}.")] for m in self.misfits
                   if m.where.removeprefix(f"{self.source.name}.") in self.names}  # fmt: skip
        for column in self.target.columns:
            if column.name in taken or column.name in _OURS or cures.is_optional(column) or column.name in waiting:
                continue
            cure = self._default_of(column)
            self.misfits.append(cures.required(self.source, self.target, column, cure, self.dropped))


def _readings(value: Any) -> Iterator[tuple[Any, LogicalType]]:
    """Yield what a default may mean, the nearest first."""
    if value is None:
        yield None, LogicalType("text")
    elif isinstance(value, bool):
        yield value, LogicalType("boolean")
    elif isinstance(value, int):
        yield value, LogicalType("integer")
    elif isinstance(value, float):
        yield value, LogicalType("float")
    else:
        yield value, LogicalType("text")
        if _NUMBER.match(value):
            yield from ((int(value), LogicalType("integer")),) if value.lstrip("-").isdecimal() else ()
            yield value, LogicalType("decimal")
        if value.lower() in ("true", "false"):
            yield value.lower() == "true", LogicalType("boolean")
        yield value, LogicalType("bytes")
        return
    if value is not None:
        yield str(value), LogicalType("text")


def _stage_as_parents(found: Comparison) -> None:
    """Let references be staged as the same kind of value as the keys that they name.

    A column of SQLite takes every kind, but its one integer key does not: decimals would not be found among integers.
    """
    for name in found.order:
        fit = found.fits[name]
        kinds: dict[str, LogicalType] = {}
        for fk in fit.source.foreign_keys:
            parent = found.fits.get(fk.parent)
            for column, above in zip(fk.columns, fk.parent_columns, strict=True):
                key = parent.by_source(above) if parent else None
                if key is not None and not key.lossy:
                    kinds[column] = key.kind
        columns = tuple(_staged_as(column, kinds.get(column.source.name)) for column in fit.columns)
        found.fits[name] = replace(fit, columns=columns)


def _staged_as(fit: ColumnFit, kind: LogicalType | None) -> ColumnFit:
    plain = not (fit.given or fit.lossy) and fit.fill is None and fit.target.type.kind == "any"
    if kind is None or not plain or kind.kind == fit.kind.kind or not convertible(fit.source.type, kind):
        return fit
    return replace(fit, kind=kind)


def _follow_references(found: Comparison, target: Schema, writer: Writer, mapping: Mapping) -> None:
    """Find references that go elsewhere in the target, and follow those that only the target has."""
    by_target = {fit.target.name: fit for fit in found.fits.values()}
    for name, fit in list(found.fits.items()):
        mapped = [(frozenset(f.target.name for f in fits if f), fk) for fk in fit.source.foreign_keys
                  if all(fits := [fit.by_source(c) for c in fk.columns])]  # fmt: skip
        for there in fit.target.foreign_keys:
            # The same columns may refer to several tables.
            known = [fk for columns, fk in mapped if columns == frozenset(there.columns)]
            if not known:
                adopted = _adopted(there, fit, by_target.get(there.parent))
                outside = None
                if there.parent not in found.fits and mapping.table_of(there.parent, target) == there.parent:
                    outside = _outside(there, fit, target.tables[there.parent], writer)
                for key in (adopted, outside):
                    if key is not None:
                        found.fits[name] = _with_key(found.fits[name], key, plain=key is outside)
                        found.misfits.append(cures.new_reference(key, plain=key is outside))
            elif all(fk.parent in found.fits and not _same_parent(fk, there, found.fits[fk.parent]) for fk in known):
                found.misfits.append(cures.other_reference(fit, known[0], there))


def _same_parent(fk: ForeignKey, there: ForeignKey, parent: TableFit) -> bool:
    columns = tuple(f.target.name if (f := parent.by_source(c)) else "" for c in fk.parent_columns)
    return there.parent == parent.target.name and ({*there.parent_columns} == {*columns} or "" in columns)


def _with_key(fit: TableFit, key: ForeignKey, *, plain: bool) -> TableFit:
    source = replace(fit.source, foreign_keys=(*fit.source.foreign_keys, key))
    return replace(fit, source=source, plain=(*fit.plain, key) if plain else fit.plain)


def _outside(there: ForeignKey, fit: TableFit, parent: Table, writer: Writer) -> ForeignKey | None:
    """Return a reference of the target to a table that does not come with the package, None if it fits no kinds."""
    names = []
    for column, above in zip(there.columns, there.parent_columns, strict=True):
        below = next((f for f in fit.columns if f.target.name == column and not f.given), None)
        if below is None or below.lossy or below.fill is not None or above not in parent.by_name:
            return None
        kind = writer.target_kind(below.source.type, parent.by_name[above])
        if kind is None or kind.kind != below.kind.kind:
            return None
        names.append(below.source.name)
    return ForeignKey(fit.source.name, tuple(names), there.parent, there.parent_columns, declared=False, enforced=False)


def _adopted(there: ForeignKey, fit: TableFit, parent: TableFit | None) -> ForeignKey | None:
    """Return a reference of the target in the package's names, None if it leads out of the package or fits no kinds."""
    if parent is None:
        return None
    sides = ((fit, there.columns), (parent, there.parent_columns))
    below, above = ([next((f for f in t.columns if f.target.name == c and not f.given), None) for c in columns]
                    for t, columns in sides)  # fmt: skip
    pairs = [(b, a) for b, a in zip(below, above, strict=True) if b and a and b.kind.kind == a.kind.kind]
    if len(pairs) != len(there.columns) or any(b.lossy or a.lossy or b.fill is not None for b, a in pairs):
        return None
    names = tuple(tuple(f.source.name for f in side) for side in zip(*pairs, strict=True))
    return ForeignKey(fit.source.name, names[0], parent.source.name, names[1], declared=False, enforced=False)
