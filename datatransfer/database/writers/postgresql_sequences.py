"""The sequences that give a PostgreSQL table its keys: moved on, and keys kept for an import."""

from __future__ import annotations

import re
import time

from datatransfer.database.writers.merging import MergeStatements
from datatransfer.database.writers.postgresql_rebuild import literal
from datatransfer.schema.tables import Column, Table


class PostgreSQLSequences(MergeStatements):
    """The part of a PostgreSQL writer that knows sequences."""

    _lasting = -1

    def advance_sequences(self, table: Table) -> None:
        for column in table.columns:
            if column.identity:
                name = self.quote(column.name)
                low, top = self.run(f"SELECT min({name}), max({name}) FROM {self.table(table)}").one()
                if top is not None and not self._advance_downwards(table, column, int(low)):
                    self.reserve(table, column, int(top))

    def _advance_downwards(self, table: Table, column: Column, low: int) -> bool:
        """Move a sequence that counts down; return whether it is one."""
        sequence = self.sequence_of(table, column)
        if sequence is None:
            return False
        name = f"{literal(sequence)}::regclass"
        step = int(self.scalar(f"SELECT seqincrement FROM pg_sequence WHERE seqrelid = {name}"))
        if step < 0:
            self.run(
                f"SELECT setval({name}, greatest({low}, p.seqmin)) FROM {sequence} q, pg_sequence p "
                f"WHERE p.seqrelid = {name} AND {low} <= p.seqmax AND ({low} < q.last_value "
                f"OR ({low} = q.last_value AND NOT q.is_called))"
            )
        return step < 0

    def reserve(self, table: Table, column: Column, top: int) -> int | None:
        sequence = self.sequence_of(table, column) if column.identity else None
        if sequence is None:
            return None
        # setval holds for everybody at once, whatever becomes of the transaction.
        name = f"{literal(sequence)}::regclass"
        before = self.run(
            f"SELECT q.last_value, q.is_called, CASE WHEN {top} >= 1 AND ({top} > q.last_value "
            f"OR ({top} = q.last_value AND NOT q.is_called)) THEN setval({name}, least({top}, p.seqmax)) END "
            f"FROM {sequence} q, pg_sequence p WHERE p.seqrelid = {name}"
        ).one()
        return int(before[0]) - (not before[1])

    def let_others_end(self) -> bool:
        now = int(self.scalar("SELECT txid_snapshot_xmax(txid_current_snapshot())"))
        until = time.monotonic() + 1
        while (oldest := int(self.scalar("SELECT txid_snapshot_xmin(txid_current_snapshot())"))) < now:
            if oldest == self._lasting:  # it was waited for in vain before
                break
            if time.monotonic() > until:
                self._lasting = oldest
                break
            time.sleep(0.005)
        return True

    def sequence_of(self, table: Table, column: Column) -> str | None:
        name = literal(self.table(table))
        owned = self.scalar(f"SELECT pg_get_serial_sequence({name}, {literal(column.name)})")
        return owned or self._default_sequence(table, column)

    def _default_sequence(self, table: Table, column: Column) -> str | None:
        """Return the sequence of a default ``nextval('…')`` that the column does not own."""
        default = self.scalar(
            "SELECT pg_get_expr(d.adbin, d.adrelid) FROM pg_attrdef d JOIN pg_attribute a "
            "ON a.attrelid = d.adrelid AND a.attnum = d.adnum "
            f"WHERE d.adrelid = {literal(self.table(table))}::regclass AND a.attname = {literal(column.name)}"
        )
        found = re.match(r"^nextval\('((?:[^']|'')+)'::regclass\)$", default or "")
        return found.group(1).replace("''", "'") if found else None
