"""References of staged rows whose parents are not in the package: found in the target, or treated as asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from datatransfer.display.plain import counted
from datatransfer.errors import OrphanError
from datatransfer.importing.actions import OnOrphan, Policies
from datatransfer.importing.keymaps import KnownKeys
from datatransfer.importing.remap import Remap, TablePlan
from datatransfer.schema.tables import ForeignKey, Schema

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer


class References:
    """Resolves the references of one table after another.

    Parameters
    ----------
    remap : Remap
    target : Schema
    policies : Policies
    """

    def __init__(self, remap: Remap, target: Schema, policies: Policies) -> None:
        self.remap = remap
        self.writer: Writer = remap.writer
        self.target = target
        self.policies = policies

    def index_parents(self, plan: TablePlan, plans: Mapping[str, TablePlan], *, mapped: bool) -> None:
        """Index the staged columns that references are joined on, where they will be."""
        name = plan.fit.source.name
        keys = [(fk, child) for child in plans.values() for fk in child.fit.source.foreign_keys if fk.parent == name]
        wanted = {fk.parent_columns for fk, child in keys if mapped or child.staged.outside[fk]}
        folding = {fk.parent_columns for fk, _ in keys}
        for columns in sorted(wanted):
            staged = [plan.staged.stage_of_source(c) for c in columns]
            if all(staged):
                self.writer.index("s", plan.number, [str(c) for c in staged])
        for column in sorted({c for columns in folding for c in columns}):
            self._fold(plan, column)

    def _fold(self, plan: TablePlan, column: str) -> None:
        """Resolve references by a column's collation, unless rows came that differ by less than that."""
        w, staged = self.writer, plan.staged.stage_of_source(column)
        rule = plan.fit.source.by_name[column].folding
        if not rule or staged is None:
            return
        key = w.folded(staged, rule)
        twice = f"SELECT 1 FROM {w.stage_name('s', plan.number)} WHERE {staged} IS NOT NULL GROUP BY {key}"
        if w.run(f"{twice} HAVING count(*) > 1 LIMIT 1").first() is None:
            plan.folding[column] = rule

    # --- references out of the package --------------------------------------------------------------------------

    def resolve(self, plan: TablePlan, plans: Mapping[str, TablePlan], known: KnownKeys, same: bool) -> list[str]:
        """Find the parents that are not in the package in the target, or follow ``on_orphan``."""
        warnings = []
        for index, fk in enumerate(plan.fit.source.foreign_keys):
            columns = [plan.staged.reference(fk, c) for c in fk.columns]
            if not plan.staged.outside[fk] or not all(columns):
                continue
            missing = self._outside_sql(plan, plans, fk, [str(c) for c in columns])
            if not self.writer.run(f"SELECT 1 FROM ({missing}) o LIMIT 1").first():
                continue
            plan.outside.add(fk)
            plain = same or fk in plan.fit.plain
            left = self._lay_outside(plan, fk, index, missing, None if plain else known)
            if not left:
                continue
            if self.policies.on_orphan is OnOrphan.ERROR:
                raise OrphanError(
                    f"{_values(left, 'refers', 'refer')} to rows of {fk.parent!r} that are neither in the package "
                    "nor in the target",
                    where=fk.label,
                    hint='import the parents first, or say on_orphan="keep" or "null"',
                    evidence={"foreign_key": fk.label, "values": left},
                )
            self._check_nullable(plan, fk)
            warnings.append(f"{fk.label}: {_values(left, 'has', 'have')} no parent ({self.policies.on_orphan})")
        return warnings

    def _check_nullable(self, plan: TablePlan, fk: ForeignKey) -> None:
        if self.policies.on_orphan is OnOrphan.NULL and not plan.nulled(fk):
            raise OrphanError(
                "references without a parent cannot become NULL, for each of their columns is required, or is read by "
                "the key or another foreign key",
                where=fk.label,
                hint='import the parents first, or say on_orphan="keep"',
            )

    def _outside_sql(self, plan: TablePlan, plans: Mapping[str, TablePlan], fk: ForeignKey, columns: list[str]) -> str:
        """Return SQL for the distinct references that have no parent in the package."""
        w = self.writer
        names = ", ".join(f"s.{c} AS o{i}" for i, c in enumerate(columns))
        some = " AND ".join(f"s.{c} IS NOT NULL" for c in columns)
        sql = f"SELECT DISTINCT {names} FROM {w.stage_name('s', plan.number)} s WHERE {some}"
        if fk.parent not in plans:
            return sql
        parent = plans[fk.parent]
        above = [parent.staged.stage_of_source(c) for c in fk.parent_columns]
        on = " AND ".join(
            self.remap.parent_equal(parent, name, f"p.{a}", f"s.{c}")
            for name, a, c in zip(fk.parent_columns, above, columns, strict=True)
        )
        return f"{sql} AND NOT EXISTS (SELECT 1 FROM {w.stage_name('s', parent.number)} p WHERE {on})"

    def _lay_outside(self, plan: TablePlan, fk: ForeignKey, index: int, missing: str, known: KnownKeys | None) -> int:
        """Stage those of the references whose parent the target holds; return how many it does not."""
        w = self.writer
        fits = [plan.fit.by_source(c) for c in fk.columns]
        number = plan.number * 1000 + index
        types = [w.stage_type(f.kind) for f in fits if f]
        columns = [("r", "BIGINT"), *((f"o{i}", t) for i, t in enumerate(types))]
        columns += [(f"n{i}", w.key_type(f.target)) for i, f in enumerate(fits) if f]
        name = w.create("x", number, columns, keyed=False)
        plan.resolved[fk] = name
        mapping = self.policies.mapping
        found = mapping.table_of(fk.parent, self.target)
        if found is None:
            return int(w.scalar(f"SELECT count(*) FROM ({missing}) o"))
        parent = self.target.tables[found]
        above = [mapping.column_of(fk.parent, c, parent) or c for c in fk.parent_columns]
        olds = ", ".join(f"o.o{i}" for i in range(len(fits)))
        if known is not None:
            kinds = [f.kind for f in fits if f]
            for laid in known.of_parent(parent, fk.parent_columns, above, kinds):
                on = " AND ".join(f"l.s{i} = o.o{i}" for i in range(len(kinds)))
                width = len(kinds)
                news = ", ".join(w.expression(f"l.s{width + i}", f.kind, f.target) for i, f in enumerate(fits) if f)
                there = " AND ".join(f"h.o{i} = o.o{i}" for i in range(len(kinds)))  # by a later import
                w.run(
                    f"INSERT INTO {name} SELECT 1, {olds}, {news} FROM ({missing}) o JOIN {laid} l ON {on} "
                    f"WHERE NOT EXISTS (SELECT 1 FROM {name} h WHERE {there})"
                )
        else:
            values = [w.expression(f"o.o{i}", f.kind, f.target) for i, f in enumerate(fits) if f]
            on = " AND ".join(
                w.equal(f"t.{w.quote(c)}", v, parent.by_name.get(c)) for c, v in zip(above, values, strict=True)
            )
            news = ", ".join(values)
            w.run(f"INSERT INTO {name} SELECT 1, {olds}, {news} FROM ({missing}) o JOIN {w.table(parent)} t ON {on}")
        total = int(w.scalar(f"SELECT count(*) FROM ({missing}) o"))
        return total - int(w.scalar(f"SELECT count(*) FROM {name}"))


def _values(count: int, one: str, many: str) -> str:
    return counted(count, f"value {one}", f"values {many}")
