"""A password never leaves the address it stands in: not in outputs, errors, files, packages, receipts or stages."""

from __future__ import annotations

import io
import logging
import os
import secrets
import traceback
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

import datatransfer as dt
from datatransfer.cli import main
from tests.support.children import KILLED, Call
from tests.support.digest import exact_digest
from tests.support.servers import Databases
from tests.support.shop import make_shop

CANARY = f"S3CR3T-{uuid.uuid4()}"


@pytest.fixture
def user(databases: Databases) -> Iterator[tuple[str, str]]:
    """Yield the name of a PostgreSQL superuser whose password is the canary, and a database with rows."""
    url, name = databases.create("postgresql"), f"dt_user_{os.getpid()}_{secrets.token_hex(3)}"
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE ROLE {name} SUPERUSER LOGIN PASSWORD '{CANARY}'")
    make_shop(url, "s", 3)
    yield name, url
    databases.drop_all()  # with what belongs to the user
    databases.server("postgresql").run(f"DROP ROLE {name}")


def _addresses(url: str, name: str) -> list[str]:
    """Return the address with the password before the host, in the query, and as a password of something else."""
    bare = sa.make_url(url).set(username=name, password=None)
    head = bare.set(password=CANARY).render_as_string(hide_password=False)
    query = bare.set(username=None).update_query_dict({"user": name, "password": CANARY})
    other = bare.set(password=CANARY).update_query_dict({"sslpassword": CANARY})
    return [head, *(address.render_as_string(hide_password=False) for address in (query, other))]


def _told(url: str) -> str:
    """Return everything that stands in a database, as text."""
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        names = sa.inspect(connection).get_table_names()
        rows = [connection.exec_driver_sql(f'SELECT t::text FROM "{name}" t').scalars().all() for name in names]
    return "\n".join(row for table in rows for row in table)


def _hidden(text: str | bytes) -> None:
    data = text.encode() if isinstance(text, str) else text
    for form in (CANARY.encode(), CANARY.encode().hex().encode()):
        assert form not in data, data[max(0, data.find(form) - 200) : data.find(form)]


@pytest.mark.parametrize("place", [0, 1, 2], ids=["userinfo", "query", "sslpassword"])
def test_a_password_stands_nowhere_after_export_import_undo_and_failing_runs(
    databases: Databases, tmp_path: Path, user: tuple[str, str], capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, place: int,
) -> None:  # fmt: skip
    name, source = user
    target, heard = databases.create("postgresql"), io.StringIO()
    make_shop(target, "own", 2)
    handler = logging.StreamHandler(heard)
    logging.getLogger().addHandler(handler)
    _hidden(_told(source))
    here, there = _addresses(source, name)[place], _addresses(target, name)[place]
    package, nowhere = str(tmp_path / "all.zip"), there.replace(str(sa.make_url(target).database), "nowhere")
    monkeypatch.setenv("DT_TEST_URL", there)
    runs = [
        (0, ["tables", here]), (0, ["export", here, package, "--all"]), (5, ["export", here, package, "--all"]),
        (2, ["export", here, f"{package}2.zip", "--root", "nothing"]), (3, ["tables", nowhere]),
        (0, ["check", package, there]), (0, ["plan", package, there]), (0, ["import", package, "env:DT_TEST_URL"]),
        (0, ["import", package, there, "--json"]), (0, ["receipts", there]), (0, ["stages", there, "--json"]),
        (3, ["import", package, nowhere, "--json"]), (5, ["import", f"{package}3", there]),
        (2, ["undo", there, str(uuid.uuid4())]), (2, ["resume", package, there, str(uuid.uuid4())]),
        (2, ["stages", there, "--drop", str(uuid.uuid4())]), (2, ["import", package, there, "--match-on", there]),
        (2, ["track", there, "nothing"]), (2, ["tables", there, there]),
    ]  # fmt: skip
    for code, arguments in runs:
        try:
            ended = main(arguments)
        except SystemExit as error:
            ended = int(str(error.code))
        out, err = capfd.readouterr()
        _hidden(out + err)
        assert bool(ended) == bool(code), (code, ended, arguments[0], err)
        assert ended == code or code == 2, (code, ended, arguments[0], err)
    with dt.Database(there) as db:
        (import_id,) = dt.receipts(db)["import_id"]
    assert main(["undo", there, import_id]) == 0
    call = Call("import", package, there, environment={"DATATRANSFER_FAILPOINT": "merge.begin:1"})
    assert call.run() == KILLED
    _hidden(_told(target))  # with its stage
    assert main(["resume", package, there]) == 0
    logging.getLogger().removeHandler(handler)
    out, err = capfd.readouterr()
    for text in (out, err, heard.getvalue(), _told(source), _told(target)):
        _hidden(text)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            _hidden(path.read_bytes())
    assert exact_digest(target).tables["orders"].rows == 5


def test_a_password_stands_in_no_repr_and_no_traceback(
    databases: Databases, tmp_path: Path, user: tuple[str, str]
) -> None:
    name, source = user
    for address in _addresses(source, name):
        with dt.Database(address) as db:
            package = dt.PackageBuilder(db).add_all().build(tmp_path / f"{uuid.uuid4()}.zip", progress=False)
            plan = dt.PackageImporter(package, db).plan()
            for shown in (db, db.schema, package, plan, plan.policies, dt.PackageBuilder(db)):
                _hidden(repr(shown) + getattr(shown, "_repr_html_", str)())
            plan.discard()
            with pytest.raises(dt.DataTransferError) as caught:
                dt.PackageBuilder(db).add("orders", where="no such thing").build(tmp_path / "no.zip", progress=False)
            _hidden("".join(traceback.format_exception(caught.value)))
            _hidden(str(caught.value.to_dict()))
