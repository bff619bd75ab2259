"""Names of tables and columns that are longer than a line: nothing of them is cut in the forms."""

from __future__ import annotations

from pathlib import Path

import datatransfer as dt
from tests.browser.forms import FormPage
from tests.browser.page import Lab
from tests.support.forms import package_of
from tests.support.servers import Databases
from tests.support.sql import run

LONG = "measurements_of_the_northern_coastal_stations_with_corrections_applied_and_reviewed_2"
TABLES = (
    f"CREATE TABLE {LONG} (id INTEGER PRIMARY KEY, {LONG}_code VARCHAR(20) UNIQUE NOT NULL)",
    f"CREATE TABLE {LONG}_details (id INTEGER PRIMARY KEY, {LONG}_id INTEGER REFERENCES {LONG} (id))",
)
CUT = """() => [...document.querySelectorAll(".jp-OutputArea-output *")].filter((part) => part.offsetParent &&
  part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflowX !== "visible")
  .map((part) => part.outerHTML.slice(0, 200))"""

# where a line of what holds such names ends, as pairs of the characters before and after
ENDS = """() => [...document.querySelectorAll(".jp-OutputArea-output .dt-b :is(td, th, div, li)")].flatMap((part) => {
  const ends = [], walker = document.createTreeWalker(part, NodeFilter.SHOW_TEXT), range = document.createRange();
  let before = null;
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentNode.closest("style, td, th, div, li") !== part || !/Sales|patient/.test(part.innerText)) continue;
    for (let at = 0; at < node.length; at++) {
      range.setStart(node, at); range.setEnd(node, at + 1);
      const box = range.getClientRects()[0];
      if (!box) continue;
      if (before && box.top > before.box.top + 4) ends.push([before.text, node.data[at]]);
      before = {box, text: node.data[at]};
    }
  }
  return ends; })"""


def form_of(lab: Lab, kind: str, url: str) -> FormPage:
    lab.page.set_viewport_size({"width": 800, "height": 1000})
    lab.notebook([f"import datatransfer as dt\nform = dt.{kind}(dt.Database({url!r})); form"])
    lab.run()
    return FormPage(lab, 0)


def cut(lab: Lab) -> list[str]:
    return list(lab.page.evaluate(CUT))


def test_long_names_are_broken_between_their_words(lab: Lab, databases: Databases, tmp_path: Path) -> None:
    url = databases.create("sqlite")
    run(
        url,
        """CREATE TABLE SalesOrderHeaderSalesReason (SalesOrderHeaderSalesReasonId INTEGER PRIMARY KEY,
        passwordOfTheIntegrationUser TEXT)""",
        """CREATE TABLE patient_laboratory_measurement_results (patient_laboratory_measurement_result_id INTEGER PRIMARY
        KEY, sales_order_header_sales_reason_id INTEGER REFERENCES SalesOrderHeaderSalesReason)""",
        "INSERT INTO SalesOrderHeaderSalesReason VALUES (1, 'a')",
        "INSERT INTO patient_laboratory_measurement_results VALUES (1, 1)",
    )
    form = form_of(lab, "ExportForm", url)
    form.choose("Tables", "SalesOrderHeaderSalesReason")
    form.see("rows asked for")
    form.click("Next")
    form.see("nothing has been written")
    assert cut(lab) == []
    lab.close()
    lab.notebook([f"import datatransfer as dt\ndb = dt.Database({url!r}); builder = dt.PackageBuilder(db).add_all()",
                  "builder.preview()", f"builder.build({str(tmp_path / 'a.zip')!r}, progress=False)",
                  "db"])  # fmt: skip
    lab.run()
    assert cut(lab) == []
    ends = lab.page.evaluate(ENDS)
    assert len(ends) > 3
    inside = [f"{a}|{b}" for a, b in ends if not (a in "_./" or b == " " or a == " " or (a.islower() and b.isupper()))]
    assert inside == []


def test_an_export_shows_long_names_whole(lab: Lab, databases: Databases) -> None:
    url = databases.create("sqlite")
    run(url, *TABLES, f"INSERT INTO {LONG} VALUES (1, 'a')", f"INSERT INTO {LONG}_details VALUES (1, 1)")
    form = form_of(lab, "ExportForm", url)
    form.choose("Tables", LONG)
    form.see("rows asked for")
    assert cut(lab) == []
    form.click("Next")
    form.see("nothing has been written")
    form.click("▸ Rules at foreign keys")
    form.click("▸ Leave columns out")
    form.control("Columns to leave out").wait_for()
    assert cut(lab) == []


def test_lists_of_rules_begin_and_end_at_the_same_places_however_long_their_labels(
    lab: Lab, databases: Databases
) -> None:
    url = databases.create("sqlite")
    run(
        url, *TABLES, f"CREATE TABLE notes (id INTEGER PRIMARY KEY, about INTEGER REFERENCES {LONG} (id))",
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b INTEGER REFERENCES notes (id))",
        f"INSERT INTO {LONG} VALUES (1, 'a')", f"INSERT INTO {LONG}_details VALUES (1, 1)",
        "INSERT INTO notes VALUES (1, 1)", "INSERT INTO a VALUES (1, 1)",
    )  # fmt: skip
    form = form_of(lab, "ExportForm", url)
    lab.page.set_viewport_size({"width": 1280, "height": 1000})
    form.choose("Tables", LONG)
    form.see("rows asked for")
    form.click("Next")
    form.see("nothing has been written")
    form.click("▸ Rules at foreign keys")
    form.control("a.b: take the a that refer to notes").wait_for()
    ends = form.area.locator(".dt-wide > select").evaluate_all(
        "(lists) => lists.map((list) => list.getBoundingClientRect()).map((box) => [box.left, box.right])"
    )
    assert len(ends) >= 3
    assert all(end == ends[0] for end in ends)


def test_an_import_shows_long_names_whole(lab: Lab, databases: Databases, tmp_path: Path) -> None:
    source, target = databases.create("sqlite"), databases.create("sqlite")
    run(source, *TABLES, f"ALTER TABLE {LONG} ADD COLUMN more_{LONG} INTEGER")
    run(source, f"INSERT INTO {LONG} VALUES (1, 'a', 1), (2, 'b', 2)")
    run(target, *TABLES, f"INSERT INTO {LONG} VALUES (11, 'a'), (12, 'b')")
    form = form_of(lab, "ImportForm", target)
    form.write("Package", str(package_of(source, tmp_path / "a.zip")))
    form.see("verified: complete and valid")
    form.click("Next")
    form.click("Next")
    assert cut(lab) == []
    form.choose(f"Column {LONG}.more_{LONG}", "is left out")
    form.click("▸ 1 settled")
    form.control(f"Column {LONG}.more_{LONG}").wait_for()
    form.choose(f"{LONG} 1", "reuse")
    form.click("▸ 1 decision made")
    form.control(f"{LONG} 1 decided as").wait_for()
    assert cut(lab) == []
    form.choose(f"{LONG} 2", "rename")
    form.see("2 decisions made")
    form.click("Import")
    form.see("the import is done")
    form.button("Start over").wait_for()
    assert cut(lab) == []
    with dt.Database(target) as db:
        assert db.count(LONG) == 3
