"""What is measured against what, and the bars."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy.engine import make_url

from tests.benchmarks.data import ROWS, TABLES, big_database, empty_sqlite, schema, workspace
from tests.benchmarks.measure import Line, Measured, measure, run_tool
from tests.support.reading import driver_dsn, mariadb_connection
from tests.support.servers import Server, mariadb_server, postgresql_server

MEGABYTE = 1 << 20
MEMORY = 600.0  # what export and import may hold at most, in MB


def _times(name: str, ours: Measured, theirs: Measured, **bar: float) -> Line:
    return Line(name, ours.seconds / theirs.seconds, note=f"{ours.seconds:.2f} s / {theirs.seconds:.2f} s", **bar)


def _memory(name: str, measured: Measured) -> Line:
    return Line(name, measured.peak / MEGABYTE, "MB", most=MEMORY)


def _tool(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise SystemExit(f"{name} is not installed here; it is what this benchmark compares with")
    return found


def sqlite(rows: int = ROWS, runs: int = 3) -> list[Line]:
    """SQLite against VACUUM INTO, .dump, the reload of a dump, and pandas."""
    tool, source, folder = _tool("sqlite3"), big_database(rows), workspace()
    package, dump, copy, target = (folder / name for name in ("s.zip", "s.sql", "s-copy.db", "s-target.db"))
    out = measure("export", f"sqlite:///{source}", str(package), runs=runs)
    vacuum = run_tool([tool, source, f"VACUUM INTO '{copy}'"], runs=runs, before=lambda: copy.unlink(missing_ok=True))
    dumped = run_tool([tool, source, ".dump"], runs=runs, stdout=dump)
    into = measure("load", str(package), f"sqlite:///{target}", runs=runs, before=lambda: empty_sqlite(target))
    _check_sqlite(source, target)
    carried = measure("export", f"sqlite:///{target}", str(folder / "s-carried.zip"), runs=runs)
    again = measure("load", str(package), f"sqlite:///{target}", runs=runs)
    assert again.told["rows"] == 0
    reload = run_tool([tool, copy], runs=runs, stdin=dump, before=lambda: copy.unlink(missing_ok=True))
    pandas = measure(
        "pandas", f"sqlite:///{source}", f"sqlite:///{target}", runs=1, before=lambda: empty_sqlite(target)
    )
    ours = Measured(out.seconds + into.seconds)
    for path in (dump, copy, target, folder / "s-carried.zip"):
        path.unlink(missing_ok=True)
    return [
        _times("SQLite: export / VACUUM INTO", out, vacuum, most=2.5),
        _times("SQLite: export / .dump", out, dumped, most=0.8),
        _times("SQLite: import / sqlite3 < dump.sql", into, reload, most=1.0),
        _times("SQLite: pandas round trip / ours", pandas, ours, least=3.0),
        _memory("SQLite: peak memory of export", out),
        _memory("SQLite: peak memory of import", into),
        _times("SQLite: export of imported rows / export", carried, out, most=2.0),
        _times("SQLite: import of the same package again / import", again, into, most=2.0),
        _memory("SQLite: peak memory of export of imported rows", carried),
        _memory("SQLite: peak memory of import again", again),
        Line("SQLite: size of the package", out.told["bytes"] / MEGABYTE, "MB"),
    ]


def _check_sqlite(source: Path, target: Path) -> None:
    """A quick import that loses rows is no import."""
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("ATTACH ? AS source", (str(source),))
        for table in TABLES:
            lost = f"SELECT count(*) FROM (SELECT * FROM source.{table} EXCEPT SELECT * FROM main.{table})"
            assert connection.execute(lost).fetchone() == (0,), table
            counts = f"SELECT (SELECT count(*) FROM source.{table}) = (SELECT count(*) FROM main.{table})"
            assert connection.execute(counts).fetchone() == (1,), table


def _rows(path: Path, table: str) -> Iterator[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        yield from connection.execute(f"SELECT * FROM {table}")


def _fill_postgresql(path: Path, url: str) -> None:
    import psycopg

    with psycopg.connect(driver_dsn(url), autocommit=True) as connection:
        for statement in schema("postgresql")[:3]:
            connection.execute(statement.encode())
        for table in TABLES:
            with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                for row in _rows(path, table):
                    copy.write_row(row)
        for statement in schema("postgresql")[3:]:
            connection.execute(statement.encode())
        connection.execute("VACUUM (ANALYZE)")  # else the server does it in the midst of what is measured


def _fill_mariadb(path: Path, url: str) -> None:
    with mariadb_connection(url) as connection, connection.cursor() as cursor:
        cursor.execute("SET foreign_key_checks = 0, unique_checks = 0")
        for statement in schema("mariadb"):
            cursor.execute(statement)
        for table in TABLES:
            batch = []
            for row in _rows(path, table):
                batch.append(row)
                if len(batch) == 20_000:
                    _insert(cursor, table, batch)
            _insert(cursor, table, batch)
        connection.commit()


def _insert(cursor: Any, table: str, batch: list[tuple[Any, ...]]) -> None:
    if batch:
        cursor.executemany(f"INSERT INTO {table} VALUES ({', '.join(['%s'] * len(batch[0]))})", batch)
        batch.clear()


class _Fresh:
    """One target database at a time, with the empty schema; the one before is dropped."""

    def __init__(self, server: Server, dialect: str, *, with_schema: bool) -> None:
        self.server, self.dialect, self.with_schema, self.url = server, dialect, with_schema, ""

    def __call__(self) -> str:
        """Make the next one."""
        self.drop()
        self.url = self.server.create()
        if self.with_schema:
            self.server.run(*schema(self.dialect), database=make_url(self.url).database)
        if self.dialect == "postgresql":  # all begin with nothing of an earlier run left to write
            self.server.run("CHECKPOINT")
        return self.url

    def drop(self) -> None:
        """Drop the one there is."""
        if self.url:
            self.server.drop(str(make_url(self.url).database))
            self.url = ""


def _by_turns(runs: int, *each: tuple[_Fresh, Callable[[str], Measured]]) -> list[Measured]:
    """Measure several ways into a fresh database in turn, so that a machine that slows down slows all of them down."""
    found: list[list[Measured]] = [[] for _ in each]
    for _ in range(runs):
        for place, (fresh, once) in enumerate(each):
            found[place].append(once(fresh()))
            fresh.drop()
    return [_median(measured) for measured in found]


def _median(found: list[Measured]) -> Measured:
    middle = sorted(found, key=lambda measured: measured.seconds)[len(found) // 2]
    return Measured(middle.seconds, max(measured.peak for measured in found), middle.told)


@contextmanager
def _server(manager: Any) -> Iterator[Server]:
    with manager as server:
        if server.url is None:
            raise SystemExit(f"{server.name}: {server.reason}")
        yield server


def postgresql(rows: int = ROWS, runs: int = 3) -> list[Line]:
    """PostgreSQL against pg_dump -Fc and pg_restore -1."""
    dump_tool, restore_tool, folder = _tool("pg_dump"), _tool("pg_restore"), workspace()
    package, dump = folder / "p.zip", folder / "p.dump"
    with _server(postgresql_server()) as server:
        source = server.create()
        _fill_postgresql(big_database(rows), source)
        out = measure("export", source, str(package), runs=runs)
        dumped = run_tool([dump_tool, "-Fc", "-f", dump, driver_dsn(source)], runs=runs)
        existing, bare = (_Fresh(server, "postgresql", with_schema=s) for s in (True, False))
        only = ["--data-only", "--disable-triggers"]
        into, restored, data = _by_turns(
            runs,
            (existing, lambda url: measure("load", str(package), url, runs=1)),
            (bare, lambda url: run_tool([restore_tool, "-1", "-d", driver_dsn(url), dump], runs=1)),
            (existing, lambda url: run_tool([restore_tool, "-1", *only, "-d", driver_dsn(url), dump], runs=1)),
        )
    dump.unlink(missing_ok=True)
    assert into.told["rows"] == rows
    return [
        _times("PostgreSQL: export / pg_dump -Fc", out, dumped, most=0.4),
        _times("PostgreSQL: import / pg_restore -1", into, restored, most=1.2),
        _times("PostgreSQL: import / pg_restore -1 --data-only", into, data),
        _memory("PostgreSQL: peak memory of export", out),
        _memory("PostgreSQL: peak memory of import", into),
    ]


def mariadb(rows: int = ROWS, runs: int = 1) -> list[Line]:
    """MariaDB against its own dump and the reload of that; for information."""
    dump_tool, client, folder = _tool("mariadb-dump"), _tool("mariadb"), workspace()
    package, dump = folder / "m.zip", folder / "m.sql"
    with _server(mariadb_server()) as server:
        source = server.create()
        _fill_mariadb(big_database(rows), source)
        login = _mariadb_login(source)
        out = measure("export", source, str(package), runs=runs)
        dumped = run_tool([dump_tool, *login, make_url(source).database or ""], runs=runs, stdout=dump)
        existing, bare = (_Fresh(server, "mariadb", with_schema=s) for s in (True, False))
        into, reload = _by_turns(
            runs,
            (existing, lambda url: measure("load", str(package), url, runs=1)),
            (bare, lambda url: run_tool([client, *login, make_url(url).database or ""], runs=1, stdin=dump)),
        )
    dump.unlink(missing_ok=True)
    return [
        _times("MariaDB: export / mariadb-dump", out, dumped),
        _times("MariaDB: import / reload of the dump", into, reload),
        _memory("MariaDB: peak memory of export", out),
        _memory("MariaDB: peak memory of import", into),
    ]


def _mariadb_login(url: str) -> list[str]:
    parsed = make_url(url)
    login = [f"--host={parsed.host}", f"--port={parsed.port or 3306}", f"--user={parsed.username}"]
    return [*login, f"--password={parsed.password}"] if parsed.password else login


def memory(rows: int = 10_000_000, runs: int = 1) -> list[Line]:
    """How much more memory ten times the rows take."""
    package, target = workspace() / "memory.zip", workspace() / "memory.db"
    found: dict[str, list[Measured]] = {"export": [], "import": []}
    for size in (rows // 10, rows):
        source = big_database(size)
        found["export"].append(measure("export", f"sqlite:///{source}", str(package), runs=runs))
        fresh = {"runs": runs, "before": lambda: empty_sqlite(target)}
        found["import"].append(measure("load", str(package), f"sqlite:///{target}", **fresh))
    for path in (package, target):
        path.unlink(missing_ok=True)
    lines = []
    for verb, (small, large) in found.items():
        growth = (large.peak / small.peak - 1) * 100
        note = f"{small.peak / MEGABYTE:.0f} MB at {rows // 10:,} rows, {large.peak / MEGABYTE:.0f} MB at {rows:,}"
        lines.append(Line(f"Memory: growth of {verb}", growth, "%", most=20.0, note=note))
        lines.append(_memory(f"Memory: peak of {verb} at {rows:,} rows", large))
    return lines


def opening(rows: int = ROWS, runs: int = 5) -> list[Line]:
    """Opening and showing a large package, and importing the library."""
    big, small = workspace() / "open.zip", workspace() / "open-small.zip"
    measure("export", f"sqlite:///{big_database(rows)}", str(big), runs=1)
    measure("export", f"sqlite:///{big_database(2000)}", str(small), runs=1)
    shown = measure("show", str(big), str(small), runs=runs)
    drawn = measure("reprs", str(big), str(small), runs=runs)
    imported = measure("importing", runs=runs)
    loaded = imported.told["loaded"]
    return [
        Line("Opening and showing a package", shown.seconds * 1000, "ms", most=100.0),
        Line("The slowest repr", drawn.seconds * 1000, "ms", most=50.0, note=f"of {drawn.told['slowest']}"),
        Line(
            "import datatransfer", imported.seconds * 1000, "ms", note=f"loads {', '.join(loaded) or 'nothing heavy'}"
        ),
        Line("import datatransfer: heavy modules", len(set(loaded) - {"sqlalchemy"}), "", most=0.0),
    ]
