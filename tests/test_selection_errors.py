"""Selections that cannot be meant: each is refused with a typed error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from tests.support.scripts import Make, made_by
from tests.support.selections import SHOP
from tests.support.servers import Databases
from tests.support.transfer import DIALECTS


@pytest.fixture
def make(databases: Databases) -> Iterator[Make]:
    with made_by(SHOP, databases) as made:
        yield made


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_condition_that_does_not_parse_is_one_typed_error(make: Make, dialect: str) -> None:
    db = make(dialect=dialect)
    for where, params in [
        ("plased >= :day", {"day": "S3CR3T-value"}),
        ("placed >>>= 1", {}),
        ("1 = 1) OR (", {}),
        ("placed >= :day", {}),
        ("placed >= '2026'", {"day": 1}),
        ("", {}),
    ]:
        with pytest.raises(dt.ConditionError) as caught:
            dt.PackageBuilder(db).add("orders", where=where, params=params).preview()
        assert caught.value.where == "orders"
        assert "S3CR3T" not in str(caught.value)
        assert caught.value.__cause__ is None
    wrong = sa.table("orders", sa.column("id"), sa.column("nope"))
    with pytest.raises(dt.UnknownColumnError):
        dt.PackageBuilder(db).add("orders", where=wrong.c.nope == 1).preview()
    other = sa.table("customers", sa.column("id"))
    with pytest.raises(dt.ConditionError, match="other tables"):
        dt.PackageBuilder(db).add("orders", where=other.c.id == 1).preview()
    assert dt.PackageBuilder(db).add("orders").preview().total > 0  # the connection is as good as before


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_condition_with_a_typing_error_is_not_answered_with_columns(make: Make, dialect: str) -> None:
    db = make(dialect=dialect)
    typing = "the condition is not complete or has a typing error; check quotes and brackets"
    for where, hint in [
        ("placed = '2026' and", typing),
        ("placed = '2026", typing),
        ("(placed = '2026'", typing),
        ("plased = '2026'", "it has the columns id, "),
        ("orderz.placed = '2026'", "it has the columns id, "),
        ("nothing_like_it(placed) = 1", "write what may follow WHERE in the database's own SQL"),
    ]:
        with pytest.raises(dt.ConditionError) as caught:
            dt.PackageBuilder(db).add("orders", where=where).preview()
        assert caught.value.hint.startswith(hint), where


@pytest.mark.parametrize(
    ("table", "keys"),
    [
        ("orders", 10),
        ("orders", "10"),
        ("orders", ["10"]),
        ("orders", [10.0]),
        ("orders", [True]),
        ("orders", [None]),
        ("orders", [2**70]),
        ("orders", [(10, 1)]),
        ("items", [10]),
        ("items", [(10,)]),
        ("items", [{"order_id": 10}]),
        ("products", [1]),
    ],
)
def test_keys_of_the_wrong_shape_or_type_are_refused(make: Make, table: str, keys: Any) -> None:
    with pytest.raises(dt.KeyValueError) as caught:
        dt.PackageBuilder(make()).add(table, keys=keys).preview()
    assert caught.value.hint or caught.value.where


def test_frames_need_the_columns_of_the_key(make: Make) -> None:
    import pandas as pd

    builder = dt.PackageBuilder(make())
    with pytest.raises(dt.KeyValueError, match="no column line"):
        builder.add("items", keys=pd.DataFrame({"order_id": [1]}))
    with pytest.raises(dt.KeyValueError, match="float"):
        builder.add("orders", keys=pd.DataFrame({"id": [1, None]}))


def test_wrong_calls_are_refused_with_a_hint(make: Make) -> None:
    builder = dt.PackageBuilder(make())
    wrong: list[tuple[type[dt.DataTransferError], Callable[[], Any]]] = [
        (dt.UnknownTableError, lambda: builder.add("order")),
        (dt.UnknownColumnError, lambda: builder.stop("items.nope")),
        (dt.UsageError, lambda: builder.stop("orders.placed")),
        (dt.UsageError, lambda: builder.add("orders", keys=[1], where="x")),
        (dt.UsageError, lambda: builder.add("orders", params={"x": 1})),
        (dt.UsageError, lambda: builder.null("items.order_id", direction="down")),
        (dt.UsageError, lambda: builder.stop("items.order_id", direction="left")),  # type: ignore[arg-type]
        (dt.KeyValueError, lambda: builder.add("orders", uuids=["x"])),
        (dt.SelectionError, builder.preview),
    ]
    for kind, call in wrong:
        with pytest.raises(kind):
            call()


def test_stopping_a_required_parent_is_an_error_at_preview(make: Make) -> None:
    builder = dt.PackageBuilder(make()).add("items", keys=[(11, 1)]).stop("items.order_id", direction="up")
    with pytest.raises(dt.SelectionError, match=r"items\.order_id \(1 row\)"):
        builder.preview()
    builder = dt.PackageBuilder(builder.db).add("customers", keys=[2]).stop("items.order_id", direction="up")
    assert builder.preview().total > 0  # here the parents are there anyway
