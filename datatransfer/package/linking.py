"""Which row refers to which: foreign keys followed whole columns at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from datatransfer.package.values import as_blobs
from datatransfer.schema.tables import ForeignKey, Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Places = npt.NDArray[np.int64]
    Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Held:
    """Some columns of all rows of a table, in memory.

    Parameters
    ----------
    table : Table
    rows : int
    columns : mapping of str to pyarrow.ChunkedArray
    """

    table: Table
    rows: int
    columns: Mapping[str, pa.ChunkedArray]

    def values(self, name: str, rows: npt.NDArray[np.int64]) -> pa.Array:
        """Return the values of a column in some rows."""
        import pyarrow as pa

        return together(self, [name]).column(0).take(pa.array(rows))


def hold(table: Table, batches: Iterable[pa.RecordBatch], names: Collection[str]) -> Held:
    """Keep some columns of the rows that come; all other columns are let go batch by batch."""
    import pyarrow as pa

    rows = 0
    chunks: dict[str, list[Any]] = {name: [] for name in names}
    for batch in batches:
        rows += batch.num_rows
        for name, found in chunks.items():
            found.append(batch.column(name))
    kinds = {name: table.by_name[name].type.arrow() if name in table.by_name else pa.string() for name in names}
    return Held(table, rows, {name: pa.chunked_array(found, kinds[name]) for name, found in chunks.items()})


def needed_columns(table: Table, foreign_keys: Iterable[ForeignKey]) -> set[str]:
    """Return the columns of a table that are on one side or the other of foreign keys."""
    found: set[str] = set()
    for fk in foreign_keys:
        found.update(fk.columns if fk.table == table.name else ())
        found.update(fk.parent_columns if fk.parent == table.name else ())
    return found


def together(held: Held, names: Sequence[str]) -> pa.RecordBatch:
    """Return some columns of all rows as one batch."""
    import pyarrow as pa

    arrays: list[Any] = []
    for name in names:
        column = held.columns[name]
        arrays.append(pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type))
    return pa.RecordBatch.from_arrays(arrays, names=list(names))


def blobs(held: Held, names: Sequence[str]) -> tuple[pa.Array, Flags]:
    """Return the values of some columns as one binary value a row, and in which rows one of them is NULL."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    batch = together(held, names)
    nulls = np.zeros(batch.num_rows, np.bool_)
    for column in batch.columns:
        nulls |= np.asarray(pc.is_null(column))
    found = as_blobs(batch, [(name, held.table.by_name[name].type) for name in names])
    return found.cast(pa.binary()) if found.nbytes < 2**31 - 1 else found, nulls


def _folded(child: Held, parent: Held, fk: ForeignKey) -> tuple[Held, Held]:
    """Make those values equal that the parent's collation makes equal, where it is one that does."""
    import pyarrow.compute as pc

    mine, theirs = dict(child.columns), dict(parent.columns)
    folds = {
        "NOCASE": pc.ascii_lower,  # the letters A to Z alone, as SQLite does
        "RTRIM": lambda values: pc.ascii_rtrim(values, characters=" "),
    }
    for name, other in zip(fk.columns, fk.parent_columns, strict=True):
        mine[name] = as_parents_write(mine[name], fk.spelled(name))
        rule = parent.table.by_name[other].folding
        kinds = {child.table.by_name[name].type.kind, parent.table.by_name[other].type.kind}
        # The tags of values with several storage classes are lower case, and end with no space of their own.
        if rule and kinds <= {"text", "any"}:
            mine[name], theirs[other] = folds[rule](mine[name]), folds[rule](theirs[other])
    return replace(child, columns=mine), replace(parent, columns=theirs)


def as_parents_write(column: pa.ChunkedArray, spellings: Mapping[str, str]) -> pa.ChunkedArray:
    """Return references as their parents are written; `spellings` says which are written otherwise."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not spellings:
        return column
    at = pc.index_in(column, value_set=pa.array(list(spellings), column.type))
    return pc.coalesce(pc.take(pa.array(list(spellings.values()), column.type), at), column)


def find_parents(child: Held, parent: Held, fk: ForeignKey) -> Places:
    """Return for each row of the child the number of its row in the parent, or -1."""
    import numpy as np
    import pyarrow.compute as pc

    child, parent = _folded(child, parent, fk)
    one = len(fk.columns) == 1
    mine, theirs = child.columns[fk.columns[0]], parent.columns[fk.parent_columns[0]]
    kinds = {child.table.by_name[fk.columns[0]].type.kind, parent.table.by_name[fk.parent_columns[0]].type.kind}
    if one and mine.type == theirs.type and len(kinds) == 1 and "float" not in kinds:
        found = pc.index_in(mine, value_set=theirs, skip_nulls=True)
        return np.asarray(found.fill_null(-1), np.int64)
    left, no_parent = blobs(child, fk.columns)
    right, _ = blobs(parent, fk.parent_columns)
    at = np.array(pc.index_in(left, value_set=right.cast(left.type)).fill_null(-1), np.int64)
    at[no_parent] = -1
    return at
