"""A plan as DataFrames, read from the stage when they are asked for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from datatransfer.importing.actions import Action
from datatransfer.importing.remap import Remap, TablePlan

if TYPE_CHECKING:
    import pandas as pd

    from datatransfer.database.writers import Writer

ENTITY = ["table", "action", "matched_by", "source_key", "target_key", "changed", "before", "after", "reason",
          "decision"]  # fmt: skip
FIELD = ["table", "source_key", "target_key", "field", "before", "after"]


class Frames:
    """Reads the entities of a plan.

    Parameters
    ----------
    remap : Remap
    plans : mapping of str to TablePlan
    """

    def __init__(self, remap: Remap, plans: Mapping[str, TablePlan]) -> None:
        self.remap = remap
        self.writer: Writer = remap.writer
        self.plans = plans

    def entities(self, table: str | None, action: str | None, limit: int | None) -> pd.DataFrame:
        """Return one row an entity."""
        rows: list[tuple[Any, ...]] = []
        for name, plan in self.plans.items():
            if table in (None, name):
                rows += self._entities(plan, action, limit)
        return _frame(rows, ENTITY)

    def fields(self, table: str | None, action: str | None, limit: int | None) -> pd.DataFrame:
        """Return one row a field that differs."""
        rows: list[tuple[Any, ...]] = []
        for name, plan in self.plans.items():
            if table in (None, name) and plan.mapped and plan.key:
                for entity in self._entities(plan, action, limit, differing=True):
                    _, _, _, source, target, _, before, after, _, _ = entity
                    rows += [(name, source, target, field, before[field], after[field]) for field in after]
        return _frame(rows, FIELD)

    def texts(self, table: str, action: str, limit: int) -> dict[Any, dict[str, Any]]:
        """Return what the first entities with an action hold in columns of text, by their keys in the package."""
        plan, w = self.plans[table], self.writer
        if not plan.mapped or not plan.counts.get(Action(action)):
            return {}
        stage = plan.staged.stage_of_source
        key = [c for c in plan.fit.source.key if stage(c) is not None]
        texts = (fit.source.name for fit in plan.fit.columns if fit.source.type.kind == "text")
        names = [name for name in texts if stage(name) is not None]
        if not key:
            return {}
        values = ", ".join(f"s.{stage(c)}" for c in [*key, *names])
        m, s = w.stage_name("m", plan.number), w.stage_name("s", plan.number)
        found = w.run(
            f"SELECT {values} FROM {s} s JOIN {m} m ON m.r = s.r WHERE m.a = '{Action(action)}' "
            f"ORDER BY s.r LIMIT {int(limit)}"
        ).all()
        width = len(key)
        return {_key(tuple(row[:width])): dict(zip(names, row[width:], strict=True)) for row in found}

    # --- SQL ----------------------------------------------------------------------------------------------------

    def _entities(
        self, plan: TablePlan, action: str | None, limit: int | None, *, differing: bool = False
    ) -> list[tuple[Any, ...]]:
        if action is not None and not plan.counts.get(Action(action)):
            return []
        end = f" LIMIT {int(limit)}" if limit is not None else ""
        keys = [f"s.{c}" for c in map(plan.staged.stage_of_source, plan.fit.source.key) if c is not None]
        if not plan.mapped:
            return self._inserted(plan, keys, end)
        w = self.writer
        m, s = w.stage_name("m", plan.number), w.stage_name("s", plan.number)
        chosen = f"FROM {s} s JOIN {m} m ON m.r = s.r"
        if differing:
            chosen += f" JOIN {w.stage_name('d', plan.number)} d0 ON d0.r = s.r"
        chosen += f" WHERE m.a = '{Action(action)}'" if action else ""
        rows = f"SELECT s.r AS r {chosen} ORDER BY s.r{end}"
        k = [f"m.k{i}" for i in range(len(plan.key))]
        decided = f"LEFT JOIN {w.stage_name('e', plan.number)} e ON e.r = s.r" if plan.decided else ""
        values = ", ".join(["s.r", "m.a", "m.w", "m.x", "e.a" if decided else "NULL", *keys, *k])
        found = w.run(
            f"SELECT {values} FROM ({rows}) z JOIN {s} s ON s.r = z.r JOIN {m} m ON m.r = s.r {decided} ORDER BY s.r"
        ).all()
        changed = self._changed(plan, rows) if plan.key else {}
        return [self._entity(plan, tuple(row), len(keys), changed.get(row[0])) for row in found]

    def _inserted(self, plan: TablePlan, keys: list[str], end: str) -> list[tuple[Any, ...]]:
        joins: dict[str, str] = {}
        there = [self.remap.value(plan, plan.fit.fit_of(c), joins) for c in plan.key]
        values = ", ".join(["s.r", f"'{Action.INSERT}'", "NULL", "NULL", "NULL", *keys, *there])
        s = self.writer.stage_name("s", plan.number)
        found = self.writer.run(f"SELECT {values} FROM {s} s {' '.join(joins.values())} ORDER BY s.r{end}").all()
        return [self._entity(plan, tuple(row), len(keys), None) for row in found]

    def _changed(self, plan: TablePlan, rows: str) -> dict[int, tuple[dict[str, Any], dict[str, Any]]]:
        """Return the fields that differ, as they are and as they come, by staged row."""
        w, joins = self.writer, dict[str, str]()
        d, s = w.stage_name("d", plan.number), w.stage_name("s", plan.number)
        fits = plan.fit.columns
        numbers = {column.name: i for i, column in enumerate(plan.fit.target.columns)}
        after = [self.remap.value(plan, fit, joins) for fit in fits]
        if plan.bound:
            before = [f"b.b{numbers[fit.target.name]}" for fit in fits]
            bound = f"LEFT JOIN {plan.bound} b ON b.r = d.r"
        else:
            before, bound = ["NULL"] * len(fits), ""
        raw = [self.remap.raw(plan, fit) for fit in fits if fit.target.name in plan.renamed]
        values = ", ".join(["d.r", "d.d", "m.a", *before, *after, *raw])
        found = w.run(
            f"SELECT {values} FROM ({rows}) z JOIN {d} d ON d.r = z.r JOIN {s} s ON s.r = d.r "
            f"JOIN {w.stage_name('m', plan.number)} m ON m.r = s.r {bound} {' '.join(joins.values())}"
        ).all()
        return {int(row[0]): self._pair(plan, tuple(row)) for row in found}

    @staticmethod
    def _pair(plan: TablePlan, row: tuple[Any, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
        fits, width = plan.fit.columns, len(plan.fit.columns)
        fields = [int(i) for i in row[1].split(",") if i]
        old, new, raw = row[3 : 3 + width], row[3 + width : 3 + 2 * width], row[3 + 2 * width :]
        if row[2] == Action.INSERT:  # another text than the package's
            renamed = [fit.target.name for fit in fits if fit.target.name in plan.renamed]
            before = {fits[i].target.name: raw[renamed.index(fits[i].target.name)] for i in fields
                      if fits[i].target.name in renamed}  # fmt: skip
        else:
            before = {fits[i].target.name: old[i] for i in fields}
        return before, {fits[i].target.name: new[i] for i in fields}

    @staticmethod
    def _entity(
        plan: TablePlan,
        row: tuple[Any, ...],
        width: int,
        changed: tuple[dict[str, Any], dict[str, Any]] | None,
    ) -> tuple[Any, ...]:
        _, action, how, why, decision = row[:5]
        before, after = changed or ({}, {})
        reason = why or ""
        if action == Action.INSERT and after:
            reason = reason or f"renamed: another row holds the same {', '.join(after)}"
        return (
            plan.fit.source.name, action, how or "", _key(row[5 : 5 + width]), _key(row[5 + width :]),
            ", ".join(after), before, after, reason, decision or "",
        )  # fmt: skip


def _key(values: tuple[Any, ...]) -> Any:
    if not values:
        return None
    return values[0] if len(values) == 1 else tuple(values)


def _frame(rows: list[tuple[Any, ...]], names: list[str]) -> pd.DataFrame:
    """Return a DataFrame in which keys that are integers stay integers and every other value is what it is."""
    import pandas as pd

    columns: dict[str, Any] = {}
    for i, name in enumerate(names):
        values = [row[i] for row in rows]
        whole = name.endswith("_key") and values and all(type(v) is int and abs(v) < 2**63 for v in values)
        columns[name] = pd.Series(values, dtype="int64" if whole else object)
    return pd.DataFrame(columns)
