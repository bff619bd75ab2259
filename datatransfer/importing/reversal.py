"""The writing half of an undo: rows deleted, brought back and restored, counted, and recorded as a change of its own.

Runs inside the one transaction of `datatransfer.importing.undo`, on rows that `TouchedRows` has sorted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from datatransfer.database import ledger
from datatransfer.database.dialects.base import RowSource
from datatransfer.display.plain import counted
from datatransfer.errors import MergeError, UndoConflictError
from datatransfer.events import Listener, Progress
from datatransfer.failpoints import failpoint
from datatransfer.importing.images import (
    DELETE,
    INSERT,
    UPDATE,
    Facts,
    before_image,
    counted_before,
    record_after,
    record_more,
)
from datatransfer.importing.keptmaps import base_of, keep_maps
from datatransfer.importing.orphaned import Orphaned
from datatransfer.importing.touched import REVERSIBLE, Touched, TouchedRows
from datatransfer.schema.graph import DependencyGraph
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.writers import Writer
    from datatransfer.importing.backup import Backup
    from datatransfer.schema.tables import Column, Table

_PARKED_LENGTH = 34
_NUMBER = LogicalType("integer", bits=64)


class Reversal:
    """Takes back one change.

    Parameters
    ----------
    touched : TouchedRows
    record : ImportRecord
        Of the change.
    backup : Backup, optional
        Gets the rows before they change.
    listener : callable
        Told after each table.
    """

    def __init__(
        self, touched: TouchedRows, record: ledger.ImportRecord, backup: Backup | None, listener: Listener
    ) -> None:
        self.backup = backup
        self.listener = listener
        self._done = self._total = 0
        self.touched = touched
        self.record = record
        self.writer: Writer = touched.writer
        self.warnings: list[str] = []
        self.counts: dict[str, dict[str, int]] = {}
        graph = DependencyGraph(touched.schema)
        order, self._circles = list(graph.order), graph.cycles
        names = sorted(touched.tables, key=lambda name: order.index(name) if name in order else len(order))
        self.tables = [touched.tables[name] for name in names]  # parents first
        self._before: dict[str, Any] = {}
        self._orphaned = Orphaned(touched, record)
        self._base = base_of(record, touched)

    # --- before -------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Keep other writers out, let triggers rest, and open cycles of foreign keys."""
        w = self.writer
        tables = [t.table for t in self.tables]
        children = [
            self.touched.schema.table(fk.table) for t in tables for fk in self.touched.schema.children_of(t.name)
        ]
        w.lock_tables(list(dict.fromkeys([*tables, *children])))
        fires = [table.name for table in tables if w.fires_triggers(table) and not w.may_alter(table)]
        self.warnings += [f"{name}: its triggers fired during the undo" for name in fires]
        w.prepare_tables(tables, suspend=True, bulk=(), cyclic=self._cyclic(), closed=False)

    def _cyclic(self) -> list[Table]:
        """Return tables whose foreign keys would be in the way: of cycles, and of rows that let go of others last."""
        members = {name for circle in self._circles if len(set(circle)) > 1 for name in circle}
        found = []
        for touched in self.tables:
            parents = [self.touched.tables.get(fk.parent) for fk in touched.table.foreign_keys]
            restored = UPDATE in touched.keys and any(p is not None and INSERT in p.keys for p in parents)
            if touched.table.name in members or restored:
                found.append(touched.table)
        return found

    # --- rows ---------------------------------------------------------------------------------------------------

    def run(self, *, keep_edited: bool) -> None:
        """Delete, bring back, restore; every step counted."""
        ledger.start_import(
            self.writer.conn,
            import_id=self.writer.import_id,
            package_id=self.record.package_id,
            package_digest="",
            origin=self.record.origin,
            options={
                "undo_of": self.record.import_id,
                "keep_edited": keep_edited,
                "identity": self._base.options.get("identity", ""),
            },
        )
        kinds = ((INSERT, "keys"), (DELETE, "before"), (UPDATE, "before"))
        self._total = sum(self._wanted(t, a) for t in self.tables for a, held in kinds if a in getattr(t, held))
        self.listener(Progress("undo", rows_total=self._total))
        for touched in self.tables:
            self._remember(touched)
        for touched in self.tables:
            self.writer.at = touched.table.name
            if UPDATE in touched.before:
                self._park(touched)
        for touched in reversed(self.tables):
            self.writer.at = touched.table.name
            if INSERT in touched.keys:
                self._count(touched, DELETE, self._delete(touched), self._wanted(touched, INSERT))
                failpoint("undo.table")
        for touched in self.tables:
            self.writer.at = touched.table.name
            if DELETE in touched.before:
                self._refuse_orphans(touched, DELETE, alone=True)
                self._count(touched, INSERT, self._bring_back(touched), self._wanted(touched, DELETE))
                failpoint("undo.table")
        for touched in self.tables:
            self.writer.at = touched.table.name
            if UPDATE in touched.before:
                self._refuse_orphans(touched, UPDATE, alone=True)
                self._count(touched, UPDATE, self._restore(touched), self._wanted(touched, UPDATE))
                failpoint("undo.table")
        self.writer.at = ""
        for touched in self.tables:
            for action in touched.before:
                self._refuse_orphans(touched, action, alone=False)

    def _wanted(self, touched: Touched, action: str) -> int:
        rows = "n" if touched.key else "d"
        state = f"AND st = '{REVERSIBLE}'" if touched.key else ""
        sql = f"SELECT coalesce(sum({rows}), 0) FROM {self.touched.z(touched)} WHERE a = '{action}' {state}"
        return int(self.writer.scalar(sql))

    def _count(self, touched: Touched, done: str, rows: int, wanted: int) -> None:
        if rows != wanted:
            raise MergeError(
                f"{counted(rows, 'row was', 'rows were')} touched where {wanted:,} had to be ({done})",
                where=touched.table.name,
                hint="nothing was changed; a trigger or rule of the target may be in the way",
            )  # fmt: skip
        self.counts.setdefault(touched.table.name, {})[done] = rows
        self._done += rows
        self.listener(Progress("undo", touched.table.name, self._done, self._total))

    def _remember(self, touched: Touched) -> None:
        """Record the rows that are about to be deleted or restored, as they are."""
        conn, change, name = self.writer.conn, self.writer.import_id, touched.table.name
        if not touched.key:
            if INSERT in touched.keys and (image := self._copies(touched)) is not None:
                ledger.add_before_image(conn, change, name, image)
            if DELETE in touched.before:
                self._before[name] = counted_before(self.writer, touched.table)
            return
        for action, done in ((INSERT, DELETE), (UPDATE, UPDATE)):
            if action in touched.keys:
                source = RowSource(join=self._join(touched, action), whole=False)
                image = before_image(self.writer, touched.table, source, done, touched.key)
                if image is not None:
                    ledger.add_before_image(conn, change, name, image)

    def save(self) -> None:
        """Write the rows that will be deleted or restored into a package, as they are, if one is wanted."""
        if self.backup is None:
            return
        images = {}
        for touched in self.tables:
            if not touched.key:
                images[touched.table.name] = self._copies(touched) if INSERT in touched.keys else None
                continue
            mine = f"z.a <> '{DELETE}' AND z.st = '{REVERSIBLE}'"
            join = f"JOIN {self.touched.z(touched)} z ON {self.touched.is_row(touched, 't')} AND {mine}"
            source = RowSource(join=join, whole=False)
            images[touched.table.name] = before_image(self.writer, touched.table, source, DELETE, touched.key)
        if not self.backup.write(images):
            self.warnings.append("no row of the target was changed, so there is no backup")

    def _join(self, touched: Touched, action: str) -> str:
        mine = f"z.a = '{action}' AND z.st = '{REVERSIBLE}'"
        return f"JOIN {self.touched.z(touched)} z ON {self.touched.is_row(touched, 't')} AND {mine}"

    def _copies(self, touched: Touched) -> pa.Table | None:
        """Return rows of a table without a key that are about to be deleted: of each content as many as came."""
        import numpy as np

        z = self.touched.z(touched)
        join = f"JOIN {z} z ON {self.touched.is_row(touched, 't')} AND z.a = '{INSERT}'"
        extra = (("z.h", "datatransfer:h", _NUMBER), ("z.d", "datatransfer:n", _NUMBER))
        image = before_image(self.writer, touched.table, RowSource(join=join, whole=False, extra=extra), DELETE, ())
        if image is None:
            return None
        hashes, counts = (image[name].to_numpy() for _, name, _ in extra)
        order = np.argsort(hashes, kind="stable")
        starts = np.flatnonzero(np.r_[True, np.diff(hashes[order]) != 0])
        ranks = np.arange(len(order)) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        facts = Facts.of(image)
        if facts is not None:
            facts = replace(facts, types=facts.types[: len(touched.table.columns)])
        rows = image.take(np.sort(order[ranks < counts[order]])).select(touched.table.column_names)
        return facts.on(rows) if facts is not None else rows

    def _delete(self, touched: Touched) -> int:
        z = self.touched.z(touched)
        if not touched.key:
            source = f"SELECT h, d AS n FROM {z} WHERE a = '{INSERT}' AND d > 0"
            return self.writer.delete_copies(touched.table, touched.hashed, source, touched.number)
        keys = [(column, f"k{i}") for i, column in enumerate(touched.key)]
        return self.writer.delete(touched.table, keys, z, f"x.a = '{INSERT}' AND x.st = '{REVERSIBLE}'")

    def _bring_back(self, touched: Touched) -> int:
        plain = [fit.target for fit in touched.before[DELETE] if not fit.target.generated]
        values = ", ".join(self.touched.value(touched, DELETE, column.name) for column in plain)
        return self.writer.insert(touched.table, plain, f"SELECT {values} {self.touched.earlier(touched, DELETE)}")

    def _park(self, touched: Touched) -> None:
        """Let rows give up unique values that they lose, before others take them back."""
        w, table = self.writer, touched.table
        keys = [(column, f"k{i}") for i, column in enumerate(touched.key)]
        named = ", ".join(f"z.{n} AS {n}" for _, n in keys)
        there = {fit.target.name for fit in touched.before[UPDATE]}
        for column, value in self._ways(touched):
            if column.name in there:
                now, then = f"t.{w.quote(column.name)}", self.touched.value(touched, UPDATE, column.name)
                start, where = self.touched.earlier(touched, UPDATE).rsplit(" WHERE ", 1)
                rows = f"{start} JOIN {w.table(table)} t ON {self.touched.is_row(touched, 't')}"
                differs = f"NOT ({w.same(now, then, column)})"
                select = f"SELECT {named}, {w.held(value, column)} AS n0 {rows} WHERE {where} AND {differs}"
                w.update(table, keys, [(column.name, "n0")], select)

    def _ways(self, touched: Touched) -> Iterator[tuple[Column, str]]:
        """Yield, for each unique rule beside the key, a column and what it may hold for a moment."""
        w, table = self.writer, touched.table
        fixed = {*touched.key, *(c for fk in self.touched.schema.children_of(table.name) for c in fk.parent_columns)}
        rules = [rule.columns for rule in table.rules] or list(table.uniques)
        for names in rules:
            columns = [table.by_name[n] for n in names if n in table.by_name and n not in fixed]
            if any(name in touched.key for name in names) and not columns:
                continue
            nullable = next((column for column in columns if column.nullable and not column.generated), None)
            text = next((c for c in columns if c.type.kind == "text" and (c.type.length or 64) >= _PARKED_LENGTH), None)
            if nullable is not None:
                yield nullable, "NULL"
            elif text is not None:
                yield text, w.concat([f"'~{w.import_id.hex[:12]}-'", "z.r"])
            elif number := next((c for c in columns if c.type.kind == "integer"), None):
                low = int(w.scalar(f"SELECT min({w.quote(number.name)}) FROM {w.table(table)}") or 0)
                rank = "row_number() OVER (ORDER BY z.r)"
                yield number, f"{min(low, 0)} - {rank}"

    def _restore(self, touched: Touched) -> int:
        plain = [
            f.target for f in touched.before[UPDATE] if not f.target.generated and f.target.name not in touched.key
        ]
        named = [(column.name, f"n{i}") for i, column in enumerate(plain)]
        keys = [(column, f"k{i}") for i, column in enumerate(touched.key)]
        values = [f"z.{n} AS {n}" for _, n in keys]
        values += [f"{self.touched.value(touched, UPDATE, column)} AS {n}" for column, n in named]
        select = f"SELECT {', '.join(values)} {self.touched.earlier(touched, UPDATE)}"
        return self.writer.update(touched.table, keys, named, select)

    def _refuse_orphans(self, touched: Touched, action: str, *, alone: bool) -> None:
        """Refuse where a row that is put back refers to one that is gone.

        ``alone``: before it comes, so that the database does not say it in its own words; then only by references out
        of tables that are in no circle, whose parents have all come back.
        """
        if alone and touched.table.name in {name for circle in self._circles for name in circle}:
            return
        for fk in self._orphaned.references(touched, action):
            if rows := self._orphaned.count(touched, action, fk):
                raise UndoConflictError(
                    f"{counted(rows, 'row')} would refer to rows of {fk.parent} that are gone", where=fk.label,
                    hint="nothing was changed; undo what removed those first",
                )  # fmt: skip

    # --- after --------------------------------------------------------------------------------------------------

    def finish(self) -> None:
        """Record what was written, and which changes count now."""
        w = self.writer
        conn, change = w.conn, w.import_id
        for touched in self.tables:
            w.advance_sequences(touched.table)
            counts = self.counts.get(touched.table.name, {})
            if not touched.key:
                if counts.get(INSERT):
                    record_more(w, change, touched.table, self._before[touched.table.name])
                continue
            for action, done in ((DELETE, INSERT), (UPDATE, UPDATE)):
                if counts.get(done):
                    record_after(w, change, touched.table, touched.key, (done, self._join(touched, action)))
        self._count_kept()
        self._warn_of_files()
        ledger.set_state(conn, change, "merged", counts=self._in_order(), warnings=self.warnings)
        states = {import_id: state for state, import_id in self._states()}
        if states[self._base.import_id] == "undone":
            keep_maps(self._base, self.touched)
        for import_id, state in states.items():
            ledger.set_state(conn, import_id, state)

    def _count_kept(self) -> None:
        for name, states in self.touched.counts().items():
            kept = sum(n for (_, state), n in states.items() if state not in (REVERSIBLE, "gone"))
            if kept:
                self.counts.setdefault(name, {})["keep"] = kept

    def _in_order(self) -> dict[str, dict[str, int]]:
        """Return what was counted, parents first as in the receipt of an import."""
        order = {touched.table.name: at for at, touched in enumerate(self.tables)}
        return dict(sorted(self.counts.items(), key=lambda item: order.get(item[0], len(order))))

    def _warn_of_files(self) -> None:
        """Say, where an undo is undone, that the files which it removed do not come back."""
        above = self.record.options.get("undo_of")
        files = ledger.imported_files(self.writer.conn, above) if above else []
        gone = sum(file.action in ("removing", "removed") for file in files)
        if gone:
            were = "is" if gone == 1 else "are"
            removed = f"{counted(gone, 'file')} that the undo removed"
            self.warnings.append(f"{removed} {were} not brought back: import the package again")

    def _states(self) -> Iterator[tuple[ledger.State, str]]:
        """Yield the states that changes get: this one undone; what it had undone itself merged again; and so on."""
        record, state = self.record, "undone"
        while True:
            yield state, record.import_id  # type: ignore[misc]
            above = record.options.get("undo_of")
            if not above:
                return
            record = ledger.read_import(self.writer.conn, above)
            state = "merged" if state == "undone" else "undone"
