"""Where everything is required, nothing is skipped silently."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.servers import absent, required

ROOT = Path(__file__).resolve().parents[1]
MADE = """
import pytest
def test_absent(): pytest.skip("no server")
def test_optional(): pytest.skip("optional: no browser")
@pytest.mark.skipif(True, reason="not here")
def test_marked(): pass
@pytest.mark.xfail(reason="known", strict=True)
def test_known(): assert False
"""


def _run(folder: Path, text: str, **environment: str) -> str:
    path = folder / "test_made.py"
    path.write_text(text, encoding="utf-8")
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "DATATRANSFER_REQUIRE")}
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "--rootdir",
        folder,
    ]
    done = subprocess.run(
        [*command, "-c", os.devnull, path],
        cwd=ROOT,
        env={**clean, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_skips_are_failures_in_ci_unless_they_are_optional(tmp_path: Path) -> None:
    assert "1 failed, 1 skipped, 1 xfailed, 1 error" in _run(tmp_path, MADE, CI="true")
    assert "3 skipped, 1 xfailed" in _run(tmp_path, MADE)


def test_a_module_that_skips_itself_is_a_failure_in_ci(tmp_path: Path) -> None:
    text = "import pytest\npytest.skip('nothing to do', allow_module_level=True)"
    assert "1 error" in _run(tmp_path, text, CI="true")
    assert "1 skipped" in _run(tmp_path, text)


def test_what_is_required_can_be_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATATRANSFER_REQUIRE", "mariadb, data")
    assert required() == {"mariadb", "data"}
    with pytest.raises(pytest.fail.Exception, match="mariadb is required here"):
        absent("mariadb", "no answer")
    with pytest.raises(pytest.skip.Exception, match="no answer"):
        absent("postgresql", "no answer")
    monkeypatch.setenv("DATATRANSFER_REQUIRE", "")
    monkeypatch.setenv("CI", "true")
    assert required() == set()
    monkeypatch.delenv("DATATRANSFER_REQUIRE")
    assert required() == {"postgresql", "mariadb", "data", "browser"}


def _run_browser_tests(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if name not in ("CI", "DATATRANSFER_REQUIRE")}
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-rs",
            "-p",
            "no:cacheprovider",
            *options,
            "tests/browser/test_looks.py",
        ],
        cwd=ROOT,
        env={**clean, "DATATRANSFER_TEST_CHROMIUM": "/nowhere/chromium", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_browser_tests_are_left_out_unless_they_are_asked_for() -> None:
    assert re.search(r"\n\d+ deselected", _run_browser_tests().stdout)


def test_without_a_browser_they_are_skipped_with_the_reason_and_fail_in_ci() -> None:
    skipped = _run_browser_tests("-m", "browser").stdout
    assert re.search(r"browser: (none of chromium.* found|.*not installed): ", skipped)
    assert re.search(r"\n\d+ skipped in", skipped)
    failed = _run_browser_tests("-m", "browser", CI="true")
    assert failed.returncode == 1
    assert "browser is required here" in failed.stdout
