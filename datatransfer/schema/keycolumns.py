"""Columns of keys as receipts keep them: 64-bit integers, or text tagged with its storage class where one is none.

Writing, joining and reading such columns, as a whole wherever their values are of one class. Knows no ledger and no
database.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from datatransfer.schema.values import LogicalType, tag, to_json, untag

if TYPE_CHECKING:
    import pyarrow as pa

TIMES = ("date", "time", "timestamp", "timestamptz")
_ANY = LogicalType("any")
_INTEGER = LogicalType("integer", bits=64)


def key_array(values: Sequence[Any]) -> pa.Array:
    """Return key values of a driver as receipts keep them.

    Examples
    --------
    >>> key_array([1, 2]).to_pylist(), key_array([1, "a"]).to_pylist()
    ([1, 2], ['i1', 'ta'])
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    seen = set(map(type, values))
    if seen <= {int} and (not values or (min(values) >= -(2**63) and max(values) < 2**63)):
        return pa.array(values, type=pa.int64())
    if seen == {str}:
        return pc.binary_join_element_wise(pa.scalar("t"), pa.array(values, type=pa.string()), "")
    plain = [v if v is None or isinstance(v, int | float | str | bytes) else str(v) for v in values]
    return pa.array([tag(v) for v in plain], type=pa.string())


def key_values(array: pa.Array) -> list[Any]:
    """Return what `key_array` took."""
    import pyarrow as pa

    values: list[Any] = array.to_pylist()
    return values if pa.types.is_integer(array.type) else [untag(v) for v in values]


def tagged(array: pa.Array) -> pa.Array:
    """Return a column in the form that takes every class."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_integer(array.type):
        return array
    return pc.binary_join_element_wise(pa.scalar("i"), array.cast(pa.string()), "")


def of_one_class(array: pa.Array, head: str) -> pa.Array | None:
    """Return the text behind the tags of a tagged column, None if a value has another tag."""
    import pyarrow.compute as pc

    if pc.all(pc.starts_with(array, head), min_count=0).as_py() is False:
        return None
    return pc.utf8_slice_codeunits(array, 1)


def joined(arrays: Sequence[pa.Array]) -> pa.Array:
    """Return several pieces of one column as one array."""
    import pyarrow as pa

    if len({array.type for array in arrays}) > 1:
        arrays = [tagged(array) for array in arrays]
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(list(arrays))


def as_kind(array: pa.Array, kind: LogicalType) -> tuple[pa.Array, LogicalType]:
    """Return a column in the form in which `canonical_keys` writes it as it would the column of a package.

    Parameters
    ----------
    array : pyarrow.Array
        From a receipt.
    kind : LogicalType
        Of the column that the keys are from.

    Returns
    -------
    tuple of pyarrow.Array and LogicalType
    """
    import pyarrow as pa

    if pa.types.is_integer(array.type):
        if kind.kind == "boolean":
            return array.cast(pa.bool_()), kind
        return (array.cast(pa.string()), kind) if kind.kind == "decimal" else (array, _INTEGER)
    if kind.kind == "boolean" and (digits := of_one_class(array, "i")) is not None:
        return digits.cast(pa.bool_()), kind
    if kind.kind in TIMES and (texts := of_one_class(array, "t")) is not None:
        found = as_times(texts, kind)
        # A notation of a database's own stays the text that it is.
        return (found, kind) if found.null_count == array.null_count else (_written(found, kind, array), _ANY)
    return array, _ANY


def as_times(texts: pa.Array, kind: LogicalType) -> pa.Array:
    """Return dates or times that a database wrote, in UTC, as values; NULL for what its own notation alone can say.

    Examples
    --------
    >>> import pyarrow as pa
    >>> as_times(pa.array(["2024-02-29", "infinity"]), LogicalType("date")).to_pylist()
    [datetime.date(2024, 2, 29), None]
    """
    import pyarrow as pa

    try:
        return _cast(texts, kind)
    except pa.ArrowInvalid:
        if len(texts) == 1:
            return pa.nulls(1, kind.arrow())
        middle = len(texts) // 2
        return pa.concat_arrays([as_times(half, kind) for half in (texts[:middle], texts[middle:])])


def _cast(texts: pa.Array, kind: LogicalType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind.kind == "time":  # no text is cast to a time by itself
        whole = pc.binary_join_element_wise(pa.scalar("1970-01-01"), texts, " ")
        return whole.cast(pa.timestamp("us")).cast(kind.arrow())
    if kind.kind == "timestamptz":
        zoned = pc.match_substring_regex(texts, r"(Z|:\d\d[^:]*[+-][0-9:]+)$")
        texts = pc.if_else(zoned, texts, pc.binary_join_element_wise(texts, "Z", ""))
    return texts.cast(kind.arrow())


def _written(times: pa.Array, kind: LogicalType, tagged_texts: pa.Array) -> pa.Array:
    """Return times as a canonical key writes them, tagged, and for those that are NULL what a receipt holds."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = pa.array(to_json(times.to_pylist(), kind), type=pa.string())
    return pc.coalesce(pc.binary_join_element_wise(pa.scalar("t"), texts, ""), tagged_texts)


def from_canonical(texts: pa.Array, width: int) -> list[pa.Array]:
    """Return the columns of keys that `canonical_keys` wrote; keys of another width become NULL.

    Parameters
    ----------
    texts : pyarrow.Array
    width : int
        Number of columns.

    Examples
    --------
    >>> import pyarrow as pa
    >>> [column.to_pylist() for column in from_canonical(pa.array(['[1,"a"]', "[2,null]"]), 2)]
    [['i1', 'i2'], ['ta', None]]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    fields = [f"k{index}" for index in range(width)]
    numbers = ",".join(rf"(?P<{name}>-?\d{{1,18}})" for name in fields)
    found = pc.extract_regex(texts, rf"^\[{numbers}\]$")
    if not found.null_count:
        return [pc.struct_field(found, name).cast(pa.int64()) for name in fields]
    found = pc.extract_regex(texts, r'^\["(?P<k0>[^"\\]*)"\]$')
    if width == 1 and not found.null_count:
        return [pc.binary_join_element_wise(pa.scalar("t"), pc.struct_field(found, "k0"), "")]
    # Several columns of several classes: rare, so JSON is read as JSON.
    rows = [json.loads(text) for text in texts.to_pylist()]
    values = [[_plain(value) for value in row] if len(row) == width else [None] * width for row in rows]
    return [pa.array([tag(row[index]) for row in values], type=pa.string()) for index in range(width)]


def _plain(value: Any) -> Any:
    return bytes.fromhex(value["b"]) if isinstance(value, dict) else value
