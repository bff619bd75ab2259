"""``datatransfer lab``: the tutorial notebooks come along with the package, and one's own copies stay one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from datatransfer.cli import main

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = sorted((ROOT / "notebooks").glob("*.ipynb"))
NAMES = [path.name for path in SHIPPED]


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["lab", "--no-start", "--json", *arguments]) == 0
    return dict(json.loads(capsys.readouterr().out))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_notebooks_are_copied_into_a_folder_beside_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "datatransfer-notebooks"
    answer = {"folder": str(folder), "notebooks": NAMES, "copied": NAMES, "kept": [], "started": False}
    assert told(capsys) == answer
    assert contents(folder) == {path.name: path.read_bytes() for path in SHIPPED}


def test_what_is_in_the_folder_stays_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    told(capsys, "--folder", str(folder))
    (folder / NAMES[0]).write_text("my own work", encoding="utf-8")
    (folder / NAMES[1]).unlink()
    (folder / "own.ipynb").write_text("mine too", encoding="utf-8")
    before = contents(folder)
    again = told(capsys, "--folder", str(folder))
    assert (again["copied"], again["kept"]) == ([NAMES[1]], [NAMES[0]])
    assert contents(folder) == before | {NAMES[1]: SHIPPED[1].read_bytes()}


def test_what_was_kept_is_said_with_the_way_to_get_it_anew(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["lab", "--no-start", "--folder", str(tmp_path)]
    (tmp_path / NAMES[0]).mkdir()
    assert main(command) == 0
    said = capsys.readouterr().out
    assert f"{len(NAMES) - 1} notebooks copied, 1 there already" in said
    assert f"kept as you left them: {NAMES[0]}; delete one to get it anew" in said


def test_without_jupyterlab_it_says_how_to_get_it_and_copies_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "jupyterlab", None)
    assert main(["lab", "--folder", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert "JupyterLab is not installed" in said
    assert "pip install 'datatransfer[lab]'" in said
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_made_is_refused_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    assert main(["lab", "--no-start", "--folder", str(tmp_path / "file" / "under")]) == 2
    said = capsys.readouterr().err
    assert "the notebooks cannot be copied there" in said
    assert str(tmp_path / "file" / "under") in said


def test_the_wheel_carries_the_notebooks_and_copies_them_from_itself(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "site")
    command = [sys.executable, "-m", "datatransfer.cli", "lab", "--no-start", "--json", "--folder", "copies"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True)
    assert json.loads(done.stdout)["copied"] == NAMES
    assert contents(tmp_path / "copies") == {path.name: path.read_bytes() for path in SHIPPED}
    assert (tmp_path / "site" / "datatransfer" / "_migrations" / "env.py").is_file()
