"""Columns that are left out: nowhere in the package; what cannot be left out is refused, and the preview advises."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer import errors
from datatransfer.cli import main
from tests.support.scripts import Make, made_by, run_script
from tests.support.secrets import CANARY, ODD, SECRETS, SHOP, everything
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS, ENCODINGS


@pytest.fixture
def make(databases: Databases) -> Iterator[Make]:
    with made_by(SHOP, databases) as made:
        yield made


# --- what the package has ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_column_is_nowhere_in_the_package(make: Make, tmp_path: Path, dialect: str, encoding: str) -> None:
    builder = everything(make(dialect=dialect), *SECRETS)
    with builder.build(tmp_path / "p.zip", progress=False, encoding=encoding) as package:  # type: ignore[arg-type]
        assert package.verify().ok
        assert package.schema.table("users").column_names == ("id", "email", "team_id")
        assert package.schema.table("users").uniques == (("email",),)
        assert list(package["visits"].to_frame()["page"]) == ["a", "a", "b"]
        assert len(package["users"].to_frame()) == 2
        shown = [package[name].to_frame().to_csv() for name in package]
    assert not any(CANARY in text for text in shown)
    assert CANARY.encode() not in (tmp_path / "p.zip").read_bytes()  # documents are stored as they are


def test_without_it_the_column_is_there(make: Make, tmp_path: Path) -> None:
    dt.PackageBuilder(make()).add_all().build(tmp_path / "p.zip", progress=False, encoding="documents").close()
    assert CANARY.encode() in (tmp_path / "p.zip").read_bytes()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_foreign_key_that_uses_the_column_goes_with_it(make: Make, tmp_path: Path, dialect: str) -> None:
    with everything(make(dialect=dialect), "users.team_id").build(tmp_path / "p.zip", progress=False) as package:
        assert package.verify().ok
        assert package.schema.table("users").foreign_keys == ()
        assert [fk.label for fk in package.schema.table("posts").foreign_keys] == ["posts.user_id"]


def test_it_is_written_down_so_that_the_package_can_be_made_again(make: Make, tmp_path: Path) -> None:
    builder = everything(make(), "visits.token").leave_out("users.token", "users.password")
    with builder.build(tmp_path / "p.zip", progress=False) as package:
        written_down = json.dumps(package.metadata.selection["left_out"])  # its order, too, is always the same
        assert written_down == '{"users": ["password", "token"], "visits": ["token"]}'
        assert package.left_out == {"users": ("password", "token"), "visits": ("token",)}
        assert "users.password" in package._repr_html_()
    with dt.PackageBuilder(make()).add_all().build(tmp_path / "q.zip", progress=False) as package:
        assert "left_out" not in package.metadata.selection
        assert package.left_out == {}


def test_what_a_stranger_wrote_there_is_no_reason_to_fail(make: Make, tmp_path: Path) -> None:
    from dataclasses import replace

    with dt.PackageBuilder(make()).add_all().build(tmp_path / "p.zip", progress=False) as package:
        for odd in (None, 1, ["users"], {"users": "token"}, {"users": None}):
            package.metadata = replace(package.metadata, selection={"left_out": odd})
            assert package.left_out == {}


def test_a_job_knows_it(make: Make, tmp_path: Path) -> None:
    builder = everything(make(), "users.password")
    job = builder.start(tmp_path / "p.zip")
    builder.leave_out("users.token")
    with job.result() as package:
        assert package.left_out == {"users": ("password",)}


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("column", "why"),
    [
        ("pairs.b", "key"),
        ("pairs.(note, a)", "key"),
        ("named.code", "key"),
        ("marked.entity_uuid", "identity"),
        ("lines.line", "no column of the table would be left"),
    ],
)
def test_what_cannot_be_left_out_is_refused_with_the_reason(make: Make, column: str, why: str) -> None:
    builder = dt.PackageBuilder(make(ODD)).add_all()
    with pytest.raises(errors.UsageError, match=why) as caught:
        builder.leave_out(column)
    assert caught.value.where.startswith(column.split(".")[0])
    assert caught.value.hint
    assert builder.preview().left_out == ()  # a refused call leaves nothing behind


def test_unknown_tables_and_columns_are_named(make: Make) -> None:
    builder = dt.PackageBuilder(make()).add_all()
    with pytest.raises(errors.UnknownTableError, match="'user'"):
        builder.leave_out("user.password")
    with pytest.raises(errors.UnknownColumnError, match="'pass'"):
        builder.leave_out("users.pass")
    with pytest.raises(errors.UsageError, match="names no column"):
        builder.leave_out("users")
    with pytest.raises(errors.UsageError, match="names no column"):
        builder.leave_out()
    with pytest.raises(errors.UsageError, match="takes no list"):
        builder.leave_out(["users.password"])  # type: ignore[arg-type]


def test_a_table_that_has_changed_since_is_looked_at_again(make: Make) -> None:
    db = make("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT)")
    builder = everything(db, "t.a")
    run_script(str(db.engine.url), "DROP TABLE t; CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT)")
    db.refresh()
    with pytest.raises(errors.UsageError, match="key"):
        builder.preview()
    run_script(str(db.engine.url), "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT)")
    db.refresh()
    with pytest.raises(errors.UnknownColumnError):
        builder.preview()


# --- what the preview says --------------------------------------------------------------------------------------------


def test_the_preview_names_the_way_to_leave_secrets_out_until_they_are(make: Make) -> None:
    db = make()
    found = {w.where: w.message for w in dt.PackageBuilder(db).add_all().preview().warnings if w.code == "secret"}
    assert set(found) == set(SECRETS)
    assert all(f'leave_out("{where}")' in message for where, message in found.items())
    selection = everything(db, *SECRETS).preview()
    assert not [w for w in selection.warnings if w.code == "secret"]
    assert selection.left_out == ("users.password", "users.token", "visits.token")
    assert "3 columns left out" in repr(selection)
    assert "users.password" in selection._repr_html_()
    assert selection.bytes < dt.PackageBuilder(db).add_all().preview().bytes
    assert "left out" not in repr(dt.PackageBuilder(db).add_all().preview())


def test_what_holds_the_same_values_in_another_column_is_named(make: Make) -> None:
    db = make("""
        CREATE TABLE people (id INTEGER PRIMARY KEY, ssn TEXT UNIQUE, name TEXT, shown TEXT AS (name || ' ' || "ssn"));
        CREATE TABLE cards (id INTEGER PRIMARY KEY, holder TEXT REFERENCES people (ssn), lessness TEXT AS (holder));
    """)
    found = [w for w in everything(db, "people.ssn").preview().warnings if w.code == "column_left_out"]
    assert {w.where: w.message.split(",")[0] for w in found} == {
        "people.shown": "the column is computed from people.ssn",
        "cards.holder": "the column holds the values of people.ssn",
    }
    more = everything(db, "people.ssn", "people.shown", "cards.holder").preview().warnings
    assert [w.where for w in more if w.code == "column_left_out"] == ["cards.lessness"]


def test_no_advice_is_given_that_would_be_refused(make: Make) -> None:
    db = make("""
        CREATE TABLE people (id INTEGER PRIMARY KEY, ssn TEXT UNIQUE);
        CREATE TABLE cards (holder TEXT PRIMARY KEY NOT NULL REFERENCES people (ssn), pin TEXT);
        CREATE TABLE tokens (token TEXT PRIMARY KEY NOT NULL, note TEXT);
    """)
    found = {w.where: w.message for w in everything(db, "people.ssn").preview().warnings}
    assert set(found) == {"cards.holder", "tokens.token"}
    assert all("only its rows can be left out" in message for message in found.values())


def test_a_reference_to_the_column_is_a_plain_value_in_the_package(make: Make, tmp_path: Path) -> None:
    db = make("""
        CREATE TABLE people (id INTEGER PRIMARY KEY, ssn TEXT UNIQUE);
        CREATE TABLE cards (id INTEGER PRIMARY KEY, holder TEXT REFERENCES people (ssn));
        INSERT INTO people VALUES (1, 'x'); INSERT INTO cards VALUES (5, 'x')
    """)
    with everything(db, "people.ssn").build(tmp_path / "p.zip", progress=False) as package:
        assert package.verify().ok
        assert package.schema.table("cards").foreign_keys == ()
        assert list(package["cards"].to_frame()["holder"]) == ["x"]


# --- command line -----------------------------------------------------------------------------------------------------


def test_it_can_be_typed(sqlite_url: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = sqlite_url()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.executescript(SHOP)
    base = ("export", url, str(tmp_path / "p.zip"), "--key", "users=1")
    assert main((*base, "--preview")) == 0
    assert "--leave-out users.password keeps it out" in capsys.readouterr().err
    typed = (*base, "--leave-out", "users.password", "--leave-out", "users.team_id")
    assert main((*typed, "--preview")) == 0
    heard = capsys.readouterr()
    assert "left out: users.password, users.team_id" in heard.out
    assert "users.password" not in heard.err
    assert "--stop users.team_id:up leaves them out" in heard.err
    assert main((*typed, "--preview", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == ["users.password", "users.team_id"]
    assert main(typed) == 0
    with dt.DataPackage.open(tmp_path / "p.zip") as package:
        assert package.left_out == {"users": ("password", "team_id")}
    capsys.readouterr()
    assert main(("inspect", str(tmp_path / "p.zip"))) == 0
    assert "users.password" in capsys.readouterr().out
    assert main(("inspect", str(tmp_path / "p.zip"), "--json")) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == {"users": ["password", "team_id"]}
    assert main(("diff", str(tmp_path / "p.zip"), url)) == 0
    assert main((*base, "--leave-out", "users.id")) == 2
    assert "belongs to the key" in capsys.readouterr().err
