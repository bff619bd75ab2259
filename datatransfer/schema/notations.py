"""Dates and times as values of Arrow, and as PostgreSQL writes them where a column holds more than those."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from datatransfer.schema.values import LogicalType, to_json

if TYPE_CHECKING:
    import pyarrow as pa

_KINDS = {
    "postgresql:date": "date",
    "postgresql:time without time zone": "time",
    "postgresql:timestamp without time zone": "timestamp",
    "postgresql:timestamp with time zone": "timestamptz",
}


def is_written_as(kind: LogicalType, other: LogicalType) -> bool:
    """Return whether ``other`` is the text that PostgreSQL writes for values of ``kind``.

    Examples
    --------
    >>> is_written_as(LogicalType("date"), LogicalType("native", native="postgresql:date"))
    True
    """
    return other.kind == "native" and _KINDS.get(other.native) == kind.kind


def as_postgresql_writes(values: pa.Array, kind: LogicalType) -> pa.Array:
    """Return dates or times as the text that PostgreSQL writes in UTC.

    Examples
    --------
    >>> import datetime, pyarrow as pa
    >>> times = pa.array([datetime.time(12, 30, 0, 500000)])
    >>> as_postgresql_writes(times, LogicalType("time")).to_pylist()
    ['12:30:00.5']
    """
    import pyarrow as pa

    texts = to_json(values.to_pylist(), kind)
    return pa.array([None if text is None else from_iso(text) for text in texts], type=pa.string())


def from_iso(text: str) -> str:
    """Return a date or time in ISO 8601, in UTC, as PostgreSQL writes it.

    Examples
    --------
    >>> from_iso("2024-02-29T12:30:00.500000+00:00")
    '2024-02-29 12:30:00.5+00'
    """
    found = re.fullmatch(r"(?:(\d{4}-\d\d-\d\d)T)?(\d\d:\d\d:\d\d)(?:(\.\d*[1-9])0*)?(\+00)?(?::00)?", text)
    if found is None:  # a date, or in PostgreSQL's own notation already
        return text
    day, time, fraction, zone = (part or "" for part in found.groups())
    return f"{day}{' ' if day else ''}{time}{fraction}{zone}"
