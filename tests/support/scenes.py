"""A package, a target and what an import makes of it, as a scene in which processes are killed."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url

import datatransfer as dt
from datatransfer.failpoints import NAMES
from datatransfer.sample import create_sample
from tests.support.children import KILLED, Call
from tests.support.copies import full_copy
from tests.support.digest import DatabaseDigest, assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.transfer import SAMPLE_FILES, written

CHECKPOINT_ROWS = 8
POLICIES = {"on_match": "update", "on_clash": "reuse", "checkpoint_rows": CHECKPOINT_ROWS}


@dataclass
class Scene:
    """A package, a target that holds other rows and older ones of the same entities, and what an import makes of it."""

    databases: Databases
    folder: Path
    package: Path
    target: str
    files: Path
    log: list[str]
    wanted: DatabaseDigest
    wanted_files: dict[str, str]

    def fresh(self) -> Call:
        """Return the call of an import into a fresh copy of the target."""
        files = self.folder / "files"
        shutil.rmtree(files, ignore_errors=True)
        shutil.copytree(self.files, files)
        url = full_copy(self.target, self.databases)
        said = self.folder / "said.txt"
        said.unlink(missing_ok=True)
        return Call("import", str(self.package), url, str(files), POLICIES, said=str(said))

    def check(self, call: Call) -> None:
        """Fail unless a database and its files are as after an undisturbed run, with one receipt and no stage."""
        assert_equal(self.wanted, exact_digest(call.url))
        assert contents(Path(call.files)) == self.wanted_files
        assert leftovers(call.url) == []
        with dt.Database(call.url) as db:
            assert list(dt.receipts(db)["state"]) == ["merged", "merged"]  # that of the older rows, and ours
            assert dt.stages(db).empty
        self.databases.drop(call.url)


def contents(folder: Path) -> dict[str, str]:
    """Return every file of a folder, with the hash of its content."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def leftovers(url: str) -> list[str]:
    """Return the names of staging tables and files that lie around, found without the library."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        path = Path(str(parsed.database))
        return sorted(p.name for p in path.parent.glob(f"{path.name}?*"))
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    return [name for name in sa.inspect(engine).get_table_names() if name.startswith("datatransfer_s_")]


def _import(package: Path, url: str, files: Path, **policies: object) -> int:
    with dt.Database(url, files={SAMPLE_FILES: dt.FolderStore(files)}) as db:
        return written(dt.PackageImporter(dt.DataPackage.open(package), db).run(**policies))  # type: ignore[arg-type]


def _changed(url: str) -> None:
    """Change rows and add some, as life does between two exports."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE users SET name = name || ' (2)' WHERE id % 3 = 1"))
        connection.execute(sa.text("UPDATE datasets SET name = name || '!' WHERE id % 2 = 1"))
        connection.execute(sa.text("DELETE FROM attachments WHERE id % 4 = 0"))
    engine.dispose()


@contextmanager
def crash_scene(dialect: str, folder: Path, servers: Any) -> Iterator[Scene]:
    """Make the scene on a dialect, and an undisturbed run to compare with."""
    databases = Databases(folder, servers)
    if dialect != "sqlite":
        databases.server(dialect)
    source = databases.create("sqlite")
    create_sample(source, folder / "source-files", seed=1, size=10)
    stores = {SAMPLE_FILES: dt.FolderStore(folder / "source-files")}
    newer, older = folder / "newer.zip", folder / "older.zip"
    with dt.Database(source, files=stores) as db:
        dt.PackageBuilder(db).add_all().build(newer, progress=False, encoding="columns")
    _changed(source)
    with dt.Database(source, files=stores) as db:
        dt.PackageBuilder(db).add_all().build(older, progress=False)
    target, files = databases.create(dialect), folder / "target-files"
    create_sample(target, files, seed=2, size=10)
    _import(older, target, files, on_clash="reuse")
    scene = Scene(databases, folder, newer, target, files, [], DatabaseDigest({}), {})
    call = scene.fresh()
    log = folder / "places.txt"
    Call(**{**vars(call), "environment": {"DATATRANSFER_FAILPOINT_LOG": str(log)}}).check()
    scene.log = log.read_text().split()
    scene.wanted, scene.wanted_files = exact_digest(call.url), contents(Path(call.files))
    with dt.Database(call.url) as db:
        last = dt.receipts(db).iloc[-1]
        assert last["inserted"] > 0
        assert last["updated"] > 0
    scene.check(call)
    yield scene
    databases.drop_all()


def kill_at_every_place(scene: Scene) -> None:
    """Kill an import at every named place that it passes, resume, and compare with the undisturbed run."""
    passed: Counter[str] = Counter()
    for name in scene.log:
        passed[name] += 1
        place = f"{name}:{passed[name]}"
        call = scene.fresh()
        killed = Call(**{**vars(call), "environment": {"DATATRANSFER_FAILPOINT": place}})
        assert killed.run() == KILLED, place
        if not name.endswith(("after_commit", "stage.dropped")) or name == "stage.after_commit":
            with dt.Database(call.url) as db:
                assert len(dt.receipts(db)) == 1, place  # nothing visible has happened
        Call(**{**vars(call), "verb": "resume"}).check()
        scene.check(call)
    expected = {n for n in NAMES if n.startswith(("stage.", "plan.", "merge.", "file."))}
    assert set(passed) == expected - {"merge.batch"}  # of rows that are not staged


def ended(db: dt.Database) -> None:
    """Wait until a server has seen that a process which was killed is gone."""
    deadline = time.monotonic() + 20
    while list(dt.stages(db)["state"]) == ["running"] and time.monotonic() < deadline:
        time.sleep(0.05)
