"""What differs between databases in `KeyTables`; those not named here take the standard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import sqlalchemy as sa

from datatransfer.database.dialects.base import RowSource
from datatransfer.database.dialects.sqlite_classes import affinity
from datatransfer.exporting.keytables import KeyTable, KeyTables
from datatransfer.schema.tables import Column, ForeignKey, Table

if TYPE_CHECKING:
    from datatransfer.database.dialects.base import Dialect


class SqliteKeyTables(KeyTables):
    """SQLite: columns without affinity, so that 1 and '1' stay two keys."""

    # CROSS JOIN fixes the order: from the selected keys through the index, never a scan of the whole table per key.
    join_word = "CROSS JOIN"
    drops = False  # the snapshot's rollback takes them away

    def __init__(self, conn: sa.Connection, dialect: Dialect) -> None:
        super().__init__(conn, dialect)
        # SQLite's own default of 2 MB makes it sort millions of keys through the disk.
        self._cache = self.number("PRAGMA temp.cache_size")
        self.run("PRAGMA temp.cache_size = -131072")

    def drop_all(self) -> None:
        """Give the connection its own cache size back; the tables go with the snapshot."""
        self.run(f"PRAGMA temp.cache_size = {self._cache}")

    def _create(self, keys: KeyTable, table: Table, exprs: Sequence[str]) -> None:
        columns = ", ".join(keys.columns)
        key = f", PRIMARY KEY ({keys.unique_columns})) WITHOUT ROWID" if keys.unique else ")"
        self.run(f"CREATE TEMP TABLE {keys.name} ({columns}, gen INTEGER, edge INTEGER{key}")

    def index_generations(self, keys: KeyTable) -> None:
        """Make the keys of one generation quick to find."""
        self.run(f"CREATE INDEX temp.{keys.name}_g ON {keys.name} (gen)")

    def add_sql(self, keys: KeyTable, exprs: Sequence[str], tail: str, gen: int, edge: int) -> str:
        """Return the statement of `add`."""
        return f"INSERT OR IGNORE INTO {keys.name} SELECT {', '.join(exprs)}, {gen}, {edge} {tail}"

    def source(self, table: Table, keys: KeyTable) -> RowSource:
        """Return how the rows of a key table are read."""
        # IN lets SQLite go through the keys in order; as a join it would rather scan the table to save the sorting.
        row = ", ".join(self.key_of(table, "t"))
        left = row if keys.width == 1 else f"({row})"
        return RowSource(where=f"{left} IN (SELECT {', '.join(keys.columns)} FROM {keys.name})", whole=False)

    def is_direct(self, fk: ForeignKey, child: Table, parent: Table) -> bool:
        """Return whether keys can be compared without the parent's own columns."""
        # Only integers compare the same without the parent's affinity and collation.
        pairs = zip(fk.columns, fk.parent_columns, strict=True)
        plain = all(
            {affinity(child.column(c).declared), affinity(parent.column(p).declared)} == {"integer"} for c, p in pairs
        )
        return plain and super().is_direct(fk, child, parent)

    def exact(self, column_sql: str, key_sql: str) -> str:
        """Return the condition that a column holds a key of the same storage class."""
        classes = f"typeof({column_sql}) = typeof({key_sql})"
        numbers = " AND ".join(f"typeof({sql}) IN ('integer', 'real')" for sql in (column_sql, key_sql))
        return f"{column_sql} = {key_sql} AND ({classes} OR ({numbers}))"

    def equal(self, parent: Column, parent_sql: str, child: Column, child_sql: str) -> str:
        """Return the condition that two values of a reference are equal."""
        plain = super().equal(parent, parent_sql, child, child_sql)
        if affinity(parent.declared) != "blob" or affinity(child.declared) == "blob":
            return plain
        # A parent column without affinity holds 1 and '1' apart, but the child's affinity would make them equal.
        classes = f"typeof({parent_sql}) = typeof({child_sql})"
        numbers = " AND ".join(f"typeof({sql}) IN ('integer', 'real')" for sql in (parent_sql, child_sql))
        return f"{plain} AND ({classes} OR ({numbers}))"


class PostgresqlKeyTables(KeyTables):
    """PostgreSQL: columns take the key's own type and collation; tables go with the snapshot's transaction."""

    drops = False

    def add(self, keys: KeyTable, exprs: Sequence[str], tail: str, gen: int, edge: int) -> int:
        """Insert new keys, see the base."""
        added = super().add(keys, exprs, tail, gen, edge)
        if added > 1000:
            self.run(f"ANALYZE {keys.name}")  # a temporary table has no statistics of its own accord
        return added

    def add_sql(self, keys: KeyTable, exprs: Sequence[str], tail: str, gen: int, edge: int) -> str:
        """Return the statement of `add`."""
        select = f"SELECT DISTINCT {', '.join(exprs)}, {gen}, {edge} {tail}"
        return f"INSERT INTO {keys.name} {select} ON CONFLICT DO NOTHING"


class MariadbKeyTables(KeyTables):
    """MariaDB and MySQL: columns take the key's own type and collation."""

    def index_generations(self, keys: KeyTable) -> None:
        """Do nothing: the index is made with the table, because CREATE INDEX would commit and end the snapshot."""

    def second(self, table: Table, keys: KeyTable) -> KeyTable:
        """Return a copy."""
        copy = self.create(table, unique=keys.unique)
        self.run(f"INSERT INTO {copy.name} SELECT * FROM {keys.name}")
        return copy

    def _create(self, keys: KeyTable, table: Table, exprs: Sequence[str]) -> None:
        shape = ", ".join(f"{expr} AS {name}" for expr, name in zip(exprs, keys.columns, strict=True))
        key = f"(PRIMARY KEY ({keys.unique_columns}), KEY (gen))" if keys.unique else ""
        marks = "CAST(0 AS SIGNED) AS gen, CAST(0 AS SIGNED) AS edge"
        source = f"SELECT {shape}, {marks} FROM {self.from_table(table, 't')} WHERE 1 = 0"
        self.run(f"CREATE TEMPORARY TABLE {keys.name} {key} ENGINE=InnoDB {source}")

    def add_sql(self, keys: KeyTable, exprs: Sequence[str], tail: str, gen: int, edge: int) -> str:
        """Return the statement of `add`."""
        return f"INSERT IGNORE INTO {keys.name} SELECT {', '.join(exprs)}, {gen}, {edge} {tail}"

    def drop(self, keys: KeyTable) -> None:
        """Drop a key table."""
        self.run(f"DROP TEMPORARY TABLE {keys.name}")
        self._made.remove(keys.name)

    def drop_all(self) -> None:
        """Drop everything that was made."""
        while self._made:
            self.run(f"DROP TEMPORARY TABLE {self._made.pop()}")


class StandardKeyTables(KeyTables):
    """Databases that know no LIMIT: SQL:2008's own words."""

    def limit(self, rows: int) -> str:
        """Return the end of a query that wants only the first rows."""
        return f"FETCH FIRST {rows} ROWS ONLY"


VARIANTS: dict[str, type[KeyTables]] = {
    "sqlite": SqliteKeyTables,
    "postgresql": PostgresqlKeyTables,
    "mariadb": MariadbKeyTables,
    "mysql": MariadbKeyTables,
    "oracle": StandardKeyTables,
    "mssql": StandardKeyTables,
}


def key_tables(conn: sa.Connection, dialect: Dialect) -> KeyTables:
    """Return the variant for a database, the standard one where there is none."""
    return VARIANTS.get(dialect.name, KeyTables)(conn, dialect)
