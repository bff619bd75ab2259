"""Rows that go into empty PostgreSQL tables are hashed from the stage meanwhile: the same hashes, for undo."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest

import datatransfer as dt
from datatransfer.database.writers import postgresql_hashes
from datatransfer.database.writers.postgresql import PostgreSQLWriter
from datatransfer.database.writers.postgresql_hashes import PostgreSQLHashes, _Ahead
from datatransfer.errors import DatabaseError
from datatransfer.importing import images
from tests.support.digest import assert_equal, exact_digest
from tests.support.hashed import imported, refuse_unhashed, with_and_without_ahead
from tests.support.reading import driver_dsn
from tests.support.servers import Databases
from tests.support.transfer import export_all

ROWS = images._AHEAD_ROWS
SCHEMA = """
CREATE DOMAIN label AS varchar(12) COLLATE "C" CHECK (value <> '');
CREATE TYPE mood AS ENUM ('good', 'bad');
CREATE TABLE things (id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY, small smallint, name varchar(20),
    padded char(8), label label, money numeric(12, 4), share real, made timestamp(0), seen timestamptz,
    feeling mood, tags text[], facts jsonb, raw bytea, span interval,
    twice integer GENERATED ALWAYS AS (small * 2) STORED);
CREATE TABLE others (id bigint PRIMARY KEY, thing_id integer REFERENCES things (id), extra integer DEFAULT 7)
"""
FILL = f"""
INSERT INTO things (small, name, padded, label, money, share, made, seen, feeling, tags, facts, raw, span)
SELECT g % 100, 'n' || g, 'p' || g % 7, 'l' || g, g / 7.0, g / 3.0, timestamp '2026-01-01' + g * interval '1 minute',
    timestamptz '2026-01-01' + g * interval '1 second', CASE g % 2 WHEN 0 THEN 'good' ELSE 'bad' END::mood,
    ARRAY['a', 'b' || g], jsonb_build_object('g', g), int8send(g), g * interval '1 hour'
    FROM generate_series(1, {ROWS}) g;
INSERT INTO others (id, thing_id) SELECT g, g FROM generate_series(1, {ROWS}) g
"""


@contextmanager
def _connected(url: str) -> Iterator[psycopg.Connection]:
    with psycopg.connect(driver_dsn(url), autocommit=True) as connection:
        yield connection


@pytest.fixture
def pair(databases: Databases, tmp_path: Path) -> tuple[dt.DataPackage, str]:
    """A package of two large tables, and a target without rows."""
    source, target = databases.create("postgresql"), databases.create("postgresql")
    for url in (source, target):
        with _connected(url) as connection:
            connection.execute(SCHEMA)
    with _connected(source) as connection:
        connection.execute(FILL)
    return export_all(source, tmp_path / "all.zip"), target


def test_hashes_from_the_stage_are_those_of_the_rows_as_the_table_holds_them(
    pair: tuple[dt.DataPackage, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    package, url = pair
    kept = with_and_without_ahead(package, url, PostgreSQLHashes, ["others", "things"], monkeypatch)
    assert {name: len(rows) for name, rows in kept.items()} == {"things": ROWS, "others": ROWS}


def test_undo_after_a_large_import_names_the_one_row_that_was_edited(pair: tuple[dt.DataPackage, str]) -> None:
    package, url = pair
    before = exact_digest(url)
    change, _ = imported(package, url)
    with _connected(url) as connection:
        connection.execute("UPDATE others SET extra = 8 WHERE id = 77")
    with dt.Database(url) as target:
        check = dt.receipt(target, change).check_undo()
        found = check.to_frame().set_index("table")["state"].to_dict()
        assert found == {"others": "edited", "things": "referenced"}
        assert len(check.to_frame()) == 2
        with _connected(url) as connection:
            connection.execute("UPDATE others SET extra = 7 WHERE id = 77")
        dt.receipt(target, change).undo()
    assert_equal(before, exact_digest(url))


def test_a_trigger_that_fires_is_not_foreseen(pair: tuple[dt.DataPackage, str]) -> None:
    package, url = pair
    with _connected(url) as connection:
        connection.execute(
            "CREATE FUNCTION louder() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;"
            "CREATE TRIGGER louder BEFORE INSERT ON things FOR EACH ROW EXECUTE FUNCTION louder()"
        )
    with dt.Database(url) as target:
        receipt = dt.PackageImporter(package, target).run(triggers="fire")
        assert receipt.check_undo().ok
        receipt.undo()
        assert target.count("things") == 0


def test_hashing_is_stopped_at_any_moment(databases: Databases) -> None:
    with dt.Database(databases.create("postgresql")) as target:
        writer = PostgreSQLWriter(target, uuid.uuid4())
        assert writer.scalar("SELECT 1") == 1  # connected
        ahead = _Ahead(writer._adbc(), {"slow": "SELECT 1::int8 AS k0, 2::int8 AS h FROM pg_sleep(600)"})
        ahead.start()
        time.sleep(0.2)
        ahead.end()
        assert not ahead._thread.is_alive()
        with pytest.raises(DatabaseError, match="could not be hashed"):
            ahead.take("slow")
        writer.close()


def test_a_second_session_that_fails_ends_the_import_with_nothing_changed(
    pair: tuple[dt.DataPackage, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    package, url = pair
    monkeypatch.setattr(PostgreSQLHashes, "_hashed", lambda *_: "SELECT 1 / 0, 2")
    with dt.Database(url) as target:
        refuse_unhashed(package, target)
        monkeypatch.undo()
        assert dt.PackageImporter(package, target).run().import_id
    with _connected(url) as connection:
        left = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()").fetchone()
    assert left == (1,)


@pytest.mark.parametrize(("pages", "side_by_side"), [(1, 3), (7, 2), (8192, 16)])
def test_ranges_of_pages_give_every_row_once(
    pair: tuple[dt.DataPackage, str], monkeypatch: pytest.MonkeyPatch, pages: int, side_by_side: int
) -> None:
    monkeypatch.setattr(postgresql_hashes, "_PAGES", pages)
    monkeypatch.setattr(postgresql_hashes, "_SIDE_BY_SIDE", side_by_side)
    package, url = pair
    dt.PackageImporter(package, dt.Database(url)).run()
    with _connected(url) as connection:
        assert connection.execute("SELECT pg_relation_size('things') > 20 * 8192").fetchone() == (True,)
    with dt.Database(url) as target:
        table = target.schema.table("things")
        writer = PostgreSQLWriter(target, uuid.uuid4())
        try:
            found = []
            for join in ("", "JOIN pg_class c ON c.oid = 'pg_class'::regclass"):  # by ranges, and as a whole
                pieces = [rows for _, rows in writer.key_hashes(table, table.key, table.columns[:-1], join)]
                found.append(sorted(pa.concat_tables(pieces).to_pylist(), key=lambda row: row["k0"]))
        finally:
            writer.close()
    assert found[0] == found[1]
    assert len(found[0]) == ROWS
