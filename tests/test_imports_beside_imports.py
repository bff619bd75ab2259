"""Several processes that import at once: the same package, and packages that overlap."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.sample import create_sample
from tests.support.children import Call, answers
from tests.support.copies import full_copy
from tests.support.lengths import rounds
from tests.support.servers import Databases
from tests.support.shop import session, two_shops
from tests.support.transfer import DIALECTS, export_all, import_into

PROCESSES = 8


def _content(url: str, folder: Path) -> str:
    """Return a digest of all rows in which keys do not count: processes that plan at once keep different ones."""
    path = folder / "content.zip"
    path.unlink(missing_ok=True)
    return export_all(url, path, encoding="columns").digest


@pytest.mark.longer
@pytest.mark.parametrize("dialect", DIALECTS)
def test_of_eight_processes_with_one_package_one_merges_and_seven_are_told(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, target = databases.create("sqlite"), databases.create(dialect)
    create_sample(source, tmp_path / "files", seed=1, size=4).close()
    create_sample(target, tmp_path / "more", seed=2, size=4).close()
    package = export_all(source, tmp_path / "all.zip")
    alone = full_copy(target, databases)
    import_into(package, alone, on_clash="reuse")
    wanted = _content(alone, tmp_path)
    seen: Counter[str] = Counter()
    for turn in range(rounds(3, 20)):
        url = full_copy(target, databases)
        options = {"go": str(tmp_path / f"go-{turn}"), "on_clash": "reuse"}
        calls = [
            Call("tell", str(package.path), url, options=options, said=str(tmp_path / f"said-{n}"))
            for n in range(PROCESSES)
        ]
        told = [said[0] for said in answers(calls)]
        with dt.Database(url) as db:
            receipts = dt.receipts(db)
            assert list(receipts["state"]) == ["merged"], told
            left = dt.stages(db).to_dict("records")
        outcomes = Counter(code for code, _, _ in told)
        assert outcomes["merged"] == 1, told
        assert outcomes["already-imported"] + outcomes["nothing"] == PROCESSES - 1, [
            t for t in told if t[0] not in ("merged", "already-imported", "nothing")
        ]
        assert left == [], (left, told)
        others = [text for code, _, text in told if code != "merged"]
        assert all(receipts["import_id"][0] in text for text in others), told
        assert _content(url, tmp_path) == wanted
        databases.drop(url)
        seen += outcomes
    assert seen["already-imported"] > 0  # they did meet


@pytest.mark.longer
@pytest.mark.parametrize("dialect", DIALECTS)
def test_packages_that_overlap_end_and_bring_every_row_once(databases: Databases, tmp_path: Path, dialect: str) -> None:
    drawn = random.Random(dialect)
    source, empty = two_shops(databases, dialect, rows=12)
    packages = []
    for part, keys in enumerate(([1, 2, 3, 4, 5, 6, 7, 8], [5, 6, 7, 8, 9, 10], [12, 11, 10, 9, 4, 3, 2])):
        with dt.Database(source) as db:
            path = tmp_path / f"part-{part}.zip"
            packages.append(dt.PackageBuilder(db).add("customers", keys=keys).build(path, progress=False))
    codes: Counter[str] = Counter()
    for turn in range(rounds(6, 34)):
        url = full_copy(empty, databases)
        calls = [
            Call("tell", str(package.path), url, said=str(tmp_path / f"said-{n}"),
                 options={"go": str(tmp_path / f"go-{turn}"), "delay": drawn.random() / 4, "tries": 9})
            for n, package in enumerate(packages)
        ]  # fmt: skip
        for said in answers(calls):
            codes += Counter(code for code, _, _ in said)
            assert said[-1][0] in ("merged", "nothing"), said
        with session(url) as cursor:
            cursor.execute("SELECT count(*), count(DISTINCT name) FROM customers")
            assert cursor.fetchone() == (17, 17)
            cursor.execute(
                "SELECT count(*) FROM orders o JOIN customers c ON c.id = o.customer_id WHERE c.name = o.note"
            )
            assert cursor.fetchone() == (17,)
        databases.drop(url)
    assert set(codes) <= {"merged", "nothing", "target-changed", "database"}
    assert codes["target-changed"] > 0
