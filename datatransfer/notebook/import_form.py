"""ImportForm: a package into a database, without a line of code, and with the code that repeats it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from datatransfer.display import blocks
from datatransfer.importing.looks import plan_html
from datatransfer.notebook import parts
from datatransfer.notebook.findings import Findings
from datatransfer.notebook.form import Form, in_turn
from datatransfer.notebook.import_wizard import ImportWizard
from datatransfer.notebook.import_words import LABELS, WORDING
from datatransfer.notebook.interrupted import Interrupted, left_of, ways_on
from datatransfer.notebook.picker import PathPicker
from datatransfer.notebook.settling import NATURAL_KEYS, POLICIES, TIPS, Conflicts, Decided, natural_keys
from datatransfer.notebook.undoing import Undoing
from datatransfer.package.looks import verified

if TYPE_CHECKING:
    from datatransfer.background import Job
    from datatransfer.database.connection import Database
    from datatransfer.importing.checking import SchemaReport
    from datatransfer.importing.mapping import Mapping
    from datatransfer.importing.receipts import Receipt
    from datatransfer.importing.validation import Misfit
    from datatransfer.package.report import Report
_CHOICE_DELAY = 0.2  # who chooses quickly is answered once


class ImportForm(Form):
    """A wizard that imports a package.

    Parameters
    ----------
    target : Database

    Attributes
    ----------
    wizard : ImportWizard
        What was chosen so far.
    receipt : Receipt or None
        The result, of the latest import.

    Raises
    ------
    UsageError
        The target is in memory: the import runs in another thread.

    Examples
    --------
    >>> form = dt.ImportForm(target)  # doctest: +SKIP
    >>> form                          # doctest: +SKIP
    >>> form.receipt.summary          # doctest: +SKIP
    """

    wording = WORDING

    def __init__(self, target: Database) -> None:
        target.check_threads()
        self._wizard = ImportWizard(target)
        self._receipt: Receipt | None = None
        self._telling = False
        pages = {
            "package": self._package_page(),
            "inside": self._inside_page(),
            "plan": self._plan_page(),
            "run": self._run_page(),
            "receipt": self._receipt_page(),
        }
        super().__init__(f"Import into {target.url_shown}", pages, LABELS, verb="Import")
        self.refresh()
        self._offer_left()

    @property
    def wizard(self) -> ImportWizard:
        return self._wizard

    @property
    def receipt(self) -> Receipt | None:
        """The result of the latest import, None before the first end."""
        return self._receipt

    def _error_actions(self) -> list[tuple[str, Callable[[], object]]]:
        return [("Resume", self._resume), ("Roll back", self._roll_back), ("Plan again", self._plan_again)]

    def _entered(self, step: str) -> None:
        if step == "plan":
            self._check()
        elif step == "run":
            self.later.forget("plan")  # it is carried out now, not looked at
            self._follow(self.wizard.start())

    def _failed(self, error: BaseException) -> None:
        offers = []
        if self.wizard.step == "run":
            offers = ways_on(self.wizard)
        elif self.wizard.step == "plan" and self.wizard.plan is None:
            offers = ["Plan again"]
        elif self.wizard.step == "receipt":
            self.undoing.refused(error)
        self._tell(error, offer=offers)

    @in_turn
    def _go_back(self) -> None:
        for name in ("check", "plan"):
            self.later.forget(name)
        super()._go_back()

    # --- 1 package ----------------------------------------------------------------------------------------------

    def _package_page(self) -> w.Widget:
        self.left = Interrupted(self._go_on_with, self._drop, lambda: self._try(self._offer_left))
        self.picker = PathPicker("Package", self._named, upload=True)
        self.verified = parts.html()
        return parts.column(self.left, self.picker, self.verified)

    @in_turn
    def _named(self, path: str) -> None:
        self.error.clear()
        if not path:
            self.later.forget("verify")
            self.wizard.close()
            self.verified.value = ""
            self.refresh()
            return
        self._busy(self.verified, f"verifying {path}")
        self.next.disabled = True
        self.later.run("verify", lambda: self.wizard.open(path), self._tell_verified)

    def _tell_verified(self, report: Report) -> None:
        self.verified.value = (
            blocks.block("", verified(report))
            if report.ok
            else parts.mark("bad", "the package is damaged") + report._repr_html_()
        )
        assert self.wizard.package is not None
        self.inside.value = self.wizard.package._repr_html_()
        self.graph.value = parts.scrolled("Graph of the package", self.wizard.package.graph.to_svg())
        self.refresh()
        self._tell_choices()

    def _tell_choices(self) -> None:
        """Let the controls of the plan say what holds: another package begins with the usual policies."""
        self._telling = True
        try:
            for name, control in self.policies.items():
                control.value = self.wizard.policies[name]
            if not self.wizard.match_on:
                self.match_on.value = ""
        finally:
            self._telling = False

    def _start_over(self) -> None:
        super()._start_over()
        self.picker.clear()
        self._offer_left()

    def _offer_left(self) -> None:
        """Offer to go on with what was interrupted, or to remove it; say what is still at work."""
        self.left.tell(self.wizard.begun())

    def _drop(self, import_id: str) -> None:
        self._try(lambda: self.wizard.roll_back(import_id))
        self._offer_left()

    def _go_on_with(self, import_id: str, package: str) -> None:
        def verified(report: Report) -> None:
            self._tell_verified(report)
            if report.ok:
                self._follow(self.wizard.resume(import_id))

        self.error.clear()
        self.later.run("verify", lambda: self.wizard.open(package), verified)

    def _try(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # shown in the form: a button has nobody to raise it to
            self._failed(error)

    # --- 2 inside -----------------------------------------------------------------------------------------------

    def _inside_page(self) -> w.Widget:
        self.inside = parts.html()
        self.graph = parts.html()
        return parts.column(self.inside, parts.Fold("Graph", self.graph))

    # --- 3 plan -------------------------------------------------------------------------------------------------

    def _plan_page(self) -> w.Widget:
        policies = [
            parts.choice(label, parts.explained(list(told), told), on_change=self._policy(name))
            for name, (label, told) in POLICIES.items()
        ]
        self.policies = dict(zip(POLICIES, policies, strict=True))
        for name, tip in TIPS.items():
            self.policies[name].tooltip = tip
        self.match_on = parts.text(
            NATURAL_KEYS, hint="e.g. users.email, orders.(shop, number)", on_change=self._match_on_written
        )
        self.findings = Findings(self._chosen, self._accept_all, self._take_all_back, wording=self.wording)
        self.summary = parts.html()
        self.conflicts = Conflicts(self._decide)
        self.decided = Decided(self._decide, self.conflicts.names)
        again = parts.button("Plan again", self._plan_again)
        return parts.column(
            self.findings, parts.row(*policies), self.match_on, parts.row(again), self.summary, self.conflicts,
            self.decided,
        )  # fmt: skip

    def _check(self) -> None:
        self._compare(self.wizard.check)

    def _compare(self, compare: Callable[[], SchemaReport], *, delay: float = 0.0) -> None:
        self._clear_decisions()
        self.later.forget("plan")
        self._busy(self.summary, "comparing the schemas")
        self.later.run("check", compare, self._tell_check, delay=delay)
        self.refresh()

    def _tell_check(self, _report: SchemaReport) -> None:
        self.findings.tell(self.wizard.differences, self.wizard.ways())
        self._make_plan()

    @in_turn
    def _chosen(self, finding: Misfit, mapping: Mapping) -> None:
        self.error.clear()
        self.wizard.choose(finding, mapping)
        self._compare(self.wizard.check, delay=_CHOICE_DELAY)

    @in_turn
    def _accept_all(self) -> None:
        self.error.clear()
        self._compare(self.wizard.accept_all)

    @in_turn
    def _take_all_back(self) -> None:
        self.error.clear()
        self.wizard.differences.clear()
        self.wizard.drop_plan()
        self._check()

    def _make_plan(self) -> None:
        self._clear_decisions()
        self.later.forget("plan")
        if not self._read_keys():
            return
        if self.wizard.unsettled:
            self.summary.value = parts.mark("warn", "the plan is made when the findings above are settled")
            self.refresh()
            return
        self._settle("staging the rows and planning")

    def _clear_decisions(self) -> None:
        """Show neither conflicts nor decisions while there is no plan to decide on; what was decided is kept."""
        self.conflicts.tell([])
        self.decided.tell([])

    @in_turn
    def _plan_again(self) -> None:
        self.error.clear()
        if self.wizard.step == "run":
            self.wizard.back()
            self.refresh()
        self.wizard.drop_plan()
        self._check()  # the target may have been altered, perhaps because of what was found

    def _policy(self, name: str) -> Callable[[str], None]:
        def chosen(value: str) -> None:
            if self._telling:
                return
            with self.later.lock:
                self.error.clear()
                self.wizard.set_policy(name, value)
                self._make_plan()

        return chosen

    @in_turn
    def _match_on_written(self, text: str) -> None:
        if self._telling:
            return
        self.error.clear()
        self.wizard.drop_plan()  # made with other keys than those that stand there now
        self._busy(self.summary, "planning with these keys")
        self._make_plan()

    def _read_keys(self) -> bool:
        """Let the keys that stand there hold; say whether they can, and show why not."""
        try:
            found = natural_keys(self.wizard, self.match_on.value)
        except Exception as error:  # shown in the form: a line has nobody to raise it to
            self.wizard.drop_plan()
            self._failed(error)
            return False
        if found != self.wizard.match_on:
            for table in [*self.wizard.match_on, *found]:
                self.wizard.set_match_on(table, found.get(table, []))
        return True

    @in_turn
    def _decide(self, table: str, keys: list[Any], action: str | None) -> None:
        self.error.clear()
        self.wizard.decide_soon(table, keys, action)
        self._settle("planning with what was decided")

    def _settle(self, words: str) -> None:
        self._busy(self.summary, words)
        self.later.run("plan", self._settled, self._tell_settled)
        self.refresh()

    def _settled(self) -> tuple[str, list[w.Widget]] | None:
        """Bring the plan to what was chosen, and return how it looks; nobody waits for what is read meanwhile."""
        with self.wizard.in_turn():  # a plan that is dropped now stays until it was looked at
            self.wizard.settle()
            plan = self.wizard.plan
            return None if plan is None else (plan_html(plan, calls=False), self.conflicts.lines(plan))

    def _tell_settled(self, looks: tuple[str, list[w.Widget]] | None) -> None:
        if looks is not None:
            self.summary.value, lines = looks
            self.conflicts.tell(lines)
            self.decided.tell(self.wizard.decisions)
            self.refresh()
        for error in self.wizard.refused()[:1]:
            self._failed(error)

    # --- 4 run, 5 receipt ---------------------------------------------------------------------------------------

    def _run_page(self) -> w.Widget:
        self.progress = parts.ProgressBox()
        return parts.column(self.progress)

    def _receipt_page(self) -> w.Widget:
        self.told = parts.html()
        self.undoing = Undoing(self._undo)
        return parts.column(self.told, self.undoing)

    def _follow(self, job: Job[Receipt]) -> None:
        self.refresh()
        self.progress.follow(job)
        job.watch(self._ended)

    def _ended(self, job: Job[Receipt]) -> None:
        if job.state == "running" or job is not self.wizard.job:
            return
        try:
            receipt = self._receipt = self.wizard.finish()
        except BaseException as error:  # what the import raised is shown, with what can be done
            self._failed(error)
            return
        self.told.value = parts.mark("good", "the import is done") + receipt._repr_html_()
        self.undoing.offer(receipt.recorded)
        self.wizard.next()
        self.refresh()

    def _resume(self) -> None:
        self.error.clear()
        self._try(lambda: self._follow(self.wizard.resume(left_of(self.wizard))))

    def _roll_back(self) -> None:
        self.error.clear()

        def back() -> None:
            self.wizard.roll_back(left_of(self.wizard))
            self.wizard.back()
            self.refresh()
            self._check()

        self._try(back)

    def _undo(self) -> None:
        receipt = self.wizard.receipt
        if receipt is None:
            return
        self.error.clear()
        self.over.disabled = True
        self.undoing.begin(receipt, partial(self._tell_undone, receipt), self._failed)

    def _tell_undone(self, receipt: Receipt, undone: Receipt) -> None:
        self.told.value = receipt._repr_html_()  # it says itself that it does not hold any more
        self.undoing.done(undone)
        self.refresh()

    def _code(self) -> str:
        undo = self.undoing.code if self.wizard.step == "receipt" else ""
        return "\n".join(filter(None, (super()._code(), undo)))

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until nothing runs in the background any more; for scripts."""
        self.later.wait(timeout)
        self.undoing.wait(timeout)
        if self.wizard.job is not None:
            self.wizard.job.wait(timeout)
