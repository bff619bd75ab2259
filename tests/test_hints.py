"""Errors that a person meets say what to do: a hint where there was none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer.errors import DataTransferError
from tests.support.commands import ROWS, Shop, complaint, make, make_shop
from tests.support.servers import Databases

ORDERS = sa.table("orders", sa.column("id"), sa.column("plaecd"))


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return make_shop(tmp_path)


@pytest.fixture
def db(shop: Shop) -> Iterator[dt.Database]:
    with dt.Database(shop.url) as opened:
        yield opened


def refused(call: Callable[[], Any]) -> str:
    """Return the hint of the error that a call raises."""
    with pytest.raises(DataTransferError) as caught:
        call()
    return caught.value.hint


def orders(db: dt.Database, **more: Any) -> dt.PackageBuilder:
    return dt.PackageBuilder(db).add("orders", **more)


def test_a_selection_that_cannot_be_meant(db: dt.Database) -> None:
    assert "where=" in refused(lambda: orders(db, params={"a": 1}))
    assert "with a colon" in refused(lambda: orders(db, where="id = 1", params={"a": 1}).preview())
    assert refused(lambda: orders(db, where=ORDERS.c.plaecd == "x").preview()) == "did you mean 'placed'?"
    assert "preview()" in refused(lambda: orders(db, keys=[1]).preview().why("orders", 3))
    assert "on both sides" in refused(lambda: db.relate("items.(order_id, line)", "orders.id"))
    assert "followed" in refused(lambda: db.relate("orders.customer_id", "customers.id"))
    assert "FolderStore" in refused(lambda: dt.Database(db.engine, files={"items.(order_id, line)": dt.MemoryStore()}))


def test_a_package_that_is_none(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert "path is right" in complaint(capsys, "inspect", shop.path("nothing.zip"), code=5)
    assert "an export wrote" in complaint(capsys, "inspect", shop.path("uploads"), code=5)
    Path(shop.path("cut.zip")).write_bytes(b"PK\3\4 and no more")
    assert "get the package again" in complaint(capsys, "inspect", shop.path("cut.zip"), code=5)


def test_decisions_that_cannot_be_taken(db: dt.Database, shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    package, path = dt.PackageBuilder(db).add_all().build(shop.path("p.zip"), progress=False), shop.path("p.zip")
    assert "plan --save-decisions" in complaint(capsys, "plan", path, shop.copy, "--decisions", "no.json", code=2)
    newer = {"format": "datatransfer-decisions", "version": 99}
    Path(shop.path("newer.json")).write_text(json.dumps(newer))
    told = complaint(capsys, "plan", path, shop.copy, "--decisions", shop.path("newer.json"), code=2)
    assert "or a later one" in told
    assert "orders=42=skip" in complaint(capsys, "plan", path, shop.copy, "--decide", "orders", code=2)
    make(Path(shop.path("copy.db")), ROWS)
    with dt.Database(shop.copy) as target:
        importer = dt.PackageImporter(package, target)
        assert refused(lambda: importer.plan(match_on={"customers": ["emial"]})) == "did you mean 'email'?"
        assert "did you mean 'placed'?" in refused(lambda: importer.plan(on_match={"orders": "newest:plaecd"}))
        with importer.plan() as plan:
            assert "plan.to_frame()" in refused(lambda: plan.decide("orders", {"placed": "1900-01-01"}, "skip"))
            assert "tuple" in refused(lambda: plan.decide("items", [2], "skip"))
        one = "6d1c8f4e-0000-4000-8000-000000000000"
        assert "that the import went to" in refused(lambda: dt.receipt(target, one))
    package.close()


@pytest.mark.parametrize(
    ("dialect", "declared", "value", "hint"),
    [("postgresql", "TEXT", "'a' || char(0)", "hold bytes"), ("mariadb", "DOUBLE", "9e999", "hold text"),
     ("mariadb", "TINYTEXT", "hex(zeroblob(300))", "LONGTEXT")],
)  # fmt: skip
def test_values_that_a_target_cannot_hold(
    databases: Databases, tmp_path: Path, dialect: str, declared: str, value: str, hint: str
) -> None:
    kind = "REAL" if declared == "DOUBLE" else "TEXT"
    make(tmp_path / "s.db", f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {kind}); INSERT INTO t VALUES (1, {value});")
    url = databases.create(dialect)
    with dt.Database(f"sqlite:///{tmp_path / 's.db'}") as source, dt.Database(url) as target:
        with target.engine.begin() as conn:
            conn.exec_driver_sql(f"CREATE TABLE t (id BIGINT PRIMARY KEY, v {declared})")
        with dt.PackageBuilder(source).add_all().build(tmp_path / "p.zip", progress=False) as package:
            assert hint in refused(lambda: dt.PackageImporter(package, target).run())


def test_a_key_that_a_package_does_not_have(db: dt.Database, shop: Shop) -> None:
    with dt.PackageBuilder(db).add_all().build(shop.path("p.zip"), progress=False) as package:
        assert refused(lambda: package.why("items", 2)) == "give a tuple: order_id, line"
        assert "rows of the table" in refused(lambda: package.why("orders", 99))
