"""Decisions for single entities that did not lead where they should, because the target does not allow it.

A plan is made with all that was decided; what became of each entity is then compared with what was wanted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from datatransfer.display.plain import counted
from datatransfer.importing.actions import OUTCOMES, Action, Decision
from datatransfer.importing.remap import TablePlan

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer

#: SQL for the rows of decisions ``e`` and map ``m`` that did not become what was decided.
_UNMET = " OR ".join(
    f"e.a = '{decision}' AND m.a NOT IN ({', '.join(f'{chr(39)}{action}{chr(39)}' for action in actions)})"
    for decision, actions in OUTCOMES.items()
)


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
    def cannot(self) -> str:
        """What cannot be, in words."""
        words = {Decision.SKIP: "skipped"}
        past = words.get(self.decision, f"{self.decision}{'d' if self.decision.endswith('e') else 'ed'}")
        return f"{self.entities} cannot be {past}: {self.why}"


def find_unmet(writer: Writer, plans: Mapping[str, TablePlan]) -> list[Unmet]:
    """Return what was decided in vain, by the names of the tables.

    Parameters
    ----------
    writer : Writer
    plans : mapping of str to TablePlan
        The tables for whose entities something was decided.
    """
    return [unmet for name in sorted(plans) for unmet in _unmet_in(writer, name, plans[name])]


def _unmet_in(w: Writer, name: str, plan: TablePlan) -> list[Unmet]:
    found = w.run(
        f"SELECT e.a, m.a, m.x, count(*) FROM {w.stage_name('e', plan.number)} e "
        f"JOIN {w.stage_name('m', plan.number)} m ON m.r = e.r WHERE {_UNMET} GROUP BY e.a, m.a, m.x "
        "ORDER BY e.a, m.a, m.x"
    ).all()
    nothing = "no row of the target matches it"
    return [
        Unmet(
            name, Decision(word), counted(int(count), "entity", "entities"),
            nothing if action == Action.INSERT else why or f"it is {action}",
        )
        for word, action, why, count in found
    ]  # fmt: skip


def take_back(w: Writer, plan: TablePlan) -> None:
    """Remove the decisions of a table that were in vain."""
    e, m = (w.stage_name(kind, plan.number) for kind in "em")
    w.run(
        f"DELETE FROM {e} WHERE r IN (SELECT y.r FROM (SELECT e.r AS r FROM {e} e JOIN {m} m ON m.r = e.r "
        f"WHERE {_UNMET}) y)"
    )
