"""Who a staged row is, beside its values.

``u`` is its UUID as 32 hexadecimal digits, where the table has them. ``o`` and ``k`` are origin and key of an identity
that comes from another database. Where the target keeps keys as another type, and the package's could not be told from
what becomes of them, each row has its ``k``, and ``o`` is NULL for those that are at home in the package's database.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from datatransfer.schema.identity import KEY_COLUMN, ORIGIN_COLUMN, canonical_keys
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.importing.staging import StagedTable


def identity_columns(table: StagedTable) -> list[str]:
    """Return the names of the columns that a table has."""
    return ["u"] * table.has_uuid + ["o", "k"] * table.has_keys


def identity_arrays(table: StagedTable, batch: pa.RecordBatch) -> list[pa.Array]:
    """Return these columns of a batch of the package."""
    import pyarrow as pa
    import pyarrow.compute as pc

    arrays: list[pa.Array] = []
    if table.has_uuid:
        text = batch.column(ENTITY_UUID)
        fit = table.fit.source.by_name[ENTITY_UUID]
        if fit.type.kind == "any":
            text = pc.utf8_slice_codeunits(text, 1)
        arrays.append(pc.utf8_lower(pc.replace_substring(text, "-", "")))
    if not table.has_keys:
        return arrays
    foreign = [ORIGIN_COLUMN, KEY_COLUMN] if table.has_foreign else []
    origins, keys = map(batch.column, foreign) if foreign else [pa.nulls(batch.num_rows, pa.string())] * 2
    if table.fit.changes_key:
        columns = [table.fit.source.column(name) for name in table.fit.source.key]
        keys = pc.coalesce(keys, canonical_keys([batch.column(c.name) for c in columns], [c.type for c in columns]))
    return [*arrays, origins, keys]


def make_copies(table: StagedTable, names: list[str], arrays: list[pa.Array]) -> None:
    """Give each row a UUID of its own and remember the package's in ``imported_from_uuid``."""
    import pyarrow as pa

    old = arrays[names.index("u")]
    for column, fit in table.columns:
        if fit.target.name in (ENTITY_UUID, IMPORTED_FROM_UUID):
            fresh = [uuid.uuid4() for _ in range(len(old))]
            wanted = fresh if fit.target.name == ENTITY_UUID else [v and uuid.UUID(v) for v in old.to_pylist()]
            short = "32" in fit.target.declared
            text = pa.array([None if v is None else (v.hex if short else str(v)) for v in wanted], type=pa.string())
            arrays[names.index(column)] = text
