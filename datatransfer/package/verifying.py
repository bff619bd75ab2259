"""Verifying a package: every member, every table, every reference, and every finding told.

1. members: all there, none more, size and sha256 as recorded;
2. tables: each part decodes to the columns and the number of rows that the manifest states;
3. keys: no key or UUID twice; no NULL where the column says that there is none;
4. references: as many rows without a parent in the package as the manifest and the selection state, not more;
5. documents: UUIDs and keys as recorded; files: every row that refers to one is there; those
   that were missing when the package was made are told.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import repeat
from typing import TYPE_CHECKING, Any

from datatransfer.display.plain import counted
from datatransfer.errors import DataTransferError
from datatransfer.package.contents import Contents
from datatransfer.package.identities import Identity, identities, identities_of, identity_columns
from datatransfer.package.linking import Held, blobs, find_parents, hold, needed_columns, together
from datatransfer.package.manifest import MANIFEST_MEMBER, TableEntry
from datatransfer.package.metadata import METADATA_MEMBER, PackageMetadata
from datatransfer.package.report import MISSING_FILE, Finding, Report
from datatransfer.schema.identity import keeps_uuids_apart
from datatransfer.schema.tables import ENTITY_UUID

if TYPE_CHECKING:
    import pyarrow as pa

_AGAIN = "get the package again from where it came"


def verify(contents: Contents, metadata: PackageMetadata) -> Report:
    """Check a package wholly.

    Parameters
    ----------
    contents : Contents
    metadata : PackageMetadata

    Returns
    -------
    Report
    """
    return Report(tuple(_Verification(contents, metadata).findings()))


class _Verification:
    def __init__(self, contents: Contents, metadata: PackageMetadata) -> None:
        self.contents, self.metadata, self.manifest = contents, metadata, contents.manifest
        self.broken: set[str] = set()
        self.held: dict[str, Held] = {}

    def findings(self) -> Iterator[Finding]:
        yield from self.members()
        for entry in self.manifest.tables:
            yield from self.table(entry)
        for entry in self.manifest.tables:
            if entry.table.name in self.held:
                yield from self.references(entry)
        yield from self.file_references()
        yield from self.missing_files()

    def members(self) -> Iterator[Finding]:
        """Compare every member with what is recorded."""
        found = self.contents.archive.sizes
        for member, (size, sha256) in self.manifest.members.items():
            if member not in found:
                yield Finding("error", "missing-member", member, "is not in the package", _AGAIN)
            elif problem := self._problem(member, size, sha256):
                yield Finding("error", "member", member, problem, _AGAIN)
        for member in found:
            if member not in self.manifest.members and member not in (METADATA_MEMBER, MANIFEST_MEMBER):
                yield Finding("error", "extra-member", member, "is in the package and not in the manifest", _AGAIN)

    def _problem(self, member: str, size: int, sha256: str) -> str:
        try:
            self.contents.check(member, size, sha256)
        except DataTransferError as error:
            return error.message
        return ""

    def table(self, entry: TableEntry) -> Iterator[Finding]:
        """Decode a table and check its keys."""
        table, name = entry.table, entry.table.name
        required = [c.name for c in table.columns if not c.nullable and c.name not in table.key and not c.generated]
        names = needed_columns(table, self.manifest.schema.foreign_keys()) | set(table.key)
        if table.tracked and not keeps_uuids_apart(table):
            names.add(ENTITY_UUID)
        if self.manifest.encoding == "documents":
            names |= set(identity_columns(entry))
        nulls: Counter[str] = Counter()

        def watched() -> Iterator[pa.RecordBatch]:
            for batch in self.contents.batches(name):
                nulls.update({column: batch.column(column).null_count for column in required})
                yield batch

        try:
            held = hold(table, watched(), names)
        except DataTransferError as error:
            if not self._known(entry):
                where = error.where.rpartition(": ")[2]
                yield Finding("error", "rows", where or name, error.message, _AGAIN)
            return
        if held.rows != entry.rows:
            said = f"has {counted(held.rows, 'row')}, the manifest says {entry.rows:,}"
            yield Finding("error", "rows", name, said, _AGAIN)
        for column, count in nulls.items():
            if count:
                said = f"is NULL in {counted(count, 'row')} and must never be"
                yield Finding("error", "null", f"{name}.{column}", said, _AGAIN)
        if table.key and (twice := held.rows - _different(held)):
            said = f"{counted(twice, 'row has', 'rows have')} the key of another row"
            yield Finding("error", "duplicate-key", name, said, _AGAIN)
        if table.tracked and not keeps_uuids_apart(table) and (shared := _sharing(held)):
            said = f"{counted(shared, 'row has', 'rows have')} the UUID of another row"
            cure = "give each its own in the source; export again"
            yield Finding("warning", "duplicate-uuid", f"{name}.{ENTITY_UUID}", said, cure)
        self.held[name] = held
        if self.manifest.encoding == "documents":
            yield from self.documents(entry)

    def _known(self, entry: TableEntry) -> bool:
        """Say whether a part was already found to be missing or changed."""
        return any(self._problem(part.member, part.bytes, part.sha256) for part in entry.parts)

    def documents(self, entry: TableEntry) -> Iterator[Finding]:
        """Compare keys and UUIDs of documents with those that the manifest lists."""
        rows: Iterable[Identity] = repeat(Identity("", ""), entry.rows)
        if wanted := identity_columns(entry):
            rows = identities_of(entry, [together(self.held[entry.table.name], wanted)], self.metadata.origin)
        for part, row in zip(entry.parts, rows, strict=True):
            if (row.key, row.uuid) != (part.key, part.entity_uuid):
                message = "has another key or UUID than the manifest says"
                yield Finding("error", "identity", part.member, message, _AGAIN)

    def references(self, entry: TableEntry) -> Iterator[Finding]:
        """Count the rows whose parent is not here, and compare with what the package says of itself."""
        child = self.held[entry.table.name]
        outside = self.metadata.selection.get("outside")
        stated = outside if isinstance(outside, dict) else {}
        for fk in entry.table.foreign_keys:
            allowed = entry.orphans.get(fk.label, 0) + _number(stated.get(fk.label))
            if fk.parent not in self.held:
                continue
            _, nulls = blobs(child, fk.columns)
            lost = int(((find_parents(child, self.held[fk.parent], fk) < 0) & ~nulls).sum())
            if lost > allowed:
                refer = counted(lost, "row refers", "rows refer")
                yield Finding(
                    "error", "reference", fk.label,
                    f"{refer} to rows of {fk.parent} that are not here; {allowed} announced", _AGAIN,
                )  # fmt: skip

    def file_references(self) -> Iterator[Finding]:
        """Check that the rows that refer to files are here."""
        wanted: dict[str, set[str]] = {}
        for file in self.manifest.files:
            for reference in file.references:
                wanted.setdefault(reference.table, set()).add(reference.key)
        for table, keys in wanted.items():
            if table not in self.held or not self.manifest.by_table[table].table.key:
                continue
            found = {row.key for row in identities(self.contents, table, self.metadata.origin)}
            if lost := len(keys - found):
                said = counted(lost, "row that refers to a file is", "rows that refer to files are")
                yield Finding("error", "file-reference", table, f"{said} not here", _AGAIN)

    def missing_files(self) -> Iterator[Finding]:
        """Tell of each path whose file was missing when the package was made."""
        lost = {(r.table, r.column, r.name): file.missing for file in self.manifest.files if file.missing
                for r in file.references}  # fmt: skip
        for (table, column, name), reason in lost.items():
            said = f"the file of {table}.{column} was missing when the package was made: {reason}"
            yield Finding("warning", MISSING_FILE, name, said, "export again where the file is there")


def _different(held: Held) -> int:
    """Return how many different keys there are; a key with NULL in it is different from every other."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if len(held.table.key) == 1 and held.table.by_name[held.table.key[0]].type.kind == "integer":
        column = held.columns[held.table.key[0]]
        return int(pc.count_distinct(column).as_py()) + int(column.null_count)
    found, nulls = blobs(held, held.table.key)
    return int(pc.count_distinct(found.filter(pa.array(~nulls))).as_py()) + int(nulls.sum())


def _sharing(held: Held) -> int:
    """Return how many rows have a UUID that another row has as well, however it is written."""
    import pyarrow.compute as pc

    texts = held.columns[ENTITY_UUID]
    if held.table.by_name[ENTITY_UUID].type.kind == "any":
        texts = pc.utf8_slice_codeunits(texts, 1)
    counts = pc.value_counts(pc.utf8_lower(pc.replace_substring(texts.drop_null(), "-", ""))).field("counts")
    return int(pc.sum(counts.filter(pc.greater(counts, 1))).as_py() or 0)


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
