"""A SQLite database as the tables of another dialect, made with plain SQLAlchemy and nothing of the library."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

from tests.support.kinds import Kinds, kind_of
from tests.support.reading import sqlite_tables

KEY_TEXT_LENGTH = 190  # what fits into an index of four-byte characters everywhere


def kinds_of(path: Path) -> Kinds:
    """Return the kind of each column of a SQLite file from its declared types."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        return {
            table: {row[1]: kind_of(row[2]) for row in _info(connection, table)} for table in sqlite_tables(connection)
        }


def translate(path: Path, url: str, *, rows: bool = True) -> sa.MetaData:
    """Make the tables of a SQLite file in another, empty database, and copy the rows.

    Parameters
    ----------
    path : Path
    url : str
    rows : bool
        False: the schema only.

    Returns
    -------
    MetaData
        The tables that were made. Foreign keys are added after the rows, so cycles need no order.
    """
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as source:
        metadata = _metadata(source)
        engine = sa.create_engine(url, poolclass=NullPool)
        constraints = [c for table in metadata.tables.values() for c in table.foreign_key_constraints]
        with engine.begin() as target:
            # With use_alter SQLAlchemy adds each foreign key by a statement of its own, which here comes last.
            for table in metadata.tables.values():
                target.execute(sa.schema.CreateTable(table, include_foreign_key_constraints=[]))
                for index in table.indexes:
                    target.execute(sa.schema.CreateIndex(index))
            if rows:
                for table in metadata.tables.values():
                    _copy_rows(source, target, table)
            for constraint in constraints:
                target.execute(sa.schema.AddConstraint(constraint))
            if engine.dialect.name == "postgresql":
                _advance_sequences(target, metadata)
    return metadata


# --- schema -----------------------------------------------------------------------------------------------------------


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _info(connection: sqlite3.Connection, table: str) -> list[Any]:
    return connection.execute(f"PRAGMA table_info({_quoted(table)})").fetchall()


def _column_type(declared: str, in_index: bool) -> sa.types.TypeEngine[Any]:
    kind = kind_of(declared)
    sizes = [int(size) for size in re.findall(r"\d+", declared)]
    if kind == "text":
        length = sizes[0] if sizes and sizes[0] <= 1000 else None
        return sa.String(length or KEY_TEXT_LENGTH) if length or in_index else sa.Text()
    made: dict[str, Callable[[], sa.types.TypeEngine[Any]]] = {
        "char": lambda: sa.CHAR(sizes[0] if sizes else 1),
        "decimal": lambda: sa.Numeric(*sizes) if sizes else sa.Numeric(30, 10),
        "timestamp": lambda: sa.DateTime(timezone=False),
        "timestamptz": lambda: sa.DateTime(timezone=True),
    }
    simple: dict[str, sa.types.TypeEngine[Any]] = {
        "integer": sa.BigInteger(), "float": sa.Double(), "boolean": sa.Boolean(), "bytes": sa.LargeBinary(2**24),
        "date": sa.Date(), "time": sa.Time(), "uuid": sa.Uuid(as_uuid=False), "json": sa.JSON(),
    }  # fmt: skip
    return made[kind]() if kind in made else simple[kind]


def _metadata(source: sqlite3.Connection) -> sa.MetaData:
    metadata = sa.MetaData()
    for name in sqlite_tables(source):
        unique, plain = _indexes(source, name)
        references = _references(source, name)
        indexed = {column for columns in (*unique, *plain, *(r[0] for r in references)) for column in columns}
        table = sa.Table(name, metadata)
        info = _info(source, name)
        key_columns = [row for row in info if row[5]]
        for _, column, declared, not_null, _default, key_position in info:
            counted = len(key_columns) == 1 and key_position and kind_of(declared) == "integer"
            table.append_column(sa.Column(
                column, _column_type(declared, bool(key_position) or column in indexed),
                primary_key=bool(key_position), nullable=not not_null and not key_position,
                autoincrement=bool(counted and column not in {c for r in references for c in r[0]}),
            ))  # fmt: skip
        for number, columns in enumerate(unique):
            table.append_constraint(sa.UniqueConstraint(*columns, name=f"uq_{name}_{number}"))
        for number, columns in enumerate(plain):
            sa.Index(f"ix_{name}_{number}", *(table.c[column] for column in columns))
        for number, (columns, parent, parent_columns) in enumerate(references):
            table.append_constraint(sa.ForeignKeyConstraint(
                columns, [f"{parent}.{column}" for column in parent_columns], name=f"fk_{name}_{number}",
                use_alter=True,
            ))  # fmt: skip
    return metadata


def _indexes(source: sqlite3.Connection, table: str) -> tuple[list[list[str]], list[list[str]]]:
    """Return the columns of each unique constraint and of each plain index, partial and expression ones left out."""
    unique, plain = [], []
    for _, name, is_unique, origin, partial in source.execute(f"PRAGMA index_list({_quoted(table)})").fetchall():
        columns = [row[2] for row in source.execute(f"PRAGMA index_info({_quoted(name)})")]
        if origin == "pk" or partial or None in columns:
            continue
        (unique if is_unique else plain).append(columns)
    return unique, plain


def _references(source: sqlite3.Connection, table: str) -> list[tuple[list[str], str, list[str]]]:
    grouped: dict[int, tuple[list[str], str, list[str]]] = {}
    for number, _, parent, child_column, parent_column, *_rest in source.execute(
        f"PRAGMA foreign_key_list({_quoted(table)})"
    ).fetchall():
        columns, _, parent_columns = grouped.setdefault(number, ([], parent, []))
        if parent_column is None:
            keys = sorted((row[5], row[1]) for row in _info(source, parent) if row[5])
            parent_column = keys[len(columns)][1]
        columns.append(child_column)
        parent_columns.append(parent_column)
    return [grouped[number] for number in sorted(grouped)]


# --- rows -------------------------------------------------------------------------------------------------------------

_FROM_SQLITE: dict[str, Callable[[Any], Any]] = {
    "timestamp": dt.datetime.fromisoformat, "timestamptz": dt.datetime.fromisoformat, "boolean": bool,
    "date": lambda value: dt.datetime.fromisoformat(value).date(), "time": dt.time.fromisoformat,
    "decimal": lambda value: Decimal(repr(value)) if isinstance(value, float) else Decimal(value),
    "float": float,
}  # fmt: skip


def _copy_rows(source: sqlite3.Connection, target: sa.Connection, table: sa.Table) -> None:
    info = _info(source, table.name)
    names = [row[1] for row in info]
    convert = [_FROM_SQLITE.get(kind_of(row[2])) for row in info]
    cursor = source.execute(f"SELECT {', '.join(map(_quoted, names))} FROM {_quoted(table.name)}")
    while batch := cursor.fetchmany(2000):
        target.execute(sa.insert(table), [
            {name: value if value is None or function is None else function(value)
             for name, function, value in zip(names, convert, row, strict=True)}
            for row in batch
        ])  # fmt: skip


def _advance_sequences(target: sa.Connection, metadata: sa.MetaData) -> None:
    for table in metadata.tables.values():
        column = table.autoincrement_column
        if column is not None:
            preparer = target.dialect.identifier_preparer
            target.execute(sa.text(
                "SELECT setval(pg_get_serial_sequence(:table, :column), "
                f"coalesce(max({preparer.quote(column.name)}), 0) + 1, false) FROM {preparer.format_table(table)}"
            ), {"table": preparer.format_table(table), "column": column.name})  # fmt: skip
