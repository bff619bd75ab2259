"""Made-up databases for Hypothesis: schemas and rows with every kind of key and value that a database can hold.

A made-up database is plain data: statements that make its tables, and rows to insert. Rows are always consistent with
their keys, so whatever is refused or lost is the library's doing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

# Names that break what quotes them badly.
NAMES = [
    "plain", "select", 'a"b', "back`quote", "a%b", "a:b", "a b", "a.b", "line\nbreak", "Ärger", "1st", "--", "Mixed",
    "a'b", "(a, b)", "漢字", "[x]", "%(x)s", "$1", "?", "{a}", "group", "l" * 60, "\\", "a/b", "rowid",
]  # fmt: skip


@dataclass(frozen=True)
class MadeTable:
    """A table: its statement, the columns to insert, and the rows."""

    name: str
    create: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...] = ()


@dataclass(frozen=True)
class MadeDatabase:
    """All tables, and indexes to make after them."""

    tables: tuple[MadeTable, ...]
    indexes: tuple[str, ...] = ()
    casts: dict[str, Sequence[str]] = field(default_factory=dict, repr=False)

    def fill_sqlite(self, path: str, *, rows: bool = True) -> None:
        """Make the tables, and perhaps the rows, in a SQLite file."""
        with closing(sqlite3.connect(path)) as connection:
            for statement in [*(table.create for table in self.tables), *self.indexes]:
                connection.execute(statement)
            for table in self.tables if rows else ():
                marks = ", ".join("?" * len(table.columns))
                names = ", ".join(quoted(column) for column in table.columns)
                statement = f"INSERT INTO {quoted(table.name)} ({names}) VALUES ({marks})"
                connection.executemany(statement, table.rows)
            connection.commit()


def quoted(name: str) -> str:
    """Quote an identifier of standard SQL."""
    return '"' + name.replace('"', '""') + '"'


# --- values -----------------------------------------------------------------------------------------------------------

INTEGERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1), st.integers(-5, 5), st.sampled_from([2**53 + 1, 2**63 - 1, -(2**63), 2**31])
)
FLOATS = st.one_of(
    st.floats(allow_nan=False), st.sampled_from([0.1, -0.0, 5e-324, 1e308, float("inf"), float("-inf"), 1.0, 2.0**53])
)
TEXT = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
    st.sampled_from(["", "1", "1.0", "NULL", "a\0b", "é", "e\u0301", "\uffff", "\U0001f600", "a ", "'", '"', "\n"]),
)
BYTES = st.one_of(st.binary(max_size=12), st.sampled_from([b"", b"1", b"\0", b"\xff\xfe", bytes(range(256))]))
ANY = st.one_of(INTEGERS, FLOATS, TEXT, BYTES)
# Declared types of SQLite; any of them may hold values of any storage class.
DECLARED = [
    "INTEGER", "INT", "BIGINT", "REAL", "DOUBLE", "TEXT", "VARCHAR(20)", "CHAR(5)", "BLOB", "", "NUMERIC", "DATE",
    "DECIMAL(10,2)", "BOOLEAN", "DATETIME", "TIMESTAMP", "TIME", "JSON", "UUID", "FLOAT",
]  # fmt: skip
_USUAL: dict[str, st.SearchStrategy[Any]] = {
    "BOOLEAN": st.sampled_from([0, 1]), "REAL": FLOATS, "DOUBLE": FLOATS, "FLOAT": FLOATS, "BLOB": BYTES,
    "DATE": st.dates().map(str), "DATETIME": st.datetimes().map(str), "TIMESTAMP": st.datetimes().map(str),
    "TIME": st.times().map(str), "JSON": st.sampled_from(["{}", '{"a": 1.0}', "[1, 2]", "null", '{"b":1,"a":2}']),
    "UUID": st.uuids().map(str), "DECIMAL(10,2)": st.decimals(-9999, 9999, places=2).map(float), "NUMERIC": INTEGERS,
    "INTEGER": INTEGERS, "INT": INTEGERS, "BIGINT": INTEGERS,
}  # fmt: skip


@st.composite
def _values(draw: st.DrawFn, declared: str, count: int) -> list[Any]:
    """Draw a column: mostly values as its type says, sometimes of every class, with NULLs."""
    mixed = draw(st.integers(0, 3)) == 0
    strategy = ANY if mixed else _USUAL.get(declared, TEXT)
    return draw(st.lists(st.one_of(st.none(), strategy), min_size=count, max_size=count))


# --- keys -------------------------------------------------------------------------------------------------------------

# Small numbers, so that the rows of a target stand in the way.
_INTEGER_KEYS = st.one_of(
    st.integers(1, 20), st.integers(-(2**40), 2**40), st.integers(1, 20), st.integers(-(2**63), 2**63 - 1)
)
_TEXT_KEYS = st.one_of(st.sampled_from(["1", "2", "a", "A", "ä", "", " ", "a ", "a\0b"]), TEXT)
_ANY_KEYS = st.one_of(
    st.integers(-9, 9),
    st.sampled_from(["1", "2", "i1", "t1"]),
    st.sampled_from([b"1", b""]),
    st.sampled_from([0.5, -1.5]),
)
_COMPOSITE = st.tuples(st.integers(1, 5), st.sampled_from(["a", "b", "1", "", "é"]))
_KEY_KINDS: dict[str, tuple[tuple[str, ...], st.SearchStrategy[Any]]] = {
    "rowid": (("INTEGER",), _INTEGER_KEYS.map(lambda k: (k,))),
    "autoincrement": (("INTEGER",), _INTEGER_KEYS.map(lambda k: (k,))),
    "text": (("TEXT",), _TEXT_KEYS.map(lambda k: (k,))),
    "any": (("BLOB",), _ANY_KEYS.map(lambda k: (k,))),
    "composite": (("INTEGER", "TEXT"), _COMPOSITE),
    "without rowid": (("INTEGER", "TEXT"), _COMPOSITE),
    "unique": (("TEXT",), _TEXT_KEYS.map(lambda k: (k,))),
    "none": ((), st.just(())),
}


@dataclass
class _Draft:
    name: str
    kind: str
    key: list[tuple[str, str]]
    keys: list[tuple[Any, ...]]
    columns: list[tuple[str, str]] = field(default_factory=list)
    values: list[list[Any]] = field(default_factory=list)
    references: list[tuple[list[str], _Draft]] = field(default_factory=list)
    required: set[str] = field(default_factory=set)

    def statement(self) -> str:
        parts = []
        for column, declared in self.key:
            tail = {
                "rowid": " PRIMARY KEY",
                "autoincrement": " PRIMARY KEY AUTOINCREMENT",
                "unique": " NOT NULL UNIQUE",
            }
            required = " NOT NULL" if self.kind in ("text", "any", "composite", "without rowid") else ""
            parts.append(f"{quoted(column)} {declared}{tail.get(self.kind, '')}{required}")
        parts += [f"{quoted(c)} {d}{' NOT NULL' if c in self.required else ''}" for c, d in self.columns]
        if self.kind in ("text", "any", "composite", "without rowid"):
            parts.append(f"PRIMARY KEY ({', '.join(quoted(c) for c, _ in self.key)})")
        for columns, parent in self.references:
            child_side, parent_side = ", ".join(map(quoted, columns)), ", ".join(quoted(c) for c, _ in parent.key)
            parts.append(f"FOREIGN KEY ({child_side}) REFERENCES {quoted(parent.name)} ({parent_side})")
        tail_of_table = " WITHOUT ROWID" if self.kind == "without rowid" else ""
        return f"CREATE TABLE {quoted(self.name)} ({', '.join(parts)}){tail_of_table}"

    def made(self) -> MadeTable:
        names = tuple(c for c, _ in [*self.key, *self.columns])
        rows = tuple((*key, *(column[i] for column in self.values)) for i, key in enumerate(self.keys))
        return MadeTable(self.name, self.statement(), names, rows)


@st.composite
def sqlite_databases(draw: st.DrawFn, max_tables: int = 4, max_rows: int = 6) -> MadeDatabase:
    """Draw a SQLite database: up to four tables that refer to each other in any direction, and their rows."""
    count = draw(st.integers(1, max_tables))
    names = draw(st.lists(st.sampled_from(NAMES), min_size=count, max_size=count, unique_by=str.lower))
    drafts = [draw(_drafts(name, max_rows)) for name in names]
    indexes = []
    for number, draft in enumerate(drafts):
        draw(_columns(draft))
        parents = [other for other in drafts if other.key]
        if parents:
            for parent in draw(st.lists(st.sampled_from(parents), max_size=2)):
                draw(_reference(draft, parent))
        if draft.columns and draw(st.booleans()):
            indexes.append(f'CREATE INDEX "ix {number}" ON {quoted(draft.name)} ({quoted(draft.columns[0][0])})')
    return MadeDatabase(tuple(draft.made() for draft in drafts), tuple(indexes))


@st.composite
def _drafts(draw: st.DrawFn, name: str, max_rows: int) -> _Draft:
    kind = draw(st.sampled_from(list(_KEY_KINDS)))
    declared, strategy = _KEY_KINDS[kind]
    unique = None if kind == "none" else (lambda key: repr(key))
    keys = draw(st.lists(strategy, max_size=max_rows, unique_by=unique))
    columns = draw(
        st.lists(st.sampled_from(NAMES), min_size=len(declared), max_size=len(declared), unique_by=str.lower)
    )
    return _Draft(name, kind, list(zip(columns, declared, strict=True)), keys)


def _free_names(draft: _Draft) -> list[str]:
    taken = {column.lower() for column, _ in [*draft.key, *draft.columns]}
    return [name for name in NAMES if name.lower() not in taken]


@st.composite
def _columns(draw: st.DrawFn, draft: _Draft) -> None:
    least = 0 if draft.key else 1
    for _ in range(draw(st.integers(least, 3))):
        declared = draw(st.sampled_from(DECLARED))
        draft.values.append(draw(_values(declared, len(draft.keys))))
        draft.columns.append((draw(st.sampled_from(_free_names(draft))), declared))


@st.composite
def _reference(draw: st.DrawFn, child: _Draft, parent: _Draft) -> None:
    if child is parent and len(parent.key) > 1 and draw(st.booleans()):
        draw(_reference_within(child))
        return
    columns = []
    for _, declared in parent.key:
        columns.append(draw(st.sampled_from(_free_names(child))))
        child.columns.append((columns[-1], declared))
    choices: list[Any] = [*parent.keys]
    required = bool(choices) and draw(st.booleans())
    if not required:
        choices.append((None,) * len(parent.key))
        # NULL in part refers to nothing, whatever the other parts say.
        choices += [(value, None) for value in (1, 5, 99)] if len(parent.key) == 2 else []
        choices += [(None, value) for value in ("a", "zz")] if len(parent.key) == 2 else []
    size = len(child.keys)
    chosen = draw(st.lists(st.sampled_from(choices), min_size=size, max_size=size))
    child.values += [[key[i] for key in chosen] for i in range(len(parent.key))]
    if required:
        child.required.update(columns)
    child.references.append((columns, parent))


@st.composite
def _reference_within(draw: st.DrawFn, table: _Draft) -> None:
    """Draw a key that leads back into its own table and shares the first part of the row's own key, or is NULL."""
    (shared, _), (_, declared) = table.key
    column = draw(st.sampled_from(_free_names(table)))
    table.columns.append((column, declared))
    table.values.append(
        [draw(st.sampled_from([None, *(other[1] for other in table.keys if other[0] == key[0])])) for key in table.keys]
    )
    table.references.append(([shared, column], table))


# --- PostgreSQL and MariaDB: two tables, columns of every type --------------------------------------------------------

_PLAIN_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=10)
_WIDE = ["0", "1", "-1", "99999999999999999999999999.0000000001", "0.10", "-0.5"]
POSTGRESQL_TYPES: dict[str, st.SearchStrategy[Any]] = {
    "smallint": st.integers(-(2**15), 2**15 - 1).map(str), "integer": st.integers(-(2**31), 2**31 - 1).map(str),
    "bigint": INTEGERS.map(str), "boolean": st.sampled_from(["t", "f"]), "text": _PLAIN_TEXT,
    "varchar(10)": _PLAIN_TEXT, "char(5)": st.sampled_from(["", "a", "a b", "abcde"]),
    "numeric": st.sampled_from([*_WIDE, "NaN", "1e400", "1.50"]), "numeric(38,10)": st.sampled_from(_WIDE),
    "double precision": st.one_of(FLOATS.map(repr), st.just("NaN")), "bytea": BYTES.map(lambda b: "\\x" + b.hex()),
    "real": st.one_of(st.floats(width=32, allow_nan=False).map(repr), st.sampled_from(["NaN", "Infinity"])),
    "date": st.one_of(st.dates().map(str), st.sampled_from(["infinity", "-infinity", "0044-03-15 BC"])),
    "timestamp": st.one_of(st.datetimes().map(str), st.sampled_from(["infinity", "294276-12-31 00:00:00"])),
    "timestamptz": st.one_of(st.datetimes().map(lambda d: f"{d}+05:45"), st.just("-infinity")),
    "time": st.one_of(st.times().map(str), st.just("24:00:00")), "timetz": st.just("12:34:56.789+14:00"),
    "interval": st.sampled_from(["1 month", "30 days", "-1 year 2 mons 3 days 04:05:06.789", "100000 hours"]),
    "uuid": st.uuids().map(str), "json": st.sampled_from(['{"b": 1, "a": 1.0}', "[]", "null", '"\\u00e9"']),
    "jsonb": st.sampled_from(['{"b": 1, "a": 1.0}', "[1e400]", "null", "12345678901234567890"]),
    "integer[]": st.sampled_from(["{}", "{1,NULL,3}", "{{1,2},{3,4}}", "[0:1]={5,6}"]),
    "text[]": st.sampled_from(["{}", '{"a,b",NULL,"NULL",""}', '{"\\"","\\\\"}']), "inet": st.just("192.168.0.1/24"),
    "bit(5)": st.just("10101"), "varbit": st.sampled_from(["", "1", "0001"]), "int4range": st.just("[1,5)"),
    "tsvector": st.just("'a':1 'b':2A"), "money": st.just("12.34"), "xml": st.just("<a>b</a>"), "oid": st.just("7"),
    "point": st.just("(1,2)"), "macaddr": st.just("08:00:2b:01:02:03"),
}  # fmt: skip
MARIADB_TYPES: dict[str, st.SearchStrategy[Any]] = {
    "tinyint": st.integers(-128, 127), "boolean": st.sampled_from([0, 1]), "bigint": INTEGERS,
    "bigint unsigned": st.one_of(st.integers(0, 2**64 - 1), st.just(2**64 - 1)), "double": st.floats(-1e300, 1e300),
    "float": st.floats(-(2**20), 2**20, width=32), "decimal(38,10)": st.sampled_from(_WIDE), "varchar(20)": _PLAIN_TEXT,
    "varchar(20) COLLATE utf8mb4_general_ci": st.sampled_from(["a", "A", "a ", "ß", "ss"]),
    "char(5)": st.sampled_from(["", "a", "a b"]), "text": _PLAIN_TEXT, "longtext": _PLAIN_TEXT, "blob": BYTES,
    "varbinary(300)": BYTES, "binary(4)": st.binary(min_size=4, max_size=4),
    "date": st.dates(), "datetime": st.just("2020-01-02 03:04:05"), "datetime(6)": st.datetimes().map(str),
    "timestamp(6) NULL": st.just("2020-02-29 12:00:00.000001"), "year": st.sampled_from(["1999", "2155"]),
    "time(6)": st.sampled_from(["00:00:00", "23:59:59.999999", "838:59:59", "-100:00:00.5"]),
    "bit(9)": st.just(b"\1\xff"),
    "enum('a','b','ä')": st.sampled_from(["a", "b", "ä"]), "set('x','y')": st.sampled_from(["", "x", "x,y"]),
    "json": st.sampled_from(['{"b": 1, "a": 1.0}', "[]", "null"]), "uuid": st.uuids().map(str),
    "inet6": st.just("2001:db8::1"), "text CHARACTER SET latin1": st.sampled_from(["é", "ÿ", ""]),
}  # fmt: skip
# As MariaDB keeps them where its mode allows it; some name no day, so they are refused.
ZERO_DATES: dict[str, st.SearchStrategy[Any]] = {
    "date": st.one_of(st.dates(), st.just("0000-00-00")),
    "datetime(6)": st.one_of(st.datetimes().map(str), st.sampled_from(["0000-00-00 00:00:00", "2020-00-10 01:02:03"])),
}


@st.composite
def server_databases(
    draw: st.DrawFn, dialect: str, max_rows: int = 5, *, without: Collection[str] = (), zero_dates: bool = False
) -> MadeDatabase:
    """Draw two tables of a server's database, each with a self reference and columns of its many types."""
    types = POSTGRESQL_TYPES if dialect == "postgresql" else MARIADB_TYPES
    types = {kind: values for kind, values in types.items() if kind not in without}
    types |= ZERO_DATES if zero_dates else {}
    quote = quoted if dialect == "postgresql" else (lambda name: "`" + name.replace("`", "``") + "`")
    parent_keys = draw(st.lists(st.integers(1, 50), min_size=1, max_size=max_rows, unique=True))
    made, casts = [], {}
    for name, keys in (("parent", parent_keys), ("child", draw(st.lists(st.integers(1, 50), max_size=9, unique=True)))):
        kinds = draw(st.lists(st.sampled_from(list(types)), min_size=1, max_size=5))
        columns = draw(st.lists(st.sampled_from(NAMES), min_size=len(kinds), max_size=len(kinds), unique_by=str.lower))
        columns = [column for column in columns if column != "id"]
        above = keys if name == "parent" else parent_keys
        rows = [
            (key, draw(st.sampled_from([None, *above])), *(draw(st.one_of(st.none(), types[kind])) for kind in kinds))
            for key in keys
        ]
        definitions = "".join(f", {quote(c)} {k}" for c, k in zip(columns, kinds, strict=True))
        create = f"CREATE TABLE {name} (id integer PRIMARY KEY, up integer REFERENCES parent (id){definitions})"
        made.append(MadeTable(name, create, ("id", "up", *columns), tuple(rows)))
        casts[name] = ("integer", "integer", *kinds)
    return MadeDatabase(tuple(made), casts=casts)
