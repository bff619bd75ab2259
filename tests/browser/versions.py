"""The browser tests on the lowest or the newest versions that pyproject.toml allows.

``python -m tests.browser.versions lowest|newest [pytest options …]`` makes a fresh environment with these versions of
JupyterLab, ipykernel and ipywidgets, says which they are, and runs the tests in it. Everything else is the newest.
``--keep DIR`` makes it there, leaves it there, and takes the one that is there.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHOSEN = ("jupyterlab", "ipykernel", "ipywidgets")


def lowest() -> list[str]:
    """Return the lower bounds of what is chosen here, as exact versions."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    listed = [*project["dependencies"], *project["optional-dependencies"]["lab"]]
    bounds = dict(re.fullmatch(r"([\w.\[\],-]+)>=([\d.]+)", spec).groups() for spec in listed)
    return [f"{name}=={bounds[name]}" for name in CHOSEN]


def run(word: str, options: list[str], folder: Path) -> int:
    """Make the environment in a folder, run the tests in it, and return their exit code."""
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(lowest() if word == "lowest" else []), encoding="utf-8")
    if not (folder / "venv").exists():
        venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / ("Scripts" if os.name == "nt" else "bin") / "python")
    # ours alone: what a caller's PYTHONPATH adds would be found first
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    install = [python, "-m", "pip", "install", "--quiet", "--upgrade", "-c", str(constraints), ".[browser]"]
    subprocess.run(install, cwd=ROOT, env=environment, check=True)
    tell = f"import importlib.metadata as m; print(*(f'{{n}} {{m.version(n)}}' for n in {CHOSEN}), sep=', ')"
    subprocess.run([python, "-c", tell], cwd=folder, env=environment, check=True)
    tests = [python, "-m", "pytest", "-p", "no:cacheprovider", "-m", "browser", "tests/browser", *options]
    return subprocess.run(tests, cwd=ROOT, env=environment, check=False).returncode


def main() -> int:
    """Run what was asked for; the exit code is that of pytest."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.versions", description=__doc__.splitlines()[0])
    parser.add_argument("word", choices=("lowest", "newest"))
    parser.add_argument("--keep", type=Path, metavar="DIR", help="a folder for the environment, that stays")
    chosen, options = parser.parse_known_args()
    if chosen.keep is not None:
        chosen.keep.mkdir(parents=True, exist_ok=True)
        return run(chosen.word, options, chosen.keep.absolute())
    with tempfile.TemporaryDirectory(prefix="datatransfer-versions-") as folder:
        return run(chosen.word, options, Path(folder))


if __name__ == "__main__":
    sys.exit(main())
