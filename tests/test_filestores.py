"""Every store does what `FileStore` says, and a folder never lets a path lead out of it."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import socket
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from datatransfer.database.filestores import CHUNK_BYTES, FileStore, FolderStore, MemoryStore, parts_of
from datatransfer.errors import FileStoreError

LEADING_OUT = [
    "", "/", "/etc/passwd", "//host/share", "..", "../x", "a/../b", "a/..", "./a", "a/./b", "a//b", "a/", ".",
    "C:", "C:/x", "..\\x", "a\\b", "\\\\host\\x", "a\0b", "x" * 5000, "\ud800", "a/\udcff",
]  # fmt: skip


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(store: FileStore, path: str, content: bytes) -> bool:
    return store.write(path, io.BytesIO(content), sha(content))


def content_of(store: FileStore, path: str) -> bytes:
    with store.open(path) as file:
        return file.read()


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> FileStore:
    """A store of either kind; every test that takes it is part of the contract."""
    return FolderStore(tmp_path / "store") if request.param == "folder" else MemoryStore()


# --- the contract ---------------------------------------------------------------------------------------------------


def test_a_store_has_the_protocol(store: FileStore) -> None:
    assert isinstance(store, FileStore)


@pytest.mark.parametrize("path", ["a.txt", "a/b/c.bin", "ä/日本.txt", "with space", "-rf", "a:b", "..a", "a..b", "~"])
def test_what_is_written_is_read(store: FileStore, path: str) -> None:
    assert not store.exists(path)
    assert put(store, path, b"content")
    assert store.exists(path)
    assert store.size(path) == 7
    assert content_of(store, path) == b"content"


@pytest.mark.parametrize("length", [0, 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_every_length_is_written_wholly(store: FileStore, length: int) -> None:
    put(store, "f", b"x" * length)
    assert store.size("f") == length


def test_equal_content_is_left_alone_and_different_content_is_refused(store: FileStore) -> None:
    assert put(store, "f", b"one")
    assert not put(store, "f", b"one")
    with pytest.raises(FileStoreError, match="different content"):
        put(store, "f", b"two")
    assert content_of(store, "f") == b"one"


def test_content_that_is_not_what_its_hash_says_leaves_nothing(store: FileStore) -> None:
    with pytest.raises(FileStoreError, match="sha256"):
        store.write("f", io.BytesIO(b"changed"), sha(b"original"))
    assert not store.exists("f")


@pytest.mark.parametrize("path", LEADING_OUT)
def test_a_path_that_leads_out_is_refused_by_every_verb(store: FileStore, path: str) -> None:
    verbs: list[Callable[[str], object]] = [
        store.open, store.size, store.exists, store.delete, lambda p: put(store, p, b""),
    ]  # fmt: skip
    for verb in verbs:
        with pytest.raises(FileStoreError, match="stay inside"):
            verb(path)


def test_a_missing_file_is_a_typed_error(store: FileStore) -> None:
    for verb in (store.open, store.size):
        with pytest.raises(FileStoreError, match=r"a/b: there is no such file"):
            verb("a/b")
    assert not store.exists("a/b")


def test_delete_says_whether_there_was_something(store: FileStore) -> None:
    put(store, "a/b", b"x")
    assert store.delete("a/b")
    assert not store.delete("a/b")
    assert not store.delete("no/such/folder")
    assert not store.exists("a/b")


def test_an_error_shows_no_control_characters() -> None:
    with pytest.raises(FileStoreError) as caught:
        parts_of("../\x1b[31m\n")
    assert str(caught.value).isprintable()


# --- a folder on disk -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> FolderStore:
    (tmp_path / "store" / "in").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    return FolderStore(tmp_path / "store")


def names_in(store: FolderStore) -> list[str]:
    return sorted(str(path.relative_to(store.root)) for path in store.root.rglob("*") if not path.is_dir())


def test_a_link_is_refused_wherever_in_the_path_it_stands(folder: FolderStore) -> None:
    (folder.root / "file").symlink_to(folder.root.parent / "outside" / "secret")
    (folder.root / "dir").symlink_to(folder.root.parent / "outside")
    (folder.root / "in" / "up").symlink_to("..")
    (folder.root / "dangling").symlink_to("nowhere")
    for path in ("file", "dir/secret", "in/up/file", "dangling"):
        with pytest.raises(FileStoreError, match="symbolic link"):
            folder.open(path)
        with pytest.raises(FileStoreError, match="symbolic link"):
            put(folder, path, b"x")
    with pytest.raises(FileStoreError, match="symbolic link"):
        put(folder, "dir/new", b"x")
    assert sorted(path.name for path in (folder.root.parent / "outside").iterdir()) == ["secret"]


def test_the_root_itself_may_be_a_link(folder: FolderStore, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(folder.root)
    put(FolderStore(tmp_path / "alias"), "f", b"x")
    assert content_of(folder, "f") == b"x"


def test_what_is_no_regular_file_is_refused_without_waiting(
    folder: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(folder.root / "fifo")
    monkeypatch.chdir(folder.root)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("s")
    for path in ("fifo", "in", "s"):
        with pytest.raises(FileStoreError, match="not a regular file"):
            folder.open(path)
        with pytest.raises(FileStoreError, match="not a regular file"):
            put(folder, path, b"x")


def test_an_unreadable_file_is_a_typed_error(folder: FolderStore) -> None:
    put(folder, "f", b"x")
    (folder.root / "f").chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(FileStoreError, match="may not be accessed"):
            folder.open("f")
        return
    # Root reads everything, so another user has to try, in a folder that this user can get at.
    with tempfile.TemporaryDirectory() as open_to_all:
        Path(open_to_all).chmod(0o755)
        (Path(open_to_all) / "f").touch(0)
        code = f"""
            import os
            from datatransfer.database.filestores import FolderStore
            from datatransfer.errors import FileStoreError
            store = FolderStore({open_to_all!r})
            os.setuid(65534)
            try:
                store.open("f")
            except FileStoreError as error:
                print(error.message)
        """
        run = [sys.executable, "-c", textwrap.dedent(code)]
        done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "the file may not be accessed", done.stderr


def test_nothing_is_left_beside_a_file(folder: FolderStore) -> None:
    put(folder, "in/f", b"x")
    with pytest.raises(FileStoreError):
        folder.write("in/g", io.BytesIO(b"x"), sha(b"y"))
    assert names_in(folder) == ["in/f"]


def test_a_source_that_fails_leaves_nothing(folder: FolderStore) -> None:
    class Failing(io.BytesIO):
        def read(self, _size: int | None = -1, /) -> bytes:
            raise OSError(errno.EIO, "broken")

    with pytest.raises(FileStoreError, match="input/output"):
        folder.write("f", Failing(), sha(b""))
    assert names_in(folder) == []


def test_a_full_disk_leaves_nothing(folder: FolderStore) -> None:
    code = f"""
        import io, resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        from datatransfer.database.filestores import FolderStore
        from datatransfer.errors import FileStoreError
        try:
            FolderStore({str(folder.root)!r}).write("f", io.BytesIO(bytes(5000)), "{sha(bytes(5000))}")
        except FileStoreError as error:
            print(error.code, error.evidence["errno"])
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["file-store", str(errno.EFBIG)]
    assert names_in(folder) == []


def test_of_many_writers_of_one_path_one_content_wins_wholly(folder: FolderStore) -> None:
    contents = [bytes([65 + n]) * 200_000 for n in range(6)]
    results: list[str] = []

    def write(content: bytes) -> None:
        try:
            results.append("written" if put(folder, "deep/f", content) else "there")
        except FileStoreError as error:
            results.append(error.code)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == ["file-store"] * 5 + ["written"]
    assert content_of(folder, "deep/f") in contents
    assert names_in(folder) == ["deep/f"]


def test_no_descriptor_stays_open(folder: FolderStore) -> None:
    listing = Path("/proc/self/fd")
    if not listing.exists():
        pytest.skip("optional: no /proc here")
    (folder.root / "dir").symlink_to("/")
    put(folder, "a/b/f", b"x")
    before = len(list(listing.iterdir()))
    for _ in range(20):
        folder.exists("a/b/f")
        folder.size("a/b/f")
        folder.exists("a/x/y")
        for path in ("a/b", "dir/etc", "a/b/g"):
            with pytest.raises(FileStoreError):
                folder.open(path)
    assert len(list(listing.iterdir())) == before
