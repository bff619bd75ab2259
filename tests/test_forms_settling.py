"""The plan's page of the import form: findings about the schemas, conflicts, and what was decided."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as w
import pytest

import datatransfer as dt
from tests.support.forms import SHOP, package_of, ready_to_import, shop, walk
from tests.support.servers import Databases
from tests.support.sql import run


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> Path:
    return package_of(shop(databases), tmp_path / "all.zip")


def test_a_finding_tells_its_cure_once_and_is_settled_by_it(databases: Databases, package: Path) -> None:
    url = databases.create("sqlite")
    run(url, SHOP[0].replace(", password VARCHAR(50)", ""), SHOP[1])
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        [box] = [each for each in walk(form.findings) if isinstance(each, w.Checkbox)]
        assert box.description == 'use drop={"users": ["password"]}'
        said = form.findings.children[1]
        assert "dt-t dt-bad" in said.value
        assert "the target has no such column (add it to the target, or leave it out)" in said.value
        assert "drop" not in said.value
        box.value = True
        form.wait()
        assert "✓ settled: users.password" in said.value
        assert "dt-t dt-bad" not in said.value
        assert not form.next.disabled
        box.value = False
        form.wait()
        assert "✗ users.password" in said.value
        assert form.next.disabled
        form.wizard.close()
