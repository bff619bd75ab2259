"""Tables, columns and keys as plain data, the same for a database and for a package.

Nothing here reads or writes. A table is named by one string: its own name in the database's default schema,
``"schema.name"`` elsewhere.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

from datatransfer.errors import UnknownColumnError, UnknownTableError, UsageError
from datatransfer.given import instance, listed, suggestion
from datatransfer.schema.columns import FOLDING, Column
from datatransfer.schema.values import LogicalType

__all__ = [
    "ENTITY_UUID", "FOLDING", "IMPORTED_FROM_UUID", "Column", "ForeignKey", "KeyKind", "LeftOut", "Schema", "Table",
    "UniqueRule",
]  # fmt: skip

KeyKind = Literal["primary", "unique", "none"]

ENTITY_UUID = "entity_uuid"
IMPORTED_FROM_UUID = "imported_from_uuid"


@dataclass(frozen=True)
class ForeignKey:
    """A reference from the rows of a child table to those of a parent table.

    Parameters
    ----------
    table, columns : str, tuple of str
        The child side.
    parent, parent_columns : str, tuple of str
        The parent side: its primary key or any unique columns.
    name : str
        The constraint's name, empty if it has none.
    declared : bool
        False for relations that only `Database.relate` knows.
    enforced : bool
        Whether the database guarantees that the parent exists.
    spellings : tuple of (column, value, parent's value)
        References that are written otherwise than their parent is, and that the source takes for the same: by a
        collation, or a type that pads. Of the rows at hand, so no part of what a foreign key is.
    """

    table: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]
    name: str = ""
    declared: bool = True
    enforced: bool = True
    spellings: tuple[tuple[str, str, str], ...] = field(default=(), compare=False, repr=False)

    def spelled(self, column: str) -> dict[str, str]:
        """Return the values of a column that the parent writes otherwise, and how."""
        return {own: above for name, own, above in self.spellings if name == column}

    @property
    def label(self) -> str:
        """``"items.order_id"``, or ``"items.(a, b)"`` for several columns."""
        inner = self.columns[0] if len(self.columns) == 1 else f"({', '.join(self.columns)})"
        return f"{self.table}.{inner}"

    @property
    def is_self(self) -> bool:
        """Whether child and parent are the same table."""
        return self.table == self.parent


@dataclass(frozen=True)
class UniqueRule:
    """What a database keeps unique among the rows of a table, in its own SQL.

    Parameters
    ----------
    label : str
        For people: ``"email"``, ``"lower(email)"``.
    parts : tuple of str
        Expressions over the table's bare column names, with the collation by which they are compared.
    columns : tuple of str
        The columns that these, and ``where``, read.
    where : str
        The rows that it holds for; all if empty.
    nulls_equal : bool
        Whether two NULLs are the same value.
    exact : bool
        Whether its parts are plain columns, and only identical values are equal.
    """

    label: str
    parts: tuple[str, ...]
    columns: tuple[str, ...]
    where: str = ""
    nulls_equal: bool = False
    exact: bool = False


@dataclass(frozen=True, repr=False)
class Table:
    """One table.

    Parameters
    ----------
    name : str
        Its name in a `Schema`: bare, or ``"schema.name"``.
    bare_name, db_schema : str, str or None
        The two halves for SQL.
    columns : tuple of Column
    key : tuple of str
        The columns that identify a row: the primary key, else the first unique constraint without nullable columns,
        else empty.
    key_kind : {"primary", "unique", "none"}
    uniques : tuple of tuple of str
        Every other unique constraint or plain unique index (not partial, not on expressions).
    foreign_keys : tuple of ForeignKey
        Those of which it is the child.
    rules : tuple of UniqueRule
        All that is unique: key, constraints, and indexes of every kind. Known of databases only.
    hidden : tuple of str
        Columns that the table has in its database and that `without` took away, in the table's order.
    """

    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...] = ()
    key_kind: KeyKind = "none"
    uniques: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    bare_name: str = ""
    db_schema: str | None = None
    rules: tuple[UniqueRule, ...] = field(default=(), compare=False)
    hidden: tuple[str, ...] = field(default=(), compare=False)

    @cached_property
    def by_name(self) -> Mapping[str, Column]:
        """The columns by their names."""
        return {column.name: column for column in self.columns}

    def __repr__(self) -> str:
        return f"Table({self.name!r}: {listed(self.column_names)})"

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of all columns, in the table's order."""
        return tuple(column.name for column in self.columns)

    @property
    def tracked(self) -> bool:
        """Whether the rows carry their UUID in a column ``entity_uuid``."""
        return ENTITY_UUID in self.by_name

    @property
    def surrogate(self) -> str | None:
        """The one integer key column that may be renumbered on import, if the key is such a column."""
        if self.key_kind != "primary" or len(self.key) != 1:
            return None
        column = self.by_name[self.key[0]]
        is_reference = any(column.name in fk.columns for fk in self.foreign_keys)
        return None if is_reference or not column.type.may_be_integer else column.name

    def only_of(self, fk: ForeignKey) -> tuple[str, ...]:
        """Return the columns of a foreign key that nothing else needs: neither the key nor another foreign key."""
        ours = (fk.columns, fk.parent, fk.parent_columns)
        others = [o for o in self.foreign_keys if (o.columns, o.parent, o.parent_columns) != ours]
        needed = {*self.key, *(name for other in others for name in other.columns)}
        return tuple(name for name in fk.columns if name not in needed)

    def column(self, name: str) -> Column:
        """Return a column.

        Raises
        ------
        UnknownColumnError
            There is none of that name.
        """
        try:
            return self.by_name[name]
        except KeyError:
            hint = suggestion(name, self.column_names)
            raise UnknownColumnError(f"there is no column {name!r}", where=self.name, hint=hint) from None

    def with_types(self, types: Mapping[str, LogicalType]) -> Table:
        """Return the table with some columns' types replaced."""
        columns = tuple(replace(c, type=types[c.name]) if c.name in types else c for c in self.columns)
        return replace(self, columns=columns)

    def without(self, gone: Mapping[str, Collection[str]]) -> Table:
        """Return the table without some columns of it and of its parents, and without the keys that use them.

        Parameters
        ----------
        gone : mapping of table name to column names
        """
        mine = set(gone.get(self.name, ())) & set(self.by_name)
        keys = tuple(
            fk for fk in self.foreign_keys
            if not mine & set(fk.columns) and not {*gone.get(fk.parent, ())} & {*fk.parent_columns}
        )  # fmt: skip
        key = () if mine & set(self.key) else self.key
        return replace(
            self, columns=tuple(c for c in self.columns if c.name not in mine), foreign_keys=keys,
            key=key, key_kind=self.key_kind if key else "none",
            uniques=tuple(unique for unique in self.uniques if not mine & set(unique)),
            rules=tuple(rule for rule in self.rules if not mine & set(rule.columns)),
            hidden=self.hidden + tuple(name for name in self.column_names if name in mine),
        )  # fmt: skip


@dataclass(frozen=True)
class LeftOut:
    """Something in a database that is not a table to carry, and why."""

    name: str
    kind: str
    reason: str


@dataclass(frozen=True, repr=False)
class Schema:
    """All tables of a database or of a package.

    Examples
    --------
    >>> from datatransfer.schema.values import LogicalType
    >>> t = Table("orders", (Column("id", LogicalType("integer")),), key=("id",), key_kind="primary")
    >>> Schema({"orders": t}).table("orders").key
    ('id',)
    """

    tables: Mapping[str, Table]
    left_out: tuple[LeftOut, ...] = ()
    _children: dict[str, tuple[ForeignKey, ...]] = field(default_factory=dict, compare=False, repr=False)

    def __repr__(self) -> str:
        return f"Schema({len(self.tables)} {'table' if len(self.tables) == 1 else 'tables'}: {listed(self.tables)})"

    def __iter__(self) -> Iterator[Table]:
        return iter(self.tables.values())

    def __contains__(self, name: object) -> bool:
        return name in self.tables

    def __len__(self) -> int:
        return len(self.tables)

    def table(self, name: str) -> Table:
        """Return a table.

        Raises
        ------
        UnknownTableError
            There is none of that name; the hint names the closest ones.
        UsageError
            It is no name.
        """
        if instance(name, str, "table") in self.tables:
            return self.tables[name]
        left = next((item for item in self.left_out if item.name == name), None)
        if left is not None:
            raise UnknownTableError(f"{name!r} is a {left.kind}, not a table: {left.reason}", where=name)
        others = [item for item in self.left_out if item.kind == "schema"]
        inside = [item for item in others if name.startswith(f"{item.name}.")]
        told = "; ".join(f"{item.name}: {item.reason}" for item in inside or others)
        hint = told if inside else suggestion(name, self.tables, nothing=told or "there are no tables at all")
        raise UnknownTableError(f"there is no table {name!r}", hint=hint)

    def foreign_keys(self) -> tuple[ForeignKey, ...]:
        """Return every foreign key whose two tables are here, in the order of tables."""
        return tuple(fk for table in self for fk in table.foreign_keys if fk.parent in self.tables)

    def children_of(self, name: str) -> tuple[ForeignKey, ...]:
        """Return the foreign keys that refer to a table."""
        if not self._children:
            self._children.update({t: tuple(fk for fk in self.foreign_keys() if fk.parent == t) for t in self.tables})
        return self._children.get(name, ())

    def without(self, gone: Mapping[str, Collection[str]]) -> Schema:
        """Return the schema without some columns, see `Table.without`."""
        if not any(gone.values()):
            return self
        return Schema({name: table.without(gone) for name, table in self.tables.items()}, self.left_out)

    def split(self, dotted: str) -> tuple[Table, tuple[str, ...]]:
        """Split ``"table.column"`` or ``"table.(a, b)"``; table names may hold dots themselves.

        Raises
        ------
        UsageError
            It is not of that form, or table or column are not here.
        """
        instance(dotted, str, "column", hint='write "table.column"')
        for name in sorted(self.tables, key=len, reverse=True):
            if dotted.startswith(name + "."):
                rest = dotted[len(name) + 1 :]
                table = self.tables[name]
                if rest in table.by_name:
                    return table, (rest,)
                if rest.startswith("(") and rest.endswith(")"):
                    return table, tuple(table.column(part.strip()).name for part in rest[1:-1].split(","))
        name, _, column = dotted.rpartition(".")
        if not name:
            raise UsageError(f"{dotted!r} names no column", hint='write "table.column"')
        self.table(name).column(column)
        raise UsageError(f"{dotted!r} names no column", hint='write "table.column"')

    def foreign_key(self, dotted: str) -> ForeignKey:
        """Return the foreign key that starts at ``"table.column"``.

        Raises
        ------
        UsageError
            No foreign key starts there, or several do.
        """
        table, columns = self.split(dotted)
        exact = [fk for fk in table.foreign_keys if fk.columns == columns]
        found = exact or [fk for fk in table.foreign_keys if set(columns) <= set(fk.columns)]
        if len(found) == 1:
            return found[0]
        labels = ", ".join(fk.label for fk in (found or table.foreign_keys)) or "none"
        problem = "several foreign keys start" if found else "no foreign key starts"
        raise UsageError(f"{problem} at {dotted!r}", where=table.name, hint=f"its foreign keys: {labels}")
