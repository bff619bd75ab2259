"""A target that is lost while the import form runs, and that cannot be asked either: the way on is still offered."""

from __future__ import annotations

from pathlib import Path

import ipywidgets as w
import sqlalchemy as sa

import datatransfer as dt
from tests.support.copies import empty_copy
from tests.support.forms import is_shown, named, package_of, ready_to_import, shop, walk
from tests.support.servers import Databases
from tests.support.sql import asked


def _admit(databases: Databases, url: str, *, let: bool) -> None:
    """Let nobody into a database any more, and end who is there; or let everybody in again."""
    name = sa.engine.make_url(url).database
    engine = sa.create_engine(str(databases.server("postgresql").url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {'true' if let else 'false'}")
        if not let:
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = "
            connection.exec_driver_sql(f"{ended}'{name}'")
    engine.dispose()


def _offered(form: dt.ImportForm) -> list[str]:
    shown = [each for each in walk(form.error) if isinstance(each, w.Button) and is_shown(each)]
    return [each.description for each in shown if each.description in ("Resume", "Roll back", "Plan again")]


def test_a_run_on_a_lost_database_offers_to_go_on_and_does(databases: Databases, tmp_path: Path) -> None:
    source = shop(databases, "postgresql")
    package = package_of(source, tmp_path / "all.zip")
    url = empty_copy(source, databases)
    with dt.Database(url) as target:
        form = ready_to_import(target, package)
        _admit(databases, url, let=False)
        form.next.click()
        form.wait()
        assert form.wizard.step == "run"
        assert _offered(form) == ["Resume", "Roll back"]
        named(form.error, "Resume").click()  # it is still lost: the box says so, and stays
        form.wait()
        assert _offered(form) == ["Resume", "Roll back"]
        _admit(databases, url, let=True)
        named(form.error, "Resume").click()
        form.wait()
        assert form.wizard.step == "receipt"
        form.wizard.close()
    assert asked(url, "SELECT count(*) FROM users") != [(0,)]
