"""Selection: the closure is exactly what hand-written SQL, or a walk from row to row, says."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer.exporting.closure import closed
from datatransfer.exporting.plan import Rule
from tests.support.loaders import sqlite_file
from tests.support.selections import keys_of

ONE_CUSTOMER = {
    "Customer": "SELECT CustomerId FROM Customer WHERE CustomerId = 5",
    "Invoice": "SELECT InvoiceId FROM Invoice WHERE CustomerId = 5",
    "InvoiceLine": "SELECT InvoiceLineId FROM InvoiceLine JOIN Invoice USING (InvoiceId) WHERE CustomerId = 5",
    "Employee": """WITH RECURSIVE boss(e) AS (SELECT SupportRepId FROM Customer WHERE CustomerId = 5
        UNION SELECT ReportsTo FROM Employee JOIN boss ON EmployeeId = e WHERE ReportsTo IS NOT NULL)
        SELECT e FROM boss""",
    "Track": """SELECT DISTINCT TrackId FROM InvoiceLine JOIN Invoice USING (InvoiceId) WHERE CustomerId = 5""",
    "Album": """SELECT DISTINCT AlbumId FROM Track JOIN InvoiceLine USING (TrackId) JOIN Invoice USING (InvoiceId)
        WHERE CustomerId = 5""",
    "Artist": """SELECT DISTINCT ArtistId FROM Album JOIN Track USING (AlbumId) JOIN InvoiceLine USING (TrackId)
        JOIN Invoice USING (InvoiceId) WHERE CustomerId = 5""",
    "Genre": """SELECT DISTINCT GenreId FROM Track JOIN InvoiceLine USING (TrackId) JOIN Invoice USING (InvoiceId)
        WHERE CustomerId = 5""",
    "MediaType": """SELECT DISTINCT MediaTypeId FROM Track JOIN InvoiceLine USING (TrackId)
        JOIN Invoice USING (InvoiceId) WHERE CustomerId = 5""",
}


def test_one_customer_of_chinook_with_everything_that_belongs_to_it() -> None:
    path = sqlite_file("chinook")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as raw:
        expected = {name: sorted(row[0] for row in raw.execute(sql)) for name, sql in ONE_CUSTOMER.items()}
    db = dt.Database(f"sqlite:///{path}")
    assert keys_of(dt.PackageBuilder(db).add("Customer", keys=[5])) == expected
    db.close()


def _random_database(dice: random.Random, path: Path) -> dict[str, list[dict[str, Any]]]:
    """Make tables with random foreign keys (self, cycles, keyless, composite) and rows; return the rows."""
    names = [f"t{n}" for n in range(dice.randint(2, 5))]
    with closing(sqlite3.connect(path)) as raw:
        rows: dict[str, list[dict[str, Any]]] = {}
        for name in names:
            parents = [dice.choice(names) for _ in range(dice.randint(0, 2))]
            keyless = dice.random() < 0.2
            columns = [f"a INTEGER{'' if keyless else ' NOT NULL'}", f"b INTEGER{'' if keyless else ' NOT NULL'}"]
            columns += [f"f{n}a INTEGER, f{n}b INTEGER" for n in range(len(parents))]
            columns += [] if keyless else ["PRIMARY KEY (a, b)"]
            columns += [f"FOREIGN KEY (f{n}a, f{n}b) REFERENCES {p} (a, b)" for n, p in enumerate(parents)]
            raw.execute(f"CREATE TABLE {name} ({', '.join(columns)})")
            rows[name] = []
            for a in range(3):
                for b in range(3):
                    row = {"a": a, "b": b}
                    for n, _ in enumerate(parents):
                        row |= {f"f{n}a": dice.choice([None, 0, 1, 2]), f"f{n}b": dice.choice([None, 0, 1, 2])}
                    rows[name].append(row)
                    raw.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", list(row.values()))
        raw.commit()
    return rows


@pytest.mark.parametrize("seed", range(25))
def test_random_schemas_agree_with_a_row_by_row_closure(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    path = tmp_path / "random.db"
    rows = _random_database(dice, path)
    with dt.Database(f"sqlite:///{path}") as db:
        root = dice.choice(list(rows))
        stopped = {(fk, d) for fk in db.schema.foreign_keys() for d in ("up", "down") if dice.random() < 0.2}
        builder = dt.PackageBuilder(db).add(root, where="a = :a", params={"a": 1})
        for fk, direction in stopped:
            builder._rules.set(fk, direction, Rule("stop"))
        assert keys_of_counts(builder) == _naive(db, rows, root, stopped)


def keys_of_counts(builder: dt.PackageBuilder) -> dict[str, list[tuple[Any, ...]]]:
    with closed(builder.db, builder._plan()) as closure:
        found = {}
        for name in closure.counts():
            tail = closure.source(name).tail()
            found[name] = sorted(closure.sql.rows(f"SELECT t.a, t.b FROM {name} t{tail}"))
        return found


def _naive(
    db: dt.Database, rows: dict[str, list[dict[str, Any]]], root: str, stopped: set[Any]
) -> dict[str, list[Any]]:
    """Follow single rows with loops: slow, and written without the library's SQL."""

    def refers(child: dict[str, Any], fk: Any, parent: dict[str, Any]) -> bool:
        return all(
            child[c] is not None and child[c] == parent[p] for c, p in zip(fk.columns, fk.parent_columns, strict=True)
        )

    taken = {(root, n) for n, row in enumerate(rows[root]) if row["a"] == 1}
    fks = db.schema.foreign_keys()
    for direction in ("down", "up"):
        work = set(taken)
        while work:
            name, number = work.pop()
            row = rows[name][number]
            for fk in fks:
                here, there = (fk.parent, fk.table) if direction == "down" else (fk.table, fk.parent)
                if here != name or (fk, direction) in stopped:
                    continue
                for n, other in enumerate(rows[there]):
                    pair = (other, row) if direction == "down" else (row, other)
                    if refers(pair[0], fk, pair[1]) and (there, n) not in taken:
                        taken.add((there, n))
                        work.add((there, n))
    found: dict[str, list[Any]] = {}
    for name, number in taken:
        found.setdefault(name, []).append((rows[name][number]["a"], rows[name][number]["b"]))
    return {name: sorted(found[name]) for name in found}
