"""Parquet that lies: refused within bounded memory, and no code is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from datatransfer.errors import PackageError
from tests.support.lies import SHARED, needs_corpora, with_part
from tests.support.packages import rows_of


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
from tests.support.lies import with_part
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
from tests.support.lies import with_part
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
