"""A digest of databases, made without the library: what the tests compare by.

*Row encoding*: columns in name order, each value with its type in front, length-prefixed, canonical. *Table digest*:
sha256 of the sorted row hashes, so a multiset that needs no key. *Database digest*: over all tables.

Two modes. `exact_digest` compares databases of one dialect, where nothing at all may differ: on SQLite the storage
class of every value, on PostgreSQL its own text, on MariaDB the bytes. `logical_digest` compares across dialects, where
each column has a declared meaning (see `tests.support.kinds`).
"""

from __future__ import annotations

import hashlib
import struct
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import URL

from tests.support.kinds import Kinds, canonical
from tests.support.reading import TableRows, read_database


@dataclass(frozen=True)
class TableDigest:
    """One table: how many rows, the digest, and the hash of each row with how often it occurs."""

    name: str
    rows: int
    digest: str
    hashes: Counter[bytes] = field(compare=False, repr=False)


@dataclass(frozen=True)
class DatabaseDigest:
    """All tables of a database by name."""

    tables: Mapping[str, TableDigest]

    @property
    def digest(self) -> str:
        """One sha256 for the database."""
        whole = hashlib.sha256()
        for name in sorted(self.tables):
            whole.update(_framed(name.encode()) + bytes.fromhex(self.tables[name].digest))
        return whole.hexdigest()

    @property
    def rows(self) -> dict[str, int]:
        """Rows by table."""
        return {name: table.rows for name, table in self.tables.items()}

    def only(self, names: Collection[str]) -> DatabaseDigest:
        """Return the digest of some of the tables."""
        return DatabaseDigest({name: table for name, table in self.tables.items() if name in names})

    def without(self, names: Collection[str]) -> DatabaseDigest:
        """Return the digest of all but some tables."""
        return DatabaseDigest({name: table for name, table in self.tables.items() if name not in names})


def exact_digest(url: str | URL) -> DatabaseDigest:
    """Digest a database so that only a database of the same dialect with the very same values is equal."""
    tables = read_database(url, exact=True)
    return DatabaseDigest({table.name: digest_rows(table.name, _exact_rows(table)) for table in tables})


def logical_digest(url: str | URL, kinds: Kinds) -> DatabaseDigest:
    """Digest the tables named in ``kinds`` so that databases of different dialects compare.

    Parameters
    ----------
    url : str or URL
    kinds : mapping of table to mapping of column to kind
        See `tests.support.kinds`. Every column of a table that is named must be there; other tables are left out.
    """
    found: dict[str, TableDigest] = {}
    for table in read_database(url, exact=False):
        if table.name in kinds:
            rows = _logical_rows(table, kinds[table.name])
            found[table.name] = digest_rows(table.name, rows)
    return DatabaseDigest(found)


def digest_rows(name: str, rows: Iterable[bytes]) -> TableDigest:
    """Digest encoded rows."""
    hashes = Counter(hashlib.sha256(row).digest() for row in rows)
    whole = hashlib.sha256()
    for value in sorted(hashes):
        whole.update(value * hashes[value])
    return TableDigest(name, hashes.total(), whole.hexdigest(), hashes)


# --- row encoding -----------------------------------------------------------------------------------------------------


def _framed(data: bytes) -> bytes:
    return struct.pack(">Q", len(data)) + data


def encode_row(names: Iterable[str], values: Iterable[tuple[str, bytes | None]]) -> bytes:
    """Encode a row: columns in name order, each as name, type and value, all length-prefixed; NULL has no value."""
    pairs = sorted(zip(names, values, strict=True))
    return b"".join(
        _framed(name.encode()) + _framed(kind.encode()) + (b"\0" if value is None else b"\1" + _framed(value))
        for name, (kind, value) in pairs
    )


def _exact_bytes(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, float):
        return struct.pack(">d", value)  # bit by bit: -0.0 is not 0.0
    if isinstance(value, bytes):
        return value
    return str(value).encode("utf-8", "surrogatepass")


def _exact_rows(table: TableRows) -> Iterator[bytes]:
    names = list(table.columns)
    for row in table.rows:
        yield encode_row(names, [(kind, _exact_bytes(value)) for kind, value in row])


def _logical_rows(table: TableRows, kinds: Mapping[str, str]) -> Iterator[bytes]:
    missing = set(table.columns) ^ set(kinds)
    assert not missing, f"{table.name}: no kind or no column for {sorted(missing)}"
    names = list(table.columns)
    convert: list[Callable[[Any], tuple[str, bytes | None]]] = [canonical(kinds[name]) for name in names]
    for row in table.rows:
        yield encode_row(names, [function(value) for function, value in zip(convert, row, strict=True)])


# --- comparing --------------------------------------------------------------------------------------------------------


def differences(expected: DatabaseDigest, actual: DatabaseDigest) -> list[str]:
    """Say per table what differs, in sentences; empty when the two are equal."""
    found = []
    for name in sorted(set(expected.tables) | set(actual.tables)):
        left, right = expected.tables.get(name), actual.tables.get(name)
        if left is None or right is None:
            found.append(f"{name}: only in the {'actual' if left is None else 'expected'} database")
        elif left.digest != right.digest:
            lost, added = left.hashes - right.hashes, right.hashes - left.hashes
            found.append(
                f"{name}: {left.rows} rows expected, {right.rows} found; "
                f"{lost.total()} expected rows are not there, {added.total()} rows are there that were not expected"
            )
    return found


def assert_equal(expected: DatabaseDigest, actual: DatabaseDigest) -> None:
    """Fail, naming tables and counts, unless the two digests are equal."""
    found = differences(expected, actual)
    assert not found, "the databases differ:\n  " + "\n  ".join(found)
    assert expected.digest == actual.digest


def assert_contains(whole: DatabaseDigest, part: DatabaseDigest) -> None:
    """Fail unless every row of ``part`` is in ``whole``, as often: nothing that was there was touched."""
    found = []
    for name, table in part.tables.items():
        there = whole.tables[name].hashes if name in whole.tables else Counter()
        if lost := (table.hashes - there).total():
            found.append(f"{name}: {lost} of {table.rows} rows are not there")
    assert not found, "rows are missing:\n  " + "\n  ".join(found)
