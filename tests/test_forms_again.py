"""What comes after the last step of a form: no way back into it, only another transfer."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
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
        assert not is_shown(form.back)
        with pytest.raises(dt.UsageError, match="no step back"):
            form.wizard.back()
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
        assert not is_shown(form.back)
        with pytest.raises(dt.UsageError, match="no step back"):
            form.wizard.back()
        first = form.package
        form.over.click()
        assert form.wizard.step == "choose"
        assert form.wizard.roots == {"users": "", "orders": ""}
        assert is_shown(form.back)
        assert first is not None
        assert form.package is first
