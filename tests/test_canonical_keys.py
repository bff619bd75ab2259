"""The canonical keys of many rows are those of each row."""

from __future__ import annotations

import datetime as dt
import math

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datatransfer.errors import ValueLossError
from datatransfer.schema.identity import canonical_key, canonical_keys
from datatransfer.schema.values import LogicalType, tag

INTEGER = st.integers(-(2**63), 2**63 - 1)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ANY = st.one_of(INTEGER, st.floats(allow_nan=False, allow_infinity=False), TEXT, st.binary(max_size=5))


def both(columns: list[list[object]], kinds: list[LogicalType]) -> tuple[list[str], list[str]]:
    """Return the keys made at once, and those made one by one."""
    stored = [[tag(v) for v in values] if k.kind == "any" else values for values, k in zip(columns, kinds, strict=True)]
    arrays = [pa.array(values, type=k.arrow()) for values, k in zip(stored, kinds, strict=True)]
    return canonical_keys(arrays, kinds).to_pylist(), [canonical_key(row, kinds) for row in zip(*stored, strict=True)]


@settings(deadline=None)
@given(st.lists(st.tuples(INTEGER, TEXT, st.none() | ANY, st.binary(max_size=5)), min_size=1, max_size=20))
def test_keys_of_every_class_are_those_of_each_row(rows: list[tuple[object, ...]]) -> None:
    kinds = [LogicalType("integer", bits=64), LogicalType("text"), LogicalType("any"), LogicalType("bytes")]
    at_once, one_by_one = both([list(column) for column in zip(*rows, strict=True)], kinds)
    assert at_once == one_by_one


VALUES = {
    "date": [dt.date(1, 1, 1), dt.date(9999, 12, 31), None],
    "time": [dt.time(1, 2, 3), dt.time(1, 2, 3, 4)],
    "timestamp": [dt.datetime(2026, 1, 2), dt.datetime(2026, 1, 2, 3, 4, 5, 6)],
    "timestamptz": [dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)],
    "boolean": [True, False, None],
    "float": [0.1, -0.0, 1e300, 2.0**53, math.inf],
    "decimal": ["1.50", "NaN", "10"],
    "uuid": ["00000000-0000-0000-0000-00000000000a"],
    "enum": ["a", 'a"b\\\x00\x1f\x7f\u2028é', ""],
}


@pytest.mark.parametrize("kind", VALUES)
def test_keys_of_every_kind_are_those_of_each_row(kind: str) -> None:
    at_once, one_by_one = both([VALUES[kind]], [LogicalType(kind)])  # type: ignore[arg-type, list-item]
    assert at_once == one_by_one


def test_a_slice_of_a_column_is_read_from_where_it_begins() -> None:
    parts = [pa.array([b"a", b"bc", b"def"])[1:], pa.array([1, 2, 3])[1:]]
    found = canonical_keys(parts, [LogicalType("bytes"), LogicalType("integer", bits=64)]).to_pylist()
    assert found == ['[{"b":"6263"},2]', '[{"b":"646566"},3]']


def test_a_value_with_an_unknown_tag_is_refused() -> None:
    with pytest.raises(ValueLossError, match="no known tag"):
        canonical_keys([pa.array(["x1"])], [LogicalType("any")])


def test_keys_of_a_frame_are_keys() -> None:
    frame = pd.DataFrame({"id": [90], "name": ["a"], "share": [0.5]})
    for name in frame:
        assert canonical_key((frame[name].iloc[0],)) == canonical_key((frame[name].tolist()[0],))
