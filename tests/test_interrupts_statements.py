"""Ctrl-C while a database works or waits: its statement is cancelled, and its connection serves on."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer import interrupts
from datatransfer.database.writers import WRITERS
from tests.support.digest import assert_equal, exact_digest
from tests.support.scenes import leftovers
from tests.support.servers import Databases
from tests.support.shop import make_shop, two_shops
from tests.support.stopping import NOTHING
from tests.support.transfer import DIALECTS, export_all

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
    source, target = two_shops(databases, dialect)
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
