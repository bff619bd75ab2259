"""``datatransfer lab`` from the command to a tutorial that has run, as somebody does it on the first day."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.browser.conftest import lab_page
from tests.browser.page import READY
from tests.browser.server import ROOT, jupyterlab

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NOTEBOOKS = sorted(path.name for path in (ROOT / "notebooks").glob("*.ipynb"))

STORED, PICTURES = "06_undo_an_import.ipynb", ".jp-OutputArea-output .dt-d > svg"


def test_the_command_copies_the_notebooks_and_opens_the_first_which_runs(browser: Browser, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "datatransfer.cli", "lab", "--folder", str(tmp_path / "work"), "--"]
    with jupyterlab(tmp_path, command) as server, lab_page(browser, server, tmp_path) as lab:
        lab.page.goto(server.address(""))
        lab.page.wait_for_function(READY)
        assert lab.page.evaluate("() => window.panel().context.path") == NOTEBOOKS[0]
        assert sorted(path.name for path in server.folder.iterdir() if path.is_file()) == NOTEBOOKS
        lab.run()
        assert (lab.foreign, lab.errors) == ([], [])
        lab.close()
        lab.open(STORED)  # signed: of what was not, JupyterLab shows an image only
        lab.page.locator(PICTURES).first.wait_for()
        assert (lab.foreign, lab.errors) == ([], [])
