"""Hashes of rows that refer to each other; rules 3 and 4 of `datatransfer.package.digest`."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Bytes = npt.NDArray[np.uint8]
    Places = npt.NDArray[np.int64]

_OPEN = b"c" * 17


def hash_component(tables: Sequence[tuple[Bytes, Places]]) -> Bytes:
    """Return the hashes of all rows of tables that refer to each other.

    Parameters
    ----------
    tables : sequence of (content, parents)
        ``content`` is what is hashed for each row, of one width in all tables: 16 bytes, then 17 a foreign key.
        ``parents`` are the numbers of the parent rows among all rows of all the tables, -1 where nothing is open.

    Returns
    -------
    ndarray, shape (rows, 16)
    """
    import numpy as np

    content = np.concatenate([content for content, _ in tables])
    parents = np.concatenate([parents for _, parents in tables])
    rows = _Component(content, parents)
    rows.settle([row for row, count in enumerate(rows.open_parents) if count == 0])
    if circle := rows.circle():
        rows.refine(circle)
        rows.settle_children(circle)
    return np.frombuffer(b"".join(rows.hashes), np.uint8).reshape(-1, 16)


class _Component:
    """Rows by number, what is hashed for each, and who refers to whom."""

    def __init__(self, content: Bytes, parents: Places) -> None:
        import numpy as np

        self.width = content.shape[1]
        self.content = bytearray(np.ascontiguousarray(content).tobytes())
        self.parents = parents
        self.hashes: list[bytes] = [b""] * len(content)
        self.open_parents: list[int] = (parents >= 0).sum(axis=1).tolist()
        child, place = np.nonzero(parents >= 0)
        order = np.argsort(parents[child, place], kind="stable")
        # the children of row n are those from borders[n] to borders[n + 1], with where in their content n stands
        self.children: list[int] = child[order].tolist()
        self.slots: list[int] = (child[order] * self.width + 16 + 17 * place[order]).tolist()
        found = parents[child, place][order]
        self.borders: list[int] = np.searchsorted(found, np.arange(len(content) + 1)).tolist()

    def hash(self, row: int) -> bytes:
        """Return the hash of what stands for a row now."""
        return hashlib.blake2b(
            memoryview(self.content)[row * self.width : (row + 1) * self.width], digest_size=16
        ).digest()

    def settle(self, ready: list[int]) -> None:
        """Hash rows without open parents, and then their children, as far as that goes."""
        while ready:
            row = ready.pop()
            self.hashes[row] = self.hash(row)
            ready += self.tell_children(row)

    def settle_children(self, done: Sequence[int]) -> None:
        """Hash what was only waiting for rows that are done."""
        ready: list[int] = []
        for row in done:
            ready += [child for child in self.tell_children(row) if not self.hashes[child]]
        self.settle(ready)

    def tell_children(self, row: int) -> list[int]:
        """Write a row's hash into its children; return those that wait for nothing more."""
        ready = []
        for at in range(self.borders[row], self.borders[row + 1]):
            slot, child = self.slots[at], self.children[at]
            self.content[slot : slot + 17] = b"p" + self.hashes[row]
            self.open_parents[child] -= 1
            if self.open_parents[child] == 0:
                ready.append(child)
        return ready

    def circle(self) -> list[int]:
        """Return the open rows that lie on a circle, or between two."""
        waiting = {row for row, found in enumerate(self.hashes) if not found}
        open_children = dict.fromkeys(waiting, 0)
        for row in waiting:
            for parent in self.parents[row].tolist():
                if parent in open_children:
                    open_children[parent] += 1
        leaves = [row for row, count in open_children.items() if count == 0]
        while leaves:
            row = leaves.pop()
            waiting.discard(row)
            for parent in self.parents[row].tolist():
                if parent in waiting:
                    open_children[parent] -= 1
                    if open_children[parent] == 0:
                        leaves.append(parent)
        return sorted(waiting)

    def refine(self, circle: Sequence[int]) -> None:
        """Hash rows on circles by rounds."""
        inside = set(circle)
        slots = {
            row: [at for at in range(self.borders[row], self.borders[row + 1]) if self.children[at] in inside]
            for row in circle
        }
        for row in circle:
            for at in slots[row]:
                self.content[self.slots[at] : self.slots[at] + 17] = _OPEN
        different = 0
        while True:
            for row in circle:
                self.hashes[row] = self.hash(row)
            now = len({self.hashes[row] for row in circle})
            if now == different:
                return
            different = now
            for row in circle:
                for at in slots[row]:
                    self.content[self.slots[at] : self.slots[at] + 17] = b"p" + self.hashes[row]
