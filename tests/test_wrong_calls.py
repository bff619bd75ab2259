"""Arguments that cannot be meant: each is refused with a typed error that says what, where and what to do instead."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import datatransfer as dt
from datatransfer.sample import sample_database
from tests.support.desk import empty_sample, one_user
from tests.support.servers import Databases


@pytest.fixture
def source(tmp_path: Path) -> dt.Database:
    return sample_database(tmp_path / "source")


@pytest.fixture
def package(source: dt.Database, tmp_path: Path) -> dt.DataPackage:
    return one_user(source, tmp_path)


@pytest.fixture
def target(tmp_path: Path) -> dt.Database:
    return empty_sample(tmp_path)


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
    return Desk(source, one_user(source, folder), empty_sample(folder), folder)


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
