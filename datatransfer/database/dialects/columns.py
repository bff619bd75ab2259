"""One column of raw driver values becomes one Arrow array, exactly, or `ValueLossError` names table and column.

Knows Python values and logical types, no database.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from datatransfer.errors import ValueLossError
from datatransfer.schema.values import LogicalType, tag, times_of_day

if TYPE_CHECKING:
    import pyarrow as pa


def _decimal(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Decimal):
        return format(value, "f") if value.is_finite() else str(value)
    if isinstance(value, int):
        return str(value)
    raise TypeError("not a decimal")


def _integer(value: Any) -> int:
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Decimal | float) and value == int(value):
        return int(value)
    raise TypeError("not an integer")


def _float(value: Any) -> float:
    number = float(value)
    if isinstance(value, str) or (isinstance(value, int | Decimal) and number != value):
        raise TypeError("not a float")
    return number


def _boolean(value: Any) -> bool:
    if value in (0, 1):
        return bool(value)
    raise TypeError("not a boolean")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise TypeError("not text")


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    raise TypeError("not bytes")


def _date(value: Any) -> dt.date:
    if isinstance(value, dt.datetime):
        if value.time() != dt.time() or value.tzinfo:
            raise TypeError("not a date")
        return value.date()
    if isinstance(value, dt.date):
        return value
    raise TypeError("not a date")


def _time(value: Any) -> dt.time:
    if isinstance(value, dt.time) and value.tzinfo is None:
        return value
    raise TypeError("not a time of day")


def _timestamp(value: Any) -> dt.datetime:
    if isinstance(value, dt.datetime) and value.tzinfo is None:
        return value
    raise TypeError("not a timestamp without zone")


def _timestamptz(value: Any) -> dt.datetime:
    if isinstance(value, dt.datetime) and value.tzinfo is not None:
        return value.astimezone(dt.UTC)
    raise TypeError("not a timestamp with zone")


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "integer": _integer,
    "float": _float,
    "decimal": _decimal,
    "boolean": _boolean,
    "text": _text,
    "bytes": _bytes,
    "date": _date,
    "time": _time,
    "timestamp": _timestamp,
    "timestamptz": _timestamptz,
    "uuid": lambda v: str(v).lower(),
    "json": _text,
    "enum": _text,
    "native": _text,
    "any": tag,
}
# Arrow itself takes exactly these Python types and no other for these kinds, so that no look at each cell is needed.
_PLAIN: dict[str, frozenset[type]] = {
    "integer": frozenset({int}),
    "float": frozenset({float}),
    "text": frozenset({str}),
    "decimal": frozenset({str}),
    "json": frozenset({str}),
    "enum": frozenset({str}),
    "native": frozenset({str}),
    "bytes": frozenset({bytes}),
    "boolean": frozenset({bool}),
    "time": frozenset({dt.time}),
    "date": frozenset({dt.date}),
}
_NONE = type(None)


def value_loss(table: str, column: str, kind: LogicalType, why: str = "", *, key: Sequence[str] = ()) -> ValueLossError:
    """Return the error that says which column cannot be carried, without the value; ``key`` is the table's."""
    reason = why or f"a value cannot be carried exactly as {kind.native or kind.kind}"
    hint = "repair the value in the source, or leave the row out"
    if column not in key:
        hint = f'leave_out("{table}.{column}") keeps the column out; or repair the value in the source'
    return ValueLossError(reason, where=f"{table}.{column}", hint=hint)


def column_array(
    values: Sequence[Any], kind: LogicalType, *, table: str, column: str, key: Sequence[str] = ()
) -> pa.Array:
    """Make an Arrow array of one column's values.

    Parameters
    ----------
    values : sequence
        As the driver gave them, None for NULL.
    kind : LogicalType
    table, column : str
        For the error.
    key : sequence of str, optional
        The columns of the table's key, which cannot be left out.

    Returns
    -------
    pyarrow.Array
        Of type ``kind.arrow()``.

    Raises
    ------
    ValueLossError
        A value is not exactly of that kind.
    """
    import pyarrow as pa

    arrow = kind.arrow()
    try:
        seen = set(map(type, values))
        seen.discard(_NONE)
        if seen <= _PLAIN.get(kind.kind, frozenset()):
            return pa.array(values, type=arrow)
        if seen == {str} and kind.kind in ("date", "time", "timestamp", "timestamptz"):
            return _parsed(pa.array(values, type=pa.string()), kind)
        convert = _CONVERT[kind.kind]
        return pa.array([None if value is None else convert(value) for value in values], type=arrow)
    except (ValueLossError, ValueError, TypeError, OverflowError, ArithmeticError, pa.ArrowException):
        # Arrow's messages quote the value, so they are not passed on.
        raise value_loss(table, column, kind, key=key) from None


def _parsed(texts: pa.Array, kind: LogicalType) -> pa.Array:
    """Read ISO dates and times that a database wrote as text, in UTC; years 1 to 9999 only."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if kind.kind == "time":
        return times_of_day(texts)
    if kind.kind == "date":
        first, last = dt.date.min, dt.date.max
        found = texts.cast(pa.date32())
    else:
        first, last = dt.datetime.min, dt.datetime.max
        found = texts.cast(pa.timestamp("us"))
    limits = pc.min_max(found).as_py()
    if limits["min"] is not None and not first <= limits["min"] <= limits["max"] <= last:
        raise ValueError("a year outside 1 to 9999")
    return found.cast(kind.arrow()) if kind.kind != "timestamptz" else pc.assume_timezone(found, "UTC")
