"""What an import will do, decided before anything is written: an action for every entity.

`Planner` stages a package, matches it with the target and decides; `ImportPlan` is the result, bound to the state of
the target rows that it would touch. Planning changes nothing visible in the target.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from datatransfer.database import ledger
from datatransfer.errors import ConflictError
from datatransfer.events import Cancellation, Listener, Progress
from datatransfer.failpoints import failpoint
from datatransfer.importing import stages
from datatransfer.importing.actions import Action, Identity, OnMatch, Policies
from datatransfer.importing.clashes import Clashes
from datatransfer.importing.copies import copy_warning
from datatransfer.importing.findings import refuse_values
from datatransfer.importing.fitting import compare
from datatransfer.importing.keymaps import KnownKeys
from datatransfer.importing.losses import Losses
from datatransfer.importing.matching import Matcher
from datatransfer.importing.references import References
from datatransfer.importing.remap import Remap, TablePlan
from datatransfer.importing.revisions import revisions
from datatransfer.importing.stages import Session
from datatransfer.importing.staging import PART_ROWS, StagedTable, Stager
from datatransfer.importing.validation import ColumnFit, TableFit, refuse
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID

if TYPE_CHECKING:
    import pandas as pd

    from datatransfer.database.connection import Database
    from datatransfer.database.writers import Writer
    from datatransfer.package.package import DataPackage


@dataclass
class ImportPlan:
    """The actions that an import will take.

    Attributes
    ----------
    plans : dict of str to TablePlan
        Per package table, parents first.
    warnings : list of str
    """

    package: DataPackage
    target: Database
    policies: Policies
    writer: Writer
    remap: Remap
    plans: dict[str, TablePlan]
    warnings: list[str] = field(default_factory=list)
    done: bool = False
    #: The ``seq`` of the latest import into the target when planning began.
    seen: int = 0
    #: Seconds that each phase took.
    timings: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # A plan that is dropped without being run must not leave its stage behind, not even at exit.
        self._let_go = weakref.finalize(self, stages.leave, self.writer, None)

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Per table and action, how many entities."""
        return {name: {str(a): n for a, n in plan.counts.items()} for name, plan in self.plans.items()}

    @property
    def summary(self) -> pd.DataFrame:
        """One row a table, one column an action, and their total."""
        import pandas as pd

        rows = [
            {"table": name, **{str(a): plan.counts.get(a, 0) for a in Action}, "rows": plan.staged.rows}
            for name, plan in self.plans.items()
        ]
        return pd.DataFrame(rows, columns=["table", *map(str, Action), "rows"])

    @property
    def conflicts(self) -> pd.DataFrame:
        """The entities in conflict, as in `to_frame`."""
        return self.to_frame(action=Action.CONFLICT)

    @property
    def conflict_count(self) -> int:
        """How many entities are in conflict."""
        return sum(plan.counts.get(Action.CONFLICT, 0) for plan in self.plans.values())

    def to_frame(
        self, table: str | None = None, *, action: str | None = None, limit: int | None = None
    ) -> pd.DataFrame:
        """Return one row an entity.

        Parameters
        ----------
        table, action : str, optional
            Only of this table, only with this action.
        limit : int, optional
            Most rows a table.

        Returns
        -------
        pandas.DataFrame
            table, action, matched_by, source_key, target_key, changed, reason.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        for name, plan in self.plans.items():
            if table in (None, name):
                rows += self._entities(plan, action, limit)
        names = ["table", "action", "matched_by", "source_key", "target_key", "changed", "reason"]
        return pd.DataFrame(rows, columns=names)

    def _entities(self, plan: TablePlan, action: str | None, limit: int | None) -> list[dict[str, Any]]:
        if self.done:
            raise ConflictError("the plan has been carried out or discarded", hint="plan again, or look at the receipt")
        if action is not None and not plan.counts.get(Action(action)):
            return []
        w = self.writer
        source_key = [plan.staged.stage_of_source(c) for c in plan.fit.source.key]
        keys = [f"s.{c}" for c in source_key if c is not None]
        s = w.stage_name("s", plan.number)
        end = f" LIMIT {int(limit)}" if limit is not None else ""
        if not plan.mapped:
            moved = [self.remap.value(plan, plan.fit.fit_of(c), {}) for c in plan.key if c == plan.fit.surrogate]
            values = ", ".join([f"'{Action.INSERT}'", "NULL", "NULL", "''", *keys, *(moved or keys)])
            found = w.run(f"SELECT {values} FROM {s} s ORDER BY s.r{end}").all()
        else:
            k = [f"m.k{i}" for i in range(len(plan.key))]
            where = f"WHERE m.a = '{Action(action)}' " if action else ""
            diff = f"LEFT JOIN {w.stage_name('d', plan.number)} d ON d.r = s.r " if plan.key else ""
            values = ", ".join(["m.a", "m.w", "m.x", "d.d" if plan.key else "''", *keys, *k])
            m = w.stage_name("m", plan.number)
            sql = f"SELECT {values} FROM {s} s JOIN {m} m ON m.r = s.r {diff}{where}ORDER BY s.r{end}"
            found = w.run(sql).all()
        return [self._entity(plan, tuple(row), len(keys)) for row in found]

    def _entity(self, plan: TablePlan, row: tuple[Any, ...], width: int) -> dict[str, Any]:
        columns = plan.fit.columns
        changed = [columns[int(i)].target.name for i in (row[3] or "").split(",") if i]
        return {
            "table": plan.fit.source.name,
            "action": row[0],
            "matched_by": row[1] or "",
            "source_key": _key(row[4 : 4 + width]),
            "target_key": _key(row[4 + width :]),
            "changed": ", ".join(changed),
            "reason": row[2] or "",
        }

    def discard(self, error: BaseException | None = None) -> None:
        """Remove what was staged; the target was never changed.

        Parameters
        ----------
        error : BaseException, optional
            Why; after one that resuming may get past, the stage stays.
        """
        if not self.done:
            self.done = True
            self._let_go.detach()
            stages.leave(self.writer, error)

    def __enter__(self) -> ImportPlan:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()

    def __repr__(self) -> str:
        totals = {a: sum(p.counts.get(a, 0) for p in self.plans.values()) for a in Action}
        said = ", ".join(f"{n} {a}" for a, n in totals.items() if n) or "nothing to do"
        return f"ImportPlan({said})"

    def _repr_html_(self) -> str:
        return f"<p>{self!r}</p>{self.summary.to_html(index=False)}"


def _key(values: tuple[Any, ...]) -> Any:
    if not values:
        return None
    return values[0] if len(values) == 1 else tuple(values)


#: Findings that forbid nothing, and are worth a warning in the receipt.
_TOLD = ("other-key", "revision")


class Planner:
    """Makes the plan of one import.

    Steps: 1 compare schemas, 2 stage, 3 resolve references out of the package, 4 match table by table, parents first,
    5 compare matched rows, 6 hold the result against the target's rules, 7 count.
    """

    def __init__(
        self,
        package: DataPackage,
        target: Database,
        writer: Writer,
        policies: Policies,
        listener: Listener,
        cancellation: Cancellation,
        *,
        resumed: bool = False,
        checkpoint_rows: int = PART_ROWS,
        migrations: str | None = None,
    ) -> None:
        self.migrations = migrations
        self.checkpoint_rows = checkpoint_rows
        self.resumed = resumed
        self.package = package
        self.target = target
        self.writer = writer
        self.policies = policies
        self.listener = listener
        self.cancellation = cancellation

    def plan(self) -> ImportPlan:
        """Return the plan; the stage is dropped if that fails."""
        schema = self.package.schema
        rows = {name: self.package.entry(name).rows for name in schema.tables}
        found = compare(schema, rows, self.target.schema, self.writer, self.policies.mapping)
        found.misfits += revisions(self.package.metadata.source_revision, self.target.revision(), self.migrations)
        if found.errors:
            refuse(found.misfits)
        policies = self._following(found.fits)
        try:
            if self.resumed:
                self.writer.drop_planned()
            else:
                stages.begin(
                    self.writer, Session.of(self.package, self.policies, self.writer.import_id, self.checkpoint_rows)
                )
            seen, begun = ledger.last_seq(self.writer.conn), time.monotonic()
            stager = Stager(
                self.package, self.writer, self.policies, self.listener, self.cancellation,
                part_rows=self.checkpoint_rows,
            )  # fmt: skip
            staged = stager.stage(found.fits, found.order, rows)
            planned = time.monotonic()
            self.policies = policies
            told = [f"{m.where}: {m.message} ({m.hint})" for m in found.misfits if m.code in _TOLD]
            plan = self._decide(staged, stager.losses, told + stager.changes.warnings())
            plan.seen = seen
            plan.timings = {"stage": planned - begun, "plan": time.monotonic() - planned}
            return plan
        except BaseException as error:
            stages.leave(self.writer, error)
            raise

    def _following(self, fits: Mapping[str, TableFit]) -> Policies:
        """Return the policies with ``match_on`` in the package's tables and the target's columns."""
        match_on: dict[str, tuple[str, ...]] = {}
        for name, columns in self.policies.match_on.items():
            found = fits.get(name) or next((f for f in fits.values() if f.target.name == name), None)
            if found is None:
                self.target.schema.table(name)
                match_on[name] = columns
                continue
            there = {c.source.name: c.target.name for c in found.columns if not c.given}
            taken = {c.target.name for c in found.columns}
            match_on[found.source.name] = tuple(c if c in taken else there.get(c, c) for c in columns)
        return replace(self.policies, match_on=match_on)

    def _decide(self, staged: dict[str, StagedTable], losses: Losses, changes: Sequence[str]) -> ImportPlan:
        plans = {name: TablePlan(table) for name, table in staged.items()}
        remap = Remap(self.writer, plans, self.policies.on_orphan)
        if losses.found:
            refuse_values(losses, plans, remap)
        origin = self.package.metadata.origin
        known = KnownKeys(self.writer, origin, self.target.origin)
        same = origin == self.target.origin
        matcher = Matcher(self.writer, remap, self.policies, known, same_origin=same)
        warnings = list(changes)
        references = References(remap, self.target.schema, self.policies)
        for plan in plans.values():
            plan.was_empty = self._is_empty(plan)
            plan.referenced = self._referenced(plan, plans)
        if any(not plan.was_empty or any(plan.staged.outside.values()) for plan in plans.values()):
            for plan in plans.values():  # whose stage will be joined with something
                self.writer.analyze("s", plan.number)
        for name, plan in plans.items():
            self.cancellation.check()
            references.index_parents(plan, plans, mapped=matcher.needs_map(plan))
            warnings += references.resolve(plan, plans, known, same)
            matcher.plan_table(plan)
            failpoint("plan.table")
            self.listener(Progress("plan", name))
        for plan in plans.values():
            self._compare(plan, remap)
        clashes = Clashes(matcher.uniques, self.policies, self.target.schema, matcher.map_rows)
        for plan in plans.values():
            clashes.settle(plan)
            self._count(plan)
            self._remember_touched(plan)
        refuse_values(losses, plans, remap)
        if not same and self.policies.identity is Identity.KEEP:
            warnings += copy_warning(plans.values(), remap)
        return ImportPlan(self.package, self.target, self.policies, self.writer, remap, plans, warnings)

    def _is_empty(self, plan: TablePlan) -> bool:
        return self.writer.run(f"SELECT 1 FROM {self.writer.table(plan.fit.target)} LIMIT 1").first() is None

    @staticmethod
    def _referenced(plan: TablePlan, plans: Mapping[str, TablePlan]) -> list[str]:
        """Return the target columns, outside the key, that references in the package point to."""
        names: list[str] = []
        for child in plans.values():
            for fk in child.fit.source.foreign_keys:
                if fk.parent != plan.fit.source.name:
                    continue
                for column in fk.parent_columns:
                    found = plan.fit.by_source(column)
                    if found and found.target.name not in (*plan.key, *names):
                        names.append(found.target.name)
        return names

    # --- what matched rows differ in ----------------------------------------------------------------------------

    def _compare(self, plan: TablePlan, remap: Remap) -> None:
        """Give every matched row its action, and list the columns in which it differs."""
        if not plan.mapped or not plan.key:
            return
        w = self.writer
        m, d = w.stage_name("m", plan.number), w.stage_name("d", plan.number)
        joins: dict[str, str] = {}
        cases = [f"CASE WHEN {w.same(f't.{w.quote(f.target.name)}', value, f.target)} THEN '' ELSE '{i},' END"
                 for i, f, value in self._compared(plan, remap, joins)]  # fmt: skip
        key = " AND ".join(f"t.{w.quote(c)} = m.k{i}" for i, c in enumerate(plan.key))
        w.run(
            f"INSERT INTO {d} (r, d) SELECT r, d FROM (SELECT s.r AS r, {w.concat(cases or [chr(39) * 2])} AS d "
            f"FROM {w.stage_name('s', plan.number)} s JOIN {m} m ON m.r = s.r AND m.a IS NULL "
            f"JOIN {w.table(plan.fit.target)} t ON {key} {' '.join(joins.values())}) e WHERE d <> ''"
        )
        differs = f"r IN (SELECT r FROM {d})"
        action = {OnMatch.SKIP: Action.SKIP, OnMatch.UPDATE: Action.UPDATE, OnMatch.ERROR: Action.CONFLICT}
        chosen = action[self.policies.on_match]
        if chosen is Action.UPDATE:
            self._refuse_moved_references(plan)
        reason = ", x = 'the row differs in the target'" if chosen is Action.CONFLICT else ""
        w.run(f"UPDATE {m} SET a = '{chosen}'{reason} WHERE a IS NULL AND {differs}")
        w.run(f"UPDATE {m} SET a = '{Action.REUSE}' WHERE a IS NULL")

    def _refuse_moved_references(self, plan: TablePlan) -> None:
        """Refuse to update columns that references point to: rows outside of the package may hold the old value."""
        w = self.writer
        m, d = w.stage_name("m", plan.number), w.stage_name("d", plan.number)
        for i, f in enumerate(plan.fit.columns):
            if f.target.name in plan.referenced:
                listed = f"r IN (SELECT r FROM {d} WHERE {w.concat([chr(39) + ',' + chr(39), 'd'])} LIKE '%,{i},%')"
                why = "a column that references point to differs"
                w.run(f"UPDATE {m} SET a = '{Action.CONFLICT}', x = '{why}' WHERE a IS NULL AND {listed}")

    def _compared(self, plan: TablePlan, remap: Remap, joins: dict[str, str]) -> list[tuple[int, ColumnFit, str]]:
        skipped = {*plan.key, ENTITY_UUID, IMPORTED_FROM_UUID}
        return [
            (i, f, remap.value(plan, f, joins)) for i, f in enumerate(plan.fit.columns) if f.target.name not in skipped
        ]

    def _remember_touched(self, plan: TablePlan) -> None:
        """Keep the rows that an update will touch as they are now: the plan is bound to them."""
        if not plan.counts.get(Action.UPDATE):
            return
        w = self.writer
        key = " AND ".join(f"t.{w.quote(c)} = m.k{i}" for i, c in enumerate(plan.key))
        columns = ", ".join(f"t.{w.quote(c.name)} AS b{i}" for i, c in enumerate(plan.fit.target.columns))
        w.create_as(
            "b", plan.number,
            f"SELECT m.r AS r, {columns} FROM {w.stage_name('m', plan.number)} m "
            f"JOIN {w.table(plan.fit.target)} t ON {key} WHERE m.a = '{Action.UPDATE}'",
        )  # fmt: skip

    def _count(self, plan: TablePlan) -> None:
        if not plan.mapped:
            plan.counts = {Action.INSERT: plan.staged.rows} if plan.staged.rows else {}
            return
        found = self.writer.run(f"SELECT a, count(*) FROM {self.writer.stage_name('m', plan.number)} GROUP BY a").all()
        plan.counts = {Action(a): int(n) for a, n in found}
