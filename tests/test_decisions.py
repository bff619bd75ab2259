"""What is decided for single entities, by hand or from a file, and what follows from it."""

from __future__ import annotations

import gc
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest

import datatransfer as dt
from tests.support.children import KILLED, Call
from tests.support.digest import exact_digest
from tests.support.markup import html_text
from tests.support.scenes import ended
from tests.support.servers import Databases
from tests.support.sql import asked, connected
from tests.support.sql import run as run_sql
from tests.support.transfer import DIALECTS, export_all
from tests.test_policies import make

if TYPE_CHECKING:
    from datatransfer.importing.plan import ImportPlan

SOURCE: dict[str, list[tuple[Any, ...]]] = {
    "users": [(1, "a@x", "Ann", None), (2, "b@x", "Ben", None), (3, "c@x", "Cleo", None)],
    "posts": [(1, 1, "one"), (2, 2, "two"), (3, 3, "three")],
    "tags": [("a", "ours")],
    "uses": [(1, "a")],
}
TARGET: dict[str, list[tuple[Any, ...]]] = {
    "users": [(5, "a@x", "Anna", None), (6, "b@x", "Benno", None)],
    "posts": [(1, 5, "one")],
    "tags": [("a", "theirs")],
}


@pytest.fixture
def package(databases: Databases, tmp_path: Path, dialect: str) -> dt.DataPackage:
    return export_all(make(databases, dialect, **SOURCE), tmp_path / "package.zip")


@pytest.fixture
def target(databases: Databases, dialect: str) -> str:
    return make(databases, dialect, **TARGET)


@pytest.fixture
def opened(package: dt.DataPackage, target: str) -> Iterator[dt.PackageImporter]:
    with dt.Database(target) as db:
        yield dt.PackageImporter(package, db)


def actions(plan: ImportPlan, table: str) -> list[str]:
    return list(plan.to_frame(table)["action"])


every_dialect = pytest.mark.parametrize("dialect", DIALECTS)
on_sqlite = pytest.mark.parametrize("dialect", ["sqlite"])


@every_dialect
def test_the_frame_says_what_when_why_and_from_what_to_what(opened: dt.PackageImporter) -> None:
    with opened.plan(match_on={"users": ["email"]}, on_match="update") as plan:
        frame = plan.to_frame("users")
        assert list(frame.columns) == [
            "table", "action", "matched_by", "source_key", "target_key", "changed", "before", "after", "reason",
            "decision",
        ]  # fmt: skip
        first = frame.iloc[0].to_dict()
        assert first == {
            "table": "users", "action": "update", "matched_by": "natural:email", "source_key": 1, "target_key": 5,
            "changed": "name", "before": {"name": "Anna"}, "after": {"name": "Ann"}, "reason": "", "decision": "",
        }  # fmt: skip
        assert sorted(plan.diff().values.tolist(), key=lambda row: -len(row[0])) == [
            ["users", 1, 5, "name", "Anna", "Ann"], ["users", 2, 6, "name", "Benno", "Ben"],
            ["tags", "a", "a", "note", "theirs", "ours"],
        ]  # fmt: skip
        assert plan.diff("posts")[["field", "before", "after"]].values.tolist() == []
        assert len(plan.to_frame(limit=1)) == 4
        assert set(plan.to_frame(action="conflict")["table"]) == {"posts", "tags"}
        assert plan.diff("users", limit=1).values.tolist() == [["users", 1, 5, "name", "Anna", "Ann"]]


@every_dialect
def test_a_clash_is_decided_and_what_refers_to_it_follows(opened: dt.PackageImporter, target: str) -> None:
    plan = opened.plan()
    assert plan.summary.set_index("table")["conflict"].to_dict() == {"users": 2, "tags": 1, "posts": 1, "uses": 0}
    plan.decide("users", plan.conflicts, "reuse").decide("posts", [1], "skip").decide("tags", "a", "update")
    assert plan.conflict_count == 0
    assert actions(plan, "users") == ["reuse", "reuse", "insert"]
    assert list(plan.to_frame("users")["decision"]) == ["reuse", "reuse", ""]
    opened.run(plan)
    assert asked(target, "SELECT p.title, u.name FROM posts p JOIN users u ON u.id = p.user_id ORDER BY p.title") == [
        ("one", "Anna"), ("three", "Cleo"), ("two", "Benno")
    ]  # fmt: skip
    assert asked(target, "SELECT word, note FROM tags") == [("a", "ours")]
    assert asked(target, "SELECT word FROM uses") == [("a",)]


@every_dialect
def test_entities_are_chosen_by_mask_keys_frames_and_values(opened: dt.PackageImporter) -> None:
    with opened.plan(match_on={"users": ["email"]}) as plan:
        frame = plan.to_frame("users")
        ways: list[Any] = [
            frame["after"].map(lambda after: after.get("name") == "Ben"), (frame["source_key"] == 2).to_numpy(), 2, [2],
            frame.sort_values("source_key", ascending=False)["source_key"] == 2,
            pd.Series([None, True, None], dtype="boolean"),
            {2}, pd.DataFrame({"id": [2]}), frame[frame["source_key"] == 2], {"email": "b@x"},
            {"email": ["b@x", "d@x"], "name": "Ben", "seen": None},
        ]  # fmt: skip
        for which in ways:
            plan.decide("users", which, "update")
            assert actions(plan, "users") == ["skip", "update", "insert"]
            plan.decide("users")
            assert actions(plan, "users") == ["skip", "skip", "insert"]
            assert plan.decided == set()
        plan.decide("users", [], "update").decide("users", [False] * 3, "update")
        assert actions(plan, "users") == ["skip", "skip", "insert"]


@on_sqlite
@pytest.mark.parametrize(
    ("table", "which", "action", "said"),
    [
        ("users", 99, "update", "1 key that the package does not hold"),
        ("users", (1, 2), "update", "has 1 column: id"),
        ("users", "one", "update", "a value is no integer"),
        ("users", {"email": "z@x"}, "update", "no entity of the package has these values"),
        ("users", {"mail": "a@x"}, "update", "share no column 'mail'"),
        ("users", [True, False], "update", "a mask of 2 rows for a table of 3"),
        (
            "users",
            pd.Series([True, False, True], [3, 4, 5]),
            "update",
            "the index of the mask is not that of plan.to_frame",
        ),
        ("users", pd.DataFrame({"key": [1]}), "update", "the frame has no column 'id'"),
        ("users", 1, "remove", "'remove' is no decision"),
        ("people", 1, "update", "no table 'people'"),
        ("users", 3, "update", "1 entity cannot be updated: no row of the target matches it"),
        ("users", 3, "skip", "1 entity cannot be skipped: no row of the target matches it"),
        ("users", 3, "reuse", "1 entity cannot be reused: no row of the target matches it"),
        ("users", 1, "insert", "1 entity cannot be inserted: another row holds the same email"),
    ],
)
def test_what_cannot_be_decided_is_refused_and_changes_nothing(
    opened: dt.PackageImporter, table: str, which: Any, action: str, said: str
) -> None:
    with opened.plan(match_on={"users": ["email"]}) as plan:
        plan.decide("users", 2, "update")
        before = plan.to_frame()
        with pytest.raises(dt.UsageError) as failed:
            plan.decide(table, which, action)
        assert said in str(failed.value)
        assert "a@x" not in str(failed.value)
        assert plan.to_frame().equals(before)


@every_dialect
def test_a_row_of_its_own_is_made_where_one_matches(
    databases: Databases, tmp_path: Path, package: dt.DataPackage, target: str, dialect: str
) -> None:
    with dt.Database(target) as db:
        importer = dt.PackageImporter(package, db)
        plan = importer.plan(on_clash="reuse", match_on={"users": ["email"]})
        assert list(plan.to_frame("users")["matched_by"])[:2] == ["natural:email"] * 2
        plan.decide("posts", {"title": "one"}, "rename").decide("users", 1, "rename")
        importer.run(plan)
    assert asked(target, "SELECT u.email, p.title FROM posts p JOIN users u ON u.id = p.user_id ORDER BY p.title") == [
        ("a@x", "one"), ("a@x (2)", "one (2)"), ("c@x", "three"), ("b@x", "two")
    ]  # fmt: skip


@every_dialect
def test_only_what_clashes_can_be_renamed(databases: Databases, tmp_path: Path, dialect: str) -> None:
    tables = ("CREATE TABLE p (id INTEGER PRIMARY KEY, name VARCHAR(20), code VARCHAR(9) UNIQUE)",)
    source, target = databases.create(dialect), databases.create(dialect)
    run_sql(source, *tables, "INSERT INTO p VALUES (1, 'Music', 'c1'), (2, 'Films', 'c2')")
    run_sql(target, *tables, "INSERT INTO p VALUES (5, 'Music', 'x'), (6, 'Music', 'y'), (7, 'Books', 'c2')")
    package = export_all(source, tmp_path / "package.zip")
    with dt.Database(target) as db:
        importer = dt.PackageImporter(package, db)
        plan = importer.plan(match_on={"p": ["name"]})
        assert list(plan.conflicts["source_key"]) == [1, 2]
        plan.decide("p", 2, "rename")
        with pytest.raises(dt.UsageError, match="1 entity cannot be renamed: no unique text of it clashes") as caught:
            plan.decide("p", 1, "rename")
        assert caught.value.hint == "nothing was decided; a row of its own is made by the decision 'insert'"
        assert list(plan.to_frame("p")["action"]) == ["conflict", "insert"]
        assert plan.renamed == {"p": 1}
        assert repr(plan) == "ImportPlan(1 insert (1 renamed), 1 conflict)"
        plan.decide("p", 1, "insert")
        assert "renamed, as another row holds the same unique text: 1 of p; plan.diff(" in html_text(plan._repr_html_())
        importer.run(plan)
    assert asked(target, "SELECT name, code FROM p WHERE id NOT IN (5, 6, 7) ORDER BY name") == [
        ("Films", "c2 (2)"), ("Music", "c1"),
    ]  # fmt: skip


@every_dialect
def test_a_plan_that_is_refused_for_its_conflicts_can_be_decided_and_run_again(
    opened: dt.PackageImporter, target: str
) -> None:
    plan, before = opened.plan(match_on={"users": ["email"]}, on_match="error"), exact_digest(target)
    with pytest.raises(dt.ConflictError, match="are in conflict") as caught:
        opened.run(plan)
    assert caught.value.hint == (
        'see plan.conflicts and plan.decide, or plan again with on_clash="reuse" with on_match="skip" or "update" or '
        'on_clash="rename" or match_on=… where another row holds the same word; on_match="skip" or "update" where the '
        "row differs in the target"
    )
    assert exact_digest(target) == before
    assert not plan.done
    assert len(dt.stages(opened.target)) == 1
    assert set(plan.conflicts["table"]) == {"users", "posts", "tags"}
    for table, rows in plan.conflicts.groupby("table"):
        plan.decide(str(table), rows, "update")
    assert opened.run(plan).total("update") > 0
    assert asked(target, "SELECT name FROM users WHERE id = 5") == [("Ann",)]
    assert len(dt.stages(opened.target)) == 0


@on_sqlite
def test_conflicts_of_a_plan_that_run_made_itself_leave_no_stage(opened: dt.PackageImporter) -> None:
    with pytest.raises(dt.ConflictError) as caught:
        opened.run(match_on={"users": ["email"]}, on_match="error")
    assert caught.value.hint.startswith("see importer.plan(…).conflicts, or say ")
    assert len(dt.stages(opened.target)) == 0


@every_dialect
def test_decisions_are_saved_and_replayed(
    databases: Databases, tmp_path: Path, opened: dt.PackageImporter, target: str, dialect: str
) -> None:
    plan = opened.plan()
    plan.decide("users", [1, 2], "update").decide("posts", 1, "rename").decide("tags", "a", "skip")
    said, path = plan.to_frame(), plan.save(tmp_path / "decisions.json")
    document = json.loads(path.read_text())
    assert document["decisions"]["users"] == {"update": ["[1]", "[2]"]}
    assert document["decisions"]["tags"] == {"skip": ['["a"]']}
    plan.discard()
    for given in (path, str(path), document):
        with opened.plan(decisions=given) as again:
            assert again.to_frame().equals(said)
            assert again.warnings == []
    elsewhere = make(databases, dialect, users=[(1, "a@x", "Anton", None)])
    with dt.Database(elsewhere) as db:
        importer = dt.PackageImporter(opened.package, db)
        there = importer.plan(decisions=path)
        assert there.warnings == [
            "tags: a decision to skip does not apply to 1 entity here: no row of the target matches it",
            "users: a decision to update does not apply to 1 entity here: no row of the target matches it",
        ]
        assert actions(there, "users") == ["update", "insert", "insert"]
        receipt = importer.run(there)
        assert list(receipt.warnings)[-2:] == there.warnings[-2:]
    opened.run(decisions=path)
    assert asked(target, "SELECT title FROM posts ORDER BY title") == [("one",), ("one (2)",), ("three",), ("two",)]


@on_sqlite
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": "other"}, "no decisions"),
        ({"version": 2}, "newer library"),
        ({"package": {"digest": "0" * 64}}, "another package"),
        ({"decisions": {"users": {"remove": ["[1]"]}}}, "damaged"),
        ({"decisions": [1]}, "damaged"),
        ({"decisions": {"users": {"skip": ["[99]"]}}}, "not in the package"),
        ({"decisions": {"users": {"skip": ["what"]}}}, "damaged"),
        ({"decisions": {"people": {"skip": ["[1]"]}}}, "no table 'people'"),
    ],
)
def test_damaged_or_foreign_decisions_are_refused(
    opened: dt.PackageImporter, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    with opened.plan() as plan:
        document = {**plan.decide("users", 1, "reuse").decisions(), **change}
    with pytest.raises(dt.UsageError, match=said):
        opened.plan(decisions=document)
    assert len(dt.stages(opened.target)) == 0
    path = tmp_path / "bad.json"
    path.write_text("{")
    for bad in (path, tmp_path / "absent.json"):
        with pytest.raises(dt.UsageError, match=r"not JSON|cannot be read"):
            opened.plan(decisions=bad)


# --- bound to the target -----------------------------------------------------------------------------------------

CHANGES = {
    "a row that is updated": "UPDATE users SET name = 'Later' WHERE id = 5",
    "a row that is updated is gone": "DELETE FROM users WHERE id = 5",
    "a row that is skipped is gone": "DELETE FROM users WHERE id = 6",
    "a key that is given": "INSERT INTO users VALUES (3, 'new@x', 'New', NULL)",
    "a unique value": "INSERT INTO users VALUES (99, 'c@x', 'Other', NULL)",
}


@every_dialect
@pytest.mark.parametrize("change", list(CHANGES))
def test_a_target_that_changed_since_the_plan_is_left_alone(
    opened: dt.PackageImporter, target: str, change: str
) -> None:
    plan = opened.plan(match_on={"users": ["email"]}, on_clash="reuse").decide("users", 1, "update")
    with connected(target) as connection:
        if "gone" in change:
            connection.exec_driver_sql("DELETE FROM posts")
        connection.exec_driver_sql(CHANGES[change])
    before = exact_digest(target)
    with pytest.raises(dt.TargetChangedError):
        opened.run(plan)
    assert exact_digest(target) == before
    assert len(dt.stages(opened.target)) == 0


@pytest.mark.parametrize("dialect", ["postgresql", "mariadb"])
def test_a_change_that_is_not_committed_yet_is_waited_for_and_not_overwritten(
    opened: dt.PackageImporter, target: str
) -> None:
    plan = opened.plan(match_on={"users": ["email"]}, on_match="update", on_clash="reuse")
    raised: list[BaseException] = []

    def run() -> None:
        try:
            opened.run(plan)
        except dt.DataTransferError as error:
            raised.append(error)

    with connected(target) as connection:
        connection.exec_driver_sql("UPDATE users SET name = 'Later' WHERE id = 5")
        thread = threading.Thread(target=run)
        thread.start()
        thread.join(1.5)
        assert thread.is_alive()
    thread.join(60)
    assert [type(error) for error in raised] == [dt.TargetChangedError]
    assert asked(target, "SELECT name FROM users ORDER BY id") == [("Later",), ("Benno",)]


@every_dialect
def test_nobody_decides_on_rows_that_are_no_longer_what_was_shown(opened: dt.PackageImporter, target: str) -> None:
    plan = opened.plan(match_on={"users": ["email"]})
    with connected(target) as connection:
        connection.exec_driver_sql("UPDATE users SET name = 'Later' WHERE id = 5")
    with pytest.raises(dt.TargetChangedError, match="changed since the plan was made"):
        plan.decide("users", 1, "update")
    assert plan.done
    assert len(dt.stages(opened.target)) == 0


@every_dialect
def test_the_fingerprint_follows_the_rows_that_are_touched(opened: dt.PackageImporter, target: str) -> None:
    policies: dict[str, Any] = {"match_on": {"users": ["email"]}, "on_match": "update", "on_clash": "reuse"}
    with opened.plan(**policies) as first, opened.plan(**policies) as second:
        usual = first.fingerprint
        assert second.fingerprint == usual
        assert first.decide("users", 1, "skip").fingerprint != usual
    with connected(target) as connection:
        connection.exec_driver_sql("INSERT INTO users VALUES (40, 'z@x', 'Zoe', NULL)")
    with opened.plan(**policies) as third:
        assert third.fingerprint == usual
    with connected(target) as connection:
        connection.exec_driver_sql("UPDATE users SET name = 'Later' WHERE id = 5")
    fourth = opened.plan(**policies)
    assert fourth.fingerprint != usual
    opened.run(fourth)
    assert asked(target, "SELECT plan_fingerprint FROM datatransfer_imports") == [(fourth.fingerprint,)]


# --- interrupted -------------------------------------------------------------------------------------------------


@every_dialect
@pytest.mark.parametrize("place", ["stage.before_commit:1", "plan.table:1", "merge.begin:1", "merge.before_commit:1"])
def test_who_resumes_decides_the_same(
    opened: dt.PackageImporter, target: str, tmp_path: Path, dialect: str, place: str
) -> None:
    with opened.plan() as plan:
        plan.decide("users", [1, 2], "update").decide("posts", 1, "rename").decide("tags", "a", "skip")
        said, saved = plan.counts, plan.save(tmp_path / "decisions.json")
    call = Call("import", str(opened.package.path), target, options={"decisions": str(saved)},
                environment={"DATATRANSFER_FAILPOINT": place})  # fmt: skip
    assert call.run() == KILLED
    saved.unlink()
    ended(opened.target)
    assert opened.resume().counts == said
    assert asked(target, "SELECT title FROM posts ORDER BY title") == [("one",), ("one (2)",), ("three",), ("two",)]
    assert dt.stages(opened.target).empty


@on_sqlite
def test_a_plan_that_failed_does_not_end_its_stage_a_second_time(
    opened: dt.PackageImporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(_planner: object, _plan: object) -> None:
        raise dt.DatabaseError("the connection to the database was lost")

    with monkeypatch.context() as patch:
        patch.setattr("datatransfer.importing.planner.Planner._decide", lost)
        with pytest.raises(dt.DatabaseError):
            opened.plan(on_clash="reuse")
    gc.collect()
    assert list(dt.stages(opened.target)["state"]) == ["left"]  # it can be resumed
    assert opened.resume().total("insert") == 4
    assert dt.stages(opened.target).empty


@on_sqlite
def test_damaged_decisions_leave_those_that_were_made(opened: dt.PackageImporter) -> None:
    with opened.plan() as plan:
        plan.decide("users", 1, "reuse")
        document, before = plan.decisions(), plan.to_frame()
        document["decisions"] = {"users": {"update": ["[1]"], "skip": ["[99]"]}}
        with pytest.raises(dt.UsageError, match="not in the package"):
            plan.load(document)
        assert plan.to_frame().equals(before)
        assert plan.decide("users", 2, "reuse").to_frame("users")["decision"].tolist() == ["reuse", "reuse", ""]


@every_dialect
def test_a_mask_of_many_rows_and_keys_of_every_class(databases: Databases, tmp_path: Path, dialect: str) -> None:
    rows = 3000
    urls = []
    for word in ("ours", "theirs"):
        url = databases.create(dialect)
        with connected(url) as connection:
            connection.exec_driver_sql(
                "CREATE TABLE t (a VARCHAR(12) NOT NULL, b DATE NOT NULL, w VARCHAR(9), PRIMARY KEY (a, b))"
            )
            values = ", ".join(f"('k{i}', '2026-01-{i % 28 + 1:02d}', '{word}')" for i in range(rows))
            connection.exec_driver_sql(f"INSERT INTO t VALUES {values}")
        urls.append(url)
    package = export_all(urls[0], tmp_path / "p.zip")
    with dt.Database(urls[1]) as db:
        importer = dt.PackageImporter(package, db)
        plan = importer.plan(on_clash="reuse")
        frame = plan.to_frame("t")
        even = frame["source_key"].map(lambda key: int(key[0][1:]) % 2 == 0)
        plan.decide("t", even, "update")
        assert plan.counts["t"] == {"update": 1500, "skip": 1500}
        plan.decide("t", list(frame["source_key"][~even][:5]), "update")
        assert plan.counts["t"] == {"update": 1505, "skip": 1495}
        saved = plan.decisions()
        plan.discard()
        with importer.plan(on_clash="reuse", decisions=saved) as again:
            assert again.counts["t"] == {"update": 1505, "skip": 1495}
        importer.run(on_clash="reuse", decisions=saved)
    assert sorted(asked(urls[1], "SELECT w, count(*) FROM t GROUP BY w")) == [("ours", 1505), ("theirs", 1495)]
