"""Keys that are of another type in the target: whose rows they are stays known, there, here and in between."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.servers import Databases
from tests.support.sql import run
from tests.support.transfer import DIALECTS, export_all

#: How each database keeps the keys of one kind.
TYPES = {
    "numbers": {"sqlite": "INTEGER", "postgresql": "numeric(12, 0)", "mariadb": "INT"},
    "decimals": {"sqlite": "DECIMAL(12, 2)", "postgresql": "numeric(12, 2)", "mariadb": "DECIMAL(14, 4)"},
    "uuids": {"sqlite": "CHAR(32)", "postgresql": "uuid", "mariadb": "UUID"},
    "truths": {"sqlite": "BOOLEAN", "postgresql": "boolean", "mariadb": "BOOLEAN"},
    "days": {"sqlite": "DATE", "postgresql": "date", "mariadb": "DATETIME"},
    "moments": {"sqlite": "DATETIME", "postgresql": "timestamp", "mariadb": "DATETIME(6)"},
    "words": {"sqlite": "TEXT", "postgresql": "char(12)", "mariadb": "CHAR(12)"},
}
ROWS = {
    "numbers": ("1", "2"),
    "decimals": ("1.5", "2.25"),
    "uuids": ("'0123456789ab4def8123456789abcdef'", "'fedcba9876544210b123456789abcdef'"),
    "truths": ("false", "true"),
    "days": ("'2020-01-02'", "'2020-01-03'"),
    "moments": ("'2020-01-02 03:04:05'", "'2020-01-03 03:04:05.5'"),
    "words": ("'a'", "'ä b'"),
}
PAIRS = [pair for pair in itertools.product(DIALECTS, DIALECTS) if pair[0] != pair[1]]


def make(databases: Databases, dialect: str, *, filled: bool = False) -> str:
    """Return a database with a table of each kind of key and one that refers to it."""
    url = databases.create(dialect)
    for kind, types in TYPES.items():
        declared = types[dialect]
        below = f"above {declared}, FOREIGN KEY (above) REFERENCES {kind} (id)"
        run(
            url, f"CREATE TABLE {kind} (id {declared} NOT NULL PRIMARY KEY, name VARCHAR(9))",
            f"CREATE TABLE of_{kind} (id INTEGER PRIMARY KEY, {below})",
        )  # fmt: skip
        for number, value in enumerate(ROWS[kind] if filled else ()):
            run(url, f"INSERT INTO {kind} VALUES ({value}, 'n{number}')",
                f"INSERT INTO of_{kind} VALUES ({number}, {value})")  # fmt: skip
    return url


def actions(package: dt.DataPackage, target: dt.Database) -> dict[str, list[str]]:
    """Return what an import would do with the rows of each table."""
    with dt.PackageImporter(package, target).plan() as plan:
        return {name: list(plan.to_frame(name)["action"]) for name in package.schema.tables}


@pytest.mark.parametrize(("there", "here"), PAIRS)
def test_rows_keep_their_identity_whatever_their_keys_become(
    databases: Databases, tmp_path: Path, there: str, here: str
) -> None:
    source, target = make(databases, there, filled=True), make(databases, here)
    package = export_all(source, tmp_path / "p.zip")
    with dt.Database(source) as home, dt.Database(target) as db:
        dt.PackageImporter(package, db).run()
        assert package.diff(db).empty
        back = export_all(target, tmp_path / "back.zip")
        assert set(back.manifest["entity_uuid"]) == set(package.manifest["entity_uuid"])
        assert back.diff(package).empty
        for came, where in ((package, db), (back, home), (back, db)):
            assert {action for found in actions(came, where).values() for action in found} == {"reuse"}


def test_rows_that_went_round_are_known_where_they_came_from(databases: Databases, tmp_path: Path) -> None:
    urls = [make(databases, dialect, filled=dialect == "sqlite") for dialect in ("sqlite", "postgresql", "mariadb")]
    packages = [export_all(urls[0], tmp_path / "0.zip")]
    for number, url in enumerate(urls[1:], 1):
        with dt.Database(url) as db:
            dt.PackageImporter(packages[-1], db).run()
        packages.append(export_all(url, tmp_path / f"{number}.zip"))
    for package in packages:
        assert set(package.manifest["entity_uuid"]) == set(packages[0].manifest["entity_uuid"])
        for url in urls:
            with dt.Database(url) as db:
                assert {action for found in actions(package, db).values() for action in found} == {"reuse"}
                assert package.diff(db).empty


@pytest.mark.parametrize("here", ["postgresql", "mariadb"])
def test_an_undo_takes_back_rows_whose_keys_changed(databases: Databases, tmp_path: Path, here: str) -> None:
    source, target = make(databases, "sqlite", filled=True), make(databases, here)
    package = export_all(source, tmp_path / "p.zip")
    with dt.Database(target) as db:
        importer = dt.PackageImporter(package, db)
        receipt = importer.run()
        run(
            target,
            "UPDATE uuids SET name = 'mine' WHERE name = 'n0'",
            "UPDATE days SET name = 'mine' WHERE name = 'n1'",
        )
        receipt.undo(keep_edited=True)
        with importer.plan() as plan:
            for name in ("uuids", "days"):
                assert sorted(plan.to_frame(name)["action"]) == ["insert", "skip"]
