"""Bars and lines as SVG, without a library for plots: numbers stand beside what is drawn, and words beside colours.

Knows names and numbers only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from typing import Any

from datatransfer.display import shown
from datatransfer.display.blocks import escape, plural, shorten, size
from datatransfer.display.bundles import pictured
from datatransfer.display.svg import LINE, MARGIN, frame, one_line, text_at, text_width

MOST_BARS = 40
"""Rows of bars that are drawn, the largest ones; the others are counted."""
_BAR, _STEP, _PANEL, _LONGEST = 13, 22, 220.0, 48
_PLOT_WIDTH, _PLOT_HEIGHT = 560.0, 200.0
TONES: Mapping[str, int] = {
    "insert": 0, "update": 5, "reuse": 2, "skip": 3, "conflict": 4,
    "inserted": 0, "updated": 5, "reused": 2, "skipped": 3, "conflicts": 4,
    "removed": 4, "restored": 5, "brought back": 0, "kept": 2,
}  # fmt: skip
"""Which colour of the theme a series has; others take the next one."""


@dataclass(frozen=True)
class Panel:
    """A column of bars.

    Parameters
    ----------
    heading : str
    rows : mapping of label to mapping of series to number
        Several series of one label are stacked.
    said : callable
        Turns a number into text.
    units : bool
        Whether that text has its unit with it, and is not followed by the name of the series.
    """

    heading: str
    rows: Mapping[str, Mapping[str, float]]
    said: Callable[[int], str] = "{:,}".format
    units: bool = False

    def total(self, label: str) -> float:
        """Return the sum of a label's numbers."""
        return sum(self.rows.get(label, {}).values())

    @property
    def series(self) -> list[str]:
        """The names of series that are not nothing everywhere."""
        used = {name: None for row in self.rows.values() for name, value in row.items() if value}
        order = list(TONES)
        return sorted(used, key=lambda name: order.index(name) if name in order else len(order))


class Chart(shown.Listed):
    """A picture of numbers that draws itself in a notebook.

    Parameters
    ----------
    title : str
    told : str
        The same in one line of text.
    draw : callable
        Returns what is drawn, its width and its height.

    Examples
    --------
    >>> chart = bars("Rows by table", [Panel("rows", {"orders": {"rows": 12}, "items": {"rows": 40}})])
    >>> chart
    Chart(Rows by table: 2 bars, rows 52 in all)
    >>> chart.to_svg()[:4]
    '<svg'
    """

    def __init__(self, title: str, told: str, draw: Callable[[], tuple[str, float, float]]) -> None:
        self.title = title
        self._told = told
        self._draw = draw

    def to_svg(self) -> str:
        """Return an ``<svg>`` element."""
        inner, width, height = self._draw()
        head = text_at(MARGIN, MARGIN + 8, shorten(one_line(self.title), 2 * _LONGEST), "dt-h")
        wide = max(width, text_width(shorten(one_line(self.title), 2 * _LONGEST)) * 1.1 + 2 * MARGIN)
        return frame(f"<desc>{escape(one_line(self._told))}</desc>{head}{inner}", wide, height, title=self.title)

    @shown.as_text
    def __repr__(self) -> str:
        return f"Chart({one_line(self.title)}: {one_line(self._told)})"

    @shown.as_bundle
    def _repr_mimebundle_(self, **_asked: Any) -> dict[str, str]:
        return pictured(repr(self), self.to_svg())


# --- bars -----------------------------------------------------------------------------------------------------------


def bars(title: str, panels: Sequence[Panel]) -> Chart:
    """Return a chart of horizontal bars: a line for each label, the largest first, a column for each panel."""
    labels = list(dict.fromkeys(label for panel in panels for label in panel.rows))
    if panels:
        labels.sort(key=lambda label: -panels[0].total(label))
    whole = sum(panels[0].total(label) for label in labels) if panels else 0
    told = plural(len(labels), "bar") + (f", {panels[0].heading} {panels[0].said(int(whole))} in all" if labels else "")
    return Chart(title, told, lambda: _draw_bars(labels, panels))


def _draw_bars(labels: Sequence[str], panels: Sequence[Panel]) -> tuple[str, float, float]:
    drawn = labels[:MOST_BARS]
    names = [shorten(one_line(label), _LONGEST) for label in drawn]
    x = MARGIN + max((text_width(name) for name in names), default=0.0) + 12
    top = float(MARGIN + 2 * LINE + 8)
    parts = [text_at(x - 12, top + n * _STEP + 11, name, anchor="end") for n, name in enumerate(names)]
    below = top + len(drawn) * _STEP + LINE
    legend_width = 0.0
    for panel in panels:
        column, width = _column(panel, drawn, x, top)
        parts.append(column)
        if len(panel.series) > 1:
            legend, legend_width = _legend(panel.series, below)
            parts.append(legend)
            below += LINE
        x += width + 28
    if len(labels) > len(drawn):
        rest = sum(panels[0].total(label) for label in labels[len(drawn) :])
        more = f"and {len(labels) - len(drawn):,} more, together {panels[0].said(int(rest))} {panels[0].heading}"
        parts.append(text_at(MARGIN, below, more, "dt-q"))
        below += LINE
    if not labels:
        parts.append(text_at(MARGIN, top + 11, "nothing to show", "dt-q"))
        below += LINE
    return "".join(parts), max(x - 28 + MARGIN, legend_width), below


def _column(panel: Panel, labels: Sequence[str], x: float, top: float) -> tuple[str, float]:
    most = max((panel.total(label) for label in labels), default=0.0)
    series = panel.series
    parts = [text_at(x, top - 8, panel.heading, "dt-q")]
    widest = text_width(panel.heading, 11)
    for index, label in enumerate(labels):
        y = top + index * _STEP
        row = panel.rows.get(label, {})
        at = x
        for name in series:
            value = row.get(name, 0)
            if not value:
                continue
            width = max(1.5, value / most * _PANEL)
            said = f"{label}: {panel.said(int(value))}" + ("" if panel.units else f" {name}")
            parts.append(
                f'<g><title>{escape(one_line(said))}</title><rect class="dt-k dt-s{tone(name, series)}" x="{at:.1f}" '
                f'y="{y:.1f}" width="{width:.1f}" height="{_BAR}"/></g>'
            )
            at += width
        said = _numbers(panel, row, series)
        parts.append(text_at(at + 6, y + 11, said, "dt-q"))
        widest = max(widest, at + 6 - x + text_width(said, 11))
    return "".join(parts), widest


def _numbers(panel: Panel, row: Mapping[str, float], series: Sequence[str]) -> str:
    if len(series) < 2:
        return panel.said(int(sum(row.values())))
    return ", ".join(f"{panel.said(int(row[name]))} {name}" for name in series if row.get(name)) or "none"


def tone(name: str, series: Sequence[str]) -> int:
    """Return the number of the colour that a series has."""
    return TONES.get(name, list(series).index(name) % 6)


def _legend(series: Sequence[str], y: float) -> tuple[str, float]:
    x, parts = float(MARGIN), []
    for name in series:
        parts.append(f'<rect class="dt-s{tone(name, series)}" x="{x:.1f}" y="{y - 9:.1f}" width="12" height="10"/>')
        parts.append(text_at(x + 18, y, name, "dt-q"))
        x += 18 + text_width(name, 11) + 18
    return "".join(parts), x + MARGIN


def tables_chart(title: str, rows: Mapping[str, int], sizes: Mapping[str, int]) -> Chart:
    """Return rows and bytes by table."""
    return bars(title, [
        Panel("rows", {name: {"rows": value} for name, value in rows.items()}),
        Panel("bytes", {name: {"bytes": value} for name, value in sizes.items()}, size, units=True),
    ])  # fmt: skip


# --- lines ----------------------------------------------------------------------------------------------------------


def rates(title: str, lines: Mapping[str, Sequence[tuple[float, float]]], *, unit: str, notes: Sequence[str]) -> Chart:
    """Return a chart of rates over time.

    Parameters
    ----------
    title : str
    lines : mapping of name to sequence of (seconds, rate)
    unit : str
        Of the rates.
    notes : sequence of str
        A line of text for each of the lines, in their order: what it is, and its mean in words.
    """
    return Chart(title, "; ".join(notes) or "nothing was told", lambda: _draw_rates(lines, unit, notes))


def _draw_rates(
    lines: Mapping[str, Sequence[tuple[float, float]]], unit: str, notes: Sequence[str]
) -> tuple[str, float, float]:
    points = [point for line in lines.values() for point in line]
    longest = max((x for x, _ in points), default=0.0) or 1.0
    ticks = nice_ticks(max((y for _, y in points), default=0.0))
    seconds = nice_ticks(longest)
    left = MARGIN + max(text_width(_short(tick), 11) for tick in ticks) + 8
    top = MARGIN + 2.0 * LINE + 8
    bottom = top + _PLOT_HEIGHT
    longest = max(longest, seconds[-1])
    parts = [text_at(MARGIN, top - 12, unit, "dt-q")]
    for tick in ticks:
        y = bottom - tick / ticks[-1] * _PLOT_HEIGHT
        parts.append(f'<path class="dt-x" d="M{left:.1f} {y:.1f}h{_PLOT_WIDTH:.0f}"/>')
        parts.append(text_at(left - 6, y + 4, _short(tick), "dt-q", anchor="end"))
    for tick in seconds:
        x = left + tick / longest * _PLOT_WIDTH
        parts.append(text_at(x, bottom + LINE, f"{tick:g} s", "dt-q", anchor="middle"))
    for index, line in enumerate(lines.values()):
        placed = [(left + x / longest * _PLOT_WIDTH, bottom - y / ticks[-1] * _PLOT_HEIGHT) for x, y in line]
        if placed:
            path = f"M{placed[0][0]:.1f} {placed[0][1]:.1f}" + "".join(f"L{x:.1f} {y:.1f}" for x, y in placed[1:])
            parts.append(f'<path class="dt-l{index % 6}" d="{path}"/>')
    y = bottom + 2.4 * LINE
    for index, note in enumerate(notes):
        parts.append(f'<path class="dt-l{index % 6}" d="M{left:.1f} {y - 4:.1f}h28"/>')
        parts.append(text_at(left + 36, y, note, "dt-q"))
        y += LINE
    if not points:
        parts.append(text_at(left + 8, top + _PLOT_HEIGHT / 2, "nothing was told", "dt-q"))
    wide = max((left + 36 + text_width(note, 11) for note in notes), default=0.0)
    return "".join(parts), max(left + _PLOT_WIDTH + 24, wide) + MARGIN, y


def nice_ticks(most: float) -> list[float]:
    """Return round numbers from 0 to at least `most`, three to six of them.

    Examples
    --------
    >>> nice_ticks(87)
    [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]
    """
    if most < 1e-6:
        return [0.0, 1.0]
    rough = most / 4
    power = 10.0 ** floor(log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.8)
    return [round(step * n, 9) for n in range(ceil(round(most / step, 6)) + 1)]


def _short(value: float) -> str:
    for power, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= power:
            return f"{value / power:g}{unit}"
    return f"{value:g}"
