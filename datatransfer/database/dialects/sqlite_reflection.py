"""Reflection of SQLite by its own pragmas: SQLAlchemy's guesses a type where SQLite has none.

A column of an ordinary SQLite table may hold any storage class, whatever its declaration says; so its type is ``any``
until the rows are looked at. Definite are only the columns of STRICT tables and the alias of the rowid.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from datatransfer.database.dialects.assembling import Facts, assemble, is_own, left_out_for_itself
from datatransfer.database.dialects.sqlite_ddl import column_facts, index_parts, names_in
from datatransfer.errors import DatabaseError
from datatransfer.schema.tables import Column, ForeignKey, LeftOut, Schema, UniqueRule
from datatransfer.schema.values import LogicalType

_STRICT = {"INT": "integer", "INTEGER": "integer", "REAL": "float", "TEXT": "text", "BLOB": "bytes"}
_LEFT_OUT = {
    "view": "its rows are computed from tables",
    "virtual": "its rows are kept by a module, not by SQLite's own tables",
    "shadow": "it is the store of a virtual table",
}
_TABLES = """
SELECT l.name, l.type, l.wr, l.strict FROM pragma_table_list l
WHERE l.schema = {schema} AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"""
_COLUMNS = """
SELECT l.name, x.name, x.type, x."notnull", x.dflt_value, x.pk, x.hidden
FROM pragma_table_list l JOIN pragma_table_xinfo(l.name, {schema}) x
WHERE l.schema = {schema} AND l.type = 'table' ORDER BY l.name, x.cid"""
_INDEXES = """
SELECT l.name, i.seq, i.origin, i.partial, i."unique", x.cid, x.name, x.coll, i.name
FROM pragma_table_list l JOIN pragma_index_list(l.name, {schema}) i JOIN pragma_index_xinfo(i.name, {schema}) x
WHERE l.schema = {schema} AND l.type = 'table' AND x."key" ORDER BY l.name, i.seq DESC, x.seqno"""
_STATEMENTS = "SELECT type, name, sql FROM {quoted}.sqlite_master WHERE type IN ('table', 'index') AND sql IS NOT NULL"
_FOREIGN_KEYS = """
SELECT l.name, f.id, f."table", f."from", f."to"
FROM pragma_table_list l JOIN pragma_foreign_key_list(l.name, {schema}) f
WHERE l.schema = {schema} AND l.type = 'table' ORDER BY l.name, f.id DESC, f.seq"""


@dataclass
class _Read:
    """Rows of the pragmas, by table."""

    kinds: dict[str, tuple[str, bool, bool]]
    columns: dict[str, list[Any]] = field(default_factory=lambda: defaultdict(list))
    indexes: dict[str, dict[int, list[Any]]] = field(default_factory=lambda: defaultdict(dict))
    references: dict[str, dict[int, list[Any]]] = field(default_factory=lambda: defaultdict(dict))
    statements: dict[tuple[str, str], str] = field(default_factory=dict)


def reflect(conn: sa.Connection, schema: str) -> Schema:
    """Read the tables of one attached database, ``main`` as a rule.

    Raises
    ------
    DatabaseError
        The SQLite library is older than 3.37, which cannot tell shadow tables from others.
    """
    import sqlite3

    if sqlite3.sqlite_version_info < (3, 37):
        raise DatabaseError(f"SQLite {sqlite3.sqlite_version} is too old", hint="SQLite 3.37 or newer is needed")
    read = _pragmas(conn, schema)
    names = [n for n, (kind, _, _) in read.kinds.items() if kind == "table" and not is_own(n)]
    notes = [note for name in names if (note := left_out_for_itself(name))]
    for name, (kind, _, _) in read.kinds.items():
        if kind in _LEFT_OUT and not is_own(name):
            notes.append(LeftOut(name, kind if kind == "view" else f"{kind} table", _LEFT_OUT[kind]))
    facts = {name: _facts(name, read) for name in names if not left_out_for_itself(name)}
    by_lower = {name.lower(): fact for name, fact in facts.items()}
    for name, fact in facts.items():
        fact.foreign_keys = [_foreign_key(fact, rows, by_lower) for rows in read.references[name].values()]
    return assemble(facts.values(), notes)


def _pragmas(conn: sa.Connection, schema: str) -> _Read:
    literal = "'" + schema.replace("'", "''") + "'"

    def rows(sql: str) -> list[Any]:
        options = {"no_parameters": True}
        filled = sql.format(schema=literal, quoted='"' + schema.replace('"', '""') + '"')
        return list(conn.exec_driver_sql(filled, execution_options=options).fetchall())

    read = _Read({name: (kind, bool(wr), bool(strict)) for name, kind, wr, strict in rows(_TABLES)})
    for row in rows(_COLUMNS):
        read.columns[row[0]].append(row)
    for row in rows(_INDEXES):
        read.indexes[row[0]].setdefault(row[1], []).append(row)
    for row in rows(_FOREIGN_KEYS):
        read.references[row[0]].setdefault(row[1], []).append(row)
    read.statements = {(kind, name): sql for kind, name, sql in rows(_STATEMENTS)}
    return read


def _facts(name: str, read: _Read) -> Facts:
    _, without_rowid, strict = read.kinds[name]
    rows = read.columns[name]
    indexes = list(read.indexes[name].values())
    keyed = sorted((row for row in rows if row[5]), key=lambda row: row[5])
    has_key_index = any(index[0][2] == "pk" for index in indexes)
    # "INTEGER PRIMARY KEY" is the rowid itself and has no index; "INTEGER PRIMARY KEY DESC" is not and has one.
    is_alias = len(keyed) == 1 and str(keyed[0][2]).upper() == "INTEGER" and not without_rowid and not has_key_index
    fact = Facts(name, name, primary=tuple(row[1] for row in keyed))
    told = column_facts(read.statements.get(("table", name), "CREATE TABLE t ()"))
    fact.columns = [
        replace(
            _column(row, alias=is_alias, strict=strict, without_rowid=without_rowid),
            collation=told.get(str(row[1]).lower(), ("", ""))[0],
            formula=told.get(str(row[1]).lower(), ("", ""))[1],
        )
        for row in rows
    ]
    for index in indexes:
        _, _, origin, partial, unique, *_ = index[0]
        if unique:
            fact.rules.append(_rule(index, read.statements.get(("index", index[0][8]), ""), fact))
        if unique and not partial and all(part[5] >= 0 for part in index) and origin in ("u", "c"):
            (fact.constraints if origin == "u" else fact.indexes).append(tuple(part[6] for part in index))
    return fact


def _rule(index: list[Any], sql: str, fact: Facts) -> UniqueRule:
    """Return what an index keeps unique; only those that were created by a statement have expressions or conditions."""
    texts, where = index_parts(sql) if sql else ([], "")
    parts, labels = [], []
    for number, (_, _, _, _, _, cid, column, collation, _) in enumerate(index):
        plain = '"' + str(column).replace('"', '""') + '"' if cid >= 0 else f"({texts[number]})"
        quoted = str(collation).replace('"', '""')
        if quoted.upper() == "RTRIM":  # joins by this collation lose rows, see `SQLiteWriter.folded`
            plain, quoted = f"iif(typeof({plain}) = 'text', rtrim({plain}, ' '), {plain})", "BINARY"
        parts.append(f'{plain} COLLATE "{quoted}"')
        labels.append(str(column) if cid >= 0 else texts[number])
    names = [column.name for column in fact.columns]
    used = {str(part[6]) for part in index if part[5] >= 0}
    used |= set(names_in(" ".join([*texts, where]), names))
    exact = all(part[5] >= 0 and part[7] == "BINARY" for part in index)
    read = tuple(name for name in names if name in used)
    return UniqueRule(", ".join(labels), tuple(parts), read, where=where, exact=exact)


def _column(row: Any, *, alias: bool, strict: bool, without_rowid: bool) -> Column:
    _, name, declared, not_null, default, in_key, hidden = row
    is_alias = alias and bool(in_key)
    kind = LogicalType("any")
    if is_alias:
        kind = LogicalType("integer", bits=64)
    elif strict and declared.upper() == "ANY":
        declared = ""  # keeps every value's own class there, as a column without a type does; elsewhere ANY is NUMERIC
    elif strict and declared.upper() in _STRICT:
        found: Any = _STRICT[declared.upper()]
        kind = LogicalType(found, bits=64 if found in ("integer", "float") else 0)
    return Column(
        name=name,
        type=kind,
        declared=declared,
        nullable=not (not_null or is_alias or (without_rowid and in_key)),
        has_default=default is not None or is_alias,
        generated=hidden in (2, 3),
        identity="default" if is_alias else "",
        default=str(default or ""),
    )


def _foreign_key(fact: Facts, rows: list[Any], by_lower: dict[str, Facts]) -> ForeignKey:
    """Resolve names as SQLite does: without regard to case, and to the parent's key where no column is named."""
    parent = by_lower.get(str(rows[0][2]).lower())
    own = {column.name.lower(): column.name for column in fact.columns}
    columns = tuple(own.get(str(row[3]).lower(), str(row[3])) for row in rows)
    if parent is None:
        return ForeignKey(fact.name, columns, str(rows[0][2]), (), enforced=False)
    theirs = {column.name.lower(): column.name for column in parent.columns}
    if rows[0][4] is None:
        # A key of another length is a broken declaration; naming no column lets it be reported.
        named = parent.primary if len(parent.primary) == len(rows) else ("",)
    else:
        named = tuple(theirs.get(str(row[4]).lower(), str(row[4])) for row in rows)
    return ForeignKey(fact.name, columns, parent.name, named, enforced=False)
