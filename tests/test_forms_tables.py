"""The tables of an export form: how many rows each has, how some of many are found, and the rules that hold there."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.notebook import export_form
from datatransfer.notebook.export_wizard import ExportWizard
from tests.support.forms import is_shown, shop
from tests.support.servers import Databases
from tests.support.sql import run

SALES = (
    "CREATE TABLE customers (id INTEGER PRIMARY KEY)",
    "CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers (id))",
    """CREATE TABLE items (id INTEGER PRIMARY KEY, order_id INTEGER REFERENCES orders (id),
    product_id INTEGER REFERENCES products (id))""",
    "CREATE TABLE products (id INTEGER PRIMARY KEY)",
    "INSERT INTO customers VALUES (1), (2)",
    "INSERT INTO orders VALUES (1, 1), (2, 1), (3, 2)",
    "INSERT INTO products VALUES (1), (2)",
    "INSERT INTO items VALUES (1, 1, 1), (2, 3, 2)",
)


def labels(form: dt.ExportForm) -> list[str]:
    return [label for label, _table in form.tables.options]


def large(databases: Databases, tables: int = 500) -> str:
    url = databases.create("sqlite")
    run(url, *(f"CREATE TABLE module_{n % 10}_part_{n:03} (id INTEGER PRIMARY KEY)" for n in range(tables)))
    return url


def test_the_rows_of_all_tables_are_shown_and_asked_for_once(
    databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    counted = export_form.quick_counts
    monkeypatch.setattr(export_form, "quick_counts", lambda db: (asked.append(db.url_shown), counted(db))[1])
    with dt.Database(shop(databases)) as db:
        form = dt.ExportForm(db)
        assert form.where_table.options == (("no table: all rows are taken", ""),)
        form.tables.value = ("users",)
        form.later.wait()
        assert labels(form) == ["orders: 3 rows", "users: 3 rows"]
        assert form.where_table.value == "users"
        assert form.tables.value == ("users",)
        assert 'all rows</td><td class="dt-n">3<' in form.count.value
        form.where.value = "id = 1"
        form.tables.value = ("orders", "users")
        form.later.wait()
        assert 'all rows</td><td class="dt-n">3<' in form.count.value
        assert 'id = 1</td><td class="dt-n">1<' in form.count.value
        assert asked == [db.url_shown]


def test_some_of_many_tables_are_found_and_what_was_chosen_stays_so(databases: Databases) -> None:
    with dt.Database(large(databases)) as db:
        form = dt.ExportForm(db)
        form.later.wait()
        assert is_shown(form.choice.find)
        form.tables.value = ("module_0_part_000",)
        form.choice.find.value = "PART_12 module_3"
        assert labels(form) == ["module_3_part_123: 0 rows"]
        assert "1 of 500 tables; chosen as well: module_0_part_000" in form.choice.told.value
        form.tables.value = ("module_3_part_123",)
        assert list(form.wizard.roots) == ["module_0_part_000", "module_3_part_123"]
        form.tables.value = ()
        assert list(form.wizard.roots) == ["module_0_part_000"]
        form.choice.find.value = "nothing like it"
        assert labels(form) == []
        form.choice.find.value = ""
        assert form.tables.value == ("module_0_part_000",)
        assert form.choice.told.value == ""
        form.choice.find.value = "part_1"
        form.choice.choose_all()
        assert len(form.wizard.roots) == 500
        assert "builder.add_all()" in form.wizard.code()
        form.later.wait()


def test_few_tables_need_no_line_to_find_them(databases: Databases) -> None:
    with dt.Database(shop(databases)) as db:
        form = dt.ExportForm(db)
        form.later.wait()
        assert not is_shown(form.choice.find)


def chosen(db: dt.Database, table: str, where: str = "") -> ExportWizard:
    wizard = ExportWizard(db)
    wizard.choose(table, where)
    return wizard


def listed(wizard: ExportWizard) -> set[tuple[str, str]]:
    wizard.selection = wizard.builder().preview()
    return {(edge.label, edge.direction) for edge in wizard.edges}


def test_what_was_reached_upward_is_not_left_downward_so_no_rule_is_offered_there(databases: Databases) -> None:
    url = databases.create("sqlite")
    run(url, *SALES)
    with dt.Database(url) as db:
        assert listed(chosen(db, "orders", "id = 1")) == {("items.order_id", "down"), ("items.product_id", "up")}


def test_no_rule_is_offered_where_none_is_allowed_and_the_form_says_why(databases: Databases) -> None:
    url = databases.create("sqlite")
    run(url, *SALES)
    with dt.Database(url) as db:
        wizard = chosen(db, "orders", "id = 1")
        assert ("orders.customer_id", "up") not in listed(wizard)
        assert wizard.needed == ["orders.customer_id"]
        wizard.set_rule("orders.customer_id", "up", "stop")
        assert {edge.choices for edge in wizard.edges if edge.label == "orders.customer_id"} == {("follow", "stop")}
        with pytest.raises(dt.SelectionError, match="required parents would be left out"):
            wizard.builder().preview()
        wizard.leave_out(["orders.customer_id"])  # the package does not know of the reference then
        assert list(wizard.builder().preview().counts["table"]) == ["orders", "products", "items"]
        form = dt.ExportForm(db)
        form.tables.value = ("orders",)
        form.where.value = "id = 1"
        form.next.click()
        form.wait()
        assert len(form.edges.children) == 3
        said = form.edges.children[-1].value
        assert "1 foreign key is always followed" in said
        assert "orders.customer_id" in said


def test_no_rule_is_offered_for_parents_from_which_the_rows_were_reached(databases: Databases) -> None:
    """A rule may be told to the builder there, and changes nothing."""
    url = databases.create("sqlite")
    run(url, *SALES)
    with dt.Database(url) as db:
        wizard = chosen(db, "orders", "id = 1")
        assert ("items.order_id", "up") not in listed(wizard)
        told = wizard.selection.counts  # type: ignore[union-attr]
        wizard.set_rule("items.order_id", "up", "null")
        changed = wizard.builder().preview()
        assert changed.counts.equals(told)
        assert not changed.nulled
        wizard.set_rule("items.order_id", "up", "follow")
        wizard.choose("items", "id = 2")
        assert ("items.order_id", "up") in listed(wizard)


def test_no_rule_is_offered_for_rows_that_are_all_asked_for(databases: Databases) -> None:
    url = databases.create("sqlite")
    run(url, *SALES)
    with dt.Database(url) as db:
        wizard = chosen(db, "orders", "id = 1")
        wizard.choose("items")
        assert listed(wizard) == {("items.order_id", "up"), ("items.product_id", "up")}
        wizard.choose_all()
        assert listed(wizard) == set()
        form = dt.ExportForm(db)
        form.choice.choose_all()
        form.next.click()
        form.wait()
        (told,) = form.edges.children
        assert "no foreign key leads to rows" in told.value


def test_a_rule_that_has_no_effect_any_more_is_neither_listed_nor_in_the_code(
    databases: Databases, tmp_path: Path
) -> None:
    url = databases.create("sqlite")
    run(url, *SALES)
    with dt.Database(url) as db:
        wizard = chosen(db, "orders", "id = 1")
        wizard.path = str(tmp_path / "part.zip")
        wizard.set_rule("items.product_id", "up", "null")
        assert ("items.product_id", "up") in listed(wizard)
        assert "builder.null('items.product_id', direction='up')" in wizard.code()
        wizard.set_rule("items.order_id", "down", "stop")
        assert listed(wizard) == {("items.order_id", "down")}
        assert "items.product_id" not in wizard.code()
        assert "builder.stop('items.order_id', direction='down')" in wizard.code()
        package = wizard.start().result(30)
        assert [rule["foreign_key"] for rule in package.metadata.selection["rules"]] == ["items.order_id"]
        wizard.set_rule("items.order_id", "down", "follow")
        again = {edge.label: edge.chosen for edge in wizard.edges if edge.direction == "up"}
        assert again["items.product_id"] == "null"
        wizard.choose("customers")
        wizard.unchoose("orders")
        wizard.set_rule("orders.customer_id", "down", "stop")
        assert listed(wizard) == {("orders.customer_id", "down")}
        assert "items" not in wizard.code()
