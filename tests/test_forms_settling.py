"""The plan's page of the import form: conflicts, and what was decided."""

from __future__ import annotations

import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import ipywidgets as w
import pandas as pd
import pytest

import datatransfer as dt
from datatransfer.notebook import writing
from datatransfer.notebook.import_wizard import ImportWizard
from tests.support.copies import empty_copy
from tests.support.forms import SHOP, is_shown, named, package_of, ready_to_import, shop, walk
from tests.support.markup import html_text
from tests.support.servers import Databases
from tests.support.sql import run


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> Path:
    return package_of(shop(databases), tmp_path / "all.zip")


def _own_users(databases: Databases, count: int) -> str:
    """Make a shop whose users have the addresses of those of a package, under other keys."""
    url = databases.create("sqlite")
    run(url, *SHOP, *(f"INSERT INTO users VALUES ({k + 1000}, '{k}@example.org', 'own')" for k in range(1, count + 1)))
    return url


def test_a_conflict_says_what_the_entity_holds_and_which_row_is_there(databases: Databases, package: Path) -> None:
    with dt.Database(_own_users(databases, 2)) as target:
        form = ready_to_import(target, package)
        said = [each.value for each in walk(form.conflicts) if isinstance(each, w.HTML)]
        [first] = [text for text in said if "users 1: another row holds the same email (there: 1001)" in text]
        assert "email &#x27;1@example.org&#x27;" in first
        form.wizard.close()


def test_no_value_of_a_column_that_looks_like_a_secret_is_shown(databases: Databases, package: Path) -> None:
    url = databases.create("sqlite")
    run(url, SHOP[0].replace("password", "hidden"), SHOP[1], "INSERT INTO users VALUES (1001, '1@example.org', 'own')")
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        box = named(form.findings, "Column users.password")
        box.value = dict(box.options)["goes into hidden"]
        form.wait()
        assert "password" not in _said(form.conflicts)
        assert form.wizard.mapping.rename == {"users": {"password": "hidden"}}
        form.policies["on_match"].value = "error"
        form.match_on.value = "users.email"
        form.wait()
        assert "differs, not shown" in _said(form.conflicts)
        assert "hidden" in _said(form.conflicts)
        assert not [word for word in ("pwa", "own") if f">{word}<" in _said(form.conflicts)]
        assert "pwa" not in _said(form)
        form.wizard.close()


SESSIONS = """CREATE TABLE sessions (token VARCHAR(40) PRIMARY KEY, device VARCHAR(20) UNIQUE, parent VARCHAR(40),
    FOREIGN KEY (parent) REFERENCES sessions (token))"""


def test_a_key_that_looks_like_a_secret_is_shown_neither_in_conflicts_nor_in_decisions(
    databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create("sqlite"), databases.create("sqlite")
    run(source, SESSIONS, "INSERT INTO sessions VALUES ('topsecret1', 'phone', NULL), ('topsecret2', 'desk', NULL)")
    run(url, SESSIONS, "INSERT INTO sessions VALUES ('ownsecret1', 'phone', NULL), ('ownsecret2', 'desk', NULL)")
    with dt.Database(url) as target:
        form = ready_to_import(target, package_of(source, tmp_path / "p.zip"))
        assert "device &#x27;phone&#x27;" in _said(form.conflicts)
        named(form.conflicts, "sessions number 2").value = "reuse"
        form.wait()
        assert named(form.decided, "sessions number 2 decided as").value == "reuse"
        assert named(form.conflicts, "sessions number 1").value == "decide …"
        assert form.wizard.decisions == [("sessions", ["topsecret2"], "reuse")]
        words = [str(getattr(each, "description", "")) for each in walk(form)]
        assert "secret" not in " ".join([_said(form), *words])
        form.wizard.close()


def test_rows_that_get_another_text_are_told_in_the_plan(databases: Databases, package: Path) -> None:
    url = databases.create("sqlite")
    run(url, *SHOP, "INSERT INTO users VALUES (11, '1@example.org', 'own'), (12, '3@example.org', 'own')")
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        assert "renamed" not in html_text(form.summary.value)
        form.policies["on_clash"].value = "rename"
        form.wait()
        said = html_text(form.summary.value)
        assert "renamed, as another row holds the same unique text: 2 of users" in said
        assert "plan." not in said
        form.wizard.close()


def _said(widget: w.Widget) -> str:
    return " ".join(each.value for each in walk(widget) if isinstance(each, w.HTML))


def test_only_a_row_of_its_own_is_offered_where_several_rows_match(databases: Databases, tmp_path: Path) -> None:
    table = "CREATE TABLE p (id INTEGER PRIMARY KEY, name VARCHAR(20))"
    source, url = databases.create("sqlite"), databases.create("sqlite")
    run(source, table, "INSERT INTO p VALUES (1, 'Music')")
    run(url, table, "INSERT INTO p VALUES (5, 'Music'), (6, 'Music')")
    with dt.Database(url) as target:
        form = ready_to_import(target, package_of(source, tmp_path / "p.zip"))
        form.match_on.value = "p.name"
        form.wait()
        box = named(form.conflicts, "p 1")
        assert [word for _, word in box.options] == ["decide …", "rename", "insert"]
        box.value = "rename"
        form.wait()
        assert "no unique text of it clashes" in str(form.error.error)
        assert "to_frame" not in form.error.said.value
        named(form.conflicts, "p 1").value = "insert"
        form.wait()
        assert not form.next.disabled
        form.wizard.close()


def test_what_was_decided_is_listed_and_can_be_changed_and_taken_back(databases: Databases, package: Path) -> None:
    url = databases.create("sqlite")
    run(url, *SHOP, *(f"INSERT INTO users VALUES ({k + 10}, '{k}@example.org', 'own')" for k in (1, 2, 3)))
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        assert not is_shown(form.decided)
        named(form.conflicts, "all 3 of users").value = "reuse"
        form.wait()
        assert not form.next.disabled
        assert form.decided.button.description == "▸ 3 decisions made"
        assert named(form.decided, "all 3 of users decided as reuse").value == "reuse"
        form.decided.button.click()
        named(form.decided, "users 2 decided as").value = "update"
        form.wait()
        assert is_shown(form.decided.content)  # it stays open while one decision after the other is changed
        assert form.wizard.decisions == [("users", [1, 3], "reuse"), ("users", [2], "update")]
        named(form.decided, "users 3 decided as").value = "take back"
        form.wait()
        assert form.next.disabled
        assert form.wizard.decisions == [("users", [1], "reuse"), ("users", [2], "update")]
        assert "1 conflict must be decided" in form.state_line.value
        named(form.decided, "users 2 decided as").value = "insert"  # it cannot be: its unique text is taken
        form.wait()
        assert isinstance(form.error.error, dt.UsageError)
        assert named(form.decided, "users 2 decided as").value == "update"
        assert "not done" not in form.summary.value
        named(form.conflicts, "users 3").value = "rename"
        form.wait()
        assert form.error.error is None
        form.next.click()
        form.wait()
        assert form.receipt is not None
        assert {kind: form.receipt.counts["users"][kind] for kind in ("reuse", "update", "insert")} == {
            "reuse": 1, "update": 1, "insert": 1,
        }  # fmt: skip
        form.wizard.close()


def test_many_decisions_are_listed_up_to_a_limit(databases: Databases, tmp_path: Path) -> None:
    url = _own_users(databases, 40)
    with dt.Database(url) as target:
        form = ready_to_import(target, package_of(shop(databases, rows=40), tmp_path / "forty.zip"))
        named(form.conflicts, "all 40 of users").value = "reuse"
        form.wait()
        assert len([each for each in walk(form.decided) if isinstance(each, w.Dropdown)]) == 31
        assert "and 10 more" in walk(form.decided)[-1].value
        named(form.decided, "all 40 of users decided as reuse").value = "take back"
        form.wait()
        assert form.wizard.decisions == []
        assert not is_shown(form.decided)
        assert "40 conflicts must be decided" in form.state_line.value
        form.wizard.close()


def test_decisions_that_follow_each_other_quickly_all_count(databases: Databases, tmp_path: Path) -> None:
    url = _own_users(databases, 20)
    with dt.Database(url) as target:
        form = ready_to_import(target, package_of(shop(databases, rows=20), tmp_path / "twenty.zip"))
        for box in [each for each in walk(form.conflicts) if isinstance(each, w.Dropdown)][1:]:
            box.value = "reuse"
        form.wait()
        assert form.error.error is None
        assert sorted(key for _, [key], _ in form.wizard.decisions) == list(range(1, 21))
        assert not form.next.disabled
        form.wizard.close()


def test_the_code_of_many_decisions_has_short_lines_and_does_the_same(databases: Databases, tmp_path: Path) -> None:
    url = _own_users(databases, 300)
    with dt.Database(url) as target:
        wizard = ImportWizard(target)
        wizard.open(package_of(shop(databases, rows=300), tmp_path / "many.zip"))
        wizard.check()
        wizard.set_policy("identity", "copy")
        wizard.set_match_on("users", ["email"])
        wizard.make_plan()
        wizard.decide("users", list(range(1, 281)), "reuse")
        wizard.decide("users", list(range(281, 301)), "update")
        wizard.decide("users", [290], "reuse")
        assert wizard.plan is not None
        expected = wizard.plan.counts
        code = wizard.code()
        wizard.close()
        assert max(map(len, code.splitlines())) <= writing.WIDTH
        assert "# the keys of 280 entities of users" in code
        assert "plan.decide('users', keys_1, 'reuse')" in code
        names: dict[str, object] = {}
        exec(code.replace("receipt = importer.run(plan)", ""), names)
        assert names["plan"].counts == expected  # type: ignore[attr-defined]
        names["plan"].discard()  # type: ignore[attr-defined]


def test_the_code_of_keys_of_every_kind_runs() -> None:
    keys = [
        (datetime.date(2026, 1, k % 28 + 1), Decimal(k) / 8, UUID(int=k), pd.Timestamp(2026, 1, 1), b"x", "a'b", None)
        for k in range(60)
    ]
    code = "\n".join(
        [*writing.imports(keys), *writing.decided([("new\nline", keys, "skip"), ("few", keys[:20], "skip")])]
    )
    plan = Written()
    exec(code, {"plan": plan})
    assert plan.told == [("new\nline", keys, "skip"), ("few", keys[:20], "skip")]
    opened = f"dt.Database({'sqlite:///' + 'x' * 80!r}, files={{'a.path': dt.FolderStore('files')}})"
    lines = ["db = dt.Database(", f"    'sqlite:///{'x' * 80}',", "    files={'a.path': dt.FolderStore('files')},", ")"]
    assert writing.assigned("db", opened) == "\n".join(lines)
    call = writing.call(
        "plan.load", {"rename": {f"t{k}": {"long name": "x" * 20} for k in range(9)}}, mapping="y" * 200
    )
    assert call.startswith("plan.load(\n    {\n")
    assert max(map(len, call.splitlines())) <= writing.WIDTH


def test_no_line_of_code_is_too_long_however_long_names_and_paths_are() -> None:
    names = {f"{'a' * 62}{k}": f"{'b' * 62}{k}" for k in range(10, 13)}
    given = {"rename": {"T" * 64: names, "short": {"A": "a", "B": "b"}}, "drop": {"t" * 64: ["c" * 64, "d" * 64]},
             "drop_tables": ["x"], "default": {"t": {"c": "v'\n" * 60}}}  # fmt: skip
    code = [writing.call("plan = importer.plan", **given), writing.call("package = open", "/long" * 50)]
    code.append(
        writing.assigned(
            "db", f"open({'sqlite:///' + 'y' * 150!r}, files={{{'t' * 60 + '.c'!r}: dict(a={'z' * 120!r})}})"
        )
    )
    assert max(len(line) for each in code for line in each.splitlines()) <= writing.WIDTH
    found: dict[str, Any] = {"importer": _Taken(), "open": lambda *path, **more: (path, more)}
    exec("\n".join(code), found)
    assert found["plan"] == given
    assert found["package"] == (("/long" * 50,), {})
    assert found["db"] == (("sqlite:///" + "y" * 150,), {"files": {"t" * 60 + ".c": {"a": "z" * 120}}})


class _Taken:
    """Gives back what it is given."""

    @staticmethod
    def plan(**given: Any) -> dict[str, Any]:
        return given


class Written:
    """Keeps what is decided."""

    def __init__(self) -> None:
        self.told: list[tuple[str, list[object], str]] = []

    def decide(self, *given: Any) -> None:
        self.told.append(given)


def test_keys_that_cannot_be_read_are_told_until_they_can_whatever_is_pressed(
    databases: Databases, package: Path
) -> None:
    with dt.Database(empty_copy(shop(databases), databases)) as target:
        form = ready_to_import(target, package)
        form.match_on.value = "users.emial"
        form.wait()
        for press in (
            form.error.buttons["Plan again"].click,
            named(form.pages["plan"], "Plan again").click,
            lambda: setattr(form.policies["on_match"], "value", "update"),
        ):
            press()
            form.wait()
            assert isinstance(form.error.error, dt.UnknownColumnError)
            assert form.next.disabled
            assert form.wizard.plan is None
        form.match_on.value = "users.email"
        form.wait()
        assert form.error.error is None
        assert not form.next.disabled
        assert form.wizard.match_on == {"users": ["email"]}
        form.wizard.close()
