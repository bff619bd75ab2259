"""Values that would not survive in the target, counted while rows stream past, so that all are told at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datatransfer.display.plain import counted
from datatransfer.errors import ValueLossError
from datatransfer.importing.validation import Misfit

if TYPE_CHECKING:
    import pyarrow as pa

_TRIES = 500


@dataclass
class _Loss:
    message: str
    hint: str
    rows: int
    at_least: bool


@dataclass
class Losses:
    """Values that would not survive, by table and column."""

    found: dict[str, _Loss] = field(default_factory=dict)

    def add(self, where: str, error: ValueLossError, array: pa.Array, change: Callable[[pa.Array], pa.Array]) -> None:
        """Count the rows of a batch that cannot be changed."""
        rows, exact = int(error.evidence.get("rows", 0)), True
        if not rows:
            rows, exact = failing(array, change)
        loss = self.found.setdefault(where, _Loss(error.message, error.hint, 0, at_least=False))
        loss.rows += rows
        loss.at_least |= not exact

    def misfits(self) -> list[Misfit]:
        """Return one finding a column."""
        found = []
        for where, loss in self.found.items():
            rows = f"{'at least ' if loss.at_least else ''}{counted(loss.rows, 'row')}"
            found.append(Misfit("value-loss", where, f"{loss.message}, in {rows}", loss.hint, loss.rows))
        return found


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
