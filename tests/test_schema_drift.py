"""Package and target that differ: every difference is found before anything is staged, and every printed cure works."""

from __future__ import annotations

import datetime as dtm
import json
import shlex
from collections.abc import Callable
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import datatransfer as dt
from datatransfer import errors
from datatransfer.cli import main
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS, export_all

Spec = dict[str, dict[str, list[Any]]]

BASE: Spec = {
    "users": {
        "id": [sa.Integer(), "pk"],
        "email": [sa.String(50), "not null"],
        "age": [sa.Integer()],
    },
    "orders": {
        "id": [sa.Integer(), "pk"],
        "user_id": [sa.Integer(), sa.ForeignKey("users.id"), "not null"],
        "total": [sa.Numeric(10, 2)],
        "weight": [sa.Double()],
        "placed": [sa.DateTime()],
        "note": [sa.String(50)],
    },
    "audit": {
        "id": [sa.Integer(), "pk"],
        "order_id": [sa.Integer(), sa.ForeignKey("orders.id"), "not null"],
        "what": [sa.String(50)],
    },
}
NOON = dtm.datetime(2026, 1, 2, 12, 30, 15)
ROWS: dict[str, list[dict[str, Any]]] = {
    "users": [
        {"id": 1, "email": "ann@example.org", "age": 30},
        {"id": 2, "email": "bob@example.org", "age": None},
    ],
    "orders": [
        {"id": 10, "user_id": 1, "total": Decimal("1.55"), "weight": 2.5, "placed": NOON, "note": "same"},
        {"id": 11, "user_id": 2, "total": Decimal("20.00"), "weight": None, "placed": NOON, "note": "same"},
        {"id": 12, "user_id": 2, "total": None, "weight": 7.0, "placed": None, "note": "a longer note"},
    ],
    "audit": [{"id": 100, "order_id": 10, "what": "x"}],
}


def make(url: str, spec: Spec, rows: dict[str, list[dict[str, Any]]] | None = None) -> None:
    """Make the tables of a spec, and put rows into them."""
    metadata = sa.MetaData()
    for name, columns in spec.items():
        made = []
        for column, (kind, *rest) in columns.items():
            default = next((item for item in rest if isinstance(item, sa.TextClause)), None)
            rules = [deepcopy(item) for item in rest if isinstance(item, sa.ForeignKey | sa.Computed)]
            required = "not null" in rest or "pk" in rest
            made.append(
                sa.Column(
                    column, kind, *rules, primary_key="pk" in rest, autoincrement=False, nullable=not required,
                    unique="unique" in rest or None, server_default=default,
                )
            )  # fmt: skip
        sa.Table(name, metadata, *made)
    engine = sa.create_engine(url)
    metadata.create_all(engine)
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            if rows and rows.get(table.name):
                connection.execute(table.insert(), rows[table.name])
    engine.dispose()


def rows_of(url: str, table: str, *columns: str) -> list[tuple[Any, ...]]:
    engine = sa.create_engine(url)
    names = [sa.column(name) for name in columns]
    with engine.connect() as connection:
        found = connection.execute(sa.select(*names).select_from(sa.table(table)).order_by(sa.column("id"))).all()
    engine.dispose()
    return [tuple(row) for row in found]


def drifted(**changes: Any) -> Spec:
    """Return the base with columns put (a list), or taken away (None): ``orders__note=None``."""
    spec = deepcopy(BASE)
    for path, value in changes.items():
        table, _, column = path.partition("__")
        if value is None:
            del spec[table][column]
        else:
            spec[table][column] = value
    return spec


def renamed_table() -> Spec:
    spec = deepcopy(BASE)
    spec["orders"]["user_id"] = [sa.Integer(), sa.ForeignKey("customers.id"), "not null"]
    return {"customers": spec.pop("users"), **spec}


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
        "required-column", "users.e_mail", (),
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


@pytest.fixture(params=DIALECTS)
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def package(dialect: str, databases: Databases, tmp_path: Path) -> dt.DataPackage:
    url = databases.create(dialect)
    make(url, BASE, ROWS)
    return export_all(url, tmp_path / "shop.zip")


def refused(package: dt.DataPackage, url: str, **mapping: Any) -> errors.DataTransferError:
    """Return the error of an import that must be refused and leave nothing behind."""
    before = exact_digest(url)
    with dt.Database(url) as target:
        with pytest.raises(errors.DataTransferError) as caught:
            dt.PackageImporter(package, target).run(**mapping)
        assert len(dt.stages(target)) == 0
        assert len(dt.receipts(target)) == 0
    assert_equal(before, exact_digest(url))
    for row in ROWS["users"]:
        assert row["email"] not in str(caught.value)
    return caught.value


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
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        importer.check().mapping.save(tmp_path / "shop.json")
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


# --- casts ----------------------------------------------------------------------------------------------------------

CASTS: dict[str, tuple[Any, list[Any], Any, str, list[Any], int]] = {
    "floats to integers": (
        sa.Double(), [0.5, 1.5, -2.5, 3.0, None], sa.BigInteger(), "integer", [1, 2, -3, 3, None], 3
    ),
    "decimals to fewer digits": (
        sa.Numeric(20, 4), [Decimal("1.0050"), Decimal("-1.0051"), Decimal("9007199254740993.1000"), None],
        sa.Numeric(20, 2), "decimal", [Decimal("1.01"), Decimal("-1.01"), Decimal("9007199254740993.10"), None], 2,
    ),
    "decimals to integers": (
        sa.Numeric(20, 2), [Decimal("9007199254740993.50"), Decimal("-0.49"), Decimal("7.00")],
        sa.BigInteger(), "integer", [9007199254740994, 0, 7], 2,
    ),
    "texts cut": (sa.String(50), ["äöüß-long", "kurz", "", None], sa.String(4), "text", ["äöüß", "kurz", "", None], 1),
    "moments to days": (
        sa.DateTime(), [NOON, dtm.datetime(1960, 5, 5), None],
        sa.Date(), "date", [NOON.date(), dtm.date(1960, 5, 5), None], 1,
    ),
    "texts to integers": (sa.String(20), ["7", " 8 ", "9.5", None], sa.Integer(), "integer", [7, 8, 10, None], 1),
    "numbers to truth": (sa.Integer(), [0, 1, 7, None], sa.Boolean(), "boolean", [False, True, True, None], 1),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "target_dialect"),
    # MariaDB has no truth values
    [(name, db) for name in CASTS for db in ("postgresql", "mariadb") if (name, db) != ("numbers to truth", "mariadb")],
)
def test_a_cast_changes_what_it_must_and_counts_it(
    name: str, target_dialect: str, databases: Databases, tmp_path: Path
) -> None:
    source_type, values, target_type, kind, wanted, changed = CASTS[name]
    source, url = databases.create("postgresql"), databases.create(target_dialect)
    rows = [{"id": i, "v": v} for i, v in enumerate(values)]
    make(source, {"t": {"id": [sa.Integer(), "pk"], "v": [source_type]}}, {"t": rows})
    make(url, {"t": {"id": [sa.Integer(), "pk"], "v": [target_type]}})
    package = export_all(source, tmp_path / "t.zip")
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        with pytest.raises(errors.DataTransferError):
            importer.run()
        receipt = importer.run(cast={"t": {"v": kind}})
        full = sum(v is not None for v in values)
        assert f"t.v: {changed} of {full} values changed by the cast to {kind}" in receipt.warnings
        stored = list(dt.receipt(target, receipt.import_id).warnings)
        assert stored == list(receipt.warnings)
        assert importer.run(cast={"t": {"v": kind}}).total("reuse") == len(values)
    assert [v for (v,) in rows_of(url, "t", "v")] == wanted


@pytest.mark.parametrize(
    ("source_type", "value", "target_type", "kind"),
    [
        (sa.String(20), "no number", sa.Integer(), "integer"),
        (sa.Double(), 1e12, sa.Integer(), "integer"),
        (sa.Double(), float("nan"), sa.Integer(), "integer"),
        (sa.Numeric(12, 2), Decimal("1234567.00"), sa.Numeric(6, 2), "decimal"),
        (sa.String(20), "some day", sa.Date(), "date"),
        (sa.BigInteger(), 70_000, sa.SmallInteger(), "integer"),
    ],
)
def test_what_cannot_become_the_other_kind_is_refused_and_may_be_left_out(
    source_type: Any, value: Any, target_type: Any, kind: str, databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create("postgresql"), databases.create("postgresql")
    make(source, {"t": {"id": [sa.Integer(), "pk"], "v": [source_type]}}, {"t": [{"id": 1, "v": value}]})
    make(url, {"t": {"id": [sa.Integer(), "pk"], "v": [target_type]}})
    package = export_all(source, tmp_path / "t.zip")
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        with pytest.raises(errors.ValueLossError, match="drop") as caught:
            importer.run(cast={"t": {"v": kind}})
        assert str(value) not in str(caught.value)
        cure = eval(f"dict({caught.value.evidence['findings'][0]['cure']})")
        assert importer.run(**cure).total("insert") == 1


# --- what follows a rename ------------------------------------------------------------------------------------------


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
        receipt = importer.run(mapping=mapping, match_on={"users": "email"})
        ids = receipt.id_map("customers").set_index("source.id")["target.number"].to_dict()
        assert ids[2] == 1
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


# --- mappings -------------------------------------------------------------------------------------------------------


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


# --- revisions ------------------------------------------------------------------------------------------------------


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    folder = tmp_path / "migrations"
    (folder / "versions").mkdir(parents=True)
    for revision, down in (("aaa1", None), ("bbb2", "aaa1"), ("ccc3", "bbb2"), ("ddd4", "aaa1")):
        (folder / "versions" / f"{revision}.py").write_text(f"revision = {revision!r}\ndown_revision = {down!r}\n")
    return folder


def _stamp(url: str, revision: str) -> None:
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        connection.execute(sa.text("INSERT INTO alembic_version VALUES (:r)"), {"r": revision})
    engine.dispose()


@pytest.mark.parametrize(
    ("theirs", "scripts", "said"),
    [
        ("bbb2", False, None),
        ("aaa1", False, "which is newer, the application's migrations know"),
        ("aaa1", True, "run 'alembic upgrade bbb2' on the target"),
        ("ccc3", True, "run 'alembic upgrade ccc3' on the source and export again"),
        ("ddd4", True, "they are of different branches"),
        ("eee5", True, "the migrations do not know 'eee5'"),
    ],
)
def test_revisions_that_differ_are_both_named(
    dialect: str, databases: Databases, tmp_path: Path, migrations: Path, theirs: str, scripts: bool, said: str | None
) -> None:
    source, url = databases.create(dialect), databases.create(dialect)
    make(source, BASE, ROWS)
    make(url, drifted(orders__note=None))
    _stamp(source, "bbb2")
    _stamp(url, theirs)
    package = export_all(source, tmp_path / "shop.zip")
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target, migrations=migrations if scripts else None)
        found = [item for item in importer.check() if item.code == "revision"]
        with pytest.raises(errors.SchemaMismatchError) as caught:
            importer.run()
        receipt = importer.run(drop={"orders": ["note"]})
    if said is None:
        assert found == []
        assert not receipt.warnings
        return
    for text in (str(found[0]), str(caught.value), " ".join(receipt.warnings)):
        assert "'bbb2'" in text
        assert repr(theirs) in text
        assert said in text


def test_a_folder_without_migrations_is_refused(databases: Databases, tmp_path: Path) -> None:
    source, url = databases.create("sqlite"), databases.create("sqlite")
    make(source, BASE, ROWS)
    make(url, BASE)
    _stamp(source, "bbb2")
    _stamp(url, "aaa1")
    package = export_all(source, tmp_path / "shop.zip")
    with dt.Database(url) as target, pytest.raises(errors.UsageError, match="no folder of Alembic migrations"):
        dt.PackageImporter(package, target, migrations=tmp_path / "nowhere").check()


# --- made-up differences --------------------------------------------------------------------------------------------

TYPES = (
    sa.Integer(), sa.BigInteger(), sa.SmallInteger(), sa.String(50), sa.String(4), sa.Text(), sa.Numeric(10, 2),
    sa.Numeric(4, 1), sa.Double(), sa.DateTime(), sa.Date(), sa.Boolean(),
)  # fmt: skip
FREE = [("users", "age"), ("orders", "total"), ("orders", "weight"), ("orders", "placed"), ("orders", "note"),
        ("audit", "what"), ("users", "email")]  # fmt: skip
STEPS = st.one_of(
    st.tuples(st.just("drop"), st.sampled_from(FREE)),
    st.tuples(st.just("rename"), st.sampled_from([*FREE, ("orders", "user_id"), ("audit", "id")]),
              st.sampled_from(["{}_at", "new_{}", "{}s", "zzz"])),
    st.tuples(st.just("retype"), st.sampled_from(FREE), st.sampled_from(TYPES)),
    st.tuples(st.just("require"), st.sampled_from(FREE)),
    st.tuples(st.just("unique"), st.sampled_from(FREE[1:])),
    st.tuples(st.just("add"), st.sampled_from(["users", "orders", "audit"]), st.sampled_from(TYPES), st.booleans()),
    st.tuples(st.just("drop table"), st.just("audit")),
    st.tuples(st.just("rename table"), st.sampled_from(["users", "orders", "audit"])),
)  # fmt: skip


def changed_by(steps: list[tuple[Any, ...]]) -> Spec:
    """Return the base after steps; those that find nothing to do are left out."""
    spec = deepcopy(BASE)
    for step in steps:
        what, where = step[0], step[1]
        if what == "drop table":
            spec.pop(where, None)
        elif what == "rename table" and where in spec:
            spec = {(f"new_{where}" if name == where else name): columns for name, columns in spec.items()}
            for columns in spec.values():
                for column in columns.values():
                    column[:] = [
                        sa.ForeignKey(f"new_{where}.{i.target_fullname.split('.')[1]}")
                        if isinstance(i, sa.ForeignKey) and i.target_fullname.startswith(f"{where}.") else i
                        for i in column
                    ]  # fmt: skip
        elif what == "add" and where in spec:
            spec[where]["added"] = [step[2], *(["not null"] if step[3] else [])]
        elif isinstance(where, tuple) and where[0] in spec and where[1] in spec[where[0]]:
            table, column = where
            if what == "drop":
                del spec[table][column]
            elif what == "rename":
                spec[table][step[2].format(column)] = spec[table].pop(column)
            elif what == "retype":
                spec[table][column][0] = step[2]
            else:
                spec[table][column].append({"require": "not null", "unique": "unique"}[what])
    return spec


def _compared(value: Any) -> Any:
    """Return a value as it is the same in every type that holds it exactly."""
    if value is None or (isinstance(value, dtm.date) and not isinstance(value, dtm.datetime)):
        return value and f"{value} 00:00:00"
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)[:19]


def check_values(source: str, url: str, mapping: dt.Mapping, target: dt.Database) -> None:
    """Compare every column that travels unchanged."""
    for table, columns in BASE.items():
        there = mapping.table_of(table, target.schema)
        if table in mapping.drop_tables or there is None:
            continue
        key = mapping.column_of(table, "id", target.schema.table(there))
        for column in columns:
            skipped = column in mapping.drop.get(table, ()) or column in mapping.cast.get(table, {})
            name = mapping.column_of(table, column, target.schema.table(there))
            if skipped or name is None:
                continue
            before = dict(_pairs(source, table, "id", column))
            after = dict(_pairs(url, there, str(key), name))
            assert before.keys() == after.keys()
            filled = mapping.defaults_of(table, target.schema.table(there)).get(name)
            for i, value in before.items():
                if value is None and filled is not None:
                    assert after[i] is not None
                else:
                    assert after[i] == value, (table, column)


def _pairs(url: str, table: str, *columns: str) -> list[tuple[Any, Any]]:
    engine = sa.create_engine(url)
    names = [sa.column(name) for name in columns]
    with engine.connect() as connection:
        found = connection.execute(sa.select(*names).select_from(sa.table(table))).all()
    engine.dispose()
    return [(i, _compared(value)) for i, value in found]


@pytest.fixture
def fresh(dialect: str, databases: Databases) -> Callable[[], str]:
    """Return a function that gives an empty database; on a server always the same one."""
    kept: list[str] = []

    def empty() -> str:
        if dialect == "sqlite" or not kept:
            kept.append(databases.create(dialect))
            return kept[-1]
        engine = sa.create_engine(kept[0])
        metadata = sa.MetaData()
        metadata.reflect(engine)
        metadata.drop_all(engine)
        engine.dispose()
        return kept[0]

    return empty


MADE_UP = {
    "deadline": None, "derandomize": True, "suppress_health_check": [HealthCheck.function_scoped_fixture],
}  # fmt: skip


@pytest.mark.parametrize("dialect", ["sqlite"])
@settings(max_examples=60, **MADE_UP)
@given(steps=st.lists(STEPS, min_size=1, max_size=4))
def test_whatever_differs_is_either_carried_exactly_or_refused_with_a_cure_that_works(
    steps: list[tuple[Any, ...]], databases: Databases, package: dt.DataPackage, fresh: Callable[[], str], dialect: str
) -> None:
    carried_or_refused(steps, databases, package, fresh, dialect)


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
@settings(max_examples=10, **MADE_UP)
@given(steps=st.lists(STEPS, min_size=2, max_size=6))
def test_whatever_differs_on_a_server_is_either_carried_exactly_or_refused_with_a_cure_that_works(
    steps: list[tuple[Any, ...]], databases: Databases, package: dt.DataPackage, fresh: Callable[[], str], dialect: str
) -> None:
    carried_or_refused(steps, databases, package, fresh, dialect)


def carried_or_refused(
    steps: list[tuple[Any, ...]], databases: Databases, package: dt.DataPackage, fresh: Callable[[], str], dialect: str
) -> None:
    """Import into a base that was changed by steps, with the cures that are offered, until it works or none is."""
    url = fresh()
    make(url, changed_by(steps))
    before = exact_digest(url)
    source = _source_of(package, dialect, databases)
    mapping = dt.Mapping()
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        for _ in range(6):
            report = importer.check(mapping=mapping)
            if report.ok:
                importer.run(mapping=mapping)
                check_values(source, url, mapping, target)
                return
            with pytest.raises((errors.SchemaMismatchError, errors.ValueLossError, errors.ConflictError)):
                importer.run(mapping=mapping)
            assert_equal(before, exact_digest(url))
            cured = mapping | report.mapping
            if cured == mapping:  # only the target or the package can be changed
                assert all(not item.cure for item in report.errors), report
                return
            mapping = cured
        raise AssertionError(f"the cures do not end: {mapping.code}")


_SOURCES: dict[str, str] = {}


def _source_of(package: dt.DataPackage, dialect: str, databases: Databases) -> str:
    """Return a database with the rows of the package."""
    key = str(package.path)
    if key not in _SOURCES:
        _SOURCES[key] = databases.create(dialect)
        make(_SOURCES[key], BASE, ROWS)
    return _SOURCES[key]
