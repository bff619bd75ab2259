"""What an undo tells: its receipt in text, HTML and frames, and the shell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.cli import main
from tests.support.servers import Databases
from tests.support.sql import run
from tests.support.transfer import export_all
from tests.support.undoing import shop


@pytest.fixture
def package(databases: Databases, tmp_path: Path) -> dt.DataPackage:
    source = shop(databases, "sqlite", "left")
    return export_all(source, tmp_path / "package.zip")


def test_the_receipt_tells_its_story_in_text_and_html_and_frames(databases: Databases, package: dt.DataPackage) -> None:
    target = shop(databases, "sqlite", "<b>right</b>", first=6)
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run(match_on={"customers": "email"}, on_match="update")
        story = str(receipt)
        for word in (
            str(receipt.import_id),
            "state     done ",
            "on_match=update",
            str(package.path),
            "customers",
            "receipt.undo()",
        ):
            assert word in story
        html = receipt._repr_html_()
        assert f"done {receipt.when.removeprefix('done ')}: " in html
        assert "merged" not in story + html
        assert "<details>" in html
        assert "<script" not in html
        assert list(receipt.before_images("customers")["name"]) == ["<b>right</b>"] * 5
        assert receipt.before_images("items").empty
        with pytest.raises(dt.UnknownTableError):
            receipt.before_images("nothing")
        undone = receipt.undo()
        assert undone.kind == "undo"
        assert undone.undo_of == str(receipt.import_id)
        assert "restored" in str(undone)
        assert "state     done " in str(undone)
        assert "merged" not in str(undone)
        assert "undone" in str(dt.receipt(db, receipt.import_id))
        empty = dt.PackageImporter(export_all(target, Path(str(package.path)).with_name("own.zip")), db).run()
        assert not empty.recorded or empty.total("insert")


def test_the_shell_checks_undoes_and_says_already_undone(
    databases: Databases, package: dt.DataPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    target = shop(databases, "sqlite", "right", first=101)
    with dt.Database(target) as db:
        import_id = str(dt.PackageImporter(package, db).run().import_id)
    assert main(["undo", target, import_id, "--check", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ok"] is True
    run(target, "UPDATE customers SET name = 'x' WHERE id = 2", "INSERT INTO orders VALUES (900, 2, NULL, '')")
    assert main(["undo", target, import_id, "--check", "--json"]) == 7
    rows = json.loads(capsys.readouterr().out)["rows"]
    assert {"table": "customers", "key": 2, "state": "edited", "by": ""} in rows
    assert main(["undo", target, import_id]) == 7
    capsys.readouterr()
    assert main(["undo", target, import_id, "--keep-edited", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["undo_of"] == import_id
    assert main(["undo", target, import_id]) == 2
    assert "already undone" in capsys.readouterr().err
    assert main(["receipts", target, import_id]) == 0
    assert "undone" in capsys.readouterr().out
