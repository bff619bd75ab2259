"""An engine that the user hands in is the user's: what it was set to, it is afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.pool import Pool, SingletonThreadPool, StaticPool

import datatransfer as dt

SCHEMA = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT UNIQUE)",
    "CREATE TABLE posts (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id))",
)
PRAGMAS = {
    "cache_size": -777, "temp.cache_size": -555, "busy_timeout": 1234, "trusted_schema": 1, "foreign_keys": 1,
    "recursive_triggers": 1, "synchronous": 1, "read_uncommitted": 1,
}  # fmt: skip


def _settings(engine: sa.Engine) -> dict[str, Any]:
    with engine.connect() as connection:
        raw: Any = connection.connection.dbapi_connection
        found: dict[str, Any] = {name: raw.execute(f"PRAGMA {name}").fetchone()[0] for name in PRAGMAS}
        attached = [row["name"] for row in raw.execute("PRAGMA database_list") if row["name"] != "temp"]
        return found | {
            "attached": attached, "isolation": raw.isolation_level,
            "factories": (raw.text_factory, raw.row_factory), "in transaction": raw.in_transaction,
        }  # fmt: skip


@pytest.fixture(params=[StaticPool, SingletonThreadPool], ids=lambda pool: pool.__name__)
def made(request: pytest.FixtureRequest) -> Iterator[Callable[..., sa.Engine]]:
    """Make engines of databases in memory with settings of their own."""
    engines = []

    def make(pool: type[Pool], isolation: str | None, *, rows: bool) -> sa.Engine:
        engine = sa.create_engine("sqlite://", poolclass=pool, connect_args={"check_same_thread": False})
        engines.append(engine)
        with engine.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            for statement in SCHEMA:
                raw.execute(statement)
            if rows:
                raw.execute("INSERT INTO users VALUES (1, 'Ann'), (2, 'Bob')")
                raw.execute("INSERT INTO posts VALUES (1, 1), (2, 2)")
                raw.commit()
            for name, value in PRAGMAS.items():
                raw.execute(f"PRAGMA {name} = {value}")
            raw.isolation_level, raw.row_factory = isolation, sqlite3.Row
        return engine

    yield lambda isolation, **options: make(request.param, isolation, **options)
    for engine in engines:
        engine.dispose()


@pytest.mark.parametrize("isolation", ["", "IMMEDIATE", None], ids=["usual", "immediate", "autocommit"])
def test_a_database_in_memory_keeps_its_settings(
    made: Callable[..., sa.Engine], tmp_path: Path, isolation: str | None
) -> None:
    source, target = made(isolation, rows=True), made(isolation, rows=False)
    before = _settings(source), _settings(target)
    package = dt.PackageBuilder(dt.Database(source)).add_all().build(tmp_path / "package.zip", progress=False)
    assert _settings(source) == before[0]
    importer = dt.PackageImporter(package, db := dt.Database(target))
    importer.plan().discard()
    assert _settings(target) == before[1]
    receipt = importer.run()
    assert receipt.total("insert") == 4
    assert _settings(target) == before[1]
    assert package.diff(db).empty
    receipt.undo()
    with target.begin() as connection:
        connection.exec_driver_sql("INSERT INTO users VALUES (9, 'Ann')")
    with pytest.raises(dt.ConflictError):
        importer.run()
    assert _settings(target) == before[1]
