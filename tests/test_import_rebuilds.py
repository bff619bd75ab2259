"""A large import into empty tables takes keys and indexes away and builds them again: the schema stays what it was."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer.importing.merge import _BULK_ROWS
from tests.support.digest import exact_digest
from tests.support.reading import driver_dsn
from tests.support.servers import Databases, as_role
from tests.support.transfer import export_all, import_into, written

SCHEMA = """
CREATE TABLE parents (id integer CONSTRAINT parents_key PRIMARY KEY, code text NOT NULL, twin integer,
    other integer, CONSTRAINT parents_code UNIQUE (code) INCLUDE (twin), UNIQUE (twin) DEFERRABLE,
    CONSTRAINT parents_filled UNIQUE (other) WITH (fillfactor = 70));
CREATE TABLE children (id integer PRIMARY KEY, parent_id integer NOT NULL REFERENCES parents (id) ON DELETE CASCADE,
    parent_code text REFERENCES parents (code), span int4range, EXCLUDE USING gist (span WITH &&));
CREATE UNIQUE INDEX children_lower ON children (lower(parent_code), id) WHERE id > 5;
CREATE INDEX children_parent ON children (parent_id);
CREATE INDEX children_clustered ON children (parent_code);
CREATE VIEW grouped AS SELECT c.id, c.parent_id FROM children c GROUP BY c.id;
ALTER TABLE children CLUSTER ON children_clustered;
COMMENT ON INDEX children_parent IS 'for the list of children';
COMMENT ON CONSTRAINT children_parent_id_fkey ON children IS 'every child''s parent';
COMMENT ON CONSTRAINT parents_code ON parents IS 'codes are printed on labels'
"""
FACTS = """
SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated::text,
    obj_description(oid, 'pg_constraint') FROM pg_constraint
    WHERE conrelid::regclass::text ~ '^(parents|children|strangers)$'
UNION ALL SELECT 'index', indrelid::regclass::text, indexrelid::regclass::text, pg_get_indexdef(indexrelid),
    indisclustered::text || indisvalid::text, obj_description(indexrelid, 'pg_class') FROM pg_index
    WHERE indrelid IN ('parents'::regclass, 'children'::regclass)
UNION ALL SELECT 'view', 'grouped', 'grouped', pg_get_viewdef('grouped'::regclass), '', NULL
ORDER BY 1, 2, 3
"""


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(driver_dsn(url), autocommit=True) as connection:
        yield connection


def _filled(databases: Databases) -> tuple[str, str]:
    """Return a source with many rows and an empty target of the same schema."""
    source, target = databases.create("postgresql"), databases.create("postgresql")
    for url in (source, target):
        with _connected(url) as connection:
            for statement in SCHEMA.split(";\n"):
                connection.execute(statement.encode())
    with _connected(source) as connection:
        for table, row in {"parents": "i, 'c' || i, i, i", "children": "i, i, 'c' || i, int4range(i, i + 1)"}.items():
            connection.execute(f"INSERT INTO {table} SELECT {row} FROM generate_series(1, {_BULK_ROWS}) i".encode())
    return source, target


@pytest.mark.parametrize("referenced", [False, True], ids=["alone", "referenced by a table outside of the package"])
def test_the_schema_of_a_target_is_the_same_after_a_large_import(
    databases: Databases, tmp_path: Path, referenced: bool
) -> None:
    source, target = _filled(databases)
    if referenced:
        with _connected(target) as connection:
            connection.execute("CREATE TABLE strangers (parent_id integer REFERENCES parents (id))")
    with _connected(target) as connection:
        before = connection.execute(FACTS).fetchall()
    receipt = import_into(export_all(source, tmp_path / "package.zip"), target)
    assert written(receipt) == 2 * _BULK_ROWS
    with _connected(target) as connection:
        assert connection.execute(FACTS).fetchall() == before
    wanted = exact_digest(source)
    assert {name: exact_digest(target).tables[name] for name in wanted.tables} == wanted.tables


def _dropped(package: dt.DataPackage, target: str) -> set[str]:
    """Import, and return the names of the constraints and indexes that were taken away on the way."""
    said: list[str] = []
    with dt.Database(target) as db:
        sa.event.listen(db.engine, "before_cursor_execute", lambda *arguments: said.append(arguments[2]))
        dt.PackageImporter(package, db).run()
    return {m[1] for sql in said if (m := re.search(r'DROP (?:CONSTRAINT|INDEX) "?(\w+)', sql))}


def test_keys_and_indexes_are_built_once_and_not_row_by_row(databases: Databases, tmp_path: Path) -> None:
    source, target = _filled(databases)
    package = export_all(source, tmp_path / "package.zip")
    # A superuser's foreign keys rest, for the plan has verified them; what they stand on then stays too, as does what
    # a definition does not say, or what a view stands on.
    assert _dropped(package, target) == {"children_lower", "parents_twin_key"}
    with _connected(target) as connection:
        assert connection.execute(
            "SELECT count(*) FROM children c JOIN parents p ON p.id = c.parent_id"
        ).fetchone() == (_BULK_ROWS,)


def test_a_plain_owner_has_foreign_keys_checked_at_the_end(
    databases: Databases, tmp_path: Path, plain_role: str
) -> None:
    source, target = _filled(databases)
    package = export_all(source, tmp_path / "package.zip")
    with _connected(target) as connection:
        before = connection.execute(FACTS).fetchall()
        connection.execute(f"GRANT ALL ON SCHEMA public TO {plain_role}".encode())
        for table in ("parents", "children"):
            connection.execute(f"ALTER TABLE {table} OWNER TO {plain_role}".encode())
    as_owner = as_role(target, plain_role)
    dropped = _dropped(package, as_owner)
    assert {"parents_key", "children_parent_id_fkey", "children_lower", "parents_twin_key"} <= dropped
    assert not {"parents_code", "parents_filled", "children_parent", "children_clustered", "children_pkey"} & dropped
    with _connected(target) as connection:
        assert connection.execute(FACTS).fetchall() == before


def test_a_foreign_key_that_only_the_target_has_is_checked_by_it(databases: Databases, tmp_path: Path) -> None:
    source, target = _filled(databases)
    with _connected(source) as connection:
        connection.execute("ALTER TABLE children DROP CONSTRAINT children_parent_id_fkey")
        connection.execute("UPDATE children SET parent_id = -1 WHERE id = 7")
    with pytest.raises(dt.DataTransferError):
        import_into(export_all(source, tmp_path / "package.zip"), target)
    with _connected(target) as connection:
        assert connection.execute("SELECT count(*) FROM children").fetchone() == (0,)


def test_triggers_that_are_meant_to_fire_always_keep_the_role_of_the_session(
    databases: Databases, tmp_path: Path
) -> None:
    source, target = _filled(databases)
    package = export_all(source, tmp_path / "package.zip")
    with _connected(target) as connection:
        connection.execute("CREATE FUNCTION no() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'")
        connection.execute("CREATE TRIGGER no BEFORE INSERT ON children FOR EACH ROW EXECUTE FUNCTION no()")
        connection.execute("ALTER TABLE children ENABLE REPLICA TRIGGER no")
    assert "children_parent_id_fkey" in _dropped(package, target)
    with _connected(target) as connection:
        assert connection.execute("SELECT count(*) FROM children").fetchone() == (_BULK_ROWS,)
        assert connection.execute("SELECT tgenabled::text FROM pg_trigger WHERE tgname = 'no'").fetchone() == ("R",)


def test_duplicates_that_only_the_rebuilt_key_sees_leave_nothing_behind(databases: Databases, tmp_path: Path) -> None:
    source, target = _filled(databases)
    with _connected(source) as connection:
        connection.execute("ALTER TABLE parents DROP CONSTRAINT parents_twin_key")
        connection.execute("UPDATE parents SET twin = 1 WHERE id = 2")
    with _connected(target) as connection:
        before = connection.execute(FACTS).fetchall()
    with pytest.raises(dt.DataTransferError):
        import_into(export_all(source, tmp_path / "package.zip"), target)
    with _connected(target) as connection:
        assert connection.execute(FACTS).fetchall() == before
        assert connection.execute("SELECT count(*) FROM parents").fetchone() == (0,)
