"""Values that a column of MariaDB would hold as others, refused before they are staged.

Its strict mode refuses what is too long or out of range, and says nothing where it fills up, rounds or guesses.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from datatransfer.database.writers.expressions import refuse_where
from datatransfer.database.writers.labels import refuse_others
from datatransfer.schema.tables import Column

if TYPE_CHECKING:
    import pyarrow as pa

#: Characters that the server shows as a question mark in the names of types.
_WIDE = re.compile("[\U00010000-\U0010ffff]")
_BINARY = re.compile(r"binary\((\d+)\)$")
_ROUNDED = re.compile(r"(?:float|double)\(\d+,(\d+)\)")
_TIME = r"^-?\d{1,3}:\d\d(:\d\d(\.\d{0,6}0*)?)?$"
_YEARS = (1901, 2155)
#: UUIDs that the server cannot keep: a version of 8 or more, and a variant that it takes for a part of a time.
_NO_UUID = "^.{14}[89a-f].{4}(?:0[1-9a-f]|[1-7])"


def refuse_changed(values: pa.Array, source: Column, column: Column) -> None:
    """Refuse values that the column would hold as others.

    Raises
    ------
    ValueLossError
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    declared = column.declared.lower()
    if column.padded and not source.padded:
        why = f"a text ends with spaces, which {declared} takes away"
        refuse_where(pc.ends_with(values, " "), why, column, "declare the column VARCHAR in the target")
    elif size := _BINARY.match(declared):
        why = f"a value has less than the {size[1]} bytes to which {declared} fills it up"
        refuse_where(pc.less(pc.binary_length(values), int(size[1])), why, column, "declare the column VARBINARY")
    elif declared.startswith("year"):
        years = values.cast(pa.int64())
        odd = pc.invert(pc.or_(pc.equal(years, 0), pc.and_(*_between(years))))
        refuse_where(odd, "a number is no YEAR from 1901 to 2155, nor 0", column, "declare the column SMALLINT")
    elif declared.startswith("enum("):
        _refuse_labels(values, column)
    elif declared.startswith("set("):
        _refuse_sets(values, column)
    elif declared.startswith("time") and source.type.kind == "text" and column.type.kind == "native":
        odd = pc.invert(pc.match_substring_regex(values, _TIME))
        refuse_where(odd, "a text is no time of hours, minutes and seconds", column, "repair the value in the source")
    elif declared == "uuid":
        why = "a UUID has a version and a variant that the type UUID of MariaDB does not keep"
        refuse_where(pc.match_substring_regex(values, _NO_UUID), why, column, "declare the column CHAR(36)")
    elif digits := _ROUNDED.match(declared):
        _refuse_rounded(values, int(digits[1]), column)


def _between(years: pa.Array) -> tuple[pa.Array, pa.Array]:
    import pyarrow.compute as pc

    return pc.greater_equal(years, _YEARS[0]), pc.less_equal(years, _YEARS[1])


def _refuse_labels(values: pa.Array, column: Column) -> None:
    """Refuse texts that are no members of an ENUM."""
    known = set(column.labels or ())
    why, cure = "a text is no member of the ENUM in the target", "add it to the ENUM, or repair the value in the source"
    refuse_others(values, lambda text: () if _as_told(text) in known else (text,), why, column, cure)


def _refuse_sets(values: pa.Array, column: Column) -> None:
    """Refuse texts that a SET does not know, writes otherwise, or takes for numbers of members."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = column.labels or ()

    def others(text: str) -> list[str]:
        return [part for part in _parts(text) if _as_told(part) not in known]

    why = "a text names what is no member of the SET in the target"
    refuse_others(values, others, why, column, "add it to the SET, or repair the value in the source")

    def is_odd(text: str) -> bool:
        parts = [_as_told(part) for part in _parts(text)]
        return parts != [label for label in known if label in parts]

    different = [text for text in pc.unique(values).to_pylist() if text is not None and is_odd(text)]
    odd = pc.is_in(values, pa.array(different, type=pa.string()))
    why = "a text does not name members of the SET in the target, each once and in its order"
    refuse_where(odd, why, column, "give the SET these members in that order, or declare the column VARCHAR")


def _parts(text: str) -> list[str]:
    return text.split(",") if text else []


def _as_told(label: str) -> str:
    """Return a label as the names of types tell it."""
    return _WIDE.sub("?", label)


def _refuse_rounded(values: pa.Array, digits: int, column: Column) -> None:
    """Refuse numbers of more digits after the point than a FLOAT(M,D) or DOUBLE(M,D) keeps."""
    import numpy as np
    import pyarrow as pa

    numbers = values.to_numpy(zero_copy_only=False)
    odd = ~np.isnan(numbers) & (np.round(numbers.astype(np.float64), digits).astype(numbers.dtype) != numbers)
    why = f"a number has more than the {digits} digits after the point that {column.declared} keeps"
    refuse_where(pa.array(odd), why, column, "declare the column DOUBLE in the target")
