"""Fixtures: one browser and one JupyterLab for the whole run, a page of its own for each test.

Playwright and JupyterLab are imported only when a browser test runs: without them the other tests are not disturbed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.browser.chromium import chromium, missing
from tests.browser.server import Server, jupyterlab
from tests.support.servers import absent

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ViewportSize

    from tests.browser.page import Lab

HERE = Path(__file__).parent
SCREEN: ViewportSize = {"width": 1280, "height": 1000}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark everything here, so that no file can forget it."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return the running browser; skip, or fail where it is required, if something is missing."""
    if reason := missing():
        absent("browser", reason)
    with chromium() as started:
        yield started


@pytest.fixture(scope="session")
def jupyter(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Return the running JupyterLab."""
    with jupyterlab(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture(scope="session")
def page(browser: Browser, jupyter: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Return the page that the tests use one after the other; to load JupyterLab takes longer than most of them."""
    with lab_page(browser, jupyter, tmp_path_factory.mktemp("pictures")) as opened:
        yield opened


@pytest.fixture
def lab(page: Lab) -> Iterator[Lab]:
    """Return JupyterLab with nothing open; afterwards nothing may have gone out, and nothing been complained of.

    A test that means to bring the browser to complain empties ``lab.errors`` after it has looked at them.
    """
    page.errors.clear()
    page.foreign.clear()
    page.page.set_viewport_size(SCREEN)  # as the test before may have left it otherwise
    yield page
    foreign, errors = list(page.foreign), list(page.errors)
    page.close()
    assert foreign == [], "requests to other hosts"
    assert errors == [], "errors in the browser"


@contextlib.contextmanager
def lab_page(browser: Browser, jupyter: Server, pictures: Path) -> Iterator[Lab]:
    """Yield a page in a context of its own, at the size of a usual screen."""
    from tests.browser.page import Lab

    context = browser.new_context(viewport=SCREEN, locale="en-GB", timezone_id="UTC")
    try:
        page = Lab(context, jupyter, pictures)
        yield page
        page.close()
    finally:
        context.close()
