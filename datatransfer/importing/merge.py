"""The one transaction that changes the target: everything in a plan, or nothing.

1. The target is looked at again: what the plan was bound to must be as it was.
2. Triggers rest, and what makes bulk inserts slow or cycles impossible is put away.
3. Files are placed; rows are inserted and updated table by table, parents first, and counted against the plan: from
   the stage, or straight from the package (`datatransfer.importing.straight`).
4. Everything put away comes back, sequences move on, the receipt is written.

Locks. Staging and planning lock nothing of the target: they read, each statement by itself, and on MariaDB in READ
COMMITTED. Merges of one database go one after another (an advisory lock on PostgreSQL, ``GET_LOCK`` on MariaDB, the
write lock on SQLite), so that two never wait for each other in a circle. The transaction then holds, until it ends: the
rows that it inserts and updates; on MariaDB also, against deletion, the rows that were matched; and the definitions of
the tables that it writes, which nobody alters meanwhile. Others read and write all other rows. Three things lock whole
tables on PostgreSQL: many rows into an empty table (indexes are built anew), tables that refer to each other in a
circle (their foreign keys rest), and tables with triggers where these rest; with ``triggers="fire"`` they do not.
SQLite has one lock for the whole database. No statement waits for a lock longer than the importer's ``lock_timeout``;
the receipt's ``timings`` say how long each phase took.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from datatransfer import interrupts
from datatransfer.display.plain import counted
from datatransfer.errors import MergeError, TargetChangedError, clearing_up
from datatransfer.events import Cancellation, Listener, Progress
from datatransfer.failpoints import failpoint
from datatransfer.importing import stages
from datatransfer.importing.actions import Action, Identity, OnOrphan, Triggers
from datatransfer.importing.clashes import Clashes
from datatransfer.importing.comparing import key_of
from datatransfer.importing.files import FilePlacer, taken_warning
from datatransfer.importing.images import AfterImages
from datatransfer.importing.plan import ImportPlan
from datatransfer.importing.recording import updated_rows, write_receipt
from datatransfer.importing.redefined import redefined_error, refuse_redefined
from datatransfer.importing.remap import TablePlan
from datatransfer.importing.restless import told_again
from datatransfer.importing.rivals import refuse_rivals
from datatransfer.importing.uniques import Uniques
from datatransfer.importing.unverified import Unverified, unverified
from datatransfer.schema.graph import DependencyGraph
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID, Schema

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.writers import Writer
    from datatransfer.importing.backup import Backup

_BULK_ROWS = 10_000


class Merge:
    """Carries out one plan.

    Parameters
    ----------
    plan : ImportPlan
    listener, cancellation
        Told after each table; asked before it, and in the midst of a statement, until COMMIT begins.
    backup : Backup, optional
        Gets the rows that are updated before any of them is.
    """

    def __init__(
        self, plan: ImportPlan, listener: Listener, cancellation: Cancellation, backup: Backup | None = None
    ) -> None:
        self.plan = plan
        self.backup = backup
        self.writer: Writer = plan.writer
        self.listener = listener
        self.cancellation = cancellation
        self.warnings = list(plan.warnings)
        self.images: dict[str, pa.Table | None] = {}
        self._after = AfterImages(plan)
        self._placer = FilePlacer(plan.package, plan.target, list(plan.plans.values()), cancellation)
        self._done = 0
        # As the target sees them: also by foreign keys that only it has, and without those that were dropped.
        circles = DependencyGraph(Schema({name: p.fit.source for name, p in plan.plans.items()})).cycles
        self._circular = {plan.plans[name].fit.target.name for circle in circles for name in circle}
        self._cyclic = {plan.plans[name].fit.target.name for circle in circles if len(circle) > 1 for name in circle}

    def keep_to_lost_files(self) -> bool:
        """Bring, where no row is to be written, the files that rows of the target miss; whether there are any."""
        if not self._placer.keep_to_lost(self.writer):
            return False
        if taken := len(self.plan.taken_files):
            self.warnings.remove(taken_warning(taken))
            self.warnings.append(f"{counted(taken, 'file')} of the target with other content: left as found")
        return True

    def run(self, before_commit: Callable[[], None] | None = None) -> None:
        """Merge, or leave the target as it was.

        Raises
        ------
        TargetChangedError
            Rows that the plan touches have changed since.
        MergeError
            The database refused, or touched other rows than planned.
        """
        plans = list(self.plan.plans.values())
        try:
            ours = self._note_files()
            failpoint("merge.begin")
            try:
                self._transact(plans, ours, before_commit)
            except MergeError:
                if self.plan.straight is None:  # else the stage, by which the import goes then, tells of them
                    self._blame_others(plans)
                raise
        except BaseException as error:
            if not self.writer.unanswered:  # else it may have happened
                self.take_back(error)
            raise
        finally:
            self._after.end()

    def take_back(self, error: BaseException) -> None:
        """Remove the files that were placed, after a rollback; where that fails, the stage goes on naming them."""
        self.writer.needed = True
        with interrupts.shielded(), clearing_up(error):
            self._placer.take_back()
            self.writer.needed = False

    def _transact(
        self,
        plans: list[TablePlan],
        ours: list[tuple[str, str, str]],
        before_commit: Callable[[], None] | None,
    ) -> None:
        total = sum(plan.staged.rows for plan in plans)
        begun = time.monotonic()
        with self.writer.merge(self.cancellation):
            locked = time.monotonic()
            self._refuse_rivals(plans)
            self._refuse_redefined(plans)
            for plan in plans:
                self._recheck(plan)
            self._save(plans)
            loose = self._unverified(plans)
            self._prepare(plans)
            self._placer.place(ours)
            for plan in plans:
                self.cancellation.check()
                self.listener(Progress("merge", plan.fit.source.name, self._done, total))
                self._merge_table(plan)
                failpoint("merge.table")
                self._done += plan.staged.rows
                self.listener(Progress("merge", plan.fit.source.name, self._done, total))
            self.writer.at = ""  # what fails from here on fails for any of them
            self.writer.restore_tables()
            loose.refuse_more()
            self.warnings = told_again(self.warnings, self.writer, plans, self.plan.policies.triggers)
            for plan in plans:
                if plan.counts.get(Action.INSERT):
                    self.writer.advance_sequences(plan.fit.target)
            self.plan.timings |= {"wait": locked - begun, "merge": time.monotonic() - locked}
            self.listener(Progress("receipt"))
            write_receipt(self.plan, self.warnings, self._placer.placed, self.images)
            self._after.record()
            if before_commit is not None:
                before_commit()

    def _blame_others(self, plans: list[TablePlan]) -> None:
        """Find out, when everything is rolled back, whether rows or tables that changed since the plan are the reason.

        Raises
        ------
        TargetChangedError
            They were.
        """
        if self.writer.lost:
            return
        refuse_redefined(self.writer, [plan.fit.target for plan in plans])
        clashes = Clashes(Uniques(self.writer, self.plan.remap), self.plan.policies, self.plan.target.schema)
        for plan in plans:
            self._recheck(plan)
            if label := clashes.taken(plan):
                raise TargetChangedError(
                    f"another row has taken the same {label} since the import was planned",
                    where=plan.fit.target.name, hint="nothing was changed; plan again",
                )  # fmt: skip

    def _note_files(self) -> list[tuple[str, str, str]]:
        """Log the files that will be placed before any is; return those that an earlier attempt may have left."""
        earlier = stages.noted_files(self.writer.noted())
        absent = self._placer.absent()
        if absent or earlier:
            stages.note_files(self.writer, list(dict.fromkeys([*earlier, *absent])))
        return earlier

    # --- before -------------------------------------------------------------------------------------------------

    def _refuse_rivals(self, plans: list[TablePlan]) -> None:
        policies, digest = self.plan.policies, self.plan.package.metadata.manifest_sha256
        tables = [plan.fit.target.name for plan in plans]
        again = policies.identity is Identity.COPY
        refuse_rivals(self.writer.conn, self.plan.seen, digest, tables, again=again)

    def _refuse_redefined(self, plans: list[TablePlan]) -> None:
        """Refuse tables that were altered since: a new key or foreign key is one that nobody has looked rows up for."""
        written = [p.fit.target for p in plans if p.counts.get(Action.INSERT) or p.counts.get(Action.UPDATE)]
        self.writer.hold_definitions(written)
        for table in written:
            if (now := self.writer.definition_of(table)) != self.plan.definitions[table.name]:
                raise redefined_error(table, gone=not now)

    def _recheck(self, plan: TablePlan) -> None:
        w = self.writer
        w.at = plan.fit.target.name
        t = w.table(plan.fit.target)
        changed = ""
        if plan.was_empty and w.run(f"SELECT 1 FROM {t} LIMIT 1").first() is not None:
            changed = "the table was empty when the import was planned"
        elif plan.mapped and plan.key:
            changed = self._changed_rows(plan, t)
        if changed:
            raise TargetChangedError(changed, where=plan.fit.target.name, hint="nothing was changed; plan again")

    def _changed_rows(self, plan: TablePlan, t: str) -> str:
        w = self.writer
        m, b = w.stage_name("m", plan.number), plan.bound
        key = key_of(plan, w)
        there = int(
            w.scalar(
                f"SELECT count(*) FROM (SELECT m.r FROM {m} m JOIN {t} t ON {key} "
                f"WHERE m.a <> '{Action.INSERT}'{w.locking('t', shared=True)}) x"
            )
        )
        expected = sum(n for a, n in plan.counts.items() if a is not Action.INSERT)
        if there != expected:
            return "rows that the plan matched are gone"
        if plan.counts.get(Action.INSERT) and int(
            w.scalar(f"SELECT count(*) FROM {m} m JOIN {t} t ON {key} WHERE m.a = '{Action.INSERT}'")
        ):
            return "keys that the plan gives to new rows are taken"
        if plan.counts.get(Action.UPDATE):
            same = " AND ".join(
                w.same(f"t.{w.quote(c.name)}", f"b.b{i}", c) for i, c in enumerate(plan.fit.target.columns)
            )
            both = f"{m} m JOIN {b} b ON b.r = m.r JOIN {t} t ON {key}"
            sql = f"SELECT m.r FROM {both} WHERE m.a = '{Action.UPDATE}' AND {same}{w.locking('t')}"
            if int(w.scalar(f"SELECT count(*) FROM ({sql}) x")) != plan.counts[Action.UPDATE]:
                return "rows that the plan updates have changed"
        return ""

    def _save(self, plans: list[TablePlan]) -> None:
        """Write the backup, whole and verified, before the first row changes."""
        if self.backup is None:
            return
        for plan in plans:
            if plan.counts.get(Action.UPDATE):
                self.images[plan.fit.target.name] = updated_rows(self.plan, plan)
        if not self.backup.write(self.images):
            self.warnings.append("no row of the target was overwritten, so there is no backup")

    def _unverified(self, plans: list[TablePlan]) -> Unverified:
        keep = self.plan.policies.on_orphan is OnOrphan.KEEP
        touched = [p for p in plans if p.counts.get(Action.INSERT) or p.counts.get(Action.UPDATE)]
        return Unverified([] if keep else touched, self.plan.target.schema, self.writer)

    def _prepare(self, plans: list[TablePlan]) -> None:
        touched = [p for p in plans if p.counts.get(Action.INSERT) or p.counts.get(Action.UPDATE)]
        suspend = self.plan.policies.triggers is Triggers.SUSPEND
        many = [p.fit.target for p in touched if p.was_empty and p.staged.rows >= _BULK_ROWS]
        bulk = [table for table in many if self.writer.may_alter(table)]
        self.writer.prepare_tables(
            [p.fit.target for p in touched],
            suspend=suspend,
            bulk=bulk,
            cyclic=[p.fit.target for p in touched if p.fit.target.name in self._cyclic],
            # All tables, not only those written to: others may delete a row that is reused until one refers to it.
            closed=all(p.was_empty and not p.outside and _is_verified(p) for p in self.plan.plans.values())
            and (self.plan.straight is None or self.plan.straight.closed),
        )
        self._after.begin(suspended=suspend)

    # --- rows ---------------------------------------------------------------------------------------------------

    def _merge_table(self, plan: TablePlan) -> None:
        self.writer.at = plan.fit.target.name
        self.writer.enforce_references(self._leans_outside(plan))
        if plan.counts.get(Action.INSERT):
            self._after.before_insert(plan)
        inserted = self._insert(plan) if plan.counts.get(Action.INSERT) else 0
        updated = 0
        if plan.counts.get(Action.UPDATE):
            if plan.fit.target.name not in self.images:
                self.images[plan.fit.target.name] = updated_rows(self.plan, plan)
            updated = self._update(plan)
        wanted = (plan.counts.get(Action.INSERT, 0), plan.counts.get(Action.UPDATE, 0))
        if (inserted, updated) != wanted:
            done = f"{counted(inserted, 'row was', 'rows were')} inserted and {updated:,} updated"
            raise MergeError(
                f"{done} where the plan says {wanted[0]:,} and {wanted[1]:,}",
                where=plan.fit.target.name,
                hint="nothing was changed; a trigger or rule of the target may be in the way",
            )

    def _leans_outside(self, plan: TablePlan) -> bool:
        """Whether rows refer to rows of the target that others may delete, and a parent always comes before its child.

        What the package itself brings is verified, and looking it up again would take as long as inserting it.
        """
        circular = plan.fit.target.name in self._circular
        return bool(plan.outside) and not circular and self.plan.policies.on_orphan is not OnOrphan.KEEP

    def _insert(self, plan: TablePlan) -> int:
        w = self.writer
        if self.plan.straight is not None:
            return self.plan.straight.insert(w, plan, self._told(plan))
        fits = list(plan.fit.columns)
        join = ""
        if plan.mapped:
            join = f"JOIN {w.stage_name('m', plan.number)} m ON m.r = s.r AND m.a = '{Action.INSERT}'"
        at_once = w.rows_at_once(plan.fit.target) or plan.staged.rows + 1
        inserted = 0
        for start in range(0, plan.staged.rows + 1, at_once):
            part = f"WHERE s.r >= {start} AND s.r < {start + at_once}" if at_once <= plan.staged.rows else ""
            select = self.plan.remap.select(plan, [("", f) for f in fits], join=join, tail=part)
            inserted += w.insert(plan.fit.target, [f.target for f in fits], select)
        return inserted

    def _told(self, plan: TablePlan) -> Callable[[int], None]:
        """Return what is called with the rows of a table that were sent while it is inserted."""
        total, sent = sum(p.staged.rows for p in self.plan.plans.values()), self._done

        def told(rows: int) -> None:
            nonlocal sent
            failpoint("merge.batch")
            self.cancellation.check()
            sent += rows
            self.listener(Progress("merge", plan.fit.source.name, sent, total))

        return told

    def _update(self, plan: TablePlan) -> int:
        w = self.writer
        skipped = {*plan.key, ENTITY_UUID, IMPORTED_FROM_UUID}
        fits = [f for f in plan.fit.columns if f.target.name not in skipped and not f.given]
        named: list[tuple[str, Any]] = [(f"n{i}", f) for i, f in enumerate(fits)]
        lead = ", ".join(f"m.k{i} AS k{i}" for i in range(len(plan.key)))
        join = f"JOIN {w.stage_name('m', plan.number)} m ON m.r = s.r AND m.a = '{Action.UPDATE}'"
        select = self.plan.remap.select(plan, named, lead=lead, join=join)
        keys = [(c, f"k{i}") for i, c in enumerate(plan.key)]
        for column, parked in plan.parking:
            w.update(plan.fit.target, keys, [(column, "n0")], parked)
        return w.update(plan.fit.target, keys, [(f.target.name, name) for name, f in named], select)


def _is_verified(plan: TablePlan) -> bool:
    """Whether every foreign key of the target is one of the package, whose references were looked at."""
    return not unverified(plan)
