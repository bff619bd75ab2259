"""Targets that others alter or write into while an import is at work, and what of their definitions is left."""

from __future__ import annotations

import secrets
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest

import datatransfer as dt
from datatransfer.database.writers import WRITERS
from datatransfer.schema.tables import Table
from tests.support.children import Call, waiting
from tests.support.copies import empty_copy
from tests.support.digest import exact_digest
from tests.support.reading import sqlite_path
from tests.support.scenes import leftovers
from tests.support.servers import Databases, as_role
from tests.support.shop import session
from tests.support.sql import asked, run
from tests.support.transfer import DIALECTS, SERVERS, export_all, import_into, written

_MANY = 20_000  # so many rows that keys and foreign keys are put away for a while


def _children(databases: Databases, dialect: str) -> tuple[str, str]:
    """Return a source whose rows refer to nothing, and an empty target with the table that others will bind them to."""
    source, target = databases.create(dialect), databases.create(dialect)
    tables = ("CREATE TABLE others (id INTEGER PRIMARY KEY)", "CREATE TABLE ch (id INTEGER PRIMARY KEY, y INTEGER)")
    run(source, *tables, "INSERT INTO ch VALUES (1, 71), (2, 72)")
    run(target, *tables)
    return source, target


_BOUND = "ALTER TABLE ch ADD CONSTRAINT bound FOREIGN KEY (y) REFERENCES others (id)"


@pytest.mark.parametrize("dialect", SERVERS)
def test_a_foreign_key_that_came_after_the_first_look_counts(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = _children(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    with dt.Database(target) as db:
        assert "ch" in db.schema
        run(target, _BOUND)
        with pytest.raises(dt.OrphanError, match=r"ch\.y"):
            dt.PackageImporter(package, db).run()
    assert asked(target, "SELECT * FROM ch") == []


@pytest.mark.parametrize("straight", ["", "1"], ids=["staged", "straight"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_table_that_is_altered_between_plan_and_merge_is_refused_or_looked_at_again(
    databases: Databases, tmp_path: Path, dialect: str, straight: str
) -> None:
    source, target = _children(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    change = "CREATE UNIQUE INDEX once ON ch (y)" if dialect == "sqlite" else _BOUND
    environment = {"DATATRANSFER_TEST_STRAIGHT": straight}
    call = Call("import", str(package.path), target, environment=environment, said=str(tmp_path / "said"))
    with waiting(call, "merge.begin:1", tmp_path / "wait", fails=True):
        run(target, change)
    said = Path(call.said).read_text()
    assert "defined in another way" in said or "OrphanError" in said
    assert asked(target, "SELECT * FROM ch") == []
    assert leftovers(target) == []


@pytest.mark.parametrize("place", ["stage.opened:1", "plan.table:1", "merge.begin:1"])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_table_that_is_dropped_during_an_import_is_named(
    databases: Databases, tmp_path: Path, dialect: str, place: str
) -> None:
    source, target = _children(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    call = Call("carry out", str(package.path), target, said=str(tmp_path / "said"))
    with waiting(call, place, tmp_path / "wait", fails=True):
        run(target, "DROP TABLE ch")
    told = "TargetChangedError: ch: the table is gone, which was there when the import was planned"
    assert f"{told} (nothing was changed; plan again)" in Path(call.said).read_text()
    assert leftovers(target) == []


def _tried(url: str, sql: str) -> str:
    """Return what another session that waits a second at most is told."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(sqlite_path(url), timeout=0.1, isolation_level=None)) as other:
            try:
                other.execute(sql).fetchall()
            except sqlite3.OperationalError as error:
                return str(error)
        return ""
    with session(url) as cursor:
        try:
            cursor.execute(sql)
        except (pymysql.err.OperationalError, psycopg.errors.LockNotAvailable) as error:
            return str(error)
    return ""


@pytest.mark.parametrize(
    ("dialect", "change"),
    [
        *((dialect, "ADD COLUMN late INTEGER") for dialect in DIALECTS),
        ("mariadb", "ADD COLUMN late INTEGER, ALGORITHM=COPY"),
    ],
)
def test_between_looking_at_a_table_and_writing_nobody_alters_it_and_all_else_goes_on(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dialect: str, change: str
) -> None:
    source, target = _children(databases, dialect)
    run(target, "INSERT INTO ch VALUES (7, 1)", "INSERT INTO others VALUES (7)")
    package = export_all(source, tmp_path / "all.zip")
    with dt.Database(target) as db:
        writer = WRITERS[db.engine.dialect.name]
        look, told = writer.definition_of, list[str]()

        def seen(self: Any, table: Table) -> str:
            found = look(self, table)
            if self.in_merge:
                told.append(_tried(target, f"ALTER TABLE ch {change}"))
                told.append(_tried(target, "SELECT * FROM ch"))
                if dialect != "sqlite":  # which lets nobody write meanwhile
                    told.append(_tried(target, "UPDATE ch SET y = 2 WHERE id = 7"))
                    told.append(_tried(target, "INSERT INTO ch VALUES (8, 1)"))
                    told.append(_tried(target, "DELETE FROM others"))
            return str(found)

        monkeypatch.setattr(writer, "definition_of", seen)
        assert written(dt.PackageImporter(package, db).run()) == 2
    assert "lock" in told[0].lower()
    assert [one for one in told[1:] if one] == []
    assert _tried(target, f"ALTER TABLE ch {change}") == ""


@pytest.mark.parametrize("straight", ["", "1"], ids=["staged", "straight"])
def test_rows_of_others_in_a_table_without_a_key_stay_when_an_import_is_undone(
    databases: Databases, tmp_path: Path, straight: str
) -> None:
    source, target = databases.create("postgresql"), databases.create("postgresql")
    tables = ("CREATE TABLE a (id INTEGER PRIMARY KEY)", "CREATE TABLE k (t TEXT, n INTEGER)")
    run(source, *tables, "INSERT INTO a VALUES (1)", "INSERT INTO k VALUES ('r1', 1), ('r2', 2)")
    run(target, *tables)
    package = export_all(source, tmp_path / "all.zip")
    environment = {"DATATRANSFER_TEST_STRAIGHT": straight}
    call = Call("import", str(package.path), target, environment=environment, said=str(tmp_path / "said"))
    with waiting(call, "merge.table:2", tmp_path / "wait"):
        run(target, "INSERT INTO k VALUES ('r1', 1), ('mine', 2)")
    assert len(asked(target, "SELECT * FROM k")) == 4
    with dt.Database(target) as db:
        dt.receipt(db, dt.receipts(db).iloc[-1]["import_id"]).undo()
    assert sorted(asked(target, "SELECT t, n FROM k")) == [("mine", 2), ("r1", 1)]


def test_rows_of_others_in_a_table_without_a_key_are_an_error_where_nothing_tells_them_apart(
    databases: Databases, tmp_path: Path
) -> None:
    source, target = databases.create("mariadb"), databases.create("mariadb")
    tables = ("CREATE TABLE a (id INTEGER PRIMARY KEY)", "CREATE TABLE k (t VARCHAR(9), n INTEGER)")
    run(source, *tables, "INSERT INTO a VALUES (1)", "INSERT INTO k VALUES ('r1', 1), ('r2', 2)")
    run(target, *tables)
    package = export_all(source, tmp_path / "all.zip")
    call = Call("import", str(package.path), target, said=str(tmp_path / "said"))
    with waiting(call, "merge.table:2", tmp_path / "wait", fails=True):
        run(target, "INSERT INTO k VALUES ('mine', 2)")
    assert "which has no key to tell them by" in Path(call.said).read_text()
    assert asked(target, "SELECT t, n FROM k") == [("mine", 2)]


# --- what PostgreSQL had is put back as it was ----------------------------------------------------------------------


def _filled(databases: Databases, *schema: str, fill: str) -> tuple[str, str]:
    source = databases.create("postgresql")
    run(source, *schema, fill)
    return source, empty_copy(source, databases)


def test_triggers_of_partitions_keep_their_own_states(databases: Databases, tmp_path: Path) -> None:
    source, target = _filled(
        databases,
        "CREATE TABLE pt (id INTEGER) PARTITION BY RANGE (id)",
        "CREATE TABLE pt1 PARTITION OF pt FOR VALUES FROM (0) TO (10)",
        "CREATE TABLE pt2 PARTITION OF pt FOR VALUES FROM (10) TO (20)",
        "CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'",
        "CREATE TRIGGER t AFTER INSERT ON pt FOR EACH ROW EXECUTE FUNCTION stay()",
        "ALTER TABLE pt1 DISABLE TRIGGER t",
        "ALTER TABLE pt2 ENABLE ALWAYS TRIGGER t",
        fill="INSERT INTO pt VALUES (1), (11)",
    )
    states = "SELECT tgrelid::regclass::text, tgenabled::text FROM pg_trigger WHERE tgname = 't' ORDER BY 1"
    before = asked(target, states)
    assert before == [("pt", "O"), ("pt1", "D"), ("pt2", "A")]
    assert written(import_into(export_all(source, tmp_path / "all.zip"), target)) == 2
    assert asked(target, states) == before


def test_foreign_keys_whose_triggers_are_disabled_stay_so(databases: Databases, tmp_path: Path) -> None:
    source, target = _filled(
        databases, "CREATE TABLE n (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), above uuid REFERENCES n (id))",
        fill=f"INSERT INTO n (above) SELECT NULL FROM generate_series(1, {_MANY})",
    )  # fmt: skip
    run(target, "ALTER TABLE n DISABLE TRIGGER ALL")
    states = "SELECT DISTINCT tgenabled::text FROM pg_trigger WHERE tgrelid = 'n'::regclass"
    assert written(import_into(export_all(source, tmp_path / "all.zip"), target)) == _MANY
    assert asked(target, states) == [("D",)]


def test_sequences_that_count_down_move_on(databases: Databases, tmp_path: Path) -> None:
    table = "CREATE TABLE d (id INTEGER GENERATED BY DEFAULT AS IDENTITY (INCREMENT BY -1) PRIMARY KEY, v INTEGER)"
    source, target = _filled(databases, table, fill="INSERT INTO d (v) VALUES (1), (2), (3)")
    assert written(import_into(export_all(source, tmp_path / "all.zip"), target)) == 3
    run(target, "INSERT INTO d (v) VALUES (9)")
    assert asked(target, "SELECT id FROM d WHERE v = 9") == [(-4,)]


def test_an_owner_may_import_where_checks_are_deferred_and_parents_belong_to_others(
    databases: Databases, tmp_path: Path
) -> None:
    source = databases.create("postgresql")
    parents = "CREATE TABLE pa (id INTEGER PRIMARY KEY)"
    child = "CREATE TABLE ch (id INTEGER PRIMARY KEY, p INTEGER REFERENCES pa (id) DEFERRABLE INITIALLY DEFERRED)"
    stay = "CREATE FUNCTION stay() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'"
    trigger = "CREATE TRIGGER t AFTER INSERT ON ch FOR EACH ROW EXECUTE FUNCTION stay()"
    run(source, parents, child, stay, trigger, "INSERT INTO pa SELECT generate_series(1, 50)")
    run(source, f"INSERT INTO ch SELECT i, 1 + mod(i, 50) FROM generate_series(1, {_MANY}) i")
    package = export_all(source, tmp_path / "all.zip")
    target = databases.create("postgresql")
    run(target, parents, "INSERT INTO pa SELECT generate_series(1, 50)")
    role = f"datatransfer_test_{secrets.token_hex(4)}"
    url = as_role(target, role)
    run(target, f"CREATE ROLE {role} LOGIN", f"GRANT CREATE, USAGE ON SCHEMA public TO {role}")
    try:
        run(target, f"GRANT SELECT, REFERENCES ON pa TO {role}")
        run(url, child, stay, trigger)
        run(target, f"REVOKE REFERENCES ON pa FROM {role}")
        with dt.Database(url) as db:
            assert written(dt.PackageImporter(package, db).run(match_on={"pa": ["id"]})) == _MANY
        key = "SELECT convalidated, condeferred FROM pg_constraint WHERE conrelid = 'ch'::regclass AND contype = 'f'"
        assert asked(target, key) == [(True, True)]
    finally:
        run(target, f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


def test_null_in_arrays_stays_null_whatever_the_role_says(databases: Databases, tmp_path: Path) -> None:
    source, target = _filled(
        databases, "CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT[])",
        fill="""INSERT INTO t VALUES (1, ARRAY[NULL, 'a', 'NULL'])""",
    )  # fmt: skip
    name = asked(target, "SELECT current_database()")[0][0]
    run(target, f'ALTER DATABASE "{name}" SET array_nulls = off')
    import_into(export_all(source, tmp_path / "all.zip"), target)
    assert asked(target, "SELECT a FROM t") == [([None, "a", "NULL"],)]


def test_a_number_that_a_negative_scale_would_round_is_refused(databases: Databases, tmp_path: Path) -> None:
    source = databases.create("postgresql")
    run(source, "CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC(10, 0))", "INSERT INTO t VALUES (1, 12345)")
    target = databases.create("postgresql")
    run(target, "CREATE TABLE t (id INTEGER PRIMARY KEY, n NUMERIC(6, -2))")
    package = export_all(source, tmp_path / "all.zip")
    with dt.Database(target) as db, pytest.raises(dt.ValueLossError):
        dt.PackageImporter(package, db).run()
    run(source, "UPDATE t SET n = 12300")
    import_into(export_all(source, tmp_path / "again.zip"), target)
    assert exact_digest(target).rows["t"] == 1


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_text_that_has_no_room_for_a_suffix_stays_in_conflict(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = databases.create(dialect), databases.create(dialect)
    table = "CREATE TABLE s (id INTEGER PRIMARY KEY, c VARCHAR(3) NOT NULL UNIQUE)"
    run(source, table, "INSERT INTO s VALUES (1, 'abc')")
    run(target, table, "INSERT INTO s VALUES (7, 'abc')")
    package = export_all(source, tmp_path / "all.zip")
    with dt.Database(target) as db, dt.PackageImporter(package, db).plan(on_clash="rename") as plan:
        assert plan.conflict_count == 1
    assert asked(target, "SELECT * FROM s") == [(7, "abc")]
