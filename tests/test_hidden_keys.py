"""Keys whose columns look like secrets: what explains a row does not show them."""

from __future__ import annotations

from pathlib import Path

import datatransfer as dt
from tests.support.servers import Databases
from tests.support.sql import run
from tests.support.transfer import export_all

TABLES = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY)",
    """CREATE TABLE sessions (access_token VARCHAR(40) PRIMARY KEY, user_id INTEGER, place VARCHAR(9),
    FOREIGN KEY (user_id) REFERENCES users (id))""",
    """CREATE TABLE clicks (id INTEGER PRIMARY KEY, session VARCHAR(40),
    FOREIGN KEY (session) REFERENCES sessions (access_token))""",
)
ROWS = (
    "INSERT INTO users VALUES (1)",
    "INSERT INTO sessions VALUES ('abcdef1', 1, 'x'), ('abcdef2', 1, 'y')",
    "INSERT INTO clicks VALUES (7, 'abcdef1'), (8, 'abcdef2')",
)


def shown(result: object) -> str:
    bundle = result._repr_mimebundle_()  # type: ignore[attr-defined]
    return " ".join([repr(result), *bundle.values()])


def test_why_a_row_is_selected_or_in_a_package_is_told_without_a_secret(databases: Databases, tmp_path: Path) -> None:
    url = databases.create("sqlite")
    run(url, *TABLES, *ROWS)
    with dt.Database(url) as db:
        builder = dt.PackageBuilder(db).add("users")
        told = builder.preview().why("clicks", 7)
        assert [step.key for step in told] == [(7,), ("(hidden)",), (1,)]
        assert "abcdef" not in shown(told)
        with builder.build(tmp_path / "p.zip", progress=False) as package:
            chain = package.why("sessions", "abcdef2")
            assert repr(chain).startswith("sessions (hidden): refers by sessions.user_id")
            assert "abcdef" not in shown(chain)
            around = package.graph.around("sessions", "abcdef1", depth=2)
            assert {"sessions row 1", "sessions row 2"} <= {node.name for node in around.nodes}
            assert "abcdef" not in shown(around)


def test_an_undo_that_is_looked_at_has_secret_keys_in_its_frame_only(databases: Databases, tmp_path: Path) -> None:
    source, target = databases.create("sqlite"), databases.create("sqlite")
    run(source, *TABLES, *ROWS)
    run(target, *TABLES)
    with dt.Database(target) as db, export_all(source, tmp_path / "p.zip") as package:
        receipt = dt.PackageImporter(package, db).run()
        run(target, "UPDATE sessions SET place = 'z' WHERE place = 'y'")
        report = receipt.check_undo()
    assert list(report.to_frame()["key"]) == ["abcdef2", 1]
    assert "<td>(hidden)</td><td>edited</td>" in report._repr_html_()
    assert "abcdef" not in report._repr_html_() + repr(report) + str(report)
