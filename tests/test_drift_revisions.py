"""Revisions of Alembic that differ: both are named, and which of the two to upgrade."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer import errors
from tests.support.drift import BASE, ROWS, drifted, make
from tests.support.servers import Databases
from tests.support.transfer import export_all


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for revision, down in (("aaa1", None), ("bbb2", "aaa1"), ("ccc3", "bbb2"), ("ddd4", "aaa1")):
        (folder / "versions" / f"{revision}.py").write_text(f"revision = {revision!r}\ndown_revision = {down!r}\n")
    return folder


def _stamp(url: str, revision: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.execute(sa.text("INSERT INTO alembic_version VALUES (:r)"), {"r": revision})
    engine.dispose()


@pytest.mark.parametrize(
    ("theirs", "scripts", "said"),
    [
        ("bbb2", False, None),
        ("aaa1", False, "which is newer, the application's migrations know"),
        ("aaa1", True, "run 'alembic upgrade bbb2' on the target"),
        ("ccc3", True, "run 'alembic upgrade ccc3' on the source and export again"),
        ("ddd4", True, "they are of different branches"),
        ("eee5", True, "the migrations do not know 'eee5'"),
    ],
)
def test_revisions_that_differ_are_both_named(
    dialect: str, databases: Databases, tmp_path: Path, migrations: Path, theirs: str, scripts: bool, said: str | None
) -> None:
    source, url = databases.create(dialect), databases.create(dialect)
    make(source, BASE, ROWS)
    make(url, drifted(orders__note=None))
    _stamp(source, "bbb2")
    _stamp(url, theirs)
    package = export_all(source, tmp_path / "shop.zip")
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target, migrations=migrations if scripts else None)
        found = [item for item in importer.check() if item.code == "revision"]
        with pytest.raises(errors.SchemaMismatchError) as caught:
            importer.run()
        receipt = importer.run(drop={"orders": ["note"]})
    if said is None:
        assert found == []
        assert not receipt.warnings
        return
    for text in (str(found[0]), str(caught.value), " ".join(receipt.warnings)):
        assert "'bbb2'" in text
        assert repr(theirs) in text
        assert said in text


def test_a_folder_without_migrations_is_refused(databases: Databases, tmp_path: Path) -> None:
    source, url = databases.create("sqlite"), databases.create("sqlite")
    make(source, BASE, ROWS)
    make(url, BASE)
    _stamp(source, "bbb2")
    _stamp(url, "aaa1")
    package = export_all(source, tmp_path / "shop.zip")
    (tmp_path / "empty").mkdir()
    with dt.Database(url) as target:
        with pytest.raises(errors.UsageError, match="no folder of Alembic migrations"):
            dt.PackageImporter(package, target, migrations=tmp_path / "empty").check()
        with pytest.raises(errors.UsageError, match="no such folder"):
            dt.PackageImporter(package, target, migrations=tmp_path / "nowhere")
