"""Foreign keys of several columns: NULL in part, leading back into their own table, sharing columns with others."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.transfer import DIALECTS, export_all, import_into, written


def _made(databases: Databases, dialect: str, *statements: str) -> str:
    url = databases.create(dialect)
    run(url, *";".join(statements).split(";"))
    return url


TO_TENANT = "FOREIGN KEY (tenant) REFERENCES tenants (id)"
TO_NODE = "FOREIGN KEY (tenant, up) REFERENCES nodes (tenant, id)"
TO_UNIT = "FOREIGN KEY (tenant, unit) REFERENCES units (tenant, number)"


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("order", [(TO_TENANT, TO_NODE), (TO_NODE, TO_TENANT)], ids=["tenant first", "node first"])
def test_a_tree_within_each_tenant_moves_with_its_tenant(
    databases: Databases, tmp_path: Path, dialect: str, order: tuple[str, str]
) -> None:
    schema = f"""
    CREATE TABLE tenants (id INTEGER PRIMARY KEY, name VARCHAR(9));
    CREATE TABLE nodes (tenant INTEGER NOT NULL, id INTEGER NOT NULL, up INTEGER, name VARCHAR(9),
        PRIMARY KEY (tenant, id), {", ".join(order)});
    """
    rows = """
    INSERT INTO tenants VALUES (1, 'a'), (2, 'b');
    INSERT INTO nodes VALUES (1, 1, NULL, 'root'), (1, 2, 1, 'leaf'), (1, 3, 2, 'deep'), (2, 1, NULL, 'other')
    """
    own = "INSERT INTO tenants VALUES (1, 'own'); INSERT INTO nodes VALUES (1, 1, NULL, 'own')"
    source, target = _made(databases, dialect, schema, rows), _made(databases, dialect, schema, own)
    package = export_all(source, tmp_path / "package.zip")
    receipt = import_into(package, target)
    found = asked(target, "SELECT tenant, id, up, name FROM nodes WHERE name <> 'own' ORDER BY tenant, id")
    assert found == [(2, 1, None, "root"), (2, 2, 1, "leaf"), (2, 3, 2, "deep"), (3, 1, None, "other")]
    assert asked(target, "SELECT tenant, id, up FROM nodes WHERE name = 'own'") == [(1, 1, None)]
    assert len(receipt.id_map("nodes")) == 4
    assert written(import_into(package, target, on_match="update")) == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_tree_whose_rows_need_no_tenant_keeps_what_refers_to_nothing(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    schema = f"CREATE TABLE nodes (id INTEGER PRIMARY KEY, tenant INTEGER, up INTEGER, UNIQUE (tenant, id), {TO_NODE})"
    rows = "INSERT INTO nodes VALUES (1, 7, NULL), (2, 7, 1), (3, NULL, 2), (4, 8, NULL), (5, NULL, NULL)"
    source = _made(databases, dialect, schema, rows)
    target = _made(databases, dialect, schema, "INSERT INTO nodes VALUES (1, 99, NULL)")
    package = export_all(source, tmp_path / "package.zip")
    import_into(package, target)
    found = asked(target, "SELECT id, tenant, up FROM nodes WHERE id > 1 ORDER BY id")
    assert found == [(2, 7, None), (3, 7, 2), (4, None, 2), (5, 8, None), (6, None, None)]
    assert written(import_into(package, target, on_match="update")) == 0


@pytest.mark.parametrize("dialect", ["sqlite", "mariadb"])
def test_a_receipt_tells_the_keys_of_rows_that_do_not_follow_a_parent(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    no_index = "" if dialect == "mariadb" else "--"
    schema = f"""
    CREATE TABLE units (id INTEGER PRIMARY KEY, kind INTEGER
        {no_index}, KEY (id, kind)
        );
    CREATE TABLE tools (unit INTEGER NOT NULL, slot INTEGER NOT NULL, kind INTEGER,
        PRIMARY KEY (unit, slot), FOREIGN KEY (unit, kind) REFERENCES units (id, kind));
    """
    rows = "INSERT INTO units VALUES (1, 5), (2, 6); INSERT INTO tools VALUES (1, 1, 5), (1, 2, NULL), (2, 1, 6)"
    source = _made(databases, dialect, schema, rows)
    target = _made(databases, dialect, schema, "INSERT INTO units VALUES (1, 0), (2, 0)")
    receipt = import_into(export_all(source, tmp_path / "package.zip"), target)
    there = {(1, 1): (3, 1), (1, 2): (1, 2), (2, 1): (4, 1)}
    assert sorted(asked(target, "SELECT unit, slot FROM tools")) == sorted(there.values())
    told = receipt.id_map("tools")
    assert {(row[0], row[1]): (row[2], row[3]) for row in told.itertuples(index=False)} == there


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("required", ["", "NOT NULL"], ids=["optional", "required"])
@pytest.mark.parametrize("order", [(TO_TENANT, TO_UNIT), (TO_UNIT, TO_TENANT)], ids=["tenant first", "unit first"])
def test_a_reference_that_becomes_null_leaves_the_columns_that_another_one_reads(
    databases: Databases, tmp_path: Path, dialect: str, order: tuple[str, str], required: str
) -> None:
    schema = f"""
    CREATE TABLE tenants (id INTEGER PRIMARY KEY, name VARCHAR(9));
    CREATE TABLE units (tenant INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (tenant, number), {TO_TENANT});
    CREATE TABLE jobs (id INTEGER PRIMARY KEY, tenant INTEGER {required}, unit INTEGER, {", ".join(order)});
    """
    rows = """
    INSERT INTO tenants VALUES (1, 'a'); INSERT INTO units VALUES (1, 2);
    INSERT INTO jobs VALUES (1, 1, 2), (2, 1, 9), (3, 1, NULL)
    """
    source = _made(databases, "sqlite", schema, rows)
    for orphans, into in (("keep", "null"), ("null", "error")):
        target = _made(databases, dialect, schema, "INSERT INTO tenants VALUES (1, 'own')")
        package = export_all(source, tmp_path / f"{orphans}.zip", on_orphan=orphans)
        import_into(package, target, on_orphan=into)
        assert asked(target, "SELECT tenant, unit FROM jobs ORDER BY id") == [(2, 2), (2, None), (2, None)]


def test_a_reference_whose_only_column_another_one_reads_is_refused_and_not_lost(
    databases: Databases, tmp_path: Path
) -> None:
    schema = """
    CREATE TABLE people (id INTEGER PRIMARY KEY); CREATE TABLE staff (id INTEGER PRIMARY KEY);
    CREATE TABLE jobs (id INTEGER PRIMARY KEY, owner INTEGER,
        FOREIGN KEY (owner) REFERENCES people (id), FOREIGN KEY (owner) REFERENCES staff (id));
    """
    rows = "INSERT INTO people VALUES (1), (2); INSERT INTO staff VALUES (1); INSERT INTO jobs VALUES (1, 1), (2, 2)"
    source, target = _made(databases, "sqlite", schema, rows), _made(databases, "sqlite", schema)
    with pytest.raises(dt.OrphanError, match=r"jobs\.owner.*read by other keys"):
        export_all(source, tmp_path / "null.zip", on_orphan="null")
    package = export_all(source, tmp_path / "keep.zip", on_orphan="keep")
    with pytest.raises(dt.OrphanError, match=r"jobs\.owner.*another foreign key"):
        import_into(package, target, on_orphan="null")
    assert asked(target, "SELECT * FROM jobs") == []
    import_into(package, target, on_orphan="keep")  # the same columns refer to two tables here, as there
    assert asked(target, "SELECT * FROM jobs") == [(1, 1), (2, 2)]


def test_a_parent_cannot_be_left_out_by_a_column_that_another_reference_reads(databases: Databases) -> None:
    schema = f"""
    CREATE TABLE tenants (id INTEGER PRIMARY KEY);
    CREATE TABLE units (tenant INTEGER NOT NULL, number INTEGER NOT NULL, PRIMARY KEY (tenant, number));
    CREATE TABLE jobs (id INTEGER PRIMARY KEY, tenant INTEGER, unit INTEGER, {TO_TENANT}, {TO_UNIT});
    """
    rows = "INSERT INTO tenants VALUES (1); INSERT INTO units VALUES (1, 2); INSERT INTO jobs VALUES (1, 1, 2)"
    with dt.Database(_made(databases, "sqlite", schema, rows)) as db:
        with pytest.raises(dt.SelectionError, match="no other one reads"):
            dt.PackageBuilder(db).add("jobs").null("jobs.tenant").preview()
        dt.PackageBuilder(db).add("jobs").null("jobs.(tenant, unit)").preview()


def test_a_column_of_two_references_follows_the_one_that_refers_to_something(
    databases: Databases, tmp_path: Path
) -> None:
    schema = """
    CREATE TABLE units (id INTEGER PRIMARY KEY, kind INTEGER, UNIQUE (id, kind));
    CREATE TABLE parts (id INTEGER PRIMARY KEY, unit INTEGER, kind INTEGER, other INTEGER,
        FOREIGN KEY (unit, kind) REFERENCES units (id, kind), FOREIGN KEY (unit, other) REFERENCES units (id, kind));
    """
    rows = """
    INSERT INTO units VALUES (1, 5);
    INSERT INTO parts VALUES (1, 1, 5, NULL), (2, 1, NULL, 5), (3, 1, 5, 5), (4, 1, NULL, NULL), (5, NULL, 5, 5)
    """
    source = _made(databases, "sqlite", schema, rows)
    target = _made(databases, "sqlite", schema, "INSERT INTO units VALUES (1, 0)")
    import_into(export_all(source, tmp_path / "package.zip"), target)
    found = asked(target, "SELECT unit, kind, other FROM parts ORDER BY id")
    assert found == [(2, 5, None), (2, None, 5), (2, 5, 5), (1, None, None), (None, 5, 5)]
