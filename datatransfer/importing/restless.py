"""Triggers of the target that fire during an import: named in the plan, and in the receipt as it was in the end."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from datatransfer.importing.actions import Action, Triggers

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer
    from datatransfer.importing.remap import TablePlan

_WHAT = "what they change is not in the plan"


def restless(writer: Writer, plans: Iterable[TablePlan], policy: Triggers) -> list[str]:
    """Return a warning of the tables whose triggers fire although they are to rest."""
    if policy is not Triggers.SUSPEND:
        return []
    names = [name for name, may_rest in _firing(writer, plans) if not may_rest]
    if not names:
        return []
    why = "only their owner can put them to rest" if writer.transactional_ddl else "the database cannot do so"
    return [f"{', '.join(names)}: triggers fire during the import, for {why}; {_WHAT}"]


def told_again(warnings: Sequence[str], writer: Writer, plans: Iterable[TablePlan], policy: Triggers) -> list[str]:
    """Return a plan's warnings as they hold inside the merge, when its rows are written.

    Triggers may have come or gone since the plan was made. From its first row on the transaction keeps others from
    making or dropping any on that table.
    """
    if policy is not Triggers.SUSPEND:
        return [*warnings, *(f"{name}: its triggers fired during the import" for name, _ in _firing(writer, plans))]
    return [*(warning for warning in warnings if not warning.endswith(_WHAT)), *restless(writer, plans, policy)]


def _firing(writer: Writer, plans: Iterable[TablePlan]) -> list[tuple[str, bool]]:
    """Return the names of tables that are written to and have triggers, and whether these may be put to rest."""
    written = [p.fit.target for p in plans if p.counts.get(Action.INSERT) or p.counts.get(Action.UPDATE)]
    return [(table.name, writer.may_alter(table)) for table in written if writer.fires_triggers(table)]
