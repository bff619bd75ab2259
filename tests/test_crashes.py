"""SIGKILL at every named place, and at even times: whoever resumes gets what an undisturbed run gives."""

from __future__ import annotations

import json
import shutil
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

import datatransfer as dt
from datatransfer.cli import main
from datatransfer.failpoints import NAMES
from datatransfer.sample import create_sample, create_schema
from tests.support.children import KILLED, Call
from tests.support.scenes import Scene, contents, crash_scene, kill_at_every_place, leftovers
from tests.support.servers import Databases


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, servers: object) -> Iterator[Scene]:
    with crash_scene("sqlite", tmp_path_factory.mktemp("crashes"), servers) as made:
        yield made


def test_a_kill_at_any_place_of_an_import_is_repaired_by_resuming(scene: Scene) -> None:
    kill_at_every_place(scene)


def test_kills_at_even_times_are_repaired_by_resuming(scene: Scene) -> None:
    begin = time.perf_counter()
    scene.fresh().check()
    whole = time.perf_counter() - begin
    died = 0
    for step in range(200):
        call = scene.fresh()
        process = call.start()
        time.sleep(whole * step / 200)
        process.kill()
        process.join()
        died += process.exitcode == KILLED
        Call(**{**vars(call), "verb": "resume"}).check()
        scene.check(call)
        with closing(sqlite3.connect(str(make_url(call.url).database))) as raw:
            assert raw.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert died > 100


@pytest.mark.parametrize("name", ["all.zip", "folder"])
def test_a_kill_at_any_place_of_an_export_is_repaired_by_the_same_call(
    tmp_path: Path, databases: Databases, name: str
) -> None:
    source, files = databases.create("sqlite"), tmp_path / "files"
    create_sample(source, files, size=4)
    fixed = {"package_id": str(uuid.UUID(int=1)), "created": datetime(2026, 1, 1, tzinfo=UTC), "encoding": "columns"}
    (tmp_path / "out").mkdir()
    call = Call("export", str(tmp_path / "out" / name), source, str(files), fixed, said=str(tmp_path / "said.txt"))
    log = tmp_path / "log"
    Call(**{**vars(call), "environment": {"DATATRANSFER_FAILPOINT_LOG": str(log)}}).check()
    wanted = contents(tmp_path / "out")
    places, passed = log.read_text().split(), Counter[str]()
    for place in places:
        passed[place] += 1
        shutil.rmtree(tmp_path / "out")
        (tmp_path / "out").mkdir()
        killed = Call(**{**vars(call), "environment": {"DATATRANSFER_FAILPOINT": f"{place}:{passed[place]}"}})
        assert killed.run() == KILLED
        assert (tmp_path / "out" / name).exists() == (place == "export.after_move")
        Call(**{**vars(call), "options": {**fixed, "overwrite": True}}).check()
        assert contents(tmp_path / "out") == wanted, place
    assert set(passed) == {place for place in NAMES if place.startswith("export.")}


def test_a_half_of_a_living_process_is_not_swept(tmp_path: Path, databases: Databases) -> None:
    source, package, wait = databases.create("sqlite"), tmp_path / "all.zip", tmp_path / "wait"
    create_sample(source, tmp_path / "files", size=4)
    environment = {"DATATRANSFER_FAILPOINT": "export.before_move:1", "DATATRANSFER_FAILPOINT_WAIT": str(wait)}
    options = {"overwrite": True, "encoding": "columns"}
    slow = Call("export", str(package), source, options=options, environment=environment).start()
    until = time.monotonic() + 60
    while not wait.exists() and time.monotonic() < until:
        time.sleep(0.01)
    Call("export", str(package), source, options=options, said=str(tmp_path / "said.txt")).check()
    wait.unlink()
    slow.join()
    assert slow.exitcode == 0
    assert dt.DataPackage.open(package).verify().ok
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".part"] == []


def test_a_stage_that_was_left_is_listed_resumed_and_dropped_from_the_shell(
    tmp_path: Path, databases: Databases, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target, package = databases.create("sqlite"), databases.create("sqlite"), tmp_path / "all.zip"
    create_sample(source, tmp_path / "files", size=6)
    create_schema(target)
    with dt.Database(source) as db:
        dt.PackageBuilder(db).add_all().build(package, progress=False, encoding="columns")
    killed = Call(
        "import", str(package), target, options={"checkpoint_rows": 2},
        environment={"DATATRANSFER_FAILPOINT": "stage.after_commit:3"},
    )  # fmt: skip
    assert killed.run() == KILLED
    assert main(["stages", target, "--json"]) == 0
    (stage,) = json.loads(capsys.readouterr().out)["stages"]
    assert (stage["state"], stage["package"], stage["rows"]) == ("left", str(package), 6)
    assert main(["resume", str(package), target, "--json"]) == 0
    assert sum(table["inserted"] for table in json.loads(capsys.readouterr().out)["tables"]) > 20
    assert killed.run() == KILLED  # the same once more: everything would be skipped
    (stage,) = stages_of(target)
    assert main(["stages", target, "--drop", stage]) == 0
    assert leftovers(target) == []
    assert main(["stages", target, "--drop", stage]) == 2
    assert main(["resume", str(package), target]) == 0  # done: its receipt is shown


def test_what_is_staged_is_not_loaded_again(tmp_path: Path, databases: Databases) -> None:
    source, target, package = databases.create("sqlite"), databases.create("sqlite"), tmp_path / "all.zip"
    create_sample(source, tmp_path / "files", size=6)
    create_schema(target)
    with dt.Database(source) as db:
        dt.PackageBuilder(db).add_all().build(package, progress=False, encoding="columns")
    rows, log = {"checkpoint_rows": 2}, tmp_path / "log"
    kill = {"DATATRANSFER_FAILPOINT": "merge.begin:1", "DATATRANSFER_FAILPOINT_LOG": str(log)}
    assert Call("import", str(package), target, options=rows, environment=kill).run() == KILLED
    staged = log.read_text().split().count("stage.after_commit")
    assert staged > 20
    log.unlink()
    Call("resume", str(package), target, options=rows, environment={"DATATRANSFER_FAILPOINT_LOG": str(log)}).check()
    assert log.read_text().split().count("stage.after_commit") == 0


def test_only_one_process_is_at_work_on_a_stage(tmp_path: Path, databases: Databases) -> None:
    source, target, package = databases.create("sqlite"), databases.create("sqlite"), tmp_path / "all.zip"
    create_sample(source, tmp_path / "files", size=6)
    create_schema(target)
    with dt.Database(source) as db:
        dt.PackageBuilder(db).add_all().build(package, progress=False, encoding="columns")
    wait = tmp_path / "wait"
    environment = {"DATATRANSFER_FAILPOINT": "merge.begin:1", "DATATRANSFER_FAILPOINT_WAIT": str(wait)}
    running = Call("import", str(package), target, environment=environment).start()
    until = time.monotonic() + 60
    while not wait.exists() and time.monotonic() < until:
        time.sleep(0.01)
    with dt.Database(target) as db:
        (stage,) = dt.stages(db).to_dict("records")
        assert stage["state"] == "running"
        with pytest.raises(dt.UsageError, match="another process is at work"):
            dt.drop_stage(db, stage["import_id"])
        with pytest.raises(dt.UsageError, match="another process is at work"):
            dt.PackageImporter(dt.DataPackage.open(package), db).resume()
        wait.unlink()
        running.join()
        assert running.exitcode == 0
        assert len(dt.receipts(db)) == 1


def stages_of(url: str) -> list[str]:
    """Return the ids of the stages in a database."""
    with dt.Database(url) as db:
        return list(dt.stages(db)["import_id"])
