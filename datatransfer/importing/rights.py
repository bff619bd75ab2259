"""Which privileges an import needs, and when that is known: some before a row is staged, the others with the plan.

An undo needs those that take back what was done. How a database is asked is in `datatransfer.database.writers.rights`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from datatransfer.database.writers.rights import Lack, refuse, rights_of
from datatransfer.importing.actions import Action, Identity
from datatransfer.importing.images import DELETE, INSERT, UPDATE

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer
    from datatransfer.importing.plan import ImportPlan
    from datatransfer.importing.touched import TouchedRows
    from datatransfer.importing.validation import TableFit


_TAKES_BACK = {INSERT: "DELETE", UPDATE: "UPDATE", DELETE: "INSERT"}


def lacking(
    writer: Writer, fits: Mapping[str, TableFit], rows: Mapping[str, int], identity: Identity = Identity.KEEP
) -> Iterator[Lack]:
    """Yield what is missing to stage and plan, and to insert where it is certain that rows will be inserted."""
    rights = rights_of(writer)
    found = rights.to_stage()
    yield from found
    if found:
        return
    for name, fit in fits.items():
        unseen = rights.on_table(fit.target, "SELECT")
        yield from unseen
        if rows[name] and not unseen and (identity is Identity.COPY or _is_empty(writer, fit)):
            yield from rights.on_table(fit.target, "INSERT")


def _is_empty(writer: Writer, fit: TableFit) -> bool:
    if writer.name == "sqlite":
        return False  # there are no rights on tables
    return writer.run(f"SELECT 1 FROM {writer.table(fit.target)} LIMIT 1").first() is None


def refuse_lacking(plan: ImportPlan) -> None:
    """Refuse a plan that the role may not carry out.

    Raises
    ------
    PrivilegeError
    """
    rights = rights_of(plan.writer)
    words = {Action.INSERT: "INSERT", Action.UPDATE: "UPDATE"}
    wanted = [(p.fit.target, word) for p in plan.plans.values() for a, word in words.items() if p.counts.get(a)]
    refuse(lack for table, word in wanted for lack in rights.on_table(table, word))


def refuse_undo(touched: TouchedRows) -> None:
    """Refuse an undo that the role may not carry out.

    Raises
    ------
    PrivilegeError
    """
    rights = rights_of(touched.writer)
    wanted = [(t.table, _TAKES_BACK[action]) for t in touched.tables.values() for action in t.actions]
    refuse(lack for table, word in wanted for lack in rights.on_table(table, word))


def refuse_staging(writer: Writer) -> None:
    """Refuse to begin where the role may not stage rows.

    Raises
    ------
    PrivilegeError
    """
    refuse(rights_of(writer).to_stage())
