"""A transfer tells what it is about to do with a table, not only what it has done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.database.writers import WRITERS
from datatransfer.exporting.rows import Rows
from datatransfer.importing.matching import Matcher
from tests.support.servers import Databases
from tests.support.shop import two_shops
from tests.support.transfer import export_all


def test_a_table_is_named_before_the_statement_that_works_on_it(
    databases: Databases, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, target = two_shops(databases)
    package = export_all(source, tmp_path / "all.zip")
    last: list[tuple[str, str]] = []
    seen: list[tuple[str, str, str]] = []

    def listener(event: Any) -> None:
        if isinstance(event, dt.Progress):
            last.append((event.phase, event.table))

    writer = WRITERS["sqlite"]
    insert, load, match, prepare = writer.insert, writer.load, Matcher.plan_table, Rows.batches

    def inserted(self: Any, table: Any, *arguments: Any) -> int:
        seen.append((*last[-1], table.name))
        return int(insert(self, table, *arguments))

    def loaded(self: Any, *arguments: Any, **options: Any) -> int:
        seen.append((*last[-1], last[-1][1]))
        return int(load(self, *arguments, **options))

    def matched(self: Matcher, plan: Any) -> None:
        seen.append((*last[-1], plan.fit.source.name))
        match(self, plan)

    def read(self: Rows, prepared: Any) -> Any:
        seen.append((*last[-1], prepared.table.name))
        return prepare(self, prepared)

    monkeypatch.setattr(writer, "insert", inserted)
    monkeypatch.setattr(writer, "load", loaded)
    monkeypatch.setattr(Matcher, "plan_table", matched)
    monkeypatch.setattr(Rows, "batches", read)
    with dt.Database(target) as db:
        dt.PackageImporter(package, db, listener=listener).run()
        dt.PackageBuilder(db, listener=listener).add_all().build(tmp_path / "again.zip")
    assert {phase for phase, _, _ in seen} == {"stage", "plan", "merge", "read"}
    assert [(phase, told, table) for phase, told, table in seen if told != table] == []
    assert last[[phase for phase, _ in last].index("receipt") - 1][0] == "merge"
