"""What came since an import: tables that refer to its rows, columns that somebody filled, parents that went."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.errors import AlreadyUndoneError, UndoConflictError
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.transfer import DIALECTS, export_all

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(20) UNIQUE)"
REFERS = "user_id INTEGER NOT NULL, FOREIGN KEY (user_id) REFERENCES users (id)"
SCHEMA = (USERS, f"CREATE TABLE orders (id INTEGER PRIMARY KEY, {REFERS})")
ROWS = ("INSERT INTO users VALUES (1, 'a'), (2, 'b')", "INSERT INTO orders VALUES (1, 1), (2, 2)")

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> dt.DataPackage:
    source = databases.create("sqlite")
    run(source, *SCHEMA, *ROWS)
    return export_all(source, tmp_path / "orders.zip")


@pytest.fixture
def url(databases: Databases, dialect: str) -> str:
    made = databases.create(dialect)
    run(made, *SCHEMA)
    return made


@every_dialect
def test_a_table_that_was_made_since_keeps_its_rows(package: dt.DataPackage, url: str) -> None:
    with dt.Database(url) as target:
        receipt = dt.PackageImporter(package, target).run()
        run(url, "CREATE TABLE late (user_id INTEGER, txt VARCHAR(9), "
            "FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE)",
            "INSERT INTO late VALUES (1, 'precious')")  # fmt: skip
        check = receipt.check_undo()
        assert not check.ok
        assert [row[:3] for row in check.rows] == [("users", 1, "referenced")]
        with pytest.raises(UndoConflictError):
            receipt.undo()
        assert asked(url, "SELECT * FROM late") == [(1, "precious")]
        assert len(asked(url, "SELECT * FROM orders")) == 2
        receipt.undo(keep_edited=True)
    assert asked(url, "SELECT id FROM users") == [(1,)]
    assert asked(url, "SELECT * FROM late") == [(1, "precious")]


@every_dialect
def test_a_row_whose_new_column_was_filled_since_was_edited(package: dt.DataPackage, url: str) -> None:
    with dt.Database(url) as target:
        receipt = dt.PackageImporter(package, target).run()
        run(url, "ALTER TABLE orders ADD COLUMN note VARCHAR(20)",
            "ALTER TABLE orders ADD COLUMN state VARCHAR(20) DEFAULT 'new'",
            "ALTER TABLE orders ADD COLUMN level INTEGER DEFAULT 3 NOT NULL")  # fmt: skip
        assert receipt.check_undo().ok
        for change, back in (("note = 'mine'", "note = NULL"), ("state = 'sent'", "state = 'new'"),
                             ("level = 4", "level = 3")):  # fmt: skip
            run(url, f"UPDATE orders SET {change} WHERE id = 2")
            assert receipt.check_undo().rows[0][:3] == ("orders", 2, "edited"), change
            with pytest.raises(UndoConflictError):
                receipt.undo()
            run(url, f"UPDATE orders SET {back} WHERE id = 2")
        receipt.undo()
    assert asked(url, "SELECT * FROM orders") == []


#: Of columns that are added: type and default, and another value.
ADDED = {
    "sqlite": [
        ("REAL DEFAULT 3", "4"), ("TEXT DEFAULT 5", "'6'"), ("NUMERIC DEFAULT '5'", "6"), ("BOOLEAN DEFAULT TRUE", "0"),
        ("TEXT COLLATE NOCASE DEFAULT 'New'", "'NEW'"), ("DATE DEFAULT '2026-01-01'", "'2026-01-02'"),
        ("INTEGER DEFAULT (-1)", "1"), ("VARCHAR(9) DEFAULT NULL", "'x'"), ("BLOB", "x'00'"),
    ],
    "postgresql": [
        ("boolean DEFAULT true", "false"), ("varchar(9) DEFAULT NULL", "'x'"), ("text[] DEFAULT '{}'", "'{a}'"),
        ("jsonb DEFAULT '{}'", "'[]'"), ("numeric(10, 2) DEFAULT 0", "0.01"), ("smallint DEFAULT 0::smallint", "1"),
        ("real DEFAULT 0.1", "0.2"), ("char(5) DEFAULT 'a'", "'b'"), ("date DEFAULT '2026-01-01'", "'2026-01-02'"),
        ("timestamptz DEFAULT '2026-01-01 00:00+00'", "'2026-01-01 00:01+00'"), ("bytea", "'x'"),
    ],
    "mariadb": [
        ("BOOLEAN DEFAULT TRUE", "0"), ("VARCHAR(9) DEFAULT NULL", "'x'"), ("DECIMAL(10, 2) DEFAULT 0", "0.01"),
        ("VARCHAR(9) COLLATE utf8mb4_general_ci DEFAULT 'New'", "'NEW'"), ("DOUBLE DEFAULT 0.1", "0.2"),
        ("FLOAT DEFAULT 0.1", "0.2"), ("DATETIME DEFAULT '2026-01-01 00:00:00'", "'2026-01-01 00:00:01'"),
        ("ENUM('a', 'b') DEFAULT 'a'", "'b'"), ("CHAR(5) DEFAULT 'a'", "'b'"),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("dialect", "added", "other"), [(name, *pair) for name, pairs in ADDED.items() for pair in pairs]
)
def test_a_new_column_that_holds_its_default_was_not_filled(
    package: dt.DataPackage, url: str, added: str, other: str
) -> None:
    with dt.Database(url) as target:
        receipt = dt.PackageImporter(package, target).run()
        run(url, f"ALTER TABLE orders ADD COLUMN more {added}")
        assert receipt.check_undo().ok
        run(url, f"UPDATE orders SET more = {other} WHERE id = 2")
        assert [row[:3] for row in receipt.check_undo().rows if row[0] == "orders"] == [("orders", 2, "edited")]


@every_dialect
def test_rows_do_not_come_back_without_the_rows_that_they_refer_to(package: dt.DataPackage, url: str) -> None:
    run(url, "INSERT INTO users VALUES (1, 'a'), (2, 'b')")
    with dt.Database(url) as target:
        undone = dt.PackageImporter(package, target).run(match_on={"users": ["email"]}).undo()
        assert undone.check_undo().ok
        run(url, "DELETE FROM users WHERE id = 2")
        report = undone.check_undo()
        assert (report.ok, list(report.rows)) == (False, [("orders", 2, "orphaned", "users")])
        assert report.summary[["table", "reversible", "orphaned"]].values.tolist() == [["orders", 1, 1]]
        with pytest.raises(UndoConflictError, match="1 row would refer to rows of users that are gone") as caught:
            undone.undo()
        assert caught.value.where == "orders.user_id"
        assert asked(url, "SELECT * FROM orders") == []
        run(url, "INSERT INTO users VALUES (2, 'b')")
        assert undone.check_undo().ok
        undone.undo()
    assert len(asked(url, "SELECT * FROM orders")) == 2


@every_dialect
def test_rows_whose_parents_come_back_with_them_are_no_orphans(package: dt.DataPackage, url: str) -> None:
    with dt.Database(url) as target:
        undone = dt.PackageImporter(package, target).run().undo()
        report = undone.check_undo()
        assert (report.ok, list(report.rows)) == (True, [])
        run(url, "INSERT INTO users VALUES (1, 'x')")  # the parent's key is taken, but by a row to refer to
        assert list(undone.check_undo().rows) == [("users", 1, "taken", "")]


@every_dialect
def test_a_check_tells_of_earlier_references_whose_parents_are_gone_since(
    databases: Databases, package: dt.DataPackage, url: str, dialect: str
) -> None:
    run(url, "INSERT INTO users VALUES (7, 'old')", "INSERT INTO orders VALUES (1, 7)")
    with dt.Database(url) as target:
        receipt = dt.PackageImporter(package, target).run(on_match="update", match_on={"orders": ["id"]})
        assert receipt.total("update") == 1
        assert receipt.check_undo().ok
        run(url, "DELETE FROM users WHERE id = 7")
        report = receipt.check_undo()
        assert list(report.rows) == ([] if dialect == "sqlite" else [("orders", 1, "orphaned", "users")])
        if dialect == "sqlite":  # which does not see to references, so that nobody knows whether it had its parent
            return
        with pytest.raises(UndoConflictError, match="1 row would refer to rows of users that are gone"):
            receipt.undo()


def test_files_whose_store_is_not_named_are_told_of_and_go_with_the_next_call(
    databases: Databases, tmp_path: Path
) -> None:
    left, right = tmp_path / "left", tmp_path / "right"
    for folder in (left, right):
        folder.mkdir()
    (left / "a.txt").write_text("hello")
    source, url = databases.create("sqlite"), databases.create("sqlite")
    for place in (source, url):
        run(place, "CREATE TABLE docs (id INTEGER PRIMARY KEY, path TEXT)")
    run(source, "INSERT INTO docs VALUES (1, 'a.txt')")
    package = export_all(source, tmp_path / "docs.zip", files={"docs.path": dt.FolderStore(left)})
    stores = {"docs.path": dt.FolderStore(right)}
    with dt.Database(url, files=stores) as target:
        receipt = dt.PackageImporter(package, target).run()
        assert receipt.check_undo().warnings == []
    with dt.Database(url) as target:
        report = dt.receipt(target, receipt.import_id).check_undo()
        assert "1 file of docs.path stays" in str(report)
        assert "1 file of docs.path stays" in report._repr_html_()
        undone = dt.receipt(target, receipt.import_id).undo()
        assert [w.split(":")[0] for w in undone.warnings] == ["1 file of docs.path stays"]
    assert (right / "a.txt").exists()
    with dt.Database(url, files=stores) as target, pytest.raises(AlreadyUndoneError):
        dt.receipt(target, receipt.import_id).undo()
    assert not (right / "a.txt").exists()


@every_dialect
def test_a_row_does_not_get_back_a_value_that_another_holds_by_now(package: dt.DataPackage, url: str) -> None:
    run(url, "INSERT INTO users VALUES (1, 'old'), (2, 'b')")
    with dt.Database(url, origin=package.metadata.origin) as target:
        receipt = dt.PackageImporter(package, target).run(on_match="update")
        assert asked(url, "SELECT email FROM users WHERE id = 1") == [("a",)]
        assert receipt.check_undo().ok
        run(url, "INSERT INTO users VALUES (9, 'old')")
        assert [row[:3] for row in receipt.check_undo().rows] == [("users", 1, "taken")]
        with pytest.raises(UndoConflictError, match="hold their values"):
            receipt.undo()
        receipt.undo(keep_edited=True)
    assert asked(url, "SELECT * FROM users ORDER BY id") == [(1, "a"), (2, "b"), (9, "old")]
    assert asked(url, "SELECT * FROM orders") == []
