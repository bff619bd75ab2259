"""Reflection by SQLAlchemy's Inspector, for every database that has no reflection of its own here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import ReflectedColumn
from sqlalchemy.engine.reflection import Inspector, ObjectKind

from datatransfer.database.dialects.assembling import Facts, assemble, is_own, left_out_for_itself
from datatransfer.schema.tables import Column, ForeignKey, LeftOut, Schema, UniqueRule
from datatransfer.schema.values import LogicalType


def reflect(conn: sa.Connection, schema: str | None) -> Schema:
    """Read a schema with SQLAlchemy's set-based reflection.

    Tables of other schemas are read when a foreign key leads to them.
    """
    inspector = sa.inspect(conn)
    facts: dict[tuple[str | None, str], Facts] = {}
    left_out = _left_out(inspector, schema)
    wanted: dict[str | None, set[str] | None] = {schema: None}
    while wanted:
        referenced: set[tuple[str | None, str]] = set()
        for space, names in wanted.items():
            facts.update(_facts(inspector, space, names, home=schema, referenced=referenced))
        wanted = {}
        for space, bare in sorted(key for key in referenced if key not in facts and key[0] != schema):
            names = wanted.setdefault(space, set())
            if names is not None:
                names.add(bare)
    notes = [note for fact in facts.values() if (note := left_out_for_itself(fact.bare_name))]
    kept = [fact for fact in facts.values() if not left_out_for_itself(fact.bare_name)]
    return assemble(kept, [*left_out, *notes])


def _left_out(inspector: Inspector, schema: str | None) -> list[LeftOut]:
    views = [LeftOut(name, "view", "its rows are computed from tables") for name in inspector.get_view_names(schema)]
    try:
        stored = inspector.get_materialized_view_names(schema)
    except NotImplementedError:
        stored = []
    reason = "its rows are computed from tables"
    return views + [LeftOut(name, "materialized view", reason) for name in stored]


def _name(space: str | None, bare: str, home: str | None) -> str:
    return bare if space == home else f"{space}.{bare}"


def _facts(
    inspector: Inspector,
    space: str | None,
    names: Iterable[str] | None,
    *,
    home: str | None,
    referenced: set[tuple[str | None, str]],
) -> dict[tuple[str | None, str], Facts]:
    """Read the tables of one schema, each kind of fact in one call."""
    options: dict[str, Any] = {"schema": space, "kind": ObjectKind.TABLE}
    if names is not None:
        options["filter_names"] = sorted(names)
    columns = inspector.get_multi_columns(**options)
    primary = inspector.get_multi_pk_constraint(**options)
    uniques = _optional(inspector.get_multi_unique_constraints, options)
    indexes = _optional(inspector.get_multi_indexes, options)
    references = inspector.get_multi_foreign_keys(**options)
    found: dict[tuple[str | None, str], Facts] = {}
    for key, listed in columns.items():
        if is_own(key[1]):
            continue
        fact = Facts(_name(key[0], key[1], home), key[1], None if key[0] == home else key[0])
        fact.primary = _key_columns(primary.get(key))
        fact.columns = [_column(column, fact.primary, inspector.dialect.name) for column in listed]
        fact.constraints = [tuple(unique["column_names"]) for unique in uniques.get(key) or []]
        fact.indexes = [tuple(i["column_names"]) for i in indexes.get(key) or [] if _is_plain_unique(i)]
        quote = inspector.dialect.identifier_preparer.quote_identifier
        for names_ in dict.fromkeys([fact.primary, *fact.constraints, *fact.indexes]):
            if names_:
                fact.rules.append(UniqueRule(", ".join(names_), tuple(map(quote, names_)), names_))
        for fk in references.get(key) or []:
            parent = _name(fk["referred_schema"], fk["referred_table"], home)
            referenced.add((fk["referred_schema"], fk["referred_table"]))
            child, other = tuple(fk["constrained_columns"]), tuple(fk["referred_columns"])
            fact.foreign_keys.append(ForeignKey(fact.name, child, parent, other, name=fk["name"] or ""))
        found[key] = fact
    return found


def _key_columns(constraint: Any) -> tuple[str, ...]:
    return tuple((constraint or {}).get("constrained_columns") or ())


def _optional(method: Any, options: Mapping[str, Any]) -> Mapping[Any, Any]:
    """Return nothing where a dialect of another maker does not tell unique constraints or indexes."""
    try:
        found: Mapping[Any, Any] = method(**options)
    except NotImplementedError:
        found = {}
    return found


def _is_plain_unique(index: Mapping[str, Any]) -> bool:
    options = index.get("dialect_options") or {}
    partial = any(name.endswith("_where") and value is not None for name, value in options.items())
    names = index.get("column_names") or []
    return bool(index.get("unique")) and bool(names) and None not in names and not partial


def _column(column: ReflectedColumn, primary: tuple[str, ...], dialect: str) -> Column:
    kind = column["type"]
    counted = bool(column.get("autoincrement") is True or column.get("identity"))
    identity: Mapping[str, Any] = column.get("identity") or {}
    always = bool(identity.get("always"))
    name = column["name"]
    return Column(
        name=name,
        type=logical_type(kind, dialect),
        declared=_declared(kind),
        nullable=bool(column.get("nullable", True)) and name not in primary,
        has_default=column.get("default") is not None or counted,
        generated=bool(column.get("computed")),
        identity="always" if always else "default" if counted else "",
    )


def _declared(kind: sa.types.TypeEngine[Any]) -> str:
    try:
        return str(kind.compile())
    except sa.exc.CompileError:
        return type(kind).__name__


def logical_type(kind: sa.types.TypeEngine[Any], dialect: str) -> LogicalType:
    """Return what the values of a column of a SQLAlchemy type are.

    A type that no rule knows becomes ``native`` under the dialect's name: its values are carried only if they are text.
    """
    numbers = {sa.SmallInteger: 16, sa.BigInteger: 64, sa.Integer: 32}
    for number, bits in numbers.items():
        if isinstance(kind, number):
            return LogicalType("integer", bits=bits, unsigned=bool(getattr(kind, "unsigned", False)))
    if isinstance(kind, sa.Float):
        return LogicalType("float", bits=32 if isinstance(kind, sa.REAL) else 64)
    if isinstance(kind, sa.Numeric):
        return LogicalType("decimal", precision=kind.precision, scale=kind.scale)
    if isinstance(kind, sa.DateTime):
        return LogicalType("timestamptz" if kind.timezone else "timestamp")
    if isinstance(kind, sa.Time):
        return LogicalType("native", native=f"{dialect}:{_declared(kind)}") if kind.timezone else LogicalType("time")
    if isinstance(kind, sa.Enum):
        return LogicalType("enum")
    if isinstance(kind, sa.String | sa.Uuid | sa.JSON):
        if isinstance(kind, sa.String):
            return LogicalType("text", length=kind.length)
        return LogicalType("uuid" if isinstance(kind, sa.Uuid) else "json")
    if isinstance(kind, sa.LargeBinary | sa.BINARY | sa.VARBINARY):
        return LogicalType("bytes", length=kind.length)
    if isinstance(kind, sa.Boolean):
        return LogicalType("boolean")
    if isinstance(kind, sa.Date):
        return LogicalType("date")
    return LogicalType("native", native=f"{dialect}:{_declared(kind)}")
