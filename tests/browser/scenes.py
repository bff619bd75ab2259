"""What the browser is shown: named cells on the sample catalogue, for the tests and for the pictures alike."""

from __future__ import annotations

from collections.abc import Iterator

from tests.browser.forms import FormPage, walk_export, walk_import
from tests.browser.page import Lab

BEGIN = """
import os, tempfile
import datatransfer as dt
from datatransfer.sample import create_sample, create_schema

os.chdir(tempfile.mkdtemp())
create_sample("sqlite:///catalogue.db", "files").close()
db = dt.Database("sqlite:///catalogue.db", files={"attachments.path": dt.FolderStore("files")})
builder = dt.PackageBuilder(db).add("datasets", where="id <= 3")
create_schema("sqlite:///target.db")
target = dt.Database("sqlite:///target.db", files={"attachments.path": dt.FolderStore("target-files")})
"""
ERROR = """
try:
    builder.add("dataset")
except dt.DataTransferError as error:
    problem = error
problem
"""
LOOKS = {
    "selection": "builder.preview()",
    "package": "package = builder.build('part.zip'); package",
    "graph": "package.graph",
    "report": "package.verify()",
    "why": "package.why('attachments', package['attachments'].to_frame()['id'].iloc[-1])",
    "plan": "importer = dt.PackageImporter(package, target); plan = importer.plan(); plan",
    "receipt": "receipt = importer.run(plan); receipt",
    "conflict": "again = importer.plan(identity='copy'); again",
    "undo": "again.discard(); receipt.undo()",
    "receipts": "dt.receipts(target)",
    "job": "job = builder.start('again.zip'); job.result(); job",
    "database": "db",
    "check": "importer.check()",
    "error": ERROR,
}
"""What is looked at, in the order in which it comes about: a name, and the cell that shows it."""


def show(lab: Lab, *names: str, theme: str = "light") -> dict[str, int]:
    """Run the cells up to the last one named, and return where each stands; all of them if none is named."""
    order = list(LOOKS)
    last = max(map(order.index, names), default=len(order) - 1)
    lab.notebook([BEGIN, *(LOOKS[name] for name in order[: last + 1])], theme=theme)
    lab.run()
    return {name: index for index, name in enumerate(order[: last + 1], start=1)}


def show_forms(lab: Lab, *, theme: str = "light") -> Iterator[tuple[str, FormPage]]:
    """Go through both forms on the sample catalogue, and yield the name of each view while it is shown."""
    lab.notebook([BEGIN, "dt.ExportForm(db)", "dt.ImportForm(target)"], theme=theme)
    lab.run(0, 1)
    form = FormPage(lab, 1)
    for name in walk_export(form, ["datasets", "users"], "part.zip"):
        yield name, form
    lab.run(2)
    form = FormPage(lab, 2)
    for name in walk_import(form, "part.zip"):
        yield name, form
