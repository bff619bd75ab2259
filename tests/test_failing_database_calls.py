"""The n-th call of a database driver fails: a typed error, nothing changed, and it can be repeated."""

from __future__ import annotations

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


def test_whichever_database_call_of_an_import_fails_nothing_is_lost(
    databases: Databases, tmp_path: Path, dialect: str, for_ever: bool
) -> None:
    source, target = two_shops(databases, dialect, own=2)
    package = export_all(source, tmp_path / "all.zip")
    before, alone, n = exact_digest(target), full_copy(target, databases), first(dialect, for_ever)
    import_into(package, alone)
    after, struck = _named(alone), True
    while struck:
        url, countdown = full_copy(target, databases), Countdown(n, for_ever=for_ever)
        with dt.Database(url) as db:
            _ = db.schema
            with failing_database(db, countdown):
                fails(lambda db=db: dt.PackageImporter(package, db).run(), countdown)  # type: ignore[misc]
            if len(dt.receipts(db)) == 0:
                assert_equal(before, exact_digest(url))
            again(lambda db=db: dt.PackageImporter(package, db))  # type: ignore[misc]
            assert len(dt.receipts(db)) == 1, n
            assert dt.stages(db).empty, n
        assert _named(url) == after, n
        assert leftovers(url) == [], n
        databases.drop(url)
        n, struck = n + stride(dialect), countdown.struck
    assert n > 50


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
    after, n, struck = application(exact_digest(target)), first(dialect, for_ever), True
    while struck:
        url, countdown = full_copy(target, databases), Countdown(n, for_ever=for_ever)
        with dt.Database(url) as db:
            _ = db.schema
            with failing_database(db, countdown):
                fails(lambda db=db: dt.receipt(db, done.import_id).undo(), countdown)  # type: ignore[misc]
            if dt.receipt(db, done.import_id).state == "merged":
                assert_equal(after, application(exact_digest(url)))
            again_undone(db, done.import_id)
            assert list(dt.receipts(db)["state"]) == ["merged", "undone", "merged"], n
            assert dt.stages(db).empty, n
        assert_equal(before, application(exact_digest(url)))
        assert leftovers(url) == [], n
        databases.drop(url)
        n, struck = n + stride(dialect), countdown.struck
    assert n > 50


def test_whichever_database_call_of_an_export_fails_no_package_is_left(
    databases: Databases, tmp_path: Path, dialect: str, for_ever: bool
) -> None:
    source, path = databases.create(dialect), tmp_path / "made" / "all.zip"
    make_shop(source, "s", 3)
    path.parent.mkdir()
    n, struck = first(dialect, for_ever), True
    while struck:
        countdown = Countdown(n, for_ever=for_ever)
        with dt.Database(source) as db, failing_database(db, countdown):
            fails(lambda db=db: dt.PackageBuilder(db).add_all().build(path, progress=False), countdown)  # type: ignore[misc]
        if path.exists():
            with dt.DataPackage.open(path) as package:
                assert package.verify().ok
            path.unlink()
        assert list(path.parent.iterdir()) == [], n
        n, struck = n + stride(dialect), countdown.struck
    assert n > 10
