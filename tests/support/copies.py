"""The same schema without its rows, on each dialect, made without the library."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from tests.support.reading import driver_dsn, mariadb_connection, mariadb_tables, sqlite_path

if TYPE_CHECKING:
    from tests.support.servers import Databases


def empty_copy(url: str, databases: Databases) -> str:
    """Make a database with the tables, keys, indexes, triggers and views of another, and no rows.

    On PostgreSQL nobody else may be connected to the source at that moment.
    """
    backend = make_url(url).get_backend_name()
    if backend == "sqlite":
        target = databases.create("sqlite")
        _copy_sqlite(sqlite_path(url), sqlite_path(target))
        return target
    if backend == "postgresql":
        target = databases.create("postgresql", template=url)
        _truncate_postgresql(target)
        return target
    target = databases.create("mariadb")
    _copy_mariadb(url, target)
    return target


def full_copy(url: str, databases: Databases) -> str:
    """Make a copy of a database with its rows; nobody else may be connected to it at that moment."""
    backend = make_url(url).get_backend_name()
    if backend != "mysql":
        return databases.create(backend, template=url)
    target, source = databases.create("mariadb"), make_url(url).database
    with mariadb_connection(url) as left, mariadb_connection(target) as right:
        reading, writing = left.cursor(), right.cursor()
        writing.execute("SET foreign_key_checks = 0, unique_checks = 0")
        reading.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND "
                        "table_type = 'BASE TABLE'")  # fmt: skip
        for (table,) in reading.fetchall():
            reading.execute(f"SHOW CREATE TABLE `{table}`")
            writing.execute(reading.fetchone()[1])
            writing.execute(f"INSERT INTO `{table}` SELECT * FROM `{source}`.`{table}`")
        right.commit()
    return target


def _copy_sqlite(source: str, target: str) -> None:
    with closing(sqlite3.connect(f"file:{source}?mode=ro", uri=True)) as connection:
        kinds = {row[1]: row[2] for row in connection.execute("PRAGMA main.table_list")}
        listed = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "AND name NOT LIKE 'datatransfer\\_%' ESCAPE '\\' "
            "ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, rowid"
        ).fetchall()
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
    with closing(sqlite3.connect(target)) as copy:
        copy.execute(f"PRAGMA journal_mode={mode}")
        for name, statement in listed:
            if kinds.get(name) != "shadow":  # made by their virtual table
                copy.execute(statement)
        copy.commit()


def _truncate_postgresql(url: str) -> None:
    import psycopg

    with psycopg.connect(driver_dsn(url)) as connection:
        names = connection.execute(
            "SELECT format('%I.%I', n.nspname, c.relname) "
            "FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition "
            "AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\\_t%'"
        ).fetchall()
        if names:
            connection.execute(f"TRUNCATE {', '.join(row[0] for row in names)} RESTART IDENTITY CASCADE".encode())


def _copy_mariadb(source: str, target: str) -> None:
    with mariadb_connection(source) as left, mariadb_connection(target) as right:
        reading, writing = left.cursor(), right.cursor()
        writing.execute("SET foreign_key_checks = 0")
        for table in mariadb_tables(reading):
            reading.execute(f"SHOW CREATE TABLE `{table.replace('`', '``')}`")
            statement = reading.fetchone()[1]
            writing.execute(re.sub(r" AUTO_INCREMENT=\d+", "", statement))
        reading.execute("SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = DATABASE()")
        for (trigger,) in reading.fetchall():
            reading.execute(f"SHOW CREATE TRIGGER `{trigger}`")
            writing.execute(reading.fetchone()[2])
