"""Decisions for single entities that did not lead where they should, because the target does not allow it.

A plan is made with all that was decided; what became of each entity is then compared with what was wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datatransfer.display.plain import counted
from datatransfer.importing.actions import OUTCOMES, Action, Decision
from datatransfer.importing.conflicts import BROUGHT
from datatransfer.importing.remap import TablePlan

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer

#: SQL for the rows of decisions ``e`` and map ``m`` that did not become what was decided.
_UNMET = " OR ".join(
    f"e.a = '{decision}' AND m.a NOT IN ({', '.join(f'{chr(39)}{action}{chr(39)}' for action in actions)})"
    for decision, actions in OUTCOMES.items()
)
_NOTHING_TO_RENAME = "no unique text of it clashes"


@dataclass(frozen=True)
class Unmet:
    """One decision that could not be followed, and for what.

    Parameters
    ----------
    table : str
    decision : Decision
    entities : str
        How many, in words.
    why : str
    """

    table: str
    decision: Decision
    entities: str
    why: str

    @property
    def hint(self) -> str:
        """What may be decided instead."""
        if self.why == _NOTHING_TO_RENAME:
            return "nothing was decided; a row of its own is made by the decision 'insert'"
        if self.why == BROUGHT:
            return 'nothing was decided; identity="copy" makes a second row of every entity of a package'
        return "nothing was decided; look at plan.to_frame()"

    @property
    def cannot(self) -> str:
        """What cannot be, in words."""
        words = {Decision.SKIP: "skipped"}
        past = words.get(self.decision, f"{self.decision}{'d' if self.decision.endswith('e') else 'ed'}")
        return f"{self.entities} cannot be {past}: {self.why}"


def find_unmet(writer: Writer, plans: Mapping[str, TablePlan], anew: Mapping[str, bool] | None = None) -> list[Unmet]:
    """Return what was decided in vain, by the names of the tables.

    Parameters
    ----------
    writer : Writer
    plans : mapping of str to TablePlan
        The tables for whose entities something was decided.
    anew : mapping of str to bool, optional
        Those for which it was just now, and whether something was before. Only what is decided for this target has to
        rename something; what was saved for another is a row of its own where nothing clashes.
    """
    found = []
    for name in sorted(plans):
        idle = f" OR {_idle(writer, plans[name], had_any=anew[name])}" if anew and name in anew else ""
        found += _unmet_in(writer, name, plans[name], idle)
    return found


def _idle(w: Writer, plan: TablePlan, *, had_any: bool) -> str:
    """Return SQL for rows that were just decided to be renamed, and would be inserted with the texts that they have."""
    n, z = w.stage_name("n", plan.number), w.stage_name("z", plan.number)
    renamed = f" AND e.r NOT IN (SELECT n.r FROM {n} n)" if plan.renamed else ""
    earlier = f" AND e.r NOT IN (SELECT z.r FROM {z} z WHERE z.a = '{Decision.RENAME}')" if had_any else ""
    return f"(e.a = '{Decision.RENAME}' AND m.a = '{Action.INSERT}'{renamed}{earlier})"


def _unmet_in(w: Writer, name: str, plan: TablePlan, idle: str) -> list[Unmet]:
    found = w.run(
        f"SELECT e.a, m.a, m.x, count(*) FROM {w.stage_name('e', plan.number)} e "
        f"JOIN {w.stage_name('m', plan.number)} m ON m.r = e.r WHERE {_UNMET}{idle} GROUP BY e.a, m.a, m.x "
        "ORDER BY e.a, m.a, m.x"
    ).all()
    return [
        Unmet(name, Decision(word), counted(int(count), "entity", "entities"), _why(word, action, why))
        for word, action, why, count in found
    ]


def _why(decision: str, action: str, reason: str | None) -> str:
    if action == Action.INSERT:
        return _NOTHING_TO_RENAME if decision == Decision.RENAME else "no row of the target matches it"
    return reason or f"it is {action}"


def take_back(w: Writer, plan: TablePlan) -> None:
    """Remove the decisions of a table that were in vain."""
    e, m = (w.stage_name(kind, plan.number) for kind in "em")
    w.run(
        f"DELETE FROM {e} WHERE r IN (SELECT y.r FROM (SELECT e.r AS r FROM {e} e JOIN {m} m ON m.r = e.r "
        f"WHERE {_UNMET}) y)"
    )
