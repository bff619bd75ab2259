"""`PackageImporter`: brings a package into a target, as a list of verbs.

1. **verify** the package and compare schemas,
2. **stage** its rows beside the target,
3. **plan** what happens to each entity,
4. **merge** in one transaction,
5. leave a **receipt**.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from datatransfer import __version__, interrupts
from datatransfer.database.writers.session import LOCK_SECONDS
from datatransfer.errors import AlreadyImportedError, MergeError, TargetChangedError, UsageError
from datatransfer.events import Cancellation, Listener
from datatransfer.given import folder_of, instance, uuid_of
from datatransfer.importing import background, stages
from datatransfer.importing.actions import POLICIES, ClashPolicy, MatchPolicy, Policies, given_policies
from datatransfer.importing.backup import Backup
from datatransfer.importing.carrying import (
    carry_out,
    finished,
    last_seq,
    or_discarded,
    refuse_changed,
    refuse_unfit,
    run_again,
    told_of_rivals,
    without_mapping,
)
from datatransfer.importing.checking import SchemaReport, check
from datatransfer.importing.decisions import document_of, read_document
from datatransfer.importing.mapping import Mapping as SchemaMapping
from datatransfer.importing.mapping import MappingOptions
from datatransfer.importing.plan import ImportPlan
from datatransfer.importing.planner import Planner
from datatransfer.importing.receipts import Receipt, receipt
from datatransfer.importing.sides import check_numbers, check_sides
from datatransfer.importing.staging import PART_ROWS, Stager
from datatransfer.importing.straight import Unsuitable
from datatransfer.progress import checked_listener, listening

if TYPE_CHECKING:
    from datatransfer.background import Job
    from datatransfer.database.connection import Database
    from datatransfer.database.writers import Writer
    from datatransfer.package.package import DataPackage


class PackageImporter:
    """Brings one package into one target.

    Parameters
    ----------
    package : DataPackage
    target : Database
    listener : callable, optional
        Told how far it is, see `datatransfer.events`; by default bars in a terminal or notebook, else nobody.
    cancellation : Cancellation, optional
        Asked between batches, and in the midst of the statements that stage, plan and merge.
    checkpoint_rows : int
        Rows after which what is staged is committed, so that an import that is resumed goes on from there. Unless it
        is given, `run` copies up to five million rows straight into empty tables of PostgreSQL, and stages nothing.
    migrations : path, optional
        The application's folder of Alembic scripts, which tell whether package or target is of a newer revision.
    lock_timeout : float
        Seconds that a statement waits for a lock of another session before the import ends with a `DatabaseError`
        that names the table; MariaDB counts whole ones.

    Examples
    --------
    >>> importer = PackageImporter(package, target)          # doctest: +SKIP
    >>> importer.run(on_match="update").summary              # doctest: +SKIP
    """

    def __init__(
        self,
        package: DataPackage,
        target: Database,
        *,
        listener: Listener | None = None,
        cancellation: Cancellation | None = None,
        checkpoint_rows: int = PART_ROWS,
        migrations: str | Path | None = None,
        lock_timeout: float = LOCK_SECONDS,
    ) -> None:
        check_sides(package, target)
        self.migrations = None if migrations is None else str(folder_of(migrations, "migrations"))
        check_numbers(lock_timeout, checkpoint_rows)
        self.lock_timeout = lock_timeout
        self.checkpoint_rows = checkpoint_rows
        self.package = package
        self.target = target
        self.listener = checked_listener(listener)
        self.cancellation = cancellation or Cancellation()

    def __repr__(self) -> str:
        return f"PackageImporter({str(self.package.path)!r} into {self.target.url_shown!r})"

    @interrupts.held()
    def plan(
        self,
        *,
        on_match: MatchPolicy = "skip",
        on_clash: ClashPolicy = "error",
        identity: str = "keep",
        on_orphan: str = "error",
        triggers: str = "suspend",
        match_on: Mapping[str, Sequence[str] | str] | None = None,
        decisions: str | Path | Mapping[str, Any] | None = None,
        **differences: Unpack[MappingOptions],
    ) -> ImportPlan:
        """Stage the package and decide what would happen; no row of the target changes, only counters of keys may.

        Parameters
        ----------
        on_match : {"skip", "update", "newest:<column>", "error"} or mapping
            An entity is in the target already, with other content. A mapping says it by table, ``"*"`` for the others:
            ``{"users": "update", "*": "skip"}``. For ``newest`` see `datatransfer.Newest`.
        on_clash : {"error", "reuse", "rename"} or mapping
            Another row of the target holds the same unique values. ``rename`` gives unique texts a free suffix,
            ``"name (2)"``; keys of numbers, references and UUIDs stay in conflict.
        identity : {"keep", "copy"}
            Whether entities keep their UUIDs, or all become new ones.
        on_orphan : {"error", "keep", "null"}
            References whose parent is neither in the package nor in the target.
        triggers : {"suspend", "fire"}
            Whether the target's triggers rest meanwhile. Where they cannot (MariaDB; tables of PostgreSQL that belong
            to another role), they fire, and plan and receipt name the tables.
        match_on : mapping of table to columns
            Natural keys, e.g. ``{"users": ["email"]}``.
        decisions : path or mapping, optional
            What `ImportPlan.save` wrote, or `ImportPlan.decisions` returned; applied to the new plan.
        mapping, rename, rename_tables, drop, drop_tables, default, cast
            How package and target differ, see `datatransfer.Mapping`: a whole mapping, or parts of one.

        Returns
        -------
        ImportPlan

        Raises
        ------
        UsageError
            A policy, table or column is not known.
        SchemaMismatchError
            Package and target do not fit; with every finding.
        ValueLossError
            A value does not fit its column in the target.
        OrphanError
            References without a parent, and ``on_orphan="error"``.
        PackageError
            The package is damaged.
        """
        return self._made(
            Policies.of(
                on_match=on_match, on_clash=on_clash, identity=identity, on_orphan=on_orphan, triggers=triggers,
                match_on=match_on, mapping=SchemaMapping.of(differences),
            ),
            decisions,
        )  # fmt: skip

    def _planned(self, given: Mapping[str, Any], *, may_copy: bool = False) -> ImportPlan:
        """Plan as `plan` does, with what was given to `run`."""
        words = {name: value for name, value in given.items() if name in POLICIES}
        differences: Any = {name: value for name, value in given.items() if name not in (*POLICIES, "decisions")}
        with told_of_rivals(self.package, self.target, last_seq(self.target), words.get("identity", "keep")):
            policies = Policies.of(mapping=SchemaMapping.of(differences), **words)
            return self._made(policies, given.get("decisions"), may_copy=may_copy)

    def _made(
        self, policies: Policies, decisions: str | Path | Mapping[str, Any] | None, *, may_copy: bool = False
    ) -> ImportPlan:
        given = document_of(self.package, read_document(decisions, self.package)) if decisions else None
        may_copy &= given is None
        self.target.refresh(lock_timeout=self.lock_timeout)  # it may have been altered since it was first read
        plan = self._plan(policies, self._writer(uuid.uuid4()), decisions=given, may_copy=may_copy)
        return self._decided(plan, given)

    @staticmethod
    def _decided(plan: ImportPlan, decisions: Mapping[str, Any] | None) -> ImportPlan:
        if decisions:
            with or_discarded(plan):
                plan.load(decisions)
        return plan

    def _writer(self, import_id: uuid.UUID) -> Writer:
        self.target.read_schema(self.lock_timeout)
        writer = stages.writer_for(self.target, import_id)
        writer.lock_seconds = self.lock_timeout
        return writer

    @interrupts.held()
    def check(self, **differences: Unpack[MappingOptions]) -> SchemaReport:
        """Compare package and target fully, schemas and the rows that matter; nothing is staged or written.

        Parameters
        ----------
        mapping, rename, rename_tables, drop, drop_tables, default, cast
            How package and target differ, see `datatransfer.Mapping`.

        Returns
        -------
        SchemaReport
            Every finding, with its cure as Python and as options of the command line.

        Raises
        ------
        UsageError
            The mapping names what is not there, or contradicts itself.
        """
        policies = Policies(mapping=SchemaMapping.of(differences))
        writer = stages.writer_for(self.target, uuid.uuid4())
        try:
            with listening(self.listener) as listener:
                planner = Planner(
                    self.package, self.target, writer, policies, listener, self.cancellation, migrations=self.migrations
                )
                return check(planner, Stager(self.package, writer, policies, listener, self.cancellation))
        finally:
            writer.close()

    def _plan(
        self, policies: Policies, writer: Writer, *, checkpoint_rows: int | None = None, resumed: bool = False,
        decisions: Mapping[str, Any] | None = None, may_copy: bool = False,
    ) -> ImportPlan:  # fmt: skip
        rows = checkpoint_rows or self.checkpoint_rows
        with listening(self.listener) as listener:
            return Planner(
                self.package, self.target, writer, policies, listener, self.cancellation,
                checkpoint_rows=rows, resumed=resumed, migrations=self.migrations, decisions=decisions,
                may_copy=may_copy,
            ).plan()  # fmt: skip

    @interrupts.held()
    def run(
        self,
        plan: ImportPlan | None = None,
        *,
        on_match: MatchPolicy | None = None,
        on_clash: ClashPolicy | None = None,
        identity: str | None = None,
        on_orphan: str | None = None,
        triggers: str | None = None,
        match_on: Mapping[str, Sequence[str] | str] | None = None,
        backup: str | Path | None = None,
        decisions: str | Path | Mapping[str, Any] | None = None,
        **differences: Unpack[MappingOptions],
    ) -> Receipt:
        """Carry out a plan, or plan with these policies and carry that out; all of it or nothing.

        Parameters
        ----------
        plan : ImportPlan, optional
            With it go no policies: they were settled when it was made.
        on_match, on_clash, identity, on_orphan, triggers, match_on, decisions, mapping, rename, … : optional
            As for `plan`, with the same defaults.
        backup : str or Path, optional
            A package that gets the rows which are updated, as they are, before any of them is. One that an earlier
            attempt at this import left is never replaced, except by `resume`.

        Returns
        -------
        Receipt

        Raises
        ------
        UsageError
            Policies are given beside a plan, or the plan is not one to carry out.
        ConflictError
            The plan holds conflicts. One that was handed over is kept, so that they can be decided.
        TargetChangedError
            The target changed since the plan was made.
        AlreadyImportedError
            Another process imported the same package since then.
        MergeError
            The database refused; everything was rolled back.
        KeyboardInterrupt
            Its text says whether the import is done, under which receipt, or that nothing was left behind.
        """
        saved = Backup(backup, self.target) if backup else None
        given = given_policies(
            made=plan is not None, on_match=on_match, on_clash=on_clash, identity=identity, on_orphan=on_orphan,
            triggers=triggers, match_on=match_on, decisions=decisions, **differences,
        )  # fmt: skip
        if plan is None:
            with run_again():
                plan = self._planned(given, may_copy=self.checkpoint_rows == PART_ROWS)
                try:
                    return self._carry_out(plan, saved)
                except (Unsuitable, MergeError, TargetChangedError) as error:
                    if plan.straight is None or isinstance(error, AlreadyImportedError):
                        raise
                return self._carry_out(self._planned(given), saved)  # by way of the stage, which tells what it is
        return self._carry_out(self._take_over(plan), saved)

    def _take_over(self, plan: ImportPlan) -> ImportPlan:
        """Look once more at a plan that was made before, who knows how long ago, and that somebody has looked at."""
        instance(plan, ImportPlan, "plan", hint="importer.plan() makes one")
        if plan.done or plan.target is not self.target or plan.package is not self.package:
            raise UsageError("the plan was carried out already, or is not one of this importer", hint="plan again")
        refuse_unfit(plan)
        plan.bind()
        return plan

    def start(
        self,
        plan: ImportPlan | None = None,
        *,
        progress: Listener | None = None,
        resume: bool | str | uuid.UUID = False,
        **options: Any,
    ) -> Job[Receipt]:
        """Do what `run` or `resume` does in a worker thread, and return at once.

        Parameters
        ----------
        plan : ImportPlan, optional
        progress : callable, optional
            A listener, called in that thread; `Job.progress` tells the same.
        resume : bool, str or UUID
            Go on with an import that was interrupted: True for the latest of this package, or its id.
        **options
            As for `run`, or `resume`.

        Returns
        -------
        Job
            Its result is the receipt.

        Raises
        ------
        UsageError
            The target is in memory. All else comes from `Job.result`.
        """
        return background.start(self, plan, progress, resume, options)

    def _carry_out(self, plan: ImportPlan, backup: Backup | None) -> Receipt:
        with listening(self.listener) as listener:
            return carry_out(plan, listener, self.cancellation, backup)

    @interrupts.held()
    def resume(self, import_id: str | uuid.UUID | None = None, *, backup: str | Path | None = None) -> Receipt:
        """Go on with an import of this package that was interrupted: in this process, or in one that is gone.

        What is staged is not loaded again. Then the plan is made anew, with the policies and decisions of the call
        that was interrupted, and carried out; where that call was given a plan, or something was decided by hand,
        only if it does the same to the same rows. If the interruption came after the commit, its receipt is returned.

        Parameters
        ----------
        import_id : str or UUID, optional
            Which one, see `datatransfer.stages`; the latest of this package if not given.
        backup : str or Path, optional
            As for `run`; what the interrupted call wrote there is replaced.

        Returns
        -------
        Receipt

        Raises
        ------
        UsageError
            There is nothing to resume, or another process is at work on it.
        ConflictError, TargetChangedError, MergeError
            As from `run`.
        """
        wanted = None if import_id is None else uuid_of(import_id, "import_id", hint="see dt.stages(db)")
        saved = Backup(backup, self.target, overwrite=True) if backup else None
        found = stages.resumable(self.target, self.package, wanted)
        if not found:
            return background.resumed(self, None, finished(self.package, self.target, wanted))
        session, policies = found[0], found[0].policies_here()
        writer = self._writer(session.import_id)
        try:
            if not writer.hold():
                raise UsageError("another process is at work on it", where=str(session.import_id), hint=stages.WAIT)
            if stages.is_merged(self.target, session.import_id):
                stages.leave(writer, None)
                return background.resumed(self, session, receipt(self.target, session.import_id))
            if session.version != __version__:
                writer.forget_stage()  # another version may stage in another way
                replace(session, version=__version__).write(writer)
            noted = writer.noted()
            self.target.refresh(lock_timeout=self.lock_timeout)
            with without_mapping():
                plan = self._plan(policies, writer, checkpoint_rows=session.checkpoint_rows, resumed=True)
        except BaseException:
            writer.close()  # others may go on with it, or drop it
            raise
        plan = self._decided(plan, stages.noted_decisions(noted))
        refuse_changed(plan, stages.noted_bound(noted))
        return background.resumed(self, session, self._carry_out(plan, saved))
