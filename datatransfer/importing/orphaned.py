"""Rows that an undo puts back, and whose parents are not there: refused by the undo, told before by its check."""

from __future__ import annotations

from functools import cached_property

from datatransfer.database import ledger
from datatransfer.importing.actions import OnOrphan
from datatransfer.importing.images import DELETE, INSERT, UPDATE
from datatransfer.importing.touched import ORPHANED, REVERSIBLE, Touched, TouchedRows
from datatransfer.schema.tables import ForeignKey


class Orphaned:
    """Finds rows that refer to rows which are gone, among those that are put back.

    Parameters
    ----------
    touched : TouchedRows
    record : ImportRecord
        Of the change that is taken back.
    """

    def __init__(self, touched: TouchedRows, record: ledger.ImportRecord) -> None:
        self.touched = touched
        self.record = record
        self.writer = touched.writer

    # --- which references ---------------------------------------------------------------------------------------

    def references(self, touched: Touched, action: str) -> list[ForeignKey]:
        """Return the references of earlier rows that had their parent, each and every one."""
        there = {fit.target.name for fit in touched.before[action]}
        return [
            fk
            for fk in touched.table.foreign_keys
            if fk.parent in self.touched.schema and there.issuperset(fk.columns) and self._held_before(fk, action)
        ]

    def _held_before(self, fk: ForeignKey, action: str) -> bool:
        """Whether every reference of such rows had its parent: the database saw to it, or the import that wrote them.

        SQLite does not see to it. What an import brought was verified there, unless it was to keep orphans; how rows
        were that it updated, nobody knows.
        """
        return fk.enforced or (fk.declared and action == DELETE and not self._kept_orphans)

    @cached_property
    def _kept_orphans(self) -> bool:
        record = self.record
        while above := record.options.get("undo_of"):
            record = ledger.read_import(self.writer.conn, above)
        return record.options.get("on_orphan") == OnOrphan.KEEP

    # --- as the target is now -----------------------------------------------------------------------------------

    def count(self, touched: Touched, action: str, fk: ForeignKey) -> int:
        """Return how many rows would refer to rows that are not there now."""
        full, present = self._full(touched, action, fk), self._present(touched, action, fk)
        sql = f"SELECT count(*) {self.touched.earlier(touched, action)} AND {full} AND NOT EXISTS ({present})"
        return int(self.writer.scalar(sql))

    def _values(self, touched: Touched, action: str, fk: ForeignKey) -> list[str]:
        return [self.touched.value(touched, action, column) for column in fk.columns]

    def _full(self, touched: Touched, action: str, fk: ForeignKey) -> str:
        return " AND ".join(f"{value} IS NOT NULL" for value in self._values(touched, action, fk))

    def _present(self, touched: Touched, action: str, fk: ForeignKey) -> str:
        w, parent = self.writer, self.touched.schema.table(fk.parent)
        pairs = zip(fk.parent_columns, self._values(touched, action, fk), strict=True)
        on = " AND ".join(f"p.{w.quote(c)} = {w.held(v, parent.by_name[c])}" for c, v in pairs)
        return f"SELECT 1 FROM {self.touched.rows_of(parent)} p WHERE {on}"

    # --- as it will be ------------------------------------------------------------------------------------------

    def mark(self) -> None:
        """Mark the sorted rows whose parents will be neither there nor back, with the table of those."""
        w = self.writer
        for touched in self.touched.tables.values():
            for action in touched.before:
                for fk in self.references(touched, action):
                    label = fk.parent.replace("'", "''")
                    found = f"SELECT r FROM ({self._lacking(touched, action, fk)}) f"
                    w.run(f"UPDATE {self.touched.z(touched)} SET w = '{label}' WHERE r IN ({found})")
        for touched in self.touched.tables.values():
            w.run(f"UPDATE {self.touched.z(touched)} SET st = '{ORPHANED}' WHERE st = '{REVERSIBLE}' AND w <> ''")

    def _lacking(self, touched: Touched, action: str, fk: ForeignKey) -> str:
        """Return SQL for the numbers of rows whose parents go with the undo or are gone, and do not come back."""
        parent, names = self.touched.tables.get(fk.parent), set(fk.parent_columns)
        comes: list[str] = []
        present = self._present(touched, action, fk)
        if parent is not None:
            changed = {UPDATE} if names - set(parent.key) else set()  # else a row that is restored keeps them
            comes = [a for a in parent.before if a in {DELETE, *changed} and names <= _columns(parent, a)]
            goes = "', '".join([INSERT, *(a for a in comes if a == UPDATE)])
            leaves = f"{self.touched.is_row(parent, 'p', 'g')} AND g.st = '{REVERSIBLE}' AND g.a IN ('{goes}')"
            present += f" AND NOT EXISTS (SELECT 1 FROM {self.touched.z(parent)} g WHERE {leaves})"
        start, mine = self.touched.earlier(touched, action).rsplit(" WHERE ", 1)
        for number, back in enumerate(comes):
            start += f" LEFT JOIN ({self._coming(fk, back)}) y{number} ON {self._is(touched, action, fk, number)}"
            mine += f" AND y{number}.v0 IS NULL"
        return f"SELECT z.r {start} WHERE {mine} AND {self._full(touched, action, fk)} AND NOT EXISTS ({present})"

    def _coming(self, fk: ForeignKey, action: str) -> str:
        """Return SQL for what references point to in rows that are put back."""
        parent, w = self.touched.tables[fk.parent], self.writer
        values = [
            f"{w.held(self.touched.value(parent, action, c), parent.table.by_name[c])} AS v{i}"
            for i, c in enumerate(fk.parent_columns)
        ]
        return f"SELECT {', '.join(values)} {self.touched.earlier(parent, action)}"

    def _is(self, touched: Touched, action: str, fk: ForeignKey, number: int) -> str:
        columns = self.touched.schema.table(fk.parent).by_name
        pairs = zip(fk.parent_columns, self._values(touched, action, fk), strict=True)
        return " AND ".join(f"y{number}.v{i} = {self.writer.held(v, columns[c])}" for i, (c, v) in enumerate(pairs))


def _columns(touched: Touched, action: str) -> set[str]:
    return {fit.target.name for fit in touched.before[action]}
