"""A layered layout of boxes and arrows: parents to the left, lanes for long arrows, nothing under a box.

After K. Sugiyama, S. Tagawa and M. Toda, "Methods for visual understanding of hierarchical system structures" (IEEE
Trans. SMC 11, 1981): layers by longest path, at most so many boxes in each (after Coffman and Graham); long arrows of
one box go through the layers between in a lane of their own that they share; boxes are ordered by the mean place of
their neighbours, and placed as near to it as the order allows (isotonic regression by pooling adjacent violators).

Knows names and sizes only, and is the same for the same input.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, sqrt

HEIGHT = 40.0
_MOST = 9
"""Boxes that a layer may hold in any case: the children of one entity that are drawn, and one that counts others."""
_LANE, _GAP, _LANE_GAP, _SWEEPS = 4.0, 18.0, 8.0, 8


@dataclass(frozen=True)
class Link:
    """An arrow from a child to its parent; those of one kind that leave one box share a lane."""

    child: str
    parent: str
    kind: str = ""


@dataclass(frozen=True)
class Box:
    """Where a box is."""

    x: float
    y: float
    width: float

    @property
    def middle(self) -> float:
        """Its vertical middle."""
        return self.y + HEIGHT / 2


@dataclass
class Layout:
    """Where everything is: boxes by name, and for each link its points from left to right.

    The points come in pairs: between the first and second of a pair the line is straight and level, between pairs it
    bends. ``turned`` says of a link that its child is to the left of its parent.
    """

    boxes: dict[str, Box] = field(default_factory=dict)
    routes: dict[Link, list[tuple[float, float]]] = field(default_factory=dict)
    turned: set[Link] = field(default_factory=set)
    width: float = 0.0
    height: float = 0.0

    def moved(self, x: float, y: float) -> Layout:
        """Return the layout somewhere else."""
        return Layout(
            {name: Box(box.x + x, box.y + y, box.width) for name, box in self.boxes.items()},
            {link: [(a + x, b + y) for a, b in points] for link, points in self.routes.items()},
            self.turned,
            self.width,
            self.height,
        )


_Slot = tuple[str, str, int]  # a box ("", name, 0), or a lane (kind, name of the box it leaves, layer)


class _Drawing:
    def __init__(self, widths: Mapping[str, float], links: Sequence[Link]) -> None:
        self.widths = widths
        self.place = {name: at for at, name in enumerate(widths)}
        self.links = [link for link in dict.fromkeys(links) if link.child != link.parent]
        self.ends = {link: self._ends(link) for link in self.links}
        self.rank = self._ranks()
        self.layers, self.hops = self._lanes()

    def _ends(self, link: Link) -> tuple[str, str]:
        pair = (link.parent, link.child)
        return pair if self.place[link.parent] < self.place[link.child] else pair[::-1]

    def _ranks(self) -> dict[str, int]:
        """Give every box a layer: after all to its left, with room for it, and near to what is on its right."""
        lefts: dict[str, set[str]] = defaultdict(set)
        rights: dict[str, set[str]] = defaultdict(set)
        for left, right in self.ends.values():
            lefts[right].add(left)
            rights[left].add(right)
        most = max(_MOST, ceil(1.3 * sqrt(len(self.widths))))
        rank: dict[str, int] = {}
        held: dict[int, int] = defaultdict(int)
        for name in self.widths:
            at = max((rank[left] + 1 for left in lefts[name]), default=0)
            while held[at] >= most:
                at += 1
            rank[name] = at
            held[at] += 1
        for name in reversed(list(self.widths)):
            nearest = min((rank[right] for right in rights[name]), default=0) - 1
            if not lefts[name] and nearest > rank[name] and held[nearest] < most:
                held[rank[name]] -= 1
                rank[name] = nearest
                held[nearest] += 1
        used = {at: index for index, at in enumerate(sorted(set(rank.values())))}
        return {name: used[at] for name, at in rank.items()}

    def _lanes(self) -> tuple[list[list[_Slot]], dict[Link, list[_Slot]]]:
        layers: list[dict[_Slot, None]] = [{} for _ in range(max(self.rank.values(), default=-1) + 1)]
        for name, at in self.rank.items():
            layers[at]["", name, 0] = None
        hops: dict[Link, list[_Slot]] = {}
        for link, (left, right) in self.ends.items():
            between = [(link.kind or "-", left, at) for at in range(self.rank[left] + 1, self.rank[right])]
            for slot in between:
                layers[slot[2]][slot] = None
            hops[link] = [("", left, 0), *between, ("", right, 0)]
        return [list(layer) for layer in layers], hops

    # --- order and places -------------------------------------------------------------------------------------------

    def run(self) -> Layout:
        before: dict[_Slot, list[_Slot]] = defaultdict(list)
        after: dict[_Slot, list[_Slot]] = defaultdict(list)
        for a, b in dict.fromkeys(pair for hops in self.hops.values() for pair in pairwise(hops)):
            after[a].append(b)
            before[b].append(a)
        for sweep in range(_SWEEPS):
            self._order(before if sweep % 2 == 0 else after, forward=sweep % 2 == 0)
        y = self._heights(before, after)
        return self._layout(y, before, after)

    def _order(self, neighbours: Mapping[_Slot, list[_Slot]], *, forward: bool) -> None:
        walk = self.layers[1:] if forward else self.layers[-2::-1]
        at = {slot: float(index) for layer in self.layers for index, slot in enumerate(layer)}
        for layer in walk:
            mean = {slot: _mean([at[n] for n in neighbours.get(slot, ())], at[slot]) for slot in layer}
            layer.sort(key=lambda slot: (mean[slot], at[slot]))
            at.update({slot: float(index) for index, slot in enumerate(layer)})

    def _heights(self, before: Mapping[_Slot, list[_Slot]], after: Mapping[_Slot, list[_Slot]]) -> dict[_Slot, float]:
        """Return the vertical middle of every slot."""
        y: dict[_Slot, float] = {}
        for layer in self.layers:
            y.update(zip(layer, _offsets(layer), strict=True))
        for sweep in range(_SWEEPS):
            forward = sweep % 2 == 0
            near = before if forward else after
            for layer in self.layers[1:] if forward else self.layers[-2::-1]:
                wanted = [_mean([y[n] for n in near.get(slot, ())], y[slot]) for slot in layer]
                offsets = _offsets(layer)
                flat = _not_falling([want - offset for want, offset in zip(wanted, offsets, strict=True)])
                y.update({slot: a + b for slot, a, b in zip(layer, flat, offsets, strict=True)})
        top = min((y[slot] - _size(slot) / 2 for slot in y), default=0.0)
        return {slot: value - top for slot, value in y.items()}

    def _layout(
        self, y: dict[_Slot, float], before: Mapping[_Slot, list[_Slot]], after: Mapping[_Slot, list[_Slot]]
    ) -> Layout:
        made = Layout(height=max((y[slot] + _size(slot) / 2 for slot in y), default=0.0))
        lefts, rights = [], []
        x = 0.0
        for layer in self.layers:
            width = max((self.widths[name] for kind, name, _ in layer if not kind), default=40.0)
            lefts.append(x)
            rights.append(x + width)
            made.width = x + width
            made.boxes.update({s[1]: Box(x, y[s] - HEIGHT / 2, self.widths[s[1]]) for s in layer if not s[0]})
            x += width + 52 + min(60, 3 * sum(len(after.get(slot, ())) for slot in layer))
        starts = {slot: _ports(slot, near, y) for slot, near in after.items()}
        ends = {slot: _ports(slot, near, y) for slot, near in before.items()}
        beside: dict[tuple[_Slot, ...], int] = defaultdict(int)
        for link, hops in self.hops.items():
            points = self._route(hops, y, (starts, ends), (lefts, rights))
            aside = 7.0 * beside[tuple(hops)]  # links of two boxes without a lane between them
            beside[tuple(hops)] += 1
            made.routes[link] = [(x, y + aside) for x, y in points]
        made.turned = {link for link, (left, _) in self.ends.items() if left == link.child}
        return made

    def _route(
        self,
        hops: Sequence[_Slot],
        y: Mapping[_Slot, float],
        ports: tuple[Mapping[_Slot, Mapping[_Slot, float]], Mapping[_Slot, Mapping[_Slot, float]]],
        sides: tuple[Sequence[float], Sequence[float]],
    ) -> list[tuple[float, float]]:
        lefts, rights = sides
        first, last = hops[0], hops[-1]
        begin = lefts[self.rank[first[1]]] + self.widths[first[1]]
        level = ports[0][first][hops[1]]
        points = [(begin, level), (rights[self.rank[first[1]]], level)]
        for slot in hops[1:-1]:
            points += [(lefts[slot[2]], y[slot]), (rights[slot[2]], y[slot])]
        end = lefts[self.rank[last[1]]]
        level = ports[1][last][hops[-2]]
        return [*points, (end - 10, level), (end, level)]


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _size(slot: _Slot) -> float:
    return _LANE if slot[0] else HEIGHT


def _offsets(layer: Sequence[_Slot]) -> list[float]:
    """Return the middles of slots that are stacked as closely as they may be."""
    found: list[float] = []
    for index, slot in enumerate(layer):
        if not index:
            found.append(_size(slot) / 2)
            continue
        above = layer[index - 1]
        gap = _LANE_GAP if slot[0] or above[0] else _GAP
        found.append(found[-1] + _size(above) / 2 + gap + _size(slot) / 2)
    return found


def _not_falling(values: Sequence[float]) -> list[float]:
    """Return the nearest values, by squares, that never fall.

    Examples
    --------
    >>> _not_falling([1.0, 3.0, 2.0, 4.0])
    [1.0, 2.5, 2.5, 4.0]
    """
    pools: list[tuple[float, int]] = []
    for value in values:
        total, count = value, 1
        while pools and pools[-1][0] / pools[-1][1] > total / count:
            before, size = pools.pop()
            total, count = total + before, count + size
        pools.append((total, count))
    return [total / count for total, count in pools for _ in range(count)]


def _ports(slot: _Slot, near: Sequence[_Slot], y: Mapping[_Slot, float]) -> dict[_Slot, float]:
    """Return at which height the lines to each neighbour meet a box: apart, in the neighbours' order."""
    if slot[0]:
        return dict.fromkeys(near, y[slot])
    ordered = sorted(near, key=lambda other: (y[other], other))
    step = min(9.0, (HEIGHT - 12) / max(1, len(ordered) - 1))
    top = y[slot] - step * (len(ordered) - 1) / 2
    return {other: top + step * index for index, other in enumerate(ordered)}


def layered(widths: Mapping[str, float], links: Sequence[Link], *, most_width: float = 1100.0) -> Layout:
    """Lay boxes out, those that hang together side by side, the groups in rows below each other.

    Parameters
    ----------
    widths : mapping of name to pixels
        Of the boxes, parents before children as far as there are no circles.
    links : sequence of Link
        Those of a box to itself are not routed.
    most_width : float
        Where a row of groups ends, in pixels.
    """
    made = Layout()
    x = y = row = 0.0
    for names in groups(list(widths), links):
        inside = set(names)
        part = _Drawing(
            {name: widths[name] for name in widths if name in inside}, [link for link in links if link.child in inside]
        ).run()
        if x and x + part.width > most_width:
            x, y, row = 0.0, y + row + 2 * _GAP, 0.0
        part = part.moved(x, y)
        made.boxes |= part.boxes
        made.routes |= part.routes
        made.turned |= part.turned
        made.width, row = max(made.width, x + part.width), max(row, part.height)
        made.height = max(made.height, y + part.height)
        x += part.width + 2 * _GAP
    return made


def groups(names: Sequence[str], links: Sequence[Link]) -> list[list[str]]:
    """Return the names that hang together, the largest group first."""
    near: dict[str, list[str]] = {name: [] for name in names}
    for link in links:
        near[link.child].append(link.parent)
        near[link.parent].append(link.child)
    seen: set[str] = set()
    found = []
    for name in names:
        if name in seen:
            continue
        group, waiting = [], [name]
        seen.add(name)
        while waiting:
            group.append(waiting.pop())
            fresh = [other for other in near[group[-1]] if other not in seen]
            seen.update(fresh)
            waiting += dict.fromkeys(fresh)
        found.append(group)
    return sorted(found, key=lambda group: -len(group))
