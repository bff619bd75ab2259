"""SQL for the values that staged rows take in the target: keys kept, shifted or mapped, references following them.

A table is planned either as a whole (every row is inserted, keys shifted by one offset) or row by row through its
map ``m<number>``: ``r`` the staged row, ``a`` the action, ``w`` how it was matched, ``x`` the reason, ``k0…`` the key
in the target, ``v0…`` other columns in the target that references point to.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datatransfer.importing.actions import Action, Decision, OnOrphan
from datatransfer.importing.staging import StagedTable
from datatransfer.importing.validation import ColumnFit, TableFit
from datatransfer.schema.tables import ForeignKey

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer


@dataclass
class TablePlan:
    """How one table is merged.

    Attributes
    ----------
    mapped : bool
        Whether there is a map ``m<number>``; else every row is inserted.
    offset : int
        Added to the surrogate key of inserted rows.
    shift : int, optional
        What the map adds to the surrogate key of every row, where that is one number: no join is needed then.
    referenced : list of str
        Target columns, not of the key, that references in the package point to.
    resolved : dict of ForeignKey to bool
        Foreign keys with references out of the package; true where ``x<number>_<i>`` maps some of them.
    counts : dict of Action to int
    folding : dict of str to str
        Package columns whose collation makes different texts equal, and by which references to them are resolved.
    parking : list of (column, SELECT)
        Columns that updated rows give up before they take the values of others: keys ``k0…`` and the value ``n0``.
    decided : bool
        Whether single entities were decided: ``e<number>`` holds their rows ``r`` and decisions ``a``.
    renamed : dict of str to str
        Target columns in which rows take other texts than the package's: columns of ``n<number>``.
    renamed_rows : int
        How many of the inserted rows do.
    bound : str
        SQL name of the staging table that holds the rows that differ as they were, empty if there are none.
    """

    staged: StagedTable
    mapped: bool = False
    offset: int = 0
    shift: int | None = None
    was_empty: bool = True
    referenced: list[str] = field(default_factory=list)
    outside: set[ForeignKey] = field(default_factory=set)
    resolved: dict[ForeignKey, str] = field(default_factory=dict)
    counts: dict[Action, int] = field(default_factory=dict)
    folding: dict[str, str] = field(default_factory=dict)
    parking: list[tuple[str, str]] = field(default_factory=list)
    decided: bool = False
    renamed: dict[str, str] = field(default_factory=dict)
    renamed_rows: int = 0
    bound: str = ""

    @property
    def fit(self) -> TableFit:
        """The package table and the target table."""
        return self.staged.fit

    @property
    def number(self) -> int:
        """Names the staging tables."""
        return self.staged.number

    @property
    def key(self) -> tuple[str, ...]:
        """The target's key columns, empty if rows cannot be told apart."""
        return self.fit.target.key if self.fit.keyed else ()

    def nulled(self, fk: ForeignKey) -> list[str]:
        """Return the package's columns of a foreign key that become NULL where it is to refer to nothing."""
        return [c for c in self.fit.source.only_of(fk) if (f := self.fit.by_source(c)) and f.target.nullable]

    def map_column(self, target_column: str) -> str:
        """Return the column of the map that holds a key or referenced column."""
        if target_column in self.key:
            return f"k{self.key.index(target_column)}"
        return f"v{self.referenced.index(target_column)}"


class Remap:
    """Expressions over the stage.

    Parameters
    ----------
    writer : Writer
    plans : dict of str to TablePlan
        By package table name.
    on_orphan : OnOrphan
    """

    def __init__(self, writer: Writer, plans: dict[str, TablePlan], on_orphan: OnOrphan) -> None:
        self.writer = writer
        self.plans = plans
        self.on_orphan = on_orphan

    def raw(self, plan: TablePlan, fit: ColumnFit, alias: str = "s") -> str:
        """Return a staged value in the target's type, as it came."""
        return self.writer.expression(f"{alias}.{plan.staged.stage_column(fit.target.name)}", fit.kind, fit.target)

    def reference_of(self, plan: TablePlan, fit: ColumnFit, *, but: tuple[ForeignKey, ...] = ()) -> ForeignKey | None:
        """Return the foreign key whose parent decides the value of a column; those of ``but`` do not count."""
        name = fit.source.name
        found = [fk for fk in plan.fit.source.foreign_keys if name in fk.columns and not fit.given and fk not in but]
        # A column that a row shares with its parent in the same table is decided by no row of that table.
        shared = [fk for fk in found if fk.is_self and fk.parent_columns[fk.columns.index(name)] == name]
        keys = sorted((fk for fk in found if fk not in shared), key=lambda fk: len(fk.columns))
        inside = [fk for fk in keys if fk.parent in self.plans]
        moved = [fk for fk in inside if self._moves(fk)]
        return next(iter(moved or [fk for fk in keys if fk in plan.resolved] or inside or keys), None)

    def _moves(self, fk: ForeignKey) -> bool:
        parent = self.plans[fk.parent]
        return parent.mapped or bool(parent.offset)

    def passes_on(self, plan: TablePlan) -> bool:
        """Whether references point at columns of a table that are themselves references to rows which move."""
        name = plan.fit.source.name
        asked = {
            column
            for child in self.plans.values()
            for fk in child.fit.source.foreign_keys
            if fk.parent == name
            for column in fk.parent_columns
        }
        return any(
            asked & set(fk.columns)
            and (fk.spellings or fk in plan.resolved or (fk.parent in self.plans and self._moves(fk)))
            for fk in plan.fit.source.foreign_keys
            if fk.parent != name
        )

    def value(self, plan: TablePlan, fit: ColumnFit, joins: dict[str, str]) -> str:
        """Return the value of a target column for staged row ``s``; needed joins are added to ``joins``."""
        raw = self.raw(plan, fit)
        if fit.target.name in plan.renamed:
            joins.setdefault("n", f"LEFT JOIN {self.writer.stage_name('n', plan.number)} n ON n.r = s.r")
            return f"coalesce(n.{plan.renamed[fit.target.name]}, {raw})"
        return self._carried(plan, fit, raw, joins)

    def _carried(
        self, plan: TablePlan, fit: ColumnFit, raw: str, joins: dict[str, str], *, but: tuple[ForeignKey, ...] = ()
    ) -> str:
        """Return the value that a column takes, if some of its foreign keys do not count."""
        fk = self.reference_of(plan, fit, but=but)
        if fk is None:
            return self._moved(plan, fit, raw)
        found = self._followed(plan, fit, fk, raw, joins, but=(*but, fk))
        others = [plan.staged.stage_of_source(c) for c in fk.columns if c != fit.source.name]
        if found == raw or not others:
            return found
        # A key that is NULL in part refers to nothing (MATCH SIMPLE), so its other parts are values like any other.
        loose = self._carried(plan, fit, raw, joins, but=(*but, fk))
        return f"CASE WHEN {' OR '.join(f's.{c} IS NULL' for c in others if c)} THEN {loose} ELSE {found} END"

    @staticmethod
    def _moved(plan: TablePlan, fit: ColumnFit, raw: str) -> str:
        return f"{raw} + {plan.offset}" if plan.offset and fit.target.name == plan.fit.surrogate else raw

    def _followed(
        self, plan: TablePlan, fit: ColumnFit, fk: ForeignKey, raw: str, joins: dict[str, str], *,
        but: tuple[ForeignKey, ...],
    ) -> str:  # fmt: skip
        """Return the value that a reference takes where its parent went; ``but`` holds it and those before it."""
        position = fk.columns.index(fit.source.name)
        outside = self._outside(plan, fk, fit, raw, joins, but=but)
        if fk.parent not in self.plans:
            return outside
        parent = self.plans[fk.parent]
        parent_fit = parent.fit.by_source(fk.parent_columns[position])
        if parent_fit is None or not all(parent.staged.stage_of_source(c) for c in fk.parent_columns):
            return outside
        rule = parent.folding.get(fk.parent_columns[position], "")
        if fk.spelled(fit.source.name):
            return self._as_target_takes_it(plan, fk, (parent, parent_fit), (raw, outside), joins)
        if rule and not parent.mapped:
            return self._spelled(plan, fk, parent, parent_fit, raw, outside, joins)
        shifted = parent.offset and parent_fit.target.name == parent.fit.surrogate
        if not parent.mapped or not parent.key:
            moved = f"{raw} + {parent.offset}" if shifted else raw
            if fk not in plan.outside or moved == outside:
                return moved
            number = self._join_parent(plan, fk, parent, joins)
            return f"CASE WHEN p{number}.r IS NOT NULL THEN {moved} ELSE {outside} END"
        if parent.shift is not None and fk not in plan.outside and self._is_surrogate(fit, parent, parent_fit):
            return f"{raw} + {parent.shift}" if parent.shift else raw
        number = self._join_parent(plan, fk, parent, joins)
        joins.setdefault(
            f"q{number}",
            f"LEFT JOIN {self.writer.stage_name('m', parent.number)} q{number} ON q{number}.r = p{number}.r",
        )
        mapped = f"q{number}.{parent.map_column(parent_fit.target.name)}"
        if rule and rule == parent_fit.target.folding:  # another spelling of the same value stays as it is
            same = f"{self.writer.folded(mapped, rule)} = {self.writer.folded(raw, rule)}"
            mapped = f"CASE WHEN {same} THEN {raw} ELSE {mapped} END"
        if fk in plan.outside:
            return f"CASE WHEN p{number}.r IS NOT NULL THEN {mapped} ELSE {outside} END"
        return mapped

    @staticmethod
    def _is_surrogate(fit: ColumnFit, parent: TablePlan, parent_fit: ColumnFit) -> bool:
        return parent_fit.target.name == parent.fit.surrogate and fit.kind.kind == "integer"

    def _spelled(
        self, plan: TablePlan, fk: ForeignKey, parent: TablePlan, parent_fit: ColumnFit, raw: str, outside: str,
        joins: dict[str, str],
    ) -> str:  # fmt: skip
        """Return a reference as the parent is spelled, unless the target takes both spellings for the same too."""
        if parent_fit.target.folding == parent_fit.source.folding:
            inside = raw
        else:
            number = self._join_parent(plan, fk, parent, joins)
            inside = f"coalesce({self.raw(parent, parent_fit, f'p{number}')}, {raw})"
        if fk not in plan.outside or inside == outside:
            return inside
        number = self._join_parent(plan, fk, parent, joins)
        return f"CASE WHEN p{number}.r IS NOT NULL THEN {inside} ELSE {outside} END"

    def _as_target_takes_it(
        self, plan: TablePlan, fk: ForeignKey, above: tuple[TablePlan, ColumnFit], values: tuple[str, str],
        joins: dict[str, str],
    ) -> str:  # fmt: skip
        """Return a reference as it came where the target takes it for its parent, else as the parent is written."""
        (parent, parent_fit), (raw, outside) = above, values
        number = self._join_parent(plan, fk, parent, joins)
        if parent.mapped and parent.key:
            map_name = self.writer.stage_name("m", parent.number)
            joins.setdefault(f"q{number}", f"LEFT JOIN {map_name} q{number} ON q{number}.r = p{number}.r")
            written = f"q{number}.{parent.map_column(parent_fit.target.name)}"
        else:
            written = self.raw(parent, parent_fit, f"p{number}")
        held = [self.writer.held(value, parent_fit.target) for value in (raw, written)]
        taken = self.writer.equal(held[0], held[1], parent_fit.target)
        return f"CASE WHEN p{number}.r IS NULL THEN {outside} WHEN {taken} THEN {raw} ELSE {written} END"

    def _join_parent(self, plan: TablePlan, fk: ForeignKey, parent: TablePlan, joins: dict[str, str]) -> int:
        number = plan.fit.source.foreign_keys.index(fk)
        pairs = []
        for child, above in zip(fk.columns, fk.parent_columns, strict=True):
            left, right = plan.staged.reference(fk, child), parent.staged.stage_of_source(above)
            pairs.append(self.parent_equal(parent, above, f"p{number}.{right}", f"s.{left}"))
        joins.setdefault(
            f"p{number}", f"LEFT JOIN {self.writer.stage_name('s', parent.number)} p{number} ON {' AND '.join(pairs)}"
        )
        return number

    def parent_equal(self, parent: TablePlan, column: str, above: str, child: str) -> str:
        """Compare a staged parent's value with a reference to it, as the source does: by the parent's collation."""
        rule = parent.folding.get(column, "")
        return (
            f"{self.writer.folded(above, rule)} = {self.writer.folded(child, rule)}" if rule else f"{above} = {child}"
        )

    @staticmethod
    def stage_equal(left: str, right: str) -> str:
        """Compare two staged values; staged columns have no affinity, so classes are compared too."""
        return f"{left} = {right}"

    def _outside(
        self, plan: TablePlan, fk: ForeignKey, fit: ColumnFit, raw: str, joins: dict[str, str], *,
        but: tuple[ForeignKey, ...],
    ) -> str:  # fmt: skip
        """Return the value of a reference whose parent is not in the package."""
        if fk not in plan.outside or fk not in plan.resolved:
            return raw
        number = plan.fit.source.foreign_keys.index(fk)
        pairs = " AND ".join(
            self.stage_equal(f"x{number}.o{i}", f"s.{plan.staged.reference(fk, c)}") for i, c in enumerate(fk.columns)
        )
        joins.setdefault(f"x{number}", f"LEFT JOIN {plan.resolved[fk]} x{number} ON {pairs}")
        otherwise = raw
        if self.on_orphan is OnOrphan.NULL:
            alone = fit.source.name in plan.nulled(fk)
            otherwise = "NULL" if alone else self._carried(plan, fit, raw, joins, but=but)
        position = fk.columns.index(fit.source.name)
        return f"CASE WHEN x{number}.r IS NOT NULL THEN x{number}.n{position} ELSE {otherwise} END"

    def not_apart(self, plan: TablePlan) -> str:
        """Return the condition that leaves out staged rows which are decided to become rows of their own."""
        return f" AND NOT {self._decided_apart(plan)}" if plan.decided else ""

    def apart(self, plan: TablePlan) -> str:
        """Return the condition that leaves these rows alone; empty if there are none."""
        s, decided = self.writer.stage_name("s", plan.number), self._decided_apart(plan)
        some = plan.decided and self.writer.run(f"SELECT 1 FROM {s} s WHERE {decided} LIMIT 1").first() is not None
        return f" AND {decided}" if some else ""

    def _decided_apart(self, plan: TablePlan) -> str:
        own = f"('{Decision.INSERT}', '{Decision.RENAME}')"
        e = self.writer.stage_name("e", plan.number)
        return f"EXISTS (SELECT 1 FROM {e} e WHERE e.r = s.r AND e.a IN {own})"

    def select(
        self,
        plan: TablePlan,
        columns: Sequence[tuple[str, ColumnFit]],
        *,
        lead: str = "",
        join: str = "",
        tail: str = "",
    ) -> str:
        """Return a SELECT over the stage giving target values under the names given.

        Parameters
        ----------
        columns : sequence of (name, ColumnFit)
            An empty name leaves the expression without one.
        lead, join, tail : str
            Expressions before, joins before the needed ones, and what follows them.
        """
        joins: dict[str, str] = {}
        parts = [lead] if lead else []
        for name, fit in columns:
            if plan.mapped and fit.target.name in plan.key and " m ON" in join:
                value = f"m.{plan.map_column(fit.target.name)}"
            else:
                value = self.value(plan, fit, joins)
            parts.append(f"{value} AS {name}" if name else value)
        clauses = " ".join(part for part in (join, *joins.values(), tail) if part)
        return f"SELECT {', '.join(parts)} FROM {self.writer.stage_name('s', plan.number)} s {clauses}"
