"""What we remember in a target database: its origin, its imports, and what each import did.

Every function works on a SQLAlchemy connection inside the caller's transaction, so that the record of a change commits
or vanishes with the change. Only `create_ledger` makes tables: call it on its own, for MariaDB commits at every DDL.

Key maps and before-images are Arrow tables, see `datatransfer.database.chunks`.

This module knows no package and decides nothing: states, actions and maps are the importing room's.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, get_args

import sqlalchemy as sa

from datatransfer.database import chunks, models
from datatransfer.database.dialects.failures import database_errors
from datatransfer.errors import TargetChangedError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

State = Literal["staging", "merged", "undone", "dropped"]
STATES: tuple[str, ...] = get_args(State)

# An import that was undone is merged again when its undo is undone.
_FOLLOWS: Mapping[str, tuple[State, ...]] = {
    "staging": ("merged", "dropped"),
    "merged": ("undone",),
    "undone": ("merged",),
}
# The revision of migrations/versions/0002_after_images.py, with which the tables are as `create_ledger` makes them.
LEDGER_REVISION = "7c1e0d5b92f4"
_EARLIER_REVISIONS = ("539b49a4279e",)


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


@dataclass(frozen=True)
class ImportedFile:
    """One file that an import wrote, or found in place with the same content."""

    store_table: str
    store_column: str
    path: str
    sha256: str
    bytes: int
    action: str


# --- the tables and the origin --------------------------------------------------------------------------------------


def create_ledger(conn: sa.Connection, schema: str | None = None) -> None:
    """Create the tables that are missing, and note the revision they are at.

    Parameters
    ----------
    conn : sqlalchemy.Connection
        MariaDB commits its transaction if a table has to be made.
    schema : str, optional
        Where the tables live; the default schema of the connection if not given.

    Raises
    ------
    DatabaseError
        The role may not create tables.

    Examples
    --------
    >>> engine = sa.create_engine("sqlite://")
    >>> with engine.begin() as conn:
    ...     create_ledger(conn)
    ...     has_ledger(conn)
    True
    >>> engine.dispose()
    """
    with database_errors(conn.engine, "creating the tables of datatransfer"):
        models.metadata_in(schema).create_all(conn, checkfirst=True)
    stamp(conn, LEDGER_REVISION, schema, replaces=_EARLIER_REVISIONS)


def stamp(conn: sa.Connection, revision: str, schema: str | None = None, *, replaces: Sequence[str] = ()) -> None:
    """Note, in our own version table, that one of our Alembic revisions is applied, in place of earlier ones."""
    version = models.table_in(models.version, schema)
    with database_errors(conn.engine, "recording a revision", where=version.name):
        version.create(conn, checkfirst=True)
        if replaces:
            conn.execute(version.delete().where(version.c.version_num.in_(replaces)))
        if revision not in conn.execute(sa.select(version.c.version_num)).scalars().all():
            conn.execute(version.insert().values(version_num=revision))


def has_ledger(conn: sa.Connection, schema: str | None = None) -> bool:
    """Return whether the tables are there."""
    with database_errors(conn.engine, "looking for the tables of datatransfer"):
        return sa.inspect(conn).has_table(models.imports.name, schema=schema)


def read_origin(conn: sa.Connection, schema: str | None = None) -> uuid.UUID | None:
    """Return the recorded identity of this database, None if there is none."""
    if not has_ledger(conn, schema):
        return None
    table = models.table_in(models.origin, schema)
    with database_errors(conn.engine, "reading the origin"):
        found = conn.execute(sa.select(table.c.origin).where(table.c.id == 1)).scalar_one_or_none()
    return uuid.UUID(found) if found else None


def ensure_origin(conn: sa.Connection, derived: uuid.UUID | None = None, schema: str | None = None) -> uuid.UUID:
    """Return the recorded identity of this database; record one if there is none.

    Parameters
    ----------
    derived : uuid.UUID, optional
        What the database was known by so far, so that identities derived from it stay; a random one if not given.
    """
    found = read_origin(conn, schema)
    if found is not None:
        return found
    chosen = derived or uuid.uuid4()
    values = {"id": 1, "origin": str(chosen), "created": _now()}
    with database_errors(conn.engine, "recording the origin"):
        conn.execute(models.table_in(models.origin, schema).insert().values(values))
    return chosen


# --- imports --------------------------------------------------------------------------------------------------------


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
            created=_now(),
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
    now = _now()
    values: dict[str, Any] = {"state": state, "undone_at" if state == "undone" else "finished": now}
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


def read_import(conn: sa.Connection, import_id: str | uuid.UUID, schema: str | None = None) -> ImportRecord:
    """Return one import.

    Raises
    ------
    UsageError
        There is none of that id.
    """
    if not has_ledger(conn, schema):
        raise UsageError("nothing was ever imported into this database", where=str(import_id))
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


# --- what one import did --------------------------------------------------------------------------------------------


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
    values = {"import_id": str(import_id), "table_name": table, "part": part, "rows": rows, "created": _now()}
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


def add_file(
    conn: sa.Connection, import_id: str | uuid.UUID, files: Sequence[ImportedFile], schema: str | None = None
) -> None:
    """Record the files of an import; may be called several times."""
    if not files:
        return
    own = models.table_in(models.import_files, schema)
    mine = own.c.import_id == str(import_id)
    with database_errors(conn.engine, "recording files"):
        start = conn.execute(sa.select(sa.func.coalesce(sa.func.max(own.c.n), -1) + 1).where(mine)).scalar_one()
        rows = [{"import_id": str(import_id), "n": start + n, **file.__dict__} for n, file in enumerate(files)]
        conn.execute(own.insert(), rows)


def imported_files(conn: sa.Connection, import_id: str | uuid.UUID, schema: str | None = None) -> list[ImportedFile]:
    """Return the files of an import, in the order they were recorded."""
    own = models.table_in(models.import_files, schema)
    columns = [own.c[name] for name in ImportedFile.__dataclass_fields__]
    query = sa.select(*columns).where(own.c.import_id == str(import_id)).order_by(own.c.n)
    with database_errors(conn.engine, "reading the files of an import"):
        return [ImportedFile(**row) for row in conn.execute(query).mappings()]


# --- Arrow tables, in chunks ----------------------------------------------------------------------------------------


def add_key_map(
    conn: sa.Connection,
    import_id: str | uuid.UUID,
    table: str,
    keys: pa.Table,
    *,
    origin: str | uuid.UUID,
    schema: str | None = None,
) -> None:
    """Record which key of the source became which key of the target.

    Parameters
    ----------
    table : str
        The target's table.
    keys : pyarrow.Table
        Columns ``s.<key column>``, ``t.<key column>``, ``action``; perhaps ``origin`` and ``key``. Sorted by the source
        key it takes least space.
    origin : UUID
        Of the source database.
    """
    own = models.table_in(models.key_maps, schema)
    chunks.add_chunks(conn, own, import_id, table, keys, {"origin": str(origin)})


def key_maps(
    conn: sa.Connection,
    *,
    table: str | None = None,
    origin: str | uuid.UUID | None = None,
    import_id: str | uuid.UUID | None = None,
    schema: str | None = None,
) -> Iterator[tuple[str, str, pa.Table]]:
    """Yield ``(import id, table, keys)``, the newest import first, chunk by chunk.

    Parameters
    ----------
    table, origin : optional
        Only of this table, only from this source database.
    import_id : optional
        Of this import, whatever its state. Without it: of all imports in state ``merged``.
    """
    own = models.table_in(models.key_maps, schema)
    imports = models.table_in(models.imports, schema)
    wanted = own.c.import_id == imports.c.import_id
    wanted &= imports.c.state == "merged" if import_id is None else imports.c.import_id == str(import_id)
    if table is not None:
        wanted &= own.c.table_name == table
    if origin is not None:
        wanted &= own.c.origin == str(origin)
    yield from chunks.read_chunks(conn, own, imports, wanted)


def add_before_image(
    conn: sa.Connection, import_id: str | uuid.UUID, table: str, rows: pa.Table, schema: str | None = None
) -> None:
    """Record rows of the target as they are before the import changes them."""
    own = models.table_in(models.before_images, schema)
    chunks.add_chunks(conn, own, import_id, table, rows, {})


def before_images(
    conn: sa.Connection, import_id: str | uuid.UUID, *, table: str | None = None, schema: str | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Yield ``(table, rows)`` of one import, chunk by chunk, in the order they were recorded."""
    own = models.table_in(models.before_images, schema)
    imports = models.table_in(models.imports, schema)
    wanted = (own.c.import_id == imports.c.import_id) & (imports.c.import_id == str(import_id))
    if table is not None:
        wanted &= own.c.table_name == table
    for _, name, rows in chunks.read_chunks(conn, own, imports, wanted):
        yield name, rows


def add_after_image(
    conn: sa.Connection, import_id: str | uuid.UUID, table: str, rows: pa.Table, schema: str | None = None
) -> None:
    """Record keys and hashes of rows of the target as the import left them."""
    own = models.table_in(models.after_images, schema)
    chunks.add_chunks(conn, own, import_id, table, rows, {})


def after_images(
    conn: sa.Connection, import_id: str | uuid.UUID, *, schema: str | None = None
) -> Iterator[tuple[str, pa.Table]]:
    """Yield ``(table, keys and hashes)`` of one import, chunk by chunk, in the order they were recorded."""
    if not sa.inspect(conn).has_table(models.after_images.name, schema=schema):
        return  # made by an earlier version, which nothing was imported with since
    own = models.table_in(models.after_images, schema)
    imports = models.table_in(models.imports, schema)
    wanted = (own.c.import_id == imports.c.import_id) & (imports.c.import_id == str(import_id))
    for _, name, rows in chunks.read_chunks(conn, own, imports, wanted):
        yield name, rows


def other_paths(
    conn: sa.Connection, import_id: str | uuid.UUID, schema: str | None = None
) -> set[tuple[str, str, str]]:
    """Return the files of an import that another merged import has, too: table, column, path."""
    own = models.table_in(models.import_files, schema)
    imports = models.table_in(models.imports, schema)
    other = own.alias("other")
    place = (own.c.store_table, own.c.store_column, own.c.path)
    same = sa.and_(*(column == other.c[column.name] for column in place))
    query = (
        sa.select(*place)
        .join(other, same & (other.c.import_id != own.c.import_id))
        .join(imports, imports.c.import_id == other.c.import_id)
        .where((own.c.import_id == str(import_id)) & (imports.c.state == "merged"))
    )
    with database_errors(conn.engine, "reading the files of imports"):
        return {(row.store_table, row.store_column, row.path) for row in conn.execute(query)}


def move_files(
    conn: sa.Connection,
    import_id: str | uuid.UUID,
    files: Sequence[ImportedFile],
    action: str,
    schema: str | None = None,
) -> None:
    """Record what is being done with files of an import: ``removing`` until they are gone, then ``removed``."""
    if not files:
        return
    own = models.table_in(models.import_files, schema)
    wanted = (own.c.import_id == str(import_id)) & (own.c.path == sa.bindparam("p"))
    wanted &= (own.c.store_table == sa.bindparam("t")) & (own.c.store_column == sa.bindparam("c"))
    rows = [{"p": file.path, "t": file.store_table, "c": file.store_column} for file in files]
    with database_errors(conn.engine, "recording files"):
        conn.execute(own.update().where(wanted).values(action=action), rows)


def now() -> dt.datetime:
    """Return the time, for people to read: nothing is ordered by it."""
    return _now()


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)
