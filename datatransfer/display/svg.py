"""Graphs as SVG: no scripts, no foreign resources, the same bytes for the same graph.

Colours are those of `datatransfer.display.theme`. Nothing is told by colour alone: what may be missing is dashed, what
goes in a circle is thicker, roots have a thick border, and a legend says so.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from datatransfer.display.blocks import escape, plural, shorten, visible
from datatransfer.display.layout import HEIGHT, Box, Layout, Link, layered
from datatransfer.display.theme import variables

MARGIN, LINE = 14, 18
_LONGEST, _WIDEST = 40, 1100
NEEDS, MAY_BE_NULL, IN_A_CYCLE = "needs", "refers to, may be NULL", "part of a cycle"
"""What the kinds of arrows mean."""
MANY = 10
"""Foreign keys from which the arrow between two groups is drawn thicker."""

STYLE = variables(".dt-g") + (
    ".dt-g text{font:12px system-ui,-apple-system,'Segoe UI','DejaVu Sans',sans-serif;fill:var(--dt-text)}"
    ".dt-g .dt-p{fill:var(--dt-ground);stroke:none}.dt-g .dt-q{fill:var(--dt-muted);font-size:11px}"
    ".dt-g .dt-h{font-weight:600}.dt-g .dt-b{fill:var(--dt-ground);stroke:var(--dt-line)}"
    ".dt-g .dt-m{stroke:var(--dt-accent);stroke-width:3}.dt-g .dt-o{stroke-dasharray:5 3}"
    ".dt-g .dt-e{fill:none;stroke:var(--dt-line);stroke-width:1.2}.dt-g .dt-c{stroke:var(--dt-warn);stroke-width:2.4}"
    ".dt-g .dt-f{stroke-width:2.4}"
    ".dt-g .dt-a{fill:var(--dt-line);stroke:none}.dt-g .dt-d{fill:var(--dt-warn);stroke:none}"
    ".dt-g .dt-l0,.dt-g .dt-l1,.dt-g .dt-l2,.dt-g .dt-l3,.dt-g .dt-l4,.dt-g .dt-l5{fill:none;stroke-width:2}"
    ".dt-g .dt-l0{stroke:var(--dt-accent)}.dt-g .dt-l1{stroke:var(--dt-warn);stroke-dasharray:7 3}"
    ".dt-g .dt-l2{stroke:var(--dt-good);stroke-dasharray:2 3}.dt-g .dt-l3{stroke:var(--dt-other)}"
    ".dt-g .dt-l4{stroke:var(--dt-bad);stroke-dasharray:10 3 2 3}.dt-g .dt-l5{stroke:var(--dt-quiet)}"
    ".dt-g .dt-k{stroke:var(--dt-ground);stroke-width:.5}.dt-g .dt-x{stroke:var(--dt-soft)}"
    ".dt-g .dt-s0{fill:var(--dt-accent)}.dt-g .dt-s1{fill:var(--dt-good)}.dt-g .dt-s2{fill:var(--dt-quiet)}"
    ".dt-g .dt-s3{fill:var(--dt-other)}.dt-g .dt-s4{fill:var(--dt-bad)}.dt-g .dt-s5{fill:var(--dt-warn)}"
)


@dataclass(frozen=True)
class Node:
    """A box: its name, a line below it, whether it is marked; of a group, what is in it.

    Parameters
    ----------
    name, note : str
    marked : bool
    rows : int, optional
    about : str
        What is told of it besides; its name if empty.
    group : bool
        Whether it stands for several.
    """

    name: str
    note: str = ""
    marked: bool = False
    rows: int | None = None
    about: str = ""
    group: bool = False


@dataclass(frozen=True)
class Edge:
    """An arrow from child to parent: marked where it is part of a cycle, optional where the child may do without."""

    source: str
    target: str
    label: str = ""
    marked: bool = False
    optional: bool = False
    count: int = 1


def graph_svg(
    nodes: Sequence[Node],
    edges: Sequence[Edge],
    *,
    title: str,
    alone: Sequence[str] = (),
    lines: Sequence[str] = (),
    root: str = "asked for",
) -> str:
    """Draw a graph.

    Parameters
    ----------
    nodes, edges : sequences
        Nodes in the order in which they may be written, as far as there are no cycles.
    title : str
        For those who cannot see it.
    alone : sequence of names
        Listed below, not drawn.
    lines : sequence of str
        Said below.
    root : str
        What a marked box is.

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    known = {node.name: node for node in nodes}
    drawn = [edge for edge in edges if edge.source in known and edge.target in known]
    linked = {name for edge in drawn for name in (edge.source, edge.target)}
    single = [node for node in nodes if node.name not in linked]
    links = {edge: Link(edge.source, edge.target, _kind(edge)) for edge in drawn}
    layout = layered({n.name: _width(n) for n in nodes if n.name in linked}, list(links.values()))
    layout = _gridded(layout.moved(MARGIN, MARGIN), single)
    parts = [_shadow(box) for name, box in layout.boxes.items() if known[name].group]
    parts += [_edge(edge, layout, links[edge]) for edge in drawn]
    parts += [_node(known[name], box) for name, box in layout.boxes.items()]
    y = MARGIN + layout.height + (2 * LINE if layout.boxes else LINE)
    below = [*_listed(alone), *(part for line in lines for part in _wrapped(line))]
    texts = [text_at(MARGIN, y + index * LINE, line, "dt-q") for index, line in enumerate(below)]
    y += len(below) * LINE
    legend, wide = _legend(drawn, nodes, root, y)
    width = max([layout.width + 2 * MARGIN + 26, wide, *(text_width(line, 11) + 2 * MARGIN for line in below), 160])
    return frame("".join([*parts, *texts, legend]), width, y + (LINE if legend else 0), title=title)


def frame(inner: str, width: float, height: float, *, title: str) -> str:
    """Return the ``<svg>`` element around what was drawn, with its ground and what it is in words."""
    size = f"{width:.0f}", f"{height:.0f}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dt-g" viewBox="0 0 {size[0]} {size[1]}" width="{size[0]}" '
        f'height="{size[1]}" role="img"><title>{escape(shorten(title, 300))}</title><style>{STYLE}</style>'
        f'<rect class="dt-p" x="0" y="0" width="{size[0]}" height="{size[1]}"/>{inner}</svg>'
    )


def text_at(x: float, y: float, text: str, kind: str = "", *, anchor: str = "") -> str:
    """Return a line of text."""
    told = f' class="{kind}"' if kind else ""
    side = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text{told}{side} x="{x:.1f}" y="{y:.1f}">{escape(one_line(text))}</text>'


def one_line(text: str) -> str:
    """Return the text with every control character, line ends too, shown as an escape."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def text_width(text: str, size: float = 12) -> float:
    """Return at least the pixels that a text takes in the widest of the common fonts.

    Examples
    --------
    >>> text_width("orders") < text_width("ORDERS") < text_width("注文注文注文")
    True
    """
    return sum(map(_em, one_line(text))) * size


@lru_cache(4096)
def _em(character: str) -> float:
    if character in "ijlI.,:;'|!()[] ":
        return 0.42
    if character in "mwMW@%—":
        return 1.02
    if character.isascii():
        return 0.8 if character.isupper() else 0.66
    return 1.1 if unicodedata.east_asian_width(character) in "WF" else 0.85


def _title(node: Node) -> str:
    return shorten(one_line(node.name), _LONGEST)


def _width(node: Node) -> float:
    return max(60.0, text_width(_title(node)), text_width(node.note, 11)) + 20


def _kind(edge: Edge) -> str:
    return ("c" if edge.marked else "") + ("o" if edge.optional else "")


def _gridded(layout: Layout, single: Sequence[Node]) -> Layout:
    """Put boxes that hang on nothing below, in rows."""
    x, y = float(MARGIN), MARGIN + layout.height + (24 if layout.boxes else 0)
    for node in single:
        width = _width(node)
        if x + width > _WIDEST and x > MARGIN:
            x, y = float(MARGIN), y + HEIGHT + 24
        layout.boxes[node.name] = Box(x, y, width)
        layout.width = max(layout.width, x + width - MARGIN)
        layout.height = y + HEIGHT - MARGIN
        x += width + 30
    return layout


def _node(node: Node, box: Box) -> str:
    classes = "dt-b" + (" dt-m" if node.marked else "")
    left = box.x + 10
    note = text_at(left, box.y + 32, node.note, "dt-q") if node.note else ""
    return (
        f"<g><title>{escape(one_line(node.about or node.name))}</title>"
        f'<rect class="{classes}" x="{box.x:.1f}" y="{box.y:.1f}" rx="4" width="{box.width:.1f}" '
        f'height="{HEIGHT:.0f}"/>{text_at(left, box.y + (17 if note else 24), _title(node))}{note}</g>'
    )


def _shadow(box: Box) -> str:
    return (
        f'<rect class="dt-b" x="{box.x + 4:.1f}" y="{box.y + 4:.1f}" rx="4" width="{box.width:.1f}" '
        f'height="{HEIGHT:.0f}"/>'
    )


def _edge(edge: Edge, layout: Layout, link: Link) -> str:
    classes = "dt-e" + (" dt-c" if edge.marked else "") + (" dt-o" if edge.optional else "")
    classes += " dt-f" if edge.count >= MANY and not edge.marked else ""
    head = "dt-d" if edge.marked else "dt-a"
    if edge.source == edge.target:
        curve, arrow = _loop(layout.boxes[edge.source])
    else:
        points = layout.routes[link]
        is_turned = link in layout.turned
        curve = _curve(points, shorter_at_end=is_turned)
        (x, y), step = (points[-1], -7) if is_turned else (points[0], 7)
        arrow = f"M{x:.1f} {y:.1f}l{step} -3.5l0 7z"
    told = edge.label + (", part of a cycle" if edge.marked else "") + (", may be NULL" if edge.optional else "")
    return (
        f'<g><title>{escape(one_line(told))}</title><path class="{classes}" d="{curve}"/>'
        f'<path class="{head}" d="{arrow}"/></g>'
    )


def _curve(points: Sequence[tuple[float, float]], *, shorter_at_end: bool) -> str:
    """Draw level lines through the layers and bends between them; it ends where the head of the arrow begins."""
    moved = list(points)
    at, step = (len(moved) - 1, -6.0) if shorter_at_end else (0, 6.0)
    moved[at] = (moved[at][0] + step, moved[at][1])
    parts = [f"M{moved[0][0]:.1f} {moved[0][1]:.1f}"]
    for index, (x, y) in enumerate(moved[1:], 1):
        before = moved[index - 1]
        if index % 2:
            parts.append(f"H{x:.1f}")
        else:
            bend = (before[0] + x) / 2
            parts.append(f"C{bend:.1f} {before[1]:.1f} {bend:.1f} {y:.1f} {x:.1f} {y:.1f}")
    return "".join(parts)


def _loop(box: Box) -> tuple[str, str]:
    right, top = box.x + box.width, box.y
    curve = f"M{right:.1f} {top + 10:.1f}C{right + 24:.1f} {top + 6:.1f} {right + 12:.1f} {top - 18:.1f} "
    return curve + f"{right - 12:.1f} {top - 6:.1f}", f"M{right - 12:.1f} {top:.1f}l-3.5 -7l7 0z"


def _listed(alone: Sequence[str]) -> list[str]:
    """Return lines that name what hangs on nothing, and how many are not named."""
    if not alone:
        return []
    lines = [f"not connected ({len(alone):,}): "]
    for index, name in enumerate(alone):
        more = len(alone) - index
        if len(lines) == 4 and text_width(lines[-1], 11) > _WIDEST - 200:
            return [*lines[:-1], f"{lines[-1]}and {more:,} more"]
        if text_width(lines[-1], 11) > _WIDEST - 120:
            lines.append("    ")
        lines[-1] += shorten(one_line(name), _LONGEST) + (", " if more > 1 else "")
    return lines


def _wrapped(line: str) -> list[str]:
    """Return a line as several that make no picture wider, broken between words."""
    parts = [""]
    for word in one_line(line).split(" "):
        longer = f"{parts[-1]} {word}".lstrip()
        if parts[-1] and text_width(longer, 11) > _WIDEST - 2 * MARGIN:
            parts.append(word)
        else:
            parts[-1] = longer
    return parts


def _legend(edges: Sequence[Edge], nodes: Sequence[Node], root: str, y: float) -> tuple[str, float]:
    """Say what the lines and borders mean, of those that are there."""
    samples = []
    if any(not edge.optional and not edge.marked for edge in edges):
        samples.append(("dt-e", NEEDS))
    if any(edge.optional and not edge.marked for edge in edges):
        samples.append(("dt-e dt-o", MAY_BE_NULL))
    if any(edge.count >= MANY and not edge.marked for edge in edges):
        samples.append(("dt-e dt-f", f"{MANY} foreign keys and more"))
    if any(edge.marked for edge in edges):
        dashed = " dt-o" if all(edge.optional for edge in edges if edge.marked) else ""
        samples.append((f"dt-e dt-c{dashed}", IN_A_CYCLE))
    if any(node.marked for node in nodes):
        samples.append(("dt-b dt-m", root))
    x, parts = float(MARGIN), []
    for kind, words in samples:
        if kind.startswith("dt-e"):
            parts.append(f'<path class="{kind}" d="M{x:.0f} {y - 4:.0f}h28"/>')
        else:
            parts.append(f'<rect class="{kind}" x="{x:.0f}" y="{y - 10:.0f}" rx="3" width="28" height="12"/>')
        parts.append(text_at(x + 36, y, words, "dt-q"))
        x += 36 + text_width(words, 11) + 24
    return "".join(parts), x + MARGIN if samples else 0.0


def counted_title(tables: int, keys: int, cycles: int) -> str:
    """Say in words what a picture of a graph shows."""
    circles = plural(cycles, "cycle") if cycles else "no cycles"
    return f"Dependency graph: {plural(tables, 'table')}, {plural(keys, 'foreign key')}, {circles}"


def chain_svg(steps: Sequence[tuple[Node, str, bool]], *, title: str) -> str:
    """Draw a chain downwards.

    Parameters
    ----------
    steps : sequence of (node, label, is_upward)
        Of each step its box, what leads to the next one, and whether that arrow points back to this box; the label is
        empty at the end.
    title : str
    """
    width = max((_width(node) for node, _, _ in steps), default=120.0)
    texts = max((text_width(_link_text(label), 11) for _, label, _ in steps), default=0.0)
    parts = []
    y = float(MARGIN)
    for node, label, is_upward in steps:
        parts.append(_node(node, Box(MARGIN, y, width)))
        y += HEIGHT
        if label:
            x = MARGIN + 24
            ends = (y + 7, y + 30) if is_upward else (y, y + 23)
            tip = f"M{x} {y:.1f}l-4 8l8 0z" if is_upward else f"M{x} {y + 30:.1f}l-4 -8l8 0z"
            parts.append(f'<path class="dt-e" d="M{x} {ends[0]:.1f}V{ends[1]:.1f}"/><path class="dt-a" d="{tip}"/>')
            parts.append(text_at(x + 14, y + 19, _link_text(label), "dt-q"))
            y += 30
    return frame("".join(parts), max(width, texts + 40) + 2 * MARGIN, y + MARGIN, title=title)


def _link_text(label: str) -> str:
    return shorten(one_line(label), 2 * _LONGEST)


def rows_by_name(counts: Mapping[str, int] | None, name: str) -> str:
    """Return how many rows a table has, as the line below its name."""
    return plural(counts[name], "row") if counts and name in counts else ""
