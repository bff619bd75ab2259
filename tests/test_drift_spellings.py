"""Package and target that spell names otherwise: tables and columns are found again, and nothing is guessed quietly."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.cli import main
from datatransfer.importing.checking import SchemaReport
from tests.support.digest import assert_equal, exact_digest
from tests.support.forms import package_of
from tests.support.loaders import make_stock_chinook, sqlite_copy
from tests.support.servers import Databases
from tests.support.spellings import CAMEL, ROWS, SNAKE, made
from tests.support.sql import asked


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> Path:
    return package_of(made(databases, *CAMEL), tmp_path / "camel.zip")


def proposed(package: Path, url: str) -> dt.Mapping:
    """Return what is proposed, until nothing more is."""
    with dt.DataPackage.open(package) as opened, dt.Database(url) as target:
        importer, mapping = dt.PackageImporter(opened, target), dt.Mapping()
        while proposals := importer.check(mapping=mapping).proposals:
            mapping |= proposals
        assert importer.check(mapping=mapping).ok
        return mapping


def report_of(databases: Databases, tmp_path: Path, source: list[str], there: list[str]) -> SchemaReport:
    tmp_path.mkdir(exist_ok=True)
    package = package_of(made(databases, *source), tmp_path / "p.zip")
    with dt.DataPackage.open(package) as opened, dt.Database(made(databases, *there)) as target:
        return dt.PackageImporter(opened, target).check()


def test_names_in_another_spelling_are_proposed_and_the_import_works(
    dialect: str, databases: Databases, package: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url, again = made(databases, *SNAKE, dialect=dialect), made(databases, *SNAKE, dialect=dialect)
    mapping = proposed(package, url)
    assert mapping.rename_tables == {"MediaTypes": "media_type", "Playlist Track": "playlist_track"}
    assert mapping.rename["Playlist Track"] == {"PlaylistNumber": "playlist_number", "TrackId": "track_id"}
    assert mapping.cast == {"Track": {"Bytes": "text"}}
    assert not mapping.drop
    assert not mapping.drop_tables
    with dt.DataPackage.open(package) as opened, dt.Database(url) as target:
        assert dt.PackageImporter(opened, target).run(mapping=mapping).total("insert") == ROWS
    assert asked(url, "SELECT artist_id, unit_price FROM track ORDER BY track_id")[1][0] == 2
    assert [str(value) for (value,) in asked(url, "SELECT bytes FROM track WHERE track_id < 3 ORDER BY track_id")] == [
        "11170334", "5510424",
    ]  # fmt: skip
    words = shlex.split(mapping.options)
    assert main(["plan", str(package), again, *words]) == 0, capsys.readouterr().err
    assert main(["import", str(package), again, *words]) == 0, capsys.readouterr().err
    assert_equal(exact_digest(url), exact_digest(again))


def test_chinook_from_sqlite_goes_into_its_own_tables_for_postgresql(databases: Databases, tmp_path: Path) -> None:
    package = package_of(sqlite_copy("chinook", tmp_path), tmp_path / "chinook.zip")
    url = databases.create("postgresql")
    make_stock_chinook(url)
    mapping = proposed(package, url)
    with dt.DataPackage.open(package) as opened, dt.Database(url) as target:
        assert dt.PackageImporter(opened, target).run(mapping=mapping).total("insert") == 15_607
    assert asked(url, "SELECT count(*), sum(quantity) FROM invoice_line") == [(2240, 2240)]


def test_a_renamed_table_brings_its_columns_along(databases: Databases, package: Path) -> None:
    with dt.DataPackage.open(package) as opened, dt.Database(made(databases, *SNAKE)) as target:
        report = dt.PackageImporter(opened, target).check()
    [finding] = [item for item in report if item.where == "Playlist Track"]
    assert finding.cure.rename_tables == {"Playlist Track": "playlist_track"}
    assert finding.cure.rename == {"Playlist Track": {"PlaylistNumber": "playlist_number", "TrackId": "track_id"}}
    assert [item.where for item in report if "Playlist Track." in item.where] == []


def test_nothing_is_told_twice(databases: Databases, package: Path) -> None:
    with dt.DataPackage.open(package) as opened, dt.Database(made(databases, *SNAKE)) as target:
        errors = dt.PackageImporter(opened, target).check().errors
    assert len({(item.where.lower().replace("_", "")) for item in errors}) == len(errors)
    assert {item.code for item in errors} <= {"missing-table", "missing-column", "type"}


def test_a_table_with_the_same_columns_is_proposed_if_it_is_the_only_one(databases: Databases, tmp_path: Path) -> None:
    columns, spelled = (
        "(Id INTEGER PRIMARY KEY, FirstName TEXT, LastName TEXT)",
        "(id INTEGER PRIMARY KEY, first_name TEXT, last_name TEXT)",
    )
    source = [f"CREATE TABLE Guests {columns}", "INSERT INTO Guests VALUES (1, 'Ann', 'B')"]
    report = report_of(
        databases, tmp_path, source, [f"CREATE TABLE visitor {spelled}", "CREATE TABLE other (id INTEGER)"]
    )
    assert report.proposals.rename_tables == {"Guests": "visitor"}
    assert report.proposals.rename == {"Guests": {"FirstName": "first_name", "LastName": "last_name"}}
    two = report_of(
        databases, tmp_path / "two", source, [f"CREATE TABLE visitor {spelled}", f"CREATE TABLE staff {spelled}"]
    )
    assert not two.proposals
    assert not two.mapping
    assert [f.cure.drop_tables for f in two.lossy] == [("Guests",)]


def test_a_name_that_is_only_alike_is_a_guess_and_no_proposal(databases: Databases, tmp_path: Path) -> None:
    source = ["CREATE TABLE p (id INTEGER PRIMARY KEY, first_name TEXT)", "INSERT INTO p VALUES (1, 'Ann')"]
    report = report_of(databases, tmp_path, source, ["CREATE TABLE p (id INTEGER PRIMARY KEY, last_name TEXT)"])
    [finding] = report.errors
    assert finding.cure.rename == {"p": {"first_name": "last_name"}}
    assert "perhaps" in finding.hint
    assert not report.proposals


def test_a_cast_is_proposed_only_where_it_changes_no_value(databases: Databases, tmp_path: Path) -> None:
    source = [
        "CREATE TABLE p (id INTEGER PRIMARY KEY, whole TEXT, broken TEXT)",
        "INSERT INTO p VALUES (1, '7', '7.5')",
    ]
    package = package_of(made(databases, *source), tmp_path / "p.zip")
    url = made(
        databases, "CREATE TABLE p (id INTEGER PRIMARY KEY, whole INTEGER, broken INTEGER)", dialect="postgresql"
    )
    with dt.DataPackage.open(package) as opened, dt.Database(url) as target:
        report = dt.PackageImporter(opened, target).check()
    assert report.proposals.cast == {"p": {"whole": "integer"}}
    assert report.mapping.cast == {"p": {"whole": "integer"}}
    assert [(f.where, f.loses) for f in report.lossy] == [("p.broken", "values may change")]
    assert report.lossy[0].cure.cast == {"p": {"broken": "integer"}}
    assert "(lossy: values may change)" in str(report.lossy[0])
    assert list(report.to_frame()["loses"]) == [f.loses for f in report]
