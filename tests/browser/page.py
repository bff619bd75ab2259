"""A page object: what a person does in JupyterLab with one notebook, in words.

Cells are run through JupyterLab's own commands, and what they gave is read from its own model of the notebook, so that
nothing depends on how a release of it names its classes, except where a test looks at what is drawn.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import nbformat

from tests.browser.server import Server

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Locator, Page, Request, Route, WebSocket

SECONDS = 60.0
THEMES = {"light": "JupyterLab Light", "dark": "JupyterLab Dark"}
LOCAL_SCHEMES = ("data", "blob", "about")
_names = itertools.count(1)

PANEL = """window.ran = {};
window.panel = () => [...(window.jupyterapp?.shell.widgets("main") ?? [])]
  .find((widget) => widget.content?.activeCell && widget.sessionContext);"""
# a condition that is waited for must not be a promise: Playwright takes the promise itself for true
READY = """() => {
  const panel = window.panel();
  return Boolean(panel?.context.isReady && panel.sessionContext.isReady && panel.isRevealed &&
    panel.sessionContext.session?.kernel?.status === "idle");
}"""
RUN = """(index) => {
  const panel = window.panel();
  window.jupyterapp.shell.activateById(panel.id);
  panel.content.deselectAll();
  panel.content.activeCellIndex = index;
  window.ran[index] = null;
  window.jupyterapp.commands.execute("notebook:run-cell").then(
    (fine) => { window.ran[index] = fine ? "done" : "failed"; },
    (error) => { window.ran[index] = `refused: ${error}`; });
}"""
CELLS = "() => window.panel().content.widgets.map((cell) => cell.model.type)"
OUTPUTS = "(index) => window.panel().content.widgets[index].model.outputs.toJSON()"
KERNEL = "async (verb) => await window.panel().sessionContext.session.kernel[verb]()"
OPEN = """(name) => {
  window.ran = {};
  window.jupyterapp.commands.execute("docmanager:open", {path: name, factory: "Notebook"});
}"""
HIDE = """async () => {
  await window.jupyterapp.commands.execute("filebrowser:hide-main");
  for (const widget of [...window.jupyterapp.shell.widgets("main")]) if (widget !== window.panel()) widget.close();
}"""
CLOSE = """async () => {
  const panel = window.panel();
  if (!panel) return;
  await panel.sessionContext.shutdown();
  panel.dispose();
}"""
HAS_COMMAND = "(name) => Boolean(window.jupyterapp?.commands.hasCommand(name))"
THEME = """async (name) => await window.jupyterapp.commands.execute("apputils:change-theme", {theme: name})"""
THEME_IS = "(name) => document.body.dataset.jpThemeName === name"


class CellError(AssertionError):
    """A cell raised, or did not end in time."""


class Lab:
    """One browser page on JupyterLab, with one notebook at a time.

    Parameters
    ----------
    context : BrowserContext
        Of its own: nothing is remembered from other pages.
    server : Server
    pictures : Path
        Where screenshots go.

    Attributes
    ----------
    foreign : list of str
        Requests that were made to other hosts; they were not let through.
    errors : list of str
        Errors on the browser's console, and exceptions that nobody caught.
    """

    def __init__(self, context: BrowserContext, server: Server, pictures: Path) -> None:
        self.server = server
        self.pictures = pictures
        self.foreign: list[str] = []
        self.errors: list[str] = []
        self._loaded = False
        context.route("**/*", self._route)
        context.on("request", self._requested)
        context.add_init_script(PANEL)
        self.page: Page = context.new_page()
        self.page.set_default_timeout(SECONDS * 1000)
        self.page.on("websocket", self._connected)
        self.page.on("console", self._spoke)
        self.page.on("pageerror", lambda error: self.errors.append(f"uncaught: {error}"))

    # --- what goes over the network, and what the browser complains of ---------------------------------------------

    def _is_own(self, url: str) -> bool:
        parts, own = urlsplit(url), urlsplit(self.server.url)
        return parts.scheme in LOCAL_SCHEMES or (parts.hostname, parts.port) == (own.hostname, own.port)

    def _route(self, route: Route) -> None:
        if self._is_own(route.request.url):
            route.continue_()
        else:
            route.abort()

    def _requested(self, request: Request) -> None:
        if not self._is_own(request.url):
            self.foreign.append(request.url)

    def _connected(self, socket: WebSocket) -> None:
        if not self._is_own(socket.url):
            self.foreign.append(socket.url)

    def _spoke(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.errors.append(f"{message.text} ({message.location.get('url', '')})")

    # --- notebooks ---------------------------------------------------------------------------------------------------

    def notebook(self, cells: Sequence[str], *, theme: str = "light") -> None:
        """Write a notebook with these cells of code, open it, and wait for its kernel."""
        made = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        name = f"notebook_{next(_names)}.ipynb"
        nbformat.write(made, self.server.folder / name)
        self.open(name, theme=theme)

    def open(self, name: str, *, theme: str = "light") -> None:
        """Open a notebook of the server's folder, alone, and wait for its kernel."""
        if not self._loaded:
            self.load()
        self.page.evaluate(OPEN, name)
        self.page.wait_for_function(READY)
        self.page.evaluate(HIDE)
        self.theme(theme)

    def load(self) -> None:
        """Load JupyterLab, with nothing open."""
        self.page.goto(self.server.address(f"lab/workspaces/page_{next(_names)}"))
        for command in ("docmanager:open", "notebook:run-cell", "apputils:change-theme"):  # some are registered late
            self.page.wait_for_function(HAS_COMMAND, arg=command)
        self._loaded = True

    def close(self) -> None:
        """Close what is open and shut its kernel down, and forget what was complained of."""
        if self._loaded:
            self.page.evaluate(CLOSE)
        self.foreign.clear()
        self.errors.clear()

    def start(self, index: int) -> None:
        """Begin to run a cell, and do not wait for its end."""
        self.page.evaluate(RUN, index)

    def wait(self, index: int, *, seconds: float = SECONDS) -> None:
        """Wait until a cell that was started has ended.

        Raises
        ------
        CellError
            It raised, or takes longer.
        """
        from playwright.sync_api import TimeoutError as TooLate

        try:
            self.page.wait_for_function("(index) => window.ran[index]", arg=index, timeout=seconds * 1000)
        except TooLate:
            raise CellError(f"cell {index} has not ended after {seconds:g} s: {self.text(index)}") from None
        ended = self.page.evaluate("(index) => window.ran[index]", index)
        if ended != "done":
            raise CellError(f"cell {index} {ended}:\n{self.text(index)}")

    def run(self, *indices: int, seconds: float = SECONDS) -> None:
        """Run cells one after the other; all of them if none is named."""
        kinds = self.page.evaluate(CELLS)
        for index in indices or [at for at, kind in enumerate(kinds) if kind == "code"]:
            self.start(index)
            self.wait(index, seconds=seconds)

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """Return the outputs of a cell as the notebook would be stored."""
        return list(self.page.evaluate(OUTPUTS, index))

    def text(self, index: int) -> str:
        """Return the outputs of a cell as plain text, errors without colours."""
        parts = []
        for output in self.outputs(index):
            plain = output.get("data", {}).get("text/plain", "")
            parts += [output.get("text", ""), plain, *output.get("traceback", [])]
        lines = ["".join(part) if isinstance(part, list) else part for part in parts]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(line for line in lines if line)).strip()

    def output(self, index: int) -> Locator:
        """Return what is drawn below a cell."""
        return self.page.locator(".jp-Notebook > .jp-WindowedPanel-outer .jp-Cell, .jp-Notebook > .jp-Cell").nth(
            index
        ).locator(".jp-Cell-outputArea")  # fmt: skip

    def widget(self, label: str, *, exact: bool = True) -> Locator:
        """Return the control that a person finds by this label."""
        return self.page.locator(".jp-Notebook").get_by_label(label, exact=exact)

    def button(self, name: str, *, exact: bool = True) -> Locator:
        """Return the button of the notebook's outputs that has this name."""
        return self.page.locator(".jp-Notebook .jp-OutputArea").get_by_role("button", name=name, exact=exact)

    # --- the kernel and the looks ----------------------------------------------------------------------------------

    def restart_kernel(self) -> None:
        """Restart the kernel, as after a crash: what it knew is gone, the outputs stay."""
        self.page.evaluate(KERNEL, "restart")
        self.page.wait_for_function(READY)

    def interrupt_kernel(self) -> None:
        """Interrupt what the kernel is doing."""
        self.page.evaluate(KERNEL, "interrupt")

    def theme(self, word: str) -> None:
        """Change between ``"light"`` and ``"dark"``."""
        self.page.evaluate(THEME, THEMES[word])
        self.page.wait_for_function(THEME_IS, arg=THEMES[word])

    def screenshot(self, name: str, of: Locator | None = None) -> Path:
        """Take a picture of a part of the page, or of all that is visible, and return its path."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        path = self.pictures / f"{name}.png"
        (of or self.page).screenshot(path=path, animations="disabled")
        return path
