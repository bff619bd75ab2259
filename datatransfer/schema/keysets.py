"""Which integer keys have been seen, in memory that does not grow with the rows: one bit a key.

Used to find references without a parent while rows stream past, without a join in the database. Only keys that lie
close together fit; for others `KeySet.usable` turns false and the caller asks the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datatransfer.schema.arrays import booleans, integers

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_MOST_BITS = 1 << 28  # 32 MiB
_DENSE = 64


class KeySet:
    """A set of 64-bit integers that lie close together.

    Examples
    --------
    >>> import pyarrow as pa
    >>> seen = KeySet()
    >>> seen.add(pa.array([5, 6, 9]))
    >>> seen.missing(pa.array([6, 7, None])).tolist()
    [False, True, False]
    """

    def __init__(self) -> None:
        self.usable = True
        self._low = 0  # of the first bit; always a multiple of 8
        self._bits: npt.NDArray[np.uint8] | None = None

    def add(self, column: pa.Array) -> None:
        """Add the values of a column of int64; NULL is not one."""
        import numpy as np

        if not self.usable:
            return
        values = integers(column)
        if column.null_count:
            values = values[booleans(column.is_valid())]
        if not len(values):
            return
        low, high = int(values.min()), int(values.max())
        self._cover(low - low % 8, high)
        if self._bits is None:
            return
        if high - low < _DENSE * len(values):
            first = (low - self._low) // 8
            marks = np.zeros(high - (low - low % 8) + 1, dtype=np.bool_)
            marks[values - (low - low % 8)] = True
            packed = np.packbits(marks, bitorder="little")
            self._bits[first : first + len(packed)] |= packed
        else:
            places = values - self._low
            np.bitwise_or.at(self._bits, places >> 3, (1 << (places & 7)).astype(np.uint8))

    def _cover(self, low: int, high: int) -> None:
        """Make room for numbers between two, twice as much as needed: keys mostly come in rising order."""
        import numpy as np

        have = 0 if self._bits is None else len(self._bits)
        if have:
            low, high = min(low, self._low), max(high, self._low + have * 8 - 1)
        if high - low >= _MOST_BITS:
            self.usable, self._bits = False, None
            return
        need = (high - low) // 8 + 1
        if have and low == self._low and need <= have:
            return
        grown = np.zeros(min(max(need, 2 * have), _MOST_BITS // 8), dtype=np.uint8)
        if self._bits is not None:
            start = (self._low - low) // 8
            grown[start : start + have] = self._bits
        self._low, self._bits = low, grown

    def missing(self, column: pa.Array) -> npt.NDArray[np.bool_]:
        """Return which values of a column of int64 are neither NULL nor in the set."""
        import numpy as np

        valid = booleans(column.is_valid()) if column.null_count else np.ones(len(column), dtype=np.bool_)
        if self._bits is None:
            return valid
        values = integers(column)
        last = self._low + len(self._bits) * 8 - 1
        if not column.null_count and len(values) and self._low <= values.min() and values.max() <= last:
            places = values - self._low
            found = self._bits[places >> 3] >> (places & 7).astype(np.uint8)
            return np.asarray(found & 1 == 0, dtype=np.bool_)
        # Compared before the subtraction, which could overflow; what lies under a NULL is any number.
        inside = (values >= self._low) & (values <= min(last, 2**63 - 1))
        places = np.where(inside, values, self._low) - self._low
        found = (self._bits[places >> 3] >> (places & 7).astype(np.uint8)) & 1
        return np.asarray(valid & ~(inside & found.astype(np.bool_)), dtype=np.bool_)
