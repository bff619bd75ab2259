"""What a caller asked for, as plain data: roots, and a rule per foreign key and direction. Nothing here runs SQL."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import Any, Literal, cast, get_args

from datatransfer.errors import SelectionError, UsageError
from datatransfer.exporting.conditions import Condition, plain
from datatransfer.exporting.keys import Key
from datatransfer.exporting.leaving import Columns
from datatransfer.schema.tables import ForeignKey, Schema

Direction = Literal["up", "down", "both"]
Action = Literal["follow", "stop", "null"]
RootKind = Literal["all", "where", "keys", "uuids"]

_SHOWN_KEYS = 1_000


@dataclass(frozen=True)
class Root:
    """Rows that were asked for.

    Parameters
    ----------
    table : str
    kind : {"all", "where", "keys", "uuids"}
    where, params
        With kind ``where``.
    keys : object
        With kind ``keys``, as tuples; ``uuids`` likewise.
    """

    table: str
    kind: RootKind
    where: Condition | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    keys: Any = None
    uuids: tuple[uuid.UUID, ...] = ()

    def describe(self) -> str:
        """Return what was asked for, in words and without values."""
        if self.kind == "all":
            return "every row was asked for"
        if self.kind == "where":
            return f"asked for where {self.where}" if isinstance(self.where, str) else "asked for by an expression"
        return "asked for by its key" if self.kind == "keys" else "asked for by its UUID"

    def to_json(self, checked: list[Key] | None = None) -> dict[str, Any]:
        """Return the root so that it can be made again, as far as JSON can hold it."""
        data: dict[str, Any] = {"table": self.table, "kind": self.kind}
        if self.kind == "where":
            data["where"] = str(self.where)
            data["params"] = {name: as_json(value) for name, value in self.params.items()}
        elif self.kind == "keys" and checked is not None:
            data["keys"] = [[as_json(v) for v in key] for key in checked[:_SHOWN_KEYS]]
            data["keys_total"] = len(checked)
        elif self.kind == "uuids":
            data["uuids"] = [str(value) for value in self.uuids[:_SHOWN_KEYS]]
            data["keys_total"] = len(self.uuids)
        return data


@dataclass(frozen=True)
class Rule:
    """What happens at one foreign key in one direction.

    Parameters
    ----------
    action : {"follow", "stop", "null"}
    where : str, optional
        With ``follow``: only where this holds; it may name the aliases ``child`` and ``parent``.
    otherwise : {"stop", "null"}
        What happens where it does not hold.
    """

    action: Action = "follow"
    where: str | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    otherwise: Literal["stop", "null"] = "stop"

    @property
    def follows_all(self) -> bool:
        """Whether nothing is held back."""
        return self.action == "follow" and self.where is None

    @property
    def nulls(self) -> bool:
        """Whether a key whose parent is left out becomes NULL."""
        return self.action == "null" or (self.where is not None and self.otherwise == "null")


_DEFAULT = Rule()
_Place = tuple[str, tuple[str, ...], str, tuple[str, ...]]


def place(fk: ForeignKey) -> _Place:
    """Return what tells a foreign key from every other."""
    return fk.table, fk.columns, fk.parent, fk.parent_columns


class Rules:
    """The rules that differ from the default, which is to follow everything."""

    def __init__(self) -> None:
        self._rules: dict[tuple[_Place, str], Rule] = {}
        self._fks: dict[_Place, ForeignKey] = {}

    def of(self, fk: ForeignKey, direction: Literal["up", "down"]) -> Rule:
        """Return the rule of a foreign key in a direction."""
        return self._rules.get((place(fk), direction), _DEFAULT)

    def set(self, fk: ForeignKey, direction: Direction, rule: Rule) -> None:
        """Set the rule of a foreign key.

        Raises
        ------
        UsageError
            The direction is not known, or ``null`` is asked for downward.
        """
        if direction not in get_args(Direction):
            raise UsageError(f"there is no direction {direction!r}", hint='use "up", "down" or "both"')
        if rule.nulls and direction != "up":
            raise UsageError("a key can become NULL only upward", where=fk.label, hint='use direction="up"')
        for each in ("up", "down") if direction == "both" else (direction,):
            self._rules[place(fk), each] = rule
            self._fks[place(fk)] = fk

    def __iter__(self) -> Iterator[tuple[ForeignKey, Literal["up", "down"], Rule]]:
        for (at, direction), rule in self._rules.items():
            yield self._fks[at], cast('Literal["up", "down"]', direction), rule

    def copy(self) -> Rules:
        """Return an independent copy."""
        copied = Rules()
        copied._rules, copied._fks = dict(self._rules), dict(self._fks)
        return copied

    def to_json(self) -> list[dict[str, Any]]:
        """Return the rules as JSON data."""
        found = []
        for fk, direction, rule in self:
            data: dict[str, Any] = {"foreign_key": fk.label, "direction": direction, "action": rule.action}
            if rule.where is not None:
                data |= {"where": rule.where, "otherwise": rule.otherwise}
                data["params"] = {name: as_json(value) for name, value in rule.params.items()}
            found.append(data)
        return found


@dataclass(frozen=True)
class Plan:
    """Roots, rules and columns to leave out, together."""

    roots: tuple[Root, ...]
    rules: Rules
    schema: Schema
    left_out: Columns = field(default_factory=dict)

    @cached_property
    def carried(self) -> Schema:
        """The schema that the package gets: without the columns that are left out, and the keys that use them."""
        return self.schema.without(self.left_out)

    def carries(self, fk: ForeignKey) -> bool:
        """Return whether the package has the columns of a foreign key, those of its parent included."""
        sides = (fk.table, fk.columns), (fk.parent, fk.parent_columns)
        return not any(self.left_out.get(name, frozenset()) & set(columns) for name, columns in sides)

    def check(self) -> None:
        """Raise `SelectionError` if nothing was asked for."""
        if not self.roots and not self.schema.tables:
            others = "; ".join(f"{o.name}: {o.reason}" for o in self.schema.left_out if o.kind == "schema")
            raise SelectionError("there are no tables to take", hint=others or "look at Database.left_out")
        if not self.roots:
            raise SelectionError("nothing is selected", hint='call add("table", …) or add_all() first')

    @property
    def is_everything(self) -> bool:
        """Whether every table was asked for wholly, so that no key needs to be looked at."""
        return {root.table for root in self.roots if root.kind == "all"} >= set(self.schema.tables)


def as_json(value: Any) -> Any:
    """Return a parameter as JSON, exactly where JSON can hold it, else as text with its type beside it."""
    value = plain(value)
    if value is None or isinstance(value, str | bool) or (isinstance(value, int) and -(2**63) <= value < 2**63):
        return value
    if isinstance(value, float) and value == value and abs(value) != float("inf"):
        return value
    if isinstance(value, dt.date | dt.time):
        return {"type": type(value).__name__, "value": value.isoformat()}
    if isinstance(value, bytes):
        return {"type": "bytes", "value": value.hex()}
    if isinstance(value, Decimal | uuid.UUID | float | int):
        return {"type": type(value).__name__, "value": str(value)}
    return {"type": type(value).__name__, "value": None}
