"""Advice that speaks Python, said as it is typed: ``overwrite=True`` becomes ``--overwrite``.

The library's errors speak the words of its callers in Python; this is the one place that knows both languages. Knows
names of parameters, calls and options; nothing of errors, databases and packages.
"""

from __future__ import annotations

import re
from shlex import quote

#: Parameters whose option takes one of a few words, or is a flag.
_WORDS = (
    "on_match", "on_clash", "on_orphan", "on_missing_file", "identity", "triggers", "encoding", "overwrite",
    "keep_edited",
)  # fmt: skip
#: Parameters whose option is written in another way.
_OTHERS = {
    "match_on": "--match-on TABLE=COLUMN",
    "keys": "--key TABLE=KEY",
    "uuids": "--uuid TABLE=UUID",
    "params": "--param NAME=VALUE",
    "where": "--where",
    "schema": "--schema",
}
#: Calls and what they give; a longer one stands before one that is a part of it.
_CALLS = {
    'call add("table", …) or add_all() first': "name rows with --table, --key or --uuid, or take --all",
    'use direction="up"': "write TABLE.COLUMN:up",
    "dt.receipts(target)": "datatransfer receipts",
    "dt.receipts(db)": "datatransfer receipts",
    "dt.stages(db)": "datatransfer stages",
    "dt.stages": "datatransfer stages",
    "datatransfer.receipt": "datatransfer receipts",
    "Database.tables": "datatransfer tables",
    "Database.left_out": "datatransfer tables",
    "importer.plan(…).conflicts": "datatransfer plan",
    "importer.check()": "datatransfer check",
    "plan.conflicts": "datatransfer plan",
    "plan.decide": "--decide",
    "plan.to_frame()": "datatransfer plan",
    "plan.save(path)": "datatransfer plan --save-decisions",
    "Mapping.save": "datatransfer check --save-mapping",
    "dt.Mapping": "datatransfer check --help",
    "check_undo()": "datatransfer undo --check",
    "preview()": "--preview",
    "run()": "datatransfer import",
}
_CALL = re.compile("|".join(rf"(?<![\w.]){re.escape(call)}(?!\w)" for call in _CALLS))
_WORD = r'"[\w-]+"'
_WITH_WORD = re.compile(rf"\b({'|'.join(_WORDS)})=(True\b|{_WORD}(?:(?:, or |, | or ){_WORD}(?!=))*)")
_LEAVE_OUT = re.compile(r'\bleave_out\("(.+?)"\)')
_STOP_UP = re.compile(r'\bstop\("(.+?)", direction="up"\)')
_SCHEMA = re.compile(r'\bschema="([^"]+)"')
_OTHER = re.compile(rf"(?<![\w-])({'|'.join(_OTHERS)})=(?:\[value\]|…)?")


def as_typed(text: str) -> str:
    """Return advice with parameters and calls of Python written as options and commands.

    Examples
    --------
    >>> as_typed('pass overwrite=True, or say on_orphan="keep" or "null"')
    'pass --overwrite, or say --on-orphan keep or null'
    >>> as_typed("see dt.receipts(db)")
    'see datatransfer receipts'
    """
    text = _CALL.sub(lambda found: _CALLS[found[0]], text)
    text = _STOP_UP.sub(r"--stop \1:up", _LEAVE_OUT.sub(r"--leave-out \1", text))
    text = _SCHEMA.sub(lambda found: f"--schema {quote(found[1])}", text)
    text = _WITH_WORD.sub(_option, text)
    return _OTHER.sub(lambda found: _OTHERS[found[1]], text)


def _option(found: re.Match[str]) -> str:
    option = f"--{found[1].replace('_', '-')}"
    return option if found[2] == "True" else f"{option} {found[2].replace(chr(34), '')}"
