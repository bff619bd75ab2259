"""What matched rows differ in, what happens to them, and how they stood when that was decided.

For every table with a map (`datatransfer.importing.remap`) the list ``d<number>`` names the columns in which rows
differ, and ``b<number>`` keeps those rows of the target as they are: the plan is bound to them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datatransfer.errors import UnknownColumnError, UsageError
from datatransfer.given import suggestion
from datatransfer.importing.actions import Action, Newest, OnMatch, Policies
from datatransfer.importing.conflicts import DIFFERS, REFERENCED, SEVERAL
from datatransfer.importing.remap import Remap, TablePlan
from datatransfer.importing.validation import ColumnFit
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer

_ORDERED = ("integer", "float", "decimal", "date", "time", "timestamp", "timestamptz", "text")
_ACTIONS = {OnMatch.SKIP: Action.SKIP, OnMatch.UPDATE: Action.UPDATE, OnMatch.ERROR: Action.CONFLICT}


class Comparer:
    """Compares the matched rows of one table after another.

    Parameters
    ----------
    remap : Remap
    policies : Policies
    generation : int
        How often the plan was made before; what an earlier one was bound to stays beside.
    """

    def __init__(self, remap: Remap, policies: Policies, generation: int = 0) -> None:
        self.remap = remap
        self.writer: Writer = remap.writer
        self.policies = policies
        self.generation = generation

    def compare(self, plan: TablePlan) -> None:
        """List the columns in which rows differ, and give every matched row its action."""
        if not plan.mapped or not plan.key:
            return
        self._find(plan)
        self._decide(plan)
        self._refuse_moved_references(plan)
        # Actions were unknown when the map was filled: joins of rows that are updated would be planned as of none.
        self.writer.analyze("m", plan.number)
        self.writer.analyze("d", plan.number)

    def _find(self, plan: TablePlan) -> None:
        w = self.writer
        m, d = w.stage_name("m", plan.number), w.stage_name("d", plan.number)
        joins: dict[str, str] = {}
        cases = [f"CASE WHEN {w.same(f't.{w.quote(f.target.name)}', value, f.target)} THEN '' ELSE '{i},' END"
                 for i, f, value in self._compared(plan, joins)]  # fmt: skip
        newer = self._newer(plan, joins)
        w.run(
            f"INSERT INTO {d} (r, d, n) SELECT r, d, n FROM (SELECT s.r AS r, {w.concat(cases or [chr(39) * 2])} AS d, "
            f"{newer} AS n FROM {w.stage_name('s', plan.number)} s "
            f"JOIN {m} m ON m.r = s.r AND (m.a IS NULL OR m.a = '{Action.CONFLICT}' AND m.x <> '{SEVERAL}') "
            f"JOIN {w.table(plan.fit.target)} t ON {key_of(plan, w)} {' '.join(joins.values())}) e WHERE d <> ''"
        )

    def _compared(self, plan: TablePlan, joins: dict[str, str]) -> list[tuple[int, ColumnFit, str]]:
        skipped = {*plan.key, ENTITY_UUID, IMPORTED_FROM_UUID}
        # A default for a column that the package does not have says nothing about rows that have a value there.
        return [
            (i, f, self.remap.value(plan, f, joins))
            for i, f in enumerate(plan.fit.columns)
            if f.target.name not in skipped and not f.given
        ]

    def _newer(self, plan: TablePlan, joins: dict[str, str]) -> str:
        """Return SQL for 1 where the package's row is the newer one."""
        rule = self.policies.match_rule(plan.fit.source.name)
        if not isinstance(rule, Newest):
            return "0"
        fit, w = newest_column(plan, rule), self.writer
        there = f"t.{w.quote(fit.target.name)}"
        ours = self.remap.value(plan, fit, joins)
        later = f"{w.ordered(ours, fit.kind, fit.target)} > {w.ordered(there, fit.kind, fit.target)}"
        return f"CASE WHEN {ours} IS NOT NULL AND ({there} IS NULL OR {later}) THEN 1 ELSE 0 END"

    def _decide(self, plan: TablePlan) -> None:
        w = self.writer
        m, d, e = (w.stage_name(kind, plan.number) for kind in "mde")
        rule = self.policies.match_rule(plan.fit.source.name)
        listed = f"a IS NULL AND r IN (SELECT d.r FROM {d} d"
        for word in (Action.UPDATE, Action.SKIP, Action.REUSE) if plan.decided else ():
            w.run(f"UPDATE {m} SET a = '{word}' WHERE {listed}) AND r IN (SELECT e.r FROM {e} e WHERE e.a = '{word}')")
        if isinstance(rule, Newest):
            w.run(f"UPDATE {m} SET a = '{Action.UPDATE}' WHERE {listed} WHERE d.n = 1)")
            why = "the row of the target is as new or newer"
            w.run(f"UPDATE {m} SET a = '{Action.SKIP}', x = '{why}' WHERE {listed})")
        else:
            chosen = _ACTIONS[rule]
            reason = f", x = '{DIFFERS}'" if chosen is Action.CONFLICT else ""
            w.run(f"UPDATE {m} SET a = '{chosen}'{reason} WHERE {listed})")
        w.run(f"UPDATE {m} SET a = '{Action.REUSE}' WHERE a IS NULL")

    def _refuse_moved_references(self, plan: TablePlan) -> None:
        """Refuse to update columns that references point to: rows outside of the package may hold the old value."""
        w = self.writer
        m, d = w.stage_name("m", plan.number), w.stage_name("d", plan.number)
        for i, f in enumerate(plan.fit.columns):
            if f.target.name in plan.referenced:
                listed = f"r IN (SELECT r FROM {d} WHERE {w.concat([chr(39) + ',' + chr(39), 'd'])} LIKE '%,{i},%')"
                marked = f"UPDATE {m} SET a = '{Action.CONFLICT}', x = '{REFERENCED}'"
                w.run(f"{marked} WHERE a = '{Action.UPDATE}' AND {listed}")

    def remember(self, plan: TablePlan) -> None:
        """Keep the rows that differ as they are now, and list the texts that new rows take instead of their own."""
        w = self.writer
        if not plan.mapped or not plan.key:
            return
        m, d = w.stage_name("m", plan.number), w.stage_name("d", plan.number)
        if w.run(f"SELECT 1 FROM {d} LIMIT 1").first() is not None:
            columns = ", ".join(f"t.{w.quote(c.name)} AS b{i}" for i, c in enumerate(plan.fit.target.columns))
            plan.bound = w.create_as(
                "b", plan.number + 10_000 * self.generation,
                f"SELECT m.r AS r, {columns} FROM {m} m JOIN {d} d ON d.r = m.r "
                f"JOIN {w.table(plan.fit.target)} t ON {key_of(plan, w)}",
            )  # fmt: skip
        if plan.renamed:
            numbers = {f.target.name: i for i, f in enumerate(plan.fit.columns)}
            cases = [f"CASE WHEN n.{c} IS NULL THEN '' ELSE '{numbers[t]},' END" for t, c in plan.renamed.items()]
            n = w.stage_name("n", plan.number)
            new = f"JOIN {m} m ON m.r = n.r AND m.a = '{Action.INSERT}'"
            w.run(f"INSERT INTO {d} (r, d, n) SELECT n.r, {w.concat(cases)}, 0 FROM {n} n {new}")


def key_of(plan: TablePlan, writer: Writer) -> str:
    """Return SQL that joins rows ``t`` of the target with the map ``m``."""
    return " AND ".join(f"t.{writer.quote(c)} = m.k{i}" for i, c in enumerate(plan.key))


def newest_column(plan: TablePlan, rule: Newest) -> ColumnFit:
    """Return the column by which the newest row is found.

    Raises
    ------
    UnknownColumnError, UsageError
        Package and target do not share it, or its values have no order.
    """
    fit = plan.fit.by_source(rule.column)
    if fit is None:
        raise UnknownColumnError(
            f"on_match={str(rule)!r} names a column that package and target do not share",
            where=plan.fit.source.name,
            hint=suggestion(rule.column, [f.source.name for f in plan.fit.columns if not f.given]),
        )
    if fit.kind.kind not in _ORDERED:
        raise UsageError(
            f"values of kind {fit.kind.kind} are neither newer nor older than others",
            where=f"{plan.fit.source.name}.{rule.column}",
            hint="name a column of times, dates, numbers or texts",
        )
    return fit


def still_as_bound(plan: TablePlan, writer: Writer) -> bool:
    """Whether every row that the plan is bound to stands in the target as it did."""
    if not plan.bound:
        return True
    columns = list(enumerate(plan.fit.target.columns))
    same = " AND ".join(writer.same(f"t.{writer.quote(c.name)}", f"b.b{i}", c) for i, c in columns)
    key = " AND ".join(f"t.{writer.quote(c.name)} = b.b{i}" for i, c in columns if c.name in plan.key)
    sql = f"SELECT count(*) FROM {plan.bound} b JOIN {writer.table(plan.fit.target)} t ON {key} WHERE {same}"
    return int(writer.scalar(sql)) == int(writer.scalar(f"SELECT count(*) FROM {plan.bound}"))
