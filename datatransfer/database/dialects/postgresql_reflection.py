"""Reflection of PostgreSQL by its catalogs, a fixed number of queries for any number of tables.

SQLAlchemy's Inspector does not tell partitions from tables, says nothing of inheritance and loses the names of types.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from datatransfer.database.dialects.assembling import Facts, assemble, is_own, left_out_for_itself
from datatransfer.display.blocks import plural
from datatransfer.schema.tables import Column, ForeignKey, LeftOut, Schema, UniqueRule
from datatransfer.schema.values import Kind, LogicalType

_RELATIONS = """
SELECT c.oid::bigint, n.nspname::text, c.relname::text, c.relkind::text, c.relispartition,
  pg_partition_root(c.oid)::oid::bigint,
  EXISTS (SELECT 1 FROM pg_inherits h WHERE h.inhparent = c.oid)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%' ORDER BY 2, 3"""
_COLUMNS = """
SELECT a.attrelid::bigint, a.attnum::int, a.attname::text, format_type(a.atttypid, a.atttypmod), a.atttypid::bigint,
  a.atttypmod, a.attnotnull, a.attidentity::text, a.attgenerated::text, pg_get_expr(d.adbin, d.adrelid),
  CASE WHEN c.oid IS NOT NULL AND a.attcollation <> t.typcollation THEN
    quote_ident(n.nspname) || '.' || quote_ident(c.collname) ELSE '' END
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
LEFT JOIN pg_collation c ON c.oid = a.attcollation LEFT JOIN pg_namespace n ON n.oid = c.collnamespace
WHERE a.attrelid IN ({oids}) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY 1, 2"""
_TYPES = """
SELECT t.oid::bigint, t.typname::text, n.nspname::text, t.typtype::text, t.typbasetype::bigint, t.typtypmod,
  t.typnotnull, CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
  CASE WHEN t.typlen = -1 THEN t.typelem::bigint ELSE 0 END,
  CASE WHEN t.typtype = 'e' THEN
    ARRAY(SELECT l.enumlabel::text FROM pg_enum l WHERE l.enumtypid = t.oid ORDER BY l.enumsortorder) END
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.typtype IN ('b', 'd', 'e')"""
_UNIQUES = """
SELECT i.indrelid::bigint, coalesce(k.contype::text, ''), i.indkey::smallint[]::int[], i.indnkeyatts::int
FROM pg_index i LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype IN ('p', 'u')
WHERE i.indisunique AND i.indisvalid AND i.indpred IS NULL AND i.indexprs IS NULL AND i.indrelid IN ({oids})
ORDER BY i.indrelid, i.indexrelid"""
_RULES = """
SELECT i.indrelid::bigint, i.indexrelid::bigint, pg_get_indexdef(i.indexrelid, p.n, false), i.indkey[p.n - 1]::int,
  CASE WHEN c.collname <> 'default' AND i.indcollation[p.n - 1] IS DISTINCT FROM a.attcollation THEN
    ' COLLATE ' || quote_ident(s.nspname) || '.' || quote_ident(c.collname) ELSE '' END,
  coalesce(c.collisdeterministic, true), coalesce(pg_get_expr(i.indpred, i.indrelid), ''),
  coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
  ARRAY(SELECT d.refobjsubid::int FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = i.indexrelid
    AND d.refclassid = 'pg_class'::regclass AND d.refobjid = i.indrelid AND d.refobjsubid > 0)
FROM pg_index i CROSS JOIN LATERAL generate_series(1, i.indnkeyatts::int) AS p(n)
LEFT JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[p.n - 1]
LEFT JOIN pg_collation c ON c.oid = i.indcollation[p.n - 1] LEFT JOIN pg_namespace s ON s.oid = c.collnamespace
WHERE i.indisunique AND i.indisvalid AND i.indrelid IN ({oids}) ORDER BY i.indrelid, i.indexrelid, p.n"""
_FOREIGN_KEYS = """
SELECT k.conrelid::bigint, k.confrelid::bigint, k.conname::text, k.conkey::int[], k.confkey::int[], k.convalidated
FROM pg_constraint k WHERE k.contype = 'f' AND k.conparentid = 0 ORDER BY k.conrelid, k.conname"""
#: Other schemas that are named one by one; a database may hold one for each of its tenants.
_NAMED_SCHEMAS = 10
_LEFT_OUT = {
    "v": ("view", "its rows are computed from tables"),
    "m": ("materialized view", "its rows are computed from tables"),
    "f": ("foreign table", "its rows live in another database"),
}
_SIMPLE: Mapping[str, LogicalType] = {
    "int2": LogicalType("integer", bits=16),
    "int4": LogicalType("integer", bits=32),
    "int8": LogicalType("integer", bits=64),
    "float4": LogicalType("float", bits=32),
    "float8": LogicalType("float", bits=64),
    "bool": LogicalType("boolean"),
    "bytea": LogicalType("bytes"),
    "text": LogicalType("text"),
    "date": LogicalType("date"),
    "time": LogicalType("time"),
    "timestamp": LogicalType("timestamp"),
    "timestamptz": LogicalType("timestamptz"),
    "uuid": LogicalType("uuid"),
    "json": LogicalType("json"),
    "jsonb": LogicalType("json"),
}


@dataclass(frozen=True)
class Relation:
    """A row of ``pg_class``; ``root`` is the partitioned table that a partition belongs to."""

    oid: int
    space: str
    bare: str
    kind: str
    is_partition: bool
    root: int | None
    has_children: bool


@dataclass
class Reflected:
    """A schema, and which of its tables are read in a special way."""

    schema: Schema
    home: str
    partitioned: frozenset[str] = frozenset()
    inherited: frozenset[str] = frozenset()


@dataclass
class _Read:
    relations: dict[int, Relation]
    home: str
    columns: dict[int, dict[int, Any]] = field(default_factory=lambda: defaultdict(dict))

    def name(self, oid: int) -> str:
        relation = self.relations[oid]
        return relation.bare if relation.space == self.home else f"{relation.space}.{relation.bare}"

    def columns_of(self, oid: int, numbers: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.columns[oid][number][2] for number in numbers)


def reflect(conn: sa.Connection, schema: str | None) -> Reflected:
    """Read one schema, and from others the tables that foreign keys lead to.

    Parameters
    ----------
    conn : sqlalchemy.Connection
    schema : str or None
        The first of the search path if None.
    """
    rows = _asker(conn)
    home = schema or str(rows("SELECT current_schema()")[0][0])
    read = _Read({row[0]: Relation(*row) for row in rows(_RELATIONS)}, home)
    references = _lifted(read, rows(_FOREIGN_KEYS))
    wanted = _closure(read, references)
    notes = [*_notes(read), *_other_schemas(read, wanted)]
    if not wanted:
        return Reflected(assemble([], notes), home)
    # Partitions' columns are needed to lift their foreign keys to the table that they belong to.
    oids = ", ".join(map(str, sorted(wanted | {r.oid for r in read.relations.values() if r.root in wanted})))
    for row in rows(_COLUMNS.format(oids=oids)):
        read.columns[row[0]][row[1]] = row
    types = {row[0]: row for row in rows(_TYPES)}
    facts = {oid: _facts(read, oid, types) for oid in sorted(wanted)}
    for oid, kind, numbers, count in rows(_UNIQUES.format(oids=oids)):
        if oid in facts:
            _add_unique(facts[oid], kind, read.columns_of(oid, numbers[:count]))
    indexes: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for row in rows(_RULES.format(oids=oids)):
        indexes[row[0], row[1]].append(row)
    for (oid, _), parts in indexes.items():
        if oid in facts:
            facts[oid].rules.append(_rule(read, oid, parts, facts[oid]))
    for oid, fact in facts.items():
        fact.foreign_keys = _foreign_keys(read, oid, references)
    kept = [fact for fact in facts.values() if not left_out_for_itself(fact.bare_name)]
    more = [note for fact in facts.values() if (note := left_out_for_itself(fact.bare_name))]
    special = {oid: read.relations[oid] for oid in facts}
    return Reflected(
        assemble(kept, [*notes, *more]),
        home,
        partitioned=frozenset(read.name(oid) for oid, r in special.items() if r.kind == "p"),
        inherited=frozenset(read.name(oid) for oid, r in special.items() if r.kind == "r" and r.has_children),
    )


def _asker(conn: sa.Connection) -> Any:
    def rows(sql: str) -> Sequence[Any]:
        return conn.exec_driver_sql(sql, execution_options={"no_parameters": True}).fetchall()

    return rows


def _notes(read: _Read) -> list[LeftOut]:
    found = [r for r in read.relations.values() if r.kind in _LEFT_OUT and r.space == read.home and not r.is_partition]
    return [LeftOut(relation.bare, *_LEFT_OUT[relation.kind]) for relation in found]


def _other_schemas(read: _Read, wanted: set[int]) -> list[LeftOut]:
    """Return the schemas with tables that are not read, a few by name and the rest by number."""
    counts = Counter(
        r.space for r in read.relations.values()
        if r.space != read.home and r.kind in "rp" and not r.is_partition and r.oid not in wanted
        and not is_own(r.bare) and left_out_for_itself(r.bare) is None
    )  # fmt: skip
    named = sorted(counts.items())
    found = [
        LeftOut(name, "schema", f'{_not_taken(count)}; schema="{name}" takes it')
        for name, count in named[:_NAMED_SCHEMAS]
    ]
    rest = named[_NAMED_SCHEMAS:]
    if rest:
        found.append(LeftOut(plural(len(rest), "more schema"), "schema", _not_taken(sum(n for _, n in rest))))
    return found


def _not_taken(count: int) -> str:
    return f"{plural(count, 'table')} {'is' if count == 1 else 'are'} not taken"


def _closure(read: _Read, references: Mapping[int, Sequence[Any]]) -> set[int]:
    """Return the tables of the home schema, and all that they refer to."""
    ours = [r for r in read.relations.values() if r.kind in "rp" and not r.is_partition and not is_own(r.bare)]
    wanted = {relation.oid for relation in ours if relation.space == read.home}
    allowed = {relation.oid for relation in ours}
    waiting = list(wanted)
    while waiting:
        for _, parent, *_ in references.get(waiting.pop(), ()):
            if parent in allowed and parent not in wanted:
                wanted.add(parent)
                waiting.append(parent)
    return wanted


def _lifted(read: _Read, rows: Iterable[Any]) -> dict[int, list[Any]]:
    """Return foreign keys by the table they belong to; those of partitions under their partitioned table."""
    found: dict[int, list[Any]] = defaultdict(list)
    for child, parent, *rest in rows:
        relation, other = read.relations.get(child), read.relations.get(parent)
        if relation is None or other is None:
            continue
        target = other.root if other.is_partition and other.root else parent
        owner = relation.root if relation.is_partition and relation.root else child
        found[owner].append((child, target, *rest, parent))
    return found


def _foreign_keys(read: _Read, oid: int, references: Mapping[int, Sequence[Any]]) -> list[ForeignKey]:
    leaves = {r.oid for r in read.relations.values() if r.root == oid and r.is_partition and r.kind == "r"}
    merged: dict[tuple[Any, ...], list[Any]] = {}
    for child, parent, name, numbers, other_numbers, validated, named_parent in references.get(oid, ()):
        if not read.columns.get(named_parent) and parent in read.columns:
            named_parent = parent
        columns = read.columns_of(child, numbers)
        others = read.columns_of(named_parent, other_numbers) if read.columns.get(named_parent) else ()
        whole = named_parent == parent
        merged.setdefault((columns, parent, others), []).append((child, name, validated and whole))
    found = []
    for (columns, parent, others), parts in merged.items():
        owners = {child for child, _, _ in parts}
        complete = oid in owners or leaves <= owners
        enforced = complete and all(valid for _, _, valid in parts)
        name = parts[0][1]
        found.append(ForeignKey(read.name(oid), columns, read.name(parent), others, name=name, enforced=enforced))
    return found


def _add_unique(fact: Facts, kind: str, columns: tuple[str, ...]) -> None:
    if kind == "p":
        fact.primary = columns
    else:
        (fact.constraints if kind == "u" else fact.indexes).append(columns)


def _rule(read: _Read, oid: int, parts: Sequence[Any], fact: Facts) -> UniqueRule:
    numbers = {int(part[3]) for part in parts if part[3]} | {int(n) for n in parts[0][8]}
    columns = read.columns_of(oid, sorted(numbers))
    by_name = {column.name: column for column in fact.columns}
    # Trailing spaces of char(n), and whatever a native type does, make different values equal.
    plain = all(part[3] and part[5] for part in parts) and all(
        by_name[c].type.kind not in ("native", "json") and not by_name[c].padded for c in columns
    )
    return UniqueRule(
        label=", ".join(str(part[2]) for part in parts),
        parts=tuple(f"({part[2]}){_as_enum(read, oid, int(part[3]), by_name)}{part[4]}" for part in parts),
        columns=columns,
        where=parts[0][6],
        nulls_equal=bool(parts[0][7]),
        exact=plain,
    )


def _as_enum(read: _Read, oid: int, number: int, by_name: Mapping[str, Column]) -> str:
    """Return the cast of a column that is a domain over an enum: there is no ``=`` for the domain."""
    column = by_name[read.columns[oid][number][2]] if number else None
    return f"::{column.base}" if column is not None and column.type.kind == "enum" and column.base else ""


def _facts(read: _Read, oid: int, types: Mapping[int, Any]) -> Facts:
    relation = read.relations[oid]
    space = None if relation.space == read.home else relation.space
    fact = Facts(read.name(oid), relation.bare, space)
    fact.columns = [_column(row, types) for _, row in sorted(read.columns[oid].items())]
    return fact


def _column(row: Any, types: Mapping[int, Any]) -> Column:
    _, _, name, declared, type_oid, modifier, not_null, identity, generated, default, collation = row
    kind, domain_not_null = _logical(type_oid, modifier, declared, types)
    is_serial = bool(default) and default.startswith("nextval(")
    counted = bool(identity) or is_serial
    return Column(
        name=name,
        type=kind,
        declared=declared,
        nullable=not (not_null or domain_not_null),
        has_default=counted or (default is not None and not generated),
        generated=bool(generated),
        identity="always" if identity == "a" else "default" if counted else "",
        collation=collation,
        formula=default if generated else "",
        default=default if default and not generated else "",
        base=base if (base := _base(type_oid, declared, types)) != declared else "",
        labels=_labels(type_oid, types),
    )


def _labels(oid: int, types: Mapping[int, Any]) -> tuple[str, ...] | None:
    """Return the labels of an enum, of what a domain stands for or of an array's elements; None for other types."""
    found = types.get(oid)
    while found is not None and (found[3] == "d" or found[8]):
        found = types.get(found[4] if found[3] == "d" else found[8])
    return tuple(found[9]) if found is not None and found[3] == "e" else None


def _base(oid: int, shown: str, types: Mapping[int, Any]) -> str:
    """Return the name of a type with what domains stand for in their places, also those of an array's elements."""
    found = types.get(oid)
    while found is not None and found[3] == "d":
        oid, shown = found[4], found[7]
        found = types.get(oid)
    element = types.get(found[8]) if found is not None else None
    if element is not None and element[3] == "d":
        return f"{_base(element[0], shown.removesuffix('[]'), types)}[]"
    return shown


def _logical(oid: int, modifier: int, shown: str, types: Mapping[int, Any]) -> tuple[LogicalType, bool]:
    """Follow domains to their base type; the logical type is the base's."""
    not_null = False
    found = types.get(oid)
    while found is not None and found[3] == "d":
        not_null = not_null or bool(found[6])
        oid, modifier, shown = found[4], found[5], found[7]
        found = types.get(oid)
    native = LogicalType("native", native=f"postgresql:{shown}")
    if found is None:
        return native, not_null
    _, name, space, kind, *_ = found
    if kind == "e":
        return LogicalType("enum"), not_null
    if space != "pg_catalog":
        return native, not_null
    if name == "numeric":
        return _numeric(modifier), not_null
    if name in ("varchar", "bpchar"):
        text: Kind = "text"
        return LogicalType(text, length=modifier - 4 if modifier >= 4 else None), not_null
    return _SIMPLE.get(name, native), not_null


def _numeric(modifier: int) -> LogicalType:
    """Read precision and scale from the type modifier, as ``numeric.c`` packs them; the scale has a sign since 15."""
    if modifier < 4:
        return LogicalType("decimal")
    packed = modifier - 4
    scale = packed & 0x7FF
    return LogicalType("decimal", precision=(packed >> 16) & 0xFFFF, scale=scale - 0x800 if scale & 0x400 else scale)
