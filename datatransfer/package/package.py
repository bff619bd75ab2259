r"""Packages, as one opens them; and the complete specification of their format.

Format 2.0
==========

This text is meant to be enough to write a reader in any language; it is kept whole, so this file is longer than
others. "Must" binds writers; a reader refuses what breaks a "must". JSON is UTF-8 without byte order mark, without a
key twice in an object, without NaN and infinities, with integers of at most 64 bits, nested at most 64 deep.

Container
---------
A package is a ZIP file (APPNOTE 6.3.10), or a folder with the same members as files. Members::

    entities/<slug>_<n>.json                one row        (encoding "documents"; n counts from 1 in each table)
    entities/<slug>/part-<nnnnn>.parquet    many rows      (encoding "columns"; nnnnn counts from 00000 in each table)
    files/<aa>/<sha256>                     one file       (aa: the first two digits of the sha256)
    manifest.json                           tables, parts, files; at most 256 MiB
    metadata.json                           what the package is; at most 16 MiB

There are no others, and no entries for directories. A slug is 1 to 60 of ``a-z 0-9 _ -``, starts with a letter or
digit, and is different for each table. No two members may have names that are equal but for case or Unicode form.

The ZIP file that we write: members in the order tables (as they were written), files, ``manifest.json``,
``metadata.json``; every one *stored*; made by 3.45, version needed 4.5, no flags, 1980-01-01 00:00:00, external
attributes 0o100644 << 16; no extra fields but zip64 sizes where needed; no comments. If one member carries all of
these, every one must. A reader also takes what common tools write when they pack a package again: deflate, data
descriptors, extra fields of times and owners, a comment of the archive; if every place that states a name, size, CRC
or offset agrees, and members fill the file without gaps from its first byte to the central directory, which ends at
the end record, which ends the file. At most 200,000 members.

metadata.json
-------------
All of these, no others:

=================== ==================================================================================================
``format_version``  ``"2.0"``. A reader refuses a higher minor or another major version.
``requires``        object: feature → format version that brought it. A reader refuses features it does not know.
                    ``documents`` or ``columns`` (2.0) for the encoding; ``foreign-identity`` (2.0) if a table has it;
                    ``spellings`` (2.0) if a foreign key has them.
``package_id``      UUID in lower case, fresh for every package
``created``         ISO 8601, UTC, with ``+00:00``
``created_by``      library and version
``origin``          object ``uuid`` (the database that the rows come from), ``dialect`` (``sqlite``, ``postgresql``, …)
``source_revision`` Alembic revision of the source, or null
``selection``       object, how the rows were chosen. A reader may rely on: ``everything`` (true if all rows were
                    asked for), ``roots`` (array of objects with ``table`` and perhaps ``keys``), ``outside`` (object:
                    label of a foreign key → rows whose parent was left out on request), and where they are there
                    ``on_missing_file`` (``error`` or ``skip``), ``missing_files`` (how many were skipped) and
                    ``left_out`` (object: table → array of the columns of the source that the package was not to have,
                    in the order of names; ``columns``, keys and references of the package know nothing of them)
``counts``          object ``tables``, ``rows``, ``files``, ``bytes`` (of all members but the two JSON documents)
``encoding``        ``documents`` or ``columns``, for all tables
``manifest_sha256`` of the bytes of ``manifest.json``, 64 digits in lower case, as every sha256
``digest``          the semantic digest, or null if it was not computed; defined in `datatransfer.package.digest`
=================== ==================================================================================================

manifest.json
-------------
A Data Package v2 descriptor (https://datapackage.org). ``resources`` has one entry a table: ``name`` (the slug),
``title`` (the name of the table), ``path`` with ``format`` and ``mediatype`` (one name, or an array; for a table
without rows instead ``"data": []``), ``schema``, and ``datatransfer``. ``schema`` follows from ``datatransfer`` and
says nothing more: types ``integer``, ``number`` (float), ``boolean``, ``date``, ``time``, ``datetime``, else
``string`` (format ``binary``, ``uuid``), ``constraints.required``, ``primaryKey`` if the key is one, ``uniqueKeys``,
and ``foreignKeys`` to tables of the package. The object ``datatransfer`` of a resource:

=================== ==================================================================================================
``table``           its name: bare in the source's default schema, ``schema.name`` elsewhere
``bareName``        the name without schema; ``dbSchema`` the schema or null
``columns``         array of ``name``, ``type`` (below), ``declared`` (the source's own type), ``nullable``,
                    ``hasDefault``, ``generated`` (computed by the database), ``identity`` (``""``, ``always`` or
                    ``default``), and, only where not every difference counts in the source, ``collation``
                    (``NOCASE``: A to Z of either case are equal; ``RTRIM``: spaces at the end do not count)
``key``             names of the columns that identify a row; ``keyKind``: ``primary``, ``unique``, or ``none`` with
                    no names
``uniqueKeys``      array of arrays of names: other unique constraints
``foreignKeys``     array of ``name``, ``columns``, ``parent`` (a table, perhaps not in the package), ``parentColumns``,
                    ``declared`` (false: only this package knows it), ``enforced``, and, only where rows write a
                    reference otherwise than its parent is written and the source takes both for the same,
                    ``spellings``: column → object: text in the child → text in the parent; whoever looks for the
                    parent of a row takes that instead. Its *label* is ``table.column``, or ``table.(a, b)``.
``rows``            of all parts
``parts``           array, in the order of their numbers: ``bytes``, ``sha256``, and for ``columns`` ``rows``, for
                    ``documents`` ``entity_uuid`` and ``key`` (canonical; both empty for a table without a key)
``orphans``         object: label → rows whose parent did not exist in the source either
``foreignIdentity`` whether the parts have the reserved columns
=================== ==================================================================================================

The package's own ``datatransfer`` object: ``encoding``, and ``files``, an array of ``sha256``, ``bytes`` and
``references`` (each ``table``, ``key``, ``column``, ``name``: what the column holds), sorted by sha256; then those
that were not there: ``missing`` (why) and ``references``.

Values
------
``type`` has a ``kind`` and, where set, ``bits``, ``unsigned``, ``precision``, ``scale``, ``length``, ``native``.

============= ================================== ==================================================================
kind          Parquet (logical type)             JSON
============= ================================== ==================================================================
integer       INT64; UINT_64 if unsigned, 64 bit number
float         DOUBLE; FLOAT if 32 bits           number; ``"NaN"``, ``"Infinity"``, ``"-Infinity"``
decimal       STRING                             text: the digits as the database gave them, scale kept
boolean       BOOLEAN                            true, false
text          STRING                             text
bytes         BYTE_ARRAY                         text: base64 with padding
date          DATE                               text: YYYY-MM-DD
time          TIME(MICROS)                       text: HH:MM:SS, then .ffffff if not zero
timestamp     TIMESTAMP(MICROS)                  text: YYYY-MM-DDTHH:MM:SS, then .ffffff if not zero
timestamptz   TIMESTAMP(MICROS, UTC)             text: as timestamp, then +00:00
uuid          STRING                             text: 36 characters in lower case
json          STRING                             text: the document as it was stored
enum          STRING                             text: the label
any           STRING, tagged                     text, tagged
native        STRING                             text: in the notation of the database and type that ``native`` names
============= ================================== ==================================================================

NULL is null. The empty text is not NULL. A *tagged* value is ``i`` and decimal digits, ``r`` and a float in C99
hexadecimal (or ``nan``, ``inf``, ``-inf``), ``t`` and the text, or ``b`` and hexadecimal bytes.

A **document** is an object with exactly the columns of the table by name, the reserved ones after them. A **part** is
a Parquet file with exactly those columns in order, of any row groups, all columns optional, compressed by zstd;
metadata of Arrow or pandas in it is ignored. Rows are in the order of the source's key.

Reserved columns
----------------
``datatransfer:origin`` and ``datatransfer:key``, both text, are there in all parts of a table if it has
``foreignIdentity``. They are NULL for rows of the package's own origin; else the UUID of the origin and the canonical
key that the row had there, because it had been imported into the source. No column of a source may have a name that
starts with ``datatransfer:``.

Identity
--------
The *canonical key* is the JSON array of the key's values without spaces, text unescaped but for ``"``, ``\`` and
control characters, floats in the shortest form that is exact, bytes as ``{"b":"<hexadecimal>"}``, values of kind
``any`` as what they are, all else as in JSON above. The UUID of a row is its column ``entity_uuid``, if there is one;
else UUIDv5 of the namespace ``origin`` and the name ``<table>`` LF ``<canonical key>``, with origin and key from the
reserved columns where they are set.

Determinism
-----------
The same tables, rows, files and metadata give the same bytes. Of two exports of the same selection only
``package_id`` and ``created`` differ, and a caller can fix both. (The bytes of Parquet also depend on the version of
Arrow.)

Versioning
----------
A minor version adds what an old reader can refuse by name (``requires``) or by number; a major version changes what is
there. Format 1, which has ``version`` instead of ``format_version`` and no checksums, is refused by name.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from datatransfer.display import blocks, shown
from datatransfer.errors import PackageError, UsageError
from datatransfer.given import path_of
from datatransfer.package import looks
from datatransfer.package.archive import ArchiveReader, open_archive
from datatransfer.package.contents import BATCH_ROWS, Contents
from datatransfer.package.manifest import MANIFEST_MEMBER, MAX_MANIFEST_BYTES, Manifest, TableEntry
from datatransfer.package.metadata import MAX_METADATA_BYTES, METADATA_MEMBER, PackageMetadata
from datatransfer.package.report import Finding, Report
from datatransfer.package.tableview import PackageTable
from datatransfer.package.writer import PackageWriter
from datatransfer.schema.tables import Schema

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from datatransfer.display.charts import Chart
    from datatransfer.package.reasons import Chain
    from datatransfer.schema.graph import DependencyGraph

__all__ = ["DataPackage", "Finding", "PackageTable", "PackageWriter", "Report"]


class DataPackage(shown.Listed):
    """A package that was opened: looked at in place, never unpacked.

    Opening reads ``metadata.json`` and ``manifest.json`` only. Every other member is compared with its recorded sha256
    before its first use. The file stays open; it is given back by `close`, a ``with`` block, or when nobody uses the
    package any more.

    Attributes
    ----------
    path : Path
    metadata : PackageMetadata
    manifest_data : Manifest
        Tables, parts and files as dataclasses; `manifest` shows the entities to people.
    report : Report or None
        What `verify` found when it was last called.

    Examples
    --------
    >>> package = DataPackage.open("open-orders.zip")  # doctest: +SKIP
    >>> package.tables, package.files, package.graph  # doctest: +SKIP
    >>> package["orders"].to_frame()  # doctest: +SKIP
    >>> package.verify()  # doctest: +SKIP
    """

    def __init__(self, archive: ArchiveReader, metadata: PackageMetadata, manifest: Manifest) -> None:
        self._archive = archive
        self._contents = Contents(archive, manifest)
        self.path = archive.path
        self.metadata = metadata
        self.manifest_data = manifest
        self.report: Report | None = None

    @classmethod
    def open(cls, path: str | Path) -> DataPackage:
        """Open a package.

        Parameters
        ----------
        path : str or Path
            A ZIP file or a folder.

        Raises
        ------
        PackageError
            It is not a package, is of a version or needs a feature that this library does not know, or its two
            documents are not in order.
        """
        archive = open_archive(path_of(path, "path"))
        try:
            where = f"{path}: {METADATA_MEMBER}"
            metadata = PackageMetadata.from_bytes(archive.read(METADATA_MEMBER, MAX_METADATA_BYTES), where)
            manifest = _manifest(archive, metadata, f"{path}: {MANIFEST_MEMBER}")
        except BaseException:
            archive.close()
            raise
        return cls(archive, metadata, manifest)

    def close(self) -> None:
        """Give back the file."""
        self._archive.close()

    def __enter__(self) -> DataPackage:
        return self

    def __exit__(self, _kind: type[BaseException] | None, _error: object, _trace: TracebackType | None) -> None:
        self.close()

    # --- what programs read -----------------------------------------------------------------------------------------

    @property
    def schema(self) -> Schema:
        """The tables with definite types."""
        return self.manifest_data.schema

    @property
    def origin(self) -> uuid.UUID:
        """The database that the rows come from."""
        return self.metadata.origin

    @cached_property
    def digest(self) -> str:
        """The semantic digest, see `datatransfer.package.digest`: as recorded, else computed now."""
        if self.metadata.digest is not None:
            return self.metadata.digest
        return self.computed_digest()

    @property
    def left_out(self) -> dict[str, tuple[str, ...]]:
        """The columns of the source that were left out on request, by table."""
        found = self.metadata.selection.get("left_out")
        items = found.items() if isinstance(found, dict) else ()
        return {name: tuple(map(str, names)) for name, names in items if isinstance(names, list)}

    def computed_digest(self) -> str:
        """Compute the semantic digest from the rows, whatever is recorded."""
        from datatransfer.package.digest import semantic_digest

        return semantic_digest(self.schema, self.batches)

    def entry(self, table: str) -> TableEntry:
        """Return what the manifest says of a table.

        Raises
        ------
        UnknownTableError
            There is no such table.
        """
        return self.manifest_data.by_table[self.schema.table(table).name]

    def batches(self, table: str, batch_rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a table as Arrow batches of at most ``batch_rows`` rows.

        Raises
        ------
        UnknownTableError
            There is no such table.
        PackageError
            A member is missing, or not what the manifest says.
        """
        return self._contents.batches(self.schema.table(table).name, batch_rows)

    def open_file(self, sha256: str) -> BinaryIO:
        """Open a file of the package by the hash of its content.

        Raises
        ------
        PackageError
            There is none, or it is not what the manifest says.
        """
        for entry in self.manifest_data.files:
            if entry.sha256 == sha256 and not entry.missing:
                return self._contents.file(entry)
        raise PackageError(f"holds no file {sha256!r:.80}", where=str(self.path))

    # --- what people look at ----------------------------------------------------------------------------------------

    def __getitem__(self, table: str) -> PackageTable:
        return PackageTable(self._contents, self.schema.table(table).name)

    def __contains__(self, table: object) -> bool:
        return table in self.schema

    def __iter__(self) -> Iterator[str]:
        return iter(self.schema.tables)

    def __len__(self) -> int:
        return len(self.schema)

    @property
    def tables(self) -> pd.DataFrame:
        """One row a table: name, rows, bytes, key, columns, parts."""
        import pandas as pd

        rows = [
            (entry.table.name, entry.rows, looks.size_of(entry), ", ".join(entry.table.key), len(entry.table.columns),
             len(entry.parts))
            for entry in self.manifest_data.tables
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["table", "rows", "bytes", "key", "columns", "parts"])

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """One row an entity: table, entity_uuid, key, member, row in the member; made when it is first asked for."""
        import pandas as pd

        from datatransfer.package.identities import identities

        rows: list[tuple[str, str, str, str, int]] = []
        for entry in self.manifest_data.tables:
            name = entry.table.name
            places = ((part.member, row) for part in entry.parts for row in range(part.rows))
            found = identities(self._contents, name, self.origin)
            rows += [(name, who.uuid, who.key, *place) for who, place in zip(found, places, strict=True)]
        return pd.DataFrame(rows, columns=["table", "entity_uuid", "key", "member", "row"])

    @property
    def files(self) -> pd.DataFrame:
        """One row a file: name, bytes, sha256, member, who refers to it, and why it is missing if it is."""
        import pandas as pd

        rows = [
            (entry.references[0].name, entry.bytes, entry.sha256, entry.member,
             ", ".join(f"{item.table} {item.key}" for item in entry.references), entry.missing)
            for entry in self.manifest_data.files
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["name", "bytes", "sha256", "member", "referenced_by", "missing"])

    @cached_property
    def graph(self) -> DependencyGraph:
        """The tables and their foreign keys, with the numbers of rows; it draws itself."""
        from datatransfer.schema.graph import DependencyGraph

        found = self.metadata.selection.get("roots")
        roots = [str(root.get("table")) for root in found if isinstance(root, dict)] if isinstance(found, list) else []
        counts = {entry.table.name: entry.rows for entry in self.manifest_data.tables}
        from datatransfer.package.neighbours import around

        contents, metadata = self._contents, self.metadata
        return DependencyGraph(
            self.schema, counts=counts, roots=[name for name in roots if name in self.schema],
            entities=lambda table, key, depth: around(contents, metadata, table, key, depth),
        )  # fmt: skip

    def plot(self) -> Chart:
        """Return rows and bytes of each table as bars.

        Examples
        --------
        >>> package.plot()                              # doctest: +SKIP
        """
        from datatransfer.display.charts import tables_chart

        entries = self.manifest_data.tables
        rows = {entry.table.name: entry.rows for entry in entries}
        return tables_chart(
            f"Rows and bytes of {self.path.name}", rows, {e.table.name: looks.size_of(e) for e in entries}
        )

    # --- questions --------------------------------------------------------------------------------------------------

    def why(self, table: str, key: Any) -> Chain:
        """Return the shortest chain of references from a row to a root of the selection.

        Parameters
        ----------
        table : str
        key : value or sequence of values
            A sequence for a key of several columns.

        Raises
        ------
        UnknownTableError
            There is no such table.
        KeyValueError
            There is no such row.
        """
        from datatransfer.package.reasons import why

        return why(self._contents, self.metadata, table, key)

    def verify(self) -> Report:
        """Check the package wholly: members, rows, keys, references, files, and the recorded digest.

        Returns
        -------
        Report
            Every finding, not the first.
        """
        from datatransfer.package.verifying import verify

        self._archive.open(METADATA_MEMBER).close()  # a closed package is a wrong call, not a finding
        # what was compared before does not count: the members are read again
        self.report = report = verify(Contents(self._archive, self.manifest_data), self.metadata)
        if report.ok and self.metadata.digest is not None and self.metadata.digest != self.computed_digest():
            message = "the rows do not have the digest that is recorded"
            self.report = report = Report((*report.findings, Finding("error", "digest", METADATA_MEMBER, message)))
        return report

    def diff(self, other: Any) -> pd.DataFrame:
        """Return how another package, or the rows of a database, differ from this one.

        Parameters
        ----------
        other : DataPackage, or an object with ``schema``, ``origin`` and ``batches(table)``
            Or one whose ``open_rows()`` is a context manager that gives such an object, as a database does.

        Returns
        -------
        DataFrame
            Columns ``table``, ``key``, ``change`` (``added``, ``removed``, ``changed``), ``field``, ``before`` (here),
            ``after`` (there). No rows: no difference. Columns that either package left out on request are not compared.

        Raises
        ------
        UsageError
            The other is neither.
        """
        from datatransfer.package.comparing import diff, lacking

        if hasattr(other, "open_rows"):
            with other.open_rows() as rows:
                return diff(self, rows, ignoring=self.left_out)
        if missing := lacking(other):
            raise UsageError(f"cannot compare with a {type(other).__name__}: it has no {missing[0]}")
        theirs = other.left_out if isinstance(other, DataPackage) else {}
        names = {*self.left_out, *theirs}
        ignoring = {name: {*self.left_out.get(name, ()), *theirs.get(name, ())} for name in names}
        return diff(self, other, ignoring=ignoring)

    @shown.as_text
    def __repr__(self) -> str:
        counts = self.metadata.counts
        return (
            f"DataPackage({blocks.visible(str(self.path))!r}: {blocks.plural(counts['rows'], 'row')} of "
            f"{blocks.plural(counts['tables'], 'table')}, {self.manifest_data.counted_files()}, "
            f"{self.metadata.encoding}, format {self.metadata.format_version})"
        )

    @shown.as_html
    def _repr_html_(self) -> str:
        return looks.package_html(self)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.schema.tables)


def _manifest(archive: ArchiveReader, metadata: PackageMetadata, where: str) -> Manifest:
    """Read the manifest and compare it with what the metadata say of it."""
    import hashlib

    data = archive.read(MANIFEST_MEMBER, MAX_MANIFEST_BYTES)
    if hashlib.sha256(data).hexdigest() != metadata.manifest_sha256:
        raise PackageError(
            f"does not have the sha256 that {METADATA_MEMBER} says", where=where,
            hint="get the package again from where it came",
        )  # fmt: skip
    manifest = Manifest.from_bytes(data, where)
    found = {
        "tables": len(manifest.tables),
        "rows": sum(entry.rows for entry in manifest.tables),
        "files": sum(1 for entry in manifest.files if not entry.missing),
        "bytes": sum(size for size, _ in manifest.members.values()),
    }
    stated = (metadata.encoding, dict(metadata.counts), dict(metadata.requires))
    if stated != (manifest.encoding, found, manifest.requires):
        raise PackageError(f"has another encoding, other counts or features than {METADATA_MEMBER} says", where=where)
    return manifest
