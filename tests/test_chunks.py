"""What the ledger keeps in pieces: read by the thread that asks, so that a program may end at any moment after it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_READ = """
import os
import pyarrow as pa
import pyarrow.parquet
from datatransfer.database.chunks import decode, encode

written = encode(pa.table({f"c{n}": list(range(500)) for n in range(6)}))
before = len(os.listdir("/proc/self/task"))
assert decode(written).num_rows == 500
print(len(os.listdir("/proc/self/task")) - before)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads are counted as Linux lists them")
def test_reading_a_record_starts_no_thread_that_could_outlive_the_interpreter() -> None:
    done = subprocess.run([sys.executable, "-c", _READ], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "0\n"), done.stderr
