"""What cannot be written as decided, found before anything is: the target as it would be, held against its own rules.

Run when every row has its action: rows of the package that the target would hold for the same, updates that take what
another row keeps, and values that rows exchange, for which a way is laid out or refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from datatransfer.importing.actions import Action, OnClash, Policies
from datatransfer.importing.conflicts import exchanged, held, taken, twice
from datatransfer.importing.remap import TablePlan
from datatransfer.importing.uniques import Uniques, inputs, label_of
from datatransfer.schema.tables import Schema, UniqueRule

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer

_WRITTEN = f"'{Action.INSERT}', '{Action.UPDATE}'"
_PASSES = 100


class Clashes:
    """Settles one table after another.

    Parameters
    ----------
    uniques : Uniques
    policies : Policies
    target : Schema
    map_rows : callable, optional
        Gives a table that is inserted as a whole its map; not needed by `taken`.
    """

    def __init__(
        self,
        uniques: Uniques,
        policies: Policies,
        target: Schema,
        map_rows: Callable[[TablePlan], None] = lambda _: None,
    ) -> None:
        self.uniques = uniques
        self.writer: Writer = uniques.writer
        self.policies = policies
        self.target = target
        self.map_rows = map_rows

    def settle(self, plan: TablePlan) -> None:
        """Mark what the target would refuse, and plan how values are exchanged."""
        rules = self.uniques.rules(plan)
        for rule in rules:
            if not self.uniques.kept_apart_already(plan, rule):
                self._inside(plan, rule)
        if plan.was_empty or not plan.mapped:
            return
        for rule in rules:
            if not plan.key or not self.uniques.is_early(plan, rule):
                self._inserts(plan, rule)
        if plan.key and self._any(f"SELECT 1 FROM {self._map(plan)} WHERE a = '{Action.UPDATE}'"):
            self._updates(plan, rules)
            for rule in rules:
                self._exchanges(plan, rule, rules)

    def taken(self, plan: TablePlan) -> str:
        """Return what rows of the target hold, of a table that is settled, that its rows were to hold; else nothing."""
        if not plan.key:
            return ""
        if not plan.mapped:
            keys = [(f"k{i}", plan.fit.fit_of(c)) for i, c in enumerate(plan.key)]
            on = " AND ".join(f"t.{self.writer.quote(c)} = h.k{i}" for i, c in enumerate(plan.key))
            rows = self.uniques.remap.select(plan, keys)
            table = self.writer.table(plan.fit.target)
            return ", ".join(plan.key) if self._any(f"SELECT 1 FROM ({rows}) h JOIN {table} t ON {on}") else ""
        rules = self.uniques.rules(plan)
        return next((rule.label for rule in rules if self._any(self._taking(plan, rule, _WRITTEN))), "")

    # --- SQL ----------------------------------------------------------------------------------------------------

    def _map(self, plan: TablePlan) -> str:
        return self.writer.stage_name("m", plan.number)

    def _ours(self, plan: TablePlan, rule: UniqueRule, actions: str) -> str:
        join = f"JOIN {self._map(plan)} m ON m.r = s.r AND m.a IN ({actions})" if plan.mapped else ""
        return self.uniques.ours(plan, rule, join=join)

    def _any(self, sql: str) -> bool:
        return self.writer.run(f"{sql} LIMIT 1").first() is not None

    def _mark(self, plan: TablePlan, rows: str, reason: str, action: Action = Action.CONFLICT) -> bool:
        """Give rows an action and a reason; return whether there are any."""
        if not self._any(f"SELECT z.r FROM ({rows}) z"):
            return False
        # The rows are counted out first: a database may not read the map while it writes it.
        self.writer.run(
            f"UPDATE {self._map(plan)} SET a = '{action}', x = '{reason}' "
            f"WHERE r IN (SELECT y.r FROM (SELECT z.r, count(*) AS n FROM ({rows}) z GROUP BY z.r) y)"
        )
        return True

    # --- rows against rows --------------------------------------------------------------------------------------

    def _inside(self, plan: TablePlan, rule: UniqueRule) -> None:
        if not plan.mapped:
            if not self._any(self.uniques.twice(rule, self._ours(plan, rule, _WRITTEN))):
                return
            self.map_rows(plan)
        rows = self.uniques.twice(rule, self._ours(plan, rule, _WRITTEN))
        self._mark(plan, rows, twice(label_of(rule)))

    def _inserts(self, plan: TablePlan, rule: UniqueRule) -> None:
        ours, theirs = self._ours(plan, rule, f"'{Action.INSERT}'"), self.uniques.theirs(plan, rule)
        rows = f"SELECT h.r FROM ({ours}) h JOIN ({theirs}) t ON {self.uniques.equal(rule, 't', 'h')}"
        self._mark(plan, rows, held(label_of(rule)))

    def _updates(self, plan: TablePlan, rules: list[UniqueRule]) -> None:
        """Mark updates that take what a row keeps; one that is not carried out keeps its own, so look again."""
        skip = self.policies.clash_rule(plan.fit.source.name) is OnClash.REUSE
        for number in range(_PASSES):
            action = Action.SKIP if skip and number < _PASSES - 1 else Action.CONFLICT
            marked = [self._mark(plan, self._taking(plan, rule), reason, action) for rule, reason in self._said(rules)]
            if not any(marked):
                return

    @staticmethod
    def _said(rules: list[UniqueRule]) -> Iterator[tuple[UniqueRule, str]]:
        for rule in rules:
            yield rule, taken(label_of(rule))

    def _taking(self, plan: TablePlan, rule: UniqueRule, actions: str = f"'{Action.UPDATE}'") -> str:
        ours, theirs = self._ours(plan, rule, actions), self.uniques.theirs(plan, rule)
        key = " AND ".join(f"x.k{i} = t.k{i}" for i in range(len(plan.key)))
        return (
            f"SELECT h.r FROM ({ours}) h JOIN ({theirs}) t ON {self.uniques.equal(rule, 't', 'h')} "
            f"WHERE NOT EXISTS (SELECT 1 FROM {self._map(plan)} x WHERE x.a = '{Action.UPDATE}' AND {key})"
        )

    # --- values that rows exchange ------------------------------------------------------------------------------

    def _exchanges(self, plan: TablePlan, rule: UniqueRule, rules: list[UniqueRule]) -> None:
        """Plan a first step in which the rows whose values others take give them up."""
        ours, theirs = self._ours(plan, rule, f"'{Action.UPDATE}'"), self.uniques.theirs(plan, rule)
        key = " AND ".join(f"g.k{i} = t.k{i}" for i in range(len(plan.key)))
        holders = (
            f"SELECT DISTINCT g.r AS r FROM ({ours}) h JOIN ({theirs}) t ON {self.uniques.equal(rule, 't', 'h')} "
            f"JOIN {self._map(plan)} g ON g.a = '{Action.UPDATE}' AND {key} WHERE g.r <> h.r"
        )
        if not self._any(holders):
            return
        number = plan.number * 1000 + rules.index(rule)
        parked = self.writer.create_as("p", number, holders)
        for column, value in self._ways(plan, rule):
            if all(
                self._is_free(plan, other, parked, column, value)
                for other in rules
                if column in self._reads(plan, other)
            ):
                held = self.writer.held(value, plan.fit.target.by_name[column])
                keys = ", ".join(f"m.k{i} AS k{i}" for i in range(len(plan.key)))
                rows = f"{parked} s JOIN {self._map(plan)} m ON m.r = s.r AND m.a = '{Action.UPDATE}'"
                plan.parking.append((column, f"SELECT {keys}, {held} AS n0 FROM {rows}"))
                return
        self._mark(plan, holders, exchanged(label_of(rule)))

    @staticmethod
    def _reads(plan: TablePlan, rule: UniqueRule) -> tuple[str, ...]:
        return inputs(plan.fit.target, rule.columns)

    def _ways(self, plan: TablePlan, rule: UniqueRule) -> Iterator[tuple[str, str]]:
        """Yield columns that may hold something else for a moment, and what: NULL, else a value that nothing holds."""
        fixed = {*plan.key, *(c for fk in self.target.children_of(plan.fit.target.name) for c in fk.parent_columns)}
        fits = [f for f in plan.fit.columns if f.target.name in self._reads(plan, rule) and f.target.name not in fixed]
        yield from ((fit.target.name, "NULL") for fit in fits if fit.target.nullable)
        refers = {c for fk in plan.fit.target.foreign_keys for c in fk.columns}
        for fit in fits:
            name = fit.target.name
            if name in refers:
                continue
            if fit.kind.kind == "text" and (fit.target.type.length or 64) >= 34:
                yield name, self.writer.concat([f"'~{self.writer.import_id.hex[:12]}-'", "s.r"])
            elif fit.kind.kind == "integer":
                quoted, table = self.writer.quote(name), self.writer.table(plan.fit.target)
                low = min(int(self.writer.scalar(f"SELECT min({quoted}) FROM {table}") or 0), 0)
                high = max(int(self.writer.scalar(f"SELECT max({quoted}) FROM {table}") or 0), 0)
                limit = 2 ** ((fit.target.type.bits or 64) - 1) - 1
                if high + plan.staged.rows < limit:
                    yield name, f"{high} + 1 + s.r"
                if low - plan.staged.rows > -limit and not fit.target.type.unsigned:
                    yield name, f"{low} - 1 - s.r"

    def _is_free(self, plan: TablePlan, rule: UniqueRule, parked: str, column: str, value: str) -> bool:
        """Whether the values that rows hold meanwhile are in nobody's way: not theirs, not ours, not the target's."""
        u = self.uniques
        join = f"JOIN {parked} p ON p.r = s.r JOIN {self._map(plan)} m ON m.r = s.r AND m.a = '{Action.UPDATE}'"
        meanwhile = u.ours(plan, rule, join=join, put={column: value})
        if self._any(u.twice(rule, meanwhile)):
            return False
        others = (self._ours(plan, rule, _WRITTEN), u.theirs(plan, rule))
        return not any(
            self._any(f"SELECT 1 FROM ({meanwhile}) h JOIN ({other}) t ON {u.equal(rule, 't', 'h')}")
            for other in others
        )
