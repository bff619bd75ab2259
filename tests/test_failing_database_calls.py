"""The n-th call of a database driver fails: a typed error, nothing changed, and it can be repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.copies import full_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.faults import Countdown, again, again_undone, failing_database, fails
from tests.support.lengths import first, stride
from tests.support.scenes import leftovers
from tests.support.servers import Databases
from tests.support.shop import make_shop, session, two_shops
from tests.support.transfer import DIALECTS, export_all, import_into
from tests.support.undoing import application

pytestmark = [
    pytest.mark.longer,
    pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"]),
    pytest.mark.parametrize("dialect", DIALECTS),
]


def _named(url: str) -> list[tuple[object, ...]]:
    """Return the rows without their keys, which differ where an earlier attempt had kept some."""
    with session(url) as cursor:
        both = "orders o JOIN customers c ON c.id = o.customer_id"
        cursor.execute(f"SELECT c.name, c.city, o.note FROM {both} ORDER BY 3")
        return [tuple(row) for row in cursor.fetchall()]


def _every_call(attempt: Callable[[Countdown], None], dialect: str, for_ever: bool, *, least: int = 50) -> None:
    """Let the first call fail, then a later one …, until there are no more."""
    n, struck = first(dialect, for_ever), True
    while struck:
        countdown = Countdown(n, for_ever=for_ever)
        attempt(countdown)
        n, struck = n + stride(dialect), countdown.struck
    assert n > least


def test_whichever_database_call_of_an_import_fails_nothing_is_lost(
    databases: Databases, tmp_path: Path, dialect: str, for_ever: bool
) -> None:
    source, target = two_shops(databases, dialect, own=2)
    package = export_all(source, tmp_path / "all.zip")
    before, alone = exact_digest(target), full_copy(target, databases)
    import_into(package, alone)
    after = _named(alone)

    def attempt(countdown: Countdown) -> None:
        url, n = full_copy(target, databases), countdown.n
        with dt.Database(url) as db:
            _ = db.schema
            with failing_database(db, countdown):
                fails(lambda: dt.PackageImporter(package, db).run(), countdown)
            if len(dt.receipts(db)) == 0:
                assert_equal(before, exact_digest(url))
            again(lambda: dt.PackageImporter(package, db))
            assert len(dt.receipts(db)) == 1, n
            assert dt.stages(db).empty, n
        assert _named(url) == after, n
        assert leftovers(url) == [], n
        databases.drop(url)

    _every_call(attempt, dialect, for_ever)


def test_whichever_database_call_of_an_undo_fails_nothing_is_lost(
    databases: Databases, tmp_path: Path, dialect: str, for_ever: bool
) -> None:
    source, target = two_shops(databases, dialect, own=2)
    import_into(export_all(source, tmp_path / "older.zip"), target)
    before = application(exact_digest(target))
    with session(source) as cursor:
        cursor.execute("UPDATE customers SET city = 'there' WHERE id = 2")
        cursor.execute("INSERT INTO customers (name) VALUES ('late')")
    done = import_into(export_all(source, tmp_path / "newer.zip"), target, on_match="update")
    assert (done.total("insert"), done.total("update")) == (1, 1)
    after = application(exact_digest(target))

    def attempt(countdown: Countdown) -> None:
        url, n = full_copy(target, databases), countdown.n
        with dt.Database(url) as db:
            _ = db.schema
            with failing_database(db, countdown):
                fails(lambda: dt.receipt(db, done.import_id).undo(), countdown)
            if dt.receipt(db, done.import_id).state == "merged":
                assert_equal(after, application(exact_digest(url)))
            again_undone(db, done.import_id)
            assert list(dt.receipts(db)["state"]) == ["merged", "undone", "merged"], n
            assert dt.stages(db).empty, n
        assert_equal(before, application(exact_digest(url)))
        assert leftovers(url) == [], n
        databases.drop(url)

    _every_call(attempt, dialect, for_ever)


def test_whichever_database_call_of_an_export_fails_no_package_is_left(
    databases: Databases, tmp_path: Path, dialect: str, for_ever: bool
) -> None:
    source, path = databases.create(dialect), tmp_path / "made" / "all.zip"
    make_shop(source, "s", 3)
    path.parent.mkdir()

    def attempt(countdown: Countdown) -> None:
        with dt.Database(source) as db, failing_database(db, countdown):
            fails(lambda: dt.PackageBuilder(db).add_all().build(path, progress=False), countdown)
        if path.exists():
            with dt.DataPackage.open(path) as package:
                assert package.verify().ok
            path.unlink()
        assert list(path.parent.iterdir()) == [], countdown.n

    _every_call(attempt, dialect, for_ever, least=10)
