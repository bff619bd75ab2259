"""Mappings: saved, said as Python and as options, joined, resumed; one that cannot hold is refused before all."""

from __future__ import annotations

import datetime as dtm
import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer import errors
from datatransfer.cli import main
from tests.support.drift import BASE, ROWS, base_package, drifted, make, refused, rows_of
from tests.support.servers import Databases
from tests.support.transfer import export_all


@pytest.fixture
def package(dialect: str, databases: Databases, tmp_path: Path) -> dt.DataPackage:
    return base_package(databases, dialect, tmp_path)


@pytest.mark.parametrize(
    ("mapping", "error", "said"),
    [
        ({"rename": {"order": {"a": "b"}}}, "UnknownTableError", "orders"),
        ({"rename": {"orders": {"a": "b"}}}, "UnknownColumnError", "rename"),
        ({"rename": {"orders": {"note": "b"}}}, "UnknownColumnError", "rename"),
        ({"rename_tables": {"orders": "b"}}, "UnknownTableError", "b"),
        ({"drop": {"orders": ["b"]}}, "UnknownColumnError", "drop"),
        ({"drop_tables": ["b"]}, "UnknownTableError", "b"),
        ({"default": {"orders": {"b": 1}}}, "UnknownColumnError", "default"),
        ({"cast": {"orders": {"b": "text"}}}, "UnknownColumnError", "cast"),
        ({"cast": {"orders": {"note": "varchar"}}}, "UsageError", "no kind of value"),
        ({"drop": {"orders": ["note"]}, "cast": {"orders": {"note": "text"}}}, "UsageError", "drops"),
        ({"drop": {"orders": ["id"]}}, "SchemaMismatchError", "rows are identified by it"),
        ({"drop": {"users": ["email"]}}, "SchemaMismatchError", "the mapping drops"),
        ({"drop": {"orders": ["user_id"]}}, "SchemaMismatchError", "the mapping drops"),
        ({"cast": {"orders": {"user_id": "integer"}}}, "SchemaMismatchError", "cannot be cast"),
        ({"cast": {"users": {"age": "boolean"}}}, "SchemaMismatchError", "cast says"),
        ({"default": {"users": {"age": "old"}}}, "SchemaMismatchError", "no value of"),
        ({"default": {"orders": {"user_id": 1}}}, "SchemaMismatchError", "takes no default"),
        ({"rename": {"orders": {"note": "total"}}}, "SchemaMismatchError", "as well"),
        ({"rename_tables": {"audit": "orders"}}, "SchemaMismatchError", "as well"),
        ({"drop_tables": ["users"]}, "OrphanError", "orders.user_id"),
    ],
)  # fmt: skip
def test_a_mapping_that_cannot_hold_is_refused_before_anything_is_written(
    mapping: dict[str, Any], error: str, said: str, databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create("postgresql"), databases.create("postgresql")
    make(source, BASE, ROWS)
    make(url, BASE)
    caught = refused(export_all(source, tmp_path / "shop.zip"), url, **mapping)
    assert isinstance(caught, getattr(errors, error))
    assert said in str(caught)


def test_a_mapping_is_the_same_after_saving_and_says_itself_as_python_and_as_options(tmp_path: Path) -> None:
    mapping = dt.Mapping(
        rename={"a b": {"x": "y z"}}, rename_tables={"t": "u"}, drop={"t": ["c", "d"]}, drop_tables=["v"],
        default={"t": {"e": 1, "f": None, "g": "it's", "h": "", "i": True, "j": dtm.date(2026, 1, 1), "k": 1.5}},
        cast={"t": {"l": "integer"}},
    )  # fmt: skip
    mapping.save(tmp_path / "m.json")
    assert dt.Mapping.load(tmp_path / "m.json") == mapping
    assert dt.Mapping(**eval(f"dict({mapping.code})")) == mapping
    from datatransfer.cli.arguments import make_parser
    from datatransfer.cli.sources import mapping as typed

    options = make_parser().parse_args(["check", "p.zip", "sqlite://", *shlex.split(mapping.options)])
    assert typed(options) == mapping


def test_of_two_mappings_the_later_counts() -> None:
    cast, drop = dt.Mapping(cast={"t": {"a": "text", "b": "text"}}), dt.Mapping(drop={"t": ["a"]})
    assert cast | drop == dt.Mapping(cast={"t": {"b": "text"}}, drop={"t": ["a"]})
    assert drop | cast == cast


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"format": "datatransfer-mapping", "version": 2}',
     '{"format": "datatransfer-mapping", "version": 1, "what": {}}',
     '{"format": "datatransfer-mapping", "version": 1, "rename": []}'],
)  # fmt: skip
def test_a_file_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(text)
    with pytest.raises(errors.UsageError):
        dt.Mapping.load(tmp_path / "m.json")
    with pytest.raises(errors.UsageError):
        dt.Mapping.load(tmp_path / "absent.json")


def test_the_command_line_saves_a_mapping_and_uses_it_again(
    databases: Databases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, url = databases.create("sqlite"), databases.create("sqlite")
    make(source, BASE, ROWS)
    make(url, drifted(orders__note=None, orders__channel=[sa.String(9), "not null"]))
    path, saved = str(export_all(source, tmp_path / "shop.zip").path), str(tmp_path / "m.json")
    assert main(["check", path, url, "--json"]) == 6
    document = json.loads(capsys.readouterr().out)
    assert {finding["code"] for finding in document["findings"]} == {"missing-column", "required-column"}
    assert [(f["where"], f["loses"]) for f in document["findings"] if f["loses"]] == [
        ("orders.note", "values are left out")
    ]
    assert main(["check", path, url]) == 6
    told = capsys.readouterr().out
    assert "    --drop orders.note  (lossy: values are left out)\n" in told
    assert "all cures together that lose nothing: --default 'orders.channel:=" in told
    assert "--drop" not in told.partition("all cures together")[2]
    assert "1 cure loses something, to be chosen one by one: see above" in told
    typed = ["--drop", "orders.note", "--default", "orders.channel=web"]
    assert main(["check", path, url, *typed, "--save-mapping", saved]) == 0
    assert main(["plan", path, url, "--mapping", saved]) == 0
    assert main(["import", path, url, "--mapping", saved]) == 0
    capsys.readouterr()
    assert rows_of(url, "orders", "id", "channel") == [(10, "web"), (11, "web"), (12, "web")]
    with dt.Database(url) as target:
        with target.engine.connect() as connection:
            options = connection.exec_driver_sql("SELECT options FROM datatransfer_imports").scalar_one()
    said = json.loads(options) if isinstance(options, str) else options
    assert said["mapping"] == {"drop": {"orders": ["note"]}, "default": {"orders": {"channel": "web"}}}


def test_an_import_that_is_resumed_uses_the_mapping_it_began_with(
    dialect: str, databases: Databases, package: dt.DataPackage
) -> None:
    url = databases.create(dialect)
    make(url, drifted(orders__note=None, orders__channel=[sa.String(9), "not null"]))
    mapping = dt.Mapping(drop={"orders": ["note"]}, default={"orders": {"channel": "web"}})
    with dt.Database(url) as target:
        plan = dt.PackageImporter(package, target).plan(mapping=mapping)
        plan.discard(errors.DatabaseError("the connection was lost"))
        assert len(dt.stages(target)) == 1
    with dt.Database(url) as target:
        assert dt.PackageImporter(package, target).resume().total("insert") == 6
    assert rows_of(url, "orders", "id", "channel") == [(10, "web"), (11, "web"), (12, "web")]


def test_a_file_that_cannot_be_written_is_one_error(tmp_path: Path, databases: Databases) -> None:
    there = tmp_path / "absent" / "file.json"
    with pytest.raises(errors.UsageError, match="cannot be written") as caught:
        dt.Mapping(drop={"users": ["age"]}).save(there)
    assert caught.value.where == str(there)
    package = base_package(databases, "sqlite", tmp_path)
    url = databases.create("sqlite")
    make(url, BASE)
    with dt.Database(url) as target, dt.PackageImporter(package, target).plan() as plan:
        with pytest.raises(errors.UsageError, match="cannot be written"):
            plan.save(there)
        assert plan.save(tmp_path / "kept.json").exists()
    with dt.Database(url) as target:
        with pytest.raises(errors.UsageError, match="no such folder"):
            dt.PackageImporter(package, target).run(backup=there)
        assert target.count("users") == 0


def test_a_kind_that_a_column_of_sqlite_does_not_take_is_a_finding(tmp_path: Path, databases: Databases) -> None:
    source, url = databases.create("sqlite"), databases.create("sqlite")
    make(source, {"notes": {"id": [sa.Integer(), "pk"], "text": [sa.Text()]}}, {"notes": [{"id": 1, "text": "12"}]})
    make(url, {"notes": {"id": [sa.Integer(), "pk"], "text": [sa.String(5)]}})
    with dt.Database(url) as target:
        importer = dt.PackageImporter(export_all(source, tmp_path / "notes.zip"), target)
        report = importer.check(cast={"notes": {"text": "integer"}})
        assert [(item.code, item.where) for item in report] == [("cast", "notes.text")]
        with pytest.raises(errors.UsageError, match="match_on of notes: a column is needed"):
            importer.plan(match_on={"notes": []})


def test_a_table_without_rows_in_the_package_has_an_empty_plan(tmp_path: Path, databases: Databases) -> None:
    source, url = databases.create("sqlite"), databases.create("sqlite")
    for place in (source, url):
        make(place, BASE)
    make(source, {"more": {"id": [sa.Integer(), "pk"]}}, {"more": [{"id": 1}]})
    make(url, {"more": {"id": [sa.Integer(), "pk"]}})
    package = export_all(source, tmp_path / "p.zip")
    with dt.Database(url) as target, dt.PackageImporter(package, target).plan() as plan:
        assert len(plan.to_frame("more")) == 1
        assert plan.to_frame("users").empty
        assert plan.diff("users").empty
        with pytest.raises(errors.UnknownTableError):
            plan.to_frame("nobody")
