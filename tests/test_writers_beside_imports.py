"""Other sessions that write while an import is under way, and the keys that the application takes."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer.database import ledger
from datatransfer.events import Progress
from datatransfer.sample import create_schema
from tests.support.children import Call, waiting
from tests.support.copies import full_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.lengths import rounds
from tests.support.servers import Databases
from tests.support.shop import SHOP, make_shop, session, two_shops
from tests.support.transfer import DIALECTS, SERVERS, export_all, import_into


def _before(db: dt.Database, import_id: Any) -> str | None:
    """Return the city that an import says it found."""
    with db.engine.connect() as conn:
        images = [image for _, image in ledger.before_images(conn, import_id)]
    return images[0]["city"][0].as_py() if images else None


@pytest.mark.longer
@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_a_second_writer_commits_is_never_overwritten_unseen(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, first = two_shops(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    import_into(package, first)
    outcomes: Counter[str] = Counter()
    for part in range(rounds(1, 15)):
        target = full_copy(first, databases)
        outcomes += _write_at_every_moment(package, target, random.Random(f"{dialect} {part}"))
        databases.drop(target)
    assert set(outcomes) == {"old", "written", "target-changed customers"}, outcomes


def _write_at_every_moment(package: dt.DataPackage, target: str, drawn: random.Random) -> Counter[str]:
    """Let a writer change a row at some moment of an import that updates it, and look who saw what."""
    outcomes: Counter[str] = Counter()
    with dt.Database(target) as db, session(target) as cursor:
        for moment in ("before", "stage", "plan", "between", "merge", "after"):
            cursor.execute("UPDATE customers SET city = 'old' WHERE name = 's1'")
            writer = _Writer(target, moment, drawn.random() * 0.02)
            importer, found = dt.PackageImporter(package, db, listener=writer.listen), None
            writer.passes("before")
            plan = importer.plan(on_match="update")
            writer.passes("between")
            try:
                found = _before(db, importer.run(plan).import_id)
                outcomes[str(found)] += 1
            except dt.TargetChangedError as error:
                outcomes[f"{error.code} {error.where}"] += 1
            writer.passes("after")
            writer.thread.join()
            cursor.execute("SELECT city FROM customers WHERE name = 's1'")
            assert cursor.fetchone() == ("here" if found == "written" else "written",), moment
    return outcomes


class _Writer:
    """Changes a row in a thread of its own, from a moment on; where nothing else goes on then, all at once."""

    def __init__(self, url: str, moment: str, delay: float) -> None:
        self.url, self.moment, self.delay = url, moment, delay
        self.thread = threading.Thread(target=self._write)

    def listen(self, event: object) -> None:
        if isinstance(event, Progress) and event.phase == self.moment and self.thread.ident is None:
            self.thread.start()

    def passes(self, moment: str) -> None:
        if moment == self.moment:
            self.thread.start()
            self.thread.join()

    def _write(self) -> None:
        with session(self.url, seconds=60) as cursor:
            time.sleep(self.delay)
            cursor.execute("UPDATE customers SET city = 'written' WHERE name = 's1'")


@pytest.mark.parametrize("dialect", SERVERS)
@pytest.mark.parametrize("place", ["stage.before_commit:1", "plan.table:2", "merge.begin:1", "merge.before_commit:1"])
def test_rows_that_an_import_does_not_touch_are_written_meanwhile(
    databases: Databases, tmp_path: Path, dialect: str, place: str
) -> None:
    source, target = two_shops(databases, dialect, rows=30)
    package = export_all(source, tmp_path / "all.zip")
    with waiting(Call("import", str(package.path), target, said=str(tmp_path / "said")), place, tmp_path / "wait"):
        with session(target) as cursor:
            cursor.execute("UPDATE customers SET city = 'there' WHERE id = 2")
            cursor.execute("UPDATE orders SET note = 'changed' WHERE id = 3")
            cursor.execute("INSERT INTO customers (name) VALUES ('new')")
            cursor.execute("SELECT max(id) FROM customers WHERE name = 'new'")
            cursor.execute("INSERT INTO orders (customer_id, note) VALUES (%s, 'new')", cursor.fetchone())
            cursor.execute("DELETE FROM orders WHERE id = 1")
    with session(target) as cursor:
        cursor.execute("SELECT count(*) FROM customers")
        assert cursor.fetchone() == (36,)
        cursor.execute("SELECT count(*) FROM orders o JOIN customers c ON c.id = o.customer_id")
        assert cursor.fetchone() == (35,)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_wait_for_a_lock_ends_in_time_and_names_the_table(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, target = two_shops(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    import_into(package, target)
    with session(target) as cursor:
        cursor.execute("UPDATE orders SET note = 'old' WHERE note = 's1'")
        before = exact_digest(target)
        cursor.execute("BEGIN IMMEDIATE" if dialect == "sqlite" else "START TRANSACTION")
        cursor.execute("UPDATE orders SET note = 'held' WHERE note = 'old'")
        with dt.Database(target) as db:
            begin = time.monotonic()
            with pytest.raises(dt.DatabaseError, match="lock") as caught:
                dt.PackageImporter(package, db, lock_timeout=1).run(on_match="update")
            assert 0.9 < time.monotonic() - begin < 10
            assert caught.value.retryable
            assert caught.value.where == ("orders" if dialect != "sqlite" else ""), caught.value
            cursor.execute("ROLLBACK")
            assert_equal(before, exact_digest(target))
            assert dt.PackageImporter(package, db, lock_timeout=1).resume().total("update") == 1
            assert dt.stages(db).empty


def test_a_lock_timeout_that_is_none_is_refused(databases: Databases, tmp_path: Path) -> None:
    source = databases.create("sqlite")
    make_shop(source, "s", 1)
    package = export_all(source, tmp_path / "all.zip")
    with dt.Database(source) as db, pytest.raises(dt.UsageError, match="lock_timeout"):
        dt.PackageImporter(package, db, lock_timeout=0)


def test_the_receipt_says_how_long_each_phase_took(databases: Databases, tmp_path: Path) -> None:
    source, target = databases.create("sqlite"), databases.create("sqlite")
    make_shop(source, "s", 3)
    create_schema(target)
    SHOP.create_all(sa.create_engine(target, poolclass=sa.pool.NullPool))
    begin = time.monotonic()
    receipt = import_into(export_all(source, tmp_path / "all.zip"), target)
    took = time.monotonic() - begin
    with dt.Database(target) as db:
        stored = dt.receipt(db, receipt.import_id).timings
    assert set(stored) == {"stage", "plan", "wait", "merge"}
    assert 0 < sum(stored.values()) < took


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_next_insert_of_the_application_works_after_a_resumed_import(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = two_shops(databases, dialect, rows=30)
    call = Call("import", str(export_all(source, tmp_path / "all.zip").path), target, said=str(tmp_path / "said"))
    killed = Call(**{**vars(call), "environment": {"DATATRANSFER_FAILPOINT": "merge.before_commit:1"}})
    assert killed.run() == -9
    Call(**{**vars(call), "verb": "resume"}).check()
    with session(target) as cursor:
        cursor.execute("SELECT max(id) FROM customers")
        (top,) = cursor.fetchone()
        cursor.execute("INSERT INTO customers (name) VALUES ('next')")
        cursor.execute("SELECT id FROM customers WHERE name = 'next'")
        assert cursor.fetchone()[0] > top


@pytest.mark.parametrize("dialect", SERVERS)
def test_a_target_that_goes_on_inserting_is_imported_into_at_the_first_try(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = two_shops(databases, dialect, rows=3000)
    package = export_all(source, tmp_path / "all.zip")
    with session(target) as cursor:

        def insert(number: int) -> None:
            cursor.execute("INSERT INTO customers (name) VALUES (%s)", (f"live-{number}",))

        with _repeated(insert) as failed:
            receipt = import_into(package, target)
    assert receipt.total("insert") == 6000
    assert failed == []


@pytest.mark.parametrize("dialect", SERVERS)
def test_transactions_that_insert_a_parent_and_then_its_child_go_on_beside_imports(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = two_shops(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    with session(target) as cursor:

        def insert(number: int) -> None:
            cursor.execute("START TRANSACTION")
            cursor.execute("INSERT INTO customers (name) VALUES (%s)", (f"live-{number}",))
            time.sleep(0.1)
            cursor.execute("INSERT INTO orders (customer_id, note) SELECT max(id), 'live' FROM customers")
            cursor.execute("COMMIT")

        with _repeated(insert) as failed, dt.Database(target) as db:
            for number in range(3):
                importer = dt.PackageImporter(package, db)
                with importer.plan() as plan:
                    assert plan.summary["insert"].tolist() == [0, 0] if number else [3, 3]
                assert importer.run(identity="copy", on_clash="rename").total("insert") == 6
                assert importer.target.count("customers") > 5 + 3 * number
    assert failed == []
    with session(target) as cursor:
        cursor.execute("SELECT count(*) FROM orders WHERE note = 'live'")
        assert cursor.fetchone()[0] > 5


@contextmanager
def _repeated(work: Callable[[int], None]) -> Iterator[list[Exception]]:
    """Do something again and again in a thread of its own, meanwhile; yield what it was refused with."""
    stop, failed = threading.Event(), []

    def run() -> None:
        number = 0
        while not stop.wait(0.002):
            number += 1
            try:
                work(number)
            except Exception as error:
                failed.append(error)

    writer = threading.Thread(target=run)
    writer.start()
    try:
        yield failed
    finally:
        stop.set()
        writer.join()
