"""Nothing is lost: a whole database, exported and imported into an empty one, is equal by the independent digest."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

import datatransfer as dt
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest, logical_digest
from tests.support.loaders import Library
from tests.support.servers import Databases
from tests.support.transfer import (
    ENCODINGS,
    PAIRS,
    SAMPLE_FILES,
    export_all,
    import_into,
    written,
)

SQLITE_DATABASES = ("chinook", "northwind", "northwind_small", "sakila", "datasette", "sample")


def _script(url: str, script: str) -> None:
    with closing(sqlite3.connect(str(make_url(url).database))) as connection:
        connection.executescript(script)


def _round_trip(databases: Databases, tmp_path: Path, script: str, **options: str) -> tuple[str, str]:
    """Make a SQLite database, carry it into an empty copy, and return the URLs of both."""
    source = databases.create("sqlite")
    _script(source, script)
    target = empty_copy(source, databases)
    package = export_all(source, tmp_path / "package.zip", **options)
    import_into(package, target, **options)
    return source, target


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("name", SQLITE_DATABASES)
def test_sqlite_to_sqlite(library: Library, databases: Databases, tmp_path: Path, name: str, encoding: str) -> None:
    source, target = library.url(name), library.empty(databases, name)
    package = export_all(source, tmp_path / "package.zip", encoding=encoding)
    import_into(package, target)
    assert_equal(exact_digest(source), exact_digest(target))
    assert package.verify().ok


@pytest.mark.parametrize(("source_dialect", "target_dialect"), PAIRS)
@pytest.mark.parametrize("name", ["chinook", "sakila", "sample"])
def test_every_pair_of_databases(
    library: Library, databases: Databases, tmp_path: Path, name: str, source_dialect: str, target_dialect: str
) -> None:
    source, target = library.url(name, source_dialect), library.empty(databases, name, target_dialect)
    package = export_all(source, tmp_path / "package.zip")
    import_into(package, target)
    if source_dialect == target_dialect:
        assert_equal(exact_digest(source), exact_digest(target))
    kinds = library.kinds(name)
    assert_equal(logical_digest(source, kinds), logical_digest(target, kinds))
    with dt.Database(target) as db:
        assert package.diff(db).values.tolist() == []


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_pagila_with_its_enums_arrays_domains_and_partitions(
    library: Library, databases: Databases, tmp_path: Path, encoding: str
) -> None:
    source, target = library.url("pagila", "postgresql"), library.empty(databases, "pagila", "postgresql")
    import_into(export_all(source, tmp_path / "package.zip", encoding=encoding), target)
    assert_equal(exact_digest(source), exact_digest(target))


def test_the_samples_files_travel_too(library: Library, databases: Databases, tmp_path: Path) -> None:
    source, target = library.url("sample"), library.empty(databases, "sample")
    here, there = library.sample_files, tmp_path / "target_files"
    there.mkdir()
    package = export_all(source, tmp_path / "package.zip", files={SAMPLE_FILES: dt.FolderStore(here)})
    import_into(package, target, files={SAMPLE_FILES: dt.FolderStore(there)})
    sent = {path.relative_to(here): path.read_bytes() for path in here.rglob("*") if path.is_file()}
    came = {path.relative_to(there): path.read_bytes() for path in there.rglob("*") if path.is_file()}
    assert sent
    assert came == sent
    assert_equal(exact_digest(source), exact_digest(target))


def test_triggers_do_not_alter_what_was_carried(library: Library, databases: Databases, tmp_path: Path) -> None:
    source, target = library.url("sakila"), library.empty(databases, "sakila")
    import_into(export_all(source, tmp_path / "package.zip"), target)
    latest = "SELECT max(last_update) FROM actor"
    listing = "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name"
    found = []
    for url in (source, target):
        with closing(sqlite3.connect(str(make_url(url).database))) as connection:
            found.append((connection.execute(latest).fetchall(), connection.execute(listing).fetchall()))
    assert found[0] == found[1]
    assert found[0][1]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_tables_without_a_key_travel_as_multisets(databases: Databases, tmp_path: Path, encoding: str) -> None:
    source = databases.create("sqlite")
    _script(
        source, "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 'x'), (1, 'x'), (1, 'y'), (NULL, NULL), (NULL, NULL)"
    )
    target = empty_copy(source, databases)
    package = export_all(source, tmp_path / "package.zip", encoding=encoding)
    import_into(package, target)
    assert exact_digest(target).rows == {"t": 5}
    assert_equal(exact_digest(source), exact_digest(target))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_each_value_keeps_its_own_storage_class_in_keys_too(
    databases: Databases, tmp_path: Path, encoding: str
) -> None:
    source, target = _round_trip(
        databases,
        tmp_path,
        """
        CREATE TABLE parent (k BLOB PRIMARY KEY, v);
        CREATE TABLE child (id INTEGER PRIMARY KEY, k BLOB REFERENCES parent(k));
        INSERT INTO parent VALUES (1, 1), ('1', '1'), (x'31', x'31'), (1.5, 1.0), ('', NULL),
            (9007199254740993, 9223372036854775807), ('a' || char(0) || 'b', 'é');
        INSERT INTO child (k) SELECT k FROM parent;
        """,
    )
    assert_equal(exact_digest(source), exact_digest(target))


ORPHANS = """
CREATE TABLE parent (id INTEGER PRIMARY KEY);
CREATE TABLE child (id INTEGER PRIMARY KEY, parent_id INTEGER REFERENCES parent(id));
INSERT INTO parent VALUES (1);
INSERT INTO child VALUES (1, 1), (2, 99), (3, NULL);
"""


def test_orphans_are_refused_unless_asked_for(databases: Databases, tmp_path: Path) -> None:
    source = databases.create("sqlite")
    _script(source, ORPHANS)
    with pytest.raises(dt.OrphanError, match="child"):
        export_all(source, tmp_path / "package.zip")
    assert not (tmp_path / "package.zip").exists()


def test_orphans_travel_on_request_as_they_are(databases: Databases, tmp_path: Path) -> None:
    source, target = _round_trip(databases, tmp_path, ORPHANS, on_orphan="keep")
    assert_equal(exact_digest(source), exact_digest(target))


def test_orphans_lose_their_reference_on_request(databases: Databases, tmp_path: Path) -> None:
    source, target = _round_trip(databases, tmp_path, ORPHANS, on_orphan="null")
    _script(source, "UPDATE child SET parent_id = NULL WHERE id = 2")
    assert_equal(exact_digest(source), exact_digest(target))


def test_a_target_that_lacks_the_orphans_parent_refuses_them_too(databases: Databases, tmp_path: Path) -> None:
    source = databases.create("sqlite")
    _script(source, ORPHANS)
    target = empty_copy(source, databases)
    package = export_all(source, tmp_path / "package.zip", on_orphan="keep")
    before = exact_digest(target)
    with pytest.raises(dt.DataTransferError):
        import_into(package, target)
    assert_equal(before, exact_digest(target))


def test_duplicates_that_sqlite_let_in_are_not_dropped_silently(databases: Databases, tmp_path: Path) -> None:
    source = databases.create("sqlite")
    # SQLite allows NULL in a primary key that is no INTEGER PRIMARY KEY, and NULLs are never equal.
    _script(source, "CREATE TABLE t (k TEXT PRIMARY KEY, v); INSERT INTO t VALUES (NULL, 1), (NULL, 2), ('a', 3)")
    target = empty_copy(source, databases)
    before = exact_digest(source)
    try:
        import_into(export_all(source, tmp_path / "package.zip"), target)
    except dt.DataTransferError:
        assert exact_digest(target).rows == {"t": 0}
    else:
        assert_equal(before, exact_digest(target))


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_export_delete_import_gives_the_same_database(
    library: Library, databases: Databases, tmp_path: Path, dialect: str
) -> None:
    url = library.copy(databases, "chinook", dialect)
    before = exact_digest(url)
    package = export_all(url, tmp_path / "package.zip")
    with dt.Database(url) as db, db.engine.begin() as connection:
        if dialect == "mariadb":
            connection.exec_driver_sql("SET foreign_key_checks = 0")
        for table in reversed(db.graph.order):
            quoted = db.dialect.table_sql(db.schema.table(table))
            nulls = [fk for fk in db.schema.table(table).foreign_keys if fk.is_self]
            for fk in nulls:
                connection.exec_driver_sql(f"UPDATE {quoted} SET {db.dialect.quote(fk.columns[0])} = NULL")
            connection.exec_driver_sql(f"DELETE FROM {quoted}")
    assert set(exact_digest(url).rows.values()) == {0}
    receipt = import_into(package, url)
    assert written(receipt) == sum(before.rows.values())
    assert_equal(before, exact_digest(url))


def test_the_source_is_not_changed_by_an_export(sqlite_url: Callable[[], str], tmp_path: Path) -> None:
    url = sqlite_url()
    _script(url, ORPHANS)
    before = Path(str(make_url(url).database)).read_bytes()
    export_all(url, tmp_path / "package.zip", on_orphan="keep")
    assert Path(str(make_url(url).database)).read_bytes() == before
