"""A column of several classes is made at once, as value by value."""

from __future__ import annotations

import math
import struct

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from datatransfer.schema.tags import hexadecimal_floats, tagged_column
from datatransfer.schema.values import tag

FLOATS = st.floats() | st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("d", struct.pack("Q", bits))[0])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.none() | st.integers(-(2**63), 2**63 - 1) | FLOATS | TEXTS | st.binary(max_size=4)
EMPTY = {"i": 0, "r": 0.0, "t": "", "b": b""}
TYPES = {"i": pa.int64(), "r": pa.float64(), "t": pa.string(), "b": pa.binary()}


@settings(deadline=None)
@given(st.lists(FLOATS))
def test_floats_are_written_to_the_last_bit(values: list[float]) -> None:
    values += [
        0.0,
        -0.0,
        5e-324,
        -5e-324,
        2.2250738585072014e-308,
        1.7976931348623157e308,
        math.inf,
        -math.inf,
        math.nan,
    ]
    found = hexadecimal_floats(pa.array([1.5, *values])[1:]).to_pylist()
    assert found == [value.hex() for value in values]


@settings(deadline=None)
@given(st.lists(VALUES))
def test_values_keep_their_class(values: list[object]) -> None:
    tags = [tag(value) for value in values]
    heads = [None if text is None else text[0] for text in tags]
    parts = {
        head: pa.array([v if h == head else EMPTY[head] for h, v in zip(heads, values, strict=True)], kind)
        for head, kind in TYPES.items()
    }
    assert tagged_column(pa.array(heads, pa.string()), parts).to_pylist() == tags
