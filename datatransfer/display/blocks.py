"""HTML blocks: escaped text, folds, tables and bars, without scripts, ids or foreign resources.

Everything is a pure function from plain data to text, so the same input gives the same bytes.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence
from typing import Literal

from datatransfer.display.theme import variables

MAX_ROWS = 60
Tone = Literal["good", "warn", "bad", "quiet"]

_MARKS = {"good": "✓", "warn": "!", "bad": "✗", "quiet": "·"}
_STYLE = variables(".dt-b") + (
    ".dt-b{background:var(--dt-ground);color:var(--dt-text);padding:4px 6px;line-height:1.45;overflow-x:auto}"
    ".dt-b .dt-h{font-weight:600;margin:2px 0 4px}.dt-b .dt-q{color:var(--dt-muted)}"
    ".dt-b table{border-collapse:collapse;margin:4px 0;font-size:inherit;color:inherit}"
    ".dt-b th,.dt-b td{padding:2px 10px 2px 0;vertical-align:top;background:none;color:inherit;"
    "border:0;white-space:normal;overflow-wrap:break-word;max-width:32em}"
    # twice, to be more precise than JupyterLab, whose cells stand to the right
    ".dt-b.dt-b table th,.dt-b.dt-b table td{text-align:left}.dt-b.dt-b table .dt-n{text-align:right}"
    ".dt-b thead th{color:var(--dt-muted);font-weight:600;border-bottom:1px solid var(--dt-line)}"
    ".dt-b .dt-f td{max-width:64em}.dt-b .dt-u{white-space:nowrap}"
    ".dt-b .dt-n{font-variant-numeric:tabular-nums;white-space:nowrap}"
    ".dt-b details{margin:4px 0}.dt-b summary{cursor:pointer}.dt-b ul{margin:2px 0 4px 1.4em;padding:0}"
    ".dt-b .dt-t{border-left:4px solid var(--dt-quiet);padding-left:8px;margin:4px 0}"
    ".dt-b .dt-t.dt-good{border-color:var(--dt-good)}.dt-b .dt-t.dt-warn{border-color:var(--dt-warn)}"
    ".dt-b .dt-t.dt-bad{border-color:var(--dt-bad)}"
    ".dt-b .dt-w{display:inline-block;width:min(7em,8vw);height:.7em;background:var(--dt-soft)}"
    ".dt-b .dt-w span{display:block;height:100%;background:var(--dt-accent)}"
)


class Html(str):
    """Text that is HTML already, and safe: made by the functions of this module only."""

    __slots__ = ()


class Figure(str):
    """Text of a number with its unit: stands to the right, like a number."""

    __slots__ = ()


def escape(value: object) -> str:
    """Return a value as text that is safe in HTML, also inside attributes; control characters are shown."""
    return html.escape(visible(str(value)), quote=True)


def breakable(value: object) -> str:
    """Return a value like `escape`, and say where long names may be broken: between their words, not inside them.

    UUIDs, which a browser breaks at their hyphens, are kept whole.

    Examples
    --------
    >>> breakable("SalesOrderHeader.customer_id")
    'Sales<wbr>Order<wbr>Header.<wbr>customer_<wbr>id'
    >>> breakable("orders.customer_id")
    'orders.customer_id'
    """
    marked = "<wbr>".join(html.escape(piece, quote=True) for piece in _pieces(visible(str(value))))
    return UUID.sub(r'<span class="dt-u">\g<0></span>', marked)


def soft(text: str) -> str:
    """Return text with spaces without width where `breakable` allows a break, for places that take no HTML."""
    return "\u200b".join(_pieces(text))


def _pieces(text: str) -> list[str]:
    if len(text) <= _LONG:
        return [text]
    pieces = [""]
    for word in _WORDS.split(text):
        first, *others = _BORDERS.split(word) if len(word) > _LONG else [word]
        pieces[-1] += first
        pieces += others
    return pieces


_LONG = 20
"""Characters up to which a word is never broken."""
_WORDS = re.compile(r"(\s+)")
UUID = re.compile(r"\b[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\b")
_BORDERS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z0-9][_./\\])(?=[^_./\\])")


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


def size(count: int) -> Figure:
    """Return a number of bytes for people.

    Examples
    --------
    >>> size(999), size(1_500_000)
    ('999 bytes', '1.5 MB')
    """
    if count < 1000:
        return Figure(plural(count, "byte"))
    amount = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 999.95 or unit == "TB":
            break
    return Figure(f"{amount:.1f} {unit}")


def table(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, limit: int = MAX_ROWS, nothing: str = "none"
) -> Html:
    """Return an HTML table; columns of numbers are aligned right; what is beyond the limit is counted.

    `nothing` is said in its place where there are no rows.
    """
    all_rows = list(rows)
    if not all_rows:
        return note("quiet", nothing)
    shown = all_rows[:limit]
    right = [all(_is_number(row[at]) for row in shown if at < len(row)) for at in range(len(header))]
    head = "".join(
        f'<th scope="col"{_NUMBER if number else ""}>{breakable(name)}</th>'
        for name, number in zip(header, right, strict=True)
    )
    lines = [f"<tr>{''.join(_cell(value) for value in row)}</tr>" for row in shown]
    more = len(all_rows) - limit
    if more > 0:
        lines.append(f'<tr><td colspan="{len(header)}">and {more:,} more</td></tr>')
    top = f"<thead><tr>{head}</tr></thead>" if any(header) else ""
    return Html(f"<table>{top}<tbody>{''.join(lines)}</tbody></table>")


_NUMBER = ' class="dt-n"'


def _is_number(value: object) -> bool:
    return isinstance(value, int | Figure) and not isinstance(value, bool)


def _cell(value: object, most: int = 200) -> str:
    if isinstance(value, Html):
        return f"<td>{value}</td>"
    if _is_number(value):
        return f"<td{_NUMBER}>{escape(value) if isinstance(value, str) else f'{value:,}'}</td>"
    return f"<td>{breakable(shorten(str(value), most))}</td>"


_MOST = 2000
"""Characters of a fact that are shown: of what an error says, the end is often what to do."""


def facts(pairs: Iterable[tuple[str, object]]) -> Html:
    """Return names and values, a line each; pairs without a value are left out."""
    # not muted: JupyterLab lays stripes behind rows, on which its quieter text falls below a contrast of 4.5:1
    lines = [
        f'<tr><th scope="row">{escape(name)}</th>{_cell(value, _MOST)}</tr>'
        for name, value in pairs
        if value not in ("", None)
    ]
    return Html(f'<table class="dt-f"><tbody>{"".join(lines)}</tbody></table>') if lines else Html()


def lines(text: str) -> Html:
    """Return a text of several lines as HTML that keeps them."""
    return Html("".join(f"<div>{breakable(shorten(line, _MOST))}</div>" for line in text.split("\n")))


def fold(summary: str, inner: str, *, is_open: bool = False) -> Html:
    """Return a fold; `summary` is text, `inner` is HTML."""
    return Html(f"<details{' open' if is_open else ''}><summary>{breakable(summary)}</summary>{inner}</details>")


def bar(fraction: float) -> Html:
    """Return a bar that fills a fraction of its width; what it says stands beside it as a number."""
    percent = max(0.0, min(1.0, fraction)) * 100
    return Html(f'<span class="dt-w" aria-hidden="true"><span style="width:{percent:.0f}%"></span></span>')


def share(value: int, most: int) -> Html:
    """Return a bar for one of several values, of which `most` is the greatest; any that is not 0 is seen."""
    return bar(max(0.02, value / most) if value and most else 0.0)


def note(tone: Tone, text: str, inner: str = "") -> Html:
    """Return a line with a mark for how things are, in words and in colour; `inner` is HTML."""
    return Html(f'<div class="dt-t dt-{tone}">{_MARKS[tone]} {breakable(text)}{inner}</div>')


def block(title: str, *parts: str) -> Html:
    """Return a titled block; `title` is text, the parts are HTML."""
    head = f'<div class="dt-h">{breakable(shorten(title, 300))}</div>' if title else ""
    return Html(f'<div class="dt-b"><style>{_STYLE}</style>{head}{"".join(parts)}</div>')


def listing(items: Iterable[object], *, limit: int = MAX_ROWS) -> Html:
    """Return an HTML list of texts; what is beyond the limit is counted."""
    texts = [breakable(shorten(str(item), 300)) for item in items]
    shown = texts[:limit] + ([f"and {len(texts) - limit:,} more"] if len(texts) > limit else [])
    return Html(f"<ul>{''.join(f'<li>{text}</li>' for text in shown)}</ul>")


def problem(
    title: str, pairs: Iterable[tuple[str, object]], more: Iterable[tuple[str, object]] = (), *, tone: Tone = "bad"
) -> Html:
    """Return the box of an error: what, where, why and what to do, and further facts in a fold."""
    folded = list(more)
    inner = facts(pairs) + (fold("facts", facts(folded)) if folded else "")
    return block("", note(tone, title, inner))


def names(items: Sequence[str], limit: int = 12) -> str:
    """Return names as one text; what is beyond the limit is counted.

    Examples
    --------
    >>> names(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    more = len(items) - limit
    return ", ".join(items[:limit]) + (f" and {more:,} more" if more > 0 else "")
