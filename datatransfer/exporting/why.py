"""Why a row is selected: the chain of references from it back to a root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datatransfer.display.blocks import shorten
from datatransfer.display.chains import Steps
from datatransfer.display.svg import Node
from datatransfer.errors import SelectionError
from datatransfer.exporting.keys import Key, check_keys
from datatransfer.exporting.roots import typed_key
from datatransfer.schema.secrets import HIDDEN, has_secret_key

if TYPE_CHECKING:
    from datatransfer.exporting.closure import Closure, Edge


@dataclass(frozen=True)
class Step:
    """One row of a chain, and how it was reached from the next one.

    Parameters
    ----------
    table : str
    key : tuple
        Empty where nothing names the row; ``("(hidden)",)`` where its column looks like a secret.
    reached : {"root", "down", "up"}
        ``down``: as a child of the next step's row; ``up``: as its parent.
    foreign_key : str
        The label of the foreign key, empty at a root.
    text : str
        What was asked for, at a root.
    """

    table: str
    key: Key
    reached: str
    foreign_key: str = ""
    text: str = ""

    @property
    def named(self) -> str:
        """The table and what names the row."""
        return f"{self.table} {', '.join(map(str, self.key))}".strip()

    @property
    def node(self) -> Node:
        """The row as it is drawn."""
        return Node(self.named, shorten(self.text, 80), self.reached == "root")

    def __str__(self) -> str:
        if self.reached == "root":
            return f"{self.named}: {self.text}"
        how = "refers by" if self.reached == "down" else "is referred to by"
        return f"{self.named}: {how} {self.foreign_key}"


class Why(Steps[Step]):
    """The chain from a row to a root, the row first."""

    title = "Why a row is selected"


def explain(closure: Closure, table: str, key: Any) -> Why:
    """Return the chain from a row to a root.

    Raises
    ------
    KeyValueError
        The key is not of the table's shape.
    SelectionError
        The row is not selected.
    """
    own = closure.table(table)
    given = [key] if not isinstance(key, list) else [tuple(key)]
    keys = check_keys(typed_key(closure, own), given)
    current = _place(closure, table, keys[0])
    if current is None:
        hint = "preview() counts what is selected; compare the key with the rows of the table"
        raise SelectionError("the row is not selected, or does not exist", where=table, hint=hint)
    steps = []
    while current is not None:
        gen, edge_number, key_now, at = current
        edge = closure.edges[edge_number]
        hidden = key_now and has_secret_key(closure.plan.schema.table(at))
        steps.append(_step(at, (HIDDEN,) if hidden else key_now, edge))
        current = _before(closure, edge, at, key_now, gen) if edge.fk is not None and key_now else None
    return Why(steps)


_At = tuple[int, int, Key, str]


def _step(table: str, key: Key, edge: Edge) -> Step:
    if edge.fk is None:
        return Step(table, key, "root", text=edge.root.describe() if edge.root else "")
    return Step(table, key, edge.kind, edge.fk.label)


def _place(closure: Closure, name: str, key: Key) -> _At | None:
    """Return generation and edge of a row, None if it is not selected."""
    chosen = closure.chosen.get(name)
    if chosen is None:
        return None
    sql = closure.sql
    asked = sql.create(chosen.table, unique=False)
    sql.insert(asked, [key])
    own = sql.key_of(chosen.table, "t")
    same = " AND ".join(sql.exact(expr, f"a.{k}") for expr, k in zip(own, asked.columns, strict=True))
    start = f"FROM {asked.name} a {sql.join_word} {sql.from_table(chosen.table, 't')} ON {same}"
    if chosen.whole is not None:
        row = sql.one(f"SELECT {chosen.whole[0]}, {chosen.whole[1]} {start}")
    elif chosen.keys is not None:
        row = sql.one(
            f"SELECT s.gen, s.edge {start} JOIN {chosen.keys.name} s ON {sql.same_key(chosen.table, 't', chosen.keys)}"
        )
    else:
        row = None
    sql.drop(asked)
    return None if row is None else (int(row[0]), int(row[1]), key, name)


def _before(closure: Closure, edge: Edge, name: str, key: Key, gen: int) -> _At | None:
    """Return the row of an earlier generation that a row was reached from."""
    assert edge.fk is not None
    sql, fk = closure.sql, edge.fk
    here, there = ("child", "parent") if edge.kind == "down" else ("parent", "child")
    other = fk.parent if edge.kind == "down" else fk.table
    table, chosen = closure.table(name), closure.chosen[other]
    asked = sql.create(table, unique=False)
    sql.insert(asked, [key])
    same = " AND ".join(sql.exact(e, f"a.{k}") for e, k in zip(sql.key_of(table, here), asked.columns, strict=True))
    match = sql.match(fk, closure.table(fk.table), closure.table(fk.parent))
    tail = (
        f"FROM {asked.name} a {sql.join_word} {sql.from_table(table, here)} ON {same} "
        f"{sql.join_word} {sql.from_table(chosen.table, there)} ON {match}"
    )
    marks = "0, 0" if chosen.whole is None else f"{chosen.whole[0]}, {chosen.whole[1]}"
    order = ""
    if chosen.keys is not None:
        tail += f" JOIN {chosen.keys.name} s ON {sql.same_key(chosen.table, there, chosen.keys)} WHERE s.gen < {gen}"
        marks, order = "s.gen, s.edge", " ORDER BY s.gen, s.edge"
    elif chosen.parts:
        tail += f" WHERE {chosen.condition(there)}"
    names = sql.key_of(chosen.table, there)
    row = sql.one(f"SELECT {', '.join((marks, *names))} {tail}{order}")
    sql.drop(asked)
    if row is None:
        return None
    if chosen.keys is None and chosen.whole is None:
        return _keyless(closure, other)
    shown = tuple(row[2:]) if chosen.table.key else ()
    return int(row[0]), int(row[1]), shown, other


def _keyless(closure: Closure, name: str) -> _At | None:
    """Return a place for a row that nothing names: it came down by the first foreign key that is followed there."""
    chosen = closure.chosen[name]
    for number, edge in enumerate(closure.edges):
        fits = edge.fk in chosen.down if edge.kind == "down" else bool(edge.root and edge.root.table == name)
        if fits:
            return 0, number, (), name
    return None
