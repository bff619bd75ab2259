"""Rows hashed by MariaDB, and those without a key taken out by their hashes: rows have no id here."""

from __future__ import annotations

from collections.abc import Sequence

from datatransfer.database.writers.hashes import RowHashes
from datatransfer.database.writers.staging import StagingTables
from datatransfer.schema.tables import Column, Table


class MariaDBHashes(StagingTables, RowHashes):
    """The part of the MariaDB writer that hashes rows."""

    def row_hash(self, alias: str, columns: Sequence[Column]) -> str:
        parts = []
        for column in columns:
            name = f"{alias}.{self.quote(column.name)}"
            exact = f"CAST({name} AS DOUBLE)" if column.type.kind == "float" else name  # a FLOAT is shown rounded
            text = f"CAST({exact} AS BINARY)"
            parts.append(f"IFNULL(CONCAT(OCTET_LENGTH({text}), ':', {text}), '-')")
        return f"CAST(CONV(LEFT(MD5(CONCAT('', {', '.join(parts)})), 16), 16, -10) AS SIGNED)"

    def prepare_copies(self, table: Table, number: int) -> None:
        kept = ", ".join(f"t.{self.quote(column.name)}" for column in table.columns if not column.generated)
        self.create_as("k", number, f"SELECT {kept}, 0 AS dt_c, 0 AS dt_h FROM {self.table(table)} t WHERE FALSE")
        name = self.stage_name("k", number)
        self.run(f"ALTER TABLE {name} MODIFY dt_c BIGINT, MODIFY dt_h BIGINT")

    def delete_copies(self, table: Table, columns: Sequence[Column], source: str, number: int) -> int:
        # All of a hash are taken out, and those too many put back.
        name, held = self.table(table), self.stage_name("k", number)
        plain = [column for column in table.columns if not column.generated]
        names = ", ".join(self.quote(column.name) for column in plain)
        kept = ", ".join(f"t.{self.quote(column.name)}" for column in plain)
        mine = self.row_hash("t", columns)
        self.run(
            f"INSERT INTO {held} ({names}, dt_c, dt_h) SELECT {kept}, row_number() OVER (PARTITION BY {mine}), {mine} "
            f"FROM {name} t JOIN ({source}) x ON x.h = {mine}"
        )
        gone = int(self.run(f"DELETE t FROM {name} t JOIN ({source}) x ON x.h = {mine}").rowcount)
        back = self.run(
            f"INSERT INTO {name} ({names}) SELECT {kept} FROM {held} t JOIN ({source}) x ON x.h = t.dt_h "
            "WHERE t.dt_c > x.n"
        )
        return gone - int(back.rowcount)
