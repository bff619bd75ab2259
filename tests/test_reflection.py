"""What each database's schema becomes."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from datatransfer.database.connection import Database
from datatransfer.database.dialects import Dialect, inspector
from datatransfer.database.dialects.failures import database_errors
from datatransfer.database.filestores import MemoryStore
from datatransfer.errors import DatabaseError, UnknownColumnError, UnknownTableError, UsageError
from datatransfer.schema.tables import Schema
from datatransfer.schema.values import LogicalType
from tests.support.scripts import opened_with
from tests.support.servers import Databases

COMMON = """
CREATE TABLE node (id INTEGER PRIMARY KEY, parent INTEGER, u1 INTEGER NOT NULL, u2 VARCHAR(10), UNIQUE (u1, u2), UNIQUE (u1), FOREIGN KEY (parent) REFERENCES node (id));
CREATE TABLE comp (x INTEGER, y INTEGER, PRIMARY KEY (y, x));
CREATE TABLE compc (id INTEGER PRIMARY KEY, cx INTEGER, cy INTEGER, nu INTEGER, FOREIGN KEY (cy, cx) REFERENCES comp (y, x), FOREIGN KEY (nu) REFERENCES node (u1));
CREATE TABLE uniq (a INTEGER NOT NULL, b INTEGER, UNIQUE (b), UNIQUE (a));
CREATE TABLE nokey (a INTEGER, b INTEGER);
CREATE UNIQUE INDEX plain_index ON nokey (b);
CREATE VIEW seen AS SELECT 1 AS one;
CREATE TABLE datatransfer_origin (id INTEGER PRIMARY KEY, origin VARCHAR(36), created VARCHAR(30));
INSERT INTO datatransfer_origin VALUES (1, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '');
CREATE TABLE alembic_version (version_num VARCHAR(32) PRIMARY KEY);
INSERT INTO alembic_version VALUES ('abc123');
CREATE TABLE cycle_a (id INTEGER PRIMARY KEY, b_id INTEGER);
CREATE TABLE cycle_b (id INTEGER PRIMARY KEY, a_id INTEGER, FOREIGN KEY (a_id) REFERENCES cycle_a (id))
"""  # noqa: E501


@pytest.fixture(scope="module", params=["sqlite", "postgresql", "mariadb"])
def common_url(request: pytest.FixtureRequest, tmp_path_factory, servers) -> Iterator[str]:
    made = Databases(tmp_path_factory.mktemp("common"), servers)
    url = made.create(request.param)
    extra = "" if request.param == "sqlite" else ";\nALTER TABLE cycle_a ADD FOREIGN KEY (b_id) REFERENCES cycle_b (id)"
    opened_with(url, COMMON.rstrip() + extra).close()
    yield url
    made.drop_all()


@pytest.fixture
def common(common_url: str) -> Iterator[Database]:
    with Database(common_url) as db:
        yield db


def references(schema: Schema, table: str) -> set[tuple[tuple[str, ...], str, tuple[str, ...]]]:
    return {(fk.columns, fk.parent, fk.parent_columns) for fk in schema.table(table).foreign_keys}


def left_out(schema: Schema) -> set[tuple[str, str]]:
    return {(item.name, item.kind) for item in schema.left_out}


def test_keys_uniques_and_references_are_the_same_on_every_database(common):
    schema = common.schema
    assert set(schema.tables) == {"node", "comp", "compc", "uniq", "nokey", "cycle_a", "cycle_b"}
    assert (schema.table("node").key, schema.table("node").key_kind) == (("id",), "primary")
    assert set(schema.table("node").uniques) == {("u1", "u2"), ("u1",)}
    assert schema.table("comp").key == ("y", "x")
    assert (schema.table("uniq").key, schema.table("uniq").key_kind) == (("a",), "unique")
    assert schema.table("uniq").uniques == (("b",),)
    assert (schema.table("nokey").key, schema.table("nokey").key_kind) == ((), "none")
    assert schema.table("nokey").uniques == (("b",),)
    assert references(schema, "node") == {(("parent",), "node", ("id",))}
    assert references(schema, "compc") == {(("cy", "cx"), "comp", ("y", "x")), (("nu",), "node", ("u1",))}
    assert references(schema, "cycle_b") == {(("a_id",), "cycle_a", ("id",))}
    if common.dialect.name != "sqlite":
        assert references(schema, "cycle_a") == {(("b_id",), "cycle_b", ("id",))}
    assert all(fk.enforced is (common.dialect.name != "sqlite") for fk in schema.foreign_keys())


def test_what_is_no_data_is_left_out_and_said(common):
    assert left_out(common.schema) == {("seen", "view"), ("alembic_version", "bookkeeping table")}
    assert set(common.left_out["kind"]) == {"view", "bookkeeping table"}
    with pytest.raises(UnknownTableError, match="is a view"):
        common.schema.table("seen")


def test_origin_and_revision_are_read_from_the_database(common):
    assert str(common.origin) == "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
    assert common.revision() == "abc123"


def test_tables_is_a_frame_with_one_row_a_table(common):
    frame = common.tables.set_index("table")
    assert list(frame.columns) == ["rows", "columns", "key", "key_kind", "references", "referenced_by", "tracked"]
    assert frame.loc["comp", "referenced_by"] == "compc"
    assert set(frame["rows"]) == {0}


def test_the_generic_way_finds_the_same_tables_keys_and_references(common):
    with common.engine.connect() as conn:
        generic = inspector.reflect(conn, None)
        assert Dialect(common.engine).reflect(conn).tables.keys() == generic.tables.keys()
    assert set(generic.tables) == set(common.schema.tables)
    for table in common.schema:
        assert generic.table(table.name).key == table.key
        assert set(generic.table(table.name).uniques) == set(table.uniques)
        assert references(generic, table.name) == references(common.schema, table.name)


def test_a_relation_that_the_database_does_not_declare_can_be_added(common):
    common.relate("nokey.a", "uniq.a")
    fk = common.schema.foreign_key("nokey.a")
    assert (fk.parent, fk.declared, fk.enforced) == ("uniq", False, False)
    assert common.refresh().foreign_key("nokey.a") == fk
    with pytest.raises(UsageError, match="already"):
        common.relate("nokey.a", "uniq.a")
    with pytest.raises(UnknownColumnError):
        common.relate("nokey.z", "uniq.a")
    with pytest.raises(UsageError, match="different numbers"):
        common.relate("nokey.a", "comp.(y, x)")


def test_files_name_columns_that_exist(common):
    assert set(Database(common.engine, files={"node.u2": MemoryStore()}).files) == {("node", "u2")}
    with pytest.raises(UnknownTableError):
        Database(common.engine, files={"nodes.u2": MemoryStore()})
    with pytest.raises(UnknownColumnError):
        Database(common.engine, files={"node.path": MemoryStore()})


# --- SQLite ---------------------------------------------------------------------------------------------------------

SQLITE = """
CREATE TABLE plain (Id INTEGER PRIMARY KEY, "a""b" VARCHAR(5) DEFAULT 'x', gen AS (Id * 2) STORED, virt AS (Id), n NUMERIC(10,2));
CREATE TABLE descending (id INTEGER PRIMARY KEY DESC);
CREATE TABLE strictly (id INT PRIMARY KEY, i INTEGER, r REAL, t TEXT, b BLOB, x ANY) STRICT;
CREATE TABLE rowless (k TEXT PRIMARY KEY, v) WITHOUT ROWID;
CREATE TABLE child (id INTEGER PRIMARY KEY AUTOINCREMENT, p REFERENCES PLAIN, q REFERENCES plain (ID), gone REFERENCES nowhere (id), bad REFERENCES rowless (w));
CREATE TABLE partly (a, b);
CREATE UNIQUE INDEX partly_a ON partly (a) WHERE b IS NULL;
CREATE UNIQUE INDEX partly_lower ON partly (lower(a));
CREATE VIRTUAL TABLE words USING fts5(text);
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1)
"""  # noqa: E501


def test_sqlite_knows_what_only_its_pragmas_tell(sqlite_url):
    with opened_with(sqlite_url(), SQLITE) as db:
        schema = db.schema
        plain = schema.table("plain")
        assert plain.column_names == ("Id", 'a"b', "gen", "virt", "n")
        assert plain.column("Id").type == LogicalType("integer", bits=64)
        assert (plain.column("Id").identity, plain.column("Id").nullable) == ("default", False)
        assert plain.column('a"b').has_default
        assert [c.name for c in plain.columns if c.generated] == ["gen", "virt"]
        assert (plain.column("n").type.kind, plain.column("n").declared) == ("any", "NUMERIC(10,2)")
        assert schema.table("descending").column("id").type.kind == "any"
        kinds = {c.name: c.type.kind for c in schema.table("strictly").columns}
        assert kinds == {"id": "integer", "i": "integer", "r": "float", "t": "text", "b": "bytes", "x": "any"}
        assert not schema.table("rowless").column("k").nullable
        assert references(schema, "child") == {(("p",), "plain", ("Id",)), (("q",), "plain", ("Id",))}
        assert schema.table("partly").uniques == ()
        found = left_out(schema)
        assert {("words", "virtual table"), ("boxes", "virtual table"), ("words_data", "shadow table")} <= found
        assert {("child.gone", "foreign key"), ("child.bad", "foreign key")} <= found
        assert not any(name.startswith("sqlite_") for name, _ in found)


def test_sqlite_in_memory_is_one_database_with_an_origin_of_its_own():
    with Database("sqlite://") as db, Database("sqlite://") as other:
        with db.engine.begin() as conn:
            conn.exec_driver_sql("CREATE TABLE t (id INTEGER PRIMARY KEY)")
        assert db.count("t") == 0
        assert db.origin == db.origin != other.origin


def test_sqlite_origin_follows_the_file(sqlite_url, tmp_path):
    url = sqlite_url()
    with opened_with(url, "CREATE TABLE t (id INTEGER PRIMARY KEY)") as db, Database(url) as again:
        assert db.origin == again.origin
    given = Database(url, origin="11111111-1111-4111-8111-111111111111")
    assert str(given.origin).startswith("11111111")
    given.close()


def test_a_missing_file_is_an_error_and_is_not_made(tmp_path):
    path = tmp_path / "missing.db"
    with Database(f"sqlite:///{path}") as db, pytest.raises(DatabaseError, match="no such database file"):
        _ = db.schema
    assert not path.exists()


# --- PostgreSQL -----------------------------------------------------------------------------------------------------

POSTGRESQL = """
CREATE SCHEMA other;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN posint AS integer CHECK (VALUE > 0);
CREATE DOMAIN email AS varchar(50) NOT NULL;
CREATE TABLE other.country (code char(2) PRIMARY KEY);
CREATE TABLE other.unrelated (id int PRIMARY KEY);
CREATE TABLE everything (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, s serial, o int GENERATED BY DEFAULT AS IDENTITY, i2 smallint, f4 real, n numeric, n2 numeric(38,10), vc varchar(10), bc char(5), j jsonb, m mood, p posint, e email, arr int[], iv interval, g int GENERATED ALWAYS AS (i2 * 2) STORED, code char(2) REFERENCES other.country (code));
CREATE TABLE loose (id int PRIMARY KEY, e bigint);
ALTER TABLE loose ADD FOREIGN KEY (e) REFERENCES everything (id) NOT VALID;
CREATE TABLE part (id int, d date NOT NULL, e bigint, PRIMARY KEY (id, d)) PARTITION BY RANGE (d);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM ('2021-01-01') TO ('2022-01-01') PARTITION BY RANGE (d);
CREATE TABLE part_2a PARTITION OF part_2 DEFAULT;
ALTER TABLE part_1 ADD FOREIGN KEY (e) REFERENCES everything (id);
ALTER TABLE part_2a ADD FOREIGN KEY (e) REFERENCES everything (id);
CREATE TABLE base (id int PRIMARY KEY, x text);
CREATE TABLE derived (y text) INHERITS (base);
CREATE TABLE partly (a int, b text);
CREATE UNIQUE INDEX ON partly (a) WHERE b IS NULL;
CREATE UNIQUE INDEX ON partly (lower(b));
CREATE MATERIALIZED VIEW stored AS SELECT 1 AS x
"""  # noqa: E501


def test_postgresql_knows_what_only_its_catalogs_tell(postgresql_url):
    with opened_with(postgresql_url(), POSTGRESQL) as db:
        schema = db.schema
        tables = {"everything", "loose", "part", "base", "derived", "partly", "other.country"}
        assert set(schema.tables) == tables
        table = schema.table("everything")
        identities = {c.name: c.identity for c in table.columns if c.identity}
        assert identities == {"id": "always", "s": "default", "o": "default"}
        assert [c.name for c in table.columns if c.generated] == ["g"]
        types = {c.name: c.type for c in table.columns}
        assert types["i2"] == LogicalType("integer", bits=16)
        assert types["f4"] == LogicalType("float", bits=32)
        assert types["n"] == LogicalType("decimal")
        assert types["n2"] == LogicalType("decimal", precision=38, scale=10)
        assert types["vc"] == LogicalType("text", length=10)
        assert types["bc"] == LogicalType("text", length=5)
        assert (types["j"].kind, types["m"].kind) == ("json", "enum")
        assert (types["p"], table.column("p").declared) == (LogicalType("integer", bits=32), "posint")
        assert not table.column("e").nullable
        assert types["arr"] == LogicalType("native", native="postgresql:integer[]")
        assert references(schema, "everything") == {(("code",), "other.country", ("code",))}
        assert not schema.foreign_key("loose.e").enforced
        assert schema.foreign_key("part.e").enforced
        assert schema.table("part").key == ("id", "d")
        assert schema.table("partly").uniques == ()
        assert left_out(schema) == {("stored", "materialized view"), ("other", "schema")}


def test_postgresql_reads_another_schema_under_bare_names(postgresql_url):
    url = postgresql_url()
    opened_with(url, POSTGRESQL).close()
    with Database(url, schema="other") as db:
        assert set(db.schema.tables) == {"country", "unrelated"}
        assert db.dialect.table_sql(db.schema.table("country")) == '"other"."country"'
        assert db.count("country") == 0


# --- MariaDB --------------------------------------------------------------------------------------------------------


def test_mariadb_knows_what_only_its_information_schema_tells(mariadb_url):
    url, elsewhere = mariadb_url(), mariadb_url()
    other = sa.make_url(elsewhere).database
    opened_with(elsewhere, "CREATE TABLE country (code CHAR(2) PRIMARY KEY);\nCREATE TABLE unrelated (id INT)").close()
    script = f"""
CREATE TABLE everything (id BIGINT UNSIGNED AUTO_INCREMENT PRIMARY KEY, t TINYINT(1), m MEDIUMINT, f FLOAT, d DOUBLE, n DECIMAL(38,10), vc VARCHAR(10), b VARBINARY(5), ti TIME(6), dt DATETIME(6), ts TIMESTAMP NULL, y YEAR, e ENUM('a'), s SET('x','y'), j JSON, u UUID, g GEOMETRY, gen INT AS (m * 2) STORED, code CHAR(2), FOREIGN KEY (code) REFERENCES {other}.country (code));
CREATE TABLE prefixed (id INT PRIMARY KEY, t VARCHAR(100), UNIQUE (t(3)));
CREATE SEQUENCE counter;
CREATE TABLE versioned (id INT PRIMARY KEY) WITH SYSTEM VERSIONING
"""  # noqa: E501
    with opened_with(url, script) as db:
        schema = db.schema
        assert set(schema.tables) == {"everything", "prefixed", "versioned", f"{other}.country"}
        table = schema.table("everything")
        types = {c.name: c.type for c in table.columns}
        assert types["id"] == LogicalType("integer", bits=64, unsigned=True)
        assert (types["t"], types["m"]) == (LogicalType("integer", bits=8), LogicalType("integer", bits=24))
        assert (types["f"].bits, types["d"].bits) == (32, 64)
        assert types["n"] == LogicalType("decimal", precision=38, scale=10)
        assert (types["vc"].length, types["b"]) == (10, LogicalType("bytes", length=5))
        kinds = {name: types[name].kind for name in ("dt", "ts", "y", "e", "j", "u")}
        wanted = {"dt": "timestamp", "ts": "timestamptz", "y": "integer", "e": "enum", "j": "json", "u": "uuid"}
        assert kinds == wanted
        assert types["ti"].native == "mariadb:time(6)"
        assert types["s"].native == "mariadb:set('x','y')"
        assert types["g"].native == "mariadb:geometry"
        assert [c.name for c in table.columns if c.generated] == ["gen"]
        assert [c.name for c in table.columns if c.identity] == ["id"]
        assert schema.table("prefixed").uniques == ()
        assert references(schema, "everything") == {(("code",), f"{other}.country", ("code",))}
        assert left_out(schema) == {("counter", "sequence")}
        with db.engine.begin() as conn:  # so that the other database can be dropped
            conn.exec_driver_sql("DROP TABLE everything")


# --- names and secrets ----------------------------------------------------------------------------------------------

SECRET = "S3CR3T-canary"


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql+psycopg://nobody:{SECRET}@127.0.0.1:1/x",
        f"mysql+pymysql://nobody:{SECRET}@127.0.0.1:1/x",
        f"postgresql+psycopg://nobody@127.0.0.1:1/x?password={SECRET}",
    ],
)
def test_a_password_is_in_no_error_and_no_repr(url):
    db = Database(url)
    assert SECRET not in repr(db) + db.url_shown + repr(db.dialect)
    with pytest.raises(DatabaseError) as caught:
        _ = db.schema
    assert SECRET not in f"{caught.value} {caught.value.to_dict()} {caught.getrepr(chain=True)}".replace(url, "")
    assert caught.value.hint


@pytest.mark.parametrize("url", ["nonsense", f"foo://x:{SECRET}@h/d", f"postgresql+psycopg://x:{SECRET}@h:abc/"])
def test_a_url_that_cannot_be_read_is_a_usage_error_that_does_not_repeat_it(url):
    with pytest.raises(UsageError) as caught:
        Database(url)
    assert SECRET not in str(caught.value)


def test_names_are_quoted_whatever_they_hold(databases, sqlite_url):
    names = ["select", 'a"b', "a`b", "a%b", "a:b", "new\nline", "Ä", "1st", "--", "x" * 60]
    for url in (sqlite_url(), databases.create("postgresql"), databases.create("mariadb")):
        with Database(url) as db:
            quoted = ", ".join(f"{db.dialect.quote(name)} INTEGER" for name in names)
            with db.engine.begin() as conn:
                db.dialect.execute(
                    conn, f"CREATE TABLE {db.dialect.quote('we%s :x')} (id INTEGER PRIMARY KEY, {quoted})"
                )
            table = db.schema.table("we%s :x")
            assert table.column_names == ("id", *names)
            assert db.count("we%s :x") == 0
            with db.dialect.snapshot() as conn:
                assert list(db.dialect.read(conn, table)) == []
            with pytest.raises(UsageError):
                db.dialect.quote("a\0b")


def test_a_database_error_names_no_value(postgresql_url):
    with opened_with(postgresql_url(), "CREATE TABLE t (id int PRIMARY KEY, secret text)") as db:
        with (
            db.engine.connect() as conn,
            pytest.raises(DatabaseError) as caught,
            database_errors(db.engine, "trying"),
        ):
            conn.exec_driver_sql("SELECT 'row-value'::int")
        assert not re.search("row-value", str(caught.value))
