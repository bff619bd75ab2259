"""Tracking a table of SQLite, which has to be made anew: nothing of it is lost."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from datatransfer import Database, add_entity_uuids, drop_entity_uuids, track, untrack
from datatransfer.database import models
from datatransfer.errors import DatabaseError, UnknownTableError
from tests.support.servers import Databases
from tests.support.tracked import operations, uuids_of

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
