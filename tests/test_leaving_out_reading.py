"""Columns that are left out are not even read, and the others as fast as before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer import errors
from datatransfer.database.dialects import RowSource
from datatransfer.database.dialects.postgresql_fast import FastReader
from datatransfer.database.dialects.sqlite import SqliteDialect
from datatransfer.database.dialects.sqlite_fast import FastSnapshot
from tests.support.scripts import Make, made_by, run_script
from tests.support.secrets import SHOP, everything
from tests.support.servers import Databases


@pytest.fixture
def make(databases: Databases) -> Iterator[Make]:
    with made_by(SHOP, databases) as made:
        yield made


def test_a_file_of_sqlite_is_read_by_the_child_all_the_same(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteDialect, "fast_above", 0)
    monkeypatch.setattr("datatransfer.database.dialects.sqlite_fast._GUARDED_BYTES", 0)
    taken: dict[str, bool] = {}
    read = FastSnapshot.read

    def noted(self: FastSnapshot, table: Any, rows: Any) -> Any:
        found = read(self, table, rows)
        taken[table.name] = found is not None
        return found

    monkeypatch.setattr(FastSnapshot, "read", noted)
    wide = "x" * 5000
    db = make(f"{SHOP}; CREATE TABLE pages (id INTEGER PRIMARY KEY, title, body TEXT, note TEXT);"
              f"INSERT INTO pages VALUES (1, 'a', '{wide}', 'n'), (2, 7, '{wide}', NULL)")  # fmt: skip
    everything(db, "users.password").build(tmp_path / "p.zip", progress=False).close()
    assert taken == {"teams": True, "users": True, "posts": True, "visits": True, "pages": False}
    with everything(db, "pages.body").build(tmp_path / "q.zip", progress=False) as package:
        assert taken["pages"]  # nothing that is asked for is wide
        frame = package["pages"].to_frame()
    assert list(frame.columns) == ["id", "title", "note"]
    assert list(frame["title"]) == ["a", 7]


def test_what_was_wide_before_it_was_left_out_does_not_make_the_rest_slow(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteDialect, "fast_above", 0)
    monkeypatch.setattr("datatransfer.database.dialects.sqlite_fast._GUARDED_BYTES", 0)
    db = make(f"CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 'x', '{'y' * 5000}')")
    with db.dialect.snapshot() as conn:
        fast = []
        for table in (db.schema.table("t"), db.schema.table("t").without({"t": ["b"]})):
            resolved = db.dialect.resolve_types(conn, table, RowSource())
            fast.append(db.dialect._fast(conn, resolved, RowSource(), 65536) is not None)
    assert fast == [False, True]


def test_classes_of_a_column_that_was_left_out_before_are_still_looked_for(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SqliteDialect, "fast_above", 0)
    db = make("CREATE TABLE t (id INTEGER PRIMARY KEY, a, b); INSERT INTO t VALUES (1, 'x', 2)")
    with db.dialect.snapshot() as conn:
        table = db.schema.table("t")
        narrow = db.dialect.resolve_types(conn, table.without({"t": ["b"]}), RowSource())
        whole = db.dialect.resolve_types(conn, table, RowSource())
    assert [c.type.kind for c in narrow.columns] == ["integer", "text"]
    assert [c.type.kind for c in whole.columns] == ["integer", "text", "integer"]


def test_postgresql_is_read_by_its_second_connection_all_the_same(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: dict[str, bool] = {}
    read = FastReader.read

    def noted(self: FastReader, sql: str, table: Any) -> Any:
        found = read(self, sql, table)
        taken[table.name] = found is not None and "password" not in sql
        return found

    monkeypatch.setattr(FastReader, "read", noted)
    everything(make(dialect="postgresql"), "users.password").build(tmp_path / "p.zip", progress=False).close()
    assert taken == {"teams": True, "users": True, "posts": True, "visits": True}


def test_a_role_that_may_not_read_the_column_can_export_the_others(
    make: Make, databases: Databases, tmp_path: Path
) -> None:
    db = make(dialect="postgresql")
    url = db.engine.url.render_as_string(hide_password=False)
    role = f"reader_{db.engine.url.database}"
    run_script(url, f"CREATE ROLE {role}; GRANT SELECT ON teams, posts, visits TO {role};"
             f"GRANT SELECT (id, email, token, team_id) ON users TO {role}")  # fmt: skip
    engine = sa.create_engine(url, connect_args={"options": f"-c role={role}"})
    try:
        with dt.Database(engine, origin=db.origin) as mine:
            with pytest.raises(errors.DatabaseError, match="permission denied"):
                dt.PackageBuilder(mine).add_all().build(tmp_path / "p.zip", progress=False)
            for builder in (everything(mine, "users.password"), dt.PackageBuilder(mine).add("posts", keys=[10])):
                builder.leave_out("users.password").preview()
                with builder.build(tmp_path / "p.zip", progress=False, overwrite=True) as package:
                    assert package.verify().ok
                    assert "ann@x" in set(package["users"].to_frame()["email"])
    finally:
        engine.dispose()
        run_script(url, f"DROP OWNED BY {role}; DROP ROLE {role}")


def test_rows_without_a_key_come_in_the_same_order_when_a_column_named_rowid_is_left_out(
    make: Make, tmp_path: Path
) -> None:
    db = make("CREATE TABLE t (n TEXT, rowid TEXT); INSERT INTO t VALUES ('c', 'z'), ('a', 'y'), ('b', 'x')")
    with everything(db, "t.rowid").build(tmp_path / "p.zip", progress=False) as package:
        assert list(package["t"].to_frame()["n"]) == ["c", "a", "b"]
