"""Code that people read: calls whose long lists are broken into lines, or get a name of their own."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

WIDTH = 100
MOST_INLINE = 50
"""Items of a list that stand inside a call; a longer list stands before it."""


def call(function: str, *given: Any, **named: Any) -> str:
    """Return a call as code, broken into lines where it is too long for one.

    Examples
    --------
    >>> call("plan.decide", "users", [1, 2], "reuse")
    "plan.decide('users', [1, 2], 'reuse')"
    """
    parts = [repr(value) for value in given] + [f"{name}={value!r}" for name, value in named.items()]
    if len(line := f"{function}({', '.join(parts)})") <= WIDTH:
        return line
    values = [("", value) for value in given] + [(f"{name}=", value) for name, value in named.items()]
    return f"{function}(\n" + "".join(f"    {name}{_wrapped(value, 4)},\n" for name, value in values) + ")"


def assigned(name: str, code: str) -> str:
    """Return a call, which is code already, with a name for its result, broken into lines where it is too long.

    Examples
    --------
    >>> assigned("db", "dt.Database('sqlite:///a.db')")
    "db = dt.Database('sqlite:///a.db')"
    """
    if len(line := f"{name} = {code}") <= WIDTH:
        return line
    made = ast.parse(code, mode="eval").body
    if not isinstance(made, ast.Call):
        return line
    parts = [ast.unparse(value) for value in made.args]
    parts += [f"{value.arg}={ast.unparse(value.value)}" for value in made.keywords]
    return f"{name} = {ast.unparse(made.func)}(\n" + "".join(f"    {part},\n" for part in parts) + ")"


def opened(name: str, code: str) -> list[str]:
    """Return the lines that open a database; whoever runs them is told where a password is to be filled in.

    Examples
    --------
    >>> opened("db", "dt.Database('postgresql://ann:***@db.example.org/shop')")[0]
    '# fill in the password'
    """
    masked = "***" in code or "%2A%2A%2A" in code  # the latter in the query of a URL
    hint = ["# fill in the password"] if masked else []
    return [*hint, assigned(name, code), ""]


def decided(decisions: Iterable[tuple[str, Collection[Any], str]]) -> list[str]:
    """Return the calls that decide, each list of many keys as a variable before its call."""
    lines: list[str] = []
    for number, (table, keys, word) in enumerate(decisions, start=1):
        if len(keys) <= MOST_INLINE:
            lines.append(call("plan.decide", table, list(keys), word))
            continue
        name = f"keys_{number}"
        lines += [
            f"# the keys of {len(keys):,} entities of {_comment(table)}, as they are in the package",
            f"{name} = {_wrapped(list(keys), 0)}",
            f"plan.decide({table!r}, {name}, {word!r})",
        ]
    return lines


def imports(values: Iterable[Any]) -> list[str]:
    """Return the imports without which the code of values does not run: of dates, decimals, UUIDs and their like.

    Examples
    --------
    >>> import datetime, decimal
    >>> imports([1, (datetime.date(2026, 1, 1), decimal.Decimal("1.5"))])
    ['import datetime', 'from decimal import Decimal']
    """
    kinds = {type(part) for value in values for part in (value if isinstance(value, tuple) else (value,))}
    foreign = sorted((kind.__module__, kind.__name__) for kind in kinds if kind.__module__ != "builtins")
    found = [
        "import datetime" if module == "datetime" else f"from {module.partition('._')[0]} import {name}"
        for module, name in foreign
    ]
    return list(dict.fromkeys(found))


def _wrapped(value: Any, indent: int) -> str:
    """Return a value as code; a list or a mapping that is too long for a line has several."""
    line = repr(value)
    if len(line) + indent <= WIDTH - 16 or not isinstance(value, list | Mapping):
        return line
    space = " " * (indent + 4)
    if isinstance(value, Mapping):
        inner = "".join(f"{space}{key!r}: {_wrapped(each, indent + 4)},\n" for key, each in value.items())
        return f"{{\n{inner}{' ' * indent}}}"
    return f"[\n{_filled([f'{each!r},' for each in value], space)}\n{' ' * indent}]"


def _filled(items: list[str], space: str) -> str:
    lines, line = [], ""
    for item in items:
        if line and len(space) + len(line) + 1 + len(item) > WIDTH:
            lines.append(line)
            line = ""
        line = f"{line} {item}" if line else item
    return "\n".join(space + each for each in [*lines, line])


def _comment(text: str) -> str:
    return re.sub(r"\s+", " ", text)
