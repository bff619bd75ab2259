"""The sample catalogue: the same for the same seed, whole, and on every database."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from datatransfer import sample
from datatransfer.sample.models import Base
from tests.support.servers import Databases


def rows_of(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return all rows of all tables of the catalogue, sorted."""
    with sa.create_engine(url, poolclass=NullPool).connect() as conn:
        return {
            name: [tuple(row) for row in conn.execute(sa.select(table).order_by(*table.primary_key))]
            for name, table in Base.metadata.tables.items()
        }


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    sample.sample_database(tmp_path / "one", seed=5).close()
    # Another process, because the order of sets differs between processes.
    code = (
        f"from datatransfer.sample import sample_database; sample_database({str(tmp_path / 'two')!r}, seed=5).close()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert files_of(tmp_path / "one") == files_of(tmp_path / "two")


def test_another_seed_gives_other_rows(tmp_path: Path) -> None:
    for seed in (1, 2):
        sample.sample_database(tmp_path / str(seed), seed=seed).close()
    one, two = (rows_of(f"sqlite:///{tmp_path / str(seed) / 'catalogue.db'}") for seed in (1, 2))
    assert one["datasets"] != two["datasets"]


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_the_rows_are_the_same_on_every_database(databases: Databases, tmp_path: Path, dialect: str) -> None:
    here, there = databases.create("sqlite"), databases.create(dialect)
    for name, url in (("here", here), ("there", there)):
        sample.create_sample(url, tmp_path / name).close()
    assert rows_of(there) == rows_of(here)
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_the_application_can_go_on_inserting(databases: Databases, tmp_path: Path, dialect: str) -> None:
    url = databases.create(dialect)
    sample.create_sample(url, tmp_path, size=3).close()
    with sa.create_engine(url, poolclass=NullPool).begin() as conn:
        tags = Base.metadata.tables["tags"]
        conn.execute(tags.insert().values(label="new"))
        found = conn.execute(sa.select(tags.c.id).where(tags.c.label == "new")).scalar_one()
    assert found == 11


def test_it_holds_what_makes_a_transfer_hard(tmp_path: Path) -> None:
    with sample.sample_database(tmp_path) as db:
        rows = rows_of(f"sqlite:///{tmp_path / 'catalogue.db'}")
        assert {table.name for table in db.schema if table.tracked} == {"users", "datasets"}
        assert any(fk.is_self for fk in db.schema.table("folders").foreign_keys)
        assert {"dataset_versions"} <= {fk.parent for fk in db.schema.table("datasets").foreign_keys}
        assert {"datasets"} == {fk.parent for fk in db.schema.table("dataset_versions").foreign_keys}
        assert db.schema.table("dataset_tags").key == ("dataset_id", "tag_id")
    datasets = Base.metadata.tables["datasets"].columns.keys()
    descriptions = {row[datasets.index("description")] for row in rows["datasets"]}
    assert {None, ""} < descriptions
    assert all(row[datasets.index("current_version_id")] is not None for row in rows["datasets"])


def test_a_server_made_first_takes_no_foreign_keys_from_sqlite(databases: Databases, tmp_path: Path) -> None:
    sample.create_schema(databases.create("postgresql"))
    with sample.sample_database(tmp_path, size=1) as db:
        assert len(db.schema.table("datasets").foreign_keys) == 4


def test_every_attachment_is_there_and_some_share_their_content(tmp_path: Path) -> None:
    sample.sample_database(tmp_path).close()
    files = files_of(tmp_path / "files")
    attachments = Base.metadata.tables["attachments"].columns.keys()
    named = {
        row[attachments.index("path")]: row[attachments.index("bytes")]
        for row in rows_of(f"sqlite:///{tmp_path / 'catalogue.db'}")["attachments"]
    }
    assert named == {path: len(content) for path, content in files.items()}
    assert len(set(files.values())) < len(files)
    assert {path.rsplit(".")[-1] for path in files} == {"csv", "txt", "png"}


def test_nothing_in_it_is_broken(tmp_path: Path) -> None:
    sample.sample_database(tmp_path, size=200).close()
    with sa.create_engine(f"sqlite:///{tmp_path / 'catalogue.db'}", poolclass=NullPool).connect() as conn:
        assert conn.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        assert conn.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert conn.exec_driver_sql("SELECT count(*) FROM datasets").scalar_one() == 200


def test_a_sample_that_is_there_is_opened_again(tmp_path: Path) -> None:
    with sample.sample_database(tmp_path, size=5) as first:
        assert first.count("datasets") == 5
    with sample.sample_database(tmp_path, size=9) as again:
        assert again.count("datasets") == 5
        assert ("attachments", "path") in again.files


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_an_empty_schema_is_a_target(databases: Databases, dialect: str) -> None:
    url = databases.create(dialect)
    sample.create_schema(url)
    sample.create_schema(url)
    assert set(rows_of(url)) == {table for table, rows in rows_of(url).items() if not rows}
