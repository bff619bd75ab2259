"""Ctrl-C at any moment of an export: a whole package, or none; and no child that reads on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import psutil
import pytest

import datatransfer as dt
from datatransfer.sample import create_sample
from tests.support.children import Call
from tests.support.servers import Databases
from tests.support.stopping import (
    NOTHING,
    POINTS,
    duration,
    names_in,
    no_session_is_left,
    passes,
    said_after,
    said_at,
    wait_until,
)
from tests.support.transfer import DIALECTS


@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_export_that_is_interrupted_leaves_a_whole_package_or_none(
    databases: Databases, tmp_path: Path, dialect: str
) -> None:
    source, files, out, log = databases.create(dialect), tmp_path / "files", tmp_path / "out", tmp_path / "log"
    create_sample(source, files, size=6)
    out.mkdir()
    path = out / "all.zip"
    call = Call("export", str(path), source, str(files), {"encoding": "columns"}, said=str(tmp_path / "said.txt"))
    Call(**{**vars(call), "environment": {"DATATRANSFER_FAILPOINT_LOG": str(log)}}).check()
    path.unlink()
    for place in passes(log.read_text().split(), POINTS[dialect] or 10):
        said = said_at(call, place)
        done = place.startswith(("export.before_move", "export.after_move"))
        assert said == (f"interrupted; the package is complete: {path}" if done else NOTHING), place
        assert names_in(out) == ["all.zip"] * done, place
        no_session_is_left(source)
        if done:
            assert dt.DataPackage.open(path).verify().ok
            path.unlink()
    if dialect == "sqlite":
        _sweep_exports(call, path)


def _sweep_exports(call: Call, path: Path) -> None:
    whole = duration(call)
    for step in range(50):
        path.unlink(missing_ok=True)
        code, said = said_after(call, whole * step / 50)
        assert path.exists() if code == 0 or "complete" in said else not (said == NOTHING and path.exists()), said
        assert set(names_in(path.parent)) <= {path.name}
        if path.exists():
            assert dt.DataPackage.open(path).verify().ok


def test_a_child_that_reads_a_sqlite_file_ends_with_its_parent_and_says_nothing(
    databases: Databases, tmp_path: Path
) -> None:
    source, wait = databases.create("sqlite"), tmp_path / "wait"
    create_sample(source, tmp_path / "files", size=40)
    code = textwrap.dedent(
        f"""
        import signal, sys
        from datatransfer.cli import main
        from datatransfer.database.dialects.sqlite import SqliteDialect
        signal.signal(signal.SIGINT, signal.default_int_handler)
        SqliteDialect.fast_above = 0
        sys.exit(main(["export", {source!r}, {str(tmp_path / "all.zip")!r}, "--all"]))
        """
    )
    told = {"DATATRANSFER_FAILPOINT": "export.batch:2", "DATATRANSFER_FAILPOINT_WAIT": str(wait)}
    process = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, **told}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    wait_until(wait.exists)
    children = psutil.Process(process.pid).children(recursive=True)
    assert [child for child in children if "_sqlite_reader.py" in " ".join(child.cmdline())]
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    wait.unlink()
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, f"{NOTHING}\n")
    assert psutil.wait_procs(children, timeout=5)[1] == []
    assert not (tmp_path / "all.zip").exists()
