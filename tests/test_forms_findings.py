"""The findings about the schemas in the import form: proposed, chosen from a list, settled, and chosen otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as w
import pytest

import datatransfer as dt
from datatransfer.notebook.import_wizard import ImportWizard
from tests.support.forms import SHOP, is_shown, named, package_of, ready_to_import, shop, walk
from tests.support.loaders import make_stock_chinook, sqlite_copy
from tests.support.servers import Databases
from tests.support.spellings import CAMEL, ROWS, SNAKE, made
from tests.support.sql import asked, run


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> Path:
    return package_of(shop(databases), tmp_path / "all.zip")


@pytest.fixture
def camel(databases: Databases, tmp_path: Path) -> Path:
    return package_of(made(databases, *CAMEL), tmp_path / "camel.zip")


def words(box: w.Dropdown) -> list[str]:
    return [label for label, _ in box.options]


def choose(form: dt.ImportForm, label: str, option: str) -> None:
    """Choose an option of the list with this label, and wait for what comes of it."""
    box = named(form.findings, label)
    box.value = dict(box.options)[option]
    form.wait()


def told(widget: w.Widget) -> str:
    return " ".join(each.value for each in walk(widget) if isinstance(each, w.HTML))


def test_a_finding_is_told_once_and_settled_by_what_is_chosen(databases: Databases, package: Path) -> None:
    url = made(databases, SHOP[0].replace(", password VARCHAR(50)", ""), SHOP[1])
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        assert "✗ users.password: the target has no such column" in told(form.findings.to_choose)
        assert words(named(form.findings, "Column users.password")) == ["decide …", "is left out"]
        assert form.next.disabled
        choose(form, "Column users.password", "is left out")
        assert told(form.findings.to_choose) == ""
        assert "✓ the schemas fit" in form.findings.title.value
        assert form.findings.settled.button.description == "▸ 1 settled"
        assert not form.next.disabled
        choose(form, "Column users.password", "take back")
        assert "✗ users.password" in told(form.findings.to_choose)
        assert not is_shown(form.findings.settled)
        assert form.next.disabled
        form.wizard.close()


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_all_proposals_are_accepted_at_once(databases: Databases, camel: Path, dialect: str) -> None:
    url = made(databases, *SNAKE, dialect=dialect)
    with dt.Database(url) as target:
        form = ready_to_import(target, camel)
        assert "that lose nothing" in form.findings.offered.value
        assert told(form.findings.to_choose) == ""
        assert "MediaTypes → media_type<" in told(form.findings.proposals)
        form.findings.accept.click()
        form.wait()
        assert not is_shown(form.findings.accept)
        assert "✓ the schemas fit" in form.findings.title.value
        assert form.findings.settled.button.description == "▸ 11 settled"
        assert not form.next.disabled
        form.next.click()
        form.wait()
        assert form.receipt is not None
        assert form.receipt.total("insert") == ROWS
        form.wizard.close()
    assert asked(url, "SELECT count(*) FROM playlist_track") == [(2,)]


def test_chinook_goes_into_its_own_tables_for_postgresql(databases: Databases, tmp_path: Path) -> None:
    package = package_of(sqlite_copy("chinook", tmp_path), tmp_path / "chinook.zip")
    url = databases.create("postgresql")
    make_stock_chinook(url)
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        form.findings.accept.click()
        form.wait()
        code = form.wizard.code()
        form.next.click()
        form.wait()
        assert form.receipt is not None
        assert form.receipt.total("insert") == 15_607
        form.receipt.undo()
        form.wizard.close()
    assert max(map(len, code.splitlines())) <= 100
    assert len(code.splitlines()) < 50
    names: dict[str, Any] = {}
    exec(code.replace("***", "" if "***" not in code else target.url.password or ""), names)
    assert names["receipt"].total("insert") == 15_607


def test_what_was_accepted_is_listed_one_by_one_and_can_be_chosen_otherwise(databases: Databases, camel: Path) -> None:
    with dt.Database(made(databases, *SNAKE)) as target:
        form = ready_to_import(target, camel)
        choose(form, "Table MediaTypes", "goes into media_type (proposed)")
        assert form.findings.settled.button.description == "▸ 2 settled"  # the table, and its column
        assert named(form.findings.settled, "Column MediaTypes.MediaTypeId").value == 0
        choose(form, "Column MediaTypes.MediaTypeId", "take back")
        assert form.findings.settled.button.description == "▸ 1 settled"
        assert "Column MediaTypes.MediaTypeId" in [getattr(each, "description", "") for each in walk(form.findings)]
        form.findings.accept.click()
        form.wait()
        assert form.findings.settled.button.description == "▸ 11 settled"
        choose(form, "Table MediaTypes", "take back")  # and with it what was chosen about its columns
        assert form.findings.settled.button.description == "▸ 9 settled"
        assert form.next.disabled
        named(form.findings, "Take all back").click()
        form.wait()
        assert form.wizard.differences.chosen == {}
        form.wizard.close()


def test_nothing_is_dropped_and_nothing_guessed_by_accepting_all(databases: Databases, tmp_path: Path) -> None:
    source = made(databases, "CREATE TABLE P (id INT PRIMARY KEY, FirstName TEXT, gone TEXT, whole TEXT, part TEXT)",
                  "CREATE TABLE lost (x INTEGER PRIMARY KEY)", "INSERT INTO lost VALUES (1)",
                  "INSERT INTO P VALUES (1, 'Ann', 'x', '7', '7.5')")  # fmt: skip
    url = made(
        databases, "CREATE TABLE p (id INTEGER PRIMARY KEY, first_name TEXT, whole INTEGER, part INTEGER)",
        dialect="postgresql",
    )  # fmt: skip
    with dt.Database(url) as target:
        form = ready_to_import(target, package_of(source, tmp_path / "p.zip"))
        assert "P.FirstName → first_name<" in told(form.findings.proposals)
        assert "P.whole: its values become integer<" in told(form.findings.proposals)
        assert "→" not in told(form.findings.to_choose)
        form.findings.accept.click()
        form.wait()
        assert form.wizard.mapping == dt.Mapping(
            rename={"P": {"FirstName": "first_name"}}, cast={"P": {"whole": "integer"}}
        )
        assert sorted(item.where for item in form.wizard.unsettled) == ["P.gone", "P.part", "lost"]
        choose(form, "Table lost", "is left out")
        choose(form, "Column P.gone", "is left out")
        choose(form, "Column P.part", "its values become integer, and may change")
        assert not form.next.disabled
        form.next.click()
        form.wait()
        form.wizard.close()
    assert asked(url, "SELECT first_name, whole, part FROM p") == [("Ann", 7, 8)]


def test_a_table_or_column_that_is_called_otherwise_is_chosen_from_those_that_are_free(
    databases: Databases, tmp_path: Path
) -> None:
    source = made(
        databases, "CREATE TABLE wares (id INTEGER PRIMARY KEY, price INTEGER)", "INSERT INTO wares VALUES (1, 5)"
    )
    url = made(databases, "CREATE TABLE stock (id INTEGER PRIMARY KEY, cents INTEGER, note TEXT)",
               "CREATE TABLE zoo (id INTEGER PRIMARY KEY)")  # fmt: skip
    with dt.Database(url) as target:
        form = ready_to_import(target, package_of(source, tmp_path / "p.zip"))
        box = named(form.findings, "Table wares")
        assert words(box) == ["decide …", "is left out", "goes into stock", "goes into zoo"]
        choose(form, "Table wares", "goes into stock")
        box = named(form.findings, "Column wares.price")
        assert words(box) == ["decide …", "is left out", "goes into cents", "goes into note"]
        choose(form, "Column wares.price", "goes into cents")
        form.next.click()
        form.wait()
        assert form.receipt is not None
        form.wizard.close()
    assert asked(url, "SELECT id, cents, note FROM stock") == [(1, 5, None)]


@pytest.mark.parametrize(
    ("declared", "kind", "value", "held"),
    [("INTEGER", w.IntText, 4, 4), ("BOOLEAN", w.Dropdown, True, True), ("DOUBLE PRECISION", w.FloatText, 0.5, 0.5),
     ("VARCHAR(9)", w.Text, "web", "web"), ("DATE", w.DatePicker, None, None)],
)  # fmt: skip
def test_a_column_that_the_target_requires_gets_a_value_of_its_kind(
    databases: Databases, package: Path, declared: str, kind: type[w.Widget], value: Any, held: Any
) -> None:
    import datetime

    value = datetime.date(2026, 1, 31) if declared == "DATE" else value
    url = made(databases, SHOP[0].replace(")\n", ")") , SHOP[1], f"ALTER TABLE users ADD channel {declared} NOT NULL",
               dialect="postgresql")  # fmt: skip
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        control = named(form.findings, "Value for users.channel")
        assert isinstance(control, kind)
        control.value = value
        named(form.findings, "Use this value").click()
        form.wait()
        assert form.findings.settled.button.description == "▸ 1 settled"
        assert not form.next.disabled
        form.next.click()
        form.wait()
        form.wizard.close()
    assert asked(url, "SELECT DISTINCT channel FROM users") == [(value,)]


def test_a_value_that_the_column_does_not_take_is_told_and_can_be_given_anew(
    databases: Databases, package: Path
) -> None:
    url = made(databases, *SHOP, "ALTER TABLE users ADD channel NUMERIC(4,2) NOT NULL", dialect="postgresql")
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        for text in ("many", "0.99"):
            named(form.findings, "Value for users.channel").value = text
            named(form.findings, "Use this value").click()
            form.wait()
            if text == "many":
                assert "the default given for it is no value of" in told(form.findings.to_choose)
                assert not is_shown(form.findings.settled)
        assert form.findings.settled.button.description == "▸ 1 settled"
        assert not form.next.disabled
        form.wizard.close()


def test_what_was_chosen_is_forgotten_where_the_target_lost_it(databases: Databases, package: Path) -> None:
    url = made(databases, SHOP[0].replace("password", "secret"), SHOP[1])
    with dt.Database(url) as target:
        wizard = ImportWizard(target)
        wizard.open(package)
        wizard.step = "plan"
        [finding] = wizard.check().errors
        wizard.choose(finding, dt.Mapping(rename={"users": {"password": "secret"}}))
        assert wizard.check().ok
        run(url, "ALTER TABLE users DROP COLUMN secret")
        target.refresh()
        with pytest.raises(dt.UnknownColumnError):
            wizard.check()
        assert not wizard.mapping
        assert [item.where for item in wizard.unsettled] == ["users.password"]
        wizard.close()


def test_the_finding_that_forbids_nothing_is_folded_away(databases: Databases, package: Path) -> None:
    url = made(databases, SHOP[0].replace("VARCHAR(50)", "VARCHAR(40)"), SHOP[1], dialect="postgresql")
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        count = len(form.wizard.differences.report)  # type: ignore[arg-type]
        assert count > 1
        assert form.findings.minor.button.description == f"▸ {count} notes, none stops the import"
        assert not form.next.disabled
        form.wizard.close()


def test_many_findings_are_shown_part_by_part(databases: Databases, tmp_path: Path) -> None:
    columns = [f"c{k:02}x" for k in range(70)]
    given = ", ".join(f"{name} TEXT" for name in columns)
    source = made(databases, f"CREATE TABLE t (id INTEGER PRIMARY KEY, {given})", "INSERT INTO t (id) VALUES (1)")
    url = made(databases, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    with dt.Database(url) as target:
        form = ready_to_import(target, package_of(source, tmp_path / "p.zip"))
        lists = [each.description for each in walk(form.findings.to_choose) if isinstance(each, w.Dropdown)]
        assert lists == [f"Column t.{name}" for name in columns[:30]]
        named(form.findings, "Show 30 more of 40").click()
        first = named(form.findings, "Column t.c00x")
        named(form.findings, "Show 10 more of 10").click()
        assert named(form.findings, "Column t.c00x") is first
        lists = [each.description for each in walk(form.findings.to_choose) if isinstance(each, w.Dropdown)]
        assert len(lists) == 70
        for name in columns:
            named(form.findings, f"Column t.{name}").value = 0
        form.wait()
        assert form.findings.settled.button.description == "▸ 70 settled"
        assert not form.next.disabled
        named(form.findings.settled, "Show 30 more of 40").click()
        assert named(form.findings.settled, "Column t.c59x").value == 0
        form.wizard.close()
