"""What the command line says when something is wrong: in options and commands, as text or as one JSON document."""

from __future__ import annotations

import ast
import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import datatransfer
from datatransfer.cli import main
from datatransfer.cli.output import Output
from datatransfer.cli.wording import as_typed
from datatransfer.errors import ConditionError, UsageError
from datatransfer.events import Warned

PACKAGE = Path(datatransfer.__file__).parent


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    connection = sqlite3.connect(tmp_path / "shop.db")
    connection.executescript(
        """
        CREATE TABLE orders (id INTEGER PRIMARY KEY, note TEXT);
        CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id));
        INSERT INTO orders VALUES (1, 'x');
        INSERT INTO items VALUES (1, 1);
        """
    )
    connection.close()
    return tmp_path


def complaint(capsys: pytest.CaptureFixture[str], *typed: str) -> tuple[int, dict[str, Any]]:
    """Run a command with ``--json``, return its exit code and what it wrote to standard error."""
    code = main([*typed, "--json"])
    heard = capsys.readouterr()
    assert heard.out == ""
    return code, json.loads(heard.err)


# --- wrong options --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "says", "command"),
    [
        ("nonsense", "invalid choice: 'nonsense'", "datatransfer"),
        ("", "are required: COMMAND", "datatransfer"),
        ("export u p --encoding csv", "invalid choice: 'csv'", "datatransfer export"),
        ("export u p --where a=1", "after the --table", "datatransfer export"),
        ("tables", "are required: URL", "datatransfer tables"),
        ("tables u --nope", "unrecognized arguments: --nope", "datatransfer"),
        ("inspect p --head 0", "must be 1 or more", "datatransfer inspect"),
    ],
)
def test_wrong_options_are_json_where_that_was_asked_for(
    typed: str, says: str, command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, document = complaint(capsys, *typed.split())
    assert code == 2
    assert set(document) == set(UsageError("").to_dict())
    assert document["error"] == "usage"
    assert says in document["message"]
    assert document["hint"] == f"see {command} --help"


def test_json_may_be_shortened_and_stand_anywhere(capsys: pytest.CaptureFixture[str]) -> None:
    for typed in (["tables", "--js"], ["--json", "tables"]):
        assert main(typed) == 2
        assert json.loads(capsys.readouterr().err)["error"] == "usage"


def test_wrong_options_in_json_hold_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    _, document = complaint(capsys, "tables", "sqlite://", "postgresql://ann:S3CR3T@host/shop")
    assert "S3CR3T" not in json.dumps(document)


def test_all_and_single_tables_contradict_each_other(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url, package = f"sqlite:///{shop / 'shop.db'}", str(shop / "p.zip")
    for more in (["--table", "orders"], ["--key", "orders=1"]):
        code, document = complaint(capsys, "export", url, package, "--all", *more)
        assert (code, document["error"], document["where"]) == (2, "usage", "orders")
        assert "--all" in document["message"]
    assert not Path(package).exists()


# --- databases that are not there -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    ["tables URL", "export URL new.zip --all", "receipts URL", "receipts URL ID", "stages URL", "stages URL --drop ID",
     "undo URL ID", "undo URL ID --check", "track URL", "resume P URL", "plan P URL", "import P URL", "check P URL",
     "diff P URL"],
)  # fmt: skip
def test_no_command_makes_a_database(command: str, shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    package, missing = shop / "p.zip", shop / "missing.db"
    assert main(["export", f"sqlite:///{shop / 'shop.db'}", str(package), "--all"]) == 0
    capsys.readouterr()
    before = sorted(shop.iterdir())
    words = {"URL": f"sqlite:///{missing}", "P": str(package), "ID": "6d1c8f4e-0000-4000-8000-000000000000",
             "new.zip": str(shop / "new.zip")}  # fmt: skip
    code, document = complaint(capsys, *(words.get(word, word) for word in command.split()))
    assert (code, document["error"]) == (3, "database")
    assert "there is no such database file" in document["message"]
    assert sorted(shop.iterdir()) == before


def test_a_schema_that_is_not_there_gets_those_there_are(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, document = complaint(capsys, "tables", f"sqlite:///{shop / 'shop.db'}", "--schema", "nope")
    assert code == 2
    assert "main" in document["hint"]


# --- both languages -------------------------------------------------------------------------------------------------

PYTHON = re.compile(r"""(?<![-\w"'.&?])[a-z_]{2,}=(?!=)|\w\(|=True\b|\b(?:dt|datatransfer|plan|Mapping|Database)\.\w""")
"""A parameter, a call, or a name of the library."""
NO_PYTHON = {"add charset=utf8mb4 to the URL"}
#: About arguments that no option gives.
ONLY_IN_PYTHON = {
    'write files={"table.column": dt.FolderStore("folder")}',
    'write where="id = :id", params={"id": 5}',
    'write params={"id": 5}',
    "open it first: dt.Database(url)",
    "open it first: dt.DataPackage.open(path)",
    "open it again: dt.DataPackage.open(path)",
    "write PackageImporter(package, target)",
    "importer.plan() makes one",
    "call add() once for each",
    "wrap them in exists() or in_(select(...))",
    "make it from plan.to_frame(table), without limit= and action=",
    "make it from plan.to_frame(table), or give the rows themselves: frame[mask]",
    "; a DataFrame column with gaps holds floats: use astype('int64')",
}


def hints_of(path: Path) -> Iterator[str]:
    """Yield every text of a module that an error or a finding has for a hint, with X for what is put into it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "hint":
            yield from _texts(node.value)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = {getattr(n, "id", getattr(n, "attr", "")) for target in targets for n in ast.walk(target)}
            if {name.lower().strip("_") for name in names} & {"hint", "hints", "again", "address_hint"}:
                yield from _texts(node.value)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Misfit" and len(node.args) > 3:
            yield from _texts(node.args[3])


def _texts(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
    else:
        for child in ast.iter_child_nodes(node):
            yield from _texts(child)


def library_hints() -> set[str]:
    """Return the hints of everything below the command line."""
    paths = [path for path in PACKAGE.rglob("*.py") if "cli" not in path.relative_to(PACKAGE).parts]
    return {hint for path in paths for hint in hints_of(path)}


def test_every_hint_of_the_library_speaks_options_on_the_command_line() -> None:
    hints = library_hints()
    assert len(hints) > 100
    assert "pass overwrite=True to replace it" in hints
    left = {hint for hint in hints if PYTHON.search(as_typed(hint))} - NO_PYTHON
    assert left - ONLY_IN_PYTHON == set()
    assert {hint for hint in hints if "=True" in hint or "dt." in hint} - left  # there is something to translate


def test_every_hint_of_the_library_speaks_python_in_python() -> None:
    options = re.compile(r"(?<!\w)--[a-z]")
    assert {hint for hint in library_hints() if options.search(hint)} == {
        "run the migration without --sql"
    }  # Alembic's


def test_what_is_called_only_python_is_still_said_somewhere() -> None:
    assert library_hints() >= ONLY_IN_PYTHON | NO_PYTHON


@pytest.mark.parametrize(
    ("spoken", "typed"),
    [
        ("see dt.receipts(db)", "see datatransfer receipts"),
        ("see dt.receipts(target)", "see datatransfer receipts"),
        ("see dt.stages(db)", "see datatransfer stages"),
        ("see Database.tables", "see datatransfer tables"),
        ('call add("table", …) or add_all() first', "name rows with --table, --key or --uuid, or take --all"),
        ('use direction="up"', "write TABLE.COLUMN:up"),
        (
            "check_undo() names them, keep_edited=True leaves them",
            "datatransfer undo --check names them, --keep-edited leaves them",
        ),
        ("nothing was decided; look at plan.to_frame()", "nothing was decided; look at datatransfer plan"),
        ("plan.save(path) writes them", "datatransfer plan --save-decisions writes them"),
        ("Mapping.save writes one", "datatransfer check --save-mapping writes one"),
        ("run() starts one", "datatransfer import starts one"),
        ("my_run() and dt.receipts(other)", "my_run() and dt.receipts(other)"),
    ],
)
def test_calls_become_commands(spoken: str, typed: str) -> None:
    assert as_typed(spoken) == typed


def test_messages_and_warnings_are_said_in_options_too(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(as_json=True)
    out.error(UsageError("params= goes with where="))
    assert json.loads(capsys.readouterr().err)["message"] == "--param NAME=VALUE goes with --where"
    out.error(ConditionError('near "where=": syntax error'))  # the database's own words
    assert json.loads(capsys.readouterr().err)["message"] == 'near "where=": syntax error'
    out.warn(Warned("x", "see dt.receipts(db)"))
    out.result({}, "")
    assert json.loads(capsys.readouterr().out)["warnings"][0]["message"] == "see datatransfer receipts"
