"""PackageBuilder: what is selected is in the package, orphans and files by policy, and nothing is left on errors."""

from __future__ import annotations

import datetime as dtm
import random
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import datatransfer as dt
from datatransfer.database import ledger
from datatransfer.exporting.rows import DatabaseRows, database_digest
from datatransfer.schema.identity import canonical_key
from datatransfer.schema.keysets import KeySet
from tests.support.scripts import Make, made_by
from tests.support.servers import Databases
from tests.support.sql import run
from tests.support.transfer import DIALECTS, ENCODINGS

FIXED = {"package_id": uuid.UUID(int=7), "created": dtm.datetime(2026, 1, 1, tzinfo=dtm.UTC)}

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, name VARCHAR(40));
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER, note VARCHAR(40),
                     FOREIGN KEY (customer_id) REFERENCES customers (id));
CREATE TABLE items (order_id INTEGER NOT NULL, line INTEGER NOT NULL, price DECIMAL(10,2),
                    PRIMARY KEY (order_id, line), FOREIGN KEY (order_id) REFERENCES orders (id));
CREATE TABLE notes (order_id INTEGER, body VARCHAR(40), FOREIGN KEY (order_id) REFERENCES orders (id));
INSERT INTO customers VALUES (1, 'Ann'), (2, 'Bob');
INSERT INTO orders VALUES (10, 1, 'x'), (11, 2, ''), (12, NULL, NULL);
INSERT INTO items VALUES (10, 1, 1.50), (11, 1, 2.25), (11, 2, 3);
INSERT INTO notes VALUES (10, 'a'), (10, 'a'), (NULL, 'b');
"""

ORPHANS = """
CREATE TABLE p (id INTEGER PRIMARY KEY, code TEXT UNIQUE);
CREATE TABLE a (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id), self INTEGER REFERENCES a (id));
CREATE TABLE b (id INTEGER PRIMARY KEY, code TEXT REFERENCES p (code));
INSERT INTO p VALUES (1, 'x'), (2, 'y');
INSERT INTO a VALUES (1, 1, NULL), (2, 3, 1), (3, -9, 2), (4, NULL, 77);
INSERT INTO b VALUES (1, 'x'), (2, 'z'), (3, NULL);
"""


@pytest.fixture
def make(databases: Databases) -> Iterator[Make]:
    with made_by(SHOP, databases) as made:
        yield made


def rows_of(package: dt.DataPackage, table: str) -> list[dict[str, Any]]:
    return [row for batch in package.batches(table) for row in batch.to_pylist()]


def nothing_left(folder: Path) -> bool:
    return not [path for path in folder.iterdir() if path.suffix not in (".db", ".sqlite") and "db" not in path.name]


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_whole_database_is_in_its_package(make: Make, tmp_path: Path, dialect: str, encoding: Any) -> None:
    db = make(dialect=dialect)
    package = dt.PackageBuilder(db).add_all().build(tmp_path / "all.zip", encoding=encoding)
    assert package.metadata.encoding == encoding
    assert package.metadata.dialect == db.dialect.name
    assert package.metadata.origin == db.origin
    assert package.metadata.selection["everything"] is True
    with DatabaseRows(db) as rows:
        for name in db.schema.tables:
            expected = [row for batch in rows.batches(name) for row in batch.to_pylist()]
            assert rows_of(package, name) == expected
    assert package.verify().ok
    assert package.digest == database_digest(db)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_part_of_a_database_is_in_its_package(make: Make, tmp_path: Path, dialect: str) -> None:
    builder = dt.PackageBuilder(make(dialect=dialect)).add("orders", where="note = :note", params={"note": "x"})
    package = builder.build(tmp_path / "part.zip", description="for Ann")
    assert {name: len(rows_of(package, name)) for name in package.schema.tables} == {
        "customers": 1,
        "orders": 1,
        "items": 1,
        "notes": 2,
    }
    selection = package.metadata.selection
    assert selection["roots"] == [
        {"table": "orders", "kind": "where", "where": "note = :note", "params": {"note": "x"}}
    ]
    assert selection["description"] == "for Ann"


def test_auto_takes_documents_up_to_1000_rows(make: Make, tmp_path: Path) -> None:
    script = """CREATE TABLE t (id INTEGER PRIMARY KEY);
        INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1001) SELECT i FROM n"""
    db = make(script)
    assert dt.PackageBuilder(db).add_all().build(tmp_path / "a.zip").metadata.encoding == "columns"
    small = dt.PackageBuilder(db).add("t", where="id <= 1000").build(tmp_path / "b.zip")
    assert small.metadata.encoding == "documents"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_same_selection_gives_the_same_bytes(make: Make, tmp_path: Path, encoding: Any) -> None:
    builder = dt.PackageBuilder(make()).add("customers", keys=[1, 2])
    for name in ("one.zip", "two.zip"):
        builder.build(tmp_path / name, encoding=encoding, **FIXED)
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


# --- orphans --------------------------------------------------------------------------------------------------------

EXPECTED_ORPHANS = {"a.p": 2, "a.self": 1, "b.code": 1}


def test_orphans_are_counted_in_the_preview_and_refused_by_default(make: Make, tmp_path: Path) -> None:
    builder = dt.PackageBuilder(make(ORPHANS)).add_all()
    assert builder.preview().orphans == EXPECTED_ORPHANS
    with pytest.raises(dt.OrphanError) as caught:
        builder.build(tmp_path / "o.zip")
    assert caught.value.evidence["foreign_keys"] == EXPECTED_ORPHANS
    assert nothing_left(tmp_path)


@pytest.mark.parametrize("whole", [True, False])
def test_orphans_are_kept_as_they_are(make: Make, tmp_path: Path, whole: bool) -> None:
    builder = dt.PackageBuilder(make(ORPHANS))
    builder = builder.add_all() if whole else builder.add("p").add("a", where="id > 1").add("b", where="id IN (2, 3)")
    package = builder.build(tmp_path / "o.zip", on_orphan="keep")
    assert [(row["id"], row["p"], row["self"]) for row in rows_of(package, "a")][1:] == [
        (2, 3, 1),
        (3, -9, 2),
        (4, None, 77),
    ]
    counted = {label: n for entry in package.manifest_data.tables for label, n in entry.orphans.items() if n}
    assert counted == EXPECTED_ORPHANS


@pytest.mark.parametrize("whole", [True, False])
def test_orphans_become_null_where_they_may(make: Make, tmp_path: Path, whole: bool) -> None:
    builder = dt.PackageBuilder(make(ORPHANS))
    builder = builder.add_all() if whole else builder.add("p").add("a", where="id > 1").add("b", where="id IN (2, 3)")
    package = builder.build(tmp_path / "o.zip", on_orphan="null")
    rows = [(row["id"], row["p"], row["self"]) for row in rows_of(package, "a")]
    assert rows[-3:] == [(2, None, 1), (3, None, 2), (4, None, None)]
    assert [row["code"] for row in rows_of(package, "b")][-2:] == [None, None]
    assert [field.name for field in next(iter(package.batches("a"))).schema] == ["id", "p", "self"]


def test_orphans_cannot_become_null_in_a_required_column(make: Make, tmp_path: Path) -> None:
    db = make(
        """CREATE TABLE p (id INTEGER PRIMARY KEY); CREATE TABLE c (id INTEGER PRIMARY KEY,
        p INTEGER NOT NULL REFERENCES p (id)); INSERT INTO c VALUES (1, 5)"""
    )
    with pytest.raises(dt.OrphanError) as caught:
        dt.PackageBuilder(db).add_all().build(tmp_path / "o.zip", on_orphan="null")
    assert "keep" in caught.value.hint
    assert nothing_left(tmp_path)


def test_the_set_of_keys_agrees_with_a_set() -> None:
    dice = random.Random(3)
    for low, high in [
        (0, 50),
        (-40, 40),
        (10**12, 10**12 + 300),
        (-(2**63), -(2**63) + 90),
        (2**63 - 90, 2**63 - 1),
        (0, 10**6),
        (5, 5),
    ]:
        keys, known = KeySet(), set[int]()
        for _ in range(4):
            some = sorted(dice.randint(low, high) for _ in range(dice.randint(0, 30)))
            keys.add(pa.array([*some, None], pa.int64()).slice(0, len(some) + 1))
            known |= set(some)
        asked = [dice.choice([None, dice.randint(low, high), 2**63 - 1, -(2**63)]) for _ in range(60)]
        column = pa.array([0, *asked], pa.int64()).slice(1)
        assert keys.usable
        assert keys.missing(column).tolist() == [v is not None and v not in known for v in asked]


def test_the_set_of_keys_gives_up_where_numbers_are_sparse() -> None:
    keys = KeySet()
    keys.add(pa.array([0, 2**60], pa.int64()))
    assert not keys.usable


def test_sparse_parents_are_checked_by_the_database_instead(make: Make, tmp_path: Path) -> None:
    db = make(
        f"""CREATE TABLE p (id INTEGER PRIMARY KEY);
        CREATE TABLE c (id INTEGER PRIMARY KEY, p INTEGER REFERENCES p (id));
        INSERT INTO p VALUES (1), ({2**60}); INSERT INTO c VALUES (1, {2**60}), (2, 4)"""
    )
    package = dt.PackageBuilder(db).add_all().build(tmp_path / "o.zip", on_orphan="null")
    assert [row["p"] for row in rows_of(package, "c")] == [2**60, None]


# --- rules ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_null_leaves_the_parent_out_and_stop_keeps_the_value(make: Make, tmp_path: Path, dialect: str) -> None:
    db = make(dialect=dialect)
    nulled = dt.PackageBuilder(db).add("orders", keys=[10, 12]).null("orders.customer_id")
    assert nulled.preview().nulled == {"orders.customer_id": 1}
    package = nulled.build(tmp_path / "null.zip")
    assert [row["customer_id"] for row in rows_of(package, "orders")] == [None, None]
    assert "customers" not in package.schema
    stopped = dt.PackageBuilder(db).add("orders", keys=[10, 12]).stop("orders.customer_id")
    package = stopped.build(tmp_path / "stop.zip")
    assert [row["customer_id"] for row in rows_of(package, "orders")] == [1, None]
    assert package.metadata.selection["outside"] == {"orders.customer_id": 1}
    both = dt.PackageBuilder(db).add("orders", keys=[10, 11]).add("customers", keys=[2]).null("orders.customer_id")
    package = both.stop("items.order_id").build(tmp_path / "both.zip")
    assert [row["customer_id"] for row in rows_of(package, "orders")] == [None, 2]


# --- files ----------------------------------------------------------------------------------------------------------

FILES = """
CREATE TABLE docs (id INTEGER PRIMARY KEY, path VARCHAR(100));
INSERT INTO docs VALUES (1, 'a.txt'), (2, 'sub/b.txt'), (3, 'a.txt'), (4, NULL), (5, 'same.txt')
"""


@pytest.mark.parametrize("dialect", DIALECTS)
def test_files_travel_once_per_content(make: Make, tmp_path: Path, dialect: str) -> None:
    store = dt.MemoryStore({"a.txt": b"alpha", "sub/b.txt": b"beta", "same.txt": b"alpha", "unused": b"x"})
    db = make(FILES, dialect, files={"docs.path": store})
    builder = dt.PackageBuilder(db).add_all()
    files = builder.preview().files
    assert list(zip(files["path"], files["rows"], files["bytes"], strict=True)) == [
        ("a.txt", 2, 5),
        ("same.txt", 1, 5),
        ("sub/b.txt", 1, 4),
    ]
    package = builder.build(tmp_path / "f.zip")
    entries = package.manifest_data.files
    assert len(entries) == 2
    found = {ref.name: package.open_file(entry.sha256).read() for entry in entries for ref in entry.references}
    assert found == {"a.txt": b"alpha", "sub/b.txt": b"beta", "same.txt": b"alpha"}
    keys = sorted(ref.key for entry in entries for ref in entry.references)
    assert keys == [canonical_key([n]) for n in (1, 2, 3, 5)]
    part = dt.PackageBuilder(db).add("docs", keys=[2]).build(tmp_path / "part.zip")
    assert [ref.name for entry in part.manifest_data.files for ref in entry.references] == ["sub/b.txt"]


def test_missing_files_are_an_error_or_recorded(make: Make, tmp_path: Path) -> None:
    store = dt.MemoryStore({"a.txt": b"alpha"})
    builder = dt.PackageBuilder(make(FILES, files={"docs.path": store})).add_all()
    selection = builder.preview()
    assert [w.code for w in selection.warnings] == ["file_missing", "file_missing"]
    with pytest.raises(dt.FileStoreError, match="2 referenced files"):
        builder.build(tmp_path / "f.zip")
    assert nothing_left(tmp_path)
    package = builder.build(tmp_path / "f.zip", on_missing_file="skip")
    missing = [ref.name for entry in package.manifest_data.files if entry.missing for ref in entry.references]
    assert sorted(missing) == ["same.txt", "sub/b.txt"]


def test_paths_that_lead_out_of_the_store_are_missing_files(make: Make, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("x")
    (tmp_path / "store").mkdir()
    script = "CREATE TABLE docs (id INTEGER PRIMARY KEY, path TEXT); INSERT INTO docs VALUES (1, '../secret'), (2, 7)"
    builder = dt.PackageBuilder(make(script, files={"docs.path": dt.FolderStore(tmp_path / "store")})).add_all()
    with pytest.raises(dt.FileStoreError):
        builder.build(tmp_path / "f.zip")
    package = builder.build(tmp_path / "f.zip", on_missing_file="skip")
    assert all(entry.missing for entry in package.manifest_data.files)


# --- events, cancelling, errors -------------------------------------------------------------------------------------


def test_progress_ends_at_its_total(make: Make, tmp_path: Path) -> None:
    events: list[Any] = []
    dt.PackageBuilder(make(), listener=events.append).add_all().build(tmp_path / "p.zip")
    read = [event for event in events if isinstance(event, dt.Progress) and event.phase == "read"]
    assert read[-1].rows_done == read[-1].rows_total == 11
    assert [event.rows_done for event in read] == sorted(event.rows_done for event in read)


def test_a_cancelled_build_leaves_nothing(make: Make, tmp_path: Path) -> None:
    stop = dt.Cancellation()

    def listener(event: Any) -> None:
        if isinstance(event, dt.Progress) and event.phase == "read" and event.table == "orders":
            stop.cancel()

    builder = dt.PackageBuilder(make(), listener=listener, cancellation=stop).add_all()
    with pytest.raises(dt.Cancelled):
        builder.build(tmp_path / "c.zip")
    assert nothing_left(tmp_path)
    with pytest.raises(dt.Cancelled):
        builder.preview()


def test_an_existing_file_is_replaced_only_on_request(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "p.zip"
    builder = dt.PackageBuilder(make()).add_all()
    builder.build(path, description="mine")
    mine = path.read_bytes()
    with pytest.raises(dt.PackageExistsError):
        builder.build(path)
    assert path.read_bytes() == mine
    broken = dt.PackageBuilder(builder.db).add("orders", where="nope")
    with pytest.raises(dt.ConditionError):
        broken.build(path, overwrite=True)
    assert path.read_bytes() == mine
    assert builder.build(path, overwrite=True).verify().ok
    assert path.read_bytes() != mine


@pytest.mark.parametrize("options", [{"encoding": "xml"}, {"on_orphan": "drop"}, {"on_missing_file": "maybe"}], ids=str)
def test_unknown_policies_are_refused(make: Make, tmp_path: Path, options: Any) -> None:
    with pytest.raises(dt.UsageError) as caught:
        dt.PackageBuilder(make()).add_all().build(tmp_path / "p.zip", **options)
    assert caught.value.hint


def test_nothing_selected_is_an_error(make: Make, tmp_path: Path) -> None:
    db = make()
    with pytest.raises(dt.SelectionError):
        dt.PackageBuilder(db).build(tmp_path / "p.zip")
    with pytest.raises(dt.SelectionError, match="no row"):
        dt.PackageBuilder(db).add("orders", where="id = 99").build(tmp_path / "p.zip")
    with pytest.raises(dt.UsageError, match="folder"):
        dt.PackageBuilder(db).add_all().build(tmp_path / "no" / "p.zip")
    assert nothing_left(tmp_path)


def test_an_in_memory_database_can_be_exported(tmp_path: Path) -> None:
    db = dt.Database("sqlite://")
    with db.engine.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, self INTEGER REFERENCES t (id))")
        conn.exec_driver_sql("INSERT INTO t VALUES (1, NULL), (2, 1), (3, NULL)")
    builder = dt.PackageBuilder(db).add("t", keys=[2])
    for name in ("a.zip", "b.zip"):
        assert [row["id"] for row in rows_of(builder.build(tmp_path / name), "t")] == [1, 2]
    with db.engine.connect() as conn:
        assert conn.exec_driver_sql("SELECT count(*) FROM temp.sqlite_schema").scalar() == 0
    db.close()


# --- identity of imported rows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rows_that_were_imported_carry_their_origin(make: Make, tmp_path: Path, dialect: str) -> None:
    db = make(dialect=dialect)
    elsewhere = uuid.UUID(int=99)
    keys = pa.table({"s.id": [501, 502], "t.id": [11, 12], "action": ["insert", "reuse"]})
    with db.engine.begin() as conn:
        ledger.create_ledger(conn)
        record = ledger.start_import(conn, package_id=uuid.uuid4(), package_digest="0" * 64, origin=elsewhere)
        ledger.add_key_map(conn, record.import_id, "orders", keys, origin=elsewhere)
        ledger.set_state(conn, record.import_id, "merged")
    package = dt.PackageBuilder(db).add_all().build(tmp_path / "i.zip")
    rows = [(row["id"], row["datatransfer:origin"], row["datatransfer:key"]) for row in rows_of(package, "orders")]
    assert rows == [(10, None, None), (11, str(elsewhere), "[501]"), (12, None, None)]
    assert "datatransfer:origin" not in next(iter(package.batches("customers"))).schema.names
    wanted = uuid.uuid5(elsewhere, "orders\n[501]")
    assert [row["id"] for row in rows_of(
        dt.PackageBuilder(db).add("orders", uuids=[wanted]).build(tmp_path / "u.zip"), "orders"
    )] == [11]  # fmt: skip


def test_columns_with_our_own_prefix_are_refused(make: Make, tmp_path: Path) -> None:
    db = make('CREATE TABLE t (id INTEGER PRIMARY KEY, "datatransfer:key" TEXT); INSERT INTO t VALUES (1, 2)')
    with pytest.raises(dt.UsageError, match="may not start"):
        dt.PackageBuilder(db).add_all().build(tmp_path / "t.zip")
    assert nothing_left(tmp_path)


def test_keys_are_taken_when_they_are_given(make: Make) -> None:
    db = make()
    wanted = dt.PackageBuilder(db).add("orders", keys=[10]).preview().total
    assert 0 < wanted < dt.PackageBuilder(db).add("orders").preview().total
    listed = [10]
    builder = dt.PackageBuilder(db).add("orders", keys=listed)
    listed.append(11)
    lazy = dt.PackageBuilder(db).add("orders", keys=(number for number in [10]))
    assert builder.preview().total == lazy.preview().total == wanted


def test_an_option_that_is_none_is_refused_before_a_job_begins(databases: Databases, tmp_path: Path) -> None:
    url = databases.create("sqlite")
    run(url, "CREATE TABLE t (id INTEGER PRIMARY KEY)")
    with dt.Database(url) as db:
        builder = dt.PackageBuilder(db).add_all()
        with pytest.raises(dt.UsageError, match="there is no option 'overwrit'") as caught:
            builder.start(tmp_path / "t.zip", overwrit=True)  # type: ignore[call-arg]
        assert "overwrite" in caught.value.hint
    assert not list(tmp_path.glob("*.zip"))
