"""The options of the command line: help, order, and those that are refused."""

from __future__ import annotations

import subprocess
import sys

import pytest

from datatransfer.cli import main
from datatransfer.cli.arguments import make_parser

COMMANDS = ("demo", "tables", "export", "inspect", "verify", "diff", "plan", "import", "receipts", "track")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        make_parser().parse_args([command, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert f"  datatransfer {command}" in shown.partition("example")[2]
    assert "--json" in shown


def test_help_loads_neither_pandas_nor_sqlalchemy() -> None:
    code = "import sys; from datatransfer.cli.arguments import make_parser; make_parser();"
    code += "sys.exit(bool({'pandas', 'pyarrow', 'sqlalchemy', 'tqdm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_roots_keep_their_order_and_conditions_belong_to_the_table_before() -> None:
    typed = "export u p --table orders --where placed>:day --param day=2026-01-01 --param n:=3 --key customers=42"
    roots = make_parser().parse_args(typed.split()).roots
    assert [root.table for root in roots] == ["orders", "customers"]
    assert roots[0].params == {"day": "2026-01-01", "n": 3}
    assert roots[1].keys == ["42"]
    assert make_parser().parse_args(["export", "u", "p"]).roots == []


@pytest.mark.parametrize(
    "typed",
    [
        "export u p --where a=1",
        "export u p --table t --where a=1 --where b=2",
        "export u p --key customers=1 --param a=1",
        "export u p --table t --param a",
        "export u p --table t --param a:=nonsense",
        "export u p --key customers",
        "export u p --encoding csv",
        "plan p u --on-match newer",
        "plan p u --on-match users=newer",
        "plan p u --on-clash newest:seen",
        "inspect p --table t --head 0",
        "nonsense",
        "",
    ],
)
def test_wrong_options_exit_with_2(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(typed.split())
    assert end.value.code == 2
    assert "usage: datatransfer" in capsys.readouterr().err
