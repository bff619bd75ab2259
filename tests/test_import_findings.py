"""Values that the target's columns do not take: found by the plan, counted, and told all at once."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import datatransfer as dt
from datatransfer.errors import SchemaMismatchError, ValueLossError
from datatransfer.importing.losses import failing
from datatransfer.package.convert import converter
from datatransfer.schema.values import LogicalType
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS, export_all

SOURCE = "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(60), size INTEGER, day VARCHAR(60), note VARCHAR(60))"


def _make(databases: Databases, dialect: str, *statements: str) -> str:
    url = databases.create(dialect)
    engine = sa.create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()
    return url


def _package(databases: Databases, path: Path, *rows: str) -> dt.DataPackage:
    source = _make(databases, "sqlite", SOURCE, *(f"INSERT INTO t VALUES {row}" for row in rows))
    return export_all(source, path / "package.zip")


def _refused(package: dt.DataPackage, url: str, **options: object) -> dt.DataTransferError:
    before = exact_digest(url)
    with dt.Database(url) as target, pytest.raises((SchemaMismatchError, ValueLossError)) as caught:
        dt.PackageImporter(package, target).plan(**options)  # type: ignore[arg-type]
    assert_equal(before, exact_digest(url))
    return caught.value


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_all_values_that_do_not_fit_are_told_at_once(dialect: str, databases: Databases, tmp_path: Path) -> None:
    package = _package(
        databases, tmp_path, "(1, 'longer', 40000, '2026-01-01', NULL)", "(2, 'longest', 1, 'no day', 'x')",
        "(3, 'short', -40000, NULL, NULL)",
    )  # fmt: skip
    target = "CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(5), size SMALLINT, day DATE, note TEXT NOT NULL)"
    error = _refused(package, _make(databases, dialect, target, "INSERT INTO t VALUES (9, 'a', 1, NULL, 'b')"))
    assert isinstance(error, SchemaMismatchError)
    found = {(f["where"], f["code"], f["rows"]) for f in error.evidence["findings"]}
    assert found == {
        ("t.name", "value-loss", 2), ("t.size", "value-loss", 2), ("t.day", "value-loss", 1), ("t.note", "null", 2),
    }  # fmt: skip
    assert "2 rows" in str(error)
    assert all(value not in str(error) for value in ("longest", "no day", "40000"))


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("there", [True, False], ids=["beside-others", "into-an-empty-table"])
def test_a_null_in_a_required_column_is_a_finding(
    dialect: str, there: bool, databases: Databases, tmp_path: Path
) -> None:
    package = _package(databases, tmp_path, "(1, NULL, 1, NULL, NULL)", "(2, 'a', 1, NULL, NULL)")
    more = ["INSERT INTO t VALUES (9, 'a', 1, NULL, 'b')"] if there else []
    error = _refused(
        package, _make(databases, dialect, SOURCE.replace("name VARCHAR(60)", "name VARCHAR(60) NOT NULL"), *more)
    )
    assert isinstance(error, SchemaMismatchError)
    assert "t.name: is required in the target, and NULL in 1 row" in str(error)


def test_a_null_in_a_row_that_is_not_written_is_none(databases: Databases, tmp_path: Path) -> None:
    package = _package(databases, tmp_path, "(1, NULL, 1, NULL, NULL)", "(2, 'a', 1, NULL, NULL)")
    required = SOURCE.replace("name VARCHAR(60)", "name VARCHAR(60) NOT NULL")
    target = _make(databases, "sqlite", required, "INSERT INTO t VALUES (9, 'kept', 1, NULL, NULL)")
    options = {"match_on": {"t": ["id"]}}
    _refused(package, target, **options)
    with sa.create_engine(target, poolclass=NullPool).begin() as connection:
        connection.exec_driver_sql("UPDATE t SET id = 1")
    with dt.Database(target) as db, dt.PackageImporter(package, db).plan(**options) as plan:  # type: ignore[arg-type]
        assert plan.counts["t"] == {"skip": 1, "insert": 1}
    _refused(package, target, on_match="update", **options)


@pytest.mark.parametrize("dialect", ["mariadb"])
def test_texts_that_are_limited_in_bytes_are_measured(dialect: str, databases: Databases, tmp_path: Path) -> None:
    package = _package(databases, tmp_path, f"(1, '{'ä' * 200}', 1, NULL, NULL)", "(2, 'a', 1, NULL, NULL)")
    error = _refused(package, _make(databases, dialect, SOURCE.replace("name VARCHAR(60)", "name TINYTEXT")))
    assert isinstance(error, ValueLossError)
    assert (error.where, error.evidence["findings"][0]["rows"]) == ("t.name", 1)
    assert "255 bytes" in error.message


def test_failing_values_are_counted_until_that_takes_too_long() -> None:
    change = converter(LogicalType("text"), LogicalType("date"))
    assert failing(pa.array(["2026-01-01"] * 5000 + ["x", "y"]), change) == (2, True)
    rows, exact = failing(pa.array(["x"] * 5000), change)
    assert (0 < rows < 5000, exact) == (True, False)


@pytest.mark.parametrize(
    ("values", "source", "target", "rows"),
    [
        ([1, 300, -1, None], LogicalType("integer", bits=64), LogicalType("integer", bits=8, unsigned=True), 2),
        (
            [2**64 - 1, 3],
            LogicalType("integer", bits=64, unsigned=True),
            LogicalType("integer", bits=64, unsigned=True),
            0,
        ),
        (["1.234", "5", None], LogicalType("decimal"), LogicalType("decimal", precision=3, scale=1), 1),
        (["ab", "a", None, "abc"], LogicalType("text"), LogicalType("text", length=1), 2),
        ([b"ab", b"a"], LogicalType("bytes"), LogicalType("bytes", length=1), 1),
    ],
)
def test_a_loss_says_in_how_many_rows(
    values: list[object], source: LogicalType, target: LogicalType, rows: int
) -> None:
    array = pa.array(values, type=source.arrow())
    if not rows:
        assert converter(source, target)(array).equals(array)
        return
    with pytest.raises(ValueLossError) as caught:
        converter(source, target)(array)
    assert caught.value.evidence["rows"] == rows
