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


@dataclass
class _Loss:
    message: str
    hint: str
    rows: int
    at_least: bool
    castable: bool


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

    def misfits(self, columns: Mapping[str, tuple[TableFit, ColumnFit]]) -> list[Misfit]:
        """Return one finding a column, of those that are named ``table.column``."""
        found = []
        for where, loss in self.found.items():
            rows = f"{'at least ' if loss.at_least else ''}{counted(loss.rows, 'row')}"
            cure = of_value(*columns[where], castable=loss.castable)
            found.append(Misfit("value-loss", where, f"{loss.message}, in {rows}", loss.hint, loss.rows, cure=cure))
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
