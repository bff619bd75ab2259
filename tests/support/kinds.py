"""What a column means, whatever the dialect, and the canonical form of its values.

A kind is one of ``integer, decimal, float, boolean, text, char, bytes, date, time, timestamp, timestamptz, uuid``
or ``json``. Values that do not fit their kind keep their Python type and text, so that they can only equal the same
misfit.
"""

from __future__ import annotations

import datetime as dt
import json
import re
import struct
import uuid
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, TypeAlias

Kinds: TypeAlias = Mapping[str, Mapping[str, str]]
Canonical: TypeAlias = Callable[[Any], tuple[str, bytes | None]]


def kind_of(declared: str) -> str:
    """Return the kind of a type's name as SQLite schemas declare it.

    Examples
    --------
    >>> [kind_of(t) for t in ("NVARCHAR(160)", "INT", "NUMERIC(10,2)", "BLOB SUB_TYPE TEXT", "CHAR(20)")]
    ['text', 'integer', 'decimal', 'text', 'char']
    """
    name = declared.upper()
    rules = [
        (r"^BOOL", "boolean"), (r"^(UUID|GUID|CHAR\((32|36)\)$)", "uuid"), (r"^JSON", "json"),
        (r"^(CHAR|NCHAR|CHARACTER)\b(?! VARYING)", "char"), (r"CHAR|CLOB|TEXT", "text"), (r"BLOB|BINARY|^$", "bytes"),
        (r"(TIMESTAMP|TIME) ?WITH TIME ZONE|TIMESTAMPTZ", "timestamptz"), (r"^(DATETIME|TIMESTAMP)", "timestamp"),
        (r"^DATE", "date"), (r"^TIME", "time"), (r"^(NUMERIC|DECIMAL)", "decimal"),
        (r"^(REAL|FLOAT|DOUBLE)", "float"), (r"INT", "integer"),
    ]  # fmt: skip
    return next((kind for pattern, kind in rules if re.search(pattern, name)), "text")


def canonical(kind: str) -> Canonical:
    """Return the function that turns a driver's value into its kind and canonical bytes."""
    function = _FUNCTIONS[kind]

    def convert(value: Any) -> tuple[str, bytes | None]:
        if value is None:
            return kind, None
        try:
            return kind, function(value)
        except (ValueError, TypeError, InvalidOperation):
            return f"{kind}?{type(value).__name__}", repr(value).encode()

    return convert


def _number(value: Any) -> bytes:
    """Decimal digits without trailing zeros; a float counts as the decimal of its shortest repr."""
    number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not number.is_finite():
        return str(number).encode()
    text = format(number, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return (text if text not in ("-0", "") else "0").encode()


def _integer(value: Any) -> bytes:
    if not isinstance(value, int | Decimal) or value != int(value):
        raise TypeError("not an integer")
    return str(int(value)).encode()


def _float(value: Any) -> bytes:
    return struct.pack(">d", float(value))


def _boolean(value: Any) -> bytes:
    if value not in (0, 1):
        raise ValueError("not a truth value")
    return b"1" if value else b"0"


def _text(value: Any) -> bytes:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value.encode("utf-8", "surrogatepass")


def _char(value: Any) -> bytes:
    return _text(value).rstrip(b" ")


def _bytes(value: Any) -> bytes:
    if isinstance(value, str):
        raise TypeError("not bytes")
    return bytes(value)


def _date(value: Any) -> bytes:
    if isinstance(value, str):
        moment = dt.datetime.fromisoformat(value)
        if moment.time() != dt.time():
            raise ValueError("a date with a time")
        value = moment.date()
    if isinstance(value, dt.datetime) or not isinstance(value, dt.date):
        raise TypeError("not a date")
    return value.isoformat().encode()


def _time(value: Any) -> bytes:
    if isinstance(value, dt.timedelta):  # what PyMySQL makes of TIME
        value = (dt.datetime.min + value).time()
    parsed = value if isinstance(value, dt.time) else dt.time.fromisoformat(value)
    return parsed.isoformat("microseconds").encode()


def _moment(value: Any) -> dt.datetime:
    return value if isinstance(value, dt.datetime) else dt.datetime.fromisoformat(value)


def _timestamp(value: Any) -> bytes:
    moment = _moment(value)
    if moment.tzinfo is not None:
        raise ValueError("a zone where none belongs")
    return moment.isoformat("T", "microseconds").encode()


def _timestamptz(value: Any) -> bytes:
    moment = _moment(value)
    # Databases without zones hold what was written in UTC.
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment.astimezone(dt.UTC)
    return moment.isoformat("T", "microseconds").encode()


def _uuid(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value.hex().encode()
    return uuid.UUID(str(value)).hex.encode()


def _json(value: Any) -> bytes:
    """Every member of an object, also one that comes twice, in the order of names; numbers by their digits."""
    if not isinstance(value, str | bytes):
        value = json.dumps(value)
    document = json.loads(value, object_pairs_hook=_members, parse_int=_digits, parse_float=_digits)
    return json.dumps(document, separators=(",", ":")).encode()


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    return {"members": sorted(([name, value] for name, value in pairs), key=json.dumps)}


def _digits(written: str) -> dict[str, str]:
    return {"number": _number(written).decode()}


_FUNCTIONS: dict[str, Callable[[Any], bytes]] = {
    "integer": _integer, "decimal": _number, "float": _float, "boolean": _boolean, "text": _text, "char": _char,
    "bytes": _bytes, "date": _date, "time": _time, "timestamp": _timestamp, "timestamptz": _timestamptz,
    "uuid": _uuid, "json": _json,
}  # fmt: skip
