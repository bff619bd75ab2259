"""``datatransfer demo``: the whole story on two small databases, in a temporary folder, with what it did at each step.

1. A catalogue of datasets, made up: rows in SQLite, files in a folder.
2. Choose one of its datasets with everything that belongs to it.
3. Export that into a package, and look inside.
4. Import it into a second database, which has rows of its own under the same keys.
5. Prove that what arrived is what was sent: rows, files, and nothing else touched.
6. Import it again: nothing is written.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer.cli.looking import stored_bytes
from datatransfer.cli.output import Output, records
from datatransfer.display.plain import aligned, counted, size, visible
from datatransfer.errors import UsageError

if TYPE_CHECKING:
    from datatransfer.database.connection import Database
    from datatransfer.importing.receipts import Receipt
    from datatransfer.package.package import DataPackage

DATASET = 3
"""The dataset that travels."""


@dataclass
class Story:
    """What was done, told as it happens, and kept for ``--json``."""

    out: Output
    steps: list[dict[str, Any]] = field(default_factory=list)

    def begin(self, title: str, code: str) -> None:
        """Open a step: what it does, and the call that does it."""
        self.steps.append({"step": len(self.steps) + 1, "title": title, "code": code})
        self.out.say(f"\n{len(self.steps)}  {title}\n   >>> {code}")

    def tell(self, text: str, **facts: Any) -> None:
        """Say what came out of it, with the figures."""
        self.steps[-1].update(facts)
        self.out.say("\n".join(f"   {visible(line)}".rstrip() for line in text.splitlines()))


def demo(options: argparse.Namespace, out: Output) -> int:
    """Tell the story; exit with 1 if any proof fails."""
    started = time.perf_counter()
    story = Story(out)
    with _folder(options.keep) as folder:
        proofs = _journey(folder, story)
    seconds = time.perf_counter() - started
    proved = all(proofs.values())
    end = "Everything was proved" if proved else "NOT PROVED: " + ", ".join(k for k, v in proofs.items() if not v)
    kept = f"kept in {options.keep}" if options.keep else "the folder is gone again; --keep DIR keeps it"
    out.result(
        {"proved": proved, "proofs": proofs, "seconds": round(seconds, 2), "kept": options.keep, "steps": story.steps},
        f"\n{end}, in {seconds:.1f} s; {kept}.\nYour own database next: datatransfer tables sqlite:///yours.db",
    )
    return 0 if proved else 1


@contextmanager
def _folder(keep: str | None) -> Iterator[Path]:
    if keep is None:
        # a database that is still open cannot be deleted on Windows; it goes with the temporary files then
        with tempfile.TemporaryDirectory(prefix="datatransfer-demo-", ignore_cleanup_errors=True) as name:
            yield Path(name)
        return
    folder = Path(keep)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError("the folder is not empty", where=keep, hint="name a new one")
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
