"""Values, tables and files go into a package and come out the same; and so they do for a reader made from the text."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
import struct
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datatransfer.errors import PackageError, UnknownTableError
from datatransfer.package.package import DataPackage, PackageWriter
from datatransfer.schema.identity import KEY_COLUMN, ORIGIN_COLUMN, entity_uuid
from datatransfer.schema.values import LogicalType, untag
from tests.support.packages import (
    ORIGIN,
    batch,
    every_kind,
    metadata,
    picture,
    rows_of,
    shop,
    table,
    write,
)

ENCODINGS = ["documents", "columns"]
PLACES = ["package.zip", "folder"]


def bits(value: Any) -> Any:
    """Make NaN equal to itself, and -0.0 different from 0.0."""
    return struct.pack("<d", value) if isinstance(value, float) else value


def exact(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: bits(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_kind_of_value_survives(tmp_path: Path, encoding: str, place: str) -> None:
    described, rows = every_kind()
    package = write(tmp_path / place, [(described, rows)], encoding=encoding)
    assert exact(rows_of(package, "every kind")) == exact(rows)
    assert package.schema.table("every kind") == described
    assert package.verify().ok
    assert package.path == tmp_path / place


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_tables_without_rows_or_key_travel(tmp_path: Path, encoding: str) -> None:
    empty = table("empty", {"id": "integer"})
    package = write(tmp_path / "p.zip", [(empty, []), *shop()], encoding=encoding)
    assert rows_of(package, "empty") == []
    assert rows_of(package, "log") == [{"line": "a"}, {"line": "a"}, {"line": None}]
    assert package.entry("log").rows == 3
    assert len(package["empty"].to_frame()) == 0
    assert package.verify().ok


def test_frames_round_nothing(tmp_path: Path) -> None:
    described, rows = every_kind()
    frame = write(tmp_path / "p.zip", [(described, rows)])["every kind"].to_frame()
    assert frame["c_integer"].tolist()[:3] == [-(2**63), 2**63 - 1, 2**53 + 1]
    assert str(frame["c_integer"].dtype) == "Int64"
    assert str(frame["c_decimal"][0]) == "0.10"
    assert frame["c_unsigned"][0] == 2**64 - 1
    assert [type(value) for value in frame["c_any"][:4]] == [int, float, str, bytes]
    assert frame["c_text"][0] == ""
    assert frame["c_text"].isna()[len(rows) - 1]
    assert math.isnan(frame["c_float"].array[0])
    assert len(write(tmp_path / "q.zip", [(described, rows)])["every kind"].head(2)) == 2


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, encoding: str) -> None:
    described, rows = every_kind()
    made = [tmp_path / f"{n}.zip" for n in range(2)]
    for path in made:
        write(path, [(described, rows), *shop()], encoding=encoding, files=[picture()])
    assert made[0].read_bytes() == made[1].read_bytes()


def test_bytes_do_not_depend_on_how_rows_come_in_batches(tmp_path: Path) -> None:
    customers = shop()[0][0]
    rows = [{"id": n, "name": f"name {n % 7}"} for n in range(1000)]
    for name, size in (("a", 1000), ("b", 1), ("c", 333)):
        with PackageWriter(tmp_path / f"{name}.zip", encoding="columns") as writer:
            pieces = [batch(customers, rows[at : at + size]) for at in range(0, 1000, size)]
            assert writer.write_table(customers, pieces, part_rows=400) == 1000
            writer.finish(metadata())
    first = (tmp_path / "a.zip").read_bytes()
    assert first == (tmp_path / "b.zip").read_bytes() == (tmp_path / "c.zip").read_bytes()
    assert [part.rows for part in DataPackage.open(tmp_path / "a.zip").entry("customers").parts] == [400, 400, 200]


def test_equal_files_are_stored_once(tmp_path: Path) -> None:
    content, references = picture()
    again = picture("b.png", "[2]")[1]
    files = [(content, references), (content, again), picture("c.png", "[3]")]
    package = write(tmp_path / "p.zip", shop(), files=files)
    assert len(package.files) == 2
    entry = next(file for file in package.manifest_data.files if len(file.references) == 2)
    assert package.open_file(entry.sha256).read() == content
    assert {reference.name for reference in entry.references} == {"a.png", "b.png"}
    assert package.verify().ok


def test_missing_files_are_recorded(tmp_path: Path) -> None:
    with PackageWriter(tmp_path / "p.zip", encoding="columns") as writer:
        for one, rows in shop():
            writer.write_table(one, [batch(one, rows)])
        writer.record_missing(picture()[1][0], "permission denied")
        writer.finish(metadata())
    package = DataPackage.open(tmp_path / "p.zip")
    assert package.files["missing"].tolist() == ["permission denied"]
    assert package.metadata.counts["files"] == 0
    with pytest.raises(PackageError, match="holds no file"):
        package.open_file("")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_rows_keep_the_identity_they_had_elsewhere(tmp_path: Path, encoding: str) -> None:
    customers = shop()[0][0]
    text = LogicalType("text")
    other = uuid.UUID("33333333-3333-4333-8333-333333333333")
    rows = [
        {"id": 1, "name": "here", ORIGIN_COLUMN: None, KEY_COLUMN: None},
        {"id": 2, "name": "there", ORIGIN_COLUMN: str(other), KEY_COLUMN: "[7]"},
    ]
    with PackageWriter(tmp_path / "p.zip", encoding=encoding) as writer:  # type: ignore[arg-type]
        writer.write_table(customers, [batch(customers, rows, {ORIGIN_COLUMN: text, KEY_COLUMN: text})])
        writer.finish(metadata())
    package = DataPackage.open(tmp_path / "p.zip")
    assert rows_of(package, "customers") == rows
    assert package.entry("customers").foreign_identity
    assert "foreign-identity" in package.metadata.requires
    expected = [str(entity_uuid(ORIGIN, "customers", [1])), str(entity_uuid(other, "customers", [7]))]
    assert package.manifest["entity_uuid"].tolist() == expected
    assert list(package["customers"].to_frame().columns) == ["id", "name"]
    assert package.verify().ok


def test_tracked_rows_are_known_by_their_own_uuid(tmp_path: Path) -> None:
    tracked = table("t", {"id": "integer", "entity_uuid": "uuid"})
    name = "44444444-4444-4444-8444-444444444444"
    for encoding in ENCODINGS:
        package = write(tmp_path / f"{encoding}.zip", [(tracked, [{"id": 1, "entity_uuid": name}])], encoding=encoding)
        assert package.manifest["entity_uuid"].tolist() == [name]


def test_table_names_that_no_file_system_likes(tmp_path: Path) -> None:
    names = ["CON", "con", "a/b", "a b", "..", "ÄÖ", "public.Ärger", "x" * 300, "表", "\\", "a\nb"]
    tables = [(table(name, {"id": "integer"}), [{"id": 1}]) for name in names]
    for encoding in ENCODINGS:
        package = write(tmp_path / f"{encoding}.zip", tables, encoding=encoding)
        assert list(package) == names
        assert all(rows_of(package, name) == [{"id": 1}] for name in names)
        with pytest.raises(UnknownTableError):
            package["Con"]


def test_batches_of_other_columns_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    customers, orders = shop()[0][0], shop()[1][0]
    rows = batch(orders, [])
    with (
        pytest.raises(PackageError, match="columns of the table"),
        PackageWriter(tmp_path / "p.zip", encoding="columns") as writer,
    ):
        writer.write_table(customers, [rows])
    assert list(tmp_path.iterdir()) == []


# --- a reader made from the specification alone: zipfile, json and pyarrow ------------------------------------------


def plain_reader(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Read a package as the docstring of `datatransfer.package.package` says."""
    with zipfile.ZipFile(path) as file:
        meta = json.loads(file.read("metadata.json"))
        assert meta["format_version"] == "2.0"
        assert set(meta["requires"]) <= {"documents", "columns", "foreign-identity"}
        raw = file.read("manifest.json")
        assert hashlib.sha256(raw).hexdigest() == meta["manifest_sha256"]
        tables = {}
        for resource in json.loads(raw)["resources"]:
            own = resource["datatransfer"]
            rows: list[dict[str, Any]] = []
            for n, part in enumerate(own["parts"]):
                slug = resource["name"]
                documents = meta["encoding"] == "documents"
                name = f"entities/{slug}_{n + 1}.json" if documents else f"entities/{slug}/part-{n:05d}.parquet"
                data = file.read(name)
                assert len(data) == part["bytes"]
                assert hashlib.sha256(data).hexdigest() == part["sha256"]
                rows += [json.loads(data)] if documents else pq.read_table(io.BytesIO(data)).to_pylist()
            kinds = {column["name"]: column["type"]["kind"] for column in own["columns"]}
            tables[own["table"]] = [
                {name: plain_value(row[name], kind) for name, kind in kinds.items()} for row in rows
            ]
        return tables


def plain_value(value: Any, kind: str) -> Any:
    if value is None:
        return None
    if kind == "float":
        special = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
        return bits(special.get(value, value) if isinstance(value, str) else float(value))
    if kind == "bytes":
        return base64.b64decode(value) if isinstance(value, str) else value
    if kind in ("date", "time", "timestamp", "timestamptz"):
        return value if isinstance(value, str) else value.isoformat()
    if kind == "any":
        decode = {"i": int, "r": float.fromhex, "t": str, "b": bytes.fromhex}[value[0]]
        return value[0], bits(decode(value[1:]))
    return value


def expected_value(value: Any, kind: str) -> Any:
    if value is not None and kind == "any":
        return value[0], bits(untag(value))
    if value is not None and kind in ("date", "time", "timestamp", "timestamptz"):
        return value.isoformat()
    return bits(value)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_reader_made_from_the_specification_gets_the_same_rows(tmp_path: Path, encoding: str) -> None:
    tables = [every_kind(), *shop()]
    write(tmp_path / "p.zip", tables, encoding=encoding, files=[picture()])
    found = plain_reader(tmp_path / "p.zip")
    for one, rows in tables:
        expected = [{c.name: expected_value(row[c.name], c.type.kind) for c in one.columns} for row in rows]
        assert found[one.name] == expected


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_manifest_is_a_data_package(tmp_path: Path, encoding: str) -> None:
    frictionless = pytest.importorskip("frictionless")
    tables = [every_kind(), *shop(), (table("empty", {"id": "text"}), [])]
    package = write(tmp_path / "p.zip", tables, encoding=encoding)
    descriptor = json.loads(zipfile.ZipFile(tmp_path / "p.zip").read("manifest.json"))
    read = frictionless.Package.from_descriptor(descriptor)
    assert [resource.title for resource in read.resources] == list(package)
    orders = read.get_resource("orders").schema
    assert orders.primary_key == ["id"]
    assert orders.foreign_keys[0]["reference"] == {"resource": "customers", "fields": ["id"]}
    # the library takes several paths only through from_descriptor, as above
    one_path = [item for item in descriptor["resources"] if not isinstance(item.get("path"), list)]
    single = {**descriptor, "resources": one_path}
    assert [error.note for error in frictionless.Package.metadata_validate(single)] == []


def test_parts_are_readable_in_place_by_others(tmp_path: Path) -> None:
    duckdb, polars = pytest.importorskip("duckdb"), pytest.importorskip("polars")
    write(tmp_path / "folder", shop())
    part = tmp_path / "folder" / "entities" / "orders" / "part-00000.parquet"
    assert duckdb.sql(f"SELECT count(*) FROM '{part}' WHERE customer_id = 2").fetchall() == [(2,)]
    assert polars.read_parquet(part).shape == (4, 3)
    write(tmp_path / "p.zip", shop())
    with zipfile.ZipFile(tmp_path / "p.zip") as file:
        info = file.getinfo("entities/orders/part-00000.parquet")
        assert info.compress_type == zipfile.ZIP_STORED
    assert pa.types.is_int64(pq.read_schema(part).field("id").type)
