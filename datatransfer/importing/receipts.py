"""What an import did, written with it in one transaction, and read again at any time."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datatransfer.database import ledger
from datatransfer.database.dialects.base import RowSource
from datatransfer.database.ledger import ImportedFile
from datatransfer.errors import UnknownTableError
from datatransfer.importing.actions import Action
from datatransfer.importing.remap import TablePlan
from datatransfer.schema.keycolumns import key_array, key_values

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from datatransfer.database.connection import Database
    from datatransfer.importing.plan import ImportPlan
    from datatransfer.schema.tables import Table

_SUMMARY = {"inserted": "insert", "updated": "update", "reused": "reuse", "skipped": "skip", "conflicts": "conflict"}


_MAP_ROWS = 500_000
_ASKED_ROWS = 250_000


@dataclass(frozen=True)
class Receipt:
    """The story of one import.

    Attributes
    ----------
    import_id : uuid.UUID
    package_id : str
    counts : mapping of table to mapping of action to int
    warnings : sequence of str
    recorded : bool
        Whether it stands in the target; an import that had nothing to write leaves none.
    """

    target: Database = field(repr=False)
    import_id: uuid.UUID
    package_id: str
    counts: Mapping[str, Mapping[str, int]]
    warnings: Sequence[str] = ()
    recorded: bool = True
    maps: Mapping[str, Sequence[pa.Table]] = field(default_factory=dict, repr=False)

    @property
    def summary(self) -> pd.DataFrame:
        """One row a table: rows of the package, and how many were inserted, updated, reused, skipped, in conflict."""
        import pandas as pd

        rows = []
        for table, counts in self.counts.items():
            numbers = {name: counts.get(action, 0) for name, action in _SUMMARY.items()}
            rows.append({"table": table, "rows": sum(numbers.values()), **numbers})
        return pd.DataFrame(rows, columns=["table", "rows", *_SUMMARY])

    def total(self, action: str) -> int:
        """Return how many entities an action was taken on, e.g. ``"insert"``."""
        return sum(counts.get(action, 0) for counts in self.counts.values())

    def id_map(self, table: str) -> pd.DataFrame:
        """Return which key in the target each key of the package became.

        Parameters
        ----------
        table : str

        Returns
        -------
        pandas.DataFrame
            ``source.<column>``, ``target.<column>``, ``action``.

        Raises
        ------
        UnknownTableError
            The import did not touch that table.
        """
        import pandas as pd

        if table not in self.counts:
            raise UnknownTableError(f"the import has no table {table!r}", hint=f"it has {', '.join(self.counts)}")
        frames = [self._frame(keys) for keys in self._key_maps(table)]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=["action"])

    def _key_maps(self, table: str) -> Iterator[pa.Table]:
        if not self.recorded:
            yield from self.maps.get(table, ())
            return
        with self.target.engine.connect() as conn:
            for _, _, keys in ledger.key_maps(conn, table=table, import_id=self.import_id):
                yield keys

    @staticmethod
    def _frame(keys: pa.Table) -> pd.DataFrame:
        import pandas as pd

        columns: dict[str, Any] = {}
        for name in keys.column_names:
            if name.startswith(("s.", "t.")):
                side = "source." if name.startswith("s.") else "target."
                columns[side + name[2:]] = pd.Series(key_values(keys[name].combine_chunks()))
        columns["action"] = keys["action"].to_pylist()
        return pd.DataFrame(columns)

    def __repr__(self) -> str:
        parts = [f"{self.total(action)} {name}" for name, action in _SUMMARY.items() if self.total(action)]
        return f"Receipt({str(self.import_id)[:8]}: {', '.join(parts) or 'nothing'})"

    def _repr_html_(self) -> str:
        import html

        notes = "".join(f"<li>{html.escape(str(note))}</li>" for note in self.warnings)
        return f"<p>{html.escape(repr(self))}</p>{self.summary.to_html(index=False)}<ul>{notes}</ul>"


# --- writing --------------------------------------------------------------------------------------------------------


def before_image(plan: ImportPlan, table: TablePlan) -> pa.Table:
    """Return the target's rows that an update is about to touch, as they are."""
    import pyarrow as pa

    return pa.Table.from_batches(list(touched_rows(plan, table)[1]))


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
    plan: ImportPlan, warnings: Sequence[str], files: Sequence[ImportedFile], images: Mapping[str, pa.Table]
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
        options=plan.policies.to_json(),
    )
    for table in plan.plans.values():
        for keys in key_maps_of(plan, table):
            ledger.add_key_map(conn, plan.writer.import_id, table.fit.target.name, keys, origin=metadata.origin)
    for name, image in images.items():
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
    shifts = [_shift(plan, table, column) for column in table.key]
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
    if parent.mapped:
        return None
    above = parent.fit.by_source(fk.parent_columns[fk.columns.index(fit.source.name)])
    return parent.offset if above and above.target.name == parent.fit.surrogate else 0


def _shifted(table: TablePlan, shifts: list[int], action: Action) -> Iterator[pa.Table]:
    import pyarrow as pa
    import pyarrow.compute as pc

    for keys in _staged_keys(table):
        columns: dict[str, Any] = {}
        for column in table.fit.source.key:
            fit = table.fit.by_source(column)
            columns[f"s.{column}"] = keys[fit.target.name if fit else column]
        for column, shift in zip(table.key, shifts, strict=True):
            columns[f"t.{column}"] = pc.add(keys[column], shift)
        columns["action"] = pa.repeat(str(action), keys.num_rows)
        yield pa.table(columns)


def _staged_keys(table: TablePlan) -> Iterator[pa.Table]:
    """Yield the integer keys that the stage kept, in pieces that are worth a chunk of the ledger each."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    held: list[pa.Table] = []
    for chunk in table.staged.key_chunks:
        held.append(pq.read_table(io.BytesIO(chunk)))
        if sum(keys.num_rows for keys in held) >= _MAP_ROWS:
            yield pa.concat_tables(held).combine_chunks()
            held = []
    if held:
        yield pa.concat_tables(held).combine_chunks()


def _asked(plan: ImportPlan, table: TablePlan) -> Iterator[pa.Table]:
    import pyarrow as pa

    w = plan.writer
    source = [f"s.{table.staged.stage_of_source(c)}" for c in table.fit.source.key]
    foreign = ["s.o", "s.k"] if table.staged.has_foreign else []
    if table.mapped:
        keys = [f"m.k{i}" for i in range(len(table.key))]
        parts = ", ".join([*source, *keys, "m.a", *foreign])
        join = f"JOIN {w.stage_name('m', table.number)} m ON m.r = s.r WHERE m.a <> '{Action.CONFLICT}'"
        sql = f"SELECT {parts} FROM {w.stage_name('s', table.number)} s {join} ORDER BY s.r"
    else:
        lead = ", ".join(source)
        named = [("", table.fit.fit_of(c)) for c in table.key]
        tail_columns = "".join(f", {c}" for c in foreign)
        sql = plan.remap.select(table, named, lead=lead)
        sql = sql.replace(" FROM ", f", '{Action.INSERT}'{tail_columns} FROM ", 1)
    names = [f"s.{c}" for c in table.fit.source.key] + [f"t.{c}" for c in table.key]
    # The driver's own cursor: rows of SQLAlchemy cost as much again as fetching them.
    cursor = w.run(sql).cursor
    while rows := cursor.fetchmany(_ASKED_ROWS):
        lists = list(zip(*rows, strict=True))
        columns: dict[str, Any] = {n: key_array(v) for n, v in zip(names, lists, strict=False)}
        columns["action"] = pa.array(lists[len(names)], type=pa.string())
        if foreign:
            columns["origin"] = pa.array(lists[len(names) + 1], type=pa.string())
            columns["key"] = pa.array(lists[len(names) + 2], type=pa.string())
        yield pa.table(columns)


# --- reading --------------------------------------------------------------------------------------------------------


def receipts(db: Database) -> pd.DataFrame:
    """Return one row for each import into a database, oldest first.

    Returns
    -------
    pandas.DataFrame
        import_id, package_id, state, finished, inserted, updated, reused, skipped.
    """
    import pandas as pd

    with db.engine.connect() as conn:
        records = ledger.list_imports(conn)
    rows = []
    for record in records:
        totals = {
            name: sum(c.get(action, 0) for c in record.counts.values())
            for name, action in _SUMMARY.items()
            if name != "conflicts"
        }
        rows.append(
            {"import_id": record.import_id, "package_id": record.package_id, "state": record.state,
             "finished": record.finished, **totals}
        )  # fmt: skip
    names = ["import_id", "package_id", "state", "finished", "inserted", "updated", "reused", "skipped"]
    return pd.DataFrame(rows, columns=names)


def receipt(db: Database, import_id: str | uuid.UUID) -> Receipt:
    """Return the receipt of one import.

    Raises
    ------
    UsageError
        There is none of that id.
    """
    with db.engine.connect() as conn:
        record = ledger.read_import(conn, import_id)
    return Receipt(db, uuid.UUID(record.import_id), record.package_id, record.counts, tuple(record.warnings))
