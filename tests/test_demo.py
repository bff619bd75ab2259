"""``datatransfer demo`` keeps what it promises: proofs with real figures, in seconds, and nothing left behind."""

from __future__ import annotations

import json
import sqlite3
import time
from pathlib import Path

import pytest

from datatransfer.cli import main

SECONDS = 10


def test_the_demo_proves_every_step_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    started = time.monotonic()
    assert main(["demo", "--json"]) == 0
    assert time.monotonic() - started < SECONDS
    heard = capsys.readouterr()
    document = json.loads(heard.out)
    assert heard.err == ""
    assert document["proved"]
    assert len(document["proofs"]) == 4
    assert all(document["proofs"].values())
    catalogue, _, taken, looked, imported, proved, again = document["steps"]
    assert catalogue["rows"] > taken["rows"] > 5
    assert taken["files"] > 0
    assert looked["digest"] == proved["digest"]
    assert imported["dataset"] != 3
    rows = sum(table["inserted"] + table["reused"] for table in imported["tables"])
    assert rows == taken["rows"]
    assert again["written"] == 0
    assert list(tmp_path.iterdir()) == []


def test_the_demo_reads_as_a_story(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo"]) == 0
    shown = capsys.readouterr().out
    assert "1  A made-up catalogue" in shown
    assert ">>> package = dt.PackageBuilder(db)" in shown
    assert "Everything was proved" in shown
    assert "undo" not in shown.lower()


def test_a_kept_demo_can_be_played_with(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "demo"
    assert main(["demo", "--keep", str(folder)]) == 0
    assert main(["verify", str(folder / "part.zip")]) == 0
    connection = sqlite3.connect(folder / "second" / "catalogue.db")
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()
    capsys.readouterr()
    assert main(["demo", "--keep", str(folder)]) == 2
    assert "not empty" in capsys.readouterr().err
