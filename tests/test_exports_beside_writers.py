"""Exports of a database that others write into are one state of it each."""

from __future__ import annotations

import random
import threading
from collections import Counter
from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from tests.support.children import Call, waiting
from tests.support.lengths import rounds
from tests.support.servers import Databases
from tests.support.shop import INNODB, make_shop, session
from tests.support.transfer import SERVERS, export_all

ACCOUNTS, MONEY = 40, 1000
BANK = sa.MetaData()
accounts = sa.Table(
    "accounts", BANK, sa.Column("id", sa.Integer, primary_key=True), sa.Column("balance", sa.Integer), **INNODB
)
transfers = sa.Table(
    "transfers", BANK, sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("giver", sa.ForeignKey(accounts.c.id), nullable=False),
    sa.Column("taker", sa.ForeignKey(accounts.c.id), nullable=False), sa.Column("amount", sa.Integer), **INNODB,
)  # fmt: skip


def _transfer(url: str, stop: threading.Event, seed: int, done: Counter[str]) -> None:
    """Move money between accounts, some of them made in the same transaction."""
    drawn = random.Random(seed)
    with session(url) as cursor:
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


@pytest.mark.longer
@pytest.mark.parametrize("kind", ["postgresql", "mariadb", "sqlite-wal", "sqlite-delete"])
def test_exports_beside_transfers_of_money_are_one_state_each(databases: Databases, tmp_path: Path, kind: str) -> None:
    url = databases.create(kind.split("-")[0])
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    BANK.create_all(engine)
    with engine.begin() as connection:
        connection.execute(accounts.insert(), [{"id": n + 1, "balance": MONEY} for n in range(ACCOUNTS)])
    if "-" in kind:
        with session(url) as cursor:
            cursor.execute(f"PRAGMA journal_mode = {kind.split('-')[1]}")
            assert cursor.fetchone() == (kind.split("-")[1],)  # a statement that has not ended keeps its lock
    stop, done = threading.Event(), Counter[str]()
    writers = [threading.Thread(target=_transfer, args=(url, stop, seed, done)) for seed in (0, 1)]
    for writer in writers:
        writer.start()
    counts = []
    try:
        for turn in range(rounds(8, 50)):
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
    make_shop(url, "own", 5)
    call = Call("export", str(tmp_path / "all.zip"), url, said=str(tmp_path / "said"))
    with waiting(call, "export.before_move:1", tmp_path / "wait"), session(url) as cursor:
        cursor.execute("UPDATE customers SET city = 'there'")
        cursor.execute("DELETE FROM orders WHERE id = 1")
        cursor.execute("INSERT INTO orders (customer_id, note) VALUES (1, 'new')")
    with dt.DataPackage.open(tmp_path / "all.zip") as package:
        assert set(package["customers"].to_frame()["city"]) == {"here"}
        assert len(package["orders"].to_frame()) == 5
        assert "new" not in set(package["orders"].to_frame()["note"])
