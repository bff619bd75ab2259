"""Transfers in the background: they return at once, can be looked at, stopped and awaited, and leave a journal."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.background import start
from datatransfer.background.journal import _KEPT, FOLDER, records
from datatransfer.background.rates import Speedometer
from datatransfer.events import Cancellation, Listener, Progress, Warned
from datatransfer.sample import create_sample
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS


@pytest.fixture(autouse=True)
def journals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journal of its own for each test."""
    monkeypatch.setenv(FOLDER, str(tmp_path / "jobs"))
    return tmp_path / "jobs"


@pytest.fixture
def source(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path / 'source.db'}"
    create_sample(url, tmp_path / "files").close()
    return url


class Gate:
    """A listener that holds the transfer at its first event until it is opened."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self, _event: object) -> None:
        self.reached.set()
        assert self.opened.wait(30)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_whole_transfer_in_the_background_ends_like_one_that_waits(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    url = databases.create(dialect)
    create_sample(url, tmp_path / "files").close()
    target_url = empty_copy(url, databases)
    with dt.Database(url) as db, dt.Database(target_url) as target:
        export = dt.PackageBuilder(db).add_all().start(tmp_path / "all.zip")
        with export.result(60) as package:
            job = dt.PackageImporter(package, target).start()
            receipt = job.result(60)
    assert (export.state, job.state) == ("done", "done")
    assert receipt.summary["inserted"].sum() > 0
    assert_equal(exact_digest(url), exact_digest(target_url))
    assert list(dt.jobs()["kind"]) == ["export", "import"]
    assert set(dt.jobs()["state"]) == {"done"}


def test_it_returns_while_the_transfer_goes_on(source: str, tmp_path: Path) -> None:
    gate = Gate()
    with dt.Database(source) as db:
        job = dt.PackageBuilder(db).add("users").start(tmp_path / "part.zip", progress=gate)
        assert gate.reached.wait(30)
        assert (job.state, job.exception(), job.wait(0)) == ("running", None, False)
        assert list(dt.jobs()["state"]) == ["running"]
        with pytest.raises(dt.UsageError, match="has not ended yet"):
            job.result(0.01)
        gate.opened.set()
        assert job.wait(30)
        assert len(job.result()["users"].to_frame()) > 0
    assert job.progress.phase


def test_a_job_can_be_awaited_while_the_loop_runs_other_things(source: str, tmp_path: Path) -> None:
    gate = Gate()

    async def main() -> int:
        with dt.Database(source) as db:
            job = dt.PackageBuilder(db).add("users").start(tmp_path / "part.zip", progress=gate)
            turns = 0
            while not gate.reached.is_set():
                await asyncio.sleep(0.001)
                turns += 1
            gate.opened.set()
            assert (await job).path == tmp_path / "part.zip"
            return turns

    assert asyncio.run(main()) >= 0


def test_cancel_stops_at_the_next_batch_and_leaves_nothing(source: str, tmp_path: Path) -> None:
    gate = Gate()
    out = tmp_path / "out"
    out.mkdir()
    with dt.Database(source) as db:
        builder = dt.PackageBuilder(db).add_all()
        job = builder.start(out / "all.zip", progress=gate)
        assert gate.reached.wait(30)
        job.cancel()
        gate.opened.set()
        with pytest.raises(dt.Cancelled):
            job.result(30)
        assert job.state == "cancelled"
        assert list(out.iterdir()) == []
        assert list(dt.jobs()["state"]) == ["cancelled"]
        assert builder.build(out / "all.zip", progress=False).verify().ok  # the builder itself was not cancelled


def test_a_cancelled_import_leaves_the_target_and_no_stage(databases: Databases, source: str, tmp_path: Path) -> None:
    target_url, gate = empty_copy(source, databases), Gate()
    before = exact_digest(target_url)
    with dt.Database(source) as db, dt.Database(target_url) as target:
        package = dt.PackageBuilder(db).add_all().build(tmp_path / "all.zip", progress=False)
        job = dt.PackageImporter(package, target).start(progress=gate)
        assert gate.reached.wait(30)
        job.cancel()
        gate.opened.set()
        with pytest.raises(dt.Cancelled):
            job.result(30)
        assert dt.stages(target).empty
    assert_equal(before, exact_digest(target_url))


def test_an_error_is_kept_shown_and_raised_again(source: str, tmp_path: Path) -> None:
    with dt.Database(source) as db:
        job = dt.PackageBuilder(db).add("users", where="no_such_column = 1").start(tmp_path / "part.zip")
        with pytest.raises(dt.ConditionError):
            job.result(30)
        assert isinstance(job.exception(), dt.ConditionError)
        assert "failed" in repr(job)
        assert "failed" in job._repr_html_()
    assert dt.jobs()["message"].str.contains("users").tolist() == [True]


def test_what_can_be_refused_at_once_is_refused_before_a_thread_begins(source: str, tmp_path: Path) -> None:
    (tmp_path / "there.zip").write_bytes(b"")
    with dt.Database(source) as db:
        builder = dt.PackageBuilder(db).add("users")
        with pytest.raises(dt.UsageError, match="encoding"):
            builder.start(tmp_path / "part.zip", encoding="rows")  # type: ignore[arg-type]
        with pytest.raises(dt.SelectionError):
            dt.PackageBuilder(db).start(tmp_path / "part.zip")
    with dt.Database("sqlite://") as memory:
        with memory.engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE users (id INTEGER PRIMARY KEY)")
        builder = dt.PackageBuilder(memory).add("users")
        with pytest.raises(dt.UsageError, match="in memory"):
            builder.start(tmp_path / "part.zip")
    assert dt.jobs().empty


def test_roots_that_are_added_later_do_not_matter(source: str, tmp_path: Path) -> None:
    gate = Gate()
    with dt.Database(source) as db:
        builder = dt.PackageBuilder(db).add("tags")
        job = builder.start(tmp_path / "part.zip", progress=gate)
        builder.add("users")
        gate.opened.set()
        assert [root["table"] for root in job.result(30).metadata.selection["roots"]] == ["tags"]


# --- the journal ----------------------------------------------------------------------------------------------------


def test_the_journal_is_for_its_owner_and_holds_no_password(source: str, tmp_path: Path, journals: Path) -> None:
    with dt.Database(source) as db:
        dt.PackageBuilder(db).add("users").start(tmp_path / "part.zip").result(30)
    (file,) = journals.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(journals.stat().st_mode) == 0o700
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0]["facts"]["package"] == str(tmp_path / "part.zip")
    assert lines[-1]["state"] == "done"
    job = start("import", "x to " + dt.Database("postgresql+psycopg://u:S3CR3T@127.0.0.1:1/x").url_shown, lambda *_: 1)
    job.result(10)
    assert "S3CR3T" not in "".join(path.read_text() for path in journals.iterdir())


def test_the_journal_ends_with_the_rows_of_the_end() -> None:
    def work(listen: Listener, _cancel: Cancellation) -> None:
        for row in range(5_000):
            listen(Progress("read", "orders", rows_done=row + 1, rows_total=5_000))

    start("export", "a to b", work).result(10)
    (record,) = records()
    assert (record.state, record.phase, record.rows) == ("done", "read", 5_000)


CHILD = """
import sys, time
from datatransfer.background import start
from datatransfer.events import Progress
def work(listen, _cancel):
    listen(Progress("read", "orders", rows_done=7, rows_total=9))
    print("going", flush=True)
    time.sleep(60)
start("import", "a to b", work, code="dt.resume()").result()
"""


def test_a_job_whose_process_is_gone_was_interrupted_and_says_how_to_go_on() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"going\n"
        (running,) = records()
        child.kill()
    (left,) = records()
    assert (running.state, left.state) == ("running", "interrupted")
    assert (left.rows, left.phase, left.code) == (7, "read", "dt.resume()")


def test_a_line_that_was_cut_is_passed_over(journals: Path) -> None:
    start("export", "a to b", lambda *_: 1).result(10)
    (file,) = journals.iterdir()
    file.write_text(file.read_text() + '{"state": "fai')
    (journals / "2026-strange.jsonl").write_text("[]\n")
    (journals / "2026-empty.jsonl").write_text("")
    assert [record.state for record in records()] == ["done"]


def test_only_the_latest_jobs_are_kept_and_running_ones_always(journals: Path) -> None:
    gate = Gate()
    held = start("export", "held", lambda listen, _: gate(listen))
    assert gate.reached.wait(10)
    journals.mkdir(exist_ok=True)
    for number in range(_KEPT + 5):
        (journals / f"9999-{number:04}.jsonl").write_text("{}\n")
    start("export", "last", lambda *_: 1).result(10)
    names = [path.name for path in journals.glob("*.jsonl")]
    assert len(names) <= _KEPT + 2
    assert [record.what for record in records()][:1] == ["held"]
    gate.opened.set()
    held.wait(10)


def test_a_journal_that_cannot_be_written_is_refused_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(FOLDER, str(tmp_path / "file" / "jobs"))
    with pytest.raises(dt.UsageError, match=FOLDER):
        start("export", "a to b", lambda *_: 1)


# --- telling --------------------------------------------------------------------------------------------------------


def test_watchers_are_told_ten_times_a_second_at_most_and_at_the_end() -> None:
    seen: list[tuple[str, int]] = []
    begin = threading.Event()

    def work(listen: dt.events.Listener, _cancel: object) -> int:  # type: ignore[name-defined]
        assert begin.wait(10)
        for row in range(20_000):
            listen(Progress("read", "orders", rows_done=row, rows_total=20_000))
        return 1

    began = time.monotonic()
    job = start("export", "a to b", work)
    job.watch(lambda job: seen.append((job.state, job.progress.rows_done)))
    begin.set()
    job.result(60)
    job.wait(10)
    assert seen[-1] == ("done", 19_999)
    assert 1 <= len(seen) <= (time.monotonic() - began) / 0.1 + 2


def test_a_watcher_that_fails_is_left_out_and_told_of() -> None:
    def broken(_job: object) -> None:
        raise ValueError("secret")

    job = start("export", "a to b", lambda listen, _: [listen(Progress("read", rows_done=n)) for n in range(3)])
    job.watch(broken)
    assert len(job.result(10)) == 3
    job.wait(10)
    assert len(job.progress.warnings) == 1
    assert "ValueError" in job.progress.warnings[0]
    assert "secret" not in job.progress.warnings[0]


def test_speed_and_time_left_come_from_the_last_ten_seconds_of_the_phase() -> None:
    meter = Speedometer()
    meter.note(Warned("x", "look", "orders"), 0.0)
    for second in range(31):
        rows = 100 * second if second <= 15 else 1500 + 1000 * (second - 15)
        seen = meter.note(Progress("read", "orders", rows_done=rows, rows_total=26_500), float(second))
    assert seen.rows_per_second == pytest.approx(1000)
    assert seen.seconds_left == pytest.approx(10)
    assert seen.warnings == ("orders: look",)
    again = meter.note(Progress("write", rows_done=5), 31.0)
    assert (again.rows_per_second, again.seconds_left, again.fraction) == (0.0, None, None)


def test_a_job_shows_how_it_went(source: str, tmp_path: Path) -> None:
    with dt.Database(source) as db:
        job = dt.PackageBuilder(db).add_all().start(tmp_path / "all.zip")
        job.result(30)
        job.wait(30)
    assert "done in" in repr(job)
    assert "100%" in job._repr_html_()
    assert "reading rows" in job.plot().to_svg()
    assert "result" in dir(job)


def test_a_plan_that_was_made_in_a_thread_can_be_dropped_in_another(
    databases: Databases, source: str, tmp_path: Path
) -> None:
    target_url = empty_copy(source, databases)
    with dt.Database(source) as db, dt.Database(target_url) as target:
        package = dt.PackageBuilder(db).add_all().build(tmp_path / "all.zip", progress=False)
        importer = dt.PackageImporter(package, target, listener=lambda _event: None)
        plan = start("plan", "a plan", lambda *_: importer.plan()).result(30)
        assert list(dt.stages(target)["state"]) == ["running"]
        plan.discard()
        assert dt.stages(target).empty
        assert importer.start(start("plan", "a plan", lambda *_: importer.plan()).result(30)).result(30).recorded
        assert dt.stages(target).empty


_LEFT = """
import sys
import datatransfer as dt
package, url = sys.argv[1:3]
options = {"resume": True} if sys.argv[3:] else {}
with dt.Database(url) as db:
    dt.PackageImporter(dt.DataPackage.open(package), db).start(**options).result()
"""


def _left(package: Path, url: str, place: str, *options: str) -> None:
    """Start an import in a process that is killed at a place."""
    environment = {**os.environ, "DATATRANSFER_FAILPOINT": f"{place}:1"}
    done = subprocess.run([sys.executable, "-c", _LEFT, str(package), url, *options], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL


@pytest.mark.parametrize("again", ["blocking", "in the background"])
def test_jobs_that_were_resumed_are_not_listed_as_left(
    databases: Databases, source: str, tmp_path: Path, again: str
) -> None:
    url = empty_copy(source, databases)
    with dt.Database(source) as db:
        package = dt.PackageBuilder(db).add_all().build(tmp_path / "all.zip", progress=False)
        other = dt.PackageBuilder(db).add("users").build(tmp_path / "users.zip", progress=False)
    _left(tmp_path / "users.zip", url, "stage.opened")
    _left(tmp_path / "all.zip", url, "stage.opened")
    _left(tmp_path / "all.zip", url, "merge.begin", "again")
    assert list(dt.jobs()["state"]) == ["interrupted"] * 3
    with dt.Database(url) as db:
        importer = dt.PackageImporter(package, db)
        receipt = importer.resume() if again == "blocking" else importer.start(resume=True).result(60)
        listed = dt.jobs()
        assert list(listed["state"])[:3] == ["interrupted", "resumed", "resumed"]
        assert list(listed["message"])[1:3] == [f"resumed, and done: receipt {receipt.import_id}"] * 2
        assert list(listed["code"])[1:3] == ["", ""]
        assert "resume()" in listed["code"][0]
        dt.PackageImporter(other, db).resume()
        assert "interrupted" not in set(dt.jobs()["state"])


def test_an_import_that_was_done_when_its_process_was_killed_is_not_listed_as_left(
    databases: Databases, source: str, tmp_path: Path
) -> None:
    url = empty_copy(source, databases)
    with dt.Database(source) as db:
        package = dt.PackageBuilder(db).add_all().build(tmp_path / "all.zip", progress=False)
    _left(tmp_path / "all.zip", url, "merge.after_commit")
    with dt.Database(url) as db:
        dt.PackageImporter(package, db).resume()
    assert list(dt.jobs()["state"]) == ["resumed"]
