"""Pictures: nothing overlaps, nothing is cut, whatever the names are; the same bytes twice; readable for 500 tables."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import datatransfer as dt
from datatransfer.display.charts import Panel, bars, nice_ticks, rates, tables_chart
from datatransfer.display.collapse import collapse
from datatransfer.display.layout import HEIGHT, Link, layered
from datatransfer.display.svg import Edge, Node, chain_svg, graph_svg, text_width
from datatransfer.errors import KeyValueError, UsageError
from datatransfer.exporting.why import Step as ExportStep
from datatransfer.exporting.why import Why
from datatransfer.package.neighbours import EntityGraph
from datatransfer.package.reasons import Chain, Step
from datatransfer.progress import Throughput
from datatransfer.schema.graph import DependencyGraph
from tests.support.markup import PAYLOADS, drawing_of, svg_root
from tests.support.packages import metadata, shop, table, write
from tests.test_graph import schema_of

TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(PAYLOADS))


def check_picture(markup: str) -> list[str]:
    """Check that an SVG is ours and that no text leaves it, and return its texts."""
    root = svg_root(markup)
    width, height = float(root.attrib["width"]), float(root.attrib["height"])
    assert root.attrib["role"] == "img"
    assert next(iter(root)).tag.endswith("title")
    texts = [element for element in root.iter() if element.tag.endswith("}text")]
    for element in texts:
        size = 11 if element.get("class") == "dt-q" else 12
        long = text_width(element.text or "", size)
        at = float(element.attrib["x"])
        left = {"end": at - long, "middle": at - long / 2}.get(element.get("text-anchor", ""), at)
        assert left >= -12
        assert left + long <= width + 1
        assert size <= float(element.attrib["y"]) <= height
    for element in root.iter():
        if element.tag.endswith("}rect"):
            assert float(element.attrib["x"]) + float(element.attrib["width"]) <= width + 0.5
            assert float(element.attrib["y"]) + float(element.attrib["height"]) <= height + 0.5
    return [element.text or "" for element in texts]


# --- layout ----------------------------------------------------------------------------------------------------------


def test_the_children_of_one_entity_stand_below_each_other() -> None:
    children = [f"invoice {n}" for n in range(9)]
    drawn = layered(dict.fromkeys(["customer", *children], 80.0), [Link(name, "customer") for name in children])
    assert len({drawn.boxes[name].x for name in children}) == 1


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, float], list[Link]]:
    """Make widths of boxes, and links among them in any direction."""
    count = draw(st.integers(1, 25))
    names = [f"t{n}" for n in range(count)]
    widths = {name: draw(st.floats(40, 300)) for name in names}
    pairs = draw(
        st.lists(st.tuples(st.sampled_from(names), st.sampled_from(names), st.sampled_from("aoc")), max_size=50)
    )
    return widths, [Link(child, parent, kind) for child, parent, kind in pairs]


@settings(max_examples=150, deadline=None)
@given(made=graphs())
def test_no_box_lies_on_another_and_no_arrow_runs_under_a_box(made: tuple[dict[str, float], list[Link]]) -> None:
    widths, links = made
    layout = layered(widths, links)
    boxes = layout.boxes
    assert set(boxes) == set(widths)
    for name, box in boxes.items():
        assert box.x >= 0
        assert box.y >= -0.01
        assert box.x + box.width <= layout.width + 0.01
        for other, lower in boxes.items():
            if name < other:
                apart_x = box.x + box.width <= lower.x or lower.x + lower.width <= box.x
                assert apart_x or abs(box.y - lower.y) >= HEIGHT + 10
    assert set(layout.routes) == {link for link in links if link.child != link.parent}
    for link, points in layout.routes.items():
        check_route(link, points, boxes)


def check_route(link: Link, points: list[tuple[float, float]], boxes: dict[str, Any]) -> None:
    """Check that a route begins and ends at its boxes and is clear of the others."""
    left, right = sorted((boxes[link.child], boxes[link.parent]), key=lambda box: box.x)
    assert points[0][0] == pytest.approx(left.x + left.width)
    assert points[-1][0] == pytest.approx(right.x)
    for at, ((x, y), (to, level)) in enumerate(pairwise(points)):
        assert x <= to + 0.01
        for name, box in boxes.items():
            if name in (link.child, link.parent):
                continue
            if at % 2 == 0:  # level
                assert y == level
                is_beside = box.x + box.width <= x + 0.01 or box.x >= to - 0.01
                assert is_beside or not box.y < y < box.y + HEIGHT, (link, name)


def test_the_layers_of_a_wide_schema_are_no_towers() -> None:
    links = [Link(f"child{n}", "hub") for n in range(60)]
    layout = layered({"hub": 80.0} | {f"child{n}": 80.0 for n in range(60)}, links)
    assert layout.height < 900
    assert layout.width < 1500


def test_a_long_arrow_goes_around_what_lies_between() -> None:
    links = [Link("b", "a"), Link("c", "b"), Link("c", "a", "o")]
    layout = layered(dict.fromkeys("abc", 80.0), links)
    long = layout.routes[links[2]]
    assert len(long) == 6
    assert not layout.boxes["b"].y < long[2][1] < layout.boxes["b"].y + HEIGHT


# --- graphs ----------------------------------------------------------------------------------------------------------


def named_graph(text: str) -> DependencyGraph:
    other = f"{text}.b"
    schema = schema_of((text, other, True), (other, text, False), (text, text, True), ("c", text, False), tables=("d",))
    return DependencyGraph(schema, counts=dict.fromkeys(schema.tables, 3), roots=[text])


def pictures_named(text: str) -> list[Any]:
    """Return one of each thing that draws itself, with a text wherever one goes."""
    graph = named_graph(text)
    nodes = [Node(text, text, True), Node(f"{text}2", text, group=True, about=text)]
    return [
        graph,
        EntityGraph(nodes, [Edge(text, f"{text}2", text), Edge(text, text, text, True, True)]),
        Chain([Step(text, text, "up", text or "x"), Step(text, text, "root")]),
        Why([ExportStep(text, (text, 1), "down", text or "x"), ExportStep(text, (), "root", text=text)]),
        bars(text, [Panel(text, {text: {text: 3, "b": 1}, "x": {}}), Panel("bytes", {text: {"y": 2}})]),
        tables_chart(text, {text: 3}, {text: 1000}),
        rates(text, {text: [(0.0, 1.0), (1.0, 5.0)]}, unit=text[:20], notes=[text[:100]]),
    ]


def check_drawn(drawn: Any) -> None:
    bundle = drawn._repr_mimebundle_(include=None, exclude=None)
    pictures = {"text/plain", "text/html", "image/svg+xml"}
    assert pictures <= set(bundle) <= pictures | {"text/vnd.mermaid"}
    assert bundle == drawn._repr_mimebundle_()
    assert bundle["text/plain"] == repr(drawn)
    assert "\x1b" not in repr(drawn)
    check_picture(bundle["image/svg+xml"])
    assert drawing_of(bundle["text/html"]) == bundle["image/svg+xml"]
    if mermaid := bundle.get("text/vnd.mermaid", ""):
        assert "accTitle: " in mermaid  # JupyterLab's picture of it has no other name
    for line in mermaid.splitlines():
        assert not set("<>{}`\\'") & set(
            line.replace("<br/>", "").replace("-->", "").replace("-.->", "").replace("==>", "")
        )
        assert line.count('"') in (0, 2)


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_no_name_breaks_out_of_a_picture(payload: str) -> None:
    for drawn in pictures_named(payload):
        check_drawn(drawn)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_pictures_never_raise_whatever_the_names_are(text: str) -> None:
    for drawn in pictures_named(text):
        check_drawn(drawn)


def large_schema(tables: int = 500) -> Any:
    """Make a schema as grown ones are: modules with prefixes, some hubs, lookups, and tables that stand alone."""
    dice = random.Random(7)
    modules = [f"module{n}" for n in range(20)]
    names = [f"{modules[n % 20]}_{n}" for n in range(tables - 20)]
    edges = []
    for at, name in enumerate(names[6:], 6):
        own = [other for other in names[:at] if other.split("_")[0] == name.split("_")[0]]
        for _ in range(dice.choice([1, 2, 3])):
            parent = dice.choice(names[:6]) if dice.random() < 0.4 or not own else dice.choice(own)
            edges.append((name, parent, dice.random() < 0.4))
    edges += [(names[30], names[50], True), (names[50], names[30], False)]
    return schema_of(*edges, tables=(*names, *(f"alone{n}" for n in range(20))))


def test_five_hundred_tables_are_drawn_readably() -> None:
    graph = DependencyGraph(large_schema(), roots=["module7_107"])
    texts = check_picture(graph.to_svg())
    root = svg_root(graph.to_svg())
    assert (
        len([e for e in root.iter() if (e.get("class") or "").startswith("dt-b") and float(e.attrib["height"]) > 30])
        <= 120
    )
    assert float(root.attrib["width"]) < 2_000
    assert float(root.attrib["height"]) < 1_500
    shown = " ".join(texts)
    assert "module7_107" in texts
    assert "not connected (20): alone0" in shown
    assert "most referred to: module" in shown
    assert "1 cycle of several tables" in shown


def test_what_is_said_below_a_picture_is_wrapped_and_makes_it_no_wider() -> None:
    nodes = [Node("orders"), Node("items")]
    edges = [Edge("items", "orders", "items.order_id")]
    names = [f"enterprise_module_{n:02}_master_data_record ({n})" for n in range(8)]
    said = f"most referred to: {', '.join(names)}"
    made = graph_svg(nodes, edges, title="x", lines=[said, "1 cycle"])
    texts = check_picture(made)
    start = next(at for at, text in enumerate(texts) if text.startswith("most referred"))
    end = texts.index("1 cycle")
    assert end - start > 1
    assert " ".join(texts[start:end]) == said
    assert float(svg_root(made).attrib["width"]) <= 1_100


@pytest.mark.parametrize("limit", [5, 20, 60])
def test_every_table_of_a_collapsed_graph_is_in_a_box_or_listed(limit: int) -> None:
    graph = DependencyGraph(large_schema())
    nodes, edges = graph._nodes(), graph._edges()
    small = collapse(nodes, edges, graph.cycles, limit)
    drawn = sum(int(node.note.split()[0].replace(",", "")) if node.group else 1 for node in small.nodes)
    assert drawn + len(small.alone) == 500
    assert all(node.note != "1 table" for node in small.nodes)
    assert len(small.nodes) <= limit + 12
    ends = {name for edge in small.edges for name in (edge.source, edge.target)}
    assert ends == {node.name for node in small.nodes}  # each box keeps an arrow


def test_many_that_are_not_connected_are_counted() -> None:
    texts = check_picture(graph_svg([], [], title="x", alone=[f"table_{n}" for n in range(1000)]))
    assert texts[0].startswith("not connected (1,000): table_0")
    assert "more" in texts[-1]
    assert len(texts) <= 4


def test_a_picture_is_the_same_in_another_process() -> None:
    import subprocess
    import sys

    code = (
        "import hashlib, sys; sys.path.insert(0, '.')\n"
        "from tests.test_pictures import large_schema\n"
        "from datatransfer.schema.graph import DependencyGraph\n"
        "print(hashlib.sha256(DependencyGraph(large_schema()).to_svg().encode()).hexdigest())"
    )
    root = Path(__file__).parent.parent
    said = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": str(root)},
                       capture_output=True, text=True, check=True, cwd=root).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(said) == 1


# --- one entity, and why ---------------------------------------------------------------------------------------------


def test_the_neighbourhood_of_one_entity(tmp_path: Path) -> None:
    package = write(tmp_path / "p.zip", shop())
    graph = package.graph.around("customers", 2)
    assert [node.name for node in graph.nodes] == ["customers [2]", "orders [2]", "orders [3]"]
    assert [(e.source, e.target, e.label) for e in graph.edges] == [
        ("orders [2]", "customers [2]", "orders.customer_id"), ("orders [3]", "customers [2]", "orders.customer_id"),
    ]  # fmt: skip
    assert repr(graph) == "EntityGraph(customers [2]: 3 entities, 2 references)"
    assert [node.name for node in package.graph.around("orders", 3).nodes] == ["customers [2]", "orders [3]"]
    assert len(package.graph.around("orders", 3, depth=2)) == 3
    assert set(graph.to_networkx().edges) == {
        ("orders [2]", "customers [2]", 0), ("orders [3]", "customers [2]", 0),
    }  # fmt: skip
    check_drawn(graph)
    with pytest.raises(KeyValueError):
        package.graph.around("customers", 99)


def test_many_children_of_an_entity_are_counted(tmp_path: Path) -> None:
    parents, children = shop()[0][0], shop()[1][0]
    rows = [{"id": n, "customer_id": 1, "note": None} for n in range(50)]
    package = write(tmp_path / "p.zip", [(parents, [{"id": 1, "name": "x"}]), (children, rows)])
    graph = package.graph.around("customers", 1)
    assert len(graph) == 9
    assert [(n.name, n.note) for n in graph.nodes if n.group] == [
        ("more orders of customers [1]", "42 rows by orders.customer_id")
    ]
    check_drawn(graph)


def test_why_is_drawn_as_a_chain(tmp_path: Path) -> None:
    selection = {"roots": [{"table": "customers", "keys": [[2]]}]}
    package = write(tmp_path / "p.zip", shop(), meta=metadata(selection=selection))
    chain = package.why("orders", 3)
    texts = check_picture(chain.to_svg())
    assert texts == ["orders [3]", "orders.customer_id", "customers [2]", "asked for"]
    none = check_picture(package.why("folders", 1).to_svg())
    assert none == ["no chain to a root", "the package does not say why"]
    up = chain_svg([(Node("a"), "b.a_id", True), (Node("b"), "", False)], title="x")
    assert up != chain_svg([(Node("a"), "b.a_id", False), (Node("b"), "", False)], title="x")


# --- charts ----------------------------------------------------------------------------------------------------------


def test_bars_say_their_numbers_and_the_rest_is_counted() -> None:
    chart = tables_chart("Rows", {f"t{n}": n * 1000 for n in range(100)}, {f"t{n}": n for n in range(100)})
    texts = check_picture(chart.to_svg())
    assert texts[1:4] == ["t99", "t98", "t97"]
    assert "99,000" in texts
    assert "99 bytes" in texts
    assert texts[-1] == "and 60 more, together 1,770,000 rows"
    assert repr(chart) == "Chart(Rows: 100 bars, rows 4,950,000 in all)"


def test_stacked_bars_name_each_part_in_words() -> None:
    texts = check_picture(
        bars("Plan", [Panel("rows", {"a": {"conflict": 1, "insert": 20}, "b": {"skip": 3}})]).to_svg()
    )
    assert "20 insert, 1 conflict" in texts
    assert texts[-3:] == ["insert", "skip", "conflict"]


def test_packages_plans_and_receipts_draw_themselves(tmp_path: Path) -> None:
    one = table("notes", {"id": "integer", "text": "text"})
    package = write(tmp_path / "p.zip", [(one, [{"id": 1, "text": "x"}, {"id": 2, "text": "y"}])])
    assert "2" in check_picture(package.plot().to_svg())
    import sqlite3

    with sqlite3.connect(tmp_path / "t.db") as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
        connection.execute("INSERT INTO notes VALUES (1, 'other')")
    connection.close()
    with dt.Database(f"sqlite:///{tmp_path}/t.db") as db:
        assert "1" in check_picture(dt.PackageBuilder(db).add_all().preview().plot().to_svg())
        importer = dt.PackageImporter(package, db)
        plan = importer.plan()
        assert "What the import would do" in check_picture(plan.plot().to_svg())
        receipt = importer.run(plan)
        assert "2" in check_picture(receipt.plot().to_svg())
        assert "merge" in check_picture(receipt.plot("seconds").to_svg())
        with pytest.raises(UsageError, match="rows"):
            receipt.plot("nothing")  # type: ignore[arg-type]


def test_the_throughput_of_a_run_is_told_by_phase(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "s.db") as connection:
        connection.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT)")
        connection.executemany("INSERT INTO notes VALUES (?, 'x')", [(n,) for n in range(5000)])
    connection.close()
    heard: list[Any] = []
    seen = Throughput(heard.append)
    with dt.Database(f"sqlite:///{tmp_path}/s.db") as db:
        dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", progress=seen)
    assert heard
    assert "reading rows: 5,000 rows in " in repr(seen)
    texts = check_picture(seen.plot().to_svg())
    assert any(text.startswith("reading rows: 5,000 rows") for text in texts)


def test_rates_are_rows_over_seconds_and_at_most_120_spans() -> None:
    now = [0.0]
    seen = Throughput(clock=lambda: now[0])
    for n in range(1000):
        seen(dt.Progress("read", rows_done=n * 50))
        now[0] += 0.5
    found = seen.rates("read")
    assert {rate for _, rate in found} == {100.0}
    assert len(found) <= 2 * 121
    assert "100 rows/s" in repr(seen)
    assert Throughput().rates("read") == []
    check_picture(Throughput().plot().to_svg())


@given(st.floats(0, 1e12))
def test_ticks_are_few_and_reach_the_top(most: float) -> None:
    ticks = nice_ticks(most)
    assert 2 <= len(ticks) <= 8
    assert ticks[-1] >= most * (1 - 1e-6)
