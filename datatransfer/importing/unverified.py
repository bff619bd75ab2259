"""References that only the target declares and that no plan could look up: rows that break them are counted.

SQLite and MariaDB do not check references while rows are merged, because the plan has. What it has not, such as a
default for a column that the package does not have, or a value whose parent the package does not know, is counted
before and after.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from datatransfer.display.plain import counted
from datatransfer.errors import MergeError
from datatransfer.importing.remap import TablePlan
from datatransfer.schema.tables import ForeignKey, Schema

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer


def declared_as(key: ForeignKey) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Return what a foreign key says, so that those of package and target can be compared."""
    parts = (key.columns, (key.parent,), key.parent_columns)
    columns, parent, above = (tuple(name.lower() for name in names) for names in parts)
    return columns, parent[0], above


def unverified(plan: TablePlan) -> list[ForeignKey]:
    """Return the foreign keys of a plan's target table whose references no foreign key of the package says."""
    known = {declared_as(key) for key in plan.fit.source.foreign_keys}
    return [key for key in plan.fit.target.foreign_keys if declared_as(key) not in known]


class Unverified:
    """Counts what refers to nothing by such foreign keys.

    Parameters
    ----------
    plans : iterable of TablePlan
        Of tables that will be written to.
    schema : Schema
        The target's.
    writer : Writer
    """

    def __init__(self, plans: Iterable[TablePlan], schema: Schema, writer: Writer) -> None:
        self.schema = schema
        self.writer = writer
        keys = [key for plan in plans for key in unverified(plan) if key.declared and self._exists(key)]
        self._before = {key: self._lonely(key) for key in keys}

    def _exists(self, key: ForeignKey) -> bool:
        parent = self.schema.tables.get(key.parent)
        return parent is not None and set(key.parent_columns) <= set(parent.by_name)

    def _lonely(self, key: ForeignKey) -> int:
        w = self.writer
        child, parent = self.schema.tables[key.table], self.schema.tables[key.parent]
        mine, theirs = ([w.quote(name) for name in names] for names in (key.columns, key.parent_columns))
        refers = " AND ".join(f"c.{name} IS NOT NULL" for name in mine)
        # The parent stands first: SQLite compares by the affinity and collation of that side.
        same = " AND ".join(f"p.{above} = c.{name}" for name, above in zip(mine, theirs, strict=True))
        rows = f"SELECT 1 FROM {w.table(parent)} p WHERE {same}"
        return int(w.scalar(f"SELECT count(*) FROM {w.table(child)} c WHERE {refers} AND NOT EXISTS ({rows})"))

    def refuse_more(self) -> None:
        """Refuse a merge after which more rows refer to nothing than before.

        Raises
        ------
        MergeError
        """
        for key, before in self._before.items():
            more = self._lonely(key) - before
            if more > 0:
                raise MergeError(
                    f"{counted(more, 'row')} would refer to rows of {key.parent} that do not exist", where=key.label,
                    hint=f'nothing was changed; bring those of {key.parent} first, or say on_orphan="keep"',
                )  # fmt: skip
