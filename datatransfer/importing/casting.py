"""Lossy conversions that were asked for: digits rounded, texts cut, times shortened; and which values changed by it.

Arrow in, Arrow out, a column at a time. What cannot be said as the other kind at all, or is out of its range, is
refused as in `datatransfer.package.convert`; nothing becomes NULL, and no number becomes another one of its size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from datatransfer.errors import ValueLossError
from datatransfer.package.convert import converter
from datatransfer.schema.values import LogicalType, times_of_day, untag

if TYPE_CHECKING:
    import pyarrow as pa

_NUMBERS = ("integer", "float", "decimal", "boolean")
_TIMES = ("date", "timestamp", "timestamptz")
_TEXTS = ("text", "enum", "json", "uuid")
#: What each kind can become on request, besides itself.
CASTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_NUMBERS, (*_NUMBERS, "text")),
    **dict.fromkeys(_TIMES, (*_TIMES, "text")),
    "time": ("text",),
    **dict.fromkeys(_TEXTS, (*_NUMBERS, *_TIMES, *_TEXTS, "time", "bytes")),
    "any": (*_NUMBERS, *_TIMES, *_TEXTS, "time"),
    "bytes": (),
    "native": ("text",),
}
_TRUE, _FALSE = ["true", "t", "yes", "on", "1"], ["false", "f", "no", "off", "0"]
_DIGITS = 38
"""Before and after the point, of decimals that are rounded."""


def castable(source: LogicalType, target: LogicalType) -> bool:
    """Return whether values of one kind can become another on request."""
    same = source.kind == target.kind and source.kind not in ("any", "native")
    return same or target.kind in CASTS[source.kind]


@dataclass
class Cast:
    """A conversion that may lose something, counting what it changes.

    Parameters
    ----------
    source, target : LogicalType
    fraction_digits : int
        Digits of a second that the target column keeps.
    where : str
        Table and column, for errors.

    Attributes
    ----------
    values, changed : int
        How many values there were, NULL not counted, and how many are others now.
    """

    source: LogicalType
    target: LogicalType
    fraction_digits: int = 6
    where: str = ""
    values: int = 0
    changed: int = 0

    def __call__(self, array: pa.Array) -> pa.Array:
        """Convert a column.

        Raises
        ------
        ValueLossError
            A value cannot become the other kind.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            cast, same = _cast(array, self.source, self.target, self.fraction_digits)
        except (pa.ArrowInvalid, ValueError, OverflowError) as error:
            raise ValueLossError(
                f"a value of kind {self.source.kind} cannot become one of kind {self.target.kind}",
                where=self.where,
                hint="drop the column, or leave these rows out",
            ) from error
        limits = converter(
            LogicalType(self.target.kind), self.target, fraction_digits=self.fraction_digits, where=self.where
        )
        checked = limits(cast)
        self.values += len(array) - array.null_count
        self.changed += int(pc.sum(pc.invert(same)).as_py() or 0)
        return checked


def _cast(array: pa.Array, source: LogicalType, target: LogicalType, fraction_digits: int) -> tuple[pa.Array, pa.Array]:
    """Return what values become, and which of them are the same still."""
    import pyarrow.compute as pc

    if source.kind == "any":
        array, source = _untagged(array), LogicalType("text")
    changed = _to(target.kind)(array, source, target)
    if target.kind in ("timestamp", "timestamptz", "time"):
        changed = _shortened(changed, fraction_digits)
    return changed, pc.coalesce(_same(array, changed, source, target), pc.is_null(array))


def _to(kind: str) -> Callable[[pa.Array, LogicalType, LogicalType], pa.Array]:
    found: dict[str, Callable[[pa.Array, LogicalType, LogicalType], pa.Array]] = {
        "integer": _to_integer, "float": _to_float, "decimal": _to_decimal, "boolean": _to_boolean, "bytes": _to_bytes,
        "date": _to_time, "timestamp": _to_time, "timestamptz": _to_time, "time": _to_time_of_day,
    }  # fmt: skip
    return found.get(kind, _to_text)


def _untagged(array: pa.Array) -> pa.Array:
    """Return values of several storage classes as texts."""
    import pyarrow as pa

    values = [untag(tagged) for tagged in array.to_pylist()]
    if any(isinstance(value, bytes) for value in values):
        raise ValueError("bytes are no text")
    return pa.array([None if v is None else str(v) for v in values], type=pa.string())


# --- numbers --------------------------------------------------------------------------------------------------------


def _number_text(array: pa.Array, source: LogicalType) -> pa.Array:
    """Return numbers, also those that are written in a text, as digits."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if source.kind == "boolean":
        return array.cast(pa.int64()).cast(pa.string())
    return pc.utf8_trim_whitespace(array) if source.kind in _TEXTS else array.cast(pa.string())


def _rounded(text: pa.Array, digits: int) -> pa.Array:
    """Round decimals to digits after the point, halves away from zero."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wide = text.cast(pa.decimal256(2 * _DIGITS, _DIGITS))
    return pc.round(wide, ndigits=digits, round_mode="half_towards_infinity").cast(pa.decimal256(2 * _DIGITS, digits))


def _to_integer(array: pa.Array, source: LogicalType, target: LogicalType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if source.kind in ("integer", "boolean"):
        return array.cast(target.arrow())
    if source.kind == "float":
        return pc.round(array.cast(pa.float64()), round_mode="half_towards_infinity").cast(target.arrow())
    return _rounded(_number_text(array, source), 0).cast(pa.string()).cast(target.arrow())


def _to_float(array: pa.Array, source: LogicalType, target: LogicalType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    wide = array if source.kind == "float" else None
    if source.kind == "integer":
        wide = array.cast(pa.float64(), safe=False)
    if wide is None:
        wide = _number_text(array, source).cast(pa.float64())
    narrow = wide.cast(target.arrow(), safe=False)
    if pc.any(pc.and_(pc.is_inf(narrow), pc.invert(pc.is_inf(wide))), min_count=0).as_py():
        raise ValueError("a number is out of the range of a float")
    return narrow


def _to_decimal(array: pa.Array, source: LogicalType, target: LogicalType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = _number_text(array, source)
    named = pc.equal(text, "NaN")
    digits = min(target.scale or 0, _DIGITS) if target.precision is not None else _DIGITS
    rounded = _rounded(pc.if_else(named, pa.scalar(None, pa.string()), text), digits).cast(pa.string())
    if target.precision is None:
        rounded = _normal(rounded)
    return pc.if_else(named, pa.scalar("NaN"), rounded)


def _to_boolean(array: pa.Array, source: LogicalType, _target: LogicalType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if source.kind == "boolean":
        return array
    if source.kind in ("integer", "float"):
        return pc.not_equal(array, pa.scalar(0, array.type))
    text = pc.utf8_lower(_number_text(array, source))
    words = pc.is_in(text, pa.array([*_TRUE, *_FALSE]))
    numbers = pc.not_equal(pc.if_else(words, "0", text).cast(pa.float64()), 0.0)  # refuses what is no number
    said = pc.if_else(words, pc.is_in(text, pa.array(_TRUE)), numbers)
    return pc.if_else(pc.is_null(array), pa.scalar(None, pa.bool_()), said)


# --- texts and times ------------------------------------------------------------------------------------------------


def _to_text(array: pa.Array, source: LogicalType, target: LogicalType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = array if source.kind in (*_TEXTS, "decimal", "native") else array.cast(pa.string())
    if target.kind != "text":  # an UUID, a document, a label: as it is, and checked
        return converter(LogicalType("text"), target)(text)
    return pc.utf8_slice_codeunits(text, 0, target.length) if target.length else text


def _to_bytes(array: pa.Array, _source: LogicalType, target: LogicalType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    whole = array.cast(pa.binary())
    return pc.binary_slice(whole, 0, target.length) if target.length else whole


def _to_time(array: pa.Array, source: LogicalType, target: LogicalType) -> pa.Array:
    """Turn a moment into another kind of moment; where no zone is named it is UTC."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if source.kind in _TEXTS:
        text = pc.utf8_trim_whitespace(array)
        zone = pc.match_substring_regex(text, r":\d\d.*(Z|[+-]\d\d(:?\d\d)?)$")
        zoned = pc.if_else(zone, text, pa.scalar(None, pa.string())).cast(pa.timestamp("us", "UTC"))
        bare = pc.if_else(zone, pa.scalar(None, pa.string()), text).cast(pa.timestamp("us"))
        moments = pc.coalesce(zoned.cast(pa.timestamp("us")), bare)
    else:
        moments = array.cast(pa.timestamp("us"))
    if target.kind == "timestamptz":
        return pc.assume_timezone(moments, "UTC")
    return moments.cast(target.arrow(), safe=False)


def _to_time_of_day(array: pa.Array, source: LogicalType, target: LogicalType) -> pa.Array:
    import pyarrow.compute as pc

    return array if source.kind == "time" else times_of_day(pc.utf8_trim_whitespace(array))


def _shortened(array: pa.Array, fraction_digits: int) -> pa.Array:
    """Cut the digits of a second that the target does not keep; times before 1970 go towards the past as well."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if fraction_digits >= 6:
        return array
    step = 10 ** (6 - fraction_digits)
    micros = array.cast(pa.int64())
    rest = pc.subtract(micros, pc.multiply(pc.divide(micros, step), step))
    rest = pc.if_else(pc.less(rest, 0), pc.add(rest, step), rest)
    return pc.subtract(micros, rest).cast(array.type)


# --- what changed ---------------------------------------------------------------------------------------------------


def _same(before: pa.Array, after: pa.Array, source: LogicalType, target: LogicalType) -> pa.Array:
    """Say which values mean what they meant."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if target.kind in ("text", "uuid", "json", "enum"):
        length = target.length if target.kind == "text" else None
        return pc.less_equal(pc.utf8_length(_to_text(before, source, LogicalType("text"))), length or 2**31 - 1)
    if target.kind == "bytes":
        return pc.equal(pc.binary_length(before.cast(pa.binary())), pc.binary_length(after))
    if target.kind in _TIMES:
        return pc.equal(_to_time(before, source, LogicalType("timestamp")), after.cast(pa.timestamp("us")))
    if target.kind == "time":
        return pc.equal(_to_time_of_day(before, source, target), after)
    if target.kind == "boolean" and source.kind in _TEXTS:
        return pc.or_(after, pc.invert(pc.equal(before, "")))  # words have no other meaning
    return _same_numbers(_number_text(before, source), _number_text(after, target))


def _same_numbers(before: pa.Array, after: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    same = pc.equal(_normal(before), _normal(after))
    odd = pc.and_(pc.invert(same), pc.match_substring_regex(pc.binary_join_element_wise(before, after, ""), "[eE+]"))
    if not pc.any(odd, min_count=0).as_py():
        return same
    # Few, and written in powers of ten: compared one by one.
    pairs = zip(before.filter(odd).to_pylist(), after.filter(odd).to_pylist(), strict=True)
    return pc.replace_with_mask(same, pc.coalesce(odd, False), pa.array([Decimal(a) == Decimal(b) for a, b in pairs]))


def _normal(text: pa.Array) -> pa.Array:
    """Return digits without those that say nothing."""
    import pyarrow.compute as pc

    bare = pc.replace_substring_regex(text, r"^(-?)0+(\d)", r"\1\2")
    bare = pc.replace_substring_regex(bare, r"(\.\d*?)0+$", r"\1")
    bare = pc.replace_substring_regex(bare, r"\.$", "")
    return pc.replace_substring_regex(bare, r"^-0$", "0")
