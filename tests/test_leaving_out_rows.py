"""Which rows are selected when columns are left out: the same as if they were there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer import errors
from tests.support.scripts import Make, made_by
from tests.support.secrets import CANARY, SECRETS, SHOP, everything
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS


@pytest.fixture
def make(databases: Databases) -> Iterator[Make]:
    with made_by(SHOP, databases) as made:
        yield made


@pytest.mark.parametrize("dialect", DIALECTS)
def test_conditions_may_use_the_column(make: Make, tmp_path: Path, dialect: str) -> None:
    db = make(dialect=dialect)
    builder = dt.PackageBuilder(db).leave_out(*SECRETS)
    builder.add("users", where="password = :p", params={"p": f"{CANARY}-1"})
    builder.add("visits", where="token IS NULL")
    with builder.build(tmp_path / "p.zip", progress=False) as package:
        assert list(package["users"].to_frame()["email"]) == ["ann@x"]
        assert list(package["visits"].to_frame()["page"]) == ["b"]
        assert package.verify().ok


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_same_rows_are_selected_and_say_why(make: Make, tmp_path: Path, dialect: str) -> None:
    db = make(dialect=dialect)
    before = dt.PackageBuilder(db).add("users", keys=[1]).preview()
    builder = dt.PackageBuilder(db).add("users", keys=[1]).leave_out("users.team_id", *SECRETS)
    selection = builder.preview()
    assert list(selection.counts["rows"]) == list(before.counts["rows"])
    assert [step.foreign_key for step in selection.why("teams", 1)] == ["users.team_id", ""]
    with builder.build(tmp_path / "p.zip", progress=False) as package:
        assert package.verify().ok
        assert [step.table for step in package.why("posts", 10)] == ["posts", "users"]
        assert list(package.why("teams", 1)) == []  # nothing in the package leads to it


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_required_parent_can_be_stopped_when_the_reference_to_it_is_left_out(
    make: Make, tmp_path: Path, dialect: str
) -> None:
    db = make(dialect=dialect)
    builder = dt.PackageBuilder(db).add("users", keys=[1])
    asked = [w for w in builder.leave_out("users.team_id").preview().warnings if w.code == "column_left_out"]
    assert [w.where for w in asked] == ["users.team_id"]
    assert 'stop("users.team_id", direction="up")' in asked[0].message
    builder.stop("users.team_id", direction="up")
    assert not any(w.code == "column_left_out" for w in builder.preview().warnings)
    with builder.build(tmp_path / "p.zip", progress=False) as package:
        assert "teams" not in package
        assert package.verify().ok
    with pytest.raises(errors.SelectionError, match="required"):
        dt.PackageBuilder(db).add("users", keys=[1]).stop("users.team_id", direction="up").preview()


def test_a_reference_that_would_become_null_is_not_there_to_do_so(make: Make, tmp_path: Path) -> None:
    db = make(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, up INTEGER REFERENCES a (id)); INSERT INTO a VALUES (1, NULL), (2, 1)"
    )
    builder = dt.PackageBuilder(db).add("a", keys=[2]).null("a.up")
    with builder.build(tmp_path / "p.zip", progress=False) as package:
        assert package.metadata.selection["nulled"] == {"a.up": 1}
    with builder.leave_out("a.up").build(tmp_path / "q.zip", progress=False) as package:
        assert package.metadata.selection["nulled"] == {}
        assert list(package["a"].to_frame().columns) == ["id"]


def test_orphans_of_a_reference_that_is_left_out_do_not_matter(make: Make, tmp_path: Path) -> None:
    db = make("CREATE TABLE a (id INTEGER PRIMARY KEY, up INTEGER REFERENCES a (id)); INSERT INTO a VALUES (1, 9)")
    with pytest.raises(errors.OrphanError):
        dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", progress=False)
    with everything(db, "a.up").build(tmp_path / "p.zip", progress=False) as package:
        assert package.verify().ok
        assert len(package["a"].to_frame()) == 1


def test_files_of_the_column_stay_behind(make: Make, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "kept.txt").write_text("kept")
    (store / "secret.txt").write_text(CANARY)
    script = "CREATE TABLE a (id INTEGER PRIMARY KEY, one TEXT, two TEXT);"
    script += "INSERT INTO a VALUES (1, 'kept.txt', 'secret.txt'), (2, NULL, 'missing.txt')"
    files = {"a.one": dt.FolderStore(store), "a.two": dt.FolderStore(store)}
    builder = everything(make(script, files=files), "a.two")
    assert list(builder.preview().files["path"]) == ["kept.txt"]
    with builder.build(tmp_path / "p.zip", progress=False) as package:  # a missing file would be an error
        assert list(package.files["name"]) == ["kept.txt"]
        assert package.verify().ok
    assert CANARY.encode() not in (tmp_path / "p.zip").read_bytes()
