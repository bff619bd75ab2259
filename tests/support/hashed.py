"""What imports record of the rows that they wrote, and whether hashes from the stage are those of the table."""

from __future__ import annotations

from collections.abc import Collection

import pytest

import datatransfer as dt
from datatransfer.database import ledger
from datatransfer.database.writers.hashes import RowHashes
from datatransfer.errors import DatabaseError
from tests.support.digest import assert_equal, exact_digest

Kept = dict[str, list[tuple[int, int]]]


def imported(package: dt.DataPackage, url: str) -> tuple[str, Kept]:
    """Import, and return the receipt's id and the keys and hashes that the ledger keeps, by table."""
    with dt.Database(url) as target:
        receipt = dt.PackageImporter(package, target).run()
        kept: Kept = {}
        with target.engine.connect() as connection:
            for name, rows in ledger.after_images(connection, str(receipt.import_id)):
                pairs = zip(rows["k0"].to_pylist(), rows["h"].to_pylist(), strict=True)
                kept.setdefault(name, []).extend(pairs)  # type: ignore[arg-type]
        return str(receipt.import_id), {name: sorted(rows) for name, rows in kept.items()}


def with_and_without_ahead(
    package: dt.DataPackage, url: str, hashes: type[RowHashes], ahead: Collection[str], patch: pytest.MonkeyPatch
) -> Kept:
    """Import twice, hashing ahead and not, assert that the ledger holds the same, and return what it holds.

    Parameters
    ----------
    hashes : type of RowHashes
        Of the dialect.
    ahead : collection of str
        The tables that are hashed ahead.
    """
    taken: list[str] = []
    begin = hashes.hash_ahead
    patch.setattr(hashes, "hash_ahead", lambda self, coming: (taken.extend(coming), begin(self, coming))[1])
    change, first = imported(package, url)
    assert sorted(taken) == sorted(ahead)
    with dt.Database(url) as target:
        dt.receipt(target, change).undo()
    patch.setattr(hashes, "hash_ahead", lambda _self, _coming: None)
    _, afterwards = imported(package, url)
    assert first == afterwards
    return first


def refuse_unhashed(package: dt.DataPackage, target: dt.Database) -> None:
    """Assert that an import whose hashes fail is one typed error, and changes nothing."""
    url = target.engine.url.render_as_string(hide_password=False)
    before = exact_digest(url)
    with pytest.raises(DatabaseError, match="could not be hashed"):
        dt.PackageImporter(package, target).run()
    assert_equal(before, exact_digest(url))
