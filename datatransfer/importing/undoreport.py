"""What an undo would find, looked at before it is done; made from counts and keys, asks no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datatransfer.display import blocks, shown
from datatransfer.importing.touched import STATES
from datatransfer.schema.secrets import HIDDEN

if TYPE_CHECKING:
    import pandas as pd

MEANT = {
    "edited": "changed since the import",
    "referenced": "rows that came later refer to it",
    "taken": "its key, or a value that must be unique, belongs to another row by now",
    "orphaned": "it would come back without its parent",
    "gone": "deleted since the import: nothing is left to take back",
}
"""What the states of rows mean that are not simply put back."""


@dataclass(frozen=True)
class UndoReport:
    """What an undo would find.

    Attributes
    ----------
    import_id : str
    counts : mapping of table to mapping of (action, state) to int
        Of the rows that the import inserted, updated or deleted.
    rows : sequence of (table, key, state, by)
        Every row that is not simply put back. ``by`` is the table that refers to it, or ``import …`` with the id of
        the later import that wrote it again.
    warnings : sequence of str
        Of files that would stay.
    hidden : frozenset of str
        The tables whose keys look like secrets: `to_frame` has them, what is shown has not.
    """

    import_id: str
    counts: Mapping[str, Mapping[tuple[str, str], int]]
    rows: Sequence[tuple[str, object, str, str]] = field(default=(), repr=False)
    warnings: Sequence[str] = ()
    hidden: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def ok(self) -> bool:
        """Whether `undo` would take everything back: no row was edited, is referred to, or lost its key or parent."""
        return not any(self._total(table, state) for table in self.counts for state in STATES[1:-1])

    @property
    def summary(self) -> pd.DataFrame:
        """One row a table, with the number of rows in each state."""
        import pandas as pd

        rows = [{"table": name, **{s: self._total(name, s) for s in STATES}} for name in self.counts]
        return pd.DataFrame(rows, columns=["table", *STATES])

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each row that is not simply put back: table, key, state, and by which table or import.

        That is what refers to it or wrote it since; of one that is ``orphaned``, the table in which its parent is
        missing.
        """
        import pandas as pd

        return pd.DataFrame(list(self.rows), columns=["table", "key", "state", "by"])

    def _total(self, table: str, state: str) -> int:
        return sum(n for (_, found), n in self.counts[table].items() if found == state)

    @shown.as_text
    def __repr__(self) -> str:
        parts = [f"{n:,} {s}" for s in STATES if (n := sum(self._total(t, s) for t in self.counts))]
        lines = [f"UndoReport({', '.join(parts) or 'nothing to undo'})", *self.warnings]
        return "\n".join(lines)

    @shown.as_html
    def _repr_html_(self) -> str:
        words = "everything can be taken back" if self.ok else "some rows cannot simply be taken back"
        found = [state for state in STATES if any(self._total(name, state) for name in self.counts)]
        rows = [[name, *(self._total(name, s) for s in found)] for name in self.counts]
        meant = blocks.facts([(state, MEANT[state]) for state in found if state in MEANT])
        keys = ((name, HIDDEN if name in self.hidden else key, state, by) for name, key, state, by in self.rows)
        listed = blocks.table(["table", "key", "state", "by"], keys)
        more = blocks.fold(f"{blocks.plural(len(self.rows), 'row')} in another state", listed) if self.rows else ""
        state = blocks.note("good" if self.ok else "warn", words)
        warned = [blocks.note("warn", warning) for warning in self.warnings]
        counted = blocks.table(["table", *found], rows) if found else ""
        return blocks.block("Undo, looked at beforehand", state, counted, meant, more, *warned)
