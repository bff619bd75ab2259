"""A layered graph as SVG: no scripts, no foreign resources, the same bytes for the same graph.

Colours are CSS variables of JupyterLab's theme with fallbacks for light and dark where the picture stands alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from datatransfer.display.blocks import escape, shorten

_HEIGHT, _GAP_X, _GAP_Y, _MARGIN, _CHARACTER = 40, 70, 16, 12, 7.3

_STYLE = (
    ".dt-g{font:12px var(--jp-ui-font-family,system-ui,sans-serif)}"
    ".dt-g rect{fill:var(--jp-layout-color1,#fff);stroke:var(--jp-border-color1,#888)}"
    ".dt-g rect.dt-m{stroke:var(--jp-brand-color1,#1565c0);stroke-width:2.5}"
    ".dt-g text{fill:var(--jp-ui-font-color1,#222)}.dt-g text.dt-n{fill:var(--jp-ui-font-color2,#666);font-size:11px}"
    ".dt-g path{fill:none;stroke:var(--jp-ui-font-color2,#777)}"
    ".dt-g path.dt-c{stroke:var(--jp-warn-color1,#c75300);stroke-dasharray:5 3}"
    ".dt-g path.dt-a{fill:var(--jp-ui-font-color2,#777);stroke:none}"
    "@media (prefers-color-scheme:dark){.dt-g rect{fill:var(--jp-layout-color1,#1e1e1e)}"
    ".dt-g text{fill:var(--jp-ui-font-color1,#ddd)}.dt-g text.dt-n{fill:var(--jp-ui-font-color2,#aaa)}}"
)


@dataclass(frozen=True)
class Node:
    """A box: its name, a line below it, and whether it is marked."""

    name: str
    note: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Edge:
    """An arrow from child to parent; marked where it is part of a cycle."""

    source: str
    target: str
    label: str = ""
    marked: bool = False


@dataclass(frozen=True)
class _Box:
    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        return self.y + _HEIGHT / 2


def svg(nodes: Sequence[Node], edges: Sequence[Edge], layers: Sequence[Sequence[str]]) -> str:
    """Draw a graph whose nodes are already assigned to layers, parents in the first.

    Parameters
    ----------
    nodes, edges : sequences
    layers : sequence of sequences of node names

    Returns
    -------
    str
        An ``<svg>`` element.
    """
    by_name = {node.name: node for node in nodes}
    boxes = _place(_arrange(layers, edges), by_name)
    parts = [_edge(edge, boxes) for edge in edges if edge.source in boxes and edge.target in boxes]
    parts += [_node(by_name[name], box) for name, box in boxes.items()]
    width = max((box.x + box.width for box in boxes.values()), default=120.0) + _MARGIN + 40
    height = max((box.y + _HEIGHT for box in boxes.values()), default=40.0) + _MARGIN
    return frame("".join(parts), width, height)


def frame(inner: str, width: float, height: float) -> str:
    """Return the ``<svg>`` element around what was drawn."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="dt-g" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img"><style>{_STYLE}</style>{inner}</svg>'
    )


def text_lines(lines: Sequence[str]) -> str:
    """Draw lines of text in one box, for a graph too large to draw."""
    width = max((len(line) for line in lines), default=10) * _CHARACTER + 2 * _MARGIN
    height = len(lines) * 18 + 2 * _MARGIN
    texts = "".join(
        f'<text x="{_MARGIN * 2}" y="{_MARGIN + 16 + i * 18}">{escape(line)}</text>' for i, line in enumerate(lines)
    )
    return frame(
        f'<rect x="2" y="2" rx="4" width="{width:.0f}" height="{height:.0f}"/>{texts}', width + _MARGIN, height + 4
    )


def _arrange(layers: Sequence[Sequence[str]], edges: Sequence[Edge]) -> list[list[str]]:
    """Order each layer by the mean position of its parents, so that fewer arrows cross."""
    parents: Mapping[str, list[str]] = defaultdict(list)
    for edge in edges:
        parents[edge.source].append(edge.target)
    position: dict[str, float] = {}
    arranged = []
    for layer in layers:

        def centre(name: str) -> tuple[float, str]:
            known = [position[parent] for parent in parents[name] if parent in position]
            return (sum(known) / len(known) if known else 0.0, name)

        ordered = sorted(layer, key=centre)
        position.update({name: float(index) for index, name in enumerate(ordered)})
        arranged.append(ordered)
    return arranged


def _place(layers: Sequence[Sequence[str]], nodes: Mapping[str, Node]) -> dict[str, _Box]:
    boxes: dict[str, _Box] = {}
    x = float(_MARGIN)
    for layer in layers:
        longest = max((max(len(_title(n)), len(nodes[n].note)) for n in layer), default=0)
        width = longest * _CHARACTER + 20
        for index, name in enumerate(layer):
            boxes[name] = _Box(x, _MARGIN + index * (_HEIGHT + _GAP_Y), width)
        x += width + _GAP_X
    return boxes


def _title(name: str) -> str:
    return shorten(name, 40)


def _node(node: Node, box: _Box) -> str:
    mark = ' class="dt-m"' if node.marked else ""
    title_y = box.y + (17 if node.note else 24)
    left = f"{box.x + 10:.1f}"
    note = f'<text class="dt-n" x="{left}" y="{box.y + 32:.1f}">{escape(node.note)}</text>' if node.note else ""
    return (
        f'<g><title>{escape(node.name)}</title><rect{mark} x="{box.x:.1f}" y="{box.y:.1f}" rx="4" '
        f'width="{box.width:.1f}" height="{_HEIGHT}"/><text x="{left}" y="{title_y:.1f}">'
        f"{escape(_title(node.name))}</text>{note}</g>"
    )


def _edge(edge: Edge, boxes: Mapping[str, _Box]) -> str:
    child, parent = boxes[edge.source], boxes[edge.target]
    tip_x, tip_y = parent.x + parent.width, parent.middle
    if edge.source == edge.target:
        start, tip_y = (tip_x, child.y + 8), child.y + _HEIGHT - 8
        bend = tip_x + 34
    elif child.x <= parent.x:  # same layer or against the grain: an arc on the right side
        start = (child.x + child.width, child.middle)
        bend = max(start[0], tip_x) + 40
    else:
        start = (child.x, child.middle)
        bend = (child.x + tip_x) / 2
    curve = (
        f"M{start[0]:.1f} {start[1]:.1f}C{bend:.1f} {start[1]:.1f} {bend:.1f} {tip_y:.1f} {tip_x + 6:.1f} {tip_y:.1f}"
    )
    mark = ' class="dt-c"' if edge.marked else ""
    arrow = f'<path class="dt-a" d="M{tip_x:.1f} {tip_y:.1f}l8 -4l0 8z"/>'
    return f'<g><title>{escape(edge.label)}</title><path{mark} d="{curve}"/>{arrow}</g>'
