"""Rows ⇄ JSON, one file an entity, the ``documents`` encoding.

A document is an object with the columns of its table by name, in the table's order; values as in
`datatransfer.schema.values`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datatransfer.errors import PackageError, ValueLossError
from datatransfer.package.jsontext import read_json, write_flat_json
from datatransfer.package.manifest import PartEntry, TableEntry
from datatransfer.package.names import document_member
from datatransfer.schema.identity import KEY_COLUMN, ORIGIN_COLUMN, canonical_key
from datatransfer.schema.tables import ENTITY_UUID, Table
from datatransfer.schema.values import LogicalType, from_json, to_json

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.package.archive import ArchiveWriter

MAX_DOCUMENT_BYTES = 256 << 20
"""Most bytes of a document."""
BATCH_BYTES = 64 << 20
"""Bytes of JSON after which a batch ends while reading."""
TEXT = LogicalType("text")


@dataclass(frozen=True)
class Document:
    """A document that was written: its part, and what its UUID is made of.

    Parameters
    ----------
    part : PartEntry
        Still without UUID.
    uuid : str
        Known from the row itself, or empty.
    origin, origin_key : str
        Of a row whose identity is foreign; empty for a native one.
    """

    part: PartEntry
    uuid: str
    origin: str
    origin_key: str


def column_types(table: Table, *, foreign_identity: bool) -> dict[str, LogicalType]:
    """Return the columns of a table's parts, in order."""
    types = {column.name: column.type for column in table.columns}
    if foreign_identity:
        types.update({ORIGIN_COLUMN: TEXT, KEY_COLUMN: TEXT})
    return types


class DocumentsEncoder:
    """Writes the documents of one table."""

    def __init__(self, archive: ArchiveWriter, slug: str, table: Table, types: Mapping[str, LogicalType]) -> None:
        self._archive, self._slug, self._table, self._types = archive, slug, table, types
        self.documents: list[Document] = []

    def add(self, batch: pa.RecordBatch) -> None:
        """Write the rows of a batch.

        Raises
        ------
        ValueLossError
            A value cannot be written as JSON exactly.
        """
        plain = [self._plain(batch, name) for name in self._types]
        written = [to_json(values, kind) for values, kind in zip(plain, self._types.values(), strict=True)]
        places = [self._table.column_names.index(name) for name in self._table.key]
        kinds = [self._table.columns[place].type for place in places]
        names = list(self._types)
        for row, values in enumerate(zip(*written, strict=True)):
            name = document_member(self._slug, len(self.documents) + 1)
            size, sha256 = self._archive.write(name, write_flat_json(dict(zip(names, values, strict=True))))
            key = canonical_key([plain[place][row] for place in places], kinds) if places else ""
            extra = {name: plain[names.index(name)][row] or "" for name in names[len(self._table.columns) :]}
            uuid = plain[names.index(ENTITY_UUID)][row] if self._table.tracked else ""
            self.documents.append(
                Document(
                    PartEntry(name, size, sha256, 1, key=key), str(uuid or ""), extra.get(ORIGIN_COLUMN, ""),
                    extra.get(KEY_COLUMN, ""),
                )
            )  # fmt: skip

    def abandon(self) -> None:
        """Do nothing: every document is complete."""

    def _plain(self, batch: pa.RecordBatch, name: str) -> list[Any]:
        try:
            return list(batch.column(name).to_pylist())
        except (ValueError, OverflowError) as error:
            raise ValueLossError(
                "a value cannot be written as JSON exactly", where=f"{self._table.name}.{name}",
                hint='choose encoding="columns"',
            ) from error  # fmt: skip


def read_documents(
    entry: TableEntry, content: Callable[[PartEntry], bytes], *, package: str, batch_rows: int
) -> Iterator[pa.RecordBatch]:
    """Read the documents of a table in batches.

    Parameters
    ----------
    entry : TableEntry
    content : callable
        Takes a part, returns its bytes, compared with the recorded sha256.
    package : str
        For errors.
    batch_rows : int

    Raises
    ------
    PackageError
        A document is not what the manifest says.
    """
    types = column_types(entry.table, foreign_identity=entry.foreign_identity)
    rows: list[tuple[str, list[Any]]] = []
    size = 0
    for part in entry.parts:
        where = f"{package}: {part.member}"
        rows.append((where, _values(content(part), types, where)))
        size += part.bytes
        if len(rows) >= batch_rows or size >= BATCH_BYTES:
            yield _batch(rows, types)
            rows, size = [], 0
    if rows:
        yield _batch(rows, types)


def _values(data: bytes, types: Mapping[str, LogicalType], where: str) -> list[Any]:
    document = read_json(data, where=where, limit=MAX_DOCUMENT_BYTES)
    if not isinstance(document, dict) or document.keys() != types.keys():
        raise PackageError("has other columns than the manifest says", where=where)
    return [document[name] for name in types]


def _batch(rows: Sequence[tuple[str, list[Any]]], types: Mapping[str, LogicalType]) -> pa.RecordBatch:
    import pyarrow as pa

    try:
        arrays = [from_json([values[place] for _, values in rows], kind) for place, kind in enumerate(types.values())]
    except ValueLossError as error:
        if len(rows) == 1:
            raise PackageError(error.message, where=rows[0][0]) from None
        for row in rows:
            _batch([row], types)
        raise PackageError(error.message, where=rows[0][0]) from None
    return pa.RecordBatch.from_arrays(arrays, names=list(types))
