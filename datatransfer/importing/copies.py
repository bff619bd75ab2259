"""Whether a package looks like it comes from a copy of the target: the same rows, under an origin that nobody knows.

A database file that was copied is another origin, so none of its rows is recognised. Only the first rows of each table
are looked at; nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from datatransfer.importing.actions import Action
from datatransfer.importing.remap import Remap, TablePlan

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer

_SAMPLE = 1000


def copy_warning(plans: Iterable[TablePlan], remap: Remap) -> list[str]:
    """Return a warning that names the tables most of whose rows are there already and would come once more.

    Parameters
    ----------
    plans : iterable of TablePlan
        Of a package of another origin, decided.
    remap : Remap
    """
    listed = list(plans)
    if any(_recognised(plan, remap.writer) for plan in listed):
        return []
    alike = [plan.fit.source.name for plan in listed if _is_alike(plan, remap)]
    if not alike:
        return []
    said = "most rows are in the target with the same keys and content, but under another origin"
    cure = "it looks like a copy, so pass match_on=…, or track the tables before they are copied"
    return [f"{', '.join(alike)}: {said}; {cure}"]


def _recognised(plan: TablePlan, writer: Writer) -> bool:
    if not plan.mapped or not plan.key:
        return False
    m = writer.stage_name("m", plan.number)
    return writer.run(f"SELECT 1 FROM {m} WHERE w IN ('uuid', 'receipt') LIMIT 1").first() is not None


def _is_alike(plan: TablePlan, remap: Remap) -> bool:
    if plan.was_empty or not plan.key:
        return False
    w = remap.writer
    pairs = []
    for fit in plan.fit.columns:
        there, value = f"t.{w.quote(fit.target.name)}", remap.raw(plan, fit)
        is_key = fit.target.name in plan.key
        pairs.append(w.equal(there, value, fit.target) if is_key else w.same(there, value, fit.target))
    again = ""
    if plan.mapped:
        actions = f"'{Action.INSERT}', '{Action.CONFLICT}'"
        again = f"JOIN {w.stage_name('m', plan.number)} m ON m.r = s.r AND m.a IN ({actions}) "
    alike = w.scalar(
        f"SELECT count(*) FROM {w.stage_name('s', plan.number)} s {again}JOIN {w.table(plan.fit.target)} t "
        f"ON {' AND '.join(pairs)} WHERE s.r < {_SAMPLE}"
    )
    return int(alike) * 2 > min(plan.staged.rows, _SAMPLE)
