"""Arrow arrays as NumPy sees their memory, and back; knows nothing of what the values mean.

Arrow's own ``to_numpy``, ``fill_null`` and ``pa.array(ndarray)`` import pandas, which takes longer than many a whole
export.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa


def integers(column: pa.Array) -> npt.NDArray[np.int64]:
    """Return a column of int64 as NumPy sees its memory; under NULLs stands anything."""
    import numpy as np

    return np.frombuffer(column.buffers()[1] or b"", dtype=np.int64)[column.offset : column.offset + len(column)]


def booleans(column: pa.Array) -> npt.NDArray[np.bool_]:
    """Return a column of booleans without NULLs as a NumPy array."""
    import numpy as np

    packed = np.frombuffer(column.buffers()[1] or b"", dtype=np.uint8)
    bits = np.unpackbits(packed, count=column.offset + len(column), bitorder="little")
    return bits[column.offset :].astype(np.bool_)


def mask_array(where: npt.NDArray[np.bool_]) -> pa.Array:
    """Return a NumPy array of booleans as an Arrow array."""
    import numpy as np
    import pyarrow as pa

    packed = pa.py_buffer(np.packbits(where, bitorder="little").tobytes())
    return pa.Array.from_buffers(pa.bool_(), len(where), [None, packed])


def integer_array(values: npt.NDArray[np.int64], present: npt.NDArray[np.bool_] | None = None) -> pa.Array:
    """Return a NumPy array of int64 as an Arrow array, NULL where ``present`` is false."""
    import numpy as np
    import pyarrow as pa

    valid = None if present is None else pa.py_buffer(np.packbits(present, bitorder="little").tobytes())
    data = pa.py_buffer(np.ascontiguousarray(values, dtype=np.int64))
    return pa.Array.from_buffers(pa.int64(), len(values), [valid, data])


def text_bytes(texts: pa.Array) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return the bytes of a column of text or bytes without NULLs, and where each value begins and the last one ends.

    Parameters
    ----------
    texts : pyarrow.Array
        Of type string or binary.
    """
    import numpy as np

    _, starts, data = texts.buffers()
    if starts is None or not len(texts):
        return np.zeros(0, dtype=np.uint8), np.zeros(1, dtype=np.int64)
    offsets = np.frombuffer(starts, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    everything = np.frombuffer(data or b"", dtype=np.uint8)
    return everything[offsets[0] : offsets[-1]], offsets - offsets[0]


def hexadecimal(values: pa.Array) -> pa.Array:
    r"""Return a column of bytes as hexadecimal text in lower case, NULL where it is NULL.

    Examples
    --------
    >>> import pyarrow as pa
    >>> hexadecimal(pa.array([b"\x01\xff", None, b""])).to_pylist()
    ['01ff', None, '']
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    filled = pc.coalesce(values, pa.scalar(b"", values.type)) if values.null_count else values
    data, offsets = text_bytes(filled)
    digits = np.frombuffer(b"0123456789abcdef", dtype=np.uint8)
    text = np.empty((len(data), 2), dtype=np.uint8)
    text[:, 0], text[:, 1] = digits[data >> 4], digits[data & 15]
    found = text_array(text.reshape(-1), offsets * 2)
    return pc.if_else(values.is_null(), pa.scalar(None, pa.string()), found) if values.null_count else found


def text_array(data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.int64]) -> pa.Array:
    """Return an array of text from its bytes, and where each value begins and the last one ends."""
    import pyarrow as pa

    parts = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_string(), len(offsets) - 1, parts).cast(pa.string())
