"""What a target keeps unique, by indexes of every kind, is known before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.sql import asked, connected, run
from tests.support.transfer import DIALECTS, export_all, import_into

USERS = "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(60), active INTEGER{more})"
POSTS = "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER, FOREIGN KEY (user_id) REFERENCES users (id))"
#: (name, dialect, what follows the columns of users, an index): 'ann@x' and 'ANN@X' are the same, or not active
RULES = {
    "sqlite-expression": ("sqlite", "", "CREATE UNIQUE INDEX i ON users (lower(email) DESC)"),
    "sqlite-partial": ("sqlite", "", "CREATE UNIQUE INDEX i ON users (lower(email)) WHERE active /* ) */ = 1"),
    "sqlite-index-collation": ("sqlite", "", "CREATE UNIQUE INDEX i ON users (email COLLATE NOCASE)"),
    "sqlite-column-collation": ("sqlite", ", low TEXT COLLATE NOCASE AS (email || '') UNIQUE", ""),
    "sqlite-computed": ("sqlite", ", low TEXT AS (lower(email)) UNIQUE", ""),
    "sqlite-default": ("sqlite", ", kind TEXT DEFAULT 'a', UNIQUE (kind, active)", ""),
    "postgresql-expression": ("postgresql", "", "CREATE UNIQUE INDEX i ON users (lower(email))"),
    "postgresql-partial": ("postgresql", "", "CREATE UNIQUE INDEX i ON users (upper(email), active) WHERE active > 0"),
    "postgresql-computed": (
        "postgresql",
        ", low TEXT GENERATED ALWAYS AS (lower(email)) STORED UNIQUE",
        "",
    ),
    "postgresql-default": ("postgresql", ", kind VARCHAR(9) DEFAULT 'a', UNIQUE (kind, active)", ""),
    "mariadb-computed": ("mariadb", ", low VARCHAR(60) AS (lower(email)) VIRTUAL UNIQUE", ""),
    "mariadb-collation": (
        "mariadb",
        ", UNIQUE (email)",
        "ALTER TABLE users CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
    ),
    "mariadb-prefix": ("mariadb", ", low VARCHAR(60) AS (lower(email)) VIRTUAL, UNIQUE (low(4))", ""),
}


def _make(databases: Databases, dialect: str, *statements: str) -> str:
    url = databases.create(dialect)
    run(url, *statements)
    return url


def _package(databases: Databases, path: Path, *rows: str) -> dt.DataPackage:
    source = _make(
        databases, "sqlite", USERS.format(more=""), POSTS, *(f"INSERT INTO users VALUES {row}" for row in rows),
        "INSERT INTO posts SELECT id + 100, id FROM users",
    )  # fmt: skip
    return export_all(source, path / "package.zip")


def _conflicts(package: dt.DataPackage, url: str, **policies: str) -> list[tuple[str, object, str]]:
    with dt.Database(url) as target, dt.PackageImporter(package, target).plan(**policies) as plan:
        return [(c.table, c.source_key, c.reason) for c in plan.conflicts.itertuples()]


@pytest.mark.parametrize("name", RULES)
def test_a_clash_with_a_row_of_the_target_is_planned(name: str, databases: Databases, tmp_path: Path) -> None:
    dialect, more, index = RULES[name]
    package = _package(databases, tmp_path, "(1, 'ANN@X', 1)", "(2, 'eve@x', 2)")
    there = "INSERT INTO users (id, email, active) VALUES (7, 'ann@x', 1)"
    target = _make(databases, dialect, USERS.format(more=more), index, POSTS, there)
    before = exact_digest(target)
    found = _conflicts(package, target)
    assert [(table, key) for table, key, _ in found] == [("users", 1)]
    assert found[0][2].startswith("another row holds the same ")
    with pytest.raises(dt.ConflictError):
        import_into(package, target)
    assert_equal(before, exact_digest(target))
    receipt = import_into(package, target, on_clash="reuse", on_match="skip")
    row = receipt.summary.set_index("table").loc["users"]
    assert (row["inserted"], row["reused"] + row["skipped"]) == (1, 1)
    held = asked(target, "SELECT p.id, u.email FROM posts p JOIN users u ON u.id = p.user_id ORDER BY p.id")
    assert held == [(101, "ann@x"), (102, "eve@x")]


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("there", [True, False], ids=["beside-others", "into-an-empty-table"])
def test_rows_of_the_package_that_are_the_same_to_the_target_are_a_conflict(
    name: str, there: bool, databases: Databases, tmp_path: Path
) -> None:
    dialect, more, index = RULES[name]
    package = _package(databases, tmp_path, "(1, 'ann@x', 1)", "(2, 'ANN@X', 1)", "(3, 'eve@x', 3)")
    other = "INSERT INTO users (id, email, active) VALUES (7, 'bob@x', 5)" if there else ""
    target = _make(databases, dialect, USERS.format(more=more), index, POSTS, other)
    before = exact_digest(target)
    found = _conflicts(package, target)
    assert [(table, key) for table, key, _ in found] == [("users", 2)]
    assert "of the package" in found[0][2]
    with pytest.raises(dt.ConflictError):
        import_into(package, target)
    assert_equal(before, exact_digest(target))


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_rows_that_a_partial_index_leaves_out_do_not_clash(dialect: str, databases: Databases, tmp_path: Path) -> None:
    package = _package(databases, tmp_path, "(1, 'ANN@X', 0)", "(2, 'ann@x', 0)", "(3, NULL, 1)", "(4, NULL, 1)")
    target = _make(
        databases, dialect, USERS.format(more=""), POSTS,
        "CREATE UNIQUE INDEX i ON users (lower(email)) WHERE active = 1",
        "INSERT INTO users VALUES (7, 'ann@x', 1)",
    )  # fmt: skip
    assert _conflicts(package, target) == []
    import_into(package, target)
    assert len(asked(target, "SELECT id FROM users")) == 5


@pytest.mark.parametrize("more", [", UNIQUE (email)", ""])
def test_trailing_spaces_clash_where_they_do_not_count(more: str, databases: Databases, tmp_path: Path) -> None:
    package = _package(databases, tmp_path, "(1, 'ann@x  ', 1)", "(2, 'eve@x', 2)", "(3, 'eve@x ', 2)")
    users = USERS.format(more=more).replace("VARCHAR(60)", "VARCHAR(60) COLLATE RTRIM")
    index = "" if more else "CREATE UNIQUE INDEX i ON users (email)"
    target = _make(databases, "sqlite", users, index, POSTS, "INSERT INTO users VALUES (7, 'ann@x', 1)")
    assert [key for _, key, _ in _conflicts(package, target)] == [1, 3]


def test_nulls_that_are_not_distinct_clash(databases: Databases, tmp_path: Path) -> None:
    package = _package(databases, tmp_path, "(1, NULL, 1)")
    target = _make(databases, "postgresql", USERS.format(more=""), POSTS, "INSERT INTO users VALUES (7, NULL, 5)")
    if int(asked(target, "SHOW server_version_num")[0][0]) < 150000:
        pytest.skip("optional: NULLS NOT DISTINCT needs PostgreSQL 15")
    with connected(target) as connection:
        connection.exec_driver_sql("CREATE UNIQUE INDEX i ON users (email) NULLS NOT DISTINCT")
    assert [key for _, key, _ in _conflicts(package, target)] == [1]


# --- updates -----------------------------------------------------------------------------------------------------

#: The column email, and whether values can be exchanged in it.
COLUMNS = {"nullable": "VARCHAR(60)", "required": "VARCHAR(60) NOT NULL"}


def _exchange(
    databases: Databases, tmp_path: Path, dialect: str, column: str, index: str
) -> tuple[dt.DataPackage, str]:
    table = f"CREATE TABLE users (code INTEGER NOT NULL, email {column}, PRIMARY KEY (code))"
    rows = "INSERT INTO users VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')"
    source = _make(
        databases, "sqlite", table, rows.replace("'a'", "'b'", 1).replace("'b'), (3, 'c')", "'c'), (3, 'a')")
    )
    target = _make(databases, dialect, table, index, rows)
    return export_all(source, tmp_path / "package.zip"), target


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_unique_values_are_exchanged(dialect: str, column: str, databases: Databases, tmp_path: Path) -> None:
    index = "CREATE UNIQUE INDEX i ON users (email)"
    package, target = _exchange(databases, tmp_path, dialect, COLUMNS[column], index)
    receipt = import_into(package, target, on_match="update", match_on={"users": ["code"]})
    assert receipt.summary.set_index("table").loc["users"]["updated"] == 3
    assert asked(target, "SELECT code, email FROM users ORDER BY code") == [(1, "b"), (2, "c"), (3, "a"), (4, "d")]


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_values_of_an_expression_are_exchanged(dialect: str, databases: Databases, tmp_path: Path) -> None:
    index = "CREATE UNIQUE INDEX i ON users (lower(email))"
    package, target = _exchange(databases, tmp_path, dialect, "VARCHAR(60)", index)
    import_into(package, target, on_match="update", match_on={"users": ["code"]})
    assert asked(target, "SELECT email FROM users ORDER BY code") == [("b",), ("c",), ("a",), ("d",)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_exchange_without_a_place_to_hold_values_is_a_conflict(
    dialect: str, databases: Databases, tmp_path: Path
) -> None:
    index = "CREATE UNIQUE INDEX i ON users (email)"
    column = "DATE NOT NULL" if dialect != "sqlite" else "BLOB NOT NULL"
    values = ["2026-01-01", "2026-01-02"] if dialect != "sqlite" else [b"a", b"b"]
    table = f"CREATE TABLE users (code INTEGER NOT NULL, email {column}, PRIMARY KEY (code))"
    urls = [_make(databases, dialect, table, index) for _ in range(2)]
    for url, (first, second) in zip(urls, (values, values[::-1]), strict=True):
        with connected(url) as connection:
            connection.execute(
                sa.text("INSERT INTO users VALUES (:k, :v)"), [{"k": 1, "v": first}, {"k": 2, "v": second}]
            )
    before = exact_digest(urls[1])
    package = export_all(urls[0], tmp_path / "package.zip")
    with dt.Database(urls[1]) as target:
        plan = dt.PackageImporter(package, target).plan(on_match="update", match_on={"users": ["code"]})
        assert set(plan.conflicts["reason"]) == {
            "rows exchange their email, and the target has no place to hold it meanwhile"
        }
        plan.discard()
    assert_equal(before, exact_digest(urls[1]))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_update_does_not_take_what_another_row_keeps(dialect: str, databases: Databases, tmp_path: Path) -> None:
    table = "CREATE TABLE users (code INTEGER NOT NULL, email VARCHAR(60), PRIMARY KEY (code))"
    source = _make(databases, "sqlite", table, "INSERT INTO users VALUES (1, 'c'), (2, 'a')")
    target = _make(
        databases, dialect, table, "CREATE UNIQUE INDEX i ON users (email)",
        "INSERT INTO users VALUES (1, 'a'), (2, 'b'), (3, 'c')",
    )  # fmt: skip
    package = export_all(source, tmp_path / "package.zip")
    options = {"on_match": "update", "match_on": {"users": ["code"]}}
    with dt.Database(target) as db, dt.PackageImporter(package, db).plan(**options) as plan:
        assert set(plan.conflicts["source_key"]) == {1, 2}  # what row 1 keeps, row 2 cannot have
        assert all("which the update would take" in reason for reason in plan.conflicts["reason"])
    receipt = import_into(package, target, on_clash="reuse", **options)
    assert receipt.summary.empty or receipt.summary["updated"].sum() == 0
    assert asked(target, "SELECT email FROM users ORDER BY code") == [("a",), ("b",), ("c",)]
