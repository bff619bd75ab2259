"""The semantic digest: equal exactly for equal content, whatever the surrogate keys, the encoding and the origin are.

Definition
----------
Tables without rows are left out. ``H`` is BLAKE2b with 16 bytes of digest.

1. A **value** is written as a tag of one byte, its length in 4 bytes, and its bytes (all integers little-endian):

   ======================================  =====  =========================================================
   NULL                                    0      nothing
   integer, boolean                        ``i``  8 bytes, two's complement; ``I`` from 2^63 on
   float of any width                      ``f``  8 bytes, IEEE 754; every NaN is the quiet one
   text, uuid, json, enum, native          ``t``  UTF-8
   decimal                                 ``d``  its text
   bytes                                   ``b``  as they are
   date, time, timestamp, timestamptz      ``D``, ``T``, ``S``, ``Z``; 8 bytes: days, or microseconds
   any                                     as the value that it holds
   ======================================  =====  =========================================================

2. The **own part** of a row is ``H`` of its values in the order of their columns' names. Left out are: the surrogate
   key (a primary key of one integer column that refers to nothing), ``entity_uuid``, ``imported_from_uuid``, the
   reserved columns, and the columns of foreign keys whose parent table has a place in the schema.
3. The **hash of a row** is its own part if the table has no such foreign keys, else ``H`` of its own part followed by
   17 bytes for each of them, in the order of (columns, parent, parent columns): ``p`` and the hash of the parent row if
   there is one, else ``r`` and ``H`` of the foreign key's own values. Tables that refer to each other in a circle all
   have as many places as the one with the most; those that a table does not need are zero bytes.
4. **Rows that depend on themselves**, over any number of steps, cannot be hashed so. Those that lie on a circle (found
   by taking away, again and again, rows without open parents, then rows without open children) start with ``H`` of the
   same bytes, a parent on a circle standing as 17 bytes of ``c``; then all are hashed again from the hashes of the
   round before, until the number of different hashes no longer grows. Then the others follow by rule 3.
5. The **digest of a table** is SHA-256 of the JSON array ``[name, columns, foreign keys]`` (the columns that are hashed
   in their order; each foreign key as ``[columns, parent, parent columns]``), a zero byte, and the sorted hashes of its
   rows.
6. The **digest** is SHA-256 of the tables in the order of their names: length of the name in 4 bytes, the name, number
   of rows in 8 bytes, digest of the table.

Work grows with rows times columns, plus circles times rounds; nothing is compared pair by pair. The refinement of rule
4 is that of Weisfeiler and Leman (1968).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datatransfer.package.cycles import hash_component
from datatransfer.package.linking import Held, find_parents, hold, needed_columns, together
from datatransfer.package.values import as_blobs, fixed_hashes, hashes_of
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID, ForeignKey, Schema, Table

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Bytes = npt.NDArray[np.uint8]
    Places = npt.NDArray[np.int64]

RowsOf = Callable[[str], "Iterable[pa.RecordBatch]"]
EAGER_ROWS = 200_000
"""Up to so many rows the digest is computed when a package is made."""


def semantic_digest(schema: Schema, rows_of: RowsOf) -> str:
    """Return the digest of some tables.

    Parameters
    ----------
    schema : Schema
        Tables with definite types; it also says which foreign keys count.
    rows_of : callable
        Takes the name of a table and returns its rows as Arrow batches, in any order.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    tables = table_digests(schema, rows_of)
    whole = hashlib.sha256()
    for name in sorted(tables):
        rows, digest = tables[name]
        encoded = name.encode()
        whole.update(len(encoded).to_bytes(4, "little") + encoded + rows.to_bytes(8, "little") + bytes.fromhex(digest))
    return whole.hexdigest()


def table_digests(schema: Schema, rows_of: RowsOf) -> dict[str, tuple[int, str]]:
    """Return rows and digest of every table that has rows; see `semantic_digest`."""
    from datatransfer.schema.graph import DependencyGraph

    done: dict[str, _Rows] = {}
    for component in DependencyGraph(schema).components:
        found = [_read(schema, schema.table(name), rows_of(name)) for name in component]
        done.update({rows.table.name: rows for rows in found})
        _hash(found, done)
    return {name: (len(rows.hashes), _table_digest(rows)) for name, rows in done.items() if len(rows.hashes)}


@dataclass
class _Rows:
    """What is kept of a table's rows: their own parts, and the columns that references need."""

    table: Table
    columns: list[str]
    foreign_keys: list[ForeignKey]
    own: Bytes
    held: Held
    hashes: Bytes = field(init=False)


def _read(schema: Schema, table: Table, batches: Iterable[pa.RecordBatch]) -> _Rows:
    import numpy as np

    keys = [fk for fk in table.foreign_keys if fk.parent in schema]
    keys.sort(key=lambda fk: (fk.columns, fk.parent, fk.parent_columns))
    replaced = {column for fk in keys for column in fk.columns}
    replaced |= {ENTITY_UUID, IMPORTED_FROM_UUID, table.surrogate or ""}
    names = sorted(set(table.column_names) - replaced)
    own: list[Bytes] = []

    def hashed() -> Iterator[pa.RecordBatch]:
        for batch in batches:
            own.append(hashes_of(as_blobs(batch, [(name, table.by_name[name].type) for name in names])))
            yield batch

    held = hold(table, hashed(), needed_columns(table, schema.foreign_keys()))
    return _Rows(table, names, keys, np.concatenate(own) if own else np.empty((0, 16), np.uint8), held)


def _hash(found: Sequence[_Rows], done: Mapping[str, _Rows]) -> None:
    """Fill in the hashes of the tables of one component, whose parents outside it are done."""
    if len(found) == 1 and not any(fk.is_self for fk in found[0].foreign_keys):
        rows = found[0]
        rows.hashes = fixed_hashes(_with_parents(rows, done, {}, len(rows.foreign_keys))[0])
        return
    inside = {rows.table.name: rows for rows in found}
    offsets, total = {}, 0
    for rows in found:
        offsets[rows.table.name] = total
        total += len(rows.own)
    most = max(len(rows.foreign_keys) for rows in found)
    hashes = hash_component([_with_parents(rows, done, offsets, most) for rows in found])
    for name, rows in inside.items():
        rows.hashes = hashes[offsets[name] : offsets[name] + len(rows.own)]


def _with_parents(
    rows: _Rows, done: Mapping[str, _Rows], offsets: Mapping[str, int], places: int
) -> tuple[Bytes, Places]:
    """Return the bytes that are hashed for each row, and for each foreign key the open parents' numbers, else -1."""
    import numpy as np

    count = len(rows.own)
    content = np.zeros((count, 16 + 17 * places), np.uint8)
    content[:, :16] = rows.own
    parents = np.full((count, places), -1, np.int64)
    for place, fk in enumerate(rows.foreign_keys):
        parent = done[fk.parent]
        at = find_parents(rows.held, parent.held, fk)
        begin = 16 + 17 * place
        lost = np.flatnonzero(at < 0)
        content[lost, begin] = ord("r")
        content[lost, begin + 1 : begin + 17] = _raw(rows, fk, lost)
        there = np.flatnonzero(at >= 0)
        content[there, begin] = ord("p")
        if fk.parent in offsets:
            parents[there, place] = at[there] + offsets[fk.parent]
        else:
            content[there, begin + 1 : begin + 17] = parent.hashes[at[there]]
    if not places:
        content = rows.own
    return content, parents


def _raw(rows: _Rows, fk: ForeignKey, which: Places) -> Bytes:
    import numpy as np
    import pyarrow as pa

    batch = together(rows.held, fk.columns).take(pa.array(which))
    blobs = as_blobs(batch, [(name, rows.table.by_name[name].type) for name in fk.columns]).dictionary_encode()
    found: Bytes = hashes_of(blobs.dictionary)[np.asarray(blobs.indices)]
    return found


def _table_digest(rows: _Rows) -> str:
    import numpy as np

    keys = [[list(fk.columns), fk.parent, list(fk.parent_columns)] for fk in rows.foreign_keys]
    head = json.dumps([rows.table.name, rows.columns, keys], ensure_ascii=False, separators=(",", ":")).encode()
    words = np.ascontiguousarray(rows.hashes).view(">u8")
    ordered = rows.hashes[np.lexsort((words[:, 1], words[:, 0]))]
    return hashlib.sha256(head + b"\0" + ordered.tobytes()).hexdigest()
