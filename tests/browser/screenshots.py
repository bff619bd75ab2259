"""Pictures of all that people see, in both themes: ``python -m tests.browser.screenshots FOLDER [NAME …]``.

Makes ``FOLDER/light-package.png``, ``FOLDER/dark-package.png`` and so on, one for each of the looks in `scenes`; they
are for eyes, not for comparison.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.browser.chromium import chromium, missing
from tests.browser.conftest import lab_page
from tests.browser.page import THEMES
from tests.browser.scenes import LOOKS, show
from tests.browser.server import jupyterlab


def take(folder: Path, names: list[str]) -> list[Path]:
    """Take the pictures and return their paths."""
    taken = []
    with tempfile.TemporaryDirectory(prefix="datatransfer-pictures-") as private, chromium() as browser:
        with jupyterlab(Path(private)) as server, lab_page(browser, server, folder) as lab:
            for (
                theme
            ) in THEMES:  # run anew: what is a picture already, as a graph's Mermaid, does not change its colours
                places = show(lab, *names, theme=theme)
                taken += [lab.screenshot(f"{theme}-{name}", lab.output(places[name])) for name in names]
                lab.close()
    return taken


def main() -> int:
    """Take the pictures that were asked for; exit with 1 where they cannot be taken."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.screenshots", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(LOOKS)}; default: all of them")
    options = parser.parse_args()
    if unknown := set(options.names) - set(LOOKS):
        parser.error(f"there is no look {', '.join(sorted(unknown))}")
    if reason := missing():
        print(f"no pictures: {reason}", file=sys.stderr)
        return 1
    for path in take(options.folder, options.names or list(LOOKS)):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
