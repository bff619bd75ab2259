"""The n-th call of the file system fails, or the disk is full: a typed error, nothing half done."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

import datatransfer as dt
from datatransfer.sample import create_sample
from tests.support.children import Call
from tests.support.copies import full_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.faults import Countdown, again, again_undone, failing_files, fails
from tests.support.lengths import FULL
from tests.support.scenes import contents, leftovers
from tests.support.servers import Databases
from tests.support.shop import make_shop
from tests.support.transfer import SAMPLE_FILES, export_all, import_into
from tests.support.undoing import application

ERRORS = (errno.EIO, errno.ENOSPC, errno.EACCES)
# One after the other in the normal run, each at every call in the campaign.
CHOICES = [(number,) for number in ERRORS] if FULL else [ERRORS]


def _named(numbers: tuple[int, ...]) -> str:
    return " ".join(errno.errorcode[number] for number in numbers)


def _every_call(attempt: Callable[[int, Countdown, int], None], numbers: tuple[int, ...], for_ever: bool) -> None:
    """Let the first call fail, then the second …, until there are no more."""
    n, struck = 1, True
    while struck:
        countdown = Countdown(n, for_ever=for_ever)
        attempt(n, countdown, numbers[(n + for_ever) % len(numbers)])
        n, struck = n + 1, countdown.struck
    assert n > 10


def every_call_fails(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test as one of those that fail every call, with every error, once and for ever."""
    test = pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])(test)
    return pytest.mark.longer(pytest.mark.parametrize("numbers", CHOICES, ids=_named)(test))


def _samples(databases: Databases, folder: Path) -> tuple[dt.DataPackage, str]:
    """Return a package of a sample, and another one as a target whose files are in ``target``."""
    source, target = databases.create("sqlite"), databases.create("sqlite")
    create_sample(source, folder / "source", seed=1, size=2).close()
    create_sample(target, folder / "target", seed=2, size=2).close()
    files = {SAMPLE_FILES: dt.FolderStore(folder / "source")}
    return export_all(source, folder / "all.zip", files=files), target


@every_call_fails
def test_whichever_file_call_of_an_import_fails_nothing_is_lost(
    databases: Databases, tmp_path: Path, numbers: tuple[int, ...], for_ever: bool
) -> None:
    package, target = _samples(databases, tmp_path)
    files = tmp_path / "files"
    before, earlier, alone = exact_digest(target), contents(tmp_path / "target"), full_copy(target, databases)
    shutil.copytree(tmp_path / "target", files)
    import_into(package, alone, files={SAMPLE_FILES: dt.FolderStore(files)}, on_clash="reuse")
    after, placed = exact_digest(alone), contents(files)

    def attempt(n: int, countdown: Countdown, number: int) -> None:
        url = full_copy(target, databases)
        shutil.rmtree(files)
        shutil.copytree(tmp_path / "target", files)
        with dt.Database(url, files={SAMPLE_FILES: dt.FolderStore(files)}) as db:
            _ = db.schema
            with failing_files(tmp_path, countdown, number):
                fails(lambda: dt.PackageImporter(package, db).run(on_clash="reuse"), countdown)
            if len(dt.receipts(db)) == 0:
                assert_equal(before, exact_digest(url))
                assert for_ever or contents(files) == earlier, n
            again(lambda: dt.PackageImporter(package, db), on_clash="reuse")
            assert len(dt.receipts(db)) == 1, n
        assert_equal(after, exact_digest(url))
        # A disk that fails for ever cannot be cleared either: a hidden file may stay, which the next write takes up.
        hidden = {name for name in contents(files) if for_ever and name.endswith(".part")}
        assert {name: sha for name, sha in contents(files).items() if name not in hidden} == placed, n
        # Where removing the lock itself fails, an empty file stays that locks nothing.
        assert [name for name in leftovers(url) if not name.endswith(".lock")] == [], n
        databases.drop(url)

    _every_call(attempt, numbers, for_ever)


@every_call_fails
def test_whichever_file_call_of_an_undo_fails_nothing_is_lost(
    databases: Databases, tmp_path: Path, numbers: tuple[int, ...], for_ever: bool
) -> None:
    package, target = _samples(databases, tmp_path)
    files = tmp_path / "files"
    before, earlier = application(exact_digest(target)), contents(tmp_path / "target")
    done = import_into(
        package, target, files={SAMPLE_FILES: dt.FolderStore(tmp_path / "target")}, on_clash="reuse"
    ).import_id
    after = application(exact_digest(target))

    def attempt(n: int, countdown: Countdown, number: int) -> None:
        url = full_copy(target, databases)
        shutil.rmtree(files, ignore_errors=True)
        shutil.copytree(tmp_path / "target", files)
        with dt.Database(url, files={SAMPLE_FILES: dt.FolderStore(files)}) as db:
            _ = db.schema
            with failing_files(tmp_path, countdown, number):
                fails(lambda: dt.receipt(db, done).undo(), countdown)
            if dt.receipt(db, done).state == "merged":
                assert_equal(after, application(exact_digest(url)))
                assert contents(files) == contents(tmp_path / "target"), n
            again_undone(db, done)
            assert list(dt.receipts(db)["state"]) == ["undone", "merged"], n
            assert dt.stages(db).empty, n
        assert_equal(before, application(exact_digest(url)))
        assert contents(files) == earlier, n
        assert leftovers(url) == [], n
        databases.drop(url)

    _every_call(attempt, numbers, for_ever)


@every_call_fails
@pytest.mark.parametrize("name", ["all.zip", pytest.param("folder", marks=pytest.mark.campaign)])  # 200 calls
def test_whichever_file_call_of_an_export_fails_no_package_is_left_that_is_not_whole(
    databases: Databases, tmp_path: Path, numbers: tuple[int, ...], for_ever: bool, name: str
) -> None:
    source, path = databases.create("sqlite"), tmp_path / "made" / name
    create_sample(source, tmp_path / "source", seed=1, size=2).close()
    path.parent.mkdir()

    def build(db: dt.Database, *, overwrite: bool = False) -> None:
        builder = dt.PackageBuilder(db).add_all()
        builder.build(path, progress=False, encoding="columns", overwrite=overwrite)  # documents are a file each

    def attempt(n: int, countdown: Countdown, number: int) -> None:
        with dt.Database(source, files={SAMPLE_FILES: dt.FolderStore(tmp_path / "source")}) as db:
            _ = db.schema
            with failing_files(tmp_path, countdown, number):
                fails(lambda: build(db), countdown)
            if path.exists():  # nothing failed but looking at it afterwards, or taking it away again
                assert dt.DataPackage.open(path).verify().ok, n
            assert for_ever or [item.name for item in path.parent.iterdir()] in ([], [name]), n
            build(db, overwrite=True)
        assert dt.DataPackage.open(path).verify().ok, n
        assert [item.name for item in path.parent.iterdir()] == [name], n
        shutil.rmtree(path) if path.is_dir() else path.unlink()

    _every_call(attempt, numbers, for_ever)


# --- what cannot be cleared away ------------------------------------------------------------------------------------


class _Stubborn(dt.FolderStore):
    """A folder with room for some files, from which none can be removed."""

    def __init__(self, root: Path, room: int) -> None:
        super().__init__(root)
        self.room = room

    def write(self, path: str, source: BinaryIO, sha256: str) -> bool:
        if not self.room:
            raise dt.FileStoreError(os.strerror(errno.ENOSPC), where=path)
        self.room -= 1
        return super().write(path, source, sha256)

    def delete(self, path: str) -> bool:
        raise dt.FileStoreError(os.strerror(errno.EIO), where=path)


@pytest.mark.parametrize("way", ["resumed", "dropped"])
def test_files_that_cannot_be_removed_after_a_failure_go_with_the_stage(
    databases: Databases, tmp_path: Path, way: str
) -> None:
    source, target, files = databases.create("sqlite"), databases.create("sqlite"), tmp_path / "files"
    create_sample(source, tmp_path / "source", seed=1, size=3).close()
    create_sample(target, files, seed=2, size=2).close()
    package = export_all(source, tmp_path / "all.zip", files={SAMPLE_FILES: dt.FolderStore(tmp_path / "source")})
    earlier = contents(files)
    with dt.Database(target, files={SAMPLE_FILES: _Stubborn(files, 2)}) as db:
        with pytest.raises(dt.FileStoreError, match="No space") as caught:
            dt.PackageImporter(package, db).run(on_clash="reuse")
        (note,) = caught.value.__notes__
        assert "2 files that were written cannot be removed" in note
        (stage,) = dt.stages(db).to_dict("records")
        assert stage["state"] == "left"
    assert len(contents(files)) == len(earlier) + 2
    with dt.Database(target, files={SAMPLE_FILES: dt.FolderStore(files)}) as db:
        if way == "resumed":
            dt.PackageImporter(package, db).resume().undo()
        else:
            dt.drop_stage(db, stage["import_id"])
    assert contents(files) == earlier
    assert leftovers(target) == []


def test_stages_that_cannot_be_looked_for_are_an_error_and_not_none(databases: Databases, tmp_path: Path) -> None:
    target = databases.create("sqlite")
    make_shop(target, "own", 2)
    with dt.Database(target) as db, failing_files(tmp_path, Countdown(1, for_ever=True), errno.EACCES):
        with pytest.raises(dt.DatabaseError, match="looking for stages"):
            dt.stages(db)


# --- a full disk ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "limit"),
    [("export", 500), ("export", 5_000), ("export", 20_000), ("import", 2_000), ("import", 50_000), ("import", 150_000),
     ("import", 250_000), ("import", 350_000)],
)  # fmt: skip
def test_a_disk_that_is_full_is_a_typed_error_and_nothing_is_half_done(
    databases: Databases, tmp_path: Path, verb: str, limit: int
) -> None:
    source, target, path = databases.create("sqlite"), databases.create("sqlite"), tmp_path / "made" / "all.zip"
    make_shop(source, "a customer with a long name ", 3000)
    make_shop(target, "own", 2)
    path.parent.mkdir()
    url = source
    if verb == "import":
        export_all(source, path)
        url = target
    before, said = exact_digest(url), tmp_path / "said"
    call = Call(verb, str(path), url, said=str(said), environment={"DATATRANSFER_TEST_FILE_SIZE": str(limit)})
    code = call.run()
    assert code == 1
    assert "\ndatatransfer.errors." in said.read_text(), said.read_text()
    assert_equal(before, exact_digest(url))
    if verb == "export":
        assert list(path.parent.iterdir()) == []
        return
    Call("resume", str(path), url, said=str(said)).check()
    with dt.Database(url) as db:
        assert db.count("customers") == 3002
    assert leftovers(url) == []
