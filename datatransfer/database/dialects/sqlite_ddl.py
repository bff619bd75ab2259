"""What SQLite tells of a table only in the text of its CREATE statements: collations, formulas, conditions.

Reads SQL that SQLite itself has accepted, so it only has to tell names, strings, comments and brackets apart.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<skip>\s+|--[^\n]*|/\*.*?(?:\*/|$))|(?P<text>'(?:[^']|'')*')"""
    r"""|(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\]|[^\W\d][\w$]*)|(?P<other>\d[\w.]*|.)""",
    re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A word, name, string or sign, and where it stands."""

    kind: str
    text: str
    start: int
    end: int
    depth: int

    def says(self, word: str) -> bool:
        """Whether it is this keyword."""
        return self.kind == "name" and self.text.upper() == word

    @property
    def name(self) -> str:
        """The name without its quotes, in lower case."""
        first, inner = self.text[0], self.text[1:-1]
        if first in '"`':
            return inner.replace(first * 2, first).lower()
        return (inner if first == "[" else self.text).lower()


def tokens(sql: str) -> list[Token]:
    """Return the tokens of a statement; a bracket has the depth of what is around it."""
    found: list[Token] = []
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind = str(match.lastgroup)
        if kind == "skip":
            continue
        depth -= match[0] == ")"
        found.append(Token(kind, match[0], match.start(), match.end(), depth))
        depth += match[0] == "("
    return found


def _group(sql: str, found: list[Token], start: int) -> tuple[list[list[Token]], int]:
    """Split what stands in the first brackets from a token on at its commas; return also where they end."""
    opening = next(i for i in range(start, len(found)) if found[i].text == "(" and found[i].depth == 0)
    parts: list[list[Token]] = [[]]
    for index in range(opening + 1, len(found)):
        token = found[index]
        if token.text == ")" and token.depth == 0:
            return parts, index
        if token.text == "," and token.depth == 1:
            parts.append([])
        else:
            parts[-1].append(token)
    raise ValueError("brackets do not close")


def _between(sql: str, part: list[Token]) -> str:
    return sql[part[0].start : part[-1].end] if part else ""


def index_parts(sql: str) -> tuple[list[str], str]:
    """Return the expressions of a CREATE INDEX statement, without their order, and its condition.

    Examples
    --------
    >>> index_parts("CREATE UNIQUE INDEX i ON t (lower(a) DESC, b) WHERE c > 0 -- only those")
    (['lower(a)', 'b'], 'c > 0')
    """
    found = tokens(sql)
    on = next(i for i, token in enumerate(found) if token.says("ON"))
    parts, end = _group(sql, found, on)
    shown = []
    for part in parts:
        if part[-1].says("ASC") or part[-1].says("DESC"):
            part = part[:-1]
        shown.append(_between(sql, part))
    tail = found[end + 1 :]
    return shown, _between(sql, tail[1:]) if tail and tail[0].says("WHERE") else ""


def column_facts(sql: str) -> dict[str, tuple[str, str]]:
    """Return the collation and the formula of each column of a CREATE TABLE statement, by its name in lower case.

    Examples
    --------
    >>> column_facts("CREATE TABLE t (a TEXT COLLATE NOCASE, [b c] AS (lower(a)) STORED)")
    {'a': ('NOCASE', ''), 'b c': ('', 'lower(a)')}
    """
    found = tokens(sql)
    parts, _ = _group(sql, found, 0)
    facts: dict[str, tuple[str, str]] = {}
    for part in parts:
        if not part or part[0].kind == "other":
            continue
        collation = formula = ""
        for index, token in enumerate(part[:-1]):
            if token.depth != 1:
                continue
            if token.says("COLLATE"):
                collation = part[index + 1].text
            elif token.says("AS") and part[index + 1].text == "(":
                inside = [t for t in part[index + 2 :] if t.depth > 1]
                close = next(i for i, t in enumerate(part) if i > index + 1 and t.text == ")" and t.depth == 1)
                formula = _between(sql, [t for t in inside if t.end <= part[close].start])
        facts.setdefault(part[0].name, (collation, formula))
    return facts


def names_in(sql: str, among: Iterable[str]) -> tuple[str, ...]:
    """Return which of the columns an expression may read."""
    read = {token.name for token in tokens(sql) if token.kind == "name"}
    return tuple(name for name in among if name.lower() in read)
