"""Rows that came as copies are rows of their own: what keeps its identity is not looked for among them."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.transfer import DIALECTS, export_all


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_update_goes_to_the_row_that_kept_its_identity(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, target = databases.create("sqlite"), databases.create(dialect)
    tables = (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, v INTEGER)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p_id INTEGER NOT NULL REFERENCES p (id))",
    )
    run(source, *tables, "INSERT INTO p VALUES (1, 1)")
    run(target, *tables)
    package = export_all(source, tmp_path / "p.zip")
    with dt.Database(target) as db:
        dt.PackageImporter(package, db).run()
        dt.PackageImporter(package, db).run(identity="copy")
        run(source, "UPDATE p SET v = 2", "INSERT INTO c VALUES (1, 1)")
        newer = export_all(source, tmp_path / "newer.zip")
        dt.PackageImporter(newer, db).run(on_match="update")
        assert asked(target, "SELECT id, v FROM p ORDER BY id") == [(1, 2), (2, 1)]
        assert asked(target, "SELECT p_id FROM c") == [(1,)]
        assert package.diff(db)["change"].value_counts().to_dict() == {"changed": 1, "added": 2}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_child_finds_its_parent_among_copies_where_there_is_no_other(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = databases.create("sqlite"), databases.create(dialect)
    tables = (
        "CREATE TABLE p (id INTEGER PRIMARY KEY, v INTEGER)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, p_id INTEGER REFERENCES p (id))",
    )
    run(source, *tables, "INSERT INTO p VALUES (1, 1)", "INSERT INTO c VALUES (1, 1)")
    run(target, *tables, "INSERT INTO p VALUES (1, 7)")
    with dt.Database(source) as home, dt.Database(target) as db:
        parents = dt.PackageBuilder(home).add("p").stop("c.p_id")
        dt.PackageImporter(parents.build(tmp_path / "p.zip", progress=False), db).run(identity="copy")
        children = dt.PackageBuilder(home).add("c").stop("c.p_id", direction="up")
        package = children.build(tmp_path / "c.zip", progress=False, on_orphan="keep")
        dt.PackageImporter(package, db).run()
    assert asked(target, "SELECT p_id FROM c") == asked(target, "SELECT id FROM p WHERE v = 1")
