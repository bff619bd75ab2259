"""One table with a column of every type that can be exported, on each database, with values at its edges."""

from __future__ import annotations

from collections.abc import Iterable

#: By dialect: how a column is declared, and SQL for values of it. The first value replaces others in updates.
Types = dict[str, list[str]]

_INTEGERS = {
    f"{name}{sign}": [str(low), str(high), "0", "1"]
    for name, bits in (("TINYINT", 8), ("SMALLINT", 16), ("MEDIUMINT", 24), ("INT", 32), ("BIGINT", 64))
    for sign, low, high in (("", -(2 ** (bits - 1)), 2 ** (bits - 1) - 1), (" UNSIGNED", 0, 2**bits - 1))
}
_WORDS = ["'Ä ö é'", "''", "'a'", "'A'", "'a''b\"c%d'", "'a:b'"]
_INTERVALS = ["'1 month'", "'30 days'", "'720 hours'", "'-1 year 2 mons -3 days 04:05:06.789'", "'1 month -30 days'"]
_TEXTS = [f"{size}TEXT CHARACTER SET {c}" for size in ("TINY", "", "MEDIUM", "LONG") for c in ("utf8mb4", "latin1")]
_CHARSETS = (
    "utf8mb4 COLLATE utf8mb4_general_ci", "utf8mb4 COLLATE utf8mb4_unicode_ci", "utf8mb4 COLLATE utf8mb4_bin",
    "utf8mb4 COLLATE utf8mb4_nopad_bin", "utf8mb4 COLLATE uca1400_ai_ci", "utf8mb3 COLLATE utf8mb3_general_ci",
    "latin1 COLLATE latin1_swedish_ci", "latin1 COLLATE latin1_bin", "latin2", "ucs2", "utf16",
    "utf32 COLLATE utf32_bin", "utf16le",
)  # fmt: skip
MARIADB: Types = {
    **_INTEGERS,
    "BOOLEAN": ["0", "1", "-3"],
    "INT(5) ZEROFILL": ["7", "0", "4294967295"],
    "DECIMAL(10,0)": ["5", "-9999999999", "0"],
    "DECIMAL(65,30)": ["0.100000000000000000000000000001", "-99999999999999999999999999999999999", "0.10"],
    "DECIMAL(12,4) UNSIGNED": ["0.1000", "99999999.9999"],
    "FLOAT": ["1.1", "3.4028e38", "-0.0", "1e-38", "0.1", "16777217"],
    "FLOAT(7,3)": ["1.125", "-1234.567"],
    "DOUBLE": ["1.1", "1.7976931348623157e308", "5e-324", "-0.0", "0.1"],
    "DOUBLE(12,3) UNSIGNED": ["1.125", "123456789.125"],
    "BIT": ["b'1'", "b'0'"],
    "BIT(5)": ["b'10101'", "b'0'"],
    "BIT(64)": ["b'1'", "0xFFFFFFFFFFFFFFFF", "b'0'"],
    "DATE": ["'2024-02-29'", "'0001-01-01'", "'9999-12-31'"],
    "YEAR": ["2024", "1901", "2155", "0000"],
    **{f"TIME{n}": [f"'12:34:56{f}'", f"'-838:59:58{f}'", "'838:59:59'", "'00:00:00'"]
       for n, f in (("", ""), ("(1)", ".5"), ("(3)", ".125"), ("(6)", ".123456"))},
    **{f"DATETIME{n}": [f"'2024-02-29 12:34:56{f}'", "'1000-01-01 00:00:00'", f"'9999-12-31 23:59:59{f}'"]
       for n, f in (("", ""), ("(1)", ".5"), ("(2)", ".25"), ("(3)", ".125"), ("(4)", ".0625"), ("(6)", ".123456"))},
    **{f"TIMESTAMP{n} NULL": [f"'2024-02-29 12:34:56{f}'", "'1970-01-01 00:00:01'", f"'2038-01-19 03:14:07{f}'"]
       for n, f in (("", ""), ("(3)", ".125"), ("(6)", ".123456"))},
    **{f"VARCHAR(40) CHARACTER SET {c}": _WORDS for c in _CHARSETS},
    **{f"CHAR(20) CHARACTER SET {c}": _WORDS for c in _CHARSETS},
    **dict.fromkeys(_TEXTS, _WORDS),
    "VARCHAR(20) CHARACTER SET ascii": ["'a'", "'B  '", "''"],
    "CHAR(20) CHARACTER SET cp1251": ["'Ж'", "'a'"],
    "VARCHAR(20) CHARACTER SET koi8r COLLATE koi8r_bin": ["'Ж'", "'a'"],
    "VARCHAR(20) CHARACTER SET sjis": ["'日本'", "'a'"],
    "VARCHAR(20) CHARACTER SET euckr": ["'한국'", "'a'"],
    "VARCHAR(20) CHARACTER SET gbk": ["'中文'", "'a'"],
    "VARCHAR(20) CHARACTER SET greek": ["'λόγος'", "'a'"],
    "VARCHAR(20) CHARACTER SET hebrew": ["'שלום'", "'a'"],
    "VARCHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_nopad_ci": ["'😀'", "'a  '", "'ß'", "'ss'"],
    "CHAR(20) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin": ["'😀'", "'ß'"],
    "BINARY(4)": ["x'00FF2000'", "x'20202020'", "x'00000000'"],
    "VARBINARY(10)": ["x'00FF20'", "x''", "x'61'", "x'41'", "x'6120'"],
    **{f"{size}BLOB": ["x'00FF20'", "x''", "x'61'"] for size in ("TINY", "", "MEDIUM", "LONG")},
    "ENUM('a','B','Ä','')": ["'Ä'", "'a'", "''"],
    "ENUM('x','é') CHARACTER SET latin1": ["'é'", "'x'"],
    "ENUM('1','2') COLLATE utf8mb4_bin": ["'2'", "'1'"],
    "SET('a','B','Ä')": ["'a,Ä'", "''", "'a,B,Ä'"],
    "SET('x','é') CHARACTER SET latin1": ["'é'", "'x,é'", "''"],
    "JSON": ["'{\"b\": 1.0, \"a\": [1, null]}'", "'null'", "'[]'", "'\"Ä\"'", "'12345678901234567890'"],
    "UUID": ["'00112233-4455-6677-8899-aabbccddeeff'", "'00000000-0000-0000-0000-000000000000'"],
    "INET4": ["'192.0.2.1'", "'0.0.0.0'", "'255.255.255.255'"],
    "INET6": ["'2001:db8::1'", "'::'", "'::ffff:192.0.2.1'"],
}  # fmt: skip
POSTGRESQL: Types = {
    "smallint": ["-32768", "32767", "0"],
    "integer": ["-2147483648", "2147483647"],
    "bigint": ["-9223372036854775808", "9223372036854775807", "9007199254740993"],
    "numeric": ["'NaN'", "0.10", "0.1", "'Infinity'", "'-Infinity'", "1e100", "-1e-20"],
    "numeric(38,10)": ["0.1000000000", "-9999999999999999999999999999.9999999999", "'NaN'"],
    "numeric(5,-2)": ["12300", "-100"],
    "real": ["1.1", "'NaN'", "'Infinity'", "'-0'", "1e-45", "16777217"],
    "double precision": ["1.1", "'NaN'", "'-Infinity'", "'-0'", "5e-324", "1.7976931348623157e308"],
    "money": ["1234.56", "-0.01", "'-92233720368547758.08'"],
    "boolean": ["true", "false"],
    "text": ["'Ä'", "''", "'a'", "'A'", "'a''b\"c%d:e'", "E'a\\nb\\\\c\\t'"],
    'text COLLATE "C"': ["'a'", "'A'", "''"],
    "varchar": ["'a  '", "'a'"],
    "varchar(10)": ["'a  '", "'a'", "''"],
    "char(5)": ["'a'", "''", "' b'"],
    '"char"': ["'x'", "''"],
    "name": ["'a'", "'Ä'"],
    "bytea": ["'\\x00ff'", "''", "'\\x61'"],
    "date": ["'2024-02-29'", "'infinity'", "'-infinity'", "'0044-03-15 BC'", "'9999-12-31'", "'12345-01-01'"],
    "time": ["'12:34:56.123456'", "'00:00'", "'24:00'"],
    "time(2)": ["'12:34:56.12'"],
    "timetz": ["'12:34:56.123456+05:30'", "'00:00-11'", "'24:00+14'"],
    "timestamp": ["'2024-02-29 12:34:56.123456'", "'infinity'", "'-infinity'", "'0001-01-01'", "'4713-01-01 BC'"],
    "timestamp(0)": ["'2024-02-29 12:34:56'"],
    "timestamptz": ["'2024-02-29 12:34:56.123456+14'", "'infinity'", "'-infinity'", "'0001-01-01 00:00+00'"],
    "timestamptz(3)": ["'2024-02-29 12:34:56.125+02'"],
    "interval": _INTERVALS,
    "interval year to month": ["'1 year 3 mons'"],
    "interval(2)": ["'1.25 s'"],
    "uuid": ["'00112233-4455-6677-8899-aabbccddeeff'"],
    "json": ["'{\"b\": 1.0, \"a\": [1, null], \"b\": 2}'", "'null'", "' [ ] '", "'12345678901234567890'"],
    "jsonb": ["'{\"b\": 1.0, \"a\": [1, null]}'", "'null'", "'1.00'", "'1.0'"],
    "xml": ["'<a b=\"1\">Ä</a>'", "'text'"],
    "tsvector": ["to_tsvector('simple', 'a quick b:1')", "''"],
    "tsquery": ["'a & b'", "'!a <-> b'"],
    "inet": ["'192.0.2.1/24'", "'192.0.2.1'", "'2001:db8::1/64'"],
    "cidr": ["'192.0.2.0/24'", "'::/0'"],
    "macaddr": ["'08:00:2b:01:02:03'"],
    "macaddr8": ["'08:00:2b:01:02:03:04:05'"],
    "bit": ["B'1'", "B'0'"],
    "bit(5)": ["B'10101'", "B'00000'"],
    "bit varying": ["B'10'", "B''"],
    "bit varying(70)": ["B'10'", "B''"],
    "int4range": ["'[1,5)'", "'empty'", "'(,)'"],
    "int8range": ["'[1,)'"],
    "numrange": ["'[1.0,2.50]'", "'[1,2.5]'", "'empty'"],
    "tsrange": ["'[2024-01-01,2024-02-01)'"],
    "tstzrange": ["'[2024-01-01 00:00+00,)'"],
    "daterange": ["'[2024-01-01,2024-02-01)'", "'[,infinity]'"],
    "int4multirange": ["'{[1,3),[5,7)}'", "'{}'"],
    "point": ["'(1.5,-2)'", "'(0,-0)'"],
    "line": ["'{1,-1,0}'"],
    "lseg": ["'[(0,0),(1,1)]'"],
    "box": ["'(1,1),(0,0)'"],
    "path": ["'((0,0),(1,1))'", "'[(0,0),(1,1)]'"],
    "polygon": ["'((0,0),(1,1),(1,0))'"],
    "circle": ["'<(0,0),1.5>'"],
    "pg_lsn": ["'16/B374D848'"],
    "oid": ["4294967295", "0"],
    "regclass": ["'pg_class'"],
    "integer[]": ["'{1,NULL,3}'", "'{}'", "'{{1,2},{3,4}}'", "'[0:1]={7,8}'"],
    "text[]": ["ARRAY['a','NULL',NULL,'','a\"b','c,d']", "'{}'"],
    "varchar(5)[]": ["ARRAY['a  ','b']"],
    "char(3)[]": ["ARRAY['a','b']"],
    "numeric[]": ["'{0.10,NaN}'"],
    "numeric(6,2)[]": ["'{0.10,-5}'"],
    "double precision[]": ["'{1.1,NaN,-0}'"],
    "boolean[]": ["'{t,f}'"],
    "bytea[]": ["ARRAY['\\x00ff'::bytea]"],
    "timestamptz[]": ["ARRAY['2024-01-01 00:00+00'::timestamptz]"],
    "uuid[]": ["ARRAY['00112233-4455-6677-8899-aabbccddeeff'::uuid]"],
    "jsonb[]": ["ARRAY['{\"a\": 1.0}'::jsonb]"],
    "json[]": ["ARRAY['{\"a\":  1.0}'::json]"],
    "point[]": ["ARRAY['(1,2)'::point]"],
    "int4range[]": ["ARRAY['[1,5)'::int4range]"],
    "mood": ["'sad'", "'Ä ok'"],
    "mood[]": ["ARRAY['sad','Ä ok']::mood[]"],
    "positive": ["1", "2147483647"],
    "short": ["'a  '", "'b'"],
    "padded": ["'a'", "'bc'"],
    "money_like": ["1.50", "2"],
    "positive[]": ["ARRAY[1,2]::positive[]"],
    "pair": ["ROW(1,'a b')", "ROW(NULL,'')"],
    "pair[]": ["ARRAY[ROW(1,'a')::pair]"],
    "floatrange": ["'[1.5,2.5]'"],
    'text COLLATE "blind"': ["'a'", "'A'", "'á'"],
    'varchar(9) COLLATE "blind"': ["'a'", "'A'"],
    "jsonpath": ["'$.a[*] ? (@ > 1)'"],
    "txid_snapshot": ["'10:20:10,14,15'"],
}  # fmt: skip
_BLIND = '"blind"'
POSTGRESQL_FIRST = """
CREATE TYPE mood AS ENUM ('sad', 'Ä ok');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN short AS varchar(5);
CREATE DOMAIN padded AS char(5);
CREATE DOMAIN money_like AS numeric(10,2);
CREATE TYPE pair AS (a integer, b text);
CREATE TYPE floatrange AS RANGE (subtype = float8);
CREATE COLLATION blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false)
"""
_CLASSES = ["1", "9223372036854775807", "1.5", "1.0", "-0.0", "9e999", "'1'", "'1.0'", "'a'", "'A'", "'a  '", "''",
            "x'31'", "x''", "x'00ff'", "'Ä'"]  # fmt: skip
_DECLARED = ("INTEGER", "REAL", "TEXT", "BLOB", "NUMERIC", "", "BIGINT", "VARCHAR(10)", "DECIMAL(10,5)", "BOOLEAN",
             "DATE", "DATETIME", "JSON", "FLOATING POINT", "TEXT COLLATE NOCASE", "NUMERIC COLLATE RTRIM",
             "BLOB COLLATE NOCASE")  # fmt: skip
SQLITE: Types = dict.fromkeys(_DECLARED, _CLASSES)
TYPES = {"mariadb": MARIADB, "postgresql": POSTGRESQL, "sqlite": SQLITE}


def statements(dialect: str, types: Types) -> list[str]:
    """Return SQL that makes the table ``every`` and fills it; row 0 is NULL in all columns."""
    columns = ", ".join(f"c{i} {declared}" for i, declared in enumerate(types))
    big = " ROW_FORMAT=DYNAMIC" if dialect == "mariadb" else ""
    made = [f"CREATE TABLE every (id INTEGER PRIMARY KEY, {columns}){big}", "INSERT INTO every (id) VALUES (0)"]
    for number in range(max(map(len, types.values()))):
        row = ", ".join(values[number % len(values)] for values in types.values())
        made.append(f"INSERT INTO every VALUES ({number + 1}, {row})")
    return [*(prepared(types) if dialect == "postgresql" else []), *made]


def prepared(types: Iterable[str]) -> list[str]:
    """Return SQL that makes what types of PostgreSQL need; a collation of ICU only if one of them has it."""
    blind = any(_BLIND in declared for declared in types)
    return [line for line in POSTGRESQL_FIRST.strip().split(";\n") if blind or "COLLATION" not in line]


def without_icu(types: Types) -> Types:
    """Return the types that a PostgreSQL without ICU has, too."""
    return {declared: values for declared, values in types.items() if _BLIND not in declared}


def changes(types: Types) -> list[str]:
    """Return SQL that changes every column in one row or another."""
    pairs = enumerate(types.values())
    return [f"UPDATE every SET {', '.join(f'c{i} = {values[0]}' for i, values in pairs)} WHERE id <> 1"]
