"""The long versions of the normal run: ``python -m tests.campaign [hypothesis|tests|scale …] [--examples N]``.

hypothesis
    Thousands of made-up schemas and rows, on SQLite, PostgreSQL and MariaDB.
tests
    What is marked ``campaign``: too slow for the normal run, such as packages of 200,000 documents. And what is marked
    ``longer``, in full: more processes' rounds, more exports, every call of every database failing in its turn.
scale
    The benchmarks of memory and TPC-H at scale 1.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MADE_UP = ["tests/test_hypothesis_round_trip.py", "tests/test_undo_hypothesis.py"]
PYTEST = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider"]


def main() -> int:
    """Run what was asked for, one after the other; the exit code is that of the first failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="*", help="hypothesis, tests, scale; all of them if none is named")
    parser.add_argument("--examples", type=int, default=2000, help="made-up databases for each property")
    parser.add_argument("--seed", type=int, help="Hypothesis' seed, to repeat a run")
    options = parser.parse_args()
    seed = [f"--hypothesis-seed={options.seed}"] if options.seed is not None else []
    parts = {
        "hypothesis": [*PYTEST, *seed, "-m", "not benchmark", *MADE_UP],
        "tests": [*PYTEST, "-m", "campaign or longer", "tests"],
        "scale": [sys.executable, "-m", "tests.benchmarks", "memory", "tpch", "--scale", "1"],
    }
    unknown = set(options.part) - set(parts)
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}")
    environment = {"DATATRANSFER_STRIDE": "1", **os.environ, "DATATRANSFER_EXAMPLES": str(options.examples)}
    codes = [subprocess.run(parts[name], cwd=ROOT, env=environment, check=False).returncode
             for name in options.part or parts]  # fmt: skip
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
