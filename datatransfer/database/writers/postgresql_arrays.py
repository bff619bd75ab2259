"""Arrays as PostgreSQL writes them in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator

#: The whole of an array, perhaps with the numbers at which it begins; for Arrow, too.
WHOLE = r"(?s)^\s*((\[[^\]]*\])+\s*=\s*)?\{.*\}\s*$"
_BOUNDS = re.compile(r"^[^{]*")
_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|((?:[^{},"\\]|\\.)+)', re.DOTALL)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)


def elements(text: str) -> Iterator[str]:
    r"""Yield what the elements of an array are, of all its dimensions, without those that are NULL.

    Examples
    --------
    >>> list(elements(r'{{a, "b, \"c\""},{NULL,"NULL"}}'))
    ['a', 'b, "c"', 'NULL']
    >>> list(elements("[0:1]={x,y}"))
    ['x', 'y']
    """
    for quoted, bare in _PART.findall(_BOUNDS.sub("", text)):
        plain = bare.strip()
        if plain.upper() != "NULL" and (plain or not bare):
            yield _ESCAPED.sub(r"\1", plain or quoted)
