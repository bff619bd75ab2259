"""Which integer keys have been seen, in memory that does not grow with the rows: one bit a key.

Used to find references without a parent while rows stream past, without a join in the database. Only keys that lie
close together fit; for others `KeySet.usable` turns false and the caller asks the database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_MOST_BITS = 1 << 28  # 32 MiB


class KeySet:
    """A set of 64-bit integers that lie close together.

    Examples
    --------
    >>> import pyarrow as pa
    >>> seen = KeySet()
    >>> seen.add(pa.array([5, 6, 9]))
    >>> seen.missing(pa.array([6, 7, None]))
    1
    """

    def __init__(self) -> None:
        self.usable = True
        self._low = 0
        self._bits: np.ndarray | None = None

    def add(self, values: pa.Array) -> None:
        """Add keys; null is not one."""
        import numpy as np

        if not self.usable:
            return
        numbers = values.drop_null().to_numpy(zero_copy_only=False)
        if len(numbers) == 0:
            return
        low, high = int(numbers.min()), int(numbers.max())
        self._cover(low, high)
        if self.usable and self._bits is not None:
            offsets = numbers.astype(np.int64) - self._low
            np.bitwise_or.at(self._bits, offsets >> 3, (1 << (offsets & 7)).astype(np.uint8))

    def _cover(self, low: int, high: int) -> None:
        import numpy as np

        low -= low % 8
        if self._bits is None:
            new_low, new_high = low, high
        else:
            new_low = min(low, self._low)
            new_high = max(high, self._low + len(self._bits) * 8 - 1)
        if new_high - new_low >= _MOST_BITS:
            self.usable, self._bits = False, None
            return
        have = 0 if self._bits is None else len(self._bits)
        need = (new_high - new_low) // 8 + 1
        if self._bits is not None and new_low == self._low and need <= have:
            return
        grown = np.zeros(max(need, min(2 * have, _MOST_BITS // 8)), dtype=np.uint8)
        if self._bits is not None:
            start = (self._low - new_low) // 8
            grown[start : start + have] = self._bits
        self._low, self._bits = new_low, grown

    def missing_mask(self, values: pa.Array) -> np.ndarray:
        """Return a boolean for each value: true where it is not null and was never added."""
        import numpy as np

        present = values.is_valid().to_numpy(zero_copy_only=False)
        numbers = values.fill_null(self._low).to_numpy(zero_copy_only=False).astype(np.int64)
        if self._bits is None:
            return np.asarray(present, dtype=bool)
        offsets = numbers - self._low
        inside = (offsets >= 0) & (offsets < len(self._bits) * 8)
        safe = np.where(inside, offsets, 0)
        seen = inside & ((self._bits[safe >> 3] >> (safe & 7).astype(np.uint8)) & 1).astype(bool)
        return np.asarray(present & ~seen, dtype=bool)

    def missing(self, values: pa.Array) -> int:
        """Count the values that are not null and were never added."""
        return int(self.missing_mask(values).sum())
