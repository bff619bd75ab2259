"""Selection: every way of asking selects what belongs together, and it explains itself."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer.exporting.closure import closed
from datatransfer.schema.identity import entity_uuid
from tests.support.scripts import Make, made_by
from tests.support.selections import SHOP, keys_of
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS


@pytest.fixture
def make(databases: Databases) -> Iterator[Make]:
    with made_by(SHOP, databases) as made:
        yield made


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_root_goes_down_and_up_and_its_parents_only_up(make: Make, dialect: str) -> None:
    db = make(dialect=dialect)
    assert keys_of(dt.PackageBuilder(db).add("customers", keys=[2])) == {
        "customers": [1, 2, 3],  # 3 was referred by 2, and 1 referred 2; but the orders of 1 stay away
        "products": ["doll", "saw"],
        "orders": [11, 12],
        "items": [(11, 1), (11, 2), (12, 1)],
        "returns": [100],
        "notes": [(11, "same"), (11, "same")],
    }


@pytest.mark.parametrize("dialect", DIALECTS)
def test_undeclared_relations_are_followed_like_declared_ones(make: Make, dialect: str) -> None:
    db = make(dialect=dialect)
    db.relate("products.category_id", "categories.id")
    found = keys_of(dt.PackageBuilder(db).add("items", keys=[(11, 1)]))
    assert found == {"categories": [1], "customers": [1, 2], "orders": [11], "products": ["saw"], "items": [(11, 1)]}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rules_stop_and_condition_each_direction(make: Make, dialect: str) -> None:
    db = make(dialect=dialect)
    stopped = dt.PackageBuilder(db).add("customers", keys=[2]).stop("orders.customer_id", direction="down")
    assert keys_of(stopped.stop("customers.referred_by", direction="down")) == {"customers": [1, 2]}
    some = dt.PackageBuilder(db).add("customers", keys=[2]).stop("notes.order_id").stop("returns.(order_id, line)")
    some.follow("orders.customer_id", direction="down", where="child.placed < :day", params={"day": "2026-02-01"})
    assert keys_of(some)["orders"] == [11]
    assert "notes" not in keys_of(some)
    up = dt.PackageBuilder(db).add("customers", keys=[3])
    up.stop("orders.customer_id").follow("customers.referred_by", direction="up", where="parent.name = 'Bob'")
    selection = up.preview()
    assert keys_of(up) == {"customers": [2, 3]}
    assert selection.outside == {"customers.referred_by": 1}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_way_of_asking_finds_the_same_rows(make: Make, dialect: str) -> None:
    import pandas as pd
    import pyarrow as pa

    db = make(dialect=dialect)
    table = sa.table("items", sa.column("order_id"), sa.column("line"))
    orders = sa.table("orders", sa.column("id"), sa.column("placed"))
    expected = keys_of(
        dt.PackageBuilder(db).add("items", where="order_id = :o and line = :l", params={"o": 11, "l": 2})
    )
    assert expected["items"] == [(11, 2)]
    frame = pd.DataFrame({"line": [2], "other": ["x"], "order_id": [11]})
    ways: list[dict[str, Any]] = [
        {"where": "items.order_id = 11 AND items.line = 2 -- a comment"},
        {"where": (table.c.order_id == 11) & (table.c.line == 2)},
        {"where": sa.exists().where(orders.c.id == table.c.order_id, orders.c.id == 11) & (table.c.line == 2)},
        {"keys": [(11, 2), (11, 2)]},
        {"keys": [{"line": 2, "order_id": 11}]},
        {"keys": frame},
        {"keys": pa.table(frame)},
        {"uuids": [entity_uuid(db.origin, "items", [11, 2])]},
        {"uuids": [str(entity_uuid(db.origin, "items", [11, 2])), uuid.uuid4()]},
    ]
    for way in ways:
        assert keys_of(dt.PackageBuilder(db).add("items", **way)) == expected, way


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rows_of_a_table_without_key_are_chosen_by_condition(make: Make, dialect: str) -> None:
    db = make(dialect=dialect)
    found = keys_of(dt.PackageBuilder(db).add("notes", where="body = :b", params={"b": "same"}))
    assert found["notes"] == [(11, "same"), (11, "same")]
    assert found["orders"] == [11]
    assert "items" not in found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_why_gives_the_chain_to_a_root(make: Make, dialect: str) -> None:
    db = make(dialect=dialect)
    selection = dt.PackageBuilder(db).add("customers", keys=[2]).preview()
    chain = selection.why("products", "doll")
    assert [(step.table, step.reached, step.foreign_key) for step in chain] == [
        ("products", "up", "items.product"),
        ("items", "down", "items.order_id"),
        ("orders", "down", "orders.customer_id"),
        ("customers", "root", ""),
    ]
    assert chain[-1].key == (2,)
    assert repr(selection.why("customers", 1)).splitlines() == [
        "customers 1: is referred to by customers.referred_by",
        "  customers 2: asked for by its key",
    ]
    assert [step.table for step in selection.why("returns", 100)] == ["returns", "items", "orders", "customers"]
    with pytest.raises(dt.SelectionError, match="not selected"):
        selection.why("customers", 4)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_preview_writes_nothing_and_counts_everything(make: Make, dialect: str) -> None:
    db = make(dialect=dialect)
    selection = dt.PackageBuilder(db).add_all().preview()
    counts = dict(zip(selection.counts["table"], selection.counts["rows"], strict=True))
    assert counts == {name: db.count(name) for name in db.schema.tables}
    assert selection.total == sum(counts.values())
    assert selection.bytes > 0
    assert repr(selection).startswith("Selection(26 rows of 7 tables, about ")
    assert "<table>" in selection._repr_html_()
    assert selection.graph.counts == counts
    db.refresh()
    assert set(db.schema.tables) == set(counts)


def test_a_cycle_and_a_deep_self_reference_end(make: Make) -> None:
    db = make(
        """CREATE TABLE datasets (id INTEGER PRIMARY KEY, current INTEGER REFERENCES versions (id));
        CREATE TABLE versions (id INTEGER PRIMARY KEY, dataset INTEGER NOT NULL REFERENCES datasets (id));
        CREATE TABLE folders (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES folders (id));
        INSERT INTO datasets VALUES (1, 11), (2, NULL); INSERT INTO versions VALUES (10, 1), (11, 1), (12, 2);
        INSERT INTO folders WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 500)
            SELECT i, nullif(i - 1, 0) FROM n"""
    )
    up = keys_of(dt.PackageBuilder(db).add("versions", keys=[10]))
    assert up == {"datasets": [1], "versions": [10, 11]}  # 11 is the current version, reached upward
    assert keys_of(dt.PackageBuilder(db).add("datasets", keys=[1])) == {"datasets": [1], "versions": [10, 11]}
    assert len(keys_of(dt.PackageBuilder(db).add("folders", keys=[1]))["folders"]) == 500
    assert len(keys_of(dt.PackageBuilder(db).add("folders", keys=[500]))["folders"]) == 500
    assert len(dt.PackageBuilder(db).add("folders", keys=[500]).preview().why("folders", 1)) == 500
    half = dt.PackageBuilder(db).add("folders", keys=[250]).null("folders.parent")
    assert len(keys_of(half)["folders"]) == 251
    assert half.preview().nulled == {"folders.parent": 1}


def test_a_foreign_key_to_a_unique_column_is_followed(make: Make) -> None:
    db = make(
        """CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT UNIQUE COLLATE NOCASE);
        CREATE TABLE mails (id INTEGER PRIMARY KEY, sender TEXT REFERENCES users (email));
        INSERT INTO users VALUES (1, 'ann@x'), (2, 'bob@x'), (3, NULL);
        INSERT INTO mails VALUES (1, 'ANN@x'), (2, 'bob@x'), (3, NULL), (4, 'ann@x')"""
    )
    assert keys_of(dt.PackageBuilder(db).add("users", keys=[1])) == {"users": [1], "mails": [1, 4]}
    assert keys_of(dt.PackageBuilder(db).add("mails", keys=[1])) == {"users": [1], "mails": [1]}


def test_1_and_text_1_are_two_keys_in_sqlite(make: Make) -> None:
    db = make(
        """CREATE TABLE parent (k PRIMARY KEY, v); CREATE TABLE child (id INTEGER PRIMARY KEY, k REFERENCES parent (k));
        CREATE TABLE numbers (id INTEGER PRIMARY KEY, k INTEGER REFERENCES parent (k));
        INSERT INTO parent VALUES (1, 'integer'), ('1', 'text'), (2.5, 'real'), (x'31', 'blob');
        INSERT INTO child VALUES (1, 1), (2, '1'), (3, x'31'), (4, 2.5); INSERT INTO numbers VALUES (1, 1)"""
    )
    assert keys_of(dt.PackageBuilder(db).add("parent", keys=["1"])) == {"parent": ["1"], "child": [2]}
    assert keys_of(dt.PackageBuilder(db).add("parent", keys=[1])) == {"parent": [1], "child": [1], "numbers": [1]}
    assert keys_of(dt.PackageBuilder(db).add("child", keys=[3])) == {"parent": [b"1"], "child": [3]}
    assert keys_of(dt.PackageBuilder(db).add("child", keys=[2])) == {"parent": ["1"], "child": [2]}
    assert keys_of(dt.PackageBuilder(db).add("numbers", keys=[1])) == {"parent": [1], "numbers": [1]}
    assert not dt.PackageBuilder(db).add("parent", keys=["1"]).preview().orphans


def test_null_in_a_key_makes_a_table_keyless_and_is_said(make: Make) -> None:
    db = make(
        """CREATE TABLE t (k TEXT PRIMARY KEY, v); INSERT INTO t VALUES (NULL, 1), (NULL, 1), ('a', 2);
        CREATE TABLE c (id INTEGER PRIMARY KEY, k TEXT REFERENCES t (k)); INSERT INTO c VALUES (1, 'a'), (2, NULL)"""
    )
    selection = dt.PackageBuilder(db).add("t", where="v = 1").preview()
    assert selection.total == 2
    assert [w.code for w in selection.warnings] == ["key_null"]
    assert dt.PackageBuilder(db).add("c", where="id = 1").preview().total == 2
    with pytest.raises(dt.UsageError, match="no key"):
        dt.PackageBuilder(db).add("t", keys=["a"]).preview()


def test_tables_taken_wholly_pass_it_on_without_keys(make: Make) -> None:
    builder = dt.PackageBuilder(make()).add("customers").add("notes")
    with closed(builder.db, builder._plan()) as closure:
        assert {name for name, chosen in closure.chosen.items() if chosen.whole} == {
            "customers", "notes", "orders", "items", "returns",
        }  # fmt: skip
        assert closure.chosen["products"].keys is not None  # one product was never sold
        assert closure.count("products") == 3
    every = dt.PackageBuilder(builder.db).add("orders", where="id > 0")
    with closed(every.db, every._plan()) as closure:
        assert not closure.source("orders").whole
        closure.settle()
        assert closure.source("orders").whole  # every row was found, so the fast way may be taken


def test_preview_reports_what_deserves_a_look(make: Make) -> None:
    db = make(
        """CREATE TABLE users (id INTEGER PRIMARY KEY, password_hash TEXT, boss INTEGER REFERENCES users (id));
        CREATE VIEW v AS SELECT 1; CREATE TABLE broken (id INTEGER PRIMARY KEY, x REFERENCES nowhere (id));
        INSERT INTO users VALUES (1, 'x', 99), (2, 'y', 1)"""
    )
    selection = dt.PackageBuilder(db).add_all().preview()
    found = {(warning.code, warning.where) for warning in selection.warnings}
    assert {("secret", "users.password_hash"), ("orphan", "users.boss"), ("left_out", "v")} <= found
    assert selection.orphans == {"users.boss": 1}
    missing = dt.PackageBuilder(db).add("users", keys=[1, 7, 8]).preview()
    assert ("key_missing", "users") in {(warning.code, warning.where) for warning in missing.warnings}
