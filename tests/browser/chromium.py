"""Where the browser is, and why there is none.

Nothing here imports Playwright or JupyterLab before it is known that they are installed, so that the other tests run
without them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
NEEDED = ("playwright", "jupyterlab", "axe_playwright_python")


def executable() -> str | None:
    """Return the browser that ``DATATRANSFER_TEST_CHROMIUM`` names, else the first one on the path."""
    given = os.environ.get("DATATRANSFER_TEST_CHROMIUM")
    return shutil.which(given) if given else next(filter(None, map(shutil.which, NAMES)), None)


def missing() -> str:
    """Return an empty string if the browser tests can run here, else what is missing and how to get it."""
    absent = [name for name in NEEDED if find_spec(name) is None]
    if absent:
        return f"{', '.join(absent)} not installed: python -m pip install '.[browser]'"
    if executable() is None:
        return f"none of {', '.join(NAMES)} found: apt-get install chromium, or DATATRANSFER_TEST_CHROMIUM=PATH"
    return ""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yield the running browser."""
    from playwright.sync_api import sync_playwright

    as_root = hasattr(os, "geteuid") and os.geteuid() == 0
    arguments = ["--no-sandbox"] if as_root else []  # Chromium refuses a sandbox to root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=arguments)
        try:
            yield browser
        finally:
            browser.close()
