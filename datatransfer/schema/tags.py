"""A column whose values have several storage classes, made of columns of one class each: what `tag` writes, at once.

Knows Arrow columns and the form of a tag, no database.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from datatransfer.schema.arrays import hexadecimal, text_array

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_MANTISSA = 52
_BIAS = 1023
_POWERS = tuple(f"p{max(number, 1) - _BIAS:+d}" for number in range(2048))
_ODD = ("0x0.0p+0", "-0x0.0p+0", "inf", "-inf", "nan", "nan")


def tagged_column(classes: pa.Array, parts: Mapping[str, pa.Array]) -> pa.Array:
    """Return a column of kind ``any``.

    Parameters
    ----------
    classes : pyarrow.Array
        The tag of each value as text, NULL for NULL.
    parts : mapping of tag to pyarrow.Array
        For each tag that occurs a column of that class, without NULLs; it counts only where the tag is that one.

    Examples
    --------
    >>> import pyarrow as pa
    >>> parts = {"i": pa.array([1, 0, 0]), "r": pa.array([0.0, 1.5, 0.0])}
    >>> tagged_column(pa.array(["i", "r", None]), parts).to_pylist()
    ['i1', 'r0x1.8000000000000p+0', None]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found = pa.nulls(len(classes), pa.string())
    for head, part in parts.items():
        mine = pc.coalesce(pc.equal(classes, head), pa.scalar(False))
        chosen = part.filter(mine)
        if len(chosen):
            written = pc.binary_join_element_wise(pa.scalar(head), _WRITTEN[head](chosen), "")
            found = written if len(chosen) == len(found) else pc.replace_with_mask(found, mine, written)
    return found


def hexadecimal_floats(values: pa.Array) -> pa.Array:
    """Return floats without NULLs as `float.hex` writes them.

    Examples
    --------
    >>> import pyarrow as pa
    >>> hexadecimal_floats(pa.array([0.1, -0.0, float("inf")])).to_pylist() == [
    ...     v.hex() for v in (0.1, -0.0, float("inf"))
    ... ]
    True
    """
    import numpy as np

    bits = np.frombuffer(values.buffers()[1] or b"", dtype=np.uint64)[values.offset : values.offset + len(values)]
    power = ((bits >> np.uint64(_MANTISSA)) & np.uint64(0x7FF)).astype(np.int64)
    mantissa = bits & np.uint64((1 << _MANTISSA) - 1)
    negative = (bits >> np.uint64(63)).astype(np.bool_)
    powers, power_lengths = _table(_POWERS, 6)
    # One row of text a value, of which the places that count are then taken: "-", "0x1.", 13 digits, "p+1023".
    text = np.empty((len(bits), 24), dtype=np.uint8)
    used = np.ones(text.shape, dtype=np.bool_)
    text[:, 0], used[:, 0] = ord("-"), negative
    text[:, 1:5] = np.frombuffer(b"0x0.", dtype=np.uint8)
    text[:, 3] += power > 0
    text[:, 5:18] = _digits_of(mantissa << np.uint64(64 - _MANTISSA))
    text[:, 18:] = powers[power]
    used[:, 18:] = np.arange(6) < power_lengths[power][:, None]
    odd = np.flatnonzero((power == 2047) | ((power == 0) & (mantissa == 0)))
    if len(odd):  # zeros and what is not finite have forms of their own
        names, lengths = _table(_ODD, 24)
        which = negative[odd] + 2 * (power[odd] == 2047) + 2 * ((power[odd] == 2047) & (mantissa[odd] != 0))
        text[odd], used[odd] = names[which], np.arange(24) < lengths[which][:, None]
    offsets = np.zeros(len(bits) + 1, dtype=np.int64)
    np.cumsum(used.sum(axis=1), out=offsets[1:])
    return text_array(text[used], offsets)


def _digits_of(numbers: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint8]:
    """Return the first 13 hexadecimal digits of 64-bit numbers, one row each."""
    import numpy as np

    pairs = np.array([list(f"{number:02x}".encode()) for number in range(256)], dtype=np.uint8).view(np.uint16)
    octets = numbers.astype(">u8").view(np.uint8).reshape(-1, 8)[:, :7]
    digits: npt.NDArray[np.uint8] = pairs[octets, 0].view(np.uint8).reshape(-1, 14)[:, :13]
    return digits


@cache
def _table(texts: tuple[str, ...], width: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Return texts as rows of one width, and how long each is."""
    import numpy as np

    padded = b"".join(text.encode().ljust(width) for text in texts)
    return np.frombuffer(padded, dtype=np.uint8).reshape(-1, width), np.array([len(text) for text in texts])


def _digits(values: pa.Array) -> pa.Array:
    import pyarrow as pa

    return values.cast(pa.string())


_WRITTEN = {"i": _digits, "r": hexadecimal_floats, "t": lambda values: values, "b": hexadecimal}
