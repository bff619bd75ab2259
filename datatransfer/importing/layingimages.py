"""Pieces of the ledger's images as staging tables beside the target, their values as the target takes them.

Knows no states and no changes: what the pieces are of, and how they are joined, is known to who lays them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from datatransfer.importing.validation import ColumnFit
from datatransfer.package.convert import converter
from datatransfer.schema.tables import Column, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.writers import Writer

_BATCH_ROWS = 65_536


def fits_of(writer: Writer, columns: Sequence[Column], types: Sequence[LogicalType]) -> list[ColumnFit]:
    """Return how values of these types are staged for these columns."""
    return [
        ColumnFit(replace(column, type=kind), column, writer.target_kind(kind, column) or kind)
        for column, kind in zip(columns, types, strict=False)
    ]


@dataclass(frozen=True)
class StagedImage:
    """One staging table: ``r``, the values of some columns as ``k0`` … or ``c0`` …, and whole numbers.

    Parameters
    ----------
    kind : {"s", "b", "l"}
        With ``number`` its name; ``b`` holds whole rows (``c0`` …), the others keys (``k0`` …).
    number : int
    table : Table
        Of the target.
    fits : sequence of ColumnFit
    """

    kind: str
    number: int
    table: Table
    fits: Sequence[ColumnFit]

    def create(self, writer: Writer, numbers: Sequence[str] = ()) -> None:
        """Make it, with columns of these names for what follows the values."""
        columns = [(f"{self._letter}{i}", writer.stage_type(fit.kind)) for i, fit in enumerate(self.fits)]
        writer.create(self.kind, self.number, [("r", "BIGINT"), *columns, *((name, "BIGINT") for name in numbers)])

    def load(self, writer: Writer, rows: pa.Table, start: int) -> int:
        """Stage a piece, numbered from ``start`` on; return how many rows came."""
        import numpy as np
        import pyarrow as pa

        arrays: list[pa.Array] = [pa.array(np.arange(start, start + rows.num_rows, dtype=np.int64))]
        for fit, column in zip(self.fits, rows.columns, strict=False):
            digits, where = writer.fraction_digits(fit.target), f"{self.table.name}.{fit.target.name}"
            change = converter(fit.source.type, fit.kind, fraction_digits=digits, where=where)
            changed = change(column.combine_chunks())
            writer.refuse_changed(changed, fit.source, fit.target)
            arrays.append(writer.stage_values(changed, fit.kind, fit.target))
        names = ["r", *(f"{self._letter}{i}" for i in range(len(self.fits)))]
        for name in rows.column_names[len(self.fits) :]:
            names.append(name)
            arrays.append(rows[name].combine_chunks())
        tagged = [f"{self._letter}{i}" for i, fit in enumerate(self.fits) if fit.kind.kind == "any"]
        whole = pa.RecordBatch.from_arrays(arrays, names=names)
        schema = whole.schema.with_metadata({"tagged": ",".join(tagged)} if tagged else None)
        pieces = (whole.slice(at, _BATCH_ROWS) for at in range(0, whole.num_rows, _BATCH_ROWS))
        return writer.load(self.kind, self.number, schema, pieces)

    @property
    def _letter(self) -> str:
        return "c" if self.kind == "b" else "k"
