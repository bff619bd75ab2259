"""The foreign keys at which a rule makes a difference to an export, and what may happen there.

Knows names and what was chosen of them, no rows, no widgets and no step.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from datatransfer.exporting.closure import required
from datatransfer.exporting.orphans import null_columns
from datatransfer.schema.tables import ForeignKey, Schema

FOLLOW, STOP, NULL = "follow", "stop", "null"


@dataclass(frozen=True)
class EdgeChoice:
    """One foreign key in one direction, and what may happen there."""

    label: str
    direction: Literal["up", "down"]
    words: str
    choices: tuple[str, ...]
    chosen: str


@dataclass(frozen=True)
class Edges:
    """The foreign keys of a schema, as far as something was asked for.

    Parameters
    ----------
    schema : Schema
    roots : mapping of table to condition
        What was asked for; all rows where the condition is empty.
    rules : mapping of (foreign key, direction) to action
        What was said of foreign keys, other than to follow them.
    left_out : collection of str
        Columns that are not carried, ``"users.password"``.
    """

    schema: Schema
    roots: Mapping[str, str]
    rules: Mapping[tuple[str, str], str]
    left_out: Collection[str] = ()

    @property
    def active(self) -> dict[tuple[str, str], str]:
        """The rules that can hold something back: their tables are reached, and what they lead to is not all taken."""
        below, above = self._reached
        keys = {fk.label: fk for fk in self.schema.foreign_keys()}
        found = {}
        for (label, direction), action in self.rules.items():
            fk = keys[label]
            is_reached = fk.table in above if direction == "up" else fk.parent in below
            if is_reached and not self._is_whole(fk.parent if direction == "up" else fk.table):
                found[label, direction] = action
        return found

    def offered(self, tables: Collection[str]) -> list[EdgeChoice]:
        """Return what may be chosen at the foreign keys of these tables: what is allowed, and has an effect."""
        ruled, upward = self.active, {fk.label for fk in self._upward(tables)}
        found = []
        for fk in self.schema.foreign_keys():
            if (fk.label, "up") in ruled or (fk.label in upward and len(self._upwards(fk)) > 1):
                words = f"{fk.label}: take the {fk.parent} that it refers to"
                found.append(self._choice(fk, "up", words, self._upwards(fk)))
            is_left = fk.parent in tables and fk.parent in self._reached[0]
            if (fk.label, "down") in ruled or (is_left and not self._is_whole(fk.table)):
                words = f"{fk.label}: take the {fk.table} that refer to {fk.parent}"
                found.append(self._choice(fk, "down", words, (FOLLOW, STOP)))
        return found

    def needed(self, tables: Collection[str]) -> list[str]:
        """Return the foreign keys that bring what rows of these tables cannot do without, so that none can stop."""
        return [fk.label for fk in self._upward(tables) if self._upwards(fk) == (FOLLOW,)]

    def _upward(self, tables: Collection[str]) -> Iterator[ForeignKey]:
        """Yield the foreign keys of these tables that bring parents which nothing else is sure to bring."""
        for fk in self.schema.foreign_keys():
            if fk.table in tables and not self._is_whole(fk.parent) and self._is_reached_otherwise(fk):
                yield fk

    def _upwards(self, fk: ForeignKey) -> tuple[str, ...]:
        """Return what may happen upward at a foreign key."""
        if any(f"{fk.table}.{name}" in self.left_out for name in fk.columns):
            return (FOLLOW, STOP)  # the package does not know of the reference, so its rows can do without
        table = self.schema.table(fk.table)
        if required(table, fk):
            return (FOLLOW,)
        return (FOLLOW, STOP, NULL) if null_columns(table, fk) else (FOLLOW, STOP)

    def _choice(
        self, fk: ForeignKey, direction: Literal["up", "down"], words: str, choices: tuple[str, ...]
    ) -> EdgeChoice:
        chosen = self.rules.get((fk.label, direction), FOLLOW)
        return EdgeChoice(fk.label, direction, words, tuple(dict.fromkeys((*choices, chosen))), chosen)

    def _is_whole(self, table: str) -> bool:
        """Whether every row of a table is asked for, so that no foreign key needs to lead to it."""
        return self.roots.get(table) == ""

    def _is_reached_otherwise(self, fk: ForeignKey) -> bool:
        """Whether there are rows of the child that were not reached from their own parents, by this foreign key."""
        if fk.table not in self._reached[1]:
            return False
        down = [step for label, step in self._down if label != fk.label]
        return fk.table in _closed(_closed(set(self.roots), down), self._up)

    @cached_property
    def _down(self) -> list[tuple[str, tuple[str, str]]]:
        keys = self.schema.foreign_keys()
        return [(fk.label, (fk.parent, fk.table)) for fk in keys if (fk.label, "down") not in self.rules]

    @cached_property
    def _up(self) -> list[tuple[str, str]]:
        return [(fk.table, fk.parent) for fk in self.schema.foreign_keys() if (fk.label, "up") not in self.rules]

    @cached_property
    def _reached(self) -> tuple[set[str], set[str]]:
        """The tables that are left downward, roots and what refers to them, and those that are left upward."""
        below = _closed(set(self.roots), [step for _, step in self._down])
        return below, _closed(below, self._up)


def _closed(begun: set[str], steps: list[tuple[str, str]]) -> set[str]:
    """Return all that can be reached by steps."""
    after: dict[str, list[str]] = {}
    for source, target in steps:
        after.setdefault(source, []).append(target)
    found, fresh = set(begun), list(begun)
    while fresh:
        fresh = [name for source in fresh for name in after.get(source, ()) if name not in found]
        fresh = list(dict.fromkeys(fresh))
        found.update(fresh)
    return found
