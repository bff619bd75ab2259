"""Which rows cannot be written because the target keeps values unique: by keys, constraints and indexes of every kind.

An index says in its own SQL what it compares. That SQL is applied, unchanged, to a subquery that gives the staged rows
as the target would hold them: its column names, types and collations. Nothing here decides policies; it marks rows of
a map (see `datatransfer.importing.remap`) and changes nothing visible.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from datatransfer.importing.remap import Remap, TablePlan
from datatransfer.schema.tables import Column, Table, UniqueRule

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer

ROW = "datatransfer_r"


class Uniques:
    """SQL for what the rules of a target's tables compare.

    Parameters
    ----------
    writer : Writer
    remap : Remap
    """

    def __init__(self, writer: Writer, remap: Remap) -> None:
        self.writer = writer
        self.remap = remap

    # --- which rules --------------------------------------------------------------------------------------------

    def rules(self, plan: TablePlan) -> list[UniqueRule]:
        """Return the rules that can be evaluated over staged rows; a key that is renumbered needs none."""
        found = []
        for rule in plan.fit.target.rules:
            columns = [plan.fit.target.by_name[name] for name in inputs(plan.fit.target, rule.columns)]
            known = all(self._known(plan, column) for column in columns)
            if known and rule.columns != (plan.fit.surrogate,):
                found.append(rule)
        return found

    @staticmethod
    def _known(plan: TablePlan, column: Column) -> bool:
        """Whether the value that the target will hold is known: given, computed, constant or absent."""
        given = any(fit.target.name == column.name for fit in plan.fit.columns)
        constant = column.has_constant if column.default else not column.has_default
        return given or bool(column.formula) or constant

    def is_early(self, plan: TablePlan, rule: UniqueRule) -> bool:
        """Whether the values are known before the keys of this table and of later ones are."""
        names = inputs(plan.fit.target, rule.columns)
        if plan.fit.surrogate in names:
            return False
        for fit in plan.fit.columns:
            fk = self.remap.reference_of(plan, fit) if fit.target.name in names else None
            parent = self.remap.plans.get(fk.parent) if fk is not None else None
            if parent is not None and parent.number >= plan.number:
                return False
        return True

    def kept_apart_already(self, plan: TablePlan, rule: UniqueRule) -> bool:
        """Whether the package's own key or uniqueness makes two rows with the same values impossible."""
        fits = [fit for fit in plan.fit.columns if fit.target.name in rule.columns]
        if not rule.exact or len(fits) != len(rule.columns) or not all(fit.keeps_apart for fit in fits):
            return False
        for fit in fits:
            fk = self.remap.reference_of(plan, fit)
            if fk is not None and fk.parent in self.remap.plans and self.remap.plans[fk.parent].mapped:
                return False
        names = {fit.source.name for fit in fits}
        source = plan.fit.source
        return any(columns and set(columns) <= names for columns in (source.key, *source.uniques))

    # --- what they compare --------------------------------------------------------------------------------------

    def ours(self, plan: TablePlan, rule: UniqueRule, *, join: str = "", put: Mapping[str, str] | None = None) -> str:
        """Return SQL for ``r`` and ``u0…``: what a rule compares of the staged rows that it holds for.

        Parameters
        ----------
        join : str
            Which rows; where it names the map ``m``, keys are taken from there.
        put : mapping of str to str
            Other values for some columns, as SQL.
        """
        return self._compared(rule, f"{ROW} AS r", self._held(plan, rule, join, put or {}))

    def theirs(self, plan: TablePlan, rule: UniqueRule) -> str:
        """Return SQL for ``k0…``, ``v0…`` and ``u0…`` of the target's rows."""
        quote = self.writer.quote
        keys = [f"{quote(c)} AS k{i}" for i, c in enumerate(plan.key)]
        keys += [f"{quote(c)} AS v{i}" for i, c in enumerate(plan.referenced)]
        return self._compared(rule, ", ".join(keys), self.writer.table(plan.fit.target))

    def _compared(self, rule: UniqueRule, lead: str, rows: str) -> str:
        parts = [lead, *(f"{part} AS u{i}" for i, part in enumerate(rule.parts))]
        where = f" WHERE {rule.where}" if rule.where else ""
        return f"SELECT {', '.join(part for part in parts if part)} FROM {rows}{where}"

    def _held(self, plan: TablePlan, rule: UniqueRule, join: str, put: Mapping[str, str]) -> str:
        w, target = self.writer, plan.fit.target
        fits = {fit.target.name: fit for fit in plan.fit.columns}
        joins: dict[str, str] = {}
        parts = [f"s.r AS {ROW}"]
        names = inputs(target, rule.columns)
        for name in names:
            column = target.by_name[name]
            if column.formula:
                continue
            if name in put:
                value = put[name]
            elif name not in fits:
                value = column.default or "NULL"
            elif plan.mapped and name in plan.key and " m ON" in join:
                value = f"m.{plan.map_column(name)}"
            else:
                value = self.remap.value(plan, fits[name], joins)
            parts.append(f"{w.held(value, column)} AS {w.quote(name)}")
        clauses = " ".join(part for part in (join, *joins.values()) if part)
        sql = f"(SELECT {', '.join(parts)} FROM {w.stage_name('s', plan.number)} s {clauses}) h"
        for name in names:
            column = target.by_name[name]
            if column.formula:
                sql = f"(SELECT h.*, {w.held(f'({column.formula})', column)} AS {w.quote(name)} FROM {sql}) h"
        return sql

    # --- SQL over both ------------------------------------------------------------------------------------------

    @staticmethod
    def equal(rule: UniqueRule, left: str, right: str) -> str:
        """Return the condition under which two sets of values are the same to a rule."""
        pairs = [(f"{left}.u{i}", f"{right}.u{i}") for i in range(len(rule.parts))]
        if rule.nulls_equal:
            return " AND ".join(f"({a} = {b} OR ({a} IS NULL AND {b} IS NULL))" for a, b in pairs)
        return " AND ".join(f"{a} = {b}" for a, b in pairs)

    @staticmethod
    def counts(rule: UniqueRule, alias: str) -> str:
        """Return the condition under which values count: as a rule a NULL is equal to nothing."""
        if rule.nulls_equal:
            return "1 = 1"
        return " AND ".join(f"{alias}.u{i} IS NOT NULL" for i in range(len(rule.parts)))

    def twice(self, rule: UniqueRule, ours: str) -> str:
        """Return SQL for ``r`` of all but the first of the rows that hold the same values."""
        values = ", ".join(f"h.u{i}" for i in range(len(rule.parts)))
        return (
            f"SELECT d.r FROM (SELECT h.r, row_number() OVER (PARTITION BY {values} ORDER BY h.r) AS n "
            f"FROM ({ours}) h WHERE {self.counts(rule, 'h')}) d WHERE d.n > 1"
        )

    def held_before(self, rule: UniqueRule, new: str, ours: str) -> str:
        """Return SQL for ``r`` of the new values that the package's rows hold, or a new one before.

        They are put in order rather than joined: they are computed, so no index would help a join.
        """
        values = [f"u{i}" for i in range(len(rule.parts))]
        both = " UNION ALL ".join(
            f"SELECT {number} AS g, h.r AS r, {', '.join(f'h.{v}' for v in values)} FROM ({rows}) h "
            f"WHERE {self.counts(rule, 'h')}"
            for number, rows in enumerate((ours, new))
        )
        return (
            f"SELECT d.r FROM (SELECT b.g, b.r, row_number() OVER (PARTITION BY {', '.join(f'b.{v}' for v in values)} "
            f"ORDER BY b.g, b.r) AS n FROM ({both}) b) d WHERE d.g = 1 AND d.n > 1"
        )


def inputs(table: Table, columns: Iterable[str]) -> tuple[str, ...]:
    """Return columns and all that those of them which are computed are computed from, in an order to compute them."""
    found: dict[str, None] = {}

    def visit(name: str, above: tuple[str, ...]) -> None:
        formula = table.by_name[name].formula
        for other in table.column_names if formula else ():
            if other not in (*above, name) and _mentions(formula, other):
                visit(other, (*above, name))
        found.setdefault(name)

    for name in columns:
        visit(name, ())
    return tuple(found)


def _mentions(formula: str, name: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", formula, re.IGNORECASE) is not None


def label_of(rule: UniqueRule) -> str:
    """Return a rule's name for people as the inside of an SQL text."""
    return rule.label.replace("\\", "").replace("'", "''").replace("\n", " ")[:140].rstrip("'")
