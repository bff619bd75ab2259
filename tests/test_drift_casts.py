"""Casts: values become another kind as far as they can, and what changes is counted."""

from __future__ import annotations

import datetime as dtm
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer import errors
from tests.support.drift import NOON, make, rows_of
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.transfer import export_all

CASTS: dict[str, tuple[Any, list[Any], Any, str, list[Any], int]] = {
    "floats to integers": (
        sa.Double(), [0.5, 1.5, -2.5, 3.0, None], sa.BigInteger(), "integer", [1, 2, -3, 3, None], 3
    ),
    "decimals to fewer digits": (
        sa.Numeric(20, 4), [Decimal("1.0050"), Decimal("-1.0051"), Decimal("9007199254740993.1000"), None],
        sa.Numeric(20, 2), "decimal", [Decimal("1.01"), Decimal("-1.01"), Decimal("9007199254740993.10"), None], 2,
    ),
    "decimals to integers": (
        sa.Numeric(20, 2), [Decimal("9007199254740993.50"), Decimal("-0.49"), Decimal("7.00")],
        sa.BigInteger(), "integer", [9007199254740994, 0, 7], 2,
    ),
    "texts cut": (sa.String(50), ["äöüß-long", "kurz", "", None], sa.String(4), "text", ["äöüß", "kurz", "", None], 1),
    "moments to days": (
        sa.DateTime(), [NOON, dtm.datetime(1960, 5, 5), None],
        sa.Date(), "date", [NOON.date(), dtm.date(1960, 5, 5), None], 1,
    ),
    "texts to integers": (sa.String(20), ["7", " 8 ", "9.5", None], sa.Integer(), "integer", [7, 8, 10, None], 1),
    "numbers to truth": (sa.Integer(), [0, 1, 7, None], sa.Boolean(), "boolean", [False, True, True, None], 1),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "target_dialect"),
    # MariaDB has no truth values
    [(name, db) for name in CASTS for db in ("postgresql", "mariadb") if (name, db) != ("numbers to truth", "mariadb")],
)
def test_a_cast_changes_what_it_must_and_counts_it(
    name: str, target_dialect: str, databases: Databases, tmp_path: Path
) -> None:
    source_type, values, target_type, kind, wanted, changed = CASTS[name]
    source, url = databases.create("postgresql"), databases.create(target_dialect)
    rows = [{"id": i, "v": v} for i, v in enumerate(values)]
    make(source, {"t": {"id": [sa.Integer(), "pk"], "v": [source_type]}}, {"t": rows})
    make(url, {"t": {"id": [sa.Integer(), "pk"], "v": [target_type]}})
    package = export_all(source, tmp_path / "t.zip")
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        with pytest.raises(errors.DataTransferError):
            importer.run()
        receipt = importer.run(cast={"t": {"v": kind}})
        full = sum(v is not None for v in values)
        assert f"t.v: {changed} of {full} values changed by the cast to {kind}" in receipt.warnings
        stored = list(dt.receipt(target, receipt.import_id).warnings)
        assert stored == list(receipt.warnings)
        assert importer.run(cast={"t": {"v": kind}}).total("reuse") == len(values)
    assert [v for (v,) in rows_of(url, "t", "v")] == wanted


@pytest.mark.parametrize(
    ("source_type", "value", "target_type", "kind"),
    [
        (sa.String(20), "no number", sa.Integer(), "integer"),
        (sa.Double(), 1e12, sa.Integer(), "integer"),
        (sa.Double(), float("nan"), sa.Integer(), "integer"),
        (sa.Numeric(12, 2), Decimal("1234567.00"), sa.Numeric(6, 2), "decimal"),
        (sa.String(20), "some day", sa.Date(), "date"),
        (sa.BigInteger(), 70_000, sa.SmallInteger(), "integer"),
    ],
)
def test_what_cannot_become_the_other_kind_is_refused_and_may_be_left_out(
    source_type: Any, value: Any, target_type: Any, kind: str, databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create("postgresql"), databases.create("postgresql")
    make(source, {"t": {"id": [sa.Integer(), "pk"], "v": [source_type]}}, {"t": [{"id": 1, "v": value}]})
    make(url, {"t": {"id": [sa.Integer(), "pk"], "v": [target_type]}})
    package = export_all(source, tmp_path / "t.zip")
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        with pytest.raises(errors.ValueLossError, match="drop") as caught:
            importer.run(cast={"t": {"v": kind}})
        assert str(value) not in str(caught.value)
        cure = eval(f"dict({caught.value.evidence['findings'][0]['cure']})")
        assert importer.run(**cure).total("insert") == 1


@pytest.mark.parametrize(
    ("declared", "dialect", "there", "said"),
    [
        ("BIT(5)", "mariadb", "TINYINT", "widened: the target takes more: bits 5 unsigned → 8"),
        ("BIT(5)", "mariadb", "BIT(5)", ""),
        ("BIT(5)", "postgresql", "smallint", "widened: the target takes more: bits 5 unsigned → 16"),
        ("BIT(8)", "mariadb", "TINYINT UNSIGNED", ""),
        ("BIT(8)", "mariadb", "TINYINT", "narrowed: the target keeps less: bits 8 unsigned → 8"),
        ("BIT(64)", "postgresql", "bigint", "narrowed: the target keeps less: bits 64 unsigned → 64"),
        ("BIT(64)", "mariadb", "BIGINT UNSIGNED", ""),
        ("INT UNSIGNED", "mariadb", "INT", "narrowed: the target keeps less: bits 32 unsigned → 32"),
        ("INT", "mariadb", "BIGINT UNSIGNED", "narrowed: the target keeps less: bits 32 → 64 unsigned"),
        ("TINYINT", "mariadb", "INT", "widened: the target takes more: bits 8 → 32"),
        ("TINYINT", "mariadb", "BIT(5)", "narrowed: the target keeps less: bits 8 → 5 unsigned"),
    ],
)
def test_ranges_of_integers_are_compared_with_their_signs(
    declared: str, dialect: str, there: str, said: str, databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create("mariadb"), databases.create(dialect)
    run(source, f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {declared})", "INSERT INTO t VALUES (1, 0), (2, 31)")
    run(url, f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {there})")
    with dt.Database(url) as target:
        importer = dt.PackageImporter(export_all(source, tmp_path / "p.zip"), target)
        report = importer.check()
        assert report.ok
        assert [f"{f.code}: {f.message}" for f in report if f.where == "t.v"] == ([said] if said else [])
        importer.run()
    shown = "v + 0" if dialect == "mariadb" else "v"
    assert asked(url, f"SELECT {shown} FROM t ORDER BY id") == [(0,), (31,)]


def test_a_number_of_more_bits_than_the_target_has_is_refused_by_name(databases: Databases, tmp_path: Path) -> None:
    source, url = databases.create("sqlite"), databases.create("mariadb")
    run(source, "CREATE TABLE t (id INTEGER PRIMARY KEY, v INTEGER)", "INSERT INTO t VALUES (1, 31), (2, 32), (3, -1)")
    run(url, "CREATE TABLE t (id INTEGER PRIMARY KEY, v BIT(5))")
    with dt.Database(url) as target:
        importer = dt.PackageImporter(export_all(source, tmp_path / "p.zip"), target)
        with pytest.raises(errors.ValueLossError, match=r"^t\.v: an integer does not fit 5 bits, in 2 rows"):
            importer.run()
    assert asked(url, "SELECT count(*) FROM t") == [(0,)]
