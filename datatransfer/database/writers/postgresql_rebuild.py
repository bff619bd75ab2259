"""What a merge into PostgreSQL takes away from tables, and puts back inside the same transaction.

Keys and indexes of tables that are filled at one go are built once, after the rows. Triggers rest. Knows the catalogue
of PostgreSQL, and nothing of packages and plans.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from datatransfer.schema.tables import Table

# An index whose definition says all of it: no comment, no statistics target, no tablespace, no part in clustering,
# replication or a partitioned table.
_REBUILT_THE_SAME = (
    "i.indisvalid AND NOT i.indisclustered AND NOT i.indisreplident "
    "AND obj_description(i.indexrelid, 'pg_class') IS NULL "
    "AND (SELECT reltablespace FROM pg_class x WHERE x.oid = i.indexrelid) = 0 "
    "AND NOT EXISTS (SELECT 1 FROM pg_attribute a WHERE a.attrelid = i.indexrelid AND a.attstattarget > 0) "
    "AND NOT EXISTS (SELECT 1 FROM pg_inherits h WHERE i.indexrelid IN (h.inhrelid, h.inhparent))"
)


class Rebuild:
    """Takes away and puts back.

    Parameters
    ----------
    run, table, quote : callable
        Of the writer: run a statement, name a table in SQL, quote an identifier.
    """

    def __init__(self, run: Callable[[str], Any], table: Callable[[Table], str], quote: Callable[[str], str]) -> None:
        self._run, self._table, self._quote = run, table, quote
        self._first: list[str] = []  # what foreign keys need: keys and indexes
        self._then: list[str] = []

    def take_away(
        self, tables: Sequence[Table], *, suspend: bool, bulk: Sequence[Table], cyclic: Sequence[Table], closed: bool
    ) -> None:
        """Let triggers rest, and take away what makes bulk inserts slow or cycles impossible.

        Parameters
        ----------
        tables : sequence of Table
            All that will be written to.
        suspend : bool
            Whether triggers rest.
        bulk : sequence of Table
            Empty tables that get many rows.
        cyclic : sequence of Table
            Whose foreign keys go in a circle.
        closed : bool
            Whether every reference of every row points to a row of this merge, which was verified.
        """
        if not (suspend and closed and self._triggers_rest_by_role(tables)):
            for table in tables if suspend else ():
                if self.may_alter(table):
                    self._disable_triggers(table)
            self._drop_foreign_keys([*bulk, *(t for t in cyclic if t not in bulk)])
        for table in bulk:
            self._drop_constraints(table)
            self._drop_indexes(table)

    def may_alter(self, table: Table) -> bool:
        """Whether the role owns a table and all its partitions, which PostgreSQL asks of whoever alters them."""
        return bool(
            self._run(
                "SELECT bool_and(pg_has_role(relowner, 'USAGE')) FROM pg_class WHERE oid IN (SELECT relid FROM "
                f"pg_partition_tree({literal(self._table(table))}::regclass) UNION "
                f"SELECT {literal(self._table(table))}::regclass)"
            ).scalar()
        )

    def put_back(self) -> None:
        """Put back everything that `take_away` took."""
        if self._first or self._then:
            self._run("SET CONSTRAINTS ALL IMMEDIATE")  # no table is altered while checks of its rows are pending
        for sql in (*self._first, *self._then):
            self._run(sql)
        self.forget()

    def forget(self) -> None:
        """Forget what was taken away: the transaction was rolled back, and all of it is there."""
        self._first.clear()
        self._then.clear()

    def _triggers_rest_by_role(self, tables: Sequence[Table]) -> bool:
        """Let the triggers of this session rest, those of foreign keys too, without a lock; False if that cannot be.

        It needs a privilege, and tables without triggers or rules that are meant for just this role of a session.
        """
        names = ", ".join(f"{literal(self._table(table))}::regclass" for table in tables)
        if not names:
            return False
        awake = (
            f"SELECT count(*) FROM pg_class c WHERE (c.relhasrules OR EXISTS (SELECT 1 FROM pg_trigger g WHERE "
            f"g.tgrelid = c.oid AND g.tgenabled IN ('A', 'R'))) AND c.oid IN (SELECT p.relid FROM "
            f"unnest(ARRAY[{names}]) t(name), pg_partition_tree(t.name) p UNION SELECT unnest(ARRAY[{names}]))"
        )
        if self._run("SELECT current_setting('is_superuser')").scalar() != "on" or self._run(awake).scalar():
            return False
        self._run("SET LOCAL session_replication_role = replica")
        self._then.append("SET LOCAL session_replication_role = origin")
        return True

    def _disable_triggers(self, table: Table) -> None:
        for name, trigger, state in [row for part in self._with_partitions(table) for row in self._triggers(part)]:
            word = {"O": "", "A": "ALWAYS ", "R": "REPLICA "}.get(state)
            if word is not None:
                self._run(f"ALTER TABLE {name} DISABLE TRIGGER {self._quote(trigger)}")
            # What is said of a partitioned table is said of its partitions, too: theirs come after it.
            action = "DISABLE" if word is None else f"ENABLE {word}"
            self._then.append(f"ALTER TABLE {name} {action.strip()} TRIGGER {self._quote(trigger)}")

    def _triggers(self, name: str) -> list[tuple[str, str, str]]:
        found = self._run(
            f"SELECT tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal AND tgrelid = {literal(name)}::regclass"
        ).all()
        return [(name, trigger, _text(state)) for trigger, state in found]

    def _with_partitions(self, table: Table) -> list[str]:
        found = self._run(
            f"SELECT relid::regclass::text FROM pg_partition_tree({literal(self._table(table))}::regclass)"
        ).scalars()
        return list(found) or [self._table(table)]

    def _drop_foreign_keys(self, tables: Sequence[Table]) -> None:
        for table in tables:
            found = self._run(
                "SELECT conname, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint') FROM pg_constraint "
                f"WHERE contype = 'f' AND conparentid = 0 AND conrelid = {literal(self._table(table))}::regclass "
                # One that could not be put back as it is stays: without the right, or with triggers that are disabled.
                "AND has_table_privilege(confrelid, 'REFERENCES') AND NOT EXISTS (SELECT 1 FROM pg_trigger g "
                "WHERE g.tgconstraint = pg_constraint.oid AND g.tgenabled <> 'O')"
            ).all()
            for name, definition, comment in found:
                quoted, owner = self._quote(name), self._table(table)
                self._run(f"ALTER TABLE {owner} DROP CONSTRAINT {quoted}")
                self._then.append(f"ALTER TABLE {owner} ADD CONSTRAINT {quoted} {definition}")
                if comment is not None:
                    self._then.append(f"COMMENT ON CONSTRAINT {quoted} ON {owner} IS {literal(comment)}")

    def _drop_constraints(self, table: Table) -> None:
        """Take away the primary key and the unique constraints: built at once they cost half of row by row."""
        found = self._run(
            "SELECT c.conname, pg_get_constraintdef(c.oid) FROM pg_constraint c "
            "JOIN pg_index i ON i.indexrelid = c.conindid WHERE c.contype IN ('p', 'u') AND c.conparentid = 0 "
            f"AND c.conrelid = {literal(self._table(table))}::regclass AND {_REBUILT_THE_SAME} "
            "AND obj_description(c.oid, 'pg_constraint') IS NULL "
            "AND (SELECT reloptions FROM pg_class x WHERE x.oid = c.conindid) IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.refobjid IN (c.oid, c.conindid) AND d.deptype = 'n')"
        ).all()
        for name, definition in found:
            self._run(f"ALTER TABLE {self._table(table)} DROP CONSTRAINT {self._quote(name)}")
            self._first.append(f"ALTER TABLE {self._table(table)} ADD CONSTRAINT {self._quote(name)} {definition}")

    def _drop_indexes(self, table: Table) -> None:
        found = self._run(
            "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid) FROM pg_index i "
            "LEFT JOIN pg_constraint c ON c.conindid = i.indexrelid "
            f"WHERE i.indrelid = {literal(self._table(table))}::regclass AND c.oid IS NULL AND {_REBUILT_THE_SAME} "
            "AND NOT EXISTS (SELECT 1 FROM pg_depend d WHERE d.refobjid = i.indexrelid AND d.deptype = 'n')"
        ).all()
        for name, definition in found:
            self._run(f"DROP INDEX {name}")
            self._first.append(definition)


def literal(text: str) -> str:
    """Return a text as a literal of SQL."""
    escaped = text.replace("'", "''")
    return f"'{escaped}'" if "\\" not in text else "E'" + escaped.replace("\\", "\\\\") + "'"


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
