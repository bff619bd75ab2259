"""Writing a package: all of it or nothing, never over another, with the error told in our words."""

from __future__ import annotations

import io
import sqlite3
import stat
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.errors import PackageError, PackageExistsError, ValueLossError
from datatransfer.events import Progress
from datatransfer.package.archive import create_archive
from datatransfer.package.package import DataPackage, PackageWriter
from tests.support.packages import batch, metadata, picture, shop, table, write

PLACES = ["package.zip", "folder"]


@pytest.mark.parametrize("place", PLACES)
def test_an_existing_destination_is_kept(tmp_path: Path, place: str) -> None:
    write(tmp_path / place, shop()[:1])
    with pytest.raises(PackageExistsError, match="already there") as caught:
        PackageWriter(tmp_path / place, encoding="columns")
    assert "overwrite=True" in caught.value.hint
    assert len(DataPackage.open(tmp_path / place)) == 1
    assert len(write(tmp_path / place, shop(), overwrite=True)) == 6
    assert [path.name for path in tmp_path.iterdir()] == [place]


@pytest.mark.parametrize("place", PLACES)
def test_a_destination_that_came_meanwhile_is_kept(tmp_path: Path, place: str) -> None:
    with PackageWriter(tmp_path / place, encoding="columns") as writer:
        if place == "folder":
            (tmp_path / place).mkdir()
            (tmp_path / place / "mine").touch()
        else:
            (tmp_path / place).write_text("mine")
        with pytest.raises(PackageExistsError):
            writer.finish(metadata())
    assert [path.name for path in tmp_path.iterdir()] == [place]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("encoding", ["documents", "columns"])
def test_an_error_on_the_way_leaves_nothing(tmp_path: Path, place: str, encoding: Any) -> None:
    customers, rows = shop()[0]

    def failing() -> Any:
        yield batch(customers, rows)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), PackageWriter(tmp_path / place, encoding=encoding) as writer:
        writer.write_table(customers, failing())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", PLACES)
def test_leaving_without_finishing_leaves_nothing(tmp_path: Path, place: str) -> None:
    with PackageWriter(tmp_path / place, encoding="columns") as writer:
        writer.write_file(io.BytesIO(b"x"), references=picture()[1])
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(PackageError, match="cannot be written") as caught:
        PackageWriter(tmp_path / "nowhere" / "p.zip", encoding="columns")
    assert "create it" in caught.value.hint


def test_packages_are_for_their_owner_only(tmp_path: Path) -> None:
    write(tmp_path / "p.zip", shop())
    write(tmp_path / "folder", shop())
    assert stat.S_IMODE((tmp_path / "p.zip").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "folder").stat().st_mode) == 0o700


FULL = """
import resource, sys
sys.path.insert(0, {root!r})
import io
from pathlib import Path
from datatransfer.errors import PackageError
from datatransfer.package.writer import PackageWriter
from tests.support.packages import batch, metadata, picture, shop
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
customers = shop()[0][0]
try:
    with PackageWriter({path!r}, encoding={encoding!r}) as writer:
        rows = [{{"id": n, "name": str(n * 7919)}} for n in range(20_000 if {encoding!r} == "columns" else 300)]
        writer.write_table(customers, [batch(customers, rows)])
        writer.write_file(io.BytesIO(bytes(200_000)), references=picture()[1])
        writer.finish(metadata())
except PackageError as error:
    assert {path!r} in error.where, error.where
    assert "choose another place" in error.hint, error.hint
else:
    raise SystemExit("nothing was refused")
assert list(Path({path!r}).parent.iterdir()) == []
"""


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(("encoding", "limit"), [("columns", 20_000), ("columns", 150_000), ("documents", 8_000)])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, place: str, encoding: str, limit: int) -> None:
    (tmp_path / "out").mkdir()
    code = FULL.format(
        root=str(Path(__file__).parents[1]), path=str(tmp_path / "out" / place), limit=limit, encoding=encoding
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_value_that_json_cannot_hold_is_told(tmp_path: Path) -> None:
    import pyarrow as pa

    one = table("t", {"id": "integer", "at": "timestamp"})
    far = pa.RecordBatch.from_arrays([pa.array([1], pa.int64()), pa.array([2**62], pa.timestamp("us"))], ["id", "at"])
    with PackageWriter(tmp_path / "columns.zip", encoding="columns") as writer:
        writer.write_table(one, [far])
        writer.finish(metadata())
    assert next(iter(DataPackage.open(tmp_path / "columns.zip").batches("t"))).equals(far)
    with pytest.raises(ValueLossError) as caught, PackageWriter(tmp_path / "p.zip", encoding="documents") as writer:
        writer.write_table(one, [far])
    assert caught.value.where == "t.at"


def test_tables_and_reserved_columns_once(tmp_path: Path) -> None:
    customers, rows = shop()[0]
    with PackageWriter(tmp_path / "p.zip", encoding="columns") as writer:
        writer.write_table(customers, [batch(customers, rows)])
        with pytest.raises(PackageError, match="before"):
            writer.write_table(customers, [])
        with pytest.raises(PackageError, match="starts with datatransfer:"):
            writer.write_table(table("t", {"id": "integer", "datatransfer:x": "text"}), [])


def test_progress_is_told(tmp_path: Path) -> None:
    heard: list[Any] = []
    write(tmp_path / "p.zip", shop(), listener=heard.append, files=[picture()])
    assert all(isinstance(event, Progress) and event.phase == "write" for event in heard)
    assert heard[-1].rows_done == 19
    assert heard[-1].bytes_done == DataPackage.open(tmp_path / "p.zip").metadata.counts["bytes"]


@pytest.mark.parametrize("first", ["whole", "piecewise"])
@pytest.mark.parametrize("second", ["whole", "piecewise"])
def test_no_member_is_written_twice(tmp_path: Path, first: str, second: str) -> None:
    writer = create_archive(tmp_path / "p.zip")

    def put(way: str) -> None:
        if way == "whole":
            writer.write("metadata.json", b"{}")
        else:
            with writer.member("metadata.json") as member:
                member.write(b"{}")

    put(first)
    with pytest.raises(PackageError, match="written twice"):
        put(second)
    writer.abort()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("way", ["whole", "piecewise"])
def test_a_member_above_four_gib_must_be_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    monkeypatch.setattr("datatransfer.package.zipformat.MAX32", 1000)  # 4 GiB would take too long
    writer = create_archive(tmp_path / "p.zip")

    def put() -> None:
        if way == "whole":
            writer.write("metadata.json", b"x" * 1000)
        else:
            with writer.member("metadata.json") as member:
                member.write(b"x" * 1000)

    with pytest.raises(PackageError, match="not announced"):
        put()
    writer.abort()


def test_members_are_the_same_bytes_written_whole_or_piecewise(tmp_path: Path) -> None:
    whole, piecewise = create_archive(tmp_path / "a.zip"), create_archive(tmp_path / "b.zip")
    for name, content in (("metadata.json", b"{}"), ("manifest.json", b""), ("entities/a_1.json", b"abc" * 999)):
        size, sha256 = whole.write(name, content)
        with piecewise.member(name) as member:
            member.write(content[:2])
            member.write(content[2:])
        assert (size, sha256) == (member.size, member.sha256)
        assert piecewise.reader().read(name, 1 << 20) == whole.reader().read(name, 1 << 20) == content
    assert whole.finish().read_bytes() == piecewise.finish().read_bytes()


@pytest.mark.parametrize("kind", ["database", "folder", "empty folder", "link", "text"])
def test_only_a_package_is_ever_replaced(tmp_path: Path, kind: str) -> None:
    path, source = tmp_path / "there", tmp_path / "source.db"
    with closing(sqlite3.connect(source)) as connection:
        connection.executescript("CREATE TABLE t (id INTEGER PRIMARY KEY); INSERT INTO t VALUES (1)")
    if kind.endswith("folder"):
        path.mkdir()
        if kind == "folder":
            (path / "precious.txt").write_text("x")
    elif kind == "link":
        path.symlink_to(source)
    elif kind == "database":
        path = source
    else:
        path.write_text("x")
    before = sorted((p.name, p.is_dir() or p.read_bytes()) for p in tmp_path.rglob("*"))
    with dt.Database(f"sqlite:///{source}") as db:
        for overwrite in (False, True):
            with pytest.raises(dt.PackageExistsError) as refused:
                dt.PackageBuilder(db).add_all().build(path, progress=False, overwrite=overwrite)
            assert "overwrite" not in refused.value.hint
        assert sorted((p.name, p.is_dir() or p.read_bytes()) for p in tmp_path.rglob("*")) == before
        for name in ("package.zip", "package"):
            for _ in range(2):
                dt.PackageBuilder(db).add_all().build(tmp_path / name, progress=False, overwrite=True)
