"""Small packages made without any database: every kind of value, references, circles, files."""

from __future__ import annotations

import datetime as dt
import io
import math
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from datatransfer.package.manifest import FileReference
from datatransfer.package.metadata import PackageMetadata
from datatransfer.package.package import DataPackage, PackageWriter
from datatransfer.schema.tables import Column, ForeignKey, Table
from datatransfer.schema.values import KINDS, LogicalType, arrow_schema, tag

ORIGIN = uuid.UUID("11111111-1111-4111-8111-111111111111")
PACKAGE_ID = uuid.UUID("22222222-2222-4222-8222-222222222222")
CREATED = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)

Rows = Sequence[Mapping[str, Any]]


def metadata(**changes: Any) -> PackageMetadata:
    """Return metadata with a fixed id and time."""
    known: dict[str, Any] = {
        "package_id": PACKAGE_ID, "created": CREATED, "created_by": "tests", "origin": ORIGIN, "dialect": "sqlite",
    }  # fmt: skip
    return PackageMetadata(**{**known, **changes})


def table(
    name: str, columns: Mapping[str, LogicalType | str], *, key: Iterable[str] = ("id",), refers: Any = (), **more: Any
) -> Table:
    """Describe a table; ``refers`` holds (columns, parent, parent columns)."""
    key = tuple(key)
    kinds = {column: LogicalType(kind) if isinstance(kind, str) else kind for column, kind in columns.items()}
    return Table(
        name=name, bare_name=name, key=key, key_kind="primary" if key else "none",
        columns=tuple(Column(column, kind, nullable=column not in key) for column, kind in kinds.items()),
        foreign_keys=tuple(ForeignKey(name, tuple(a), parent, tuple(b)) for a, parent, b in refers), **more,
    )  # fmt: skip


def batch(table: Table, rows: Rows, extra: Mapping[str, LogicalType] | None = None) -> pa.RecordBatch:
    """Turn dicts into a batch of a table's types."""
    types = {**{column.name: column.type for column in table.columns}, **(extra or {})}
    return pa.RecordBatch.from_pylist([dict(row) for row in rows], schema=arrow_schema(types))


def write(
    path: str | Path, tables: Sequence[tuple[Table, Rows]], *, encoding: Any = "columns", files: Any = (),
    meta: PackageMetadata | None = None, **options: Any,
) -> DataPackage:  # fmt: skip
    """Write a package; ``files`` holds (content, references)."""
    with PackageWriter(path, encoding=encoding, **options) as writer:
        for one, rows in tables:
            writer.write_table(one, [batch(one, rows)] if rows else [])
        for content, references in files:
            writer.write_file(io.BytesIO(content), references=references)
        writer.finish(meta or metadata())
    return DataPackage.open(path)


def rows_of(package: Any, name: str) -> list[dict[str, Any]]:
    """Return the rows of a table as dicts."""
    return [row for found in package.batches(name) for row in found.to_pylist()]


def every_kind() -> tuple[Table, list[dict[str, Any]]]:
    """Return a table with a column of every kind, and rows with the values that are hard to keep."""
    hard: dict[str, list[Any]] = {
        "integer": [-(2**63), 2**63 - 1, 2**53 + 1, 0],
        "float": [math.nan, -0.0, math.inf, 5e-324, -math.inf, 0.1, 1e308],
        "decimal": ["0.10", "0.1", "NaN", "-12345678901234567890123456789.0123456789"],
        "boolean": [True, False],
        "text": ["", "a\0b", "e\u0301", "\u00e9", "\uffff", "\U0001f600", " trailing ", '"\\\n\u202e'],
        "bytes": [b"", b"\0\xff", bytes(range(256))],
        "date": [dt.date.min, dt.date.max],
        "time": [dt.time.min, dt.time.max, dt.time(1, 2, 3)],
        "timestamp": [dt.datetime.min, dt.datetime.max, dt.datetime(2026, 3, 29, 2, 30, 0, 1)],
        "timestamptz": [dt.datetime(1, 1, 1, tzinfo=dt.UTC), dt.datetime(9999, 12, 31, 23, 59, 59, 999999, dt.UTC)],
        "uuid": ["00000000-0000-4000-8000-000000000000"],
        "json": ['{"b":1.0,"a":[1,1.0,18446744073709551616]}', "null"],
        "enum": ["new", "NEW"],
        "any": [tag(value) for value in (1, 1.0, "1", b"1", -0.0, math.nan, 2**63 - 1, "", b"")],
        "native": ["'a' & 'b'"],
    }  # fmt: skip
    assert set(hard) == set(KINDS)
    kinds: dict[str, LogicalType] = {f"c_{kind}": LogicalType(kind) for kind in KINDS if kind != "native"}  # type: ignore[arg-type]
    kinds["c_native"] = LogicalType("native", native="postgresql:tsquery")
    kinds["c_float32"] = LogicalType("float", bits=32)
    kinds["c_unsigned"] = LogicalType("integer", bits=64, unsigned=True)
    hard["float32"], hard["unsigned"] = [0.10000000149011612, math.nan], [2**64 - 1, 0]
    described = table("every kind", {"id": LogicalType("integer", bits=64), **kinds})
    rows = [
        {"id": n, **{f"c_{kind}": values[n] if n < len(values) else None for kind, values in hard.items()}}
        for n in range(max(map(len, hard.values())) + 1)
    ]
    return described, rows


def shop() -> list[tuple[Table, Rows]]:
    """Return customers, orders of theirs, a folder tree, and a circle of two tables."""
    customers = table("customers", {"id": "integer", "name": "text"})
    orders = table(
        "orders", {"id": "integer", "customer_id": "integer", "note": "text"},
        refers=[(["customer_id"], "customers", ["id"])],
    )  # fmt: skip
    folders = table("folders", {"id": "integer", "parent_id": "integer", "name": "text"},
                    refers=[(["parent_id"], "folders", ["id"])])  # fmt: skip
    sets = table("datasets", {"id": "integer", "current_id": "integer", "name": "text"},
                 refers=[(["current_id"], "versions", ["id"])])  # fmt: skip
    versions = table("versions", {"id": "integer", "dataset_id": "integer", "label": "text"},
                     refers=[(["dataset_id"], "datasets", ["id"])])  # fmt: skip
    log = table("log", {"line": "text"}, key=())
    return [
        (customers, [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bob"}, {"id": 3, "name": "Bob"}]),
        (orders, [
            {"id": 1, "customer_id": 1, "note": "x"}, {"id": 2, "customer_id": 2, "note": "x"},
            {"id": 3, "customer_id": 2, "note": "x"}, {"id": 4, "customer_id": None, "note": None},
        ]),
        (folders, [
            {"id": 1, "parent_id": None, "name": "a"}, {"id": 2, "parent_id": 1, "name": "a"},
            {"id": 3, "parent_id": 2, "name": "a"}, {"id": 4, "parent_id": 1, "name": "b"},
        ]),
        (sets, [{"id": 1, "current_id": 2, "name": "s"}, {"id": 2, "current_id": None, "name": "t"}]),
        (versions, [
            {"id": 1, "dataset_id": 1, "label": "1"}, {"id": 2, "dataset_id": 1, "label": "2"},
            {"id": 3, "dataset_id": 2, "label": "1"},
        ]),
        (log, [{"line": "a"}, {"line": "a"}, {"line": None}]),
    ]  # fmt: skip


def picture(name: str = "a.png", key: str = "[1]") -> tuple[bytes, list[FileReference]]:
    """Return a file that a customer refers to."""
    return b"\x89PNG" + name.encode(), [FileReference("customers", key, "name", name)]
