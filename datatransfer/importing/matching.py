"""Which staged row is which row of the target: by UUID, receipts, natural keys; set-based, nothing visible changes.

For every table that may hold matches a map ``m<number>`` is made (see `datatransfer.importing.remap`). The order of
evidence: the row's UUID in the target, its UUID or key in receipts, ``match_on`` columns, a key that is itself made of
references or UUIDs, unique values held by another row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from datatransfer.importing.actions import Action, Decision, Identity, OnClash, Policies
from datatransfer.importing.conflicts import BROUGHT, SEVERAL, SHARED, held
from datatransfer.importing.freekeys import place
from datatransfer.importing.keymaps import KnownKeys, KnownTable
from datatransfer.importing.keyranges import KeyRanges, limit_of
from datatransfer.importing.remap import Remap, TablePlan
from datatransfer.importing.renaming import Renames
from datatransfer.importing.uniques import Uniques, label_of
from datatransfer.schema.tables import ENTITY_UUID, IMPORTED_FROM_UUID, UniqueRule

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer


#: So many keys are hashed in a moment, whatever a database expects.
_FEW = 100_000


class Matcher:
    """Fills the map of one table after another, parents first.

    Parameters
    ----------
    writer : Writer
    remap : Remap
    policies : Policies
    known : KnownKeys
        Keys that receipts of the target know.
    same_origin : bool
        Whether the package comes from the target itself.
    """

    def __init__(
        self, writer: Writer, remap: Remap, policies: Policies, known: KnownKeys, *, same_origin: bool
    ) -> None:
        self.writer = writer
        self.remap = remap
        self.policies = policies
        self.known = known
        self.same_origin = same_origin
        self.ranges = KeyRanges(writer, remap)
        self.uniques = Uniques(writer, remap)
        self.renames = Renames(self.uniques, policies)

    # --- which way ----------------------------------------------------------------------------------------------

    def needs_map(self, plan: TablePlan) -> bool:
        """Whether rows of the target could match or clash, so that each staged row is looked up."""
        if plan.key and (plan.decided or self.renames.may_rename(plan) or self.remap.passes_on(plan)):
            return True
        if plan.was_empty:
            return False
        if not plan.key:
            return self.policies.identity is Identity.KEEP
        name = plan.fit.source.name
        return bool(
            plan.fit.surrogate is None
            or self.uniques.rules(plan)
            or self.same_origin
            or self.known.has(plan.fit.target.name)
            or plan.staged.has_foreign
            or name in self.policies.match_on
        )

    def plan_table(self, plan: TablePlan) -> None:
        """Decide for every staged row: matched, clashing or new; and the key that it gets."""
        if not self.needs_map(plan):
            if plan.fit.surrogate and not plan.was_empty:
                offset = self.ranges.offset(plan, "")
                plan.offset = offset or 0
                if offset is None:
                    self.map_rows(plan)
            return
        if not plan.key:
            self._match_multiset(plan)
            return
        self._create_map(plan)
        if self.policies.identity is Identity.KEEP:
            self._match_identity(plan)
        if plan.fit.source.name in self.policies.match_on:
            self._match_columns(plan)
        if self._key_is_identity(plan):
            self._match_on(plan, plan.key, "key", among=self.remap.not_apart(plan))
        self._mark_double_matches(plan)
        self.renames.settle(plan)
        self._find_clashes(plan)
        self._insert_rest(plan)
        plan.shift = self.ranges.shift(plan)

    def map_rows(self, plan: TablePlan) -> None:
        """Give a table whose rows are all inserted a map, so that single rows can be marked."""
        if plan.key:
            self._create_map(plan)
            self._insert_rest(plan)
            return
        self._create_keyless_map(plan)
        w = self.writer
        m, s = w.stage_name("m", plan.number), w.stage_name("s", plan.number)
        w.run(f"INSERT INTO {m} (r, a) SELECT r, '{Action.INSERT}' FROM {s}")

    # --- the map ------------------------------------------------------------------------------------------------

    def _create_map(self, plan: TablePlan) -> None:
        target = plan.fit.target
        columns = [("r", "BIGINT"), ("a", "VARCHAR(8)"), ("w", "VARCHAR(200)"), ("x", "VARCHAR(200)")]
        columns += [(f"k{i}", self.writer.key_type(target.by_name[c])) for i, c in enumerate(plan.key)]
        columns += [(f"v{i}", self.writer.key_type(target.by_name[c])) for i, c in enumerate(plan.referenced)]
        self.writer.create("m", plan.number, columns)
        self.writer.create("d", plan.number, [("r", "BIGINT"), ("d", self.writer.text_type), ("n", "SMALLINT")])
        plan.mapped = True

    def _not_mapped(self, plan: TablePlan) -> str:
        """Return the condition for staged rows that the map lacks, read before the first of them is added to it.

        PostgreSQL joins a small map row by row, and would then scan all that the same statement has just added.
        """
        m = self.writer.stage_name("m", plan.number)
        count = int(self.writer.scalar(f"SELECT count(*) FROM {m}"))
        if not count:
            return "WHERE 1 = 1"
        if count <= _FEW:
            return f"WHERE s.r NOT IN (SELECT m2.r FROM {m} m2)"
        return f"WHERE NOT EXISTS (SELECT 1 FROM {m} m2 WHERE m2.r = s.r)"

    def _map_columns(self, plan: TablePlan) -> str:
        names = ["r", "a", "w", "x", *(f"k{i}" for i in range(len(plan.key)))]
        return ", ".join([*names, *(f"v{i}" for i in range(len(plan.referenced)))])

    def _add_matches(
        self, plan: TablePlan, join: str, how: str, *, action: str = "NULL", reason: str = "NULL", among: str = ""
    ) -> None:
        """Add staged rows joined with target rows ``t`` that are not in the map yet; several ``t`` are a conflict."""
        w = self.writer
        target = w.table(plan.fit.target)
        m, s = w.stage_name("m", plan.number), w.stage_name("s", plan.number)
        columns = plan.fit.target.by_name
        values = [w.any_value(f"t.{w.quote(c)}", columns[c]) for c in (*plan.key, *plan.referenced)]
        several = f"CASE WHEN count(*) > 1 THEN '{Action.CONFLICT}' ELSE {action} END"
        why = f"CASE WHEN count(*) > 1 THEN '{SEVERAL}' ELSE {reason} END"
        text = how.replace("'", "''")[:200]
        w.run(
            f"INSERT INTO {m} ({self._map_columns(plan)}) "
            f"SELECT s.r, {several}, '{text}', {why}, {', '.join(values)} "
            f"FROM {s} s {join.replace('{target}', target)} "
            f"AND NOT EXISTS (SELECT 1 FROM {m} m2 WHERE m2.r = s.r){among} GROUP BY s.r"
        )
        w.analyze("m", plan.number)

    def _clash_action(self, plan: TablePlan, row: str, reason: str) -> tuple[str, str]:
        """Return SQL for action and reason of a row whose unique values another row holds."""
        reuse = self.policies.clash_rule(plan.fit.source.name) is OnClash.REUSE
        conflict, why = f"'{Action.CONFLICT}'", f"'{reason}'"
        usual = ("NULL", "NULL") if reuse else (conflict, why)
        if not plan.decided:
            return usual
        decided = f"(SELECT e.a FROM {self.writer.stage_name('e', plan.number)} e WHERE e.r = {row})"
        own = f"IN ('{Decision.INSERT}', '{Decision.RENAME}')"
        return (
            f"CASE WHEN {decided} IS NULL THEN {usual[0]} WHEN {decided} {own} THEN {conflict} ELSE NULL END",
            f"CASE WHEN {decided} IS NULL THEN {usual[1]} WHEN {decided} {own} THEN {why} ELSE NULL END",
        )

    # --- the evidence -------------------------------------------------------------------------------------------

    def _match_identity(self, plan: TablePlan) -> None:
        w, free = self.writer, self.remap.not_apart(plan)
        target = plan.fit.target
        if plan.staged.has_uuid and target.tracked:
            for column in (ENTITY_UUID, IMPORTED_FROM_UUID):
                if column in target.by_name:
                    there = w.uuid_text(f"t.{w.quote(column)}", target.by_name[column])
                    self._add_matches(plan, f"JOIN {{target}} t ON {there} = s.u WHERE s.u IS NOT NULL{free}", "uuid")
        if apart := self.remap.apart(plan):  # but not from the row that an import has made for the very same entity
            self._match_known(plan, self.known.tables_of(plan, inserted=True), apart, f"'{BROUGHT}'")
        self._match_known(plan, self.known.tables_of(plan), free)
        if self.same_origin and not (plan.staged.has_uuid and target.tracked):
            on = self._key_join(plan)
            foreign = " AND s.o IS NULL" if plan.staged.has_keys else ""
            not_known = self.known.not_imported(plan, "t")
            self._add_matches(plan, f"JOIN {{target}} t ON {on} WHERE 1 = 1{foreign}{not_known}{free}", "uuid")

    def _match_known(self, plan: TablePlan, tables: Sequence[KnownTable], among: str, reason: str = "NULL") -> None:
        w, target = self.writer, plan.fit.target
        for known in tables:
            on = " AND ".join(w.equal(f"l.s{i}", f"s.{c}") for i, c in enumerate(known.stage_columns))
            back = " AND ".join(
                w.equal(
                    f"t.{w.quote(c)}", w.expression(f"l.t{i}", known.kinds[i], target.by_name[c]), target.by_name[c]
                )
                for i, c in enumerate(plan.key)
            )
            native = " AND s.o IS NULL" if plan.staged.has_keys and known.native else ""
            join = f"JOIN {known.sql} l ON {on} JOIN {{target}} t ON {back} WHERE 1 = 1{native}{among}"
            self._add_matches(plan, join, "receipt", reason=reason)

    def _key_join(self, plan: TablePlan) -> str:
        w = self.writer
        return " AND ".join(
            w.equal(f"t.{w.quote(c)}", self.remap.raw(plan, plan.fit.fit_of(c)), plan.fit.target.by_name[c])
            for c in plan.key
        )

    def _match_columns(self, plan: TablePlan) -> None:
        columns = self.policies.match_on[plan.fit.source.name]
        self._match_on(plan, columns, "natural:" + ",".join(columns), among=self.remap.not_apart(plan))

    def _match_on(
        self, plan: TablePlan, columns: Sequence[str], how: str, *, action: str = "NULL", reason: str = "NULL",
        among: str = "",
    ) -> None:  # fmt: skip
        w = self.writer
        joins: dict[str, str] = {}
        pairs = []
        for column in columns:
            fit = plan.fit.fit_of(column)
            pairs.append(w.equal(f"t.{w.quote(column)}", self.remap.value(plan, fit, joins), fit.target))
        join = " ".join(joins.values())
        self._add_matches(
            plan, f"{join} JOIN {{target}} t ON {' AND '.join(pairs)} WHERE 1 = 1", how, action=action, reason=reason,
            among=among,
        )  # fmt: skip

    def _key_is_identity(self, plan: TablePlan) -> bool:
        """Whether equal keys mean the same entity: keys made of references, and UUIDs."""
        references = {c for fk in plan.fit.source.foreign_keys for c in fk.columns}
        fits = [plan.fit.fit_of(c) for c in plan.key]
        if any(fit.source.name in references for fit in fits):
            return self.policies.identity is Identity.KEEP or plan.fit.surrogate is None
        return all(fit.target.type.kind == "uuid" for fit in fits) and self.policies.identity is Identity.KEEP

    def _mark_double_matches(self, plan: TablePlan) -> None:
        m = self.writer.stage_name("m", plan.number)
        keys = ", ".join(f"k{i}" for i in range(len(plan.key)))
        shared = ""
        if plan.decided:  # what leaves the row alone may share it
            words = f"('{Decision.SKIP}', '{Decision.REUSE}')"
            shared = (
                f" AND r NOT IN (SELECT e.r FROM {self.writer.stage_name('e', plan.number)} e WHERE e.a IN {words})"
            )
        self.writer.run(
            f"UPDATE {m} SET a = '{Action.CONFLICT}', x = '{SHARED}' "
            f"WHERE a IS NULL AND r IN (SELECT r FROM (SELECT r, row_number() OVER (PARTITION BY {keys} ORDER BY r) n "
            f"FROM {m} WHERE a IS NULL{shared}) d WHERE d.n > 1)"
        )

    def _find_clashes(self, plan: TablePlan) -> None:
        if not plan.fit.surrogate:
            self._match_key(plan)
        for rule in self.uniques.rules(plan):
            if self.uniques.is_early(plan, rule):
                self._match_rule(plan, rule)
        self._mark_double_matches(plan)

    def _match_key(self, plan: TablePlan) -> None:
        label = ", ".join(plan.key)
        said = label.replace(chr(92), "").replace("'", "''")[:150]
        action, reason = self._clash_action(plan, "s.r", held(said))
        self._match_on(plan, plan.key, f"clash:{label}", action=action, reason=reason)

    def _match_rule(self, plan: TablePlan, rule: UniqueRule) -> None:
        """Add the staged rows whose unique values another row of the target holds."""
        w, u = self.writer, self.uniques
        m, label = w.stage_name("m", plan.number), label_of(rule)
        action, reason = self._clash_action(plan, "h.r", held(label))
        keys = [(f"k{i}", c) for i, c in enumerate(plan.key)] + [(f"v{i}", c) for i, c in enumerate(plan.referenced)]
        values = ", ".join(w.any_value(f"t.{name}", plan.fit.target.by_name[c]) for name, c in keys)
        w.run(
            f"INSERT INTO {m} ({self._map_columns(plan)}) SELECT h.r, "
            f"CASE WHEN count(*) > 1 THEN '{Action.CONFLICT}' ELSE {action} END, 'clash:{label}', "
            f"CASE WHEN count(*) > 1 THEN '{SEVERAL}' ELSE {reason} END, {values} "
            f"FROM ({u.ours(plan, rule)}) h JOIN ({u.theirs(plan, rule)}) t ON {u.equal(rule, 't', 'h')} "
            f"WHERE NOT EXISTS (SELECT 1 FROM {m} m2 WHERE m2.r = h.r) GROUP BY h.r"
        )
        w.analyze("m", plan.number)

    # --- new rows -----------------------------------------------------------------------------------------------

    def _insert_rest(self, plan: TablePlan) -> None:
        w = self.writer
        m = w.stage_name("m", plan.number)
        if plan.fit.surrogate:
            unmapped = f"LEFT JOIN {m} m ON m.r = s.r WHERE m.r IS NULL"
            offset = self.ranges.offset(plan, unmapped)
            plan.offset = offset or 0
            if offset is None:
                self._insert_one_by_one(plan, unmapped)
                return
        fits = [plan.fit.fit_of(c) for c in (*plan.key, *plan.referenced)]
        select = self.remap.select(
            plan,
            [("", fit) for fit in fits],
            lead=f"s.r, '{Action.INSERT}', NULL, NULL",
            tail=self._not_mapped(plan),
        )
        w.run(f"INSERT INTO {m} ({self._map_columns(plan)}) {select}")
        w.analyze("m", plan.number)

    def _insert_one_by_one(self, plan: TablePlan, unmapped: str) -> None:
        """Let the new rows keep the keys that are free, and give every other one the next free key."""
        w = self.writer
        fit = self.ranges.staged_key(plan)
        m, s, t = w.stage_name("m", plan.number), w.stage_name("s", plan.number), w.table(plan.fit.target)
        key, there = self.remap.raw(plan, fit), w.quote(fit.target.name)
        others = [("", plan.fit.fit_of(c)) for c in plan.referenced]
        free = f"{self._not_mapped(plan)} AND NOT EXISTS (SELECT 1 FROM {t} t WHERE t.{there} = {key})"
        lead = f"s.r, '{Action.INSERT}', NULL, NULL, "
        w.run(
            f"INSERT INTO {m} ({self._map_columns(plan)}) {self.remap.select(plan, others, lead=lead + key, tail=free)}"
        )
        placed = place(
            w, plan.number, rows=f"SELECT s.r FROM {s} s {unmapped}",
            used=f"SELECT {there} AS k FROM {t} UNION SELECT k0 FROM {m}",
            top=self.ranges.top(plan, fit), limit=limit_of(fit), where=f"{plan.fit.target.name}.{fit.target.name}",
        )  # fmt: skip
        select = self.remap.select(plan, others, lead=f"{lead}f.k", join=f"JOIN ({placed}) f ON f.r = s.r")
        w.run(f"INSERT INTO {m} ({self._map_columns(plan)}) {select}")
        w.analyze("m", plan.number)

    # --- rows without a key -------------------------------------------------------------------------------------

    def _create_keyless_map(self, plan: TablePlan) -> None:
        columns = [("r", "BIGINT"), ("a", "VARCHAR(8)"), ("w", "VARCHAR(200)"), ("x", "VARCHAR(200)")]
        self.writer.create("m", plan.number, columns)
        plan.mapped = True

    def _match_multiset(self, plan: TablePlan) -> None:
        """Match rows without a key by their content and how often it occurs."""
        w = self.writer
        self._create_keyless_map(plan)
        m = w.stage_name("m", plan.number)
        named = [(f"c{i}", fit) for i, (_, fit) in enumerate(plan.staged.columns)]
        ours = self.remap.select(plan, named, lead="s.r AS r, 1 AS ours")
        staged = ", ".join(f"{w.united(f'u.{name}', fit.target)} AS {name}" for name, fit in named)
        theirs = ", ".join(w.united(f"t.{w.quote(fit.target.name)}", fit.target) for _, fit in named)
        both = (
            f"SELECT u.r, u.ours, {staged} FROM ({ours}) u "
            f"UNION ALL SELECT NULL, 0, {theirs} FROM {w.table(plan.fit.target)} t"
        )
        parts = ", ".join(w.exact_text(f"b.{name}", fit.target) for name, fit in named)
        counted = (
            f"SELECT b.r, b.ours, sum(1 - b.ours) OVER (PARTITION BY {parts}) AS there, "
            f"row_number() OVER (PARTITION BY b.ours, {parts} ORDER BY b.r) AS n FROM ({both}) b"
        )
        w.run(
            f"INSERT INTO {m} (r, a, w) "
            f"SELECT r, CASE WHEN n <= there THEN '{Action.REUSE}' ELSE '{Action.INSERT}' END, "
            f"CASE WHEN n <= there THEN 'content' END FROM ({counted}) d WHERE ours = 1"
        )
