"""The ground that the browser tests stand on does what it says, and its guards notice."""

from __future__ import annotations

import sys

import pytest

from tests.browser.axe import axe
from tests.browser.page import CellError, Lab

WIDGETS = """
import ipywidgets as w
name, told = w.Text(description="Your name"), w.Label()
go = w.Button(description="Greet")
go.on_click(lambda _: setattr(told, "value", f"Good day, {name.value}!"))
w.VBox([name, go, told])
"""
FETCH = 'from IPython.display import HTML; HTML(\'<img alt="" src="http://datatransfer.invalid/pixel.png">\')'


def test_cells_run_in_the_python_of_the_tests(lab: Lab) -> None:
    lab.notebook(["import sys; print(sys.executable)", "1 + 1"])
    lab.run()
    assert lab.text(0) == sys.executable
    assert lab.text(1) == "2"


def test_a_cell_that_raises_is_a_failure_and_says_what_it_said(lab: Lab) -> None:
    lab.notebook(["1 / 0"])
    with pytest.raises(CellError, match="ZeroDivisionError"):
        lab.run(0)


def test_a_cell_that_does_not_end_is_a_failure_and_can_be_interrupted(lab: Lab) -> None:
    lab.notebook(["import time; time.sleep(60)", "2 + 2"])
    lab.start(0)
    with pytest.raises(CellError, match=r"has not ended after 0.5 s"):
        lab.wait(0, seconds=0.5)
    lab.interrupt_kernel()
    with pytest.raises(CellError, match="KeyboardInterrupt"):
        lab.wait(0)
    lab.run(1)
    assert lab.text(1) == "4"


def test_a_restarted_kernel_knows_nothing_any_more(lab: Lab) -> None:
    lab.notebook(["known = 1", "'known' in globals()"])
    lab.run()
    assert lab.text(1) == "True"
    lab.restart_kernel()
    lab.run(1)
    assert lab.text(1) == "False"


def test_controls_are_found_by_their_labels_and_answer(lab: Lab) -> None:
    lab.notebook([WIDGETS])
    lab.run()
    lab.widget("Your name").fill("Ann")
    lab.button("Greet").click()
    lab.output(0).get_by_text("Good day, Ann!").wait_for()


def test_a_request_to_another_host_is_stopped_and_told(lab: Lab) -> None:
    lab.notebook([FETCH])
    lab.run()
    lab.page.wait_for_function("document.querySelector('.jp-OutputArea img').complete")
    assert set(lab.foreign) == {"http://datatransfer.invalid/pixel.png"}
    assert any("datatransfer.invalid" in error for error in lab.errors)
    lab.foreign.clear()
    lab.errors.clear()


def test_what_the_browser_complains_of_is_collected(lab: Lab) -> None:
    lab.notebook(["1"])
    lab.page.evaluate("() => { console.error('a complaint'); setTimeout(() => { throw new Error('thrown'); }, 0); }")
    lab.page.wait_for_timeout(200)
    assert any("a complaint" in error for error in lab.errors)
    assert any("thrown" in error for error in lab.errors)
    lab.errors.clear()


def test_both_themes_can_be_worn_and_pictures_taken(lab: Lab) -> None:
    lab.notebook(["print('shown')"])
    lab.run()
    colour = "() => getComputedStyle(document.querySelector('.jp-Notebook')).backgroundColor"
    light = lab.page.evaluate(colour)
    picture = lab.screenshot("light", lab.output(0)).read_bytes()
    lab.theme("dark")
    assert lab.page.evaluate(colour) != light
    assert lab.screenshot("dark", lab.output(0)).read_bytes() != picture


def test_axe_finds_text_that_nobody_can_read_and_controls_without_a_label(lab: Lab) -> None:
    bad = "<p style='color:#ddd;background:#fff'>faint</p><input>"
    lab.notebook([f"from IPython.display import HTML; HTML({bad!r})", "HTML('<p>plain</p>')"])
    lab.run()
    found = " ".join(axe(lab.page, ".jp-Cell:nth-child(1) .jp-OutputArea-output"))
    assert "color-contrast (serious)" in found
    assert "label (critical)" in found
    assert axe(lab.page, ".jp-Cell:nth-child(2) .jp-OutputArea-output") == []
    with pytest.raises(Exception, match="nothing matches"):
        axe(lab.page, "#nowhere")
