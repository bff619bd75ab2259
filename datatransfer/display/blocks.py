"""HTML blocks: escaped text, folds, tables and bars, without scripts, ids or foreign resources.

Everything is a pure function from plain data to text, so the same input gives the same bytes.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

MAX_ROWS = 60
_CELL = "padding:2px 8px;text-align:{align};vertical-align:top"


def escape(value: object) -> str:
    """Return a value as text that is safe in HTML, also inside attributes; control characters are shown."""
    return html.escape(visible(str(value)), quote=True)


def visible(text: str) -> str:
    """Return text with control and direction characters shown as escapes."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode("ascii") for c in text)


def shorten(text: str, length: int = 80) -> str:
    """Return text cut to a length, with an ellipsis where it was cut."""
    return text if len(text) <= length else text[: length - 1] + "…"


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return ``"1 table"``, ``"2 tables"``.

    Examples
    --------
    >>> plural(1, "table"), plural(2, "table"), plural(1200, "entity", "entities")
    ('1 table', '2 tables', '1,200 entities')
    """
    return f"{count:,} {noun if count == 1 else (nouns or noun + 's')}"


def split_outside(text: str, separator: str = ",") -> list[str]:
    """Split at separators that stand outside parentheses.

    Examples
    --------
    >>> split_outside("users.email, orders.(shop, number)")
    ['users.email', 'orders.(shop, number)']
    """
    parts, depth = [""], 0
    for character in text:
        depth += (character == "(") - (character == ")")
        if character == separator and depth <= 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def size(count: int) -> str:
    """Return a number of bytes for people.

    Examples
    --------
    >>> size(999), size(1_500_000)
    ('999 bytes', '1.5 MB')
    """
    if count < 1000:
        return plural(count, "byte")
    amount = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 999.95 or unit == "TB":
            break
    return f"{amount:.1f} {unit}"


def table(header: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int = MAX_ROWS) -> str:
    """Return an HTML table; numbers are aligned right; what is beyond the limit is counted."""
    all_rows = list(rows)
    head = "".join(f'<th style="{_CELL.format(align="left")}">{escape(name)}</th>' for name in header)
    lines = [f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in all_rows[:limit]]
    more = len(all_rows) - limit
    if more > 0:
        lines.append(f'<tr><td colspan="{len(header)}">and {more:,} more</td></tr>')
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _cell(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f'<td style="{_CELL.format(align="right")}">{value:,}</td>'
    return f'<td style="{_CELL.format(align="left")}">{escape(shorten(str(value), 200))}</td>'


def fold(summary: str, inner: str, *, is_open: bool = False) -> str:
    """Return a fold; `summary` is text, `inner` is HTML."""
    return f"<details{' open' if is_open else ''}><summary>{escape(summary)}</summary>{inner}</details>"


def bar(fraction: float) -> str:
    """Return a bar that fills a fraction of its width."""
    percent = max(0.0, min(1.0, fraction)) * 100
    return (
        '<div style="width:8em;background:var(--jp-layout-color2,#ddd)">'
        f'<div style="width:{percent:.0f}%;height:0.7em;background:var(--jp-brand-color1,#1976d2)"></div></div>'
    )


def block(title: str, *parts: str) -> str:
    """Return a titled block; `title` is text, the parts are HTML."""
    return f"<div><strong>{escape(title)}</strong>{''.join(parts)}</div>"


def listing(items: Iterable[object], *, limit: int = MAX_ROWS) -> str:
    """Return an HTML list of texts; what is beyond the limit is counted."""
    texts = [escape(item) for item in items]
    shown = texts[:limit] + ([f"and {len(texts) - limit:,} more"] if len(texts) > limit else [])
    return f"<ul>{''.join(f'<li>{text}</li>' for text in shown)}</ul>"
