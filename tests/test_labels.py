"""Texts that an ENUM or SET of the target lacks are told by column and label before anything is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import datatransfer as dt
from datatransfer import errors
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.sql import asked, run
from tests.support.transfer import export_all, import_into

MOODS = (
    "CREATE TYPE mood AS ENUM ('sad', 'it''s \"ok\", {so}', 'NULL', 'happy')", "CREATE DOMAIN feeling AS mood",
    "CREATE DOMAIN feelings AS mood[]", 'CREATE TYPE "Odd mood" AS ENUM (\'sad\')', "CREATE TYPE nothing AS ENUM ()",
)  # fmt: skip
LESS = ("CREATE TYPE mood AS ENUM ('sad')",)


def made(
    databases: Databases, dialect: str, kind: str, values: list[Any] | None = None, first: tuple[str, ...] = MOODS
) -> str:
    """Return a database with a table of one column, and of PostgreSQL some types."""
    url = databases.create(dialect)
    rows = [f"({n}, {value})" for n, value in enumerate(values or (), 1)]
    run(
        url, *(first if dialect == "postgresql" else ()), f"CREATE TABLE t (id INTEGER PRIMARY KEY, v {kind})",
        f"INSERT INTO t VALUES {', '.join(rows)}" if rows else "",
    )  # fmt: skip
    return url


@pytest.mark.parametrize(
    ("source", "target", "said", "hint"),
    [
        (("sqlite", "TEXT", ["'glad'", "'sad'", "'glad'", "NULL", "'Sad'"]), ("postgresql", "mood"),
         "a text is no label of mood in the target: 'glad', 'Sad', in 3 rows", "ALTER TYPE mood ADD VALUE"),
        (("sqlite", "TEXT", ["''", "'sad '"]), ("postgresql", "feeling"),
         "a text is no label of mood in the target: '', 'sad ', in 2 rows", "ALTER TYPE mood ADD VALUE"),
        (("sqlite", "TEXT", ["'glad'"]), ("postgresql", '"Odd mood"'),
         "a text is no label of \"Odd mood\" in the target: 'glad', in 1 row", 'ALTER TYPE "Odd mood" ADD VALUE'),
        (("sqlite", "TEXT", ["'sad'"]), ("postgresql", "nothing"),
         "a text is no label of nothing in the target: 'sad', in 1 row", "ALTER TYPE nothing ADD VALUE"),
        (("mariadb", "ENUM('sad', 'glad')", ["'glad'", "'sad'"]), ("postgresql", "mood"),
         "a text is no label of mood in the target: 'glad', in 1 row", "ALTER TYPE mood ADD VALUE"),
        (("sqlite", "TEXT", ["'{sad,glad}'", "'{{NULL,sad},{\"a b\",happy}}'", "'{}'"]), ("postgresql", "mood[]"),
         "an element is no label of mood in the target: 'glad', 'a b', in 2 rows", "ALTER TYPE mood ADD VALUE"),
        (("sqlite", "TEXT", ["'{glad}'"]), ("postgresql", "feelings"),
         "an element is no label of mood in the target: 'glad', in 1 row", "ALTER TYPE mood ADD VALUE"),
        (("sqlite", "TEXT", ["'{glad}'"]), ("postgresql", "feeling[]"),
         "an element is no label of mood in the target: 'glad', in 1 row", "ALTER TYPE mood ADD VALUE"),
        (("sqlite", "TEXT", ["'sad'"]), ("postgresql", "mood[]"), "a text is no array of mood, in 1 row", "repair"),
        (("postgresql", "mood", ["'happy'", "'sad'"]), ("mariadb", "ENUM('sad', 'x')"),
         "a text is no member of the ENUM in the target: 'happy', in 1 row", "add it to the ENUM"),
        (("postgresql", "mood", ["'happy'", "'sad'"]), ("mariadb", "SET('sad', 'x')"), None, None),
        (("sqlite", "TEXT", ["'happy,x'", "'sad,x'"]), ("mariadb", "SET('sad', 'x')"),
         "a text names what is no member of the SET in the target: 'happy', in 1 row", "add it to the SET"),
        (("mariadb", "SET('sad', 'happy')", ["'happy'", "'sad'"]), ("mariadb", "SET('sad', 'x')"),
         "a text names what is no member of the SET in the target: 'happy', in 1 row", "add it to the SET"),
    ],
)  # fmt: skip
def test_what_is_no_label_of_the_target_is_told_by_column_and_label(
    source: tuple[str, str, list[Any]], target: tuple[str, str], said: str | None, hint: str | None,
    databases: Databases, tmp_path: Path,
) -> None:  # fmt: skip
    package, url = export_all(made(databases, *source), tmp_path / "p.zip"), made(databases, *target)
    before = exact_digest(url)
    with dt.Database(url) as db:
        importer = dt.PackageImporter(package, db)
        report = importer.check()
        (found,) = report.errors
        assert found.where == "t.v"
        with pytest.raises((errors.ValueLossError, errors.SchemaMismatchError)) as caught:
            importer.plan()
        assert len(dt.stages(db)) == 0
        if said is None:  # of the schemas alone
            assert found.code == "type"
        else:
            assert hint is not None
            assert (found.code, found.message) == ("value-loss", said)
            assert hint in found.hint
            assert f"t.v: {said}" in str(caught.value)
        assert_equal(before, exact_digest(url))
        assert not report.mapping  # what is left out is lost
        assert found.loses == "values are left out"
        assert importer.run(mapping=found.cure).total("insert") == len(source[2])
    assert {v for _, v in asked(url, "SELECT id, v FROM t")} == {None}


@pytest.mark.parametrize(("kind", "value"), [("mood", "'happy'"), ("feeling", "'happy'"), ("mood[]", "'{sad,happy}'")])
def test_a_type_of_the_same_name_with_fewer_labels_is_seen_and_cured_as_the_hint_says(
    kind: str, value: str, databases: Databases, tmp_path: Path
) -> None:
    package = export_all(made(databases, "postgresql", kind, [value]), tmp_path / "p.zip")
    url = made(databases, "postgresql", kind, first=(*LESS, *MOODS[1:3]))
    with dt.Database(url) as db:
        (found,) = dt.PackageImporter(package, db).check().errors
        assert found.message.endswith("is no label of mood in the target: 'happy', in 1 row")
        with pytest.raises(errors.ValueLossError, match="'happy', in 1 row"):
            dt.PackageImporter(package, db).run()
    run(url, "ALTER TYPE mood ADD VALUE 'happy'")
    import_into(package, url)
    assert asked(url, "SELECT v::text FROM t") == [(value.strip("'"),)]
    assert import_into(package, url, on_match="update").total("reuse") == 1
    run(url, "UPDATE t SET v = NULL")
    assert import_into(package, url, on_match="update").total("update") == 1
    assert asked(url, "SELECT v::text FROM t") == [(value.strip("'"),)]


def test_labels_travel_exactly_alone_and_in_arrays(databases: Databases, tmp_path: Path) -> None:
    label = "'it''s \"ok\", {so}'"
    array = f"ARRAY[[{label}, NULL], ['NULL', 'happy']]::mood[]"
    source = made(databases, "postgresql", "mood[]", [array, "'[0:1]={sad,happy}'", "'{}'", "NULL"])
    url = made(databases, "postgresql", "feelings", first=(MOODS[0], MOODS[2]))
    with dt.Database(url) as db:
        texts = made(databases, "sqlite", "TEXT", [f"'{str(v).replace(chr(39), chr(39) * 2)}'" for (v,) in asked(
            source, "SELECT v::text FROM t WHERE v IS NOT NULL ORDER BY id")])  # fmt: skip
        importer = dt.PackageImporter(export_all(texts, tmp_path / "p.zip"), db)
        assert importer.check().ok
        importer.run()
    expected = asked(source, "SELECT v::text FROM t WHERE v IS NOT NULL ORDER BY id")
    assert asked(url, "SELECT v::text FROM t ORDER BY id") == expected
    twin = made(databases, "postgresql", "mood[]")
    import_into(export_all(source, tmp_path / "twin.zip"), twin)
    assert asked(twin, "SELECT v::text FROM t ORDER BY id") == [*expected, (None,)]


@pytest.mark.parametrize(("many", "more"), [(12, "2 more"), (1_500, "at least 990 more")])
def test_ten_labels_are_named_and_the_others_counted_over_all_batches(
    many: int, more: str, databases: Databases, tmp_path: Path
) -> None:
    source = made(databases, "sqlite", "TEXT")
    # the later labels come with the second batch only
    run(source, f"""
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 69999)
        INSERT INTO t SELECT i, 'l' || (CASE WHEN i < 68000 THEN i % 9 ELSE i % {many} END) FROM n""")  # fmt: skip
    url = made(databases, "postgresql", "mood")
    with dt.Database(url) as db:
        importer = dt.PackageImporter(export_all(source, tmp_path / "p.zip"), db)
        (found,) = importer.check().errors
        with pytest.raises(errors.ValueLossError) as caught:
            importer.run()
    first = ", ".join(f"'l{i}'" for i in range(9))
    assert f"in the target: {first}, 'l" in found.message
    assert found.message.endswith(f"' and {more}, in 70,000 rows")
    assert found.message in str(caught.value)


def test_a_value_that_looks_secret_is_counted_and_not_shown(databases: Databases, tmp_path: Path) -> None:
    source, url = databases.create("sqlite"), databases.create("postgresql")
    run(source, "CREATE TABLE t (id INTEGER PRIMARY KEY, api_token TEXT)", "INSERT INTO t VALUES (1, 'hunter2')")
    run(url, *MOODS, "CREATE TABLE t (id INTEGER PRIMARY KEY, api_token mood)")
    with dt.Database(url) as db:
        importer = dt.PackageImporter(export_all(source, tmp_path / "p.zip"), db)
        report = importer.check()
        assert report.errors[0].message == "a text is no label of mood in the target, in 1 row"
        with pytest.raises(errors.ValueLossError, match=r"api_token: a text is no label of mood") as caught:
            importer.run()
    assert "hunter2" not in f"{report}{report._repr_html_()}{caught.value}{caught.value.evidence}"


def test_a_long_text_is_shortened(databases: Databases, tmp_path: Path) -> None:
    source, url = made(databases, "sqlite", "TEXT", [f"'{'x' * 5_000}'"]), made(databases, "postgresql", "mood")
    with dt.Database(url) as db:
        (found,) = dt.PackageImporter(export_all(source, tmp_path / "p.zip"), db).check().errors
    assert found.message == f"a text is no label of mood in the target: '{'x' * 63}…', in 1 row"


def test_a_default_that_is_no_label_is_refused(databases: Databases, tmp_path: Path) -> None:
    package = export_all(made(databases, "sqlite", "TEXT", ["NULL"]), tmp_path / "p.zip")
    url = made(databases, "postgresql", "mood")
    with pytest.raises(errors.SchemaMismatchError, match=r"t\.v: the default given for it is no value of mood"):
        import_into(package, url, default={"t": {"v": "glad"}})
    import_into(package, url, default={"t": {"v": "sad"}})
    assert asked(url, "SELECT v::text FROM t") == [("sad",)]


@pytest.mark.parametrize("kind", ["mood", "feeling"])
def test_labels_that_are_unique_or_identify_rows_are_known_again(
    kind: str, databases: Databases, tmp_path: Path
) -> None:
    source, url = databases.create("postgresql"), databases.create("postgresql")
    for at in (source, url):
        run(
            at, *MOODS, "CREATE TABLE t (id mood PRIMARY KEY, v INTEGER)",
            f"CREATE TABLE u (id INTEGER PRIMARY KEY, t {kind} UNIQUE, CHECK (t::text <> ''))",
        )  # fmt: skip
    run(source, "INSERT INTO t VALUES ('sad', 1), ('happy', 2)", "INSERT INTO u VALUES (1, 'happy'), (2, NULL)")
    package = export_all(source, tmp_path / "p.zip")
    run(url, "INSERT INTO u VALUES (7, 'happy')")
    with pytest.raises(errors.ConflictError, match="another row holds the same t"):
        import_into(package, url)
    receipt = import_into(package, url, match_on={"u": ["t"]})
    assert (receipt.total("insert"), receipt.total("reuse")) == (3, 1)
    assert import_into(package, url, on_match="update", match_on={"u": ["t"]}).total("reuse") == 4
    run(url, "UPDATE t SET v = 3 WHERE id = 'sad'")
    assert import_into(package, url, on_match="update", match_on={"u": ["t"]}).total("update") == 1
