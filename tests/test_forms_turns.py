"""What works on a plan is done one after the other, whatever is chosen meanwhile: the state of an import, by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.exporting.builder import PackageBuilder
from datatransfer.importing.importer import PackageImporter
from datatransfer.importing.plan import ImportPlan
from datatransfer.notebook import import_form
from datatransfer.notebook.import_wizard import ImportWizard
from datatransfer.package.package import DataPackage
from tests.support.forms import SHOP, package_of, ready_to_import, shop
from tests.support.servers import Databases
from tests.support.sql import run

SECONDS = 60


class Gate:
    """Holds whoever comes to it until it is opened, and keeps what was begun and ended in order."""

    def __init__(self) -> None:
        self.reached, self.opened = Event(), Event()
        self.log: list[str] = []

    def guard(self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, *, holds: bool) -> None:
        """Note each call of a method; if it holds, the first one waits before it does anything."""
        original = getattr(owner, name)

        def guarded(given: Any, *values: Any, **named: Any) -> Any:
            self.log.append(f"{name} begins")
            if holds and not self.reached.is_set():
                self.reached.set()
                assert self.opened.wait(SECONDS)
            try:
                return original(given, *values, **named)
            finally:
                self.log.append(f"{name} ends")

        monkeypatch.setattr(owner, name, guarded)


@contextmanager
def working(*calls: Any) -> Iterator[list[BaseException]]:
    """Do calls in a thread; at the end wait for it, and yield what it raised."""
    raised: list[BaseException] = []

    def work() -> None:
        try:
            for call in calls:
                call()
        except BaseException as error:
            raised.append(error)

    thread = Thread(target=work)
    thread.start()
    yield raised
    thread.join(SECONDS)
    assert not thread.is_alive()


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> Path:
    return package_of(shop(databases), tmp_path / "all.zip")


@pytest.fixture
def target(databases: Databases) -> Iterator[dt.Database]:
    """Return a shop whose three users have the addresses of those of the package."""
    url = databases.create("sqlite")
    run(url, *SHOP, *(f"INSERT INTO users VALUES ({k + 10}, '{k}@example.org', 'own')" for k in (1, 2, 3)))
    with dt.Database(url) as opened:
        yield opened


@pytest.fixture
def wizard(target: dt.Database, package: Path) -> Iterator[ImportWizard]:
    """Return one that has made its plan."""
    made = ImportWizard(target)
    made.open(package)
    made.next()
    made.next()
    made.check()
    made.settle()
    assert made.blocked == "3 conflicts must be decided"
    yield made
    made.close()
    assert dt.stages(target).empty


def test_a_policy_that_is_chosen_while_a_decision_is_carried_out_waits_for_its_turn(
    wizard: ImportWizard, target: dt.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    gate.guard(monkeypatch, ImportPlan, "decide", holds=True)
    gate.guard(monkeypatch, ImportPlan, "discard", holds=False)
    gate.guard(monkeypatch, PackageImporter, "plan", holds=False)
    wizard.decide_soon("users", [1, 2], "reuse")
    with working(wizard.settle) as first:
        assert gate.reached.wait(SECONDS)
        assert wizard.blocked == "what was decided is being carried out"
        wizard.set_policy("on_match", "update")  # returns at once, and counts at once
        wizard.decide_soon("users", [3], "rename")
        assert wizard.blocked == "the plan is being made"
        with pytest.raises(dt.UsageError):
            wizard.next()
        with working(wizard.settle) as second:
            assert gate.log == ["decide begins"]
            gate.opened.set()
    assert first == second == []
    assert gate.log.index("decide ends") < gate.log.index("plan begins")
    assert "discard ends" in gate.log[: gate.log.index("plan begins")]
    assert gate.log[-6:] == ["plan begins", "plan ends", *("decide begins", "decide ends") * 2]
    assert wizard.refused() == []
    assert wizard.decisions == [("users", [1, 2], "reuse"), ("users", [3], "rename")]
    assert wizard.blocked == ""
    assert len(dt.stages(target)) == 1
    wizard.next()
    wizard.start()
    receipt = wizard.finish()
    assert (receipt.total("insert"), receipt.total("reuse")) == (4, 2)


def test_a_plan_that_is_outdated_before_it_is_made_does_not_count(
    wizard: ImportWizard, target: dt.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    gate.guard(monkeypatch, PackageImporter, "plan", holds=True)
    wizard.set_policy("on_clash", "rename")
    with working(wizard.settle) as raised:
        assert gate.reached.wait(SECONDS)
        wizard.set_policy("on_clash", "reuse")
        gate.opened.set()
    assert raised == []
    assert wizard.plan is None
    assert wizard.blocked == "the plan is not made"
    assert dt.stages(target).empty
    wizard.settle()
    assert wizard.blocked == ""
    assert wizard.plan is not None
    assert wizard.plan.counts["users"]["skip"] == 3


def test_nothing_is_planned_for_a_step_that_was_left(wizard: ImportWizard, target: dt.Database) -> None:
    wizard.decide_soon("users", [1, 2, 3], "reuse")
    wizard.back()
    wizard.settle()
    assert wizard.plan is None
    assert dt.stages(target).empty
    wizard.next()
    wizard.settle()
    assert wizard.blocked == ""  # what was decided is kept for the next plan


def test_decisions_that_a_policy_made_pointless_are_told_and_the_plan_is_made(wizard: ImportWizard) -> None:
    wizard.decide_soon("users", [1], "reuse")
    wizard.settle()
    wizard.decide_soon("users", [2], "insert")  # it cannot be: its unique text is taken
    wizard.settle()
    wizard.decisions.append(("users", [99], "reuse"))
    wizard.set_policy("on_match", "update")
    wizard.settle()
    assert len(wizard.refused()) == 2
    assert wizard.refused() == []
    assert wizard.decisions == []
    assert wizard.blocked == "3 conflicts must be decided"


def test_a_package_that_is_chosen_while_another_is_verified_is_the_one_that_stays(
    target: dt.Database, package: Path, databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = package_of(shop(databases, rows=1, name="b"), tmp_path / "other.zip")
    gate = Gate()
    gate.guard(monkeypatch, DataPackage, "verify", holds=True)
    wizard = ImportWizard(target)
    with working(lambda: wizard.open(package)) as first:
        assert gate.reached.wait(SECONDS)
        with working(lambda: wizard.open(other)) as second:
            gate.opened.set()
    assert first == second == []
    assert wizard.package is not None
    assert wizard.package.path == other
    wizard.close()


def test_controls_of_the_form_may_be_changed_while_it_is_at_work(target: dt.Database, package: Path) -> None:
    form = ready_to_import(target, package)
    for decision, policy in (("reuse", "update"), ("rename", "skip")):
        form._decide("users", [1, 2, 3], decision)
        form.policies["on_match"].value = policy
        assert form.next.disabled
    form.wait()
    assert form.error.error is None
    assert form.wizard.decisions == [("users", [1, 2, 3], "rename")]
    assert form.wizard.policies["on_match"] == "skip"
    assert not form.next.disabled
    assert form.decided.button.description == "▸ 3 decisions made"
    form._decide("users", [1], "reuse")
    form.back.click()
    form.wait()
    assert form.error.error is None
    assert form.wizard.step == "inside"
    form.wizard.close()
    assert dt.stages(target).empty


@pytest.mark.parametrize(("keys", "is_planned"), [("users.emial", False), ("users.email", True)])
def test_a_plan_that_is_being_drawn_is_not_shown_when_another_was_asked_for(
    target: dt.Database, package: Path, monkeypatch: pytest.MonkeyPatch, keys: str, is_planned: bool
) -> None:
    form = ready_to_import(target, package)
    gate = Gate()
    gate.guard(monkeypatch, import_form, "plan_html", holds=True)
    form._plan_again()
    assert gate.reached.wait(SECONDS)
    form._plan_again()
    form.match_on.value = keys
    gate.opened.set()
    form.wait()
    assert "given up" not in form.summary.value
    assert (form.error.error is None) == is_planned
    assert (form.wizard.plan is not None) == is_planned
    assert ("Import plan" in form.summary.value) == is_planned
    assert not form.conflicts.children  # with these keys there are none
    form.wizard.close()
    assert dt.stages(target).empty


def test_a_preview_that_comes_after_a_step_back_is_not_that_of_what_was_chosen_since(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()
    gate.guard(monkeypatch, PackageBuilder, "preview", holds=True)
    with dt.Database(shop(databases)) as db:
        form = dt.ExportForm(db)
        form.tables.value = ("orders",)
        form.next.click()
        assert gate.reached.wait(SECONDS)
        form.back.click()
        form.tables.value = ("users",)
        form.where.value = "id = 1"
        gate.opened.set()
        form.wait()
        assert form.wizard.selection is None
        form.next.click()
        form.wait()
        assert form.wizard.selection is not None
        assert "2 rows of 2 tables" in form.selection.value
        assert form.wizard.roots == {"users": "id = 1"}
