"""A row keeps its UUID over any number of databases, whatever its key is."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import datatransfer as dt
from datatransfer.database import identities
from datatransfer.package.identities import identities as identities_of
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS, export_all, import_into, written

# Each with rows of its own for the three databases of a chain; those of the first two share integer keys.
TABLES: dict[str, tuple[str, Callable[[int], list[str]]]] = {
    "integer": ("id INTEGER PRIMARY KEY, v VARCHAR(9)", lambda n: [f"{i}, 'v{n}'" for i in range(1, 6)]),
    "text": ("code VARCHAR(40) PRIMARY KEY, v VARCHAR(9)", lambda n: [f"'c{n}\"é{i}', 'v'" for i in range(5)]),
    "composite": (
        "a INTEGER NOT NULL, b VARCHAR(20) NOT NULL, v VARCHAR(9), PRIMARY KEY (a, b)",
        lambda n: [f"{i}, 'b{n}', 'v'" for i in range(5)],
    ),
    "uuid": (
        "id {uuid} PRIMARY KEY, v VARCHAR(9)",
        lambda n: [f"'{uuid.UUID(int=n * 1000 + i)}', 'v'" for i in range(5)],
    ),
    "date": ("d DATE PRIMARY KEY, v VARCHAR(9)", lambda n: [f"'202{n}-01-0{i}', 'v'" for i in range(1, 6)]),
    "timestamp": (
        "d {timestamp} PRIMARY KEY, v VARCHAR(9)",
        lambda n: [f"'202{n}-01-0{i} 10:00:00', 'v'" for i in range(1, 6)],
    ),
}
ANY = (
    'k PRIMARY KEY NOT NULL, v VARCHAR(9)',
    lambda n: [f"{n}1, 'i'", f"'{n}1', 't'", f"{n}1.5, 'r'", f"x'0{n}31', 'b'", f"'it''s \"{n}\"', 'q'"],
)  # fmt: skip
TYPES = {
    "sqlite": {"uuid": "VARCHAR(36)", "timestamp": "TIMESTAMP"},
    "postgresql": {"uuid": "UUID", "timestamp": "TIMESTAMP"},
    "mariadb": {"uuid": "UUID", "timestamp": "DATETIME"},
}
CASES = [(name, dialect) for name in TABLES for dialect in DIALECTS] + [("any", "sqlite")]


@pytest.fixture
def database(databases: Databases) -> Callable[[str, str, int], str]:
    """Make a database of one table of a kind, with the rows of one place in the chain; 0 for none."""

    def make(name: str, dialect: str, place: int) -> str:
        columns, rows = ANY if name == "any" else TABLES[name]
        url = databases.create(dialect)
        engine = sa.create_engine(url, poolclass=NullPool)
        with engine.begin() as conn:
            conn.exec_driver_sql(f"CREATE TABLE things ({columns.format(**TYPES[dialect])})")
            for row in rows(place) if place else ():
                conn.exec_driver_sql(f"INSERT INTO things VALUES ({row})".replace("%", "%%"))
        engine.dispose()
        return url

    return make


def uuids(package: dt.DataPackage) -> set[str]:
    """Return the UUIDs of all rows of a package."""
    contents = package._contents
    return {row.uuid for row in identities_of(contents, "things", package.metadata.origin)}


@pytest.mark.parametrize(("name", "dialect"), CASES)
def test_rows_keep_their_uuid_over_three_databases(
    database: Callable[[str, str, int], str], tmp_path: Path, name: str, dialect: str
) -> None:
    urls = [database(name, dialect, place) for place in (1, 2, 3)]
    first = export_all(urls[0], tmp_path / "1.zip")
    import_into(first, urls[1])
    second = export_all(urls[1], tmp_path / "2.zip")
    assert uuids(first) < uuids(second)
    import_into(second, urls[2])
    third = export_all(urls[2], tmp_path / "3.zip")
    assert uuids(second) < uuids(third)
    assert len(uuids(third)) == 15
    # Home again: the first rows are their own, the others come as strangers, once.
    assert written(import_into(third, urls[0])) == 10
    assert uuids(export_all(urls[0], tmp_path / "4.zip")) == uuids(third)
    for package, url in ((third, urls[0]), (third, urls[1]), (second, urls[2]), (first, urls[2])):
        known = len(uuids(package) - uuids(export_all(url, tmp_path / f"{uuid.uuid4()}.zip")))
        assert written(import_into(package, url)) == known


def test_a_selection_by_uuid_finds_an_imported_row_by_a_text_key(
    database: Callable[[str, str, int], str], tmp_path: Path
) -> None:
    urls = [database("text", "sqlite", place) for place in (1, 2)]
    first = export_all(urls[0], tmp_path / "1.zip")
    import_into(first, urls[1])
    with dt.Database(urls[1]) as db:
        wanted = sorted(uuids(first))[:2]
        package = dt.PackageBuilder(db).add("things", uuids=wanted).build(tmp_path / "u.zip", progress=False)
        assert uuids(package) == set(wanted)


def test_a_whole_table_with_imported_rows_is_read_the_quick_way(
    database: Callable[[str, str, int], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datatransfer.exporting import rows

    urls = [database("integer", "sqlite", place) for place in (1, 2)]
    import_into(export_all(urls[0], tmp_path / "1.zip"), urls[1])
    seen = []
    prepare = rows.Rows.prepare

    def watched(self: rows.Rows, name: str) -> rows.Prepared:
        prepared = prepare(self, name)
        seen.append((prepared.source.whole, isinstance(prepared.identities, identities.Recorded)))
        return prepared

    monkeypatch.setattr(rows.Rows, "prepare", watched)
    export_all(urls[1], tmp_path / "2.zip")
    assert seen == [(True, True)]


def test_a_receipt_that_wrote_nothing_knows_the_keys_of_all_rows(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datatransfer.importing import keptkeys, recording

    monkeypatch.setattr(keptkeys, "_MAP_ROWS", 2)
    monkeypatch.setattr(recording, "_ASKED_ROWS", 2)
    schema = "CREATE TABLE things (id INTEGER PRIMARY KEY, code VARCHAR(9) UNIQUE)"
    urls = [databases.create("sqlite") for _ in range(2)]
    for url, first in zip(urls, (1, 4), strict=True):
        engine = sa.create_engine(url, poolclass=NullPool)
        with engine.begin() as conn:
            conn.exec_driver_sql(schema)
            for n in range(first, first + 6):
                conn.exec_driver_sql(f"INSERT INTO things VALUES ({n}, 'c{url is urls[0]}{n}')")
        engine.dispose()
    package = export_all(urls[0], tmp_path / "1.zip", encoding="columns")
    with dt.Database(urls[1]) as target:
        written_first = dt.PackageImporter(package, target).run().id_map("things")
        again = dt.PackageImporter(package, target).run().id_map("things")
    assert again["source.id"].tolist() == [1, 2, 3, 4, 5, 6]
    assert again["target.id"].tolist() == written_first["target.id"].tolist() == [10, 11, 12, 13, 14, 15]
    assert set(again["action"]) == {"reuse"}
