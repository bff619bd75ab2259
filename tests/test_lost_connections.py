"""Connections that end, and a COMMIT that is lost on the way: an error that resuming gets past."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import make_url

import datatransfer as dt
from datatransfer.sample import create_sample
from tests.support.children import Call, waiting
from tests.support.copies import full_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.faults import Proxy
from tests.support.scenes import contents, leftovers
from tests.support.servers import Databases, absent
from tests.support.transfer import SAMPLE_FILES, SERVERS, export_all


def _cut(url: str) -> int:
    """End every other session in a database, and return how many there were."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            ended = connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).all()
            return len(ended)
        found = connection.exec_driver_sql(
            "SELECT id FROM information_schema.processlist WHERE db = DATABASE() AND id <> CONNECTION_ID()"
        ).scalars().all()  # fmt: skip
        for number in found:
            connection.exec_driver_sql(f"KILL {int(number)}")
        return len(found)


def _database(call: Call) -> dt.Database:
    return dt.Database(call.url, files={SAMPLE_FILES: dt.FolderStore(call.files)})


@contextmanager
def _into(databases: Databases, tmp_path: Path, dialect: str) -> Iterator[Call]:
    """Yield the call of an import; afterwards its database must be as after an undisturbed one."""
    source, target = databases.create("sqlite"), databases.create(dialect)
    create_sample(source, tmp_path / "source", seed=1, size=4).close()
    create_sample(target, tmp_path / "files", seed=2, size=4).close()
    package = export_all(source, tmp_path / "all.zip", files={SAMPLE_FILES: dt.FolderStore(tmp_path / "source")})
    alone, files = full_copy(target, databases), tmp_path / "files of the other"
    shutil.copytree(tmp_path / "files", files)
    options = {"on_clash": "reuse"}
    call = Call("import", str(package.path), alone, str(files), options, said=str(tmp_path / "said"))
    call.check()
    yield Call(**{**vars(call), "url": target, "files": str(tmp_path / "files")})
    assert_equal(exact_digest(alone), exact_digest(target))
    assert contents(tmp_path / "files") == contents(files)
    with dt.Database(target) as db:
        assert list(dt.receipts(db)["state"]) == ["merged"]
    assert leftovers(target) == []


@pytest.mark.parametrize("dialect", SERVERS)
@pytest.mark.parametrize(
    "place", ["stage.batch:1", "stage.before_commit:2", "plan.table:1", "merge.table:1", "merge.before_commit:1"]
)
def test_a_connection_that_is_cut_is_an_error_that_resuming_gets_past(
    databases: Databases, tmp_path: Path, dialect: str, place: str
) -> None:
    with _into(databases, tmp_path, dialect) as call:
        before, files = exact_digest(call.url), contents(Path(call.files))
        with waiting(call, place, tmp_path / "wait", fails=True):
            assert _cut(call.url) > 0
        assert "\ndatatransfer.errors.DatabaseError" in Path(call.said).read_text()
        assert_equal(before, exact_digest(call.url))
        assert contents(Path(call.files)) == files
        with _database(call) as db:
            assert list(dt.stages(db)["state"]) == ["left"]
            dt.PackageImporter(dt.DataPackage.open(call.package), db).resume()


@pytest.mark.parametrize("dialect", SERVERS)
@pytest.mark.parametrize("delivered", [True, False], ids=["the answer", "the request"])
def test_a_commit_that_is_lost_on_the_way_is_settled(
    databases: Databases, tmp_path: Path, dialect: str, delivered: bool
) -> None:
    with _into(databases, tmp_path, dialect) as call:
        parsed, files = make_url(call.url), contents(Path(call.files))
        if not parsed.host:
            absent(dialect, "it listens on a socket of files, through which no proxy goes")
        with Proxy(str(parsed.host), int(parsed.port or 0), deliver=delivered) as proxy:
            through = parsed.set(port=proxy.port).render_as_string(hide_password=False)
            told = Call(**{**vars(call), "verb": "tell", "url": through})
            with waiting(told, "merge.before_commit:1", tmp_path / "wait"):
                proxy.armed.set()
            assert proxy.struck.is_set()
        ((code, retryable, _),) = json.loads(Path(call.said).read_text())
        assert (code, retryable) == (("merged", False) if delivered else ("database", True))
        if not delivered:
            assert contents(Path(call.files)) == files
            with _database(call) as db:
                dt.PackageImporter(dt.DataPackage.open(call.package), db).resume()


@pytest.mark.parametrize("dialect", SERVERS)
def test_a_server_that_cannot_be_reached_is_told_once(databases: Databases, dialect: str) -> None:
    url = make_url(databases.create(dialect)).set(host="127.0.0.1", port=_free_port(), query={})
    with pytest.raises(dt.DatabaseError) as caught:
        _ = dt.Database(url).schema
    said = caught.value.message
    assert "onnection refused (server " in said
    assert (said.count("fail"), said.count("onnect")) == (1, 2), said  # connecting failed: Connection refused


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
