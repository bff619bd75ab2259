"""Errors and interrupts in a notebook: a box of what, where, why and what to do; cells end shortly, and name a line."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

import datatransfer as dt
from datatransfer.display.problems import _callers
from datatransfer.errors import all_errors
from tests.support.markup import html_text


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_an_error_is_a_box_of_what_where_why_and_what_to_do(kind: type[dt.DataTransferError]) -> None:
    error = kind("it is locked", where="orders", hint="try again", evidence={"rows": 3})
    error.__cause__ = sqlite3.OperationalError("secret value")
    shown = html_text(error._repr_html_())
    for words in (kind.__name__, kind.code, "it is locked", "orders", "try again", "sqlite3 raised OperationalError"):
        assert words in shown
    assert "secret" not in shown


def test_the_end_of_a_long_error_is_shown() -> None:
    error = dt.SchemaMismatchError("the package does not fit the target: " + "another column; " * 30 + "THE END")
    assert "THE END" in html_text(error._repr_html_())


CELLS = """
import datatransfer as dt
def ask():
    dt.Database("sqlite:///nothing.db").schema
"""


def run_cells(*sources: str) -> list[list[str]]:
    """Run cells in an IPython shell of their own and return the lines that each error was shown as."""
    code = f"""
import json
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.colors = "NoColor"
shown = []
shell._showtraceback = lambda kind, error, lines: shown.append(lines)
for source in {sources!r}:
    shell.run_cell(source, store_history=True)
print(json.dumps(shown))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_an_error_that_ends_a_cell_is_short_and_names_the_cell() -> None:
    (shown,) = run_cells(CELLS, "ask()")
    text = "\n".join(shown)
    assert "DatabaseError" in text
    assert "there is no such database file" in text
    assert "nothing.db" in text
    assert "check the path" in text
    assert "line 3, ask()" in text
    assert "%tb Verbose" in text
    assert len(shown) < 10
    assert "connection.py" not in text


@pytest.mark.parametrize("magic", ["%tb Verbose", "%tb Plain"])
def test_the_usual_traceback_is_a_command_away(magic: str) -> None:
    short, long = run_cells(CELLS, "ask()", magic)
    assert "connection.py" not in "".join(short)
    assert "connection.py" in "".join(long)
    assert "DatabaseError" in "".join(long)


def test_who_asked_for_another_kind_of_traceback_gets_it() -> None:
    (shown,) = run_cells(CELLS, "%xmode Plain", "ask()")
    assert "connection.py" in "".join(shown)


INTERRUPTED = """
import os, signal
from datatransfer import interrupts
def work():
    with interrupts.held():
        os.kill(os.getpid(), signal.SIGINT)
        interrupts.checkpoint()
"""


def test_an_interrupt_that_ends_a_cell_is_short_and_says_what_is_so() -> None:
    (shown, whole) = run_cells(INTERRUPTED, "work()", "%xmode Verbose\nwork()")
    assert re.sub("\x1b.*?m", "", shown[0]) == "KeyboardInterrupt"
    assert shown[1:] == [
        "  what:       interrupted; nothing was left behind",
        "  called in:  this cell, line 1",
        "  called in:  this cell, line 6, work()",
        "  traceback:  %tb Verbose",
    ]
    assert "hold.error()" in "".join(whole)


def test_errors_of_others_and_scripts_keep_their_tracebacks() -> None:
    (shown,) = run_cells("1 / 0")
    assert "ZeroDivisionError" in "".join(shown)
    assert any("DataTransferError: x" in line for line in dt.DataTransferError("x")._render_traceback_())


def test_an_error_names_the_callers_lines_and_not_those_of_python_or_of_packages() -> None:
    def work() -> None:
        dt.DataPackage.open("nowhere.zip")

    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(work)
        with pytest.raises(dt.DataTransferError) as caught:
            job.result()
    called = _callers(caught.value.__traceback__)
    assert len(called) == 2
    assert all(line.startswith(f"{__file__}, line ") for line in called)
    assert called[-1].endswith("work()")
