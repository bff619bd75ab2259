"""A database of PostgreSQL has other schemas: what is not taken of them is said, and how it can be."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.cli.wording import as_typed
from datatransfer.errors import SelectionError, UnknownTableError
from tests.support.commands import complaint, said, told
from tests.support.scripts import run_script
from tests.support.servers import Databases

SALES = """CREATE SCHEMA sales; CREATE TABLE sales.b (id INT PRIMARY KEY); CREATE TABLE sales.c (id INT PRIMARY KEY);
CREATE TABLE sales.seen (id INT PRIMARY KEY); CREATE SCHEMA "Old ones"; CREATE TABLE "Old ones".d (id INT PRIMARY KEY);
CREATE SCHEMA bare; CREATE VIEW bare.v AS SELECT 1; CREATE TABLE sales.alembic_version (version_num VARCHAR(32));
CREATE SCHEMA whole; CREATE TABLE whole.e (id INT PRIMARY KEY)"""
HOME = "CREATE TABLE a (id INT PRIMARY KEY, e INT REFERENCES whole.e, s INT REFERENCES sales.seen)"
OLD = '1 table is not taken; schema="Old ones" takes it'
NEW = '2 tables are not taken; schema="sales" takes it'


@pytest.fixture
def url(databases: Databases) -> str:
    made = databases.create("postgresql")
    run_script(made, f"{SALES}; {HOME}; INSERT INTO whole.e VALUES (1); INSERT INTO a VALUES (1, 1, NULL)")
    return made


def test_other_schemas_are_named_with_what_is_not_taken_of_them(url: str) -> None:
    with dt.Database(url) as db:
        found = dt.PackageBuilder(db).add_all().preview()
        assert [(w.where, w.message) for w in found.warnings] == [("Old ones", f"schema: {OLD}"),
                                                                  ("sales", f"schema: {NEW}")]  # fmt: skip
        assert dt.PackageBuilder(db).add("whole.e").preview().warnings == ()  # nobody asked for everything
    with dt.Database(url, schema="sales") as db:
        assert set(db.schema.tables) == {"b", "c", "seen"}
        assert "public" in db.left_out["name"].tolist()


def test_the_command_line_says_how_to_take_them(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = "2 tables are not taken; --schema sales takes it"
    warnings = told(capsys, "export", url, str(tmp_path / "p.zip"), "--all", "--preview")["warnings"]
    assert warnings[1]["message"] == f"schema: {shown}"
    assert shown in said(capsys, "tables", url)
    assert told(capsys, "tables", url)["left_out"][1]["reason"] == shown
    assert as_typed(OLD) == "1 table is not taken; --schema 'Old ones' takes it"


def test_many_schemas_are_counted(databases: Databases) -> None:
    url = databases.create("postgresql")
    tenants = "; ".join(f"CREATE SCHEMA t{n:02}; CREATE TABLE t{n:02}.x (id INT)" for n in range(14))
    run_script(url, tenants)
    with dt.Database(url) as db:
        rows = db.left_out.values.tolist()
    assert len(rows) == 11
    assert ["4 more schemas", "schema", "4 tables are not taken"] in rows


def test_an_empty_schema_is_not_taken_for_an_empty_database(
    databases: Databases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = databases.create("postgresql")
    run_script(url, "CREATE SCHEMA sales; CREATE TABLE sales.b (id INT PRIMARY KEY)")
    with dt.Database(url) as db:
        with pytest.raises(SelectionError, match="no tables to take") as caught:
            dt.PackageBuilder(db).add_all().preview()
        assert 'schema="sales"' in caught.value.hint
        for name in ("b", "sales.b"):
            with pytest.raises(UnknownTableError, match='schema="sales"'):
                dt.PackageBuilder(db).add(name)
    assert "--schema sales" in complaint(capsys, "export", url, str(tmp_path / "p.zip"), "--all", code=4)
