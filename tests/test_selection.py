"""Selection: the closure is exactly what hand-written SQL says, and it explains itself."""

from __future__ import annotations

import random
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer.exporting.closure import closed
from datatransfer.exporting.plan import Rule
from datatransfer.schema.identity import entity_uuid
from tests.support.loaders import sqlite_file
from tests.support.scripts import Make, made_by
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(40), referred_by INTEGER,
                        FOREIGN KEY (referred_by) REFERENCES customers (id));
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL,
                     placed VARCHAR(10) NOT NULL, coupon_id INTEGER,
                     FOREIGN KEY (customer_id) REFERENCES customers (id));
CREATE TABLE products (code VARCHAR(20) PRIMARY KEY, category_id INTEGER NOT NULL);
CREATE TABLE categories (id INTEGER PRIMARY KEY, name VARCHAR(40));
CREATE TABLE items (order_id INTEGER NOT NULL, line INTEGER NOT NULL, product VARCHAR(20) NOT NULL,
                    PRIMARY KEY (order_id, line),
                    FOREIGN KEY (order_id) REFERENCES orders (id), FOREIGN KEY (product) REFERENCES products (code));
CREATE TABLE returns (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL, line INTEGER NOT NULL,
                      FOREIGN KEY (order_id, line) REFERENCES items (order_id, line));
CREATE TABLE notes (order_id INTEGER, body VARCHAR(40), FOREIGN KEY (order_id) REFERENCES orders (id));
INSERT INTO customers VALUES (1, 'Ann', NULL), (2, 'Bob', 1), (3, 'Cy', 2), (4, 'Di', NULL);
INSERT INTO categories VALUES (1, 'tools'), (2, 'toys'), (3, 'unused');
INSERT INTO products VALUES ('hammer', 1), ('saw', 1), ('doll', 2), ('x', 2);
INSERT INTO orders VALUES (10, 1, '2026-01-01', NULL), (11, 2, '2026-01-02', NULL),
    (12, 2, '2026-02-01', NULL), (13, 4, '2026-02-02', NULL);
INSERT INTO items VALUES (10, 1, 'hammer'), (11, 1, 'saw'), (11, 2, 'doll'), (12, 1, 'doll'), (13, 1, 'hammer');
INSERT INTO returns VALUES (100, 11, 2), (101, 13, 1);
INSERT INTO notes VALUES (11, 'same'), (11, 'same'), (13, 'other'), (NULL, 'lost');
"""


@pytest.fixture
def make(databases: Databases) -> Iterator[Make]:
    with made_by(SHOP, databases) as made:
        yield made


def keys_of(builder: dt.PackageBuilder) -> dict[str, list[Any]]:
    """Return the selected rows by table: the first two columns of each row, sorted."""
    with closed(builder.db, builder._plan()) as closure:
        found = {}
        for name in closure.counts():
            table, tail = closure.table(name), closure.source(name).tail()
            names = ", ".join(f"t.{builder.db.dialect.quote(c)}" for c in (table.key or table.column_names))
            rows = closure.sql.rows(f"SELECT {names} FROM {builder.db.dialect.from_sql(table)} t{tail}")
            found[name] = sorted(row[0] if len(row) == 1 else row for row in rows)
        return found


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


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_condition_that_does_not_parse_is_one_typed_error(make: Make, dialect: str) -> None:
    db = make(dialect=dialect)
    for where, params in [
        ("plased >= :day", {"day": "S3CR3T-value"}),
        ("placed >>>= 1", {}),
        ("1 = 1) OR (", {}),
        ("placed >= :day", {}),
        ("placed >= '2026'", {"day": 1}),
        ("", {}),
    ]:
        with pytest.raises(dt.ConditionError) as caught:
            dt.PackageBuilder(db).add("orders", where=where, params=params).preview()
        assert caught.value.where == "orders"
        assert "S3CR3T" not in str(caught.value)
        assert caught.value.__cause__ is None
    wrong = sa.table("orders", sa.column("id"), sa.column("nope"))
    with pytest.raises(dt.UnknownColumnError):
        dt.PackageBuilder(db).add("orders", where=wrong.c.nope == 1).preview()
    other = sa.table("customers", sa.column("id"))
    with pytest.raises(dt.ConditionError, match="other tables"):
        dt.PackageBuilder(db).add("orders", where=other.c.id == 1).preview()
    assert dt.PackageBuilder(db).add("orders").preview().total > 0  # the connection is as good as before


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ("orders", 10),
        ("orders", "10"),
        ("orders", ["10"]),
        ("orders", [10.0]),
        ("orders", [True]),
        ("orders", [None]),
        ("orders", [2**70]),
        ("orders", [(10, 1)]),
        ("items", [10]),
        ("items", [(10,)]),
        ("items", [{"order_id": 10}]),
        ("products", [1]),
    ],
)
def test_keys_of_the_wrong_shape_or_type_are_refused(make: Make, table: str, keys: Any) -> None:
    with pytest.raises(dt.KeyValueError) as caught:
        dt.PackageBuilder(make()).add(table, keys=keys).preview()
    assert caught.value.hint or caught.value.where


def test_frames_need_the_columns_of_the_key(make: Make) -> None:
    import pandas as pd

    builder = dt.PackageBuilder(make())
    with pytest.raises(dt.KeyValueError, match="no column line"):
        builder.add("items", keys=pd.DataFrame({"order_id": [1]}))
    with pytest.raises(dt.KeyValueError, match="float"):
        builder.add("orders", keys=pd.DataFrame({"id": [1, None]}))


def test_wrong_calls_are_refused_with_a_hint(make: Make) -> None:
    builder = dt.PackageBuilder(make())
    wrong: list[tuple[type[dt.DataTransferError], Callable[[], Any]]] = [
        (dt.UnknownTableError, lambda: builder.add("order")),
        (dt.UnknownColumnError, lambda: builder.stop("items.nope")),
        (dt.UsageError, lambda: builder.stop("orders.placed")),
        (dt.UsageError, lambda: builder.add("orders", keys=[1], where="x")),
        (dt.UsageError, lambda: builder.add("orders", params={"x": 1})),
        (dt.UsageError, lambda: builder.null("items.order_id", direction="down")),
        (dt.UsageError, lambda: builder.stop("items.order_id", direction="left")),  # type: ignore[arg-type]
        (dt.KeyValueError, lambda: builder.add("orders", uuids=["x"])),
        (dt.SelectionError, builder.preview),
    ]
    for kind, call in wrong:
        with pytest.raises(kind):
            call()


def test_stopping_a_required_parent_is_an_error_at_preview(make: Make) -> None:
    builder = dt.PackageBuilder(make()).add("items", keys=[(11, 1)]).stop("items.order_id", direction="up")
    with pytest.raises(dt.SelectionError, match=r"items\.order_id \(1 row\)"):
        builder.preview()
    builder = dt.PackageBuilder(builder.db).add("customers", keys=[2]).stop("items.order_id", direction="up")
    assert builder.preview().total > 0  # here the parents are there anyway


# --- against hand-written SQL ---------------------------------------------------------------------------------------

ONE_CUSTOMER = {
    "Customer": "SELECT CustomerId FROM Customer WHERE CustomerId = 5",
    "Invoice": "SELECT InvoiceId FROM Invoice WHERE CustomerId = 5",
    "InvoiceLine": "SELECT InvoiceLineId FROM InvoiceLine JOIN Invoice USING (InvoiceId) WHERE CustomerId = 5",
    "Employee": """WITH RECURSIVE boss(e) AS (SELECT SupportRepId FROM Customer WHERE CustomerId = 5
        UNION SELECT ReportsTo FROM Employee JOIN boss ON EmployeeId = e WHERE ReportsTo IS NOT NULL)
        SELECT e FROM boss""",
    "Track": """SELECT DISTINCT TrackId FROM InvoiceLine JOIN Invoice USING (InvoiceId) WHERE CustomerId = 5""",
    "Album": """SELECT DISTINCT AlbumId FROM Track JOIN InvoiceLine USING (TrackId) JOIN Invoice USING (InvoiceId)
        WHERE CustomerId = 5""",
    "Artist": """SELECT DISTINCT ArtistId FROM Album JOIN Track USING (AlbumId) JOIN InvoiceLine USING (TrackId)
        JOIN Invoice USING (InvoiceId) WHERE CustomerId = 5""",
    "Genre": """SELECT DISTINCT GenreId FROM Track JOIN InvoiceLine USING (TrackId) JOIN Invoice USING (InvoiceId)
        WHERE CustomerId = 5""",
    "MediaType": """SELECT DISTINCT MediaTypeId FROM Track JOIN InvoiceLine USING (TrackId)
        JOIN Invoice USING (InvoiceId) WHERE CustomerId = 5""",
}


def test_one_customer_of_chinook_with_everything_that_belongs_to_it() -> None:
    path = sqlite_file("chinook")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as raw:
        expected = {name: sorted(row[0] for row in raw.execute(sql)) for name, sql in ONE_CUSTOMER.items()}
    db = dt.Database(f"sqlite:///{path}")
    assert keys_of(dt.PackageBuilder(db).add("Customer", keys=[5])) == expected
    db.close()


def _random_database(dice: random.Random, path: Path) -> dict[str, list[dict[str, Any]]]:
    """Make tables with random foreign keys (self, cycles, keyless, composite) and rows; return the rows."""
    names = [f"t{n}" for n in range(dice.randint(2, 5))]
    with closing(sqlite3.connect(path)) as raw:
        rows: dict[str, list[dict[str, Any]]] = {}
        for name in names:
            parents = [dice.choice(names) for _ in range(dice.randint(0, 2))]
            keyless = dice.random() < 0.2
            columns = [f"a INTEGER{'' if keyless else ' NOT NULL'}", f"b INTEGER{'' if keyless else ' NOT NULL'}"]
            columns += [f"f{n}a INTEGER, f{n}b INTEGER" for n in range(len(parents))]
            columns += [] if keyless else ["PRIMARY KEY (a, b)"]
            columns += [f"FOREIGN KEY (f{n}a, f{n}b) REFERENCES {p} (a, b)" for n, p in enumerate(parents)]
            raw.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            rows[name] = []
            for a in range(3):
                for b in range(3):
                    row = {"a": a, "b": b}
                    for n, _ in enumerate(parents):
                        row |= {f"f{n}a": dice.choice([None, 0, 1, 2]), f"f{n}b": dice.choice([None, 0, 1, 2])}
                    rows[name].append(row)
                    raw.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", list(row.values()))
        raw.commit()
    return rows


@pytest.mark.parametrize("seed", range(25))
def test_random_schemas_agree_with_a_row_by_row_closure(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    path = tmp_path / "random.db"
    rows = _random_database(dice, path)
    with dt.Database(f"sqlite:///{path}") as db:
        root = dice.choice(list(rows))
        stopped = {(fk, d) for fk in db.schema.foreign_keys() for d in ("up", "down") if dice.random() < 0.2}
        builder = dt.PackageBuilder(db).add(root, where="a = :a", params={"a": 1})
        for fk, direction in stopped:
            builder._rules.set(fk, direction, Rule("stop"))
        assert keys_of_counts(builder) == _naive(db, rows, root, stopped)


def keys_of_counts(builder: dt.PackageBuilder) -> dict[str, list[tuple[Any, ...]]]:
    with closed(builder.db, builder._plan()) as closure:
        found = {}
        for name in closure.counts():
            tail = closure.source(name).tail()
            found[name] = sorted(closure.sql.rows(f"SELECT t.a, t.b FROM {name} t{tail}"))
        return found


def _naive(
    db: dt.Database, rows: dict[str, list[dict[str, Any]]], root: str, stopped: set[Any]
) -> dict[str, list[Any]]:
    """Follow single rows with loops: slow, and written without the library's SQL."""

    def refers(child: dict[str, Any], fk: Any, parent: dict[str, Any]) -> bool:
        return all(
            child[c] is not None and child[c] == parent[p] for c, p in zip(fk.columns, fk.parent_columns, strict=True)
        )

    taken = {(root, n) for n, row in enumerate(rows[root]) if row["a"] == 1}
    fks = db.schema.foreign_keys()
    for direction in ("down", "up"):
        work = set(taken)
        while work:
            name, number = work.pop()
            row = rows[name][number]
            for fk in fks:
                here, there = (fk.parent, fk.table) if direction == "down" else (fk.table, fk.parent)
                if here != name or (fk, direction) in stopped:
                    continue
                for n, other in enumerate(rows[there]):
                    pair = (other, row) if direction == "down" else (row, other)
                    if refers(pair[0], fk, pair[1]) and (there, n) not in taken:
                        taken.add((there, n))
                        work.add((there, n))
    found: dict[str, list[Any]] = {}
    for name, number in taken:
        found.setdefault(name, []).append((rows[name][number]["a"], rows[name][number]["b"]))
    return {name: sorted(found[name]) for name in found}
