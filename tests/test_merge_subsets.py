"""Merging a part of a database: it is what hand-written SQL gives, and joins the parents that are there."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from sqlalchemy.engine import make_url

import datatransfer as dt
from tests.support.digest import assert_equal, exact_digest
from tests.support.loaders import Library
from tests.support.servers import Databases
from tests.support.transfer import import_into, written

_TRACKS = "(SELECT l.TrackId FROM InvoiceLine l JOIN Invoice i USING (InvoiceId) WHERE i.CustomerId = 17)"
ONE_CUSTOMER = {
    "Customer": "SELECT * FROM Customer WHERE CustomerId = 17",
    "Invoice": "SELECT * FROM Invoice WHERE CustomerId = 17",
    "InvoiceLine": "SELECT l.* FROM InvoiceLine l JOIN Invoice i USING (InvoiceId) WHERE i.CustomerId = 17",
    "Employee": """
        WITH RECURSIVE bosses(id) AS (
            SELECT SupportRepId FROM Customer WHERE CustomerId = 17
            UNION SELECT e.ReportsTo FROM Employee e JOIN bosses b ON e.EmployeeId = b.id WHERE e.ReportsTo IS NOT NULL)
        SELECT * FROM Employee WHERE EmployeeId IN (SELECT id FROM bosses)""",
    "Track": "SELECT * FROM Track WHERE TrackId IN (SELECT l.TrackId FROM InvoiceLine l JOIN Invoice i "
    "USING (InvoiceId) WHERE i.CustomerId = 17)",
    **{
        table: f"SELECT * FROM {table} WHERE {key} IN (SELECT {key} FROM Track WHERE TrackId IN {_TRACKS})"
        for table, key in (("Album", "AlbumId"), ("Genre", "GenreId"), ("MediaType", "MediaTypeId"))
    },
    "Artist": "SELECT * FROM Artist WHERE ArtistId IN (SELECT ArtistId FROM Album WHERE AlbumId IN "
    f"(SELECT AlbumId FROM Track WHERE TrackId IN {_TRACKS}))",
}


@pytest.mark.parametrize("asked", ["where", "keys"])
def test_one_customer_of_chinook_is_what_a_hand_written_query_gives(
    library: Library, databases: Databases, tmp_path: Path, asked: str
) -> None:
    source, target = library.url("chinook"), library.empty(databases, "chinook")
    with dt.Database(source) as db:
        builder = dt.PackageBuilder(db)
        if asked == "where":
            builder.add("Customer", where="CustomerId = :id", params={"id": 17})
        else:
            builder.add("Customer", keys=pd.DataFrame({"CustomerId": [17]}))
        package = builder.build(tmp_path / "package.zip", progress=False)
    import_into(package, target)
    for table, query in ONE_CUSTOMER.items():
        assert _rows_of(target, f"SELECT * FROM {table}") == _rows_of(source, query), table
    for table in ("Playlist", "PlaylistTrack"):
        assert _rows_of(target, f"SELECT * FROM {table}") == []


def _rows_of(url: str, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(str(make_url(url).database))) as connection:
        return sorted(connection.execute(query).fetchall(), key=repr)


def test_a_subset_joins_a_target_that_has_its_parents(library: Library, databases: Databases, tmp_path: Path) -> None:
    source = library.url("chinook")
    target = library.copy(databases, "chinook")
    with dt.Database(source) as db:
        package = dt.PackageBuilder(db).add("Invoice", keys=[1, 2, 3]).build(tmp_path / "p.zip", progress=False)
    before = exact_digest(target)
    receipt = import_into(package, target, match_on=_primary_keys(source))
    assert written(receipt) == 0
    assert_equal(before, exact_digest(target))


def _primary_keys(url: str) -> dict[str, list[str]]:
    with dt.Database(url) as db:
        return {table.name: list(table.key) for table in db.schema}
