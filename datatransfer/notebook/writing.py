"""Code that people read: calls whose long lists are broken into lines, or get a name of their own."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from datatransfer.display.plain import counted

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
    lines = "".join(f"    {name}{_wrapped(value, 4, len(name))},\n" for name, value in values)
    return f"{function}(\n{lines})"


def assigned(name: str, code: str) -> str:
    """Return a call, which is code already, with a name for its result, broken into lines where it is too long.

    Examples
    --------
    >>> assigned("db", "dt.Database('sqlite:///a.db')")
    "db = dt.Database('sqlite:///a.db')"
    """
    if len(line := f"{name} = {code}") <= WIDTH:
        return line
    return f"{name} = {_broken(ast.parse(code, mode='eval').body, 0, len(name) + 3)}"


def _broken(node: ast.expr, indent: int, before: int) -> str:
    """Return code from its tree, broken into lines where it is too long for one."""
    line = ast.unparse(node)
    if indent + before + len(line) + 1 <= WIDTH:
        return line
    space = " " * (indent + 4)
    if isinstance(node, ast.Constant):
        return _wrapped(node.value, indent, before)
    if isinstance(node, ast.Call):
        parts = [("", value) for value in node.args] + [(f"{value.arg}=", value.value) for value in node.keywords]
        inner = "".join(f"{space}{name}{_broken(value, indent + 4, len(name))},\n" for name, value in parts)
        return f"{ast.unparse(node.func)}(\n{inner}{' ' * indent})"
    if isinstance(node, ast.Dict):
        pairs = [(f"{ast.unparse(key)}: ", value) for key, value in zip(node.keys, node.values, strict=True) if key]
        inner = "".join(f"{space}{key}{_broken(value, indent + 4, len(key))},\n" for key, value in pairs)
        return f"{{\n{inner}{' ' * indent}}}"
    return line


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
        many = counted(len(keys), "entity", "entities")
        lines += [
            *_comment(f"the keys of {many} of {table}, as they are in the package"),
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


def _wrapped(value: Any, indent: int, before: int = 0) -> str:
    """Return a value as code, which stands behind so many characters; what is too long for a line has several."""
    line = repr(value)
    if indent + before + len(line) + 1 <= WIDTH:
        return line
    space = " " * (indent + 4)
    if isinstance(value, str):
        return f"(\n{_pieces(value, space)}\n{' ' * indent})"
    if isinstance(value, list):
        return f"[\n{_filled([f'{_wrapped(each, indent + 4)},' for each in value], space)}\n{' ' * indent}]"
    if isinstance(value, Mapping):
        return f"{{\n{_filled([_pair(*pair, indent + 4) for pair in value.items()], space)}\n{' ' * indent}}}"
    return line


def _pair(key: Any, value: Any, indent: int) -> str:
    line = f"{key!r}: {value!r},"
    if indent + len(line) <= WIDTH and not isinstance(value, Mapping):
        return line
    if isinstance(value, Mapping | list):
        return f"{key!r}: {_wrapped(value, indent, len(repr(key)) + 2)},\n"
    return f"{key!r}:\n{' ' * (indent + 4)}{_wrapped(value, indent + 4)},\n"


def _pieces(text: str, space: str) -> str:
    """Return a text as pieces below each other, which are one text to Python."""
    pieces, piece = [], ""
    for character in text:
        if piece and len(space) + len(repr(piece + character)) > WIDTH:
            pieces.append(piece)
            piece = ""
        piece += character
    return "\n".join(f"{space}{each!r}" for each in [*pieces, piece])


def _filled(items: list[str], space: str) -> str:
    """Return items beside each other as far as there is room; one that ends its line has it for itself."""
    lines, line = [], ""
    for item in items:
        if line and ("\n" in item or len(space) + len(line) + 1 + len(item) > WIDTH):
            lines.append(line)
            line = ""
        if "\n" in item:
            lines.append(item.removesuffix("\n"))
        else:
            line = f"{line} {item}" if line else item
    return "\n".join(space + each for each in [*lines, line] if each)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(re.sub(r"\s+", " ", text), WIDTH - 2)]
