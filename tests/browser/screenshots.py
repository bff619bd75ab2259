"""Pictures of all that people see, in both themes: ``python -m tests.browser.screenshots FOLDER [NAME …]``.

Makes ``FOLDER/light-package.png``, ``FOLDER/dark-package.png`` and so on, one for each of the looks in `scenes`, each
step of both forms (``forms``), and what may go wrong in them (``troubles``, which needs a PostgreSQL). They are for
eyes, not for comparison.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.browser.chromium import chromium, missing
from tests.browser.conftest import lab_page
from tests.browser.forms import FormPage
from tests.browser.page import THEMES, Lab
from tests.browser.scenes import LOOKS, show, show_forms
from tests.browser.server import ROOT, jupyterlab
from tests.browser.troubles import Troubles
from tests.support.servers import Databases, postgresql_server

FORMS, TROUBLES = "forms", "troubles"
ALL = [*LOOKS, FORMS, TROUBLES]
TALL = {"width": 1280, "height": 2000}  # a form that is higher than the window is cut off in its picture
README = ROOT / ".github" / "pictures"


def take(folder: Path, names: list[str]) -> list[Path]:
    """Take the pictures and return their paths."""
    taken = []
    looks = [name for name in names if name in LOOKS]
    with tempfile.TemporaryDirectory(prefix="datatransfer-pictures-") as private, chromium() as browser:
        with jupyterlab(Path(private)) as server, lab_page(browser, server, folder) as lab:
            lab.page.set_viewport_size(TALL)
            # run anew for each: what is an image already does not change its colours
            for theme in THEMES:
                if looks:
                    places = show(lab, *looks, theme=theme)
                    taken += [lab.screenshot(f"{theme}-{name}", lab.output(places[name])) for name in looks]
                    lab.close()
                if FORMS in names:
                    taken += _take_all(show_forms(lab, theme=theme), lab, theme)
                    lab.close()
                if TROUBLES in names:
                    with _databases(Path(private) / theme) as databases:
                        ways = Troubles(lab, databases, databases.folder, theme)
                        taken += _take_all(ways.walk(), lab, theme)
    return taken


def _take_all(views: Iterator[tuple[str, FormPage]], lab: Lab, theme: str) -> Iterator[Path]:
    for name, form in views:
        lab.page.wait_for_timeout(400)
        yield lab.screenshot(f"{theme}-{name}", form.area)


@contextmanager
def _databases(folder: Path) -> Iterator[Databases]:
    folder.mkdir()
    with postgresql_server() as server:
        yield Databases(folder, lambda _dialect: server)


def take_for_readme(folder: Path) -> list[Path]:
    """Take the two pictures that README shows."""
    with tempfile.TemporaryDirectory(prefix="datatransfer-pictures-") as private, chromium() as browser:
        with jupyterlab(Path(private)) as server, lab_page(browser, server, folder) as lab:
            lab.page.set_viewport_size({"width": 1000, "height": 900})
            places = show(lab, "graph")
            picture = lab.output(places["graph"]).locator("svg, img").locator("visible=true").first
            picture.wait_for()
            lab.page.wait_for_timeout(1000)  # it is drawn after it is there
            taken = [lab.screenshot("graph", picture)]
            lab.close()
            for name, form in show_forms(lab):
                if name == "export-2":
                    lab.page.wait_for_timeout(400)
                    taken.append(lab.screenshot("form", form.area))
                    break
    return taken


def main() -> int:
    """Take the pictures that were asked for; exit with 1 where they cannot be taken."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", nargs="?")
    parser.add_argument("--readme", action="store_true", help="instead, the pictures that README shows")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(ALL)}; default: all of them")
    options = parser.parse_args()
    if unknown := set(options.names) - set(ALL):
        parser.error(f"there is no look {', '.join(sorted(unknown))}")
    if reason := missing():
        print(f"no pictures: {reason}", file=sys.stderr)
        return 1
    if options.readme:
        taken = take_for_readme(README)
    elif options.folder is not None:
        taken = take(options.folder, options.names or ALL)
    else:
        parser.error("name a folder")
    print(*taken, sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
