"""What a package, its graph, a plan and a receipt look like in a cell, in both themes."""

from __future__ import annotations

import nbformat
import pytest

from datatransfer.schema.graph import DependencyGraph
from datatransfer.schema.tables import Column, ForeignKey, Schema, Table
from datatransfer.schema.values import LogicalType
from tests.browser.axe import axe
from tests.browser.page import THEMES, Lab
from tests.browser.scenes import LOOKS, show

GRAPH = ".jp-OutputArea-output .dt-i > .dt-d > svg"
WIDER = """(area) => [...area.querySelectorAll(".jp-RenderedHTMLCommon, svg")]
  .filter((part) => part.scrollWidth > area.clientWidth + 1).map((part) => part.outerHTML.slice(0, 200))"""

COLOURS = """(drawn) => [".dt-p", ".dt-b"].map((part) => getComputedStyle(drawn.querySelector(part)).fill)"""
COLOURS_OF = {"light": ["rgb(255, 255, 255)"] * 2, "dark": ["rgb(17, 17, 17)"] * 2}


def _cell(index: int) -> str:
    return f'[data-windowed-list-index="{index}"]'


def test_a_package_tells_what_it_holds(lab: Lab) -> None:
    at = show(lab, "package")["package"]
    (output,) = lab.outputs(at)
    assert "text/html" in output["data"]
    drawn = lab.output(at).inner_text()
    for word in ("datasets", "users", "attachments"):
        assert word in drawn


@pytest.mark.parametrize("theme", THEMES)
def test_a_graph_is_our_own_drawing_in_the_colours_of_the_theme(lab: Lab, theme: str) -> None:
    at = show(lab, "graph", theme=theme)["graph"]
    (output,) = lab.outputs(at)
    assert set(output["data"]) == {"text/plain", "text/html", "image/svg+xml", "text/vnd.mermaid"}
    assert lab.output(at).locator(".jp-RenderedMermaid").count() == 0
    drawn = lab.output(at).locator(GRAPH)
    drawn.wait_for()
    box = drawn.bounding_box()
    assert box is not None
    assert box["width"] > 100
    assert box["height"] > 50
    assert lab.output(at).get_by_role("img").count() == 1  # the image that stands in for it is not shown beside it
    assert drawn.evaluate(COLOURS) == COLOURS_OF[theme]


@pytest.mark.parametrize("theme", THEMES)
def test_of_a_notebook_that_is_not_trusted_the_image_of_a_graph_alone_is_shown(lab: Lab, theme: str) -> None:
    fk = ForeignKey("items", ("order_id",), "orders", ("id",))
    columns = (Column("order_id", LogicalType("integer")),)
    graph = DependencyGraph(
        Schema({t.name: t for t in (Table("items", columns, foreign_keys=(fk,)), Table("orders", ()))})
    )
    shown = nbformat.v4.new_output("execute_result", graph._repr_mimebundle_(), execution_count=1)
    cell = nbformat.v4.new_code_cell("graph", outputs=[shown], execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), lab.server.folder / "from_a_stranger.ipynb")
    lab.open("from_a_stranger.ipynb", theme=theme)
    output = lab.output(0)
    image = output.get_by_alt_text("Dependency graph: 2 tables, 1 foreign key, no cycles")
    image.wait_for()
    assert image.evaluate("(shown) => shown.naturalWidth") > 100
    lab.screenshot(f"{theme}-not-trusted", output)
    assert output.locator("svg.dt-g").count() == 0
    assert not output.locator(".dt-d").is_visible()
    assert "orders" not in output.inner_text()  # the words of the drawing are not shown beside it


def test_the_steps_of_a_transfer_are_shown_as_html(lab: Lab) -> None:
    places = show(lab, "selection", "plan", "receipt")
    for name in ("selection", "plan", "receipt"):
        (output,) = lab.outputs(places[name])
        assert "text/html" in output["data"], name
        assert "datasets" in lab.output(places[name]).inner_text(), name


@pytest.mark.parametrize("theme", THEMES)
def test_everybody_can_read_what_is_shown(lab: Lab, theme: str) -> None:
    places = show(lab, theme=theme)
    lab.output(places["graph"]).locator(GRAPH).first.wait_for()
    found = {name: axe(lab.page, f"{_cell(places[name])} .jp-OutputArea-output") for name in LOOKS}
    assert {name: said for name, said in found.items() if said} == {}


def test_nothing_is_wider_than_its_cell(lab: Lab) -> None:
    places = show(lab)
    wide = {name: lab.output(at).evaluate(WIDER) for name, at in places.items()}
    assert {name: parts for name, parts in wide.items() if parts} == {}
