"""The imports into a database: who brought what, in which order, in which state, and which parts are staged.

Of two processes that move an import to its next state, only one succeeds.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import sqlalchemy as sa

from datatransfer.database import models
from datatransfer.database.dialects.failures import database_errors
from datatransfer.database.ledger.tables import has_ledger, now
from datatransfer.errors import TargetChangedError, UsageError

State = Literal["staging", "merged", "undone", "dropped"]

# An import that was undone is merged again when its undo is undone.
_FOLLOWS: Mapping[str, tuple[State, ...]] = {
    "staging": ("merged", "dropped"),
    "merged": ("undone",),
    "undone": ("merged",),
}


@dataclass(frozen=True)
class ImportRecord:
    """One import into this database.

    Parameters
    ----------
    import_id : str
    seq : int
        1, 2, 3 … in the order they were started; the clock is not asked.
    package_id, package_digest, origin : str
        Of the package: its UUID, the sha256 of its manifest, and the UUID of the database it came from.
    state : {"staging", "merged", "undone", "dropped"}
    claim : str or None
        What only one import may hold at a time.
    created, finished, undone_at : datetime, UTC
    options, counts : mapping
    warnings : sequence of JSON values
    plan_fingerprint, session : str
    """

    import_id: str
    seq: int
    package_id: str
    package_digest: str
    origin: str
    state: State
    claim: str | None
    created: dt.datetime
    finished: dt.datetime | None
    undone_at: dt.datetime | None
    options: Mapping[str, Any] = field(default_factory=dict)
    counts: Mapping[str, Any] = field(default_factory=dict)
    warnings: Sequence[Any] = ()
    plan_fingerprint: str = ""
    session: str = ""


def start_import(
    conn: sa.Connection,
    *,
    package_id: str | uuid.UUID,
    package_digest: str,
    origin: str | uuid.UUID,
    import_id: str | uuid.UUID | None = None,
    options: Mapping[str, Any] | None = None,
    session: str = "",
    claim: str | None = None,
    schema: str | None = None,
) -> ImportRecord:
    """Record a new import in state ``staging`` and return it.

    Parameters
    ----------
    package_id, package_digest, origin
        Of the package, see `ImportRecord`.
    import_id : optional
        A fresh UUID if not given.
    options : mapping
        JSON data: the policies that the import was asked for.
    claim : str, optional
        Two imports with the same claim cannot both be there.

    Raises
    ------
    DatabaseError
        Another process started an import at the same moment, or holds the claim.
    """
    table = models.table_in(models.imports, schema)
    following = sa.select(sa.func.coalesce(sa.func.max(table.c.seq), 0) + 1)
    with database_errors(conn.engine, "recording the import", hint="another import may be running; try again"):
        record = ImportRecord(
            import_id=str(import_id or uuid.uuid4()),
            seq=int(conn.execute(following).scalar_one()),
            package_id=str(package_id),
            package_digest=package_digest,
            origin=str(origin),
            state="staging",
            claim=claim,
            created=now(),
            finished=None,
            undone_at=None,
            options=dict(options or {}),
            session=session,
        )
        conn.execute(table.insert().values({**record.__dict__, "warnings": list(record.warnings)}))
    return record


def set_state(
    conn: sa.Connection,
    import_id: str | uuid.UUID,
    state: State,
    *,
    counts: Mapping[str, Any] | None = None,
    warnings: Sequence[Any] | None = None,
    plan_fingerprint: str | None = None,
    schema: str | None = None,
) -> None:
    """Move an import to its next state: staging → merged | dropped, merged → undone, undone → merged again.

    An import that ends (undone, dropped) gives its claim back.

    Raises
    ------
    UsageError
        There is no such import, or no import can get into that state.
    TargetChangedError
        It is not in the state before: another process was quicker.
    """
    table = models.table_in(models.imports, schema)
    before = [earlier for earlier, later in _FOLLOWS.items() if state in later]
    if not before:
        raise UsageError(f"no import can be moved to the state {state!r}", where=str(import_id))
    moment = now()
    values: dict[str, Any] = {"state": state, "undone_at" if state == "undone" else "finished": moment}
    if state == "merged" and read_import(conn, import_id, schema).state == "undone":
        values = {"state": state, "undone_at": None}
    given = {"counts": counts, "warnings": warnings, "plan_fingerprint": plan_fingerprint}
    values |= {name: value for name, value in given.items() if value is not None}
    if state in ("undone", "dropped"):
        values["claim"] = None
    mine = (table.c.import_id == str(import_id)) & table.c.state.in_(before)
    with database_errors(conn.engine, "recording the state of the import"):
        moved = conn.execute(table.update().where(mine).values(values)).rowcount
    if moved != 1:
        found = read_import(conn, import_id, schema)
        raise TargetChangedError(
            f"the import is {found.state} and cannot become {state}",
            where=str(import_id),
            hint="another process was quicker, or it was done before",
        )


def add_warnings(
    conn: sa.Connection, import_id: str | uuid.UUID, warnings: Sequence[Any], schema: str | None = None
) -> None:
    """Add warnings to those of an import that ended; what is there already is not said twice."""
    table = models.table_in(models.imports, schema)
    before = list(read_import(conn, import_id, schema).warnings)
    new = [*before, *(warning for warning in warnings if warning not in before)]
    with database_errors(conn.engine, "recording warnings"):
        conn.execute(table.update().where(table.c.import_id == str(import_id)).values(warnings=new))


def read_import(conn: sa.Connection, import_id: str | uuid.UUID, schema: str | None = None) -> ImportRecord:
    """Return one import.

    Raises
    ------
    UsageError
        There is none of that id.
    """
    if not has_ledger(conn, schema):
        hint = "open the database, and the schema of it, that the import went to"
        raise UsageError("nothing was ever imported into this database", where=str(import_id), hint=hint)
    table = models.table_in(models.imports, schema)
    found = _imports(conn, table.c.import_id == str(import_id), schema)
    if not found:
        raise UsageError(
            "there is no such import in this database", where=str(import_id), hint="see dt.receipts(target)"
        )
    return found[0]


def list_imports(
    conn: sa.Connection,
    *,
    state: State | None = None,
    package_digest: str | None = None,
    after: int = 0,
    schema: str | None = None,
) -> list[ImportRecord]:
    """Return the imports into this database, oldest first; none where there is no ledger yet.

    Parameters
    ----------
    state, package_digest : optional
        Only those in this state, or of this package.
    after : int
        Only those with a higher ``seq``.
    """
    if not has_ledger(conn, schema):
        return []
    table = models.table_in(models.imports, schema)
    wanted: sa.ColumnElement[bool] = table.c.seq > after
    if state is not None:
        wanted &= table.c.state == state
    if package_digest is not None:
        wanted &= table.c.package_digest == package_digest
    return _imports(conn, wanted, schema)


def last_seq(conn: sa.Connection, schema: str | None = None) -> int:
    """Return the ``seq`` of the latest import, 0 if there is none."""
    if not has_ledger(conn, schema):
        return 0
    with database_errors(conn.engine, "reading the imports"):
        top = sa.func.coalesce(sa.func.max(models.table_in(models.imports, schema).c.seq), 0)
        return int(conn.execute(sa.select(top)).scalar_one())


def _imports(conn: sa.Connection, wanted: sa.ColumnElement[bool], schema: str | None) -> list[ImportRecord]:
    table = models.table_in(models.imports, schema)
    with database_errors(conn.engine, "reading the imports"):
        rows = conn.execute(sa.select(table).where(wanted).order_by(table.c.seq)).mappings().all()
    return [ImportRecord(**{**row, "warnings": tuple(row["warnings"])}) for row in rows]


def add_checkpoint(
    conn: sa.Connection, import_id: str | uuid.UUID, table: str, part: int, rows: int, schema: str | None = None
) -> None:
    """Record that a part is staged; in the transaction that staged it.

    Raises
    ------
    DatabaseError
        The part is recorded already: it would be loaded twice.
    """
    own = models.table_in(models.checkpoints, schema)
    values = {"import_id": str(import_id), "table_name": table, "part": part, "rows": rows, "created": now()}
    with database_errors(conn.engine, "recording a staged part", where=table):
        conn.execute(own.insert().values(values))


def checkpoints(
    conn: sa.Connection, import_id: str | uuid.UUID, schema: str | None = None
) -> dict[tuple[str, int], int]:
    """Return how many rows each staged part has: ``{(table, part): rows}``."""
    own = models.table_in(models.checkpoints, schema)
    query = sa.select(own).where(own.c.import_id == str(import_id)).order_by(own.c.table_name, own.c.part)
    with database_errors(conn.engine, "reading the staged parts"):
        return {(row.table_name, row.part): row.rows for row in conn.execute(query)}
