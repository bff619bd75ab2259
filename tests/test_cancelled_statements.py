"""A transfer that is asked to stop while the database works on one of its statements."""

from __future__ import annotations

import threading
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
from tests.support.shop import two_shops
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
