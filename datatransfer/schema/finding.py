"""Where values of one column stand in another, many at a time and without a loop over them.

Each finder holds the values that are looked in, once, and is asked for batches. Knows Arrow columns and nothing of
what they mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from datatransfer.schema.arrays import booleans, integer_array, integers, text_bytes

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

_BLOCK_BYTES = 1 << 22


class IntegerFinder:
    """Finds integers.

    Parameters
    ----------
    values : pyarrow.Array
        Of int64, without NULLs; those that lie side by side in rising order take no memory.

    Examples
    --------
    >>> import pyarrow as pa
    >>> IntegerFinder(pa.array([5, 9, 7])).find(pa.array([7, 8, 5])).tolist()
    [2, -1, 0]
    """

    def __init__(self, values: pa.Array) -> None:
        import numpy as np

        numbers = integers(values)
        self._order: npt.NDArray[np.int64] | None = None
        if len(numbers) > 1 and not bool((numbers[1:] > numbers[:-1]).all()):
            self._order = np.argsort(numbers, kind="stable")
            numbers = numbers[self._order]
        self._count = len(numbers)
        self._low, self._high = (int(numbers[0]), int(numbers[-1])) if self._count else (0, -1)
        self._numbers = None if self._high - self._low + 1 == self._count else numbers

    def find(self, values: pa.Array) -> npt.NDArray[np.int64]:
        """Return the place of each value, -1 where it is not there.

        Parameters
        ----------
        values : pyarrow.Array
            Of int64, without NULLs.
        """
        import numpy as np

        wanted = integers(values)
        inside = (wanted >= self._low) & (wanted <= self._high)
        if self._numbers is None:
            places = np.where(inside, wanted, self._low) - self._low
        else:
            places = np.minimum(np.searchsorted(self._numbers, wanted), self._count - 1)
            inside &= self._numbers[places] == wanted
        if self._order is not None:
            places = self._order[np.where(inside, places, 0)]
        return np.where(inside, places, -1)


class TextFinder:
    """Finds texts, by a hash first and then by the texts themselves.

    Parameters
    ----------
    texts : pyarrow.Array
        Of type string, without NULLs.

    Examples
    --------
    >>> import pyarrow as pa
    >>> TextFinder(pa.array(["a", "", "bc"])).find(pa.array(["bc", "b", ""])).tolist()
    [2, -1, 1]
    """

    def __init__(self, texts: pa.Array) -> None:
        import numpy as np

        self._texts = texts
        hashes = text_hashes(texts)
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    def find(self, texts: pa.Array) -> npt.NDArray[np.int64]:
        """Return the place of each text, -1 where it is not there.

        Parameters
        ----------
        texts : pyarrow.Array
            Of type string, without NULLs.
        """
        import numpy as np
        import pyarrow.compute as pc

        wanted = text_hashes(texts)
        found = np.full(len(texts), -1, dtype=np.int64)
        places = np.searchsorted(self._hashes, wanted)
        left = np.arange(len(texts), dtype=np.int64)
        while True:  # once, and once more for each further text of the same hash
            left = left[places[left] < len(self._hashes)]
            left = left[self._hashes[places[left]] == wanted[left]]
            if not len(left):
                return found
            there = self._order[places[left]]
            same = booleans(pc.equal(self._texts.take(integer_array(there)), texts.take(integer_array(left))))
            found[left[same]] = there[same]
            left = left[~same]
            places[left] += 1


def text_hashes(texts: pa.Array) -> npt.NDArray[np.uint64]:
    """Return a hash of 64 bits for each text: the sum of its bytes, each times a number that its place decides.

    Multilinear hashing (Carter and Wegman 1979) over integers that wrap; equal texts have equal hashes, and who finds
    equal hashes has to compare the texts.
    """
    import numpy as np

    data, offsets = text_bytes(texts)
    lengths = np.diff(offsets)
    factors = _factors(int(lengths.max()) if len(lengths) else 0)
    step = max(1, _BLOCK_BYTES * len(texts) // max(1, len(data)))
    hashes = np.empty(len(texts), dtype=np.uint64)
    for start in range(0, len(texts), step):
        ends = offsets[start : start + step + 1]
        block = data[ends[0] : ends[-1]]
        places = np.arange(len(block)) - np.repeat(ends[:-1] - ends[0], lengths[start : start + step])
        sums = np.zeros(len(block) + 1, dtype=np.uint64)
        np.cumsum((block.astype(np.uint64) + np.uint64(1)) * factors[places], out=sums[1:])
        hashes[start : start + step] = sums[ends[1:] - ends[0]] - sums[ends[:-1] - ends[0]]
    return hashes


def _factors(count: int) -> npt.NDArray[np.uint64]:
    """Return as many numbers that look random: SplitMix64 (Steele, Lea and Flood 2014)."""
    import numpy as np

    z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
