"""One table of a package, as people and programs look at it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from datatransfer.display import blocks, shown
from datatransfer.package.contents import BATCH_ROWS, Contents
from datatransfer.schema.tables import Table
from datatransfer.schema.values import untag

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa


_QUICK_BYTES = 256 << 10
_FIRST_ROWS = 10
_NUMBERS = frozenset({"integer", "float", "decimal"})


class PackageTable(shown.Listed):
    """One table of a package, read from its members when it is asked for.

    Attributes
    ----------
    name : str
    table : Table
        Columns, types and keys.

    Examples
    --------
    >>> package["orders"].to_frame()              # doctest: +SKIP
    >>> package["orders"].to_arrow()              # doctest: +SKIP
    >>> for batch in package["orders"]:           # doctest: +SKIP
    ...     print(batch.num_rows)
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

    @shown.as_text
    def __repr__(self) -> str:
        columns = ", ".join(blocks.visible(name) for name in self.table.column_names[:8])
        more = ", …" if len(self.table.columns) > 8 else ""
        return f"PackageTable({blocks.visible(self.name)!r}, {blocks.plural(len(self), 'row')}: {columns}{more})"

    @shown.as_html
    def _repr_html_(self) -> str:
        title = f"{self.name}: {blocks.plural(len(self), 'row')}"
        return blocks.block(title, self._first_rows(), blocks.fold("columns", self._columns(), is_open=not len(self)))

    def _first_rows(self) -> str:
        """Show the first rows if that is quick: the member that holds them is read and compared as a whole."""
        if not self._entry.parts:
            return ""
        if self._entry.parts[0].bytes > _QUICK_BYTES:
            return blocks.note("quiet", "a large table: .head() reads its first rows")
        found = self.head(_FIRST_ROWS)
        told = [blocks.Figure if column.type.kind in _NUMBERS else str for column in self.table.columns]
        rows = [
            [kind(_shown(value)) for kind, value in zip(told, row, strict=True)]
            for row in found.itertuples(index=False, name=None)
        ]
        more = len(self) - len(rows)
        told_more = blocks.note("quiet", f"and {more:,} more") if more else ""
        return blocks.table(list(found.columns), rows, nothing="no rows") + told_more

    def _columns(self) -> str:
        leads = {name: fk.parent for fk in self.table.foreign_keys for name in fk.columns}
        rows = [
            (c.name, c.type.kind, "yes" if c.nullable else "no", "key" if c.name in self.table.key else "",
             f"→ {leads[c.name]}" if c.name in leads else "")
            for c in self.table.columns
        ]  # fmt: skip
        return blocks.table(("column", "type", "may be NULL", "key", "refers to"), rows)


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
