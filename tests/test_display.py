"""What objects look like: safe whatever they hold, the same every time, readable in both themes, without a query."""

from __future__ import annotations

import datetime as dtm
import itertools
import pickle
import re
import sqlite3
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

import datatransfer as dt
from datatransfer.database.ledger import ImportedFile, ImportRecord
from datatransfer.display import blocks, theme
from datatransfer.display.frames import OneLine
from datatransfer.events import Warned
from datatransfer.exporting.files import Referenced
from datatransfer.exporting.plan import Plan, Rules
from datatransfer.exporting.preview import Selection, TableCount
from datatransfer.importing.checking import SchemaReport
from datatransfer.importing.receipts import Known, Receipt
from datatransfer.importing.touched import STATES
from datatransfer.importing.undoreport import MEANT, UndoReport
from datatransfer.importing.validation import Misfit
from datatransfer.package.manifest import FileEntry, FileReference, Manifest, TableEntry
from datatransfer.package.report import Finding, Report
from datatransfer.schema.tables import Column, Schema, Table
from datatransfer.schema.values import LogicalType
from tests.support.markup import PAYLOADS, html_text
from tests.support.packages import metadata, picture, shop, table, write

TEXTS = st.one_of(st.text(max_size=30), st.sampled_from(PAYLOADS))
MOMENT = dtm.datetime(2026, 1, 2, 3, 4, tzinfo=dtm.UTC)


# --- long names ------------------------------------------------------------------------------------------------------


@given(text=TEXTS)
def test_long_names_may_be_broken_between_their_words_only(text: str) -> None:
    marked = blocks.breakable(f"{text} patient_laboratory_measurement.resultOfThisDay")
    assert html_text(f"<div>{marked}</div>").split()[-1] == "patient_laboratory_measurement.resultOfThisDay"
    assert marked.endswith("patient_<wbr>laboratory_<wbr>measurement.<wbr>result<wbr>Of<wbr>This<wbr>Day")
    assert marked.replace("<wbr>", "") == blocks.escape(f"{text} patient_laboratory_measurement.resultOfThisDay")
    for before, after in itertools.pairwise(blocks.soft(text).split("\u200b")):
        assert before[-1] in "_./\\" or ((before[-1].islower() or before[-1].isdigit()) and after[0].isupper())


def test_short_names_and_numbers_are_never_broken() -> None:
    assert blocks.breakable("orders.customer_id") == "orders.customer_id"
    assert blocks.breakable("1234567890.12345678901234567890") == "1234567890.<wbr>12345678901234567890"
    assert blocks.soft("customers.full_name and orders.customer_id") == "customers.full_name and orders.customer_id"


def test_a_uuid_is_never_broken_and_facts_have_room_for_it() -> None:
    one = "9b495fe4-f68e-52b7-9b68-0f261810608e"
    marked = blocks.breakable(f"origin {one}, files/{one}.bin, {one}0")
    assert re.findall('<span class="dt-u">(.*?)</span>', marked) == [one, one]
    assert html_text(f"<div>{marked}</div>") == f"origin {one}, files/{one}.bin, {one}0"
    shown = blocks.block("", blocks.facts([("id", one)]))
    assert ".dt-b .dt-u{white-space:nowrap}" in shown
    assert f'<table class="dt-f"><tbody><tr><th scope="row">id</th><td><span class="dt-u">{one}</span>' in shown
    assert ".dt-b .dt-f td{max-width:64em}" in shown


def test_receipts_and_stages_are_data_frames_whose_values_stay_on_one_line(tmp_path: Path) -> None:
    sqlite3.connect(tmp_path / "t.db").close()
    with dt.Database(f"sqlite:///{tmp_path}/t.db") as db:
        for frame in (dt.receipts(db), dt.stages(db)):
            assert isinstance(frame, pd.DataFrame)
            assert type(frame[["import_id"]]) is pd.DataFrame
    one, other = str(uuid.UUID(int=1 << 100)), str(uuid.UUID(int=7 << 100))
    made = {"id": [one], "of": [other], "none": [""], "at": [MOMENT.replace(microsecond=527_759)]}
    frame = pickle.loads(pickle.dumps(OneLine(made)))
    assert list(frame["of"]) == [other]
    assert frame["at"][0].microsecond == 527_759
    shown = frame._repr_html_()
    assert shown.startswith('<div class="dt-o"><style>')
    assert "white-space:nowrap" in shown
    assert f"<td>{one}</td>" in shown
    assert "<td>00000070…</td>" in shown
    assert "<th>at (UTC)</th>" in shown
    assert "<td>2026-01-02 03:04:00</td>" in shown
    with pd.option_context("display.notebook_repr_html", False):
        assert frame._repr_html_() is None


# --- colours ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shade", ["light", "dark"])
@pytest.mark.parametrize("name", theme.TEXTS)
def test_texts_have_a_contrast_of_four_and_a_half_with_the_ground(name: str, shade: str) -> None:
    assert theme.contrast(getattr(theme.TEXTS[name], shade), getattr(theme.GROUND, shade)) >= 4.5


@pytest.mark.parametrize("shade", ["light", "dark"])
@pytest.mark.parametrize("name", theme.SHAPES)
def test_shapes_have_a_contrast_of_three_with_the_ground(name: str, shade: str) -> None:
    assert theme.contrast(getattr(theme.SHAPES[name], shade), getattr(theme.GROUND, shade)) >= 3


def test_shapes_that_no_host_names_are_seen_on_the_ground_of_either_theme() -> None:
    nameless = [colour for colour in theme.SHAPES.values() if not colour.hosts]
    assert len(nameless) >= 4
    for colour in nameless:
        for shade in (colour.light, colour.dark):
            assert all(theme.contrast(shade, ground) >= 3 for ground in ("#ffffff", "#111111", *theme.GROUND[1:]))


def test_contrast_is_that_of_wcag() -> None:
    assert theme.contrast("#777777", "#ffffff") == pytest.approx(4.478, abs=0.001)
    assert theme.contrast("#ffffff", "#767676") == pytest.approx(4.542, abs=0.001)


def test_every_colour_is_set_for_both_themes_and_asks_the_host_first() -> None:
    css = theme.variables(".x")
    light, dark = css.split("@media (prefers-color-scheme:dark)")
    for name in (*theme.TEXTS, "ground", *theme.SHAPES, "soft"):
        assert f"--dt-{name}:" in light
        assert f"--dt-{name}:" in dark
    assert "--dt-text:var(--jp-ui-font-color1,var(--vscode-editor-foreground,#1f1f1f))" in light
    assert "url(" not in blocks.block("x")
    assert "@import" not in blocks.block("x")


# --- every slot of every object --------------------------------------------------------------------------------------


def objects_named(text: str) -> Iterator[Any]:
    """Make one of each kind of object with a text in every slot that takes one."""
    column = Column(text, LogicalType("integer"), declared=text)
    one = Table(text, (column,), (text,), "primary")
    yield Report((Finding("error", text, text, text, text), Finding("note", text, text, text)))
    yield SchemaReport((Misfit(text, text, text, text),))
    yield UndoReport(text, {text: {("insert", "edited"): 2}}, [(text, text, "edited", text)])
    yield metadata(created_by=text, dialect=text, source_revision=text, digest=text, requires={text: text},
                   selection={"roots": [{"table": text, "keys": [[1]]}, text, {}]},
                   counts=dict.fromkeys(("tables", "rows", "files", "bytes"), 1))  # fmt: skip
    files = (FileEntry(text, 1, text, (FileReference(text, text, text, text),), text),)
    yield Manifest((TableEntry(one, "t", 3, ()),), files)
    counts = (TableCount(text, 1, 2, True, text),)
    referenced = ((Referenced(text, text, text, (text,), text), 3),)
    db = dt.Database("sqlite://")
    plan = Plan((), Rules(), Schema({text: one}))
    yield Selection(counts, referenced, (Warned(text, text, text), Warned(text, text)), {}, {}, {}, db, plan)
    record = ImportRecord(str(uuid.UUID(int=7)), 1, text, text, text, "merged", None, MOMENT, MOMENT, None,
                          options={text: text, "package": text})  # fmt: skip
    known = Known(record, [ImportedFile(text, text, text, text, 1, text)])
    yield Receipt(db, uuid.UUID(int=7), text, {text: {"insert": 1}}, [text], timings={text: 0.5}, known=known)
    yield dt.DataTransferError(text, where=text, hint=text, evidence={text: text, "list": [text] * 9})
    db.close()


def check(shown: Any) -> None:
    """Check text and HTML of an object, twice."""
    text, markup = repr(shown), shown._repr_html_()
    assert text.isprintable() or isinstance(shown, dt.DataTransferError)
    assert "not shown" not in text + markup
    assert "\x1b" not in markup
    html_text(markup)
    assert (repr(shown), shown._repr_html_()) == (text, markup)


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_no_name_or_message_breaks_out_of_what_is_shown(payload: str) -> None:
    for shown in objects_named(payload):
        check(shown)


@settings(max_examples=60, deadline=None)
@given(text=TEXTS)
def test_nothing_raises_whatever_the_names_are(text: str) -> None:
    for shown in objects_named(text):
        check(shown)


@pytest.mark.parametrize("encoding", ["documents", "columns"])
def test_packages_and_tables_with_hostile_names_and_values_are_shown(tmp_path: Path, encoding: str) -> None:
    names = [name for name in PAYLOADS if name and name.isprintable() and len(name) < 200]
    tables = [(table(name, {"id": "integer", name: "text"}), [{"id": 1, name: name}]) for name in names]
    reference = FileReference(names[0], "[1]", names[0], names[0])
    package = write(tmp_path / "p.zip", tables, encoding=encoding, files=[(b"x", [reference])])
    check(package)
    for name in names:
        check(package[name])
        assert name[:200] in html_text(package[name]._repr_html_())


def test_a_database_of_hostile_names_goes_through_every_step_and_is_shown(tmp_path: Path) -> None:
    names = [n for n in PAYLOADS if n and n.isprintable() and len(n) < 200 and "\\" not in n]
    for path in ("a.db", "b.db"):
        with sqlite3.connect(tmp_path / path) as connection:
            for name in {n.lower(): n for n in names}.values():
                quoted = '"' + name.replace('"', '""') + '"'
                other = '"' + name.replace('"', '""') + '.2"'
                connection.execute(f"CREATE TABLE {quoted} (id INTEGER PRIMARY KEY, {other} TEXT)")
                if path == "a.db":
                    connection.execute(f"INSERT INTO {quoted} VALUES (1, ?)", (name,))
        connection.close()
    with dt.Database(f"sqlite:///{tmp_path}/a.db") as source, dt.Database(f"sqlite:///{tmp_path}/b.db") as target:
        builder = dt.PackageBuilder(source)
        for name in source.schema.tables:
            builder.add(name)
        package = builder.build(tmp_path / "p.zip", progress=False)
        importer = dt.PackageImporter(package, target)
        plan = importer.plan()
        shown = [source, builder, builder.preview(), package, importer.check(), plan]
        for each in shown:
            check(each)
        receipt = importer.run(plan)
        for each in (receipt, receipt.check_undo(), receipt.undo(), plan):
            check(each)


# --- without a query, without an error ------------------------------------------------------------------------------


def test_nothing_that_is_shown_asks_the_database(tmp_path: Path) -> None:
    write(tmp_path / "p.zip", shop()).close()
    with sqlite3.connect(tmp_path / "t.db") as connection:
        for each in dt.DataPackage.open(tmp_path / "p.zip").schema:
            columns = ", ".join(f'"{c.name}"' for c in each.columns)
            key = f", PRIMARY KEY ({', '.join(each.key)})" if each.key else ""
            connection.execute(f'CREATE TABLE "{each.name}" ({columns}{key})')
    connection.close()
    asked: list[str] = []
    with dt.Database(f"sqlite:///{tmp_path}/t.db") as db:
        package = dt.DataPackage.open(tmp_path / "p.zip")
        sa.event.listen(db.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
        sa.event.listen(db.engine, "connect", lambda *given: asked.append("connect"))
        unread = (repr(db), db._repr_html_(), dir(db))
        assert asked == []
        assert "not read yet" in unread[1]
        builder = dt.PackageBuilder(db).add_all()
        importer = dt.PackageImporter(package, db)
        plan = importer.plan()
        shown: list[Any] = [db, builder, builder.preview(), package, importer.check(), plan]
        receipt = importer.run(plan)
        shown += [receipt, dt.receipt(db, receipt.import_id), receipt.check_undo(), db.graph]
        assert asked
        asked.clear()
        for each in shown:
            repr(each)
            dir(each)
            assert hasattr(each, "_repr_mimebundle_") or each._repr_html_()
        assert asked == []


def test_what_cannot_be_shown_says_so_and_does_not_raise(tmp_path: Path) -> None:
    package = write(tmp_path / "p.zip", shop())
    view = package["customers"]
    package.close()
    assert "PackageTable, not shown: " in html_text(view._repr_html_())
    broken = Receipt(None, uuid.UUID(int=1), "", None)  # type: ignore[arg-type]
    assert repr(broken) == "<Receipt, not shown: AttributeError>"
    assert "Receipt, not shown: AttributeError" in html_text(broken._repr_html_())


def test_a_large_table_is_shown_without_reading_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datatransfer.package.tableview as tableview

    package = write(tmp_path / "p.zip", shop(), encoding="columns")
    assert "Ada" in html_text(package["customers"]._repr_html_())
    monkeypatch.setattr(tableview, "_QUICK_BYTES", 10)
    shown = html_text(dt.DataPackage.open(tmp_path / "p.zip")["customers"]._repr_html_())
    assert "Ada" not in shown
    assert ".head()" in shown


# --- what it says ----------------------------------------------------------------------------------------------------


def test_a_package_at_a_glance(tmp_path: Path) -> None:
    package = write(tmp_path / "p.zip", shop(), files=[picture()])
    shown = html_text(package._repr_html_())
    for words in ("Package p.zip", "19 rows, 6 tables, 1 file", "sqlite database", "made", "customers", "1 file",
                  "not verified yet: package.verify()"):  # fmt: skip
        assert words in shown, words
    package.verify()
    assert "verified: complete and valid" in html_text(package._repr_html_())
    assert 'width:100%"' in package._repr_html_()


def test_a_selection_of_nothing_says_so_and_shows_no_table_without_rows(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE a (id INTEGER PRIMARY KEY)")
    connection.close()
    with dt.Database(f"sqlite:///{tmp_path}/a.db") as db:
        shown = dt.PackageBuilder(db).add("a", where="id = 1").preview()._repr_html_()
    assert "no row is selected: none meets what was asked for" in html_text(shown)
    assert "<table" not in shown
    made = write(tmp_path / "p.zip", [(table("a", {"id": "integer"}), [])])["a"]._repr_html_()
    assert "<tbody></tbody>" not in made


def test_a_damaged_package_shows_its_findings(tmp_path: Path) -> None:
    write(tmp_path / "p", shop(), encoding="documents").close()
    (tmp_path / "p" / "entities" / "customers_1.json").unlink()
    package = dt.DataPackage.open(tmp_path / "p")
    report = package.verify()
    assert repr(report) == "Report(not complete: 1 error)"
    assert "missing-member" in str(report)
    assert "✗ verified: 1 error" in html_text(package._repr_html_())
    assert "missing-member" in html_text(package._repr_html_())


def test_many_findings_are_capped_in_text_and_html() -> None:
    report = Report(tuple(Finding("error", "x", str(n), "what") for n in range(10_000)))
    assert repr(report) == "Report(not valid: 10,000 errors)"
    assert str(report).splitlines()[-1] == "  and 9,950 more"
    assert "and 9,940 more" in html_text(report._repr_html_())
    assert len(report._repr_html_()) < 20_000


def test_many_tables_are_capped_and_the_largest_come_first(tmp_path: Path) -> None:
    tables = [(table(f"t{n}", {"id": "integer"}), [{"id": i} for i in range(n % 7)]) for n in range(100)]
    shown = html_text(write(tmp_path / "p.zip", tables)._repr_html_())
    assert "the largest tables first" in shown
    assert "and 40 more" in shown
    assert shown.index("t13") < shown.index("t12")


def test_the_tab_key_offers_tables_and_public_names_only(tmp_path: Path) -> None:
    package = write(tmp_path / "p.zip", shop())
    assert package._ipython_key_completions_() == list(package.schema.tables)
    names = set(dir(package))
    assert {"tables", "verify", "graph", "why", "__len__"} <= names
    assert not [name for name in names if name.startswith("_") and not name.startswith("__")]


SHOWN = (dt.Database, dt.PackageBuilder, Selection, dt.DataPackage, Receipt, dt.PackageImporter, dt.DependencyGraph)


@pytest.mark.parametrize("kind", SHOWN, ids=lambda kind: kind.__name__)
def test_the_question_mark_shows_examples(kind: type) -> None:
    assert "Examples" in (kind.__doc__ or "")


# --- what is read off them -------------------------------------------------------------------------------------------


def test_an_undo_that_is_looked_at_tells_only_states_that_there_are_and_what_they_mean() -> None:
    counts = {"orders": {("insert", "reversible"): 7, ("insert", "edited"): 2}}
    shown = html_text(UndoReport("x", counts, [("orders", 1, "edited", "")])._repr_html_())
    assert "edited" in shown
    assert "changed since the import" in shown
    assert "orphaned" not in shown
    assert "gone" not in shown
    assert set(STATES) - {"reversible"} == set(MEANT)


def test_numbers_of_a_table_stand_to_the_right_and_texts_to_the_left(tmp_path: Path) -> None:
    rows = [{"id": 1, "name": "Ada", "age": None}, {"id": 10, "name": "Bea", "age": 41}]
    made = table("people", {"id": "integer", "name": "text", "age": "integer"})
    shown = write(tmp_path / "p.zip", [(made, rows)])["people"]._repr_html_()
    assert '<tr><td class="dt-n">1</td><td>Ada</td><td class="dt-n">NULL</td></tr>' in shown
    assert '<th scope="col" class="dt-n">age</th>' in shown


def test_a_builder_tells_what_is_held_back(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.executescript("""CREATE TABLE a (id INTEGER PRIMARY KEY, secret TEXT, code TEXT);
            CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES a (id))""")
    connection.close()
    with dt.Database(f"sqlite:///{tmp_path}/a.db") as db:
        builder = dt.PackageBuilder(db).add("a").leave_out("a.secret", "a.code").stop("b.a_id", direction="down")
        shown = html_text(builder._repr_html_())
    assert "a.code, a.secret" in shown
    assert "b.a_id, down: stop" in shown
