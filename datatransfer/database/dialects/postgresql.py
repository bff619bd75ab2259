"""PostgreSQL: reflection by the catalogs, one repeatable-read snapshot, foreign types as their own text."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from datatransfer.database.dialects import postgresql_reflection
from datatransfer.database.dialects.base import Dialect, RowSource
from datatransfer.database.dialects.failures import database_errors
from datatransfer.database.dialects.postgresql_fast import NATIVE_KINDS, FastReader, Unavailable
from datatransfer.schema.tables import Column, Schema, Table
from datatransfer.schema.values import LogicalType

if TYPE_CHECKING:
    import pyarrow as pa

#: Read as the database's own text. For numbers and documents because any parsing could lose digits.
AS_TEXT = frozenset({"native", "enum", "json", "decimal", "uuid"})
#: What an Arrow or Python date cannot hold: infinity, years before 1 and after 9999, and the time 24:00.
OUTSIDE = {
    "date": ("date", "{c} < '0001-01-01' OR {c} > '9999-12-31'"),
    "time": ("time without time zone", "{c} = '24:00:00'"),
    "timestamp": ("timestamp without time zone", "{c} < '0001-01-01' OR {c} >= '10000-01-01'"),
    "timestamptz": (
        "timestamp with time zone",
        "{c} < '0001-01-01 00:00:00+00' OR {c} >= '10000-01-01 00:00:00+00'",
    ),
}
Place = tuple[str, str]
"""A table and a column of it."""
#: How values are written as text, whatever the role's or the database's own settings are; and no row is hidden
#: silently: with row_security off, the server refuses a query that a policy would filter.
SETTINGS = (
    "SET LOCAL TIME ZONE 'UTC'",
    "SET LOCAL datestyle = 'ISO, YMD'",
    "SET LOCAL intervalstyle = 'postgres'",
    "SET LOCAL extra_float_digits = 3",
    "SET LOCAL bytea_output = 'hex'",
    "SET LOCAL lc_monetary = 'C'",
    "SET LOCAL row_security = off",
)


class PostgresqlDialect(Dialect):
    """Reads partitioned tables as one, inheritance parents without their children."""

    name = "postgresql"
    #: Whether whole tables may be read by a second connection through ADBC.
    fast = True

    def __init__(self, engine: sa.Engine, schema: str | None = None) -> None:
        super().__init__(engine, schema)
        self._partitioned: frozenset[str] = frozenset()
        self._inherited: frozenset[str] = frozenset()
        self._tables: Mapping[str, Table] = {}
        self._linked: Mapping[Place, frozenset[Place]] = {}

    def limit_waits(self, conn: sa.Connection, seconds: float) -> None:
        """Limit waits for tables that are being altered: to show an index, the server locks it."""
        conn.exec_driver_sql(f"SET LOCAL lock_timeout = {max(1, round(seconds * 1000))}")

    def reflect(self, conn: sa.Connection) -> Schema:
        """Return the tables of one schema, and those of others that they refer to."""
        found = postgresql_reflection.reflect(conn, self.schema)
        self.default_schema = found.home
        self._partitioned, self._inherited = found.partitioned, found.inherited
        self._tables, self._linked = found.schema.tables, linked_times(found.schema)
        return found.schema

    def estimated_rows(self, conn: sa.Connection, tables: Sequence[Table]) -> dict[str, int]:
        """Return what the planner counts with; it knows nothing of a table that was never analysed."""
        sql = (
            "SELECT n.nspname, c.relname, c.reltuples::bigint FROM pg_catalog.pg_class c"
            " JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE c.relkind IN ('r', 'p') AND c.reltuples >= 0"
        )
        return self._known_rows(self.execute(conn, sql), self.default_schema, tables)

    def from_sql(self, table: Table) -> str:
        """Return the table, with ONLY where tables inherit from it, so that no row comes twice."""
        only = "ONLY " if table.name in self._inherited else ""
        return only + self.table_sql(table)

    def read_sql(self, column: Column) -> str:
        """Return the column, as text where only the database's own notation is exact."""
        name = super().read_sql(column)
        return f"{name}::text" if column.type.kind in AS_TEXT else name

    def is_loose(self, child: Column, parent: Column) -> bool:
        """Return whether type or collation make different values equal: CHAR, CITEXT, NUMERIC, a blind one."""
        both = (child, parent)
        if not all(c.type.kind in ("text", "native", "decimal") for c in both):
            return False
        plain = ("text", "character varying", "varchar")
        return any(c.type.kind != "text" or c.collation or not c.declared.startswith(plain) for c in both)

    def exact_sql(self, value: str) -> str:
        """Return a value as text; a cast would take the spaces of CHAR away."""
        return f'(concat({value}) COLLATE "C")'

    def order_sql(self, table: Table) -> str:
        """Return the key, or the physical place where there is none."""
        if table.key:
            return super().order_sql(table)
        return "t.tableoid, t.ctid" if table.name in self._partitioned else "t.ctid"

    def keyless_row_id(self, table: Table) -> str | None:
        """Return the physical place of a row, which does not change inside a snapshot."""
        return "(t.tableoid::bigint || ' ' || t.ctid::text)" if table.name in self._partitioned else "t.ctid"

    def _begin_snapshot(self, conn: sa.Connection) -> None:
        # Not READ ONLY: the selection needs temporary tables.
        conn.execution_options(isolation_level="REPEATABLE READ")
        conn.begin()
        for setting in SETTINGS:
            self.execute(conn, setting)
        self.execute(conn, "SELECT 1").close()

    def canceller(self, conn: sa.Connection) -> Callable[[], None]:
        raw: Any = conn.connection.driver_connection

        def cancel() -> None:
            fast: FastReader | None = conn.info.get("datatransfer_fast")
            if fast is not None:
                fast.cancel()
            if hasattr(raw, "cancel"):
                raw.cancel()

        return cancel

    def _end_snapshot(self, conn: sa.Connection) -> None:
        try:
            fast: FastReader | None = conn.info.pop("datatransfer_fast", None) if not conn.invalidated else None
            if fast is not None:
                fast.close()
        finally:
            super()._end_snapshot(conn)

    def _fast(
        self, conn: sa.Connection, table: Table, source: RowSource, batch_rows: int
    ) -> Iterator[pa.RecordBatch] | None:
        if not self.fast or not source.whole or source.join or source.where or source.extra or not table.columns:
            return None
        if any(column.type.kind not in NATIVE_KINDS | AS_TEXT for column in table.columns):
            return None
        try:
            if "datatransfer_fast" not in conn.info:
                conn.info["datatransfer_fast"] = self._fast_reader(conn)
            fast: FastReader | None = conn.info["datatransfer_fast"]
            return None if fast is None else fast.read(self.statement(table, source), table)
        except Unavailable:
            return None

    def _fast_reader(self, conn: sa.Connection) -> FastReader | None:
        """Open the second connection once a snapshot; None, for the whole snapshot, where that cannot be."""
        with database_errors(self.engine, "exporting a snapshot"):
            snapshot = self.execute(conn, "SELECT pg_export_snapshot()").scalar_one()
        try:
            return FastReader(conn.connection.driver_connection, snapshot, SETTINGS)
        except Unavailable:
            return None

    def resolve_types(self, conn: sa.Connection, table: Table, source: RowSource) -> Table:
        """Turn dates and times that hold infinity or a year outside 1 to 9999 into the database's own text."""
        columns = [column for column in table.columns if column.type.kind in OUTSIDE]
        if not columns:
            return table
        exprs = []
        for column in columns:
            condition = OUTSIDE[column.type.kind][1].format(c=f"t.{self.quote(column.name)}")
            exprs.append(f"coalesce(bool_or({condition}), false)")
        sql = f"SELECT {', '.join(exprs)} FROM {self.from_sql(table)} t{source.tail()}"
        with database_errors(self.engine, "looking at dates", where=table.name):
            flags: Any = self.execute(conn, sql).one()
        return table.with_types({c.name: _own_text(c) for c, flag in zip(columns, flags, strict=True) if flag})

    def resolve_references(self, conn: sa.Connection, table: Table) -> Table:
        """Turn dates and times into text where a column that refers to them, or that they refer to, needs it."""
        found = {}
        for column in table.columns:
            if column.type.kind not in OUTSIDE:
                continue
            linked = sorted(self._linked.get((table.name, column.name), ()))
            if any(self._holds_outside(conn, self._tables[name], other) for name, other in linked):
                found[column.name] = _own_text(column)
        return table.with_types(found)

    def _holds_outside(self, conn: sa.Connection, table: Table, name: str) -> bool:
        """Whether a column holds infinity or a year outside 1 to 9999; False where its table may not be read."""
        condition = OUTSIDE[table.by_name[name].type.kind][1].format(c=f"t.{self.quote(name)}")
        where = "'" + self.table_sql(table).replace("'", "''") + "'"
        readable = f"SELECT has_table_privilege({where}, 'SELECT') AND NOT row_security_active({where})"
        with database_errors(self.engine, "looking at dates", where=table.name):
            if not self.execute(conn, readable).scalar_one():
                return False
            sql = f"SELECT EXISTS (SELECT 1 FROM {self.from_sql(table)} t WHERE {condition})"
            return bool(self.execute(conn, sql).scalar_one())


def linked_times(schema: Schema) -> dict[Place, frozenset[Place]]:
    """Return the columns of dates and times that foreign keys bind to each such column, itself among them."""
    groups: dict[Place, frozenset[Place]] = {}
    for fk in schema.foreign_keys():
        for child, above in zip(fk.columns, fk.parent_columns, strict=True):
            ends = ((fk.table, child), (fk.parent, above))
            if all(t in schema.tables and schema.tables[t].by_name[c].type.kind in OUTSIDE for t, c in ends):
                group = frozenset().union(*({end, *groups.get(end, ())} for end in ends))
                groups.update(dict.fromkeys(group, group))
    return groups


def _own_text(column: Column) -> LogicalType:
    return LogicalType("native", native=f"postgresql:{OUTSIDE[column.type.kind][0]}")
