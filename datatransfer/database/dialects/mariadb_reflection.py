"""Reflection of MariaDB and MySQL by ``information_schema``, a fixed number of queries for each database read."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from datatransfer.database.dialects.assembling import Facts, assemble, is_own, left_out_for_itself
from datatransfer.schema.tables import Column, ForeignKey, LeftOut, Schema, UniqueRule
from datatransfer.schema.values import LogicalType

_TABLES = "SELECT table_name, table_type, engine FROM information_schema.tables WHERE table_schema = {space}"
_COLUMNS = """
SELECT table_name, column_name, data_type, column_type, is_nullable, column_default, extra,
  character_maximum_length, numeric_precision, numeric_scale, coalesce(generation_expression, ''),
  coalesce(collation_name, '')
FROM information_schema.columns WHERE table_schema = {space} ORDER BY table_name, ordinal_position"""
_INDEXES = """
SELECT table_name, index_name, column_name, sub_part
FROM information_schema.statistics WHERE table_schema = {space} AND non_unique = 0
ORDER BY table_name, index_name, seq_in_index"""
_FOREIGN_KEYS = """
SELECT table_name, constraint_name, column_name, referenced_table_schema, referenced_table_name, referenced_column_name
FROM information_schema.key_column_usage
WHERE table_schema = {space} AND referenced_table_name IS NOT NULL
ORDER BY table_name, constraint_name, ordinal_position"""
_JSON_CHECKS = """
SELECT table_name, check_clause FROM information_schema.check_constraints
WHERE constraint_schema = {space} AND check_clause LIKE 'json_valid(%'"""
_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
_TEXTS = frozenset({"char", "varchar", "tinytext", "text", "mediumtext", "longtext"})
_BINARIES = frozenset({"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"})
_GEOMETRIES = frozenset(
    {"geometry", "point", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon",
     "geometrycollection", "geomcollection"}
)  # fmt: skip
_GEOMETRY = LogicalType("native", native="mariadb:geometry")
_LABEL = re.compile(r"'((?:[^']|'')*)'")
_MEANT = {"''": "'", r"\\": "\\", r"\n": "\n", r"\r": "\r", r"\0": "\0"}
_ESCAPED = re.compile("|".join(map(re.escape, _MEANT)))
#: Engines whose reads are part of a consistent snapshot.
_SNAPSHOT_ENGINES = frozenset({"InnoDB", "ROCKSDB"})

Rows = Callable[[str], Any]


@dataclass
class Reflected:
    """A schema, and the storage engines of tables that know no snapshots."""

    schema: Schema
    other_engines: dict[str, str] = field(default_factory=dict)


@dataclass
class _Space:
    """What one database (MariaDB calls it a schema too) holds."""

    facts: dict[str, Facts] = field(default_factory=dict)
    engines: dict[str, str] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    referenced: set[tuple[str, str]] = field(default_factory=set)


def is_geometry(kind: LogicalType) -> bool:
    """Whether values of this type are geometries, which have no exact text."""
    return kind == _GEOMETRY


def reflect(conn: sa.Connection, schema: str | None) -> Reflected:
    """Read one database, and from others the tables that foreign keys lead to."""

    def rows(sql: str) -> Any:
        return conn.exec_driver_sql(sql, execution_options={"no_parameters": True}).fetchall()

    home = schema or str(rows("SELECT DATABASE()")[0][0])
    first = _read_space(rows, home, home=home, only=None)
    facts, engines = dict(first.facts), dict(first.engines)
    waiting = set(first.referenced)
    done = {(home, fact.bare_name) for fact in facts.values()}
    while waiting - done:
        spaces: dict[str, set[str]] = defaultdict(set)
        for space, bare in waiting - done:
            spaces[space].add(bare)
        done |= waiting
        waiting = set()
        for space, names in sorted(spaces.items()):
            found = _read_space(rows, space, home=home, only=names)
            facts.update(found.facts)
            engines.update(found.engines)
            waiting |= found.referenced
    notes = [note for fact in facts.values() if (note := left_out_for_itself(fact.bare_name))]
    kept = [fact for fact in facts.values() if not left_out_for_itself(fact.bare_name)]
    return Reflected(assemble(kept, [*first.left_out, *notes]), engines)


def _literal(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _read_space(rows: Rows, space: str, *, home: str, only: Iterable[str] | None) -> _Space:
    found = _Space()
    literal = _literal(space)
    for bare, kind, engine in rows(_TABLES.format(space=literal)):
        if is_own(bare) or (only is not None and bare not in only):
            continue
        if kind == "SEQUENCE":
            found.left_out.append(LeftOut(bare, "sequence", "it is a counter, not data"))
        elif "VIEW" in kind:
            found.left_out.append(LeftOut(bare, "view", "its rows are computed from tables"))
        else:
            name = bare if space == home else f"{space}.{bare}"
            found.facts[bare] = Facts(name, bare, None if space == home else space)
            if engine not in _SNAPSHOT_ENGINES:
                found.engines[name] = str(engine)
    _add_columns(rows, literal, found)
    _add_uniques(rows, literal, found)
    _add_foreign_keys(rows, literal, found, home=home)
    found.facts = {fact.name: fact for fact in found.facts.values()}
    return found


def _add_columns(rows: Rows, literal: str, found: _Space) -> None:
    is_mariadb = "mariadb" in str(rows("SELECT VERSION()")[0][0]).lower()
    checks = set()
    if is_mariadb:
        # JSON is LONGTEXT with this check there; MySQL has a type of its own, and no table name in this view.
        checks = {(table, clause) for table, clause in rows(_JSON_CHECKS.format(space=literal))}
    for row in rows(_COLUMNS.format(space=literal)):
        fact = found.facts.get(row[0])
        if fact is None:
            continue
        quoted = "`" + row[1].replace("`", "``") + "`"
        is_json = row[2] == "json" or (row[2] == "longtext" and (row[0], f"json_valid({quoted})") in checks)
        fact.columns.append(_column(row, is_json=is_json, is_mariadb=is_mariadb))


def _add_uniques(rows: Rows, literal: str, found: _Space) -> None:
    indexes: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for table, index, column, part in rows(_INDEXES.format(space=literal)):
        indexes[table, index].append((column, part))
    for (table, index), columns in indexes.items():
        fact = found.facts.get(table)
        if fact is not None and all(column is not None for column, _ in columns):
            fact.rules.append(_rule(columns, fact))
        # An expression has no column name, a prefix has a length: neither makes the columns unique.
        if fact is None or any(column is None or part is not None for column, part in columns):
            continue
        names = tuple(column for column, _ in columns)
        if index == "PRIMARY":
            fact.primary = names
        else:
            fact.constraints.append(names)


def _rule(columns: list[Any], fact: Facts) -> UniqueRule:
    parts, labels = [], []
    for name, length in columns:
        quoted = "`" + name.replace("`", "``") + "`"
        parts.append(quoted if length is None else f"LEFT({quoted}, {length})")
        labels.append(name if length is None else f"{name}({length})")
    by_name = {column.name: column for column in fact.columns}
    names = tuple(name for name, _ in columns)
    # Even a binary collation pads with spaces, unless its name says otherwise.
    exact = all(by_name[n].collation in ("", "binary") or "_nopad_bin" in by_name[n].collation for n in names)
    whole = all(length is None for _, length in columns)
    return UniqueRule(", ".join(labels), tuple(parts), names, exact=exact and whole)


def _add_foreign_keys(rows: Rows, literal: str, found: _Space, *, home: str) -> None:
    grouped: dict[tuple[str, str], list[Any]] = defaultdict(list)
    for row in rows(_FOREIGN_KEYS.format(space=literal)):
        grouped[row[0], row[1]].append(row)
    for (table, name), parts in grouped.items():
        fact = found.facts.get(table)
        if fact is None:
            continue
        space, bare = parts[0][3], parts[0][4]
        parent = bare if space == home else f"{space}.{bare}"
        found.referenced.add((space, bare))
        columns, others = tuple(part[2] for part in parts), tuple(part[5] for part in parts)
        fact.foreign_keys.append(ForeignKey(fact.name, columns, parent, others, name=name))


def _column(row: Any, *, is_json: bool, is_mariadb: bool) -> Column:
    _, name, data_type, declared, nullable, default, extra, length, precision, scale, expression, collation = row
    counted = "auto_increment" in extra
    no_default = default is None or (is_mariadb and default == "NULL")
    measures = {"length": length, "precision": precision, "scale": scale}
    return Column(
        name=name,
        type=LogicalType("json") if is_json else logical_type(data_type.lower(), declared, measures),
        declared=declared,
        nullable=nullable == "YES",
        has_default=counted or not no_default,
        generated=bool(expression) or "GENERATED" in extra.replace("DEFAULT_GENERATED", ""),
        identity="default" if counted else "",
        collation=collation,
        formula=str(expression),
        default="" if no_default else str(default),
        labels=labels_of(declared) if data_type in ("enum", "set") else None,
    )


def labels_of(declared: str) -> tuple[str, ...]:
    """Return the labels of an ENUM or SET in their order; a character beyond the first 65,536 is told as ``?``.

    Examples
    --------
    >>> labels_of("enum('new','it''s done')")
    ('new', "it's done")
    """
    return tuple(_ESCAPED.sub(lambda found: _MEANT[found[0]], label) for label in _LABEL.findall(declared))


def logical_type(data_type: str, declared: str, measures: Mapping[str, int | None]) -> LogicalType:
    """Return what the values of a column are.

    Parameters
    ----------
    data_type, declared : str
        ``information_schema.columns.data_type`` and ``column_type``: ``"int"``, ``"int(10) unsigned"``.
    measures : mapping
        ``length``, ``precision`` and ``scale``.
    """
    simple = {
        "float": LogicalType("float", bits=32),
        "double": LogicalType("float", bits=64),
        "date": LogicalType("date"),
        "datetime": LogicalType("timestamp"),
        "timestamp": LogicalType("timestamptz"),
        "year": LogicalType("integer", bits=16),
        "enum": LogicalType("enum"),
        "uuid": LogicalType("uuid"),
        "json": LogicalType("json"),
        "bit": LogicalType("integer", bits=measures["precision"] or 64, unsigned=True),
    }
    if data_type in simple:
        return simple[data_type]
    if data_type in _BITS:
        return LogicalType("integer", bits=_BITS[data_type], unsigned="unsigned" in declared)
    if data_type == "decimal":
        return LogicalType("decimal", precision=measures["precision"], scale=measures["scale"])
    if data_type in _TEXTS or data_type in _BINARIES:
        kind: Any = "text" if data_type in _TEXTS else "bytes"
        is_sized = data_type in ("char", "varchar", "binary", "varbinary")
        return LogicalType(kind, length=measures["length"] if is_sized else None)
    # TIME is a duration of up to 838 hours here, and the text of SET, INET6 and others is their only exact form.
    return _GEOMETRY if data_type in _GEOMETRIES else LogicalType("native", native=f"mariadb:{declared}")
