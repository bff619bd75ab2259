"""The end of a form: a result from which no step leads back, or a transfer that failed and looks so."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import ipywidgets as w
import pytest

import datatransfer as dt
from datatransfer.background import start
from datatransfer.errors import UndoConflictError
from datatransfer.events import Cancellation, Listener, Progress
from datatransfer.importing.reversal import Reversal
from datatransfer.notebook import parts
from datatransfer.notebook.export_wizard import ExportWizard
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.forms import is_shown, named, package_of, ready_to_import, shop, to_plan
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.stopping import wait_until


def test_there_is_no_way_back_from_a_receipt_only_to_another_import(databases: Databases, tmp_path: Path) -> None:
    package = package_of(shop(databases), tmp_path / "all.zip")
    with dt.Database(empty_copy(shop(databases), databases)) as target:
        form = ready_to_import(target, package)
        form.policies["on_match"].value = "update"
        form.wait()
        assert is_shown(form.back)
        assert not is_shown(form.over)
        form.next.click()
        form.wait()
        assert form.wizard.step == "receipt"
        _no_way_back(form)
        first = form.receipt
        form.undoing.sure.value = True
        form.over.click()
        assert form.wizard.step == "package"
        assert form.picker.value == ""
        assert form.receipt is first
        to_plan(form, package)
        assert form.policies["on_match"].value == form.wizard.policies["on_match"] == "skip"
        form.next.click()
        form.wait()
        assert form.receipt is not None
        assert form.receipt.total("reuse") == 6
        assert form.undoing.button.disabled
        assert not form.undoing.sure.value
        form.wizard.close()


def test_an_undo_that_is_refused_can_leave_the_rows_that_were_edited(databases: Databases, tmp_path: Path) -> None:
    package = package_of(shop(databases), tmp_path / "all.zip")
    url = empty_copy(shop(databases), databases)
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        form.next.click()
        form.wait()
        form.show_code.click()
        assert "the import is done" in form.told.value
        assert "✓ done 20" in form.told.value
        assert "merged" not in form.told.value
        assert "receipt.undo" not in form.code.value
        run(url, "UPDATE orders SET note = 'edited' WHERE id = 2")
        undoing = form.undoing
        undoing.sure.value = True
        assert not is_shown(undoing.keep)
        undoing.button.click()
        form.wait()
        assert isinstance(form.error.error, UndoConflictError)
        assert "receipt.undo" not in form.code.value
        assert not undoing.button.disabled
        assert is_shown(undoing.keep)
        undoing.keep.value = True
        undoing.button.click()
        form.wait()
        assert form.error.error is None
        assert asked(url, "SELECT id, user_id FROM orders") == [(2, 2)]
        assert asked(url, "SELECT id FROM users") == [(2,)]
        assert "taken back, but for the rows that were to be left" in undoing.said.value
        assert "the import is done" not in form.told.value
        assert "merged" not in form.told.value
        assert form.code.value.endswith("receipt = importer.run(plan)\nreceipt.undo(keep_edited=True)")
        assert not any(is_shown(each) for each in (undoing.sure, undoing.keep, undoing.button))
        form.over.click()
        assert "receipt.undo" not in form.code.value
        form.wizard.close()


def test_there_is_no_way_back_from_a_package_only_to_another_export(databases: Databases, tmp_path: Path) -> None:
    with dt.Database(shop(databases)) as db:
        form = dt.ExportForm(db)
        form.tables.value = ("users",)
        form.where.value = "id < 3"
        form.later.wait()
        form.next.click()
        form.later.wait()
        named(form, "orders.user_id: take the orders that refer to users").value = "stop"
        form.later.wait()
        named(form, "Columns to leave out").value = ("users.password",)
        form.later.wait()
        form.next.click()
        form.picker.path.value = str(tmp_path / "all.zip")
        named(form, "Replace a package of that name").value = True
        named(form, "Rows are stored as").value = "documents"
        form.next.click()
        form.wait()
        assert form.wizard.step == "done"
        _no_way_back(form)
        first = form.package
        assert "not verified yet<" in form.result.value
        form.verify.click()
        form.wait()
        assert "verified: complete and valid" in form.result.value
        assert not is_shown(form.verify)
        form.show_code.click()
        assert "leave_out" in form.code.value
        form.over.click()
        assert form.wizard == ExportWizard(db, counts=form.wizard.counts)
        assert form.choice.chosen == []
        assert form.picker.value == form.count.value == ""
        assert named(form, "Rows are stored as").value == "auto"
        assert not named(form, "Replace a package of that name").value
        assert not any(word in form.code.value for word in ("add", "leave_out", "build("))
        assert is_shown(form.back)
        assert first is not None
        assert form.package is first
        form.tables.value = ("users",)
        form.next.click()
        form.later.wait()
        assert form.where.value == ""
        assert named(form, "Columns to leave out").value == ()
        assert named(form, "orders.user_id: take the orders that refer to users").value == "follow"
        assert "6 rows of 2 tables" in form.selection.value


def test_the_keys_follow_a_person_to_another_page_and_not_code(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    led: list[str] = []
    monkeypatch.setattr(w.DOMWidget, "focus", lambda widget: led.append(widget.description))
    with dt.Database(shop(databases)) as db:
        form = dt.ExportForm(db)

        def pressed(button: w.Button) -> None:
            button._handle_custom_msg({"event": "click"}, [])
            form.later.wait()

        pressed(form.next)
        assert form.wizard.step == "choose"
        assert led == []
        form.choice.choose_all()
        form.later.wait()
        pressed(form.next)
        pressed(form.next)
        pressed(form.back)
        pressed(form.back)
        assert led == ["▸ Graph", "New file", "▸ Graph", "Tables"]
        form.next.click()
        form.later.wait()
        assert form.wizard.step == "closure"
        assert len(led) == 4


@pytest.mark.parametrize(
    ("error", "style", "mark"),
    [(dt.DatabaseError("no"), "danger", "✗ failed"), (dt.Cancelled("no"), "warning", "! cancelled")],
)
def test_the_bar_of_a_transfer_that_did_not_end_stays_where_it_was(error: Exception, style: str, mark: str) -> None:
    def merged(listener: Listener, _cancellation: Cancellation) -> None:
        listener(Progress("merge", "users", rows_done=50, rows_total=200))
        listener(Progress("merge", "orders", rows_done=rows, rows_total=200))
        if ends:
            return
        raise error

    box = parts.ProgressBox()
    for rows, ends, far in ((100, False, 0.5), (200, False, 0.97), (200, True, 1.0)):
        job = start("import", "all.zip", merged, recorded=False)
        box.follow(job)
        assert job.wait(30)
        assert box.bar.value == far
        assert box.bar.bar_style == ("success" if ends else style)
        assert (mark in box.line.value) != ends
        assert (f"while merging orders, {rows} of 200 rows" in box.line.value) != ends


def test_the_bar_of_a_long_statement_says_for_how_long_it_is_at_it_and_promises_nothing() -> None:
    ended = threading.Event()

    def merged(listener: Listener, _cancellation: Cancellation) -> None:
        listener(Progress("merge", "users", rows_done=50, rows_total=200))
        time.sleep(0.1)
        listener(Progress("merge", "orders", rows_done=100, rows_total=200))
        assert ended.wait(60)

    box = parts.ProgressBox()
    job = start("import", "all.zip", merged, recorded=False)
    box.follow(job)
    wait_until(lambda: "merging orders, 100 of 200 rows, at this for " in box.line.value)
    first = box.line.value
    assert "left of this phase" not in box.line.value
    assert "rows/s" not in box.line.value
    assert "dt-moving" in box.bar._dom_classes
    wait_until(lambda: "at this for " in box.line.value != first)
    ended.set()
    assert job.wait(30)
    wait_until(lambda: "done after" in box.line.value)
    assert "dt-moving" not in box.bar._dom_classes


def _no_way_back(form: dt.ExportForm | dt.ImportForm) -> None:
    assert not is_shown(form.back)
    with pytest.raises(dt.UsageError, match="no step back"):
        form.wizard.back()


def test_an_undo_by_form_runs_in_the_background_and_can_be_cancelled(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = package_of(shop(databases), tmp_path / "all.zip")
    url = empty_copy(shop(databases), databases)
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        form.next.click()
        form.wait()
        before = exact_digest(url)

        def endless(self: Reversal, **_options: bool) -> None:
            self.listener(Progress("undo", "orders", 1, 6))
            self.writer.run("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n")

        monkeypatch.setattr(Reversal, "run", endless)
        undoing = form.undoing
        undoing.sure.value = True
        undoing.button.click()
        wait_until(lambda: "1 of 6 rows" in undoing.progress.line.value)
        assert "taking rows back orders" in undoing.progress.line.value
        assert is_shown(undoing.progress.cancel)
        undoing.progress.cancel.click()
        form.wait()
        assert isinstance(form.error.error, dt.Cancelled)
        assert "begin again when you like" in form.error.said.value
        assert "cancelled after" in undoing.progress.line.value
        assert_equal(before, exact_digest(url))
        assert not undoing.button.disabled
        monkeypatch.undo()
        undoing.button.click()
        form.wait()
        assert form.error.error is None
        assert not is_shown(undoing.progress)
        assert asked(url, "SELECT id FROM orders") == []
        form.wizard.close()
