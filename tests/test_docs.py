"""What the documentation says is true: code blocks run, commands exist, examples give what they show."""

from __future__ import annotations

import doctest
import gc
import importlib
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import datatransfer
from datatransfer.cli.arguments import make_parser
from datatransfer.errors import all_errors
from datatransfer.failpoints import NAMES

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
COMMANDS = ("python -m pip install . && datatransfer demo", "python -m pip install '.[test]' && python -m pytest")


def _readme() -> str:
    return README.read_text(encoding="utf-8")


def _blocks(*languages: str) -> list[str]:
    """Return the README's fenced blocks of some languages, in order."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", _readme(), re.MULTILINE | re.DOTALL)
    return [text for language, text in found if language in languages]


def _command_lines() -> Iterator[list[str]]:
    for block in _blocks("bash", "sh", "shell", "console"):
        for line in block.replace("\\\n", " ").splitlines():
            for part in line.removeprefix("$ ").split("&&"):
                words = shlex.split(part, comments=True)
                if words[:1] == ["datatransfer"]:
                    yield words[1:]


def _modules() -> list[str]:
    return sorted(
        module.name for module in pkgutil.walk_packages(datatransfer.__path__, "datatransfer.")
        if not module.name.endswith("__main__") and "._migrations" not in module.name
    )  # fmt: skip


@pytest.mark.parametrize("name", ["datatransfer", *_modules()])
def test_the_examples_in_docstrings_give_what_they_show(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    failed, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    gc.collect()  # from Python 3.13 on a database that an example left open is told here, as an error
    assert failed == 0
    assert (module.__doc__ or "").strip(), "a module starts by saying what it holds"


@pytest.mark.parametrize("command", COMMANDS)
def test_readme_has_the_two_commands_word_for_word(command: str) -> None:
    assert command in [line.strip() for line in _readme().splitlines()]


def test_the_python_blocks_of_readme_run_one_after_the_other(tmp_path: Path) -> None:
    blocks = _blocks("python")
    assert blocks
    script = tmp_path / "readme.py"
    script.write_text("\n".join(blocks), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::DeprecationWarning:__main__"}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_every_command_line_of_readme_is_accepted() -> None:
    lines = list(_command_lines())
    assert ["demo"] in lines
    for words in lines:
        make_parser().parse_args(words)


def test_readme_names_every_command_and_every_error_code() -> None:
    text = _readme()
    commands = next(action.choices for action in make_parser()._actions if isinstance(action.choices, dict))
    assert [name for name in commands if not re.search(rf"\b{name}\b", text)] == []
    assert [error.code for error in all_errors() if f"`{error.code}`" not in text] == []


def test_codes_of_errors_are_unique() -> None:
    codes = [error.code for error in all_errors()]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("path", sorted(ROOT.glob("*.md")), ids=lambda path: path.name)
def test_links_to_files_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert missing == []


def test_the_changelog_has_this_version() -> None:
    assert datatransfer.__version__ in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_failpoint_is_in_the_code_and_in_the_docs_and_no_other_is() -> None:
    code = [path.read_text(encoding="utf-8") for path in (ROOT / "datatransfer").rglob("*.py")]
    passed = {name for text in code for name in re.findall(r"""\bfailpoint\(["']([\w.]+)["']\)""", text)}
    calls = sum(len(re.findall(r"(?<!def )\bfailpoint\((?!\))", text)) for text in code)
    assert calls == sum(
        len(re.findall(r"""\bfailpoint\(["'][\w.]+["']\)""", text)) for text in code
    )  # none is computed
    assert sorted(passed) == sorted(NAMES)
    rows = re.findall(
        r"^\| `([\w.]+)` \| (.+) \|$", (ROOT / "tests" / "README.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert dict(rows) == NAMES
