"""Importing what does not fit: one typed error that says what and where, and a target that is as it was."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer import errors
from tests.support.digest import assert_equal, exact_digest

SOURCE = """
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL, age INTEGER);
CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id), total NUMERIC(10,2));
INSERT INTO users VALUES (1, 'a@example.org', 30), (2, 'b@example.org', 40);
INSERT INTO orders VALUES (10, 1, 1.5), (11, 2, 2.25);
"""


ORDERS = "CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER, total NUMERIC(10,2))"


def _run(url: str, script: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.executescript(script)


@pytest.fixture
def package(sqlite_url: Callable[[], str], tmp_path: Path) -> dt.DataPackage:
    url = sqlite_url()
    _run(url, SOURCE)
    with dt.Database(url) as db:
        builder = dt.PackageBuilder(db)
        builder.add_all()
        return builder.build(tmp_path / "shop.zip")


def _leftovers(url: str) -> list[str]:
    path = Path(url.removeprefix("sqlite:///"))
    return sorted(item.name for item in path.parent.iterdir() if "datatransfer" in item.name)


@pytest.mark.parametrize(
    ("schema", "error", "said"),
    [
        ("CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, age INTEGER)", "SchemaMismatchError", "orders"),
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT);" + ORDERS,
            "SchemaMismatchError",
            "users.age",
        ),
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT, age INTEGER, phone TEXT NOT NULL);" + ORDERS,
            "SchemaMismatchError",
            "users.phone",
        ),
        (
            "CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT CHECK (email LIKE 'a%'), age INTEGER);" + ORDERS,
            "MergeError",
            "CHECK",
        ),
    ],
)
def test_a_target_that_does_not_fit_is_refused_whole(
    package: dt.DataPackage, sqlite_url: Callable[[], str], schema: str, error: str, said: str
) -> None:
    url = sqlite_url()
    _run(url, schema)
    before = exact_digest(url)
    with dt.Database(url) as target, pytest.raises(getattr(errors, error)) as caught:
        dt.PackageImporter(package, target).run()
    assert said in str(caught.value)
    assert "example.org" not in str(caught.value)
    assert_equal(before, exact_digest(url))
    assert _leftovers(url) == []


def test_every_misfit_is_found_at_once(package: dt.DataPackage, sqlite_url: Callable[[], str]) -> None:
    url = sqlite_url()
    _run(url, "CREATE TABLE users (id INTEGER PRIMARY KEY, phone TEXT NOT NULL)")
    with dt.Database(url) as target, pytest.raises(errors.SchemaMismatchError) as caught:
        dt.PackageImporter(package, target).plan()
    codes = sorted(finding["code"] for finding in caught.value.evidence["findings"])
    assert codes == ["missing-column", "missing-column", "missing-table", "required-column"]


def test_a_value_that_does_not_fit_names_its_column(package: dt.DataPackage, postgresql_url: Callable[[], str]) -> None:
    import sqlalchemy as sa

    url = postgresql_url()
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE users (id integer PRIMARY KEY, email varchar(5), age integer)")
        connection.exec_driver_sql("CREATE TABLE orders (id integer PRIMARY KEY, user_id integer, total numeric(10,2))")
    engine.dispose()
    with dt.Database(url) as target, pytest.raises(errors.ValueLossError, match=r"users\.email"):
        dt.PackageImporter(package, target).plan()
    with dt.Database(url) as target:
        assert list(target.schema.tables) == ["orders", "users"]
        assert target.count("users") == 0
        with target.engine.connect() as connection:
            left = connection.exec_driver_sql("SELECT count(*) FROM pg_class WHERE relname ~ '^datatransfer_'").scalar()
    assert left == 0


@pytest.mark.parametrize("policy", ["on_match", "on_clash", "identity", "on_orphan", "triggers"])
def test_a_policy_that_does_not_exist_is_refused(
    package: dt.DataPackage, sqlite_url: Callable[[], str], policy: str
) -> None:
    url = sqlite_url()
    _run(url, SOURCE)
    with dt.Database(url) as target, pytest.raises(errors.UsageError, match=policy):
        dt.PackageImporter(package, target).plan(**{policy: "perhaps"})


def test_match_on_names_only_what_is_there(package: dt.DataPackage, sqlite_url: Callable[[], str]) -> None:
    url = sqlite_url()
    _run(url, SOURCE)
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        with pytest.raises(errors.UnknownTableError):
            importer.plan(match_on={"people": ["email"]})
        with pytest.raises(errors.UnknownColumnError):
            importer.plan(match_on={"users": ["phone"]})
    assert _leftovers(url) == []


def test_a_plan_is_carried_out_once(package: dt.DataPackage, sqlite_url: Callable[[], str]) -> None:
    url = sqlite_url()
    _run(url, SOURCE.split("INSERT", maxsplit=1)[0])
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        plan = importer.plan()
        assert importer.run(plan).total("insert") == 4
        with pytest.raises(errors.UsageError):
            importer.run(plan)


@pytest.mark.parametrize(
    "policy",
    [{"on_match": "skip"}, {"on_match": "update", "on_clash": "reuse"}, {"identity": "keep"}, {"on_orphan": "keep"},
     {"triggers": "fire"}, {"match_on": {"users": "email"}}, {"decisions": {}}, {"drop": {"users": ["age"]}}],
    ids=lambda policy: ", ".join(policy),
)  # fmt: skip
def test_policies_that_come_too_late_for_a_plan_are_refused_and_not_ignored(
    package: dt.DataPackage, sqlite_url: Callable[[], str], policy: dict[str, Any]
) -> None:
    url = sqlite_url()
    _run(url, SOURCE.split("INSERT", maxsplit=1)[0])
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        plan = importer.plan()
        with pytest.raises(errors.UsageError, match=f"policies of its own, and {', '.join(policy)} would"):
            importer.run(plan, **policy)
        assert target.count("users") == 0
        assert importer.run(plan).total("insert") == 4  # it stands as it was


def test_a_target_that_changed_since_the_plan_is_not_overwritten(
    package: dt.DataPackage, sqlite_url: Callable[[], str]
) -> None:
    url = sqlite_url()
    _run(url, SOURCE.split("INSERT", maxsplit=1)[0])
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        importer.run()
        _run(url, "UPDATE users SET age = 31 WHERE id = 1")
        plan = importer.plan(on_match="update")
        assert plan.counts["users"] == {"update": 1, "reuse": 1}
        _run(url, "UPDATE users SET age = 32 WHERE id = 1")
        before = exact_digest(url)
        with pytest.raises(errors.TargetChangedError, match="users"):
            importer.run(plan)
    assert_equal(before, exact_digest(url))


def test_cancelling_leaves_the_target_as_it_was(package: dt.DataPackage, sqlite_url: Callable[[], str]) -> None:
    from datatransfer.events import Cancellation

    url = sqlite_url()
    _run(url, SOURCE.split("INSERT", maxsplit=1)[0])
    before = exact_digest(url)
    stop = Cancellation()
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target, listener=lambda _: stop.cancel(), cancellation=stop)
        with pytest.raises(errors.Cancelled):
            importer.run()
    assert_equal(before, exact_digest(url))
    assert _leftovers(url) == []


def test_a_discarded_plan_leaves_nothing(package: dt.DataPackage, sqlite_url: Callable[[], str]) -> None:
    url = sqlite_url()
    _run(url, SOURCE)
    with dt.Database(url) as target, dt.PackageImporter(package, target).plan(on_clash="reuse") as plan:
        assert _leftovers(url) != []
        assert plan.summary["rows"].sum() == 4
    assert _leftovers(url) == []


def test_a_plan_that_is_forgotten_leaves_nothing_either(package: dt.DataPackage, sqlite_url: Callable[[], str]) -> None:
    url = sqlite_url()
    _run(url, SOURCE)
    with dt.Database(url) as target:
        plan = dt.PackageImporter(package, target).plan(on_clash="reuse")
        assert _leftovers(url) != []
        del plan
        gc.collect()
    assert _leftovers(url) == []


def test_a_database_in_memory_is_a_target_and_keeps_its_settings(package: dt.DataPackage) -> None:
    with dt.Database("sqlite://") as target:
        with target.engine.begin() as connection:
            for statement in SOURCE.split("INSERT", maxsplit=1)[0].strip().split(";"):
                connection.exec_driver_sql(statement)
        with target.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA foreign_keys = ON")
        receipt = dt.PackageImporter(package, target).run()
        assert receipt.total("insert") == 4
        with target.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert dt.PackageImporter(package, target).run().total("reuse") == 4
