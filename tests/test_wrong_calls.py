"""Calls that cannot be meant: each is refused with a typed error that says what, where and what to do instead."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.sample import create_schema, sample_database


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
