"""Merging into a database that already holds other rows, mostly under the same keys."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

import datatransfer as dt
from tests.support.digest import assert_contains, assert_equal, exact_digest
from tests.support.loaders import Library
from tests.support.servers import Databases
from tests.support.sql import asked, connected
from tests.support.transfer import DIALECTS, export_all, import_into, written

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, email VARCHAR(50) UNIQUE, name VARCHAR(50));
CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL, parent_id INTEGER, note VARCHAR(50),
    FOREIGN KEY (customer_id) REFERENCES customers (id), FOREIGN KEY (parent_id) REFERENCES orders (id));
CREATE TABLE items (order_id INTEGER NOT NULL, line INTEGER NOT NULL, sku VARCHAR(20), PRIMARY KEY (order_id, line),
    FOREIGN KEY (order_id) REFERENCES orders (id));
CREATE TABLE notes (item_order INTEGER, item_line INTEGER, body VARCHAR(50),
    FOREIGN KEY (item_order, item_line) REFERENCES items (order_id, line))
"""
# What an order is, without any key: who, what, under which other order, with which notes.
MEANING = """
SELECT c.email, o.note, p.note, i.line, i.sku, n.body
FROM orders o JOIN customers c ON c.id = o.customer_id LEFT JOIN orders p ON p.id = o.parent_id
LEFT JOIN items i ON i.order_id = o.id LEFT JOIN notes n ON n.item_order = i.order_id AND n.item_line = i.line
"""


def _shop(databases: Databases, dialect: str, name: str, *, first: int = 1, count: int = 20) -> str:
    """Make a shop whose rows all say whose they are, under integer keys from ``first`` on."""
    url = databases.create(dialect)
    keys = range(first, first + count)
    with connected(url) as connection:
        for statement in SHOP.split(";"):
            connection.exec_driver_sql(statement)
        for statement, rows in {
            "INSERT INTO customers VALUES (:a, :b, :c)": [
                {"a": k, "b": f"{name}{k}@example.org", "c": f"{name} {k}"} for k in keys
            ],
            "INSERT INTO orders VALUES (:a, :b, :c, :d)": [
                {"a": k, "b": first + (k * 7) % count, "c": k - 1 if k > first and k % 3 else None, "d": f"{name} {k}"}
                for k in keys
            ],
            "INSERT INTO items VALUES (:a, :b, :c)": [
                {"a": k, "b": line, "c": f"{name}-{k}-{line}"} for k in keys for line in (1, 2)
            ],
            "INSERT INTO notes VALUES (:a, :b, :c)": [
                {"a": k if k % 2 else None, "b": 1 if k % 2 else None, "c": f"{name} {k}"} for k in keys
            ],
        }.items():
            connection.execute(sa.text(statement), rows)
    return url


def _meaning(url: str) -> list[tuple[object, ...]]:
    """Return what every order is, whatever its key."""
    return sorted(asked(url, MEANING), key=repr)


def _broken_references(url: str) -> dict[str, int]:
    """Count, by SQL alone, the references whose parent does not exist."""
    found = {}
    with connected(url) as connection:
        inspector = sa.inspect(connection)
        quote = connection.dialect.identifier_preparer.quote
        for table in inspector.get_table_names():
            for fk in inspector.get_foreign_keys(table):
                pairs = list(zip(fk["constrained_columns"], fk["referred_columns"], strict=True))
                joined = " AND ".join(f"p.{quote(parent)} = c.{quote(child)}" for child, parent in pairs)
                given = " AND ".join(f"c.{quote(child)} IS NOT NULL" for child, _ in pairs)
                sql = (
                    f"SELECT count(*) FROM {quote(table)} c WHERE {given} AND NOT EXISTS "
                    f"(SELECT 1 FROM {quote(fk['referred_table'])} p WHERE {joined})"
                )
                if count := connection.exec_driver_sql(sql).scalar_one():
                    found[f"{table}.{fk['constrained_columns']}"] = count
    return found


@pytest.mark.parametrize("dialect", DIALECTS)
def test_everything_is_remapped_and_no_row_of_the_target_touched(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = _shop(databases, dialect, "left"), _shop(databases, dialect, "right", count=25)
    before, meant = exact_digest(target), sorted(_meaning(source) + _meaning(target), key=repr)
    package = export_all(source, tmp_path / "package.zip")
    receipt = import_into(package, target)
    assert written(receipt) == sum(exact_digest(source).rows.values())
    after = exact_digest(target)
    assert_contains(after, before)
    assert after.rows == {name: rows + exact_digest(source).rows[name] for name, rows in before.rows.items()}
    assert _broken_references(target) == {}
    assert _meaning(target) == meant


@pytest.mark.parametrize("dialect", DIALECTS)
def test_importing_twice_writes_nothing(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, target = _shop(databases, dialect, "left"), _shop(databases, dialect, "right")
    package = export_all(source, tmp_path / "package.zip")
    import_into(package, target)
    after = exact_digest(target)
    again = import_into(package, target)
    assert written(again) == 0
    assert_equal(after, exact_digest(target))
    assert dict(zip(again.summary["table"], again.summary["reused"], strict=True))["orders"] == 20


def test_receipts_list_tables_in_the_order_of_the_plan(databases: Databases, tmp_path: Path) -> None:
    source, target = _shop(databases, "sqlite", "left"), _shop(databases, "sqlite", "right")
    package = export_all(source, tmp_path / "package.zip")
    with dt.Database(target) as db:
        importer = dt.PackageImporter(package, db)
        with importer.plan() as plan:
            order = list(plan.counts)
        assert order.index("customers") < order.index("orders")
        first, again = importer.run(), importer.run()
        assert order != sorted(order)
        assert list(first.summary["table"]) == list(again.summary["table"]) == order
        undone = list(first.undo().summary["table"])
        assert undone == [name for name in order if name in undone]
        assert len(undone) > 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_id_map_leads_from_every_source_row_to_its_copy(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, target = _shop(databases, dialect, "left"), _shop(databases, dialect, "right")
    receipt = import_into(export_all(source, tmp_path / "package.zip"), target)
    mapped = receipt.id_map("orders")
    assert len(mapped) == mapped["source.id"].nunique() == mapped["target.id"].nunique() == 20
    with connected(source) as left, connected(target) as right:
        wanted = dict(left.exec_driver_sql("SELECT id, note FROM orders").all())
        found = dict(right.exec_driver_sql("SELECT id, note FROM orders").all())
    assert all(wanted[s] == found[t] for s, t in zip(mapped["source.id"], mapped["target.id"], strict=True))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_chinook_merges_into_another_chinook(
    library: Library, databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = library.url("chinook", dialect), library.copy(databases, "chinook", dialect)
    quote = "`" if dialect == "mariadb" else '"'
    with connected(target) as connection:  # other artists and tracks under the same keys
        for table, column in (("Artist", "Name"), ("Track", "Name"), ("Album", "Title"), ("Customer", "Email")):
            name = f"{quote}{column}{quote}"
            value = f"CONCAT('x', {name})" if dialect == "mariadb" else f"'x' || {name}"
            connection.exec_driver_sql(f"UPDATE {quote}{table}{quote} SET {name} = {value}")
    before = exact_digest(target)
    package = export_all(source, tmp_path / "package.zip")
    receipt = import_into(package, target)
    after = exact_digest(target)
    assert_contains(after, before)
    assert sum(after.rows.values()) == sum(before.rows.values()) + written(receipt)
    assert _broken_references(target) == {}
    assert written(import_into(package, target)) == 0


def test_matching_rows_are_reused_updated_or_refused(databases: Databases, tmp_path: Path) -> None:
    source, target = _shop(databases, "sqlite", "left"), _shop(databases, "sqlite", "left")
    with connected(target) as connection:
        connection.exec_driver_sql("UPDATE customers SET name = 'changed' WHERE id = 3")
    package = export_all(source, tmp_path / "package.zip")
    match_on = {"customers": ["email"]}
    skipping = databases.create("sqlite", template=target)
    receipt = import_into(package, skipping, match_on=match_on)
    row = receipt.summary.set_index("table").loc["customers"]
    assert (row["inserted"], row["reused"], row["skipped"]) == (0, 19, 1)
    updating = databases.create("sqlite", template=target)
    receipt = import_into(package, updating, match_on=match_on, on_match="update")
    assert receipt.summary.set_index("table").loc["customers"]["updated"] == 1
    with connected(updating) as connection:
        assert connection.exec_driver_sql("SELECT name FROM customers WHERE id = 3").scalar_one() == "left 3"
    before = exact_digest(target)
    with pytest.raises(dt.ConflictError):
        import_into(package, target, match_on=match_on, on_match="error")
    assert_equal(before, exact_digest(target))


def test_a_clash_is_refused_or_reused_as_asked(databases: Databases, tmp_path: Path) -> None:
    source, target = _shop(databases, "sqlite", "left"), _shop(databases, "sqlite", "left")
    package = export_all(source, tmp_path / "package.zip")
    before = exact_digest(target)
    with pytest.raises(dt.ConflictError):
        import_into(package, target)
    assert_equal(before, exact_digest(target))
    receipt = import_into(package, target, on_clash="reuse")
    assert receipt.summary.set_index("table").loc["customers"]["reused"] == 20
    assert _broken_references(target) == {}


def test_copies_get_uuids_of_their_own(databases: Databases, tmp_path: Path) -> None:
    source, target = _shop(databases, "sqlite", "left"), _shop(databases, "sqlite", "right")
    package = export_all(source, tmp_path / "package.zip")
    with connected(source) as connection:
        orders = connection.exec_driver_sql("SELECT count(*) FROM orders").scalar_one()
    import_into(package, target, identity="copy")
    with connected(target) as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM orders WHERE note LIKE 'left%'").scalar_one() == orders


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_package_of_a_copied_database_is_told_from_others(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, copied, other = (_shop(databases, dialect, name) for name in ("left", "left", "right"))
    package = export_all(source, tmp_path / "package.zip")

    def warnings(url: str, **options: object) -> list[str]:
        with dt.Database(url) as db, dt.PackageImporter(package, db).plan(**options) as plan:  # type: ignore[arg-type]
            return [warning for warning in plan.warnings if "looks like a copy" in warning]

    assert [warning.partition(":")[0] for warning in warnings(copied)] == ["customers, orders, items"]
    assert warnings(other) == []
    assert warnings(source) == []
    assert warnings(copied, identity="copy") == []
    everything = {"customers": ["email"], "orders": ["id"]}
    assert warnings(copied, match_on=everything) == []
    import_into(package, other)
    assert warnings(other) == []  # its receipts know the rows now


def test_a_target_that_knows_some_of_the_rows_is_no_copy(databases: Databases, tmp_path: Path) -> None:
    source, copied = _shop(databases, "sqlite", "left"), _shop(databases, "sqlite", "left")
    with connected(source) as connection:
        connection.exec_driver_sql("INSERT INTO customers VALUES (21, 'new@example.org', 'new')")
    with dt.Database(source) as db:
        builder = dt.PackageBuilder(db).add("customers").stop("orders.customer_id")
        customers = builder.build(tmp_path / "customers.zip", progress=False)
    package = export_all(source, tmp_path / "package.zip")
    for known in (False, True):
        with dt.Database(copied) as db, dt.PackageImporter(package, db).plan() as plan:
            assert any("looks like a copy" in warning for warning in plan.warnings) is not known
        import_into(customers, copied, match_on={"customers": ["email"]})


def test_a_large_package_beside_one_row_takes_no_time_that_grows_with_its_square(
    databases: Databases, tmp_path: Path
) -> None:
    source, target = databases.create("sqlite"), databases.create("postgresql")
    table = "CREATE TABLE t (id INTEGER PRIMARY KEY, v VARCHAR(20) UNIQUE)"
    with connected(source) as connection:
        connection.exec_driver_sql(table)
        rows = (
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000) SELECT i, 'v' || i FROM n"
        )
        connection.exec_driver_sql(f"INSERT INTO t {rows}")
    with connected(target) as connection:
        connection.exec_driver_sql(table)
        connection.exec_driver_sql("INSERT INTO t VALUES (1, 'own')")
    limited = make_url(target).update_query_dict({"options": "-c statement_timeout=6000"})
    receipt = import_into(export_all(source, tmp_path / "package.zip"), limited.render_as_string(hide_password=False))
    assert written(receipt) == 60000


def test_a_database_in_the_memory_of_an_engine_stays(databases: Databases, tmp_path: Path) -> None:
    source = _shop(databases, "sqlite", "left", count=3)
    package = export_all(source, tmp_path / "package.zip")
    engine = sa.create_engine("sqlite://")
    with engine.begin() as connection:
        for statement in SHOP.split(";"):
            connection.exec_driver_sql(statement)
        connection.exec_driver_sql("INSERT INTO customers VALUES (77, 'mine', 'mine')")
    with dt.Database(engine) as target:
        importer = dt.PackageImporter(package, target)
        importer.plan().discard()
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT id FROM customers").fetchall() == [(77,)]
        assert written(importer.run()) > 0
        with engine.connect() as connection:
            assert connection.exec_driver_sql("SELECT count(*) FROM customers").scalar_one() == 4
    engine.dispose()
