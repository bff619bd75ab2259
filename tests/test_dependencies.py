"""Every dependency is used and says what for, and nothing else is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PROJECT = tomllib.loads(PYPROJECT)["project"]
# Used without an import: where the word for it stands, beside where the code is.
BY_NAME = {
    "ipywidgets": "datatransfer/progress.py",  # looked for, so that tqdm may draw with it
    "pytest-xdist": ".ci/run",
    "nbval": "pyproject.toml",
    "ipykernel": "notebooks/00_start_here.ipynb",
    "import-linter": "tests/test_floors.py",
    "tpchgen-cli": "tests/benchmarks/data.py",
    "ruff": ".ci/run",
    "mypy": ".ci/run",
    "pandas-stubs": "pyproject.toml",
    "psycopg": "datatransfer/database/engines.py",
    "pymysql": "datatransfer/database/engines.py",
    "jupyterlab": "datatransfer/cli/lab.py",
    "hatchling": "tests/test_lab.py",
    "axe-playwright-python": "tests/browser/axe.py",
}
WORDS = {
    "pytest-xdist": "--dist", "nbval": "--nbval", "import-linter": "importlinter", "pandas-stubs": "strict",
    "ipykernel": "python3", "axe-playwright-python": "axe_playwright_python",
}  # fmt: skip


def name_of(requirement: str) -> str:
    return re.match(r"[a-z0-9-]+", requirement, re.IGNORECASE)[0]  # type: ignore[index]


def imported(*folders: str) -> set[str]:
    """Return the top-level modules that the code of some folders imports."""
    found: set[str] = set()
    for folder in folders:
        for file in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    found.update(alias.name.partition(".")[0] for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and not node.level:
                    found.add(str(node.module).partition(".")[0])
                elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "importorskip":
                    found.add(ast.literal_eval(node.args[0]))
    return found


OURS = ("", "postgresql", "mariadb", "lab")
LISTS = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
EVERY = [(extra, item) for extra, items in LISTS.items() for item in items if not item.startswith("datatransfer[")]


@pytest.mark.parametrize(("extra", "requirement"), EVERY, ids=lambda value: value or "datatransfer")
def test_every_dependency_is_used(extra: str, requirement: str) -> None:
    name = name_of(requirement)
    folders = ("datatransfer", "migrations") if extra in OURS else ("tests",)
    if name in BY_NAME:
        assert WORDS.get(name, name) in (ROOT / BY_NAME[name]).read_text(encoding="utf-8")
    else:
        assert name.replace("-", "_") in imported(*folders)


@pytest.mark.parametrize("requirement", [item for items in LISTS.values() for item in items])
def test_every_dependency_says_what_for(requirement: str) -> None:
    assert re.search(rf'^ +"{re.escape(requirement)}", +# \S', PYPROJECT, re.MULTILINE)


def test_the_library_imports_nothing_that_it_does_not_ask_for() -> None:
    asked = {name_of(item).replace("-", "_") for extra in OURS for item in LISTS[extra]}
    assert imported("datatransfer", "migrations") - set(sys.stdlib_module_names) - {"datatransfer"} <= asked
