"""How a plan is made: stage a package, match it with the target, decide what happens to each entity.

`Planner` knows the order of the steps; the steps are in modules of their own. Nothing visible in the target changes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from datatransfer.database import ledger
from datatransfer.database.writers.rights import refuse as refuse_rights
from datatransfer.errors import TargetChangedError, UnknownColumnError, UnknownTableError
from datatransfer.events import Cancellation, Listener, Progress
from datatransfer.failpoints import failpoint
from datatransfer.given import suggestion
from datatransfer.importing import stages
from datatransfer.importing.actions import DEFAULT, Action, Identity, Newest, Policies
from datatransfer.importing.clashes import Clashes
from datatransfer.importing.comparing import Comparer, newest_column, still_as_bound
from datatransfer.importing.copies import copy_warning
from datatransfer.importing.files import FilePlacer, skipped_files, taken_warning
from datatransfer.importing.findings import refuse_values
from datatransfer.importing.fitting import Comparison, compare
from datatransfer.importing.keymaps import KnownKeys
from datatransfer.importing.losses import Losses
from datatransfer.importing.matching import Matcher
from datatransfer.importing.plan import ImportPlan
from datatransfer.importing.redefined import told_of_redefined
from datatransfer.importing.references import References
from datatransfer.importing.remap import Remap, TablePlan
from datatransfer.importing.restless import restless
from datatransfer.importing.revisions import revisions
from datatransfer.importing.rights import lacking, refuse_lacking
from datatransfer.importing.shareduuids import refuse_shared_uuids
from datatransfer.importing.stages import Session
from datatransfer.importing.staging import PART_ROWS, StagedTable, Stager
from datatransfer.importing.straight import Straight
from datatransfer.importing.validation import TableFit, refuse

if TYPE_CHECKING:
    from datatransfer.database.connection import Database
    from datatransfer.database.writers import Writer
    from datatransfer.package.package import DataPackage


Rule = TypeVar("Rule")

#: Findings that forbid nothing, and are worth a warning in the receipt.
_TOLD = ("other-key", "revision")


class Planner:
    """Makes the plan of one import.

    Steps: 1 compare schemas, 2 stage, 3 resolve references out of the package, 4 match table by table, parents first,
    5 compare matched rows, 6 hold the result against the target's rules, 7 count. When entities are decided by hand,
    steps 3 to 7 are made again. With ``may_copy``, rows that can go straight into empty tables are not staged, and all
    but steps 1 and 7 are left to the merge.
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
        decisions: Mapping[str, Any] | None = None,
        may_copy: bool = False,
    ) -> None:
        self.may_copy = may_copy
        self.migrations = migrations
        self.decisions = decisions
        self._changes: list[str] = []
        self.checkpoint_rows = checkpoint_rows
        self.resumed = resumed
        self.package = package
        self.target = target
        self.writer = writer
        self.policies = policies
        self.listener = listener
        self.cancellation = cancellation
        self._losses = Losses()
        self._generation = 0
        self._definitions: dict[str, str] = {}

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
            refuse_rights(lacking(self.writer, found.fits, rows, policies.identity))
            if self.resumed:
                self.writer.drop_planned()
            else:
                stages.begin(
                    self.writer, Session.of(self.package, self.policies, self.writer.import_id, self.checkpoint_rows)
                )
                if self.decisions:  # taken when all is staged; whoever resumes before that is to know them
                    stages.note_decisions(self.writer, self.decisions)
            tables = [fit.target for fit in found.fits.values()]
            with told_of_redefined(self.writer, tables), self.writer.stoppable(self.cancellation):
                return self._staged(found, rows, policies)
        except BaseException as error:
            stages.leave(self.writer, error)
            raise

    def _staged(self, found: Comparison, rows: dict[str, int], policies: Policies) -> ImportPlan:
        """Stage what fits, unless it need not be, and plan it."""
        seen, begun = ledger.last_seq(self.writer.conn), time.monotonic()
        self._definitions = {f.target.name: self.writer.definition_of(f.target) for f in found.fits.values()}
        stager = Stager(
            self.package, self.writer, self.policies, self.listener, self.cancellation,
            part_rows=self.checkpoint_rows,
        )  # fmt: skip
        straight = self._straight(stager, found, rows)
        staged = straight.tables if straight else stager.stage(found.fits, found.order, rows)
        planned = time.monotonic()
        self.policies = policies
        told = [f"{m.where}: {m.message} ({m.hint})" for m in found.misfits if m.code in _TOLD]
        told += skipped_files(self.package)
        self._losses, self._changes = stager.losses, told + stager.changes.warnings()
        plan = self._first(staged, straight)
        plan.seen = seen
        plan.timings = {"stage": planned - begun, "plan": time.monotonic() - planned}
        self._refuse_lacking(plan)
        return plan

    def _straight(self, stager: Stager, found: Comparison, rows: Mapping[str, int]) -> Straight | None:
        if not self.may_copy:
            return None
        straight = Straight(stager, found.fits, found.order, rows)
        return straight if straight.suits(self.writer, self.policies) else None

    def _first(self, staged: Mapping[str, StagedTable], straight: Straight | None) -> ImportPlan:
        plans = {name: TablePlan(table) for name, table in staged.items()}
        remap = Remap(self.writer, plans, self.policies.on_orphan)
        plan = ImportPlan(self.package, self.target, self.policies, self.writer, remap, plans, replan=self.replan)
        plan.straight, plan.definitions = straight, self._definitions
        try:
            if straight is None:
                self._decide(plan)
            else:
                self._insert_all(plan)
        except BaseException:
            plan.let_go()  # else it would end the stage once more, whenever its last reference goes
            raise
        return plan

    @staticmethod
    def _refuse_lacking(plan: ImportPlan) -> None:
        try:
            refuse_lacking(plan)
        except BaseException:
            plan.let_go()  # as in `_first`
            raise

    def _following(self, fits: Mapping[str, TableFit]) -> Policies:
        """Return the policies in the package's names of tables and, in ``match_on``, the target's of columns.

        Raises
        ------
        UnknownTableError, UnknownColumnError
            Package and target do not share them.
        """
        theirs = {self.policies.mapping.table_of(name, self.target.schema): name for name in self.package.schema.tables}

        def following(rules: Mapping[str, Rule]) -> dict[str, Rule]:
            return {n if n == DEFAULT else self._own_name(n, theirs, ()): rule for n, rule in rules.items()}

        on_match, on_clash = following(self.policies.on_match), following(self.policies.on_clash)
        match_on: dict[str, tuple[str, ...]] = {}
        for name, columns in self.policies.match_on.items():
            own = self._own_name(name, theirs, self.target.schema.tables)
            found = fits.get(own)
            if found is None:
                match_on[own] = columns
                continue
            there = {c.source.name: c.target.name for c in found.columns if not c.given}
            taken = {c.target.name for c in found.columns}
            named = tuple(c if c in taken else there.get(c, c) for c in columns)
            match_on[found.source.name] = named
            for column in (column for column in named if column not in taken):
                raise UnknownColumnError(
                    f"match_on names a column {column!r} that package and target do not share",
                    where=found.source.name, hint=suggestion(column, sorted({*taken, *there})),
                )  # fmt: skip
        return replace(self.policies, on_match=on_match, on_clash=on_clash, match_on=match_on)

    def _own_name(self, name: str, theirs: Mapping[str | None, str], others: Collection[str]) -> str:
        """Return what the package calls a table, whichever of its names is given."""
        if name in self.package.schema:
            return name
        if name in theirs or name in others:
            return theirs.get(name, name)
        known = sorted({*self.package.schema.tables, *filter(None, theirs)})
        raise UnknownTableError(f"there is no table {name!r}", hint=suggestion(name, known))

    def replan(self, plan: ImportPlan, staged: Mapping[str, StagedTable], decided: set[str]) -> None:
        """Make a plan anew from what is staged, with what was decided for single entities.

        Raises
        ------
        TargetChangedError
            Rows are no longer what they were when the decision was made.
        """
        before = dict(plan.plans)
        self._generation += 1
        self.writer.drop_planned(keep="sebyz")
        plans = {name: TablePlan(table, decided=name in decided) for name, table in staged.items()}
        plan.renew(plans, Remap(self.writer, plans, self.policies.on_orphan))
        tables = [table.fit.target for table in plans.values()]
        with told_of_redefined(self.writer, tables), self.writer.stoppable(self.cancellation):
            self._decide(plan)
        # Looked at when the new plan stands, so that no moment lies between what was seen and what it is bound to.
        changed = [name for name, table in before.items() if not still_as_bound(table, self.writer)]
        if changed:
            raise TargetChangedError(
                "rows changed since the plan was made", where=", ".join(changed), hint="nothing was changed; plan again"
            )
        for table in before.values():
            if table.bound:
                self.writer.run(f"DROP TABLE {table.bound}")

    def _decide(self, plan: ImportPlan) -> None:
        plans, remap = plan.plans, plan.remap
        if self._losses.found:
            refuse_values(self._losses, plans, remap)
        refuse_shared_uuids(plans.values(), self.policies.identity, self.writer)
        origin = self.package.metadata.origin
        known = KnownKeys(self.writer, origin, self.target.origin)
        same = origin == self.target.origin
        matcher = Matcher(self.writer, remap, self.policies, known, same_origin=same)
        warnings = list(self._changes)
        references = References(remap, self.target.schema, self.policies)
        self._look_at_tables(plans)
        for name, table in plans.items():
            self.cancellation.check()
            self.listener(Progress("plan", name))
            references.index_parents(table, plans, mapped=matcher.needs_map(table))
            warnings += references.resolve(table, plans, known, same)
            matcher.plan_table(table)
            failpoint("plan.table")
        comparer = Comparer(remap, self.policies, self._generation)
        for table in plans.values():
            comparer.compare(table)
        clashes = Clashes(matcher.uniques, self.policies, self.target.schema, matcher.map_rows)
        for table in plans.values():
            clashes.settle(table)
            self._count(table)
            comparer.remember(table)
        refuse_values(self._losses, plans, remap)
        warnings += restless(self.writer, plans.values(), self.policies.triggers)
        if not same and self.policies.identity is Identity.KEEP:
            warnings += copy_warning(plans.values(), remap)
        plan.warnings[:] = warnings + self._taken(plan)

    def _insert_all(self, plan: ImportPlan) -> None:
        """Fill the plan of empty tables whose rows are not staged."""
        for name, table in plan.plans.items():
            self._check_newest(name, table)
            self._count(table)
            self.listener(Progress("plan", name))
        resting = restless(self.writer, plan.plans.values(), self.policies.triggers)
        plan.warnings[:] = [*self._changes, *resting, *self._taken(plan)]

    def _taken(self, plan: ImportPlan) -> list[str]:
        """Look for files that are in the way; return the warning of them."""
        plan.taken_files = FilePlacer(self.package, self.target, list(plan.plans.values()), self.cancellation).taken()
        return [taken_warning(len(plan.taken_files))] if plan.taken_files else []

    def _look_at_tables(self, plans: Mapping[str, TablePlan]) -> None:
        for name, plan in plans.items():
            plan.was_empty = self._is_empty(plan)
            plan.referenced = self._referenced(plan, plans)
            self._check_newest(name, plan)
        if any(not plan.was_empty or any(plan.staged.outside.values()) for plan in plans.values()):
            for plan in plans.values():  # whose stage will be joined with something
                self.writer.analyze("s", plan.number)

    def _check_newest(self, name: str, plan: TablePlan) -> None:
        if isinstance(rule := self.policies.match_rule(name), Newest):
            newest_column(plan, rule)

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

    def _count(self, plan: TablePlan) -> None:
        if not plan.mapped:
            plan.counts = {Action.INSERT: plan.staged.rows} if plan.staged.rows else {}
            return
        w = self.writer
        m, n = w.stage_name("m", plan.number), w.stage_name("n", plan.number)
        plan.counts = {Action(a): int(count) for a, count in w.run(f"SELECT a, count(*) FROM {m} GROUP BY a").all()}
        if plan.renamed:
            both = f"SELECT count(*) FROM {n} n JOIN {m} m ON m.r = n.r WHERE m.a = '{Action.INSERT}'"
            plan.renamed_rows = int(w.scalar(both))
