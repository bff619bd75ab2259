"""An interpreter that ends in the midst of an import, as a kernel that is restarted does: the import can be resumed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.sql import run
from tests.support.transfer import DIALECTS, export_all, import_into

SCRIPT = """
import sys, time
from pathlib import Path
import datatransfer as dt
package, url, wait = sys.argv[1:]
target = dt.Database(url)
job = dt.PackageImporter(dt.DataPackage.open(package), target).start()
while not Path(wait).exists() and job.state == "running":
    time.sleep(0.01)
print(job.state, flush=True)
"""
SCHEMA = "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(20))"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_merge_that_a_restart_ends_is_resumed(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, url, other = databases.create("sqlite"), databases.create(dialect), databases.create(dialect)
    run(source, SCHEMA, "INSERT INTO users VALUES (1, 'a'), (2, 'b')")
    for place in (url, other):
        run(place, SCHEMA)
    package, wait = export_all(source, tmp_path / "users.zip"), tmp_path / "wait"
    environment = {
        **os.environ, "DATATRANSFER_FAILPOINT": "merge.table:1", "DATATRANSFER_FAILPOINT_WAIT": str(wait),
        "DATATRANSFER_JOBS": str(tmp_path / "jobs"),
    }  # fmt: skip
    command = [sys.executable, "-c", SCRIPT, str(package.path), url, str(wait)]
    left = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert left.stdout == "running\n", left.stderr
    with dt.Database(url) as target:
        assert list(dt.stages(target)["state"]) == ["left"]
        assert target.count("users") == 0
        assert dt.PackageImporter(package, target).resume().total("insert") == 2
        assert dt.stages(target).empty
    import_into(package, other)
    assert_equal(exact_digest(other), exact_digest(url))
