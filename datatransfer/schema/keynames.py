"""The names of rows by their keys, of columns as receipts keep them: what an export of the same keys would write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from datatransfer.schema.identity import canonical_keys
from datatransfer.schema.keycolumns import as_kind
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa


def kept_names(columns: Sequence[pa.Array], kinds: Sequence[LogicalType]) -> pa.Array:
    """Return the canonical keys of rows.

    Parameters
    ----------
    columns : sequence of pyarrow.Array
        One a column of the key, as `key_array` returns them.
    kinds : sequence of LogicalType
        What the columns are in the database that the keys are of.

    Returns
    -------
    pyarrow.Array
        Text without NULLs.

    Examples
    --------
    >>> from datatransfer.schema.keycolumns import key_array
    >>> kept_names([key_array(["2024-02-29 00:00:00"])], [LogicalType("timestamp")]).to_pylist()
    ['["2024-02-29T00:00:00"]']
    """
    pairs = [as_kind(array, kind) for array, kind in zip(columns, kinds, strict=True)]
    return canonical_keys([array for array, _ in pairs], [kind for _, kind in pairs])
