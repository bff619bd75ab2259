"""Random merges: a source, a target that holds some of it, policies and decisions; and what really happened after.

What happened is found by reading every row of the target before and after, with SQL alone.
"""

from __future__ import annotations

import random
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.pool import NullPool

import datatransfer as dt

if TYPE_CHECKING:
    from datatransfer.importing.plan import ImportPlan

SCHEMA = (
    "CREATE TABLE users (id INTEGER PRIMARY KEY, email VARCHAR(12) UNIQUE, name VARCHAR(9), seen INTEGER)",
    (
        "CREATE TABLE teams (id INTEGER PRIMARY KEY, label VARCHAR(9) NOT NULL UNIQUE, boss INTEGER, seen INTEGER, "
        "FOREIGN KEY (boss) REFERENCES users (id))"
    ),
    (
        "CREATE TABLE members (user_id INTEGER NOT NULL, team_id INTEGER NOT NULL, part VARCHAR(9), seen INTEGER, "
        "PRIMARY KEY (user_id, team_id), FOREIGN KEY (user_id) REFERENCES users (id), "
        "FOREIGN KEY (team_id) REFERENCES teams (id))"
    ),
    (
        "CREATE TABLE codes (code VARCHAR(8) NOT NULL PRIMARY KEY, owner INTEGER, seen INTEGER, "
        "FOREIGN KEY (owner) REFERENCES users (id))"
    ),
    (
        "CREATE TABLE uses (id INTEGER PRIMARY KEY, code VARCHAR(8), up INTEGER, seen INTEGER, "
        "FOREIGN KEY (code) REFERENCES codes (code), FOREIGN KEY (up) REFERENCES uses (id))"
    ),
)
TABLES = {"users": 1, "teams": 1, "members": 2, "codes": 1, "uses": 1}  # and the number of columns in the key
PARENTS = {
    "users": {}, "teams": {"boss": "users"}, "members": {"user_id": "users", "team_id": "teams"},
    "codes": {"owner": "users"}, "uses": {"code": "codes", "up": "uses"},
}  # fmt: skip
Rows = dict[str, dict[Any, dict[str, Any]]]


def random_rows(dice: random.Random, most: int = 6) -> dict[str, list[tuple[Any, ...]]]:
    """Draw rows of every table; two draws share many keys and many unique values."""

    def seen() -> int | None:
        return dice.choice([None, 1, 2, 3])

    def keys() -> list[int]:
        return sorted(dice.sample(range(1, 12), dice.randint(1, most)))

    def some(pool: list[str], count: int) -> list[str]:
        return dice.sample(pool, count)

    users, teams, uses = keys(), keys(), keys()
    emails = some([f"{c}@x" for c in "abcdefghijkl"], len(users))
    labels = some([f"team {c}" for c in "abcdefghijkl"], len(teams))
    codes = some([f"code-{c}" for c in "abcdefgh"], dice.randint(1, most))
    pairs = dice.sample([(u, t) for u in users for t in teams], min(dice.randint(0, most), len(users) * len(teams)))
    return {
        "users": [(k, e if dice.random() < 0.9 else None, f"n{dice.randint(1, 3)}", seen())
                  for k, e in zip(users, emails, strict=True)],
        "teams": [(k, label, dice.choice([None, *users]), seen()) for k, label in zip(teams, labels, strict=True)],
        "members": [(u, t, f"p{dice.randint(1, 2)}", seen()) for u, t in pairs],
        "codes": [(c, dice.choice([None, *users]), seen()) for c in codes],
        "uses": [(k, dice.choice([None, *codes]), dice.choice([None, *(o for o in uses if o < k)]), seen())
                 for k in uses],
    }  # fmt: skip


def fill(url: str, rows: dict[str, list[tuple[Any, ...]]], *, anew: bool) -> None:
    """Make the tables, or empty them and forget all imports, and put rows in."""
    with closing(_Connection(url)) as connection:
        if anew:
            _forget_imports(connection)
            connection.run("UPDATE uses SET up = NULL")
            for name in reversed(TABLES):
                connection.run(f"DELETE FROM {name}")
        else:
            for statement in SCHEMA:
                connection.run(statement)
        for name, listed in rows.items():
            for row in listed:
                marks = ", ".join(f":v{i}" for i in range(len(row)))
                connection.run(f"INSERT INTO {name} VALUES ({marks})", {f"v{i}": v for i, v in enumerate(row)})


def rows_of(url: str) -> Rows:
    """Return every row of every table by its key."""
    found: Rows = {}
    with closing(_Connection(url)) as connection:
        for name, width in TABLES.items():
            found[name] = {}
            for row in connection.run(f"SELECT * FROM {name}").mappings():
                key = tuple(row.values())[:width]
                found[name][key[0] if width == 1 else key] = dict(row)
    return found


def _forget_imports(connection: _Connection) -> None:
    names = [n for n in sa.inspect(connection.raw).get_table_names() if n.startswith("datatransfer_")]
    on_mariadb = connection.engine.dialect.name in ("mysql", "mariadb")
    if on_mariadb:
        connection.run("SET SESSION foreign_key_checks = 0")
    cascade = " CASCADE" if connection.engine.dialect.name == "postgresql" else ""
    for name in names:
        connection.run(f"DROP TABLE {name}{cascade}")
    if on_mariadb:
        connection.run("SET SESSION foreign_key_checks = 1")


class _Connection:
    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, poolclass=NullPool)
        self.raw = self.engine.connect()

    def run(self, sql: str, values: Any = None) -> Any:
        return self.raw.execute(sa.text(sql), values)

    def close(self) -> None:
        self.raw.commit()
        self.raw.close()
        self.engine.dispose()


def random_policies(dice: random.Random) -> dict[str, Any]:
    """Draw policies, by table and for all."""
    matches = ["skip", "update", "newest:seen", "error"]
    clashes = ["error", "reuse", "rename"]
    policies: dict[str, Any] = {
        "on_match": dice.choice([dice.choice(matches), {"*": dice.choice(matches), "users": dice.choice(matches)}]),
        "on_clash": dice.choice([dice.choice(clashes), {"*": dice.choice(clashes), "teams": dice.choice(clashes)}]),
    }
    if dice.random() < 0.5:
        policies["match_on"] = {"users": ["email"]} if dice.random() < 0.5 else {"users": "email", "teams": "label"}
    return policies


def decide_at_random(dice: random.Random, plan: ImportPlan) -> int:
    """Decide some entities, conflicts before others; return how many decisions were refused."""
    refused = 0
    for _ in range(dice.randint(0, 3)):
        frame = plan.conflicts if plan.conflict_count else plan.to_frame()
        if not len(frame):
            continue
        row = frame.iloc[dice.randrange(len(frame))]
        try:
            plan.decide(row["table"], [row["source_key"]], dice.choice(["insert", "update", "skip", "reuse", "rename"]))
        except dt.UsageError:
            refused += 1
    return refused


def check_merge(package: dt.DataPackage, source: Rows, url: str, dice: random.Random, folder: Path) -> str:
    """Plan and run one merge, and hold what happened against what the plan said; return how it ended."""
    before = rows_of(url)
    with dt.Database(url) as target:
        importer = dt.PackageImporter(package, target)
        plan = importer.plan(**random_policies(dice))
        decide_at_random(dice, plan)
        if dice.random() < 0.3:  # the same decisions, saved, lead to the same plan
            said, policies, warned = plan.to_frame(), plan.policies.to_json(), list(plan.warnings)
            saved = plan.save(folder / "decisions.json")
            plan.discard()
            plan = importer.plan(**{k: policies[k] for k in ("on_match", "on_clash", "match_on")}, decisions=saved)
            assert plan.warnings == warned  # as a rule none; rows that happen to be alike may look like a copy
            assert plan.to_frame().astype(str).equals(said.astype(str))
        frame, fields, counts = plan.to_frame(), plan.diff(), plan.counts
        assert {name: sum(of.values()) for name, of in counts.items()} == {n: len(r) for n, r in source.items() if r}
        if plan.conflict_count:
            try:
                importer.run(plan)
            except dt.ConflictError:
                assert rows_of(url) == before
                return "conflict"
            raise AssertionError("a plan with conflicts was carried out")
        receipt = importer.run(plan)
        assert {n: dict(c) for n, c in receipt.counts.items()} == counts
        for name in counts:
            ids = receipt.id_map(name)
            width = TABLES[name]
            left, right = ids.iloc[:, :width], ids.iloc[:, width : 2 * width]
            found = sorted(zip(map(_key, left.to_numpy()), map(_key, right.to_numpy()), ids["action"], strict=True))
            mine = frame[frame["table"] == name]
            assert found == sorted(zip(mine["source_key"], mine["target_key"], mine["action"], strict=True))
    assert_as_said(before, rows_of(url), source, frame, fields)
    return "merged"


def _key(values: Any) -> Any:
    plain = tuple(v.item() if hasattr(v, "item") else v for v in values)
    return plain[0] if len(plain) == 1 else plain


def assert_as_said(before: Rows, after: Rows, source: Rows, frame: Any, fields: Any) -> None:
    """Fail unless the target changed exactly as a plan said."""
    maps = {name: {} for name in TABLES}  # type: dict[str, dict[Any, Any]]
    for row in frame.itertuples():
        maps[row.table][row.source_key] = row.target_key
    said: dict[str, dict[Any, dict[str, Any]]] = {name: {} for name in TABLES}
    for row in fields.itertuples():
        said[row.table].setdefault(row.source_key, {})[row.field] = (row.before, row.after)
    wanted = {name: {key: dict(row) for key, row in rows.items()} for name, rows in before.items()}
    for row in frame.itertuples():
        changes = {field: pair[1] for field, pair in said[row.table].get(row.source_key, {}).items()}
        if row.action == "insert":
            assert row.target_key not in before[row.table]
            new = dict(source[row.table][row.source_key])
            for column, parent in PARENTS[row.table].items():
                if new[column] is not None:
                    new[column] = maps[parent][new[column]]
            for column, value in zip(list(new)[: TABLES[row.table]], _tuple(row.target_key), strict=True):
                new[column] = value
            wanted[row.table][row.target_key] = {**new, **changes}
        elif row.action == "update":
            there = before[row.table][row.target_key]
            assert changes
            for field, (old, value) in said[row.table][row.source_key].items():
                assert old == there[field]
                assert old != value
            wanted[row.table][row.target_key] = {**there, **changes}
    assert after == wanted


def _tuple(key: Any) -> tuple[Any, ...]:
    return key if isinstance(key, tuple) else (key,)
