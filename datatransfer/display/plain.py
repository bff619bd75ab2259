"""Text for terminals and logs: aligned columns, sizes, and no character that could play tricks.

Knows nothing of packages and databases.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence

_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def visible(text: object) -> str:
    r"""Return the text with control, direction and surrogate characters written as escapes.

    Names and values come from databases and packages of other people; an escape sequence among them must not move
    the cursor, recolour the terminal or forge a line of a log.

    Examples
    --------
    >>> print(visible("red \x1b[31m\nnext"))
    red \x1b[31m\nnext
    >>> print(visible("\u202egpj.exe"))
    \u202egpj.exe
    """
    plain = str(text)
    if plain.isascii() and plain.isprintable():
        return plain
    return "".join(_escaped(c) if unicodedata.category(c) in _HIDDEN else c for c in plain)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")


def width(text: str) -> int:
    """Return how many terminal cells a text takes; East Asian wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def shortened(text: str, limit: int) -> str:
    """Return at most `limit` characters, the last of them an ellipsis if something was cut."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def aligned(headers: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int = 60) -> str:
    """Return rows as aligned columns, numbers to the right.

    Parameters
    ----------
    headers : sequence of str
    rows : iterable of sequences
        As many values each as there are headers; None becomes an empty cell.
    limit : int
        Characters that one cell may take.

    Examples
    --------
    >>> print(aligned(["table", "rows"], [("orders", 12), ("items", 1204)]))
    table    rows
    orders     12
    items   1,204
    """
    kept = [list(row) for row in rows]
    cells = [[_cell(value, limit) for value in row] for row in kept]
    heads = [shortened(visible(head), limit) for head in headers]
    widths = [max([width(head), *(width(row[i]) for row in cells)]) for i, head in enumerate(heads)]
    right = [bool(kept) and all(_is_number(row[i]) for row in kept) for i in range(len(heads))]
    return "\n".join(_line(row, widths, right) for row in [heads, *cells])


def _line(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    parts = []
    for cell, wide, to_right in zip(cells, widths, right, strict=True):
        space = " " * (wide - width(cell))
        parts.append(space + cell if to_right else cell + space)
    return "  ".join(parts).rstrip()


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _cell(value: object, limit: int) -> str:
    if value is None:
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return shortened(visible(value), limit)


def size(count: int) -> str:
    """Return a number of bytes for people.

    Examples
    --------
    >>> size(532), size(1_254_000)
    ('532 B', '1.3 MB')
    """
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{count} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def counted(count: int, singular: str, plural: str = "") -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> counted(1, "row"), counted(1200, "entity", "entities")
    ('1 row', '1,200 entities')
    """
    return f"{count:,} {singular if count == 1 else plural or singular + 's'}"
