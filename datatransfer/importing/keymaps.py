"""What receipts know: which key in the target belongs to which key of which source database.

Key maps are stored in the ledger as Arrow tables with columns ``s.<column>``, ``t.<column>``, ``action`` and, for rows
whose identity comes from a third database, ``origin`` and ``key``. A key value is a 64-bit integer or tagged text
(`datatransfer.schema.values.tag`). Here they are written, and laid beside the stage for matching.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from datatransfer.database import ledger
from datatransfer.importing.actions import Action
from datatransfer.importing.remap import TablePlan
from datatransfer.schema.identity import canonical_key
from datatransfer.schema.tables import Table
from datatransfer.schema.values import LogicalType, tag, untag

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.writers import Writer

_TEXT = LogicalType("text")


def key_array(values: Sequence[Any]) -> pa.Array:
    """Return key values as the ledger keeps them."""
    import pyarrow as pa

    if all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return pa.array(values, type=pa.int64())
    plain = [v if v is None or isinstance(v, int | float | str | bytes) else str(v) for v in values]
    return pa.array([tag(v) for v in plain], type=pa.string())


def key_values(array: pa.Array) -> list[Any]:
    """Return what `key_array` took."""
    import pyarrow as pa

    values = array.to_pylist()
    return values if pa.types.is_integer(array.type) else [untag(v) for v in values]


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
            found = self._maps(table) if self._there else iter(())
            self._has[table] = next(iter(found), None) is not None
        return self._has[table]

    def _maps(self, table: str) -> Iterator[tuple[str, pa.Table]]:
        """Yield (origin of the source, key map), newest first."""
        records = {r.import_id: r for r in ledger.list_imports(self.writer.conn, state="merged")}
        for import_id, _, keys in ledger.key_maps(self.writer.conn, table=table):
            if import_id in records:
                yield records[import_id].origin, keys

    def tables_of(self, plan: TablePlan) -> list[KnownTable]:
        """Lay the known keys that concern a staged table beside it."""
        found: list[KnownTable] = []
        name = plan.fit.target.name
        if self.has(name):
            native = (
                self._native_rows(plan, keys) for origin, keys in self._maps(name) if origin == self.package_origin
            )
            columns = [plan.staged.stage_of_source(c) for c in plan.fit.source.key]
            kinds = [plan.fit.by_source(c).kind for c in plan.fit.source.key]  # type: ignore[union-attr]
            found += self._lay(plan, native, tuple(str(c) for c in columns), kinds, native=True)
        if plan.staged.has_foreign:
            rows = self._foreign_rows(plan)
            found += self._lay(plan, rows, ("o", "k"), [_TEXT, _TEXT], native=False)
        return found

    def _native_rows(self, plan: TablePlan, keys: pa.Table) -> tuple[list[pa.Array], list[pa.Array]]:
        import pyarrow.compute as pc

        if "key" in keys.column_names:
            keys = keys.filter(pc.is_null(keys["key"]))
        source = [keys[f"s.{c}"].combine_chunks() for c in plan.fit.source.key]
        target = [keys[f"t.{c}"].combine_chunks() for c in plan.key]
        return source, target

    def _foreign_rows(self, plan: TablePlan) -> Iterator[tuple[list[pa.Array], list[pa.Array]]]:
        """Yield identities from third databases: those that receipts know, and our own rows coming home."""
        import pyarrow as pa

        for origin, keys in self._maps(plan.fit.target.name) if self.has(plan.fit.target.name) else ():
            target = [keys[f"t.{c}"].combine_chunks() for c in plan.key]
            sources = list(
                zip(*(key_values(keys[f"s.{c}"].combine_chunks()) for c in plan.fit.source.key), strict=True)
            )
            texts = [canonical_key(values) for values in sources]
            origins = [origin] * len(texts)
            if "key" in keys.column_names:
                own = keys["key"].to_pylist()
                theirs = keys["origin"].to_pylist()
                texts = [k or text for k, text in zip(own, texts, strict=True)]
                origins = [o or first for o, first in zip(theirs, origins, strict=True)]
            yield [pa.array(origins, type=pa.string()), pa.array(texts, type=pa.string())], target
        home = self.writer.run(
            f"SELECT DISTINCT k FROM {self.writer.stage_name('s', plan.number)} WHERE o = '{self.target_origin}'"
        ).scalars()
        texts = [str(text) for text in home]
        parsed = [json.loads(text) for text in texts]
        if parsed:
            values = [key_array([self._plain(row[i]) for row in parsed]) for i in range(len(plan.key))]
            yield [pa.array([self.target_origin] * len(texts)), pa.array(texts)], values

    @staticmethod
    def _plain(value: Any) -> Any:
        return bytes.fromhex(value["b"]) if isinstance(value, dict) else value

    def _lay(
        self,
        plan: TablePlan,
        rows: Iterator[tuple[list[pa.Array], list[pa.Array]]],
        stage_columns: tuple[str, ...],
        kinds: Sequence[LogicalType],
        *,
        native: bool,
    ) -> list[KnownTable]:
        import pyarrow as pa

        target_kinds = [plan.fit.fit_of(c).kind for c in plan.key]
        found = []
        for source, target in rows:
            if len(source[0]) == 0:
                continue
            number, self._number = self._number, self._number + 1
            names = [f"s{i}" for i in range(len(source))] + [f"t{i}" for i in range(len(target))]
            if native:
                arrays = [self._staged(a, k) for a, k in zip([*source, *target], [*kinds, *target_kinds], strict=True)]
            else:
                arrays = source + [self._staged(a, k) for a, k in zip(target, target_kinds, strict=True)]
            types = [self.writer.key_type_of(k) for k in (*kinds, *target_kinds)]
            sql = self.writer.create("l", number, list(zip(names, types, strict=True)), keyed=False)
            tagged = [n for n, k in zip(names, (*kinds, *target_kinds), strict=True) if k.kind == "any"]
            batch = pa.RecordBatch.from_arrays(arrays, names=names)
            schema = batch.schema.with_metadata({"tagged": ",".join(tagged)} if tagged else None)
            self.writer.load("l", number, schema, [batch])
            self.writer.index("l", number, [f"s{i}" for i in range(len(source))])
            self.writer.analyze("l", number)
            found.append(KnownTable(sql, stage_columns, tuple(target_kinds), native))
        return found

    def _staged(self, array: pa.Array, kind: LogicalType) -> pa.Array:
        """Return known key values as they are staged for a kind."""
        import pyarrow as pa

        if kind.kind == "any":
            return array if pa.types.is_string(array.type) else pa.array([tag(v) for v in array.to_pylist()])
        if pa.types.is_integer(array.type):
            return array if kind.kind == "integer" else array.cast(pa.string())
        values = key_values(array)
        if kind.kind in ("integer", "float", "bytes", "boolean"):
            return pa.array(values, type=kind.arrow())
        text = pa.array([None if v is None else str(v) for v in values], type=pa.string())
        return text if self.writer.name == "sqlite" else text.cast(kind.arrow())

    def not_imported(self, plan: TablePlan, alias: str) -> str:
        """Return SQL that leaves out rows of the target whose identity lies in another database."""
        if not self.has(plan.fit.target.name):
            return ""
        inserted = []
        for origin, keys in self._maps(plan.fit.target.name):
            if origin != self.target_origin:
                mask = [action == Action.INSERT for action in keys["action"].to_pylist()]
                inserted.append(keys.filter(mask))
        rows = ([k[f"t.{c}"].combine_chunks() for c in plan.key] for k in inserted)
        kinds = [plan.fit.fit_of(c).kind for c in plan.key]
        parts = []
        for laid in self._lay_targets(rows, kinds):
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

    def of_parent(self, parent: Table, columns: Sequence[str], kinds: Sequence[LogicalType]) -> list[str]:
        """Lay the known keys of a parent that is not in the package: in its source, then in the target."""
        if tuple(columns) != parent.key or not self.has(parent.name):
            return []
        laid = []
        for origin, keys in self._maps(parent.name):
            names = [f"s.{c}" for c in columns] + [f"t.{c}" for c in columns]
            if origin == self.package_origin and set(names) <= set(keys.column_names):
                laid += self._lay_targets(iter([[keys[n].combine_chunks() for n in names]]), [*kinds, *kinds])
        return laid

    def _lay_targets(self, rows: Iterator[list[pa.Array]], kinds: list[LogicalType]) -> list[str]:
        import pyarrow as pa

        laid = []
        for source in rows:
            if len(source[0]) == 0:
                continue
            number, self._number = self._number, self._number + 1
            names = [f"s{i}" for i in range(len(source))]
            arrays = [self._staged(a, k) for a, k in zip(source, kinds, strict=True)]
            types = [self.writer.key_type_of(k) for k in kinds]
            laid.append(self.writer.create("l", number, list(zip(names, types, strict=True)), keyed=False))
            tagged = [n for n, k in zip(names, kinds, strict=True) if k.kind == "any"]
            batch = pa.RecordBatch.from_arrays(arrays, names=names)
            schema = batch.schema.with_metadata({"tagged": ",".join(tagged)} if tagged else None)
            self.writer.load("l", number, schema, [batch])
            self.writer.index("l", number, names)
        return laid
