"""The library's verbs, in the shape that most tests need: export a whole database, import it, close everything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datatransfer as dt

if TYPE_CHECKING:
    from datatransfer.importing.receipts import Receipt

DIALECTS = ("sqlite", "postgresql", "mariadb")
SERVERS = ("postgresql", "mariadb")
PAIRS = [(source, target) for source in DIALECTS for target in DIALECTS]
ENCODINGS = ("documents", "columns")
SAMPLE_FILES = "attachments.path"


def export_all(
    url: str, path: Path, *, encoding: str = "auto", on_orphan: str = "error", files: Mapping[str, Any] | None = None
) -> dt.DataPackage:
    """Export a whole database into a package."""
    with dt.Database(url, files=files) as db:
        builder = dt.PackageBuilder(db).add_all()
        return builder.build(path, progress=False, encoding=encoding, on_orphan=on_orphan)  # type: ignore[arg-type]


def import_into(
    package: dt.DataPackage, url: str, *, files: Mapping[str, Any] | None = None, **policies: Any
) -> Receipt:
    """Import a package; the receipt's counts are checked against the package's."""
    with dt.Database(url, files=files) as target:
        receipt = dt.PackageImporter(package, target).run(**policies)
        check_counts(package, receipt)
        return receipt


def check_counts(package: dt.DataPackage, receipt: Receipt) -> None:
    """Fail unless each table's rows = inserted + updated + reused + skipped + conflicts."""
    packed = dict(zip(package.tables["table"], package.tables["rows"], strict=True))
    summary = receipt.summary.set_index("table")
    actions = summary[["inserted", "updated", "reused", "skipped", "conflicts"]].sum(axis=1)
    assert {table: int(rows) for table, rows in packed.items() if rows} == {
        table: int(rows) for table, rows in actions.items() if rows
    }


def written(receipt: Receipt) -> int:
    """Return how many rows an import wrote."""
    return int(receipt.summary[["inserted", "updated"]].to_numpy().sum())
