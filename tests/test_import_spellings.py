"""References that a server takes for their parent by collation or type are references elsewhere too."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import datatransfer as dt
from datatransfer.exporting.rows import database_digest
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases, absent
from tests.support.transfer import DIALECTS, ENCODINGS, export_all, import_into, written

BLIND = "CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
#: By name: dialect, what comes first, types of parent and child.
SOURCES = {
    "mariadb-general-ci": ("mariadb", "", "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci", None),
    "mariadb-uca1400": ("mariadb", "", "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_ai_ci", None),
    "mariadb-latin1": ("mariadb", "", "VARCHAR(20) CHARACTER SET latin1 COLLATE latin1_swedish_ci", None),
    "mariadb-char": ("mariadb", "", "CHAR(20) CHARACTER SET latin1", None),
    "mariadb-pad": ("mariadb", "", "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin", None),
    "postgresql-icu": ("postgresql", BLIND, "VARCHAR(20) COLLATE blind", None),
    "postgresql-citext": ("postgresql", "CREATE EXTENSION citext", "citext", None),
    "postgresql-char": ("postgresql", "", "CHAR(20)", "VARCHAR(20)"),
    "postgresql-char-child": ("postgresql", "", "VARCHAR(20)", "CHAR(20)"),
    "postgresql-numeric": ("postgresql", "", "NUMERIC", "NUMERIC"),
}
MEANING = "SELECT l.id, c.name FROM uses l JOIN codes c ON c.code = l.code ORDER BY l.id"


def _run(url: str, *lines: str) -> list[tuple[object, ...]]:
    engine = sa.create_engine(url, poolclass=NullPool)
    found: list[tuple[object, ...]] = []
    with engine.begin() as connection:
        for line in lines:
            result = connection.exec_driver_sql(line, execution_options={"no_parameters": True})
            found = [tuple(row) for row in result] if result.returns_rows else []
    engine.dispose()
    return found


def _schema(parent: str, child: str | None) -> list[str]:
    return [
        f"CREATE TABLE codes (code {parent} NOT NULL PRIMARY KEY, name VARCHAR(20))",
        f"CREATE TABLE uses (id INTEGER PRIMARY KEY, code {child or parent}, FOREIGN KEY (code) REFERENCES codes)",
    ]


def _source(databases: Databases, name: str) -> str:
    dialect, first, parent, child = SOURCES[name]
    url = databases.create(dialect)
    if first is BLIND and not databases.has_icu():
        absent("postgresql", "it was built without ICU")
    if "citext" in first:
        known = _run(url, "SELECT 1 FROM pg_available_extensions WHERE name = 'citext'")
        if not known:
            pytest.skip("optional: this PostgreSQL has no citext")
    if name.endswith("numeric"):
        codes, uses = "(1.0, 'a'), (2, 'b')", "(1, 1), (2, 2.00)"
    elif name.endswith(("char", "char-child")) and dialect == "postgresql":
        codes, uses = "('ABC', 'a'), ('x', 'b')", "(1, 'ABC'), (2, 'x')"
    elif name.endswith("pad"):
        codes, uses = "('ABC', 'a'), ('x  ', 'b')", "(1, 'ABC '), (2, 'x')"
    else:
        codes, uses = "('ABC', 'a'), ('É', 'b')", "(1, 'abc'), (2, 'é')"
    _run(url, *([first] if first else []), *_schema(parent, child))
    _run(url, f"INSERT INTO codes VALUES {codes}", f"INSERT INTO uses VALUES {uses}")
    return url


@pytest.mark.parametrize(("name", "encoding"), [*zip(SOURCES, ENCODINGS * 5, strict=True)])
def test_a_package_with_such_references_is_valid_and_goes_back_as_it_was(
    name: str, encoding: str, databases: Databases, tmp_path: Path
) -> None:
    source = _source(databases, name)
    package = export_all(source, tmp_path / "package.zip", encoding=encoding)
    assert list(package.verify()) == []
    assert package.metadata.requires.get("spellings") == "2.0"
    with dt.Database(source) as db:
        assert database_digest(db) == package.metadata.digest
    target = empty_copy(source, databases)
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run()
        assert_equal(exact_digest(source), exact_digest(target))
        assert database_digest(db) == package.metadata.digest
        assert written(import_into(package, target, on_match="update")) == 0
        receipt.undo()
    assert exact_digest(target).rows == {"codes": 0, "uses": 0}


@pytest.mark.parametrize("name", SOURCES)
def test_children_alone_find_the_parents_that_are_there(name: str, databases: Databases, tmp_path: Path) -> None:
    source = _source(databases, name)
    package = export_all(source, tmp_path / "package.zip")
    target = empty_copy(source, databases)
    import_into(package, target)
    _run(target, "DELETE FROM uses")
    assert written(import_into(package, target)) == 2
    assert _run(target, MEANING) == [(1, "a"), (2, "b")]
    assert written(import_into(package, target)) == 0


@pytest.mark.parametrize("there", [True, False], ids=["beside-others", "into-empty-tables"])
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ["mariadb-general-ci", "mariadb-pad", "postgresql-icu", "postgresql-char",
                                  "postgresql-numeric"])  # fmt: skip
def test_another_database_gets_references_that_hold_there(
    name: str, dialect: str, there: bool, databases: Databases, tmp_path: Path
) -> None:
    source = _source(databases, name)
    package = export_all(source, tmp_path / "package.zip")
    target = databases.create(dialect)
    kind = "NUMERIC(10,3)" if name.endswith("numeric") else "VARCHAR(20)"
    _run(target, *_schema(kind, None))
    if there:
        _run(target, f"INSERT INTO codes VALUES ({'9' if 'NUM' in kind else chr(39) + 'other' + chr(39)}, 'o')")
    with dt.Database(target) as db:
        receipt = dt.PackageImporter(package, db).run()
        assert _run(target, MEANING) == [(1, "a"), (2, "b")]
        assert written(import_into(package, target, on_match="update")) == 0
        receipt.undo()
    assert exact_digest(target).rows == {"codes": int(there), "uses": 0}


def test_a_part_of_a_database_takes_the_parents_along(databases: Databases, tmp_path: Path) -> None:
    source = _source(databases, "mariadb-general-ci")
    with dt.Database(source) as db:
        package = dt.PackageBuilder(db).add("uses", where="id = 1").build(tmp_path / "part.zip", progress=False)
    assert list(package.verify()) == []
    assert dict(zip(package.tables["table"], package.tables["rows"], strict=True)) == {"codes": 1, "uses": 1}
    assert package.schema.table("uses").foreign_keys[0].spellings == (("code", "abc", "ABC"),)
    with pytest.raises(dt.PackageError, match="spellings"):
        _damaged(package)


def _damaged(package: dt.DataPackage) -> None:
    from datatransfer.package.fields import Fields
    from datatransfer.package.tablejson import _foreign_key

    data = {"name": "", "columns": ["code"], "parent": "codes", "parentColumns": ["code"], "declared": True,
            "enforced": True, "spellings": {"other": {"a": "b"}}}  # fmt: skip
    _foreign_key(Fields(data, str(package.path)), "uses")
