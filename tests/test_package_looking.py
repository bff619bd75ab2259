"""Looking at a package: verification, differences, reasons, what is shown; and packages that lie about themselves."""

from __future__ import annotations

import copy
import html.parser
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datatransfer.errors import KeyValueError, PackageError, UnknownTableError, UsageError
from datatransfer.package.contents import Contents
from datatransfer.package.fields import Fields
from datatransfer.package.jsontext import read_json, write_flat_json, write_json
from datatransfer.package.manifest import Manifest
from datatransfer.package.metadata import PackageMetadata
from datatransfer.package.package import DataPackage
from tests.support.packages import every_kind, metadata, picture, rows_of, shop, table, write

SHARED = Path(__file__).parents[2] / "shared" / "corpora"
needs_corpora = pytest.mark.skipif(not SHARED.is_dir(), reason="data: the corpora are not beside this checkout")
ENCODINGS = ["documents", "columns"]


@pytest.fixture(params=ENCODINGS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a package as a folder, to be damaged."""
    write(tmp_path / "package", shop(), encoding=request.param, files=[picture()])
    return tmp_path / "package"


def change(folder: Path, **parts: Any) -> DataPackage:
    """Write a package's two documents anew, with matching hashes, so that only the lie itself can show."""
    import hashlib

    manifest = json.loads((folder / "manifest.json").read_bytes())
    meta = json.loads((folder / "metadata.json").read_bytes())
    for edit in parts.get("manifest", ()):
        edit(manifest)
    data = write_json(manifest)
    meta["manifest_sha256"] = hashlib.sha256(data).hexdigest()
    for edit in parts.get("metadata", ()):
        edit(meta)
    (folder / "manifest.json").write_bytes(data)
    (folder / "metadata.json").write_bytes(write_json(meta))
    return DataPackage.open(folder)


# --- verify ----------------------------------------------------------------------------------------------------------


def test_a_good_package_has_no_findings(folder: Path) -> None:
    report = DataPackage.open(folder).verify()
    assert report.ok
    assert report.complete
    assert report.valid
    assert len(report.to_frame()) == 0


def test_every_missing_and_every_extra_member_is_found(folder: Path) -> None:
    names = sorted(DataPackage.open(folder).manifest_data.members)
    for name in names[:3]:
        (folder / name).unlink()
    (folder / "entities" / "zzz_1.json").write_text("{}")
    report = DataPackage.open(folder).verify()
    assert [finding.where for finding in report if finding.code == "missing-member"] == [
        name for name in DataPackage.open(folder).manifest_data.members if name in names[:3]
    ]
    assert [finding.where for finding in report if finding.code == "extra-member"] == ["entities/zzz_1.json"]
    assert not report.complete
    assert not report.ok


def test_changed_members_are_not_valid_but_complete(folder: Path) -> None:
    names = list(DataPackage.open(folder).manifest_data.members)[:2]
    (folder / names[0]).write_bytes((folder / names[0]).read_bytes() + b" ")
    raw = bytearray((folder / names[1]).read_bytes())
    raw[0] ^= 1
    (folder / names[1]).write_bytes(raw)
    package = DataPackage.open(folder)
    report = package.verify()
    assert {finding.where for finding in report if finding.code == "member"} == set(names)
    assert report.complete
    assert not report.valid
    with pytest.raises(PackageError, match="bytes"):
        list(package.batches("customers"))


def test_rows_keys_and_references_are_counted(tmp_path: Path) -> None:
    tables = shop()
    customers, orders = tables[0], tables[1]
    twice = (customers[0], [*customers[1], customers[1][0]])
    lost = (orders[0], [*orders[1], {"id": 9, "customer_id": 77, "note": "x"}])
    report = write(tmp_path / "p.zip", [twice, lost]).verify()
    assert [(finding.code, finding.where) for finding in report] == [
        ("duplicate-key", "customers"), ("reference", "orders.customer_id"),
    ]  # fmt: skip


def test_announced_orphans_and_rows_left_out_are_no_findings(tmp_path: Path) -> None:
    from datatransfer.package.writer import PackageWriter
    from tests.support.packages import batch

    (customers, people), (orders, bought) = shop()[0], shop()[1]
    lost = [*bought, {"id": 9, "customer_id": 77, "note": "x"}]
    for name, orphans, outside in [("a", {"orders.customer_id": 1}, {}), ("b", {}, {"orders.customer_id": 1})]:
        with PackageWriter(tmp_path / f"{name}.zip", encoding="columns") as writer:
            writer.write_table(customers, [batch(customers, people)])
            writer.write_table(orders, [batch(orders, lost)], orphans=orphans)
            writer.finish(metadata(selection={"outside": outside}))
        assert DataPackage.open(tmp_path / f"{name}.zip").verify().ok


def test_a_file_that_nobody_has_is_found(tmp_path: Path) -> None:
    report = write(tmp_path / "p.zip", shop(), files=[picture("x", "[99]")]).verify()
    assert [finding.code for finding in report] == ["file-reference"]


def test_a_digest_that_lies_is_found(folder: Path) -> None:
    package = change(folder, metadata=[lambda meta: meta.update(digest="0" * 64)])
    assert [finding.code for finding in package.verify()] == ["digest"]


def test_documents_with_another_key_than_listed_are_found(tmp_path: Path) -> None:
    write(tmp_path / "package", shop(), encoding="documents")

    def lie(manifest: dict[str, Any]) -> None:
        manifest["resources"][0]["datatransfer"]["parts"][1]["key"] = "[77]"

    report = change(tmp_path / "package", manifest=[lie]).verify()
    assert [(finding.code, finding.where) for finding in report] == [("identity", "entities/customers_2.json")]


def test_documents_of_a_table_without_a_key_must_not_be_listed_with_one(tmp_path: Path) -> None:
    nameless = (table("notes", {"text": "text"}, key=()), [{"text": "a"}, {"text": "a"}])
    write(tmp_path / "package", [nameless], encoding="documents")

    def lie(manifest: dict[str, Any]) -> None:
        manifest["resources"][0]["datatransfer"]["parts"][1]["key"] = "[77]"

    assert DataPackage.open(tmp_path / "package").verify().ok
    report = change(tmp_path / "package", manifest=[lie]).verify()
    assert [(finding.code, finding.where) for finding in report] == [("identity", "entities/notes_2.json")]


def test_a_document_is_compared_with_its_sha256_whenever_it_is_read(tmp_path: Path) -> None:
    package = write(tmp_path / "package", shop(), encoding="documents")
    assert package["customers"].to_arrow().num_rows > 0
    document = tmp_path / "package" / "entities" / "customers_1.json"
    document.write_bytes(document.read_bytes().replace(b" ", b"\t", 1))
    with pytest.raises(PackageError, match=r"customers_1\.json.*sha256"):
        package["customers"].to_arrow()


# --- documents that lie ----------------------------------------------------------------------------------------------


def every_edit(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[tuple[Any, ...], Any]]:
    """Return every place of a JSON document with another value for it."""
    found: list[tuple[tuple[Any, ...], Any]] = []
    if isinstance(data, dict):
        for name, value in data.items():
            found += every_edit(value, (*path, name))
        found.append((path, {**data, "surprise": 1}))
        found += [(path, {other: value for other, value in data.items() if other != name}) for name in data]
    elif isinstance(data, list):
        for place, value in enumerate(data):
            found += every_edit(value, (*path, place))
        found.append((path, {}))
    elif isinstance(data, bool):
        found += [(path, int(data)), (path, None)]
    elif isinstance(data, int):
        found += [(path, -1), (path, str(data)), (path, float(data)), (path, True), (path, data + 1)]
    elif isinstance(data, str):
        found += [(path, 7), (path, None), (path, data + "\0")]
    else:
        found += [(path, 7), (path, [])]
    return found


FREE = {"created_by", "selection", "source_revision", "counts", "requires", "digest"}
LOOSE = {"dialect", "declared", "bareName", "dbSchema", "name", "key", "bytes", "entity_uuid"}


def edited(data: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(data)
    if not path:
        return value
    place = made
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return made


def test_every_edit_of_the_documents_is_refused_or_is_free(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    write(folder, shop()[:2], encoding="documents", files=[picture()])
    manifest = json.loads((folder / "manifest.json").read_bytes())
    meta = json.loads((folder / "metadata.json").read_bytes())
    taken = []
    for path, value in every_edit(manifest):
        try:
            Manifest.from_bytes(write_json(edited(manifest, path, value)), "x")
        except PackageError:
            continue
        taken.append(path)
    for path, value in every_edit(meta):
        try:
            PackageMetadata.from_bytes(write_json(edited(meta, path, value)), "x")
        except PackageError:
            continue
        taken.append(path)
    # what is left are texts without a form, and numbers that the package itself is compared with
    assert {path for path in taken if path[0] not in FREE and path[-1] not in LOOSE} == set()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"format_version": "2.1"}, "needs version >= 2.1"),
        ({"format_version": "3.0"}, "needs version >= 3.0"),
        ({"format_version": "1.0"}, "not a format"),
        ({"requires": {"documents": "2.0", "holograms": "2.7"}}, "needs version >= 2.7"),
        ({"encoding": "pickles"}, "documents or columns"),
        ({"manifest_sha256": "AB" * 32}, "form"),
        ({"counts": {"tables": 1, "rows": -1, "files": 0, "bytes": 0}}, "negative"),
    ],
)
def test_metadata_of_the_future_or_of_another_form_is_refused(folder: Path, changes: Any, rule: str) -> None:
    with pytest.raises(PackageError, match=rule) as caught:
        change(folder, metadata=[lambda meta: meta.update(changes)])
    assert "metadata.json" in caught.value.where


def test_format_1_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "metadata.json").write_text('{"version": "1.0", "created_at": "2020-01-01", "package_id": "x"}')
    with pytest.raises(PackageError, match="is of format 1"):
        DataPackage.open(tmp_path / "old")


def test_counts_and_hash_must_agree(folder: Path) -> None:
    with pytest.raises(PackageError, match="other counts"):
        change(folder, metadata=[lambda meta: meta["counts"].update(rows=1)])
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes() + b" ")
    with pytest.raises(PackageError, match="sha256"):
        DataPackage.open(folder)


@pytest.mark.parametrize(
    "text",
    [
        b"\xef\xbb\xbf{}", b'{"a":1,"a":2}', b"[NaN]", b"[Infinity]", b"[-Infinity]", b"[1e400]", b'["\\ud800"]',
        b'{"\\udc00":1}', b"[" * 100 + b"]" * 100, b"[" * 100_000, b"[1" + b"0" * 5000 + b"]",
        b"[18446744073709551616]", b"\xff", b"", b"{", b"[1,]", b'"' + b'\\"' * 100_000, b'{"a":' * 100_000,
        b"[-9223372036854775809]",
    ],
    ids=range(19),
)  # fmt: skip
def test_json_that_is_not_strict_is_refused(text: bytes) -> None:
    with pytest.raises(PackageError, match="x: "):
        read_json(text, where="x", limit=1 << 20)


def test_json_that_is_strict_is_read() -> None:
    data = {"a": [1, -(2**63), 2**64 - 1, 1.5, "\U0001f600", "]" * 100, None, True]}
    assert read_json(write_json(data), where="x", limit=1 << 20) == data
    assert read_json(b'["\\ud83d\\ude00"]', where="x", limit=99) == ["\U0001f600"]
    with pytest.raises(PackageError, match="99 are allowed"):
        read_json(b" " * 100, where="x", limit=99)
    with pytest.raises(PackageError, match="must be an object"):
        Fields([], "x")


@pytest.mark.parametrize("data", [{}, {"a": 1}, {"a": None, "é\n": "x, y: {z}", "f": -0.0, "t": True, "n": 2**63}])
def test_a_flat_object_is_written_the_same_by_the_fast_way(data: dict[str, Any]) -> None:
    assert write_flat_json(data) == write_json(data, indent=2)


def test_many_brackets_are_not_depth() -> None:
    assert read_json(b"[" + b"[]," * 1000 + b"{}]", where="x", limit=1 << 20) == [*([[]] * 1000), {}]


@needs_corpora
def test_the_corpus_of_json_is_read_as_it_should_be() -> None:
    wrong = []
    for file in sorted((SHARED / "json").glob("[yn]_*.json")):
        try:
            read_json(file.read_bytes(), where="x", limit=1 << 20)
        except PackageError:
            good = file.name[0] == "n" or file.name.startswith("y_object_duplicated_key")
        else:
            good = file.name[0] == "y"
        wrong += [] if good else [file.name]
    assert wrong == []


# --- Parquet that lies -----------------------------------------------------------------------------------------------


def with_part(tmp_path: Path, made: pa.Table, rows: int, **options: Any) -> DataPackage:
    """Return a package whose one part is another Parquet file."""
    import hashlib
    import shutil

    one = table("t", {"id": "integer", "x": "text"})
    folder = tmp_path / "package"
    shutil.rmtree(folder, ignore_errors=True)
    write(folder, [(one, [{"id": 1, "x": "a"}])])
    part = folder / "entities" / "t" / "part-00000.parquet"
    if isinstance(made, bytes):
        part.write_bytes(made)
    else:
        pq.write_table(made, part, **options)
    data = part.read_bytes()

    def lie(manifest: dict[str, Any]) -> None:
        own = manifest["resources"][0]["datatransfer"]
        own["rows"] = own["parts"][0]["rows"] = rows
        own["parts"][0].update(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())

    counts = {"tables": 1, "rows": rows, "files": 0, "bytes": len(data)}
    return change(folder, manifest=[lie], metadata=[lambda meta: meta.update(counts=counts, digest=None)])


def test_parts_of_other_columns_types_or_numbers_of_rows_are_refused(tmp_path: Path) -> None:
    good = pa.table({"id": pa.array([1, 2], pa.int64()), "x": ["a", "b"]})
    assert with_part(tmp_path, good, 2).verify().ok
    lies = [
        (good, 3), (good.select(["id"]), 2), (good.select(["x", "id"]), 2), (good.rename_columns(["id", "y"]), 2),
        (good.set_column(0, "id", pa.array([1, 2], pa.int32())), 2), (good.append_column("z", good["x"]), 2),
        (good.set_column(1, "x", pa.array([["a"], ["b"]])), 2), (good.set_column(1, "x", pa.array([b"\xff", b""])), 2),
    ]  # fmt: skip
    for made, rows in lies:
        package = with_part(tmp_path, made, rows)
        with pytest.raises(PackageError):
            list(package.batches("t"))
        assert not package.verify().ok


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    bad = pa.StringArray.from_buffers(2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0"), pa.py_buffer(b"\xff\xfe"))
    package = with_part(tmp_path, pa.table({"id": pa.array([1, 2], pa.int64()), "x": bad}), 2)
    with pytest.raises(PackageError, match="cannot be read as Parquet"):
        list(package.batches("t"))


def test_types_that_would_load_code_are_ignored_or_refused(tmp_path: Path) -> None:
    field = pa.field("x", pa.string(), metadata={
        b"ARROW:extension:name": b"arrow.py_extension_type", b"ARROW:extension:metadata": b"cos\nsystem\n(S'true'\ntR.",
    })  # fmt: skip
    schema = pa.schema([pa.field("id", pa.int64()), field], metadata={b"pandas": b"{not json"})
    package = with_part(tmp_path, pa.table([pa.array([1], pa.int64()), pa.array(["a"])], schema=schema), 1)
    assert rows_of(package, "t") == [{"id": 1, "x": "a"}]


BOMB = """
import resource, sys
import pyarrow as pa, pyarrow.parquet as pq, numpy as np
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.test_package_looking import with_part
rows = 2_000_000
long = pa.DictionaryArray.from_arrays(pa.array(np.zeros(rows, np.int32)), pa.array(["x" * 500_000]))
made = pa.table({{"id": pa.array(np.zeros(rows, np.int64)), "x": long}})
package = with_part(Path({path!r}), made, rows, compression="zstd", store_schema=False)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
seen = 0
for batch in package.batches("t"):
    seen += batch.num_rows
    if seen > 1000:
        break
assert seen > 1000
grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
assert grown < 256, grown
"""


def test_a_dictionary_of_one_long_value_stays_within_the_budget(tmp_path: Path) -> None:
    code = BOMB.format(root=str(Path(__file__).parents[1]), path=str(tmp_path))
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


CORRUPT = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from datatransfer.errors import PackageError
from tests.test_package_looking import with_part
for number, file in enumerate(sorted(Path({corpus!r}).glob("*.parquet"))):
    package = with_part(Path({path!r}), file.read_bytes(), 1)
    try:
        list(package.batches("t"))
    except PackageError:
        continue
    raise SystemExit(file.name)
"""


@needs_corpora
def test_corrupt_parquet_neither_crashes_nor_passes(tmp_path: Path) -> None:
    code = CORRUPT.format(root=str(Path(__file__).parents[1]), corpus=str(SHARED / "parquet"), path=str(tmp_path))
    subprocess.run([sys.executable, "-c", code], check=True, timeout=100)


# --- diff and why ----------------------------------------------------------------------------------------------------


def test_a_package_does_not_differ_from_itself_in_another_encoding(tmp_path: Path) -> None:
    tables = [every_kind(), *shop()]
    first = write(tmp_path / "a.zip", tables, encoding="documents")
    assert len(first.diff(write(tmp_path / "b.zip", tables, encoding="columns"))) == 0


def test_differences_are_told_field_by_field(tmp_path: Path) -> None:
    tables = shop()
    first = write(tmp_path / "a.zip", tables)
    changed = copy.deepcopy(tables)
    changed[0][1][0]["name"] = "Ada L."
    changed[1][1].pop(3)
    changed[1][1].append({"id": 7, "customer_id": 3, "note": "new"})
    changed[1][1][0]["customer_id"] = 3
    changed[5][1].append({"line": "b"})
    found = first.diff(write(tmp_path / "b.zip", changed))
    assert [tuple(row) for row in found.fillna("").itertuples(index=False)] == [
        ("customers", "[1]", "changed", "name", "Ada", "Ada L."),
        ("log", "", "added", "", "", ""),
        ("orders", "[4]", "removed", "", "", ""),
        ("orders", "[7]", "added", "", "", ""),
        ("orders", "[1]", "changed", "customer_id", 1, 3),
    ]


def test_rows_that_were_renumbered_elsewhere_are_known_by_their_uuid(tmp_path: Path) -> None:
    import uuid

    from datatransfer.package.writer import PackageWriter
    from datatransfer.schema.identity import KEY_COLUMN, ORIGIN_COLUMN
    from datatransfer.schema.values import LogicalType
    from tests.support.packages import ORIGIN, batch

    text = {ORIGIN_COLUMN: LogicalType("text"), KEY_COLUMN: LogicalType("text")}
    first = write(tmp_path / "a.zip", shop()[:2])
    with PackageWriter(tmp_path / "b.zip", encoding="columns") as writer:
        for one, rows in shop()[:2]:
            moved = [
                {**row, "id": row["id"] + 100, ORIGIN_COLUMN: str(ORIGIN), KEY_COLUMN: f"[{row['id']}]",
                 **({"customer_id": row["customer_id"] and row["customer_id"] + 100} if "customer_id" in row else {})}
                for row in rows
            ]  # fmt: skip
            writer.write_table(one, [batch(one, moved, text)])
        writer.finish(metadata(origin=uuid.uuid4()))
    second = DataPackage.open(tmp_path / "b.zip")
    assert second.digest == first.digest
    assert len(first.diff(second)) == 0


def test_only_rows_can_be_compared(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot compare"):
        write(tmp_path / "a.zip", shop()).diff("b.zip")


def test_why_leads_back_to_a_root(tmp_path: Path) -> None:
    selection = {"roots": [{"table": "customers", "keys": [[2]]}]}
    package = write(tmp_path / "a.zip", shop(), meta=metadata(selection=selection))
    chain = package.why("orders", 3)
    assert [(step.table, step.key, step.reached) for step in chain] == [
        ("orders", "[3]", "down"), ("customers", "[2]", "root"),
    ]  # fmt: skip
    assert "refers by orders.customer_id" in repr(chain)
    assert len(package.why("folders", 1)) == 0
    with pytest.raises(KeyValueError):
        package.why("orders", 99)
    with pytest.raises(KeyValueError):
        package.why("log", 1)
    with pytest.raises(UnknownTableError):
        package.why("nothing", 1)


def test_why_goes_up_only_from_what_was_reached(tmp_path: Path) -> None:
    selection = {"roots": [{"table": "orders"}]}
    package = write(tmp_path / "a.zip", shop(), meta=metadata(selection=selection))
    assert [step.reached for step in package.why("customers", 1)] == ["up", "root"]


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_names_and_values_cannot_break_out_of_what_is_shown(tmp_path: Path) -> None:
    payload = "<img src=x onerror=alert(1)>\x1b[31m"
    one = table(payload, {"id": "integer", payload: "text"})
    package = write(tmp_path / "a.zip", [(one, [{"id": 1, payload: payload}])])

    class Tags(html.parser.HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.seen: set[str] = set()

        def handle_starttag(self, tag: str, attrs: Any) -> None:
            self.seen.add(tag)

    tags = Tags()
    for shown in (package, package[payload], package.verify()):
        tags.feed(shown._repr_html_())
        assert "\x1b" not in repr(shown) + shown._repr_html_()
    assert not tags.seen & {"img", "script", "a", "iframe"}


def test_opening_reads_two_documents_only(tmp_path: Path) -> None:
    write(tmp_path / "p.zip", shop()).close()
    data = bytearray((tmp_path / "p.zip").read_bytes())
    data[100] ^= 1
    (tmp_path / "p.zip").write_bytes(data)
    package = DataPackage.open(tmp_path / "p.zip")
    assert repr(package).startswith("DataPackage(")
    assert package.tables["rows"].sum() == 19
    with pytest.raises(PackageError, match="sha256"):
        rows_of(package, "customers")


def test_what_is_read_later_is_compared_once(tmp_path: Path) -> None:
    package = write(tmp_path / "p.zip", shop())
    contents = Contents(package._archive, package.manifest_data)
    assert sum(found.num_rows for found in contents.batches("orders")) == 4
    assert [found.schema.names for found in contents.batches("orders", columns=["note"])] == [["note"]]
