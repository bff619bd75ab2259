"""Rows that came from another database keep their identity: what earlier imports recorded, beside the rows that pass.

Whoever reads rows may ask for them, to export or to compare; nothing is known here of packages.

Nothing is asked of the database row by row, and rows are read as if nothing were recorded: the key maps of a table are
held as Arrow columns, one set an import, and the keys of each batch are looked up in them as a whole.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING, Any

from datatransfer.database import ledger
from datatransfer.schema.arrays import integer_array
from datatransfer.schema.finding import IntegerFinder, TextFinder
from datatransfer.schema.identity import KEY_COLUMN, ORIGIN_COLUMN, canonical_keys
from datatransfer.schema.keycolumns import joined, key_values
from datatransfer.schema.keynames import kept_names
from datatransfer.schema.tables import Table

if TYPE_CHECKING:
    import pyarrow as pa
    import sqlalchemy as sa


@dataclass(frozen=True)
class Inserted:
    """The rows of one table that one import inserted.

    Parameters
    ----------
    table : Table
        With definite types of its key.
    origin : str
        Where they are from, unless `theirs` says otherwise.
    here, there : tuple of pyarrow.Array
        The columns of their keys in this database and in that one, as receipts keep them.
    theirs : tuple of pyarrow.Array, optional
        Origin and canonical key of rows that were at home in neither; the key alone of those that had another type.
    """

    table: Table
    origin: str
    here: tuple[pa.Array, ...]
    there: tuple[pa.Array, ...]
    theirs: tuple[pa.Array, pa.Array] | None

    def texts_here(self, padded: Collection[str]) -> pa.Array:
        """Return the canonical keys in this database, without what fills the columns up that are padded."""
        kinds = [self.table.column(name).type for name in self.table.key]
        named = zip(self.table.key, self.here, strict=True)
        here = [_bare(array) if name in padded else array for name, array in named]
        return kept_names(here, kinds)

    def identities(self, places: pa.Array) -> tuple[pa.Array, pa.Array]:
        """Return origin and canonical key of the rows at some places, NULL where a place is NULL."""
        import pyarrow as pa
        import pyarrow.compute as pc

        kinds = [self.table.column(name).type for name in self.table.key]
        kinds += kinds[-1:] * (len(self.there) - len(kinds))
        there = [array.take(places) for array in self.there]
        nothing = pa.scalar(None, pa.string())
        known = places.is_valid()
        keys = pc.if_else(known, kept_names(there, kinds[: len(there)]), nothing)
        origins = pc.if_else(known, pa.scalar(self.origin), nothing)
        if self.theirs is not None:
            first = self.theirs[0].take(places)
            keys = pc.coalesce(self.theirs[1].take(places), keys)
            origins = pc.coalesce(first, origins)
        return origins, keys


class Recorded:
    """The identities of a table's imported rows.

    Parameters
    ----------
    table : Table
        As its rows are read.
    inserted : sequence of Inserted
        The newest import first: it counts where several name a row.
    padded : collection of str
        Columns of the key whose texts the database fills up with spaces, or shows without: no part of the key.
    """

    def __init__(self, table: Table, inserted: Sequence[Inserted], padded: Collection[str] = ()) -> None:
        import pyarrow as pa

        self._table = table
        self._padded = padded
        self._inserted = inserted
        types = [one.here[0].type for one in inserted] + [table.column(table.key[0]).type.arrow()]
        self._by_number = len(table.key) == 1 and all(found == pa.int64() for found in types)
        self._finders = [
            IntegerFinder(one.here[0]) if self._by_number else TextFinder(one.texts_here(padded)) for one in inserted
        ]

    def beside(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Return a batch with origin and key as its last columns, NULL for rows that are at home here."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = self._table.key
        keys = [_bare(batch.column(name)) if name in self._padded else batch.column(name) for name in names]
        wanted = keys[0] if self._by_number else canonical_keys(keys, [self._table.column(n).type for n in names])
        origins = texts = pa.nulls(batch.num_rows, pa.string())
        for one, finder in zip(self._inserted, self._finders, strict=True):
            found = finder.find(wanted)
            if (found >= 0).any():
                more = one.identities(integer_array(found, found >= 0))
                origins, texts = pc.coalesce(origins, more[0]), pc.coalesce(texts, more[1])
            if not origins.null_count:
                break
        columns = [*batch.schema.names, ORIGIN_COLUMN, KEY_COLUMN]
        return pa.RecordBatch.from_arrays([*batch.columns, origins, texts], names=columns)


class Identities:
    """What the receipts of a database say of its imported rows.

    Parameters
    ----------
    conn : sqlalchemy.Connection
        Of the snapshot in which the rows are read.
    space : str or None
        The schema that our own tables are in.
    check : callable, optional
        Called between pieces; raises to stop.
    """

    def __init__(self, conn: sa.Connection, space: str | None, check: Callable[[], None] = lambda: None) -> None:
        self._conn = conn
        self._space = space
        self._check = check

    @cached_property
    def _kept(self) -> dict[str, str]:
        return _kept_imports(self._conn, self._space)

    def recorded(self, table: Table) -> Recorded | None:
        """Return the identities recorded for a table's rows, None if there are none.

        Parameters
        ----------
        table : Table
            With definite types.
        """
        if not table.key or table.tracked:
            return None
        inserted = list(self._inserted(table))
        server = self._conn.dialect.name != "sqlite"
        padded = {c.name for c in table.columns if server and c.padded}
        return Recorded(table, inserted, padded) if inserted else None

    def keys_of(self, table: Table, wanted: Sequence[uuid.UUID]) -> list[tuple[Any, ...]]:
        """Return the keys of rows that were imported with one of these UUIDs."""
        import numpy as np

        uuids, found = set(wanted), []
        for one in self._inserted(table):
            everything = integer_array(np.arange(len(one.here[0]), dtype=np.int64))
            origins, texts = (column.to_pylist() for column in one.identities(everything))
            # A UUID is a hash of these two, so that there is no other way than to make each.
            places = [
                place
                for place, (origin, text) in enumerate(zip(origins, texts, strict=True))
                if uuid.uuid5(uuid.UUID(origin), f"{table.name}\n{text}") in uuids
            ]
            rows = integer_array(np.array(places, dtype=np.int64))
            found += list(zip(*(key_values(array.take(rows)) for array in one.here), strict=True))
        return found

    def _inserted(self, table: Table) -> Iterator[Inserted]:
        """Yield what each merged import that kept identities inserted into a table, the newest first."""
        if not self._kept:
            return
        maps = ledger.key_maps(self._conn, table=table.name, schema=self._space)
        for import_id, group in groupby(maps, key=lambda item: item[0]):
            origin = self._kept.get(import_id)
            chunks = []
            for _, _, chunk in group:
                self._check()
                if origin is not None:
                    chunks.append(_inserts(chunk))
            made = _together(table, origin, chunks) if origin is not None else None
            if made is not None:
                yield made


def _bare(texts: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    return pc.utf8_rtrim(texts, characters=" ") if pa.types.is_string(texts.type) else texts


def _kept_imports(conn: sa.Connection, space: str | None) -> dict[str, str]:
    """Return the origins of the merged imports whose rows kept their identity; copies are rows of this database."""
    if not ledger.has_ledger(conn, space):
        return {}
    merged = [record for record in ledger.list_imports(conn, schema=space) if record.state == "merged"]
    return {str(r.import_id): str(r.origin) for r in merged if r.options.get("identity") != "copy"}


def _inserts(chunk: pa.Table) -> pa.Table:
    import pyarrow.compute as pc

    if "action" not in chunk.column_names:
        return chunk
    mine = pc.equal(chunk["action"], "insert")
    return (chunk if pc.all(mine, min_count=0).as_py() else chunk.filter(mine)).drop_columns(["action"])


def _together(table: Table, origin: str, chunks: Sequence[pa.Table]) -> Inserted | None:
    """Return the pieces of one import's key map as one."""
    wanted = [f"t.{name}" for name in table.key]
    pieces = [chunk for chunk in chunks if chunk.num_rows and set(wanted) <= set(chunk.column_names)]
    if not pieces:
        return None

    def column(name: str) -> pa.Array:
        return joined([array for piece in pieces for array in piece[name].chunks])

    there = [name for name in pieces[0].column_names if name.startswith("s.")]
    theirs: Any = None
    if "origin" in pieces[0].column_names:
        theirs = (column("origin"), column("key"))
    return Inserted(table, origin, tuple(map(column, wanted)), tuple(map(column, there)), theirs)
