"""A database to track on every dialect, and the UUIDs that its rows got."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy.pool import NullPool

from tests.support.servers import Databases


def shop_on(databases: Databases, dialect: str) -> sa.Engine:
    """Make a small database: two tables with rows, one of them with a trigger that would note an update."""
    engine = sa.create_engine(databases.create(dialect), poolclass=NullPool)
    metadata = sa.MetaData()
    users = sa.Table("users", metadata, sa.Column("id", sa.Integer, primary_key=True), sa.Column("name", sa.String(20)))
    odd = sa.Table("od d%s", metadata, sa.Column("k", sa.String(10), primary_key=True))
    sa.Table("log", metadata, sa.Column("what", sa.String(20)))
    with engine.begin() as conn:
        metadata.create_all(conn)
        conn.execute(users.insert(), [{"name": f"user {n}"} for n in range(300)])
        conn.execute(odd.insert(), [{"k": "x"}, {"k": "y"}])
        for statement in TRIGGER[dialect]:
            conn.exec_driver_sql(statement)
    return engine


TRIGGER = {
    "sqlite": ["CREATE TRIGGER noted AFTER UPDATE ON users BEGIN INSERT INTO log VALUES ('updated'); END"],
    "mariadb": ["CREATE TRIGGER noted AFTER UPDATE ON users FOR EACH ROW INSERT INTO log VALUES ('updated')"],
    "postgresql": [
        """CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN INSERT INTO log VALUES ('updated'); RETURN NEW; END $$""",
        "CREATE TRIGGER noted AFTER UPDATE ON users FOR EACH ROW EXECUTE FUNCTION note()",
    ],
}


def uuids_of(engine: sa.Engine, table: str) -> list[Any]:
    """Read the UUIDs as an application that uses `EntityMixin` does."""
    found = sa.table(table, sa.column("entity_uuid", sa.Uuid()))
    with engine.connect() as conn:
        return list(conn.execute(sa.select(found.c.entity_uuid)).scalars())


def operations(conn: sa.Connection) -> Operations:
    """Return what a migration of Alembic has as ``op``."""
    return Operations(MigrationContext.configure(conn))
