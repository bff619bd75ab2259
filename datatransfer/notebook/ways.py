"""What may be done about a finding, in words that a form shows, each with its mapping; knows no widgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datatransfer.display import blocks
from datatransfer.importing import cures
from datatransfer.importing.mapping import Mapping
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID, Column, Table

if TYPE_CHECKING:
    from datatransfer.importing.validation import Misfit
    from datatransfer.package.package import DataPackage
    from datatransfer.schema.tables import Schema

_OURS = (ENTITY_UUID, IMPORTED_FROM_UUID)
_TABLES = ("missing-table", "taken-table")
_PLACES = ("missing-column", "taken-column", "computed-column", "needed-column")
_VALUES = ("required-column", "default", "null")


@dataclass(frozen=True)
class Way:
    """One thing that may be done, and the mapping that does it."""

    words: str
    mapping: Mapping


@dataclass(frozen=True)
class Value:
    """A column of the target that needs a value, and the mapping that gives it one."""

    column: Column
    mapping: Callable[[Any], Mapping]


class Ways:
    """What may be done about findings, as far as others are settled.

    Parameters
    ----------
    package : DataPackage
    target : Schema
    mapping : Mapping
        What was chosen.
    """

    def __init__(self, package: DataPackage, target: Schema, mapping: Mapping) -> None:
        self.package = package.schema
        self.target = target
        self.mapping = mapping
        self._places = {t.name: mapping.table_of(t.name, target) for t in self.package
                        if package.entry(t.name).rows and t.name not in mapping.drop_tables}  # fmt: skip
        self._mine = {f"{t.name}.{c.name}": (t, c) for t in self.package for c in t.columns}
        self._theirs = {f"{t.name}.{c.name}": (t, c) for t in target for c in t.columns}

    def of(self, finding: Misfit) -> list[Way]:
        """Return what may be done, what is proposed first."""
        found = [Way(self._proposed(finding), finding.cure)] if finding.cure and finding.code not in _VALUES else []
        if finding.code in _TABLES:
            found += self._of_table(self.package.table(finding.where))
        elif finding.where in self._mine:
            found += self._of_column(finding, *self._mine[finding.where])
        return [way for n, way in enumerate(found) if way.mapping not in [other.mapping for other in found[:n]]]

    def value(self, finding: Misfit) -> Value | None:
        """Return the column of the target that may be given a value, None if that would not help."""
        if finding.code not in _VALUES:
            return None
        if finding.code == "null":
            table, column = self._mine[finding.where]
            there = self._there(table)
            name = self.mapping.column_of(table.name, column.name, there) if there else None
            return self._value(table.name, there.by_name[name]) if there and name and finding.cure.default else None
        there, column = self._theirs[finding.where]
        return None if column.generated else self._value(self._source_of(there), column)

    @staticmethod
    def _value(table: str, column: Column) -> Value:
        return Value(column, lambda value: Mapping(default={table: {column.name: value}}))

    def _source_of(self, there: Table) -> str:
        return next((name for name, place in self._places.items() if place == there.name), there.name)

    def _there(self, table: Table) -> Table | None:
        name = self.mapping.table_of(table.name, self.target)
        return self.target.tables.get(name) if name else None

    @staticmethod
    def _proposed(finding: Misfit) -> str:
        said = described(finding.cure, lossless=finding.sure)
        if finding.sure:
            return f"{said} (proposed)"
        return f"{said} (perhaps)" if finding.cure.rename or finding.cure.rename_tables else said

    def _of_table(self, table: Table) -> list[Way]:
        taken = {place for name, place in self._places.items() if name != table.name}
        free = [t for t in self.target if t.name not in taken]
        return [
            *(way_of(cures.renamed_table(table, there)) for there in free),
            way_of(Mapping(drop_tables=[table.name])),
        ]

    def _of_column(self, finding: Misfit, table: Table, column: Column) -> list[Way]:
        found = []
        there = self._there(table)
        if finding.code in _PLACES and there is not None:
            others = [c.name for c in table.columns if c.name != column.name]
            taken = {self.mapping.column_of(table.name, name, there) for name in others}
            free = [c.name for c in there.columns if c.name not in taken and not c.generated and c.name not in _OURS]
            found = [way_of(Mapping(rename={table.name: {column.name: name}})) for name in free]
        if self._may_be_left_out(finding, table, column, there):
            found.append(way_of(cures.drop(table, column.name)))
        return found

    def _may_be_left_out(self, finding: Misfit, table: Table, column: Column, there: Table | None) -> bool:
        referenced = {c for fk in self.package.children_of(table.name) for c in fk.parent_columns}
        if column.name in {*table.key, *referenced, *_OURS} or there is None:
            return False
        place = self.mapping.column_of(table.name, column.name, there)
        return finding.code in _PLACES or (place in there.by_name and cures.is_optional(there.by_name[place or ""]))


def way_of(mapping: Mapping) -> Way:
    """Return a mapping of one finding with its words."""
    return Way(described(mapping), mapping)


def proposal(finding: Misfit) -> str:
    """Return what is proposed about a finding and loses nothing, empty if nothing is."""
    if not finding.sure:
        return ""
    names = [*finding.cure.rename_tables.values()]
    names = names or [name for columns in finding.cure.rename.values() for name in columns.values()]
    if not names:
        return f"{blocks.visible(finding.where)}: {described(finding.cure, lossless=True)}"
    others = described(Mapping(cast=finding.cure.cast), lossless=True)
    return ", ".join(filter(None, (blocks.visible(f"{finding.where} → {names[0]}"), others)))


def described(mapping: Mapping, *, lossless: bool = False) -> str:
    """Return what a mapping of one finding does.

    Examples
    --------
    >>> described(Mapping(rename={"orders": {"placed": "placed_at"}}))
    'goes into placed_at'
    >>> described(Mapping(drop={"orders": ["note"]}))
    'is left out'
    """
    said = [f"goes into {name}" for name in mapping.rename_tables.values()]
    if not said:
        said += [f"goes into {name}" for columns in mapping.rename.values() for name in columns.values()]
    if mapping.drop or mapping.drop_tables:
        said.append("is left out")
    kinds = [kind for columns in mapping.cast.values() for kind in columns.values()]
    said += [f"its values become {kind}" + ("" if lossless else ", and may change") for kind in kinds]
    values = [value for columns in mapping.default.values() for value in columns.values()]
    said += [f"{value!r} where there is none" for value in values]
    return blocks.visible(", ".join(dict.fromkeys(said)))
