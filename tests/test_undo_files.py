"""Files and undo: told of where they stay, and removed with the last import that has them."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.servers import Databases
from tests.support.sql import run
from tests.support.transfer import export_all

DOCS = "CREATE TABLE docs (id INTEGER PRIMARY KEY, path TEXT)"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "target"
    made.mkdir()
    return made


def packed(databases: Databases, place: Path, key: int, *names: str) -> dt.DataPackage:
    """Return a package of rows from this key on, with a file each."""
    place.mkdir()
    source = databases.create("sqlite")
    run(source, DOCS, *(f"INSERT INTO docs VALUES ({key + i}, '{name}')" for i, name in enumerate(names)))
    for name in names:
        (place / name).write_text(f"this is {name}")
    return export_all(source, place / "docs.zip", files={"docs.path": dt.FolderStore(place)})


def target(databases: Databases, folder: Path) -> dt.Database:
    url = databases.create("sqlite")
    run(url, DOCS)
    return dt.Database(url, files={"docs.path": dt.FolderStore(folder)})


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_files_that_were_edited_are_told_of_before_and_after(
    databases: Databases, tmp_path: Path, folder: Path
) -> None:
    package = packed(databases, tmp_path / "p", 1, "a.txt", "b.txt")
    with target(databases, folder) as db:
        receipt = dt.PackageImporter(package, db).run()
        (folder / "a.txt").write_text("edited")
        told = ["1 file of docs.path stays: edited since the import, as a.txt"]
        assert receipt.check_undo().warnings == told
        undone = receipt.undo(keep_edited=True)
        assert list(undone.warnings) == told
        assert list(dt.receipt(db, undone.import_id).warnings) == told
        assert names(folder) == ["a.txt"]
        assert undone.undo().warnings[0].startswith("1 file that the undo removed is not brought back")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_file_that_two_imports_had_goes_with_the_last_undo(
    databases: Databases, tmp_path: Path, folder: Path, order: tuple[int, int]
) -> None:
    with target(databases, folder) as db:
        packages = [packed(databases, tmp_path / f"p{key}", key, "a.txt") for key in (1, 2)]
        receipts = [dt.PackageImporter(package, db).run() for package in packages]
        assert [list(receipt.files["action"]) for receipt in receipts] == [["written"], ["found"]]
        receipts[order[0]].undo()
        assert names(folder) == ["a.txt"]
        receipts[order[1]].undo()
        assert names(folder) == []
        assert list(receipts[0].files["action"]) == ["removed"]

        (folder / "a.txt").write_text("this is a.txt")  # by somebody else, with the same content
        again = dt.PackageImporter(packages[1], db).run()
        assert list(again.files["action"]) == ["found"]
        again.undo()
        assert names(folder) == ["a.txt"]


def test_a_file_that_was_there_before_both_imports_stays(databases: Databases, tmp_path: Path, folder: Path) -> None:
    (folder / "a.txt").write_text("this is a.txt")
    with target(databases, folder) as db:
        packages = [packed(databases, tmp_path / f"p{key}", key, "a.txt") for key in (1, 2)]
        for receipt in [dt.PackageImporter(package, db).run() for package in packages]:
            receipt.undo()
        assert names(folder) == ["a.txt"]
