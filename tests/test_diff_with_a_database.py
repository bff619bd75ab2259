"""A package compared with a database, field by field."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.cli import main

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


def test_rows_that_were_imported_under_other_keys_are_known_by_their_receipts(
    sqlite_url: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left, right = sqlite_url(), sqlite_url()
    posts = "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER REFERENCES users (id), slug TEXT);"
    _run(left, SCRIPT + posts + "INSERT INTO posts VALUES (1, 2, 'a'), (2, 3, 'b')")
    _run(right, SCRIPT.replace("Ann", "Zoe") + posts + "INSERT INTO posts VALUES (1, 1, 'own')")
    with (
        dt.Database(left) as db,
        dt.Database(right) as other,
        dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", progress=False) as package,
    ):
        assert dt.PackageImporter(package, other).run().id_map("users").iloc[:, 1].tolist() == [4, 5, 6]
        found = package.diff(other)
        assert found["change"].tolist() == ["added"] * 4
        assert main(["diff", str(tmp_path / "p.zip"), right]) == 0
        _run(right, "UPDATE users SET name = 'Rob' WHERE id = 5; DELETE FROM posts WHERE slug = 'b'")
        found = package.diff(other)
        found = found[found["change"] != "added"].reset_index(drop=True)
        assert main(["diff", "--json", str(tmp_path / "p.zip"), right]) == 1
    assert found[["table", "change", "field", "after"]].values.tolist() == [
        ["posts", "removed", None, None],
        ["users", "changed", "name", "Rob"],
    ]
    told = json.loads(capsys.readouterr().out.split("no difference\n")[1])["differences"]
    assert [(row["table"], row["change"], row["field"], row["after"]) for row in told] == [
        ("posts", "removed", None, None), ("users", "changed", "name", "Rob")
    ]  # fmt: skip
