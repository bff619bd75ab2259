"""Calls that fail, full disks, connections that end: a typed error, nothing changed, and it can be repeated."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

import datatransfer as dt
from datatransfer.sample import create_sample
from tests.support.children import Call
from tests.support.copies import full_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.faults import Countdown, Proxy, failing_database, failing_files
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS, SAMPLE_FILES, export_all
from tests.test_concurrency import SERVERS, _session, _shop, _waiting
from tests.test_crashes import contents, leftovers

# Long, and not all of it holds yet on every database: `python -m tests.campaign tests`.
pytestmark = pytest.mark.campaign

STRIDE = int(os.environ.get("DATATRANSFER_STRIDE", "0"))
"""Every which call fails on a server; 1 in the campaign."""


def _every_call(dialect: str) -> int:
    return STRIDE or (1 if dialect == "sqlite" else 7)


def _again(importer: Callable[[], dt.PackageImporter], **policies: str) -> None:
    """Do what a person would: drop what is of no use, resume, and if there is nothing to resume, run."""
    found = dt.stages(importer().target)
    for stage in found[found["package"] == ""]["import_id"]:  # it ended before it could say whose it is
        dt.drop_stage(importer().target, stage)
    try:
        importer().resume()
    except dt.UsageError:
        importer().run(**policies)


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_whichever_database_call_of_an_import_fails_nothing_is_lost(
    databases: Databases, tmp_path: Path, dialect: str, for_ever: bool
) -> None:
    source, target = databases.create("sqlite"), databases.create(dialect)
    _shop(source, "s", 3)
    _shop(target, "own", 2)
    package = export_all(source, tmp_path / "all.zip")
    before, after, n = exact_digest(target), None, 0
    while True:
        url = full_copy(target, databases)
        countdown = Countdown(n, for_ever=for_ever)
        with dt.Database(url) as db:
            _ = db.schema
            with failing_database(db, countdown):
                if not countdown.n:
                    dt.PackageImporter(package, db).run()
                else:
                    _fails(lambda db=db: dt.PackageImporter(package, db).run(), countdown)  # type: ignore[misc]
            if after is None:
                after = _named(url)
            elif len(dt.receipts(db)) == 0:
                assert_equal(before, exact_digest(url))
            _again(lambda db=db: dt.PackageImporter(package, db))  # type: ignore[misc]
            assert len(dt.receipts(db)) == 1, n
            assert dt.stages(db).empty, n
        assert _named(url) == after, n
        assert leftovers(url) == [], n
        databases.drop(url)
        if n and not countdown.struck:
            break
        n += _every_call(dialect) if n else 1
    assert n > 50


def _named(url: str) -> list[tuple[object, ...]]:
    """Return the rows without their keys, which differ where an earlier attempt had kept some."""
    with _session(url) as cursor:
        both = "orders o JOIN customers c ON c.id = o.customer_id"
        cursor.execute(f"SELECT c.name, c.city, o.note FROM {both} ORDER BY 3")
        return [tuple(row) for row in cursor.fetchall()]


def _fails(call: Callable[[], object], countdown: Countdown) -> None:
    """Run something during which a call fails: it does not matter, or there is a typed error."""
    try:
        call()
    except dt.DataTransferError:
        assert countdown.struck


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_whichever_database_call_of_an_export_fails_no_package_is_left(
    databases: Databases, tmp_path: Path, dialect: str, for_ever: bool
) -> None:
    source, path = databases.create(dialect), tmp_path / "made" / "all.zip"
    _shop(source, "s", 3)
    path.parent.mkdir()
    n = struck = 1
    while struck:
        countdown = Countdown(n, for_ever=for_ever)
        with dt.Database(source) as db, failing_database(db, countdown):
            _fails(lambda db=db: dt.PackageBuilder(db).add_all().build(path, progress=False), countdown)  # type: ignore[misc]
        struck = countdown.struck
        if path.exists():
            with dt.DataPackage.open(path) as package:
                assert package.verify().ok
            path.unlink()
        assert list(path.parent.iterdir()) == [], n
        n += _every_call(dialect)
    assert n > 10


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES], ids=["EIO", "ENOSPC", "EACCES"])
def test_whichever_file_call_of_an_import_fails_nothing_is_lost(
    databases: Databases, tmp_path: Path, number: int, for_ever: bool
) -> None:
    source, target = databases.create("sqlite"), databases.create("sqlite")
    create_sample(source, tmp_path / "source", seed=1, size=3).close()
    create_sample(target, tmp_path / "target", seed=2, size=2).close()
    package = export_all(source, tmp_path / "all.zip", files={SAMPLE_FILES: dt.FolderStore(tmp_path / "source")})
    before, files = exact_digest(target), tmp_path / "files"
    after, placed, n = None, None, 0
    while True:
        url, countdown = full_copy(target, databases), Countdown(n, for_ever=for_ever)
        shutil.rmtree(files, ignore_errors=True)
        shutil.copytree(tmp_path / "target", files)
        earlier = contents(files)
        with dt.Database(url, files={SAMPLE_FILES: dt.FolderStore(files)}) as db:
            _ = db.schema
            with failing_files(tmp_path, countdown, number):
                _fails(lambda db=db: dt.PackageImporter(package, db).run(on_clash="reuse"), countdown)  # type: ignore[misc]
            if after is None or placed is None:
                after, placed = exact_digest(url), contents(files)
            elif len(dt.receipts(db)) == 0:
                assert_equal(before, exact_digest(url))
                assert for_ever or set(contents(files)) == set(earlier), n
            _again(lambda db=db: dt.PackageImporter(package, db), on_clash="reuse")  # type: ignore[misc]
            assert len(dt.receipts(db)) == 1, n
        assert_equal(after, exact_digest(url))
        # A disk that fails for ever cannot be cleared either: a hidden file may stay, which the next write takes up.
        hidden = {name for name in contents(files) if for_ever and name.endswith(".part")}
        assert contents(files).keys() - hidden == placed.keys(), n
        assert placed.items() <= contents(files).items(), n
        # Where removing the lock itself fails, an empty file stays that locks nothing.
        assert [name for name in leftovers(url) if not name.endswith(".lock")] == [], n
        databases.drop(url)
        if n and not countdown.struck:
            break
        n += 1
    assert n > 10


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES], ids=["EIO", "ENOSPC", "EACCES"])
def test_whichever_file_call_of_an_export_fails_no_package_is_left_that_is_not_whole(
    databases: Databases, tmp_path: Path, number: int, for_ever: bool
) -> None:
    source, path = databases.create("sqlite"), tmp_path / "made" / "all.zip"
    create_sample(source, tmp_path / "source", seed=1, size=3).close()
    path.parent.mkdir()
    n = struck = 1
    while struck:
        countdown = Countdown(n, for_ever=for_ever)
        with dt.Database(source, files={SAMPLE_FILES: dt.FolderStore(tmp_path / "source")}) as db:
            _ = db.schema
            with failing_files(tmp_path, countdown, number):
                _fails(lambda db=db: dt.PackageBuilder(db).add_all().build(path, progress=False), countdown)  # type: ignore[misc]
            struck = countdown.struck
            if path.exists():
                path.unlink()
            dt.PackageBuilder(db).add_all().build(path, progress=False)
        with dt.DataPackage.open(path) as package:
            assert package.verify().ok
        path.unlink()
        n += 1
    assert n > 10


# --- a full disk ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "limit"),
    [("export", 500), ("export", 5_000), ("export", 20_000), ("import", 2_000), ("import", 50_000), ("import", 150_000),
     ("import", 250_000), ("import", 350_000)],
)  # fmt: skip
def test_a_disk_that_is_full_is_a_typed_error_and_nothing_is_half_done(
    databases: Databases, tmp_path: Path, verb: str, limit: int
) -> None:
    source, target, path = databases.create("sqlite"), databases.create("sqlite"), tmp_path / "made" / "all.zip"
    _shop(source, "a customer with a long name ", 3000)
    _shop(target, "own", 2)
    path.parent.mkdir()
    url = source
    if verb == "import":
        export_all(source, path)
        url = target
    before, said = exact_digest(url), tmp_path / "said"
    call = Call(verb, str(path), url, said=str(said), environment={"DATATRANSFER_TEST_FILE_SIZE": str(limit)})
    code = call.run()
    assert code == 1
    assert "\ndatatransfer.errors." in said.read_text(), said.read_text()
    assert_equal(before, exact_digest(url))
    if verb == "export":
        assert list(path.parent.iterdir()) == []
        return
    Call("resume", str(path), url, said=str(said)).check()
    with dt.Database(url) as db:
        assert db.count("customers") == 3002
    assert leftovers(url) == []


# --- connections that end -------------------------------------------------------------------------------------------


def _cut(url: str) -> int:
    """End every other session in a database, and return how many there were."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            ended = connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).all()
            return len(ended)
        found = connection.exec_driver_sql(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        ).scalars().all()  # fmt: skip
        for number in found:
            connection.exec_driver_sql(f"KILL {int(number)}")
        return len(found)


@contextmanager
def _into(databases: Databases, tmp_path: Path, dialect: str) -> Iterator[Call]:
    """Yield the call of an import; afterwards its database must be as after an undisturbed one."""
    source, target = databases.create("sqlite"), databases.create(dialect)
    _shop(source, "s", 20)
    _shop(target, "own", 5)
    package = export_all(source, tmp_path / "all.zip")
    alone = full_copy(target, databases)
    call = Call("import", str(package.path), alone, said=str(tmp_path / "said"))
    call.check()
    yield Call(**{**vars(call), "url": target})
    assert_equal(exact_digest(alone), exact_digest(target))
    with dt.Database(target) as db:
        assert list(dt.receipts(db)["state"]) == ["merged"]
    assert leftovers(target) == []


@pytest.mark.parametrize("dialect", SERVERS)
@pytest.mark.parametrize(
    "place", ["stage.batch:1", "stage.before_commit:2", "plan.table:1", "merge.table:1", "merge.before_commit:1"]
)
def test_a_connection_that_is_cut_is_an_error_that_resuming_gets_past(
    databases: Databases, tmp_path: Path, dialect: str, place: str
) -> None:
    with _into(databases, tmp_path, dialect) as call:
        before = exact_digest(call.url)
        with _waiting(call, place, tmp_path / "wait", fails=True):
            assert _cut(call.url) > 0
        assert "\ndatatransfer.errors.DatabaseError" in Path(call.said).read_text()
        assert_equal(before, exact_digest(call.url))
        with dt.Database(call.url) as db:
            assert list(dt.stages(db)["state"]) == ["left"]
            dt.PackageImporter(dt.DataPackage.open(call.package), db).resume()


@pytest.mark.parametrize("dialect", SERVERS)
@pytest.mark.parametrize("delivered", [True, False], ids=["the answer", "the request"])
def test_a_commit_that_is_lost_on_the_way_is_settled(
    databases: Databases, tmp_path: Path, dialect: str, delivered: bool
) -> None:
    with _into(databases, tmp_path, dialect) as call:
        parsed = make_url(call.url)
        with Proxy(str(parsed.host), int(parsed.port or 0), deliver=delivered) as proxy:
            through = parsed.set(port=proxy.port).render_as_string(hide_password=False)
            told = Call("tell", call.package, through, said=call.said)
            with _waiting(told, "merge.before_commit:1", tmp_path / "wait"):
                proxy.armed.set()
            assert proxy.struck.is_set()
        ((code, retryable, _),) = json.loads(Path(call.said).read_text())
        assert (code, retryable) == (("merged", False) if delivered else ("database", True))
        if not delivered:
            with dt.Database(call.url) as db:
                dt.PackageImporter(dt.DataPackage.open(call.package), db).resume()
