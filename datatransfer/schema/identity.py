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
from typing import Any

from datatransfer.errors import KeyValueError
from datatransfer.schema.values import LogicalType, untag

ORIGIN_COLUMN = "datatransfer:origin"
KEY_COLUMN = "datatransfer:key"
RESERVED_PREFIX = "datatransfer:"

_ENCODE = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


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
