"""A base, and targets that differ from it by tables and columns: for tests of what an import makes of that."""

from __future__ import annotations

import datetime as dtm
from copy import deepcopy
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer import errors
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.transfer import export_all

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
    """Return columns of a table, in the order of its ids."""
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
    """Return the base with ``customers`` for ``users``."""
    spec = deepcopy(BASE)
    spec["orders"]["user_id"] = [sa.Integer(), sa.ForeignKey("customers.id"), "not null"]
    return {"customers": spec.pop("users"), **spec}


def base_package(databases: Databases, dialect: str, folder: Path) -> dt.DataPackage:
    """Return a package of the base, exported from a database of a dialect."""
    url = databases.create(dialect)
    make(url, BASE, ROWS)
    return export_all(url, folder / "shop.zip")


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
