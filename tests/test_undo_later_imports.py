"""An undo takes back what its own import brought, and leaves what a later import brought again."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.errors import TargetChangedError, UndoConflictError
from datatransfer.importing import undo as undoing
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.transfer import DIALECTS, export_all

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(20))"
ITEMS = "CREATE TABLE items (part VARCHAR(9) NOT NULL, n INTEGER NOT NULL, txt VARCHAR(9), PRIMARY KEY (part, n))"
NOTES = "CREATE TABLE notes (txt VARCHAR(9))"
ROWS = (
    "INSERT INTO users VALUES (1, 'a'), (2, 'b')",
    "INSERT INTO items VALUES ('x', 1, 'a'), ('x', 2, 'b')",
    "INSERT INTO notes VALUES ('same'), ('same'), ('other')",
)

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> dt.DataPackage:
    source = databases.create("sqlite")
    run(source, USERS, ITEMS, NOTES, *ROWS)
    return export_all(source, tmp_path / "users.zip")


@pytest.fixture
def url(databases: Databases, dialect: str) -> str:
    made = databases.create(dialect)
    run(made, USERS, ITEMS, NOTES)
    return made


def counted(url: str) -> tuple[int, ...]:
    return tuple(int(asked(url, f"SELECT count(*) FROM {table}")[0][0]) for table in ("users", "items", "notes"))


@every_dialect
def test_rows_that_a_later_import_brought_again_are_its_own(package: dt.DataPackage, url: str) -> None:
    with dt.Database(url) as target:
        first = dt.PackageImporter(package, target).run()
        run(url, "DELETE FROM users WHERE id = 1", "DELETE FROM items", "DELETE FROM notes")
        second = dt.PackageImporter(package, target).run()
        assert second.total("insert") == 6
        check = first.check_undo()
        later = f"import {second.import_id}"
        assert not check.ok
        assert {(table, key, state, by) for table, key, state, by in check.rows} == {
            ("users", 1, "edited", later), ("items", ("x", 1), "edited", later), ("items", ("x", 2), "edited", later),
            ("notes", (), "edited", later),
        }  # fmt: skip
        with pytest.raises(UndoConflictError, match=r"1 of users \(edited\)") as caught:
            first.undo()
        assert f"undo {later} first" in caught.value.hint
        assert counted(url) == (2, 2, 3)
        first.undo(keep_edited=True)
        assert counted(url) == (1, 2, 3)
        assert second.check_undo().ok
        second.undo()
    assert counted(url) == (0, 0, 0)


@every_dialect
def test_imports_that_are_undone_the_latest_first_take_all_of_it(package: dt.DataPackage, url: str) -> None:
    with dt.Database(url) as target:
        first = dt.PackageImporter(package, target).run()
        run(url, "DELETE FROM users", "DELETE FROM items WHERE n = 2", "DELETE FROM notes WHERE txt = 'other'")
        second = dt.PackageImporter(package, target).run()
        second.undo()
        assert counted(url) == (0, 1, 2)
        states = {(table, state) for table, _, state, _ in first.check_undo().rows}
        assert states == {("users", "gone"), ("items", "gone"), ("notes", "edited")}
        first.undo(keep_edited=True)
    assert counted(url) == (0, 0, 0)


@every_dialect
def test_copies_without_a_key_are_left_as_often_as_later_imports_brought_them(
    package: dt.DataPackage, url: str
) -> None:
    with dt.Database(url) as target:
        first = dt.PackageImporter(package, target).run()
        run(url, "DELETE FROM notes", "INSERT INTO notes VALUES ('other')")
        second = dt.PackageImporter(package, target).run(on_match="update")
        assert second.counts["notes"]["insert"] == 2
        run(url, "INSERT INTO notes VALUES ('same')")  # one of the two that the first had brought, for all we know
        first.undo(keep_edited=True)
        assert asked(url, "SELECT txt FROM notes") == [("same",), ("same",)]
        second.undo()
    assert counted(url)[2] == 0


@every_dialect
def test_an_undo_that_was_undone_brings_rows_in_the_name_of_its_import(package: dt.DataPackage, url: str) -> None:
    with dt.Database(url) as target:
        first = dt.PackageImporter(package, target).run()
        undone = first.undo()
        second = dt.PackageImporter(package, target).run()
        run(url, "DELETE FROM users")
        undone.undo(keep_edited=True)  # the first is in force again, and has brought the users again
        assert {table for table, *_ in first.check_undo().rows} == {"items"}  # of notes all copies came back
        assert {(table, by) for table, _, _, by in second.check_undo().rows} == {
            ("users", f"import {first.import_id}"),
        }  # fmt: skip


def test_an_import_that_comes_while_an_undo_begins_ends_it(
    databases: Databases, package: dt.DataPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = databases.create("sqlite")
    run(url, USERS, ITEMS, NOTES)
    with dt.Database(url) as target, dt.Database(url) as other:
        first = dt.PackageImporter(package, target).run()
        run(url, "DELETE FROM users")

        def between(touched: object) -> None:
            monkeypatch.undo()
            dt.PackageImporter(package, other).run()

        monkeypatch.setattr(undoing, "refuse_undo", between)
        with pytest.raises(TargetChangedError, match="was merged or undone meanwhile"):
            first.undo()
        assert counted(url) == (2, 2, 3)
        assert dt.stages(target).empty
