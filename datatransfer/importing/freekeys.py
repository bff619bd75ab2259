"""Keys for new rows where no one offset makes room: each that clashes gets the next free one, in sets.

What is used is put in order; between two used keys, and above the highest, lies a gap. The rows to place are numbered,
and so are the places; row and place of the same number belong together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datatransfer.errors import SchemaMismatchError

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer


def place(writer: Writer, number: int, *, rows: str, used: str, top: int, limit: int, where: str) -> str:
    """Lay out a free key for each row.

    Parameters
    ----------
    writer : Writer
    number : int
        Of the table; its gaps and places become the staging tables ``g<number>`` and ``f<number>``.
    rows, used : str
        SELECTs of the rows ``r`` to place, and of the keys ``k`` that are taken.
    top, limit : int
        Gaps above the one are taken first; no key may be above the other.
    where : str
        Table and column, for the error.

    Returns
    -------
    str
        SQL for ``r`` and its key ``k``.

    Raises
    ------
    SchemaMismatchError
        There are fewer free keys than rows.
    """
    need = int(writer.scalar(f"SELECT count(*) FROM ({rows}) n"))
    gaps = writer.create_as("g", number, _gaps(used, need, top, limit))
    if int(writer.scalar(f"SELECT coalesce(sum(g.size), 0) FROM {gaps} g")) < need:
        raise SchemaMismatchError(
            f"the target has no free keys for {need} new rows", where=where, hint="widen the key column in the target"
        )
    numbered = f"SELECT n.r AS r, row_number() OVER (ORDER BY n.r) - 1 AS pos FROM ({rows}) n"
    # A gap stands in line before the rows that it takes in; each row then knows the last gap before it.
    line = (
        f"SELECT NULL AS r, g.first AS pos, 0 AS is_row, g.first AS first FROM {gaps} g "
        f"UNION ALL SELECT d.r, d.pos, 1, NULL FROM ({numbered}) d"
    )
    known = f"SELECT l.r, l.pos, l.is_row, max(l.first) OVER (ORDER BY l.pos, l.is_row) AS first FROM ({line}) l"
    placed = writer.create_as(
        "f", number,
        f"SELECT y.r AS r, g.k + 1 + y.pos - y.first AS k FROM ({known}) y JOIN {gaps} g ON g.first = y.first "
        "WHERE y.is_row = 1",
    )  # fmt: skip
    return f"SELECT r, k FROM {placed}"


def _gaps(used: str, need: int, top: int, limit: int) -> str:
    """Return SQL for the key ``k`` below each gap, its size, and how many places the gaps before it have."""
    keys = f"SELECT u.k AS k FROM ({used}) u WHERE u.k > 0 AND u.k <= {limit} UNION SELECT 0"
    wide = f"SELECT k, coalesce(lead(k) OVER (ORDER BY k) - 1, {limit}) - k AS size FROM ({keys}) a"
    # No gap counts for more than is needed, so that sums stay small.
    cut = f"SELECT k, CASE WHEN size > {need} THEN {need} ELSE size END AS size FROM ({wide}) b WHERE size > 0"
    order = f"ORDER BY CASE WHEN k >= {top} THEN 0 ELSE 1 END, k"
    before = f"sum(size) OVER ({order} ROWS UNBOUNDED PRECEDING) - size"
    return f"SELECT k, size, first FROM (SELECT k, size, {before} AS first FROM ({cut}) c) e WHERE first < {need}"
