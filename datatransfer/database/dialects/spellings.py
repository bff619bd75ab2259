"""References that a database takes for their parent although they are written otherwise.

A collation that knows no case or no accents, CHAR that pads with spaces, CITEXT, NUMERIC of another scale: nobody but
the database itself can say which values those are, so it is asked, and a package carries the answer beside the foreign
key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from datatransfer.database.dialects.failures import database_errors
from datatransfer.errors import ValueLossError
from datatransfer.schema.tables import ForeignKey, Table

if TYPE_CHECKING:
    import sqlalchemy as sa

    from datatransfer.database.dialects.base import Dialect, RowSource


def spelled(
    dialect: Dialect, conn: sa.Connection, table: Table, parents: Mapping[str, Table], source: RowSource
) -> Table:
    """Return a table whose foreign keys tell how rows of a source write references otherwise than their parents do.

    Raises
    ------
    ValueLossError
        One part of a key of several columns is written in several ways by the parents.
    """
    keys = []
    for fk in table.foreign_keys:
        found: list[tuple[str, str, str]] = []
        parent = parents.get(fk.parent)
        for child, above in zip(fk.columns, fk.parent_columns, strict=True) if parent else ():
            if parent and child in table.by_name and dialect.is_loose(table.by_name[child], parent.by_name[above]):
                pairs = _pairs(dialect, conn, (fk, table, parent), (child, above), source)
                found += [(child, own, other) for own, other in sorted(pairs.items())]
        keys.append(replace(fk, spellings=tuple(found)) if found else fk)
    return replace(table, foreign_keys=tuple(keys))


def _pairs(
    dialect: Dialect, conn: sa.Connection, sides: tuple[ForeignKey, Table, Table], columns: tuple[str, str],
    source: RowSource,
) -> dict[str, str]:  # fmt: skip
    fk, table, parent = sides
    own, other = (dialect.exact_sql(f"{a}.{dialect.quote(c)}") for a, c in zip(("t", "parent"), columns, strict=True))
    on = " AND ".join(
        f"parent.{dialect.quote(p)} = t.{dialect.quote(c)}" for c, p in zip(fk.columns, fk.parent_columns, strict=True)
    )
    where = f"({source.where}) AND " if source.where else ""
    # Of a key of several columns equal ones are read too, to see whether one value is written in one way.
    differ = f"{own} <> {other}" if len(fk.columns) == 1 else "1 = 1"
    sql = (
        f"SELECT DISTINCT {own}, {other} FROM {dialect.from_sql(table)} t {source.join} "
        f"JOIN {dialect.from_sql(parent)} parent ON {on} WHERE {where}{differ}"
    )
    with database_errors(dialect.engine, "comparing references with their parents", where=table.name):
        rows = dialect.execute(conn, sql).fetchall()
    found: dict[str, str] = {}
    for row in rows:
        mine, theirs = (value.decode() if isinstance(value, bytes) else str(value) for value in row)
        if found.setdefault(mine, theirs) != theirs:
            raise ValueLossError(
                "a reference of several columns is written in several ways by its parents",
                where=f"{table.name}.{columns[0]}",
                hint="write the references as their parents are written, and export again",
            )
    return {mine: theirs for mine, theirs in found.items() if mine != theirs}
