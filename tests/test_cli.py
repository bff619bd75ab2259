"""Every command, on a real shop: its exit code, what it shows and what it writes."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from tests.support.commands import Shop, by_table, complaint, make, make_shop, said, told

BOB_ELSEWHERE = "INSERT INTO customers VALUES (7, 'bob@example.org', 'Robert')"


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return make_shop(tmp_path)


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


def test_files_that_were_missing_are_told_and_do_not_fail(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    Path(shop.files.partition("=")[2] or shop.files, "invoice.txt").unlink()
    arguments = ["export", shop.url, shop.path("gap.zip"), "--all", "--files", shop.files, "--on-missing-file", "skip"]
    assert "0 files, 1 missing" in said(capsys, *arguments)
    assert "0 files, 1 missing:" in said(capsys, "inspect", shop.path("gap.zip"))
    document = told(capsys, "verify", shop.path("gap.zip"))
    assert document["ok"]
    assert [(one["code"], one["where"]) for one in document["findings"]] == [("missing-file", "invoice.txt")]
    assert "valid, but 1 file was missing when it was made" in said(capsys, "verify", shop.path("gap.zip"))


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
    make(shop.folder / "copy.db", BOB_ELSEWHERE)
    package = shop.path("bob.zip")
    said(capsys, "export", shop.url, package, "--key", "customers=42")
    assert told(capsys, "plan", package, shop.copy, code=7)["conflicts"]
    assert "hint" in complaint(capsys, "import", package, shop.copy, code=7)
    assert shop.rows("copy.db", "SELECT count(*) FROM orders") == [(0,)]
    said(capsys, "import", package, shop.copy, "--match-on", "customers=email", "--on-match", "update")
    assert shop.rows("copy.db", "SELECT id, name FROM customers") == [(7, "Bob")]
    assert shop.rows("copy.db", "SELECT DISTINCT customer_id FROM orders") == [(7,)]


def test_a_plan_with_conflicts_says_what_settles_one_of_them(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    pairs = "CREATE TABLE pairs (a INTEGER, b TEXT, v TEXT, PRIMARY KEY (a, b))"
    make(shop.folder / "here.db", f"{pairs}; INSERT INTO pairs VALUES (1, 'it''s', 'x'), (2, 'b', 'y')")
    make(shop.folder / "there.db", f"{pairs}; INSERT INTO pairs VALUES (1, 'it''s', 'X')")
    package, target = shop.path("pairs.zip"), f"sqlite:///{shop.path('there.db')}"
    said(capsys, "export", f"sqlite:///{shop.path('here.db')}", package, "--all")
    shown = said(capsys, "plan", package, target, "--on-match", "error", code=7)
    advised = shlex.split(shown[shown.index("--decide") :].splitlines()[0])
    assert advised == ["--decide", 'pairs=[1, "it\'s"]=reuse']
    settled = told(capsys, "plan", package, target, "--on-match", "error", *advised)
    assert (settled["conflicts"], by_table(settled)["pairs"]["reuse"]) == ([], 1)
    assert "JSON list" in complaint(capsys, "plan", package, target, "--decide", "pairs=1=skip", code=2)


def test_single_rows_are_decided_saved_and_replayed(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    make(shop.folder / "copy.db", BOB_ELSEWHERE)
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
    make(shop.folder / "copy.db", BOB_ELSEWHERE)
    package = shop.path("bob.zip")
    said(capsys, "export", shop.url, package, "--key", "customers=42")
    policies = ("--match-on", "customers=email", "--on-match", "customers=update", "--on-match", "skip")
    document = told(capsys, "plan", package, shop.copy, *policies)
    assert by_table(document)["customers"]["update"] == 1
    document = told(capsys, "plan", package, shop.copy, "--on-clash", "customers=rename")
    assert by_table(document)["customers"]["insert"] == 1
    assert "'nobody'" in complaint(capsys, "plan", package, shop.copy, "--on-match", "nobody=skip", code=2)


def test_a_diff_shows_values_that_look_alike_apart(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "export", shop.url, shop.path("before.zip"), "--all")
    for change, shown in (("name || ' '", "'Bob '"), ("''", "''"), ("NULL", "NULL"), ("'NULL'", "'NULL'")):
        make(shop.folder / "shop.db", f"UPDATE customers SET name = {change} WHERE id = 42")
        line = said(capsys, "diff", shop.path("before.zip"), shop.url, code=1).splitlines()[-1]
        assert line.split("name", 1)[1].split(maxsplit=1) == ["Bob", shown]
        make(shop.folder / "shop.db", "UPDATE customers SET name = 'Bob' WHERE id = 42")


def test_diff_exits_with_1_where_something_differs(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "export", shop.url, shop.path("before.zip"), "--all")
    make(shop.folder / "shop.db", "UPDATE customers SET name = 'Bobby' WHERE id = 42")
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
