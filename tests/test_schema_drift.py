"""Package and target that differ: every difference is found before anything is staged, and every printed cure works."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer import errors
from datatransfer.cli import main
from datatransfer.display import problems
from tests.support.digest import assert_equal, exact_digest
from tests.support.drift import BASE, Spec, base_package, drifted, make, refused, renamed_table, rows_of
from tests.support.servers import Databases
from tests.support.sql import run
from tests.support.transfer import export_all


def without(table: str) -> Spec:
    return {name: columns for name, columns in deepcopy(BASE).items() if name != table}


def elsewhere() -> Spec:
    spec = drifted(orders__user_id=[sa.Integer(), sa.ForeignKey("people.id")])
    return {"people": {"id": [sa.Integer(), "pk"]}, **spec}


#: name: the target, the finding's code and place, and for which databases it is none (SQLite limits nothing).
ERRORS: dict[str, tuple[Callable[[], Spec], str, str, tuple[str, ...]]] = {
    "missing column": (lambda: drifted(orders__note=None), "missing-column", "orders.note", ()),
    "renamed column": (
        lambda: drifted(orders__placed=None, orders__placed_at=[sa.DateTime()]), "missing-column", "orders.placed", ()
    ),
    "renamed key": (
        lambda: drifted(audit__id=None, audit__audit_id=[sa.Integer(), "pk"]), "missing-column", "audit.id", ()
    ),
    "renamed and required": (
        lambda: drifted(users__email=None, users__e_mail=[sa.String(50), "not null"]),
        "missing-column", "users.email", (),
    ),
    "newly required column": (
        lambda: drifted(orders__channel=[sa.String(10), "not null"]), "required-column", "orders.channel", ()
    ),
    "newly required number": (
        lambda: drifted(orders__tax=[sa.Numeric(6, 2), "not null"]), "required-column", "orders.tax", ()
    ),
    "newly required time": (
        lambda: drifted(orders__paid=[sa.DateTime(), "not null"]), "required-column", "orders.paid", ()
    ),
    "missing table": (lambda: without("audit"), "missing-table", "audit", ()),
    "renamed table": (renamed_table, "missing-table", "users", ()),
    "narrowed text": (lambda: drifted(orders__note=[sa.String(4)]), "value-loss", "orders.note", ("sqlite",)),
    "narrowed decimal": (
        lambda: drifted(orders__total=[sa.Numeric(10, 1)]), "value-loss", "orders.total", ("sqlite",)
    ),
    "now required": (lambda: drifted(users__age=[sa.Integer(), "not null"]), "null", "users.age", ()),
    "computed": (
        lambda: drifted(orders__note=[sa.String(50), sa.Computed("'fixed'", persisted=True)]),
        "computed-column", "orders.note", (),
    ),
    "retyped to integer": (
        lambda: drifted(orders__weight=[sa.Integer()]), "value-loss", "orders.weight", ("sqlite",)
    ),
    "retyped to text": (lambda: drifted(orders__weight=[sa.String(40)]), "type", "orders.weight", ()),
    "retyped to a date": (lambda: drifted(orders__placed=[sa.Date()]), "value-loss", "orders.placed", ("sqlite",)),
    "retyped to nothing like it": (
        lambda: drifted(orders__placed=[sa.LargeBinary()]), "type", "orders.placed", ("sqlite",)
    ),
    "now unique": (lambda: drifted(orders__note=[sa.String(50), "unique"]), "unique", "orders.note", ()),
    "a reference elsewhere": (elsewhere, "other-reference", "orders.user_id", ()),
}  # fmt: skip


@pytest.fixture
def package(dialect: str, databases: Databases, tmp_path: Path) -> dt.DataPackage:
    return base_package(databases, dialect, tmp_path)


@pytest.mark.parametrize("name", ERRORS)
def test_a_difference_is_found_and_its_printed_cure_makes_the_import_work(
    name: str, dialect: str, databases: Databases, package: dt.DataPackage, capsys: pytest.CaptureFixture[str]
) -> None:
    spec, code, where, free = ERRORS[name]
    url, again = databases.create(dialect), databases.create(dialect)
    make(url, spec())
    make(again, spec())
    with dt.Database(url) as target:
        report = dt.PackageImporter(package, target).check()
        assert len(dt.stages(target)) == 0
    if dialect in free:
        assert report.ok, report
        return
    found = {(item.code, item.where) for item in report.errors}
    assert (code, where) in found
    frame = report.to_frame()
    assert len(frame) == len(report)
    error = refused(package, url)
    if code != "unique":  # rows that clash are conflicts of the plan, to be decided one by one
        assert isinstance(error, errors.SchemaMismatchError | errors.ValueLossError)
        assert where in str(error)
    # as printed for Python
    cures = [eval(f"dict({item.to_json()['cure']})") for item in report.errors]
    whole = dt.Mapping()
    for cure in cures:
        whole |= dt.Mapping(**cure)
    with dt.Database(url) as target:
        receipt = dt.PackageImporter(package, target).run(mapping=whole)
        assert receipt.total("insert") == package.tables["rows"].sum() - (name == "missing table")
    # as printed for the command line
    words = [word for item in report.errors for word in shlex.split(item.to_json()["options"])]
    assert main(["import", str(package.path), again, *words]) == 0, capsys.readouterr().err
    assert_equal(exact_digest(url), exact_digest(again))
    with dt.Database(url) as target:  # and the same again writes nothing
        assert dt.PackageImporter(package, target).run(mapping=whole).total("insert") == 0


def test_differences_that_harm_nothing_are_only_noted(
    dialect: str, databases: Databases, package: dt.DataPackage
) -> None:
    url = databases.create(dialect)
    spec = drifted(users__email=[sa.String(200), "not null"], users__phone=[sa.String(9)])
    spec["extra"] = {"id": [sa.Integer(), "pk"]}
    make(url, spec)
    with dt.Database(url) as target:
        report = dt.PackageImporter(package, target).check()
        assert report.ok
        if dialect != "sqlite":
            assert [(i.severity, i.code, i.where) for i in report] == [("note", "widened", "users.email")]
        assert dt.PackageImporter(package, target).run().total("insert") == 6


def test_all_findings_are_told_at_once_and_cured_at_once(
    dialect: str, databases: Databases, package: dt.DataPackage, tmp_path: Path
) -> None:
    spec = renamed_table()
    del spec["audit"], spec["orders"]["note"], spec["orders"]["placed"]
    spec["orders"]["placed_at"] = [sa.DateTime()]
    spec["orders"]["channel"] = [sa.String(10), "not null"]
    spec["orders"]["weight"] = [sa.String(40)]
    url = databases.create(dialect)
    make(url, spec)
    error = refused(package, url)
    assert isinstance(error, errors.SchemaMismatchError)
    found = [(item["code"], item["where"]) for item in error.evidence["findings"] if item["severity"] == "error"]
    assert sorted(found) == [
        ("missing-column", "orders.note"), ("missing-column", "orders.placed"), ("missing-table", "audit"),
        ("missing-table", "users"), ("required-column", "orders.channel"), ("type", "orders.weight"),
    ]  # fmt: skip
    assert all(where in str(error) for _, where in found)
    told = str(error).splitlines()
    assert told[0] == "the package does not fit the target:"
    assert [line[:2] for line in told[1:-1]] == ["- "] * 6
    assert error._repr_html_().count("<div>- ") == 6
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        report = importer.check()
        assert {(f.where, f.loses) for f in report.lossy} == {
            ("audit", "rows are left out"), ("orders.note", "values are left out"),
        }  # fmt: skip
        assert set(report.mapping.to_json()) == {"rename", "rename_tables", "default", "cast"}  # which changes no value
        assert {f.where for f in importer.check(mapping=report.mapping).errors} >= {f.where for f in report.lossy}
        whole = report.mapping | report.lossy[0].cure | report.lossy[1].cure
        whole.save(tmp_path / "shop.json")
        mapping = dt.Mapping.load(tmp_path / "shop.json")
        assert importer.check(mapping=mapping).ok
        receipt = importer.run(mapping=mapping, default={"orders": {"channel": "web"}})
        assert receipt.total("insert") == 5
    found = rows_of(url, "orders", "id", "user_id", "channel", "weight")
    assert [row[:3] for row in found] == [(10, 1, "web"), (11, 2, "web"), (12, 2, "web")]
    assert [row[3] and float(row[3]) for row in found] == [2.5, None, 7.0]
    assert [bool(placed) for (placed,) in rows_of(url, "orders", "placed_at")] == [True, True, False]


def test_a_default_for_a_column_that_the_package_lacks_leaves_rows_alone_that_are_there(
    dialect: str, databases: Databases, package: dt.DataPackage
) -> None:
    url = databases.create(dialect)
    make(url, drifted(users__channel=[sa.String(10), "not null"]),
         {"users": [{"id": 1, "email": "ann@example.org", "age": 29, "channel": "shop"}]})  # fmt: skip
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        policies: dict[str, Any] = {
            "on_match": "update", "match_on": {"users": ["email"]}, "default": {"users": {"channel": "web"}},
        }  # fmt: skip
        with importer.plan(**policies) as plan:
            assert list(plan.diff()["field"]) == ["age"]
        receipt = importer.run(**policies)
        assert receipt.total("update") == 1
        assert rows_of(url, "users", "id", "age", "channel") == [(1, 30, "shop"), (2, None, "web")]
        assert importer.run(**policies).total("update") == 0


def test_another_key_is_told_and_a_column_with_a_default_takes_it(
    dialect: str, databases: Databases, package: dt.DataPackage
) -> None:
    url = databases.create(dialect)
    spec = drifted(audit__id=[sa.Integer(), "not null"], audit__order_id=[sa.Integer(), "pk"])
    spec["users"]["kind"] = [sa.String(9), "not null", sa.text("'plain'")]
    make(url, spec)
    with dt.Database(url) as target:
        report = dt.PackageImporter(package, target).check()
        assert report.ok
        assert ("warning", "other-key", "audit") in [(i.severity, i.code, i.where) for i in report]
        receipt = dt.PackageImporter(package, target).run()
    assert any("the key is id in the package, and order_id in the target" in text for text in receipt.warnings)
    assert rows_of(url, "users", "kind") == [("plain",), ("plain",)]


def test_of_many_findings_ten_are_told_a_line_each(
    databases: Databases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = databases.create("sqlite"), databases.create("sqlite")
    run(source, *(f"CREATE TABLE t{n:02} (id INTEGER PRIMARY KEY)" for n in range(12)))
    run(source, *(f"INSERT INTO t{n:02} VALUES (1)" for n in range(12)))
    run(target, "CREATE TABLE other (name TEXT)")
    package = export_all(source, tmp_path / "p.zip")
    error = refused(package, target)
    told = str(error).splitlines()
    assert [line.partition(":")[0] for line in told[1:11]] == [f"- t{n:02}" for n in range(10)]
    assert told[11] == "and 2 more: importer.check() shows all"
    assert told[12].startswith("(change the target")
    assert error._repr_html_().count("<div>- ") == 10
    assert "\n".join(problems.rendered(error)).count("- t") == 10
    assert main(["import", str(tmp_path / "p.zip"), target]) == 6
    heard = capsys.readouterr().err.splitlines()
    assert sum(line.startswith("- t") for line in heard) == 10
    assert "and 2 more: datatransfer check shows all" in heard
