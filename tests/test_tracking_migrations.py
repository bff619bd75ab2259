"""Tracking in a migration of the application, and the migrations of our own tables."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from datatransfer import add_entity_uuids, drop_entity_uuids
from datatransfer.database import ledger, models, tracking
from datatransfer.errors import UsageError
from tests.support.servers import Databases
from tests.support.tracked import operations, shop_on, uuids_of


@pytest.fixture
def shop(dialect: str, databases: Databases) -> Iterator[sa.Engine]:
    engine = shop_on(databases, dialect)
    yield engine
    engine.dispose()


def test_one_line_of_a_migration_of_your_own(shop: sa.Engine) -> None:
    with shop.begin() as conn:
        assert add_entity_uuids(operations(conn), "users", "od d%s") == ["users", "od d%s"]
    assert len(set(uuids_of(shop, "users"))) == 300
    with shop.begin() as conn:
        assert add_entity_uuids(operations(conn), "users") == []
        assert drop_entity_uuids(operations(conn), "users") == ["users"]
        assert drop_entity_uuids(operations(conn), "users") == []
    assert not sa.inspect(shop).has_table(models.VERSION_TABLE)


def alembic_config(conn: sa.Connection, *tables: str) -> Config:
    config = Config(str(tracking.migrations_folder() / "alembic.ini"))
    config.attributes |= {"connection": conn, "tables": tables}
    return config


def migrate(engine: sa.Engine, verb: Callable[..., None], revision: str, *tables: str) -> None:
    with engine.begin() as conn:
        verb(alembic_config(conn, *tables), revision)


def versions_of(engine: sa.Engine) -> set[str]:
    with engine.connect() as conn:
        return set(conn.execute(sa.select(models.version.c.version_num)).scalars())


def test_alembic_runs_both_branches_up_and_down(shop: sa.Engine) -> None:
    migrate(shop, command.upgrade, "ledger@head")
    migrate(shop, command.upgrade, "entity_uuids@head", "users")
    assert versions_of(shop) == {ledger.LEDGER_REVISION, tracking.REVISION}
    assert len(set(uuids_of(shop, "users"))) == 300
    with shop.begin() as conn:
        assert ledger.ensure_origin(conn)
    migrate(shop, command.downgrade, "entity_uuids@base", "users")
    migrate(shop, command.downgrade, "ledger@base")
    assert versions_of(shop) == set()
    assert sorted(sa.inspect(shop).get_table_names()) == [models.VERSION_TABLE, "log", "od d%s", "users"]
    assert not sa.inspect(shop).has_table("alembic_version")


def test_the_migration_asks_which_tables(shop: sa.Engine) -> None:
    with pytest.raises(UsageError, match="no table was named"):
        migrate(shop, command.upgrade, "entity_uuids@head")


def test_the_migrated_ledger_is_the_one_that_create_ledger_makes(shop: sa.Engine) -> None:
    def ours(_object: Any, name: str | None, kind: str, *_: Any) -> bool:
        return kind != "table" or str(name).startswith(models.PREFIX)

    migrate(shop, command.upgrade, "ledger@head")
    with shop.begin() as conn:
        context = MigrationContext.configure(
            conn, opts={"compare_type": True, "include_object": ours, "version_table": models.VERSION_TABLE}
        )
        # Alembic leaves its version table out of the comparison's one side only.
        found = [
            change for change in compare_metadata(context, models.METADATA) if models.VERSION_TABLE not in str(change)
        ]
        assert found == []
        ledger.create_ledger(conn)
    assert versions_of(shop) == {ledger.LEDGER_REVISION}


def test_alembic_finds_nothing_to_do_after_create_ledger(shop: sa.Engine) -> None:
    with shop.begin() as conn:
        ledger.create_ledger(conn)
    migrate(shop, command.upgrade, "ledger@head")
    assert versions_of(shop) == {ledger.LEDGER_REVISION}


def test_our_revisions_are_real_and_unique() -> None:
    script = ScriptDirectory(str(tracking.migrations_folder()))
    found = [revision.revision for revision in script.walk_revisions()]
    assert len(found) == len(set(found))
    assert {ledger.LEDGER_REVISION, tracking.REVISION} <= set(found)
    assert all(re.fullmatch("[0-9a-f]{12}", revision) and len(set(revision)) > 4 for revision in found)
