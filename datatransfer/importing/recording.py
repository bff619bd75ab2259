"""Writing a receipt: everything that is to be known of an import, inside its own transaction."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datatransfer.database import ledger
from datatransfer.database.dialects.base import RowSource
from datatransfer.database.ledger import ImportedFile
from datatransfer.importing.actions import Action
from datatransfer.importing.images import UPDATE, before_image
from datatransfer.importing.keptkeys import kept
from datatransfer.importing.remap import TablePlan
from datatransfer.schema.keycolumns import key_array

if TYPE_CHECKING:
    import pyarrow as pa

    from datatransfer.importing.plan import ImportPlan
    from datatransfer.schema.tables import Table

_ASKED_ROWS = 250_000


def updated_rows(plan: ImportPlan, table: TablePlan) -> pa.Table | None:
    """Return the target's rows that an update is about to touch, as they are."""
    w = plan.writer
    key = " AND ".join(f"t.{w.quote(c)} = m.k{i}" for i, c in enumerate(table.key))
    join = f"JOIN {w.stage_name('m', table.number)} m ON {key} AND m.a = '{Action.UPDATE}'"
    return before_image(w, table.fit.target, RowSource(join=join, whole=False), UPDATE, table.key)


def touched_rows(plan: ImportPlan, table: TablePlan) -> tuple[Table, Iterator[pa.RecordBatch]]:
    """Return the target's rows that an update will touch, as they are, and the table with their definite types."""
    w = plan.writer
    key = " AND ".join(f"t.{w.quote(c)} = m.k{i}" for i, c in enumerate(table.key))
    join = f"JOIN {w.stage_name('m', table.number)} m ON {key} AND m.a = '{Action.UPDATE}'"
    source = RowSource(join=join, whole=False)
    dialect = plan.target.dialect
    resolved = dialect.resolve_types(w.conn, table.fit.target, source)
    return resolved, dialect.read(w.conn, resolved, source)


def write_receipt(
    plan: ImportPlan, warnings: Sequence[str], files: Sequence[ImportedFile], images: Mapping[str, pa.Table | None]
) -> None:
    """Write everything that is to be known of an import, inside its transaction."""
    conn = plan.writer.conn
    metadata = plan.package.metadata
    if plan.writer.transactional_ddl:
        ledger.create_ledger(conn)
    ledger.ensure_origin(conn, plan.target.origin)
    ledger.start_import(
        conn,
        import_id=plan.writer.import_id,
        package_id=metadata.package_id,
        package_digest=metadata.manifest_sha256,
        origin=metadata.origin,
        options={**plan.policies.to_json(), "package": str(Path(plan.package.path).absolute())},
        session=json.dumps({"timings": {phase: round(seconds, 3) for phase, seconds in plan.timings.items()}}),
    )
    for table in plan.plans.values():
        for keys in key_maps_of(plan, table):
            ledger.add_key_map(conn, plan.writer.import_id, table.fit.target.name, keys, origin=metadata.origin)
    for name, image in images.items():
        if image is not None:
            ledger.add_before_image(conn, plan.writer.import_id, name, image)
    ledger.add_file(conn, plan.writer.import_id, list(files))
    ledger.set_state(conn, plan.writer.import_id, "merged", counts=counts_of(plan), warnings=list(warnings),
                     plan_fingerprint=plan.fingerprint)  # fmt: skip


def counts_of(plan: ImportPlan) -> dict[str, dict[str, int]]:
    """Return the plan's counts by the target's table names."""
    return {p.fit.target.name: {str(a): n for a, n in p.counts.items()} for p in plan.plans.values()}


def key_maps_of(plan: ImportPlan, table: TablePlan) -> Iterator[pa.Table]:
    """Yield the source and target keys of a table's entities, in chunks."""
    if not table.key:
        return
    if table.mapped and table.shift is not None and len(table.counts) == 1:
        yield from _shifted(table, [table.shift], next(iter(table.counts)))
        return
    shifts = [0 if plan.straight else _shift(plan, table, column) for column in table.key]
    if not table.mapped and table.staged.key_chunks and all(shift is not None for shift in shifts):
        yield from _shifted(table, [int(shift or 0) for shift in shifts], Action.INSERT)
    else:
        yield from _asked(plan, table)


def _shift(plan: ImportPlan, table: TablePlan, column: str) -> int | None:
    """Return what is added to a key column of rows that are all inserted, None if that differs by row."""
    fit = table.fit.fit_of(column)
    fk = plan.remap.reference_of(table, fit)
    if fk is None:
        return table.offset if column == table.fit.surrogate else 0
    if fk in table.outside:
        return None
    parent = plan.plans.get(fk.parent)
    if parent is None:
        return 0
    others = [other for c in fk.columns if c != fit.source.name and (other := table.fit.by_source(c))]
    if parent.mapped or any(other.source.nullable for other in others):  # NULL in part: it does not follow the parent
        return None
    above = parent.fit.by_source(fk.parent_columns[fk.columns.index(fit.source.name)])
    return parent.offset if above and above.target.name == parent.fit.surrogate else 0


def _shifted(table: TablePlan, shifts: list[int], action: Action) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.compute as pc

    for keys in kept(table.staged):
        columns: dict[str, Any] = {}
        for column in table.fit.source.key:
            fit = table.fit.by_source(column)
            columns[f"s.{column}"] = keys[fit.target.name if fit else column]
        for column, shift in zip(table.key, shifts, strict=True):
            columns[f"t.{column}"] = pc.add(keys[column], shift) if shift else keys[column]
        columns["action"] = pa.repeat(str(action), keys.num_rows)
        yield pa.table(columns)


def _asked(plan: ImportPlan, table: TablePlan) -> Iterator[pa.Table]:
    import pyarrow as pa

    names = [f"s.{c}" for c in table.fit.source.key] + [f"t.{c}" for c in table.key]
    # The driver's own cursor: rows of SQLAlchemy cost as much again as fetching them.
    cursor = plan.writer.run(_key_sql(plan, table)).cursor
    while rows := cursor.fetchmany(_ASKED_ROWS):
        lists = list(zip(*rows, strict=True))
        columns: dict[str, Any] = {n: key_array(v) for n, v in zip(names, lists, strict=False)}
        columns["action"] = pa.array(lists[len(names)], type=pa.string())
        if table.staged.has_keys:
            columns["origin"] = pa.array(lists[len(names) + 1], type=pa.string())
            columns["key"] = pa.array(lists[len(names) + 2], type=pa.string())
        yield pa.table(columns)


def _key_sql(plan: ImportPlan, table: TablePlan) -> str:
    """Return SQL for the keys in source and target, the action, and where it is needed the foreign identity."""
    w, staged = plan.writer, table.staged
    s, m = w.stage_name("s", table.number), w.stage_name("m", table.number)
    sources = [fit for c in table.fit.source.key if (fit := table.fit.by_source(c))]
    targets = [table.fit.fit_of(c) for c in table.key]
    ours = [f"s.{staged.stage_column(fit.target.name)} AS s{i}" for i, fit in enumerate(sources)]
    ours += ["s.o", "s.k"] if staged.has_keys else []
    if table.mapped:
        parts = ", ".join([*ours, *(f"m.k{i}" for i in range(len(targets))), "m.a", "s.r"])
        keys = f"SELECT {parts} FROM {s} s JOIN {m} m ON m.r = s.r WHERE m.a <> '{Action.CONFLICT}'"
    else:
        lead = ", ".join([*ours, f"'{Action.INSERT}' AS a"])
        keys = plan.remap.select(table, [(f"k{i}", fit) for i, fit in enumerate(targets)], lead=lead)
    read = [w.kept(f"x.s{i}", fit.kind, fit.target) for i, fit in enumerate(sources)]
    read += [w.kept(f"x.k{i}", fit.target.type, fit.target) for i, fit in enumerate(targets)]
    read += ["x.a", *(["x.o", "x.k"] if staged.has_keys else [])]
    return f"SELECT {', '.join(read)} FROM ({keys}) x{' ORDER BY x.r' if table.mapped else ''}"
