"""DependencyGraph: order, cycles, and pictures that are safe and the same every time."""

from __future__ import annotations

import random
import re

import pytest

from datatransfer.errors import UnknownTableError, UsageError
from datatransfer.schema.graph import DependencyGraph
from datatransfer.schema.tables import Column, ForeignKey, Schema, Table
from datatransfer.schema.values import LogicalType
from tests.support.markup import svg_root

INTEGER = LogicalType("integer")


def schema_of(*edges: tuple[str, str, bool], tables: tuple[str, ...] = ()) -> Schema:
    """Make a schema from (child, parent, nullable)."""
    names = dict.fromkeys([*tables, *(name for child, parent, _ in edges for name in (child, parent))])
    made = {}
    for name in names:
        own = [(f"r{n}", parent, null) for n, (child, parent, null) in enumerate(edges) if child == name]
        columns = (Column("id", INTEGER, nullable=False), *(Column(c, INTEGER, nullable=null) for c, _, null in own))
        keys = tuple(ForeignKey(name, (column,), parent, ("id",)) for column, parent, _ in own)
        made[name] = Table(name, columns, ("id",), "primary", foreign_keys=keys)
    return Schema(made)


def test_parents_come_first_and_ties_are_settled_by_name() -> None:
    graph = DependencyGraph(schema_of(("z", "b", False), ("a", "z", False), tables=("y", "c")))
    assert graph.order == ("b", "c", "y", "z", "a")
    assert graph.cycles == []


def test_the_order_does_not_depend_on_the_order_of_tables() -> None:
    edges = [
        ("b", "a", False),
        ("c", "a", False),
        ("d", "b", False),
        ("d", "c", True),
        ("a", "d", True),
        ("e", "e", True),
    ]
    orders = set()
    for seed in range(10):
        random.Random(seed).shuffle(edges)
        orders.add(DependencyGraph(schema_of(*edges)).order)
    assert len(orders) == 1


def test_a_cycle_stands_together_and_inside_it_required_parents_come_first() -> None:
    schema = schema_of(("datasets", "versions", True), ("versions", "datasets", False), ("files", "versions", False))
    graph = DependencyGraph(schema)
    assert graph.order == ("datasets", "versions", "files")
    assert graph.cycles == [("datasets", "versions")]


def test_a_table_that_refers_to_itself_is_a_cycle_of_one() -> None:
    graph = DependencyGraph(schema_of(("folders", "folders", True)))
    assert graph.cycles == [("folders",)]
    assert graph.is_cyclic(graph.foreign_keys[0])


def test_components_agree_with_networkx() -> None:
    import networkx as nx

    for seed in range(40):
        dice = random.Random(seed)
        names = [f"t{n}" for n in range(dice.randint(1, 12))]
        edges = [(dice.choice(names), dice.choice(names), True) for _ in range(dice.randint(0, 20))]
        graph = DependencyGraph(schema_of(*edges, tables=tuple(names)))
        expected = {frozenset(group) for group in nx.strongly_connected_components(graph.to_networkx())}
        assert {frozenset(group) for group in graph.components} == expected
        rank = {name: index for index, group in enumerate(graph.components) for name in group}
        assert all(rank[fk.parent] <= rank[fk.table] for fk in graph.foreign_keys)


def test_a_chain_of_thousands_needs_no_recursion() -> None:
    edges = [(f"t{n:05}", f"t{n + 1:05}", True) for n in range(3000)]
    assert DependencyGraph(schema_of(*edges)).order[0] == "t03000"


def test_the_bundle_holds_text_html_svg_and_mermaid() -> None:
    graph = DependencyGraph(schema_of(("items", "orders", False)), counts={"items": 2, "orders": 1}, roots=["orders"])
    bundle = graph._repr_mimebundle_(include=None, exclude=None)
    assert set(bundle) == {"text/plain", "text/html", "image/svg+xml", "text/vnd.mermaid"}
    assert bundle["text/plain"] == "DependencyGraph(2 tables, 1 foreign key, no cycles)"
    assert "2 rows" in bundle["image/svg+xml"]
    assert "<script" not in bundle["image/svg+xml"]
    assert 'n1 -->|"items.r0"| n0' in bundle["text/vnd.mermaid"]
    assert "accTitle: 2 tables, 1 foreign key\n" in bundle["text/vnd.mermaid"]  # read to those who cannot see it
    assert graph.to_svg() == DependencyGraph(graph.schema, counts=graph.counts, roots=["orders"]).to_svg()


def test_a_graph_of_more_than_500_edges_is_collapsed() -> None:
    graph = DependencyGraph(schema_of(*[(f"c{n}", "hub", True) for n in range(501)]))
    bundle = graph._repr_mimebundle_()
    assert "text/vnd.mermaid" not in bundle
    assert graph.to_mermaid() == ""
    assert "drawn together" in bundle["image/svg+xml"]
    assert "490 tables" in bundle["image/svg+xml"]  # besides the hub and eleven that it happens to draw
    assert len(bundle["image/svg+xml"]) < 15_000
    svg_root(bundle["image/svg+xml"])


def test_a_graph_of_more_than_60_tables_gives_no_mermaid_that_nobody_could_read() -> None:
    graph = DependencyGraph(schema_of(*[(f"c{n}", "hub", True) for n in range(61)]))
    assert "text/vnd.mermaid" not in graph._repr_mimebundle_()
    assert graph.to_mermaid().startswith("flowchart")


def test_a_collapsed_graph_shows_which_tables_refer_to_themselves() -> None:
    edges = [(f"group_c{n}", "hub", True) for n in range(70)]
    loops = [("hub", "hub", True), ("group_c69", "group_c69", True), ("lonely", "lonely", False)]
    svg = DependencyGraph(schema_of(*edges, *loops)).to_svg()
    titles = [element.text for element in svg_root(svg).iter() if element.tag.endswith("title")]
    assert [title for title in titles if title and title.startswith("hub.")] == [
        "hub.r70, part of a cycle, may be NULL"
    ]
    assert "refer to themselves, not drawn: group_c69, lonely<" in svg
    assert "refer to themselves" not in DependencyGraph(schema_of(*edges)).to_svg()


def test_required_optional_and_cyclic_edges_differ_and_the_legend_says_how() -> None:
    graph = DependencyGraph(
        schema_of(("a", "b", False), ("a", "c", True), ("c", "c", True), ("d", "e", False), ("e", "d", True)),
        roots=["a"],
    )
    texts = [element.text for element in svg_root(graph.to_svg()).iter() if element.tag.endswith("text")]
    assert texts[-4:] == ["needs", "refers to, may be NULL", "part of a cycle", "asked for"]
    mermaid = graph.to_mermaid()
    assert '-->|"a.r0"|' in mermaid
    assert '-.->|"a.r1"|' in mermaid
    assert '==>|"c.r2"|' in mermaid
    kinds = "──> needs", "┄┄> refers to, may be NULL", "━━> part of a cycle", "round: asked for"
    assert legend_of(mermaid) == "<br/>".join(kinds)
    only = DependencyGraph(schema_of(("a", "b", True)), roots=["a"]).around("b").to_mermaid()
    assert legend_of(only) == "<br/>".join(["┄┄> refers to, may be NULL", "round: in the middle"])
    assert "legend" not in DependencyGraph(schema_of(tables=("a",))).to_mermaid()


def legend_of(mermaid: str) -> str:
    """Return the text of the legend, its codes as characters."""
    [line] = [line for line in mermaid.splitlines() if line.startswith("  legend[")]
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), line.split('"')[1])


def test_around_gives_a_table_and_its_neighbours() -> None:
    schema = schema_of(("b", "a", False), ("c", "b", True), ("d", "c", False), ("x", "y", False))
    graph = DependencyGraph(schema, counts=dict.fromkeys(schema.tables, 2))
    assert set(graph.around("b").schema.tables) == {"a", "b", "c"}
    assert set(graph.around("b", depth=2).schema.tables) == {"a", "b", "c", "d"}
    assert set(graph.around("b", depth=0).schema.tables) == {"b"}
    assert graph.around("b").roots == {"b"}
    assert graph.around("b").counts == {"a": 2, "b": 2, "c": 2}
    assert "in the middle" in graph.around("b").to_svg()
    with pytest.raises(UnknownTableError):
        graph.around("nothing")
    with pytest.raises(UsageError, match="packages only"):
        graph.around("b", 1)
    with pytest.raises(UsageError, match="negative"):
        graph.around("b", depth=-1)


def test_only_counted_tables_are_drawn() -> None:
    graph = DependencyGraph(schema_of(("items", "orders", False), tables=("other",)), counts={"orders": 1})
    assert ">other<" not in graph.to_svg()
    assert "other" in graph.order


@pytest.mark.parametrize("tables", [(), ("alone",)])
def test_the_smallest_graphs_draw_themselves(tables: tuple[str, ...]) -> None:
    graph = DependencyGraph(schema_of(tables=tables))
    svg_root(graph.to_svg())
    assert graph.to_mermaid().startswith("flowchart")
