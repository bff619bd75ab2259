"""What an error suggests about conflicts of each kind settles them, by policy and one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

import datatransfer as dt
from datatransfer.cli import main
from datatransfer.importing.carrying import settlings_of
from tests.support.servers import Databases
from tests.support.sql import run
from tests.support.transfer import DIALECTS, export_all

BY_K: dict[str, Any] = {"match_on": {"t": ["k"]}}
UPDATE: dict[str, Any] = {**BY_K, "on_match": "update"}


class Scene(NamedTuple):
    """Rows ``(id, k, code)`` on both sides, the type of ``code`` in the target, and what is said of the conflict."""

    mine: str
    theirs: str
    code: str
    given: dict[str, Any]
    reason: str
    hint: str
    policies: list[dict[str, Any]]
    decisions: list[str]


LEAVE = "change these rows where they differ from what the target allows, or leave them out"
SCENES = {
    "differs": Scene(
        "(1, 'a', 'x')", "(7, 'a', 'y')", "VARCHAR(40)", {**BY_K, "on_match": "error"}, "the row differs in the target",
        'say on_match="skip" or "update"', [{"on_match": "skip"}, {"on_match": "update"}], ["update", "skip"],
    ),
    "held text": Scene(
        "(1, 'a', 'x')", "(7, 'b', 'x')", "VARCHAR(40) UNIQUE", {}, "another row holds the same code",
        'say on_clash="reuse" or on_clash="rename" or match_on=…',
        [{"on_clash": "reuse"}, {"on_clash": "rename"}, {"match_on": {"t": ["code"]}}], ["reuse", "update", "rename"],
    ),
    "held number": Scene(
        "(1, 'a', '5')", "(7, 'b', '5')", "INTEGER UNIQUE", {"on_clash": "rename"}, "another row holds the same code",
        'say on_clash="reuse" or match_on=…', [{"on_clash": "reuse"}, {"match_on": {"t": ["code"]}}],
        ["reuse", "update"],
    ),
    "held, and it would differ": Scene(
        "(1, 'a', 'x')", "(7, 'b', 'x')", "VARCHAR(40) UNIQUE", {"on_match": "error"},
        "another row holds the same code",
        'say on_clash="reuse" with on_match="skip" or "update" or on_clash="rename" or match_on=…',
        [{"on_clash": "reuse", "on_match": word} for word in ("skip", "update")] + [{"on_clash": "rename"}],
        ["reuse", "update", "rename"],
    ),
    "several": Scene(
        "(1, 'a', 'x')", "(7, 'a', 'x'), (8, 'a', 'z')", "VARCHAR(40)", BY_K, "several rows of the target match",
        "say match_on=…", [{"match_on": {"t": ["k", "code"]}}], ["insert"],
    ),
    "shared": Scene(
        "(1, 'a', 'x'), (2, 'a', 'z')", "(7, 'a', 'x')", "VARCHAR(40)", BY_K,
        "another entity of the package matches the same row",
        "say match_on=…", [{"match_on": {"t": ["k", "code"]}}], ["reuse", "skip", "insert"],
    ),
    "taken": Scene(
        "(1, 'a', 'x')", "(7, 'a', 'y'), (8, 'b', 'x')", "VARCHAR(40) UNIQUE", UPDATE,
        "another row holds the same code, which the update would take",
        'say on_clash="reuse" or on_match="skip"', [{"on_clash": "reuse"}, {"on_match": "skip"}], ["skip"],
    ),
    "twice text": Scene(
        "(1, 'a', 'x'), (2, 'b', 'x')", "", "VARCHAR(40) UNIQUE", {},
        "another row of the package holds the same code to the target", 'say on_clash="rename"',
        [{"on_clash": "rename"}], ["rename"],
    ),
    "twice number": Scene(
        "(1, 'a', '5'), (2, 'b', '5')", "", "INTEGER UNIQUE", {},
        "another row of the package holds the same code to the target", f"conflicts; {LEAVE}", [], [],
    ),
    "exchanged": Scene(
        "(1, 'a', 'x'), (2, 'b', 'y')", "(7, 'a', 'y'), (8, 'b', 'x')", "VARCHAR(5) NOT NULL UNIQUE", UPDATE,
        "rows exchange their code, and the target has no place to hold it meanwhile", 'say on_match="skip"',
        [{"on_match": "skip"}], ["skip"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "dialect"),
    [(name, dialect) for name in SCENES for dialect in DIALECTS if (name, dialect) != ("exchanged", "sqlite")],
)  # SQLite keeps no text to five letters, so that there is always a place to hold one meanwhile
def test_what_the_hint_of_a_conflict_says_settles_it(
    name: str, dialect: str, databases: Databases, tmp_path: Path
) -> None:
    scene = SCENES[name]
    source, url = databases.create(dialect), databases.create(dialect)
    loose = scene.code.replace(" NOT NULL", "").replace(" UNIQUE", "")
    run(source, f"CREATE TABLE t (id INTEGER PRIMARY KEY, k VARCHAR(9), code {loose})",
        f"INSERT INTO t VALUES {scene.mine}")  # fmt: skip
    run(url, f"CREATE TABLE t (id INTEGER PRIMARY KEY, k VARCHAR(9), code {scene.code})",
        f"INSERT INTO t VALUES {scene.theirs}" if scene.theirs else "")  # fmt: skip
    with dt.Database(url) as target:
        importer = dt.PackageImporter(export_all(source, tmp_path / "p.zip"), target)
        with pytest.raises(dt.ConflictError) as caught:
            importer.run(**scene.given)
        assert scene.reason in str(caught.value)
        assert caught.value.hint.endswith(scene.hint)
        assert caught.value.hint.startswith("see importer.plan(…).conflicts")
        for policies in scene.policies:
            with importer.plan(**{**scene.given, **policies}) as plan:
                assert plan.conflict_count == 0, policies
        with importer.plan(**scene.given) as plan:
            [settling] = settlings_of(plan).values()
            assert [str(decision) for decision in settling.decisions] == scene.decisions
            keys = list(plan.conflicts["source_key"])
        for decision in scene.decisions:
            with importer.plan(**scene.given) as plan:
                plan.decide("t", keys, decision)
                assert plan.conflict_count == 0, decision


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_column_that_references_point_to_stays_if_the_row_is_skipped(
    dialect: str, databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create(dialect), databases.create(dialect)
    for at, code in ((source, "x"), (url, "y")):
        run(
            at, "CREATE TABLE t (id INTEGER PRIMARY KEY, k VARCHAR(9), code VARCHAR(9) UNIQUE)",
            "CREATE TABLE u (id INTEGER PRIMARY KEY, code VARCHAR(9), FOREIGN KEY (code) REFERENCES t (code))",
            f"INSERT INTO t VALUES (1, 'a', '{code}')", f"INSERT INTO u VALUES (1, '{code}')",
        )  # fmt: skip
    with dt.Database(url) as target:
        importer = dt.PackageImporter(export_all(source, tmp_path / "p.zip"), target)
        with pytest.raises(dt.ConflictError, match="a column that references point to differs") as caught:
            importer.run(**UPDATE)
        assert caught.value.hint == 'see importer.plan(…).conflicts, or say on_match="skip"'
        assert importer.run(**{**UPDATE, "on_match": "skip"}).total("conflict") == 0


def test_the_command_line_names_what_settles_each_kind(
    databases: Databases, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, url = databases.create("sqlite"), databases.create("sqlite")
    run(source, "CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT, code INTEGER)",
        "INSERT INTO t VALUES (1, 'a', 1), (2, 'b', 2), (3, 'c', 9), (4, 'd', 9)")  # fmt: skip
    run(url, "CREATE TABLE t (id INTEGER PRIMARY KEY, k TEXT, code INTEGER UNIQUE)",
        "INSERT INTO t VALUES (7, 'a', 3), (8, 'e', 2)")  # fmt: skip
    package = str(export_all(source, tmp_path / "p.zip").path)
    assert main(["plan", package, url, "--match-on", "t=k", "--on-match", "error"]) == 7
    told = capsys.readouterr().out
    assert "t: the row differs in the target: --on-match skip or update, or one by one: --decide t=1=update\n" in told
    clash = "--on-clash reuse with --on-match skip or update or --match-on TABLE=COLUMN"
    assert f"t: another row holds the same code: {clash}, or one by one: --decide t=2=reuse\n" in told
    assert f"t: another row of the package holds the same code to the target: {LEAVE}\n" in told
