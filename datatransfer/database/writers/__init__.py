"""Write access to a target, one class a dialect; `Writer` serves every other database."""

from __future__ import annotations

from datatransfer.database.writers.base import Writer
from datatransfer.database.writers.mariadb import MariaDBWriter
from datatransfer.database.writers.postgresql import PostgreSQLWriter
from datatransfer.database.writers.sqlite import SQLiteWriter
from datatransfer.database.writers.staging import STAGE_PREFIX

WRITERS: dict[str, type[Writer]] = {
    "sqlite": SQLiteWriter,
    "postgresql": PostgreSQLWriter,
    "mariadb": MariaDBWriter,
    "mysql": MariaDBWriter,
}

__all__ = ["STAGE_PREFIX", "WRITERS", "Writer"]
