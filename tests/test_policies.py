"""What happens to rows that match and rows that clash: for all tables, and for each."""

from __future__ import annotations

import datetime as dt_
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer.importing.actions import Policies
from tests.support.digest import exact_digest
from tests.support.servers import Databases
from tests.support.sql import asked, connected
from tests.support.transfer import DIALECTS, export_all, import_into

NOON = dt_.datetime(2026, 3, 4, 12, 0, 0)
SCHEMA = """
CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(20) UNIQUE, name VARCHAR(20), seen {time});
CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER, title VARCHAR(10) UNIQUE,
    FOREIGN KEY (user_id) REFERENCES users (id));
CREATE TABLE tags (word VARCHAR(6) NOT NULL PRIMARY KEY, note VARCHAR(9));
CREATE TABLE uses (id INTEGER PRIMARY KEY, word VARCHAR(6), FOREIGN KEY (word) REFERENCES tags (word))
"""


def make(databases: Databases, dialect: str, **rows: list[tuple[Any, ...]]) -> str:
    """Make a database with these rows."""
    url = databases.create(dialect)
    time = {"sqlite": "DATETIME", "postgresql": "TIMESTAMP", "mariadb": "DATETIME(6)"}[dialect]
    with connected(url) as connection:
        for statement in SCHEMA.format(time=time).split(";"):
            connection.exec_driver_sql(statement)
        for table, listed in rows.items():
            for row in listed:
                marks = ", ".join(f":v{i}" for i in range(len(row)))
                values = {f"v{i}": str(v) if isinstance(v, dt_.datetime) else v for i, v in enumerate(row)}
                connection.execute(sa.text(f"INSERT INTO {table} VALUES ({marks})"), values)
    return url


MATCH = {"users": ["email"]}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_each_table_has_a_policy_of_its_own(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source = make(databases, dialect, users=[(1, "a@x", "new", None)], posts=[(1, 1, "one")])
    target = make(databases, dialect, users=[(7, "a@x", "old", None)], posts=[(9, 7, "one")])
    package = export_all(source, tmp_path / "p.zip")
    policies = {"match_on": {"users": "email", "posts": "title"}, "on_match": {"users": "update", "*": "skip"}}
    with connected(target) as connection:
        connection.exec_driver_sql("UPDATE posts SET user_id = NULL")
    receipt = import_into(package, target, **policies)
    assert receipt.counts["users"] == {"update": 1}
    assert receipt.counts["posts"] == {"skip": 1}
    assert asked(target, "SELECT name, user_id FROM users, posts") == [("new", None)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_newest_row_wins(databases: Databases, tmp_path: Path, dialect: str) -> None:
    later = NOON + dt_.timedelta(milliseconds=1)
    pairs = {  # ours, theirs, who wins
        "later@x": (later, NOON, "ours"), "older@x": (NOON, later, "theirs"), "same@x": (NOON, NOON, "theirs"),
        "known@x": (NOON, None, "ours"), "unknown@x": (None, NOON, "theirs"), "nobody@x": (None, None, "theirs"),
    }  # fmt: skip
    ours = [(i, e, "ours", mine) for i, (e, (mine, _, _)) in enumerate(pairs.items(), 1)]
    theirs = [(i + 50, e, "theirs", there) for i, (e, (_, there, _)) in enumerate(pairs.items())]
    package = export_all(make(databases, dialect, users=ours), tmp_path / "p.zip")
    for policy in ("newest:seen", ("newest", "seen"), dt.Newest("seen"), {"users": "newest:seen"}):
        target = make(databases, dialect, users=theirs)
        receipt = import_into(package, target, match_on=MATCH, on_match=policy)
        assert dict(asked(target, "SELECT email, name FROM users")) == {e: wins for e, (_, _, wins) in pairs.items()}
        assert receipt.counts["users"] == {"update": 2, "skip": 4}
        if dialect != "sqlite":
            break  # how a policy is spelled is no matter of the database


def test_the_newest_time_wins_however_sqlite_writes_it(databases: Databases, tmp_path: Path) -> None:
    source = make(databases, "sqlite", users=[(1, "a@x", "ours", NOON), (2, "b@x", "ours", NOON)])
    target = make(databases, "sqlite", users=[(1, "a@x", "theirs", None), (2, "b@x", "theirs", None)])
    with connected(target) as connection:
        connection.exec_driver_sql("UPDATE users SET seen = '2026-03-04T12:00:00' WHERE email = 'a@x'")
        connection.exec_driver_sql("UPDATE users SET seen = '2026-03-04T11:59:59.9' WHERE email = 'b@x'")
    import_into(export_all(source, tmp_path / "p.zip"), target, match_on=MATCH, on_match="newest:seen")
    assert asked(target, "SELECT email, name FROM users ORDER BY 1") == [("a@x", "theirs"), ("b@x", "ours")]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_who_clashes_gets_the_first_free_name(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source = make(databases, dialect, users=[(1, "a@x", "A", None)],
                  posts=[(1, 1, "one"), (2, 1, "a long one"), (3, None, "one (3)"), (4, None, "free")],
                  tags=[("a", "ours"), ("b", "ours")], uses=[(1, "a"), (2, "b")])  # fmt: skip
    target = make(databases, dialect, posts=[(1, None, "one"), (2, None, "one (2)"), (3, None, "a long one")],
                  tags=[("a", "theirs")])  # fmt: skip
    package = export_all(source, tmp_path / "p.zip")
    with dt.Database(target) as db:
        importer = dt.PackageImporter(package, db)
        with importer.plan(on_clash="rename") as plan:
            said = plan.diff("posts")[["field", "before", "after"]].values.tolist()
            assert said == [["title", "one", "one (4)"], ["title", "a long one", "a long (2)"]]
            assert list(plan.to_frame("posts")["reason"][:2]) == ["renamed: another row holds the same title"] * 2
            key = plan.to_frame("tags").iloc[0]
            assert (key["source_key"], key["target_key"]) == ("a", "a (2)")
        receipt = importer.run(on_clash="rename")
    assert receipt.counts["posts"] == {"insert": 4}
    titles = {title for (title,) in asked(target, "SELECT title FROM posts")}
    assert titles == {"one", "one (2)", "one (3)", "one (4)", "a long one", "a long (2)", "free"}
    assert asked(target, "SELECT word FROM uses ORDER BY id") == [("a (2)",), ("b",)]
    assert asked(target, "SELECT word, note FROM tags ORDER BY word") == [
        ("a", "theirs"), ("a (2)", "ours"), ("b", "ours")
    ]  # fmt: skip
    before = exact_digest(target)
    again = import_into(package, target, on_clash="rename")
    assert again.total("insert") == 0
    assert exact_digest(target) == before


@pytest.mark.parametrize("dialect", ["sqlite", "mariadb"])
def test_texts_that_only_the_target_takes_for_the_same_are_renamed(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    ours = ["one", "ONE", "One", "ONE (2)", "two", "Two (2)"]
    source = make(databases, dialect, posts=[(n, None, title) for n, title in enumerate(ours, 1)])
    target = databases.create(dialect)
    rule = {"sqlite": "COLLATE NOCASE", "mariadb": "COLLATE utf8mb4_general_ci"}[dialect]
    with connected(target) as connection:
        connection.exec_driver_sql(
            f"CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER, title VARCHAR(10) {rule} UNIQUE)"
        )
        connection.exec_driver_sql("INSERT INTO posts VALUES (90, NULL, 'TWO'), (91, NULL, 'one (4)')")
    import_into(export_all(source, tmp_path / "p.zip"), target, on_clash="rename")
    found = [title for (title,) in asked(target, "SELECT title FROM posts WHERE id < 90 ORDER BY id")]
    assert found == ["one", "ONE (3)", "One (5)", "ONE (2)", "two (3)", "Two (2)"]


def test_long_texts_that_differ_at_their_end_are_not_the_same_to_mariadb(databases: Databases, tmp_path: Path) -> None:
    urls = [databases.create("mariadb") for _ in range(2)]
    long = "ä" * 640
    for url, numbers in zip(urls, (range(1, 7), range(11, 14)), strict=True):
        with connected(url) as connection:
            connection.exec_driver_sql(
                "CREATE TABLE pages (id INTEGER PRIMARY KEY, link VARCHAR(700) COLLATE utf8mb4_general_ci UNIQUE)"
            )
            rows = [(n, f"{long}{n % 10}") for n in numbers]
            connection.exec_driver_sql("INSERT INTO pages VALUES (%s, %s)", rows)
    import_into(export_all(urls[0], tmp_path / "p.zip"), urls[1], on_clash="rename")
    endings = [end for (end,) in asked(urls[1], "SELECT substr(link, 641) FROM pages ORDER BY id")]
    assert endings == ["1 (2)", "2 (2)", "3 (2)", "4", "5", "6", "1", "2", "3"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_thousands_of_rows_get_the_first_names_that_are_free(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    pairs, urls = 2000, [databases.create(dialect) for _ in range(2)]
    for url, first in zip(urls, (1, 10_001), strict=True):
        with connected(url) as connection:
            connection.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY, name VARCHAR(20) NOT NULL UNIQUE)")
            values = [{"i": first + n, "n": f"name {n // 2}" + " (2)" * (n % 2)} for n in range(2 * pairs)]
            connection.execute(sa.text("INSERT INTO t VALUES (:i, :n)"), values)
    import_into(export_all(urls[0], tmp_path / "p.zip"), urls[1], on_clash="rename")
    names = [name for (name,) in asked(urls[1], "SELECT name FROM t WHERE id < 10000 ORDER BY id")]
    assert names == [f"name {n // 2}" + (" (2) (2)" if n % 2 else " (3)") for n in range(2 * pairs)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_numbers_and_references_are_not_renamed(databases: Databases, tmp_path: Path, dialect: str) -> None:
    urls = []
    for _ in range(2):
        url = databases.create(dialect)
        with connected(url) as connection:
            connection.exec_driver_sql("CREATE TABLE n (id INTEGER PRIMARY KEY, code INTEGER UNIQUE)")
            connection.exec_driver_sql("INSERT INTO n VALUES (1, 5)")
        urls.append(url)
    package = export_all(urls[0], tmp_path / "p.zip")
    before = exact_digest(urls[1])
    with dt.Database(urls[1]) as db:
        importer = dt.PackageImporter(package, db)
        with importer.plan(on_clash="rename") as plan:
            assert list(plan.conflicts["reason"]) == ["another row holds the same code"]
            with pytest.raises(dt.UsageError, match=r"1 entity cannot be renamed: another row holds the same code"):
                plan.decide("n", 1, "rename")
        with pytest.raises(dt.ConflictError, match="another row holds the same code") as caught:
            importer.run(on_clash="rename")
        assert caught.value.hint == 'see importer.plan(…).conflicts, or say on_clash="reuse" or match_on=…'
        with pytest.raises(dt.ConflictError) as caught:
            importer.run(on_match="error")
        ways = 'on_clash="reuse" with on_match="skip" or "update" or match_on=…'
        assert caught.value.hint == f"see importer.plan(…).conflicts, or say {ways}"
    assert exact_digest(urls[1]) == before


@pytest.mark.parametrize(
    ("policies", "said"),
    [
        ({"on_match": "newer"}, "not a policy"),
        ({"on_match": "newest"}, "needs a column"),
        ({"on_match": "update:seen"}, "not a policy"),
        ({"on_match": {"users": "no"}}, "not a policy"),
        ({"on_match": {"nobody": "skip"}}, "nobody"),
        ({"on_clash": {"nobody": "reuse"}}, "nobody"),
        ({"on_match": "newest:absent"}, "do not share"),
        ({"on_clash": "replace"}, "not a policy"),
        ({"match_on": {"users": ["emial"]}}, "did you mean 'email'"),
        ({"match_on": {"nobody": ["email"]}}, "nobody"),
    ],
)
@pytest.mark.parametrize("there", [[], [(1, "a@x", "B", None)]], ids=["into an empty table", "beside a row"])
def test_a_policy_that_is_none_is_refused(
    databases: Databases, tmp_path: Path, there: list[Any], policies: dict[str, Any], said: str
) -> None:
    package = export_all(make(databases, "sqlite", users=[(1, "a@x", "A", None)]), tmp_path / "p.zip")
    target = make(databases, "sqlite", users=there)
    with dt.Database(target) as db, pytest.raises(dt.DataTransferError) as failed:
        dt.PackageImporter(package, db).plan(**policies)
    assert said in str(failed.value) + failed.value.hint
    with dt.Database(target) as db:
        assert len(dt.stages(db)) == 0


def test_policies_travel_as_plain_data() -> None:
    given = {"on_match": {"users": "newest:seen", "*": "update"}, "on_clash": {"tags": "rename"}}
    policies = Policies.of(**given)  # type: ignore[arg-type]
    assert Policies.of(**policies.to_json()) == policies
    assert Policies.of().to_json()["on_match"] == "skip"
    assert str(policies.match_rule("users")) == "newest:seen"
    assert str(policies.match_rule("others")) == "update"
    assert str(policies.clash_rule("others")) == "error"
