"""Both wizards, their state machines alone and as widgets: from the first click to package and receipt."""

from __future__ import annotations

import warnings
from pathlib import Path

import ipywidgets as w
import pytest

import datatransfer as dt
from datatransfer.notebook import parts
from datatransfer.notebook.export_wizard import ExportWizard
from datatransfer.notebook.import_wizard import ImportWizard
from datatransfer.sample import create_sample
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.forms import SHOP, named, package_of, shop, walk
from tests.support.servers import Databases
from tests.support.sql import run
from tests.support.transfer import DIALECTS

# --- the state of an export -----------------------------------------------------------------------------------------


def test_an_export_is_put_together_step_by_step(databases: Databases, tmp_path: Path) -> None:
    with dt.Database(shop(databases)) as db:
        wizard = ExportWizard(db)
        assert wizard.blocked == "choose at least one table"
        with pytest.raises(dt.UsageError, match="choose at least one"):
            wizard.next()
        wizard.choose("users", " id = 2 ")
        assert wizard.count("users", "id = 2") == 1
        assert wizard.next() == "closure"
        assert wizard.blocked == "the selection is not counted yet"
        wizard.selection = wizard.builder().preview()
        assert wizard.secrets == ["users.password"]
        assert {(e.label, e.direction): e.choices for e in wizard.edges} == {
            ("orders.user_id", "down"): ("follow", "stop"),
            ("orders.parent_id", "up"): ("follow", "stop", "null"),
            ("orders.parent_id", "down"): ("follow", "stop"),
        }
        wizard.set_rule("orders.user_id", "down", "stop")
        assert wizard.selection is None
        wizard.leave_out(["users.password"])
        wizard.selection = wizard.builder().preview()
        assert wizard.selection.total == 1
        assert wizard.secrets == []
        wizard.next()
        assert wizard.blocked == "name the new file"
        wizard.path = str(tmp_path)
        assert "folder" in wizard.blocked
        wizard.path = str(tmp_path / "no" / "part.zip")
        assert wizard.blocked == "there is no such folder"
        wizard.path = str(tmp_path / "part.zip")
        wizard.next()
        package = wizard.start().result(30)
        assert wizard.next() == "done"
        assert list(package["users"].to_frame().columns) == ["id", "email"]
        again = ExportWizard(db, "destination", path=wizard.path)
        assert "already" in again.blocked
        again.overwrite = True
        assert again.blocked == ""


# --- the state of an import -----------------------------------------------------------------------------------------


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> Path:
    return package_of(shop(databases), tmp_path / "all.zip")


def test_an_import_is_blocked_until_findings_and_conflicts_are_settled(databases: Databases, package: Path) -> None:
    url = databases.create("sqlite")
    run(url, SHOP[0].replace("password", "secret"), SHOP[1])
    run(url, "INSERT INTO users VALUES (9, '2@example.org', 'own')")
    with dt.Database(url) as target:
        wizard = ImportWizard(target)
        assert wizard.blocked == "choose a package"
        assert wizard.open(package).ok
        assert wizard.next() == "inside"
        assert wizard.next() == "plan"
        wizard.check()
        assert "finding" in wizard.blocked
        for finding in wizard.unsettled:
            assert finding.cure
            wizard.choose(finding, finding.cure)
        assert wizard.blocked == "the schemas are being compared"
        assert wizard.check().ok
        wizard.make_plan()
        assert wizard.blocked == "1 conflict must be decided"
        conflicts = wizard.plan.conflicts  # type: ignore[union-attr]
        wizard.decide("users", list(conflicts["source_key"]), "reuse")
        assert wizard.blocked == ""
        code = wizard.code()
        wizard.next()
        wizard.start()
        receipt = wizard.finish()
        assert wizard.next() == "receipt"
        assert (receipt.total("insert"), receipt.total("reuse")) == (5, 1)
        receipt.undo()
        wizard.close()
        names: dict[str, object] = {}
        exec(code, names)
        assert names["receipt"].counts == receipt.counts  # type: ignore[attr-defined]


def test_decisions_that_do_not_apply_are_forgotten_with_the_reason(databases: Databases, package: Path) -> None:
    with dt.Database(empty_copy(shop(databases), databases)) as target:
        wizard = ImportWizard(target)
        wizard.open(package)
        wizard.step = "plan"
        wizard.decisions = [("users", [1], "update")]
        with pytest.raises(dt.UsageError):
            wizard.make_plan()
        assert wizard.decisions == []
        assert dt.stages(target).empty
        assert wizard.make_plan().conflict_count == 0
        wizard.close()


# --- the forms ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_both_forms_carry_a_database_over(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source = databases.create(dialect)
    create_sample(source, tmp_path / "files").close()
    target_url = empty_copy(source, databases)
    with dt.Database(source) as db, dt.Database(target_url) as target:
        form = dt.ExportForm(db)
        form.choice.choose_all()
        form.later.wait()
        assert "rows asked for" in form.count.value
        form.next.click()
        form.later.wait()
        assert form.wizard.selection is not None
        form.next.click()
        form.picker.path.value = str(tmp_path / "all.zip")
        form.next.click()
        form.wait()
        assert form.wizard.step == "done"
        assert "written" in form.result.value
        taken = dt.ImportForm(target)
        taken.picker.path.value = str(tmp_path / "all.zip")
        taken.later.wait()
        taken.next.click()
        taken.next.click()
        taken.wait()
        assert not taken.next.disabled, taken.state_line.value
        taken.next.click()
        taken.wait()
        assert taken.wizard.step == "receipt"
        assert taken.receipt is not None
        assert_equal(exact_digest(source), exact_digest(target_url))
        before = exact_digest(empty_copy(source, databases))
        assert taken.undoing.button.disabled
        taken.undoing.sure.value = True
        taken.undoing.button.click()
        taken.wait()
        assert "taken back" in taken.undoing.said.value
        assert_equal(before, exact_digest(target_url))
        taken.wizard.close()


def test_conflicts_are_settled_in_the_form(databases: Databases, package: Path) -> None:
    url = databases.create("sqlite")
    run(url, *SHOP, "INSERT INTO users VALUES (9, '2@example.org', 'own')")
    with dt.Database(url) as target:
        form = dt.ImportForm(target)
        form.picker.path.value = str(package)
        form.later.wait()
        form.next.click()
        form.next.click()
        form.later.wait()
        assert form.next.disabled
        assert "1 conflict must be decided" in form.state_line.value
        box = next(each for each in walk(form.conflicts) if isinstance(each, w.Dropdown))
        box.value = "reuse"
        form.later.wait()
        assert not form.next.disabled, form.error.said.value
        form.next.click()
        form.wait()
        assert form.receipt is not None
        assert form.receipt.total("reuse") == 1
        form.wizard.close()


def test_a_broken_package_says_so_and_nothing_can_go_on(databases: Databases, package: Path) -> None:
    data = bytearray(package.read_bytes())
    data[len(data) // 2] ^= 0xFF
    package.write_bytes(data)
    with dt.Database(shop(databases)) as target:
        form = dt.ImportForm(target)
        form.picker.path.value = str(package)
        form.later.wait()
        assert form.next.disabled
        assert "damaged" in form.verified.value or form.error.error is not None
        (package.parent / "text.zip").write_text("hello")
        form.picker.path.value = str(package.parent / "text.zip")
        form.later.wait()
        assert isinstance(form.error.error, dt.PackageError)
        assert "what to do" in form.error.said.value
        assert "choose another package, this one cannot be read" in form.state_line.value
        form.error.copy.click()
        assert len(form.error.report.value.splitlines()) <= form.error.report.rows < 25
        assert '"code"' in form.error.report.value or '"error"' in form.error.report.value
        form.picker.path.value = ""
        assert "choose a package" in form.state_line.value


def test_what_was_planned_with_other_keys_than_stand_there_does_not_count(databases: Databases, package: Path) -> None:
    with dt.Database(empty_copy(shop(databases), databases)) as target:
        form = dt.ImportForm(target)
        form.picker.path.value = str(package)
        form.later.wait()
        form.next.click()
        form.next.click()
        form.wait()
        form.wait()
        assert not form.next.disabled
        form.match_on.value = "users.nobody"
        form.wait()
        assert isinstance(form.error.error, dt.DataTransferError)
        assert form.next.disabled
        assert "ready" not in form.summary.value
        form.match_on.value = "users.email"
        form.wait()
        assert not form.next.disabled
        form.wizard.back()
        form.wizard.back()
        form.refresh()
        form.picker.path.value = str(package.parent)
        assert form.next.disabled
        assert form.wizard.package is None


def test_what_was_interrupted_is_offered_and_goes_on(databases: Databases, package: Path) -> None:
    url = empty_copy(shop(databases), databases)
    with dt.Database(url) as target:
        with dt.DataPackage.open(package) as opened:
            plan = dt.PackageImporter(opened, target, listener=lambda _event: None).plan()
            plan.let_go()
            plan.writer.close()  # as if the process had gone
        form = dt.ImportForm(target)
        names = [each.description for each in walk(form.left) if isinstance(each, w.Button)]
        assert names == ["Resume", "Roll back"]
        next(each for each in walk(form.left) if isinstance(each, w.Button)).click()
        form.wait()
        form.wait()
        assert form.wizard.step == "receipt", form.error.said.value
        assert dt.stages(target).empty
        code = form.wizard.code()
        assert "plan" not in code
        names = {}
        exec(code, names)
        assert names["receipt"].import_id == form.receipt.import_id
        names["package"].close()
        form.wizard.start_over()
        assert "resume" not in form.wizard.code()
        form.wizard.close()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_import_that_is_still_at_work_is_told_and_offered_when_it_has_ended(
    databases: Databases, package: Path, dialect: str
) -> None:
    with dt.Database(empty_copy(shop(databases, dialect), databases)) as target:
        with dt.DataPackage.open(package) as opened:
            plan = dt.PackageImporter(opened, target, listener=lambda _event: None).plan()
        form = dt.ImportForm(target)
        said = [each.value for each in walk(form.left) if isinstance(each, w.HTML)]
        assert len(said) == 1
        assert "an import of all.zip into this database is under way" in said[0]
        assert _buttons(form.left) == ["Look again"]
        named(form.left, "Look again").click()
        assert _buttons(form.left) == ["Look again"]
        plan.let_go()
        plan.writer.close()  # as if the server had ended it
        named(form.left, "Look again").click()
        assert _buttons(form.left) == ["Resume", "Roll back"]
        named(form.left, "Roll back").click()
        assert form.left.children == ()


def _buttons(widget: w.Widget) -> list[str]:
    return [each.description for each in walk(widget) if isinstance(each, w.Button)]


def test_an_interrupted_import_can_be_removed(databases: Databases, package: Path) -> None:
    with dt.Database(empty_copy(shop(databases), databases)) as target:
        with dt.DataPackage.open(package) as opened:
            plan = dt.PackageImporter(opened, target, listener=lambda _event: None).plan()
            plan.let_go()
            plan.writer.close()
        form = dt.ImportForm(target)
        [each for each in walk(form.left) if isinstance(each, w.Button)][1].click()
        assert form.left.children == ()
        assert dt.stages(target).empty


def test_a_condition_that_the_database_refuses_is_shown_and_can_be_mended(databases: Databases) -> None:
    with dt.Database(shop(databases)) as db:
        form = dt.ExportForm(db)
        form.tables.value = ("users",)
        form.where.value = "nonsense ("
        form.later.wait()
        assert isinstance(form.error.error, dt.ConditionError)
        assert "counting" not in form.count.value
        assert "see the error" in form.count.value
        assert form.next.disabled
        assert "the condition of users is not accepted" in form.state_line.value
        form.where.value = "id = 1"
        form.later.wait()
        assert form.error.error is None
        assert ">1<" in form.count.value
        assert not form.next.disabled


def test_a_condition_that_was_not_counted_yet_is_told_again_after_a_step_back(databases: Databases) -> None:
    with dt.Database(shop(databases)) as db:
        form = dt.ExportForm(db)
        form.tables.value = ("users",)
        form.where.value = "nonsense ("
        form.next.click()
        form.later.wait()
        assert form.wizard.step == "closure"
        form.back.click()
        form.later.wait()
        assert isinstance(form.error.error, dt.ConditionError)
        assert form.next.disabled
        form.tables.value = ("orders",)
        form.later.wait()
        assert form.error.error is None
        assert not form.next.disabled


def test_every_control_has_a_label(databases: Databases) -> None:
    with dt.Database(shop(databases)) as db:
        for form in (dt.ExportForm(db), dt.ImportForm(db)):
            controls = [each for each in walk(form) if isinstance(each, w.ValueWidget | w.Button)]
            unnamed = [each for each in controls if not isinstance(each, w.HTML) and not each.description]
            assert unnamed == []


def test_hostile_names_stay_text(databases: Databases, tmp_path: Path) -> None:
    url = databases.create("sqlite")
    run(url, 'CREATE TABLE "<img src=x onerror=alert(1)>" (id INTEGER PRIMARY KEY)')
    with dt.Database(url) as db:
        form = dt.ExportForm(db)
        form.choice.choose_all()
        form.later.wait()
        form.next.click()
        form.later.wait()
        shown = "".join(each.value for each in walk(form) if isinstance(each, w.HTML))
        assert "<img" not in shown
        assert "&lt;img" in shown


def test_in_memory_databases_are_refused_at_once() -> None:
    with dt.Database("sqlite://") as db:
        with pytest.raises(dt.UsageError, match="in memory"):
            dt.ExportForm(db)
        with pytest.raises(dt.UsageError, match="in memory"):
            dt.ImportForm(db)


def test_errors_are_told_without_what_others_may_have_put_into_them() -> None:
    assert "S3CR3T" not in parts.error_html(ValueError("S3CR3T"))
    assert "S3CR3T" not in parts.report_of(ValueError("S3CR3T"))
    box = parts.error_html(dt.UsageError("<b>no</b>", where="x", hint="do y"))
    assert "&lt;b&gt;no&lt;/b&gt;" in box


def test_forms_warn_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        parts.ProgressBox()
        parts.ErrorBox()
