"""Notes that say the same of many places: told once, with every place in a fold."""

from __future__ import annotations

import re
from pathlib import Path

import datatransfer as dt
from datatransfer.display.grouping import alike, grouped
from tests.support.forms import package_of, ready_to_import
from tests.support.markup import html_text
from tests.support.servers import Databases
from tests.support.sql import run

FOLD = re.compile(r"<details><summary>(.*?)</summary><ul>(.*?)</ul></details>")


def test_what_is_said_of_several_tables_is_told_once_and_names_them_all() -> None:
    notes = [f"t{n}: {n + 2} rows are new" for n in range(10)]
    listed = grouped([*notes[:5], "it is late", *notes[5:], "t3: it is full", "t4: it is full"])
    ((title, inner),) = FOLD.findall(listed)
    assert title == "In 10 tables: … rows are new"
    assert re.findall("<li>(.*?)</li>", inner) == notes
    others = ["it is late", "t3: it is full", "t4: it is full"]
    assert re.findall("<li>([^<]+)</li>", FOLD.sub("", listed)) == others


def test_the_own_name_of_a_place_makes_no_difference_and_what_is_the_same_is_told_whole() -> None:
    notes = [f"""t.c{n}: it looks odd; leave_out("t.c{n}") keeps it out""" for n in range(3)]
    assert alike(notes)[0].title == 'In 3 places: it looks odd; leave_out("…") keeps it out'
    assert alike([f"t{n}: 2 of 3 are here" for n in range(3)])[0].title == "In 3 tables: 2 of 3 are here"
    others = alike(["a: 1 x", "b: 1 y", "c: 1 z", "no place", "no place", "no place"])
    assert [group.title for group in others] == [""] * 6


def test_what_is_beyond_the_limit_is_counted_note_by_note() -> None:
    notes = ["first", "second", *(f"t{n}: full" for n in range(5))]
    assert grouped(notes, limit=2) == "<ul><li>first</li><li>second</li><li>and 5 more</li></ul>"
    assert "and 1 more" in grouped(["t0: full", *notes[2:], "last"], limit=1)


TABLES = [f"CREATE TABLE t{n} (id INTEGER PRIMARY KEY, password VARCHAR(90))" for n in range(10)]


def test_a_selection_and_the_notes_of_a_form_are_grouped(databases: Databases, tmp_path: Path) -> None:
    url, wider = databases.create("sqlite"), databases.create("postgresql")
    run(url, *TABLES, *(f"INSERT INTO t{n} VALUES (1, 'x')" for n in range(10)))
    run(wider, *(sql.replace("(90)", f"({20 + n})") for n, sql in enumerate(TABLES)))
    with dt.Database(url) as db:
        selection = html_text(dt.PackageBuilder(db).add_all().preview()._repr_html_())
    assert selection.count("would be carried") == 11
    assert "In 10 places: the column looks like a secret and would be carried; leave_out(" in selection
    assert "10 warnings" in selection
    with dt.Database(wider) as target:
        form = ready_to_import(target, package_of(url, tmp_path / "p.zip"))
        count = len(form.wizard.differences.report)  # type: ignore[arg-type]
        assert count >= 10
        assert form.findings.minor.button.description == f"▸ {count} notes, none stops the import"
        lines = [html_text(line.value) for line in form.findings._minor.children]
        assert len(lines) == count // 10
        (said,) = [line for line in lines if "t9.password" in line]
        assert "In 10 places: the target keeps less" in said
        assert all(f"t{n}.password: the target keeps less" in said for n in range(10))
        form.wizard.close()
