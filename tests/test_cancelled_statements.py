"""A transfer that is asked to stop while the database works on one of its statements."""

from __future__ import annotations

import io
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.database.writers import WRITERS
from datatransfer.failpoints import failpoint
from datatransfer.importing.matching import Matcher
from datatransfer.schema.tables import Column, Table
from tests.support.digest import assert_equal, exact_digest
from tests.support.scenes import leftovers
from tests.support.servers import Databases
from tests.support.shop import make_shop, session, two_shops
from tests.support.sql import asked, run
from tests.support.stopping import names_in, wait_until
from tests.support.transfer import DIALECTS, export_all

NEVER = {
    "sqlite": "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n) < 0",
    "postgresql": "(SELECT count(pg_sleep(60)) FROM generate_series(1, 60)) < 0",
    "mariadb": "(SELECT count(*) FROM seq_1_to_1000000 a JOIN seq_1_to_1000000 b) < 0",
}
"""Conditions of which a server does not learn within an hour that they are false."""


def _cancel_soon(stop: dt.Cancellation) -> None:
    threading.Timer(0.3, stop.cancel).start()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_insert_that_runs_is_cancelled_and_nothing_is_left(
    databases: Databases, tmp_path: Path, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = two_shops(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    before, stop = exact_digest(target), dt.Cancellation()
    with dt.Database(target) as db:
        writer = WRITERS[db.engine.dialect.name]
        insert = writer.insert

        def endless(self: Any, table: Table, columns: Sequence[Column], select: str) -> int:
            _cancel_soon(stop)
            where = "AND" if " WHERE " in select else "WHERE"
            return insert(self, table, columns, f"{select} UNION ALL {select} {where} {NEVER[dialect]}")

        monkeypatch.setattr(writer, "insert", endless)
        with pytest.raises(dt.Cancelled, match="was cancelled") as raised:
            dt.PackageImporter(package, db, cancellation=stop).run()
        assert raised.value.__suppress_context__  # what the driver said may hold values of rows
        assert list(dt.stages(db)["state"]) == []
        monkeypatch.undo()
        assert leftovers(target) == []
        assert_equal(before, exact_digest(target))
        dt.PackageImporter(package, db).run()
        assert db.count("orders") == 8


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_statement_of_the_plan_is_cancelled(
    databases: Databases, tmp_path: Path, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = two_shops(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    stop = dt.Cancellation()

    def endless(self: Matcher, _plan: Any) -> None:
        _cancel_soon(stop)
        self.writer.run(f"SELECT 1 WHERE {NEVER[dialect]}")

    monkeypatch.setattr(Matcher, "plan_table", endless)
    with dt.Database(target) as db, pytest.raises(dt.Cancelled):
        dt.PackageImporter(package, db, cancellation=stop).plan()
    assert leftovers(target) == []


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize(("place", "imported"), [("merge.before_commit", False), ("merge.after_commit", True)])
def test_what_is_asked_after_the_commit_comes_too_late(
    databases: Databases, tmp_path: Path, dialect: str, place: str, imported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = two_shops(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    stop = dt.Cancellation()

    def passing(name: str) -> None:
        if name == place:
            stop.cancel()
        failpoint(name)

    monkeypatch.setattr("datatransfer.database.writers.session.failpoint", passing)
    with dt.Database(target) as db:
        importer = dt.PackageImporter(package, db, cancellation=stop)
        if imported:
            importer.run()
        else:
            with pytest.raises(dt.Cancelled):
                importer.run()
        assert db.count("orders") == (8 if imported else 5)
    assert leftovers(target) == []


SOON = 10.0
"""Seconds, on a busy machine, in which a job that was cancelled has ended; the statements never do."""


def _cancelled(job: dt.Job[Any]) -> None:
    """Let a job come to what it does not come to the end of, cancel it, and see that this ends it."""
    assert not job.wait(0.5)
    job.cancel()
    assert job.wait(SOON)
    with pytest.raises(dt.Cancelled, match="was cancelled"):
        job.result()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_export_is_cancelled_in_the_midst_of_a_statement(databases: Databases, tmp_path: Path, dialect: str) -> None:
    url = databases.create(dialect)
    make_shop(url, "s", 3)
    folder = tmp_path / "packages"
    folder.mkdir()
    before = exact_digest(url)
    with dt.Database(url) as db:
        _cancelled(dt.PackageBuilder(db).add("orders", where=NEVER[dialect]).start(folder / "all.zip"))
        assert names_in(folder) == []
        stop = dt.Cancellation()
        _cancel_soon(stop)
        with pytest.raises(dt.Cancelled):
            dt.PackageBuilder(db, cancellation=stop).add("orders", where=NEVER[dialect]).preview()
        assert dt.PackageBuilder(db).add_all().build(folder / "all.zip").entry("orders").rows == 3
    assert_equal(before, exact_digest(url))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_staging_is_cancelled_in_the_midst_of_a_statement(
    databases: Databases, tmp_path: Path, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = two_shops(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    before = exact_digest(target)
    with dt.Database(target) as db:
        writer = WRITERS[db.engine.dialect.name]
        load = writer.load

        def endless(self: Any, *arguments: Any, **options: Any) -> int:
            self.run(f"SELECT 1 WHERE {NEVER[dialect]}")
            return int(load(self, *arguments, **options))

        monkeypatch.setattr(writer, "load", endless)
        _cancelled(dt.PackageImporter(package, db).start())
        monkeypatch.undo()
        assert leftovers(target) == []
        assert_equal(before, exact_digest(target))
        dt.PackageImporter(package, db).run()


def test_rows_that_adbc_brings_to_postgresql_are_cancelled(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("adbc_driver_postgresql")
    source, target = two_shops(databases, "postgresql")
    package = export_all(source, tmp_path / "all.zip")
    with session(target) as other:

        def passing(name: str) -> None:
            if name == "stage.batch" and not other.connection.info.transaction_status:
                ((stage,),) = asked(target, "SELECT relname FROM pg_class WHERE relname ~ '^datatransfer_s_.*_s0$'")
                other.execute("BEGIN")
                other.execute(f"LOCK TABLE {stage} IN ACCESS EXCLUSIVE MODE")
                threading.Thread(target=let_go, daemon=True).start()
            failpoint(name)

        def let_go() -> None:  # when no row waits for it any more, but the removal of the stage
            waits = "SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
            wait_until(lambda: any(query.startswith("DROP") for (query,) in asked(target, waits)))
            other.execute("ROLLBACK")

        monkeypatch.setattr("datatransfer.importing.staging.failpoint", passing)
        with dt.Database(target) as db:
            _cancelled(dt.PackageImporter(package, db).start())
    assert leftovers(target) == []


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_merge_that_waits_for_another_is_cancelled(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, target = two_shops(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    before = exact_digest(target)
    with dt.Database(target) as db, dt.Database(target) as busy:
        other = WRITERS[busy.engine.dialect.name](busy, uuid.uuid4())
        assert other.hold(fresh=True)
        with other.merge():
            _cancelled(dt.PackageImporter(package, db).start())
        other.drop_stage()
        other.close()
        assert db.count("orders") == 5
    assert leftovers(target) == []
    assert_equal(before, exact_digest(target))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_undo_tells_how_far_it_is_and_is_cancelled_in_the_midst_of_a_statement(
    databases: Databases, tmp_path: Path, dialect: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = two_shops(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run()
        before = exact_digest(target)
        writer = WRITERS[db.engine.dialect.name]
        delete = writer.delete

        def endless(self: Any, *arguments: Any) -> int:
            self.run(f"SELECT 1 WHERE {NEVER[dialect]}")
            return int(delete(self, *arguments))

        monkeypatch.setattr(writer, "delete", endless)
        _cancelled(receipt.start_undo())
        monkeypatch.undo()
        assert leftovers(target) == []
        assert_equal(before, exact_digest(target))
        told: list[Any] = []
        job = receipt.start_undo(progress=told.append)
        assert job.result(60).undo_of == str(receipt.import_id)
        assert job.kind == "undo"
        steps = [(event.phase, event.rows_done, event.rows_total) for event in told if isinstance(event, dt.Progress)]
        rows = receipt.total("insert")
        assert [steps[0], steps[1], steps[-1]] == [("check", 0, 0), ("undo", 0, rows), ("undo", rows, rows)]
    assert list(dt.jobs().tail(2)["state"]) == ["cancelled", "done"]


def test_a_large_file_is_cancelled_in_its_midst(databases: Databases, tmp_path: Path) -> None:
    class Endless(dt.MemoryStore):
        def open(self, path: str) -> Any:
            return _Endless()

        def size(self, path: str) -> int:
            return 1

    folder = tmp_path / "packages"
    folder.mkdir()
    url = databases.create("sqlite")
    run(url, "CREATE TABLE files (id INTEGER PRIMARY KEY, path TEXT)", "INSERT INTO files VALUES (1, 'a.bin')")
    with dt.Database(url, files={"files.path": Endless()}) as db:
        _cancelled(dt.PackageBuilder(db).add_all().start(folder / "all.zip"))
    assert names_in(folder) == []


class _Endless(io.RawIOBase):
    """A file that has no end."""

    def readinto(self, buffer: Any) -> int:
        time.sleep(0.01)
        buffer[:] = bytes(len(buffer))
        return len(buffer)
