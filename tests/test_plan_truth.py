"""The plan tells the truth: what an import does is what its plan said, row by row and field by field."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.support.merges import check_merge, fill, random_rows, rows_of
from tests.support.servers import Databases
from tests.support.transfer import export_all

ROUNDS = 25


def truth(databases: Databases, dialect: str, folder: Path, seed: int, rounds: int) -> Counter[str]:
    """Merge one package into many targets; return how the merges ended."""
    dice = random.Random(seed)
    source = databases.create(dialect)
    fill(source, random_rows(dice), anew=False)
    package = export_all(source, folder / "package.zip")
    url, ends = databases.create(dialect), Counter[str]()
    fill(url, random_rows(dice), anew=False)
    for number in range(rounds):
        if number:
            fill(url, random_rows(dice), anew=True)
        ends[check_merge(package, rows_of(source), url, dice, folder)] += 1
    return ends


@pytest.mark.longer
@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(n, marks=pytest.mark.campaign) for n in range(5, 20))])
def test_five_hundred_random_merges_into_sqlite_are_as_planned(databases: Databases, tmp_path: Path, seed: int) -> None:
    ends = truth(databases, "sqlite", tmp_path, seed, ROUNDS)
    assert ends["merged"] > 2


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_random_merges_into_servers_are_as_planned(databases: Databases, tmp_path: Path, dialect: str) -> None:
    ends = truth(databases, dialect, tmp_path, 1000, 8)
    assert ends["merged"] > 2


@pytest.mark.campaign
@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
@pytest.mark.parametrize("seed", range(2000, 2020))
def test_five_hundred_random_merges_into_servers_are_as_planned(
    databases: Databases, tmp_path: Path, dialect: str, seed: int
) -> None:
    ends = truth(databases, dialect, tmp_path, seed, ROUNDS)
    assert ends["merged"] > 2
