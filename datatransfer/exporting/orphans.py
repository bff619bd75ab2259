"""References whose parent does not exist in the source, and references whose parent is not in the selection.

A database that enforces its foreign keys needs no check. Elsewhere: while whole tables are streamed, parents first, the
integer keys of the parents are remembered as bits and the children's values looked up, which costs next to nothing; all
else is one anti-join per foreign key.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from datatransfer.errors import OrphanError, SelectionError
from datatransfer.exporting.closure import Closure, required, usable
from datatransfer.schema.tables import ForeignKey, Table

OnOrphan = Literal["error", "keep", "null"]


def checked_keys(closure: Closure, name: str) -> list[ForeignKey]:
    """Return the foreign keys of a table whose parents nobody guarantees."""
    return [fk for fk in references(closure, name) if not fk.enforced]


def references(closure: Closure, name: str) -> list[ForeignKey]:
    """Return the foreign keys that a table has in the package and that can be followed."""
    schema = closure.plan.carried
    return [fk for fk in schema.table(name).foreign_keys if fk.parent in schema and usable(closure, fk)]


def without_parent(closure: Closure, fk: ForeignKey) -> str:
    """Return the condition over ``t`` that the row refers to something that does not exist."""
    sql, parent = closure.sql, closure.table(fk.parent)
    match = sql.match(fk, closure.table(fk.table), parent, names=("t", "parent"))
    exists = f"EXISTS (SELECT 1 FROM {sql.from_table(parent, 'parent')} WHERE {match})"
    return f"({sql.referring(fk, 't')} AND NOT {exists})"


def left_out(closure: Closure, fk: ForeignKey) -> str:
    """Return the condition over ``t`` that the row refers to something not selected, whether or not it exists."""
    sql, parent = closure.sql, closure.table(fk.parent)
    chosen = closure.chosen.get(fk.parent)
    if chosen is None:
        return f"({sql.referring(fk, 't')})"
    match = sql.match(fk, closure.table(fk.table), parent, names=("t", "parent"))
    rows = f"{sql.from_table(parent, 'parent')}"
    if chosen.keys is not None:
        keys = sql.second(chosen.table, chosen.keys) if fk.is_self else chosen.keys
        rows += f" JOIN {keys.name} s ON {sql.same_key(chosen.table, 'parent', keys)}"
    condition = f" AND {chosen.condition('parent')}" if chosen.parts else ""
    return f"({sql.referring(fk, 't')} AND NOT EXISTS (SELECT 1 FROM {rows} WHERE {match}{condition}))"


def count_where(closure: Closure, name: str, condition: str) -> int:
    """Return how many of the selected rows of a table meet a condition over ``t``."""
    closure.check()
    source, table = closure.source(name), closure.table(name)
    where = f"({source.where}) AND {condition}" if source.where else condition
    join = f" {source.join}" if source.join else ""
    return closure.sql.number(f"SELECT count(*) FROM {closure.sql.from_table(table, 't')}{join} WHERE {where}")


def count_orphans(closure: Closure) -> dict[str, int]:
    """Return the number of selected rows without parent, per foreign key that has some, by one anti-join each."""
    found = {}
    for name in closure.graph.order:
        if name in closure.chosen:
            for fk in checked_keys(closure, name):
                count = count_where(closure, name, without_parent(closure, fk))
                if count:
                    found[fk.label] = count
    return found


def count_outside(closure: Closure) -> tuple[dict[str, int], dict[str, int]]:
    """Return how many references lead out of the selection by a rule: those kept, and those that become NULL.

    Raises
    ------
    SelectionError
        A row must have a parent that a rule leaves out.
    """
    kept: dict[str, int] = {}
    nulled: dict[str, int] = {}
    refused: dict[str, int] = {}
    for fk, direction, rule in closure.plan.rules:
        if direction != "up" or rule.follows_all or fk.table not in closure.chosen or not usable(closure, fk):
            continue
        if not closure.plan.carries(fk):
            continue  # the package does not know that its rows refer to anything by it
        condition = left_out(closure, fk)
        if not fk.enforced:
            condition = f"({condition} AND NOT {without_parent(closure, fk)})"
        count, child = count_where(closure, fk.table, condition), closure.plan.schema.table(fk.table)
        if count and (required(child, fk) or (rule.nulls and not null_columns(child, fk))):
            refused[fk.label] = count
        elif count:
            (nulled if rule.nulls else kept)[fk.label] = count
    if refused:
        raise SelectionError(
            f"required parents would be left out: {described(refused)}",
            hint="only a foreign key that may be NULL, in a column that no other one reads, can be stopped upward; "
            "follow it, or stop its rows from above",
            evidence={"foreign_keys": refused},
        )
    return kept, nulled


def null_columns(table: Table, fk: ForeignKey) -> tuple[str, ...]:
    """Return the columns to set to NULL so that a row refers to nothing; empty where that is not possible.

    A column that another foreign key reads is none of them: that reference would be lost too.
    """
    return tuple(c for c in table.only_of(fk) if table.column(c).nullable and not table.column(c).generated)


def described(counts: Mapping[str, int]) -> str:
    """Return ``"items.order_id (3 rows), …"``."""
    return ", ".join(f"{label} ({count:,} row{'' if count == 1 else 's'})" for label, count in sorted(counts.items()))


def orphan_error(counts: Mapping[str, int]) -> OrphanError:
    """Return the error that names foreign keys and counts."""
    return OrphanError(
        f"rows refer to parents that do not exist: {described(counts)}",
        hint='pass on_orphan="keep" to carry them as they are, or "null" where the key may be NULL',
        evidence={"foreign_keys": dict(counts)},
    )
