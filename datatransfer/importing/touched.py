"""The rows that a change of the target wrote, found again and sorted by whether they can be put back.

For each table the images of the ledger are laid beside the target: ``s`` keys and hashes of rows that were inserted
(even numbers) and updated (odd), ``b`` earlier rows that were updated (even) and deleted (odd). From these comes ``z``,
one row for each row that was touched: ``r`` its number, ``k0`` … its key, ``a`` what was done with it, ``st`` its
state, ``w`` which table refers to it or which import has written it since, ``h`` its hash and, without a key, ``n`` how
many there were, ``m`` are, and ``d`` how many of these may go.

This module reads the target and changes nothing in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datatransfer.database import ledger
from datatransfer.errors import SchemaMismatchError
from datatransfer.importing.images import DELETE, INSERT, UPDATE, Facts
from datatransfer.importing.laterimports import LaterImports
from datatransfer.importing.layingimages import StagedImage, fits_of
from datatransfer.importing.validation import ColumnFit
from datatransfer.schema.graph import DependencyGraph
from datatransfer.schema.tables import Column, ForeignKey, Table

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.database.writers import Writer

REVERSIBLE, EDITED, GONE, REFERENCED, TAKEN = "reversible", "edited", "gone", "referenced", "taken"
ORPHANED = "orphaned"
STATES = (REVERSIBLE, EDITED, REFERENCED, TAKEN, ORPHANED, GONE)
_OFFSET = {INSERT: 0, UPDATE: 1 << 40, DELETE: 1 << 41}


@dataclass
class Touched:
    """The rows of one table that a change touched.

    Parameters
    ----------
    number : int
        Names its staging tables.
    table : Table
    key : tuple of str
        Empty where rows are told apart by their content.
    hashed : tuple of Column
    keys : dict of action to list of ColumnFit
        How the keys of an after-image are staged.
    before : dict of action to list of ColumnFit
        How earlier rows are staged.
    """

    number: int
    table: Table
    key: tuple[str, ...] = ()
    hashed: tuple[Column, ...] = ()
    keys: dict[str, list[ColumnFit]] = field(default_factory=dict)
    before: dict[str, list[ColumnFit]] = field(default_factory=dict)
    staged: dict[str, int] = field(default_factory=dict)

    @property
    def hashed_names(self) -> tuple[str, ...]:
        """The names of the columns that are hashed."""
        return tuple(column.name for column in self.hashed)

    def number_of(self, action: str) -> int:
        """Return the number that names the staging table of an action's images."""
        return 2 * self.number + (action == UPDATE)

    @property
    def actions(self) -> list[str]:
        """What was done with rows of the table."""
        return [action for action in (INSERT, UPDATE, DELETE) if action in self.keys or action in self.before]


class TouchedRows:
    """All rows that a change touched.

    Parameters
    ----------
    writer : Writer
    import_id : str
        The change that is looked at.
    """

    def __init__(self, writer: Writer, import_id: str) -> None:
        self.writer = writer
        self.import_id = import_id
        self.schema = writer.db.schema
        self.tables: dict[str, Touched] = {}
        self.later = LaterImports(self)

    # --- laying -------------------------------------------------------------------------------------------------

    def lay(self) -> None:
        """Bring the images beside the target."""
        conn = self.writer.conn
        for name, rows in ledger.after_images(conn, self.import_id):
            facts = Facts.of(rows)
            if facts is not None:
                self._lay_after(self._touched(name), facts, rows)
        for name, rows in ledger.before_images(conn, self.import_id):
            facts = Facts.of(rows)
            if facts is not None:
                self._lay_before(self._touched(name), facts, rows)
        for touched in self.tables.values():
            self._make(touched)
        self.later.lay()

    def _touched(self, name: str) -> Touched:
        if name not in self.tables:
            if name not in self.schema:
                raise SchemaMismatchError("the table is gone", where=name, hint="what was imported cannot be undone")
            self.tables[name] = Touched(len(self.tables), self.schema.table(name))
        return self.tables[name]

    def _columns(self, touched: Touched, names: Iterable[str]) -> list[Column]:
        columns = touched.table.by_name
        missing = [name for name in names if name not in columns]
        if missing:
            raise SchemaMismatchError(
                f"the column {', '.join(missing)} is gone", where=touched.table.name,
                hint="what was imported cannot be told from what was edited since",
            )  # fmt: skip
        return [columns[name] for name in names]

    def _lay_after(self, touched: Touched, facts: Facts, rows: pa.Table) -> None:
        touched.key = facts.key
        touched.hashed = tuple(self._columns(touched, facts.hashed))
        new = facts.action not in touched.keys
        if new:
            touched.keys[facts.action] = fits_of(self.writer, self._columns(touched, facts.key), facts.types)
        stage = StagedImage("s", touched.number_of(facts.action), touched.table, touched.keys[facts.action])
        if new:
            stage.create(self.writer, ("h",) if facts.key else ("h", "n"))
        self._load(stage, touched, facts.action, rows)

    def _lay_before(self, touched: Touched, facts: Facts, rows: pa.Table) -> None:
        touched.key = facts.key
        new = facts.action not in touched.before
        if new:
            touched.before[facts.action] = fits_of(self.writer, self._columns(touched, rows.column_names), facts.types)
        number = self._before_number(touched, facts.action)
        stage = StagedImage("b", number, touched.table, touched.before[facts.action])
        if new:
            stage.create(self.writer)
        self._load(stage, touched, facts.action, rows)

    @staticmethod
    def _before_number(touched: Touched, action: str) -> int:
        return 2 * touched.number + (action == DELETE)

    def _load(self, stage: StagedImage, touched: Touched, action: str, rows: pa.Table) -> None:
        mark = f"{stage.kind}{action}"
        held = touched.staged.get(mark, 0)
        touched.staged[mark] = held + stage.load(self.writer, rows, held + _OFFSET[action])

    def _make(self, touched: Touched) -> None:
        w = self.writer
        keys = [(f"k{i}", w.key_type(touched.table.by_name[c])) for i, c in enumerate(touched.key)]
        more = [("a", "VARCHAR(8)"), ("st", "VARCHAR(12)"), ("w", "VARCHAR(500)")]
        numbers = [(name, "BIGINT") for name in ("h", "n", "m", "d")]
        w.create("z", touched.number, [("r", "BIGINT"), *keys, *more, *numbers])
        if w.name != "postgresql":  # which joins by hashes
            w.index("z", touched.number, [name for name, _ in keys] or ["h"])
        if INSERT in touched.keys and not touched.key:
            w.prepare_copies(touched.table, touched.number)

    # --- SQL ----------------------------------------------------------------------------------------------------

    def z(self, touched: Touched) -> str:
        """Return the name of the table of touched rows."""
        return self.writer.stage_name("z", touched.number)

    def b(self, touched: Touched, action: str) -> str:
        """Return the name of the table of earlier rows."""
        return self.writer.stage_name("b", self._before_number(touched, action))

    def rows_of(self, table: Table) -> str:
        """Return what stands after FROM for the rows of a table."""
        return self.writer.db.dialect.from_sql(table)

    def is_key(self, touched: Touched, alias: str, values: Sequence[str]) -> str:
        """Return SQL that is true where a row of the table has this key."""
        w, columns = self.writer, touched.table.by_name
        return " AND ".join(
            w.equal(f"{alias}.{w.quote(c)}", w.held(value, columns[c]), columns[c])
            for c, value in zip(touched.key, values, strict=True)
        )

    def is_row(self, touched: Touched, alias: str, z: str = "z") -> str:
        """Return SQL that is true where a row of the table is a touched one."""
        if touched.key:
            return self.is_key(touched, alias, [f"{z}.k{i}" for i in range(len(touched.key))])
        return f"{self.writer.row_hash(alias, touched.hashed)} = {z}.h"

    def value(self, touched: Touched, action: str, column: str) -> str:
        """Return SQL for a column of an earlier row ``b``, None if it was not there."""
        fits = touched.before[action]
        i = next(i for i, fit in enumerate(fits) if fit.target.name == column)
        return self.writer.expression(f"b.c{i}", fits[i].kind, fits[i].target)

    def earlier(self, touched: Touched, action: str) -> str:
        """Return ``FROM … WHERE`` for the earlier rows ``b`` of touched rows ``z`` that are put back."""
        mine = f"z.a = '{action}' AND z.st = '{REVERSIBLE}'"
        if action == DELETE:
            return f"FROM {self.z(touched)} z JOIN {self.b(touched, action)} b ON b.r = z.r WHERE {mine}"
        columns = touched.table.by_name
        on = " AND ".join(
            self.writer.equal(f"z.k{i}", self.value(touched, action, c), columns[c]) for i, c in enumerate(touched.key)
        )
        return f"FROM {self.z(touched)} z JOIN {self.b(touched, action)} b ON {on} WHERE {mine}"

    # --- sorting ------------------------------------------------------------------------------------------------

    def sort(self) -> None:
        """Find the state of every touched row, as the target is now."""
        for touched in self.tables.values():
            self.writer.at = touched.table.name
            self.writer.run(f"DELETE FROM {self.z(touched)}")
            for action in touched.actions:
                self._sort(touched, action)
            self.writer.analyze("z", touched.number)
        self.later.mark((REVERSIBLE, EDITED), EDITED)
        self._mark_referenced()
        while self._mark_taken():  # these stay, too
            self._mark_referenced()
        self.writer.at = ""

    def _sort(self, touched: Touched, action: str) -> None:
        w = self.writer
        keys = "".join(f"k{i}, " for i in range(len(touched.key)))
        into = f"INSERT INTO {self.z(touched)} (r, {keys}a, st, w, h, n, m, d)"
        if not touched.key:
            w.run(f"{into} {self._counted(touched, action)}")
            return
        if action in touched.keys:
            source = w.stage_name("s", touched.number_of(action))
            values = [w.expression(f"s.k{i}", f.kind, f.target) for i, f in enumerate(touched.keys[action])]
            differs = " OR ".join([f"{w.row_hash('t', touched.hashed)} <> s.h", *self._filled(touched)])
            state = f"WHEN {differs} THEN '{EDITED}' ELSE '{REVERSIBLE}'"
            state = f"CASE WHEN t.{w.quote(touched.key[0])} IS NULL THEN '{GONE}' {state} END"
            number = "s.h"
        else:
            source = self.b(touched, action)
            fits = touched.before[action]
            at = {fit.target.name: i for i, fit in enumerate(fits)}
            values = [w.expression(f"s.c{at[c]}", fits[at[c]].kind, fits[at[c]].target) for c in touched.key]
            state = f"CASE WHEN t.{w.quote(touched.key[0])} IS NULL THEN '{REVERSIBLE}' ELSE '{TAKEN}' END"
            number = "0"
        on = self.is_key(touched, "t", values)
        w.run(
            f"{into} SELECT s.r, {', '.join(values)}, '{action}', {state}, '', {number}, 1, 1, 1 "
            f"FROM {source} s LEFT JOIN {self.rows_of(touched.table)} t ON {on}"
        )

    def _filled(self, touched: Touched) -> Iterator[str]:
        """Yield SQL that is true where somebody has written into a column ``t`` that was added since.

        Such a column is in no hash. It holds its default, where that is a constant, or else what nobody can tell.
        """
        w, known = self.writer, {column.name for column in touched.hashed}
        for column in touched.table.columns:
            if column.name in known or column.generated:
                continue
            value = f"t.{w.quote(column.name)}"
            if column.has_constant:
                yield f"NOT ({w.is_default(value, column)})"
            elif not column.has_default:
                yield f"{value} IS NOT NULL"

    def _counted(self, touched: Touched, action: str) -> str:
        w = self.writer
        if action == DELETE:
            return f"SELECT s.r, '{action}', '{REVERSIBLE}', '', 0, 1, 1, 1 FROM {self.b(touched, action)} s"
        there, later = w.hash_counts_sql(touched.table, touched.hashed), self.later.copies(touched)
        mine = "coalesce(c.n, 0) - coalesce(l.n, 0)" if later else "coalesce(c.n, 0)"
        state = f"CASE WHEN {mine} >= s.n THEN '{REVERSIBLE}' ELSE '{EDITED}' END"
        goes = f"CASE WHEN {mine} >= s.n THEN s.n WHEN {mine} > 0 THEN {mine} ELSE 0 END"
        return (
            f"SELECT s.r, '{action}', {state}, '', s.h, s.n, coalesce(c.n, 0), {goes} "
            f"FROM {w.stage_name('s', touched.number_of(action))} s LEFT JOIN ({there}) c ON c.h = s.h "
            f"{f'LEFT JOIN ({later}) l ON l.h = s.h' if later else ''}"
        )

    def _mark_taken(self) -> int:
        """Mark earlier rows whose unique values a row holds that stays as it is; return how many."""
        keyed = [touched for touched in self.tables.values() if touched.key]
        return sum(self._taken(touched, action) for touched in keyed for action in touched.before)

    def _taken(self, touched: Touched, action: str) -> int:
        w, columns = self.writer, touched.table.by_name
        there = {fit.target.name for fit in touched.before[action]}
        w.at = touched.table.name
        start, mine = self.earlier(touched, action).rsplit(" WHERE ", 1)
        marked = 0
        for names in touched.table.uniques:
            if not there.issuperset(names):
                continue
            on = " AND ".join(
                w.equal(f"t.{w.quote(c)}", w.held(self.value(touched, action, c), columns[c]), columns[c])
                for c in names
            )
            goes = f"LEFT JOIN {self.z(touched)} y ON {self.is_row(touched, 't', 'y')} AND y.st = '{REVERSIBLE}'"
            found = (
                f"SELECT z.r {start} JOIN {self.rows_of(touched.table)} t ON {on} {goes} WHERE {mine} AND y.r IS NULL"
            )
            taken = f"UPDATE {self.z(touched)} SET st = '{TAKEN}' WHERE r IN (SELECT r FROM ({found}) f)"
            marked += int(w.run(taken).rowcount)
        return marked

    def _mark_referenced(self) -> None:
        """Mark inserted rows that a row refers to which stays, from the last children up."""
        order = list(DependencyGraph(self.schema).order)
        order += [name for name in self.tables if name not in order]
        names = [name for name in reversed(order) if name in self.tables and INSERT in self.tables[name].keys]
        waiting = [fk for name in names for fk in self.schema.children_of(name)]
        while waiting:
            fk = waiting.pop(0)
            if self._mark(self.tables[fk.parent], fk):  # these stay, and so do the rows that they refer to
                waiting += [
                    up for up in self.tables[fk.parent].table.foreign_keys
                    if up.parent in names and up not in waiting
                ]  # fmt: skip

    def _mark(self, parent: Touched, fk: ForeignKey) -> int:
        w = self.writer
        child = self.schema.table(fk.table)
        w.at = ", ".join(dict.fromkeys([fk.parent, fk.table]))  # MariaDB locks rows of both, and tells of neither
        on = " AND ".join(
            f"c.{w.quote(a)} = p.{w.quote(b)}" for a, b in zip(fk.columns, fk.parent_columns, strict=True)
        )
        staying = ""
        there = self.tables.get(fk.table)
        if there is not None and there.keys:
            goes = f"y.st = '{REVERSIBLE}' AND y.a <> '{DELETE}'" + ("" if there.key else " AND y.m <= y.d")
            staying = f"LEFT JOIN {self.z(there)} y ON {self.is_row(there, 'c', 'y')} AND {goes}"
        found = (
            f"SELECT z.r FROM {self.z(parent)} z JOIN {self.rows_of(parent.table)} p ON {self.is_row(parent, 'p')} "
            f"JOIN {self.rows_of(child)} c ON {on} {staying} "
            f"WHERE z.a = '{INSERT}' AND z.st = '{REVERSIBLE}'{' AND y.r IS NULL' if staying else ''}"
        )
        label = fk.table.replace("'", "''")
        return int(
            w.run(
                f"UPDATE {self.z(parent)} SET st = '{REFERENCED}', w = '{label}' WHERE r IN (SELECT r FROM ({found}) f)"
            ).rowcount
        )

    # --- asking -------------------------------------------------------------------------------------------------

    def counts(self) -> dict[str, dict[tuple[str, str], int]]:
        """Return how many rows are in which state, by table and (action, state)."""
        found: dict[str, dict[tuple[str, str], int]] = {}
        for name, touched in self.tables.items():
            # copies of a row without a key count as often as they came
            rows = self.writer.run(f"SELECT a, st, sum(n) FROM {self.z(touched)} GROUP BY a, st").all()
            found[name] = {(str(action), str(state)): int(n) for action, state, n in rows}
        return found

    def problems(self) -> Iterator[tuple[str, object, str, str]]:
        """Yield table, key, state and the referring table or later import of every row that is not simply put back."""
        for name, touched in self.tables.items():
            keys = "".join(f"k{i}, " for i in range(len(touched.key)))
            sql = f"SELECT {keys}st, w FROM {self.z(touched)} WHERE st <> '{REVERSIBLE}' ORDER BY r"
            for row in self.writer.run(sql).all():
                *key, state, by = row
                yield name, (key[0] if len(key) == 1 else tuple(key)), str(state), str(by)
