"""The export form in a browser: from the first click to the package, by mouse and by keys, and out of it again."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

import datatransfer as dt
from tests.browser.axe import axe
from tests.browser.forms import FormPage, walk_export
from tests.browser.page import THEMES, Lab
from tests.support.loaders import sqlite_copy

ROWS = int(os.environ.get("DATATRANSFER_BROWSER_ROWS", "10000000"))
NUMBERS = """
CREATE TABLE numbers (id INTEGER PRIMARY KEY, square INTEGER);
INSERT INTO numbers WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
SELECT i, i * 7 % 1000003 FROM n;
"""


def opened(lab: Lab, url: str, *more: str, theme: str = "light") -> FormPage:
    lab.notebook(
        [f"import datatransfer as dt\ndb = dt.Database({url!r})\nform = dt.ExportForm(db); form", *more], theme=theme
    )
    lab.run(0)
    return FormPage(lab, 0)


def test_a_part_of_a_database_is_exported_from_the_first_click_to_the_package(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "artist.zip"
    code = "exec(form.wizard.code().replace('artist.zip', 'again.zip'))"
    form = opened(lab, sqlite_copy("chinook", tmp_path), code)
    for step in walk_export(form, ["Artist"], str(path), where="ArtistId = 90"):
        if step == "export-2-fold-3":
            form.choose("Columns to leave out", "Customer.Email")
            form.see("left out")
    assert "Iron Maiden" not in form.text
    with dt.DataPackage.open(path) as package:
        assert list(package["Artist"].to_frame()["Name"]) == ["Iron Maiden"]
        assert "Email" not in package["Customer"].to_frame()
        lab.run(1)
        assert dt.DataPackage.open(tmp_path / "again.zip").digest == package.digest


def test_an_export_is_cancelled_at_once_while_the_kernel_goes_on(lab: Lab, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "large.db")) as connection:
        connection.executescript("PRAGMA synchronous=off;" + NUMBERS.format(rows=ROWS))
    form = opened(lab, f"sqlite:///{tmp_path}/large.db", "form.wizard.job.state")
    form.choose("Tables", "numbers")
    form.click("Next")
    form.see("nothing has been written")
    form.click("Next")
    form.write("New file", str(tmp_path / "large.zip"))
    form.click("Export")
    form.see("rows/s")
    lab.run(1)
    assert lab.text(1) == "'running'"
    begun = time.monotonic()
    form.click("Cancel")
    form.see("Cancelled")
    assert time.monotonic() - begun < 2
    while (left := sorted(path.name for path in tmp_path.iterdir())) != ["large.db"]:
        assert time.monotonic() - begun < 5, left
        time.sleep(0.05)
    form.click("Back")
    form.at("Where to")


def test_the_keyboard_alone_does_an_export(lab: Lab, tmp_path: Path) -> None:
    from playwright.sync_api import expect  # here: other tests are collected without it

    form = opened(lab, sqlite_copy("chinook", tmp_path))
    keys = lab.page.keyboard
    form.button("Whole database").focus()
    keys.press("Enter")
    form.see("rows asked for")
    form.key("Next")
    form.see("nothing has been written")
    expect(form.button("▸ Graph")).to_be_focused()
    form.key("Next")
    form.at("Where to")
    expect(form.control("New file")).to_be_focused()
    keys.type(str(tmp_path / "keys.zip"))
    keys.press("Enter")
    form.key("Export")
    form.see("written:")
    assert dt.DataPackage.open(tmp_path / "keys.zip").verify().ok


def test_keys_typed_in_a_form_stay_in_it(lab: Lab, tmp_path: Path) -> None:
    from playwright.sync_api import expect  # here: other tests are collected without it

    form = opened(lab, sqlite_copy("chinook", tmp_path), "'the cell below'")
    keys, cells = lab.page.keyboard, "() => window.panel().content.widgets.length"
    tables = form.control("Tables")
    tables.focus()
    for key in ("Home", "ArrowDown", "Shift+ArrowDown"):
        keys.press(key)
    expect(tables).to_have_values([re.compile("Artist"), re.compile("Customer")])
    expect(tables).to_be_focused()
    form.see("rows asked for")
    rows = form.control("Only some rows of")
    rows.focus()
    keys.press("ArrowDown")
    expect(rows).to_be_focused()
    expect(rows).not_to_have_value("")
    for place in (tables, rows, form.button("Show code"), form.button("Next")):
        place.focus()
        for key in "bdda":
            keys.press(key)
        expect(place).to_be_focused()
        assert lab.page.evaluate(cells) == 2
    lab.page.evaluate("() => window.panel().context.model.dirty = true")
    keys.press("Control+s")
    lab.page.wait_for_function("() => !window.panel().context.model.dirty")


def test_a_table_of_five_hundred_is_found_by_keys(lab: Lab, tmp_path: Path) -> None:
    from playwright.sync_api import expect  # here: other tests are collected without it

    with closing(sqlite3.connect(tmp_path / "many.db")) as connection:
        for n in range(500):
            connection.execute(f"CREATE TABLE module_{n % 10}_part_{n:03} (id INTEGER PRIMARY KEY)")
        connection.commit()
    form = opened(lab, f"sqlite:///{tmp_path}/many.db")
    keys = lab.page.keyboard
    expect(form.control("Tables").locator("option")).to_have_count(500)
    form.control("Find tables").focus()
    keys.type("module_3 12")
    form.see("1 of 500 tables")
    keys.press("Tab")
    expect(form.control("Tables")).to_be_focused()
    keys.press("ArrowDown")
    form.see("rows asked for")
    assert axe(lab.page, ".jp-OutputArea-output") == []
    form.key("Next")
    form.at("What belongs to it")


def test_the_arrow_of_a_list_is_seen_in_the_dark(lab: Lab, tmp_path: Path) -> None:
    form = opened(lab, sqlite_copy("chinook", tmp_path), theme="dark")
    drawn = form.control("Only some rows of").evaluate("(list) => getComputedStyle(list).backgroundImage")
    assert "stroke='%23e8e8e8'" in drawn
    assert lab.foreign == []


@pytest.mark.parametrize("theme", THEMES)
def test_everybody_can_use_every_step_of_an_export(lab: Lab, tmp_path: Path, theme: str) -> None:
    form = opened(lab, sqlite_copy("chinook", tmp_path), theme=theme)
    found = {}
    for step in walk_export(form, ["Artist"], str(tmp_path / "part.zip"), where="ArtistId = 90"):
        found[step] = axe(lab.page, ".jp-OutputArea-output")
    assert {step: said for step, said in found.items() if said} == {}
