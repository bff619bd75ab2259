"""A plan says which files of a package find other content under their path, before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.loaders import make_sample
from tests.support.scenes import contents
from tests.support.servers import Databases
from tests.support.transfer import SAMPLE_FILES, export_all, written


def test_files_in_the_way_are_listed_by_the_plan_and_files_that_are_the_same_are_not(
    databases: Databases, tmp_path: Path
) -> None:
    source = databases.create("sqlite")
    make_sample(source, tmp_path / "left")
    package = export_all(source, tmp_path / "p.zip", files={SAMPLE_FILES: dt.FolderStore(tmp_path / "left")})
    target, right = empty_copy(source, databases), tmp_path / "right"
    right.mkdir()
    path = min(contents(tmp_path / "left"))
    (right / path).parent.mkdir(parents=True, exist_ok=True)
    (right / path).write_text("somebody else's")
    before, there = exact_digest(target), contents(right)
    with dt.Database(target, files={SAMPLE_FILES: dt.FolderStore(right)}) as db:
        importer = dt.PackageImporter(package, db)
        plan = importer.plan()
        assert list(plan.file_conflicts["path"]) == [path]
        assert any("1 file" in warning and "other content" in warning for warning in plan.warnings)
        with pytest.raises(dt.FileStoreError, match="different content"):
            importer.run(plan)
        assert contents(right) == there
        assert_equal(before, exact_digest(target))
        (right / path).unlink()
        importer.run(importer.plan())
        again = importer.plan()
        assert again.file_conflicts.empty
        assert not any("other content" in warning for warning in again.warnings)
        assert written(importer.run(again)) == 0
