"""Key and UUID of every row of a package."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from datatransfer.package.contents import Contents
from datatransfer.schema.identity import KEY_COLUMN, ORIGIN_COLUMN, canonical_key, entity_uuid
from datatransfer.schema.tables import ENTITY_UUID


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
    keys, kinds = entry.table.key, [entry.table.by_name[name].type for name in entry.table.key]
    extra = [ENTITY_UUID] if entry.table.tracked else []
    extra += [ORIGIN_COLUMN, KEY_COLUMN] if entry.foreign_identity else []
    wanted = list(dict.fromkeys([*keys, *extra]))
    if not wanted:
        yield from (Identity("", "") for _ in range(entry.rows))
        return
    for batch in contents.batches(table, columns=wanted):
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
