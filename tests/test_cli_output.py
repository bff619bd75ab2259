"""What the command line writes: advice, errors, warnings, bars, JSON; and how it ends when it is stopped."""

from __future__ import annotations

import ast
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import datatransfer
from datatransfer.cli import looking, main
from datatransfer.cli.output import Output, plain
from datatransfer.cli.wording import as_typed
from datatransfer.errors import DataTransferError, all_errors
from datatransfer.events import Progress, Warned
from tests.support.commands import Shop, make_shop


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return make_shop(tmp_path)


@pytest.mark.parametrize(
    ("spoken", "typed"),
    [
        ("choose another name or pass overwrite=True", "choose another name or pass --overwrite"),
        ('say on_orphan="keep" or "null"', "say --on-orphan keep or null"),
        (
            'see importer.plan(…).conflicts, or say on_match="update", on_clash="reuse" or match_on=…',
            "see datatransfer plan, or say --on-match update, --on-clash reuse or --match-on TABLE=COLUMN",
        ),
        (
            "see plan.conflicts and plan.decide, or plan again with match_on=…",
            "see datatransfer plan and --decide, or plan again with --match-on TABLE=COLUMN",
        ),
        ("write keys=[value]", "write --key TABLE=KEY"),
        ("leave where= out for all rows", "leave --where out for all rows"),
        ("add charset=utf8mb4 to the URL", "add charset=utf8mb4 to the URL"),
        ("write --key 'orders=[...]' with a JSON list", "write --key 'orders=[...]' with a JSON list"),
    ],
)
def test_advice_is_given_as_it_is_typed(spoken: str, typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_typed(spoken) == typed
    Output().error(DataTransferError("no", hint=spoken))
    assert capsys.readouterr().err == f"error: no\nhint:  {typed}\n"
    Output(as_json=True).error(DataTransferError("no", hint=spoken))
    assert json.loads(capsys.readouterr().err)["hint"] == typed


def test_no_advice_of_the_library_speaks_python_on_the_command_line() -> None:
    options = {"on_match", "on_clash", "on_orphan", "on_missing_file", "overwrite", "encoding", "match_on", "identity"}
    spoken = []
    for path in Path(datatransfer.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "hint" and isinstance(node.value, ast.Constant):
                spoken.append(str(node.value.value))
    assert any("overwrite=True" in text for text in spoken)
    left = [text for text in map(as_typed, spoken) if any(f"{name}=" in text for name in options)]
    assert left == []


def test_an_error_is_one_block_of_what_where_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    Output().error(DataTransferError("it is locked", where="orders", hint="try again"))
    assert capsys.readouterr().err == "error: it is locked\nwhere: orders\nhint:  try again\n"
    Output(as_json=True).error(DataTransferError("it is locked", where="orders"))
    assert json.loads(capsys.readouterr().err)["message"] == "it is locked"


def test_warnings_are_kept_once_and_shown_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    warned = Warned("orphan", "3 rows without a parent", "items")
    for quiet, shown in ((False, "warning: items: 3 rows without a parent\n"), (True, "")):
        out = Output(quiet=quiet)
        out.listener(warned)
        out.listener(warned)
        assert out.warnings == [warned]
        assert capsys.readouterr().err == shown
    out.as_json = True
    out.result({"a": 1}, "")
    assert json.loads(capsys.readouterr().out)["warnings"][0]["code"] == "orphan"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("options", "bars"), [({}, True), ({"quiet": True}, False), ({"as_json": True}, False)])
def test_bars_are_for_people_at_a_terminal(options: Any, bars: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Output(**options) as out:
        out.listener(Progress("read", "orders", rows_done=1, rows_total=2))
        assert (out._bars is not None) == bars


def test_values_of_frames_become_json() -> None:
    import numpy as np
    import pandas as pd

    values = [np.int64(3), pd.NaT, pd.NA, float("nan"), (1, "a"), b"\xff", pd.Timestamp("2026-01-01")]
    assert [plain(v) for v in values] == [3, None, None, None, [1, "a"], "ff", "2026-01-01 00:00:00"]


def test_an_interrupt_exits_with_130_and_one_line(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, datatransfer.cli as cli, datatransfer.cli.looking as looking\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs of a shell\n"
        "looking.tables = lambda options, out: os.kill(os.getpid(), signal.SIGINT) or 0\n"
        "sys.exit(cli.main(['tables', 'sqlite://']))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "interrupted; nothing was left behind\n"


def test_a_reader_that_leaves_is_no_error(shop: Shop) -> None:
    command = f"{sys.executable} -m datatransfer.cli tables '{shop.url}' --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True)
    assert done.stdout == "{"
    assert done.stderr == ""


def test_a_diff_whose_reader_leaves_does_not_say_that_there_are_differences(shop: Shop) -> None:
    command = f"set -o pipefail; {sys.executable} -m datatransfer.cli diff '{shop.url}' '{shop.url}' | true"
    for buffered in ("", "1"):
        environment = {**os.environ, "PYTHONUNBUFFERED": buffered}
        done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("option", ["", "--json"])
@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_full_disk_on_standard_output_is_one_line_and_no_bug(shop: Shop, option: str, buffered: str) -> None:
    command = f"{sys.executable} -m datatransfer.cli tables '{shop.url}' {option} > /dev/full"
    environment = {**os.environ, "PYTHONUNBUFFERED": buffered}
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True, env=environment)
    said = "standard output cannot be written: No space left on device; the command was done"
    assert done.returncode == 141
    if option:
        assert json.loads(done.stderr)["message"] == said
    else:
        assert done.stderr == f"error: {said}\n"


@pytest.mark.parametrize("command", ["diff", "verify"])
def test_a_bug_has_an_exit_code_of_its_own(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(*_: object) -> int:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(looking, command, fails)
    assert main([command, "a.zip", "b.zip"][: 3 if command == "diff" else 2]) == 70
    assert "this is a bug in datatransfer" in capsys.readouterr().err
    codes = [error.exit_code for error in all_errors()]
    assert (codes.count(70), codes.count(1)) == (1, 0)  # 1 says that two things differ
