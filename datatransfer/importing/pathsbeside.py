"""Paths of files laid beside a target, to ask which of them its rows name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer
    from datatransfer.schema.tables import Table


class PathsBeside:
    """Paths in a table of the stage.

    Parameters
    ----------
    writer : Writer
    paths : sequence of str
        Known by their place in it from here on.
    """

    def __init__(self, writer: Writer, paths: Sequence[str]) -> None:
        import pyarrow as pa

        self._writer = writer
        self._any = bool(paths)
        if not paths:
            return
        batch = pa.RecordBatch.from_pydict({"r": pa.array(range(len(paths)), pa.int64()), "p": pa.array(paths)})
        writer.create("w", 0, [("r", "BIGINT"), ("p", writer.text_type)])
        writer.load("w", 0, batch.schema, [batch])

    def held_in(self, table: Table, column: str) -> set[int]:
        """Return the paths that a column of a table holds."""
        if not self._any:
            return set()
        w = self._writer
        value = w.held("l.p", table.by_name[column])
        sql = (
            f"SELECT l.r FROM {w.stage_name('w', 0)} l "
            f"WHERE EXISTS (SELECT 1 FROM {w.table(table)} t WHERE t.{w.quote(column)} = {value})"
        )
        return set(w.run(sql).scalars())
