"""Keys of every type that can be one: imported once, twice, compared and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest

import datatransfer as dt
from tests.support.copies import empty_copy
from tests.support.digest import assert_equal, exact_digest
from tests.support.everytype import prepared
from tests.support.servers import Databases, absent
from tests.support.sql import run
from tests.support.transfer import export_all, written
from tests.support.undoing import application

KEYS = {
    "postgresql": {
        "numeric": ["'NaN'", "0.10", "1e100", "1e-20"],
        "real": ["1.1", "'NaN'", "'Infinity'", "16777217", "1e-45"],
        "double precision": ["1.1", "'NaN'", "'-Infinity'", "0.1"],
        "money": ["1234.56"],
        "boolean": ["true", "false"],
        'text COLLATE "blind"': ["'a'", "'B'"],
        "char(5)": ["'a'", "' b'"],
        '"char"': ["'x'", "'y'"],
        "bytea": ["'\\x00ff'", "''"],
        "date": ["'2024-02-29'", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'12345-01-01'"],
        "time": ["'12:34:56.5'", "'24:00'"],
        "time(2)": ["'12:34:56.12'", "'00:00'"],
        "timetz": ["'12:34:56.123456+05:30'", "'00:00-11'", "'24:00+14'"],
        "timestamp": ["'2024-02-29 12:34:56.5'", "'infinity'", "'4713-01-01 BC'", "'12345-01-01'"],
        "timestamp(3)": ["'2024-02-29 12:34:56.5'", "'0001-01-01'"],
        "timestamptz": ["'2024-02-29 12:34:56.5+14'", "'infinity'", "'-infinity'"],
        "timestamptz(3)": ["'2024-02-29 12:34:56.125+02'", "'2024-02-29'"],
        "interval": ["'1 month'", "'720 hours 1 second'", "'-1 year 2 mons -3 days 04:05:06.789'"],
        "uuid": ["'00112233-4455-6677-8899-aabbccddeeff'"],
        "jsonb": ['\'{"b": 1.0, "a": [1, null]}\'', "'null'", "'1.00'", "'\"x\"'"],
        "tsvector": ["to_tsvector('simple', 'a quick b:1')", "''"],
        "inet": ["'192.0.2.1/24'", "'192.0.2.1'", "'2001:db8::1/64'"],
        "cidr": ["'192.0.2.0/24'", "'::/0'"],
        "macaddr": ["'08:00:2b:01:02:03'"],
        "bit(5)": ["B'10101'", "B'00000'"],
        "bit varying": ["B'10'", "B''"],
        "int4range": ["'[1,5)'", "'empty'", "'(,)'"],
        "numrange": ["'[1.0,2.50]'", "'empty'"],
        "tsrange": ["'[2024-01-01,2024-02-01)'", "'[2024-01-01,infinity]'"],
        "tstzrange": ["'[2024-01-01 00:00+00,infinity)'", "'[-infinity,2020-01-01 00:00+00)'", "'(,)'"],
        "daterange": ["'[2024-01-01,2024-02-01)'", "'[,infinity]'"],
        "int4multirange": ["'{[1,3),[5,7)}'", "'{}'"],
        "tstzmultirange": ["'{[2024-01-01 00:00+00,infinity)}'"],
        "pg_lsn": ["'16/B374D848'"],
        "oid": ["4294967295", "0"],
        "integer[]": ["'{1,NULL,3}'", "'{}'", "'{{1,2},{3,4}}'", "'[0:1]={7,8}'"],
        "text[]": ["ARRAY['a','NULL',NULL,'','a\"b','c,d']", "'{}'"],
        "bytea[]": ["ARRAY['\\x00ff'::bytea]"],
        "timestamptz[]": ["ARRAY['infinity'::timestamptz]"],
        "jsonb[]": ["ARRAY['{\"a\": 1.0}'::jsonb]"],
        "mood": ["'sad'", "'Ä ok'"],
        "mood[]": ["ARRAY['sad','Ä ok']::mood[]"],
        "positive": ["1", "2147483647"],
        "short": ["'a  '", "'b'"],
        "padded": ["'a'", "'bc'"],
        "pair": ["ROW(1,'a b')", "ROW(2,'')"],
        "floatrange": ["'[1.5,2.5]'"],
    },
    "mariadb": {
        "BIGINT UNSIGNED": ["18446744073709551615", "1"],
        "BOOLEAN": ["0", "1"],
        "DECIMAL(65,30)": ["0.100000000000000000000000000001", "1.5", "0.000000000000000000000000000001"],
        "FLOAT": ["1.1", "3.4028e38", "1e-38", "16777217", "8388608.5"],
        "FLOAT(7,3)": ["1.125", "-1234.567"],
        "DOUBLE": ["1.1", "1.7976931348623157e308", "5e-324"],
        "BIT(5)": ["b'10101'", "b'0'"],
        "BIT(64)": ["b'1'", "0xFFFFFFFFFFFFFFFF"],
        "DATE": ["'2024-02-29'", "'0001-01-01'", "'9999-12-31'"],
        "YEAR": ["2024", "1901"],
        "TIME(6)": ["'12:34:56.123456'", "'-838:59:58'", "'-00:00:00.5'"],
        "DATETIME": ["'2024-02-29 12:34:56'", "'1000-01-01 00:00:00'"],
        "DATETIME(6)": ["'2024-02-29 12:34:56.123456'", "'9999-12-31 23:59:59.5'"],
        "TIMESTAMP": ["'2024-02-29 12:34:56'", "'1970-01-01 00:00:01'"],
        "TIMESTAMP(6)": ["'2024-02-29 12:34:56.123456'"],
        "VARCHAR(40) COLLATE utf8mb4_general_ci": ["'a'", "'B'"],
        "VARCHAR(40) CHARACTER SET latin1": ["'é'", "'x'"],
        "VARCHAR(20) CHARACTER SET ucs2": ["'Ж'", "'a'"],
        "CHAR(20) CHARACTER SET cp1251": ["'Ж'"],
        "BINARY(4)": ["x'00FF2000'", "x'20202020'"],
        "VARBINARY(10)": ["x'00FF20'", "x''", "x'61'"],
        "ENUM('a','B','Ä')": ["'Ä'", "'a'"],
        "SET('a','B','Ä')": ["'a,Ä'", "''"],
        "UUID": ["'00112233-4455-6677-8899-aabbccddeeff'"],
        "INET6": ["'2001:db8::1'", "'::'", "'::ffff:192.0.2.1'"],
    },
}
CASES = [(dialect, declared) for dialect, types in KEYS.items() for declared in types]


def _keyed_by(databases: Databases, dialect: str, declared: str) -> str:
    """Make a table with such a key and one that refers to it."""
    url = databases.create(dialect)
    if dialect == "postgresql":
        if "COLLATE" in declared and not databases.has_icu():
            absent("postgresql", "it was built without ICU")
        run(url, *prepared([declared]))
    run(
        url,
        f"CREATE TABLE parents (k {declared} NOT NULL PRIMARY KEY, note VARCHAR(20))",
        f"CREATE TABLE children (id INTEGER PRIMARY KEY, k {declared} NULL, FOREIGN KEY (k) REFERENCES parents (k))",
        "INSERT INTO children VALUES (0, NULL)",
    )
    for number, value in enumerate(KEYS[dialect][declared], 1):
        run(url, f"INSERT INTO parents VALUES ({value}, '{number}')")
        run(url, f"INSERT INTO children VALUES ({number}, {value})")
    return url


@pytest.mark.parametrize(("dialect", "declared"), CASES)
def test_rows_with_such_a_key_are_known_again_and_taken_back(
    databases: Databases, tmp_path: Path, dialect: str, declared: str
) -> None:
    source = _keyed_by(databases, dialect, declared)
    target = empty_copy(source, databases)
    before = exact_digest(target)
    package = export_all(source, tmp_path / "package.zip")
    with dt.Database(source) as left, dt.Database(target) as right:
        first = dt.PackageImporter(package, right).run()
        assert_equal(exact_digest(source), application(exact_digest(target)))
        keys = first.id_map("parents")
        assert list(map(str, keys["source.k"])) == list(map(str, keys["target.k"]))
        again = dt.PackageImporter(package, right).run()
        assert (written(again), again.total("reuse")) == (0, 2 * len(KEYS[dialect][declared]) + 1)
        assert written(dt.PackageImporter(package, left).run()) == 0
        assert package.diff(left).values.tolist() == []
        assert package.diff(right).values.tolist() == []
        first.undo()
        assert_equal(before, application(exact_digest(target)))


@pytest.mark.parametrize(("kind", "value"), [("date", "soon"), ("time", "24:00"), ("timestamptz", "2024-13-01")])
def test_what_is_no_time_is_refused_as_a_key(databases: Databases, tmp_path: Path, kind: str, value: str) -> None:
    source = databases.create("postgresql")
    run(source, f"CREATE TABLE days (k {kind} PRIMARY KEY)", "INSERT INTO days SELECT now()::" + kind)
    package = export_all(source, tmp_path / "package.zip")
    with dt.Database(source) as db, dt.PackageImporter(package, db).plan() as plan:
        with pytest.raises(dt.UsageError, match=f"a value is no {kind}"):
            plan.decide("days", value, "skip")


def test_times_that_python_cannot_hold_are_shown_as_text(databases: Databases, tmp_path: Path) -> None:
    source, target = databases.create("postgresql"), databases.create("postgresql")
    for url, note in ((source, "new"), (target, "old")):
        run(
            url,
            "CREATE TABLE days (k date PRIMARY KEY, at timestamptz, span tstzrange, note text)",
            f"INSERT INTO days VALUES ('infinity', '-infinity', '[2024-01-01 00:00+00,infinity)', '{note}')",
            "INSERT INTO days VALUES ('0044-03-15 BC', NULL, NULL, NULL)",
        )
    run(target, "DELETE FROM days WHERE note IS NULL", "UPDATE days SET at = '10000-01-01 00:00:00+00', span = '(,)'")
    before = exact_digest(target)
    package = export_all(source, tmp_path / "package.zip")
    with dt.Database(target) as db:
        with dt.PackageImporter(package, db).plan() as plan:
            assert plan.conflicts["source_key"].tolist() == plan.conflicts["target_key"].tolist() == ["infinity"]
        with dt.PackageImporter(package, db).plan(match_on={"days": "k"}, on_match="update") as plan:
            frame = plan.to_frame("days").set_index("action")
            assert frame.loc["insert", "target_key"] == "0044-03-15 BC"
            assert str(frame.loc["update", "before"]["at"]) == "10000-01-01 00:00:00+00"
            assert frame.loc["update", "after"]["at"] == "-infinity"
        receipt = dt.PackageImporter(package, db).run(match_on={"days": "k"}, on_match="update")
        assert written(receipt) == 2
        run(target, "UPDATE days SET note = 'edited'")
        assert sorted(key for _, key, *_ in receipt.check_undo().rows) == ["0044-03-15 BC", "infinity"]
        run(target, "UPDATE days SET note = CASE WHEN k = 'infinity' THEN 'new' END")
        receipt.undo()
    assert_equal(before, application(exact_digest(target)))


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize(
    ("kind", "usual", "outside"),
    [("date", "2024-01-01", "infinity"), ("time", "12:00:00.5", "24:00"), ("timestamptz", "2024-01-01", "-infinity")],
)
def test_references_are_written_as_what_they_refer_to(
    databases: Databases, tmp_path: Path, kind: str, usual: str, outside: str, depth: int
) -> None:
    source = databases.create("postgresql")
    run(
        source,
        f"CREATE TABLE parents (k {kind} PRIMARY KEY)",
        f"CREATE TABLE children (k {kind} PRIMARY KEY REFERENCES parents)",
        f"CREATE TABLE grandchildren (id serial PRIMARY KEY, k {kind} REFERENCES children)",
    )
    for number, name in enumerate(("parents", "children", "grandchildren")):
        for value in (usual, outside)[: 1 + (number < depth)]:
            run(source, f"INSERT INTO {name} (k) VALUES ('{value}')")
    target = empty_copy(source, databases)
    package = export_all(source, tmp_path / "package.zip")
    assert package.verify().ok
    with dt.Database(target) as db:
        dt.PackageImporter(package, db).run()
        assert_equal(exact_digest(source), application(exact_digest(target)))
        assert written(dt.PackageImporter(package, db).run()) == 0
        assert package.diff(db).values.tolist() == []


@pytest.mark.parametrize(("kind", "usual"), [("date", "2024-01-01"), ("timestamptz", "2024-01-01 12:00:00.5+00")])
def test_equal_times_are_equal_whatever_stands_beside_them(
    databases: Databases, tmp_path: Path, kind: str, usual: str
) -> None:
    source = databases.create("postgresql")
    run(source, f"CREATE TABLE days (k {kind} PRIMARY KEY, at {kind}, note text)")
    target = databases.create("postgresql", template=source)
    run(source, f"INSERT INTO days VALUES ('{usual}', '{usual}', 'usual'), ('infinity', NULL, 'odd')")
    with dt.Database(source) as left, dt.Database(target) as right:
        whole = export_all(source, tmp_path / "whole.zip")
        usual_only = dt.PackageBuilder(left).add("days", where="note = 'usual'")
        part = usual_only.build(tmp_path / "part.zip", progress=False)
        dt.PackageImporter(whole, right).run()
        for db in (left, right):
            assert part.diff(db)[["key", "change"]].values.tolist() == [['["infinity"]', "added"]]
        run(target, "DELETE FROM days WHERE note = 'odd'")
        assert whole.diff(right)[["key", "change"]].values.tolist() == [['["infinity"]', "removed"]]
        run(target, "UPDATE days SET at = 'infinity'")
        assert part.diff(right)[["change", "field", "after"]].values.tolist() == [["changed", "at", "infinity"]]
