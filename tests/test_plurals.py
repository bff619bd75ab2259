"""A number stands beside its noun in the right form, wherever people are told one."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.background.rates import Speedometer
from datatransfer.events import Progress

SOURCES = sorted(Path(dt.__file__).parent.rglob("*.py"))
NOUN = re.compile(
    r" (rows|entities|files|tables|roots|references|columns|warnings|conflicts|keys|values|findings|jobs|parts"
    r"|documents|batches|stages|imports)\b(?!/)"
)


def _many(source: Path) -> list[str]:
    """Return the f-strings that write a plural behind a number which may be 1; constants of a module are more."""
    found = []
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.JoinedStr):
            continue
        for value, after in zip(node.values, node.values[1:], strict=False):
            is_number = isinstance(value, ast.FormattedValue) and not ast.unparse(value.value).isupper()
            if is_number and isinstance(after, ast.Constant) and NOUN.match(str(after.value)):
                found.append(f"{source.name}:{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_plural_is_written_behind_a_number_that_may_be_one(source: Path) -> None:
    assert _many(source) == []
    assert not re.search(r"[a-z]\(s\)", source.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("done", "total", "told"), [(1, 0, "1 row"), (0, 1, "0 of 1 row"), (1, 2, "1 of 2 rows"), (2000, 0, "2,000 rows")]
)
def test_rows_of_a_job_are_told(done: int, total: int, told: str) -> None:
    meter = Speedometer()
    assert meter.note(Progress("read", "orders", rows_done=done, rows_total=total), 1.0).rows_told == told


def test_what_is_one_is_told_as_one() -> None:
    store = dt.MemoryStore()
    assert repr(store) == "MemoryStore(0 files)"
    store.files["a"] = b""
    assert repr(store) == "MemoryStore(1 file)"
    with dt.Database("sqlite://") as db:
        assert repr(dt.PackageBuilder(db)).endswith("0 roots)")
