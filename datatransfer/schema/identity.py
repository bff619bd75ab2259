"""The UUID of a row, as pure functions of where it comes from and what its key is.

The same on both sides of a transfer, so neither a database nor a package is known here.
``datatransfer.database.identity`` adds what a database has recorded.
"""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from datatransfer.errors import KeyValueError
from datatransfer.schema.arrays import hexadecimal
from datatransfer.schema.tables import ENTITY_UUID, Table
from datatransfer.schema.values import LogicalType, untag

if TYPE_CHECKING:
    import pyarrow as pa

ORIGIN_COLUMN = "datatransfer:origin"
KEY_COLUMN = "datatransfer:key"
RESERVED_PREFIX = "datatransfer:"

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def keeps_uuids_apart(table: Table) -> bool:
    """Return whether a table lets no two rows have the same ``entity_uuid``.

    Examples
    --------
    >>> from datatransfer.schema.tables import Column
    >>> columns = (Column("id", LogicalType("integer")), Column("entity_uuid", LogicalType("uuid")))
    >>> keeps_uuids_apart(Table("orders", columns, uniques=(("entity_uuid",),)))
    True
    """
    return (ENTITY_UUID,) in (table.key, *table.uniques)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str | float):
        return value
    if isinstance(value, bytes | bytearray | memoryview):
        return {"b": bytes(value).hex()}
    if isinstance(value, dt.datetime):
        return value.isoformat(sep="T")
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, decimal.Decimal | uuid.UUID):
        return str(value)
    if hasattr(value, "dtype") and hasattr(value, "item"):  # numpy's own, as a DataFrame gives it
        return _plain(value.item())
    raise KeyValueError(f"a value of type {type(value).__name__} cannot be part of a key")


def canonical_key(values: Sequence[Any], types: Sequence[LogicalType] | None = None) -> str:
    r"""Write the values of a key as one text that is the same everywhere.

    Parameters
    ----------
    values : sequence
        The key's values, in the order of the key's columns, as Arrow gives them to Python.
    types : sequence of LogicalType, optional
        Their types. Values of kind ``any`` are untagged first; without types every value is taken as it is.

    Returns
    -------
    str
        A compact JSON array: integers as digits, text as JSON text (only ``"``, ``\`` and control characters escaped),
        floats as ``repr`` gives them, bytes as ``{"b":"<hexadecimal>"}``, dates and times as ISO 8601, decimals and
        UUIDs as text.

    Raises
    ------
    KeyValueError
        A value has no such form.

    Examples
    --------
    >>> canonical_key([7, "é", b"\x01"])
    '[7,"é",{"b":"01"}]'
    """
    if types is not None:
        values = [untag(v) if t.kind == "any" else v for v, t in zip(values, types, strict=True)]
    return _ENCODE([_plain(value) for value in values])


def canonical_keys(columns: Sequence[pa.Array], types: Sequence[LogicalType]) -> pa.Array:
    r"""Write the keys of many rows, each as `canonical_key` writes it, column by column.

    Parameters
    ----------
    columns : sequence of pyarrow.Array
        One a column of the key, all of the same length, each as `LogicalType.arrow` of its type says; a column of
        integers may stand for one of kind ``any`` too.
    types : sequence of LogicalType

    Returns
    -------
    pyarrow.Array
        Text without NULLs.

    Examples
    --------
    >>> import pyarrow as pa
    >>> columns = [pa.array([7, 8]), pa.array(["i9", 't"'])]
    >>> canonical_keys(columns, [LogicalType("integer"), LogicalType("any")]).to_pylist()
    ['[7,9]', '[8,"\\""]']
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    parts = [_json(column, kind) for column, kind in zip(columns, types, strict=True)]
    inner = pc.binary_join_element_wise(*parts, ",", null_handling="replace", null_replacement="null")
    return pc.binary_join_element_wise(pa.scalar("["), inner, pa.scalar("]"), "")


def _json(column: pa.Array, kind: LogicalType) -> pa.Array:
    """Return a column as JSON text, NULL where it is NULL."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_integer(column.type) or pa.types.is_boolean(column.type):
        return column.cast(pa.string())
    if kind.kind == "any":
        return _json_of_tagged(column)
    if pa.types.is_string(column.type):
        return _json_of_text(column)
    if pa.types.is_binary(column.type):
        return pc.binary_join_element_wise(pa.scalar('{"b":"'), hexadecimal(column), pa.scalar('"}'), "")
    if kind.kind == "date":
        return pc.binary_join_element_wise(pa.scalar('"'), column.cast(pa.string()), pa.scalar('"'), "")
    # Floats and times: Python's own notation is the definition.
    return pa.array([None if v is None else _ENCODE(_plain(v)) for v in column.to_pylist()], type=pa.string())


def _json_of_text(texts: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pc.any(pc.match_substring_regex(texts, r'["\\\x00-\x1f]'), min_count=0).as_py():
        for code in (ord("\\"), ord('"'), *range(32)):
            texts = pc.replace_substring(texts, chr(code), _ENCODE(chr(code))[1:-1])
    return pc.binary_join_element_wise(pa.scalar('"'), texts, pa.scalar('"'), "")


def _json_of_tagged(tagged: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    heads = pc.utf8_slice_codeunits(tagged, 0, 1)
    seen = [head for head in pc.unique(heads).to_pylist() if head is not None]
    rest = pc.utf8_slice_codeunits(tagged, 1)
    found = pa.nulls(len(tagged), pa.string())
    for head in seen:
        mine = pc.equal(heads, head)
        if head == "i":
            written = rest
        elif head == "t":
            written = _json_of_text(rest)
        elif head == "b":
            written = pc.binary_join_element_wise(pa.scalar('{"b":"'), rest, pa.scalar('"}'), "")
        else:  # a float, as Python writes it; anything else is refused by `untag`
            values = pc.if_else(mine, tagged, pa.scalar(None, pa.string())).to_pylist()
            written = pa.array([None if v is None else _ENCODE(_plain(untag(v))) for v in values], type=pa.string())
        found = pc.if_else(mine, written, found)
    return found


def entity_uuid(origin: uuid.UUID, table: str, key: Sequence[Any] | str) -> uuid.UUID:
    """Return the UUID of a row that carries none: UUIDv5 of its origin, table and canonical key.

    Parameters
    ----------
    origin : uuid.UUID
        The database that the row comes from.
    table : str
    key : sequence, or str
        The key's values, or what `canonical_key` made of them.

    Examples
    --------
    >>> entity_uuid(uuid.UUID(int=0), "orders", [42]) == entity_uuid(uuid.UUID(int=0), "orders", "[42]")
    True
    """
    text = key if isinstance(key, str) else canonical_key(key)
    return uuid.uuid5(origin, f"{table}\n{text}")
