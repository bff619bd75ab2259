"""What fits and what does not: a package's tables and columns beside the target's, and findings with their cures.

Plain data, and the one error that tells all findings; `datatransfer.importing.fitting` makes them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn

from datatransfer.display.plain import visible
from datatransfer.errors import SchemaMismatchError, ValueLossError
from datatransfer.importing.mapping import Mapping
from datatransfer.package.report import Severity
from datatransfer.schema.notations import is_written_as
from datatransfer.schema.tables import Column, ForeignKey, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

_HINT = "change the target, or pass the mapping that each finding names; nothing was changed"
_MOST = 10


@dataclass(frozen=True)
class Misfit:
    """One way in which package and target do not fit.

    Parameters
    ----------
    code, where, message, hint : str
    rows : int
        How many, where it is about values.
    severity : {"error", "warning", "note"}
        Whether it forbids the import, may do so when values are looked at, or is only said.
    cure : Mapping
        What makes the import work; empty where only the target or the package can be changed.
    sure : bool
        Whether the cure loses nothing and guesses nothing: a name in another spelling, a cast that changes no value.
    """

    code: str
    where: str
    message: str
    hint: str
    rows: int = 0
    severity: Severity = "error"
    cure: Mapping = field(default_factory=Mapping)
    sure: bool = False

    @property
    def loses(self) -> str:
        """What the cure loses, in words; empty if it loses nothing.

        Examples
        --------
        >>> lossy = Mapping(drop={"orders": ["note"]}), Mapping(cast={"orders": {"total": "integer"}})
        >>> [Misfit("type", "orders", "", "", cure=cure).loses for cure in lossy]
        ['values are left out', 'values may change']
        >>> Misfit("type", "orders.total", "", "", cure=lossy[1], sure=True).loses
        ''
        """
        if self.cure.drop_tables:
            return "rows are left out"
        if self.cure.drop:
            return "values are left out"
        if self.cure.cast and not self.sure:
            return "values may change"
        return "NULL becomes a value" if self.cure.default and self.code == "null" else ""

    @property
    def advice(self) -> str:
        """What to do, with the cure in Python and as options, and what that loses."""
        said = f"; say {self.cure.code}, or {self.cure.options}" if self.cure else ""
        return f"{self.hint}{said}{f' (lossy: {self.loses})' if self.loses else ''}"

    def __str__(self) -> str:
        return f"{self.where}: {self.message} ({self.advice})"

    def to_json(self) -> dict[str, Any]:
        """Return the finding as plain data; the cure as Python and as options, and what it loses."""
        return {**vars(self), "cure": self.cure.code, "options": self.cure.options, "loses": self.loses}


@dataclass(frozen=True)
class ColumnFit:
    """A package column and the target column that takes it, as values of one kind.

    Parameters
    ----------
    source, target : Column
    kind : LogicalType
    lossy : bool
        Whether values may change, as was asked for.
    fill : pyarrow.Array, optional
        The staged value, one of it, of rows that have none.
    given : bool
        Whether every row gets ``fill``: the package has no such column.
    """

    source: Column
    target: Column
    kind: LogicalType
    lossy: bool = False
    fill: pa.Array | None = field(default=None, compare=False)
    given: bool = False

    @property
    def keeps_apart(self) -> bool:
        """Whether different values of the package stay different."""
        return self.source.type.kind == self.kind.kind and not self.lossy and self.fill is None

    @property
    def keeps_notation(self) -> bool:
        """Whether a key that the target holds, or a receipt, is written as the package writes it."""
        kind, there = self.source.type, self.target.type
        plain = kind.kind in ("integer", "text") and there.kind in (kind.kind, "any")
        written = is_written_as(there, kind) or is_written_as(kind, there)  # which a receipt reads as the time it is
        return written or (self.keeps_apart and (plain or kind == there))


@dataclass(frozen=True)
class TableFit:
    """A package table and the target table that takes it.

    ``source`` refers along the foreign keys that count: without those of columns that are dropped, and with those that
    only the target has. Of these, ``plain`` are those whose parents do not come with the package: their values are
    keys of the target as they are.
    """

    source: Table
    target: Table
    columns: tuple[ColumnFit, ...]
    plain: tuple[ForeignKey, ...] = ()

    @property
    def keyed(self) -> bool:
        """Whether rows can be told apart: both sides have the same key."""
        names = {fit.target.name for fit in self.columns if not fit.given and fit.source.name in self.source.key}
        return bool(self.source.key) and names == set(self.target.key)

    @property
    def changes_key(self) -> bool:
        """Whether the package's keys cannot be told from what becomes of them: dates in a column of texts, say."""
        fits = [self.by_source(name) for name in self.source.key]
        return self.keyed and not all(fit is not None and fit.keeps_notation for fit in fits)

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
        return next((fit for fit in self.columns if fit.source.name == source_column and not fit.given), None)


def refuse(misfits: Iterable[Misfit]) -> NoReturn:
    """Raise one error that tells all findings: of values if it is only they that do not fit, else of schemas."""
    listed = list(misfits)
    evidence = {"findings": [item.to_json() for item in listed]}
    grave = [item for item in listed if item.severity == "error"]
    if all(item.code == "value-loss" for item in grave):
        if len(grave) == 1:
            only = grave[0]
            raise ValueLossError(only.message, where=only.where, hint=only.advice, evidence=evidence)
        raise ValueLossError(f"values do not fit the target:{_shown(grave)}", hint=_HINT, evidence=evidence)
    shown = [*grave, *(item for item in listed if item.code == "revision")]
    raise SchemaMismatchError(f"the package does not fit the target:{_shown(shown)}", hint=_HINT, evidence=evidence)


def _shown(misfits: list[Misfit]) -> str:
    """Return one finding as it is, several a line each."""
    told = [visible(item) for item in misfits[:_MOST]]
    more = [f"and {len(misfits) - _MOST:,} more: importer.check() shows all"] if len(misfits) > _MOST else []
    return f" {told[0]}" if len(told) == 1 else "".join(f"\n{line}" for line in [*(f"- {one}" for one in told), *more])
