"""DependencyGraph: which table refers to which, in what order they can be written, and where they go in circles.

It knows tables and foreign keys as plain data; who draws it knows nothing but boxes and arrows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cached_property
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

from datatransfer.display import mermaid as _mermaid
from datatransfer.display import shown
from datatransfer.display import svg as _svg
from datatransfer.display.blocks import names, plural
from datatransfer.display.bundles import pictured
from datatransfer.display.collapse import Collapsed, collapse
from datatransfer.errors import UsageError
from datatransfer.schema.tables import ForeignKey, Schema

if TYPE_CHECKING:
    import networkx as nx

MAX_EDGES = 500
"""Graphs with more foreign keys are drawn collapsed, and give no Mermaid."""
MAX_BOXES = 60
"""Graphs with more tables are drawn collapsed."""


class DependencyGraph(shown.Listed):
    """The foreign keys between tables as a graph.

    Parameters
    ----------
    schema : Schema
    counts : mapping of table name to number of rows, optional
        Shown below the names; tables that are not in it are left out of the picture, not of `order`.
    roots : iterable of table names
        Marked in the picture.
    root_word : str
        What the legend calls them.
    entities : callable, optional
        Gives the neighbourhood of one entity, from a table, a key and a depth.

    Examples
    --------
    >>> from datatransfer.schema.tables import Table
    >>> fk = ForeignKey("items", ("order_id",), "orders", ("id",))
    >>> tables = Table("items", (), foreign_keys=(fk,)), Table("orders", ())
    >>> graph = DependencyGraph(Schema({table.name: table for table in tables}))
    >>> graph.order
    ('orders', 'items')
    >>> graph
    DependencyGraph(2 tables, 1 foreign key, no cycles)
    """

    def __init__(
        self,
        schema: Schema,
        *,
        counts: Mapping[str, int] | None = None,
        roots: Iterable[str] = (),
        root_word: str = "asked for",
        entities: Callable[[str, Any, int], Any] | None = None,
    ) -> None:
        self.schema = schema
        self.counts = dict(counts) if counts is not None else None
        self.roots = frozenset(roots)
        self._root_word = root_word
        self._entities = entities

    @cached_property
    def foreign_keys(self) -> tuple[ForeignKey, ...]:
        """Every foreign key whose two tables are here."""
        return self.schema.foreign_keys()

    @cached_property
    def components(self) -> tuple[tuple[str, ...], ...]:
        """Groups of tables that depend on each other, parents first; most hold one table.

        Inside a group, tables whose required parents are there come later, as far as that is possible.
        """
        edges = [(fk.parent, fk.table) for fk in self.foreign_keys if not fk.is_self]
        groups = _strong_components(self.schema.tables, edges)
        group_of = {name: index for index, group in enumerate(groups) for name in group}
        between = {(group_of[a], group_of[b]) for a, b in edges if group_of[a] != group_of[b]}
        order = _topological({index: min(group) for index, group in enumerate(groups)}, between)
        return tuple(self._inside(groups[index]) for index in order)

    @cached_property
    def order(self) -> tuple[str, ...]:
        """All tables, parents before children; those of a cycle stand together."""
        return tuple(name for group in self.components for name in group)

    @cached_property
    def cycles(self) -> list[tuple[str, ...]]:
        """Groups of tables that depend on each other; a table that refers to itself is a group of one."""
        selfish = {fk.table for fk in self.foreign_keys if fk.is_self}
        return [group for group in self.components if len(group) > 1 or group[0] in selfish]

    def is_cyclic(self, fk: ForeignKey) -> bool:
        """Return whether a foreign key is part of a cycle: its parent cannot be written before it as a rule."""
        return self._component_of.get(fk.table) == self._component_of.get(fk.parent, -1)

    @cached_property
    def _component_of(self) -> dict[str, int]:
        return {name: index for index, group in enumerate(self.components) for name in group}

    def _inside(self, group: Collection[str]) -> tuple[str, ...]:
        if len(group) == 1:
            return tuple(group)
        required = {
            (fk.parent, fk.table)
            for fk in self.foreign_keys
            if fk.table in group and fk.parent in group and not fk.is_self and not self.nullable(fk)
        }
        parts = _strong_components(sorted(group), sorted(required))
        part_of = {name: index for index, part in enumerate(parts) for name in part}
        between = {(part_of[a], part_of[b]) for a, b in required if part_of[a] != part_of[b]}
        order = _topological({index: min(part) for index, part in enumerate(parts)}, between)
        return tuple(name for index in order for name in sorted(parts[index]))

    def nullable(self, fk: ForeignKey) -> bool:
        """Return whether a row of the child may do without the parent."""
        table = self.schema.tables[fk.table]
        return any(table.column(name).nullable and name not in table.key for name in fk.columns)

    # --- parts ------------------------------------------------------------------------------------------------------

    def around(self, table: str, key: Any = None, *, depth: int = 1) -> Any:
        """Return the neighbourhood of a table; with a key, of a package's graph, that of one entity.

        Parameters
        ----------
        table : str
        key : value or sequence of values, optional
            A sequence for a key of several columns.
        depth : int
            How many foreign keys away, in either direction.

        Returns
        -------
        DependencyGraph
            Of the tables, the one in the middle marked; or with a key a graph whose boxes are entities.

        Raises
        ------
        UnknownTableError
            There is no such table.
        UsageError
            A key is given and this is not the graph of a package, or `depth` is negative.

        Examples
        --------
        >>> db.graph.around("datasets")                     # doctest: +SKIP
        >>> package.graph.around("datasets", 7)             # doctest: +SKIP
        """
        self.schema.table(table)
        if depth < 0:
            raise UsageError("depth= takes no negative number", where=table)
        if key is not None:
            if self._entities is None:
                raise UsageError("entities are known of packages only", where=table, hint="use package.graph.around")
            return self._entities(table, key, depth)
        found = {table}
        for _ in range(depth):
            pairs = [(fk.table, fk.parent) for fk in self.foreign_keys]
            found |= {name for pair in pairs if found & set(pair) for name in pair}
        schema = Schema({name: each for name, each in self.schema.tables.items() if name in found})
        counts = None if self.counts is None else {n: c for n, c in self.counts.items() if n in found}
        return DependencyGraph(schema, counts=counts, roots=[table], root_word="in the middle")

    # --- other forms ------------------------------------------------------------------------------------------------

    def to_networkx(self) -> nx.MultiDiGraph[str]:
        """Return a ``networkx.MultiDiGraph``: an edge from child to parent per foreign key, with its ``fk``."""
        import networkx as nx

        graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        for table in self.schema:
            graph.add_node(table.name, rows=(self.counts or {}).get(table.name))
        for fk in self.foreign_keys:
            graph.add_edge(fk.table, fk.parent, key=fk.label, label=fk.label, fk=fk)
        return graph

    def to_mermaid(self) -> str:
        """Return Mermaid text, empty above 500 foreign keys or 50,000 characters."""
        if len(self.foreign_keys) > MAX_EDGES:
            return ""
        nodes, edges = self._nodes(), self._edges()
        title = f"{plural(len(nodes), 'table')}, {plural(len(edges), 'foreign key')}"
        text = _mermaid.mermaid(nodes, edges, title=title, root=self._root_word)
        return text if len(text) <= _mermaid.MAX_CHARACTERS else ""

    def to_svg(self) -> str:
        """Return an ``<svg>`` element; above 60 tables some stand together in one box, and those alone are listed."""
        nodes, edges = self._nodes(), self._edges()
        title = _svg.counted_title(len(nodes), len(edges), len(self.cycles))
        if len(nodes) <= MAX_BOXES and len(edges) <= MAX_EDGES:
            return _svg.graph_svg(nodes, edges, title=title, root=self._root_word)
        small = collapse(nodes, edges, self.cycles, MAX_BOXES)
        return _svg.graph_svg(
            small.nodes, small.edges, title=title, alone=small.alone, lines=self._about(small),
            root=f"{self._root_word}, or holds some",
        )  # fmt: skip

    @cached_property
    def _shown(self) -> list[str]:
        return [name for name in self.order if self.counts is None or name in self.counts]

    def _nodes(self) -> list[_svg.Node]:
        counts = self.counts or {}
        return [
            _svg.Node(name, _svg.rows_by_name(counts, name), name in self.roots, counts.get(name))
            for name in self._shown
        ]

    def _edges(self) -> list[_svg.Edge]:
        shown = set(self._shown)
        return [
            _svg.Edge(fk.table, fk.parent, fk.label, self.is_cyclic(fk), self.nullable(fk))
            for fk in self.foreign_keys
            if fk.table in shown and fk.parent in shown
        ]

    def _about(self, small: Collapsed) -> list[str]:
        """Say what a collapsed picture does not show."""
        degree = Counter(fk.parent for fk in self.foreign_keys if not fk.is_self)
        top = [
            f"{name} ({count:,})" for name, count in sorted(degree.items(), key=lambda item: (-item[1], item[0]))[:8]
        ]
        counted = f"{plural(len(self.schema), 'table')}, {plural(len(self.foreign_keys), 'foreign key')}"
        lines = [f"{counted}, drawn together; .around(table) shows one with its neighbours"]
        lines += [f"most referred to: {', '.join(top)}"] if top else []
        many = [group for group in self.cycles if len(group) > 1]
        lines += [f"{plural(len(many), 'cycle')} of several tables: .cycles lists them"] if many else []
        lines += [f"refer to themselves, not drawn: {names(small.own, 8)}"] if small.own else []
        lines += [f"{plural(small.dropped, 'thinner arrow')} not drawn"] if small.dropped else []
        return lines

    @shown.as_text
    def __repr__(self) -> str:
        cycles = plural(len(self.cycles), "cycle") if self.cycles else "no cycles"
        counted = f"{plural(len(self.schema), 'table')}, {plural(len(self.foreign_keys), 'foreign key')}"
        return f"DependencyGraph({counted}, {cycles})"

    @shown.as_bundle
    def _repr_mimebundle_(self, **_asked: Any) -> dict[str, str]:
        """Return text and pictures; no Mermaid where the picture is collapsed: it would be too large to read."""
        mermaid = self.to_mermaid() if len(self._shown) <= MAX_BOXES else ""
        return pictured(repr(self), self.to_svg(), mermaid=mermaid)


def _strong_components(names: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[tuple[str, ...]]:
    """Return the strongly connected components, each sorted.

    Tarjan's algorithm without recursion (SIAM J. Comput. 1, 1972), here rather than by networkx, whose import takes
    longer than many a whole export.
    """
    after: dict[str, list[str]] = {name: [] for name in sorted(names)}
    for source, target in sorted(set(edges)):
        after[source].append(target)
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    found: list[tuple[str, ...]] = []

    def enter(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        on_stack.add(name)
        work.append((name, iter(after[name])))

    for start in after:
        work: list[tuple[str, Any]] = []
        if start not in index:
            enter(start)
        while work:
            name, following = work[-1]
            step = next(following, None)
            if step is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[name])
                if low[name] == index[name]:
                    found.append(_pop_until(stack, on_stack, name))
            elif step not in index:
                enter(step)
            elif step in on_stack:
                low[name] = min(low[name], index[step])
    return found


def _pop_until(stack: list[str], on_stack: set[str], name: str) -> tuple[str, ...]:
    members = []
    while True:
        member = stack.pop()
        on_stack.discard(member)
        members.append(member)
        if member == name:
            return tuple(sorted(members))


def _topological(names: Mapping[int, str], edges: Collection[tuple[int, int]]) -> list[int]:
    """Order nodes, sources first; among those that are ready the smallest name comes first."""
    waiting = dict.fromkeys(names, 0)
    after: dict[int, list[int]] = {node: [] for node in names}
    for source, target in edges:
        waiting[target] += 1
        after[source].append(target)
    ready = [(names[node], node) for node, count in waiting.items() if count == 0]
    heapify(ready)
    order: list[int] = []
    while ready:
        _, node = heappop(ready)
        order.append(node)
        for target in after[node]:
            waiting[target] -= 1
            if waiting[target] == 0:
                heappush(ready, (names[target], target))
    return order
