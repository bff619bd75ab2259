"""Rows that a change wrote and a later import wrote again: they belong to that one, until it is undone.

A later change counts if it is in force, began after the one that is looked at, and brings rows: an import, or an undo
that took an undo back, in the name of the import which is in force again by it. An undo of another import puts rows
back as they were, and counts for nothing. Of several the latest has the row.

Keys, and without a key hashes and counts, of their after-images are laid beside the target as tables ``l``, one for
each change and table. Nothing in the target is changed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datatransfer.database import ledger
from datatransfer.errors import TargetChangedError
from datatransfer.importing.images import INSERT, UPDATE, Facts
from datatransfer.importing.layingimages import StagedImage, fits_of

if TYPE_CHECKING:
    from datatransfer.importing.touched import Touched, TouchedRows

_OWN = "."


@dataclass(frozen=True)
class _Later:
    """A later change, the import that it counts for, and whether that is the one that is looked at."""

    record: ledger.ImportRecord
    base: str
    own: bool


class LaterImports:
    """What came after a change, of the tables that it touched.

    Parameters
    ----------
    touched : TouchedRows
    """

    def __init__(self, touched: TouchedRows) -> None:
        self.touched = touched
        self.writer = touched.writer
        self._found: list[_Later] = []
        #: By table and import: where its rows are staged.
        self._laid: dict[tuple[str, str], StagedImage] = {}
        self._rows = 0

    # --- laying -------------------------------------------------------------------------------------------------

    def lay(self) -> None:
        """Bring what later changes wrote beside the target."""
        self._found = self._look()
        for later in self._found:
            for name in self.touched.tables:
                if _wrote(later.record, name):
                    self._lay(later, name)
        for stage in self._laid.values():
            if self.writer.name != "postgresql":  # which joins by hashes
                self.writer.index("l", stage.number, [f"k{i}" for i in range(len(stage.fits))] or ["h"])
            self.writer.analyze("l", stage.number)

    def refuse_others(self) -> None:
        """Refuse if these are not the later changes any more; inside the transaction, where no other can come.

        Raises
        ------
        TargetChangedError
        """
        if [later.record.import_id for later in self._look()] != [later.record.import_id for later in self._found]:
            raise TargetChangedError(
                "another import into the same tables was merged or undone meanwhile", where=self.touched.import_id,
                hint="nothing was changed; undo again",
            )  # fmt: skip

    def _look(self) -> list[_Later]:
        """Return the later changes in force that wrote into these tables, the latest first."""
        conn = self.writer.conn
        mine = ledger.read_import(conn, self.touched.import_id)
        if ledger.last_seq(conn) == mine.seq:
            return []
        records = {record.import_id: record for record in ledger.list_imports(conn)}
        own, _ = _base(mine, records)
        found = []
        for record in records.values():
            if record.seq <= mine.seq or record.state != "merged":
                continue
            base, depth = _base(record, records)
            brings = depth % 2 == 0 and records[base].state == "merged"
            if (base == own or brings) and any(_wrote(record, name) for name in self.touched.tables):
                found.append(_Later(record, base, base == own))
        return sorted(found, key=lambda later: -later.record.seq)

    def _lay(self, later: _Later, name: str) -> None:
        touched = self.touched.tables[name]
        if not touched.keys or (later.own and not touched.key):
            return
        for _, rows in ledger.after_images(self.writer.conn, later.record.import_id, table=name):
            facts = Facts.of(rows)
            # Hashes of other columns are not comparable: such copies count for the one that is looked at.
            if facts is None or facts.key != touched.key or (not facts.key and facts.hashed != touched.hashed_names):
                continue
            wanted = [column for column in rows.column_names if not facts.key or column != "h"]
            place = name, later.record.import_id
            if place not in self._laid:
                columns = [touched.table.by_name[column] for column in facts.key]
                fits = fits_of(self.writer, columns, facts.types)
                self._laid[place] = StagedImage("l", len(self._laid), touched.table, fits)
                self._laid[place].create(self.writer, [column for column in wanted if column in ("h", "n")])
            self._rows += self._laid[place].load(self.writer, rows.select(wanted), self._rows)

    # --- asking -------------------------------------------------------------------------------------------------

    def copies(self, touched: Touched) -> str:
        """Return a SELECT of h and n: how many copies of rows without a key later imports brought; empty if none."""
        stages = [stage for (name, _), stage in self._laid.items() if name == touched.table.name and not touched.key]
        parts = [f"SELECT h, n FROM {self.writer.stage_name('l', stage.number)}" for stage in stages]
        return f"SELECT h, sum(n) AS n FROM ({' UNION ALL '.join(parts)}) l GROUP BY h" if parts else ""

    def mark(self, states: Sequence[str], edited: str) -> None:
        """Mark rows of these states that later imports wrote as edited, and say by which.

        Parameters
        ----------
        states : sequence of str
            Of rows with a key; copies of rows without one were counted, and are only told of.
        edited : str
        """
        for later in self._found:
            for touched in self.touched.tables.values():
                stage = self._laid.get((touched.table.name, later.record.import_id))
                if stage is None:
                    continue
                found = ", ".join(f"'{state}'" for state in (states if touched.key else (edited,)))
                label, state = (_OWN, "") if later.own else (f"import {later.base}", f", st = '{edited}'")
                self.writer.run(
                    f"UPDATE {self.touched.z(touched)} SET w = '{label}'{state} "
                    f"WHERE w = '' AND st IN ({found}) AND r IN (SELECT r FROM ({self._written(touched, stage)}) f)"
                )
        for touched in self.touched.tables.values():
            self.writer.run(f"UPDATE {self.touched.z(touched)} SET w = '' WHERE w = '{_OWN}'")

    def _written(self, touched: Touched, stage: StagedImage) -> str:
        """Return a SELECT of the numbers of touched rows that a later import wrote."""
        w, on = self.writer, ["l.h = z.h"]
        if touched.key:
            values = [w.expression(f"l.k{i}", fit.kind, fit.target) for i, fit in enumerate(stage.fits)]
            on = [w.equal(f"z.k{i}", v, f.target) for i, (v, f) in enumerate(zip(values, stage.fits, strict=True))]
        joined = f"{self.touched.z(touched)} z JOIN {w.stage_name('l', stage.number)} l ON {' AND '.join(on)}"
        return f"SELECT z.r FROM {joined} WHERE z.a IN ('{INSERT}', '{UPDATE}')"

    def named(self) -> Iterator[str]:
        """Yield the imports that rows were found to belong to, as rows are marked with them."""
        labels = dict.fromkeys(f"import {later.base}" for later in self._found if not later.own)
        for label in labels:
            if any(self._holds(touched, label) for touched in self.touched.tables.values()):
                yield label

    def _holds(self, touched: Touched, label: str) -> bool:
        return bool(self.writer.scalar(f"SELECT count(*) FROM {self.touched.z(touched)} WHERE w = '{label}'"))


def _wrote(record: ledger.ImportRecord, table: str) -> bool:
    return any(record.counts.get(table, {}).get(action) for action in (INSERT, UPDATE))


def _base(record: ledger.ImportRecord, records: Mapping[str, ledger.ImportRecord]) -> tuple[str, int]:
    """Return the import that a change is, or undoes, or brings again …, and how often that was turned."""
    depth = 0
    while (above := record.options.get("undo_of")) in records:
        record, depth = records[str(above)], depth + 1
    return record.import_id, depth
