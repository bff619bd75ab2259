"""Values as canonical bytes, whole columns at a time, and hashes of rows; rule 1 of `datatransfer.package.digest`."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from datatransfer.schema.values import LogicalType, untag

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Bytes = npt.NDArray[np.uint8]

_TEXT = {"decimal": "d", "bytes": "b"}
_TIME = {"date": "D", "time": "T", "timestamp": "S", "timestamptz": "Z"}


def hashes_of(blobs: pa.Array) -> Bytes:
    """Return the 16-byte hash of each element of a large binary array, as rows."""
    import numpy as np

    count = len(blobs)
    if count == 0:
        return np.empty((0, 16), np.uint8)
    _, offsets, data = blobs.buffers()
    borders = np.frombuffer(offsets, np.int64, count + 1, 8 * blobs.offset).tolist()
    view = memoryview(data or b"")
    make = hashlib.blake2b
    found = [make(view[a:b], digest_size=16).digest() for a, b in pairwise(borders)]
    return np.frombuffer(b"".join(found), np.uint8).reshape(count, 16)


def fixed_hashes(content: Bytes) -> Bytes:
    """Return the hash of each row of bytes; rows of 16 bytes are hashes already."""
    import numpy as np

    count, width = content.shape
    if width == 16 or count == 0:
        return content[:, :16]
    view = memoryview(content.tobytes())
    make = hashlib.blake2b
    found = [make(view[at : at + width], digest_size=16).digest() for at in range(0, count * width, width)]
    return np.frombuffer(b"".join(found), np.uint8).reshape(count, 16)


def as_blobs(batch: pa.RecordBatch, columns: Sequence[tuple[str, LogicalType]]) -> pa.Array:
    """Return each row's values, one after the other, as large binary."""
    import pyarrow as pa
    import pyarrow.compute as pc

    pieces: list[Any] = []
    for name, kind in columns:
        pieces += _canonical(batch.column(name), kind)
    if not pieces:
        return pa.array([b""] * batch.num_rows, pa.large_binary())
    return pc.binary_join_element_wise(*pieces, pa.scalar(b"", pa.large_binary()))


def _canonical(column: pa.Array, kind: LogicalType) -> tuple[pa.Array, pa.Array]:
    """Return tag and length, and the bytes, of each value."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    valid = np.asarray(pc.is_valid(column))
    if kind.kind == "any":
        return _untagged(column)
    if kind.kind in ("integer", "boolean", "float") or kind.kind in _TIME:
        words, tags = _words(column, kind)
        raw = pa.FixedSizeBinaryArray.from_buffers(pa.binary(8), len(column), [None, pa.py_buffer(words)])
        nulls = pa.scalar(None, pa.binary(8))
        values = pc.if_else(pa.array(valid), raw, nulls) if column.null_count else raw
        values = values.cast(pa.binary()).cast(pa.large_binary())
    else:
        tags = np.full(len(column), ord(_TEXT.get(kind.kind, "t")), np.uint8)
        values = column.cast(pa.large_binary())
    if column.null_count:
        values = values.fill_null(b"")
        tags = np.where(valid, tags, 0).astype(np.uint8)
    return _heads(tags, np.asarray(pc.binary_length(values))), values


def _words(column: pa.Array, kind: LogicalType) -> tuple[Any, Any]:
    """Return fixed-width values as 8 bytes each, and their tags."""
    import numpy as np
    import pyarrow as pa

    count = len(column)
    if kind.kind == "float":
        floats = np.asarray(column.fill_null(0.0) if column.null_count else column).astype("<f8")
        floats[np.isnan(floats)] = np.nan
        return np.ascontiguousarray(floats), np.full(count, ord("f"), np.uint8)
    if kind.kind in _TIME:
        width = pa.int32() if kind.kind == "date" else pa.int64()
        words = np.asarray(column.view(width).fill_null(0)).astype("<i8")
        return np.ascontiguousarray(words), np.full(count, ord(_TIME[kind.kind]), np.uint8)
    filled = column.fill_null(False if kind.kind == "boolean" else 0) if column.null_count else column
    words = np.asarray(filled.cast(pa.int8()) if kind.kind == "boolean" else filled)
    tags = np.full(count, ord("i"), np.uint8)
    if words.dtype == np.uint64:
        tags[words >= 2**63] = ord("I")
    else:
        words = words.astype("<i8")
    return np.ascontiguousarray(words), tags


def _untagged(column: pa.Array) -> tuple[pa.Array, pa.Array]:
    """Return values of several storage classes, each as what it is; each different value is looked at once."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    packed = pc.dictionary_encode(column, null_encoding="encode")
    found = [_one(untag(value)) for value in packed.dictionary.to_pylist()]
    indices = np.asarray(packed.indices)
    tags = np.array([tag for tag, _ in found], np.uint8)[indices]
    values = pa.array([value for _, value in found], pa.large_binary()).take(packed.indices)
    return _heads(tags, np.asarray(pc.binary_length(values))), values


def _one(value: float | str | bytes | None) -> tuple[int, bytes]:
    if value is None:
        return 0, b""
    if isinstance(value, int):
        return ord("i"), value.to_bytes(8, "little", signed=True)
    if isinstance(value, float):
        return ord("f"), struct.pack("<d", value if value == value else float("nan"))
    if isinstance(value, str):
        return ord("t"), value.encode()
    return ord("b"), value


def _heads(tags: Any, lengths: Any) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    heads = np.zeros((len(tags), 5), np.uint8)
    heads[:, 0] = tags
    heads[:, 1:] = lengths.astype("<u4").view(np.uint8).reshape(-1, 4)
    raw = pa.FixedSizeBinaryArray.from_buffers(pa.binary(5), len(tags), [None, pa.py_buffer(heads)])
    return raw.cast(pa.binary()).cast(pa.large_binary())
