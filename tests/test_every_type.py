"""A column of every type that can be exported comes back equal, is known again, can be updated and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.everytype import TYPES, Types, changes, statements, without_icu
from tests.support.servers import Databases, knows_xml
from tests.support.sql import run
from tests.support.transfer import DIALECTS, ENCODINGS, export_all, import_into, written


def _types(dialect: str, url: str, databases: Databases) -> Types:
    if dialect == "postgresql" and not databases.has_icu():
        return without_icu(_known(dialect, url))
    return _known(dialect, url)


def _known(dialect: str, url: str) -> Types:
    without = set() if dialect != "postgresql" or knows_xml(url) else {"xml"}
    return {declared: values for declared, values in TYPES[dialect].items() if declared not in without}


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_type_comes_back_is_known_again_updated_and_taken_back(
    dialect: str, encoding: str, databases: Databases, tmp_path: Path
) -> None:
    source = databases.create(dialect)
    types = _types(dialect, source, databases)
    run(source, *statements(dialect, types))
    package = export_all(source, tmp_path / "package.zip", encoding=encoding)
    assert list(package.verify()) == []
    target = empty_copy(source, databases)
    import_into(package, target)
    assert_equal(exact_digest(source), exact_digest(target))
    assert written(import_into(package, target, on_match="update")) == 0
    run(target, *changes(types))
    changed = exact_digest(target)
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run(on_match="update")
        assert written(receipt) >= len(exact_digest(source).tables["every"].hashes) - 2
        assert_equal(exact_digest(source), exact_digest(target))
        receipt.undo()
    assert_equal(changed, exact_digest(target))


@pytest.mark.parametrize("dialect", DIALECTS)
def test_rows_without_a_key_are_known_by_values_of_every_type(
    dialect: str, databases: Databases, tmp_path: Path
) -> None:
    source = databases.create(dialect)
    types = _types(dialect, source, databases)
    run(source, *(line.replace(" PRIMARY KEY", "") for line in statements(dialect, types)))
    run(source, "INSERT INTO every SELECT * FROM every WHERE id = 1")
    package = export_all(source, tmp_path / "package.zip")
    target = empty_copy(source, databases)
    import_into(package, target)
    assert_equal(exact_digest(source), exact_digest(target))
    assert written(import_into(package, target)) == 0


@pytest.mark.parametrize("declared", ["boolean", "real", "double precision", "numeric"])
def test_keys_that_are_no_texts_are_known_by_receipts(declared: str, databases: Databases, tmp_path: Path) -> None:
    source = databases.create("postgresql")
    values = {"boolean": "(false), (true)", "numeric": "('NaN'), (1.10)"}.get(declared, "('-Infinity'), (1.1), (1e-40)")
    run(source, f"CREATE TABLE keys (k {declared} PRIMARY KEY)", f"INSERT INTO keys VALUES {values}")
    package = export_all(source, tmp_path / "package.zip")
    target = empty_copy(source, databases)
    import_into(package, target)
    again = import_into(package, target)
    assert written(again) == 0
    assert_equal(exact_digest(source), exact_digest(target))


def test_addresses_and_uuids_of_another_spelling_are_the_same_value(databases: Databases, tmp_path: Path) -> None:
    source, target = databases.create("postgresql"), databases.create("mariadb")
    run(source, "CREATE TABLE hosts (id integer PRIMARY KEY, address text, at text)",
         "INSERT INTO hosts VALUES (1, '2001:0DB8::0001', '1:02:03')")  # fmt: skip
    run(target, "CREATE TABLE hosts (id integer PRIMARY KEY, address INET6, at TIME(3))")
    package = export_all(source, tmp_path / "package.zip")
    import_into(package, target)
    assert written(import_into(package, target, on_match="update")) == 0
