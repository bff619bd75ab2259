"""What the role of a connection may not do in a target, asked before any row moves; and the statement that cures it.

Privileges are asked of the catalogue (PostgreSQL), of the server's own check of a statement that is only explained
(MariaDB), of the file system (SQLite). Other databases are not asked: there the statement itself tells.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from datatransfer.database import models
from datatransfer.errors import PrivilegeError

if TYPE_CHECKING:
    from datatransfer.database.writers.base import Writer
    from datatransfer.schema.tables import Table

_OURS = tuple(models.METADATA.tables)
_STAGE_RIGHTS = ("CREATE", "DROP", "ALTER", "INDEX", "SELECT", "INSERT", "UPDATE", "DELETE")


@dataclass(frozen=True)
class Lack:
    """One privilege that is missing.

    Parameters
    ----------
    where : str
        The table, schema, file or folder.
    privilege : str
    cure : str
        What gives it.
    """

    where: str
    privilege: str
    cure: str

    @property
    def message(self) -> str:
        """What is missing, in words."""
        return f"the role lacks {self.privilege}"


def refuse(lacks: Iterable[Lack]) -> None:
    """Raise one error that names everything that is missing, if anything is.

    Raises
    ------
    PrivilegeError
    """
    found = list(dict.fromkeys(lacks))
    if not found:
        return
    parts = [f"{lack.privilege} on {lack.where}" for lack in found]
    message = found[0].message if len(found) == 1 else f"the role lacks {', '.join(parts)}"
    raise PrivilegeError(
        message,
        where=", ".join(dict.fromkeys(lack.where for lack in found)),
        hint=f"nothing was changed; {'; '.join(dict.fromkeys(lack.cure for lack in found))}",
        evidence={"lacking": [vars(lack) for lack in found]},
    )


class Rights:
    """What is missing; here, where nothing is known, nothing is.

    Parameters
    ----------
    writer : Writer
    """

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    def to_stage(self) -> list[Lack]:
        """Return what is missing to stage rows and to record an import."""
        return []

    def on_table(self, table: Table, privilege: str) -> list[Lack]:
        """Return what is missing on a target table.

        Parameters
        ----------
        privilege : {"SELECT", "INSERT", "UPDATE", "DELETE"}
        """
        return []


class SQLiteRights(Rights):
    """The file must be writable, and its folder, for the journal and the stage."""

    def to_stage(self) -> list[Lack]:
        url = self.writer.db.engine.url
        if url.query.get("mode") == "ro":
            return [Lack(str(url.database), "writing", "open it without mode=ro")]
        if not url.database or url.database.startswith((":memory:", "file:")):
            return []
        file = Path(url.database)
        return [_unwritable(path) for path in (file, file.absolute().parent) if not _may_write(path)]


def _may_write(path: Path) -> bool:
    return os.access(path, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _unwritable(path: Path) -> Lack:
    return Lack(str(path), "writing", f"make the {'folder' if path.is_dir() else 'file'} writable for this user")


class PostgreSQLRights(Rights):
    """Asks ``has_…_privilege``, and whether a policy would hide rows."""

    def to_stage(self) -> list[Lack]:
        w = self.writer
        schema = w.db.dialect.default_schema or str(w.scalar("SELECT current_schema()"))
        text = schema.replace("'", "''")
        found = [
            Lack(f"schema {schema}", right, f"GRANT {right} ON SCHEMA {w.quote(schema)} TO {self._role()}")
            for right in ("USAGE", "CREATE")
            if not w.scalar(f"SELECT has_schema_privilege('{text}', '{right}')")
        ]
        names = ", ".join(f"'{name}'" for name in _OURS)
        ours = w.run(
            "SELECT n.nspname, c.relname, p.p FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
            "CROSS JOIN (VALUES ('SELECT'), ('INSERT'), ('UPDATE')) p(p) WHERE n.nspname = current_schema() "
            f"AND c.relname IN ({names}) AND c.relkind = 'r' AND NOT has_table_privilege(c.oid, p.p) ORDER BY 2, 3"
        ).all()
        return found + [self._lack(name, right, f"{w.quote(space)}.{w.quote(name)}") for space, name, right in ours]

    def on_table(self, table: Table, privilege: str) -> list[Lack]:
        w = self.writer
        sql_name = w.table(table)
        text = sql_name.replace("'", "''")
        has = f"has_table_privilege('{text}', '{privilege}')"
        if privilege != "DELETE":  # the others are given for single columns, too
            has += f" OR has_any_column_privilege('{text}', '{privilege}')"
        found = [] if w.scalar(f"SELECT {has}") else [self._lack(table.name, privilege, sql_name)]
        if privilege == "SELECT" and w.scalar(f"SELECT row_security_active('{text}')"):
            cure = f"use a role that sees all rows: ALTER ROLE {self._role()} BYPASSRLS"
            found.append(Lack(table.name, "the sight of all rows, because row level security hides some", cure))
        return found + (self._sequences(table) if privilege == "INSERT" else [])

    def _sequences(self, table: Table) -> list[Lack]:
        """Return what is missing to move counters on behind the rows that are inserted."""
        w = self.writer
        found = []
        for column in table.columns:
            name = w.sequence_of(table, column) if column.identity else None
            text = (name or "").replace("'", "''")
            if name and not w.scalar(
                f"SELECT has_sequence_privilege('{text}', 'SELECT') AND has_sequence_privilege('{text}', 'UPDATE')"
            ):
                cure = f"GRANT SELECT, UPDATE ON SEQUENCE {name} TO {self._role()}"
                found.append(Lack(f"{table.name}.{column.name}", f"SELECT, UPDATE of the sequence {name}", cure))
        return found

    def _lack(self, where: str, privilege: str, sql_name: str) -> Lack:
        return Lack(where, privilege, f"GRANT {privilege} ON {sql_name} TO {self._role()}")

    def _role(self) -> str:
        return self.writer.quote(str(self.writer.scalar("SELECT current_user")))


class MariaDBRights(Rights):
    """Looks at what the account was granted, and has statements explained: the server checks them as if they ran."""

    def to_stage(self) -> list[Lack]:
        w = self.writer
        if w.scalar("SELECT CURRENT_ROLE()") not in (None, "NONE"):
            return []  # what a role gives is not told in these tables
        held = set(
            w.run(
                "SELECT privilege_type FROM information_schema.user_privileges UNION "
                "SELECT privilege_type FROM information_schema.schema_privileges WHERE DATABASE() LIKE table_schema"
            ).scalars()
        )
        missing = ", ".join(right for right in _STAGE_RIGHTS if right not in held)
        name = str(w.scalar("SELECT DATABASE()"))
        cure = f"GRANT {', '.join(_STAGE_RIGHTS)} ON {w.quote(name)}.* TO {self._account()}"
        return [Lack(f"database {name}", missing, cure)] if missing else []

    def on_table(self, table: Table, privilege: str) -> list[Lack]:
        w = self.writer
        name = w.table(table)
        names = [w.quote(c.name) for c in table.columns if not c.generated]
        column, columns = names[0], ", ".join(names)
        sql = {
            "SELECT": f"SELECT {column} FROM {name} WHERE FALSE",
            "INSERT": f"INSERT INTO {name} ({columns}) SELECT {columns} FROM {name} WHERE FALSE",
            "UPDATE": f"UPDATE {name} SET {column} = {column} WHERE FALSE",
            "DELETE": f"DELETE FROM {name} WHERE FALSE",
        }[privilege]
        try:
            w.run(f"EXPLAIN {sql}")
        except PrivilegeError:
            return [Lack(table.name, privilege, f"GRANT {privilege} ON {name} TO {self._account()}")]
        return []

    def _account(self) -> str:
        user, _, host = str(self.writer.scalar("SELECT CURRENT_USER()")).rpartition("@")
        return f"'{user}'@'{host}'"


_KINDS: dict[str, type[Rights]] = {
    "sqlite": SQLiteRights,
    "postgresql": PostgreSQLRights,
    "mariadb": MariaDBRights,
}


def rights_of(writer: Writer) -> Rights:
    """Return how the rights of a connection are asked."""
    return _KINDS.get(writer.name, Rights)(writer)
