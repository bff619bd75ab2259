"""Stages of others, clocks that go back, records that were damaged, transactions that end early: nothing is trusted."""

from __future__ import annotations

import datetime as dt_
import errno
import json
import sqlite3
import time
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer.database import ledger
from datatransfer.importing.merge import Merge
from datatransfer.importing.stages import writer_for
from tests.support.children import KILLED, Call
from tests.support.digest import assert_equal, exact_digest
from tests.support.faults import Countdown, failing_files
from tests.support.scenes import ended, leftovers
from tests.support.servers import Databases
from tests.support.shop import make_shop
from tests.support.sql import run
from tests.support.transfer import DIALECTS, export_all


@pytest.fixture
def shop(databases: Databases, tmp_path: Path) -> dt.DataPackage:
    """Return a package of three customers and their orders."""
    source = databases.create("sqlite")
    make_shop(source, "s", 3)
    return export_all(source, tmp_path / "all.zip")


def _target(databases: Databases, dialect: str = "sqlite") -> str:
    url = databases.create(dialect)
    make_shop(url, "own", 5)
    return url


def _left(package: dt.DataPackage, url: str, place: str) -> None:
    kill = {"DATATRANSFER_FAILPOINT": place}
    assert Call("import", str(package.path), url, environment=kill).run() == KILLED


def _sidecar(url: str) -> Path:
    path = Path(str(sa.make_url(url).database))
    (found,) = path.parent.glob(f"{path.name}.datatransfer_s_*.sqlite")
    return found


def _rewrite(url: str, change: Callable[[str], str]) -> None:
    """Change what a stage says of its import."""
    with closing(sqlite3.connect(_sidecar(url))) as raw, raw:
        (text,) = raw.execute("SELECT value FROM log WHERE name = 'session'").fetchone()
        raw.execute("UPDATE log SET value = ? WHERE name = 'session'", (change(text),))


# --- stages ---------------------------------------------------------------------------------------------------------


def test_a_stage_of_a_later_version_is_staged_anew(databases: Databases, shop: dt.DataPackage, tmp_path: Path) -> None:
    url, log = _target(databases), tmp_path / "log"
    _left(shop, url, "merge.begin:1")
    _rewrite(url, lambda text: json.dumps({**json.loads(text), "version": "99.0", "more": {"of": "it"}}))
    with dt.Database(url) as db:
        assert list(dt.stages(db)["state"]) == ["left"]
    Call("resume", str(shop.path), url, environment={"DATATRANSFER_FAILPOINT_LOG": str(log)}).check()
    assert log.read_text().split().count("stage.after_commit") == 2
    with dt.Database(url) as db:
        assert db.count("orders") == 8
    assert leftovers(url) == []


def test_policies_that_are_not_known_here_are_refused(databases: Databases, shop: dt.DataPackage) -> None:
    url = _target(databases)
    _left(shop, url, "merge.begin:1")

    def change(text: str) -> str:
        values = json.loads(text)
        return json.dumps({**values, "version": "99.0", "policies": {**values["policies"], "on_whim": "yes"}})

    _rewrite(url, change)
    with dt.Database(url) as db:
        with pytest.raises(dt.UsageError, match=r"version 99.0 .* drop its stage"):
            dt.PackageImporter(shop, db).resume()
        dt.drop_stage(db, dt.stages(db)["import_id"][0])
        assert dt.PackageImporter(shop, db).run().total("insert") == 6


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"import_id": 7}'])
def test_a_stage_of_which_nobody_can_say_whose_it_is_goes_with_the_next_import(
    databases: Databases, shop: dt.DataPackage, text: str
) -> None:
    url = _target(databases)
    _left(shop, url, "merge.begin:1")
    _rewrite(url, lambda _: text)
    with dt.Database(url) as db:
        assert list(dt.stages(db)["package"]) == [
            "unknown: what it says of its package is damaged; it can only be dropped"
        ]
        assert dt.PackageImporter(shop, db).run().total("insert") == 6
    assert leftovers(url) == []


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("way", ["dropped", "swept"])
def test_a_stage_that_was_left_before_it_said_whose_it_is_says_so(
    databases: Databases, shop: dt.DataPackage, dialect: str, way: str
) -> None:
    url = _target(databases, dialect)
    with dt.Database(url) as db:
        writer = writer_for(db, uuid.uuid4())
        assert writer.hold(fresh=True)
        writer.open_log()
        listed = dt.stages(db)
        assert listed[["package", "state"]].values.tolist() == [["unknown: it has just begun", "running"]]
        writer.close()
        ((import_id, package, state),) = dt.stages(db)[["import_id", "package", "state"]].values.tolist()
        assert package == (
            "unknown: begun by a process that was killed before it said which package; it can only be dropped"
        )
        assert state == "left"
        if way == "dropped":
            dt.drop_stage(db, import_id)
        else:
            dt.PackageImporter(shop, db).run()
        assert dt.stages(db).empty
    assert leftovers(url) == []


def test_a_stage_of_an_undo_says_of_which(databases: Databases, shop: dt.DataPackage) -> None:
    url = _target(databases)
    with dt.Database(url) as db:
        done = dt.PackageImporter(shop, db).run()
    call = Call("undo", "", url, options={"import_id": str(done.import_id)},
                environment={"DATATRANSFER_FAILPOINT": "undo.begin:1"})  # fmt: skip
    assert call.run() == KILLED
    with dt.Database(url) as db:
        assert list(dt.stages(db)["package"]) == [f"none: undo of {done.import_id}"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_resume_that_cannot_look_up_the_receipt_lets_go_of_the_stage(
    databases: Databases, shop: dt.DataPackage, tmp_path: Path, dialect: str
) -> None:
    url, other = _target(databases, dialect), databases.create("sqlite")
    make_shop(other, "other", 2)
    with dt.Database(url) as db:
        dt.PackageImporter(export_all(other, tmp_path / "other.zip"), db).run()  # so that there are receipts
    _left(shop, url, "merge.begin:1")
    with dt.Database(url) as db:
        ended(db)
        run(url, "ALTER TABLE datatransfer_imports RENAME COLUMN state TO elsewhere")
        with pytest.raises(dt.DataTransferError) as caught:  # who keeps the error keeps what its frames hold
            dt.PackageImporter(shop, db).resume()
        run(url, "ALTER TABLE datatransfer_imports RENAME COLUMN elsewhere TO state")
        assert list(dt.stages(db)["state"]) == ["left"], caught.value
        assert dt.PackageImporter(shop, db).resume().total("insert") == 6
    assert leftovers(url) == []


TWO = (
    "CREATE TABLE a (id INTEGER PRIMARY KEY, b_id INTEGER{}, name TEXT);"
    "CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER, name TEXT)"
)
ROWS = "INSERT INTO a VALUES (1, 1, 'of a'); INSERT INTO b VALUES (1, 1, 'of b')"


def test_rows_that_were_staged_for_another_layout_of_the_target_are_staged_anew(
    databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create("sqlite"), databases.create("sqlite")
    for one, script in ((source, TWO.format("") + ";" + ROWS), (url, TWO.format(""))):
        with closing(sqlite3.connect(str(sa.make_url(one).database))) as raw:
            raw.executescript(script)
    package = export_all(source, tmp_path / "all.zip")
    _left(package, url, "stage.after_commit:2")
    with closing(sqlite3.connect(str(sa.make_url(url).database))) as raw:  # now b comes before a
        raw.executescript("DROP TABLE a; DROP TABLE b;" + TWO.format(" REFERENCES b(id)"))
    with dt.Database(url) as db:
        dt.PackageImporter(package, db).resume()
    with closing(sqlite3.connect(str(sa.make_url(url).database))) as raw:
        assert raw.execute("SELECT name FROM a UNION ALL SELECT name FROM b").fetchall() == [("of a",), ("of b",)]


# --- clocks ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [-3600, 0], ids=["goes back", "stands still"])
def test_receipts_and_stages_are_ordered_by_number_whatever_the_clock_says(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    url, packages = _target(databases), []
    for n in range(3):
        source = databases.create("sqlite")
        make_shop(source, f"s{n}", 2 + n)
        packages.append(export_all(source, tmp_path / f"{n}.zip"))
    ticks = iter(range(0, 1000 * step or 1000, step or 1))
    begin = dt_.datetime(2026, 10, 25, 2, 30, tzinfo=dt_.UTC)  # the hour that comes twice in Europe
    monkeypatch.setattr(ledger.tables, "_now", lambda: begin + dt_.timedelta(seconds=next(ticks) if step else 0))
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    time.tzset()
    made = []
    with dt.Database(url) as db:
        for n, package in enumerate(packages):
            made.append(str(dt.PackageImporter(package, db).run().import_id))
            monkeypatch.setenv("TZ", ["America/Adak", "Asia/Kathmandu", "UTC"][n])
            time.tzset()
        undone = dt.receipt(db, made[1]).undo()
        assert list(dt.receipts(db)["import_id"]) == [*made, str(undone.import_id)]
        assert dt.PackageImporter(packages[0], db).run().total("insert") == 0
        sessions = [dt.PackageImporter(packages[1], db).plan() for _ in range(3)]
        assert list(dt.stages(db)["import_id"]) == [str(plan.writer.import_id) for plan in sessions]
        for plan in sessions:
            plan.discard()
    monkeypatch.undo()
    time.tzset()


# --- records that were damaged --------------------------------------------------------------------------------------


def _imported(databases: Databases, shop: dt.DataPackage) -> tuple[str, str]:
    """Return a database into which rows were inserted and in which one was updated, and the id of that import."""
    url = _target(databases)
    with dt.Database(url) as db:
        dt.PackageImporter(shop, db).run()
        with db.engine.begin() as conn:
            conn.exec_driver_sql("UPDATE orders SET note = 'old' WHERE note = 's1'")
            conn.exec_driver_sql("DELETE FROM orders WHERE note = 's2'")
        receipt = dt.PackageImporter(shop, db).run(on_match="update")
        assert (receipt.total("insert"), receipt.total("update")) == (1, 1)
    return url, str(receipt.import_id)


DAMAGE = {
    "lost": "DELETE FROM datatransfer_{0} WHERE import_id = '{1}'",
    "cut": "UPDATE datatransfer_{0} SET data = substr(data, 1, length(data) / 2) WHERE import_id = '{1}'",
    "emptied": "UPDATE datatransfer_{0} SET data = x'' WHERE import_id = '{1}'",
}


@pytest.mark.parametrize("how", [*DAMAGE, "changed"])
@pytest.mark.parametrize("images", ["before_images", "after_images"])
def test_an_undo_whose_record_was_damaged_is_refused(
    databases: Databases, shop: dt.DataPackage, images: str, how: str
) -> None:
    url, import_id = _imported(databases, shop)
    with closing(sqlite3.connect(str(sa.make_url(url).database))) as raw, raw:
        if how in DAMAGE:
            assert raw.execute(DAMAGE[how].format(images, import_id)).rowcount > 0
        else:
            found = raw.execute(f"SELECT rowid, data FROM datatransfer_{images} WHERE import_id = ?", (import_id,))
            for row, data in found.fetchall():
                changed = bytearray(data)
                changed[len(data) // 8] ^= 0x01  # in a page of values
                raw.execute(f"UPDATE datatransfer_{images} SET data = ? WHERE rowid = ?", (bytes(changed), row))
    before = exact_digest(url)
    with dt.Database(url) as db:
        for call in (dt.receipt(db, import_id).undo, dt.receipt(db, import_id).check_undo):
            with pytest.raises(dt.UsageError, match=r"damaged|not whole|no record"):
                call()
    assert_equal(before, exact_digest(url))
    assert leftovers(url) == []


def test_every_changed_byte_of_an_image_is_an_error() -> None:
    import pyarrow as pa

    from datatransfer.database.chunks import decode, encode

    table = pa.table({"k": list(range(50)), "name": [f"name {n}" for n in range(50)]})
    data, told = encode(table), 0
    for place in range(len(data)):
        changed = bytearray(data)
        changed[place] ^= 0xFF
        try:
            decode(bytes(changed))
        except dt.UsageError:
            told += 1
    assert told == len(data)


def test_a_backup_that_finds_the_disk_full_lets_no_row_change(
    databases: Databases, shop: dt.DataPackage, tmp_path: Path
) -> None:
    url, _ = _imported(databases, shop)
    with dt.Database(url) as db, db.engine.begin() as conn:
        conn.exec_driver_sql("UPDATE orders SET note = 'older' WHERE note = 's1'")
    before, folder, n, struck = exact_digest(url), tmp_path / "backup", 1, True
    folder.mkdir()
    while struck:
        countdown = Countdown(n, for_ever=False)
        with dt.Database(url) as db:
            importer = dt.PackageImporter(shop, db)
            plan = importer.plan(on_match="update")
            with failing_files(folder, countdown, errno.ENOSPC):
                try:
                    importer.run(plan, backup=folder / f"{n}.zip")
                except dt.PackageError:
                    assert countdown.struck
            struck = countdown.struck
        if struck:
            assert_equal(before, exact_digest(url))
            assert leftovers(url) == []
        n += 1
    assert n > 3
    assert dt.DataPackage.open(folder / f"{n - 1}.zip").verify().ok


# --- a transaction that ends early ----------------------------------------------------------------------------------


def test_ddl_that_commits_a_merge_on_mariadb_is_noticed_before_the_next_statement(
    databases: Databases, shop: dt.DataPackage, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = _target(databases, "mariadb")
    prepare = Merge._prepare

    def committed(self: Merge, plans: list[object]) -> None:
        prepare(self, plans)  # type: ignore[arg-type]
        self.writer.conn.exec_driver_sql("CREATE TABLE by_another (id INT)")

    monkeypatch.setattr(Merge, "_prepare", committed)
    before = exact_digest(url).tables["orders"]
    with dt.Database(url) as db:
        with pytest.raises(dt.MergeError, match="committed the merge half way"):
            dt.PackageImporter(shop, db).run()
        assert dt.receipts(db).empty
    assert exact_digest(url).tables["orders"] == before
    assert leftovers(url) == []
