"""A graph as Mermaid text."""

from __future__ import annotations

from collections.abc import Sequence

from datatransfer.display.blocks import visible
from datatransfer.display.svg import Edge, Node

MAX_CHARACTERS = 50_000


def mermaid(nodes: Sequence[Node], edges: Sequence[Edge], *, title: str = "") -> str:
    """Return a flowchart; arrows point from child to parent: dotted where the child may do without, thick in a cycle.

    The title is not drawn: JupyterLab shows a picture made of the text, and reads the title to those who cannot see it.

    Names are only ever labels, in entity codes, so no name can become syntax.
    """
    number = {node.name: f"n{index}" for index, node in enumerate(nodes)}
    lines = ["flowchart RL", *([f"  accTitle: {_label(title)}"] if title else [])]
    for node in nodes:
        label = _label(node.name) + (f"<br/>{_label(node.note)}" if node.note else "")
        shape = f'(["{label}"])' if node.marked else f'["{label}"]'
        lines.append(f"  {number[node.name]}{shape}")
    for edge in edges:
        if edge.source in number and edge.target in number:
            arrow = "==>" if edge.marked else "-.->" if edge.optional else "-->"
            lines.append(f'  {number[edge.source]} {arrow}|"{_label(edge.label)}"| {number[edge.target]}')
    return "\n".join(lines) + "\n"


def _label(text: str) -> str:
    return "".join(c if c.isalnum() or c in " _.,()" else f"#{ord(c)};" for c in visible(text).replace("\n", " "))
