"""Calls that cannot be meant: each is refused with a typed error that says what, where and what to do instead."""

from __future__ import annotations

import uuid
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sqlalchemy.engine import make_url

import datatransfer as dt
from datatransfer.given import suggestion
from datatransfer.sample import create_schema, sample_database
from datatransfer.schema.tables import Schema, Table
from tests.support.servers import Databases


@pytest.fixture
def source(tmp_path: Path) -> dt.Database:
    return sample_database(tmp_path / "source")


@pytest.fixture
def package(source: dt.Database, tmp_path: Path) -> dt.DataPackage:
    return dt.PackageBuilder(source).add("users", where="id = 1").build(tmp_path / "one.zip", progress=False)


@pytest.fixture
def target(tmp_path: Path) -> dt.Database:
    create_schema(f"sqlite:///{tmp_path / 'target.db'}")
    return dt.Database(f"sqlite:///{tmp_path / 'target.db'}")


# --- databases that are not there ------------------------------------------------------------------------------------

LOOKING: dict[str, Callable[[dt.Database], Any]] = {
    "tables": lambda db: db.tables,
    "revision and origin": lambda db: (db.revision(), db.connect()),
    "receipts": dt.receipts,
    "receipt": lambda db: dt.receipt(db, uuid.uuid4()),
    "stages": dt.stages,
    "drop_stage": lambda db: dt.drop_stage(db, uuid.uuid4()),
    "track": dt.track,
    "untrack": lambda db: dt.untrack(db, ["users"]),
    "preview": lambda db: dt.PackageBuilder(db).add("users").preview(),
    "add_all": lambda db: dt.PackageBuilder(db).add_all(),
    "diff": lambda db: db.open_rows().__enter__(),
}


@pytest.mark.parametrize("look", LOOKING.values(), ids=LOOKING)
def test_looking_at_a_file_that_is_not_there_does_not_make_it(
    look: Callable[[dt.Database], Any], tmp_path: Path
) -> None:
    with pytest.raises(dt.DatabaseError, match="there is no such database file") as caught:
        look(dt.Database(f"sqlite:///{tmp_path / 'missing.db'}"))
    assert "missing.db" in caught.value.where
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["check", "plan", "run", "resume"])
def test_importing_into_a_file_that_is_not_there_does_not_make_it(
    verb: str, package: dt.DataPackage, tmp_path: Path
) -> None:
    target = dt.Database(f"sqlite:///{tmp_path / 'missing.db'}")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(dt.DatabaseError, match="there is no such database file"):
        getattr(dt.PackageImporter(package, target), verb)()
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_that_went_after_its_schema_was_read_is_not_made_again(target: dt.Database) -> None:
    assert "users" in target.schema
    path = Path(str(target.engine.url.database))
    path.unlink()
    for look in (lambda: target.count("users"), lambda: dt.PackageBuilder(target).add("users").preview()):
        with pytest.raises(dt.DatabaseError, match="there is no such database file"):
            look()
    assert not path.exists()


# --- files that are none, destinations that are taken ---------------------------------------------------------------


def test_an_empty_path_is_no_file(source: dt.Database, tmp_path: Path) -> None:
    with source.engine.begin() as conn:
        changed = conn.exec_driver_sql("UPDATE attachments SET path = '' WHERE id IN (SELECT min(id) FROM attachments)")
        assert changed.rowcount == 1
        others = conn.exec_driver_sql("SELECT count(DISTINCT path) FROM attachments WHERE path <> ''").scalar_one()
    builder = dt.PackageBuilder(source).add_all()
    selection = builder.preview()
    assert len(selection.files) == others
    assert "file_missing" not in {warning.code for warning in selection.warnings}
    package = builder.build(tmp_path / "all.zip", progress=False)
    assert set(package.files["missing"]) == {""}
    assert "" in set(package["attachments"].to_frame()["path"])
    assert package.verify().ok


def test_files_that_were_skipped_are_told_to_the_end(source: dt.Database, target: dt.Database, tmp_path: Path) -> None:
    (store,) = source.files.values()
    with source.engine.connect() as conn:
        lost = str(conn.exec_driver_sql("SELECT min(path) FROM attachments").scalar_one())
    assert store.delete(lost)
    builder = dt.PackageBuilder(source).add_all()
    with pytest.raises(dt.FileStoreError):
        builder.build(tmp_path / "all.zip", progress=False)
    package = builder.build(tmp_path / "all.zip", progress=False, on_missing_file="skip")
    assert package.metadata.selection["on_missing_file"] == "skip"
    assert package.metadata.selection["missing_files"] == 1
    importer = dt.PackageImporter(package, target)
    said = "attachments.path: 1 file was missing when the package was made, and cannot come with it; their rows do"
    with importer.plan() as plan:
        assert said in plan.warnings
    importer.run()
    story = dt.receipt(target, dt.receipts(target)["import_id"][0]).story()
    assert f"warning: {said}" in story


def test_only_what_the_reader_takes_for_a_package_is_replaced(source: dt.Database, tmp_path: Path) -> None:
    builder = dt.PackageBuilder(source).add("users", where="id = 1")
    folder, zipped = tmp_path / "part", tmp_path / "part.zip"
    for path in (folder, zipped):
        builder.build(path, progress=False)
        builder.build(path, progress=False, overwrite=True)
    (folder / "my notes.txt").write_text("mine")
    named = tmp_path / "named.zip"
    with zipfile.ZipFile(named, "w") as made:  # somebody else's, with the same names in it
        made.writestr("metadata.json", '{"version": 3}')
        made.writestr("manifest.json", "{}")
    zipped.write_bytes(zipped.read_bytes()[:-1])
    for path in (folder, zipped, named):
        before = path.stat().st_mtime_ns
        with pytest.raises(dt.PackageExistsError, match="no package"):
            builder.build(path, progress=False, overwrite=True)
        assert path.stat().st_mtime_ns == before
    assert (folder / "my notes.txt").read_text() == "mine"


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    "name", ["catalogue.db", "catalogue.db-wal", "catalogue.db-journal", "catalogue.db-shm", "files", "."]
)
def test_a_package_never_takes_a_place_of_its_source(name: str, overwrite: bool, tmp_path: Path) -> None:
    # even where a package lies there
    source = sample_database(tmp_path / "source")
    folder, place = tmp_path / "source", tmp_path / "source" / name
    before = sorted(folder.rglob("*"))
    with pytest.raises(dt.PackageExistsError, match="never replaced"):
        dt.PackageBuilder(source).add("users").build(place, progress=False, overwrite=overwrite)
    assert sorted(folder.rglob("*")) == before


def test_a_folder_that_is_a_package_is_kept_if_a_store_lies_in_it(source: dt.Database, tmp_path: Path) -> None:
    dt.PackageBuilder(source).add("users", where="id = 1").build(tmp_path / "part", progress=False)
    url = str(source.engine.url)
    stored = dt.Database(url, files={"attachments.path": dt.FolderStore(tmp_path / "part" / "files")})
    with pytest.raises(dt.PackageExistsError, match="holds the store of attachments"):
        dt.PackageBuilder(stored).add("users").build(tmp_path / "part", progress=False, overwrite=True)
    assert dt.DataPackage.open(tmp_path / "part").verify().ok


def test_a_backup_never_takes_a_place_of_its_target(package: dt.DataPackage, target: dt.Database) -> None:
    place = f"{target.engine.url.database}-wal"
    with pytest.raises(dt.PackageExistsError, match="never replaced"):
        dt.PackageImporter(package, target).run(backup=place)
    assert target.count("users") == 0


# --- arguments that are something else ------------------------------------------------------------------------------


@dataclass
class Desk:
    """What the calls below are made on."""

    source: dt.Database
    package: dt.DataPackage
    target: dt.Database
    folder: Path

    @property
    def builder(self) -> dt.PackageBuilder:
        return dt.PackageBuilder(self.source)

    @property
    def importer(self) -> dt.PackageImporter:
        return dt.PackageImporter(self.package, self.target)

    def build(self, **options: Any) -> object:
        return self.builder.add("users").build(self.folder / "new.zip", **options)

    def database(self, **options: Any) -> dt.Database:
        return dt.Database(self.target.engine.url, **options)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    source = sample_database(folder / "source")
    package = dt.PackageBuilder(source).add("users", where="id = 1").build(folder / "one.zip", progress=False)
    create_schema(f"sqlite:///{folder / 'target.db'}")
    return Desk(source, package, dt.Database(f"sqlite:///{folder / 'target.db'}"), folder)


COLUMN = "attachments.path"
A_STORE = {COLUMN: "uploads"}
WRONG: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    # call, what its error says, where
    "receipt by no UUID": (lambda d: dt.receipt(d.target, "x"), "not a UUID", "import_id"),
    "receipts of a URL": (lambda d: dt.receipts("sqlite://"), "a Database is needed, not a str", "db"),
    "receipt of a URL": (lambda d: dt.receipt("sqlite://", uuid.uuid4()), "a Database is needed", "db"),
    "stages of nothing": (lambda d: dt.stages(None), "a Database is needed, not None", "db"),
    "drop_stage by no UUID": (lambda d: dt.drop_stage(d.target, "x"), "not a UUID", "import_id"),
    "drop_stage of a URL": (lambda d: dt.drop_stage("sqlite://", uuid.uuid4()), "a Database is needed", "db"),
    "resume by no UUID": (lambda d: d.importer.resume("x"), "not a UUID", "import_id"),
    "package_id": (lambda d: d.build(package_id="x"), "not a UUID", "package_id"),
    "created": (lambda d: d.build(created="2026-01-01"), "a datetime is needed, not a str", "created"),
    "description": (lambda d: d.build(description=5), "a str is needed, not an int", "description"),
    "progress": (lambda d: d.build(progress=5), "a listener is called", "listener"),
    "build nowhere": (lambda d: d.builder.add("users").build(None), "a path is needed, not None", "path"),
    "origin": (lambda d: d.database(origin="nope"), "not a UUID", "origin"),
    "origin of a number": (lambda d: d.database(origin=5), "not a UUID", "origin"),
    "schema of a number": (lambda d: d.database(schema=5), "a str is needed, not an int", "schema"),
    "a text as store": (lambda d: d.database(files=A_STORE), "a store of files is needed, not a str", COLUMN),
    "a class as store": (lambda d: d.database(files={COLUMN: dt.FolderStore}), "not the class FolderStore", COLUMN),
    "stores as a list": (lambda d: d.database(files=["attachments.path"]), "a Mapping is needed, not a list", "files"),
    "a store of no column": (lambda d: d.database(files={5: dt.MemoryStore()}), "a str is needed", "column"),
    "a folder that is none": (lambda d: dt.FolderStore(None), "a path is needed, not None", "root"),
    "importer the other way round": (lambda d: dt.PackageImporter(d.target, d.package), "the other way round", ""),
    "importer of a path": (lambda d: dt.PackageImporter("a.zip", d.target), "a DataPackage is needed", "package"),
    "importer into a URL": (lambda d: dt.PackageImporter(d.package, "sqlite://"), "a Database is needed", "target"),
    "importer's lock_timeout": (lambda d: dt.PackageImporter(d.package, d.target, lock_timeout="1"), "lock_time", ""),
    "importer's rows": (lambda d: dt.PackageImporter(d.package, d.target, checkpoint_rows=0), "checkpoint_rows", ""),
    "importer's listener": (lambda d: dt.PackageImporter(d.package, d.target, listener=5), "a listener", "listener"),
    "importer's migrations": (lambda d: dt.PackageImporter(d.package, d.target, migrations=5), "a path", "migrations"),
    "run what is no plan": (lambda d: d.importer.run(5), "an ImportPlan is needed, not an int", "plan"),
    "backup nowhere": (lambda d: d.importer.run(backup=5), "a path is needed", "backup"),
    "match_on as a text": (lambda d: d.importer.plan(match_on="users"), "a Mapping is needed", "match_on"),
    "match_on of a number": (lambda d: d.importer.plan(match_on={"users": 5}), "names are needed", "match_on of users"),
    "decisions of a number": (lambda d: d.importer.plan(decisions=5), "a path is needed", "decisions"),
    "a parameter that is none": (lambda d: d.importer.plan(renames={}), "there is no parameter 'renames'", ""),
    "a mapping from nowhere": (lambda d: dt.Mapping.load(5), "a path is needed", "path"),
    "newest of nothing": (lambda d: dt.Newest(""), "a column is needed", "newest"),
    "builder of a URL": (lambda d: dt.PackageBuilder("sqlite://"), "a Database is needed, not a str", "db"),
    "builder of a package": (lambda d: dt.PackageBuilder(d.package), "not a DataPackage", "db"),
    "builder's listener": (lambda d: dt.PackageBuilder(d.source, listener=5), "a listener", "listener"),
    "where of a number": (lambda d: d.builder.add("users", where=5), "where= takes a text", "users"),
    "where of a truth value": (lambda d: d.builder.add("users", where=True), "not a bool", "users"),
    "where as a list": (lambda d: d.builder.add("users", where=["id = 1"]), "not a list", "users"),
    "params as a list": (lambda d: d.builder.add("users", where="id = 1", params=[1]), "names and values", "users"),
    "params as a text": (lambda d: d.builder.add("users", where="id = :a", params="a"), "names and values", "users"),
    "follow where": (lambda d: d.builder.follow("datasets.owner_id", where=5), "a str is needed", "where"),
    "a table of a number": (lambda d: d.builder.add(5), "a str is needed, not an int", "table"),
    "a table of nothing": (lambda d: d.builder.add(None), "a str is needed, not None", "table"),
    "tables as one": (lambda d: d.builder.add(["users"]), "a str is needed, not a list", "table"),
    "a table of a package": (lambda d: d.package[5], "a str is needed", "table"),
    "count": (lambda d: d.source.count(5), "a str is needed", "table"),
    "why": (lambda d: d.package.why(5, 1), "a str is needed", "table"),
    "a foreign key of a number": (lambda d: d.builder.stop(5), "a str is needed", "column"),
    "relate to a number": (lambda d: d.source.relate("datasets.name", 5), "a str is needed", "column"),
    "uuids": (lambda d: d.builder.add("users", uuids=["x"]), "a value of uuids= is not a UUID", ""),
    "track a number": (lambda d: dt.track(d.target, 5), "names are needed", "tables"),
    "track numbers": (lambda d: dt.track(d.target, [5]), "names are needed", "tables"),
    "track an unknown table": (lambda d: dt.track(d.target, "nope"), "there is no table 'nope'", ""),
    "untrack an unknown table": (lambda d: dt.untrack(d.target, "nope"), "there is no table 'nope'", ""),
    "open nothing": (lambda d: dt.DataPackage.open(None), "a path is needed, not None", "path"),
    "open bytes": (lambda d: dt.DataPackage.open(b"a.zip"), "a path is needed, not a bytes", "path"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "says", "where"), WRONG.values(), ids=WRONG)
def test_a_wrong_argument_is_named(call: Callable[[Desk], Any], says: str, where: str, desk: Desk) -> None:
    before = sorted(desk.folder.rglob("*"))
    with pytest.raises(dt.UsageError) as caught:
        call(desk)
    assert says in caught.value.message
    assert caught.value.where == where
    assert sorted(desk.folder.rglob("*")) == before


READING: dict[str, Callable[[dt.DataPackage], Any]] = {
    "table": lambda package: package["users"].to_frame(),
    "verify": lambda package: package.verify(),
    "manifest": lambda package: package.manifest,
    "why": lambda package: package.why("users", 1),
    "digest": lambda package: package.computed_digest(),
    "file": lambda package: package.open_file(package.manifest_data.files[0].sha256),
}


@pytest.mark.parametrize("read", READING.values(), ids=READING)
@pytest.mark.parametrize("name", ["part.zip", "part"])
def test_a_package_that_was_closed_says_so(
    name: str, read: Callable[[dt.DataPackage], Any], source: dt.Database, tmp_path: Path
) -> None:
    with dt.PackageBuilder(source).add("users", where="id = 1").build(tmp_path / name, progress=False) as package:
        package.verify()
    with pytest.raises(dt.UsageError, match="the package was closed") as caught:
        read(package)
    assert name in caught.value.where
    assert package.files is not None  # what is known stays known


def test_importing_a_closed_package_leaves_no_stage(package: dt.DataPackage, target: dt.Database) -> None:
    package.close()
    with pytest.raises(dt.UsageError, match="the package was closed"):
        dt.PackageImporter(package, target).run()
    assert dt.stages(target).empty


def test_one_name_is_one_table(target: dt.Database) -> None:
    assert dt.track(target, "folders") == ["folders"]
    assert dt.untrack(target, "folders") == ["folders"]


@pytest.mark.parametrize("form", ["list", "generator", "frame", "array", "set"])
def test_keys_are_taken_when_they_are_given(form: str, source: dt.Database) -> None:
    given: Any = {"list": [1, 2], "frame": pd.DataFrame({"id": [1, 2]}), "array": np.array([1, 2]), "set": {1, 2}}.get(
        form
    )
    keys = (key for key in (1, 2)) if form == "generator" else given
    builder = dt.PackageBuilder(source).add("tags", keys=keys)
    if form in ("list", "set"):
        given.clear()
    elif form == "frame":
        given.loc[:, "id"] = 3
    elif form == "array":
        given[:] = 3
    for _ in range(2):
        counts = builder.preview().counts.set_index("table")
        assert counts.loc["tags", "rows"] == 2


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_relations_need_one_parent(dialect: str, databases: Databases) -> None:
    with dt.Database(databases.create(dialect)) as db:
        with db.engine.begin() as conn:
            for sql in (
                "CREATE TABLE people (id INTEGER PRIMARY KEY, code VARCHAR(9), name TEXT, nick TEXT, UNIQUE (code))",
                "CREATE TABLE notes (id INTEGER PRIMARY KEY, code VARCHAR(9), name TEXT, nick TEXT)",
                "INSERT INTO people VALUES (1, 'a', 'Ann', NULL), (2, 'b', 'Ann', NULL)",
            ):
                conn.exec_driver_sql(sql)
        with pytest.raises(dt.UsageError, match="several rows could be the parent of one"):
            db.relate("notes.name", "people.name")
        assert db.schema.table("notes").foreign_keys == ()
        db.relate("notes.code", "people.code")  # declared unique
        db.relate("notes.nick", "people.nick")  # not declared, and no value stands twice
        db.relate("notes.(name, code)", "people.(name, code)")
        assert len(db.schema.table("notes").foreign_keys) == 3


# --- what there is instead ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("order", "did you mean 'orders'?"),
        ("ORDERS", "did you mean 'orders'?"),
        ("table_20x", "did you mean 'table_20', 'table_21' or 'table_12'?"),
        ("zzz", f"there are orders, {', '.join(f'table_{n}' for n in range(10, 19))} and 4 more"),
    ],
)  # fmt: skip
def test_only_close_names_are_suggested_else_ten_at_most(name: str, hint: str) -> None:
    known = ["users", "orders", *(f"table_{n}" for n in range(10, 22))]
    assert suggestion(name, known) == hint
    schema = Schema({table: Table(table, ()) for table in known})
    with pytest.raises(dt.UnknownTableError) as caught:
        schema.table(name)
    assert caught.value.hint == hint


def test_an_unknown_column_gets_the_same_help(source: dt.Database) -> None:
    with pytest.raises(dt.UnknownColumnError) as caught:
        source.schema.table("users").column("mail")
    assert caught.value.hint == "did you mean 'email'?"


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_a_schema_that_is_not_there_gets_those_there_are(dialect: str, databases: Databases) -> None:
    url = databases.create(dialect)
    with dt.Database(url) as db, db.engine.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    there = {"sqlite": "main", "postgresql": "public", "mariadb": make_url(url).database}[dialect]
    with dt.Database(url, schema=there) as db:
        assert "t" in db.schema
    with (
        dt.Database(url, schema="nope") as db,
        pytest.raises(dt.UsageError, match="there is no schema 'nope'") as caught,
    ):
        _ = db.tables
    assert str(there)[:6] in caught.value.hint or " more" in caught.value.hint
    assert "information_schema" not in caught.value.hint


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
@pytest.mark.parametrize(
    "rule", ["CONSTRAINT price_is_positive CHECK (price > 0)", "CONSTRAINT price_is_positive UNIQUE (price)"]
)
def test_a_refused_merge_names_table_and_constraint_and_no_value(
    dialect: str, rule: str, databases: Databases, tmp_path: Path
) -> None:
    columns = "id INTEGER PRIMARY KEY, price INTEGER NOT NULL"
    with dt.Database(databases.create(dialect)) as source, source.engine.begin() as conn:
        conn.exec_driver_sql(f"CREATE TABLE first_of_all ({columns})")
        conn.exec_driver_sql(f"CREATE TABLE items ({columns})")
        conn.exec_driver_sql("INSERT INTO items VALUES (1, -987654), (2, -987654)")
    with dt.Database(source.engine.url) as source:
        package = dt.PackageBuilder(source).add_all().build(tmp_path / "p.zip", progress=False)
    with dt.Database(databases.create(dialect)) as target:
        with target.engine.begin() as conn:
            conn.exec_driver_sql(f"CREATE TABLE first_of_all ({columns})")
            conn.exec_driver_sql(f"CREATE TABLE items ({columns}, {rule})")
        with pytest.raises((dt.MergeError, dt.ConflictError)) as caught:
            dt.PackageImporter(package, target).run()
        assert caught.value.where == "items"
        assert "987654" not in str(caught.value)
        if isinstance(caught.value, dt.MergeError):
            assert "price_is_positive" in caught.value.message
        else:
            assert "UNIQUE" in rule  # the plan finds those
        assert target.count("items") == 0


# --- short words about long things ----------------------------------------------------------------------------------


def test_the_importer_says_what_goes_where_and_no_password(package: dt.DataPackage, target: dt.Database) -> None:
    assert repr(dt.PackageImporter(package, target)) == (
        f"PackageImporter({str(package.path)!r} into {target.url_shown!r})"
    )
    far = dt.Database("postgresql+psycopg://ann:S3CR3T@nowhere.invalid/x")  # no connection is made for a name
    assert "S3CR3T" not in repr(dt.PackageImporter(package, far))


def test_a_schema_is_shown_by_the_names_of_its_tables(source: dt.Database) -> None:
    assert repr(source.schema) == (
        "Schema(8 tables: attachments, data_sources, dataset_tags, dataset_versions, datasets, folders, tags, users)"
    )
    many = Schema({f"t{n}": Table(f"t{n}", ()) for n in range(500)})
    assert repr(many).endswith("t9 and 490 more)")
    assert len(repr(many)) < 100
    assert repr(source.schema.table("tags")) == "Table('tags': id, label)"
