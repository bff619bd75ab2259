"""Renames: references, natural keys, files and later imports follow them."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer import errors
from tests.support.drift import BASE, ROWS, base_package, drifted, make, renamed_table, rows_of
from tests.support.servers import Databases
from tests.support.sql import run
from tests.support.transfer import export_all


@pytest.fixture
def package(dialect: str, databases: Databases, tmp_path: Path) -> dt.DataPackage:
    return base_package(databases, dialect, tmp_path)


def test_references_natural_keys_and_later_imports_follow_renames(
    dialect: str, databases: Databases, package: dt.DataPackage
) -> None:
    url = databases.create(dialect)
    spec = renamed_table()
    spec["customers"]["e_mail"] = spec["customers"].pop("email")
    spec["customers"] = {"number": spec["customers"].pop("id"), **spec["customers"]}
    spec["orders"]["customer"] = [sa.Integer(), sa.ForeignKey("customers.number"), "not null"]
    del spec["orders"]["user_id"]
    make(url, spec, {"customers": [{"number": 1, "e_mail": "bob@example.org", "age": 50}]})
    mapping = dt.Mapping(
        rename={"users": {"id": "number", "email": "e_mail"}, "orders": {"user_id": "customer"}},
        rename_tables={"users": "customers"},
    )
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        for table in ("users", "customers"):
            for column in ("email", "e_mail"):
                with importer.plan(mapping=mapping, match_on={table: [column]}) as plan:
                    assert plan.counts["users"] == {"insert": 1, "skip": 1}
            with importer.plan(mapping=mapping, match_on={table: ["email"]}, on_match={table: "update"}) as plan:
                assert plan.counts["users"] == {"insert": 1, "update": 1}
        with pytest.raises(errors.UnknownTableError) as unknown:
            importer.plan(mapping=mapping, match_on={"nobody": ["email"]})
        assert unknown.value.hint == "there are audit, customers, orders, users"
        with pytest.raises(errors.UnknownColumnError) as column:
            importer.plan(mapping=mapping, match_on={"users": ["emial"]})
        assert "'email'" in column.value.hint
        receipt = importer.run(mapping=mapping, match_on={"users": "email"})
        ids = receipt.id_map("customers").set_index("source.id")["target.number"].to_dict()
        assert ids[2] == 1
        again = importer.run(mapping=mapping, match_on={"users": "email"})
        assert not again.recorded
        for told in (receipt, dt.receipt(target, receipt.import_id), again):
            assert told.id_map("users").values.tolist() == told.id_map("customers").values.tolist()
            assert len(told.id_map("users")) == 2
            with pytest.raises(errors.UnknownTableError) as unknown:
                told.id_map("people")
            assert {"customers", "users"} < set(unknown.value.hint.removeprefix("there are ").split(", "))
    assert rows_of(url, "orders", "id", "customer") == [(10, ids[1]), (11, 1), (12, 1)]
    # a package whose parents are left out finds them in the target, under their new names
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        again = importer.run(mapping=mapping, drop_tables=["users"], on_match="update")
        assert again.total("insert") + again.total("update") == 0
    assert rows_of(url, "orders", "id", "customer") == [(10, ids[1]), (11, 1), (12, 1)]


def test_a_reference_that_only_the_target_declares_is_followed(
    dialect: str, databases: Databases, tmp_path: Path
) -> None:
    spec = drifted(orders__user_id=[sa.Integer(), "not null"])
    source, url = databases.create(dialect), databases.create(dialect)
    make(source, spec, ROWS)
    make(url, BASE, {"users": [{"id": 1, "email": "else@example.org", "age": 1}]})
    package = export_all(source, tmp_path / "shop.zip")
    with dt.Database(url) as target:
        report = dt.PackageImporter(package, target).check()
        assert [i.code for i in report] == ["new-reference"]
        dt.PackageImporter(package, target).run()
    joined = rows_of(url, "users", "id", "email")
    ids = {email: key for key, email in joined}
    wanted = [(10, ids["ann@example.org"]), (11, ids["bob@example.org"]), (12, ids["bob@example.org"])]
    assert rows_of(url, "orders", "id", "user_id") == wanted


PARTS = "CREATE TABLE parts (id INTEGER PRIMARY KEY, maker INTEGER, code VARCHAR(9), v VARCHAR(9){})"
KEYS = ", FOREIGN KEY (maker) REFERENCES makers (id), FOREIGN KEY (code) REFERENCES makers (code)"
OUTSIDE = (
    "CREATE TABLE makers (id INTEGER PRIMARY KEY, code VARCHAR(9) NOT NULL UNIQUE)",
    PARTS.format(KEYS),
    "INSERT INTO makers VALUES (5, 'x')",
)


def test_what_only_the_target_takes_for_references_out_of_the_package_is_planned(
    dialect: str, databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create(dialect), databases.create(dialect)
    run(source, PARTS.format(""),
        "INSERT INTO parts VALUES (1, 5, 'x', 'a'), (2, 6, NULL, 'b'), (3, NULL, 'y', 'c')")  # fmt: skip
    run(url, *OUTSIDE)
    package = export_all(source, tmp_path / "parts.zip")
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        report = importer.check()
        assert report.ok
        assert {(i.code, i.where) for i in report} == {("new-reference", f"parts.{c}") for c in ("maker", "code")}
        with pytest.raises(errors.OrphanError, match="1 value refers to rows of 'makers'") as caught:
            importer.plan()
        assert caught.value.where in ("parts.maker", "parts.code")
        assert target.count("parts") == 0
        with importer.plan(on_orphan="null") as plan:
            assert {w.split(":")[0] for w in plan.warnings} == {"parts.maker", "parts.code"}
            importer.run(plan)
    assert rows_of(url, "parts", "id", "maker", "code") == [(1, 5, "x"), (2, None, None), (3, None, None)]


def test_files_follow_renames(databases: Databases, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_text("hello")
    (tmp_path / "out").mkdir()
    source, url = databases.create("sqlite"), databases.create("sqlite")
    docs = {"docs": {"id": [sa.Integer(), "pk"], "path": [sa.String(50)]}}
    make(source, docs, {"docs": [{"id": 1, "path": "a.txt"}]})
    make(url, {"papers": {"id": [sa.Integer(), "pk"], "file": [sa.String(50)]}})
    package = export_all(source, tmp_path / "d.zip", files={"docs.path": dt.FolderStore(tmp_path / "in")})
    with dt.Database(url, files={"papers.file": dt.FolderStore(tmp_path / "out")}) as target:
        dt.PackageImporter(package, target).run(rename={"docs": {"path": "file"}}, rename_tables={"docs": "papers"})
    assert (tmp_path / "out" / "a.txt").read_text() == "hello"
