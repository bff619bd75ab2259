"""Arrow batches as what COPY … FROM STDIN of PostgreSQL takes: whole columns at a time, never a loop over values.

Binary where every column has a type that Arrow and the server write alike (pgpq, which is written for it, takes half
of what the server needs to read texts); else the text format, in which every type can be written.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from datatransfer.schema.tables import Column
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

_LENGTH = re.compile(r"\(\d+\)")
_ESCAPED = ((b"\\", b"\\\\"), (b"\t", b"\\t"), (b"\n", b"\\n"), (b"\r", b"\\r"))
_MOST_BYTES = 64 << 20
#: Days since 1970 of the first and the last date that has a text with four digits for the year.
_DAYS = (-719_162, 2_932_896)
_MICROSECONDS = 86_400_000_000
Piece = tuple[bytes, int]
"""What is sent, and how many rows end with it."""


class Unwritable(Exception):
    """Values that cannot be written so."""


def encoded(
    columns: Sequence[tuple[LogicalType, Column]], batches: Iterable[pa.RecordBatch]
) -> tuple[str, Iterator[Piece]]:
    """Return the options of COPY, and the pieces that are sent.

    Parameters
    ----------
    columns : sequence of (LogicalType, Column)
        As what kind of values, in the order of the batches' columns, for which columns of the target.
    batches : iterable of pyarrow.RecordBatch

    Raises
    ------
    Unwritable
        While the data is made: a date before year 1 or after 9999, or a type that cannot be written.
    """
    encoder = _binary_encoder(columns)
    if encoder is not None:
        return " (FORMAT binary)", encoder(batches)
    return "", (piece for batch in batches for piece in _as_text(batch))


# --- binary ---------------------------------------------------------------------------------------------------------


def _binary_encoder(columns: Sequence[tuple[LogicalType, Column]]) -> Any:
    """Return what encodes batches, None where the server would read something else, or pgpq is not there."""
    try:
        import pgpq
    except ImportError:
        return None
    types = [_binary_type(kind, column) for kind, column in columns]
    if None in types:
        return None

    def run(batches: Iterable[pa.RecordBatch]) -> Iterator[Piece]:
        import pyarrow as pa

        schema = pa.schema([(f"c{i}", kind) for i, kind in enumerate(types)])
        encoder = pgpq.ArrowToPostgresBinaryEncoder(schema)
        yield encoder.write_header(), 0
        for batch in batches:
            values = [_cast(column, kind) for column, kind in zip(batch.columns, types, strict=True)]
            for part in _parts(pa.RecordBatch.from_arrays(values, schema=schema)):
                yield encoder.write_batch(part), part.num_rows
        yield encoder.finish(), 0

    return run


def _binary_type(kind: LogicalType, column: Column) -> pa.DataType | None:
    """Return the Arrow type whose bytes a column takes as they are."""
    import pyarrow as pa

    moment = pa.timestamp("us")
    return {
        ("integer", "smallint"): pa.int16(), ("integer", "integer"): pa.int32(), ("integer", "bigint"): pa.int64(),
        ("float", "real"): pa.float32(), ("float", "double precision"): pa.float64(),
        ("boolean", "boolean"): pa.bool_(), ("bytes", "bytea"): pa.binary(), ("date", "date"): pa.date32(),
        ("text", "text"): pa.string(), ("text", "character varying"): pa.string(),
        ("timestamp", "timestamp without time zone"): moment, ("timestamptz", "timestamp with time zone"): moment,
    }.get((kind.kind, _LENGTH.sub("", column.declared)))  # fmt: skip


def _cast(column: pa.Array, kind: pa.DataType) -> pa.Array:
    import pyarrow as pa

    try:
        return _checked(column).cast(kind)
    except pa.ArrowInvalid as error:
        raise Unwritable(str(error)) from None


# --- text -----------------------------------------------------------------------------------------------------------


def _as_text(batch: pa.RecordBatch) -> Iterator[Piece]:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    for part in _parts(batch):
        columns = [_texts(column) for column in part.columns]
        nothing, tab, end = (pa.scalar(text, pa.binary()) for text in (b"", b"\t", b"\n"))
        columns[-1] = pc.binary_join_element_wise(columns[-1], nothing, end)
        lines = pc.binary_join_element_wise(*columns, tab)
        _, offsets, data = lines.buffers()
        ends = np.frombuffer(offsets, np.int32)
        yield bytes(memoryview(data)[ends[lines.offset] : ends[lines.offset + len(lines)]]), part.num_rows


def _texts(column: pa.Array) -> pa.Array:
    """Return values as the text format writes them, as bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_binary(kind):
        texts = _hexadecimal(column)
    elif pa.types.is_string(kind):
        texts = _escaped(column.cast(pa.binary()))
    else:
        texts = _checked(column).cast(pa.string()).cast(pa.binary())
    return pc.fill_null(texts, b"\\N") if texts.null_count else texts


def _escaped(texts: pa.Array) -> pa.Array:
    import pyarrow.compute as pc

    data = texts.buffers()[2]
    held = b"" if data is None else data.to_pybytes()
    for char, written in _ESCAPED:
        if char in held:
            texts = pc.replace_substring(texts, char, written)
    return texts


def _checked(column: pa.Array) -> pa.Array:
    """Return values that the server reads as the same, moments without their zone: in the session's, which is UTC."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_date32(kind):
        _refuse_outside(column.cast(pa.int32()), *_DAYS)
    elif pa.types.is_timestamp(kind) and kind.unit == "us":
        column = column.cast(pa.timestamp("us"))
        _refuse_outside(column.cast(pa.int64()), _DAYS[0] * _MICROSECONDS, (_DAYS[1] + 1) * _MICROSECONDS - 1)
    elif not any(is_kind(kind) for is_kind in _written_alike()):
        raise Unwritable(f"values of type {kind}")
    return column


def _written_alike() -> tuple[Any, ...]:
    import pyarrow as pa

    known = pa.types
    return (known.is_integer, known.is_floating, known.is_boolean, known.is_time, known.is_string, known.is_binary)


def _refuse_outside(numbers: pa.Array, low: int, high: int) -> None:
    import pyarrow.compute as pc

    found = pc.min_max(numbers)
    if found["min"].is_valid and not low <= found["min"].as_py() <= found["max"].as_py() <= high:
        raise Unwritable("a date before the year 1 or after 9999")


def _hexadecimal(column: pa.Array) -> pa.Array:
    """Return bytes as two hexadecimal digits each, after the mark of that notation."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int32)[column.offset : column.offset + len(column) + 1]
    raw = np.frombuffer(b"" if data is None else data, np.uint8)[ends[0] : ends[-1]]
    pairs = np.array([int.from_bytes(f"{byte:02x}".encode(), "little") for byte in range(256)], "<u2")
    digits = pa.py_buffer(pairs[raw])
    places = pa.py_buffer((ends - ends[0]) * np.int32(2))
    texts = pa.Array.from_buffers(pa.binary(), len(column), [None, places, digits])
    marked = pc.binary_join_element_wise(pa.scalar(b"\\\\x", pa.binary()), texts, pa.scalar(b"", pa.binary()))
    return pc.if_else(column.is_valid(), marked, pa.scalar(None, pa.binary()))


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch of large values, which would not fit into one buffer when they are put together."""
    rows = batch.num_rows
    if batch.nbytes <= _MOST_BYTES or rows <= 1:
        yield batch
        return
    yield from _parts(batch.slice(0, rows // 2))
    yield from _parts(batch.slice(rows // 2))
