"""Rows that go straight from the package into empty tables, inside the merge, and are staged nowhere.

Where the target's tables are empty, nothing can match, clash or move: every row is inserted as it comes, and the stage
would only hold it to be copied once more. So `run`, where it makes the plan itself, has PostgreSQL take the rows at
once; its keys and indexes, built after them, verify what the plan would have looked up.

What is given up is going on after a part: an import that is ended in the midst of it begins anew when it is resumed.
So it is not done for packages that take longer than that is worth.

Whatever is found on the way (an orphan, a value that would not survive, a key that is there twice) ends the attempt. It
is rolled back, and the import goes by way of the stage, which tells every finding.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from datatransfer.importing.actions import Identity, OnOrphan, Policies, Triggers
from datatransfer.importing.unverified import declared_as
from datatransfer.schema.identity import keeps_uuids_apart
from datatransfer.schema.tables import Column, ForeignKey
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.writers import Writer
    from datatransfer.importing.remap import TablePlan
    from datatransfer.importing.staging import StagedTable, Stager
    from datatransfer.importing.validation import ColumnFit, TableFit

LEAST_ROWS = 100_000
"""With fewer rows the stage costs nothing that anybody would notice."""
MOST_ROWS = 5_000_000
"""What is loaded in less than a minute; with more rows, going on after a part is worth more."""
_KEYS = ("integer", "text", "uuid")
_PLAIN_TEXTS = ("text", "character varying", "varchar")


class Unsuitable(Exception):
    """Something came that only the stage can look into; nothing was changed."""


class Straight:
    """How the rows of one package go into empty tables.

    Parameters
    ----------
    stager : Stager
        Converts, counts and remembers as for the stage.
    fits : mapping of str to TableFit
        By package table.
    order : list of str
        Parents first.
    rows : mapping of str to int
        By package table.

    Attributes
    ----------
    closed : bool
        Whether every reference is looked up while rows stream past; else the database has to look.
    """

    def __init__(self, stager: Stager, fits: Mapping[str, TableFit], order: list[str], rows: Mapping[str, int]) -> None:
        self._stager = stager
        self._order = order
        self.tables: dict[str, StagedTable] = stager.tables(fits, order)
        self._watched = {name: _watched(table, order[: table.number]) for name, table in self.tables.items()}
        self.closed = all(
            fk in self._watched[name] for name, table in self.tables.items() for fk in table.fit.source.foreign_keys
        )
        for name, table in self.tables.items():
            table.rows, table.keeps_texts = rows[name], True

    def suits(self, writer: Writer, policies: Policies) -> bool:
        """Whether rows may go this way."""
        wanted = (policies.identity, policies.on_orphan, policies.triggers)
        if wanted != (Identity.KEEP, OnOrphan.ERROR, Triggers.SUSPEND) or policies.mapping:
            return False
        if not LEAST_ROWS <= sum(table.rows for table in self.tables.values()) <= MOST_ROWS:
            return False
        for name, table in self.tables.items():
            if table.has_keys or table.spelled or not self._is_plain(name, table):
                return False
            if not writer.copies(table.fit.target, _columns(table)) or not _is_empty(writer, table):
                return False
        return True

    def _is_plain(self, name: str, table: StagedTable) -> bool:
        """Whether columns travel as they are, keys can be told from the package, and every reference is verified."""
        fit = table.fit
        if any(column.lossy or column.given or column.fill is not None for column in fit.columns):
            return False
        if table.has_uuid and not keeps_uuids_apart(fit.source):
            return False
        if fit.keyed and not all(_is_known(fit.fit_of(column)) for column in fit.target.key):
            return False
        there = {declared_as(fk) for fk in fit.target.foreign_keys if fk.declared}
        return all(fk in self._watched[name] or declared_as(fk) in there for fk in fit.source.foreign_keys)

    def insert(self, writer: Writer, plan: TablePlan, told: Callable[[int], None]) -> int:
        """Copy the rows of a table; return how many.

        Raises
        ------
        Unsuitable
        """
        return writer.copy(plan.fit.target, _columns(plan.staged), self._batches(plan.staged), told)

    def _batches(self, table: StagedTable) -> Iterator[pa.RecordBatch]:
        name, width = table.fit.source.name, len(table.columns)
        for batch in self._stager.converted(table, self._order[: table.number]):
            yield batch.select(range(1, 1 + width))  # without the row number, and what is only for the stage
            if self._stager.losses.found or any(table.outside[fk] for fk in self._watched[name]):
                raise Unsuitable(name)


def _columns(table: StagedTable) -> list[tuple[LogicalType, Column]]:
    return [(fit.kind, fit.target) for fit in table.fit.columns]


def _watched(table: StagedTable, before: list[str]) -> set[ForeignKey]:
    """Return the foreign keys whose references are looked up in what streamed past before."""
    found = set()
    for fk in table.fit.source.foreign_keys:
        kinds = [table.fit.source.by_name[c].type for c in fk.columns]
        if fk.parent in before and [kind.kind for kind in kinds] == ["integer"] and not kinds[0].unsigned:
            found.add(fk)
    return found


def _is_known(fit: ColumnFit) -> bool:
    """Whether the key that the target will hold is the package's, to the letter."""
    if fit.kind.kind == "text" and not fit.target.declared.startswith(_PLAIN_TEXTS):
        return False
    return fit.kind.kind in _KEYS and fit.source.type.kind == fit.kind.kind


def _is_empty(writer: Writer, table: StagedTable) -> bool:
    return writer.run(f"SELECT 1 FROM {writer.table(table.fit.target)} LIMIT 1").first() is None
