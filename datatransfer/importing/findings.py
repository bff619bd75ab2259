"""What the target's columns do not take, told all at once when the plan knows which rows will be written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from datatransfer.display.plain import counted
from datatransfer.importing import cures
from datatransfer.importing.actions import Action
from datatransfer.importing.losses import Losses
from datatransfer.importing.remap import Remap, TablePlan
from datatransfer.importing.validation import ColumnFit, Misfit, refuse

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer


def refuse_values(losses: Losses, plans: Mapping[str, TablePlan], remap: Remap) -> None:
    """Refuse an import whose values the target does not take; rows that will not be written may hold anything.

    Raises
    ------
    SchemaMismatchError, ValueLossError
        With every finding in ``evidence["findings"]``.
    """
    columns = {_where(plan, fit): (plan.fit, fit) for plan in plans.values() for fit in plan.fit.columns}
    misfits = losses.misfits(columns)
    for plan in plans.values():
        fits = [fit for fit in plan.fit.columns if _may_be_null(fit) and _where(plan, fit) not in losses.found]
        if fits:
            misfits += _nulls(plan, remap, fits)
    if misfits:
        refuse(misfits)


def _where(plan: TablePlan, fit: ColumnFit) -> str:
    return f"{plan.fit.source.name}.{fit.source.name}"


def _may_be_null(fit: ColumnFit) -> bool:
    return not fit.target.nullable and not fit.target.identity


def _nulls(plan: TablePlan, remap: Remap, fits: list[ColumnFit]) -> list[Misfit]:
    w: Writer = remap.writer
    joins: dict[str, str] = {}
    if plan.mapped:
        rows = f"m.a IN ('{Action.INSERT}', '{Action.UPDATE}')"
        joins["m"] = f"JOIN {w.stage_name('m', plan.number)} m ON m.r = s.r AND {rows}"
    values = []
    for fit in fits:
        fk = remap.reference_of(plan, fit)
        is_set_null = fk is not None and fk in plan.outside and not (plan.mapped and fit.target.name in plan.key)
        if is_set_null:
            values.append(remap.value(plan, fit, joins))
        elif fit.source.nullable:
            values.append(f"s.{plan.staged.stage_column(fit.target.name)}")
        else:
            values.append("0")
    if set(values) == {"0"}:
        return []
    sums = ", ".join(f"sum(CASE WHEN {value} IS NULL THEN 1 ELSE 0 END)" for value in values)
    counts = w.run(f"SELECT {sums} FROM {w.stage_name('s', plan.number)} s {' '.join(joins.values())}").one()
    hint = "let the column be NULL in the target, or leave these rows out"
    said = "is required in the target, and NULL in"
    found = []
    for fit, count in zip(fits, counts, strict=True):
        if count:
            message, cure = f"{said} {counted(int(count), 'row')}", cures.of_null(plan.fit, fit)
            found.append(Misfit("null", _where(plan, fit), message, hint, int(count), cure=cure))
    return found
