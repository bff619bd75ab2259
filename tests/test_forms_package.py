"""What the form of an import says of a package before anything is planned."""

from __future__ import annotations

from pathlib import Path

import datatransfer as dt
from tests.support.copies import empty_copy
from tests.support.forms import shop
from tests.support.markup import html_text
from tests.support.servers import Databases
from tests.support.sql import run


def test_a_package_that_lacks_files_is_not_called_complete(databases: Databases, tmp_path: Path) -> None:
    url = shop(databases)
    run(url, "UPDATE orders SET note = 'lost.pdf' WHERE id = 2", "UPDATE orders SET note = NULL WHERE id <> 2")
    (tmp_path / "files").mkdir()
    stores = {"orders.note": dt.FolderStore(tmp_path / "files")}
    with dt.Database(url, files=stores) as db:
        dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", progress=False, on_missing_file="skip").close()
    with dt.Database(empty_copy(url, databases), files=stores) as target:
        form = dt.ImportForm(target)
        form.picker.path.value = str(tmp_path / "p.zip")
        form.later.wait()
        for shown in (form.verified.value, form.inside.value):
            said = html_text(shown)
            assert "! verified: valid, but 1 file was missing when it was made" in said
            assert "lost.pdf: the file of orders.note was missing when the package was made: there is no" in said
            assert "complete" not in said
        assert form.wizard.blocked == ""
