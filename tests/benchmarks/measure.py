"""Running things and comparing them: seconds, peak memory, medians, bars."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Measured:
    """The median of several runs.

    Parameters
    ----------
    seconds : float
    peak : int
        The most memory held by the process and all its children together, in bytes.
    told : dict
        What else the last run said.
    """

    seconds: float
    peak: int = 0
    told: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Line:
    """One comparison: ``value`` must not be above ``most``, or not be below ``least``; neither: for information."""

    name: str
    value: float
    unit: str = "x"
    most: float | None = None
    least: float | None = None
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether the bar holds."""
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    @property
    def bar(self) -> str:
        """The bar in words."""
        if self.most is not None:
            return f"<= {self.most:g}"
        return f">= {self.least:g}" if self.least is not None else ""


class _Peak(threading.Thread):
    """Samples the memory of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.done = psutil.Process(pid), 0, threading.Event()

    def run(self) -> None:
        while not self.done.wait(0.02):
            self.peak = max(self.peak, self._now())

    def _now(self) -> int:
        total = 0
        try:
            tree = [self.process, *self.process.children(recursive=True)]
        except psutil.Error:
            return 0
        for process in tree:
            try:
                total += process.memory_info().rss
            except psutil.Error:  # it ended meanwhile
                continue
        return total


def _child(verb: str, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.benchmarks.child", verb, *arguments]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        watch = _Peak(process.pid)
        watch.start()
        output, _ = process.communicate()
        watch.done.set()
        watch.join()
    if process.returncode:
        raise RuntimeError(f"{verb} failed with exit code {process.returncode}")
    told = json.loads(output.strip().splitlines()[-1])
    told["peak"] = max(told["peak"], watch.peak)
    return told


def measure(verb: str, *arguments: str, runs: int = 3, before: Callable[[], Any] | None = None) -> Measured:
    """Run a verb of `tests.benchmarks.child` several times; ``before`` runs before each, unmeasured."""
    found = []
    for _ in range(runs):
        if before is not None:
            before()
        found.append(_child(verb, *arguments))
    seconds = statistics.median(told["seconds"] for told in found)
    return Measured(seconds, max(told["peak"] for told in found), found[-1])


def run_tool(
    command: Sequence[str | Path], *, runs: int = 3, before: Callable[[], Any] | None = None,
    stdin: Path | None = None, stdout: Path | None = None,
) -> Measured:  # fmt: skip
    """Run another tool several times, its streams from and to files."""
    found = []
    for _ in range(runs):
        if before is not None:
            before()
        start = time.perf_counter()
        _run(command, stdin, stdout)
        found.append(time.perf_counter() - start)
    return Measured(statistics.median(found))


def _run(command: Sequence[str | Path], stdin: Path | None, stdout: Path | None) -> None:
    opened: list[IO[bytes]] = []
    try:
        source = stdin.open("rb") if stdin else None
        target = stdout.open("wb") if stdout else None
        opened += [stream for stream in (source, target) if stream]
        subprocess.run([str(part) for part in command], check=True, stdin=source or subprocess.DEVNULL,
                       stdout=target or subprocess.DEVNULL)  # fmt: skip
    finally:
        for stream in opened:
            stream.close()


def show(lines: Sequence[Line], as_json: bool) -> int:
    """Print the comparisons, and return the exit code: 1 if a bar does not hold."""
    if as_json:
        print(json.dumps([{**asdict(line), "passed": line.passed} for line in lines], indent=2))
    else:
        width = max((len(line.name) for line in lines), default=0)
        for line in lines:
            verdict = "" if not line.bar else ("pass" if line.passed else "FAIL")
            text = f"{line.name:<{width}}  {line.value:9.2f} {line.unit:<3} {line.bar:<8} {verdict:<5} {line.note}"
            print(text.rstrip())
    return 0 if all(line.passed for line in lines) else 1
