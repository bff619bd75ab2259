"""``python -m tests.benchmarks [sqlite|postgresql|mariadb|tpch|memory|open|locks …] [--rows N] [--runs N] [--json]``.

Without a name every suite is run in turn.
The exit code is 1 if a bar does not hold. ``DATATRANSFER_BENCHMARKS`` names the folder for the made databases.
"""

from __future__ import annotations

import argparse
import sys

from tests.benchmarks import suites
from tests.benchmarks.locks import locks
from tests.benchmarks.measure import Line, show
from tests.benchmarks.tpch import tpch

SUITES = {
    "sqlite": suites.sqlite, "postgresql": suites.postgresql, "mariadb": suites.mariadb, "tpch": tpch,
    "memory": suites.memory, "open": suites.opening, "locks": locks,
}  # fmt: skip


def main() -> int:
    """Measure what was asked for and print it."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="*", help=f"of {', '.join(SUITES)}; all of them if none is named")
    parser.add_argument("--rows", type=int, help="rows of the made database; for tpch its scale is --scale")
    parser.add_argument("--scale", type=float, default=0.1, help="scale factor of TPC-H")
    parser.add_argument("--runs", type=int, help="runs of each measurement; their median counts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    if unknown := set(options.suite) - set(SUITES):
        parser.error(f"there is no suite {', '.join(sorted(unknown))}")
    given = {name: getattr(options, name) for name in ("rows", "runs") if getattr(options, name) is not None}
    lines: list[Line] = []
    for name in options.suite or SUITES:
        print(f"measuring {name} …", file=sys.stderr)
        lines += tpch(options.scale, given.get("runs", 1)) if name == "tpch" else SUITES[name](**given)
    return show(lines, options.json)


if __name__ == "__main__":
    sys.exit(main())
