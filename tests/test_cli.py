"""Every command, its exit code, what it shows, and what it never shows."""

from __future__ import annotations

import ast
import io
import json
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import datatransfer
from datatransfer.cli import main
from datatransfer.cli.arguments import make_parser
from datatransfer.cli.output import Output, plain, without_passwords
from datatransfer.cli.wording import as_typed
from datatransfer.errors import DataTransferError
from datatransfer.events import Progress, Warned

SHOP = """
CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, name TEXT);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id), placed TEXT NOT NULL);
CREATE TABLE items (
    order_id INTEGER NOT NULL REFERENCES orders (id), line INTEGER NOT NULL, product TEXT NOT NULL, price NUMERIC,
    PRIMARY KEY (order_id, line));
CREATE TABLE audit (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders (id), what TEXT);
CREATE TABLE attachments (id INTEGER PRIMARY KEY, order_id INTEGER NOT NULL REFERENCES orders (id), path TEXT);
CREATE VIEW totals AS SELECT order_id, sum(price) AS total FROM items GROUP BY order_id;
"""
ROWS = """
INSERT INTO customers VALUES (41, 'ann@example.org', 'Ann'), (42, 'bob@example.org', 'Bob');
INSERT INTO orders VALUES (1, 41, '2025-12-30'), (2, 42, '2026-01-02'), (3, 42, '2026-02-03');
INSERT INTO items VALUES (1, 1, 'lamp', 20), (2, 1, 'chair', 49.5), (2, 2, 'table', 120), (3, 1, 'rug', 80);
INSERT INTO audit VALUES (1, 2, 'placed'), (2, 3, 'placed');
INSERT INTO attachments VALUES (1, 2, 'invoice.txt');
"""


@dataclass
class Shop:
    """A small shop, an empty one beside it, and a folder with its one file."""

    folder: Path

    @property
    def url(self) -> str:
        return f"sqlite:///{self.folder / 'shop.db'}"

    @property
    def copy(self) -> str:
        return f"sqlite:///{self.folder / 'copy.db'}"

    @property
    def files(self) -> str:
        return f"attachments.path={self.folder / 'uploads'}"

    def path(self, name: str) -> str:
        return str(self.folder / name)

    def rows(self, database: str, query: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(self.folder / database)
        try:
            return connection.execute(query).fetchall()
        finally:
            connection.close()


def make(path: Path, script: str) -> None:
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    make(tmp_path / "shop.db", SHOP + ROWS)
    make(tmp_path / "copy.db", SHOP)
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads" / "invoice.txt").write_text("to pay: 169.50\n")
    return Shop(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """Run a command in this process, check its exit code, return its standard output."""
    assert main(arguments) == code, capsys.readouterr().err
    return capsys.readouterr().out


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    """Return the JSON document of a command."""
    return json.loads(said(capsys, *arguments, "--json", code=code))


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> str:
    """Run a command that fails, return what it wrote to standard error."""
    assert main(arguments) == code
    heard = capsys.readouterr()
    assert heard.out == ""
    return heard.err


def by_table(document: Any) -> dict[str, dict[str, Any]]:
    return {row["table"]: row for row in document["tables"]}


# --- help and arguments ------------------------------------------------------------------------------------------

COMMANDS = ("demo", "tables", "export", "inspect", "verify", "diff", "plan", "import", "receipts", "track")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        make_parser().parse_args([command, "--help"])
    assert end.value.code == 0
    shown = capsys.readouterr().out
    assert f"  datatransfer {command}" in shown.partition("example")[2]
    assert "--json" in shown


def test_help_loads_neither_pandas_nor_sqlalchemy() -> None:
    code = "import sys; from datatransfer.cli.arguments import make_parser; make_parser();"
    code += "sys.exit(bool({'pandas', 'pyarrow', 'sqlalchemy', 'tqdm'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_roots_keep_their_order_and_conditions_belong_to_the_table_before() -> None:
    typed = "export u p --table orders --where placed>:day --param day=2026-01-01 --param n:=3 --key customers=42"
    roots = make_parser().parse_args(typed.split()).roots
    assert [root.table for root in roots] == ["orders", "customers"]
    assert roots[0].params == {"day": "2026-01-01", "n": 3}
    assert roots[1].keys == ["42"]
    assert make_parser().parse_args(["export", "u", "p"]).roots == []


@pytest.mark.parametrize(
    "typed",
    [
        "export u p --where a=1",
        "export u p --table t --where a=1 --where b=2",
        "export u p --key customers=1 --param a=1",
        "export u p --table t --param a",
        "export u p --table t --param a:=nonsense",
        "export u p --key customers",
        "export u p --encoding csv",
        "plan p u --on-match newer",
        "plan p u --on-match users=newer",
        "plan p u --on-clash newest:seen",
        "inspect p --table t --head 0",
        "nonsense",
        "",
    ],
)
def test_wrong_options_exit_with_2(typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(typed.split())
    assert end.value.code == 2
    assert "usage: datatransfer" in capsys.readouterr().err


# --- what is never shown -----------------------------------------------------------------------------------------

SECRET = "S3CR3T-7f1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql://ann:S3CR3T-7f1@h/db", "postgresql://ann:***@h/db"),
        ("'mysql+pymysql://ann:a@S3CR3T-7f1@h/db'", "'mysql+pymysql://ann:***@h/db'"),
        ("postgresql://h/db?password=S3CR3T-7f1&sslmode=no", "postgresql://h/db?password=***&sslmode=no"),
        ("x://h/db?a=1&sslPassword=S3CR3T-7f1", "x://h/db?a=1&sslPassword=***"),
        ("x://h/db?api_key=S3CR3T-7f1;token=S3CR3T-7f1", "x://h/db?api_key=***;token=***"),
        ("sqlite:///shop.db", "sqlite:///shop.db"),
        ("mail ann@example.org about it", "mail ann@example.org about it"),
    ],
)
def test_passwords_of_addresses_are_masked(text: str, shown: str) -> None:
    assert without_passwords(text) == shown


@pytest.mark.parametrize(
    "typed",
    [
        ["tables", f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:1/shop"],
        ["tables", f"postgresql+psycopg://127.0.0.1:1/shop?user=ann&password={SECRET}"],
        ["tables", f"nosuchdialect://ann:{SECRET}@127.0.0.1/shop"],
        ["tables", f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:port/shop"],
        ["tables", "env:DT_TEST_URL"],
        ["tables", "sqlite:///shop.db", f"postgresql://ann:{SECRET}@127.0.0.1/shop"],
        [f"postgresql://ann:{SECRET}@127.0.0.1/shop"],
    ],
)
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_no_failing_command_shows_a_password(
    typed: list[str], extra: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DT_TEST_URL", f"postgresql+psycopg://ann:{SECRET}@127.0.0.1:1/shop")
    try:
        code = main([*typed, *extra])
    except SystemExit as end:
        code = int(end.code or 0)
    heard = capsys.readouterr()
    assert code in (2, 3)
    assert SECRET not in heard.out + heard.err
    assert "Traceback" not in heard.err
    assert heard.err


def test_errors_without_an_address_in_them_lose_the_password_too(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output(arguments={"url": f"postgresql://ann:{SECRET}%21@h/db"})
    out.error(DataTransferError(f"the server says: no user with {SECRET}!"))
    out.bug(RuntimeError(f"password={SECRET}%21"))
    assert SECRET not in capsys.readouterr().err


def test_control_characters_are_shown_and_not_obeyed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path / "odd.db", 'CREATE TABLE "red\x1b[31m\u202e" (id INTEGER PRIMARY KEY, "a\nb" TEXT);')
    shown = said(capsys, "tables", f"sqlite:///{tmp_path / 'odd.db'}")
    assert "red\\x1b[31m\\u202e" in shown
    assert not {"\x1b", "\u202e"} & set(shown)
    shown = complaint(capsys, "tables", "sqlite:///\x1b[2Jnothing.db", code=3)
    assert "\x1b" not in shown


# --- output ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spoken", "typed"),
    [
        ("choose another name or pass overwrite=True", "choose another name or pass --overwrite"),
        ('say on_orphan="keep" or "null"', "say --on-orphan keep or null"),
        (
            'see plan.conflicts, or say on_match="update", on_clash="reuse" or match_on=…',
            "see datatransfer plan, or say --on-match update, --on-clash reuse or --match-on TABLE=COLUMN",
        ),
        ("write keys=[value]", "write --key TABLE=KEY"),
        ("leave where= out for all rows", "leave --where out for all rows"),
        ("add charset=utf8mb4 to the URL", "add charset=utf8mb4 to the URL"),
        ("write --key 'orders=[...]' with a JSON list", "write --key 'orders=[...]' with a JSON list"),
    ],
)
def test_advice_is_given_as_it_is_typed(spoken: str, typed: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert as_typed(spoken) == typed
    Output().error(DataTransferError("no", hint=spoken))
    assert capsys.readouterr().err == f"error: no\nhint:  {typed}\n"
    Output(as_json=True).error(DataTransferError("no", hint=spoken))
    assert json.loads(capsys.readouterr().err)["hint"] == typed


def test_no_advice_of_the_library_speaks_python_on_the_command_line() -> None:
    options = {"on_match", "on_clash", "on_orphan", "on_missing_file", "overwrite", "encoding", "match_on", "identity"}
    spoken = []
    for path in Path(datatransfer.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "hint" and isinstance(node.value, ast.Constant):
                spoken.append(str(node.value.value))
    assert any("overwrite=True" in text for text in spoken)
    left = [text for text in map(as_typed, spoken) if any(f"{name}=" in text for name in options)]
    assert left == []


def test_an_error_is_one_block_of_what_where_and_hint(capsys: pytest.CaptureFixture[str]) -> None:
    Output().error(DataTransferError("it is locked", where="orders", hint="try again"))
    assert capsys.readouterr().err == "error: it is locked\nwhere: orders\nhint:  try again\n"
    Output(as_json=True).error(DataTransferError("it is locked", where="orders"))
    assert json.loads(capsys.readouterr().err)["message"] == "it is locked"


def test_warnings_are_kept_once_and_shown_unless_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    warned = Warned("orphan", "3 rows without a parent", "items")
    for quiet, shown in ((False, "warning: items: 3 rows without a parent\n"), (True, "")):
        out = Output(quiet=quiet)
        out.listener(warned)
        out.listener(warned)
        assert out.warnings == [warned]
        assert capsys.readouterr().err == shown
    out.as_json = True
    out.result({"a": 1}, "")
    assert json.loads(capsys.readouterr().out)["warnings"][0]["code"] == "orphan"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("options", "bars"), [({}, True), ({"quiet": True}, False), ({"as_json": True}, False)])
def test_bars_are_for_people_at_a_terminal(options: Any, bars: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Output(**options) as out:
        out.listener(Progress("read", "orders", rows_done=1, rows_total=2))
        assert (out._bars is not None) == bars


def test_values_of_frames_become_json() -> None:
    import numpy as np
    import pandas as pd

    values = [np.int64(3), pd.NaT, pd.NA, float("nan"), (1, "a"), b"\xff", pd.Timestamp("2026-01-01")]
    assert [plain(v) for v in values] == [3, None, None, None, [1, "a"], "ff", "2026-01-01 00:00:00"]


def test_an_interrupt_exits_with_130_and_one_line(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, datatransfer.cli as cli, datatransfer.cli.looking as looking\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs of a shell\n"
        "looking.tables = lambda options, out: os.kill(os.getpid(), signal.SIGINT) or 0\n"
        "sys.exit(cli.main(['tables', 'sqlite://']))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 130
    assert done.stderr == "interrupted; nothing was left behind\n"


def test_a_reader_that_leaves_is_no_error(shop: Shop) -> None:
    command = f"{sys.executable} -m datatransfer.cli tables '{shop.url}' --json | head -c 1"
    done = subprocess.run(["bash", "-c", command], check=False, capture_output=True, text=True)
    assert done.stdout == "{"
    assert done.stderr == ""


# --- the verbs, on a real shop -----------------------------------------------------------------------------------


def test_tables_lists_rows_keys_and_what_is_left_out(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    document = told(capsys, "tables", shop.url)
    tables = by_table(document)
    assert tables["items"]["rows"] == 4
    assert tables["items"]["references"] == "orders"
    assert [item["name"] for item in document["left_out"]] == ["totals"]
    text = said(capsys, "tables", shop.url)
    assert "customers" in text
    assert "left out:" in text


def test_export_takes_a_row_with_everything_that_belongs_to_it(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["export", shop.url, shop.path("bob.zip"), "--key", "customers=42", "--files", shop.files]
    document = told(capsys, *arguments)
    rows = {name: row["rows"] for name, row in by_table(document).items()}
    assert rows == {"customers": 1, "orders": 2, "items": 3, "audit": 2, "attachments": 1}
    assert len(document["files"]) == 1
    assert Path(document["package"]).stat().st_size == document["bytes"]
    text = said(capsys, *arguments, "--overwrite")
    assert "9 rows of 5 tables, 1 file" in text


def test_export_follows_the_rules_it_is_given(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--table", "orders", "--where", "placed >= :day", "--param", "day=2026-02-01", "--encoding", "columns"]
    document = told(capsys, "export", shop.url, shop.path("new.zip"), *arguments, "--stop", "audit.order_id")
    rows = {name: row["rows"] for name, row in by_table(document).items() if row["rows"]}
    assert rows == {"customers": 1, "orders": 1, "items": 1}
    assert document["encoding"] == "columns"


def test_export_sets_references_to_null_on_request(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    told(capsys, "export", shop.url, shop.path("log.zip"), "--table", "audit", "--null", "audit.order_id")
    rows = told(capsys, "inspect", shop.path("log.zip"), "--table", "audit")["rows"]
    assert rows == [{"id": 1, "order_id": None, "what": "placed"}, {"id": 2, "order_id": None, "what": "placed"}]


def test_a_key_of_several_columns_is_a_json_list(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    document = told(capsys, "export", shop.url, shop.path("line.zip"), "--key", "items=[2, 1]")
    assert by_table(document)["items"]["rows"] == 1
    shown = complaint(capsys, "export", shop.url, shop.path("x.zip"), "--key", "items=2", code=2)
    assert "order_id, line" in shown


def test_preview_counts_and_writes_nothing(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    document = told(capsys, "export", shop.url, shop.path("all.zip"), "--all", "--preview")
    assert by_table(document)["items"]["rows"] == 4
    assert not Path(shop.path("all.zip")).exists()


def test_a_package_that_exists_is_not_replaced_unasked(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "export", shop.url, shop.path("all.zip"), "--all")
    assert "all.zip" in complaint(capsys, "export", shop.url, shop.path("all.zip"), "--all", code=5)
    said(capsys, "export", shop.url, shop.path("all.zip"), "--all", "--overwrite")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], 2),
        (["--table", "ordes"], 2),
        (["--table", "totals"], 2),
        (["--table", "orders", "--where", "placed >>= 3"], 2),
        (["--table", "orders", "--stop", "items.product"], 2),
        (["--all", "--files", "attachments.path"], 2),
        (["--all", "--files", "attachments.nowhere=."], 2),
    ],
)
def test_a_wrong_export_says_so_and_leaves_no_file(
    arguments: list[str], code: int, shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(shop.folder.iterdir())
    shown = complaint(capsys, "export", shop.url, shop.path("no.zip"), *arguments, code=code)
    assert shown.startswith("error: ")
    assert sorted(shop.folder.iterdir()) == before


def test_inspect_shows_contents_and_rows(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "export", shop.url, shop.path("all.zip"), "--all", "--files", shop.files)
    document = told(capsys, "inspect", shop.path("all.zip"))
    assert document["digest"]
    assert by_table(document)["orders"]["rows"] == 3
    assert "invoice.txt" in said(capsys, "inspect", shop.path("all.zip"))
    rows = told(capsys, "inspect", shop.path("all.zip"), "--table", "items", "--head", "2")["rows"]
    assert [row["product"] for row in rows] == ["lamp", "chair"]
    assert "chair" in said(capsys, "inspect", shop.path("all.zip"), "--table", "items")
    assert "orders" in complaint(capsys, "inspect", shop.path("all.zip"), "--table", "order", code=2)


def test_verify_says_complete_and_valid_or_exits_with_5(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "export", shop.url, shop.path("all.zip"), "--all", "--encoding", "columns")
    assert told(capsys, "verify", shop.path("all.zip")) == {"package": shop.path("all.zip"), "ok": True, "findings": []}
    content = bytearray(Path(shop.path("all.zip")).read_bytes())
    content[content.index(b"PAR1") + 10] ^= 0xFF
    Path(shop.path("cut.zip")).write_bytes(content)
    document = told(capsys, "verify", shop.path("cut.zip"), code=5)
    assert not document["ok"]
    assert document["findings"]
    Path(shop.path("text.zip")).write_text("no package")
    assert "text.zip" in complaint(capsys, "verify", shop.path("text.zip"), code=5)
    assert "gone.zip" in complaint(capsys, "verify", shop.path("gone.zip"), code=5)


def test_plan_import_and_import_again(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    package = shop.path("all.zip")
    said(capsys, "export", shop.url, package, "--all", "--files", shop.files)
    target = [shop.copy, "--files", f"attachments.path={shop.path('copies')}"]
    planned = by_table(told(capsys, "plan", package, *target))
    assert planned["items"]["insert"] == 4
    assert shop.rows("copy.db", "SELECT count(*) FROM items") == [(0,)]
    document = told(capsys, "import", package, *target)
    assert by_table(document)["items"]["inserted"] == 4
    assert shop.rows("copy.db", "SELECT * FROM items") == shop.rows("shop.db", "SELECT * FROM items")
    again = said(capsys, "import", package, *target)
    assert "nothing was written" in again
    assert "no difference" in said(capsys, "diff", package, *target)
    listed = told(capsys, "receipts", shop.copy)["receipts"]
    assert document["import_id"] in {row["import_id"] for row in listed}
    assert by_table(told(capsys, "receipts", shop.copy, document["import_id"]))["items"]["inserted"] == 4


def test_rows_that_are_there_under_other_ids_are_matched_by_natural_keys(
    shop: Shop, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = sqlite3.connect(shop.folder / "copy.db")
    connection.execute("INSERT INTO customers VALUES (7, 'bob@example.org', 'Robert')")
    connection.commit()
    connection.close()
    package = shop.path("bob.zip")
    said(capsys, "export", shop.url, package, "--key", "customers=42")
    assert told(capsys, "plan", package, shop.copy, code=7)["conflicts"]
    assert "hint" in complaint(capsys, "import", package, shop.copy, code=7)
    assert shop.rows("copy.db", "SELECT count(*) FROM orders") == [(0,)]
    said(capsys, "import", package, shop.copy, "--match-on", "customers=email", "--on-match", "update")
    assert shop.rows("copy.db", "SELECT id, name FROM customers") == [(7, "Bob")]
    assert shop.rows("copy.db", "SELECT DISTINCT customer_id FROM orders") == [(7,)]


def test_single_rows_are_decided_saved_and_replayed(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    connection = sqlite3.connect(shop.folder / "copy.db")
    connection.execute("INSERT INTO customers VALUES (7, 'bob@example.org', 'Robert')")
    connection.commit()
    connection.close()
    package, saved = shop.path("bob.zip"), shop.path("decisions.json")
    said(capsys, "export", shop.url, package, "--key", "customers=42")
    document = told(capsys, "plan", package, shop.copy, "--decide", "customers=42=update", "--save-decisions", saved)
    assert document["conflicts"] == []
    assert by_table(document)["customers"]["update"] == 1
    assert "the form" in complaint(capsys, "plan", package, shop.copy, "--decide", "customers=update", code=2)
    assert "no decision" in complaint(capsys, "plan", package, shop.copy, "--decide", "customers=42=no", code=2)
    assert "not JSON" in complaint(capsys, "import", package, shop.copy, "--decisions", package, code=2)
    assert shop.rows("copy.db", "SELECT id, name FROM customers") == [(7, "Robert")]
    said(capsys, "import", package, shop.copy, "--decisions", saved)
    assert shop.rows("copy.db", "SELECT id, name FROM customers") == [(7, "Bob")]


def test_policies_are_said_by_table(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    connection = sqlite3.connect(shop.folder / "copy.db")
    connection.execute("INSERT INTO customers VALUES (7, 'bob@example.org', 'Robert')")
    connection.commit()
    connection.close()
    package = shop.path("bob.zip")
    said(capsys, "export", shop.url, package, "--key", "customers=42")
    policies = ("--match-on", "customers=email", "--on-match", "customers=update", "--on-match", "skip")
    document = told(capsys, "plan", package, shop.copy, *policies)
    assert by_table(document)["customers"]["update"] == 1
    document = told(capsys, "plan", package, shop.copy, "--on-clash", "customers=rename")
    assert by_table(document)["customers"]["insert"] == 1
    assert "'nobody'" in complaint(capsys, "plan", package, shop.copy, "--on-match", "nobody=skip", code=2)


def test_diff_exits_with_1_where_something_differs(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "export", shop.url, shop.path("before.zip"), "--all")
    connection = sqlite3.connect(shop.folder / "shop.db")
    connection.execute("UPDATE customers SET name = 'Bobby' WHERE id = 42")
    connection.commit()
    connection.close()
    said(capsys, "export", shop.url, shop.path("after.zip"), "--all")
    document = told(capsys, "diff", shop.path("before.zip"), shop.path("after.zip"), code=1)
    assert not document["equal"]
    assert {row["table"] for row in document["differences"]} == {"customers"}
    assert "customers" in said(capsys, "diff", shop.path("before.zip"), shop.url, code=1)
    assert told(capsys, "diff", shop.path("before.zip"), shop.path("before.zip"))["equal"]


def test_track_gives_tables_their_uuids(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert told(capsys, "track", shop.url, "customers")["tracked"] == ["customers"]
    assert by_table(told(capsys, "tables", shop.url))["customers"]["tracked"]
    assert shop.rows("shop.db", "SELECT count(DISTINCT entity_uuid) FROM customers") == [(2,)]


def test_receipts_of_a_database_without_imports(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing was imported" in said(capsys, "receipts", shop.copy)
    assert told(capsys, "receipts", shop.copy) == {"receipts": []}
    assert complaint(capsys, "receipts", shop.copy, "no-such-import", code=2)


def test_an_empty_target_without_the_tables_is_refused(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    make(shop.folder / "other.db", "CREATE TABLE unrelated (id INTEGER PRIMARY KEY)")
    said(capsys, "export", shop.url, shop.path("all.zip"), "--all")
    url = f"sqlite:///{shop.path('other.db')}"
    assert "customers" in complaint(capsys, "import", shop.path("all.zip"), url, code=6)
