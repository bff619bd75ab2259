"""The names that members of a package have: made from ids and hashes, and nothing else is taken.

Real names of tables and files are in the manifest; a member's name is never used as a path outside the package.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

SLUG = re.compile(r"[a-z0-9][a-z0-9_-]{0,59}")
MEMBER = re.compile(
    r"metadata\.json|manifest\.json"
    r"|entities/[a-z0-9][a-z0-9_-]{0,59}_[1-9][0-9]{0,9}\.json"
    r"|entities/[a-z0-9][a-z0-9_-]{0,59}/part-[0-9]{5,9}\.parquet"
    r"|files/([0-9a-f]{2})/\1[0-9a-f]{62}"
)
_RESERVED = {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}


def slug(table: str, taken: Collection[str]) -> str:
    """Return a name for a table's members: safe everywhere, and not taken.

    Parameters
    ----------
    table : str
    taken : collection of str
        The slugs of the tables before it.

    Examples
    --------
    >>> slug("Sales.Order Items", ())
    'sales-order-items'
    >>> slug("ÄÖ", ("ao",))
    'ao-2'
    """
    plain = unicodedata.normalize("NFKD", table).encode("ascii", "ignore").decode("ascii").lower()
    base = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[:50].rstrip("-_") or "table"
    base = f"{base}-table" if base in _RESERVED else base
    found, number = base, 1
    while found in taken:
        number += 1
        found = f"{base}-{number}"
    return found


def document_member(slug: str, number: int) -> str:
    """Return the name of a table's n-th document, counted from 1."""
    return f"entities/{slug}_{number}.json"


def part_member(slug: str, number: int) -> str:
    """Return the name of a table's n-th Parquet part, counted from 0."""
    return f"entities/{slug}/part-{number:05d}.parquet"


def file_member(sha256: str) -> str:
    """Return the name of a file with this content."""
    return f"files/{sha256[:2]}/{sha256}"
