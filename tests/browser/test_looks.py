"""What a package, its graph, a plan and a receipt look like in a cell, in both themes."""

from __future__ import annotations

import pytest

from tests.browser.axe import axe
from tests.browser.page import THEMES, Lab
from tests.browser.scenes import LOOKS, show

DRAWN = ("svg", "img[src^='data:image/svg']", "img[src^='blob:']")
GRAPH = ", ".join(f".jp-OutputArea-output {kind}" for kind in DRAWN)
WIDER = """(area) => [...area.querySelectorAll(".jp-RenderedHTMLCommon, svg")]
  .filter((part) => part.scrollWidth > area.clientWidth + 1).map((part) => part.outerHTML.slice(0, 200))"""


def _cell(index: int) -> str:
    return f'[data-windowed-list-index="{index}"]'


def test_a_package_tells_what_it_holds(lab: Lab) -> None:
    at = show(lab, "package")["package"]
    (output,) = lab.outputs(at)
    assert "text/html" in output["data"]
    drawn = lab.output(at).inner_text()
    for word in ("datasets", "users", "attachments"):
        assert word in drawn


def test_a_graph_is_drawn_from_its_bundle_without_html(lab: Lab) -> None:
    at = show(lab, "graph")["graph"]
    (output,) = lab.outputs(at)
    assert {"image/svg+xml", "text/vnd.mermaid", "text/plain"} <= set(output["data"])
    assert "text/html" not in output["data"]
    picture = lab.output(at).locator(GRAPH).first
    picture.wait_for()
    box = picture.bounding_box()
    assert box is not None
    assert box["width"] > 100
    assert box["height"] > 50


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
