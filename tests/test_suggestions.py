"""What errors and short texts name: what there is instead, the table and the constraint, and no value."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

import datatransfer as dt
from datatransfer.given import suggestion
from datatransfer.sample import sample_database
from datatransfer.schema.tables import Schema, Table
from tests.support.desk import empty_sample, one_user
from tests.support.servers import Databases

# --- what there is instead ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("order", "did you mean 'orders'?"),
        ("ORDERS", "did you mean 'orders'?"),
        ("table_20x", "did you mean 'table_20', 'table_21' or 'table_12'?"),
        ("zzz", f"there are orders, {', '.join(f'table_{n}' for n in range(10, 19))} and 4 more"),
    ],
)  # fmt: skip
def test_only_close_names_are_suggested_else_ten_at_most(name: str, hint: str) -> None:
    known = ["users", "orders", *(f"table_{n}" for n in range(10, 22))]
    assert suggestion(name, known) == hint
    schema = Schema({table: Table(table, ()) for table in known})
    with pytest.raises(dt.UnknownTableError) as caught:
        schema.table(name)
    assert caught.value.hint == hint


def test_an_unknown_column_gets_the_same_help(tmp_path: Path) -> None:
    source = sample_database(tmp_path / "source")
    with pytest.raises(dt.UnknownColumnError) as caught:
        source.schema.table("users").column("mail")
    assert caught.value.hint == "did you mean 'email'?"


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_a_schema_that_is_not_there_gets_those_there_are(dialect: str, databases: Databases) -> None:
    url = databases.create(dialect)
    with dt.Database(url) as db, db.engine.begin() as conn:
        conn.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
    there = {"sqlite": "main", "postgresql": "public", "mariadb": make_url(url).database}[dialect]
    with dt.Database(url, schema=there) as db:
        assert "t" in db.schema
    with (
        dt.Database(url, schema="nope") as db,
        pytest.raises(dt.UsageError, match="there is no schema 'nope'") as caught,
    ):
        _ = db.tables
    assert str(there)[:6] in caught.value.hint or " more" in caught.value.hint
    assert "information_schema" not in caught.value.hint


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
@pytest.mark.parametrize(
    "rule", ["CONSTRAINT price_is_positive CHECK (price > 0)", "CONSTRAINT price_is_positive UNIQUE (price)"]
)
def test_a_refused_merge_names_table_and_constraint_and_no_value(
    dialect: str, rule: str, databases: Databases, tmp_path: Path
) -> None:
    columns = "id INTEGER PRIMARY KEY, price INTEGER NOT NULL"
    with dt.Database(databases.create(dialect)) as source, source.engine.begin() as conn:
        conn.exec_driver_sql(f"CREATE TABLE first_of_all ({columns})")
        conn.exec_driver_sql(f"CREATE TABLE items ({columns})")
        conn.exec_driver_sql("INSERT INTO items VALUES (1, -987654), (2, -987654)")
    with dt.Database(source.engine.url) as source:
        package = dt.PackageBuilder(source).add_all().build(tmp_path / "p.zip", progress=False)
    with dt.Database(databases.create(dialect)) as target:
        with target.engine.begin() as conn:
            conn.exec_driver_sql(f"CREATE TABLE first_of_all ({columns})")
            conn.exec_driver_sql(f"CREATE TABLE items ({columns}, {rule})")
        with pytest.raises((dt.MergeError, dt.ConflictError)) as caught:
            dt.PackageImporter(package, target).run()
        assert caught.value.where == "items"
        assert "987654" not in str(caught.value)
        if isinstance(caught.value, dt.MergeError):
            assert "price_is_positive" in caught.value.message
        else:
            assert "UNIQUE" in rule  # the plan finds those
        assert target.count("items") == 0


# --- short words about long things ----------------------------------------------------------------------------------


def test_the_importer_says_what_goes_where_and_no_password(tmp_path: Path) -> None:
    package, target = one_user(sample_database(tmp_path / "source"), tmp_path), empty_sample(tmp_path)
    assert repr(dt.PackageImporter(package, target)) == (
        f"PackageImporter({str(package.path)!r} into {target.url_shown!r})"
    )
    far = dt.Database("postgresql+psycopg://ann:S3CR3T@nowhere.invalid/x")  # no connection is made for a name
    assert "S3CR3T" not in repr(dt.PackageImporter(package, far))


def test_a_schema_is_shown_by_the_names_of_its_tables(tmp_path: Path) -> None:
    source = sample_database(tmp_path / "source")
    assert repr(source.schema) == (
        "Schema(8 tables: attachments, data_sources, dataset_tags, dataset_versions, datasets, folders, tags, users)"
    )
    many = Schema({f"t{n}": Table(f"t{n}", ()) for n in range(500)})
    assert repr(many).endswith("t9 and 490 more)")
    assert len(repr(many)) < 100
    assert repr(source.schema.table("tags")) == "Table('tags': id, label)"
