"""Rows that are copied straight into empty tables of PostgreSQL: as exact, as whole and as easily taken back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import datatransfer as dt
from datatransfer.database.writers import copying
from datatransfer.importing import straight
from datatransfer.sample import create_sample, create_schema
from tests.support.children import KILLED, Call, waiting
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest, logical_digest
from tests.support.everytype import TYPES, statements, without_icu
from tests.support.loaders import Library
from tests.support.scenes import contents, ended, leftovers
from tests.support.servers import Databases, knows_xml
from tests.support.sql import run
from tests.support.transfer import ENCODINGS, SAMPLE_FILES, export_all, import_into, written

Passed = Callable[[], Counter[str]]
_BINARY = {
    "integer": ["-2147483648", "7"], "bigint": ["9223372036854775807", "0"], "smallint": ["-5"], "boolean": ["false"],
    "text": ["'a\tb'", "''", "'\\N'", "'Ä€'"], "varchar(20)": ["'x'"], "bytea": [r"'\x00ff'", "''"],
    "real": ["'NaN'", "0.1"], "double precision": ["'-Infinity'", "-0.0", "1e-300"],
    "date": ["'0001-01-01'", "'9999-12-31'"], "timestamp": ["'1999-12-31 23:59:59.999999'"],
    "timestamp(3)": ["'2000-01-01 00:00:00.123'"], "timestamptz": ["'2024-06-30 12:00+02'"],
}  # fmt: skip
_NOT_VALID = "CONSTRAINT late FOREIGN KEY (above) REFERENCES shelves NOT VALID"
_SHOP = (
    "CREATE TABLE shelves (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, above INTEGER REFERENCES shelves (id))",
    "CREATE TABLE goods (id INTEGER PRIMARY KEY, shelf INTEGER REFERENCES shelves (id), label TEXT NOT NULL)",
    "CREATE TABLE marks (code TEXT PRIMARY KEY, good INTEGER NOT NULL REFERENCES goods (id))",
    "CREATE TABLE notes (good INTEGER, text TEXT)",
    "INSERT INTO shelves VALUES (1, 'top', NULL), (2, 'middle', 1), (3, 'low', 2)",
    "INSERT INTO goods VALUES (1, 1, 'tea'), (2, 3, E'a\\tb\\n\\\\N'), (3, NULL, '')",
    "INSERT INTO marks VALUES ('i1', 1), ('Ä', 2)",
    "INSERT INTO notes VALUES (1, 'twice'), (1, 'twice'), (NULL, NULL)",
)


@pytest.fixture
def passed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Passed:
    """Let every package go straight, however small; return what tells how often each place was passed since last."""
    log = tmp_path / "places"
    monkeypatch.setattr(straight, "LEAST_ROWS", 0)
    monkeypatch.setenv("DATATRANSFER_FAILPOINT_LOG", str(log))

    def since() -> Counter[str]:
        places = Counter(log.read_text().split()) if log.exists() else Counter[str]()
        log.unlink(missing_ok=True)
        return places

    return since


def _shop(databases: Databases) -> str:
    url = databases.create("postgresql")
    run(url, *_SHOP)
    return url


def _all_rows(url: str) -> int:
    return sum(exact_digest(url).rows.values())


# --- exact ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", ["", " (FORMAT binary)"], ids=["text", "binary"])
def test_every_type_is_copied_as_it_is(
    databases: Databases, tmp_path: Path, passed: Passed, monkeypatch: pytest.MonkeyPatch, form: str, encoding: str
) -> None:
    forms, encoded = set(), copying.encoded
    monkeypatch.setattr(copying, "encoded", lambda *given: (forms.add((made := encoded(*given))[0]), made)[1])
    source = databases.create("postgresql")
    types = TYPES["postgresql"] if databases.has_icu() else without_icu(TYPES["postgresql"])
    known = {name: values for name, values in types.items() if name != "xml" or knows_xml(source)}
    run(source, *statements("postgresql", _BINARY if form else known))
    package = export_all(source, tmp_path / "package.zip", encoding=encoding)
    target = empty_copy(source, databases)
    passed()
    receipt = import_into(package, target)
    places = passed()
    assert (places["merge.batch"] > 0, places["stage.batch"], forms) == (True, 0, {form})
    assert_equal(exact_digest(source), exact_digest(target))
    assert written(import_into(package, target, on_match="update")) == 0
    with dt.Database(target) as db:
        dt.receipt(db, receipt.import_id).undo()
    assert _all_rows(target) == 0


@pytest.mark.parametrize("name", ["chinook", "sakila", "sample"])
def test_a_real_database_is_copied_as_it_is(
    library: Library, databases: Databases, tmp_path: Path, passed: Passed, name: str
) -> None:
    source, target = library.url(name), library.empty(databases, name, "postgresql")
    package = export_all(source, tmp_path / "package.zip")
    passed()
    receipt = import_into(package, target)
    assert passed()["stage.batch"] == 0
    kinds = library.kinds(name)
    assert_equal(logical_digest(source, kinds), logical_digest(target, kinds))
    assert written(receipt) == sum(logical_digest(source, kinds).rows.values())
    assert written(import_into(package, target)) == 0


def test_what_is_known_of_rows_is_what_the_stage_would_have_told(
    databases: Databases, tmp_path: Path, passed: Passed, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = _shop(databases)
    package = export_all(source, tmp_path / "package.zip")
    told: list[Any] = []
    for least in (0, straight.MOST_ROWS):
        monkeypatch.setattr(straight, "LEAST_ROWS", least)
        target = empty_copy(source, databases)
        with dt.Database(target) as db:
            receipt = dt.PackageImporter(package, db).run()
            maps = {name: receipt.id_map(name).astype(object).values.tolist() for name in ("shelves", "goods", "marks")}
            told.append((receipt.summary.to_dict(), maps, receipt.warnings, str(receipt.check_undo())))
    assert told[0] == told[1]
    assert [row[:2] for row in told[0][1]["marks"]] == [["i1", "i1"], ["Ä", "Ä"]]
    places = passed()
    assert (places["merge.batch"] > 0, places["stage.batch"] > 0) == (True, True)  # each in its turn


@pytest.mark.parametrize(
    "values",
    [pa.array([], pa.binary()), pa.array([b"\x00\xff", None, b""], pa.binary()), pa.array([None, b"ab"], pa.binary())],
    ids=["none", "some", "sliced"],
)
def test_bytes_become_their_digits(values: pa.Array) -> None:
    for part in (values, values.slice(1) if len(values) else values):
        wanted = [None if value is None else b"\\\\x" + value.hex().encode() for value in part.to_pylist()]
        assert copying._hexadecimal(part).to_pylist() == wanted


# --- what only the stage can tell -----------------------------------------------------------------------------------

_FAULTS = {
    "an orphan": ("goods", "ALTER TABLE goods DROP CONSTRAINT goods_shelf_fkey", "UPDATE goods SET shelf = 9"),
    "an orphan in its own table": (
        "shelves", "ALTER TABLE shelves DROP CONSTRAINT shelves_above_fkey", "UPDATE shelves SET above = 9",
    ),
    "a key twice": ("shelves", "ALTER TABLE shelves DROP CONSTRAINT shelves_name_key", "UPDATE shelves SET name = 'x'"),
    "a value that is too long": ("goods", "UPDATE goods SET label = 'longer than the target takes'"),
}  # fmt: skip


@pytest.mark.parametrize("fault", _FAULTS)
def test_what_does_not_fit_is_told_as_by_the_stage_and_nothing_is_changed(
    databases: Databases, tmp_path: Path, passed: Passed, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    source, target = _shop(databases), empty_copy(_shop(databases), databases)
    where, *lines = _FAULTS[fault]
    run(source, *lines)
    run(target, "ALTER TABLE goods ALTER label TYPE VARCHAR(12)")
    with dt.Database(source) as db:
        if "orphan" in fault:
            db.relate("goods.shelf" if where == "goods" else "shelves.above", "shelves.id")
        package = dt.PackageBuilder(db).add_all().build(tmp_path / "p.zip", progress=False, on_orphan="keep")
    before, said = exact_digest(target), []
    for least in (0, straight.MOST_ROWS):
        monkeypatch.setattr(straight, "LEAST_ROWS", least)
        with dt.Database(target) as db, pytest.raises(dt.DataTransferError) as caught:
            dt.PackageImporter(package, db).run()
        said.append((type(caught.value), str(caught.value)))
        assert_equal(before, exact_digest(target))
        assert leftovers(target) == []
    assert said[0] == said[1]
    assert where in said[0][1]


def test_rows_that_are_there_already_send_the_import_by_way_of_the_stage(
    databases: Databases, tmp_path: Path, passed: Passed
) -> None:
    source = _shop(databases)
    package = export_all(source, tmp_path / "package.zip")
    target = empty_copy(source, databases)
    run(target, "INSERT INTO shelves VALUES (7, 'mine', NULL)")
    passed()
    assert written(import_into(package, target)) == _all_rows(source)
    assert passed()["merge.batch"] == 0
    assert exact_digest(target).rows["shelves"] == 4


@pytest.mark.parametrize(
    ("line", "policies"),
    [
        ("CREATE RULE kept AS ON INSERT TO notes DO ALSO NOTHING", {}),
        (f"ALTER TABLE shelves DROP CONSTRAINT shelves_above_fkey, ADD {_NOT_VALID}", {}),
        ("SELECT 1", {"on_orphan": "null"}),
        ("SELECT 1", {"identity": "copy"}),
        ("SELECT 1", {"triggers": "fire"}),
        ("ALTER TABLE notes RENAME text TO words", {"rename": {"notes": {"text": "words"}}}),
    ],
    ids=["a rule", "a key that is not valid", "orphans", "copies", "triggers", "a mapping"],
)
def test_what_copy_cannot_do_is_staged(
    databases: Databases, tmp_path: Path, passed: Passed, line: str, policies: dict[str, Any]
) -> None:
    source = _shop(databases)
    package = export_all(source, tmp_path / "package.zip")
    target = empty_copy(source, databases)
    run(target, line)
    passed()
    assert written(import_into(package, target, **policies)) == _all_rows(source)
    assert (passed()["merge.batch"], _all_rows(target)) == (0, _all_rows(source))


def test_keys_indexes_and_foreign_keys_are_there_again(databases: Databases, tmp_path: Path, passed: Passed) -> None:
    source = databases.create("postgresql")
    run(source, *_SHOP[:2], "CREATE INDEX by_label ON goods (lower(label))")
    run(source, "INSERT INTO shelves SELECT i, i::text, 1 FROM generate_series(1, 12000) i")
    run(source, "INSERT INTO goods SELECT i, i, i::text FROM generate_series(1, 12000) i")
    package = export_all(source, tmp_path / "package.zip")
    target = empty_copy(source, databases)
    listed = (
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint "
        "WHERE contype IN ('p', 'u', 'f') AND conrelid::regclass::text IN ('shelves', 'goods') UNION "
        "SELECT tablename, indexdef FROM pg_indexes WHERE tablename IN ('shelves', 'goods') ORDER BY 1, 2"
    )

    def there() -> list[Any]:
        engine = sa.create_engine(target, poolclass=NullPool)
        with engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(listed)]

    before = there()
    passed()
    import_into(package, target)
    assert passed()["stage.batch"] == 0
    assert there() == before
    assert len(before) == 9
    assert_equal(exact_digest(source), exact_digest(target))


@pytest.mark.parametrize("policies", [{"on_match": "newest:seen"}, {"match_on": {"goods": ["lable"]}}])
def test_policies_are_looked_at_although_nothing_can_match(
    databases: Databases, tmp_path: Path, passed: Passed, policies: dict[str, Any]
) -> None:
    source = _shop(databases)
    package = export_all(source, tmp_path / "package.zip")
    target = empty_copy(source, databases)
    passed()
    with dt.Database(target) as db, pytest.raises(dt.UnknownColumnError):
        dt.PackageImporter(package, db).run(**policies)
    assert passed()["merge.batch"] == 0
    assert leftovers(target) == []


# --- whole ----------------------------------------------------------------------------------------------------------


def _call(databases: Databases, tmp_path: Path) -> Call:
    source = databases.create("sqlite")
    create_sample(source, tmp_path / "source", seed=1, size=4).close()
    package = export_all(source, tmp_path / "all.zip", files={SAMPLE_FILES: dt.FolderStore(tmp_path / "source")})
    said, environment = str(tmp_path / "said"), {"DATATRANSFER_TEST_STRAIGHT": "1"}
    return Call("import", str(package.path), "", "", {}, environment, said)


def _fresh(call: Call, databases: Databases, tmp_path: Path, number: int = 0, **environment: str) -> Call:
    target, files = databases.create("postgresql"), tmp_path / f"files {number}"
    create_schema(target)
    files.mkdir()
    return Call(
        **{**vars(call), "url": target, "files": str(files), "environment": {**call.environment, **environment}}
    )


def test_a_kill_at_any_place_is_repaired_by_resuming(databases: Databases, tmp_path: Path, servers: object) -> None:
    call, log = _call(databases, tmp_path), tmp_path / "log"
    alone = _fresh(call, databases, tmp_path, DATATRANSFER_FAILPOINT_LOG=str(log))
    alone.check()
    wanted, files, counted = exact_digest(alone.url), contents(Path(alone.files)), Counter[str]()
    for number, place in enumerate(log.read_text().split(), 1):
        counted[place] += 1
        killed = _fresh(call, databases, tmp_path, number, DATATRANSFER_FAILPOINT=f"{place}:{counted[place]}")
        assert killed.run() == KILLED
        with dt.Database(killed.url) as db:
            ended(db)
        Call(**{**vars(killed), "verb": "resume", "environment": call.environment}).check()
        assert_equal(wanted, exact_digest(killed.url))
        assert contents(Path(killed.files)) == files
        with dt.Database(killed.url) as db:
            assert list(dt.receipts(db)["state"]) == ["merged"]
        assert leftovers(killed.url) == []
        databases.drop(killed.url)
    assert counted["merge.batch"] > 3
    assert counted["stage.batch"] == 0


def test_a_connection_that_is_cut_in_the_midst_is_an_error_that_resuming_gets_past(
    databases: Databases, tmp_path: Path
) -> None:
    call = _fresh(_call(databases, tmp_path), databases, tmp_path)
    with waiting(call, "merge.batch:3", tmp_path / "wait", fails=True):
        run(
            call.url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
    assert "\ndatatransfer.errors.DatabaseError" in Path(call.said).read_text()
    assert _all_rows(call.url) == 0
    Call(**{**vars(call), "verb": "resume"}).check()
    assert leftovers(call.url) == []


def test_rows_that_others_bring_meanwhile_stay_theirs(databases: Databases, tmp_path: Path) -> None:
    source = _shop(databases)
    package, target = export_all(source, tmp_path / "package.zip"), empty_copy(source, databases)
    straight_on = {"DATATRANSFER_TEST_STRAIGHT": "1"}
    call = Call("import", str(package.path), target, environment=straight_on, said=str(tmp_path / "said"))
    with waiting(call, "merge.table:2", tmp_path / "wait"):
        run(target, "INSERT INTO shelves VALUES (100, 'theirs', NULL)")
    assert exact_digest(target).rows == {**exact_digest(source).rows, "shelves": 4}
    with dt.Database(target) as db:
        dt.receipt(db, dt.receipts(db).iloc[-1]["import_id"]).undo()
    assert exact_digest(target).rows == {"shelves": 1, "goods": 0, "marks": 0, "notes": 0}


def test_who_cancels_leaves_nothing_behind(databases: Databases, tmp_path: Path, passed: Passed) -> None:
    source = _shop(databases)
    package = export_all(source, tmp_path / "package.zip")
    target = empty_copy(source, databases)
    cancellation = dt.Cancellation()

    def listener(event: Any) -> None:
        if getattr(event, "phase", "") == "merge" and event.table == "goods":
            cancellation.cancel()

    with dt.Database(target) as db, pytest.raises(dt.Cancelled):
        dt.PackageImporter(package, db, listener=listener, cancellation=cancellation).run()
    assert passed()["merge.batch"] > 0
    assert _all_rows(target) == 0
    assert leftovers(target) == []
