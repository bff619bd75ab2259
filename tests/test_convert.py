"""A value crosses into a column of another kind exactly, or not at all."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pyarrow as pa
import pytest

from datatransfer.errors import ValueLossError
from datatransfer.package.convert import converter, convertible
from datatransfer.schema.keysets import KeySet
from datatransfer.schema.values import LogicalType, tag

_UUID = "6fa459ea-ee8a-3ca4-894e-db77e160355e"
INTEGER, FLOAT, TEXT = LogicalType("integer"), LogicalType("float"), LogicalType("text")


@pytest.mark.parametrize(
    ("source", "target", "values", "expected"),
    [
        (INTEGER, LogicalType("boolean"), [0, 1, None], [False, True, None]),
        (INTEGER, LogicalType("decimal", precision=5, scale=2), [7, -1], ["7", "-1"]),
        (FLOAT, LogicalType("decimal", precision=5, scale=2), [0.99, 1e2, None], ["0.99", "100", None]),
        (FLOAT, INTEGER, [2.0, -3.0], [2, -3]),
        (TEXT, LogicalType("timestamp"), ["2005-05-25 11:30:37.000"], [dt.datetime(2005, 5, 25, 11, 30, 37)]),
        (TEXT, LogicalType("date"), ["1962-02-18", "1962-02-18 00:00:00"], [dt.date(1962, 2, 18)] * 2),
        (TEXT, LogicalType("time"), ["12:30:00.5", "07:08", None], [dt.time(12, 30, 0, 500000), dt.time(7, 8), None]),
        (LogicalType("decimal"), LogicalType("float", bits=32), ["0.5", "16777216", None], [0.5, 16777216.0, None]),
        (LogicalType("any"), LogicalType("decimal", precision=5, scale=2), [tag(4), tag(2.99)], ["4", "2.99"]),
        (LogicalType("any"), FLOAT, [tag(4), tag(2.5), None], [4.0, 2.5, None]),
        (LogicalType("uuid"), LogicalType("text", length=32), [_UUID, None], [_UUID.replace("-", ""), None]),
        (LogicalType("uuid"), LogicalType("text", length=36), [_UUID], [_UUID]),
    ],
)
def test_what_fits_comes_through(
    source: LogicalType, target: LogicalType, values: list[Any], expected: list[Any]
) -> None:
    assert convertible(source, target)
    assert converter(source, target)(pa.array(values, type=source.arrow())).to_pylist() == expected


@pytest.mark.parametrize(
    ("source", "target", "values"),
    [
        (INTEGER, LogicalType("boolean"), [2]),
        (INTEGER, LogicalType("integer", bits=16), [40000]),
        (INTEGER, LogicalType("integer", bits=32, unsigned=True), [-1]),
        (INTEGER, FLOAT, [2**53 + 1]),
        (FLOAT, INTEGER, [1.5]),
        (FLOAT, LogicalType("float", bits=32), [0.1]),
        (FLOAT, LogicalType("decimal", precision=5, scale=2), [float("nan")]),
        (FLOAT, LogicalType("decimal", precision=5, scale=2), [0.999]),
        (LogicalType("decimal"), LogicalType("decimal", precision=4, scale=1), ["1234.5"]),
        (LogicalType("decimal"), FLOAT, ["0.12345678901234567890123"]),
        (TEXT, LogicalType("text", length=3), ["äöüß"]),
        (TEXT, LogicalType("timestamp"), ["yesterday"]),
        (TEXT, LogicalType("timestamptz"), ["2005-05-25 11:30:37"]),
        (TEXT, LogicalType("date"), ["1962-02-18 00:00:01"]),
        (TEXT, LogicalType("time"), ["24:00:00"]),
        (TEXT, LogicalType("time"), ["12:30+01"]),
        (LogicalType("decimal"), LogicalType("float", bits=32), ["0.1"]),
        (LogicalType("any"), LogicalType("float", bits=32), [tag(0.1)]),
        (LogicalType("any"), INTEGER, [tag("1")]),
    ],
)
def test_what_would_be_lost_is_refused(source: LogicalType, target: LogicalType, values: list[Any]) -> None:
    with pytest.raises(ValueLossError, match=r"t\.c"):
        converter(source, target, where="t.c")(pa.array(values, type=source.arrow()))


def test_a_column_of_whole_seconds_takes_no_microseconds() -> None:
    kind = LogicalType("timestamp")
    whole, part = dt.datetime(2020, 1, 1, 1, 2, 3), dt.datetime(2020, 1, 1, 1, 2, 3, 4)
    run = converter(kind, kind, fraction_digits=0)
    assert run(pa.array([whole], type=kind.arrow())).to_pylist() == [whole]
    with pytest.raises(ValueLossError):
        run(pa.array([part], type=kind.arrow()))


def test_a_key_set_knows_what_it_saw() -> None:
    seen = KeySet()
    seen.add(pa.array([100, 5, 7, None]))
    seen.add(pa.array([3, 1_000_000, -9]))
    assert seen.usable
    assert not seen.missing(pa.array([100, 5, 7, 3, 1_000_000, -9, None])).any()
    assert seen.missing(pa.array([4, 6, 99, -10, 2_000_000, 2**62, -(2**63)])).all()


def test_a_key_set_gives_up_on_keys_far_apart() -> None:
    seen = KeySet()
    seen.add(pa.array([0, 2**40]))
    assert not seen.usable
