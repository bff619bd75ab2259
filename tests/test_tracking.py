"""Tracking gives tables their UUIDs and leaves everything else of them exactly as it was."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy.pool import NullPool

from datatransfer import Database, add_entity_uuids, drop_entity_uuids, track, untrack
from datatransfer.database import ledger, models, tracking
from datatransfer.errors import DatabaseError, UnknownTableError, UsageError
from tests.support.servers import Databases

ROOT = Path(__file__).parent.parent

# A table with everything that a careless migration loses.
SQLITE = """
    CREATE TABLE parents (
        code TEXT COLLATE NOCASE PRIMARY KEY, n, doubled INT GENERATED ALWAYS AS (n * 2) STORED, changes INT DEFAULT 0
    ) WITHOUT ROWID;
    CREATE TABLE children (id INTEGER PRIMARY KEY AUTOINCREMENT, code REFERENCES parents (code) ON DELETE CASCADE, v,
        CHECK (v <> 'entity_uuid DEFAULT'));
    CREATE TABLE "od""d %s" (a INTEGER PRIMARY KEY, b TEXT) STRICT;
    CREATE INDEX by_v ON children (v) WHERE v IS NOT NULL;
    CREATE UNIQUE INDEX by_expression ON parents (lower(code));
    CREATE VIEW joined AS SELECT p.*, c.v FROM parents p JOIN children c USING (code);
    CREATE TRIGGER counted AFTER UPDATE ON parents
        BEGIN UPDATE parents SET changes = changes + 1 WHERE code = NEW.code; END;
    CREATE TRIGGER "no; more" BEFORE DELETE ON children BEGIN SELECT RAISE(ABORT, 'entity_uuid'); END;
    INSERT INTO parents (code, n) VALUES ('a', 1), ('b', '1'), ('c', 1.0), ('d', x'31'), ('e', NULL);
    INSERT INTO children (id, code, v) VALUES (7, 'a', 1), (5, 'b', 'x'), (3, NULL, 2.5), (-1, 'zz', x'00');
    INSERT INTO "od""d %s" VALUES (1, 'x'), (2, NULL);
"""
ODD = 'od"d %s'
TABLES = ("parents", "children", ODD)


@pytest.fixture
def sqlite(databases: Databases) -> Iterator[sa.Engine]:
    engine = sa.create_engine(databases.create("sqlite"), poolclass=NullPool)
    raw = engine.raw_connection()
    raw.driver_connection.executescript(SQLITE)  # type: ignore[union-attr]
    raw.close()
    yield engine
    engine.dispose()


def shop_on(databases: Databases, dialect: str) -> sa.Engine:
    """A small database on any dialect: two tables with rows, one of them with a trigger that would note an update."""
    engine = sa.create_engine(databases.create(dialect), poolclass=NullPool)
    metadata = sa.MetaData()
    users = sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))
    odd = sa.Table("od d%s", metadata, sa.Column("k", sa.String(10), primary_key=True))
    sa.Table("log", metadata, sa.Column("what", sa.String(20)))
    with engine.begin() as conn:
        metadata.create_all(conn)
        conn.execute(users.insert(), [{"name": f"user {n}"} for n in range(300)])
        conn.execute(odd.insert(), [{"k": "x"}, {"k": "y"}])
        for statement in TRIGGER[dialect]:
            conn.exec_driver_sql(statement)
    return engine


TRIGGER = {
    "sqlite": ["CREATE TRIGGER noted AFTER UPDATE ON users BEGIN INSERT INTO log VALUES ('updated'); END"],
    "mariadb": ["CREATE TRIGGER noted AFTER UPDATE ON users FOR EACH ROW INSERT INTO log VALUES ('updated')"],
    "postgresql": [
        """CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO log VALUES ('updated'); RETURN NEW; END $$""",
        "CREATE TRIGGER noted AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION note()",
    ],
}


@pytest.fixture(params=["sqlite", "postgresql", "mariadb"])
def shop(request: pytest.FixtureRequest, databases: Databases) -> Iterator[sa.Engine]:
    engine = shop_on(databases, request.param)
    yield engine
    engine.dispose()


def uuids_of(engine: sa.Engine, table: str) -> list[Any]:
    """Read the UUIDs as an application that uses `EntityMixin` does."""
    found = sa.table(table, sa.column("entity_uuid", sa.Uuid()))
    with engine.connect() as conn:
        return list(conn.execute(sa.select(found.c.entity_uuid)).scalars())


def shape_of(engine: sa.Engine) -> list[tuple[Any, ...]]:
    """Return the whole schema of a SQLite file, as it was written."""
    with engine.connect() as conn:
        wanted = """SELECT type, name, tbl_name, sql FROM sqlite_master
            WHERE name NOT LIKE 'datatransfer%' AND tbl_name NOT LIKE 'datatransfer%' ORDER BY 1, 2"""
        return [tuple(row) for row in conn.exec_driver_sql(wanted)]


def values_of(engine: sa.Engine, *, extra: bool = False) -> dict[str, list[tuple[Any, ...]]]:
    """Return every value with its storage class, and the rowids."""
    columns = {
        "parents": ["code", "n", "doubled", "changes"],
        "children": ["rowid", "id", "code", "v"],
        ODD: ["a", "b"],
    }
    found = {}
    with engine.connect() as conn:
        quote = conn.dialect.identifier_preparer.quote_identifier
        for table, names in columns.items():
            each = ", ".join(f"{name}, typeof({name})" for name in [*names, *["entity_uuid"] * extra])
            found[table] = [tuple(r) for r in conn.exec_driver_sql(f"SELECT {each} FROM {quote(table)} ORDER BY 1")]
    return found


# --- on every database ----------------------------------------------------------------------------------------------


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


# --- a user's own migration, and ours --------------------------------------------------------------------------------


def operations(conn: sa.Connection) -> Operations:
    return Operations(MigrationContext.configure(conn))


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


# --- SQLite: nothing of a table is lost -----------------------------------------------------------------------------


def test_everything_else_of_a_sqlite_table_stays(sqlite: sa.Engine) -> None:
    before, shape = values_of(sqlite), shape_of(sqlite)
    assert track(sqlite, TABLES) == list(TABLES)
    assert values_of(sqlite) == before
    after = shape_of(sqlite)
    assert [row for row in after if row[0] != "table"] == [row for row in shape if row[0] != "table"]
    for (_, name, _, old), (_, _, _, new) in zip(shape, after, strict=True):
        if name in TABLES:
            # The columns were added, and the declaration is otherwise what it was, letter by letter.
            added = re.compile(
                r', ?"entity_uuid" (CHAR\(32\)|TEXT) NOT NULL DEFAULT \(lower.*\), "imported_from_uuid" \1'
            )
            assert added.sub("", new, count=1) == old
    with sqlite.connect() as conn:
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert conn.exec_driver_sql("PRAGMA foreign_key_list(children)").all()[0][2:5] == ("parents", "code", "code")
    for rows in values_of(sqlite, extra=True).values():
        assert len({row[-2] for row in rows}) == len(rows)
        assert {row[-1] for row in rows} == {"text"}


def test_a_sqlite_table_is_as_before_after_untrack(sqlite: sa.Engine) -> None:
    before, shape = values_of(sqlite), shape_of(sqlite)
    track(sqlite, TABLES)
    untrack(sqlite, TABLES)
    assert values_of(sqlite) == before
    assert shape_of(sqlite) == shape
    with sqlite.connect() as conn:
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"


def test_another_connection_sees_the_new_default(sqlite: sa.Engine) -> None:
    with sqlite.connect() as other:
        other.exec_driver_sql("SELECT * FROM children").all()
        other.rollback()
        track(sqlite, ["children"])
        other.exec_driver_sql("INSERT INTO children (v) VALUES (1), (2)")
        other.commit()
    assert len(set(uuids_of(sqlite, "children"))) == 6


def test_a_failure_half_way_leaves_a_sqlite_table_as_it_was(sqlite: sa.Engine) -> None:
    with sqlite.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        conn.exec_driver_sql("INSERT INTO t VALUES (1), (2)")
        # The second of the two names that the indexes of `t` would get.
        conn.exec_driver_sql("CREATE INDEX datatransfer_from_t ON children (v)")
    before, shape = values_of(sqlite), shape_of(sqlite)
    with pytest.raises(DatabaseError, match="adding entity_uuid"):
        track(sqlite, ["t"])
    assert shape_of(sqlite) == shape
    assert values_of(sqlite) == before


def test_tracking_is_part_of_the_callers_transaction(sqlite: sa.Engine) -> None:
    before, shape = values_of(sqlite), shape_of(sqlite)
    with sqlite.connect() as conn:
        conn.exec_driver_sql("UPDATE children SET v = 'changed'")
        add_entity_uuids(operations(conn), *TABLES)
        conn.rollback()
        assert conn.exec_driver_sql("SELECT count(*) FROM children WHERE v = 'changed'").scalar_one() == 0
    assert (values_of(sqlite), shape_of(sqlite)) == (before, shape)


def test_a_virtual_table_or_view_is_refused(sqlite: sa.Engine) -> None:
    with pytest.raises(UnknownTableError, match="view"), sqlite.begin() as conn:
        add_entity_uuids(operations(conn), "joined")


def test_a_table_of_another_schema_is_tracked(databases: Databases) -> None:
    engine = sa.create_engine(databases.create("postgresql"), poolclass=NullPool)
    with engine.begin() as conn:
        conn.exec_driver_sql("CREATE SCHEMA aside")
        conn.exec_driver_sql("CREATE TABLE aside.t (id int PRIMARY KEY)")
        assert add_entity_uuids(operations(conn), "aside.t") == ["aside.t"]
        assert drop_entity_uuids(operations(conn), "aside.t") == ["aside.t"]
    assert track(Database(engine, schema="aside"), ["t"]) == ["t"]
    assert sa.inspect(engine).has_table(models.VERSION_TABLE, schema="aside")
