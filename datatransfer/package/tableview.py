"""One table of a package, as people and programs look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from datatransfer.display import blocks
from datatransfer.package.contents import BATCH_ROWS, Contents
from datatransfer.schema.tables import Table
from datatransfer.schema.values import untag

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


class PackageTable:
    """One table of a package.

    Attributes
    ----------
    name : str
    table : Table
        Columns, types and keys.
    """

    def __init__(self, contents: Contents, name: str) -> None:
        self._contents = contents
        self._entry = contents.manifest.by_table[name]
        self.name = name
        self.table: Table = self._entry.table

    def __len__(self) -> int:
        return self._entry.rows

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema of the batches, with the reserved columns if there are any."""
        return self._contents.arrow_schema(self.name)

    def batches(self, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows as Arrow batches of at most ``batch_rows`` rows."""
        return self._contents.batches(self.name, batch_rows)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self.batches()

    def to_arrow(self) -> pa.Table:
        """Return all rows as an Arrow table, with the types of the format: decimals as text, ``any`` tagged."""
        import pyarrow as pa

        return pa.Table.from_batches(list(self.batches()), self._contents.arrow_schema(self.name))

    def to_frame(self) -> pd.DataFrame:
        """Return all rows as a DataFrame in which nothing is rounded.

        Returns
        -------
        DataFrame
            Integers and booleans in pandas' nullable types, floats, text, bytes, dates and times backed by Arrow,
            timestamps as ``datetime64[us]``; decimals as `decimal.Decimal` and values of kind ``any`` as what they are,
            in columns of objects.
        """
        return self._frame(self.to_arrow())

    def head(self, rows: int = 5) -> pd.DataFrame:
        """Return the first rows as a DataFrame."""
        import pyarrow as pa

        found: list[Any] = []
        missing = rows
        for batch in self.batches(max(1, rows)):
            found.append(batch.slice(0, missing))
            missing -= found[-1].num_rows
            if missing <= 0:
                break
        return self._frame(pa.Table.from_batches(found, self._contents.arrow_schema(self.name)))

    def _frame(self, arrow: pa.Table) -> pd.DataFrame:
        import pandas as pd

        made = {column.name: _series(arrow.column(column.name), column.type.kind) for column in self.table.columns}
        return pd.DataFrame(made, columns=list(self.table.column_names))

    def __repr__(self) -> str:
        columns = ", ".join(blocks.visible(name) for name in self.table.column_names[:8])
        more = ", …" if len(self.table.columns) > 8 else ""
        return f"PackageTable({blocks.visible(self.name)!r}, {blocks.plural(len(self), 'row')}: {columns}{more})"

    def _repr_html_(self) -> str:
        shown = self.head(10)
        rows = [[_shown(value) for value in row] for row in shown.itertuples(index=False, name=None)]
        title = f"{self.name}: {blocks.plural(len(self), 'row')}"
        return blocks.block(title, blocks.table(list(shown.columns), rows))


def _shown(value: Any) -> str:
    import pandas as pd

    if value is None or value is pd.NA or value is pd.NaT:
        return "NULL"
    return blocks.shorten(str(value))


def _series(column: pa.ChunkedArray, kind: str) -> pd.Series[Any]:
    import decimal

    import pandas as pd
    import pyarrow as pa

    if kind == "decimal":
        made = [None if value is None else decimal.Decimal(value) for value in column.to_pylist()]
        return pd.Series(made, dtype=object)
    if kind == "any":
        return pd.Series([untag(value) for value in column.to_pylist()], dtype=object)
    if kind in ("timestamp", "timestamptz"):
        return column.to_pandas()  # type: ignore[no-any-return]
    simple = {pa.int64(): pd.Int64Dtype(), pa.uint64(): pd.UInt64Dtype(), pa.bool_(): pd.BooleanDtype()}
    return column.to_pandas(types_mapper=lambda t: simple.get(t) or pd.ArrowDtype(t))  # type: ignore[no-any-return]
