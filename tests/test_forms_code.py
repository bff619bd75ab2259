"""The code that forms show does again what was chosen in them, and invents nothing."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as w
import pytest

import datatransfer as dt
from datatransfer.notebook.export_wizard import ExportWizard
from datatransfer.notebook.import_wizard import ImportWizard
from datatransfer.notebook.parts import fill
from tests.support.forms import shop
from tests.support.servers import Databases


def test_the_code_of_an_export_makes_the_same_package(databases: Databases, tmp_path: Path) -> None:
    with dt.Database(shop(databases)) as db:
        wizard = ExportWizard(db, path=str(tmp_path / "part.zip"))
        wizard.choose("users", "id = 2")
        wizard.set_rule("orders.parent_id", "down", "stop")
        wizard.leave_out(["users.password"])
        digest = wizard.start().result(30).digest
        wizard.overwrite = True
        names: dict[str, object] = {}
        exec(wizard.code(), names)
        assert names["package"].digest == digest  # type: ignore[attr-defined]
        whole = ExportWizard(db)
        whole.choose_all()
        assert "add_all()" in whole.code()


def test_code_of_what_is_not_chosen_is_not_invented(databases: Databases) -> None:
    with dt.Database(shop(databases)) as db:
        code = ImportWizard(db).code()
        names: dict[str, object] = {}
        exec(code, names)
        assert (names["target"].url_shown, ".zip" in code) == (db.url_shown, False)  # type: ignore[attr-defined]
        names["target"].close()  # type: ignore[attr-defined]
        assert "builder.build" not in ExportWizard(db, path=" ").code()


def test_code_names_a_file_as_the_form_takes_it_and_says_that_it_exists(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    hint = "# the file exists already: overwrite=True replaces it"
    with dt.Database(shop(databases)) as db:
        wizard = ExportWizard(db, path="~/part.zip")
        wizard.choose("users")
        assert f"{str(tmp_path / 'part.zip')!r}" in wizard.code()
        assert hint not in wizard.code()
        wizard.start().result(30).close()
        assert hint in wizard.code()
        wizard.overwrite = True
        assert hint not in wizard.code()


@pytest.mark.parametrize("query", ["", "?sslpassword=geheim"])
@pytest.mark.parametrize("password", ["", ":geheim"])
def test_code_says_where_a_password_is_to_be_filled_in(query: str, password: str) -> None:
    with dt.Database(f"postgresql+psycopg://ann{password}@127.0.0.1/shop{query}") as db:
        lines = ImportWizard(db).code().splitlines()
    assert not any("geheim" in line for line in lines)
    assert ("# fill in the password" in lines) == bool(query or password)


def test_code_is_shown_and_follows_what_is_chosen(databases: Databases) -> None:
    with dt.Database(shop(databases)) as db:
        form = dt.ExportForm(db)
        form.show_code.click()
        form.tables.value = ("users",)
        form.later.wait()
        assert "builder.add('users')" in form.code.value
        assert len(form.code.value.splitlines()) <= form.code.rows < 25
        form.show_code.click()
        assert form.code.layout.display == "none"


def test_a_box_has_room_for_lines_that_are_wrapped_and_is_no_page_long() -> None:
    area = w.Textarea()
    for text, rows in (("", 1), ("a\nb\n\n", 4), ("x" * 100, 1), (f"a\n{'x' * 250}\nb", 5), ("a\n" * 99, 25)):
        fill(area, text)
        assert (area.value, area.rows) == (text, rows)
