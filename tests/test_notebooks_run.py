"""Every notebook runs from top to bottom in a kernel of its own, quickly, offline, and leaves nothing behind.

``pytest --nbval notebooks`` compares the stored outputs as well; this second run guards against what nbval cannot see:
cells that fail without an output, and notebooks that need a network or leave files.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SECONDS = 20
WIDEST = 88
"""Characters of a line of code that JupyterLab shows on a usual screen without scrolling."""
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts_of(output: Any) -> list[str]:
    parts = [output.get("text", ""), *output.get("data", {}).values(), *output.get("traceback", [])]
    return ["".join(part) if isinstance(part, list) else str(part) for part in parts]


def test_there_are_notebooks() -> None:
    assert len(NOTEBOOKS) >= 4
    assert NOTEBOOKS[0].name == "00_start_here.ipynb"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_alone_and_leaves_nothing(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMPDIR", "TEMP", "TMP"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parent))  # the kernel finds the library as the tests do
    for name, value in OFFLINE.items():
        monkeypatch.setenv(name, value)
    notebook = nbformat.read(path, as_version=4)
    before = sorted(FOLDER.rglob("*"))
    started = time.monotonic()
    client = NotebookClient(
        notebook, timeout=60, kernel_name="python3", record_timing=False, resources={"metadata": {"path": str(FOLDER)}}
    )
    client.execute()
    assert time.monotonic() - started < SECONDS
    left = [item for item in tmp_path.rglob("*") if item.is_file()]
    assert left == []
    assert sorted(FOLDER.rglob("*")) == before
    printed = [o for cell in code_cells(notebook) for o in cell.outputs if o.get("name") == "stderr"]
    assert printed == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_complete_and_stable(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    cells = code_cells(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    shown = [text for cell in cells for output in cell.outputs for text in texts_of(output)]
    assert shown
    for text in shown:
        assert not re.search(r"/(tmp|work|home|root)/|0x[0-9a-f]{8,}|\d%\|", text), text[:200]
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    # the widget itself is not stored: in its place JupyterLab would show that its model was not found, not the text
    kinds = {kind for cell in cells for output in cell.outputs for kind in output.get("data", {})}
    assert "application/vnd.jupyter.widget-view+json" not in kinds


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_explains_itself_and_ends_in_assertions(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    assert notebook.cells[0].cell_type == "markdown"
    assert notebook.cells[0].source.startswith("# ")
    prose = sum(cell.cell_type == "markdown" for cell in notebook.cells)
    assert prose >= len(code_cells(notebook)) / 2
    assert "assert " in "".join(cell.source for cell in code_cells(notebook)[-2:])


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_code_is_read_without_scrolling(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    lines = [line for cell in code_cells(notebook) for line in cell.source.splitlines()]
    assert [line for line in lines if len(line) > WIDEST] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_links_lead_to_notebooks_that_are_there(path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    links = [link for cell in notebook.cells for link in re.findall(r"\]\((\w+\.ipynb)\)", cell.source)]
    assert [link for link in links if not (FOLDER / link).is_file()] == []
    assert links or path == NOTEBOOKS[-1]
