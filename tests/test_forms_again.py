"""The end of a form: a result from which no step leads back, or a transfer that failed and looks so."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.background import start
from datatransfer.events import Cancellation, Listener, Progress
from datatransfer.notebook import parts
from tests.support.copies import empty_copy
from tests.support.forms import is_shown, package_of, ready_to_import, shop, to_plan
from tests.support.servers import Databases


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
        form.sure.value = True
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
        assert form.undo.disabled
        assert not form.sure.value
        form.wizard.close()


def test_there_is_no_way_back_from_a_package_only_to_another_export(databases: Databases, tmp_path: Path) -> None:
    with dt.Database(shop(databases)) as db:
        form = dt.ExportForm(db)
        form._choose_all()
        form.later.wait()
        form.next.click()
        form.later.wait()
        form.next.click()
        form.picker.path.value = str(tmp_path / "all.zip")
        form.next.click()
        form.wait()
        assert form.wizard.step == "done"
        _no_way_back(form)
        first = form.package
        form.over.click()
        assert form.wizard.step == "choose"
        assert form.wizard.roots == {"users": "", "orders": ""}
        assert is_shown(form.back)
        assert first is not None
        assert form.package is first


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


def _no_way_back(form: dt.ExportForm | dt.ImportForm) -> None:
    assert not is_shown(form.back)
    with pytest.raises(dt.UsageError, match="no step back"):
        form.wizard.back()
