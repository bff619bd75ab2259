"""Looking at a package: differences, reasons, and what is shown of it."""

from __future__ import annotations

import copy
import html.parser
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.display.blocks import size
from datatransfer.errors import KeyValueError, PackageError, UnknownTableError, UsageError
from datatransfer.notebook.picker import PathPicker
from datatransfer.package.contents import Contents
from datatransfer.package.package import DataPackage
from datatransfer.sample import create_sample
from tests.support.packages import every_kind, metadata, rows_of, shop, table, write
from tests.support.transfer import SAMPLE_FILES

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


def test_a_selection_counts_paths_and_a_package_files_and_both_say_so(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a.db"
    create_sample(url, tmp_path / "files").close()
    with dt.Database(url, files={SAMPLE_FILES: dt.FolderStore(tmp_path / "files")}) as db:
        builder = dt.PackageBuilder(db).add_all()
        selection = builder.preview()
        assert "36 file paths)" in repr(selection)
        assert "36 file paths; files with the same content are carried once" in selection._repr_html_()
        with builder.build(tmp_path / "all.zip", progress=False) as package:
            assert len(package.files) == 22
            assert package._repr_html_().count("22 files for 36 paths") == 2
            assert "22 files for 36 paths" in repr(package)
            assert "22 files for 36 paths" in repr(package.manifest_data)
            stored, unpacked = size((tmp_path / "all.zip").stat().st_size), size(package.metadata.counts["bytes"])
            assert stored != unpacked
            assert f"{stored}; rows and files alone, unpacked: {unpacked}" in package._repr_html_()
            (listed,) = PathPicker("Package", print, folder=tmp_path).list.options[-1:]
            assert listed == f"all.zip  ({stored})"
            (tmp_path / "all.zip").rename(tmp_path / "gone.zip")
            assert f"<td>{unpacked}</td>" in package._repr_html_()
        one = dt.PackageBuilder(db).add("attachments", where="id = 2").build(tmp_path / "one.zip", progress=False)
        with one as package:
            assert "tables, 1 file<" in package._repr_html_()
            assert "for 1 path" not in package._repr_html_()
