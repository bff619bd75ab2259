"""A plan, and tables of the target that are defined in another way when it is carried out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from tests.support.digest import exact_digest
from tests.support.servers import Databases
from tests.support.shop import session, two_shops
from tests.support.transfer import DIALECTS, export_all, import_into

CHANGES = {
    "dropped": ("orders", "DROP TABLE orders"),
    "renamed": ("orders", "ALTER TABLE orders RENAME TO bills"),
    "less": ("orders", "ALTER TABLE orders DROP COLUMN note"),
    "more": ("customers", "ALTER TABLE customers ADD COLUMN more INTEGER NOT NULL DEFAULT 3"),
}


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("policies", [{}, {"on_match": "update"}], ids=["skip", "update"])
def test_a_plan_ends_with_the_definition_of_its_tables(
    databases: Databases, tmp_path: Path, dialect: str, change: str, policies: dict[str, Any]
) -> None:
    source, target = two_shops(databases, dialect)
    package = export_all(source, tmp_path / "all.zip")
    if policies:
        import_into(package, target)
        with session(target) as cursor:
            cursor.execute("UPDATE orders SET note = 'other' WHERE note = 's1'")
    where, sql = CHANGES[change]
    with dt.Database(target) as db:
        importer = dt.PackageImporter(package, db)
        plan = importer.plan(**policies)
        with session(target) as cursor:
            cursor.execute(sql)
        before = exact_digest(target)
        with pytest.raises(dt.TargetChangedError, match="when the import was planned") as caught:
            importer.run(plan)
        assert caught.value.where == where
        assert exact_digest(target) == before
        assert dt.stages(db).empty


@pytest.mark.parametrize("dialect", DIALECTS)
def test_what_others_do_to_other_tables_is_of_no_concern(databases: Databases, tmp_path: Path, dialect: str) -> None:
    source, target = two_shops(databases, dialect)
    with dt.Database(target) as db:
        importer = dt.PackageImporter(export_all(source, tmp_path / "all.zip"), db)
        plan = importer.plan()
        with session(target) as cursor:
            cursor.execute("CREATE TABLE apart (id INTEGER PRIMARY KEY)")
        assert importer.run(plan).total("insert") == 6
