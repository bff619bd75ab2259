"""Verification: every lack, every change and every lie of a package is found."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from datatransfer.errors import PackageError
from datatransfer.package.package import DataPackage
from datatransfer.package.writer import PackageWriter
from tests.support.lies import change, damageable
from tests.support.packages import batch, metadata, picture, shop, table, write
from tests.support.transfer import ENCODINGS


@pytest.fixture(params=ENCODINGS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a package as a folder, to be damaged."""
    return damageable(tmp_path, request.param)


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


def test_a_file_that_was_missing_is_told_wherever_the_package_is_looked_at(tmp_path: Path) -> None:
    with PackageWriter(tmp_path / "p.zip", encoding="columns") as writer:
        for one, rows in shop():
            writer.write_table(one, [batch(one, rows)])
        content, references = picture("a.png", "[1]")
        writer.write_file(io.BytesIO(content), references=references)
        for key in ("[2]", "[3]"):
            writer.record_missing(picture("gone.png", key)[1][0], "there is no such file")
        writer.finish(metadata())
    package = DataPackage.open(tmp_path / "p.zip")
    assert "1 file, 1 missing" in repr(package)
    assert "1 file, 1 missing" in repr(package.manifest_data)
    assert package._repr_html_().count("1 file, 1 missing") == 2
    report = package.verify()
    assert (report.ok, report.complete, report.valid) == (True, True, True)
    assert [(f.severity, f.code, f.where) for f in report] == [("warning", "missing-file", "gone.png")]
    assert report.findings[0].message.endswith("was missing when the package was made: there is no such file")
    assert report.findings[0].hint == "export again where the file is there"
    for shown in (repr(report), report._repr_html_(), package._repr_html_()):
        assert "valid, but 1 file was missing when it was made" in shown
        assert "complete" not in shown
    assert "gone.png" in package._repr_html_()
