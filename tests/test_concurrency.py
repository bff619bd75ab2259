"""Several sessions at work at once: imports of one package, of packages that overlap, writers beside them, exports."""

from __future__ import annotations

import json
import random
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

import datatransfer as dt
from datatransfer.database import ledger
from datatransfer.sample import create_sample, create_schema
from tests.support.children import Call
from tests.support.copies import full_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.reading import driver_dsn, mariadb_connection
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS, export_all, import_into

# Long, and not all of it holds yet on every database: `python -m tests.campaign tests`.
pytestmark = pytest.mark.campaign

SERVERS = ("postgresql", "mariadb")
PROCESSES, ROUNDS = 8, 20
SHOP = sa.MetaData()
_OPTIONS: dict[str, Any] = {"mysql_engine": "InnoDB"}
customers = sa.Table(
    "customers", SHOP, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(50), unique=True),
    sa.Column("city", sa.String(50)), **_OPTIONS,
)  # fmt: skip
orders = sa.Table(
    "orders", SHOP, sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("customer_id", sa.ForeignKey(customers.c.id), nullable=False), sa.Column("note", sa.String(50)),
    **_OPTIONS,
)  # fmt: skip


def _shop(url: str, prefix: str, rows: int) -> None:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    SHOP.create_all(engine)
    with engine.begin() as connection:
        connection.execute(customers.insert(), [{"name": f"{prefix}{n}", "city": "here"} for n in range(rows)])
        connection.execute(orders.insert(), [{"customer_id": n + 1, "note": f"{prefix}{n}"} for n in range(rows)])


@contextmanager
def _session(url: str) -> Iterator[Any]:
    """Yield a cursor of the bare driver, in autocommit mode, that waits a second for a lock at most."""
    backend = make_url(url).get_backend_name()
    if backend == "sqlite":
        with closing(sqlite3.connect(str(make_url(url).database), timeout=60, isolation_level=None)) as connection:
            yield connection.cursor()
    elif backend == "postgresql":
        import psycopg

        with psycopg.connect(driver_dsn(url), autocommit=True) as session:
            session.execute("SET lock_timeout = '1s'")
            yield session.cursor()
    else:
        with mariadb_connection(url) as session:
            session.autocommit(True)
            cursor = session.cursor()
            cursor.execute("SET innodb_lock_wait_timeout = 1, lock_wait_timeout = 1")
            yield cursor


def _answers(calls: Sequence[Call], timeout: float = 120) -> list[Any]:
    """Start calls, let them go at one moment, and return what each told."""
    processes = [call.start() for call in calls]
    time.sleep(0.3)
    Path(calls[0].options["go"]).touch()
    until = time.monotonic() + timeout
    for process in processes:
        process.join(max(0.0, until - time.monotonic()))
    alive = [process for process in processes if process.exitcode is None]
    for process in alive:
        process.kill()
        process.join()
    assert not alive, "some wait for each other for ever"
    told = []
    for call, process in zip(calls, processes, strict=True):
        assert process.exitcode == 0, Path(call.said).read_text()
        told.append(json.loads(Path(call.said).read_text()))
    return told


def _content(url: str, folder: Path) -> str:
    """Return a digest of all rows in which keys do not count: processes that plan at once keep different ones."""
    path = folder / "content.zip"
    path.unlink(missing_ok=True)
    return export_all(url, path, encoding="columns").digest


# --- imports beside imports -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_of_eight_processes_with_one_package_one_merges_and_seven_are_told(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = databases.create("sqlite"), databases.create(dialect)
    create_sample(source, tmp_path / "files", seed=1, size=4).close()
    create_sample(target, tmp_path / "more", seed=2, size=4).close()
    package = export_all(source, tmp_path / "all.zip")
    alone = full_copy(target, databases)
    import_into(package, alone, on_clash="reuse")
    wanted = _content(alone, tmp_path)
    seen: Counter[str] = Counter()
    for turn in range(ROUNDS):
        url = full_copy(target, databases)
        options = {"go": str(tmp_path / f"go-{turn}"), "on_clash": "reuse"}
        calls = [
            Call("tell", str(package.path), url, options=options, said=str(tmp_path / f"said-{n}"))
            for n in range(PROCESSES)
        ]
        told = [answers[0] for answers in _answers(calls)]
        with dt.Database(url) as db:
            receipts = dt.receipts(db)
            assert list(receipts["state"]) == ["merged"], told
            left = dt.stages(db)
        outcomes = Counter(code for code, _, _ in told)
        assert outcomes["merged"] == 1, told
        assert outcomes["already-imported"] + outcomes["nothing"] == PROCESSES - 1, told
        assert left.empty, told
        others = [text for code, _, text in told if code != "merged"]
        assert all(receipts["import_id"][0] in text for text in others), told
        assert _content(url, tmp_path) == wanted
        databases.drop(url)
        seen += outcomes
    assert seen["already-imported"] > 0  # they did meet


@pytest.mark.parametrize("dialect", DIALECTS)
def test_packages_that_overlap_end_and_bring_every_row_once(databases: Databases, tmp_path: Path, dialect: str) -> None:
    drawn = random.Random(dialect)
    source, empty = databases.create("sqlite"), databases.create(dialect)
    _shop(source, "s", 12)
    _shop(empty, "own", 5)
    packages = []
    for part, keys in enumerate(([1, 2, 3, 4, 5, 6, 7, 8], [5, 6, 7, 8, 9, 10], [12, 11, 10, 9, 4, 3, 2])):
        with dt.Database(source) as db:
            path = tmp_path / f"part-{part}.zip"
            packages.append(dt.PackageBuilder(db).add("customers", keys=keys).build(path, progress=False))
    codes: Counter[str] = Counter()
    for turn in range(34):
        url = full_copy(empty, databases)
        calls = [
            Call("tell", str(package.path), url, said=str(tmp_path / f"said-{n}"),
                 options={"go": str(tmp_path / f"go-{turn}"), "delay": drawn.random() / 4, "tries": 9})
            for n, package in enumerate(packages)
        ]  # fmt: skip
        for answers in _answers(calls):
            codes += Counter(code for code, _, _ in answers)
            assert answers[-1][0] in ("merged", "nothing"), answers
        with _session(url) as cursor:
            cursor.execute("SELECT count(*), count(DISTINCT name) FROM customers")
            assert cursor.fetchone() == (17, 17)
            cursor.execute(
                "SELECT count(*) FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.name = o.note"
            )
            assert cursor.fetchone() == (17,)
        databases.drop(url)
    assert set(codes) <= {"merged", "nothing", "target-changed", "database"}
    assert codes["target-changed"] > 0


# --- writers beside an import ---------------------------------------------------------------------------------------


def _before(db: dt.Database, import_id: Any) -> str | None:
    """Return the city that an import says it found."""
    with db.engine.connect() as conn:
        images = [image for _, image in ledger.before_images(conn, import_id)]
    return images[0]["city"][0].as_py() if images else None


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_a_second_writer_commits_is_never_overwritten_unseen(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, first = databases.create("sqlite"), databases.create(dialect)
    _shop(source, "s", 3)
    _shop(first, "own", 5)
    package = export_all(source, tmp_path / "all.zip")
    import_into(package, first)
    outcomes: Counter[str] = Counter()
    for part in range(10):
        target = full_copy(first, databases)
        outcomes += _ten_rounds(package, target, random.Random(f"{dialect} {part}"))
        databases.drop(target)
    assert set(outcomes) == {"old", "written", "target-changed customers"}, outcomes


def _ten_rounds(package: dt.DataPackage, target: str, drawn: random.Random) -> Counter[str]:
    """Let a writer change a row at a random moment of an import that updates it, and look who saw what."""
    outcomes: Counter[str] = Counter()
    with dt.Database(target) as db, _session(target) as cursor:
        for _ in range(10):
            cursor.execute("UPDATE customers SET city = 'old' WHERE name = 's1'")
            writer = threading.Thread(target=_write_after, args=(target, drawn.random() * 0.4))
            writer.start()
            found, importer = None, dt.PackageImporter(package, db)
            time.sleep(drawn.random() * 0.1)
            plan = importer.plan(on_match="update")
            time.sleep(drawn.random() * 0.1)
            try:
                found = _before(db, importer.run(plan).import_id)
                outcomes[str(found)] += 1
            except dt.TargetChangedError as error:
                outcomes[f"{error.code} {error.where}"] += 1
            writer.join()
            cursor.execute("SELECT city FROM customers WHERE name = 's1'")
            assert cursor.fetchone() == ("here" if found == "written" else "written",)
    return outcomes


def _write_after(url: str, delay: float) -> None:
    with _session(url) as writer:
        time.sleep(delay)
        writer.execute("UPDATE customers SET city = 'written' WHERE name = 's1'")


@pytest.mark.parametrize("dialect", SERVERS)
@pytest.mark.parametrize("place", ["stage.before_commit:1", "plan.table:2", "merge.begin:1", "merge.before_commit:1"])
def test_rows_that_an_import_does_not_touch_are_written_meanwhile(
    databases: Databases, tmp_path: Path, dialect: str, place: str
) -> None:
    source, target = databases.create("sqlite"), databases.create(dialect)
    _shop(source, "s", 30)
    _shop(target, "own", 5)
    package = export_all(source, tmp_path / "all.zip")
    with _waiting(Call("import", str(package.path), target, said=str(tmp_path / "said")), place, tmp_path / "wait"):
        with _session(target) as cursor:
            cursor.execute("UPDATE customers SET city = 'there' WHERE id = 2")
            cursor.execute("UPDATE orders SET note = 'changed' WHERE id = 3")
            cursor.execute("INSERT INTO customers (name) VALUES ('new')")
            cursor.execute("SELECT max(id) FROM customers WHERE name = 'new'")
            cursor.execute("INSERT INTO orders (customer_id, note) VALUES (%s, 'new')", cursor.fetchone())
            cursor.execute("DELETE FROM orders WHERE id = 1")
    with _session(target) as cursor:
        cursor.execute("SELECT count(*) FROM customers")
        assert cursor.fetchone() == (36,)
        cursor.execute("SELECT count(*) FROM orders o JOIN customers c ON c.id = o.customer_id")
        assert cursor.fetchone() == (35,)


@contextmanager
def _waiting(call: Call, place: str, wait: Path, *, fails: bool = False) -> Iterator[None]:
    """Run a call in a child that stands at a place meanwhile, then let it go on to its end."""
    environment = {"DATATRANSFER_FAILPOINT": place, "DATATRANSFER_FAILPOINT_WAIT": str(wait)}
    process = Call(**{**vars(call), "environment": environment}).start()
    until = time.monotonic() + 60
    while not wait.exists() and process.is_alive() and time.monotonic() < until:
        time.sleep(0.01)
    try:
        assert wait.exists(), Path(call.said).read_text()
        yield
    finally:
        wait.unlink(missing_ok=True)
        process.join(120)
    assert (process.exitcode == 0) is not fails, Path(call.said).read_text()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_wait_for_a_lock_ends_in_time_and_names_the_table(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, target = databases.create("sqlite"), databases.create(dialect)
    _shop(source, "s", 3)
    _shop(target, "own", 5)
    package = export_all(source, tmp_path / "all.zip")
    import_into(package, target)
    with _session(target) as cursor:
        cursor.execute("UPDATE orders SET note = 'old' WHERE note = 's1'")
        before = exact_digest(target)
        cursor.execute("BEGIN IMMEDIATE" if dialect == "sqlite" else "START TRANSACTION")
        cursor.execute("UPDATE orders SET note = 'held' WHERE note = 'old'")
        with dt.Database(target) as db:
            begin = time.monotonic()
            with pytest.raises(dt.DatabaseError, match="lock") as caught:
                dt.PackageImporter(package, db, lock_timeout=1).run(on_match="update")
            assert 0.9 < time.monotonic() - begin < 10
            assert caught.value.retryable
            assert caught.value.where == ("orders" if dialect != "sqlite" else ""), caught.value
            cursor.execute("ROLLBACK")
            assert_equal(before, exact_digest(target))
            assert dt.PackageImporter(package, db, lock_timeout=1).resume().total("update") == 1
            assert dt.stages(db).empty


def test_a_lock_timeout_that_is_none_is_refused(databases: Databases, tmp_path: Path) -> None:
    source = databases.create("sqlite")
    _shop(source, "s", 1)
    package = export_all(source, tmp_path / "all.zip")
    with dt.Database(source) as db, pytest.raises(dt.UsageError, match="lock_timeout"):
        dt.PackageImporter(package, db, lock_timeout=0)


def test_the_receipt_says_how_long_each_phase_took(databases: Databases, tmp_path: Path) -> None:
    source, target = databases.create("sqlite"), databases.create("sqlite")
    _shop(source, "s", 3)
    create_schema(target)
    SHOP.create_all(sa.create_engine(target, poolclass=sa.pool.NullPool))
    begin = time.monotonic()
    receipt = import_into(export_all(source, tmp_path / "all.zip"), target)
    took = time.monotonic() - begin
    with dt.Database(target) as db:
        stored = dt.receipt(db, receipt.import_id).timings
    assert set(stored) == {"stage", "plan", "wait", "merge"}
    assert 0 < sum(stored.values()) < took


# --- keys that the application takes --------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_next_insert_of_the_application_works_after_a_resumed_import(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = databases.create("sqlite"), databases.create(dialect)
    _shop(source, "s", 30)
    _shop(target, "own", 5)
    call = Call("import", str(export_all(source, tmp_path / "all.zip").path), target, said=str(tmp_path / "said"))
    killed = Call(**{**vars(call), "environment": {"DATATRANSFER_FAILPOINT": "merge.before_commit:1"}})
    assert killed.run() == -9
    Call(**{**vars(call), "verb": "resume"}).check()
    with _session(target) as cursor:
        cursor.execute("SELECT max(id) FROM customers")
        (top,) = cursor.fetchone()
        cursor.execute("INSERT INTO customers (name) VALUES ('next')")
        cursor.execute("SELECT id FROM customers WHERE name = 'next'")
        assert cursor.fetchone()[0] > top


@pytest.mark.parametrize("dialect", SERVERS)
def test_a_target_that_goes_on_inserting_is_imported_into_at_the_first_try(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = databases.create("sqlite"), databases.create(dialect)
    _shop(source, "s", 3000)
    _shop(target, "own", 5)
    package = export_all(source, tmp_path / "all.zip")
    stop, failed = threading.Event(), []

    def insert() -> None:
        with _session(target) as cursor:
            number = 0
            while not stop.wait(0.002):
                number += 1
                try:
                    cursor.execute("INSERT INTO customers (name) VALUES (%s)", (f"live-{number}",))
                except Exception as error:
                    failed.append(error)

    writer = threading.Thread(target=insert)
    writer.start()
    try:
        receipt = import_into(package, target)
    finally:
        stop.set()
        writer.join()
    assert receipt.total("insert") == 6000
    assert failed == []


# --- exports beside writers -----------------------------------------------------------------------------------------

ACCOUNTS, MONEY = 40, 1000
BANK = sa.MetaData()
accounts = sa.Table(
    "accounts", BANK, sa.Column("id", sa.Integer, primary_key=True), sa.Column("balance", sa.Integer), **_OPTIONS
)
transfers = sa.Table(
    "transfers", BANK, sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("giver", sa.ForeignKey(accounts.c.id), nullable=False),
    sa.Column("taker", sa.ForeignKey(accounts.c.id), nullable=False), sa.Column("amount", sa.Integer), **_OPTIONS,
)  # fmt: skip


def _transfer(url: str, stop: threading.Event, seed: int, done: Counter[str]) -> None:
    """Move money between accounts, some of them made in the same transaction."""
    drawn = random.Random(seed)
    with _session(url) as cursor:
        while not stop.wait(0.001):
            giver, taker = sorted(drawn.sample(range(1, ACCOUNTS + 1), 2))
            amount = drawn.randint(1, 50)
            try:
                cursor.execute("BEGIN IMMEDIATE" if "sqlite" in url else "BEGIN")
                if drawn.random() < 0.3:
                    cursor.execute("SELECT max(id) + 2 FROM accounts")
                    taker = cursor.fetchone()[0] + seed
                    cursor.execute(f"INSERT INTO accounts VALUES ({taker}, 0)")
                cursor.execute(f"UPDATE accounts SET balance = balance - {amount} WHERE id = {giver}")
                cursor.execute(f"UPDATE accounts SET balance = balance + {amount} WHERE id = {taker}")
                cursor.execute(f"INSERT INTO transfers (giver, taker, amount) VALUES ({giver}, {taker}, {amount})")
                cursor.execute("COMMIT")
                done["transfers"] += 1
            except Exception:  # two new accounts of one number: the other one has it
                cursor.execute("ROLLBACK")


def _check_bank(package: dt.DataPackage) -> int:
    rows = package["accounts"].to_frame().set_index("id")["balance"]
    moved = package["transfers"].to_frame()
    assert int(rows.sum()) == ACCOUNTS * MONEY
    assert set(moved["giver"]) | set(moved["taker"]) <= set(rows.index)
    expected = {int(key): MONEY if key <= ACCOUNTS else 0 for key in rows.index}
    for giver, taker, amount in moved[["giver", "taker", "amount"]].itertuples(index=False):
        expected[int(giver)] -= int(amount)
        expected[int(taker)] += int(amount)
    assert {int(key): int(value) for key, value in rows.items()} == expected
    return len(moved)


@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "sqlite-wal", "sqlite-delete"])
def test_fifty_exports_beside_transfers_of_money_are_one_state_each(
    databases: Databases, tmp_path: Path, kind: str
) -> None:
    url = databases.create(kind.split("-")[0])
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    BANK.create_all(engine)
    with engine.begin() as connection:
        connection.execute(accounts.insert(), [{"id": n + 1, "balance": MONEY} for n in range(ACCOUNTS)])
    if "-" in kind:
        with _session(url) as cursor:
            cursor.execute(f"PRAGMA journal_mode = {kind.split('-')[1]}")
    stop, done = threading.Event(), Counter[str]()
    writers = [threading.Thread(target=_transfer, args=(url, stop, seed, done)) for seed in (0, 1)]
    for writer in writers:
        writer.start()
    counts = []
    try:
        for turn in range(50):
            counts.append(_check_bank(export_all(url, tmp_path / f"{turn}.zip", encoding="columns")))
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    assert done["transfers"] >= counts[-1]


@pytest.mark.parametrize("dialect", SERVERS)
def test_an_export_keeps_nobody_from_writing(databases: Databases, tmp_path: Path, dialect: str) -> None:
    url = databases.create(dialect)
    _shop(url, "own", 5)
    call = Call("export", str(tmp_path / "all.zip"), url, said=str(tmp_path / "said"))
    with _waiting(call, "export.before_move:1", tmp_path / "wait"), _session(url) as cursor:
        cursor.execute("UPDATE customers SET city = 'there'")
        cursor.execute("DELETE FROM orders WHERE id = 1")
        cursor.execute("INSERT INTO orders (customer_id, note) VALUES (1, 'new')")
    with dt.DataPackage.open(tmp_path / "all.zip") as package:
        assert set(package["customers"].to_frame()["city"]) == {"here"}
        assert len(package["orders"].to_frame()) == 5
        assert "new" not in set(package["orders"].to_frame()["note"])
