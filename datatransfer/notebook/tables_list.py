"""A list of tables to choose from: with the rows of each, and a line to find some of many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import ipywidgets as w

from datatransfer.display.blocks import names, soft
from datatransfer.display.plain import counted
from datatransfer.notebook import parts

if TYPE_CHECKING:
    from datatransfer.database.counting import RowCount

_MANY = 12
"""Tables above which there is a line to find some."""
_NAMED = 8


class TablesList(w.VBox):
    """Tables of which some are chosen; those stay chosen while others are looked for.

    Parameters
    ----------
    tables : sequence of str
    on_change : callable
        Told all that are chosen, in the order in which that happened, after a person has chosen others.
    """

    def __init__(self, tables: Sequence[str], on_change: Callable[[Sequence[str]], object]) -> None:
        self._tables = list(tables)
        self._counts: Mapping[str, RowCount] = {}
        self._on_change = on_change
        self.chosen: list[str] = []
        self.find = parts.text("Find tables", hint="parts of a name, e.g. order item", on_change=self._found)
        self.find.continuous_update = True
        self.list = w.SelectMultiple(
            options=[(soft(table), table) for table in self._tables], description="Tables",
            rows=min(_MANY, max(4, len(self._tables))), style={"description_width": "initial"}, layout=parts.full(),
        )  # fmt: skip
        self.list.observe(self._chosen, names="value")
        self.told = parts.html()
        everything = parts.button("Whole database", self.choose_all, tip="every row of every table")
        super().__init__((self.find, self.list, self.told, parts.row(everything)), layout=parts.full())
        parts.show(self.find, len(self._tables) > _MANY)

    def tell(self, counts: Mapping[str, RowCount]) -> None:
        """Show the rows of each table beside its name."""
        self._counts = counts
        self._list(self._listed())

    def choose_all(self) -> None:
        """Choose every table."""
        self.find.value = ""
        self.list.value = tuple(self._tables)

    def clear(self) -> None:
        """Choose none, and list all."""
        self.find.value = ""
        self.list.value = ()

    def _listed(self) -> list[str]:
        return found(self._tables, self.find.value)

    def _label(self, table: str) -> str:
        return soft(f"{table}: {self._counts[table].told}" if table in self._counts else table)

    def _found(self, _words: str) -> None:
        self._list(self._listed())

    def _list(self, tables: list[str]) -> None:
        """List tables, without choosing others."""
        self.list.unobserve(self._chosen, names="value")
        with self.list.hold_sync():
            self.list.options = [(self._label(table), table) for table in tables]
            self.list.value = tuple(table for table in tables if table in self.chosen)
        self.list.observe(self._chosen, names="value")
        self._tell()

    def _chosen(self, change: dict[str, tuple[str, ...]]) -> None:
        here = set(self._listed())
        kept = [table for table in self.chosen if table in change["new"] or table not in here]
        self.chosen = kept + [table for table in change["new"] if table not in kept]
        self._tell()
        self._on_change(self.chosen)

    def _tell(self) -> None:
        """Say how many tables are listed, and which are chosen that are not."""
        here = self._listed()
        unseen = [table for table in self.chosen if table not in here]
        said = [f"{len(here):,} of {counted(len(self._tables), 'table')}"] if len(here) < len(self._tables) else []
        said += [f"chosen as well: {names(unseen, _NAMED)}"] if unseen else []
        self.told.value = f"<div role='status'>{parts.words('; '.join(said))}</div>" if said else ""


def found(tables: Sequence[str], words: str) -> list[str]:
    """Return the tables whose names hold all of these words, whatever their case.

    Examples
    --------
    >>> found(["orders", "order_items", "users"], "ITEM order")
    ['order_items']
    """
    wanted = words.casefold().split()
    return [table for table in tables if all(word in table.casefold() for word in wanted)]
