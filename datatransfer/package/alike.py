"""Which values of two columns differ: of one type to the last bit, of two types by what one makes of the other's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datatransfer.errors import ValueLossError
from datatransfer.package.convert import converter, convertible
from datatransfer.package.values import as_blobs
from datatransfer.schema.tables import Column
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def differing(left: pa.Array, right: pa.Array, columns: tuple[Column, Column]) -> npt.NDArray[np.int64]:
    """Return the places at which two columns hold different values.

    Parameters
    ----------
    left, right : pyarrow.Array
        Of the same length.
    columns : pair of Column
        Of two types, a value is the same if an import would make the one of the other: a date that one database keeps
        as text, a UUID with or without its dashes, a CHAR with or without the spaces that fill it up.

    Returns
    -------
    ndarray of int64
        In ascending order.

    Examples
    --------
    >>> import pyarrow as pa
    >>> there = Column("paid", LogicalType("integer")), Column("paid", LogicalType("boolean"))
    >>> differing(pa.array([1, 1, None]), pa.array([True, False, None]), there).tolist()
    [1]
    """
    import numpy as np
    import pyarrow as pa

    kinds = columns[0].type, columns[1].type
    found = np.flatnonzero(_unequal(left, right, kinds))
    padded = columns[0].declared != columns[1].declared and any(c.padded for c in columns)
    if (kinds[0] == kinds[1] and not padded) or not len(found):
        return found
    at = pa.array(found)
    return found[_apart(_plain(left.take(at), kinds[0], padded), _plain(right.take(at), kinds[1], padded), kinds)]


def _unequal(left: pa.Array, right: pa.Array, kinds: tuple[LogicalType, LogicalType]) -> npt.NDArray[np.bool_]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    blobs = [
        as_blobs(pa.RecordBatch.from_arrays([array], names=["v"]), [("v", kind)]).cast(pa.large_binary())
        for array, kind in zip((left, right), kinds, strict=True)
    ]
    return np.asarray(pc.not_equal(*blobs))


def _apart(left: pa.Array, right: pa.Array, kinds: tuple[LogicalType, LogicalType]) -> npt.NDArray[np.bool_]:
    """Say which values are different also as values of one type."""
    import numpy as np

    if {kind.kind for kind in kinds} == {"uuid", "text"}:
        return _unequal(_digits(left), _digits(right), (LogicalType("text"), LogicalType("text")))
    tried = False
    for mine, theirs, source, target in ((left, right, *kinds), (right, left, *kinds[::-1])):
        if convertible(source, target):
            tried = True
            try:
                changed = converter(source, target)(mine)
            except ValueLossError:
                continue
            return _unequal(_plain(changed.cast(target.arrow()), target), theirs, (target, target))
    if not tried or len(left) == 1:
        return np.ones(len(left), np.bool_)
    half = len(left) // 2  # one of them is no value of the other type: the others may be
    return np.concatenate([_apart(left[:half], right[:half], kinds), _apart(left[half:], right[half:], kinds)])


def _plain(values: pa.Array, kind: LogicalType, padded: bool = False) -> pa.Array:
    """Return decimals without the zeros at their end, and texts without what fills them up."""
    import pyarrow.compute as pc

    if kind.kind == "decimal":
        return pc.replace_substring_regex(values, r"^([^.]*)(?:\.|(\.\d*[1-9]))0*$", r"\1\2")
    return pc.utf8_rtrim(values, characters=" ") if padded and kind.kind == "text" else values


def _digits(uuids: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    return pc.utf8_lower(pc.replace_substring(uuids, "-", ""))
