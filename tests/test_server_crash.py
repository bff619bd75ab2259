"""A server that is killed during an import: all or nothing, and resuming gets to where nothing had happened."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from tests.support.children import Call, waiting
from tests.support.copies import full_copy
from tests.support.crashing import Crashing, crashing_server
from tests.support.digest import DatabaseDigest, assert_equal, exact_digest
from tests.support.scenes import leftovers
from tests.support.servers import Databases
from tests.support.shop import two_shops
from tests.support.sql import asked, connected
from tests.support.transfer import export_all

PLACES = ["stage.after_commit:2", "merge.table:1", "merge.before_commit:1", "merge.after_commit:1"]


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def private(request: pytest.FixtureRequest) -> Iterator[Crashing]:
    with crashing_server(request.param) as made:
        yield made


def apart(url: str) -> None:
    """Move a shop's own rows to keys that no other has: keys that a server gives go on elsewhere after a crash."""
    with connected(url) as connection:
        for statement in (
            "INSERT INTO customers SELECT id + 1000, concat(name, '!'), city FROM customers",
            "UPDATE orders SET customer_id = customer_id + 1000, id = id + 1000",
            "DELETE FROM customers WHERE id < 1000",
        ):
            connection.execute(sa.text(statement))


@contextmanager
def shops(private: Crashing, folder: Path) -> Iterator[tuple[Call, dt.DataPackage, DatabaseDigest, DatabaseDigest]]:
    """Yield the call of an import, its package, and the target as it is and as an undisturbed import makes it.

    Afterwards there must be that, one receipt, and nothing beside it.
    """
    databases = Databases(folder, lambda _dialect: private.server)
    source, target = two_shops(databases, private.server.name, rows=20)
    apart(target)
    package = export_all(source, folder / "all.zip")
    alone = full_copy(target, databases)
    call = Call("import", str(package.path), alone, options={"checkpoint_rows": 8}, said=str(folder / "said"))
    call.check()
    before, wanted = exact_digest(target), exact_digest(alone)
    yield Call(**{**vars(call), "url": target}), package, before, wanted
    assert_equal(wanted, exact_digest(target))
    with dt.Database(target) as db:
        assert list(dt.receipts(db)["state"]) == ["merged"]
        assert dt.stages(db).empty
    assert leftovers(target) == []
    databases.drop_all()


@pytest.mark.parametrize("place", PLACES)
def test_a_server_that_is_killed_during_an_import_has_all_of_it_or_nothing(
    private: Crashing, tmp_path: Path, place: str
) -> None:
    with shops(private, tmp_path) as (call, package, before, wanted):
        with waiting(call, place, tmp_path / "wait", fails=True):
            private.kill()
        assert "\ndatatransfer.errors.DatabaseError: " in Path(call.said).read_text()
        private.start()
        done = place.startswith("merge.after_commit")
        assert_equal(wanted if done else before, exact_digest(call.url))
        with dt.Database(call.url) as db:
            assert list(dt.stages(db)["state"]) == ["merged" if done else "left"]
            receipt = dt.PackageImporter(package, db).resume()
            assert receipt.counts == {"customers": {"insert": 20}, "orders": {"insert": 20}}


def sessions_beyond(private: Crashing, last: int, stack: ExitStack) -> list[sa.Connection]:
    """Open sessions, as an application does, until one has a higher number than any had before the crash."""
    assert private.server.url is not None
    engine = sa.create_engine(private.server.url, poolclass=sa.pool.NullPool)
    number = {"mariadb": "SELECT CONNECTION_ID()", "postgresql": "SELECT pg_backend_pid()"}[private.server.name]
    opened: list[sa.Connection] = []
    while not opened or opened[-1].exec_driver_sql(number).scalar_one() <= last:
        opened.append(stack.enter_context(engine.connect()))
    return opened


def test_an_import_that_lost_its_server_ends_no_session_of_others_when_it_is_back(
    private: Crashing, tmp_path: Path
) -> None:
    numbers = {
        "mariadb": "SELECT max(id) FROM information_schema.processlist WHERE command <> 'Daemon'",
        "postgresql": "SELECT 0",  # only MariaDB counts from the beginning again
    }[private.server.name]
    with shops(private, tmp_path) as (call, package, before, _), ExitStack() as stack:
        with waiting(call, "merge.before_commit:1", tmp_path / "wait", fails=True):
            ((last,),) = asked(call.url, numbers)
            private.kill()
            private.start()
            others = sessions_beyond(private, last, stack)
        assert "\ndatatransfer.errors.DatabaseError: " in Path(call.said).read_text()
        assert [other.exec_driver_sql("SELECT 7").scalar() for other in others] == [7] * len(others)
        assert_equal(before, exact_digest(call.url))
        with dt.Database(call.url) as db:
            dt.PackageImporter(package, db).resume()
