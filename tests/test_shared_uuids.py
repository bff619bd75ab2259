"""Two rows with one UUID: told by preview and verification, refused by an import, taken by one that copies."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from datatransfer.errors import ConflictError
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.transfer import import_into

ONE, OTHER = "00112233-4455-6677-8899-aabbccddeeff", "10112233-4455-6677-8899-aabbccddeeff"
TYPES = {"sqlite": "TEXT", "postgresql": "uuid", "mariadb": "CHAR(36)"}


def _table(dialect: str, rule: str = "") -> str:
    kind = TYPES[dialect]
    return (
        f"CREATE TABLE notes (id INTEGER PRIMARY KEY, entity_uuid {kind} {rule}, imported_from_uuid {kind}, n INTEGER)"
    )


def _source(databases: Databases, dialect: str, *uuids: str | None) -> str:
    url = databases.create(dialect)
    values = [f"({i}, {'NULL' if uuid is None else repr(uuid)}, NULL, {i})" for i, uuid in enumerate(uuids, 1)]
    run(url, _table(dialect), f"INSERT INTO notes VALUES {', '.join(values)}")
    return url


@pytest.mark.parametrize("rule", ["", "UNIQUE"])
@pytest.mark.parametrize("encoding", ["documents", "columns"])
def test_rows_that_share_a_uuid_are_told_before_the_export_and_refused_before_the_import(
    dialect: str, rule: str, encoding: str, databases: Databases, tmp_path: Path
) -> None:
    url = databases.create(dialect)
    run(url, _table(dialect, rule))
    before = exact_digest(url)
    with dt.Database(_source(databases, dialect, ONE, OTHER, ONE, OTHER, None, None, OTHER)) as db:
        builder = dt.PackageBuilder(db).add_all()
        told = [warning for warning in builder.preview().warnings if warning.code == "uuid_shared"]
        assert [(warning.where, warning.message[:32]) for warning in told] == [
            ("notes.entity_uuid", "5 rows share their UUID with ano")
        ]
        package = builder.build(tmp_path / "p.zip", encoding=encoding, progress=False)  # type: ignore[arg-type]
    report = package.verify()
    assert report.ok
    assert [str(finding) for finding in report] == [
        "warning duplicate-uuid: notes.entity_uuid: 5 rows have the UUID of another row"
    ]
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        for way in (importer.run, importer.plan):
            with pytest.raises(ConflictError, match=rf"^notes\.entity_uuid: 5 rows .*: {ONE}, {OTHER} \(") as caught:
                way()
            assert caught.value.evidence == {"table": "notes", "uuids": [ONE, OTHER]}
        assert len(dt.stages(target)) == len(dt.receipts(target)) == 0
        assert_equal(before, exact_digest(url))
        importer.run(identity="copy")
    rows = asked(url, "SELECT id, n, entity_uuid FROM notes ORDER BY n")
    assert [n for _, n, _ in rows] == list(range(1, 8))
    assert len({uuid for _, _, uuid in rows}) == 7


def test_a_uuid_of_two_spellings_is_one(databases: Databases, tmp_path: Path) -> None:
    with dt.Database(_source(databases, "sqlite", ONE, ONE.upper().replace("-", ""))) as db:
        package = dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", progress=False)
    assert [finding.code for finding in package.verify()] == ["duplicate-uuid"]
    url = databases.create("sqlite")
    run(url, _table("sqlite"))
    with dt.Database(url) as target, pytest.raises(ConflictError, match=ONE):
        dt.PackageImporter(package, target).run()


def test_rows_of_uuids_of_their_own_say_nothing(dialect: str, databases: Databases, tmp_path: Path) -> None:
    with dt.Database(_source(databases, dialect, ONE, OTHER, None)) as db:
        builder = dt.PackageBuilder(db).add_all()
        assert [warning.code for warning in builder.preview().warnings] == []
        package = builder.build(tmp_path / "p.zip", progress=False)
    assert list(package.verify()) == []
    url = databases.create(dialect)
    run(url, _table(dialect))
    assert import_into(package, url).total("insert") == 3
