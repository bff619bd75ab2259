"""What ``manifest.json`` says: tables, parts and files; and how that is a Data Package v2 descriptor.

The standard's own properties (``name``, ``path``, ``schema``) are made from ours, and read back only to check that they
say the same; the truth is in the ``datatransfer`` object of each resource and of the package.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from datatransfer.display import shown
from datatransfer.display.blocks import plural
from datatransfer.package.fields import SHA256, Fields
from datatransfer.package.jsontext import read_json, write_json
from datatransfer.package.metadata import FEATURES, Encoding, encoding_of
from datatransfer.package.names import SLUG, document_member, file_member, part_member
from datatransfer.package.tablejson import table_from_json, table_schema, table_to_json
from datatransfer.schema.tables import Schema, Table

MANIFEST_MEMBER = "manifest.json"
MAX_MANIFEST_BYTES = 256 * 2**20
PROFILE = "https://datapackage.org/profiles/2.0/datapackage.json"

_MEDIA = {"documents": ("json", "application/json"), "columns": ("parquet", "application/vnd.apache.parquet")}


@dataclass(frozen=True)
class PartEntry:
    """One member that holds rows.

    Parameters
    ----------
    member : str
    bytes : int
    sha256 : str
    rows : int
        1 for a document.
    entity_uuid, key : str
        Of a document: the UUID of its entity and its canonical key; empty for a table without a key, and for Parquet.
    """

    member: str
    bytes: int
    sha256: str
    rows: int
    entity_uuid: str = ""
    key: str = ""


@dataclass(frozen=True)
class TableEntry:
    """One table of a package.

    Parameters
    ----------
    table : Table
        With definite types.
    slug : str
        What its members' names start with.
    rows : int
    parts : tuple of PartEntry
    orphans : mapping of str to int
        For each foreign key (by its label) the rows whose parent did not exist in the source.
    foreign_identity : bool
        Whether the parts have the two extra columns of `datatransfer.schema.identity`.
    """

    table: Table
    slug: str
    rows: int
    parts: tuple[PartEntry, ...]
    orphans: Mapping[str, int] = field(default_factory=dict)
    foreign_identity: bool = False


@dataclass(frozen=True)
class FileReference:
    """A row that refers to a file.

    Parameters
    ----------
    table, key, column : str
        ``key`` is the canonical key of the row.
    name : str
        What the column holds: the file's path in its store.
    """

    table: str
    key: str
    column: str
    name: str


@dataclass(frozen=True)
class FileEntry:
    """One file, or one that was missing.

    Parameters
    ----------
    sha256, bytes, member : str, int, str
        Empty and 0 if the file is missing.
    references : tuple of FileReference
    missing : str
        Why it is not here; empty if it is.
    """

    sha256: str
    bytes: int
    member: str
    references: tuple[FileReference, ...]
    missing: str = ""


@dataclass(frozen=True, repr=False)
class Manifest:
    """The tables, parts and files of a package."""

    tables: tuple[TableEntry, ...]
    files: tuple[FileEntry, ...] = ()
    encoding: Encoding = "documents"

    @shown.as_text
    def __repr__(self) -> str:
        rows = sum(entry.rows for entry in self.tables)
        counted = f"{plural(rows, 'row')} of {plural(len(self.tables), 'table')}, {self.counted_files()}"
        return f"Manifest({counted}, {self.encoding})"

    @shown.as_html
    def _repr_html_(self) -> str:
        from datatransfer.package.looks import manifest_html

        return manifest_html(self)

    @cached_property
    def schema(self) -> Schema:
        """The tables as a schema."""
        return Schema({entry.table.name: entry.table for entry in self.tables})

    @cached_property
    def by_table(self) -> Mapping[str, TableEntry]:
        """The entries by the names of their tables."""
        return {entry.table.name: entry for entry in self.tables}

    def counted_files(self) -> str:
        """Return how many files are here, at how many paths if these are more, and how many paths have none."""
        stored = [file for file in self.files if not file.missing]
        told = plural(len(stored), "file")
        if (used := len(_paths(stored))) > len(stored):
            told = f"{told} for {plural(used, 'path')}"
        lost = len(_paths(file for file in self.files if file.missing))
        return f"{told}, {lost:,} missing" if lost else told

    @property
    def requires(self) -> dict[str, str]:
        """The features that a reader of this manifest must know, and the format version that brought each."""
        foreign = ["foreign-identity"] if any(entry.foreign_identity for entry in self.tables) else []
        spelled = ["spellings"] if any(fk.spellings for entry in self.tables for fk in entry.table.foreign_keys) else []
        return {name: FEATURES[name] for name in (self.encoding, *foreign, *spelled)}

    @cached_property
    def members(self) -> Mapping[str, tuple[int, str]]:
        """Size and sha256 of every member but ``metadata.json`` and ``manifest.json``."""
        found = {part.member: (part.bytes, part.sha256) for entry in self.tables for part in entry.parts}
        found.update((file.member, (file.bytes, file.sha256)) for file in self.files if file.member)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``manifest.json``."""
        slugs = {entry.table.name: entry.slug for entry in self.tables}
        return {
            "$schema": PROFILE,
            "resources": [_resource(entry, slugs, self.encoding) for entry in self.tables],
            "datatransfer": {"encoding": self.encoding, "files": [_file_to_json(file) for file in self.files]},
        }

    def to_bytes(self) -> bytes:
        """Return ``manifest.json`` as it is written."""
        return write_json(self.to_json())

    @classmethod
    def from_bytes(cls, data: bytes, where: str) -> Manifest:
        """Read ``manifest.json``.

        Raises
        ------
        PackageError
            It breaks a rule of the format.
        """
        parsed = read_json(data, where=where, limit=MAX_MANIFEST_BYTES)
        fields = Fields(parsed, where)
        own = fields.object("datatransfer")
        encoding = encoding_of(own)
        made = cls(
            tables=tuple(_entry(resource, encoding) for resource in fields.objects("resources")),
            files=tuple(_file_from_json(item) for item in own.objects("files")),
            encoding=encoding,
        )
        own.end()
        _check_whole(made, fields)
        if _sorted_text(made.to_json()) != _sorted_text(parsed):
            fields.refuse("describes its tables in two ways that differ, or has a key that this version does not know")
        return made


def _paths(files: Iterable[FileEntry]) -> set[tuple[str, str, str]]:
    return {(reference.table, reference.column, reference.name) for file in files for reference in file.references}


def _sorted_text(data: Any) -> str:
    # text, because in Python 1 == True == 1.0
    return json.dumps(data, sort_keys=True, ensure_ascii=False)


def _resource(entry: TableEntry, slugs: Mapping[str, str], encoding: str) -> dict[str, Any]:
    paths = [part.member for part in entry.parts]
    kind, media = _MEDIA[encoding]
    where: dict[str, Any] = {"data": []}
    if paths:
        where = {"path": paths[0] if len(paths) == 1 else paths, "format": kind, "mediatype": media}
    return {
        "name": entry.slug,
        "title": entry.table.name,
        **where,
        "schema": table_schema(entry.table, slugs),
        "datatransfer": {
            **table_to_json(entry.table),
            "rows": entry.rows,
            "parts": [_part_to_json(part, encoding) for part in entry.parts],
            "orphans": dict(sorted(entry.orphans.items())),
            "foreignIdentity": entry.foreign_identity,
        },
    }


def _part_to_json(part: PartEntry, encoding: str) -> dict[str, Any]:
    data: dict[str, Any] = {"bytes": part.bytes, "sha256": part.sha256, "rows": part.rows}
    if encoding == "documents":
        del data["rows"]
        data.update(entity_uuid=part.entity_uuid, key=part.key)
    return data


def _entry(resource: Fields, encoding: Encoding) -> TableEntry:
    name = resource.text("name", SLUG)
    own = resource.object("datatransfer")
    rows = own.count("rows")
    parts = tuple(_parts(own, name, encoding))
    if sum(part.rows for part in parts) != rows:
        own.refuse("must be the sum of the rows of the parts", "rows")
    orphans = own.object("orphans")
    table = table_from_json(own)
    if set(dict(orphans.items())) - {fk.label for fk in table.foreign_keys}:
        orphans.refuse("must be counted by foreign keys of the table")
    return TableEntry(
        table=table,
        slug=name,
        rows=rows,
        parts=parts,
        orphans={label: orphans.count(label) for label, _ in orphans.items()},
        foreign_identity=own.take("foreignIdentity", bool),
    )


def _parts(own: Fields, slug: str, encoding: Encoding) -> Iterable[PartEntry]:
    for index, item in enumerate(own.objects("parts")):
        size, sha256 = item.count("bytes"), item.text("sha256", SHA256)
        if encoding == "columns":
            yield PartEntry(part_member(slug, index), size, sha256, item.count("rows"))
        else:
            uuid, key = item.take("entity_uuid", str), item.take("key", str)
            yield PartEntry(document_member(slug, index + 1), size, sha256, 1, uuid, key)


def _file_to_json(file: FileEntry) -> dict[str, Any]:
    references = [
        {"table": item.table, "key": item.key, "column": item.column, "name": item.name} for item in file.references
    ]
    if file.missing:
        return {"missing": file.missing, "references": references}
    return {"sha256": file.sha256, "bytes": file.bytes, "references": references}


def _file_from_json(fields: Fields) -> FileEntry:
    references = tuple(
        FileReference(item.take("table", str), item.take("key", str), item.take("column", str), item.take("name", str))
        for item in fields.objects("references")
    )
    if not references:
        fields.refuse("must name a row that refers to the file", "references")
    missing = fields.optional("missing", str)
    if missing:
        return FileEntry("", 0, "", references, missing)
    sha256 = fields.text("sha256", SHA256)
    return FileEntry(sha256, fields.count("bytes"), file_member(sha256), references)


def _check_whole(manifest: Manifest, fields: Fields) -> None:
    """Check what no table can tell alone."""
    if len(manifest.by_table) != len(manifest.tables):
        fields.refuse("describe the same table twice", "resources")
    if len({entry.slug for entry in manifest.tables}) != len(manifest.tables):
        fields.refuse("have the same name twice", "resources")
    stored = [file.sha256 for file in manifest.files if not file.missing]
    if len(set(stored)) != len(stored):
        fields.refuse("list the same content twice", "datatransfer.files")
    schema = manifest.schema
    for fk in schema.foreign_keys():
        if any(column not in schema.tables[fk.parent].by_name for column in fk.parent_columns):
            fields.refuse(f"holds a foreign key {fk.label} to columns that its parent does not have")
    for file in manifest.files:
        for item in file.references:
            if item.table not in schema or item.column not in schema.tables[item.table].by_name:
                fields.refuse("refer to a table or column that is not here", "datatransfer.files")
