"""Key and UUID of every row of a package."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datatransfer.package.contents import Contents
from datatransfer.package.manifest import TableEntry
from datatransfer.schema.identity import KEY_COLUMN, ORIGIN_COLUMN, canonical_key, entity_uuid
from datatransfer.schema.tables import ENTITY_UUID

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a row is.

    Parameters
    ----------
    key : str
        Its canonical key, empty for a table without a key.
    uuid : str
        Empty if nothing tells it.
    """

    key: str
    uuid: str


def identities(contents: Contents, table: str, origin: uuid.UUID) -> Iterator[Identity]:
    """Yield key and UUID of every row of a table, in the order of the rows.

    Parameters
    ----------
    contents : Contents
    table : str
    origin : uuid.UUID
        Of rows that do not name another.
    """
    entry = contents.manifest.by_table[table]
    wanted = identity_columns(entry)
    if not wanted:
        yield from (Identity("", "") for _ in range(entry.rows))
        return
    yield from identities_of(entry, contents.batches(table, columns=wanted), origin)


def identity_columns(entry: TableEntry) -> list[str]:
    """Return the columns that tell who a row of a table is; none if nothing does."""
    extra = [ENTITY_UUID] if entry.table.tracked else []
    extra += [ORIGIN_COLUMN, KEY_COLUMN] if entry.foreign_identity else []
    return list(dict.fromkeys([*entry.table.key, *extra]))


def identities_of(entry: TableEntry, batches: Iterable[pa.RecordBatch], origin: uuid.UUID) -> Iterator[Identity]:
    """Yield key and UUID of the rows in some batches of a table, which hold at least its `identity_columns`."""
    table, keys, wanted = entry.table.name, entry.table.key, identity_columns(entry)
    kinds = [entry.table.by_name[name].type for name in keys]
    for batch in batches:
        plain: dict[str, list[Any]] = {name: batch.column(name).to_pylist() for name in wanted}
        nothing: list[Any] = [None] * batch.num_rows
        recorded = (plain.get(name, nothing) for name in (ENTITY_UUID, ORIGIN_COLUMN, KEY_COLUMN))
        columns = zip(*(plain[name] for name in keys), strict=True) if keys else ((),) * batch.num_rows
        for values, own, other, other_key in zip(columns, *recorded, strict=True):
            key = canonical_key(values, kinds) if keys else ""
            yield Identity(key, _uuid(table, key, origin, (own, other, other_key)))


def _uuid(table: str, key: str, origin: uuid.UUID, recorded: tuple[str | None, str | None, str | None]) -> str:
    own, other, other_key = recorded
    if own:
        return own
    if other and other_key:
        return str(entity_uuid(uuid.UUID(other), table, other_key))
    return str(entity_uuid(origin, table, key)) if key else ""
