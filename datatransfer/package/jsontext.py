"""JSON of untrusted origin, read strictly; and our own JSON, written always the same way.

Knows nothing of what the documents mean.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NoReturn

from datatransfer.errors import PackageError

MAX_DEPTH = 64
"""How deep objects and arrays may be nested."""

# An unterminated string matches to the end, so that the scan stays linear whatever the bytes are.
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_SURROGATE = re.compile("[\ud800-\udfff]")


class JSONRuleError(ValueError):
    """The text breaks a rule; the message names the rule and never quotes the text."""


def write_json(data: Any, *, indent: int | None = None) -> bytes:
    """Return data as UTF-8 JSON, the same bytes for the same data.

    Parameters
    ----------
    data : JSON data
        Keys are written in the order they have; numbers must be finite.
    indent : int, optional
        With it the text is laid out for people and ends with a newline.
    """
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(data, ensure_ascii=False, allow_nan=False, indent=indent, separators=separators)
    return (text + ("\n" if indent is not None else "")).encode("utf-8")


def write_flat_json(data: Mapping[str, float | str | bool | None]) -> bytes:
    """Return what `write_json` with an indent of 2 returns for an object without objects and arrays in it, faster.

    The library's fast encoder does not indent; here only the separators between the members do.
    """
    text = _ENCODE_FLAT(data)
    return (f"{{\n  {text[1:-1]}\n}}\n" if data else f"{text}\n").encode("utf-8")


_ENCODE_FLAT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",\n  ", ": ")).encode


def read_json(data: bytes, *, where: str, limit: int) -> Any:
    """Parse JSON that somebody else may have made.

    Parameters
    ----------
    data : bytes
    where : str
        Package and member, for the error.
    limit : int
        Most bytes that are parsed at all.

    Raises
    ------
    PackageError
        Too large, nested deeper than `MAX_DEPTH`, not UTF-8, with a byte order mark, not JSON, a key twice in one
        object, NaN or an infinity, a number that overflows, an integer of more than 64 bits, or half of a surrogate
        pair.
    """
    if len(data) > limit:
        raise PackageError(f"holds {len(data)} bytes of JSON, {limit} are allowed", where=where)
    try:
        return _parse(data)
    except JSONRuleError as error:
        raise PackageError(str(error), where=where) from None
    except (ValueError, RecursionError) as error:
        # the cause would quote the document, so only its kind is told
        raise PackageError(f"is not valid JSON ({type(error).__name__})", where=where) from None


def _parse(data: bytes) -> Any:
    if _depth(data) > MAX_DEPTH:
        raise JSONRuleError(f"is nested deeper than {MAX_DEPTH} levels")
    if data.startswith(b"\xef\xbb\xbf"):
        raise JSONRuleError("starts with a byte order mark")
    parsed = _DECODE(data.decode("utf-8"))
    if rb"\ud" in data or rb"\uD" in data:
        _refuse_half_characters(parsed)
    return parsed


def _depth(data: bytes) -> int:
    """Return how deep data is nested, or a bound of it that is not too deep."""
    most = data.count(b"{") + data.count(b"[")
    if most <= MAX_DEPTH:
        return most
    brackets = _STRING.sub(b"", data).translate(None, _NOT_BRACKETS)
    steps = (1 if bracket in b"[{" else -1 for bracket in brackets)
    return max(accumulate(steps), default=0)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise JSONRuleError("holds a key twice in one object")
    return made


def _integer(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**64:
        raise JSONRuleError("holds an integer of more than 64 bits")
    return value


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise JSONRuleError("holds a number that is too large")
    return value


def _constant(_name: str) -> NoReturn:
    raise JSONRuleError("holds NaN or an infinity, which JSON does not have")


_DECODE = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_integer, parse_float=_float, parse_constant=_constant
).decode


def _refuse_half_characters(data: Any) -> None:
    waiting = [data]
    while waiting:
        item = waiting.pop()
        if isinstance(item, str):
            if _SURROGATE.search(item):
                raise JSONRuleError("holds half of a surrogate pair")
        elif isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, Mapping):
            waiting.extend(item.keys())
            waiting.extend(item.values())
