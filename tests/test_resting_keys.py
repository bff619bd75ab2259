"""What holds while foreign keys and triggers rest for an import, and what is said where they cannot."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

import datatransfer as dt
from tests.support.servers import Databases, as_role
from tests.support.sql import asked, run
from tests.support.transfer import DIALECTS, export_all, import_into, written

SCHEMA = """
CREATE TABLE parents (id INTEGER PRIMARY KEY, name VARCHAR(9));
CREATE TABLE children (id INTEGER PRIMARY KEY, parent_id INTEGER NOT NULL,
    FOREIGN KEY (parent_id) REFERENCES parents (id))
"""


def _run(url: str, statements: str) -> None:
    run(url, *statements.split(";\n"))


# --- foreign keys -----------------------------------------------------------------------------------------------------


def _parents_there(databases: Databases, dialect: str, folder: Path) -> tuple[dt.DataPackage, str]:
    """Return a package whose parents a target has already, and whose children it has not."""
    source, target = databases.create(dialect), databases.create(dialect)
    for url in (source, target):
        _run(url, SCHEMA)
    _run(source, "INSERT INTO parents VALUES (1, 'a'), (2, 'b')")
    import_into(export_all(source, folder / "first.zip"), target)
    _run(source, "INSERT INTO children VALUES (1, 1), (2, 2)")
    return export_all(source, folder / "second.zip"), target


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
@pytest.mark.parametrize("moment", ["before_cursor_execute", "after_cursor_execute"])
def test_a_parent_that_is_reused_cannot_be_deleted_under_its_new_children(
    databases: Databases, tmp_path: Path, dialect: str, moment: str
) -> None:
    package, target = _parents_there(databases, dialect, tmp_path)
    deleted: list[bool] = []
    patience = {"postgresql": "SET lock_timeout = 300", "mariadb": "SET innodb_lock_wait_timeout = 1"}[dialect]

    def another_session(*arguments: Any) -> None:
        if "children" not in arguments[2] or not arguments[2].startswith("INSERT INTO") or deleted:
            return
        try:
            _run(target, f"{patience};\nDELETE FROM parents WHERE name = 'a'")
            deleted.append(True)
        except OperationalError:
            deleted.append(False)

    with dt.Database(target) as db:
        sa.event.listen(db.engine, moment, another_session)
        importer = dt.PackageImporter(package, db)
        if dialect == "postgresql" and moment.startswith("before"):
            with pytest.raises(dt.TargetChangedError):
                importer.run()
        else:
            assert importer.run().total("insert") == 2
    assert deleted == [dialect == "postgresql" and moment.startswith("before")]
    assert not asked(target, "SELECT id FROM children WHERE parent_id NOT IN (SELECT id FROM parents)")


def test_tables_that_only_the_target_joins_in_a_circle_find_their_parents(databases: Databases, tmp_path: Path) -> None:
    source, target = databases.create("mariadb"), databases.create("mariadb")
    plain = (
        "CREATE TABLE a (id INTEGER PRIMARY KEY, b_id INTEGER);\nCREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER)"
    )
    _run(source, plain + ";\nINSERT INTO a VALUES (1, 1), (2, 100);\nINSERT INTO b VALUES (1, 1), (100, NULL)")
    for child, parent in (("a", "b"), ("b", "a")):
        plain += f";\nALTER TABLE {child} ADD FOREIGN KEY ({parent}_id) REFERENCES {parent} (id)"
    _run(target, plain)
    with dt.Database(source) as db:
        first = dt.PackageBuilder(db).add("b", keys=[100]).build(tmp_path / "first.zip", progress=False)
        second = dt.PackageBuilder(db).add("a").add("b", keys=[1]).build(tmp_path / "second.zip", progress=False)
    import_into(first, target)
    assert written(import_into(second, target)) == 3
    assert asked(target, "SELECT a.id, b.id FROM a JOIN b ON b.id = a.b_id ORDER BY a.id") == [(1, 1), (2, 100)]


# --- triggers ---------------------------------------------------------------------------------------------------------

_TRIGGER = {
    "sqlite": "CREATE TRIGGER loud AFTER INSERT ON parents BEGIN INSERT INTO heard VALUES (new.id); END",
    "mariadb": "CREATE TRIGGER loud AFTER INSERT ON parents FOR EACH ROW INSERT INTO heard VALUES (new.id)",
    "postgresql": "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN INSERT INTO heard VALUES (new.id); RETURN new; END';\n"
    "CREATE TRIGGER loud AFTER INSERT ON parents FOR EACH ROW EXECUTE FUNCTION tell()",
}


def _with_trigger(databases: Databases, dialect: str, folder: Path) -> tuple[dt.DataPackage, str]:
    source, target = databases.create(dialect), databases.create(dialect)
    for url in (source, target):
        _run(url, SCHEMA)
    _run(source, "INSERT INTO parents VALUES (1, 'a');\nINSERT INTO children VALUES (1, 1)")
    _run(target, f"CREATE TABLE heard (id INTEGER);\n{_TRIGGER[dialect]}")
    return export_all(source, folder / "package.zip"), target


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("policies", [{}, {"triggers": "suspend"}], ids=["not asked for", "asked for"])
def test_the_plan_says_whose_triggers_cannot_rest_and_the_receipt_repeats_it(
    databases: Databases, tmp_path: Path, dialect: str, policies: dict[str, str]
) -> None:
    package, target = _with_trigger(databases, dialect, tmp_path)
    with dt.Database(target) as db:
        importer = dt.PackageImporter(package, db)
        plan = importer.plan(**policies)  # type: ignore[arg-type]
        said = [warning for warning in plan.warnings if "trigger" in warning]
        receipt = importer.run(plan)
        assert [warning for warning in receipt.warnings if "trigger" in warning] == said
        assert [warning.split(":")[0] for warning in said] == (["parents"] if dialect == "mariadb" else [])
        undone = receipt.undo()
        assert any("parents: its triggers fired" in w for w in undone.warnings) == (dialect == "mariadb")
    assert len(asked(target, "SELECT * FROM heard")) == len(said)


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("policy", ["suspend", "fire"])
def test_the_receipt_names_tables_whose_triggers_came_after_the_plan(
    databases: Databases, tmp_path: Path, dialect: str, policy: str
) -> None:
    package, target = _with_trigger(databases, dialect, tmp_path)
    gone = "DROP TRIGGER loud" + (" ON parents" if dialect == "postgresql" else "")
    again = _TRIGGER[dialect]
    _run(target, gone)
    fires = policy == "fire" or dialect == "mariadb"
    with dt.Database(target) as db:
        importer = dt.PackageImporter(package, db)
        plan = importer.plan(triggers=policy)
        assert [warning for warning in plan.warnings if "trigger" in warning] == []
        _run(target, again[again.index("CREATE TRIGGER") :])
        receipt = importer.run(plan)
        assert [w.split(":")[0] for w in receipt.warnings if "trigger" in w] == ["parents"] * fires
        assert dt.receipt(db, receipt.import_id).warnings == receipt.warnings
    assert len(asked(target, "SELECT * FROM heard")) == fires


def test_the_receipt_does_not_name_tables_whose_triggers_are_gone_since_the_plan(
    databases: Databases, tmp_path: Path
) -> None:
    package, target = _with_trigger(databases, "mariadb", tmp_path)
    with dt.Database(target) as db:
        importer = dt.PackageImporter(package, db)
        plan = importer.plan()
        _run(target, "DROP TRIGGER loud")
        assert [warning for warning in importer.run(plan).warnings if "trigger" in warning] == []
    assert asked(target, "SELECT * FROM heard") == []


def test_a_role_that_owns_only_some_tables_is_told_of_the_others(
    databases: Databases, tmp_path: Path, plain_role: str
) -> None:
    package, target = _with_trigger(databases, "postgresql", tmp_path)
    for statement in (
        "GRANT ALL ON SCHEMA public TO {}", "GRANT ALL ON parents, heard TO {}", "ALTER TABLE children OWNER TO {}",
        "CREATE TRIGGER quiet AFTER INSERT ON children FOR EACH ROW EXECUTE FUNCTION tell()",
    ):  # fmt: skip
        _run(target, statement.format(plain_role))
    as_guest = as_role(target, plain_role)
    with dt.Database(as_guest) as db:
        importer = dt.PackageImporter(package, db)
        plan = importer.plan()
        assert [w.split(":")[0] for w in plan.warnings if "trigger" in w] == ["parents"]
        said = "parents: triggers fire during the import, for only their owner can put them to rest"
        assert any(warning.startswith(said) for warning in importer.run(plan).warnings)
    assert asked(target, "SELECT id FROM heard") == [(1,)]


def test_a_role_that_owns_no_table_fills_large_ones_row_by_row(
    databases: Databases, tmp_path: Path, plain_role: str
) -> None:
    source, target = databases.create("postgresql"), databases.create("postgresql")
    for url in (source, target):
        _run(url, SCHEMA)
    _run(source, "INSERT INTO parents SELECT i, 'a' FROM generate_series(1, 10000) i")
    _run(target, f"GRANT ALL ON SCHEMA public TO {plain_role};\nGRANT ALL ON parents, children TO {plain_role}")
    as_guest = as_role(target, plain_role)
    assert written(import_into(export_all(source, tmp_path / "package.zip"), as_guest)) == 10000
