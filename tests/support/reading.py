"""Reading whole tables with the bare drivers, for the independent digest.

Nothing of `datatransfer` is used here, nor its way of reading: sqlite3, psycopg and PyMySQL only. Tables whose names
start with ``datatransfer_`` are the library's own book-keeping and left out; so are views, SQLite's virtual tables with
their shadows, and partitions (their rows are read through the partitioned table).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import URL, make_url

OWN_PREFIX = "datatransfer_"


@dataclass(frozen=True)
class TableRows:
    """One table: its name (``"schema.name"`` outside the default schema), columns with declared types, and rows."""

    name: str
    columns: Mapping[str, str]
    rows: Iterator[tuple[Any, ...]]


def read_database(url: str | URL, *, exact: bool) -> Iterator[TableRows]:
    """Yield every table of a database.

    Parameters
    ----------
    url : str or URL
    exact : bool
        True: each value as (storage class or type, canonical bytes), for databases of one dialect. False: as the
        driver's Python values, for comparison across dialects.
    """
    parsed = make_url(url)
    readers = {"sqlite": _read_sqlite, "postgresql": _read_postgresql, "mysql": _read_mariadb, "mariadb": _read_mariadb}
    return readers[parsed.get_backend_name()](parsed, exact)


# --- SQLite -----------------------------------------------------------------------------------------------------------


def sqlite_path(url: str | URL) -> str:
    """Return the file of a SQLite URL."""
    database = make_url(url).database
    assert database, "the independent digest needs a file"
    assert database != ":memory:", "the independent digest needs a file"
    return database


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def sqlite_tables(connection: sqlite3.Connection) -> list[str]:
    """Return the names of the ordinary tables, without the library's own."""
    listed = connection.execute("PRAGMA main.table_list").fetchall()
    names = [row[1] for row in listed if row[2] == "table"]
    return sorted(name for name in names if not name.startswith((OWN_PREFIX, "sqlite_")))


def _read_sqlite(url: URL, exact: bool) -> Iterator[TableRows]:
    with closing(sqlite3.connect(f"file:{sqlite_path(url)}?mode=ro", uri=True)) as connection:
        for table in sqlite_tables(connection):
            # hidden: 0 ordinary, 2 and 3 generated; 1 belongs to virtual tables
            info = connection.execute(f"PRAGMA table_xinfo({_quoted(table)})").fetchall()
            columns = {row[1]: row[2] for row in info if row[6] != 1}
            yield TableRows(table, columns, _sqlite_rows(connection, table, list(columns), exact))


def _sqlite_rows(connection: sqlite3.Connection, table: str, columns: list[str], exact: bool) -> Iterator[Any]:
    names = [f"t.{_quoted(column)}" for column in columns]
    if not exact:
        yield from connection.execute(f"SELECT {', '.join(names)} FROM {_quoted(table)} AS t")
        return
    # Text as bytes, so that text which is not UTF-8 is compared too.
    pairs = ", ".join(f"typeof({name}), CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) "
                      f"ELSE {name} END" for name in names)  # fmt: skip
    for row in connection.execute(f"SELECT {pairs} FROM {_quoted(table)} AS t"):
        yield tuple(zip(row[0::2], row[1::2], strict=True))


# --- PostgreSQL -------------------------------------------------------------------------------------------------------

_PG_COLUMNS = """
SELECT n.nspname, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), c.relkind
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
  AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'
ORDER BY n.nspname, c.relname, a.attnum
"""


def driver_dsn(url: str | URL) -> str:
    """Return the connection string for psycopg of a SQLAlchemy URL."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _read_postgresql(url: URL, exact: bool) -> Iterator[TableRows]:
    import psycopg
    from psycopg.types.string import TextLoader

    with psycopg.connect(driver_dsn(url)) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        for name in ("json", "jsonb"):  # as text: the driver would make None of the document null, as of NULL
            connection.adapters.register_loader(name, TextLoader)
        for setting in ("timezone = 'UTC'", "datestyle = 'ISO, YMD'", "intervalstyle = 'postgres'",
                        "bytea_output = 'hex'", "extra_float_digits = 1", "lc_monetary = 'C'"):  # fmt: skip
            connection.execute(f"SET LOCAL {setting}")
        default = connection.execute("SELECT current_schema()").fetchone()[0]  # type: ignore[index]
        tables: dict[tuple[str, str, str], dict[str, str]] = {}
        for schema, table, column, kind, relkind in connection.execute(_PG_COLUMNS).fetchall():
            columns = tables.setdefault((schema, table, relkind), {})
            if column is not None:
                columns[column] = kind
        for (schema, table, relkind), columns in tables.items():
            if table.startswith(OWN_PREFIX):
                continue
            only = "" if relkind == "p" else "ONLY "
            source = f"{only}{_quoted(schema)}.{_quoted(table)}"
            name = table if schema == default else f"{schema}.{table}"
            yield TableRows(name, columns, _postgresql_rows(connection, source, columns, exact))


def _postgresql_rows(connection: Any, source: str, columns: Mapping[str, str], exact: bool) -> Iterator[Any]:
    names = [f"t.{_quoted(column)}" + ("::text" if exact else "") for column in columns]
    types = list(columns.values())
    for row in connection.execute(f"SELECT {', '.join(names)} FROM {source} AS t"):
        yield tuple(zip(types, row, strict=True)) if exact else row


# --- MariaDB ----------------------------------------------------------------------------------------------------------

_BINARY = {"binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob", "bit"}
_TEXT = {"char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"}


def mariadb_connection(url: str | URL, **options: Any) -> Any:
    """Return a PyMySQL connection to a SQLAlchemy URL."""
    import pymysql

    parsed = make_url(url)
    return pymysql.connect(
        host=parsed.host or "127.0.0.1", port=parsed.port or 3306, user=parsed.username, password=parsed.password or "",
        database=parsed.database, unix_socket=parsed.query.get("unix_socket"), charset="utf8mb4", **options,
    )  # fmt: skip


def mariadb_tables(cursor: Any) -> list[str]:
    """Return the names of the base tables, without the library's own."""
    cursor.execute(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() "
        "AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') ORDER BY table_name"
    )
    return sorted(row[0] for row in cursor.fetchall() if not row[0].startswith(OWN_PREFIX))


def _read_mariadb(url: URL, exact: bool) -> Iterator[TableRows]:
    with mariadb_connection(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET time_zone = '+00:00'")
        cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
        for table in mariadb_tables(cursor):
            cursor.execute(
                "SELECT column_name, data_type, column_type FROM information_schema.columns "
                "WHERE table_schema = DATABASE() AND table_name = %s ORDER BY ordinal_position",
                (table,),
            )
            info = cursor.fetchall()
            columns = {row[0]: row[2] for row in info}
            rows = _mariadb_rows(connection, table, [(row[0], row[1].lower()) for row in info], exact)
            yield TableRows(table, columns, rows)


def _mariadb_expression(column: str, kind: str) -> str:
    name = "t.`" + column.replace("`", "``") + "`"
    if kind in _BINARY:
        return f"HEX({name})"
    if kind in _TEXT:
        return f"HEX(CONVERT({name} USING utf8mb4))"
    if kind == "float":  # as text a FLOAT has six digits only; as a DOUBLE all that it holds
        return f"CAST(CAST({name} AS DOUBLE) AS CHAR)"
    return f"CAST({name} AS CHAR)"


def _mariadb_rows(connection: Any, table: str, columns: list[tuple[str, str]], exact: bool) -> Iterator[Any]:
    from pymysql.cursors import SSCursor

    plain = ["t.`" + name.replace("`", "``") + "`" for name, _ in columns]
    selected = [_mariadb_expression(*column) for column in columns] if exact else plain
    types = [kind for _, kind in columns]
    source = "`" + table.replace("`", "``") + "`"
    with connection.cursor(SSCursor) as cursor:
        cursor.execute(f"SELECT {', '.join(selected)} FROM {source} AS t")
        for row in cursor:
            yield tuple(zip(types, row, strict=True)) if exact else row
