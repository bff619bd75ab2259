"""Other texts for rows whose unique values somebody holds already: ``"name (2)"``, the first that is free.

Only texts that are free to change are: not the keys, references and UUIDs that say what a row is. The texts are laid
out in a table ``n<number>`` beside the map and taken by every expression over the staged rows
(`datatransfer.importing.remap`); what the package holds stays as it is.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from datatransfer.importing.actions import Decision, OnClash, Policies
from datatransfer.importing.remap import TablePlan
from datatransfer.importing.uniques import Uniques, label_of
from datatransfer.importing.validation import ColumnFit
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID, UniqueRule

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer

_PASSES = 1000


class Renames:
    """Finds free texts for one table after another.

    Parameters
    ----------
    uniques : Uniques
    policies : Policies
    """

    def __init__(self, uniques: Uniques, policies: Policies) -> None:
        self.uniques = uniques
        self.writer: Writer = uniques.writer
        self.policies = policies

    def may_rename(self, plan: TablePlan) -> bool:
        """Whether rows of a table are to be renamed, and can be."""
        return self._by_policy(plan) and bool(self._rules(plan))

    def _by_policy(self, plan: TablePlan) -> bool:
        return self.policies.clash_rule(plan.fit.source.name) is OnClash.RENAME

    def _rules(self, plan: TablePlan) -> list[tuple[UniqueRule, ColumnFit]]:
        """Return the rules that another text can satisfy, and the column that it goes into."""
        rules = [rule for rule in self.uniques.rules(plan) if self.uniques.is_early(plan, rule)]
        return [(rule, fit) for rule in rules if (fit := self._column(plan, rule)) is not None]

    @staticmethod
    def _column(plan: TablePlan, rule: UniqueRule) -> ColumnFit | None:
        refers = {c for fk in plan.fit.source.foreign_keys for c in fk.columns}
        for fit in plan.fit.columns:
            own = fit.target.name in (ENTITY_UUID, IMPORTED_FROM_UUID) or fit.source.name in refers
            if fit.target.name in rule.columns and not own and fit.kind.kind == "text":
                return fit
        return None

    def settle(self, plan: TablePlan) -> None:
        """Give every row that is to be renamed, and that the map does not have, texts that nobody holds.

        Of rows that the map has, those keep their texts that were renamed before, for a reason that still holds.
        """
        if not plan.decided and not self._by_policy(plan):
            return
        rules = self._rules(plan)
        columns = list(dict.fromkeys(fit.target.name for _, fit in rules))
        if not columns:
            return
        w = self.writer
        types = [w.key_type(plan.fit.target.by_name[name]) for name in columns]
        names = [f"c{i}" for i in range(len(columns))]
        w.create("n", plan.number, [("r", "BIGINT"), *zip(names, types, strict=True)])
        plan.renamed = dict(zip(columns, names, strict=True))
        for number, (rule, fit) in enumerate(rules):
            if self._by_policy(plan) and fit.target.name not in plan.key:
                self._keep(plan, rule, fit, plan.number * 1000 + number)
        for number, (rule, fit) in enumerate(rules):
            self._rename(plan, rule, fit, plan.number * 1000 + number)
        if not int(w.scalar(f"SELECT count(*) FROM {w.stage_name('n', plan.number)}")):
            plan.renamed = {}

    def _wanted(self, plan: TablePlan) -> str:
        """Return a join that leaves the staged rows which are new and may take another text."""
        w = self.writer
        m, e = w.stage_name("m", plan.number), w.stage_name("e", plan.number)
        join = f"LEFT JOIN {m} m0 ON m0.r = s.r"
        if not plan.decided:
            return f"{join} WHERE m0.r IS NULL"
        chosen = f"e.a = '{Decision.RENAME}'"
        if self._by_policy(plan):
            chosen = f"({chosen} OR e.a IS NULL)"
        return f"{join} LEFT JOIN {e} e ON e.r = s.r WHERE m0.r IS NULL AND {chosen}"

    def _keep(self, plan: TablePlan, rule: UniqueRule, fit: ColumnFit, number: int) -> None:
        """Let matched rows keep the text with a suffix that they have, where a row without a match holds theirs."""
        w, u = self.writer, self.uniques
        m, table = w.stage_name("m", plan.number), w.table(plan.fit.target)
        held, keys = f"t.{w.quote(fit.target.name)}", list(enumerate(plan.key))
        strangers = (
            f"SELECT o.* FROM ({u.theirs(plan, rule)}) o "
            f"LEFT JOIN {m} m1 ON {' AND '.join(f'm1.k{i} = o.k{i}' for i, _ in keys)} WHERE m1.r IS NULL"
        )
        waiting = self._rows(
            "q", number,
            f"SELECT h.r AS r, min({held}) AS v, min({u.remap.raw(plan, fit)}) AS b FROM ({u.ours(plan, rule)}) h "
            f"JOIN ({strangers}) o ON {u.equal(rule, 'o', 'h')} JOIN {m} m0 ON m0.r = h.r AND m0.a IS NULL "
            f"JOIN {w.stage_name('s', plan.number)} s ON s.r = h.r "
            f"JOIN {table} t ON {' AND '.join(f't.{w.quote(c)} = m0.k{i}' for i, c in keys)} "
            f"WHERE {held} LIKE '% (%)' GROUP BY h.r",
        )  # fmt: skip
        left = int(w.scalar(f"SELECT count(*) FROM {waiting}"))
        for suffix in range(2, 2 + _PASSES):
            if not left:
                break
            mine = f"SELECT q.r AS r, q.v AS v FROM {waiting} q WHERE q.v = {self._suffixed('q.b', fit, suffix)}"
            if count := int(w.scalar(f"SELECT count(*) FROM ({mine}) c")):
                self._put(plan, fit, mine)
                left -= count
        w.run(f"DROP TABLE {waiting}")

    def _put(self, plan: TablePlan, fit: ColumnFit, texts: str) -> None:
        """Write texts ``v`` of rows ``r``."""
        w, n, column = self.writer, self.writer.stage_name("n", plan.number), plan.renamed[fit.target.name]
        taken = self._rows("h", plan.number * 1000, texts)
        w.run(f"INSERT INTO {n} (r) SELECT h.r FROM {taken} h LEFT JOIN {n} o ON o.r = h.r WHERE o.r IS NULL")
        w.run(
            f"UPDATE {n} SET {column} = (SELECT h.v FROM {taken} h WHERE h.r = {n}.r) "
            f"WHERE r IN (SELECT h.r FROM {taken} h)"
        )
        w.run(f"DROP TABLE {taken}")

    def _rename(self, plan: TablePlan, rule: UniqueRule, fit: ColumnFit, number: int) -> None:
        """Rename the rows that clash by one rule, those with the first free number first."""
        w, u = self.writer, self.uniques
        s = w.stage_name("s", plan.number)
        ours, theirs = u.ours(plan, rule), u.theirs(plan, rule)
        # Of rows that are the same to the target, the one that stays is one that is matched, else the first.
        taken = f"SELECT h.r FROM ({ours}) h JOIN ({theirs}) t ON {u.equal(rule, 't', 'h')}"
        clashing = f"SELECT z.r FROM ({taken} UNION {u.twice(rule, ours)}) z"
        wanted = f"SELECT s.r FROM {s} s {self._wanted(plan)}"
        waiting = self._rows("q", number, f"SELECT a.r AS r FROM ({wanted}) a JOIN ({clashing}) b ON b.r = a.r")
        left = int(w.scalar(f"SELECT count(*) FROM {waiting}"))
        for suffix in range(2, 2 + _PASSES):
            if not left or 0 < _length(fit) <= len(_ending(suffix)):  # nothing of the text itself would be left
                break
            left -= self._take(plan, rule, fit, waiting, suffix)
        w.run(f"DROP TABLE {waiting}")

    def _take(self, plan: TablePlan, rule: UniqueRule, fit: ColumnFit, waiting: str, suffix: int) -> int:
        """Give the waiting rows texts with one suffix where these are free; return how many got one."""
        w, u = self.writer, self.uniques
        text = self._text(plan, fit, suffix)
        free = self._rows("f", plan.number * 1000, self._free(plan, rule, fit, waiting, text))
        count = int(w.scalar(f"SELECT count(*) FROM {free}"))
        if count:
            joins: dict[str, str] = {}
            base = u.remap.value(plan, fit, joins)
            self._put(
                plan, fit,
                f"SELECT s.r AS r, {self._suffixed(base, fit, suffix)} AS v FROM {w.stage_name('s', plan.number)} s "
                f"JOIN {free} f ON f.r = s.r {' '.join(joins.values())}",
            )  # fmt: skip
            w.run(f"DELETE FROM {waiting} WHERE r IN (SELECT f.r FROM {free} f)")
        w.run(f"DROP TABLE {free}")
        return count

    def _rows(self, kind: str, number: int, select: str) -> str:
        """Lay out some rows, which are then looked up by their number: without an index each would read them all."""
        w = self.writer
        name = w.create_as(kind, number, select)
        w.index(kind, number, ["r"])
        w.analyze(kind, number)
        return name

    def _text(self, plan: TablePlan, fit: ColumnFit, suffix: int) -> str:
        renamed = f"n0.{plan.renamed[fit.target.name]}"
        return self._suffixed(f"coalesce({renamed}, {self.uniques.remap.raw(plan, fit)})", fit, suffix)

    def _suffixed(self, value: str, fit: ColumnFit, suffix: int) -> str:
        """Return SQL for a text with a suffix, cut to the length of its column."""
        ending, length = _ending(suffix), _length(fit)
        if length:
            value = f"rtrim(substr({value}, 1, {length - len(ending)}))"
        return self.writer.concat([value, f"'{ending}'"])

    def _free(self, plan: TablePlan, rule: UniqueRule, fit: ColumnFit, waiting: str, text: str) -> str:
        """Return SQL for the waiting rows whose new text is in nobody's way, by any rule that reads the column."""
        w, u = self.writer, self.uniques
        n = w.stage_name("n", plan.number)
        join = f"JOIN {waiting} q ON q.r = s.r LEFT JOIN {n} n0 ON n0.r = s.r"
        conditions = []
        for other in u.rules(plan):
            if fit.target.name not in other.columns or not u.is_early(plan, other):
                continue
            new = u.ours(plan, other, join=join, put={fit.target.name: text})
            held = f"SELECT h.r FROM ({new}) h JOIN ({u.theirs(plan, other)}) t ON {u.equal(other, 't', 'h')}"
            conditions += [held, u.held_before(other, new, u.ours(plan, other))]
        taken = " UNION ".join(conditions)
        return f"SELECT q.r AS r FROM {waiting} q LEFT JOIN ({taken}) z ON z.r = q.r WHERE z.r IS NULL"


def renamable(plan: TablePlan, label: str) -> bool:
    """Return whether what clashes by a rule is a text that may be another one."""
    rules = [rule for rule in plan.fit.target.rules if label_of(rule) == label]
    return any(Renames._column(plan, rule) is not None for rule in rules)


def _ending(suffix: int) -> str:
    return f" ({suffix})"


def _length(fit: ColumnFit) -> int:
    """Return how long a text of a column may be, 0 for any length."""
    return fit.target.type.length or _declared_length(fit.target.declared)


def _declared_length(declared: str) -> int:
    """Return the length that SQLite keeps no text to, but that others may."""
    found = re.search(r"char\w*\s*\(\s*(\d+)\s*\)", declared, re.IGNORECASE)
    return int(found.group(1)) if found else 0
