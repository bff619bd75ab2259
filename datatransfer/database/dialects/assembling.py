"""Facts about tables, in whatever way a dialect found them, become a `Schema`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from datatransfer.schema.tables import Column, ForeignKey, KeyKind, LeftOut, Schema, Table, UniqueRule

OWN_PREFIX = "datatransfer_"
ALEMBIC_TABLE = "alembic_version"
_NO_COLUMNS = ("table without columns", "its rows hold nothing; it is carried once it has a column")


@dataclass
class Facts:
    """What is known of one table while a schema is read.

    ``constraints`` and ``indexes`` are column lists of unique constraints and of plain unique indexes, in the
    database's order; ``rules`` are all that is unique, those included.
    """

    name: str
    bare_name: str
    db_schema: str | None = None
    columns: list[Column] = field(default_factory=list)
    primary: tuple[str, ...] = ()
    constraints: list[tuple[str, ...]] = field(default_factory=list)
    indexes: list[tuple[str, ...]] = field(default_factory=list)
    foreign_keys: list[ForeignKey] = field(default_factory=list)
    rules: list[UniqueRule] = field(default_factory=list)

    def table(self) -> Table:
        """Return the finished table: the key chosen, the other unique column lists without doubles."""
        nullable = {column.name for column in self.columns if column.nullable}
        uniques = list(dict.fromkeys([*self.constraints, *self.indexes]))
        key, kind = self.primary, "primary"
        if not key:
            key = next((columns for columns in uniques if not nullable & set(columns)), ())
            kind = "unique" if key else "none"
        others = tuple(columns for columns in uniques if set(columns) != set(key))
        chosen: KeyKind = "primary" if kind == "primary" else "unique" if kind == "unique" else "none"
        return Table(
            name=self.name,
            columns=tuple(self.columns),
            key=tuple(key),
            key_kind=chosen,
            uniques=others,
            foreign_keys=tuple(self.foreign_keys),
            bare_name=self.bare_name,
            db_schema=self.db_schema,
            rules=tuple(self.rules),
        )


def is_own(bare_name: str) -> bool:
    """Whether a table is one of this library's own."""
    return bare_name.lower().startswith(OWN_PREFIX)


def left_out_for_itself(bare_name: str) -> LeftOut | None:
    """Return why a table that could be read is none of the data, None if it is data."""
    if bare_name == ALEMBIC_TABLE:
        return LeftOut(bare_name, "bookkeeping table", "Alembic's note of this database's own schema revision")
    return None


def assemble(facts: Iterable[Facts], left_out: Sequence[LeftOut] = ()) -> Schema:
    """Return the schema: tables by name; those without columns and foreign keys to nowhere reported and dropped."""
    ordered = sorted(facts, key=lambda fact: fact.name)
    known: Mapping[str, Facts] = {fact.name: fact for fact in ordered if fact.columns}
    notes = [*left_out, *(LeftOut(fact.name, *_NO_COLUMNS) for fact in ordered if not fact.columns)]
    tables: dict[str, Table] = {}
    for name, fact in known.items():
        kept: list[ForeignKey] = []
        for fk in fact.foreign_keys:
            parent = known.get(fk.parent)
            if parent is not None and set(fk.parent_columns) <= {column.name for column in parent.columns}:
                kept.append(fk)
            else:
                reason = f"it refers to {fk.parent!r}, which is not a table here or lacks the columns"
                notes.append(LeftOut(fk.label, "foreign key", reason))
        fact.foreign_keys = kept
        tables[name] = fact.table()
    return Schema(tables, tuple(sorted(set(notes), key=lambda note: (note.kind, note.name))))
