"""One text that binds a plan to the rows of the target that it touches.

Definition: SHA-256 of the package's digest and, for every table in the order of the names, its name, the number of
entities by action, and the sorted hashes of the rows of the target that will be updated, as they are now. A row's hash
is that of the values of all its columns, by rule 1 and 2 of `datatransfer.package.digest`, keys included.

It tells whether two plans are the same. Whether the target still is what a plan was made from is decided inside the
merge by comparing row by row, not by this.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datatransfer.importing.actions import Action
from datatransfer.importing.recording import touched_rows
from datatransfer.package.values import as_blobs, hashes_of

if TYPE_CHECKING:
    from datatransfer.importing.plan import ImportPlan
    from datatransfer.importing.remap import TablePlan


@dataclass(frozen=True)
class Fingerprint:
    """What binds a plan.

    Parameters
    ----------
    whole : str
        64 hexadecimal digits, as defined above.
    tables : mapping of str to str
        The same of each of the target's tables alone, so that those which differ can be named.
    """

    whole: str
    tables: Mapping[str, str]

    def differing(self, other: Fingerprint) -> list[str]:
        """Return the tables that are others in another one."""
        names = sorted({*self.tables, *other.tables})
        return [name for name in names if self.tables.get(name) != other.tables.get(name)]


def fingerprint(plan: ImportPlan) -> Fingerprint:
    """Return the fingerprint of a plan."""
    whole, tables = hashlib.sha256(plan.package.metadata.manifest_sha256.encode()), {}
    for table in sorted(plan.plans.values(), key=lambda table: table.fit.target.name):
        counts = ",".join(f"{action}={table.counts[action]}" for action in Action if table.counts.get(action))
        part = f"\n{table.fit.target.name}\n{counts}\n".encode()
        if table.counts.get(Action.UPDATE):
            part += _touched(plan, table)
        whole.update(part)
        tables[table.fit.target.name] = hashlib.sha256(part).hexdigest()
    return Fingerprint(whole.hexdigest(), tables)


def _touched(plan: ImportPlan, table: TablePlan) -> bytes:
    """Return the sorted hashes of the rows that will be updated."""
    import numpy as np

    with plan.writer.reading():
        resolved, batches = touched_rows(plan, table)
        columns = [(c.name, c.type) for c in sorted(resolved.columns, key=lambda c: c.name)]
        hashes = [hashes_of(as_blobs(batch, columns)) for batch in batches]
    if not hashes:
        return b""
    found = np.ascontiguousarray(np.concatenate(hashes))
    words = found.view(">u8")
    return found[np.lexsort((words[:, 1], words[:, 0]))].tobytes()
