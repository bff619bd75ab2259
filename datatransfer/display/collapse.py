"""A graph of too many boxes made one of few: circles, names of one beginning, and what is around the same hub.

Knows names and arrows only.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from datatransfer.display.blocks import plural
from datatransfer.display.svg import Edge, Node

HUBS = 12
MOST_EDGES = 48
"""Arrows of a collapsed picture, besides the thickest of each box; thinner ones are counted."""
_LEAST = 3


@dataclass(frozen=True)
class Collapsed:
    """What is drawn instead: boxes, arrows, names that hang on nothing, and how many arrows are left out.

    ``own`` are the names with an arrow to themselves whose box does not show it.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    alone: tuple[str, ...]
    dropped: int = 0
    own: tuple[str, ...] = ()


def collapse(nodes: Sequence[Node], edges: Sequence[Edge], cycles: Sequence[Collection[str]], limit: int) -> Collapsed:
    """Return the graph with at most so many boxes.

    Parameters
    ----------
    nodes, edges : sequences
        Nodes in the order in which they may be written.
    cycles : sequence of groups of names
    limit : int
    """
    between = [edge for edge in edges if edge.source != edge.target]
    degree = Counter(name for edge in between for name in (edge.source, edge.target))
    linked = [node.name for node in nodes if degree[node.name]]
    marked = {node.name for node in nodes if node.marked}
    hubs = set(sorted(linked, key=lambda name: (-degree[name], name))[:HUBS])
    hubs |= {name for name in linked if name in marked and len(hubs) < limit // 2}
    box_of = {name: name for name in hubs}
    for group in cycles:
        rest = sorted(name for name in group if degree[name] and name not in box_of)
        if len(group) > 1 and len(rest) >= _LEAST - 1:
            box_of.update(dict.fromkeys(rest, f"cycle of {rest[0]}, {rest[1]}" + (", …" if len(rest) > 2 else "")))
    for name, prefix in _prefixes([name for name in linked if name not in box_of]).items():
        box_of[name] = f"{prefix}*"
    rest = [name for name in linked if name not in box_of]
    if len(set(box_of.values())) + len(rest) > limit:
        box_of.update(_around(rest, hubs, between))
    box_of.update({name: name for name in rest if name not in box_of})
    size = Counter(box_of.values())
    box_of = _fewest({name: box if size[box] > 1 else name for name, box in box_of.items()}, limit)
    alone = tuple(node.name for node in nodes if not degree[node.name])
    boxes = tuple(_boxes(nodes, box_of))
    drawn, dropped = _arrows(between, box_of)
    loops = _loops(edges)
    seen = {box.name for box in boxes if not box.group}
    own = tuple(node.name for node in nodes if node.name in loops and node.name not in seen)
    drawn += tuple(loop for name, loop in loops.items() if name in seen)
    return Collapsed(boxes, drawn, alone, dropped, own)


def _loops(edges: Sequence[Edge]) -> dict[str, Edge]:
    """Return for each name with arrows to itself one that stands for all of them."""
    held: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        if edge.source == edge.target:
            held[edge.source].append(edge)
    return {name: _joined(name, name, inside) for name, inside in held.items()}


def _prefixes(names: Sequence[str]) -> dict[str, str]:
    """Return the first word of names where several have it, but not nearly all; of those the first two."""
    found: dict[str, str] = {}
    left = list(names)
    for words in (1, 2):
        cut = {name: _words(name, words) for name in left}
        count = Counter(prefix for prefix in cut.values() if prefix)
        fits = {p for p, n in count.items() if n >= _LEAST and (n <= len(names) / 2 or words == 2)}
        found |= {name: prefix for name, prefix in cut.items() if prefix in fits}
        left = [name for name in left if name not in found]
    return found


def _words(name: str, count: int) -> str:
    parts = re.split(r"(?<=[._])", name)
    return "".join(parts[:count]) if len(parts) > count and parts[count] else ""


def _around(names: Sequence[str], hubs: Collection[str], edges: Sequence[Edge]) -> dict[str, str]:
    """Return for each name the hub that is nearest to it."""
    near: dict[str, list[str]] = defaultdict(list)
    for edge in edges:
        near[edge.source].append(edge.target)
        near[edge.target].append(edge.source)
    nearest = {hub: hub for hub in hubs}
    waiting = deque(sorted(hubs, key=lambda hub: (-len(near[hub]), hub)))
    while waiting:
        name = waiting.popleft()
        for other in near[name]:
            if other not in nearest:
                nearest[other] = nearest[name]
                waiting.append(other)
    return {name: f"around {nearest[name]}" for name in names if name in nearest}


def _fewest(box_of: Mapping[str, str], limit: int) -> dict[str, str]:
    size = Counter(box_of.values())
    kept = set(sorted(size, key=lambda box: (-size[box], box))[: limit - 1])
    if len(size) <= limit:
        return dict(box_of)
    return {name: box if box in kept or (size[box] == 1 and name in kept) else "others" for name, box in box_of.items()}


def _boxes(nodes: Sequence[Node], box_of: Mapping[str, str]) -> list[Node]:
    members: dict[str, list[Node]] = defaultdict(list)
    for node in nodes:
        if node.name in box_of:
            members[box_of[node.name]].append(node)
    made = []
    for box, inside in members.items():
        if len(inside) == 1 and inside[0].name == box:
            made.append(inside[0])
            continue
        rows = sum(node.rows or 0 for node in inside)
        note = plural(len(inside), "table") + (f", {plural(rows, 'row')}" if rows else "")
        names = ", ".join(node.name for node in inside[:40]) + (" …" if len(inside) > 40 else "")
        made.append(Node(box, note, any(node.marked for node in inside), rows=rows, about=names, group=True))
    return made


def _arrows(edges: Sequence[Edge], box_of: Mapping[str, str]) -> tuple[tuple[Edge, ...], int]:
    held: dict[tuple[str, str], list[Edge]] = defaultdict(list)
    for edge in edges:
        source, target = box_of[edge.source], box_of[edge.target]
        if source != target:
            held[source, target].append(edge)
    made = [_joined(source, target, inside) for (source, target), inside in held.items()]
    made.sort(key=lambda edge: -edge.count)
    seen: set[str] = set()
    kept = []
    for index, edge in enumerate(made):
        if index < MOST_EDGES or not {edge.source, edge.target} <= seen or edge.marked:
            kept.append(edge)
            seen |= {edge.source, edge.target}
    return tuple(kept), len(made) - len(kept)


def _joined(source: str, target: str, inside: Sequence[Edge]) -> Edge:
    """Return one arrow that stands for several."""
    return Edge(
        source, target, plural(len(inside), "foreign key") if len(inside) > 1 else inside[0].label,
        any(edge.marked for edge in inside), all(edge.optional for edge in inside), len(inside),
    )  # fmt: skip
