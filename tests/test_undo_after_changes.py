"""Undo after somebody touched what was imported: an honest list, and kept on request."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.sql import connected, run
from tests.support.transfer import DIALECTS, export_all
from tests.support.undoing import application, shop


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> dt.DataPackage:
    source = shop(databases, "sqlite", "left")
    return export_all(source, tmp_path / "package.zip")


def states(report: object) -> set[tuple[str, object, str]]:
    """Return the rows of a report: table, key, and what became of it."""
    return {(table, key, state) for table, key, state, _ in report.rows}  # type: ignore[attr-defined]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_edited_referenced_and_gone_rows_are_named_and_kept_on_request(
    databases: Databases, package: dt.DataPackage, dialect: str
) -> None:
    target = shop(databases, dialect, "right", first=101)
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run()
        run(
            target,
            "UPDATE items SET amount = 77 WHERE order_id = 4",  # so order 4, its parent 3 … and customer 4 are needed
            "INSERT INTO orders VALUES (900, 7, NULL, 'later')",  # customer 7
            "DELETE FROM notes WHERE item_order = 9",
            "DELETE FROM items WHERE order_id = 9",
            "UPDATE customers SET name = 'x' WHERE id = 105",  # not ours
            "UPDATE customers SET name = 'other' WHERE id = 10",
            "UPDATE customers SET name = 'left' WHERE id = 10",  # and back again: no edit
        )
        report = receipt.check_undo()
        assert not report.ok
        assert states(report) == {
            ("items", (4, "a"), "edited"), ("orders", 4, "referenced"), ("orders", 3, "referenced"),
            ("customers", 4, "referenced"), ("customers", 3, "referenced"), ("customers", 7, "referenced"),
            ("items", (9, "a"), "gone"), ("notes", (), "edited"),
        }  # fmt: skip
        assert {by for table, _, _, by in report.rows if table == "customers"} == {"orders"}
        middle = application(exact_digest(target))
        with pytest.raises(dt.UndoConflictError, match=r"items \(edited") as caught:
            receipt.undo()
        assert caught.value.evidence["rows"]["customers (referenced)"] == 3
        assert application(exact_digest(target)).digest == middle.digest
        assert dt.stages(db).empty
        receipt.undo(keep_edited=True)
    with connected(target) as connection:
        for table, left in {"customers": [3, 4, 7], "orders": [3, 4, 900]}.items():
            found = connection.exec_driver_sql(f"SELECT id FROM {table} WHERE id NOT BETWEEN 101 AND 110 ORDER BY id")
            assert list(found.scalars()) == left
        assert connection.exec_driver_sql("SELECT count(*) FROM items WHERE order_id = 4").scalar_one() == 1
        assert connection.exec_driver_sql("SELECT count(*) FROM notes WHERE item_order < 101").scalar_one() == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_relations_that_the_database_does_not_declare_count_too(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source = databases.create(dialect)
    run(
        source, "CREATE TABLE p (id INTEGER PRIMARY KEY, code VARCHAR(9))",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, code VARCHAR(9))",
        "INSERT INTO p VALUES (1, 'one'), (2, 'two')",
    )  # fmt: skip
    target = empty_copy(source, databases)
    package = export_all(source, tmp_path / "p.zip")
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run()
        run(target, "INSERT INTO c VALUES (1, 'two')")
        assert receipt.check_undo().ok
        db.relate("c.code", "p.code")
        assert states(receipt.check_undo()) == {("p", 2, "referenced")}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_column_that_was_added_since_is_no_edit_and_one_that_is_gone_is_said(
    databases: Databases, package: dt.DataPackage, dialect: str
) -> None:
    target = shop(databases, dialect, "right", first=101)
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run()
    run(target, "ALTER TABLE customers ADD COLUMN extra VARCHAR(9) DEFAULT 'x'")
    with dt.Database(target) as db:
        assert dt.receipt(db, receipt.import_id).check_undo().ok
    run(target, "ALTER TABLE customers DROP COLUMN score")
    with dt.Database(target) as db, pytest.raises(dt.SchemaMismatchError, match="score is gone"):
        dt.receipt(db, receipt.import_id).undo()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_of_two_undos_at_once_one_is_told(databases: Databases, package: dt.DataPackage, dialect: str) -> None:
    target = shop(databases, dialect, "right", first=6)
    before = application(exact_digest(target))
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run(match_on={"customers": "email"}, on_match="update")
    said: list[str] = []
    start = threading.Barrier(3)

    def undo() -> None:
        with dt.Database(target) as mine:
            start.wait()
            try:
                dt.receipt(mine, receipt.import_id).undo()
                said.append("done")
            except dt.AlreadyUndoneError:
                said.append("told")

    threads = [threading.Thread(target=undo) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["done", "told", "told"]
    assert_equal(before, application(exact_digest(target)))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_smallest_edit_of_any_value_is_seen(databases: Databases, package: dt.DataPackage, dialect: str) -> None:
    target = shop(databases, dialect, "right", first=101)
    edits = ["name = NULL", "name = ''", "score = score + 1e-15", "balance = balance + 0.01", "name = 'Left'"]
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run()
        for number, edit in enumerate(edits, start=2):
            run(target, f"UPDATE customers SET {edit} WHERE id = {number}")
        edited = {key for table, key, state in states(receipt.check_undo()) if state == "edited"}
        assert edited == set(range(2, 2 + len(edits)))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_backup_holds_the_rows_as_they_were_before_the_first_one_changes(
    databases: Databases, package: dt.DataPackage, tmp_path: Path, dialect: str
) -> None:
    target = shop(databases, dialect, "right", first=6)
    before = application(exact_digest(target))
    policies = {"match_on": {"customers": "email"}, "on_match": "update"}
    with dt.Database(target) as db:
        (tmp_path / "there.zip").write_text("not to be replaced")
        with pytest.raises(dt.PackageExistsError):
            dt.PackageImporter(package, db).run(**policies, backup=tmp_path / "there.zip")  # type: ignore[arg-type]
        assert application(exact_digest(target)).digest == before.digest
        receipt = dt.PackageImporter(package, db).run(**policies, backup=tmp_path / "b.zip")  # type: ignore[arg-type]
        saved = dt.DataPackage.open(tmp_path / "b.zip")
        assert saved.verify().ok
        assert saved["customers"].to_frame().shape[0] == receipt.total("update") == 5
        assert set(saved["customers"].to_frame()["name"]) == {"right"}
        undone = receipt.undo(backup=tmp_path / "u.zip")
        saved = dt.DataPackage.open(tmp_path / "u.zip")
        assert saved.verify().ok
        assert int(saved.tables["rows"].sum()) == undone.total("delete") + undone.total("update")
        assert_equal(before, application(exact_digest(target)))
