"""The largest packages of documents that the format allows."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

import datatransfer as dt
from datatransfer.package.archive import MAX_ENTRIES
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.transfer import export_all, import_into

pytestmark = pytest.mark.campaign
MOST_ROWS = MAX_ENTRIES - 2  # beside metadata.json and manifest.json
CREATE = "CREATE TABLE t (id INTEGER PRIMARY KEY, up INTEGER REFERENCES t(id), v TEXT)"
FILL = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO t SELECT i, nullif(i / 2, 0), 'row ' || i FROM n
"""


def _database(databases: Databases, rows: int) -> str:
    url = databases.create("sqlite")
    with closing(sqlite3.connect(str(make_url(url).database))) as connection, connection:
        connection.execute(CREATE)
        connection.execute(FILL, (rows,))
    return url


def test_as_many_documents_as_are_allowed_come_through_whole(databases: Databases, tmp_path: Path) -> None:
    source = _database(databases, MOST_ROWS)
    target = empty_copy(source, databases)
    package = export_all(source, tmp_path / "package.zip", encoding="documents")
    assert package.verify().ok
    import_into(package, target)
    assert_equal(exact_digest(source), exact_digest(target))


def test_one_document_more_is_refused_and_leaves_nothing(databases: Databases, tmp_path: Path) -> None:
    source = _database(databases, MOST_ROWS + 1)
    (tmp_path / "here").mkdir()
    with pytest.raises(dt.PackageError, match="200000 are allowed") as caught:
        export_all(source, tmp_path / "here" / "package.zip", encoding="documents")
    assert 'encoding="columns"' in caught.value.hint
    assert list((tmp_path / "here").iterdir()) == []
