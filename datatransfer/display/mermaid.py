"""A graph as Mermaid text."""

from __future__ import annotations

from collections.abc import Sequence

from datatransfer.display.blocks import visible
from datatransfer.display.svg import IN_A_CYCLE, MAY_BE_NULL, NEEDS, Edge, Node

MAX_CHARACTERS = 50_000


def mermaid(nodes: Sequence[Node], edges: Sequence[Edge], *, title: str = "", root: str = "asked for") -> str:
    """Return a flowchart; arrows point from child to parent: dotted where the child may do without, thick in a cycle.

    A box without a border says what the arrows mean that are there, and that a round box is a `root`. The title is not
    drawn: JupyterLab shows a picture made of the text, and reads the title to those who cannot see it.

    Names are only ever labels, in entity codes, so no name can become syntax.
    """
    number = {node.name: f"n{index}" for index, node in enumerate(nodes)}
    lines = ["flowchart RL", *([f"  accTitle: {_label(title)}"] if title else [])]
    for node in nodes:
        label = _label(node.name) + (f"<br/>{_label(node.note)}" if node.note else "")
        shape = f'(["{label}"])' if node.marked else f'["{label}"]'
        lines.append(f"  {number[node.name]}{shape}")
    drawn = [edge for edge in edges if edge.source in number and edge.target in number]
    lines += [f'  {number[e.source]} {_ARROWS[_kind(e)]}|"{_label(e.label)}"| {number[e.target]}' for e in drawn]
    return "\n".join(lines + _legend(drawn, nodes, root)) + "\n"


_ARROWS = {NEEDS: "-->", MAY_BE_NULL: "-.->", IN_A_CYCLE: "==>"}
_SAMPLES = {NEEDS: "──>", MAY_BE_NULL: "┄┄>", IN_A_CYCLE: "━━>"}


def _kind(edge: Edge) -> str:
    return IN_A_CYCLE if edge.marked else MAY_BE_NULL if edge.optional else NEEDS


def _legend(edges: Sequence[Edge], nodes: Sequence[Node], root: str) -> list[str]:
    """Return the lines that say what arrows and round boxes mean, of those that are there."""
    kinds = {_kind(edge) for edge in edges}
    told = [_label(f"{sample} {kind}") for kind, sample in _SAMPLES.items() if kind in kinds]
    told += [_label(f"round: {root}")] if any(node.marked for node in nodes) else []
    return [f'  legend["{"<br/>".join(told)}"]', "  style legend fill:none,stroke:none"] if told else []


def _label(text: str) -> str:
    return "".join(c if c.isalnum() or c in " _.,()" else f"#{ord(c)};" for c in visible(text).replace("\n", " "))
