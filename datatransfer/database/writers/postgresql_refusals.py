"""Values that a column of PostgreSQL would cut, round or shorten without a word, refused before they are staged.

Its casts from text are explicit ones, which fit a value to the type instead of refusing it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from datatransfer.database.writers.expressions import refuse_where
from datatransfer.database.writers.labels import refuse_others
from datatransfer.database.writers.postgresql_arrays import WHOLE, elements
from datatransfer.schema.tables import Column

if TYPE_CHECKING:
    import pyarrow as pa

_BITS = re.compile(r"bit( varying)?\((\d+)\)$")
_LEXEMES = r"^('([^']|'')+'(:\d+[A-D]?(,\d+[A-D]?)*)?( |$))*$"
_TIME = r"^\s*\d\d:\d\d(:\d\d(\.\d*)?)?\s*(Z|[+-]\d\d(:?\d\d(:?\d\d)?)?)?\s*$"
_LIMITS = re.compile(r"\(\d+(,\d+)?\)")
#: Types of which it is known, and seen in a text, what they would take for something else or cut.
_TAKING_TEXT = frozenset(
    {"name", '"char"', "bit", "bit varying", "interval", "time with time zone", "money", "tsvector", "xml", "inet",
     "cidr", "macaddr", "macaddr8", "oid", "int4range", "int8range", "numrange", "pg_lsn"}
)  # fmt: skip
_TAKEN_ELEMENTS = frozenset(
    {"text", "character varying", "smallint", "integer", "bigint", "numeric", "boolean", "uuid", "bytea", "json", "xml",
     "inet", "cidr", "macaddr", "macaddr8", "oid"}
)  # fmt: skip
#: Significant digits that are the same when they are read as floats and written again.
_FLOATS = {
    "real[]": 6, "double precision[]": 15, "point": 15, "lseg": 15, "box": 15, "path": 15, "polygon": 15, "circle": 15,
}  # fmt: skip
#: Types of the extensions that come with PostgreSQL, perhaps with the schema that they were put into.
_EXTENSION = re.compile(r"(?:\w+\.)?(citext|ltree|hstore)")
_PAIR = re.compile(r'"((?:[^"\\]|\\.)*)"=>(?:"(?:[^"\\]|\\.)*"|NULL)(?:, |$)', re.DOTALL)
#: Bytes that a value has room for.
_BYTES = {"name": 63, '"char"': 1}
#: Digits of a number that PostgreSQL keeps.
_DIGITS_BEFORE, _DIGITS_AFTER = 131_072, 16_383
_ESCAPED = re.compile(r"\\u(0000|[dD][89a-fA-F])")
_ODD = re.compile("[\0\ud800-\udfff]")
_TWICE = "a document has a member twice, of which jsonb keeps the last one"
_NONE = "a document is none that jsonb takes"
_DEEP = "a document is nested too deep to see whether jsonb keeps it"


def base_of(column: Column) -> str:
    """Return the type that says what a column's values are: what a domain stands for, else the declared one."""
    return column.base or column.declared


def takes_text(column: Column) -> bool:
    """Return whether a text can be read as a value of the column's own type, so that it is seen what would be lost."""
    declared = base_of(column)
    if column.labels is not None or declared in _FLOATS or _EXTENSION.fullmatch(declared):
        return True
    if declared.endswith("[]"):
        return declared.removesuffix("[]") in _TAKEN_ELEMENTS
    return _LIMITS.sub("", declared) in _TAKING_TEXT  # but INTERVAL DAY and others, which have some fields only


def refuse_changed(values: pa.Array, source: Column, column: Column) -> None:
    """Refuse values that the column would hold as others.

    Raises
    ------
    ValueLossError
    """
    import pyarrow.compute as pc

    declared = base_of(column)
    if column.padded and not source.padded and source.declared != column.declared:
        apart = pc.and_(pc.ends_with(values, " "), pc.not_equal(pc.utf8_length(values), column.type.length))
        why = f"a text ends with spaces, which are no part of a value of {declared}"
        refuse_where(apart, why, column, "declare the column varchar or text in the target, or repair the value")
    if declared in _BYTES:
        room = _BYTES[declared]
        longer = pc.greater(pc.binary_length(values), room)
        why = f"a text is longer than {room} {'bytes' if room > 1 else 'byte'}, and {declared} cuts it"
        refuse_where(longer, why, column, "declare the column text in the target")
    if column.labels is not None:
        _refuse_labels(values, column, column.labels)
    if source.type.kind == "text" and column.type.kind == "native":
        _refuse_cut(values, column)
    if declared == "jsonb" and source.declared not in ("jsonb", column.declared):
        _refuse_documents(values, column)


def _refuse_labels(values: pa.Array, column: Column, labels: Collection[str]) -> None:
    """Refuse texts that are no labels of an enum, and arrays that hold others."""
    import pyarrow.compute as pc

    declared = base_of(column)
    kind = declared.removesuffix("[]")
    cure = f"ALTER TYPE {kind} ADD VALUE adds it in the target; or repair the value in the source"
    if kind == declared:
        why = f"a text is no label of {kind} in the target"
        refuse_others(values, lambda text: () if text in labels else (text,), why, column, cure)
        return
    odd = pc.invert(pc.match_substring_regex(values, WHOLE))
    refuse_where(odd, f"a text is no array of {kind}", column, "repair the value in the source")
    why = f"an element is no label of {kind} in the target"
    refuse_others(values, lambda text: [e for e in elements(text) if e not in labels], why, column, cure)


def _refuse_cut(values: pa.Array, column: Column) -> None:
    """Refuse texts that a type of bits, time or money would fit to its size, or take for something else."""
    import pyarrow.compute as pc

    declared = base_of(column)
    if bits := _BITS.match(declared):
        size = f"0,{bits[2]}" if bits[1] else bits[2]
        odd = pc.invert(pc.match_substring_regex(values, rf"^[01]{{{size}}}$"))
        refuse_where(odd, f"a text is no value of {declared}", column, "declare the column bit varying in the target")
    if declared in _FLOATS:
        odd = pc.match_substring_regex(values, rf"[1-9](\.?\d){{{_FLOATS[declared]},}}")
        why = f"a number has more than the {_FLOATS[declared]} digits that {declared} keeps of any"
        refuse_where(odd, why, column, "declare the column text in the target")
    if (extension := _EXTENSION.fullmatch(declared)) and extension[1] == "hstore":
        _refuse_pairs(values, column)
    if declared.startswith(("interval", "time")):
        odd = pc.match_substring_regex(values, r"\.\d{6}\d*[1-9]")
        why = f"a text has more than the 6 digits of a second that {declared} keeps"
        refuse_where(odd, why, column, "declare the column text in the target")
        if declared.startswith("time"):
            odd = pc.invert(pc.match_substring_regex(values, _TIME))
            why = f"a text is no time of day alone, and no value of {declared}"
            refuse_where(odd, why, column, "repair the value in the source")
        odd = pc.invert(pc.match_substring_regex(values, "[:A-Za-z]"))
        refuse_where(
            odd, f"a text has no unit, and is no value of {declared}", column, "repair the value in the source"
        )
    if declared == "tsvector":
        odd = pc.invert(pc.match_substring_regex(values, _LEXEMES))
        refuse_where(
            odd, "a text is no tsvector as PostgreSQL writes it", column, "declare the column text in the target"
        )
    if declared == "money":
        odd = pc.invert(pc.match_substring_regex(values, r"^[^.]*\d(\.\d{0,2}0*)?\)?$"))
        refuse_where(odd, "a text is no amount of money in cents", column, "declare the column numeric in the target")


def _refuse_pairs(values: pa.Array, column: Column) -> None:
    """Refuse texts that are no hstore, and those of which it keeps the first of two pairs."""
    import pyarrow as pa
    import pyarrow.compute as pc

    plain, twice = [], []
    for text in pc.unique(values).drop_null().to_pylist():
        keys = [pair[1] for pair in _PAIR.finditer(text)]
        if _PAIR.sub("", text) or text.endswith(", "):
            plain.append(text)
        elif len({re.sub(r"\\(.)", r"\1", key) for key in keys}) < len(keys):
            twice.append(text)
    odd = pc.is_in(values, pa.array(plain, type=pa.string()))
    why = "a text is no hstore as PostgreSQL writes it"
    refuse_where(odd, why, column, "declare the column text in the target, or repair the value in the source")
    odd = pc.is_in(values, pa.array(twice, type=pa.string()))
    refuse_where(odd, "a text has a key twice, of which hstore keeps the first one", column, "repair the value")


def _refuse_documents(values: pa.Array, column: Column) -> None:
    """Refuse documents of which jsonb keeps less than they say, and those that it does not take at all."""
    import pyarrow as pa

    found = pa.array([None if v is None else _trouble(v) for v in values.to_pylist()], type=pa.string())
    for why in (_TWICE, _NONE, _DEEP):
        _refuse_named(found, why, column)


def _refuse_named(found: pa.Array, why: str, column: Column) -> None:
    import pyarrow.compute as pc

    refuse_where(pc.equal(found, why), why, column, "declare the column json in the target, or repair the document")


def _trouble(text: str) -> str:
    """Return why jsonb does not hold what a text says, nothing if it does."""
    try:
        document = json.loads(
            text, object_pairs_hook=_object, parse_int=str, parse_float=_number, parse_constant=_refused
        )
    except _RepeatedError:
        return _TWICE
    except RecursionError:
        return _DEEP
    except ValueError:
        return _NONE
    # A character that no text of PostgreSQL has can only be written by its number.
    odd = _ESCAPED.search(text) and any(_ODD.search(part) for part in _texts(document))
    return _NONE if odd else ""


class _RepeatedError(Exception):
    """An object has two members of one name."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _RepeatedError
    return made


def _number(digits: str) -> str:
    exact = Decimal(digits)
    exponent = exact.as_tuple().exponent
    if exact and (exact.adjusted() >= _DIGITS_BEFORE or (isinstance(exponent, int) and -exponent > _DIGITS_AFTER)):
        raise ValueError("a number of too many digits")
    return digits


def _refused(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _texts(document: Any) -> Iterator[str]:
    waiting = [document]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str):
            yield part
        elif isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif isinstance(part, list):
            waiting += part
