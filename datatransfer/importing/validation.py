"""Whether a package fits a target: every table and column compared, every finding with its cure.

Reads schemas only; knows which package column goes into which target column, and as what kind of value.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

from datatransfer.errors import SchemaMismatchError, ValueLossError
from datatransfer.importing.convert import convertible
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID, Column, Schema, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer

_HINT = "nothing was changed"
_OURS = (ENTITY_UUID, IMPORTED_FROM_UUID)


@dataclass(frozen=True)
class Misfit:
    """One way in which package and target do not fit."""

    code: str
    where: str
    message: str
    hint: str
    rows: int = 0

    def __str__(self) -> str:
        return f"{self.where}: {self.message} ({self.hint})"


@dataclass(frozen=True)
class ColumnFit:
    """A package column and the target column that takes it, as values of one kind."""

    source: Column
    target: Column
    kind: LogicalType


@dataclass(frozen=True)
class TableFit:
    """A package table and the target table that takes it."""

    source: Table
    target: Table
    columns: tuple[ColumnFit, ...]

    @property
    def keyed(self) -> bool:
        """Whether rows can be told apart: both sides have the same key."""
        names = {fit.target.name for fit in self.columns if fit.source.name in self.source.key}
        return bool(self.source.key) and names == set(self.target.key)

    @property
    def surrogate(self) -> str | None:
        """The target's one integer key column that may be renumbered."""
        name = self.target.surrogate
        if not self.keyed or name is None:
            return None
        return name if self.fit_of(name).kind.kind == "integer" else None

    def fit_of(self, target_column: str) -> ColumnFit:
        """Return how a target column is filled."""
        return next(fit for fit in self.columns if fit.target.name == target_column)

    def by_source(self, source_column: str) -> ColumnFit | None:
        """Return how a package column travels, None if it does not."""
        return next((fit for fit in self.columns if fit.source.name == source_column), None)


def fit(package: Schema, rows: dict[str, int], target: Schema, writer: Writer) -> dict[str, TableFit]:
    """Fit every table of a package that has rows into the target.

    Raises
    ------
    SchemaMismatchError
        With every misfit in ``evidence["findings"]``.
    """
    misfits: list[Misfit] = []
    fits: dict[str, TableFit] = {}
    for table in package:
        if not rows.get(table.name):
            continue
        found = _same_name(table.name, target.tables)
        if found is None:
            hint = "create it in the target, or leave it out of the package"
            misfits.append(Misfit("missing-table", table.name, "the target has no such table", hint))
            continue
        fits[table.name] = _fit_table(table, target.tables[found], writer, misfits)
    if misfits:
        refuse(misfits)
    return fits


def refuse(misfits: list[Misfit]) -> NoReturn:
    """Raise one error that tells all findings: of values if it is only they that do not fit, else of schemas."""
    evidence = {"findings": [vars(item) for item in misfits]}
    if all(item.code == "value-loss" for item in misfits):
        if len(misfits) == 1:
            only = misfits[0]
            raise ValueLossError(only.message, where=only.where, hint=only.hint, evidence=evidence)
        raise ValueLossError(f"values do not fit the target: {_shown(misfits)}", hint=_HINT, evidence=evidence)
    raise SchemaMismatchError(f"the package does not fit the target: {_shown(misfits)}", hint=_HINT, evidence=evidence)


def _shown(misfits: list[Misfit]) -> str:
    more = f"; and {len(misfits) - 5} more" if len(misfits) > 5 else ""
    return "; ".join(str(item) for item in misfits[:5]) + more


def _same_name(name: str, among: Iterable[str]) -> str | None:
    names = list(among)
    if name in names:
        return name
    close = [other for other in names if other.lower() == name.lower()]
    return close[0] if len(close) == 1 else None


def _fit_table(source: Table, target: Table, writer: Writer, misfits: list[Misfit]) -> TableFit:
    columns: list[ColumnFit] = []
    for column in source.columns:
        name = _same_name(column.name, target.by_name)
        where = f"{source.name}.{column.name}"
        if name is None:
            if column.name not in _OURS and not column.generated:
                hint = "add it to the target, or leave it out of the package"
                misfits.append(Misfit("missing-column", where, "the target has no such column", hint))
            continue
        there = target.by_name[name]
        if there.generated:
            if not column.generated:
                hint = "make it an ordinary column in the target, or leave it out of the package"
                misfits.append(Misfit("computed-column", where, "the target computes this column", hint))
            continue
        kind = writer.target_kind(column.type, there)
        if kind is None or not convertible(column.type, kind):
            said = column.declared or column.type.kind
            message = f"{said} ({column.type.kind}) does not go into {there.declared or there.type.kind}"
            misfits.append(Misfit("type", where, message, "change the column's type in the target"))
            continue
        columns.append(ColumnFit(column, there, kind))
    taken = {fit.target.name for fit in columns}
    for column in target.columns:
        optional = column.nullable or column.has_default or column.generated or column.identity
        if column.name not in taken and column.name not in _OURS and not optional:
            message = "the target requires a column that the package does not have"
            hint = "give it a default in the target"
            misfits.append(Misfit("required-column", f"{target.name}.{column.name}", message, hint))
    return TableFit(source, target, tuple(columns))
