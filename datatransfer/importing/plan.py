"""What an import will do, decided before anything is written: an action for every entity, open to decisions.

`ImportPlan` is made by `datatransfer.importing.planner` and bound to the state of the target rows that it was made
from. It stays in the stage; what is asked for is read from there. Planning and deciding change nothing visible in the
target.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer.display.plain import counted
from datatransfer.errors import ConflictError, UnknownTableError, UsageError
from datatransfer.given import instance, saved, suggestion
from datatransfer.importing import stages
from datatransfer.importing.actions import Action, Decision, Policies
from datatransfer.importing.decisions import Chooser, document_of, read_document
from datatransfer.importing.fingerprint import Fingerprint, fingerprint
from datatransfer.importing.frames import Frames
from datatransfer.importing.looks import PlanLooks
from datatransfer.importing.remap import Remap, TablePlan
from datatransfer.importing.unmet import Unmet, find_unmet, take_back

if TYPE_CHECKING:
    import pandas as pd

    from datatransfer.database.connection import Database
    from datatransfer.database.writers import Writer
    from datatransfer.importing.staging import StagedTable
    from datatransfer.importing.straight import Straight
    from datatransfer.package.package import DataPackage

Replan = Callable[["ImportPlan", "Mapping[str, StagedTable]", set[str]], None]


@dataclass(repr=False)
class ImportPlan(PlanLooks):
    """The actions that an import will take.

    Attributes
    ----------
    plans : dict of str to TablePlan
        Per package table, parents first.
    warnings : list of str

    Examples
    --------
    >>> plan = importer.plan(on_match="skip")                       # doctest: +SKIP
    >>> frame = plan.to_frame("users")                              # doctest: +SKIP
    >>> plan.decide("users", frame["changed"] == "name", "update")  # doctest: +SKIP
    >>> plan.decide("users", {"email": "ann@example.org"}, "skip")  # doctest: +SKIP
    >>> plan.save("decisions.json")                                 # doctest: +SKIP
    >>> importer.run(plan)                                          # doctest: +SKIP
    """

    package: DataPackage
    target: Database
    policies: Policies
    writer: Writer
    remap: Remap
    plans: dict[str, TablePlan]
    warnings: list[str] = field(default_factory=list)
    taken_files: list[tuple[str, str, str]] = field(default_factory=list, repr=False)
    done: bool = False
    #: The ``seq`` of the latest import into the target when planning began.
    seen: int = 0
    definitions: dict[str, str] = field(default_factory=dict, repr=False)  # of each of the target's tables
    #: Seconds that each phase took.
    timings: dict[str, float] = field(default_factory=dict)
    replan: Replan | None = field(default=None, repr=False)
    #: How rows go that were not staged; then nothing but carrying it out can be done with the plan.
    straight: Straight | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        # A plan that is dropped without being run must not leave its stage behind, not even at exit.
        self._let_go = weakref.finalize(self, stages.leave, self.writer, None)
        self._notes: list[str] = []
        self._fingerprint: Fingerprint | None = None

    def renew(self, plans: dict[str, TablePlan], remap: Remap) -> None:
        """Begin anew with other tables; the planner fills them."""
        self.plans, self.remap, self._fingerprint = plans, remap, None

    # --- looking ------------------------------------------------------------------------------------------------

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
    def file_conflicts(self) -> pd.DataFrame:
        """The files whose path in the target's store holds other content: table, column, path."""
        import pandas as pd

        return pd.DataFrame(self.taken_files, columns=["table", "column", "path"])

    @property
    def conflict_count(self) -> int:
        """How many entities are in conflict."""
        return sum(plan.counts.get(Action.CONFLICT, 0) for plan in self.plans.values())

    @property
    def fingerprint(self) -> str:
        """What binds the plan to the target rows that it touches, see `datatransfer.importing.fingerprint`."""
        return self.bound_to.whole

    @property
    def bound_to(self) -> Fingerprint:
        """The fingerprint, and that of each table."""
        if self._fingerprint is None:
            self._refuse_done()
            self._fingerprint = fingerprint(self)
        return self._fingerprint

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
            table, action, matched_by, source_key, target_key, changed (names of the fields that differ), before and
            after (their values in the target and as they would come, as dicts), reason, decision.
        """
        self._check(table, action)
        return Frames(self.remap, self.plans).entities(table, action, limit)

    def diff(self, table: str | None = None, *, action: str | None = None, limit: int | None = None) -> pd.DataFrame:
        """Return one row for every field in which an entity and its row in the target differ.

        Parameters
        ----------
        table, action, limit
            As for `to_frame`.

        Returns
        -------
        pandas.DataFrame
            table, source_key, target_key, field, before (in the target), after (as it would come). Where a new row
            is renamed, before is the package's text.
        """
        self._check(table, action)
        return Frames(self.remap, self.plans).fields(table, action, limit)

    def _check(self, table: str | None, action: str | None) -> None:
        self._refuse_done()
        if table is not None and not self._is_empty(table):
            self._table(table)
        if action is not None and action not in list(Action):
            raise UsageError(f"{action!r} is no action", hint=f"it is one of {', '.join(Action)}")

    def _is_empty(self, table: str) -> bool:
        """Whether the package has a table, and no row of it."""
        return table in self.package.schema.tables and not self.package.entry(table).rows

    def _refuse_done(self) -> None:
        if self.done:
            raise ConflictError("the plan has been carried out or discarded", hint="plan again, or look at the receipt")

    def _table(self, name: str) -> TablePlan:
        if instance(name, str, "table") not in self.plans:
            raise UnknownTableError(f"the plan has no table {name!r}", hint=suggestion(name, self.plans))
        return self.plans[name]

    # --- deciding -----------------------------------------------------------------------------------------------

    @property
    def decided(self) -> set[str]:
        """The tables for whose entities something was decided."""
        return {name for name, plan in self.plans.items() if plan.decided}

    def decide(self, table: str, which: Any = None, action: str | None = None) -> ImportPlan:
        """Decide for single entities what the policies would decide otherwise; the plan is made anew with that.

        Parameters
        ----------
        table : str
        which : optional
            A mask over ``to_frame(table)``; one key of the package, or a list of them (tuples where a key has several
            columns); a DataFrame with the key's columns, or rows of `to_frame`; a dict of values in the package, each
            one value or a list, e.g. ``{"email": "ann@example.org"}``; None for all of the table.
        action : {"insert", "update", "skip", "reuse", "rename"}, optional
            See `datatransfer.importing.actions.Decision`; None takes back what was decided.

        Returns
        -------
        ImportPlan
            This one.

        Raises
        ------
        UsageError
            A chosen entity is not in the package, or cannot be treated so, with the reason. Nothing was decided then.
        TargetChangedError
            Rows of the target changed since the plan was made; it is discarded, as after every other error.
        """
        self._refuse_done()
        plan = self._table(table)
        try:
            decision = None if action is None else Decision(action)
        except ValueError:
            raise UsageError(f"{action!r} is no decision", hint=f"it is one of {', '.join(Decision)}") from None
        chooser = Chooser(self.writer)
        if not chooser.choose(plan, which):
            return self
        before = self.decided
        chooser.keep(plan, has_any=plan.decided)
        chooser.decide(plan, decision, has_any=plan.decided)
        self._settle({table}, before)
        return self

    def _settle(self, tables: Iterable[str], before: set[str]) -> None:
        """Make the plan with what was decided; if that cannot be, return to what was decided before."""
        try:
            self._make({*before, *tables})
            if unmet := self._unmet({name: name in before for name in tables}):
                raise UsageError(unmet[0].cannot, where=unmet[0].table, hint=unmet[0].hint)
        except UsageError:
            self._put_back(tables, before)
            self._make(before)
            raise
        except BaseException as error:  # it is half made, and what it was bound to is lost
            self.discard(error)
            raise
        self._note()

    def _put_back(self, tables: Iterable[str], before: set[str]) -> None:
        for name in tables:
            Chooser(self.writer).put_back(self.plans[name], had_any=name in before)

    def _note(self) -> None:
        """Log what was decided, so that resuming the import decides the same."""
        stages.note_decisions(self.writer, self.decisions())
        self.bind()

    def bind(self) -> None:
        """Log what the target was like when somebody decided on this plan: resuming the import asks for the same."""
        stages.note_bound(self.writer, self.bound_to)

    def _make(self, decided: set[str]) -> None:
        assert self.replan is not None
        staged = {name: plan.staged for name, plan in self.plans.items()}
        chooser = Chooser(self.writer)
        some = {name for name in decided if chooser.decided(self.plans[name])}
        self.replan(self, staged, some)
        self.warnings += self._notes

    def _unmet(self, anew: Mapping[str, bool] | None = None) -> list[Unmet]:
        return find_unmet(self.writer, {name: self.plans[name] for name in self.decided}, anew)

    def decisions(self) -> dict[str, Any]:
        """Return what was decided for single entities, as plain data that `load` takes."""
        chooser = Chooser(self.writer)
        return document_of(self.package, {n: chooser.written(p) for n, p in self.plans.items() if p.decided})

    def save(self, path: str | Path) -> Path:
        """Write the decisions into a JSON file, for another plan of the same package, here or for another target.

        Parameters
        ----------
        path : str or Path

        Returns
        -------
        Path

        Raises
        ------
        UsageError
            The file cannot be written.
        """
        self._refuse_done()
        return saved(path, json.dumps(self.decisions(), indent=1, sort_keys=True) + "\n")

    def load(self, decisions: str | Path | Mapping[str, Any]) -> ImportPlan:
        """Take decisions that were saved. Those that do not apply to this target are left out, with a warning.

        Parameters
        ----------
        decisions : path or mapping
            Of `save`, or of `decisions`.

        Returns
        -------
        ImportPlan
            This one.

        Raises
        ------
        UsageError
            They cannot be read, or were made for another package.
        """
        self._refuse_done()
        before = self.decided
        named = {name: words for name, words in read_document(decisions, self.package).items() if words}
        touched: list[str] = []
        try:
            for name, words in named.items():
                self._table(name)
                self._take(name, words, touched, has_any=name in before)
        except UsageError:
            self._put_back(touched, before)
            raise
        try:
            self._make({*before, *named})
            self._leave_unmet()
        except BaseException as error:
            self.discard(error)
            raise
        self._note()
        return self

    def _take(self, name: str, words: Mapping[Decision, list[str]], touched: list[str], *, has_any: bool) -> None:
        plan, chooser = self.plans[name], Chooser(self.writer)
        chooser.keep(plan, has_any=has_any)
        for decision, names in words.items():
            found = chooser.choose_named(plan, names)
            if found < len(set(names)):
                raise UsageError(
                    f"{counted(len(set(names)) - found, 'entity', 'entities')} are not in the package",
                    where=name, hint="the list of decisions is damaged",
                )  # fmt: skip
            chooser.decide(plan, decision, has_any=has_any)
            has_any = True
            if name not in touched:
                touched.append(name)

    def _leave_unmet(self) -> None:
        """Take back the decisions that this target does not allow, and warn of each kind."""
        if not (unmet := self._unmet()):
            return
        for one in unmet:
            self._notes.append(
                f"{one.table}: a decision to {one.decision} does not apply to {one.entities} here: {one.why}"
            )
        for name in {one.table for one in unmet}:
            take_back(self.writer, self.plans[name])
        self._make(self.decided)
        self._leave_unmet()

    # --- the end ------------------------------------------------------------------------------------------------

    def discard(self, error: BaseException | None = None) -> None:
        """Remove what was staged; the target was never changed.

        Parameters
        ----------
        error : BaseException, optional
            Why; after one that resuming may get past, the stage stays.
        """
        if not self.done:
            self.let_go()
            stages.leave(self.writer, error)

    def begin(self) -> None:
        """Be carried out: an interpreter that ends before that is done leaves the stage, so that it can be resumed."""
        self._let_go.atexit = False

    def let_go(self) -> None:
        """Give the stage into other hands: nothing can be done with this plan any more."""
        self.done = True
        self._let_go.detach()

    def __enter__(self) -> ImportPlan:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()
