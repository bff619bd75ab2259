"""Hostile and odd ZIP files and folders: refused by their structure, with one error that names file and rule."""

from __future__ import annotations

import io
import os
import resource
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from datatransfer.errors import PackageError
from datatransfer.package.archive import open_archive
from datatransfer.package.package import DataPackage
from datatransfer.package.zipreader import ZipReader
from tests.support.packages import picture, rows_of, shop, table, write

CORPUS = Path(__file__).parents[2] / "shared" / "corpora" / "zip"
needs_corpus = pytest.mark.skipif(not CORPUS.is_dir(), reason="data: the corpora are not beside this checkout")

MUST_REFUSE = ["malo/malicious", "malo/reject", "pypi/reject"]
MUST_TAKE = ["deflate", "normal_deflate", "normal_deflate_zip64_extra", "store", "subdir", "zip64_eocd"]


def corpus(*folders: str) -> list[Any]:
    files = [file for folder in folders for file in sorted((CORPUS / folder).glob("*.*"))]
    return [pytest.param(file, id=file.relative_to(CORPUS).as_posix()) for file in files]


# --- what others collected -------------------------------------------------------------------------------------------


@needs_corpus
@pytest.mark.parametrize("file", corpus(*MUST_REFUSE))
def test_the_structure_of_hostile_archives_is_refused(file: Path) -> None:
    def structure() -> None:
        reader = ZipReader(file)
        reader.check_small()

    with pytest.raises(PackageError) as caught:
        structure()
    assert str(file) in caught.value.where


@needs_corpus
@pytest.mark.parametrize("name", MUST_TAKE)
def test_the_structure_of_ordinary_archives_is_taken(name: str) -> None:
    file = CORPUS / "malo" / "accept" / f"{name}.zip"
    reader = ZipReader(file)
    assert all(len(reader.read(member, 1 << 20)) == size for member, size in reader.sizes.items())
    with pytest.raises(PackageError, match=r"not a package: it has no metadata\.json"):
        DataPackage.open(file)


@needs_corpus
@pytest.mark.parametrize("file", corpus("malo/iffy", "malo/accept", "pypi/accept"))
def test_of_all_others_none_is_a_package(file: Path) -> None:
    with pytest.raises(PackageError):
        DataPackage.open(file)


# --- our own packages, damaged ---------------------------------------------------------------------------------------


def opened_wholly(path: Path) -> None:
    """Open, verify, and raise if anything was found."""
    with DataPackage.open(path) as package:
        report = package.verify()
    if not report.ok:
        raise PackageError(str(report.findings[0]))


def small(path: Path, encoding: str) -> bytes:
    one = table("t", {"id": "integer", "x": "text"})
    write(path, [(one, [{"id": 1, "x": "a"}])], encoding=encoding).close()
    return path.read_bytes()


@pytest.mark.parametrize(("encoding", "mask"), [("documents", 0x01), ("columns", 0xFF)])
def test_every_flipped_byte_shows(tmp_path: Path, encoding: str, mask: int) -> None:
    good = small(tmp_path / "good.zip", encoding)
    opened_wholly(tmp_path / "good.zip")
    path = tmp_path / "bad.zip"
    unseen = []
    for position in range(len(good)):
        bad = bytearray(good)
        bad[position] ^= mask
        path.write_bytes(bad)
        try:
            opened_wholly(path)
        except PackageError:
            continue
        unseen.append(position)
    assert unseen == []


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    good = small(tmp_path / "good.zip", "documents")
    path = tmp_path / "bad.zip"
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(PackageError):
            DataPackage.open(path)


@pytest.mark.parametrize("extra", [b"\0", b"PK\5\6" + b"\0" * 18])
def test_data_before_and_after_is_refused(tmp_path: Path, extra: bytes) -> None:
    good = small(tmp_path / "good.zip", "columns")
    for bad in (extra + good, good + extra):
        (tmp_path / "bad.zip").write_bytes(bad)
        with pytest.raises(PackageError):
            DataPackage.open(tmp_path / "bad.zip")


# --- packages that common tools packed again -------------------------------------------------------------------------


def repack(good: Path, bad: Path, change: Callable[[zipfile.ZipFile, str, bytes], None]) -> Path:
    """Copy a package member by member."""
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(bad, "w") as target:
        for name in source.namelist():
            change(target, name, source.read(name))
    return bad


@pytest.fixture
def good(tmp_path: Path) -> Path:
    write(tmp_path / "good.zip", shop(), files=[picture()]).close()
    return tmp_path / "good.zip"


def test_a_package_that_python_packed_again_is_read(tmp_path: Path, good: Path) -> None:
    again = repack(good, tmp_path / "again.zip", lambda z, n, d: z.writestr(n, d, zipfile.ZIP_DEFLATED))
    package = DataPackage.open(again)
    assert package.verify().ok
    assert len(rows_of(package, "orders")) == 4
    assert package.open_file(package.files["sha256"][0]).read() == picture()[0]


def test_a_package_with_data_descriptors_is_read(tmp_path: Path, good: Path) -> None:
    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += data
            return len(data)

    pipe = Pipe()
    with zipfile.ZipFile(good) as source, zipfile.ZipFile(pipe, "w") as target:
        for name in source.namelist():
            target.writestr(name, source.read(name), zipfile.ZIP_DEFLATED)
    (tmp_path / "again.zip").write_bytes(pipe.data)
    assert DataPackage.open(tmp_path / "again.zip").verify().ok


@pytest.mark.skipif(shutil.which("zip") is None, reason="optional: the program zip is not here")
def test_a_package_that_zip_packed_again_is_read(tmp_path: Path) -> None:
    write(tmp_path / "folder", shop(), files=[picture()])
    for options in (["-rqD"], ["-rqDX"]):
        subprocess.run(["zip", *options, "../again.zip", "."], cwd=tmp_path / "folder", check=True)
        assert DataPackage.open(tmp_path / "again.zip").verify().ok
        (tmp_path / "again.zip").unlink()
    subprocess.run(["zip", "-rq", "../again.zip", "."], cwd=tmp_path / "folder", check=True)
    with pytest.raises(PackageError, match="zip -D"):
        DataPackage.open(tmp_path / "again.zip")


@pytest.mark.skipif(shutil.which("unzip") is None, reason="optional: the program unzip is not here")
def test_unzip_reads_what_we_write(good: Path) -> None:
    assert subprocess.run(["unzip", "-tqq", str(good)], check=False).returncode == 0


# --- made hostile ----------------------------------------------------------------------------------------------------

NAMES = [
    "../x", "/x", "C:\\x", "\\\\host\\x", "a\\..\\b", "~", ".", "..", "entities/../x", "entities//x_1.json",
    "entities/x_1.json ", "entities/x_1.json.", "CON", "entities/con\0.json", "entities/a\n_1.json", "a\u202eb",
    "x" * 60_000, "entities/A_1.json", "entities/x_0.json", "entities/x_01.json", "files/ab/" + "0" * 64,
    "files/00/" + "0" * 63, "metadata.json/x", "Metadata.json", "METADATA.JSON", "entities/", "notes.txt",
    "entities/x/part-0.parquet", "entities/x/part-00000.parquet/y", "entities/\u00e9_1.json", "datapackage.json",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES, ids=lambda name: repr(name)[:30])
def test_names_that_the_format_does_not_derive_are_refused(tmp_path: Path, good: Path, name: str) -> None:
    shutil.copy(good, tmp_path / "bad.zip")
    repack(good, tmp_path / "bad.zip", lambda z, n, d: z.writestr(n, d))
    with zipfile.ZipFile(tmp_path / "bad.zip", "a") as file:
        file.writestr(zipfile.ZipInfo(name), b"")
    with pytest.raises(PackageError):
        opened_wholly(tmp_path / "bad.zip")


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("other", ["manifest.json", "MANIFEST.json", "Metadata.JSON"])
def test_a_name_twice_is_refused(tmp_path: Path, good: Path, other: str) -> None:
    repack(good, tmp_path / "bad.zip", lambda z, n, d: z.writestr(n, d))
    with zipfile.ZipFile(tmp_path / "bad.zip", "a") as file:
        file.writestr(other, b"{}")
    with pytest.raises(PackageError, match="twice"):
        DataPackage.open(tmp_path / "bad.zip")


@pytest.mark.parametrize("mode", [0o120777, 0o020666, 0o060666, 0o010666, 0o140777, 0o104755, 0o102755, 0o040755])
def test_links_devices_and_special_permissions_are_refused(tmp_path: Path, good: Path, mode: int) -> None:
    def change(file: zipfile.ZipFile, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(name)
        info.external_attr = (mode if name == "manifest.json" else 0o100644) << 16
        file.writestr(info, data)

    with pytest.raises(PackageError, match="link, a device"):
        DataPackage.open(repack(good, tmp_path / "bad.zip", change))


def test_a_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("metadata.json", b" " * 50_000_000)
    with pytest.raises(PackageError, match="far larger"):
        DataPackage.open(tmp_path / "bomb.zip")


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as file:
        file.writestr("metadata.json", b"a" * 100)
        file.writestr("manifest.json", b"a" * 100)
    data = bytearray((tmp_path / "bad.zip").read_bytes())
    second = data.rindex(b"PK\1\2")
    data[second + 42 : second + 46] = struct.pack("<I", 0)
    (tmp_path / "bad.zip").write_bytes(data)
    with pytest.raises(PackageError, match="before, between or below"):
        DataPackage.open(tmp_path / "bad.zip")


def test_sizes_that_lie_are_refused(tmp_path: Path, good: Path) -> None:
    again = repack(good, tmp_path / "again.zip", lambda z, n, d: z.writestr(n, d, zipfile.ZIP_DEFLATED))
    data = bytearray(again.read_bytes())
    with zipfile.ZipFile(again) as file:
        info = file.getinfo("manifest.json")
    central = data.rindex(b"PK\1\2", 0, data.rindex(b"manifest.json"))
    for lie in (info.file_size - 1, info.file_size + 1):
        for place in (info.header_offset + 22, central + 24):
            data[place : place + 4] = struct.pack("<I", lie)
        again.write_bytes(data)
        with pytest.raises(PackageError, match=r"larger than stated|size that is stated"):
            DataPackage.open(again)


def flood(count: int) -> bytes:
    """Return an archive whose directory has very many empty members."""
    names = [b"%06x" % n for n in range(count)]
    local = b"".join(struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 33, 0, 0, 0, 6, 0) + name for name in names)
    central = b"".join(
        struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 0, 0, 33, 0, 0, 0, 6, 0, 0, 0, 0, 0, 36 * n) + name
        for n, name in enumerate(names)
    )
    end64 = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, count, count, len(central), len(local))
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, len(local) + len(central), 1)
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return local + central + end64 + locator + end


def test_a_directory_flood_is_refused_from_the_end_record(tmp_path: Path) -> None:
    path = tmp_path / "flood.zip"
    path.write_bytes(flood(300_000))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(PackageError, match="300000 members"):
        open_archive(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 10_000


# --- things that are no files ----------------------------------------------------------------------------------------


def test_what_is_no_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.zip")
    for path, rule in [("pipe.zip", "ordinary file"), ("missing.zip", "cannot be read"), (".", r"metadata\.json")]:
        with pytest.raises(PackageError, match=rule):
            DataPackage.open(tmp_path / path if path != "." else _empty(tmp_path))


def _empty(folder: Path) -> Path:
    (folder / "empty").mkdir()
    return folder / "empty"


@pytest.mark.parametrize("kind", ["link", "pipe", "extra", "deep"])
def test_folders_with_more_than_members_are_refused(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "folder"
    write(folder, shop())
    if kind == "link":
        (folder / "entities" / "orders_1.json").symlink_to("/etc/passwd")
    elif kind == "pipe":
        os.mkfifo(folder / "entities" / "orders_1.json")
    elif kind == "extra":
        (folder / "notes.txt").write_text("x")
    else:
        (folder / "a" / "b" / "c" / "d" / "e").mkdir(parents=True)
    with pytest.raises(PackageError):
        DataPackage.open(folder)


def test_a_package_replaced_while_it_is_open_is_still_the_one_that_was_opened(tmp_path: Path, good: Path) -> None:
    package = DataPackage.open(good)
    one = table("orders", {"id": "integer"})
    write(tmp_path / "other.zip", [(one, [{"id": 9}])])
    (tmp_path / "other.zip").replace(good)
    assert len(rows_of(package, "orders")) == 4


def test_large_archives_need_64_bits(tmp_path: Path) -> None:
    code = """
import sys, hashlib
from datatransfer.package.archive import create_archive
from datatransfer.package.zipreader import ZipReader
from pathlib import Path
path = Path(sys.argv[1])
writer = create_archive(path)
with writer.member("files/00/" + "0" * 64, large=True) as member:
    member.write(b"x")
for n in range(65_600):
    writer.write(f"entities/t_{n + 1}.json", b"")
writer.finish()
reader = ZipReader(path)
assert len(reader.sizes) == 65_601 and reader.read("files/00/" + "0" * 64, 9) == b"x"
"""
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "large.zip")], check=True, timeout=60)
    with zipfile.ZipFile(tmp_path / "large.zip") as file:
        assert len(file.infolist()) == 65_601
        assert zlib.crc32(file.read("files/00/" + "0" * 64)) == zlib.crc32(b"x")
