"""Rows that go into empty SQLite tables are hashed from the stage meanwhile: the same hashes, for undo."""

from __future__ import annotations

import math
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.database.writers.sqlite_hashes import SQLiteHashes, _Ahead
from datatransfer.errors import DatabaseError
from datatransfer.importing import images
from tests.support.digest import assert_equal, exact_digest
from tests.support.hashed import imported, refuse_unhashed, with_and_without_ahead
from tests.support.transfer import export_all

ROWS = images._AHEAD_ROWS
WIDE = 130  # columns: more than SQLite hands to one function
SCHEMA = f"""
CREATE TABLE things (id INTEGER PRIMARY KEY, whole INT, word TEXT, nick VARCHAR(9), share REAL, loose, raw BLOB,
    day DATE, moment TIMESTAMP, yes BOOLEAN, code INT, twice INT GENERATED ALWAYS AS (whole * 2));
CREATE TABLE wide (id INTEGER PRIMARY KEY, {", ".join(f"c{i} TEXT" for i in range(WIDE))});
CREATE TABLE odd (id INTEGER PRIMARY KEY, price DECIMAL(10, 2));
CREATE TABLE words (id TEXT PRIMARY KEY)
"""
SHARES = (0.0, -0.0, 1.0, 1.5, -2.0, 2.0**60, 1e300, 5e-324, math.inf, -math.inf, None)


def _made(path: Path, *, filled: bool) -> str:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(SCHEMA)
        if filled:
            numbers = range(1, ROWS + 1)
            connection.executemany(
                "INSERT INTO things VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    (
                        n, n - 50, f"w\N{SNOWMAN}{n}" if n % 7 else None, str(n), SHARES[n % len(SHARES)], -0.0,
                        n.to_bytes(3, "big"), f"2026-01-{n % 28 + 1:02}", f"2026-01-01 00:{n % 60:02}:00", n % 2,
                        2**62 + n,
                    )
                    for n in reversed(numbers)
                ),
            )  # fmt: skip
            marks = ", ".join("?" * (WIDE + 1))
            connection.executemany(
                f"INSERT INTO wide VALUES ({marks})", ((n, *(f"{n}-{i}" for i in range(WIDE))) for n in numbers)
            )
            connection.executemany("INSERT INTO odd VALUES (?, ?)", ((n, n / 4) for n in numbers))
            connection.executemany("INSERT INTO words VALUES (?)", ((str(n),) for n in numbers))
        connection.commit()
    return f"sqlite:///{path}"


@pytest.fixture
def pair(tmp_path: Path) -> tuple[dt.DataPackage, str]:
    """A package of large tables, and a target without rows."""
    package = export_all(_made(tmp_path / "source.db", filled=True), tmp_path / "all.zip")
    return package, _made(tmp_path / "target.db", filled=False)


def test_hashes_from_the_stage_are_those_of_the_rows_as_the_table_holds_them(
    pair: tuple[dt.DataPackage, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    package, url = pair
    # What a column of DECIMAL makes of a number is not foreseen; keys that are texts are not either.
    kept = with_and_without_ahead(package, url, SQLiteHashes, ["things", "wide"], monkeypatch)
    assert {name: len(rows) for name, rows in kept.items()} == dict.fromkeys(("things", "wide", "odd", "words"), ROWS)


def test_undo_after_a_large_import_names_the_one_row_that_was_edited(pair: tuple[dt.DataPackage, str]) -> None:
    package, url = pair
    before = exact_digest(url)
    change, _ = imported(package, url)
    with dt.Database(url) as target:
        assert dt.receipt(target, change).check_undo().ok
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("UPDATE things SET share = 0.25 WHERE id = 77")
            connection.commit()
            found = dt.receipt(target, change).check_undo().to_frame()
            assert found[["table", "state"]].values.tolist() == [["things", "edited"]]
            connection.execute("UPDATE things SET share = ? WHERE id = 77", (SHARES[77 % len(SHARES)],))
            connection.commit()
        dt.receipt(target, change).undo()
    assert_equal(before, exact_digest(url))


def test_hashing_is_stopped_at_any_moment(tmp_path: Path) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT datatransfer_gather(i, i) FROM n"
    ahead = _Ahead(tmp_path / "stage.sqlite", {"slow": endless})
    ahead.start()
    time.sleep(0.2)
    ahead.end()
    assert not ahead._thread.is_alive()
    with pytest.raises(DatabaseError, match="could not be hashed"):
        ahead.take("slow")


def test_hashing_that_fails_ends_the_import_with_nothing_changed(
    pair: tuple[dt.DataPackage, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    package, url = pair

    def fails(_self: _Ahead, _select: str) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(_Ahead, "hashed", fails)
    with dt.Database(url) as target:
        refuse_unhashed(package, target)
        monkeypatch.undo()
        assert dt.PackageImporter(package, target).resume().import_id
    assert sorted(path.name for path in Path(package.path).parent.glob("target*")) == ["target.db"]
