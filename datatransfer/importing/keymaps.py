"""What receipts know: which key in the target belongs to which key of which source database.

Key maps are stored in the ledger as Arrow tables with columns ``s.<column>``, ``t.<column>``, ``action`` and, for rows
whose identity comes from a third database, ``origin`` and ``key``; ``key`` alone for those that ``s.<column>`` does not
name as their own database does, because it has another type. A key value is a 64-bit integer or tagged text
(`datatransfer.schema.keycolumns`). Here they are laid beside the stage for matching, in bulk: a table an import, or one
for many small imports that agree.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

from datatransfer.database import ledger
from datatransfer.importing.actions import Action, Identity
from datatransfer.importing.remap import TablePlan
from datatransfer.schema.keycolumns import (
    TIMES,
    as_times,
    from_canonical,
    joined,
    key_values,
    of_one_class,
    tagged,
)
from datatransfer.schema.keynames import kept_names
from datatransfer.schema.tables import Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.writers import Writer

_TEXT = LogicalType("text")
_BATCH_ROWS = 65_536


@dataclass(frozen=True)
class KnownTable:
    """A staging table of known keys: source key ``s0…`` and target key ``t0…``."""

    sql: str
    stage_columns: tuple[str, ...]
    kinds: tuple[LogicalType, ...]
    native: bool


class KnownKeys:
    """The key maps of a target's receipts, for one import.

    Parameters
    ----------
    writer : Writer
    package_origin, target_origin : uuid.UUID
    """

    def __init__(self, writer: Writer, package_origin: uuid.UUID, target_origin: uuid.UUID) -> None:
        self.writer = writer
        self.package_origin = str(package_origin)
        self.target_origin = str(target_origin)
        self._number = 0
        self._there = ledger.has_ledger(writer.conn)
        self._has: dict[str, bool] = {}

    def has(self, table: str) -> bool:
        """Return whether receipts know keys of a table."""
        if table not in self._has:
            found = self._chunks(table) if self._there else iter(())
            self._has[table] = next(iter(found), None) is not None
        return self._has[table]

    @cached_property
    def _imports(self) -> dict[str, ledger.ImportRecord]:
        return {r.import_id: r for r in ledger.list_imports(self.writer.conn, state="merged")} if self._there else {}

    def _chunks(self, table: str, *, copies: bool = False) -> Iterator[tuple[ledger.ImportRecord, pa.Table]]:
        """Yield an import and a part of its key map, newest first; on request only of imports that made copies."""
        for import_id, record in reversed(self._imports.items()) if copies else ():
            if _made_copies(record):
                maps = ledger.key_maps(self.writer.conn, table=table, import_id=import_id)
                yield from ((record, keys) for _, _, keys in maps)
        for import_id, _, keys in () if copies else ledger.key_maps(self.writer.conn, table=table):
            if import_id in self._imports:
                yield self._imports[import_id], keys

    def _maps(self, table: str, *, inserted: bool = False) -> Iterator[tuple[str, Iterator[pa.Table]]]:
        """Yield (origin of the source, the parts of its key map) of each import, newest first.

        Rows that came as copies are entities of their own: they count last, where nothing else is known. ``inserted``:
        only rows that imports made, and no copies.
        """
        if not self.has(table):
            return
        for copies in (False,) if inserted else (False, True):
            for record, group in groupby(self._chunks(table, copies=copies), key=lambda item: item[0]):
                parts: Iterator[pa.Table] = (keys for _, keys in group)
                if _made_copies(record):
                    if inserted:
                        continue
                    parts = map(partial(_inserts, wanted=copies), parts)
                elif inserted:
                    parts = map(_inserts, parts)
                yield record.origin, parts

    def tables_of(self, plan: TablePlan, *, inserted: bool = False) -> list[KnownTable]:
        """Lay the known keys that concern a staged table beside it, if asked only those of rows that imports made."""
        found: list[KnownTable] = []
        name = plan.fit.target.name
        if self.has(name):
            native = (
                self._together([self._native(plan, origin, keys) for keys in parts])
                for origin, parts in self._maps(name, inserted=inserted)
            )
            columns = [plan.staged.stage_of_source(c) for c in plan.fit.source.key]
            kinds = [plan.fit.by_source(c).kind for c in plan.fit.source.key]  # type: ignore[union-attr]
            found += self._lay(plan, native, tuple(str(c) for c in columns), kinds, native=True)
        if plan.staged.has_foreign:
            found += self._lay(plan, self._foreign(plan, inserted=inserted), ("o", "k"), [_TEXT, _TEXT], native=False)
        return found

    @staticmethod
    def _together(parts: Sequence[list[pa.Array]]) -> list[pa.Array]:
        """Return the columns of several parts as one array each."""
        parts = [columns for columns in parts if len(columns[0])]
        return [joined(column) for column in zip(*parts, strict=True)]

    def _native(self, plan: TablePlan, origin: str, keys: pa.Table) -> list[pa.Array]:
        """Return keys in the package's database and in the target, of rows that are at home in the former."""
        import pyarrow as pa
        import pyarrow.compute as pc

        key, target = plan.fit.source.key, [f"t.{c}" for c in plan.key]
        found = []
        if origin == self.package_origin:
            own = keys.filter(pc.is_null(keys["origin"])) if "origin" in keys.column_names else keys
            found.append([own[name].combine_chunks() for name in (*(f"s.{c}" for c in key), *target)])
        if "origin" in keys.column_names:
            home = keys.filter(pc.equal(keys["origin"], self.package_origin))
            parsed = from_canonical(home["key"].combine_chunks(), len(key))
            found.append([*parsed, *(home[name].combine_chunks() for name in target)])
        return self._together(found) or [pa.array([], pa.int64())] * (len(key) + len(target))

    def _foreign(self, plan: TablePlan, *, inserted: bool) -> Iterator[list[pa.Array]]:
        """Yield identities from third databases: those that receipts know, and our own rows coming home."""
        import pyarrow as pa

        stage = self.writer.stage_name("s", plan.number)
        origins = {str(o) for o in self.writer.run(f"SELECT DISTINCT o FROM {stage} WHERE o IS NOT NULL").scalars()}
        for origin, parts in self._maps(plan.fit.target.name, inserted=inserted):
            yield self._together([self._identities(plan, origin, keys, origins) for keys in parts])
        if inserted:
            return
        home = self.writer.run(f"SELECT DISTINCT k FROM {stage} WHERE o = '{self.target_origin}'").scalars().all()
        if home:
            texts = pa.array(home, type=pa.string())
            yield [pa.repeat(self.target_origin, len(texts)), texts, *from_canonical(texts, len(plan.key))]

    @staticmethod
    def _identities(plan: TablePlan, origin: str, keys: pa.Table, wanted: set[str]) -> list[pa.Array]:
        """Return origin, canonical key and key in the target, of rows from some databases."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = set(keys.column_names)
        if "origin" in names:
            origins = pc.coalesce(keys["origin"], pa.scalar(origin))
            mine = pc.is_in(origins, pa.array(sorted(wanted), type=pa.string()))
            keys, origins = keys.filter(mine), origins.filter(mine).combine_chunks()
        else:
            keys = keys if origin in wanted else keys.slice(0, 0)
            origins = pa.repeat(origin, keys.num_rows)
        kinds = [plan.fit.source.column(c).type for c in plan.fit.source.key]
        texts = kept_names([keys[f"s.{c}"].combine_chunks() for c in plan.fit.source.key], kinds)
        if "key" in names:
            texts = pc.coalesce(keys["key"].combine_chunks(), texts)
        return [origins, texts, *(keys[f"t.{c}"].combine_chunks() for c in plan.key)]

    def _lay(
        self,
        plan: TablePlan,
        maps: Iterator[list[pa.Array]],
        stage_columns: tuple[str, ...],
        kinds: Sequence[LogicalType],
        *,
        native: bool,
    ) -> list[KnownTable]:
        """Lay a table for each map: source columns, indexed, then the target's key."""
        target = [plan.fit.fit_of(c).kind for c in plan.key]
        width = len(stage_columns)
        names = [f"s{i}" for i in range(width)] + [f"t{i}" for i in range(len(target))]
        given = [*kinds, *target]
        found = []
        for arrays in gathered(maps, width):
            # What stands in the stage as text comes as text already.
            head = arrays[:width] if not native else list(map(self._staged, arrays[:width], kinds))
            laid = self._load(names, [*head, *map(self._staged, arrays[width:], target)], given, width)
            found.append(KnownTable(laid, stage_columns, tuple(target), native))
        return found

    def _load(
        self, names: Sequence[str], arrays: Sequence[pa.Array], kinds: Sequence[LogicalType], indexed: int
    ) -> str:
        """Load columns into a staging table of their own, indexed by the first of them; return its name."""
        number, self._number = self._number, self._number + 1
        return lay_keys(self.writer, ("l", number), names, arrays, kinds=kinds, indexed=indexed)

    def _staged(self, array: pa.Array, kind: LogicalType) -> pa.Array:
        return as_staged(self.writer, array, kind)

    def not_imported(self, plan: TablePlan, alias: str) -> str:
        """Return SQL that leaves out rows of the target whose identity lies in another database."""
        if not self.has(plan.fit.target.name):
            return ""
        kinds = [plan.fit.fit_of(c).kind for c in plan.key]
        rows = (
            self._together([[keys[f"t.{c}"].combine_chunks() for c in plan.key] for keys in chunks])
            for origin, chunks in self._maps(plan.fit.target.name, inserted=True)
            if origin != self.target_origin
        )
        parts = []
        for laid in self._lay_targets(rows, kinds, len(kinds)):
            on = " AND ".join(
                self.writer.equal(
                    f"{alias}.{self.writer.quote(c)}",
                    self.writer.expression(f"i.s{n}", kinds[n], plan.fit.target.by_name[c]),
                    plan.fit.target.by_name[c],
                )
                for n, c in enumerate(plan.key)
            )
            parts.append(f" AND NOT EXISTS (SELECT 1 FROM {laid} i WHERE {on})")
        return "".join(parts)

    def of_parent(
        self, parent: Table, source: Sequence[str], columns: Sequence[str], kinds: Sequence[LogicalType]
    ) -> list[str]:
        """Lay the known keys of a parent that is not in the package: in its source, then in the target."""
        if tuple(columns) != parent.key or not self.has(parent.name):
            return []
        names = [f"s.{c}" for c in source] + [f"t.{c}" for c in columns]
        rows = (
            self._together([[k[n].combine_chunks() for n in names] for k in parts if set(names) <= set(k.column_names)])
            for origin, parts in self._maps(parent.name)
            if origin == self.package_origin
        )
        return self._lay_targets(rows, [*kinds, *kinds], len(kinds))

    def _lay_targets(self, rows: Iterator[list[pa.Array]], kinds: Sequence[LogicalType], width: int) -> list[str]:
        """Lay sets of columns, the first of which tell what is meant, indexed by all; return the tables' names."""
        names = [f"s{i}" for i in range(len(kinds))]
        return [
            self._load(names, list(map(self._staged, arrays, kinds)), kinds, len(names))
            for arrays in gathered(rows, width)
        ]


def _made_copies(record: ledger.ImportRecord) -> bool:
    """Whether the rows that an import made have an identity of their own."""
    return bool(record.options.get("identity") == Identity.COPY)


def _inserts(keys: pa.Table, *, wanted: bool = True) -> pa.Table:
    """Return the rows of a key map that an import made, or the others."""
    import pyarrow.compute as pc

    return keys.filter((pc.equal if wanted else pc.not_equal)(keys["action"], str(Action.INSERT)))


def gathered(maps: Iterable[list[pa.Array]], width: int) -> Iterator[list[pa.Array]]:
    """Yield maps put together where they agree, so that many small imports do not cost a table and an index each.

    Parameters
    ----------
    maps : iterable of list of pyarrow.Array
        The newest first, which counts where two say different things of a key; those stay apart, in their order.
    width : int
        How many of the columns are the key that a map tells something of.
    """
    import pyarrow as pa

    held: pa.Table | None = None
    for arrays in maps:
        if not arrays or not len(arrays[0]):
            continue
        more = pa.table(arrays, names=[str(number) for number in range(len(arrays))])
        both = None if held is None else _agreeing(held, more, width)
        if both is None and held is not None:
            yield [column.combine_chunks() for column in held.columns]
        held = more if both is None else both
    if held is not None:
        yield [column.combine_chunks() for column in held.columns]


def _agreeing(held: pa.Table, more: pa.Table, width: int) -> pa.Table | None:
    """Return two maps as one, None if they contradict each other, or are too large for that to save anything."""
    import pyarrow as pa

    if held.schema != more.schema or held.num_rows + more.num_rows > _BATCH_ROWS:
        return None
    names = held.column_names
    both = pa.concat_tables([held, more]).group_by(names, use_threads=False).aggregate([]).select(names)
    keys = both.group_by(names[:width], use_threads=False).aggregate([])
    return both if keys.num_rows == both.num_rows else None


def lay_keys(
    writer: Writer,
    table: tuple[str, int],
    names: Sequence[str],
    arrays: Sequence[pa.Array],
    *,
    kinds: Sequence[LogicalType],
    indexed: int,
) -> str:
    """Load columns of keys into a new staging table, indexed by the first of them; return its name.

    Parameters
    ----------
    writer : Writer
    table : (str, int)
        Kind and number of the staging table.
    names, arrays, kinds : sequences
        Of the columns; the arrays as `as_staged` returns them.
    indexed : int
        How many columns.
    """
    import pyarrow as pa

    types = [writer.key_type_of(kind) for kind in kinds]
    sql = writer.create(*table, list(zip(names, types, strict=True)), keyed=False)
    tags = [name for name, kind in zip(names, kinds, strict=True) if kind.kind == "any"]
    whole = pa.RecordBatch.from_arrays(list(arrays), names=list(names))
    schema = whole.schema.with_metadata({"tagged": ",".join(tags)} if tags else None)
    batches = (whole.slice(start, _BATCH_ROWS) for start in range(0, whole.num_rows, _BATCH_ROWS))
    writer.load(*table, schema, batches)
    writer.index(*table, list(names[:indexed]))
    writer.analyze(*table)
    return sql


def _whole(values: Iterable[Any], kind: LogicalType) -> pa.Array:
    """Return keys as integers, also those that another database keeps as decimals: it shows them as text."""
    from decimal import Decimal, InvalidOperation

    import pyarrow as pa

    try:
        exact = [Decimal(value) if isinstance(value, str) else value for value in values]
    except InvalidOperation:
        raise ValueError("a key is no integer") from None
    return pa.array([None if value is None else int(value) for value in exact], type=kind.arrow())


def as_staged(writer: Writer, array: pa.Array, kind: LogicalType) -> pa.Array:
    """Return key values, as receipts keep them, as they are staged for a kind."""
    import pyarrow as pa

    if kind.kind == "any":
        return tagged(array)
    if pa.types.is_integer(array.type) and kind.kind not in ("boolean", "float"):
        return array if kind.kind == "integer" else array.cast(pa.string())
    if kind.kind == "boolean":  # receipts hold 0 and 1
        return pa.array([None if v is None else bool(v) for v in key_values(array)], type=pa.bool_())
    if kind.kind == "float":  # a driver may show a short float shortened; it is staged as a long one
        return pa.array(key_values(array), type=kind.arrow()).cast(pa.float64())
    if kind.kind == "bytes":
        return pa.array(key_values(array), type=kind.arrow())
    text = of_one_class(array, "i" if kind.kind == "integer" else "t")
    if kind.kind == "integer":
        return text.cast(kind.arrow()) if text is not None else _whole(key_values(array), kind)
    if text is None:
        text = pa.array([None if v is None else str(v) for v in key_values(array)], type=pa.string())
    if writer.name == "sqlite":
        return text
    return as_times(text, kind) if kind.kind in TIMES else text.cast(kind.arrow())
