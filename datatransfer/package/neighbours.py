"""The neighbourhood of one entity: what it refers to and what refers to it, from the rows of a package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from datatransfer.display import mermaid as _mermaid
from datatransfer.display import shown
from datatransfer.display import svg as _svg
from datatransfer.display.blocks import plural
from datatransfer.display.bundles import pictured
from datatransfer.package.contents import Contents
from datatransfer.package.metadata import PackageMetadata
from datatransfer.package.reasons import Search
from datatransfer.schema.graph import DependencyGraph
from datatransfer.schema.secrets import has_secret_key
from datatransfer.schema.tables import ForeignKey

if TYPE_CHECKING:
    import networkx as nx

MOST_ENTITIES = 60
MOST_CHILDREN = 8
"""Children by one foreign key that are drawn; the others are counted in a box of their own."""

_Place = tuple[str, int]


class EntityGraph(shown.Listed):
    """Entities as boxes, foreign keys between them as arrows; the one that was asked for is marked.

    Attributes
    ----------
    nodes : tuple of Node
        ``name`` is table and canonical key, or the number of the row where the key's column looks like a secret. Those
        with ``group`` count entities that are not drawn.
    edges : tuple of Edge

    Examples
    --------
    >>> package.graph.around("datasets", 7)             # doctest: +SKIP
    """

    def __init__(self, nodes: Sequence[_svg.Node], edges: Sequence[_svg.Edge]) -> None:
        self.nodes = tuple(nodes)
        self.edges = tuple(edges)

    def __len__(self) -> int:
        return sum(not node.group for node in self.nodes)

    @shown.as_text
    def __repr__(self) -> str:
        counted = f"{plural(len(self), 'entity', 'entities')}, {plural(len(self.edges), 'reference')}"
        middle = next((node.name for node in self.nodes if node.marked), "")
        return f"EntityGraph({_svg.one_line(middle)}: {counted})"

    def to_svg(self) -> str:
        """Return an ``<svg>`` element."""
        middle = next((node.name for node in self.nodes if node.marked), "")
        return _svg.graph_svg(self.nodes, self.edges, title=f"Neighbourhood of {middle}", root="in the middle")

    def to_mermaid(self) -> str:
        """Return Mermaid text, empty above 50,000 characters."""
        middle = next((node.name for node in self.nodes if node.marked), "")
        title = f"Neighbourhood of {_svg.one_line(middle)}"
        text = _mermaid.mermaid(self.nodes, self.edges, title=title, root="in the middle")
        return text if len(text) <= _mermaid.MAX_CHARACTERS else ""

    def to_networkx(self) -> nx.MultiDiGraph[str]:
        """Return a ``networkx.MultiDiGraph``: an edge from child to parent per reference."""
        import networkx as nx

        graph: nx.MultiDiGraph[str] = nx.MultiDiGraph()
        graph.add_nodes_from(node.name for node in self.nodes)
        for edge in self.edges:
            graph.add_edge(edge.source, edge.target, label=edge.label)
        return graph

    @shown.as_bundle
    def _repr_mimebundle_(self, **_asked: Any) -> dict[str, str]:
        return pictured(repr(self), self.to_svg(), mermaid=self.to_mermaid())


def around(contents: Contents, metadata: PackageMetadata, table: str, key: Any, depth: int) -> EntityGraph:
    """Return the neighbourhood of an entity.

    Raises
    ------
    UnknownTableError, KeyValueError
        There is no such table, or no row with this key.
    """
    search = Search(contents, metadata)
    return _Walk(search).run((table, search.row(table, key)), depth)


class _Walk:
    def __init__(self, search: Search) -> None:
        self.search = search
        self.graph = DependencyGraph(search.schema)
        self.found: dict[_Place, None] = {}
        self.edges: dict[tuple[_Place, ForeignKey, _Place], None] = {}
        self.more: dict[tuple[ForeignKey, _Place], int] = {}

    def run(self, middle: _Place, depth: int) -> EntityGraph:
        self.found[middle] = None
        edge = [middle]
        for _ in range(depth):
            fresh: list[_Place] = []
            for place in edge:
                for child, fk, parent in self._links(place):
                    other = parent if child == place else child
                    if other not in self.found:
                        if len(self.found) >= MOST_ENTITIES:
                            self.more[fk, place] = self.more.get((fk, place), 0) + 1
                            continue
                        self.found[other] = None
                        fresh.append(other)
                    self.edges[child, fk, parent] = None
            edge = fresh
        return self._drawn(middle)

    def _links(self, place: _Place) -> Iterator[tuple[_Place, ForeignKey, _Place]]:
        table, row = place
        schema = self.search.schema
        for fk in schema.table(table).foreign_keys:
            if fk.parent in schema and (parent := int(self.search.link(fk)[row])) >= 0:
                yield place, fk, (fk.parent, parent)
        for fk in schema.children_of(table):
            children = (self.search.link(fk) == row).nonzero()[0]
            for child in children[:MOST_CHILDREN].tolist():
                yield (fk.table, child), fk, place
            if len(children) > MOST_CHILDREN:
                self.more[fk, place] = len(children) - MOST_CHILDREN

    def _drawn(self, middle: _Place) -> EntityGraph:
        order = {name: at for at, name in enumerate(self.graph.order)}
        places = sorted(self.found, key=lambda place: (order[place[0]], place[1]))
        nodes = [_svg.Node(self._name(place), marked=place == middle) for place in places]
        edges = [self._edge(self._name(child), fk, self._name(parent)) for child, fk, parent in self.edges]
        for (fk, place), count in self.more.items():
            is_child = fk.parent == place[0]
            name = f"more {fk.table if is_child else fk.parent} of {self._name(place)}"
            nodes.append(_svg.Node(name, f"{plural(count, 'row')} by {fk.label}", group=True))
            ends = (name, self._name(place)) if is_child else (self._name(place), name)
            edges.append(self._edge(ends[0], fk, ends[1]))
        return EntityGraph(nodes, edges)

    def _edge(self, child: str, fk: ForeignKey, parent: str) -> _svg.Edge:
        return _svg.Edge(child, parent, fk.label, optional=self.graph.nullable(fk))

    def _name(self, place: _Place) -> str:
        table, row = place
        named = self.search.schema.table(table)
        if not named.key or has_secret_key(named):
            return f"{table} row {row + 1:,}"
        return f"{table} {self.search.key((table, row, False))}"
