"""Documents of a package that lie: every edit is refused, or it is free."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from datatransfer.errors import PackageError
from datatransfer.package.fields import Fields
from datatransfer.package.jsontext import read_json, write_flat_json, write_json
from datatransfer.package.manifest import Manifest
from datatransfer.package.metadata import PackageMetadata
from datatransfer.package.package import DataPackage
from tests.support.lies import SHARED, change, damageable, needs_corpora
from tests.support.packages import picture, shop, write
from tests.support.transfer import ENCODINGS


@pytest.fixture(params=ENCODINGS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a package as a folder, to be damaged."""
    return damageable(tmp_path, request.param)


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
