"""The range of integer keys that the new rows of a table get: their own where those are free, else one above.

A target is in use while an import is planned, so a range is kept for it, where the database can be asked to, and noted
in the log of the stage: an import that is resumed goes on with the same keys.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer
    from datatransfer.importing.remap import Remap, TablePlan
    from datatransfer.importing.validation import ColumnFit

#: Keys more than needed that are kept for an import where others are given some at the same moment.
_SPARE = (0, 1_000, 100_000)
#: They are no more than one in so many of the keys that are left: a SMALLINT has few.
_ROOM = 1_000


class KeyRanges:
    """Finds room for the keys of new rows.

    Parameters
    ----------
    writer : Writer
    remap : Remap
    """

    def __init__(self, writer: Writer, remap: Remap) -> None:
        self.writer = writer
        self.remap = remap

    def staged_key(self, plan: TablePlan) -> ColumnFit:
        """Return how the column fits whose values the database gives."""
        surrogate = plan.fit.surrogate
        assert surrogate is not None  # asked only for tables that have one
        return plan.fit.fit_of(surrogate)

    def offset(self, plan: TablePlan, tail: str) -> int | None:
        """Return 0 if the keys of the new rows are free, else what moves all above the target's; None without room.

        Parameters
        ----------
        plan : TablePlan
        tail : str
            What follows the staged rows ``s`` in SQL, so that only the new ones are left.
        """
        w, fit = self.writer, self.staged_key(plan)
        s, t = w.stage_name("s", plan.number), w.table(plan.fit.target)
        key, there = self.remap.raw(plan, fit), w.quote(fit.target.name)
        taken = w.scalar(f"SELECT count(*) FROM (SELECT {key} AS k FROM {s} s {tail}) n JOIN {t} t ON t.{there} = n.k")
        low, high = w.run(f"SELECT min({key}), max({key}) FROM {s} s {tail}").one()
        if not taken and (high is None or not self._given_meanwhile(plan, fit, int(low), int(high))):
            return 0
        return self._range_above(plan, fit, int(low), int(high))

    def _given_meanwhile(self, plan: TablePlan, fit: ColumnFit, low: int, high: int) -> bool:
        """Reserve free keys; whether others were given some of them, or ones below, while they were looked at."""
        last = self.writer.reserve(plan.fit.target, fit.target, high)
        if last is None or last < low or not self.writer.let_others_end():
            return False
        s, key = self.writer.stage_name("s", plan.number), self.remap.raw(plan, fit)
        there = f"t.{self.writer.quote(fit.target.name)}"
        return self._in_use(plan, fit, low, min(last, high), f"AND {there} IN (SELECT {key} FROM {s} s)")

    def _in_use(self, plan: TablePlan, fit: ColumnFit, low: int, high: int, more: str = "") -> bool:
        """Whether the target holds one of the keys from one to another."""
        there = f"t.{self.writer.quote(fit.target.name)}"
        rows = f"{self.writer.table(plan.fit.target)} t WHERE {there} BETWEEN {low} AND {high} {more}"
        return self.writer.run(f"SELECT 1 FROM {rows} LIMIT 1").first() is not None

    def _range_above(self, plan: TablePlan, fit: ColumnFit, low: int, high: int) -> int | None:
        """Return what moves all keys into a range above the target's that is kept for them; None without room."""
        kept = f"keys {plan.number}"
        first = self._kept_before(plan, fit, kept, high - low + 1)
        if first is not None:
            return first - low
        offset = self._keep_range(plan, fit, low, high)
        if offset is not None:
            self.writer.note(kept, f"{low + offset} {high + offset}")
        return offset

    def _kept_before(self, plan: TablePlan, fit: ColumnFit, kept: str, width: int) -> int | None:
        """Return the first of the keys that this import kept before it was interrupted, if they are enough and free."""
        first, last = map(int, self.writer.noted().get(kept, "0 0").split())
        if not last or last - first + 1 != width:
            return None
        return None if self._in_use(plan, fit, first, last) else first

    def _keep_range(self, plan: TablePlan, fit: ColumnFit, low: int, high: int) -> int | None:
        limit = limit_of(fit)
        # Keys that were given are gone, also those of rows that were deleted since: it is no sign of others at work.
        given = self.writer.reserve(plan.fit.target, fit.target, 0) or 0
        for spare in _SPARE:
            floor = max(self.top(plan, fit), given)
            offset = floor + 1 - low
            if high + offset > limit:
                return None
            end = min(high + offset + min(spare, (limit - floor) // _ROOM), limit)
            last = self.writer.reserve(plan.fit.target, fit.target, end)
            if last is None:
                break
            # What others were given before may still be on its way.
            coming = self.writer.let_others_end() and self._in_use(plan, fit, max(floor, last) + 1, end)
            if last <= floor and not coming:
                break
            offset = last + 1 - low  # others have been given keys since we looked
            if high + offset <= end and not coming:
                break
            given = max(last, end)
        return offset if high + offset <= limit else None

    def top(self, plan: TablePlan, fit: ColumnFit) -> int:
        """Return the highest key in the target, 0 if there is none."""
        found = self.writer.scalar(
            f"SELECT max({self.writer.quote(fit.target.name)}) FROM {self.writer.table(plan.fit.target)}"
        )
        return max(int(found or 0), 0)

    def shift(self, plan: TablePlan) -> int | None:
        """Return the one number by which the map moves the key of every row, None where there is none.

        Then references to these rows are a sum and not two joins, and the receipt needs no look at the rows.
        """
        if not plan.fit.surrogate or not plan.staged.key_chunks or len(plan.key) != 1:
            return None
        w = self.writer
        staged = f"s.{plan.staged.stage_column(plan.fit.surrogate)}"
        both = f"FROM {w.stage_name('m', plan.number)} m JOIN {w.stage_name('s', plan.number)} s ON s.r = m.r"
        parts = "count(*), min(m.k0), max(m.k0)"
        count, *ends = w.run(f"SELECT {parts}, min({staged}), max({staged}) {both}").one()
        if count != plan.staged.rows or not all(isinstance(end, int) for end in ends):
            return None
        low, high, first, last = ends
        # Equal ends first: the sum of any key and the shift then lies between numbers that the column holds.
        if low - first != high - last or w.scalar(f"SELECT 1 {both} WHERE m.k0 <> {staged} + ({low - first}) LIMIT 1"):
            return None
        return int(low - first)


def limit_of(fit: ColumnFit) -> int:
    """Return the highest key that a column takes."""
    return int(2 ** ((fit.target.type.bits or 64) - 1) - 1)
