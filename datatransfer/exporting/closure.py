"""From roots to closure, set by set, in temporary tables of the snapshot's connection.

1. Roots are found and remembered as generation 0.
2. Down: from the keys of the last generation alone, every foreign key that refers to their tables finds children; what
   is new becomes the next generation; until nothing is new.
3. Up: from everything collected, every foreign key finds parents, generation by generation; what was reached by going
   up is never left downward again.

This is semi-naive evaluation (Bancilhon 1986). Each key keeps its generation and the edge that it came by, so `why` can
go back to a root. A table of which every row is taken needs no keys at all, and is passed on as such where a foreign
key is required and enforced.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from datatransfer import interrupts
from datatransfer.database.dialects.base import RowSource
from datatransfer.database.identities import Identities
from datatransfer.errors import SelectionError
from datatransfer.events import Cancellation
from datatransfer.exporting import roots as _roots
from datatransfer.exporting.conditions import condition_sql
from datatransfer.exporting.keytables import KeyTable, KeyTables
from datatransfer.exporting.keyvariants import key_tables
from datatransfer.exporting.plan import Plan, Root, Rule
from datatransfer.schema.graph import DependencyGraph
from datatransfer.schema.tables import ForeignKey, Table

if TYPE_CHECKING:
    from datatransfer.database.connection import Database
    from datatransfer.exporting.keys import Key


@dataclass(frozen=True)
class Edge:
    """What a row was reached by: a root, or a foreign key in a direction."""

    kind: Literal["root", "down", "up"]
    fk: ForeignKey | None = None
    root: Root | None = None


@dataclass
class Chosen:
    """What is selected of one table: all of it, or the rows whose keys are remembered, or those of a condition.

    Parameters
    ----------
    table : Table
        Without its key where rows have NULL in it.
    keys : KeyTable, optional
    whole : (generation, edge), optional
    parts : list of str
        Conditions over alias ``t``, for tables whose rows nothing can name.
    """

    table: Table
    keys: KeyTable | None = None
    whole: tuple[int, int] | None = None
    parts: list[str] = field(default_factory=list)
    down: list[ForeignKey] = field(default_factory=list)

    def condition(self, alias: str) -> str:
        """Return the conditions over an alias, joined by OR."""
        joined = " OR ".join(f"({part})" for part in self.parts) or "1 = 0"
        return f"({joined})" if alias == "t" else "(" + re.sub(r"\bt\.", f"{alias}.", joined) + ")"


class Closure:
    """The selected rows of one snapshot.

    Parameters
    ----------
    db : Database
    conn : sqlalchemy.Connection
        From ``db.dialect.snapshot()``.
    plan : Plan
    check : callable
        Called between statements; raises to stop.
    """

    def __init__(self, db: Database, conn: sa.Connection, plan: Plan, check: Callable[[], None]) -> None:
        self.db = db
        self.conn = conn
        self.plan = plan
        self.check = check
        self.sql: KeyTables = key_tables(conn, db.dialect)
        self.graph = DependencyGraph(plan.schema)
        self.chosen: dict[str, Chosen] = {}
        self.edges: list[Edge] = []
        self.key_nulls: list[str] = []
        self.missing_keys: dict[str, int] = {}
        self.checked_keys: dict[int, list[Key]] = {}
        self._deep = {name for group in self.graph.cycles for name in group}
        self._tables: dict[str, Table] = {}
        self._conditions: dict[int, str] = {}
        self.last_down = 0
        self.identities = Identities(conn, db.dialect.schema, check)

    def run(self) -> None:
        """Find everything; see the module."""
        self.plan.check()
        for number, root in enumerate(self.plan.roots):
            self.check()
            self.edges.append(Edge("root", root=root))
            if root.kind == "all":
                self._take_whole(root.table, 0, number)
            else:
                _roots.find(self, root, number)
        if not self.plan.is_everything:
            self._go_down()
            self._go_up()

    # --- tables -----------------------------------------------------------------------------------------------------

    def table(self, name: str) -> Table:
        """Return a table, without its key if rows have NULL in it: such a key names nothing."""
        if name not in self._tables:
            table = self.plan.schema.table(name)
            loose = [c for c in table.key if table.column(c).nullable]
            if loose:
                nulls = " OR ".join(f"{self.sql.column('t', c)} IS NULL" for c in loose)
                rows = f"SELECT 1 FROM {self.sql.from_table(table, 't')} WHERE {nulls}"
                if self.sql.number(f"SELECT CASE WHEN EXISTS ({rows}) THEN 1 ELSE 0 END"):
                    self.key_nulls.append(name)
                    table = replace(table, key=(), key_kind="none")
            self._tables[name] = table
        return self._tables[name]

    def carried(self, name: str) -> Table:
        """Return a table as the package has it: without the columns that are left out, and the keys that use them."""
        own = self.table(name)
        return replace(self.plan.carried.tables[name], key=own.key, key_kind=own.key_kind)

    def taken(self, name: str) -> Chosen:
        """Return what is selected of a table, empty at first."""
        if name not in self.chosen:
            self.chosen[name] = Chosen(self.table(name))
        return self.chosen[name]

    def keys_of(self, chosen: Chosen) -> KeyTable:
        """Return the key table, made when it is first needed."""
        if chosen.keys is None:
            chosen.keys = self.sql.create(chosen.table)
            if chosen.table.name in self._deep:
                self.sql.index_generations(chosen.keys)
        return chosen.keys

    def _take_whole(self, name: str, gen: int, edge: int) -> None:
        chosen = self.taken(name)
        if chosen.whole is None:
            chosen.whole = (gen, edge)
            if chosen.keys is not None:
                self.sql.drop(chosen.keys)
            chosen.keys, chosen.parts, chosen.down = None, [], []

    # --- going ------------------------------------------------------------------------------------------------------

    def _go_down(self) -> None:
        gen, moved = 0, set(self.chosen)
        while moved:
            fresh: set[str] = set()
            for name in sorted(moved):
                for fk in self.plan.schema.children_of(name):
                    if usable(self, fk) and self._down(fk, gen):
                        fresh.add(fk.table)
            moved, gen = fresh, gen + 1
        self.last_down = gen
        for chosen in self.chosen.values():
            chosen.parts += [self._exists_parent(fk, gen) for fk in chosen.down]

    def _go_up(self) -> None:
        low, high = 0, self.last_down
        moved = set(self.chosen)
        while moved:
            fresh: set[str] = set()
            for name in sorted(moved):
                for fk in self.plan.schema.table(name).foreign_keys:
                    if fk.parent in self.plan.schema and usable(self, fk) and self._up(fk, low, high):
                        fresh.add(fk.parent)
            moved, low, high = fresh, high + 1, high + 1

    def _down(self, fk: ForeignKey, gen: int) -> int:
        """Take the children of the parents of one generation; return how many are new."""
        self.check()
        rule = self.plan.rules.of(fk, "down")
        parent, child = self.taken(fk.parent), self.table(fk.table)
        if rule.action == "stop" or (fk.table in self.chosen and self.chosen[fk.table].whole):
            return 0
        if parent.whole is not None and parent.whole[0] != gen:
            return 0
        edge = self._edge("down", fk)
        if parent.whole is not None and rule.follows_all and not self._some_without_parent(fk, child):
            self._take_whole(fk.table, gen + 1, edge)
            return 1
        if not self.sql.key_of(child, "t"):
            known = self.taken(fk.table).down
            if fk not in known:
                known.append(fk)
            return 0
        tail = f"{self._from_parents(fk, gen)}{self._and(rule, fk)}"
        return self._add(fk.table, "child", tail, (gen + 1, edge), reads=fk.parent)

    def _some_without_parent(self, fk: ForeignKey, child: Table) -> bool:
        """Return whether some row of a table refers to nothing by a foreign key; else a whole parent takes it whole."""
        if fk.enforced and required(child, fk):
            return False
        parent = self.table(fk.parent)
        match = self.sql.match(fk, child, parent, names=("t", "parent"))
        rows = f"SELECT 1 FROM {self.sql.from_table(parent, 'parent')} WHERE {match}"
        lonely = f"SELECT 1 FROM {self.sql.from_table(child, 't')} WHERE NOT EXISTS ({rows})"
        return self.sql.number(f"SELECT CASE WHEN EXISTS ({lonely}) THEN 1 ELSE 0 END") == 1

    def _from_parents(self, fk: ForeignKey, gen: int) -> str:
        """Return FROM … WHERE for the children of one generation of parents."""
        parent, child = self.chosen[fk.parent], self.table(fk.table)
        children = self.sql.from_table(child, "child")
        if parent.keys is None:
            return (
                f"FROM {children} JOIN {self.sql.from_table(parent.table, 'parent')} ON {self._match(fk)} WHERE 1 = 1"
            )
        if self.sql.is_direct(fk, child, parent.table) and self.plan.rules.of(fk, "down").where is None:
            on = self.sql.match_keys(fk, parent.table)
            return f"FROM {parent.keys.name} s {self.sql.join_word} {children} ON {on} WHERE s.gen = {gen}"
        parents = self.sql.joined(parent.table, parent.keys, "parent")
        return f"FROM {parents} {self.sql.join_word} {children} ON {self._match(fk)} WHERE s.gen = {gen}"

    def _up(self, fk: ForeignKey, low: int, high: int) -> int:
        """Take the parents of the rows of some generations; return how many are new."""
        self.check()
        rule = self.plan.rules.of(fk, "up")
        child, parent = self.chosen[fk.table], self.table(fk.parent)
        if rule.action != "follow" or (fk.parent in self.chosen and self.chosen[fk.parent].whole):
            return 0
        edge = self._edge("up", fk)
        if not self.sql.key_of(parent, "t"):
            self._take_whole(fk.parent, high + 1, edge)  # nothing can name its rows: rather all than too few
            return 1
        tail = self._from_children(fk, child, low, high)
        if not tail:
            return 0
        return self._add(fk.parent, "parent", f"{tail}{self._and(rule, fk)}", (high + 1, edge), reads=fk.table)

    def _from_children(self, fk: ForeignKey, child: Chosen, low: int, high: int) -> str:
        parents = self.sql.from_table(self.table(fk.parent), "parent")
        if child.keys is not None:
            rows = self.sql.joined(child.table, child.keys, "child")
            on = f"{self.sql.join_word} {parents} ON {self._match(fk)}"
            # What came down by this very foreign key has its parent already.
            same = Edge("down", fk)
            known = f" AND s.edge <> {self.edges.index(same)}" if same in self.edges else ""
            return f"FROM {rows} {on} WHERE s.gen BETWEEN {low} AND {high}{known}"
        start = f"FROM {self.sql.from_table(child.table, 'child')} {self.sql.join_word} {parents} ON {self._match(fk)}"
        if child.whole is not None:
            return f"{start} WHERE 1 = 1" if low <= child.whole[0] <= high else ""
        return f"{start} WHERE {child.condition('child')}" if low == 0 and child.parts else ""

    def _add(self, name: str, alias: str, tail: str, marks: tuple[int, int], *, reads: str) -> int:
        chosen = self.taken(name)
        keys = self.keys_of(chosen)
        exprs = self.sql.key_of(chosen.table, alias)
        if reads == name and self.chosen[reads].keys is not None:
            return self.sql.add_through(keys, chosen.table, exprs, tail, marks)
        return self.sql.add(keys, exprs, tail, *marks)

    def _exists_parent(self, fk: ForeignKey, last: int) -> str:
        """Return the condition over ``t`` that one of its parents was collected on the way down."""
        parent, rule = self.chosen[fk.parent], self.plan.rules.of(fk, "down")
        match = self.sql.match(fk, self.table(fk.table), parent.table, names=("t", "parent"))
        more = re.sub(r"\bchild\.", "t.", self._and(rule, fk))
        if parent.keys is None:
            return f"EXISTS (SELECT 1 FROM {self.sql.from_table(parent.table, 'parent')} WHERE {match}{more})"
        rows = self.sql.joined(parent.table, parent.keys, "parent")
        return f"EXISTS (SELECT 1 FROM {rows} WHERE {match} AND s.gen <= {last}{more})"

    def _match(self, fk: ForeignKey) -> str:
        return self.sql.match(fk, self.table(fk.table), self.table(fk.parent))

    def _and(self, rule: Rule, fk: ForeignKey) -> str:
        if rule.where is None:
            return ""
        if id(rule) not in self._conditions:
            table = self.plan.schema.table(fk.table)
            self._conditions[id(rule)] = condition_sql(self.db.dialect, table, rule.where, rule.params)
        return f" AND ({self._conditions[id(rule)]})"

    def _edge(self, kind: Literal["down", "up"], fk: ForeignKey) -> int:
        edge = Edge(kind, fk)
        if edge not in self.edges:
            self.edges.append(edge)
        return self.edges.index(edge)

    # --- answers ----------------------------------------------------------------------------------------------------

    def source(self, name: str) -> RowSource:
        """Return how the selected rows of a table are read."""
        chosen = self.chosen[name]
        if chosen.whole is not None:
            return RowSource()
        if chosen.keys is None:
            return RowSource(where=chosen.condition("t"), whole=False)
        return self.sql.source(chosen.table, chosen.keys)

    def count(self, name: str) -> int:
        """Return how many rows of a table are selected."""
        chosen = self.chosen[name]
        if chosen.keys is not None:
            return self.sql.number(f"SELECT count(*) FROM {chosen.keys.name}")
        return self.sql.number(
            f"SELECT count(*) FROM {self.sql.from_table(chosen.table, 't')}{self.source(name).tail()}"
        )

    def counts(self) -> dict[str, int]:
        """Return the number of selected rows of every table that has some, parents first."""
        found = {}
        for name in self.graph.order:
            if name in self.chosen:
                self.check()
                count = self.count(name)
                if count or self.chosen[name].whole:
                    found[name] = count
        return found

    def settle(self) -> None:
        """Drop the keys of tables of which every row is selected: the fast way of reading takes none."""
        for name, chosen in self.chosen.items():
            if chosen.keys is not None and name not in self.plan_reads:
                total = self.sql.number(f"SELECT count(*) FROM {self.sql.from_table(chosen.table, 't')}")
                if total == self.count(name):
                    self._take_whole(name, 0, 0)

    @property
    def plan_reads(self) -> set[str]:
        """Tables whose keys are still needed, because a rule asks which parents are left out."""
        return {fk.parent for fk, direction, rule in self.plan.rules if direction == "up" and not rule.follows_all}


def required(table: Table, fk: ForeignKey) -> bool:
    """Return whether every row must refer to a parent."""
    return not any(table.column(name).nullable for name in fk.columns)


def usable(closure: Closure, fk: ForeignKey) -> bool:
    """Return whether a foreign key names columns that exist on both sides; SQLite lets others be declared."""
    child, parent = closure.plan.schema.table(fk.table), closure.plan.schema.table(fk.parent)
    return (
        len(fk.columns) == len(fk.parent_columns) > 0
        and all(name in child.by_name for name in fk.columns)
        and all(name in parent.by_name for name in fk.parent_columns)
    )


@contextmanager
def closed(db: Database, plan: Plan, cancellation: Cancellation | None = None) -> Iterator[Closure]:
    """Open a snapshot, find the closure in it, and leave nothing behind.

    Parameters
    ----------
    db : Database
    plan : Plan
    cancellation : Cancellation, optional
        Ends it in the midst of a statement, here and in what is done with the closure.

    Raises
    ------
    Cancelled
    SelectionError
        Nothing was asked for, or a rule leaves out a parent that a row needs.
    """
    plan.check()
    # Looked up before: a second connection would end the snapshot of an in-memory database, which has only one.
    assert db.origin is not None
    asked = cancellation or Cancellation()
    with db.dialect.snapshot() as conn:
        closure = Closure(db, conn, plan, asked.check)
        try:
            with db.dialect.stoppable(conn, asked):
                closure.run()
                yield closure
        finally:
            with interrupts.shielded():
                closure.sql.drop_all()


def nothing_selected() -> SelectionError:
    """Return the error of a selection without rows."""
    return SelectionError("no row is selected", hint="look at what preview() counts; the condition may be too narrow")
