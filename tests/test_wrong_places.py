"""Databases that are not there, files that are none, destinations that are taken: nothing is made and nothing lost."""

from __future__ import annotations

import uuid
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.sample import sample_database
from tests.support.desk import empty_sample, one_user


@pytest.fixture
def source(tmp_path: Path) -> dt.Database:
    return sample_database(tmp_path / "source")


@pytest.fixture
def package(source: dt.Database, tmp_path: Path) -> dt.DataPackage:
    return one_user(source, tmp_path)


@pytest.fixture
def target(tmp_path: Path) -> dt.Database:
    return empty_sample(tmp_path)


# --- databases that are not there ------------------------------------------------------------------------------------

LOOKING: dict[str, Callable[[dt.Database], Any]] = {
    "tables": lambda db: db.tables,
    "revision and origin": lambda db: (db.revision(), db.connect()),
    "receipts": dt.receipts,
    "receipt": lambda db: dt.receipt(db, uuid.uuid4()),
    "stages": dt.stages,
    "drop_stage": lambda db: dt.drop_stage(db, uuid.uuid4()),
    "track": dt.track,
    "untrack": lambda db: dt.untrack(db, ["users"]),
    "preview": lambda db: dt.PackageBuilder(db).add("users").preview(),
    "add_all": lambda db: dt.PackageBuilder(db).add_all(),
    "diff": lambda db: db.open_rows().__enter__(),
}


@pytest.mark.parametrize("look", LOOKING.values(), ids=LOOKING)
def test_looking_at_a_file_that_is_not_there_does_not_make_it(
    look: Callable[[dt.Database], Any], tmp_path: Path
) -> None:
    with pytest.raises(dt.DatabaseError, match="there is no such database file") as caught:
        look(dt.Database(f"sqlite:///{tmp_path / 'missing.db'}"))
    assert "missing.db" in caught.value.where
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["check", "plan", "run", "resume"])
def test_importing_into_a_file_that_is_not_there_does_not_make_it(
    verb: str, package: dt.DataPackage, tmp_path: Path
) -> None:
    target = dt.Database(f"sqlite:///{tmp_path / 'missing.db'}")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(dt.DatabaseError, match="there is no such database file"):
        getattr(dt.PackageImporter(package, target), verb)()
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_went_after_its_schema_was_read_is_not_made_again(target: dt.Database) -> None:
    assert "users" in target.schema
    path = Path(str(target.engine.url.database))
    path.unlink()
    for look in (lambda: target.count("users"), lambda: dt.PackageBuilder(target).add("users").preview()):
        with pytest.raises(dt.DatabaseError, match="there is no such database file"):
            look()
    assert not path.exists()


# --- files that are none, destinations that are taken ---------------------------------------------------------------


def test_an_empty_path_is_no_file(source: dt.Database, tmp_path: Path) -> None:
    with source.engine.begin() as conn:
        changed = conn.exec_driver_sql("UPDATE attachments SET path = '' WHERE id IN (SELECT min(id) FROM attachments)")
        assert changed.rowcount == 1
        others = conn.exec_driver_sql("SELECT count(DISTINCT path) FROM attachments WHERE path <> ''").scalar_one()
    builder = dt.PackageBuilder(source).add_all()
    selection = builder.preview()
    assert len(selection.files) == others
    assert "file_missing" not in {warning.code for warning in selection.warnings}
    package = builder.build(tmp_path / "all.zip", progress=False)
    assert set(package.files["missing"]) == {""}
    assert "" in set(package["attachments"].to_frame()["path"])
    assert package.verify().ok


def test_files_that_were_skipped_are_told_to_the_end(source: dt.Database, target: dt.Database, tmp_path: Path) -> None:
    (store,) = source.files.values()
    with source.engine.connect() as conn:
        lost = str(conn.exec_driver_sql("SELECT min(path) FROM attachments").scalar_one())
    assert store.delete(lost)
    builder = dt.PackageBuilder(source).add_all()
    with pytest.raises(dt.FileStoreError):
        builder.build(tmp_path / "all.zip", progress=False)
    package = builder.build(tmp_path / "all.zip", progress=False, on_missing_file="skip")
    assert package.metadata.selection["on_missing_file"] == "skip"
    assert package.metadata.selection["missing_files"] == 1
    importer = dt.PackageImporter(package, target)
    said = "attachments.path: 1 file was missing when the package was made, and cannot come with it; their rows do"
    with importer.plan() as plan:
        assert said in plan.warnings
    importer.run()
    story = dt.receipt(target, dt.receipts(target)["import_id"][0]).story()
    assert f"warning: {said}" in story


def test_only_what_the_reader_takes_for_a_package_is_replaced(source: dt.Database, tmp_path: Path) -> None:
    builder = dt.PackageBuilder(source).add("users", where="id = 1")
    folder, zipped = tmp_path / "part", tmp_path / "part.zip"
    for path in (folder, zipped):
        builder.build(path, progress=False)
        builder.build(path, progress=False, overwrite=True)
    (folder / "my notes.txt").write_text("mine")
    named = tmp_path / "named.zip"
    with zipfile.ZipFile(named, "w") as made:  # somebody else's, with the same names in it
        made.writestr("metadata.json", '{"version": 3}')
        made.writestr("manifest.json", "{}")
    zipped.write_bytes(zipped.read_bytes()[:-1])
    for path in (folder, zipped, named):
        before = path.stat().st_mtime_ns
        with pytest.raises(dt.PackageExistsError, match="no package"):
            builder.build(path, progress=False, overwrite=True)
        assert path.stat().st_mtime_ns == before
    assert (folder / "my notes.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "name", ["catalogue.db", "catalogue.db-wal", "catalogue.db-journal", "catalogue.db-shm", "files", "."]
)
def test_a_package_never_takes_a_place_of_its_source(name: str, overwrite: bool, tmp_path: Path) -> None:
    # even where a package lies there
    source = sample_database(tmp_path / "source")
    folder, place = tmp_path / "source", tmp_path / "source" / name
    before = sorted(folder.rglob("*"))
    with pytest.raises(dt.PackageExistsError, match="never replaced"):
        dt.PackageBuilder(source).add("users").build(place, progress=False, overwrite=overwrite)
    assert sorted(folder.rglob("*")) == before


def test_a_folder_that_is_a_package_is_kept_if_a_store_lies_in_it(source: dt.Database, tmp_path: Path) -> None:
    dt.PackageBuilder(source).add("users", where="id = 1").build(tmp_path / "part", progress=False)
    url = str(source.engine.url)
    stored = dt.Database(url, files={"attachments.path": dt.FolderStore(tmp_path / "part" / "files")})
    with pytest.raises(dt.PackageExistsError, match="holds the store of attachments"):
        dt.PackageBuilder(stored).add("users").build(tmp_path / "part", progress=False, overwrite=True)
    assert dt.DataPackage.open(tmp_path / "part").verify().ok


def test_a_backup_never_takes_a_place_of_its_target(package: dt.DataPackage, target: dt.Database) -> None:
    place = f"{target.engine.url.database}-wal"
    with pytest.raises(dt.PackageExistsError, match="never replaced"):
        dt.PackageImporter(package, target).run(backup=place)
    assert target.count("users") == 0
