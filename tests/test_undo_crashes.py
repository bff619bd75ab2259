"""SIGKILL at every named place of an undo: whoever calls it again gets what an undisturbed undo gives."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.failpoints import NAMES
from datatransfer.sample import create_sample
from tests.support.children import KILLED, Call
from tests.support.copies import full_copy
from tests.support.digest import DatabaseDigest, assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS, SAMPLE_FILES, export_all
from tests.support.undoing import application
from tests.test_crashes import contents, leftovers


@dataclass
class Scene:
    """A target that a package was imported into, and what it was before."""

    databases: Databases
    folder: Path
    package: Path
    target: str
    import_id: str
    wanted: DatabaseDigest
    wanted_files: dict[str, str]

    def fresh(self, **environment: str) -> Call:
        """Return the call of an undo in a fresh copy."""
        files, said = self.folder / "files", self.folder / "said.txt"
        shutil.rmtree(files, ignore_errors=True)
        shutil.copytree(self.folder / "target-files", files)
        said.unlink(missing_ok=True)
        url = full_copy(self.target, self.databases)
        options = {"import_id": self.import_id}
        return Call("undo", str(self.package), url, str(files), options, environment, str(said))

    def again(self, call: Call) -> bool:
        """Call undo once more; return whether it was already done."""
        with dt.Database(call.url, files={SAMPLE_FILES: dt.FolderStore(call.files)}) as db:
            try:
                dt.receipt(db, self.import_id).undo()
            except dt.AlreadyUndoneError:
                return True
        return False

    def check(self, call: Call) -> None:
        """Fail unless database and files are as before the import, with one undo recorded and no stage left."""
        assert_equal(self.wanted, application(exact_digest(call.url)))
        assert contents(Path(call.files)) == self.wanted_files
        assert leftovers(call.url) == []
        with dt.Database(call.url) as db:
            assert list(dt.receipts(db)["state"]) == ["undone", "merged"]
            assert dt.stages(db).empty
            assert set(dt.receipt(db, self.import_id).files["action"]) <= {"removed", "found"}
        self.databases.drop(call.url)


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, servers: object) -> Iterator[Scene]:
    dialect: str = request.param
    folder = tmp_path_factory.mktemp("undo")
    databases = Databases(folder, servers)  # type: ignore[arg-type]
    if dialect != "sqlite":
        databases.server(dialect)
    source, target, files = databases.create("sqlite"), databases.create(dialect), folder / "target-files"
    create_sample(source, folder / "source-files", seed=1, size=4)
    create_sample(target, files, seed=2, size=4)
    package = export_all(source, folder / "p.zip", files={SAMPLE_FILES: dt.FolderStore(folder / "source-files")})
    wanted, wanted_files = application(exact_digest(target)), contents(files)
    with dt.Database(target, files={SAMPLE_FILES: dt.FolderStore(files)}) as db:
        receipt = dt.PackageImporter(package, db).run(on_match="update", on_clash="reuse")
        assert receipt.total("update") > 0
        assert receipt.total("insert") > 0
    yield Scene(databases, folder, folder / "p.zip", target, str(receipt.import_id), wanted, wanted_files)
    databases.drop_all()


@pytest.mark.parametrize("scene", DIALECTS, indirect=True)
def test_a_kill_at_any_place_of_an_undo_is_repaired_by_calling_it_again(scene: Scene, tmp_path: Path) -> None:
    log = tmp_path / "places.txt"
    call = scene.fresh(DATATRANSFER_FAILPOINT_LOG=str(log))
    call.check()
    scene.check(call)
    passed: Counter[str] = Counter()
    for name in log.read_text().split():
        passed[name] += 1
        place = f"{name}:{passed[name]}"
        call = scene.fresh(DATATRANSFER_FAILPOINT=place)
        assert call.run() == KILLED, place
        done = name in ("merge.after_commit", "undo.after_commit", "undo.file", "undo.finished")
        assert scene.again(call) is done, place
        scene.check(call)
    assert {name for name in NAMES if name.startswith("undo.")} <= set(passed)
