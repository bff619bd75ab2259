"""A package compared with a database, field by field."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import datatransfer as dt

SCRIPT = """
CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, visits INTEGER);
INSERT INTO users VALUES (1, 'Ann', 9007199254740993), (2, 'Bob', NULL), (3, 'Cy', 3);
"""


def _run(url: str, script: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.executescript(script)


def test_what_changed_since_the_export_is_named(sqlite_url: Callable[[], str], tmp_path: Path) -> None:
    url = sqlite_url()
    _run(url, SCRIPT)
    with dt.Database(url) as db, dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip") as package:
        assert len(package.diff(db)) == 0
        _run(url, "UPDATE users SET visits = 9007199254740994 WHERE id = 1; DELETE FROM users WHERE id = 2")
        _run(url, "INSERT INTO users VALUES (4, 'Di', 1)")
        found = package.diff(db)
    assert found["change"].value_counts().to_dict() == {"changed": 1, "removed": 1, "added": 1}
    changed = found[found["change"] == "changed"].iloc[0]
    assert (changed["field"], changed["before"], changed["after"]) == ("visits", 9007199254740993, 9007199254740994)


def test_rows_of_an_unrelated_database_are_not_taken_for_the_same(
    sqlite_url: Callable[[], str], tmp_path: Path
) -> None:
    left, right = sqlite_url(), sqlite_url()
    _run(left, SCRIPT)
    _run(right, SCRIPT.replace("Ann", "Zoe"))
    with (
        dt.Database(left) as db,
        dt.Database(right) as other,
        dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip") as package,
    ):
        found = package.diff(other)
    assert set(found["change"]) == {"added", "removed"}
