"""The state of an import that is put together step by step; knows no widgets, and no thread of its own.

Steps: name the ``package``, look ``inside``, settle the ``plan``, ``run``, ``receipt``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Literal

from datatransfer.errors import Cancelled, UsageError
from datatransfer.events import Cancellation, Listener, silent
from datatransfer.importing.importer import PackageImporter
from datatransfer.importing.stages import drop_stage, stages
from datatransfer.notebook.blocking import blocked
from datatransfer.notebook.differences import Differences
from datatransfer.notebook.import_code import import_code
from datatransfer.notebook.steps import following, refuse_back
from datatransfer.notebook.ways import Ways
from datatransfer.package.package import DataPackage

if TYPE_CHECKING:
    from datatransfer.background import Job
    from datatransfer.database.connection import Database
    from datatransfer.importing.checking import SchemaReport
    from datatransfer.importing.mapping import Mapping
    from datatransfer.importing.plan import ImportPlan
    from datatransfer.importing.receipts import Receipt
    from datatransfer.importing.validation import Misfit
    from datatransfer.package.report import Report

Step = Literal["package", "inside", "plan", "run", "receipt"]
STEPS: tuple[Step, ...] = ("package", "inside", "plan", "run", "receipt")
_USUAL = {"on_match": "skip", "on_clash": "error", "identity": "keep", "on_orphan": "error", "triggers": "suspend"}


@dataclass
class ImportWizard:
    """An import as far as it is put together.

    What is chosen counts at once, and never waits. What works on the package or the plan (`open`, `check`, `settle` and
    their like) may be called in any thread, and is done one after the other.

    Parameters
    ----------
    target : Database

    Examples
    --------
    >>> wizard = ImportWizard(target)          # doctest: +SKIP
    >>> wizard.open("orders.zip").ok           # doctest: +SKIP
    True
    """

    target: Database
    step: Step = "package"
    package: DataPackage | None = None
    report: Report | None = None
    differences: Differences = field(default_factory=Differences)
    policies: dict[str, str] = field(default_factory=lambda: dict(_USUAL))
    match_on: dict[str, list[str]] = field(default_factory=dict)
    decisions: list[tuple[str, list[Any], str]] = field(default_factory=list)
    plan: ImportPlan | None = None
    job: Job[Receipt] | None = None
    receipt: Receipt | None = None
    resumed: str = ""
    unreadable: bool = False

    def __post_init__(self) -> None:
        self._turn, self._swap = RLock(), Lock()
        self._waiting: deque[tuple[str, list[Any], str | None]] = deque()
        self._outdated: list[ImportPlan] = []
        self._refused: list[UsageError] = []
        self._choices = 0
        self._settling = False
        self._planning: Cancellation | None = None

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """Work on package and plan when nobody else does."""
        try:
            with self._turn:
                yield
        finally:
            self._discard_outdated()

    def _discard_outdated(self) -> None:
        """Remove what was staged for plans that were dropped, unless somebody is at work, who then does it."""
        while self._outdated and self._turn.acquire(blocking=False):
            try:
                self._outdated.pop().discard()
            finally:
                self._turn.release()

    # --- the package --------------------------------------------------------------------------------------------

    def open(self, path: str | Path) -> Report:
        """Open a package and verify it wholly.

        Raises
        ------
        PackageError
            It is none, or cannot be read.
        """
        with self.in_turn():
            self.close()
            try:
                package = DataPackage.open(Path(path).expanduser())
            except BaseException:
                self.unreadable = True
                raise
            try:
                report = package.verify()
            except BaseException:
                package.close()
                raise
            self.package, self.report, self.step = package, report, "package"
            return report

    def close(self) -> None:
        """Let go of package and plan."""
        self.drop_plan()
        with self.in_turn():
            self._discard_outdated()  # it reads the package that is closed now
            if self.package is not None:
                self.package.close()
            self.package = self.report = self.receipt = None
            self.differences, self.decisions, self.match_on = Differences(), [], {}
            self.policies, self.resumed, self.unreadable = dict(_USUAL), "", False
            self._waiting.clear()
            self._refused.clear()

    def importer(self, listener: Listener = silent, cancellation: Cancellation | None = None) -> PackageImporter:
        """Return the importer of this package into this target."""
        if self.package is None:
            raise UsageError("no package is open", hint="choose one first")
        return PackageImporter(self.package, self.target, listener=listener, cancellation=cancellation)

    # --- findings and policies ----------------------------------------------------------------------------------

    def check(self) -> SchemaReport:
        """Compare the schemas, with what was chosen about their differences.

        Raises
        ------
        UsageError
            The target is not what it was, and what was chosen does not hold any more; it is forgotten.
        """
        with self.in_turn():
            return self.differences.compare(self._compare)

    def accept_all(self) -> SchemaReport:
        """Choose all that is proposed and loses nothing; the plan has to be made anew."""
        self.drop_plan()
        with self.in_turn():
            return self.differences.accept(self._compare)

    def _compare(self, mapping: Mapping) -> SchemaReport:
        return self.importer().check(mapping=mapping)

    def choose(self, finding: Misfit, mapping: Mapping) -> None:
        """Settle a finding by a mapping, or open it again by an empty one; then `check`, and plan anew."""
        self.differences.choose(finding, mapping)
        self.drop_plan()

    def ways(self) -> Ways:
        """Return what may be done about the findings."""
        if self.package is None:
            raise UsageError("no package is open", hint="choose one first")
        return Ways(self.package, self.target.schema, self.mapping)

    @property
    def mapping(self) -> Mapping:
        """What was chosen about the differences, together."""
        return self.differences.mapping

    @property
    def unsettled(self) -> list[Misfit]:
        """The findings of the latest comparison that forbid the import."""
        return self.differences.open

    def set_policy(self, name: str, value: str) -> None:
        """Set one of the policies of `PackageImporter.plan`; the plan has to be made anew."""
        if name not in _USUAL:
            raise UsageError(f"there is no policy {name!r}", hint=f"it is one of {', '.join(_USUAL)}")
        self.policies[name] = value
        self.drop_plan()

    def set_match_on(self, table: str, columns: list[str]) -> None:
        """Set the natural key of a table; none if empty."""
        if columns:
            self.match_on[table] = columns
        else:
            self.match_on.pop(table, None)
        self.drop_plan()

    # --- the plan -----------------------------------------------------------------------------------------------

    def make_plan(self, listener: Listener = silent) -> ImportPlan:
        """Plan with what was chosen; decisions that were made before are made again.

        Raises
        ------
        UsageError
            Decisions do not apply any more; they are forgotten.
        Cancelled
            Something else was chosen meanwhile.
        """
        with self.in_turn():
            self.drop_plan()
            self._discard_outdated()
            with self._swap:
                choices, self._planning = self._choices, Cancellation()
            self._importer = self.importer(listener, self._planning)
            plan = self._importer.plan(**self.options())
            try:
                for table, which, action in self.decisions:
                    plan.decide(table, which, action)
            except UsageError:
                self.decisions = []
                plan.discard()
                raise
            with self._swap:
                if self._choices == choices:
                    self.plan = plan
                    return plan
            plan.discard()
            raise Cancelled("something else was chosen while the plan was made", hint="plan again")

    def drop_plan(self) -> None:
        """Forget the plan, and what was staged for it; one that is being made is stopped."""
        with self._swap:
            self._choices += 1
            if self._planning is not None:
                self._planning.cancel()
            if self.plan is not None:
                self._outdated.append(self.plan)
            self.plan = None
        self._discard_outdated()

    def decide(self, table: str, which: list[Any], action: str | None) -> None:
        """Decide for entities of the plan, by their keys in the package; None takes back what was decided."""
        with self.in_turn():
            if self.plan is None:
                raise UsageError("there is no plan", hint="plan first")
            self._decide(self.plan, table, which, action)

    def _decide(self, plan: ImportPlan, table: str, which: list[Any], action: str | None) -> None:
        plan.decide(table, which, action)
        anew = set(which)
        left = [
            (name, [key for key in keys if key not in anew] if name == table else keys, word)
            for name, keys, word in self.decisions
        ]
        self.decisions = [each for each in left if each[1]]
        if action is not None:
            self.decisions.append((table, list(which), action))

    def decide_soon(self, table: str, which: list[Any], action: str | None) -> None:
        """Let a decision wait for `settle`: who chooses is faster than a plan is made."""
        self._waiting.append((table, list(which), action))

    def settle(self) -> None:
        """Bring the plan to what was chosen: make it if there is none, and carry out the decisions that wait.

        Nothing is done before the findings are settled, nor when the step was left. What is refused leaves the plan as
        it was, see `refused`; what is stopped, as something else is chosen, is done by the next call.
        """
        with self.in_turn():
            if self.step != "plan" or self.unsettled or self.differences.is_outdated:
                return
            self._settling = True
            try:
                if self.plan is None:
                    self._plan_anyway()
                while (plan := self.plan) is not None and self._waiting:
                    self._take(plan, *self._waiting[0])
                    self._waiting.popleft()
            except Cancelled:
                return
            finally:
                self._settling = False

    def _take(self, plan: ImportPlan, table: str, which: list[Any], action: str | None) -> None:
        try:
            self._decide(plan, table, which, action)
        except UsageError as error:
            self._refused.append(error)

    def _plan_anyway(self) -> None:
        """Plan, without the earlier decisions where they do not apply any more."""
        decisions = self.decisions
        try:
            self.make_plan()
        except UsageError as error:
            if not decisions or self.decisions:
                raise
            self._refused.append(error)
            self.make_plan()

    def refused(self) -> list[UsageError]:
        """Return why decisions were refused, once."""
        told, self._refused = self._refused, []
        return told

    # --- going on -----------------------------------------------------------------------------------------------

    @property
    def blocked(self) -> str:
        """Why the next step cannot be taken yet; empty if it can."""
        return blocked(self)

    @property
    def is_settling(self) -> bool:
        """Whether the plan is being brought to what was chosen, or has to be."""
        return self._settling or bool(self._waiting)

    def next(self) -> Step:
        """Take the next step.

        Raises
        ------
        UsageError
            It cannot be taken, with the reason.
        """
        self.step = following(STEPS, self.step, self.blocked)
        return self.step

    def back(self) -> Step:
        """Take a step back; not while the import runs, nor from its receipt."""
        refuse_back(self.job, ended=self.step == STEPS[-1])
        self.job, self.resumed = None, ""
        self.drop_plan()
        self.step = {"plan": "inside", "run": "plan"}.get(self.step, "package")  # type: ignore[assignment]
        return self.step

    def start_over(self) -> Step:
        """Let go of the package and begin another import; what was imported stays."""
        refuse_back(self.job, ended=False)
        self.close()
        self.job, self.step = None, "package"
        return self.step

    # --- what comes of it ---------------------------------------------------------------------------------------

    def start(self) -> Job[Receipt]:
        """Start the import that was planned."""
        if self.plan is None:
            raise UsageError("there is no plan", hint="plan first")
        plan, self.plan = self.plan, None
        self.job = self._importer.start(plan)
        return self.job

    def resume(self, import_id: str) -> Job[Receipt]:
        """Go on with an import of this package that was interrupted."""
        self.step, self.resumed = "run", import_id
        self.job = self.importer().start(resume=import_id)
        return self.job

    def finish(self) -> Receipt:
        """Take the receipt of the job that has ended; raises what it raised."""
        if self.job is None:
            raise UsageError("nothing was started", where=self.step)
        self.receipt = self.job.result()
        return self.receipt

    def left(self) -> list[dict[str, Any]]:
        """Return the imports into this target that were interrupted, the latest first."""
        return [row for row in self.begun() if row["state"] != "running"]

    def begun(self) -> list[dict[str, Any]]:
        """Return the imports into this target that are not finished, interrupted or at work, the latest first."""
        rows = stages(self.target).to_dict("records")
        return [{str(name): value for name, value in row.items()} for row in reversed(rows)]

    def roll_back(self, import_id: str) -> None:
        """Remove what an interrupted import staged."""
        drop_stage(self.target, import_id)

    # --- as code ------------------------------------------------------------------------------------------------

    def options(self) -> dict[str, Any]:
        """Return what the plan is made with, beside what is usual."""
        given: dict[str, Any] = {n: v for n, v in self.policies.items() if v != _USUAL[n]}
        if self.match_on:
            given["match_on"] = {table: list(columns) for table, columns in self.match_on.items()}
        return given | self.mapping.to_json()

    def code(self) -> str:
        """Return the calls that repeat what was chosen."""
        return import_code(self)
