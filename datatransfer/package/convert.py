"""One column of a package turned into the values that a target column takes: exactly, or not at all.

Everything here is Arrow in, Arrow out, a column at a time. Nothing here knows a database; what a target column takes is
said by its logical type.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from datatransfer.display.plain import counted
from datatransfer.errors import ValueLossError
from datatransfer.schema.values import LogicalType, times_of_day, untag

if TYPE_CHECKING:
    import pyarrow as pa

Convert = Callable[["pa.Array"], "pa.Array"]

_TEXTUAL = ("text", "enum", "json", "uuid", "decimal")
#: (kind in the package, kind in the target) that can be tried; whether each value survives is then checked.
_ALLOWED = {
    ("integer", "float"), ("integer", "decimal"), ("integer", "boolean"), ("boolean", "integer"),
    ("boolean", "decimal"), ("float", "decimal"), ("float", "integer"), ("decimal", "float"), ("decimal", "integer"),
    ("text", "date"), ("text", "time"), ("text", "timestamp"), ("text", "timestamptz"), ("text", "uuid"),
    ("text", "json"), ("text", "enum"), ("uuid", "text"), ("json", "text"), ("enum", "text"),
    ("date", "timestamp"), ("timestamp", "date"),
    ("any", "integer"), ("any", "float"), ("any", "decimal"), ("any", "text"), ("any", "bytes"), ("any", "boolean"),
}  # fmt: skip


def convertible(source: LogicalType, target: LogicalType) -> bool:
    """Return whether values of one type may be tried in a column of another."""
    if source.kind == target.kind:
        return source.kind != "native" or _native_fits(source.native, target.native)
    if source.kind == "text" and target.kind == "native":
        return True
    return (source.kind, target.kind) in _ALLOWED


def _native_fits(source: str, target: str) -> bool:
    """Return whether a type keeps every value of another; PostgreSQL's casts cut and round without a word."""
    if not source.startswith("postgresql:"):
        return source.split("(")[0] == target.split("(")[0]
    bare = _LIMITS.sub("", target)
    kind = bare.removeprefix("postgresql:").removesuffix("[]")
    mine, theirs = ([int(n) for found in _LIMITS.findall(name) for n in found.split(",")] for name in (source, target))
    if _LIMITS.sub("", source) != bare:
        return False
    if not theirs or mine == theirs:
        return True
    if not mine and kind.startswith(("interval", "time")):
        mine = [6]
    if not mine or kind in ("bit", "character"):  # without a limit; or filled up to it
        return False
    if kind == "numeric":
        return theirs[1] >= mine[1] and theirs[0] - theirs[1] >= mine[0] - mine[1]
    return all(there >= here for here, there in zip(mine, theirs, strict=True))


_LIMITS = re.compile(r"\((-?\d+(?:,-?\d+)*)\)")


def converter(source: LogicalType, target: LogicalType, *, fraction_digits: int = 6, where: str = "") -> Convert:
    """Return a function that turns a package column into a target column.

    Parameters
    ----------
    source, target : LogicalType
    fraction_digits : int
        Digits of a second that the target column keeps.
    where : str
        Table and column, for the error.

    Returns
    -------
    callable
        Takes and returns an Arrow array; raises `ValueLossError` where a value would not survive.
    """

    def run(array: pa.Array) -> pa.Array:
        import pyarrow as pa
        import pyarrow.compute as pc

        try:
            changed = _change(array, source, target)
        except (pa.ArrowInvalid, ValueError, OverflowError) as error:
            raise ValueLossError(
                f"a value of kind {source.kind} does not fit kind {target.kind}",
                where=where,
                hint="change the column in the target, or leave these rows out",
            ) from error
        problem, fits = _loss(changed, source, target, fraction_digits)
        if fits is not None:
            rows = {"rows": len(fits) - int(pc.sum(fits).as_py() or 0) - fits.null_count}
            raise ValueLossError(problem, where=where, hint="widen the column in the target", evidence=rows)
        return changed

    return run


def _change(array: pa.Array, source: LogicalType, target: LogicalType) -> pa.Array:
    if source.kind == "any" and target.kind != "any":
        return _from_any(array, target)
    if source.kind == target.kind:
        if source.kind == "integer" and array.type != target.arrow():
            return array.cast(target.arrow())
        if source.kind == "float" and array.type != target.arrow():
            return _exact_float(array, target)
        return array
    pair = (source.kind, target.kind)
    special = _SPECIAL.get(pair)
    if special is not None:
        return special(array, target)
    return array.cast(target.arrow())


def _exact_float(array: pa.Array, target: LogicalType) -> pa.Array:
    import pyarrow.compute as pc

    narrow = array.cast(target.arrow(), safe=False)
    back = narrow.cast(array.type)
    same = pc.or_(pc.equal(back, array), pc.and_(pc.is_nan(back), pc.is_nan(array)))
    if not _all(same):
        raise ValueError("a float does not fit 32 bits")
    return narrow


def _from_any(array: pa.Array, target: LogicalType) -> pa.Array:
    import pyarrow as pa

    allowed: dict[str, tuple[type, ...]] = {
        "integer": (int,), "boolean": (int,), "float": (int, float), "decimal": (int, float), "text": (str,),
        "bytes": (bytes,),
    }  # fmt: skip
    values: list[object] = []
    for tagged in array.to_pylist():
        value = untag(tagged)
        if value is not None and not isinstance(value, allowed[target.kind]):
            raise ValueError("a value has another storage class")
        if value is not None and target.kind == "decimal":
            value = _number_text(value)  # type: ignore[arg-type]
        elif value is not None and target.kind == "float":
            if isinstance(value, int) and int(float(value)) != value:
                raise ValueError("an integer does not fit a float")
            value = float(value)
        elif value is not None and target.kind == "boolean":
            if value not in (0, 1):
                raise ValueError("an integer is neither 0 nor 1")
            value = bool(value)
        values.append(value)
    if target.kind == "float":
        return _exact_float(pa.array(values, type=pa.float64()), target)
    return pa.array(values, type=target.arrow())


def _number_text(value: float | int) -> str:
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError("not a finite number")
        from decimal import Decimal

        return format(Decimal(repr(value)), "f")
    return str(value)


def _float_to_decimal(array: pa.Array, _target: LogicalType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    text = array.cast(pa.string())  # the shortest digits that name the float
    if _all(pc.match_substring_regex(text, r"^-?\d+(\.\d+)?$")):
        return text
    return pa.array([None if v is None else _number_text(v) for v in array.to_pylist()], type=pa.string())


def _decimal_to_float(array: pa.Array, target: LogicalType) -> pa.Array:
    from decimal import Decimal

    import pyarrow as pa

    values: list[float | None] = []
    for text in array.to_pylist():
        number = None if text is None else float(text)
        if number is not None and number == number and Decimal(repr(number)) != Decimal(text):
            raise ValueError("a decimal does not fit a float")
        values.append(number)
    return _exact_float(pa.array(values, type=pa.float64()), target)


def _decimal_to_integer(array: pa.Array, target: LogicalType) -> pa.Array:
    import pyarrow as pa

    from_text = [None if v is None else int(re.sub(r"\.0*$", "", v)) for v in array.to_pylist()]
    return pa.array(from_text, type=target.arrow())


def _integer_to_boolean(array: pa.Array, _target: LogicalType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if not _all(pc.is_in(array, pa.array([0, 1, None], type=array.type))):
        raise ValueError("an integer is neither 0 nor 1")
    return array.cast(pa.bool_())


def _text_to_timestamp(array: pa.Array, target: LogicalType) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if target.kind == "timestamptz":
        # Arrow reads an offset only when it is there; a text without one names no instant.
        if not _all(pc.match_substring_regex(array, r"(Z|[+-]\d\d(:?\d\d)?)$")):
            raise ValueError("a text names no time zone")
        return array.cast(target.arrow())
    return array.cast(pa.timestamp("us"))


def _text_to_date(array: pa.Array, target: LogicalType) -> pa.Array:
    import pyarrow as pa

    return _timestamp_to_date(array.cast(pa.timestamp("us")), target)


def _timestamp_to_date(array: pa.Array, target: LogicalType) -> pa.Array:
    import pyarrow.compute as pc

    days = array.cast(target.arrow())  # truncates without a word
    if not _all(pc.equal(days.cast(array.type), array)):
        raise ValueError("a timestamp is not midnight")
    return days


def _uuid_to_text(array: pa.Array, target: LogicalType) -> pa.Array:
    """Write UUIDs into 32 characters without their dashes, as SQLAlchemy's `Uuid` does where no type is for them."""
    import pyarrow.compute as pc

    text = array.cast(target.arrow())
    return pc.replace_substring(text, "-", "") if target.length == _DIGITS_OF_UUID else text


def _text_to_uuid(array: pa.Array, target: LogicalType) -> pa.Array:
    """Write UUIDs, with dashes or without, as the databases do that have a type for them."""
    import pyarrow.compute as pc

    digits = pc.utf8_lower(pc.replace_substring_regex(array.cast(target.arrow()), "[{}-]", ""))
    if not _all(pc.match_substring_regex(digits, "^[0-9a-f]{32}$")):
        raise ValueError("a text is no UUID")
    return pc.replace_substring_regex(digits, "^(.{8})(.{4})(.{4})(.{4})(.{12})$", r"\1-\2-\3-\4-\5")


_DIGITS_OF_UUID = 32

_SPECIAL: dict[tuple[str, str], Callable[[pa.Array, LogicalType], pa.Array]] = {
    ("float", "decimal"): _float_to_decimal,
    ("decimal", "float"): _decimal_to_float,
    ("decimal", "integer"): _decimal_to_integer,
    ("integer", "boolean"): _integer_to_boolean,
    ("text", "timestamp"): _text_to_timestamp,
    ("text", "timestamptz"): _text_to_timestamp,
    ("text", "date"): _text_to_date,
    ("text", "time"): lambda array, _target: times_of_day(array),
    ("timestamp", "date"): _timestamp_to_date,
    ("uuid", "text"): _uuid_to_text,
    ("text", "uuid"): _text_to_uuid,
    ("boolean", "decimal"): lambda array, _target: _integer_text(array),
    ("integer", "decimal"): lambda array, _target: _integer_text(array),
}


def _integer_text(array: pa.Array) -> pa.Array:
    import pyarrow as pa

    wide = array.cast(pa.int64()) if pa.types.is_boolean(array.type) else array
    return wide.cast(pa.string())


def _all(mask: pa.Array) -> bool:
    import pyarrow.compute as pc

    answer = pc.all(mask, skip_nulls=True, min_count=0).as_py()
    return answer is not False


def _loss(
    array: pa.Array, source: LogicalType, target: LogicalType, fraction_digits: int
) -> tuple[str, pa.Array | None]:
    """Say what would be lost in the target column, and which values fit; None if all do."""
    import pyarrow.compute as pc

    if target.kind == "integer" and target.bits:
        low = 0 if target.unsigned else -(2 ** (target.bits - 1))
        high = 2**target.bits - 1 if target.unsigned else 2 ** (target.bits - 1) - 1
        found = pc.min_max(array).as_py()
        if found["min"] is not None and (found["min"] < low or found["max"] > high):
            return f"an integer does not fit {target.bits} bits", _within(array, low, high)
    if target.kind == "decimal" and target.precision is not None:
        scale = target.scale or 0
        within = (source.precision or 10**6) - (source.scale or 0) <= target.precision - scale
        if source.kind != "decimal" or not within or (source.scale or 0) > scale:
            pattern = rf"^-?0*\d{{0,{target.precision - scale}}}(\.\d{{0,{scale}}}0*)?$"
            if scale < 0:  # so many digits before the point are zeros
                pattern = rf"^-?0*(\d{{0,{target.precision}}}0{{{-scale}}}|0*)(\.0*)?$"
            fits = pc.or_(pc.match_substring_regex(array, pattern), pc.equal(array, "NaN"))
            if not _all(fits):
                return f"a decimal does not fit {target.precision} digits, {scale} of them after the point", fits
    if target.kind in ("text", "bytes") and target.length:
        lengths = pc.utf8_length(array) if target.kind == "text" else pc.binary_length(array)
        longest = pc.max(lengths).as_py() or 0
        if longest > target.length:
            text = f"a text of {counted(longest, 'character')} does"
            said = text if target.kind == "text" else counted(longest, "byte does", "bytes do")
            return f"{said} not fit {target.length}", pc.less_equal(lengths, target.length)
    if fraction_digits < 6:
        fits = _keeps_fractions(array, target, fraction_digits)
        if fits is not None and not _all(fits):
            return f"the target keeps {fraction_digits} digits of a second", fits
    return "", None


def _keeps_fractions(array: pa.Array, target: LogicalType, digits: int) -> pa.Array | None:
    """Say which times need no more digits of a second, also those that travel as text; None for what is no time."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if target.kind == "native":
        return pc.invert(pc.match_substring_regex(array, rf"\.\d{{{digits}}}\d*[1-9]"))
    if target.kind not in ("timestamp", "timestamptz", "time") or len(array) == array.null_count:
        return None
    step = 10 ** (6 - digits)
    micros = array.cast(pa.int64())
    return pc.equal(pc.multiply(pc.divide(micros, step), step), micros)


def _within(array: pa.Array, low: int, high: int) -> pa.Array:
    """Say which integers lie between two; a limit that the array's own type cannot hold limits nothing."""
    import pyarrow as pa
    import pyarrow.compute as pc

    bits = 2**64 - 1 if array.type == pa.uint64() else 2**63 - 1
    least = 0 if array.type == pa.uint64() else -(2**63)
    lowest, highest = pa.scalar(max(low, least), array.type), pa.scalar(min(high, bits), array.type)
    return pc.and_(pc.greater_equal(array, lowest), pc.less_equal(array, highest))
