"""The state of rows before they are touched, written as a package of its own beside the before-images in the receipt.

It is written, synced to the disk, opened again and verified before the first row of the target changes.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datatransfer import __version__
from datatransfer.database.ownplaces import refuse_own_places
from datatransfer.errors import PackageError
from datatransfer.given import folder_of, path_of
from datatransfer.importing.images import Facts
from datatransfer.package.metadata import Encoding, PackageMetadata
from datatransfer.package.package import DataPackage
from datatransfer.package.writer import PackageWriter

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.connection import Database

_DOCUMENTS_UP_TO = 1_000
_SELECTION = {"everything": False, "backup": True}


class Backup:
    """Writes one such package. What it says of the database is asked at once, before any transaction.

    Parameters
    ----------
    path : str or Path
    db : Database
    overwrite : bool
        Whether a package that an earlier attempt wrote is replaced.
    """

    def __init__(self, path: str | Path, db: Database, *, overwrite: bool = False) -> None:
        self.path = path_of(path, "backup")
        folder_of(self.path.absolute().parent, "backup")  # also where there will be nothing to save
        refuse_own_places(db, self.path)
        self.overwrite = overwrite
        self._schema = db.schema
        self._metadata = PackageMetadata(
            package_id=uuid.uuid4(),
            created=dt.datetime.now(dt.UTC).replace(microsecond=0),
            created_by=f"datatransfer {__version__}",
            origin=db.origin,
            dialect=db.dialect.name,
            source_revision=db.revision(),
            selection=_SELECTION,
        )

    def write(self, images: Mapping[str, pa.Table | None]) -> int:
        """Write rows as they are; return how many. No row, no package.

        Parameters
        ----------
        images : mapping of table to before-image

        Raises
        ------
        PackageExistsError
            There is something under that path.
        PackageError
            It cannot be written, or does not come back as it was written.
        """
        held = {name: image for name, image in images.items() if image is not None and image.num_rows}
        rows: int = sum(image.num_rows for image in held.values())
        if not rows:
            return 0
        encoding: Encoding = "documents" if rows <= _DOCUMENTS_UP_TO else "columns"
        with PackageWriter(self.path, encoding=encoding, overwrite=self.overwrite) as writer:
            for name, image in held.items():
                table, facts = self._schema.table(name), Facts.of(image)
                if facts is not None:
                    table = table.with_types(dict(zip(image.column_names, facts.types, strict=True)))
                writer.write_table(table, image.replace_schema_metadata(None).to_batches())
            writer.finish(replace(self._metadata, selection={**_SELECTION, "outside": self._outside(held)}))
        with DataPackage.open(self.path) as package:
            if int(package.tables["rows"].sum()) != rows or not package.verify().ok:
                raise PackageError(
                    "the backup is not what was written", where=str(self.path), hint="nothing was changed"
                )
        return rows

    def _outside(self, images: Mapping[str, pa.Table]) -> dict[str, int]:
        """Count the references to rows that are not saved, because they do not change."""
        found: dict[str, int] = {}
        for name, image in images.items():
            for fk in self._schema.table(name).foreign_keys:
                children = image.select(list(fk.columns)).drop_null()
                parents = images.get(fk.parent)
                if parents is not None and children.num_rows:
                    keys = list(fk.parent_columns)
                    same = children.rename_columns(keys).cast(parents.select(keys).schema.remove_metadata())
                    children = same.join(parents.select(keys), keys, join_type="left anti")
                found[fk.label] = found.get(fk.label, 0) + children.num_rows
        return {label: rows for label, rows in found.items() if rows}
