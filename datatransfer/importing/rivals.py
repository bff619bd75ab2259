"""Other imports into the same target: what was merged while a plan was made, and who is told what.

A plan is made without locks, so several processes may plan the same package, or packages that overlap, at once. They
merge one after another; whoever comes later finds here, inside that order, what came before it. Knows the ledger and
errors, nothing of rows.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from datatransfer.database import ledger
from datatransfer.errors import AlreadyImportedError, TargetChangedError

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from datatransfer.database.ledger import ImportRecord

_WRITES = ("insert", "update")


def refuse_rivals(conn: Connection, after: int, digest: str, tables: Collection[str], *, again: bool) -> None:
    """Refuse a plan that other imports have overtaken.

    Parameters
    ----------
    conn : sqlalchemy.Connection
        Of the merge, which no other merge can overtake any more.
    after : int
        The ``seq`` of the latest import when the plan was begun.
    digest : str
        Of the package.
    tables : collection of str
        That the plan looks at, by the target's names.
    again : bool
        Whether the same package may be imported several times, because each time all of it becomes new.

    Raises
    ------
    AlreadyImportedError
        One of them brought the same package.
    TargetChangedError
        One of them wrote to a table of this plan, which does not know what its rows are.
    """
    records = ledger.list_imports(conn, state="merged", after=after)
    for record in records if not again else ():
        if record.package_digest == digest:
            raise AlreadyImportedError(
                f"another process imported this package meanwhile{said(record)}",
                where=record.import_id, hint="nothing is left to do; see datatransfer.receipt",
                evidence={"import_id": record.import_id, "finished": _when(record)},
            )  # fmt: skip
    for record in records:
        shared = sorted(set(tables) & _written(record.counts))
        if shared:
            raise TargetChangedError(
                f"another import ({record.import_id}) was merged since this one was planned",
                where=", ".join(shared), hint="nothing was changed; plan again",
            )  # fmt: skip


def said(record: ImportRecord) -> str:
    """Return which import that was and when, as the end of a sentence."""
    return f": import {record.import_id}, at {_when(record)}"


def _when(record: ImportRecord) -> str:
    return record.finished.isoformat(timespec="seconds") if record.finished else ""


def _written(counts: Any) -> set[str]:
    return {table for table, actions in counts.items() if any(actions.get(action) for action in _WRITES)}
