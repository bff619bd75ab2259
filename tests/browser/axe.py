"""Accessibility, judged by axe-core; the copy that `axe-playwright-python` carries, so nothing is fetched."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

# JupyterLab's body has no height and cuts off what overflows it, and all that is drawn stands outside of it. Axe takes
# that for hidden, and would judge no colour at all.
SHOW = "() => { document.documentElement.style.height = document.body.style.height = '100%'; }"
GRAVE = ("serious", "critical")
RUN = """async ([selector, impacts]) => {
  if (!document.querySelector(selector)) throw new Error(`nothing matches ${selector}`);
  const result = await axe.run(selector, {resultTypes: ["violations"]});
  return result.violations.filter((found) => impacts.includes(found.impact)).flatMap((found) =>
    found.nodes.map((node) => `${found.id} (${found.impact}): ${node.failureSummary} ${node.html}`));
}"""


@cache
def _script() -> str:
    found = [path for path in _walk(files("axe_playwright_python")) if path.name == "axe.min.js"]
    return found[0].read_text(encoding="utf-8")


def _walk(folder: Traversable) -> Iterator[Traversable]:
    for path in folder.iterdir():
        yield from _walk(path) if path.is_dir() else [path]


def axe(page: Page, selector: str) -> list[str]:
    """Return the serious and critical findings below what a selector matches, one line of words each.

    Raises
    ------
    playwright.sync_api.Error
        Nothing matches: a judgement of nothing would be no judgement.
    """
    if not page.evaluate("() => Boolean(window.axe)"):
        page.evaluate(_script())
    page.evaluate(SHOW)
    return list(page.evaluate(RUN, [selector, list(GRAVE)]))
