"""Columns that are left out: nowhere in the package, and all else is as if they had never been there."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer import errors
from datatransfer.cli import main
from datatransfer.database.dialects import RowSource
from datatransfer.database.dialects.postgresql_fast import FastReader
from datatransfer.database.dialects.sqlite import SqliteDialect
from datatransfer.database.dialects.sqlite_fast import FastSnapshot
from tests.support.scripts import Make, made_by, run_script
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS, ENCODINGS, written

CANARY = "hash-of-a-password"
SHOP = f"""
CREATE TABLE teams (id INTEGER PRIMARY KEY, name VARCHAR(40));
CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(40) NOT NULL, password VARCHAR(40) NOT NULL,
    token VARCHAR(40), team_id INTEGER NOT NULL, UNIQUE (email), UNIQUE (token),
    FOREIGN KEY (team_id) REFERENCES teams (id));
CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL, body VARCHAR(40),
    FOREIGN KEY (user_id) REFERENCES users (id));
CREATE TABLE visits (page VARCHAR(40), token VARCHAR(40));
INSERT INTO teams VALUES (1, 'blue'), (2, 'red');
INSERT INTO users VALUES (1, 'ann@x', '{CANARY}-1', '{CANARY}-2', 1), (2, 'bob@x', '{CANARY}-3', NULL, 2);
INSERT INTO posts VALUES (10, 1, 'first'), (11, 2, 'second');
INSERT INTO visits VALUES ('a', '{CANARY}-4'), ('a', '{CANARY}-5'), ('b', NULL);
"""
SECRETS = ("users.password", "users.token", "visits.token")


def values(db: dt.Database, sql: str) -> list[tuple[Any, ...]]:
    with db.engine.connect() as conn:
        return [tuple(row) for row in conn.exec_driver_sql(sql)]


@pytest.fixture
def make(databases: Databases) -> Iterator[Make]:
    with made_by(SHOP, databases) as made:
        yield made


def empty(script: str = SHOP) -> str:
    """Return a script's tables without its rows."""
    return ";".join(part for part in script.split(";") if "INSERT" not in part)


def everything(db: dt.Database, *columns: str) -> dt.PackageBuilder:
    return dt.PackageBuilder(db).add_all().leave_out(*columns)


# --- what the package has ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_column_is_nowhere_in_the_package(make: Make, tmp_path: Path, dialect: str, encoding: str) -> None:
    builder = everything(make(dialect=dialect), *SECRETS)
    with builder.build(tmp_path / "p.zip", progress=False, encoding=encoding) as package:  # type: ignore[arg-type]
        assert package.verify().ok
        assert package.schema.table("users").column_names == ("id", "email", "team_id")
        assert package.schema.table("users").uniques == (("email",),)
        assert list(package["visits"].to_frame()["page"]) == ["a", "a", "b"]
        assert len(package["users"].to_frame()) == 2
        shown = [package[name].to_frame().to_csv() for name in package]
    assert not any(CANARY in text for text in shown)
    assert CANARY.encode() not in (tmp_path / "p.zip").read_bytes()  # documents are stored as they are


def test_without_it_the_column_is_there(make: Make, tmp_path: Path) -> None:
    dt.PackageBuilder(make()).add_all().build(tmp_path / "p.zip", progress=False, encoding="documents").close()
    assert CANARY.encode() in (tmp_path / "p.zip").read_bytes()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_foreign_key_that_uses_the_column_goes_with_it(make: Make, tmp_path: Path, dialect: str) -> None:
    with everything(make(dialect=dialect), "users.team_id").build(tmp_path / "p.zip", progress=False) as package:
        assert package.verify().ok
        assert package.schema.table("users").foreign_keys == ()
        assert [fk.label for fk in package.schema.table("posts").foreign_keys] == ["posts.user_id"]


def test_it_is_written_down_so_that_the_package_can_be_made_again(make: Make, tmp_path: Path) -> None:
    builder = everything(make(), "visits.token").leave_out("users.token", "users.password")
    with builder.build(tmp_path / "p.zip", progress=False) as package:
        written_down = json.dumps(package.metadata.selection["left_out"])  # its order, too, is always the same
        assert written_down == '{"users": ["password", "token"], "visits": ["token"]}'
        assert package.left_out == {"users": ("password", "token"), "visits": ("token",)}
        assert "users.password" in package._repr_html_()
    with dt.PackageBuilder(make()).add_all().build(tmp_path / "q.zip", progress=False) as package:
        assert "left_out" not in package.metadata.selection
        assert package.left_out == {}


def test_what_a_stranger_wrote_there_is_no_reason_to_fail(make: Make, tmp_path: Path) -> None:
    from dataclasses import replace

    with dt.PackageBuilder(make()).add_all().build(tmp_path / "p.zip", progress=False) as package:
        for odd in (None, 1, ["users"], {"users": "token"}, {"users": None}):
            package.metadata = replace(package.metadata, selection={"left_out": odd})
            assert package.left_out == {}


def test_a_job_knows_it(make: Make, tmp_path: Path) -> None:
    builder = everything(make(), "users.password")
    job = builder.start(tmp_path / "p.zip")
    builder.leave_out("users.token")
    with job.result() as package:
        assert package.left_out == {"users": ("password",)}


# --- what is refused --------------------------------------------------------------------------------------------------

ODD = """
CREATE TABLE pairs (a INTEGER NOT NULL, b INTEGER NOT NULL, note VARCHAR(40), PRIMARY KEY (a, b));
CREATE TABLE named (code VARCHAR(40) NOT NULL UNIQUE, note VARCHAR(40));
CREATE TABLE marked (id INTEGER PRIMARY KEY, entity_uuid CHAR(36) NOT NULL UNIQUE, imported_from_uuid CHAR(36));
CREATE TABLE lines (line VARCHAR(40));
"""


@pytest.mark.parametrize(
    ("column", "why"),
    [
        ("pairs.b", "key"),
        ("pairs.(note, a)", "key"),
        ("named.code", "key"),
        ("marked.entity_uuid", "identity"),
        ("lines.line", "no column of the table would be left"),
    ],
)
def test_what_cannot_be_left_out_is_refused_with_the_reason(make: Make, column: str, why: str) -> None:
    builder = dt.PackageBuilder(make(ODD)).add_all()
    with pytest.raises(errors.UsageError, match=why) as caught:
        builder.leave_out(column)
    assert caught.value.where.startswith(column.split(".")[0])
    assert caught.value.hint
    assert builder.preview().left_out == ()  # a refused call leaves nothing behind


def test_unknown_tables_and_columns_are_named(make: Make) -> None:
    builder = dt.PackageBuilder(make()).add_all()
    with pytest.raises(errors.UnknownTableError, match="'user'"):
        builder.leave_out("user.password")
    with pytest.raises(errors.UnknownColumnError, match="'pass'"):
        builder.leave_out("users.pass")
    with pytest.raises(errors.UsageError, match="names no column"):
        builder.leave_out("users")
    with pytest.raises(errors.UsageError, match="names no column"):
        builder.leave_out()
    with pytest.raises(errors.UsageError, match="takes no list"):
        builder.leave_out(["users.password"])  # type: ignore[arg-type]


def test_a_table_that_has_changed_since_is_looked_at_again(make: Make) -> None:
    db = make("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT, b TEXT)")
    builder = everything(db, "t.a")
    run_script(str(db.engine.url), "DROP TABLE t; CREATE TABLE t (a TEXT PRIMARY KEY, b TEXT)")
    db.refresh()
    with pytest.raises(errors.UsageError, match="key"):
        builder.preview()
    run_script(str(db.engine.url), "DROP TABLE t; CREATE TABLE t (id INTEGER PRIMARY KEY, b TEXT)")
    db.refresh()
    with pytest.raises(errors.UnknownColumnError):
        builder.preview()


# --- which rows -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_conditions_may_use_the_column(make: Make, tmp_path: Path, dialect: str) -> None:
    db = make(dialect=dialect)
    builder = dt.PackageBuilder(db).leave_out(*SECRETS)
    builder.add("users", where="password = :p", params={"p": f"{CANARY}-1"})
    builder.add("visits", where="token IS NULL")
    with builder.build(tmp_path / "p.zip", progress=False) as package:
        assert list(package["users"].to_frame()["email"]) == ["ann@x"]
        assert list(package["visits"].to_frame()["page"]) == ["b"]
        assert package.verify().ok


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_same_rows_are_selected_and_say_why(make: Make, tmp_path: Path, dialect: str) -> None:
    db = make(dialect=dialect)
    before = dt.PackageBuilder(db).add("users", keys=[1]).preview()
    builder = dt.PackageBuilder(db).add("users", keys=[1]).leave_out("users.team_id", *SECRETS)
    selection = builder.preview()
    assert list(selection.counts["rows"]) == list(before.counts["rows"])
    assert [step.foreign_key for step in selection.why("teams", 1)] == ["users.team_id", ""]
    with builder.build(tmp_path / "p.zip", progress=False) as package:
        assert package.verify().ok
        assert [step.table for step in package.why("posts", 10)] == ["posts", "users"]
        assert list(package.why("teams", 1)) == []  # nothing in the package leads to it


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_required_parent_can_be_stopped_when_the_reference_to_it_is_left_out(
    make: Make, tmp_path: Path, dialect: str
) -> None:
    db = make(dialect=dialect)
    builder = dt.PackageBuilder(db).add("users", keys=[1])
    asked = [w for w in builder.leave_out("users.team_id").preview().warnings if w.code == "column_left_out"]
    assert [w.where for w in asked] == ["users.team_id"]
    assert 'stop("users.team_id", direction="up")' in asked[0].message
    builder.stop("users.team_id", direction="up")
    assert not any(w.code == "column_left_out" for w in builder.preview().warnings)
    with builder.build(tmp_path / "p.zip", progress=False) as package:
        assert "teams" not in package
        assert package.verify().ok
    with pytest.raises(errors.SelectionError, match="required"):
        dt.PackageBuilder(db).add("users", keys=[1]).stop("users.team_id", direction="up").preview()


def test_a_reference_that_would_become_null_is_not_there_to_do_so(make: Make, tmp_path: Path) -> None:
    db = make(
        "CREATE TABLE a (id INTEGER PRIMARY KEY, up INTEGER REFERENCES a (id)); INSERT INTO a VALUES (1, NULL), (2, 1)"
    )
    builder = dt.PackageBuilder(db).add("a", keys=[2]).null("a.up")
    with builder.build(tmp_path / "p.zip", progress=False) as package:
        assert package.metadata.selection["nulled"] == {"a.up": 1}
    with builder.leave_out("a.up").build(tmp_path / "q.zip", progress=False) as package:
        assert package.metadata.selection["nulled"] == {}
        assert list(package["a"].to_frame().columns) == ["id"]


def test_orphans_of_a_reference_that_is_left_out_do_not_matter(make: Make, tmp_path: Path) -> None:
    db = make("CREATE TABLE a (id INTEGER PRIMARY KEY, up INTEGER REFERENCES a (id)); INSERT INTO a VALUES (1, 9)")
    with pytest.raises(errors.OrphanError):
        dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", progress=False)
    with everything(db, "a.up").build(tmp_path / "p.zip", progress=False) as package:
        assert package.verify().ok
        assert len(package["a"].to_frame()) == 1


def test_files_of_the_column_stay_behind(make: Make, tmp_path: Path) -> None:
    store = tmp_path / "store"
    store.mkdir()
    (store / "kept.txt").write_text("kept")
    (store / "secret.txt").write_text(CANARY)
    script = "CREATE TABLE a (id INTEGER PRIMARY KEY, one TEXT, two TEXT);"
    script += "INSERT INTO a VALUES (1, 'kept.txt', 'secret.txt'), (2, NULL, 'missing.txt')"
    files = {"a.one": dt.FolderStore(store), "a.two": dt.FolderStore(store)}
    builder = everything(make(script, files=files), "a.two")
    assert list(builder.preview().files["path"]) == ["kept.txt"]
    with builder.build(tmp_path / "p.zip", progress=False) as package:  # a missing file would be an error
        assert list(package.files["name"]) == ["kept.txt"]
        assert package.verify().ok
    assert CANARY.encode() not in (tmp_path / "p.zip").read_bytes()


# --- what the preview says --------------------------------------------------------------------------------------------


def test_the_preview_names_the_way_to_leave_secrets_out_until_they_are(make: Make) -> None:
    db = make()
    found = {w.where: w.message for w in dt.PackageBuilder(db).add_all().preview().warnings if w.code == "secret"}
    assert set(found) == set(SECRETS)
    assert all(f'leave_out("{where}")' in message for where, message in found.items())
    selection = everything(db, *SECRETS).preview()
    assert not [w for w in selection.warnings if w.code == "secret"]
    assert selection.left_out == ("users.password", "users.token", "visits.token")
    assert "3 columns left out" in repr(selection)
    assert "users.password" in selection._repr_html_()
    assert selection.bytes < dt.PackageBuilder(db).add_all().preview().bytes
    assert "left out" not in repr(dt.PackageBuilder(db).add_all().preview())


def test_what_holds_the_same_values_in_another_column_is_named(make: Make) -> None:
    db = make("""
        CREATE TABLE people (id INTEGER PRIMARY KEY, ssn TEXT UNIQUE, name TEXT, shown TEXT AS (name || ' ' || "ssn"));
        CREATE TABLE cards (id INTEGER PRIMARY KEY, holder TEXT REFERENCES people (ssn), lessness TEXT AS (holder));
    """)
    found = [w for w in everything(db, "people.ssn").preview().warnings if w.code == "column_left_out"]
    assert {w.where: w.message.split(",")[0] for w in found} == {
        "people.shown": "the column is computed from people.ssn",
        "cards.holder": "the column holds the values of people.ssn",
    }
    more = everything(db, "people.ssn", "people.shown", "cards.holder").preview().warnings
    assert [w.where for w in more if w.code == "column_left_out"] == ["cards.lessness"]


def test_no_advice_is_given_that_would_be_refused(make: Make) -> None:
    db = make("""
        CREATE TABLE people (id INTEGER PRIMARY KEY, ssn TEXT UNIQUE);
        CREATE TABLE cards (holder TEXT PRIMARY KEY NOT NULL REFERENCES people (ssn), pin TEXT);
        CREATE TABLE tokens (token TEXT PRIMARY KEY NOT NULL, note TEXT);
    """)
    found = {w.where: w.message for w in everything(db, "people.ssn").preview().warnings}
    assert set(found) == {"cards.holder", "tokens.token"}
    assert all("only its rows can be left out" in message for message in found.values())


def test_a_reference_to_the_column_is_a_plain_value_in_the_package(make: Make, tmp_path: Path) -> None:
    db = make("""
        CREATE TABLE people (id INTEGER PRIMARY KEY, ssn TEXT UNIQUE);
        CREATE TABLE cards (id INTEGER PRIMARY KEY, holder TEXT REFERENCES people (ssn));
        INSERT INTO people VALUES (1, 'x'); INSERT INTO cards VALUES (5, 'x')
    """)
    with everything(db, "people.ssn").build(tmp_path / "p.zip", progress=False) as package:
        assert package.verify().ok
        assert package.schema.table("cards").foreign_keys == ()
        assert list(package["cards"].to_frame()["holder"]) == ["x"]


# --- import and comparison --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_target_that_requires_the_column_says_so_and_takes_a_default(
    make: Make, tmp_path: Path, dialect: str
) -> None:
    target = make(empty(), dialect)
    with everything(make(dialect=dialect), *SECRETS).build(tmp_path / "p.zip", progress=False) as package:
        importer = dt.PackageImporter(package, target)
        report = importer.check()
        assert [f.where for f in report.errors] == ["users.password"]
        with pytest.raises(errors.SchemaMismatchError):
            importer.run()
        assert target.count("users") == 0
        receipt = importer.run(mapping=report.mapping | dt.Mapping(default={"users": {"password": "reset"}}))
        assert written(receipt) == 9
        found = values(target, "SELECT password, token FROM users")
        assert found == [("reset", None), ("reset", None)]
        again = importer.run(mapping=dt.Mapping(default={"users": {"password": "reset"}}))
        assert written(again) == 0
        dt.PackageBuilder(target).add_all().build(tmp_path / "there.zip", progress=False).close()
        with dt.DataPackage.open(tmp_path / "there.zip") as there:  # it says which rows were imported
            assert package.diff(there).empty
        receipt.undo()
        assert target.count("users") == target.count("visits") == 0


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_default_for_a_reference_that_was_left_out_must_lead_somewhere(
    make: Make, tmp_path: Path, dialect: str
) -> None:
    target = make(f"{empty()}; INSERT INTO teams VALUES (7, 'theirs')", dialect)
    builder = dt.PackageBuilder(make(dialect=dialect)).add("users").leave_out("users.team_id")
    with builder.stop("users.team_id", direction="up").build(tmp_path / "p.zip", progress=False) as package:
        importer = dt.PackageImporter(package, target)
        with pytest.raises(errors.MergeError) as caught:
            importer.run(default={"users": {"team_id": 77}})
        if dialect != "postgresql":  # which says it in its own words
            assert caught.value.where == "users.team_id"
            assert "2 rows would refer to rows of teams that do not exist" in caught.value.message
        assert target.count("users") == 0
        assert importer.run(default={"users": {"team_id": 7}}).total("insert") == 4
    assert values(target, "SELECT team_id FROM users") == [(7,), (7,)]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_reference_to_what_was_left_out_must_lead_somewhere_in_the_target(
    make: Make, tmp_path: Path, dialect: str
) -> None:
    script = """
        CREATE TABLE people (id INTEGER PRIMARY KEY, ssn VARCHAR(9) UNIQUE);
        CREATE TABLE cards (id INTEGER PRIMARY KEY, holder VARCHAR(9), FOREIGN KEY (holder) REFERENCES people (ssn));
    """
    target = make(f"{script}; INSERT INTO people VALUES (9, 'y')", dialect)
    source = make(f"{script}; INSERT INTO people VALUES (1, 'x'); INSERT INTO cards VALUES (5, 'x')", dialect)
    with everything(source, "people.ssn").build(tmp_path / "p.zip", progress=False) as package:
        with pytest.raises(errors.MergeError):
            dt.PackageImporter(package, target).run()
        assert target.count("people") == 1
        if dialect != "postgresql":  # where nobody can ask for it
            dt.PackageImporter(package, target).run(on_orphan="keep")
            assert values(target, "SELECT holder FROM cards") == [("x",)]
    there = make(f"{script}; INSERT INTO people VALUES (9, 'x')", dialect)
    with everything(source, "people.ssn").build(tmp_path / "q.zip", progress=False) as package:
        assert written(dt.PackageImporter(package, there).run()) == 2


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rows_that_are_there_keep_what_the_package_does_not_have(make: Make, tmp_path: Path, dialect: str) -> None:
    db = make(dialect=dialect)
    with everything(db, *SECRETS).build(tmp_path / "p.zip", progress=False) as package:
        importer = dt.PackageImporter(package, db)
        policy = {"match_on": {"users": ["email"]}, "default": {"users": {"password": "reset"}}}
        assert written(importer.run(on_match="update", **policy)) == 0
        run_script(db.engine.url.render_as_string(hide_password=False), "UPDATE users SET team_id = 2 WHERE id = 1")
        assert set(package.diff(db)["field"]) == {"team_id"}
        assert written(importer.run(on_match="update", **policy)) == 1
        assert values(db, "SELECT password, token, team_id FROM users WHERE id = 1") == [
            (f"{CANARY}-1", f"{CANARY}-2", 1)
        ]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_column_that_was_left_out_is_no_difference_and_every_other_one_is(
    make: Make, tmp_path: Path, dialect: str
) -> None:
    db = make(dialect=dialect)
    with (
        everything(db, *SECRETS).build(tmp_path / "p.zip", progress=False) as package,
        dt.PackageBuilder(db).add_all().build(tmp_path / "q.zip", progress=False) as whole,
    ):
        assert package.diff(db).empty
        assert package.diff(whole).empty
        assert whole.diff(package).empty
        run_script(db.engine.url.render_as_string(hide_password=False), "ALTER TABLE posts ADD COLUMN more VARCHAR(9)")
        db.refresh()
        found = package.diff(db)
    assert [tuple(row) for row in found[["table", "change", "field"]].to_numpy()] == [("posts", "added", "more")]


def test_tracked_rows_keep_their_identity_without_where_they_came_from(make: Make, tmp_path: Path) -> None:
    script = f"{ODD}; INSERT INTO marked VALUES (1, '{'0' * 8}-0000-4000-8000-{'0' * 11}1', NULL)"
    target = make(ODD)
    with everything(make(script), "marked.imported_from_uuid").build(tmp_path / "p.zip", progress=False) as package:
        assert package.verify().ok
        assert written(dt.PackageImporter(package, target).run()) == 1
        assert written(dt.PackageImporter(package, target).run()) == 0
        assert package.diff(target).empty


# --- how it is read ---------------------------------------------------------------------------------------------------


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


# --- command line -----------------------------------------------------------------------------------------------------


def test_it_can_be_typed(sqlite_url: Callable[[], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = sqlite_url()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.executescript(SHOP)
    base = ("export", url, str(tmp_path / "p.zip"), "--key", "users=1")
    assert main((*base, "--preview")) == 0
    assert "--leave-out users.password keeps it out" in capsys.readouterr().err
    typed = (*base, "--leave-out", "users.password", "--leave-out", "users.team_id")
    assert main((*typed, "--preview")) == 0
    heard = capsys.readouterr()
    assert "left out: users.password, users.team_id" in heard.out
    assert "users.password" not in heard.err
    assert "--stop users.team_id:up leaves them out" in heard.err
    assert main((*typed, "--preview", "--json")) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == ["users.password", "users.team_id"]
    assert main(typed) == 0
    with dt.DataPackage.open(tmp_path / "p.zip") as package:
        assert package.left_out == {"users": ("password", "team_id")}
    capsys.readouterr()
    assert main(("inspect", str(tmp_path / "p.zip"))) == 0
    assert "users.password" in capsys.readouterr().out
    assert main(("inspect", str(tmp_path / "p.zip"), "--json")) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == {"users": ["password", "team_id"]}
    assert main(("diff", str(tmp_path / "p.zip"), url)) == 0
    assert main((*base, "--leave-out", "users.id")) == 2
    assert "belongs to the key" in capsys.readouterr().err
