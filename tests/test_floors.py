"""The floors of the building: who may import whom."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("pandas", "pyarrow", "ipywidgets", "sqlalchemy", "numpy", "networkx", "tqdm", "adbc_driver_manager")
DOORS = ("cli", "notebook", "server")


def _python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)


def test_every_floor_imports_only_from_below() -> None:
    done = _python(
        "from importlinter.cli import lint_imports\n"
        "raise SystemExit(lint_imports(config_filename='pyproject.toml', no_cache=True))"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


def test_the_contract_covers_every_room() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    floors = next(contract for contract in contracts if contract["containers"] == ["datatransfer"])
    assert floors["exhaustive"] is True
    named = " ".join(floors["layers"])
    rooms = {path.stem for path in (ROOT / "datatransfer").iterdir() if path.suffix in ("", ".py")}
    assert {room for room in rooms if not room.startswith("_") and room not in named} == set()


@pytest.mark.parametrize("module", ["datatransfer.errors", "datatransfer.events", "datatransfer.schema.tables"])
def test_plain_data_loads_nothing_heavy(module: str) -> None:
    done = _python(f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_only_the_doors_print() -> None:
    found = []
    for path in sorted((ROOT / "datatransfer").rglob("*.py")):
        room = path.relative_to(ROOT / "datatransfer").parts[0].removesuffix(".py")
        code = [
            line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith((">>>", "#"))
        ]
        if room not in DOORS and any(line.lstrip().startswith("print(") for line in code):
            found.append(str(path.relative_to(ROOT)))
    assert found == []
