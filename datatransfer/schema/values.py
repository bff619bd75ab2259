"""How one value crosses: logical type ⇄ Arrow ⇄ JSON, and what would be lost.

A column of a package has one logical type, and that type fixes how its values are stored in Arrow (and Parquet) and in
JSON. Nothing here knows a database.

==============  ======================  ==========================================================================
kind            Arrow                   JSON (``documents`` encoding)
==============  ======================  ==========================================================================
integer         int64, uint64           number
float           float64, float32        number; ``"NaN"``, ``"Infinity"``, ``"-Infinity"`` as text
decimal         string                  text, digits as the database gave them (scale kept, NaN possible)
boolean         bool                    true, false
text            string                  text
bytes           binary                  text, base64
date            date32                  text, ISO 8601
time            time64[us]              text, ISO 8601
timestamp       timestamp[us]           text, ISO 8601 without zone
timestamptz     timestamp[us, UTC]      text, ISO 8601 with ``+00:00``
uuid            string                  text, 36 characters in lower case
json            string                  text, the document as it was stored
enum            string                  text, the label
any             string, tagged          ``null``, or text: a tag and the value, see `tag`
native          string                  text in the source database's own notation of ``native``
==============  ======================  ==========================================================================
"""

from __future__ import annotations

import base64
import datetime as dt
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from datatransfer.errors import ValueLossError

if TYPE_CHECKING:
    import pyarrow as pa

Kind = Literal[
    "integer", "float", "decimal", "boolean", "text", "bytes", "date", "time", "timestamp", "timestamptz", "uuid",
    "json", "enum", "any", "native",
]  # fmt: skip
KINDS: tuple[str, ...] = get_args(Kind)


@dataclass(frozen=True)
class LogicalType:
    """What the values of a column are.

    Parameters
    ----------
    kind : str
        See the table in this module's docstring.
    bits : int
        Of an integer or float; 0 where the database sets no limit of its own.
    unsigned : bool
    precision, scale : int or None
        Of a decimal.
    length : int or None
        Of text or bytes, in characters or bytes.
    native : str
        With kind ``native``: ``"dialect:type"``, e.g. ``"postgresql:tsvector"``.

    Examples
    --------
    >>> LogicalType("decimal", precision=10, scale=2).to_json()
    {'kind': 'decimal', 'precision': 10, 'scale': 2}
    """

    kind: Kind
    bits: int = 0
    unsigned: bool = False
    precision: int | None = None
    scale: int | None = None
    length: int | None = None
    native: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the type as JSON data, without what is not set."""
        data: dict[str, Any] = {"kind": self.kind}
        for name in ("bits", "unsigned", "precision", "scale", "length", "native"):
            value = getattr(self, name)
            if value not in (0, False, None, "") or (
                value == 0 and name in ("precision", "scale") and value is not None
            ):
                data[name] = value
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LogicalType:
        """Make a type from what `to_json` returned.

        Raises
        ------
        ValueError
            The kind is not known.
        """
        if data.get("kind") not in KINDS:
            raise ValueError(f"unknown kind of value {data.get('kind')!r}")
        return cls(**data)

    @property
    def may_be_integer(self) -> bool:
        """Whether the values are integers, or may turn out to be (SQLite decides per value)."""
        return self.kind in ("integer", "any")

    def arrow(self) -> pa.DataType:
        """Return the Arrow type that stores the values."""
        import pyarrow as pa

        if self.kind == "integer":
            return pa.uint64() if self.unsigned and self.bits == 64 else pa.int64()
        if self.kind == "float":
            return pa.float32() if self.bits == 32 else pa.float64()
        simple: dict[str, Callable[[], pa.DataType]] = {
            "boolean": pa.bool_,
            "bytes": pa.binary,
            "date": pa.date32,
            "time": lambda: pa.time64("us"),
            "timestamp": lambda: pa.timestamp("us"),
            "timestamptz": lambda: pa.timestamp("us", "UTC"),
        }
        return simple.get(self.kind, pa.string)()


def arrow_schema(types: Mapping[str, LogicalType]) -> pa.Schema:
    """Return the Arrow schema of a part with these columns."""
    import pyarrow as pa

    return pa.schema([pa.field(name, kind.arrow()) for name, kind in types.items()])


def times_of_day(texts: pa.Array) -> pa.Array:
    """Read times as ISO 8601 writes them; Arrow itself reads moments only."""
    import pyarrow as pa
    import pyarrow.compute as pc

    moments = pc.binary_join_element_wise(pa.scalar("1970-01-01"), texts, " ")
    return moments.cast(pa.timestamp("us")).cast(pa.time64("us"))


# --- tagged values: a column whose values have several storage classes --------------------------------------------


def tag(value: object) -> str | None:
    """Write a value with its storage class in front, so that 1, 1.0, '1' and x'31' stay four values.

    Returns
    -------
    str or None
        ``i`` and digits, ``r`` and a float in hexadecimal, ``t`` and the text, ``b`` and hexadecimal bytes.

    Examples
    --------
    >>> [tag(v) for v in (1, 1.0, "1", b"1", None)]
    ['i1', 'r0x1.0000000000000p+0', 't1', 'b31', None]
    """
    if value is None:
        return None
    if isinstance(value, bool | int):
        return f"i{int(value)}"
    if isinstance(value, float):
        return f"r{value.hex()}"
    if isinstance(value, str):
        return f"t{value}"
    if isinstance(value, bytes | memoryview | bytearray):
        return f"b{bytes(value).hex()}"
    raise ValueLossError(f"a value of type {type(value).__name__} has no storage class")


def untag(tagged: str | None) -> int | float | str | bytes | None:
    """Return the value that `tag` wrote.

    Raises
    ------
    ValueLossError
        The text carries no known tag.
    """
    if tagged is None:
        return None
    head, rest = tagged[:1], tagged[1:]
    try:
        if head == "i":
            return int(rest)
        if head == "r":
            return float.fromhex(rest)
        if head == "b":
            return bytes.fromhex(rest)
    except ValueError as error:
        raise ValueLossError(f"a tagged value does not hold what its tag {head!r} says") from error
    if head == "t":
        return rest
    raise ValueLossError("a tagged value carries no known tag")


# --- JSON -----------------------------------------------------------------------------------------------------------

_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def _float_to_json(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _float_from_json(value: Any) -> float:
    return _NOT_FINITE[value] if isinstance(value, str) else float(value)


def to_json(values: Sequence[Any], kind: LogicalType) -> list[Any]:
    """Turn the Python values of an Arrow column into JSON values, exactly."""
    convert: dict[str, Callable[[Any], Any]] = {
        "float": _float_to_json,
        "bytes": lambda v: base64.b64encode(v).decode("ascii"),
        "date": dt.date.isoformat,
        "time": dt.time.isoformat,
        "timestamp": lambda v: v.isoformat(sep="T"),
        "timestamptz": lambda v: v.isoformat(sep="T"),
    }
    function = convert.get(kind.kind)
    if function is None:
        return list(values)
    return [None if value is None else function(value) for value in values]


def from_json(values: Sequence[Any], kind: LogicalType) -> pa.Array:
    """Turn JSON values back into an Arrow column.

    Raises
    ------
    ValueLossError
        A value is not of the column's type.
    """
    import pyarrow as pa

    convert: dict[str, Callable[[Any], Any]] = {
        "float": _float_from_json,
        "bytes": lambda v: base64.b64decode(v, validate=True),
        "date": dt.date.fromisoformat,
        "time": dt.time.fromisoformat,
        "timestamp": dt.datetime.fromisoformat,
        "timestamptz": dt.datetime.fromisoformat,
    }
    expected: dict[str, type | tuple[type, ...]] = {"integer": int, "float": (int, float, str), "boolean": bool}
    allowed = expected.get(kind.kind, str)
    function = convert.get(kind.kind)
    try:
        plain: list[Any] = []
        for value in values:
            if value is None:
                plain.append(None)
                continue
            if not isinstance(value, allowed) or (isinstance(value, bool) and kind.kind != "boolean"):
                raise ValueError(f"a {type(value).__name__} where a value of kind {kind.kind} belongs")
            plain.append(function(value) if function else value)
        return pa.array(plain, type=kind.arrow())
    except (ValueError, KeyError, OverflowError, pa.ArrowInvalid) as error:
        raise ValueLossError(f"a value is not of kind {kind.kind}") from error
