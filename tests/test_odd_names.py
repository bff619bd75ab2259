"""Tables and columns whose names no package can hold, which SQLite allows: refused by the name of the table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.errors import SelectionError
from tests.support.commands import complaint, make, said


def unnamed(folder: Path, script: str) -> str:
    make(folder / "odd.db", script)
    return f"sqlite:///{folder / 'odd.db'}"


COLUMN = "CREATE TABLE t (id INTEGER PRIMARY KEY, \"\" TEXT, x TEXT); INSERT INTO t VALUES (1, 'a', 'b');"
KEY = "CREATE TABLE t (\"\" INTEGER PRIMARY KEY, x TEXT); INSERT INTO t VALUES (1, 'b');"
CHILD = "CREATE TABLE c (id INTEGER PRIMARY KEY, t INTEGER REFERENCES t); INSERT INTO c VALUES (7, 1);"
TABLE = 'CREATE TABLE "" (id INTEGER PRIMARY KEY); INSERT INTO "" VALUES (1);'


@pytest.mark.parametrize(
    ("script", "where", "cure"),
    [(COLUMN, "t", 'leave_out("t.")'), (KEY, "t", "rename the column"), (COLUMN + CHILD, "t", "rename the column"),
     (KEY + CHILD, "t", "rename the column"), (TABLE, "''", "rename the table")],
)  # fmt: skip
def test_what_has_no_name_is_refused_by_the_name_of_its_table(
    tmp_path: Path, script: str, where: str, cure: str
) -> None:
    with dt.Database(unnamed(tmp_path, script)) as db:
        assert db.tables["rows"].sum() >= 1
        builder = dt.PackageBuilder(db)
        builder = builder.add("c", keys=[7]) if CHILD in script else builder.add_all()
        for refused in (builder.preview, lambda: builder.build(tmp_path / "p.zip", progress=False)):
            with pytest.raises(SelectionError, match="a package cannot hold") as caught:
                refused()
            assert (caught.value.where, cure in caught.value.hint) == (where, True)
            assert ('leave_out("t.")' in caught.value.hint) == (COLUMN in script)
    assert [path.name for path in tmp_path.iterdir()] == ["odd.db"]


def test_a_column_without_a_name_can_be_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target, package = unnamed(tmp_path, COLUMN), f"sqlite:///{tmp_path / 'copy.db'}", str(tmp_path / "p.zip")
    make(tmp_path / "copy.db", COLUMN + "DELETE FROM t;")
    assert "--leave-out t." in complaint(capsys, "export", source, package, "--all", code=4)
    assert main_with_warnings(capsys, "export", source, package, "--all", "--leave-out", "t.") == []
    assert "1 row written" in said(capsys, "import", package, target)
    with dt.Database(target) as db:
        assert db.count("t") == 1


def test_tables_with_names_can_be_taken_beside_one_without(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = unnamed(tmp_path, COLUMN + "CREATE TABLE u (id INTEGER PRIMARY KEY); INSERT INTO u VALUES (1);" + TABLE)
    assert "1 row of 1 table" in said(capsys, "export", source, str(tmp_path / "p.zip"), "--table", "u")
    assert "3 rows" not in said(capsys, "tables", source)


def main_with_warnings(capsys: pytest.CaptureFixture[str], *typed: str) -> list[Any]:
    """Run a command with ``--json`` and return its warnings."""
    return list(json.loads(said(capsys, *typed, "--json")).get("warnings", []))
