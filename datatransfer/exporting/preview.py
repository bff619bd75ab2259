"""Selection: what a build would carry, counted and weighed, with everything that deserves a look beforehand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from datatransfer.display import blocks, shown
from datatransfer.events import Cancellation, Warned
from datatransfer.exporting.closure import Closure, Edge, closed, usable
from datatransfer.exporting.files import Referenced, all_referenced, size_of
from datatransfer.exporting.leaving import copies_of, cure, dotted, refuse_nameless
from datatransfer.exporting.looks import selection_html
from datatransfer.exporting.orphans import count_orphans, count_outside
from datatransfer.exporting.plan import Plan
from datatransfer.exporting.why import Why, explain
from datatransfer.schema.graph import DependencyGraph
from datatransfer.schema.identity import keeps_uuids_apart
from datatransfer.schema.secrets import secrets_in
from datatransfer.schema.tables import ENTITY_UUID, Table

if TYPE_CHECKING:
    import pandas as pd

    from datatransfer.database.connection import Database
    from datatransfer.display.charts import Chart

_SAMPLE_ROWS = 200


@dataclass(frozen=True)
class TableCount:
    """How much of one table is selected."""

    table: str
    rows: int
    bytes: int
    whole: bool
    because: str


@dataclass(frozen=True, repr=False)
class Selection(shown.Listed):
    """What a build would carry. Nothing was written; the counts are those of one moment.

    Attributes
    ----------
    counts : pandas.DataFrame
        One row a table, parents first: table, rows, bytes (estimated), because.
    files : pandas.DataFrame
        One row a file: table, column, path, rows, bytes, problem.
    warnings : tuple of Warned
        Orphans, keys with NULL, columns that look like secrets, references that lead out, missing files and more.
    orphans, outside, nulled : mapping of foreign key to number of rows
        References to nothing; references to rows that a rule leaves out, kept and set to NULL.
    left_out : tuple of str
        The columns that are not carried, ``"users.password"``.
    total, bytes : int
        Rows, and estimated bytes without files.

    Examples
    --------
    >>> selection = builder.preview()                   # doctest: +SKIP
    >>> selection.counts                                # doctest: +SKIP
    >>> selection.why("items", 7)                       # doctest: +SKIP
    >>> selection.graph                                 # doctest: +SKIP
    """

    table_counts: tuple[TableCount, ...]
    referenced_files: tuple[tuple[Referenced, int], ...]
    warnings: tuple[Warned, ...]
    orphans: Mapping[str, int]
    outside: Mapping[str, int]
    nulled: Mapping[str, int]
    _db: Database
    _plan: Plan
    roots: tuple[str, ...] = field(default=())
    left_out: tuple[str, ...] = ()

    @property
    def counts(self) -> pd.DataFrame:
        """One row a table, parents first: table, rows, bytes (estimated), because."""
        import pandas as pd

        rows = [(c.table, c.rows, c.bytes, c.because) for c in self.table_counts]
        return pd.DataFrame(rows, columns=["table", "rows", "bytes", "because"])

    @property
    def files(self) -> pd.DataFrame:
        """One row a file: table, column, path, rows, bytes, problem (empty if it can be read)."""
        import pandas as pd

        rows = [(r.table, r.column, r.path, len(r.keys), size, r.problem) for r, size in self.referenced_files]
        return pd.DataFrame(rows, columns=["table", "column", "path", "rows", "bytes", "problem"])

    @property
    def total(self) -> int:
        """Number of rows."""
        return sum(count.rows for count in self.table_counts)

    @property
    def bytes(self) -> int:
        """Estimated bytes of the rows, as text."""
        return sum(count.bytes for count in self.table_counts)

    @property
    def graph(self) -> DependencyGraph:
        """The selected tables with their counts; those that were asked for are marked."""
        counts = {count.table: count.rows for count in self.table_counts}
        return DependencyGraph(self._plan.schema, counts=counts, roots=self.roots)

    def plot(self) -> Chart:
        """Return rows and estimated bytes of each table as bars."""
        from datatransfer.display.charts import tables_chart

        rows = {count.table: count.rows for count in self.table_counts}
        return tables_chart("Selected rows and bytes, about", rows, {c.table: c.bytes for c in self.table_counts})

    def why(self, table: str, key: Any) -> Why:
        """Return the chain of references from a row to a root; looked up in a fresh snapshot.

        Parameters
        ----------
        table : str
        key : value or tuple

        Raises
        ------
        SelectionError
            The row is not selected.

        Examples
        --------
        ``print(selection.why("items", 7))`` ::

            items 7: refers by items.order_id
              orders 42: asked for where placed >= :day
        """
        self._plan.schema.table(table)
        with closed(self._db, self._plan) as closure:
            return explain(closure, table, key)

    @shown.as_text
    def __repr__(self) -> str:
        files = f", {blocks.plural(len(self.referenced_files), 'file path')}" if self.referenced_files else ""
        warned = f", {blocks.plural(len(self.warnings), 'warning')}" if self.warnings else ""
        left_out = f", {blocks.plural(len(self.left_out), 'column')} left out" if self.left_out else ""
        tables = blocks.plural(len(self.table_counts), "table")
        about = f"about {blocks.size(self.bytes)}"
        return f"Selection({blocks.plural(self.total, 'row')} of {tables}, {about}{files}{left_out}{warned})"

    @shown.as_html
    def _repr_html_(self) -> str:
        return selection_html(self)


def preview(db: Database, plan: Plan, cancellation: Cancellation | None = None) -> Selection:
    """Count, weigh and check a selection in one snapshot, and leave nothing behind.

    Raises
    ------
    SelectionError
        Nothing was asked for, a rule leaves out a parent that a row needs, or a name does not fit into a package.
    """
    with closed(db, plan, cancellation) as closure:
        counts = closure.counts()
        refuse_nameless(map(closure.carried, counts))
        kept, nulled = count_outside(closure)
        orphans = count_orphans(closure)
        files = _files(closure)
        tables = tuple(
            TableCount(name, rows, _bytes(closure, name, rows), closure.chosen[name].whole is not None, because)
            for name, rows in counts.items()
            for because in (_because(closure, name),)
        )
        warnings = [*facts(closure, counts), *_referring(orphans, kept, nulled), *_lost_files(files)]
        roots = tuple(dict.fromkeys(root.table for root in plan.roots))
        left_out = dotted(plan.left_out)
        return Selection(tables, files, tuple(warnings), orphans, kept, nulled, db, plan, roots, left_out)


def _files(closure: Closure) -> tuple[tuple[Referenced, int], ...]:
    found = []
    for one, store in all_referenced(closure):
        size, problem = size_of(store, one)
        shown = Referenced(one.table, one.column, one.path, one.keys, problem) if problem else one
        found.append((shown, size))
    return tuple(found)


def _bytes(closure: Closure, name: str, rows: int) -> int:
    """Estimate the bytes of the selected rows from the first ones."""
    if not rows:
        return 0
    sql, table = closure.sql, closure.carried(name)
    exprs = ", ".join(closure.db.dialect.read_sql(column) for column in table.columns)
    tail = closure.source(name).tail()
    sample = sql.rows(f"SELECT {exprs} FROM {sql.from_table(table, 't')}{tail} {sql.limit(_SAMPLE_ROWS)}")
    weight = sum(len(v) if isinstance(v, str | bytes) else 8 for row in sample for v in row if v is not None)
    return weight * rows // max(1, len(sample))


def _because(closure: Closure, name: str) -> str:
    chosen = closure.chosen[name]
    if chosen.whole is None and chosen.keys is None:
        return ", ".join(f"refers by {fk.label}" for fk in chosen.down) or "asked for"
    edges = _edges(closure, name)
    words = {"root": "asked for", "down": "refers by", "up": "referred to by"}
    texts = [f"{words[edge.kind]} {edge.fk.label if edge.fk else ''}".strip() for edge in edges]
    return ", ".join(dict.fromkeys(texts))


def _edges(closure: Closure, name: str) -> list[Edge]:
    """Return what the rows of a table were reached by, as far as it is remembered."""
    chosen = closure.chosen[name]
    if chosen.whole is not None:
        return [closure.edges[chosen.whole[1]]]
    if chosen.keys is None:
        return []
    rows = closure.sql.rows(f"SELECT DISTINCT edge FROM {chosen.keys.name} ORDER BY edge")
    return [closure.edges[int(row[0])] for row in rows]


def facts(closure: Closure, counts: Mapping[str, int]) -> list[Warned]:
    """Return what deserves a look in the selected tables, whatever the policies are."""
    found = [
        Warned("key_null", "rows have NULL in the key, so they travel as if the table had none", name)
        for name in closure.key_nulls
        if name in counts
    ]
    found += [
        Warned("key_missing", f"{blocks.plural(count, 'of the keys was', 'of the keys were')} not found", name)
        for name, count in closure.missing_keys.items()
    ]
    for name in counts:
        table = closure.carried(name)
        found += _shared_uuids(closure, table)
        found += [_secret(closure.plan.schema.table(name), column) for column in secrets_in(table)]
        found += [
            Warned("foreign_key_broken", "the foreign key names columns or a table that do not exist", fk.label)
            for fk in table.foreign_keys
            if fk.parent not in closure.plan.schema or not usable(closure, fk)
        ]
    found += _leaving(closure, counts)
    if closure.plan.is_everything:
        found += [Warned("left_out", f"{item.kind}: {item.reason}", item.name) for item in closure.plan.schema.left_out]
    return found + _filtered(closure, counts)


def _shared_uuids(closure: Closure, table: Table) -> list[Warned]:
    """Return the warning of rows that no import will take, because one UUID stands for several."""
    if not table.tracked or keeps_uuids_apart(table):
        return []
    sql, uuid = closure.sql, f"t.{closure.db.dialect.quote(ENTITY_UUID)}"
    rows = f"SELECT count(*) AS n FROM {sql.from_table(table, 't')}{closure.source(table.name).tail()}"
    count = sql.number(f"SELECT sum(n) FROM ({rows} GROUP BY {uuid} HAVING {uuid} IS NOT NULL AND count(*) > 1) q")
    text = f"{blocks.plural(count, 'row')} share their UUID with another, and no import takes both; give each its own"
    return [Warned("uuid_shared", text, f"{table.name}.{ENTITY_UUID}")] if count else []


def _secret(table: Table, column: str) -> Warned:
    text = f"the column looks like a secret and would be carried{cure(table, column)}"
    return Warned("secret", text, f"{table.name}.{column}")


def _leaving(closure: Closure, counts: Mapping[str, int]) -> list[Warned]:
    """Return what is carried although, as it may seem, it went with the columns that are left out."""
    schema, gone = closure.plan.schema, closure.plan.left_out
    found = [warning for name in counts for warning in copies_of(schema.table(name), schema, gone)] if gone else []
    for name in counts if gone else ():
        for edge in _edges(closure, name):
            if edge.kind == "up" and edge.fk is not None and not closure.plan.carries(edge.fk):
                label = edge.fk.label
                text = (
                    f'rows of {name} are carried because of it, though it is left out; stop("{label}", direction="up")'
                )
                found.append(Warned("column_left_out", f"{text} leaves them out", label))
    return found


def _filtered(closure: Closure, counts: Mapping[str, int]) -> list[Warned]:
    """Return the tables of which row level security shows this user only a part."""
    if closure.db.dialect.name != "postgresql":
        return []
    rows = closure.sql.rows(
        "SELECT n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
        "WHERE c.relrowsecurity AND row_security_active(c.oid)"
    )
    active = {(schema, name) for schema, name in rows}
    default = closure.db.dialect.default_schema
    found = []
    for name in counts:
        table = closure.plan.schema.table(name)
        if (table.db_schema or default, table.bare_name or name) in active:
            found.append(Warned("row_security", "row level security hides rows from this user", name))
    return found


def _referring(orphans: Mapping[str, int], kept: Mapping[str, int], nulled: Mapping[str, int]) -> list[Warned]:
    words = (
        ("orphan", orphans, "refer to a parent that does not exist"),
        ("outside", kept, "keep a reference to a row that is left out"),
        ("nulled", nulled, "lose a reference to a row that is left out: it becomes NULL"),
    )
    return [
        Warned(code, f"{blocks.plural(count, 'row')} {text}", label)
        for code, counts, text in words
        for label, count in sorted(counts.items())
    ]


def _lost_files(files: tuple[tuple[Referenced, int], ...]) -> list[Warned]:
    return [
        Warned("file_missing", f"{one.path!r}: {one.problem}", f"{one.table}.{one.column}")
        for one, _ in files
        if one.problem
    ]
