"""What forms say of errors: their own controls, not parameters and calls of Python."""

from __future__ import annotations

import re
from pathlib import Path

import ipywidgets as w
import pytest

import datatransfer as dt
from datatransfer.notebook import parts
from datatransfer.notebook.import_words import WORDING
from tests.support.forms import SHOP, named, package_of, ready_to_import, shop
from tests.support.servers import Databases
from tests.support.sql import run

PYTHON = re.compile(r"\w=|\w\(\)|\w\.\w+\(|--\w|dt\.")


def shown(form: dt.ImportForm | dt.ExportForm) -> str:
    """Return what the error box says, its folds aside, as a person reads it."""
    text: str = form.error.said.value
    assert "This did not work" in text
    text = re.sub(r"<style>.*?</style>|<details.*?</details>|<[^>]+>", " ", text, flags=re.DOTALL)
    assert not PYTHON.search(text), text
    return text


@pytest.fixture
def lonely(databases: Databases) -> str:
    """Return a shop in which an order refers to a user that does not exist."""
    url = shop(databases)
    run(url, "PRAGMA foreign_keys = OFF", "INSERT INTO orders VALUES (9, 99, NULL, 'a')")
    return url


def test_references_without_a_parent(databases: Databases, lonely: str, tmp_path: Path) -> None:
    with dt.Database(lonely) as db:
        dt.PackageBuilder(db).add_all().build(tmp_path / "a.zip", on_orphan="keep", progress=False).close()
    url = databases.create("sqlite")
    run(url, *SHOP)
    with dt.Database(url) as target:
        form = ready_to_import(target, tmp_path / "a.zip")
        assert "choose keep or null at “References without a parent”" in shown(form)
        named(form, "References without a parent").value = "keep"
        form.wait()
        assert form.error.error is None
        form.wizard.close()


def test_an_undo_of_rows_that_were_edited(databases: Databases, tmp_path: Path) -> None:
    package, url = package_of(shop(databases), tmp_path / "a.zip"), databases.create("sqlite")
    run(url, *SHOP)
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        form.next.click()
        form.wait()
        run(url, "UPDATE users SET password = 'new' WHERE id = 1")
        form.undoing.sure.value = True
        form.undoing.button.click()
        form.wait()
        assert f"tick “{form.undoing.keep.description}”" in shown(form)
        form.wizard.close()


def test_an_export_of_references_without_a_parent(lonely: str, tmp_path: Path) -> None:
    with dt.Database(lonely) as db:
        form = dt.ExportForm(db)
        form.tables.value = ("orders",)
        form.later.wait()
        form.next.click()
        form.wait()
        form.next.click()
        assert form.next.description == "Export"
        form.picker.path.value = str(tmp_path / "a.zip")
        form.next.click()
        form.wait()
        assert "choose keep at “References to rows that do not exist”" in shown(form)


def test_schemas_that_differ_only_since_they_were_compared(databases: Databases, tmp_path: Path) -> None:
    package, url = package_of(shop(databases), tmp_path / "a.zip"), databases.create("sqlite")
    run(url, *SHOP)
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        run(url, "ALTER TABLE users DROP COLUMN password")
        with pytest.raises(dt.SchemaMismatchError, match="drop=") as caught:
            form.wizard.make_plan()
        told = parts.error_html(caught.value, WORDING)
        assert "users.password: the target has no such column (add it to the target, or leave it out)" in told
        assert "drop=" not in told
        named(form, "Plan again").click()
        form.wait()
        assert isinstance(named(form.findings, "Column users.password"), w.Dropdown)
        form.wizard.close()


def test_what_was_cancelled_is_begun_again_by_the_button_that_is_there(databases: Databases) -> None:
    with dt.Database(shop(databases)) as target:
        form = dt.ImportForm(target)
        form.error.tell(dt.Cancelled("cancelled"), offer=["Resume", "Roll back"])
        assert "go back, or press “Resume” or “Roll back” when you like" in form.error.said.value
        assert "the same package again" in form.policies["identity"].tooltip


def test_the_plan_in_a_form_names_no_policies_as_python_does(databases: Databases, tmp_path: Path) -> None:
    package, url = package_of(shop(databases), tmp_path / "a.zip"), databases.create("sqlite")
    run(url, *SHOP)
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        assert "on_match=skip" not in form.summary.value
        assert "on_match=skip" in form.wizard.plan._repr_html_()  # type: ignore[union-attr]
        form.wizard.close()
