"""Ctrl-C at any moment: nothing happened and nothing is left, or it is done and the message says so."""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer import interrupts
from datatransfer.database.writers import WRITERS
from datatransfer.database.writers.sqlite import SQLiteWriter
from datatransfer.sample import create_sample
from tests.support.children import INTERRUPTED, Call
from tests.support.digest import DatabaseDigest, assert_equal, exact_digest
from tests.support.scenes import Scene, contents, crash_scene, leftovers
from tests.support.servers import Databases
from tests.support.shop import make_shop
from tests.support.transfer import DIALECTS, export_all
from tests.test_undo_crashes import Scene as UndoScene
from tests.test_undo_crashes import scene as undo_scene  # noqa: F401

POINTS = {"sqlite": 50, "postgresql": 0, "mariadb": 0}
"""Evenly spaced ones, beside the first pass of every named place."""
NOTHING = "interrupted; nothing was left behind"


@pytest.fixture(scope="module")
def scene(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, servers: object) -> Iterator[Scene]:
    with crash_scene(request.param, tmp_path_factory.mktemp("interrupts"), servers) as made:
        yield made


def _places(log: list[str], points: int) -> list[str]:
    """Return evenly spaced passes of named places, each name at least once."""
    passed: Counter[str] = Counter()
    every = []
    for name in log:
        passed[name] += 1
        every.append(f"{name}:{passed[name]}")
    spaced = [every[n * len(every) // points] for n in range(points)]
    return list(dict.fromkeys([*(place for place in every if place.endswith(":1")), *spaced]))


def _interrupted(call: Call, place: str) -> str:
    """Send a call SIGINT at a place, and return what it said."""
    told = {"DATATRANSFER_FAILPOINT": place, "DATATRANSFER_FAILPOINT_SIGNAL": "SIGINT"}
    assert Call(**{**vars(call), "environment": told}).run() == INTERRUPTED, (place, Path(call.said).read_text())
    return Path(call.said).read_text()


def _after(call: Call, seconds: float) -> tuple[int | None, str]:
    """Send a call SIGINT a time after its first line; return how it ended and what it said."""
    begun = Path(f"{call.said}.begun")
    for path in (begun, Path(call.said)):
        path.unlink(missing_ok=True)
    process = Call(**{**vars(call), "environment": {**call.environment, "DATATRANSFER_TEST_BEGUN": str(begun)}}).start()
    _until(begun.exists)
    time.sleep(seconds)
    if process.is_alive():
        os.kill(int(process.pid or 0), signal.SIGINT)
    process.join(120)
    said = Path(call.said).read_text() if Path(call.said).exists() else ""
    assert process.exitcode in (0, INTERRUPTED), said
    return process.exitcode, said


def _seconds(call: Call) -> float:
    begin = time.perf_counter()
    call.check()
    return time.perf_counter() - begin


def _no_session_is_left(url: str) -> None:
    if not url.startswith("postgresql"):
        return
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        sql = "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        assert [state for (state,) in connection.exec_driver_sql(sql) if state != "idle"] == []


# --- an import ------------------------------------------------------------------------------------------------------


def _check_import(scene: Scene, call: Call, before: DatabaseDigest, *, done: bool) -> None:
    _no_session_is_left(call.url)
    if done:
        scene.check(call)
        return
    assert_equal(before, exact_digest(call.url))
    assert leftovers(call.url) == []
    assert contents(Path(call.files)) == contents(scene.files)
    scene.databases.drop(call.url)


@pytest.mark.parametrize("scene", DIALECTS, indirect=True)
def test_an_import_that_is_interrupted_happened_wholly_or_not_at_all(scene: Scene) -> None:
    before = exact_digest(scene.target)
    dialect = sa.make_url(scene.target).get_backend_name().replace("mysql", "mariadb")
    told = set()
    for place in _places(scene.log, POINTS[dialect]):
        call = scene.fresh()
        said = _interrupted(call, place)
        done = place.startswith(("merge.after_commit", "stage.dropped"))
        assert said.startswith("interrupted; the import is done: receipt ") if done else said == NOTHING, place
        _check_import(scene, call, before, done=done)
        told.add(done)
    assert told == {False, True}


@pytest.mark.parametrize("scene", ["sqlite"], indirect=True)
def test_an_import_that_is_interrupted_at_any_time_happened_wholly_or_not_at_all(scene: Scene) -> None:
    before = exact_digest(scene.target)
    whole = _seconds(scene.fresh())
    interrupted = 0
    for step in range(50):
        call = scene.fresh()
        code, said = _after(call, whole * step / 50)
        interrupted += code == INTERRUPTED
        with dt.Database(call.url) as db:
            done = len(dt.receipts(db)) == 2
        assert done if code == 0 or "done" in said else not (said == NOTHING and done), said
        _check_import(scene, call, before, done=done)
    assert interrupted > 20


# --- an export ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_export_that_is_interrupted_leaves_a_whole_package_or_none(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, files, out, log = databases.create(dialect), tmp_path / "files", tmp_path / "out", tmp_path / "log"
    create_sample(source, files, size=6)
    out.mkdir()
    path = out / "all.zip"
    call = Call("export", str(path), source, str(files), {"encoding": "columns"}, said=str(tmp_path / "said.txt"))
    Call(**{**vars(call), "environment": {"DATATRANSFER_FAILPOINT_LOG": str(log)}}).check()
    path.unlink()
    for place in _places(log.read_text().split(), POINTS[dialect] or 10):
        said = _interrupted(call, place)
        done = place.startswith(("export.before_move", "export.after_move"))
        assert said == (f"interrupted; the package is complete: {path}" if done else NOTHING), place
        assert _names(out) == ["all.zip"] * done, place
        _no_session_is_left(source)
        if done:
            assert dt.DataPackage.open(path).verify().ok
            path.unlink()
    if dialect == "sqlite":
        _sweep_exports(call, path)


def _sweep_exports(call: Call, path: Path) -> None:
    whole = _seconds(call)
    for step in range(50):
        path.unlink(missing_ok=True)
        code, said = _after(call, whole * step / 50)
        assert path.exists() if code == 0 or "complete" in said else not (said == NOTHING and path.exists()), said
        assert set(_names(path.parent)) <= {path.name}
        if path.exists():
            assert dt.DataPackage.open(path).verify().ok


def test_a_child_that_reads_a_sqlite_file_ends_with_its_parent_and_says_nothing(
    databases: Databases, tmp_path: Path
) -> None:
    source, wait = databases.create("sqlite"), tmp_path / "wait"
    create_sample(source, tmp_path / "files", size=40)
    code = textwrap.dedent(
        f"""
        import signal, sys
        from datatransfer.cli import main
        from datatransfer.database.dialects.sqlite import SqliteDialect
        signal.signal(signal.SIGINT, signal.default_int_handler)
        SqliteDialect.fast_above = 0
        sys.exit(main(["export", {source!r}, {str(tmp_path / "all.zip")!r}, "--all"]))
        """
    )
    told = {"DATATRANSFER_FAILPOINT": "export.batch:2", "DATATRANSFER_FAILPOINT_WAIT": str(wait)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **told}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    _until(wait.exists)
    children = psutil.Process(process.pid).children(recursive=True)
    assert [child for child in children if "_sqlite_reader.py" in " ".join(child.cmdline())]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    wait.unlink()
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, f"{NOTHING}\n")
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert not (tmp_path / "all.zip").exists()


# --- an undo --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("undo_scene", DIALECTS, indirect=True)
def test_an_undo_that_is_interrupted_happened_wholly_or_not_at_all(
    undo_scene: UndoScene,  # noqa: F811
    tmp_path: Path,
) -> None:
    log, scene = tmp_path / "log", undo_scene
    call = scene.fresh(DATATRANSFER_FAILPOINT_LOG=str(log))
    dialect = sa.make_url(call.url).get_backend_name().replace("mysql", "mariadb")
    whole = _seconds(call)
    before, files = exact_digest(scene.target), contents(scene.folder / "target-files")
    for place in _places(log.read_text().split(), POINTS[dialect]):
        call = scene.fresh()
        said = _interrupted(call, place)
        done = place.startswith(("merge.after_commit", "undo.after_commit", "undo.file", "undo.finished"))
        assert said.startswith("interrupted; the undo is done: receipt ") if done else said == NOTHING, (place, said)
        _check_undo(scene, call, before, files, done=done)
    for step in range(50 if dialect == "sqlite" else 0):
        call = scene.fresh()
        code, said = _after(call, whole * step / 50)
        with dt.Database(call.url) as db:
            done = len(dt.receipts(db)) == 2
        assert done if code == 0 or "done" in said else not (said == NOTHING and done), said
        _check_undo(scene, call, before, files, done=done)


def _check_undo(scene: UndoScene, call: Call, before: DatabaseDigest, files: dict[str, str], *, done: bool) -> None:
    _no_session_is_left(call.url)
    if done:
        scene.check(call)
        return
    assert_equal(before, exact_digest(call.url))
    assert contents(Path(call.files)) == files
    assert leftovers(call.url) == []
    scene.databases.drop(call.url)


# --- statements that take long --------------------------------------------------------------------------------------

LONG = {
    "sqlite": "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n",
    "postgresql": "SELECT pg_sleep(60)",
    "mariadb": "SELECT count(*) FROM seq_1_to_1000000 a JOIN seq_1_to_1000000 b",
}


@contextmanager
def _interrupted_soon(seconds: float) -> Iterator[None]:
    """Send this process SIGINT in half a second, but never after the end; what is inside must end in time."""
    timer = threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT))
    begin = time.monotonic()
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
    assert time.monotonic() - begin < seconds


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def _until(there: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not there():
        assert time.monotonic() < until
        time.sleep(0.01)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_long_statement_is_cancelled_and_its_connection_serves_to_clean_up(
    databases: Databases, dialect: str
) -> None:
    url = databases.create(dialect)
    make_shop(url, "s", 1)
    with dt.Database(url) as db:
        writer = WRITERS[db.engine.dialect.name](db, uuid.uuid4())
        with _interrupted_soon(20), pytest.raises(KeyboardInterrupt, match=r"^interrupted$"):
            writer.run(LONG[dialect])
        assert [int(writer.scalar("SELECT 1")) for _ in range(3)] == [1, 1, 1]
        writer.close()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_snapshot_that_reads_for_long_is_cancelled(databases: Databases, dialect: str) -> None:
    url = databases.create(dialect)
    make_shop(url, "s", 1)
    with dt.Database(url) as db:
        _ = db.schema
        with (
            _interrupted_soon(20),
            pytest.raises(KeyboardInterrupt),
            interrupts.held(),
            db.dialect.snapshot() as conn,
        ):
            db.dialect.execute(conn, LONG[dialect]).all()


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_a_wait_for_a_lock_is_interrupted(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, target = databases.create("sqlite"), databases.create(dialect)
    make_shop(source, "s", 3)
    make_shop(target, "own", 5)
    package = export_all(source, tmp_path / "all.zip")
    engine = sa.create_engine(target, poolclass=sa.pool.NullPool)
    with dt.Database(target) as db:
        dt.PackageImporter(package, db).run()
        with engine.begin() as other:
            other.exec_driver_sql("UPDATE orders SET note = 'old' WHERE note = 's1'")
        before = exact_digest(target)
        importer = dt.PackageImporter(package, db)
        plan = importer.plan(on_match="update")
        with engine.connect() as other, other.begin() as held:
            other.exec_driver_sql("UPDATE orders SET note = 'held' WHERE note = 'old'")
            with _interrupted_soon(15), pytest.raises(KeyboardInterrupt, match=f"^{NOTHING}$"):
                importer.run(plan)
            held.rollback()
    assert leftovers(target) == []
    assert_equal(before, exact_digest(target))


# --- the command line -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143)])
@pytest.mark.parametrize("place", ["stage.after_commit:1", "merge.table:2", "merge.after_commit:1"])
def test_a_command_that_is_stopped_says_in_one_line_what_is_so(
    databases: Databases, tmp_path: Path, name: str, code: int, place: str
) -> None:
    source, target, package = databases.create("sqlite"), databases.create("sqlite"), tmp_path / "all.zip"
    make_shop(source, "s", 3)
    make_shop(target, "own", 5)
    export_all(source, package)
    told = {"DATATRANSFER_FAILPOINT": place, "DATATRANSFER_FAILPOINT_SIGNAL": name}
    arguments = {"arguments": ["import", str(package), target]}
    call = Call("cli", str(package), target, options=arguments, environment=told, said=str(tmp_path / "said"))
    assert call.run() == code
    with dt.Database(target) as db:
        receipts = list(dt.receipts(db)["import_id"])
        expected = f"interrupted; the import is done: receipt {receipts[0]}" if receipts else NOTHING
        assert bool(receipts) is (place == "merge.after_commit:1")
        assert db.count("orders") == (8 if receipts else 5)
    assert Path(call.said).read_text() == f"{expected}\n"
    assert leftovers(target) == []


def test_a_command_with_json_says_so_in_a_document(databases: Databases, tmp_path: Path) -> None:
    source, package = databases.create("sqlite"), tmp_path / "all.zip"
    make_shop(source, "s", 3)
    told = {"DATATRANSFER_FAILPOINT": "export.batch:1", "DATATRANSFER_FAILPOINT_SIGNAL": "SIGINT"}
    arguments = {"arguments": ["export", source, str(package), "--all", "--json"]}
    call = Call("cli", str(package), source, options=arguments, environment=told, said=str(tmp_path / "said"))
    assert call.run() == 130
    document = json.loads(Path(call.said).read_text())
    assert (document["error"], document["message"], document["retryable"]) == ("cancelled", NOTHING, True)


# --- twice, nested, elsewhere ---------------------------------------------------------------------------------------


def test_a_second_interrupt_while_cleaning_leaves_a_stage_that_is_resumed(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = databases.create("sqlite"), databases.create("sqlite")
    make_shop(source, "s", 3)
    make_shop(target, "own", 5)
    package = export_all(source, tmp_path / "all.zip")
    cleaning = SQLiteWriter.drop_stage

    def stop() -> None:
        signal.raise_signal(signal.SIGINT)

    def drop_stage(self: SQLiteWriter) -> None:
        stop()
        cleaning(self)

    class Stopping(dt.events.Cancellation):
        def check(self) -> None:
            stop()
            super().check()

    monkeypatch.setattr(SQLiteWriter, "drop_stage", drop_stage)
    with dt.Database(target) as db:
        with pytest.raises(KeyboardInterrupt, match="interrupted twice"):
            dt.PackageImporter(package, db, cancellation=Stopping()).run()
        monkeypatch.undo()
        assert list(dt.stages(db)["state"]) == ["left"]
        assert db.count("orders") == 5
        dt.PackageImporter(package, db).resume()
        assert db.count("orders") == 8
    assert leftovers(target) == []


def test_an_interrupt_is_raised_once_and_not_while_shielded() -> None:
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        with interrupts.shielded():
            interrupts.checkpoint()
        assert interrupts.came()
        interrupts.tell("it is done")
        with pytest.raises(KeyboardInterrupt):
            interrupts.checkpoint()
        interrupts.checkpoint()

    with pytest.raises(KeyboardInterrupt, match=r"^interrupted; it is done$"):
        interrupts.held()(work)()
    assert not interrupts.came()
    interrupts.checkpoint()


def test_an_error_that_an_interrupt_caused_is_its_cause() -> None:
    def work() -> None:
        signal.raise_signal(signal.SIGINT)
        raise dt.DatabaseError("cancelled")

    with pytest.raises(KeyboardInterrupt) as caught:
        interrupts.held()(work)()
    assert isinstance(caught.value.__cause__, dt.DatabaseError)


def test_a_handler_of_the_application_keeps_its_say() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _frame: heard.append(number))
    try:
        with interrupts.held():
            signal.raise_signal(signal.SIGINT)
            interrupts.checkpoint()
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_in_other_threads_nothing_is_held() -> None:
    found: list[object] = []

    def work() -> None:
        with interrupts.held():
            found.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler]


# --- a kernel -------------------------------------------------------------------------------------------------------


# The client of jupyter_client leaves its event loop to the garbage collector.
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_kernel_that_is_interrupted_goes_on_and_imports_once_more(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from jupyter_client.manager import start_new_kernel

    source, target, wait = databases.create("sqlite"), databases.create("postgresql"), tmp_path / "wait"
    make_shop(source, "s", 3)
    make_shop(target, "own", 5)
    export_all(source, tmp_path / "all.zip")
    monkeypatch.setenv("PYTHONPATH", str(Path(dt.__file__).parent.parent))
    monkeypatch.setenv("DATATRANSFER_FAILPOINT", "merge.table:1")
    monkeypatch.setenv("DATATRANSFER_FAILPOINT_WAIT", str(wait))
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute_interactive(
            f"import datatransfer as dt\ndb = dt.Database({target!r})\n"
            f"importer = dt.PackageImporter(dt.DataPackage.open({str(tmp_path / 'all.zip')!r}), db)",
            timeout=60,
        )

        def interrupt() -> None:
            _until(wait.exists)
            manager.interrupt_kernel()  # noqa: F821 - it is deleted only after this has run
            time.sleep(0.2)
            wait.unlink()

        thread = threading.Thread(target=interrupt)
        thread.start()
        said = client.execute_interactive("importer.run()", timeout=60, output_hook=lambda _message: None)
        thread.join()
        content = said["content"]
        assert (content["status"], content["ename"], content["evalue"]) == ("error", "KeyboardInterrupt", NOTHING)
        _no_session_is_left(target)
        assert leftovers(target) == []
        check = (
            "assert dt.stages(db).empty\nassert db.count('orders') == 5\nimporter.run()\nassert db.count('orders') == 8"
        )
        done = client.execute_interactive(check, timeout=60)
        assert done["content"]["status"] == "ok", done["content"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        del client, manager
        gc.collect()  # here, where the warning is known, and not in the test after this one
