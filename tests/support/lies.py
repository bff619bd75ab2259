"""Packages that lie about themselves, with hashes that match, so that only the lie itself can show."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datatransfer.package.jsontext import write_json
from datatransfer.package.package import DataPackage
from tests.support.packages import picture, shop, table, write

SHARED = Path(__file__).parents[3] / "shared" / "corpora"
needs_corpora = pytest.mark.skipif(not SHARED.is_dir(), reason="data: the corpora are not beside this checkout")


def damageable(place: Path, encoding: str) -> Path:
    """Return a package as a folder in a place, to be damaged."""
    write(place / "package", shop(), encoding=encoding, files=[picture()])
    return place / "package"


def change(folder: Path, **parts: Any) -> DataPackage:
    """Write a package's two documents anew, with matching hashes, so that only the lie itself can show."""
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


def with_part(tmp_path: Path, made: pa.Table, rows: int, **options: Any) -> DataPackage:
    """Return a package whose one part is another Parquet file."""
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
