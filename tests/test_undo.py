"""An import is taken back: to the last bit, or with an honest list of what somebody touched since."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer.cli import main
from datatransfer.sample import create_sample
from tests.support.copies import empty_copy
from tests.support.digest import DatabaseDigest, assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.sql import connected, run
from tests.support.transfer import DIALECTS, SAMPLE_FILES, export_all

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, email VARCHAR(50) UNIQUE, name VARCHAR(50), balance NUMERIC(10,2),
    score DOUBLE PRECISION);
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, parent_id INTEGER, note VARCHAR(50),
    FOREIGN KEY (customer_id) REFERENCES customers (id), FOREIGN KEY (parent_id) REFERENCES orders (id));
CREATE TABLE items (order_id INTEGER NOT NULL, sku VARCHAR(20) NOT NULL, amount INTEGER, PRIMARY KEY (order_id, sku),
    FOREIGN KEY (order_id) REFERENCES orders (id) ON DELETE CASCADE);
CREATE TABLE notes (item_order INTEGER, item_sku VARCHAR(20), body VARCHAR(50),
    FOREIGN KEY (item_order, item_sku) REFERENCES items (order_id, sku))
"""


def shop(databases: Databases, dialect: str, name: str, *, first: int = 1, count: int = 10) -> str:
    """Make a shop with integer keys from ``first`` on; every second note is there twice."""
    url = databases.create(dialect)
    run(url, *SHOP.split(";"))
    with connected(url) as connection:
        for k in range(first, first + count):
            run_with(
                connection, "INSERT INTO customers VALUES (?, ?, ?, ?, ?)", k, f"{k}@example.org", name, "1.50", k / 3
            )
        for k in range(first, first + count):
            above = k - 1 if k > first and k % 3 else None
            run_with(connection, "INSERT INTO orders VALUES (?, ?, ?, ?)", k, k, above, f"{name} {k}")
            run_with(connection, "INSERT INTO items VALUES (?, ?, ?)", k, "a", k)
            for _ in range(1 + k % 2):
                run_with(connection, "INSERT INTO notes VALUES (?, ?, ?)", k, "a", "the same")
    return url


def run_with(connection: sa.Connection, statement: str, *values: object) -> None:
    for number in range(len(values)):
        statement = statement.replace("?", f":v{number}", 1)
    connection.execute(sa.text(statement), {f"v{n}": value for n, value in enumerate(values)})


def imported(package: dt.DataPackage, db: dt.Database, **policies: object) -> object:
    return dt.PackageImporter(package, db).run(**policies)  # type: ignore[arg-type]


def application(digest: DatabaseDigest) -> DatabaseDigest:
    """Leave our own tables out."""
    return digest.without([name for name in digest.tables if name.startswith("datatransfer_")])


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> dt.DataPackage:
    source = shop(databases, "sqlite", "left")
    return export_all(source, tmp_path / "package.zip")


def states(report: object) -> set[tuple[str, object, str]]:
    return {(table, key, state) for table, key, state, _ in report.rows}  # type: ignore[attr-defined]


# --- all of it ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_undo_gives_back_what_was_there_to_the_last_bit(
    databases: Databases, package: dt.DataPackage, dialect: str
) -> None:
    target = shop(databases, dialect, "right", first=6)
    before = application(exact_digest(target))
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run(match_on={"customers": "email"}, on_match="update")
        assert receipt.total("update") == 5
        after = application(exact_digest(target))
        report = receipt.check_undo()
        assert (report.ok, report.rows) == (True, [])
        assert application(exact_digest(target)).digest == after.digest  # looking changes nothing
        undone = receipt.undo()
        assert_equal(before, application(exact_digest(target)))
        assert undone.total("update") == 5
        assert undone.total("delete") == receipt.total("insert")
        assert list(dt.receipts(db)["state"]) == ["undone", "merged"]
        assert list(dt.receipts(db)["kind"]) == ["import", "undo"]
        assert dt.stages(db).empty
        with pytest.raises(dt.AlreadyUndoneError, match="already undone"):
            receipt.undo()
        with pytest.raises(dt.AlreadyUndoneError):
            receipt.check_undo()
        again = dt.PackageImporter(package, db).run(match_on={"customers": "email"}, on_match="update")
        assert again.total("insert") == receipt.total("insert")  # its key map counts no more


@pytest.mark.parametrize("dialect", DIALECTS)
def test_undo_of_an_undo_brings_everything_back_under_the_same_keys(
    databases: Databases, package: dt.DataPackage, dialect: str
) -> None:
    target = shop(databases, dialect, "right", first=6)
    before = application(exact_digest(target))
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run(match_on={"customers": "email"}, on_match="update")
        after = application(exact_digest(target))
        first = receipt.undo()
        second = first.undo()
        assert_equal(after, application(exact_digest(target)))
        assert [receipt.state, first.state, second.state] == ["merged", "undone", "merged"]
        assert dt.PackageImporter(package, db).run(match_on={"customers": "email"}).total("reuse") == 45
        receipt.undo()
        assert_equal(before, application(exact_digest(target)))
        with pytest.raises(dt.AlreadyUndoneError):
            second.undo()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_applications_next_insert_works_after_undo(databases: Databases, tmp_path: Path, dialect: str) -> None:
    counted = {
        "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
        "postgresql": "INTEGER GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
        "mariadb": "INTEGER PRIMARY KEY AUTO_INCREMENT",
    }[dialect]
    source, target = databases.create(dialect), databases.create(dialect)
    for url in (source, target):
        run(url, f"CREATE TABLE t (id {counted}, name VARCHAR(20))")
        run(url, *["INSERT INTO t (name) VALUES ('a')"] * 5)
    package = export_all(source, tmp_path / "t.zip")
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run()
        undone = receipt.undo()
        run(target, "INSERT INTO t (name) VALUES ('new')")
        with connected(target) as connection:
            (key,) = connection.exec_driver_sql("SELECT id FROM t WHERE name = 'new'").scalars()
        if key in range(6, 11):
            with pytest.raises(dt.UndoConflictError, match="taken"):
                undone.undo()
        else:
            undone.undo()
        run(target, "INSERT INTO t (name) VALUES ('newer')")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_files_that_only_this_import_brought_are_removed(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, target = databases.create("sqlite"), databases.create(dialect)
    create_sample(source, tmp_path / "left", seed=1, size=10)
    create_sample(target, tmp_path / "right", seed=2, size=10)
    files = {SAMPLE_FILES: dt.FolderStore(tmp_path / "left")}
    package = export_all(source, tmp_path / "p.zip", files=files)
    before, there = application(exact_digest(target)), contents(tmp_path / "right")
    with dt.Database(target, files={SAMPLE_FILES: dt.FolderStore(tmp_path / "right")}) as db:
        receipt = dt.PackageImporter(package, db).run(on_clash="reuse", on_match="update")
        brought = set(contents(tmp_path / "right")) - set(there)
        assert len(brought) > 2
        edited = tmp_path / "right" / min(brought)
        edited.write_text("edited since")
        undone = receipt.undo()
        assert contents(tmp_path / "right") == there | {min(brought): "edited since"}
        assert sorted(set(receipt.files["action"]) - {"found"}) == ["kept", "removed"]
        assert_equal(before, application(exact_digest(target)))
        assert "are not brought back" in undone.undo().warnings[0]


def contents(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text("latin-1") for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_cycles_of_foreign_keys_and_triggers_do_not_stand_in_the_way(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source = databases.create(dialect)
    run(
        source,
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b_id INTEGER)",
        "CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER NOT NULL, FOREIGN KEY (a_id) REFERENCES a (id))",
        *(["ALTER TABLE a ADD CONSTRAINT back FOREIGN KEY (b_id) REFERENCES b (id)"] if dialect != "sqlite" else
          ["DROP TABLE a", "CREATE TABLE a (id INTEGER PRIMARY KEY, b_id INTEGER REFERENCES b (id))"]),
        "INSERT INTO a VALUES (1, NULL), (2, NULL)",
        "INSERT INTO b VALUES (1, 1), (2, 2)", "UPDATE a SET b_id = 3 - id",
    )  # fmt: skip
    target = empty_copy(source, databases)
    run(target, "INSERT INTO a VALUES (1, NULL)")
    package = export_all(source, tmp_path / "p.zip")
    run(target, "CREATE TABLE seen (n INTEGER)")
    if dialect == "sqlite":
        run(target, "CREATE TRIGGER gone AFTER DELETE ON a BEGIN INSERT INTO seen VALUES (1); END")
    if dialect == "postgresql":
        run(
            target,
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO seen VALUES (1); RETURN OLD; END $$",
            "CREATE TRIGGER gone AFTER DELETE ON a FOR EACH ROW EXECUTE FUNCTION f()",
        )
    before = application(exact_digest(target))
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run()
        assert receipt.total("insert") == 4
        receipt.undo().undo()
        receipt.undo()
    assert_equal(before, application(exact_digest(target)))
    with connected(target) as connection:
        names = sa.inspect(connection).get_foreign_keys("a")
    assert len(names) == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_tracked_tables_lose_what_was_imported(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, target = shop(databases, "sqlite", "left"), shop(databases, dialect, "right", first=6)
    for url in (source, target):
        with dt.Database(url) as db:
            dt.track(db, ["customers", "orders"])
    package = export_all(source, tmp_path / "p.zip")
    before = application(exact_digest(target))
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run(on_clash="reuse")
        receipt.undo().undo()
        receipt.undo()
    assert_equal(before, application(exact_digest(target)))


# --- what happened since --------------------------------------------------------------------------------------------


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


# --- the receipt and the shell --------------------------------------------------------------------------------------


def test_the_receipt_tells_its_story_in_text_and_html_and_frames(databases: Databases, package: dt.DataPackage) -> None:
    target = shop(databases, "sqlite", "<b>right</b>", first=6)
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run(match_on={"customers": "email"}, on_match="update")
        story = str(receipt)
        for word in (
            str(receipt.import_id),
            "merged",
            "on_match=update",
            str(package.path),
            "customers",
            "receipt.undo()",
        ):
            assert word in story
        html = receipt._repr_html_()
        assert "<details>" in html
        assert "<script" not in html
        assert list(receipt.before_images("customers")["name"]) == ["<b>right</b>"] * 5
        assert receipt.before_images("items").empty
        with pytest.raises(dt.UnknownTableError):
            receipt.before_images("nothing")
        undone = receipt.undo()
        assert undone.kind == "undo"
        assert undone.undo_of == str(receipt.import_id)
        assert "restored" in str(undone)
        assert "undone" in str(dt.receipt(db, receipt.import_id))
        empty = dt.PackageImporter(export_all(target, Path(str(package.path)).with_name("own.zip")), db).run()
        assert not empty.recorded or empty.total("insert")


def test_the_shell_checks_undoes_and_says_already_undone(
    databases: Databases, package: dt.DataPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    target = shop(databases, "sqlite", "right", first=101)
    with dt.Database(target) as db:
        import_id = str(dt.PackageImporter(package, db).run().import_id)
    assert main(["undo", target, import_id, "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    run(target, "UPDATE customers SET name = 'x' WHERE id = 2", "INSERT INTO orders VALUES (900, 2, NULL, '')")
    assert main(["undo", target, import_id, "--check", "--json"]) == 7
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {"table": "customers", "key": 2, "state": "edited", "by": ""} in rows
    assert main(["undo", target, import_id]) == 7
    capsys.readouterr()
    assert main(["undo", target, import_id, "--keep-edited", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["undo_of"] == import_id
    assert main(["undo", target, import_id]) == 2
    assert "already undone" in capsys.readouterr().err
    assert main(["receipts", target, import_id]) == 0
    assert "undone" in capsys.readouterr().out
