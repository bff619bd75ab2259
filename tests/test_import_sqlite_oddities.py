"""Targets whose tables do more than hold rows: what would change or lose a row is refused, and nothing is touched."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer import errors
from tests.support.digest import assert_equal, exact_digest
from tests.support.transfer import export_all


def _run(url: str, *statements: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


@contextmanager
def _importer(source: str, target: str, folder: Path) -> Iterator[dt.PackageImporter]:
    """Yield the importer of a whole database into another one."""
    with export_all(source, folder / "p.zip") as package, dt.Database(target) as db:
        yield dt.PackageImporter(package, db)


@pytest.mark.parametrize(
    ("source", "rows", "target", "there", "error"),
    [
        (
            "t (id INTEGER PRIMARY KEY, a TEXT)",
            "(1, 'q'), (2, 'q')",
            "t (id INTEGER PRIMARY KEY, a TEXT UNIQUE ON CONFLICT REPLACE)",
            "(9, 'z')",
            errors.ConflictError,
        ),
        (
            "t (id INTEGER PRIMARY KEY, a TEXT)",
            "(1, NULL)",
            "t (id INTEGER PRIMARY KEY, a TEXT NOT NULL ON CONFLICT REPLACE DEFAULT 'x')",
            "(9, 'z')",
            errors.SchemaMismatchError,
        ),
        (
            "t (id INTEGER PRIMARY KEY, a TEXT)",
            "(1, '007')",
            "t (id INTEGER PRIMARY KEY, a NUMERIC)",
            "(9, 'z')",
            errors.ValueLossError,
        ),
        (
            "t (id INTEGER PRIMARY KEY, a)",
            "(1, 1), (2, '1')",
            "t (id INTEGER PRIMARY KEY, a TEXT)",
            "(9, 'z')",
            errors.ValueLossError,
        ),
    ],
)
def test_a_row_that_would_be_lost_or_changed_is_refused(
    sqlite_url: Callable[[], str],
    tmp_path: Path,
    source: str,
    rows: str,
    target: str,
    there: str,
    error: type[Exception],
) -> None:
    left, right = sqlite_url(), sqlite_url()
    _run(left, f"CREATE TABLE {source}", f"INSERT INTO t VALUES {rows}")
    _run(right, f"CREATE TABLE {target}", f"INSERT INTO t VALUES {there}")
    before = exact_digest(right)
    with _importer(left, right, tmp_path) as importer, pytest.raises(error):
        importer.run()
    assert_equal(before, exact_digest(right))


def test_a_column_that_the_target_computes_is_not_dropped_silently(
    sqlite_url: Callable[[], str], tmp_path: Path
) -> None:
    left, right = sqlite_url(), sqlite_url()
    _run(left, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT)", "INSERT INTO t VALUES (1, 2, 99)")
    _run(right, "CREATE TABLE t (id INTEGER PRIMARY KEY, a INT, b INT AS (a * 2) STORED)")
    with _importer(left, right, tmp_path) as importer, pytest.raises(errors.SchemaMismatchError, match=r"t\.b"):
        importer.plan()


def test_an_update_does_not_move_a_value_that_references_point_to(
    sqlite_url: Callable[[], str], tmp_path: Path
) -> None:
    url = sqlite_url()
    _run(
        url,
        "CREATE TABLE p (id INTEGER PRIMARY KEY, e TEXT UNIQUE)",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, e TEXT REFERENCES p (e))",
        "INSERT INTO p VALUES (1, 'a')",
        "INSERT INTO c VALUES (1, 'a')",
    )
    with dt.Database(url) as db, dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip") as package:
        _run(url, "UPDATE p SET e = 'z'", "UPDATE c SET e = 'z'")
        before = exact_digest(url)
        with pytest.raises(errors.ConflictError, match="references point to"):
            dt.PackageImporter(package, db).run(on_match="update")
    assert_equal(before, exact_digest(url))


def test_a_key_with_null_in_a_referenced_table_imports_twice(sqlite_url: Callable[[], str], tmp_path: Path) -> None:
    left, right = sqlite_url(), sqlite_url()
    schema = (
        "CREATE TABLE p (a INTEGER, b INTEGER, PRIMARY KEY (a, b))",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, a INTEGER, b INTEGER, FOREIGN KEY (a, b) REFERENCES p (a, b))",
    )
    _run(left, *schema, "INSERT INTO p VALUES (NULL, 1)", "INSERT INTO c VALUES (1, NULL, 1)")
    _run(right, *schema)
    with _importer(left, right, tmp_path) as importer:
        assert importer.run().total("insert") == 2
        assert importer.run().total("reuse") == 2
    assert_equal(exact_digest(left), exact_digest(right))


def test_any_in_a_strict_table_keeps_every_class_of_value(sqlite_url: Callable[[], str], tmp_path: Path) -> None:
    left, right = sqlite_url(), sqlite_url()
    schema = (
        "CREATE TABLE p (k ANY PRIMARY KEY NOT NULL, v any) STRICT",
        "CREATE TABLE c (id INTEGER PRIMARY KEY, k ANY REFERENCES p (k)) STRICT",
    )
    _run(
        left, *schema,
        "INSERT INTO p VALUES (1, '007'), ('1', '1e3'), (1.5, 2.0), (x'31', NULL), ('1.0', 3)",
        "INSERT INTO c VALUES (1, 1), (2, '1'), (3, 1.5), (4, x'31'), (5, '1.0'), (6, NULL)",
    )  # fmt: skip
    _run(right, *schema)
    with _importer(left, right, tmp_path) as importer:
        assert importer.run().total("insert") == 11
        assert importer.run(on_match="update").total("reuse") == 11
    assert_equal(exact_digest(left), exact_digest(right))


def test_any_in_an_ordinary_table_turns_texts_into_numbers_and_is_refused(
    sqlite_url: Callable[[], str], tmp_path: Path
) -> None:
    left, right = sqlite_url(), sqlite_url()
    _run(left, "CREATE TABLE t (id INTEGER PRIMARY KEY, v ANY) STRICT", "INSERT INTO t VALUES (1, '007')")
    _run(right, "CREATE TABLE t (id INTEGER PRIMARY KEY, v ANY)")
    with _importer(left, right, tmp_path) as importer, pytest.raises(errors.ValueLossError, match=r"NUMERIC"):
        importer.run()
