"""Values that would not survive in the target, counted while rows stream past, so that all are told at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datatransfer.display.plain import counted
from datatransfer.errors import ValueLossError
from datatransfer.importing.casting import Cast
from datatransfer.importing.cures import of_value
from datatransfer.importing.validation import ColumnFit, Misfit, TableFit

if TYPE_CHECKING:
    import pyarrow as pa

_TRIES = 500
_LETTERS = 63
"""As many as a label of PostgreSQL has at most."""
_NAMED, _KEPT = 10, 1_000
"""Labels that a finding names, and that are remembered."""


@dataclass
class _Loss:
    message: str
    hint: str
    rows: int
    at_least: bool
    castable: bool
    labels: dict[str, None] = field(default_factory=dict)

    def told(self, *, hidden: bool) -> str:
        """Return the message, with the labels that the target lacks."""
        if not self.labels or hidden:
            return self.message
        named = ", ".join(_short(label) for label in list(self.labels)[:_NAMED])
        more = len(self.labels) - _NAMED
        least = "at least " if len(self.labels) == _KEPT else ""
        return f"{self.message}: {named}{f' and {least}{more:,} more' if more > 0 else ''}"


@dataclass
class Losses:
    """Values that would not survive, by table and column."""

    found: dict[str, _Loss] = field(default_factory=dict)

    def add(
        self, where: str, error: ValueLossError, array: pa.Array, change: Callable[[pa.Array], pa.Array],
        *, castable: bool = False,
    ) -> None:  # fmt: skip
        """Count the rows of a batch that cannot be changed; ``castable`` if they could with loss."""
        rows, exact = int(error.evidence.get("rows", 0)), True
        if not rows:
            rows, exact = failing(array, change)
        loss = self.found.setdefault(where, _Loss(error.message, error.hint, 0, at_least=False, castable=True))
        loss.rows += rows
        loss.at_least |= not exact
        loss.castable &= castable
        for label in error.evidence.get("labels", ()):
            if len(loss.labels) < _KEPT:
                loss.labels[label] = None

    def misfits(self, columns: Mapping[str, tuple[TableFit, ColumnFit]]) -> list[Misfit]:
        """Return one finding a column, of those that are named ``table.column``."""
        found = []
        for where, loss in self.found.items():
            rows = f"{'at least ' if loss.at_least else ''}{counted(loss.rows, 'row')}"
            table, column = columns[where]
            hidden = column.source.looks_secret or column.target.looks_secret
            cure = of_value(table, column, castable=loss.castable)
            message = f"{loss.told(hidden=hidden)}, in {rows}"
            found.append(Misfit("value-loss", where, message, loss.hint, loss.rows, cure=cure))
        return found


@dataclass
class Changes:
    """Values that are others in the target, as was asked for, by table and column.

    Attributes
    ----------
    casts : dict of str to Cast
    fills : dict of str to int
        How many were NULL and got the default.
    """

    casts: dict[str, Cast] = field(default_factory=dict)
    fills: dict[str, int] = field(default_factory=dict)

    def filled(self, where: str, staged: pa.Array, fit: ColumnFit) -> pa.Array:
        """Return staged values with the default in the place of NULL."""
        if fit.fill is None or not staged.null_count:
            return staged
        import pyarrow.compute as pc

        self.fills[where] = self.fills.get(where, 0) + staged.null_count
        return pc.fill_null(staged, fit.fill[0])

    def warnings(self) -> list[str]:
        """Return what changed, one sentence a column."""
        cast = [f"{where}: {c.changed} of {counted(c.values, 'value')} changed by the cast to {c.target.kind}"
                for where, c in self.casts.items()]  # fmt: skip
        return cast + [f"{where}: {counted(n, 'row')} got the default, not NULL" for where, n in self.fills.items()]


def _short(label: str) -> str:
    return repr(label if len(label) <= _LETTERS else f"{label[:_LETTERS]}…")


def failing(array: pa.Array, change: Callable[[pa.Array], pa.Array]) -> tuple[int, bool]:
    """Return how many values cannot be changed, and whether that is all of them: halves are tried, so often at most."""
    waiting, rows, tries = [array], 0, 0
    while waiting and tries < _TRIES:
        part = waiting.pop()
        tries += 1
        try:
            change(part)
        except ValueLossError:
            if len(part) == 1:
                rows += 1
            else:
                half = len(part) // 2
                waiting += [part.slice(half), part.slice(0, half)]
    return max(rows, 1), not waiting
