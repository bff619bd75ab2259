"""Made-up differences: carried exactly, or refused with a cure that works."""

from __future__ import annotations

import datetime as dtm
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import datatransfer as dt
from datatransfer import errors
from tests.support.digest import assert_equal, exact_digest
from tests.support.drift import BASE, ROWS, Spec, base_package, make
from tests.support.servers import Databases


@pytest.fixture
def package(dialect: str, databases: Databases, tmp_path: Path) -> dt.DataPackage:
    return base_package(databases, dialect, tmp_path)


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
            for finding in report.lossy:
                cured |= finding.cure
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
