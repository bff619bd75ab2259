"""Tests with a short version in the normal run and a full one in ``python -m tests.campaign tests``."""

from __future__ import annotations

import os

STRIDE = int(os.environ.get("DATATRANSFER_STRIDE", "0"))
FULL = STRIDE == 1
"""Whether this is the campaign, in which every call of a server fails in its turn."""


def rounds(normal: int, full: int) -> int:
    """Return how often to do something."""
    return full if FULL else normal


def stride(dialect: str) -> int:
    """Return every which call fails: all of SQLite's; of a server's, which are slow, each seventh, once or for ever."""
    return STRIDE or (1 if dialect == "sqlite" else 14)


def first(dialect: str, for_ever: bool) -> int:
    """Return the first call that fails."""
    return 1 + (stride(dialect) // 2 if for_ever else 0)
