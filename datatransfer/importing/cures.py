"""The findings about a package and a target that differ, in words, each with the mapping that cures it where one does.

Knows tables and columns of both sides; decides nothing, and reads neither databases nor rows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from datatransfer.importing.mapping import Mapping, same_name
from datatransfer.importing.spellings import respelled, similar, singular
from datatransfer.importing.validation import ColumnFit, Misfit, TableFit
from datatransfer.schema.tables import Column, ForeignKey, Table
from datatransfer.schema.values import LogicalType

_CLEAR = 3  # of so many columns two tables are the same if all are


def is_optional(column: Column) -> bool:
    """Whether a target column may be left out."""
    return column.nullable or column.has_default or column.generated or bool(column.identity)


def drop(table: Table, column: str) -> Mapping:
    """Return the mapping that leaves a column out."""
    return Mapping(drop={table.name: [column]})


def neutral(column: Column) -> Sequence[Any]:
    """Return values that say nothing, for a column that must hold something; the first that it takes is meant."""
    named = {
        "integer": (0,), "float": (0.0,), "decimal": ("0",), "boolean": (False,), "text": ("",),
        "date": ("1970-01-01",), "time": ("00:00:00",), "timestamp": ("1970-01-01T00:00:00",),
        "timestamptz": ("1970-01-01T00:00:00Z",), "uuid": ("00000000-0000-0000-0000-000000000000",), "json": ("null",),
        "any": (0, "") if not _is_text(column) else ("",),
    }  # fmt: skip
    return named.get(column.type.kind, ())


def _is_text(column: Column) -> bool:
    said = column.declared.upper()
    return any(word in said for word in ("CHAR", "TEXT", "CLOB", "DATE", "TIME", "BLOB", "UUID"))


# --- tables ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Meant:
    """What something of the package may be called in the target.

    Parameters
    ----------
    name : str
    sure : bool
        Whether it is the same name in another spelling, or clearly the same table; else it is a guess.
    """

    name: str
    sure: bool = False

    @property
    def words(self) -> str:
        return f"it is called {self.name!r} there" if self.sure else f"perhaps it is called {self.name!r} there"


def meant_tables(missing: Sequence[Table], free: Sequence[Table]) -> dict[str, Meant]:
    """Return the table of the target that each table without one may be; no two the same."""
    spelled = respelled([t.name for t in missing], [t.name for t in free])
    found = {name: Meant(there, sure=True) for name, there in spelled.items()}
    for guess in (_same_columns, _alike):
        for table in missing:
            taken = {meant.name for meant in found.values()}
            left = [t for t in free if t.name not in taken]
            rivals = [t for t in missing if t.name not in found]
            if table.name not in found and (meant := guess(table, left, rivals)) is not None:
                found[table.name] = meant
    return found


def _same_columns(table: Table, free: Sequence[Table], rivals: Sequence[Table]) -> Meant | None:
    """Return the one table that has the same columns, however they are spelled, if it is that for this table alone."""
    mine = _spelled(table)
    same = [t for t in free if _spelled(t) == mine]
    alone = len(same) == 1 and len(mine) >= _CLEAR and [t for t in rivals if _spelled(t) == mine] == [table]
    return Meant(same[0].name, sure=True) if alone else None


def _alike(table: Table, free: Sequence[Table], _rivals: Sequence[Table]) -> Meant | None:
    """Return a table that shares a name or most columns."""
    mine = _spelled(table)
    name = similar(table.name, [t.name for t in free if mine & _spelled(t)])
    shared = [t.name for t in free if len(mine & _spelled(t)) * 3 >= 2 * len(mine | _spelled(t))]
    found = name or (shared[0] if len(shared) == 1 else None)
    return Meant(found) if found else None


def _spelled(table: Table) -> set[str]:
    return {singular(column) for column in table.column_names}


def missing_table(table: Table, meant: Meant | None, there: Table | None) -> Misfit:
    """Say that the target has no such table; another one may be it, and then its columns come along."""
    if meant and there:
        cure, hint, sure = renamed_table(table, there), meant.words, meant.sure
    else:
        cure, hint, sure = Mapping(drop_tables=[table.name]), "create it in the target, or leave it out", False
    return Misfit("missing-table", table.name, "the target has no such table", hint, cure=cure, sure=sure)


def renamed_table(table: Table, there: Table) -> Mapping:
    """Return the mapping of a table to one of another name, with the columns that are only spelled otherwise."""
    columns = respelled_columns(table.columns, there)
    return Mapping(rename_tables={table.name: there.name}, rename={table.name: columns} if columns else {})


def respelled_columns(columns: Sequence[Column], there: Table) -> dict[str, str]:
    """Return the columns that a target table has in another spelling."""
    names = {c.name: same_name(c.name, there.by_name) for c in columns if not c.generated}
    taken = set(names.values())
    free = [c.name for c in there.columns if c.name not in taken and not c.generated]
    return respelled([name for name, same in names.items() if same is None], free)


def taken_table(table: Table, name: str) -> Misfit:
    """Say that two tables of the package go into one."""
    message = f"another table of the package goes into {name!r} as well"
    return Misfit(
        "taken-table", table.name, message, "rename one, or leave it out", cure=Mapping(drop_tables=[table.name])
    )


def other_key(fit: TableFit) -> Misfit:
    """Say that rows cannot be told apart by the same key."""
    mine, theirs = ", ".join(fit.source.key), ", ".join(fit.target.key) or "none"
    hint = "rows are compared as wholes; give the target the same key to match them"
    message = f"the key is {mine} in the package, and {theirs} in the target"
    return Misfit("other-key", fit.source.name, message, hint, severity="warning")


# --- columns --------------------------------------------------------------------------------------------------------


def missing_column(table: Table, column: Column, meant: Meant | None, *, droppable: bool) -> Misfit:
    """Say that the target has no such column; one of another name may be it."""
    where = f"{table.name}.{column.name}"
    if meant:
        cure, hint = Mapping(rename={table.name: {column.name: meant.name}}), meant.words
    elif droppable:
        cure, hint = drop(table, column.name), "add it to the target, or leave it out"
    else:
        cure, hint = Mapping(), "add it to the target; it identifies rows and cannot be left out"
    sure = meant is not None and meant.sure
    return Misfit("missing-column", where, "the target has no such column", hint, cure=cure, sure=sure)


def missing_column_of(table: str, column: str, there: str) -> Misfit:
    """Say that a column is called otherwise, where its table came along with another name."""
    cure, meant = Mapping(rename={table: {column: there}}), Meant(there, sure=True)
    where = f"{table}.{column}"
    return Misfit("missing-column", where, "the target has no such column", meant.words, cure=cure, sure=True)


def taken_column(table: Table, column: Column, name: str, droppable: bool) -> Misfit:
    """Say that two columns of the package go into one."""
    message = f"another column of the package goes into {name!r} as well"
    cure = drop(table, column.name) if droppable else Mapping()
    return Misfit("taken-column", f"{table.name}.{column.name}", message, "rename one, or leave it out", cure=cure)


def needed(table: Table, name: str, *, is_key: bool) -> Misfit:
    """Say why a column cannot be dropped."""
    why = "rows are identified by it" if is_key else "references of the package point to it"
    return Misfit("needed-column", f"{table.name}.{name}", f"it cannot be dropped: {why}", "take it out of drop")


def computed(table: Table, column: Column, *, droppable: bool) -> Misfit:
    """Say that the target computes the column."""
    cure = drop(table, column.name) if droppable else Mapping()
    hint = "leave it out" if droppable else "make it an ordinary column in the target"
    return Misfit("computed-column", f"{table.name}.{column.name}", "the target computes this column", hint, cure=cure)


def required(source: Table, target: Table, column: Column, cure: Mapping, dropped: set[str]) -> Misfit:
    """Say that the target wants a column that the package does not give."""
    given = [name for name in dropped if name.lower() == column.name.lower()]
    message = "the target requires a column that " + ("the mapping drops" if given else "the package does not have")
    hint = "give it a default in the target" + (", or values here" if cure.default else "")
    return Misfit("required-column", f"{target.name}.{column.name}", message, hint, cure=cure)


def other_type(table: Table, column: Column, there: Column, cure: Mapping) -> Misfit:
    """Say that values of one type do not go into the other exactly."""
    said = column.declared or column.type.kind
    message = f"{said} ({column.type.kind}) does not go into {there.declared or there.type.kind}"
    hint = "change the column's type in the target, or let values change" if cure.cast else (
        "change the column's type in the target" + (", or leave it out" if cure else "")
    )  # fmt: skip
    return Misfit("type", f"{table.name}.{column.name}", message, hint, cure=cure)


def fixed(table: Table, column: Column) -> Misfit:
    """Say that a column that rows hang on must not change."""
    message = "it cannot be cast: keys and references must stay as they are"
    return Misfit("fixed-column", f"{table.name}.{column.name}", message, "take it out of cast")


def other_cast(table: Table, column: Column, there: Column, wanted: str) -> Misfit:
    """Say that the target's column takes another kind than the mapping says."""
    taken = f"values of kind {there.type.kind}" if there.type.kind != "any" else "none of that kind"
    message = f"cast says {wanted!r}, and {there.declared or there.name} takes {taken}"
    cure = _cast(table, column.name, there.type)
    return Misfit("cast", f"{table.name}.{column.name}", message, "say what the target's column holds", cure=cure)


def no_cast(table: Table, column: Column, wanted: str, cure: Mapping) -> Misfit:
    """Say that there is no way from one kind to another."""
    message = f"values of kind {column.type.kind} cannot become {wanted!r}"
    return Misfit("cast", f"{table.name}.{column.name}", message, "leave the column out", cure=cure)


def no_default(target: Table, column: Column) -> Misfit:
    """Say that a column gets its values in another way."""
    why = "the target computes it" if column.generated else "keys and references must stay as they are"
    return Misfit("default", f"{target.name}.{column.name}", f"it takes no default: {why}", "take it out of default")


def other_default(target: Table, column: Column) -> Misfit:
    """Say that a default is not of the column's type."""
    message = f"the default given for it is no value of {column.declared or column.type.kind}"
    return Misfit("default", f"{target.name}.{column.name}", message, "give a value that the column takes")


def narrowed(table: Table, fit: ColumnFit) -> list[Misfit]:
    """Say what the target's column takes less or more of; the values decide."""
    mine, there, where = fit.source.type, fit.kind, f"{table.name}.{fit.source.name}"
    found: list[Misfit] = []
    if fit.source.nullable and not fit.target.nullable and not fit.target.identity:
        message, hint = "it may be NULL in the package, and not in the target", "rows that hold NULL would be refused"
        found.append(Misfit("narrowed", where, message, hint, severity="warning"))
    less, more = _sizes(mine, there)
    if less:
        hint = "values that do not fit would be refused"
        found.append(Misfit("narrowed", where, f"the target keeps less: {less}", hint, severity="warning"))
    elif more:
        found.append(
            Misfit("widened", where, f"the target takes more: {more}", "nothing is to be done", severity="note")
        )
    return found


def _sizes(mine: Any, there: Any) -> tuple[str, str]:
    """Return in which measure the target's type is narrower, or wider."""
    if mine.kind != there.kind:
        return "", ""
    if mine.kind == "integer":
        return _ranges(mine, there)
    less: list[str] = []
    more: list[str] = []
    for name in ("length", "bits", "precision", "scale"):
        a, b = getattr(mine, name) or 0, getattr(there, name) or 0
        if a != b and (name != "scale" or there.precision):
            (less if b and (not a or b < a) else more).append(f"{name} {a or 'without limit'} → {b or 'without limit'}")
    return ", ".join(less), ", ".join(more)


def _ranges(mine: LogicalType, there: LogicalType) -> tuple[str, str]:
    """Return how the range of integers is narrower, or wider."""
    (low, high), (lowest, highest) = _range(mine), _range(there)
    sizes = [f"{t.bits or 'without limit'}{' unsigned' * (t.unsigned and mine.unsigned != there.unsigned)}"
             for t in (mine, there)]  # fmt: skip
    said = f"bits {' → '.join(sizes)}"
    if lowest > low or highest < high:
        return said, ""
    return "", said if (lowest, highest) != (low, high) else ""


def _range(kind: LogicalType) -> tuple[float, float]:
    """Return the least and the greatest integer of a type."""
    if not kind.bits:
        return (0 if kind.unsigned else -math.inf), math.inf
    return (0, 2**kind.bits - 1) if kind.unsigned else (-(2 ** (kind.bits - 1)), 2 ** (kind.bits - 1) - 1)


# --- references -----------------------------------------------------------------------------------------------------


def new_reference(fk: ForeignKey, *, plain: bool) -> Misfit:
    """Say that the target alone declares a reference; ``plain``: to a table that does not come with the package."""
    message = f"only the target says that it refers to {fk.parent!r}"
    hint = "it is followed as if the package said so"
    if plain:
        hint = "rows of the target must have these keys as they are, or on_orphan says what becomes of the others"
    return Misfit("new-reference", fk.label, message, hint, severity="note")


def other_reference(fit: TableFit, fk: ForeignKey, there: ForeignKey) -> Misfit:
    """Say that a reference leads to another table or column in the target."""
    columns = [f.target for c in fk.columns if (f := fit.by_source(c))]
    inside = {*fit.source.key} & {*fk.columns}
    loose = all(is_optional(c) for c in columns) and not inside
    message = (
        f"it refers to {fk.parent}.({', '.join(fk.parent_columns)}) in the package, and to "
        f"{there.parent}.({', '.join(there.parent_columns)}) in the target"
    )
    cure = Mapping(drop={fit.source.name: list(fk.columns)}) if loose else Mapping()
    hint = "let both refer to the same" + (", or leave the reference out" if loose else "")
    return Misfit("other-reference", fk.label, message, hint, cure=cure)


# --- values ---------------------------------------------------------------------------------------------------------


def of_value(fit: TableFit, column: ColumnFit, *, castable: bool) -> Mapping:
    """Return what lets rows in whose value does not fit: a cast if it helps, else leaving the column out if one may."""
    name = column.source.name
    kept = {*fit.source.key, *(c for fk in fit.source.foreign_keys for c in fk.columns)}
    if castable and name not in kept:
        return _cast(fit.source, name, column.kind)
    return drop(fit.source, name) if is_optional(column.target) and name not in fit.source.key else Mapping()


def of_null(fit: TableFit, column: ColumnFit) -> Mapping:
    """Return a default for rows that hold NULL where the target wants a value."""
    name = column.target.name
    unique = {*fit.target.key, *(c for rule in fit.target.uniques for c in rule)}
    refers = {c for fk in fit.source.foreign_keys for c in fk.columns}
    values = neutral(replace(column.target, type=column.kind))
    if name in unique or column.source.name in refers or not values:
        return Mapping()
    return Mapping(default={fit.source.name: {name: values[0]}})


def _cast(table: Table, name: str, kind: LogicalType) -> Mapping:
    """Return the cast to a kind; nothing if there are no values of that kind alone."""
    return Mapping(cast={table.name: {name: kind.kind}}) if kind.kind not in ("any", "native") else Mapping()
