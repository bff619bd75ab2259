"""The public surface: every name is there, typed and documented, and nothing is loaded before it is used."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import datatransfer
from datatransfer.errors import all_errors

ROOT = Path(__file__).parent.parent
HEAVY = ("pandas", "pyarrow", "numpy", "sqlalchemy", "alembic", "networkx", "ipywidgets", "tqdm", "IPython",
         "adbc_driver_manager", "psycopg", "pymysql")  # fmt: skip


def loaded_after(statement: str) -> set[str]:
    """Return which heavy packages a fresh process has loaded after a statement."""
    code = f"import json, sys; {statement}; print(json.dumps([n for n in {HEAVY!r} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return set(json.loads(done.stdout))


def test_all_is_sorted_without_duplicates() -> None:
    assert datatransfer.__all__ == sorted(set(datatransfer.__all__))


@pytest.mark.parametrize("name", datatransfer.__all__)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    value = getattr(datatransfer, name)
    assert name == "__version__" or inspect.getdoc(value)


def test_every_error_is_public() -> None:
    assert {error.__name__ for error in all_errors()} <= set(datatransfer.__all__)


def test_the_names_for_type_checkers_are_the_public_ones() -> None:
    tree = ast.parse((ROOT / "datatransfer" / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    found = {alias.name: node.module for node in imports for alias in node.names}
    assert set(found) | {"__version__"} == set(datatransfer.__all__)
    for name, module in found.items():
        assert getattr(datatransfer, name).__module__ == module


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Databse'"):
        _ = datatransfer.Databse


def test_what_is_completed_after_the_dot_is_the_public_surface() -> None:
    _ = datatransfer.Database  # whatever was loaded meanwhile
    assert dir(datatransfer) == datatransfer.__all__


def test_importing_the_package_loads_nothing_heavy() -> None:
    assert loaded_after("import datatransfer") == set()


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("UsageError", set()),
        ("FolderStore", set()),
        ("Progress", set()),
        ("EntityMixin", {"sqlalchemy"}),
        ("Database", {"sqlalchemy"}),
    ],
)
def test_a_name_loads_only_what_it_is_made_of(name: str, allowed: set[str]) -> None:
    assert loaded_after(f"import datatransfer; datatransfer.{name}") <= allowed


def test_a_door_loads_neither_frames_nor_widgets() -> None:
    for name in ("PackageBuilder", "DataPackage", "PackageImporter"):
        assert not loaded_after(f"import datatransfer; datatransfer.{name}") & {"pandas", "ipywidgets", "pyarrow"}


def test_nothing_is_read_or_written_at_import() -> None:
    code = """
        import sys
        seen = []
        sys.addaudithook(lambda event, args: seen.append((event, args)) if event.startswith("socket.") else None)
        import datatransfer
        assert not seen, seen
    """
    subprocess.run([sys.executable, "-c", inspect.cleandoc(code)], check=True, cwd=ROOT)


def test_the_version_is_one() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["version"]["path"] == "datatransfer/__init__.py"
    assert re.fullmatch(r"\d+\.\d+\.\d+", datatransfer.__version__)
    assert f"## [{datatransfer.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_floors_hold() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


# --- README ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme_gives_the_two_commands(readme: str) -> None:
    lines = [line.strip() for line in readme.splitlines()]
    assert "python -m pip install . && datatransfer demo" in lines
    assert "python -m pip install '.[test]' && python -m pytest" in lines


def test_readme_lists_every_error_with_its_code_and_exit_code(readme: str) -> None:
    rows = dict(re.findall(r"^\| `([a-z-]+)` \| (.*?) \|$", readme, re.MULTILINE))
    wanted = {error.code: error for error in all_errors()}
    assert set(rows) == set(wanted)
    for code, error in wanted.items():
        name, exit_code, *_ = (cell.strip() for cell in rows[code].split("|"))
        assert (name, exit_code) == (f"`{error.__name__}`", str(error.exit_code))


def test_readme_uses_only_names_that_exist(readme: str) -> None:
    used = set(re.findall(r"\bdt\.([A-Za-z_]+)", readme))
    assert used
    assert used <= set(datatransfer.__all__)


def test_the_example_of_readme_runs(readme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example makes what it needs and ends in assertions, like the notebooks."""
    examples = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert len(examples) == 1
    monkeypatch.chdir(tmp_path)
    exec(compile(examples[0], "README.md", "exec"), {})


def test_changelog_has_bullets_that_say_why() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]" in text or f"## [{datatransfer.__version__}]" in text
    assert re.search(r"^- ", text, re.MULTILINE)
