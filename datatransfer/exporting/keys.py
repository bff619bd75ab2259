"""Keys that a caller gives: their shape and type are checked here, before any SQL runs."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

from datatransfer.display.plain import counted
from datatransfer.errors import KeyValueError, UsageError
from datatransfer.exporting.conditions import plain
from datatransfer.schema.tables import Column, Table

Key = tuple[Any, ...]

_ACCEPTED: Mapping[str, tuple[type, ...]] = {
    "integer": (int,),
    "float": (float, int),
    "decimal": (Decimal, int, str),
    "boolean": (bool,),
    "text": (str,),
    "enum": (str,),
    "bytes": (bytes,),
    "date": (dt.date, str),
    "time": (dt.time, str),
    "timestamp": (dt.datetime, str),
    "timestamptz": (dt.datetime, str),
    "uuid": (uuid.UUID, str),
    "any": (int, float, str, bytes),
}


def check_keys(table: Table, keys: Any) -> list[Key]:
    """Return keys as tuples of plain values in the order of the table's key columns.

    Parameters
    ----------
    table : Table
        With definite types of its key columns.
    keys : list, tuple, set, array, DataFrame or Arrow table
        Values for a key of one column, else tuples or mappings; of a frame the columns named like the key.

    Raises
    ------
    KeyValueError
        Wrong shape or type; the message names the column and the type, never a value.
    UsageError
        The table has no key.
    """
    if not table.key:
        raise UsageError("it has no key", where=table.name, hint="select its rows by where=")
    columns = [table.column(name) for name in table.key]
    return [_check(table, columns, row) for row in _rows(table, keys)]


def check_uuids(values: Any) -> list[uuid.UUID]:
    """Return UUIDs given as `uuid.UUID` or text.

    Raises
    ------
    KeyValueError
        A value is not a UUID.
    """
    if isinstance(values, str | uuid.UUID):
        raise KeyValueError("uuids= takes a list", hint="write uuids=[value]")
    try:
        return [value if isinstance(value, uuid.UUID) else uuid.UUID(value) for value in values]
    except (ValueError, TypeError, AttributeError):
        raise KeyValueError("a value of uuids= is not a UUID", hint="give uuid.UUID or 36 characters of text") from None


def _rows(table: Table, keys: Any) -> Iterable[Any]:
    if hasattr(keys, "column_names") and hasattr(keys, "column"):  # Arrow table or batch
        return _frame_rows(table, list(keys.column_names), lambda name: keys.column(name).to_pylist())
    if hasattr(keys, "columns") and hasattr(keys, "iloc"):  # pandas
        return _frame_rows(table, [str(c) for c in keys.columns], lambda name: keys[name].tolist())
    if hasattr(keys, "to_pylist"):
        return list(keys.to_pylist())
    if hasattr(keys, "tolist") and getattr(keys, "ndim", 1) >= 1:
        return list(keys.tolist())
    if isinstance(keys, str | bytes | Mapping) or not isinstance(keys, Iterable):
        raise KeyValueError(
            f"keys= takes a list, a DataFrame or an Arrow table, not a {type(keys).__name__}",
            where=table.name,
            hint="write keys=[value]",
        )
    return list(keys)


def _frame_rows(table: Table, names: Sequence[str], values_of: Any) -> Iterable[Key]:
    missing = [name for name in table.key if name not in names]
    if missing:
        raise KeyValueError(
            f"the frame of keys has no column {', '.join(missing)}",
            where=table.name,
            hint=f"name its columns like the key: {', '.join(table.key)}",
        )
    return zip(*(values_of(name) for name in table.key), strict=True)


def _check(table: Table, columns: Sequence[Column], row: Any) -> Key:
    if isinstance(row, Mapping):
        if set(row) != set(table.key):
            raise _shape(table)
        values: Sequence[Any] = [row[name] for name in table.key]
    elif isinstance(row, tuple | list):
        values = row
    else:
        values = [row]
    if len(values) != len(columns):
        raise _shape(table)
    return tuple(_value(table, column, plain(value)) for column, value in zip(columns, values, strict=True))


def _shape(table: Table) -> KeyValueError:
    names = ", ".join(table.key)
    hint = f"give tuples of ({names})" if len(table.key) > 1 else f"give values of {names}"
    return KeyValueError(f"a key does not have {counted(len(table.key), 'value')}", where=table.name, hint=hint)


def _value(table: Table, column: Column, given: Any) -> Any:
    value: Any = given
    kind = column.type.kind
    accepted = _ACCEPTED.get(kind, (str, int))
    wrong_bool = isinstance(value, bool) and kind != "boolean"
    if value is None or value != value or not isinstance(value, accepted) or wrong_bool:
        hint = f"give {' or '.join(t.__name__ for t in accepted)}"
        if kind == "integer" and isinstance(value, float):
            hint += "; a DataFrame column with gaps holds floats: use astype('int64')"
        raise KeyValueError(
            f"a key is of type {type(value).__name__}, the column is {kind}",
            where=f"{table.name}.{column.name}",
            hint=hint,
        )
    if kind == "integer" and not -(2**63) <= given < 2**64:
        raise KeyValueError("a key is no 64-bit integer", where=f"{table.name}.{column.name}")
    return value
