"""Tables without columns, and other things that no reader would open: said by name, and no file is left."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.errors import PackageError, UnknownTableError
from datatransfer.exporting.plan import as_json
from datatransfer.package.package import DataPackage
from tests.support.commands import make
from tests.support.packages import table, write
from tests.support.scripts import run_script
from tests.support.servers import Databases

PLACES = pytest.mark.parametrize("place", ["package.zip", "folder"])


@pytest.fixture
def nothing(databases: Databases) -> str:
    """Return a database of PostgreSQL with a table that has rows and no columns, and another."""
    url = databases.create("postgresql")
    run_script(url, "CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; CREATE TABLE t (id INT PRIMARY KEY);"
                    "INSERT INTO t VALUES (1)")  # fmt: skip
    return url


@PLACES
@pytest.mark.parametrize("encoding", ["documents", "columns"])
def test_a_table_without_columns_is_left_out_and_said(nothing: str, tmp_path: Path, place: str, encoding: Any) -> None:
    heard: list[Any] = []
    with dt.Database(nothing) as db:
        builder = dt.PackageBuilder(db).add_all()
        warnings = [(w.code, w.where) for w in builder.preview().warnings]
        with builder.build(tmp_path / place, encoding=encoding, progress=heard.append) as package:
            assert list(package) == ["t"]
        assert db.left_out.values.tolist()[0][:2] == ["nothing", "table without columns"]
    assert warnings == [("left_out", "nothing")]
    assert [one.where for one in heard if isinstance(one, dt.Warned)] == ["nothing"]
    assert DataPackage.open(tmp_path / place).verify().findings == ()


def test_a_table_without_columns_cannot_be_asked_for(nothing: str) -> None:
    with dt.Database(nothing) as db, pytest.raises(UnknownTableError, match="table without columns") as caught:
        dt.PackageBuilder(db).add("nothing")
    assert caught.value.where == "nothing"


@PLACES
@pytest.mark.parametrize("encoding", ["documents", "columns"])
def test_what_no_reader_would_open_is_not_put_into_place(tmp_path: Path, place: str, encoding: Any) -> None:
    for one in (table("t", {}, key=()), table("t", {"id": "integer", "": "text"}), table("", {"id": "integer"})):
        with pytest.raises(PackageError):
            write(tmp_path / place, [(one, [])], encoding=encoding)
        assert list(tmp_path.iterdir()) == []


@PLACES
def test_numbers_of_a_condition_that_json_cannot_hold_leave_a_readable_package(tmp_path: Path, place: str) -> None:
    make(tmp_path / "s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1);")
    with dt.Database(f"sqlite:///{tmp_path / 's.db'}") as db:
        builder = dt.PackageBuilder(db).add("t", where="id < :most", params={"most": 10**30})
        with builder.build(tmp_path / place, progress=False) as package:
            assert len(package["t"].to_frame()) == 1
            assert package.metadata.selection["roots"][0]["params"]["most"] == {"type": "int", "value": str(10**30)}
    assert as_json(2**63 - 1) == 2**63 - 1


@PLACES
def test_a_description_that_is_too_long_to_be_read_leaves_no_package(tmp_path: Path, place: str) -> None:
    make(tmp_path / "s.db", "CREATE TABLE t (id INTEGER PRIMARY KEY);")
    before = sorted(tmp_path.iterdir())
    with dt.Database(f"sqlite:///{tmp_path / 's.db'}") as db, pytest.raises(PackageError, match="are allowed"):
        dt.PackageBuilder(db).add_all().build(tmp_path / place, progress=False, description="x" * 2**25)
    assert sorted(tmp_path.iterdir()) == before
