"""The import form in a browser: to the receipt and back, past damage, lost connections and a kernel that went away."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.display import blocks
from datatransfer.notebook.copying import COPIED, SELECTED
from tests.browser import troubles
from tests.browser.axe import axe
from tests.browser.forms import FOCUSED, FormPage, walk_import
from tests.browser.page import THEMES, Lab
from tests.browser.troubles import WAIT, Troubles, damaged, end_sessions, stopped
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.forms import shop
from tests.support.loaders import Library, make_stock_chinook, sqlite_copy
from tests.support.servers import Databases

FORBID = """() => {
  Object.defineProperty(navigator, "clipboard", { value: undefined, configurable: true });
  document.execCommand = () => false;
}"""
FORM = "import datatransfer as dt\ntarget = dt.Database({url!r})\nform = dt.ImportForm(target); form"


def opened(lab: Lab, url: str, *before: str, theme: str = "light") -> FormPage:
    """Open a notebook whose last cell shows the form, and run it."""
    lab.notebook([*before, FORM.format(url=url)], theme=theme)
    lab.run()
    return FormPage(lab, len(before))


def whole(url: str, path: Path) -> Path:
    """Export a whole database."""
    with dt.Database(url) as db:
        dt.PackageBuilder(db).add_all().build(path).close()
    return path


def to_plan(form: FormPage, package: Path) -> None:
    troubles.to_plan(form, package)
    form.see("Nothing in the target has changed yet")


@pytest.fixture
def chinook(library: Library, databases: Databases, tmp_path: Path) -> tuple[Path, str]:
    """Return the path of a package of all of Chinook, from SQLite, and the URL of an empty one on PostgreSQL."""
    target = empty_copy(library.url("chinook", "postgresql"), databases)
    return whole(sqlite_copy("chinook", tmp_path), tmp_path / "chinook.zip"), target


def rows(url: str, table: str = "Track") -> int:
    with dt.Database(url) as db:
        return db.count(table)


def test_chinook_comes_into_postgresql_and_out_again(lab: Lab, chinook: tuple[Path, str]) -> None:
    package, url = chinook
    before = exact_digest(url)
    form = opened(lab, url)
    for step in walk_import(form, str(package)):
        if step == "import-5":
            assert rows(url) == 3503
    assert rows(url) == 0
    with dt.Database(url) as db:
        assert list(dt.receipts(db)["state"]) == ["undone", "merged"]
    assert_equal(before, exact_digest(url))


def test_chinook_comes_into_its_own_tables_for_postgresql_by_accepting_all_proposals(
    lab: Lab, databases: Databases, tmp_path: Path
) -> None:
    package, url = whole(sqlite_copy("chinook", tmp_path), tmp_path / "chinook.zip"), databases.create("postgresql")
    make_stock_chinook(url)
    form = opened(lab, url)
    troubles.to_plan(form, package)
    form.see("33 findings about the schemas must be settled")
    form.key("Accept all proposals")
    form.see("Nothing in the target has changed yet")
    assert lab.page.evaluate(FOCUSED) == "▸ 40 settled"  # the keys are led on, as the button went away
    form.click("Import")
    form.see("the import is done")
    assert rows(url, "track") == 3503
    assert rows(url, "invoice_line") == 2240


def test_a_report_goes_onto_the_clipboard_or_is_shown_selected(lab: Lab, tmp_path: Path, databases: Databases) -> None:
    from playwright.sync_api import expect  # here: other tests are collected without it

    none = tmp_path / "none.zip"
    none.write_text("not a package")
    form = opened(lab, shop(databases))
    form.write("Package", str(none))
    form.see("This did not work")
    lab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    form.click("Copy report")
    form.see(COPIED)
    assert '"class": "PackageError"' in lab.page.evaluate("navigator.clipboard.readText()")
    form.write("Package", str(tmp_path))
    form.write("Package", str(none))
    expect(form.area).not_to_contain_text(COPIED)
    form.see("This did not work")
    lab.page.evaluate(FORBID)
    try:
        form.click("Copy report")
        form.see(SELECTED)
    finally:
        lab.page.evaluate("() => { delete navigator.clipboard; delete document.execCommand; }")
    chosen = "() => { const on = document.activeElement; return on.value.slice(on.selectionStart, on.selectionEnd); }"
    assert '"class": "PackageError"' in lab.page.evaluate(chosen)


def test_a_damaged_package_is_told_and_another_one_taken(lab: Lab, tmp_path: Path, databases: Databases) -> None:
    from playwright.sync_api import expect  # here: other tests are collected without it

    source = sqlite_copy("chinook", tmp_path)
    good, none = whole(source, tmp_path / "good.zip"), tmp_path / "none.zip"
    none.write_text("not a package")
    form = opened(lab, empty_copy(source, databases))
    form.write("Package", str(none))
    form.see("This did not work")
    form.click("Copy report")
    expect(form.control("Report")).to_have_value(re.compile('"class": "PackageError"'))
    form.write("Package", str(damaged(good)))
    form.see("the package is damaged")
    expect(form.button("Next")).to_be_disabled()
    to_plan(form, good)
    form.click("Import")
    form.see("the import is done")


def test_a_lost_database_is_told_and_resumed(lab: Lab, chinook: tuple[Path, str], tmp_path: Path) -> None:
    package, url = chinook
    file = tmp_path / "wait"
    form = opened(lab, url, WAIT.format(place="merge.table:2", file=str(file)))
    to_plan(form, package)
    form.click("Import")
    with stopped(file):
        end_sessions(url)
    form.see("This did not work")
    assert rows(url) == 0
    form.click("Resume")
    form.see("the import is done")
    assert rows(url) == 3503


def test_a_kernel_that_was_restarted_in_an_import_goes_on_from_the_form(
    lab: Lab, chinook: tuple[Path, str], tmp_path: Path
) -> None:
    package, url = chinook
    file = tmp_path / "wait"
    form = opened(lab, url, WAIT.format(place="merge.table:2", file=str(file)))
    to_plan(form, package)
    form.click("Import")
    with stopped(file):
        lab.restart_kernel()
        assert rows(url) == 0
    lab.run(1)
    form = FormPage(lab, 1)
    form.see("an import was interrupted")
    form.click("Resume")
    form.see("the import is done")
    assert rows(url) == 3503


def test_a_large_package_is_chosen_by_the_picker(lab: Lab, tmp_path: Path, databases: Databases) -> None:
    source = f"sqlite:///{tmp_path}/blobs.db"
    with closing(sqlite3.connect(tmp_path / "blobs.db")) as connection:
        connection.execute("CREATE TABLE blobs (id INTEGER PRIMARY KEY, content BLOB NOT NULL)")
        target = empty_copy(source, databases)
        connection.executemany("INSERT INTO blobs (content) VALUES (?)", [(os.urandom(1_000_000),) for _ in range(62)])
        connection.commit()
    folder = tmp_path / "packages"
    folder.mkdir()
    size = whole(source, folder / "large.zip").stat().st_size
    assert size > 60_000_000
    form = opened(lab, target)
    form.write("Package", str(tmp_path))
    form.choose("In this folder", "packages/")
    form.click("Open folder")
    form.choose("In this folder", f"large.zip  ({blocks.size(size)})")
    form.see("verified: complete and valid")
    form.click("Next")
    form.click("Next")
    form.see("Nothing in the target has changed yet")
    form.click("Import")
    form.see("the import is done")
    assert_equal(exact_digest(source), exact_digest(target))


def test_the_keyboard_alone_does_an_import_and_an_undo(lab: Lab, tmp_path: Path, databases: Databases) -> None:
    source = sqlite_copy("chinook", tmp_path)
    target = empty_copy(source, databases)
    form = opened(lab, target)
    keys = lab.page.keyboard
    form.control("Package").focus()
    keys.type(str(whole(source, tmp_path / "all.zip")))
    keys.press("Enter")
    form.see("verified: complete and valid")
    form.key("Next")
    form.at("What is inside")
    form.key("Next")
    form.see("Nothing in the target has changed yet")
    form.key("Import")
    form.see("the import is done")
    form.key("Undo takes back what this import wrote", "Space")
    form.key("Undo")
    form.see("the import was taken back")
    assert rows(target) == 0


@pytest.mark.parametrize("theme", THEMES)
def test_everybody_can_use_every_step_of_an_import(lab: Lab, tmp_path: Path, databases: Databases, theme: str) -> None:
    source = sqlite_copy("chinook", tmp_path)
    form = opened(lab, empty_copy(source, databases), theme=theme)
    found = {
        step: axe(lab.page, ".jp-OutputArea-output")
        for step in walk_import(form, str(whole(source, tmp_path / "a.zip")))
    }
    assert {step: said for step, said in found.items() if said} == {}


@pytest.mark.parametrize("theme", THEMES)
def test_everybody_can_use_a_form_in_which_something_goes_wrong(
    lab: Lab, tmp_path: Path, databases: Databases, theme: str
) -> None:
    ways = Troubles(lab, databases, tmp_path, theme)
    found = {step: axe(lab.page, ".jp-OutputArea-output") for step, _ in ways.walk()}
    assert {step: said for step, said in found.items() if said} == {}
    assert len(found) == 18
