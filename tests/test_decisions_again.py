"""Decisions that make rows of their own, carried out again: an import makes one row of an entity, and no second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.transfer import DIALECTS, export_all
from tests.support.undoing import application

every_dialect = pytest.mark.parametrize("dialect", DIALECTS)
SCHEMA = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(20) UNIQUE, name VARCHAR(20))",
    "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id), title VARCHAR(9))",
    "CREATE UNIQUE INDEX titles ON posts (title)",
)
SOURCE = (
    "INSERT INTO users VALUES (1, 'a@x', 'Ann'), (2, 'b@x', 'Ben')",
    "INSERT INTO posts VALUES (1, 1, 'one'), (2, 2, 'two')",
)
THERE = ("INSERT INTO users VALUES (7, 'a@x', 'Anna')", "INSERT INTO posts VALUES (7, 7, 'one')")
TITLES = "SELECT title FROM posts ORDER BY title"


@pytest.fixture
def source(databases: Databases) -> str:
    made = databases.create("sqlite")
    run(made, *SCHEMA, *SOURCE)
    return made


@pytest.fixture
def target(databases: Databases, dialect: str) -> str:
    made = databases.create(dialect)
    run(made, *SCHEMA, *THERE)
    return made


@pytest.fixture
def importer(source: str, target: str, tmp_path: Path) -> Iterator[dt.PackageImporter]:
    with dt.Database(target) as db:
        yield dt.PackageImporter(export_all(source, tmp_path / "p.zip"), db)


@pytest.fixture
def saved(importer: dt.PackageImporter, tmp_path: Path) -> Path:
    with importer.plan(on_clash="reuse", match_on={"users": ["email"]}) as plan:
        return plan.decide("posts", 1, "rename").decide("users", 2, "insert").save(tmp_path / "decisions.json")


@every_dialect
def test_saved_decisions_that_are_replayed_write_nothing_more(
    importer: dt.PackageImporter, saved: Path, target: str
) -> None:
    policies = {"on_clash": "reuse", "match_on": {"users": ["email"]}}
    first = importer.run(decisions=saved, **policies)
    assert first.total("insert") == 3
    assert asked(target, TITLES) == [("one",), ("one (2)",), ("two",)]
    digest = application(exact_digest(target))
    with importer.plan(decisions=saved, **policies) as plan:
        assert plan.warnings == [
            "posts: a decision to rename does not apply to 1 entity here: an import has brought it already",
            "users: a decision to insert does not apply to 1 entity here: an import has brought it already",
        ]
        assert list(plan.to_frame("posts")["action"]) == ["skip", "reuse"]
        assert list(plan.to_frame("posts")["matched_by"]) == ["receipt", "receipt"]
    again = importer.run(decisions=saved, **policies)
    assert again.total("insert") == again.total("update") == 0
    assert_equal(digest, application(exact_digest(target)))
    assert asked(target, TITLES) == [("one",), ("one (2)",), ("two",)]
    first.undo()
    assert importer.run(decisions=saved, **policies).total("insert") == 3  # what was undone is not there


@every_dialect
def test_a_second_row_is_refused_where_it_is_decided(importer: dt.PackageImporter, target: str) -> None:
    importer.run(on_clash="rename")
    before = exact_digest(target)
    with importer.plan() as plan:
        for word, done in (("rename", "renamed"), ("insert", "inserted")):
            with pytest.raises(
                dt.UsageError, match=f"1 entity cannot be {done}: an import has brought it already"
            ) as e:
                plan.decide("posts", 1, word)
            assert 'identity="copy"' in e.value.hint
        assert not plan.decisions()["decisions"]
    assert_equal(before, exact_digest(target))


@every_dialect
def test_a_row_that_an_import_only_found_may_be_set_apart(importer: dt.PackageImporter, target: str) -> None:
    importer.run(match_on={"users": ["email"]}, on_clash="rename")
    run(target, "UPDATE users SET email = 'other@x' WHERE id = 7")
    with importer.plan() as plan:
        assert list(plan.to_frame("users")["matched_by"]) == ["receipt", "receipt"]
        importer.run(plan.decide("users", 1, "insert"))
    assert asked(target, "SELECT name FROM users ORDER BY name") == [("Ann",), ("Anna",), ("Ben",)]


@every_dialect
def test_a_renamed_row_keeps_its_name_when_a_newer_package_updates_it(
    importer: dt.PackageImporter, source: str, target: str, tmp_path: Path
) -> None:
    importer.run(on_clash="rename", match_on={"users": ["email"]})
    run(source, "UPDATE posts SET user_id = 2 WHERE id = 1")
    newer = dt.PackageImporter(export_all(source, tmp_path / "newer.zip"), importer.target)
    policies = {"on_match": "update", "on_clash": "rename", "match_on": {"users": ["email"]}}
    with newer.plan(**policies) as plan:
        assert list(plan.to_frame("posts")["action"]) == ["update", "reuse"]
        assert list(plan.diff("posts")["field"]) == ["user_id"]
    newer.run(**policies)
    [ben] = asked(target, "SELECT id FROM users WHERE email = 'b@x'")
    assert asked(target, "SELECT title, user_id FROM posts ORDER BY title") == [
        ("one", 7), ("one (2)", ben[0]), ("two", ben[0])
    ]  # fmt: skip
    again = newer.run(**policies)
    assert again.total("update") == again.total("insert") == again.total("skip") == 0
    run(target, "UPDATE posts SET title = 'mine' WHERE id = 7")  # the reason is gone, so the row gets its own text
    newer.run(**policies)
    assert asked(target, TITLES) == [("mine",), ("one",), ("two",)]


@every_dialect
def test_only_a_text_that_was_made_by_renaming_is_kept(
    importer: dt.PackageImporter, source: str, target: str, tmp_path: Path
) -> None:
    importer.run(on_clash="rename", match_on={"users": ["email"]})
    run(target, "UPDATE posts SET title = 'one (b)' WHERE title = 'one (2)'")
    policies = {"on_match": {"posts": "update"}, "on_clash": "rename", "match_on": {"users": ["email"]}}
    with importer.plan(**policies) as plan:
        assert list(plan.to_frame("posts")["action"]) == ["conflict", "reuse"]
        assert list(plan.conflicts["reason"]) == ["another row holds the same title, which the update would take"]


@every_dialect
def test_a_name_that_was_cut_to_its_column_is_kept_too(
    databases: Databases, source: str, target: str, tmp_path: Path
) -> None:
    run(source, "UPDATE posts SET title = 'ninechars' WHERE id = 1")
    run(target, "UPDATE posts SET title = 'ninechars'")
    policies = {"on_match": {"posts": "update"}, "on_clash": "rename", "match_on": {"users": ["email"]}}
    with dt.Database(target) as db:
        importer = dt.PackageImporter(export_all(source, tmp_path / "nine.zip"), db)
        importer.run(**policies)
        assert asked(target, TITLES) == [("ninec (2)",), ("ninechars",), ("two",)]
        with importer.plan(**policies) as plan:
            assert list(plan.to_frame("posts")["action"]) == ["reuse", "reuse"]
