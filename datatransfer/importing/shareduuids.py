"""Rows of a package that share their UUID: one entity cannot be two rows, so they are refused before any is written.

A source that keeps ``entity_uuid`` unique cannot hold any, and is not looked through.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from datatransfer.display.plain import counted
from datatransfer.errors import ConflictError
from datatransfer.importing.actions import Identity
from datatransfer.importing.remap import TablePlan
from datatransfer.schema.identity import keeps_uuids_apart
from datatransfer.schema.tables import ENTITY_UUID

if TYPE_CHECKING:
    from datatransfer.database.writers import Writer

_SHOWN = 3


def refuse_shared_uuids(plans: Iterable[TablePlan], identity: Identity, writer: Writer) -> None:
    """Refuse staged rows that have the UUID of another row of their table.

    Raises
    ------
    ConflictError
        Also where the target would keep both: an import of either would find two.
    """
    for plan in plans if identity is Identity.KEEP else ():
        if not plan.staged.has_uuid or keeps_uuids_apart(plan.fit.source):
            continue
        stage = writer.stage_name("s", plan.number)
        shared = f"SELECT u, count(*) AS n FROM {stage} WHERE u IS NOT NULL GROUP BY u HAVING count(*) > 1"
        found = writer.run(f"{shared} ORDER BY u").all()
        if found:
            shown = [str(uuid) for uuid, _ in found[:_SHOWN]]
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            rows = counted(sum(int(n) for _, n in found), "row")
            raise ConflictError(
                f"{rows} of the package share their UUID with another: {', '.join(map(_dashed, shown))}{more}",
                where=f"{plan.fit.source.name}.{ENTITY_UUID}",
                hint='nothing was changed; give each row a UUID of its own in the source, or say identity="copy"',
                evidence={"table": plan.fit.source.name, "uuids": [_dashed(str(uuid)) for uuid, _ in found]},
            )


def _dashed(digits: str) -> str:
    """Return a UUID of 32 digits as it is usually written."""
    parts = (digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:])
    return "-".join(parts) if len(digits) == 32 else digits
