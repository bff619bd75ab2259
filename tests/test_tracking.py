"""Tracking gives tables their UUIDs and leaves everything else of them as it was, on every database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from datatransfer import Database, add_entity_uuids, track, untrack
from datatransfer.errors import UnknownTableError, UsageError
from tests.support.servers import Databases
from tests.support.tracked import operations, shop_on, uuids_of


@pytest.fixture
def shop(dialect: str, databases: Databases) -> Iterator[sa.Engine]:
    engine = shop_on(databases, dialect)
    yield engine
    engine.dispose()


def test_every_row_gets_its_own_random_uuid(shop: sa.Engine) -> None:
    assert track(shop, ["users", "od d%s"]) == ["users", "od d%s"]
    for table, count in (("users", 300), ("od d%s", 2)):
        found = uuids_of(shop, table)
        assert len(set(found)) == count
        assert all(isinstance(value, uuid.UUID) and value.version == 4 for value in found)
        assert all(value.variant == uuid.RFC_4122 for value in found)


def test_the_columns_are_those_of_the_mixin(shop: sa.Engine) -> None:
    track(shop, ["users"])

    metadata = sa.MetaData()
    users = sa.Table(
        "mixed",
        metadata,
        sa.Column("entity_uuid", sa.Uuid(), unique=True, nullable=False),
        sa.Column("imported_from_uuid", sa.Uuid(), index=True),
    )
    metadata.create_all(shop)
    inspector = sa.inspect(shop)
    found, mixed = (
        {c["name"]: (str(c["type"]), c["nullable"]) for c in inspector.get_columns(table) if c["name"] in users.c}
        for table in ("users", "mixed")
    )
    assert found == mixed
    indexes = {tuple(index["column_names"]): bool(index["unique"]) for index in inspector.get_indexes("users")}
    assert indexes == {("entity_uuid",): True, ("imported_from_uuid",): False}
    assert Database(shop).schema.table("users").tracked


def test_the_application_goes_on_inserting(shop: sa.Engine) -> None:
    track(shop, ["users"])
    users = sa.table("users", sa.column("name"))
    with shop.begin() as conn:
        conn.execute(users.insert(), [{"name": "new"}, {"name": "newer"}])
        conn.execute(users.insert().values(name="newest"))
    found = uuids_of(shop, "users")
    assert len(set(found)) == 303
    assert all(value.version == 4 for value in found)


def test_no_trigger_fires_and_every_trigger_stays(shop: sa.Engine) -> None:
    track(shop, ["users"])
    log = sa.select(sa.func.count()).select_from(sa.table("log"))
    with shop.begin() as conn:
        assert conn.execute(log).scalar_one() == 0
        conn.exec_driver_sql("UPDATE users SET name = 'x' WHERE id = 1")
        assert conn.execute(log).scalar_one() == 1


def test_what_is_tracked_already_is_left_alone(shop: sa.Engine) -> None:
    assert track(shop, ["users"]) == ["users"]
    before = uuids_of(shop, "users")
    assert track(shop, ["users", "od d%s"]) == ["od d%s"]
    assert track(shop) == []
    assert uuids_of(shop, "users") == before


def test_without_names_every_table_with_a_key_is_tracked(shop: sa.Engine) -> None:
    assert sorted(track(shop)) == ["od d%s", "users"]
    assert "entity_uuid" not in {column["name"] for column in sa.inspect(shop).get_columns("log")}


def test_untrack_takes_away_what_track_added(shop: sa.Engine) -> None:
    def shape() -> list[Any]:
        inspector = sa.inspect(shop)
        return [
            ([(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
             inspector.get_indexes(table), inspector.get_pk_constraint(table))
            for table in ("users", "od d%s")
        ]  # fmt: skip

    before = shape()
    track(shop)
    assert shape() != before
    assert sorted(untrack(shop, ["users", "od d%s"])) == ["od d%s", "users"]
    assert shape() == before
    assert untrack(shop, ["users"]) == []
    assert track(shop, ["users"]) == ["users"]


def test_a_uuid_that_the_application_declared_is_not_dropped(shop: sa.Engine) -> None:
    metadata = sa.MetaData()
    sa.Table("own", metadata, sa.Column("entity_uuid", sa.Uuid(), primary_key=True))
    metadata.create_all(shop)
    track(shop, ["users"])
    with pytest.raises(UsageError, match="not added by datatransfer"):
        untrack(shop, ["users", "own"])
    assert len(uuids_of(shop, "users")) == 300


def test_an_unknown_table_changes_nothing(shop: sa.Engine) -> None:
    with pytest.raises(UnknownTableError, match="user"):
        track(shop, ["users", "user"])
    with pytest.raises(UnknownTableError, match="user"), shop.begin() as conn:
        add_entity_uuids(operations(conn), "users", "user")
    assert "entity_uuid" not in {column["name"] for column in sa.inspect(shop).get_columns("users")}


def test_a_long_name_is_tracked_and_untracked(shop: sa.Engine) -> None:
    names = ["n" * 60 + "a", "n" * 60 + "b"]
    with shop.begin() as conn:
        for name in names:
            conn.exec_driver_sql(f"CREATE TABLE {name} (id INT PRIMARY KEY)")
    assert track(shop, names) == names
    assert untrack(shop, names) == names
