"""Made-up imports, one after another, undone in the opposite order; and made-up edits, of which none is overlooked.

``DATATRANSFER_EXAMPLES`` sets how many are tried; ``python -m tests.campaign`` tries many more.
"""

from __future__ import annotations

import os
import tempfile
import uuid
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import datatransfer as dt
from tests.support.digest import assert_equal, exact_digest
from tests.support.servers import Databases
from tests.support.sql import connected, run
from tests.support.undoing import application

EXAMPLES = int(os.environ.get("DATATRANSFER_EXAMPLES", "20"))
COMMON: dict[str, Any] = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture],
}
ORIGIN = uuid.UUID(int=7)  # all sources are states of one database, so later imports meet the rows of earlier ones
SHOP = """
CREATE TABLE people (id INTEGER PRIMARY KEY, email VARCHAR(9) UNIQUE, name VARCHAR(9), boss INTEGER,
    FOREIGN KEY (boss) REFERENCES people (id));
CREATE TABLE orders (id INTEGER PRIMARY KEY, person INTEGER NOT NULL, note VARCHAR(9),
    FOREIGN KEY (person) REFERENCES people (id));
CREATE TABLE parts (order_id INTEGER NOT NULL, sku VARCHAR(9) NOT NULL, amount INTEGER, PRIMARY KEY (order_id, sku),
    FOREIGN KEY (order_id) REFERENCES orders (id));
CREATE TABLE marks (person INTEGER, word VARCHAR(9), FOREIGN KEY (person) REFERENCES people (id))
"""
KEYS = {"people": ("id",), "orders": ("id",), "parts": ("order_id", "sku")}
REFERENCES = [("people", "boss", "people"), ("orders", "person", "people"), ("parts", "order_id", "orders")]
Rows = dict[str, list[tuple[Any, ...]]]


@st.composite
def shops(draw: st.DrawFn, most: int = 5) -> Rows:
    """Draw the rows of a shop, all references good."""
    ids = draw(st.lists(st.integers(1, 9), min_size=1, max_size=most, unique=True))
    mails = draw(st.lists(st.sampled_from("abcdefgh"), min_size=len(ids), max_size=len(ids), unique=True))
    word = st.sampled_from(["x", "y", "z", "", None])
    people = [
        (i, draw(st.sampled_from([mail, None])), draw(word), draw(st.sampled_from([None, *ids[:n]])))
        for n, (i, mail) in enumerate(zip(ids, mails, strict=True))
    ]
    orders = [
        (i, draw(st.sampled_from(ids)), draw(word))
        for i in draw(st.lists(st.integers(1, 9), max_size=most, unique=True))
    ]
    lines = [(o, sku, draw(st.integers(0, 2))) for o, _, _ in orders for sku in draw(st.sets(st.sampled_from("pqr")))]
    marks = draw(st.lists(st.tuples(st.sampled_from([None, *ids]), st.sampled_from("uv")), max_size=most))
    return {"people": people, "orders": orders, "parts": lines, "marks": marks}


POLICIES = st.fixed_dictionaries(
    {
        "on_match": st.sampled_from(["skip", "update", "update"]),
        "on_clash": st.just("reuse"),
        "match_on": st.sampled_from([{}, {}, {"people": "email"}]),
    }
)


def fill(url: str, rows: Rows) -> None:
    run(url, *SHOP.split(";"))
    with connected(url) as connection:
        for table, values in rows.items():
            columns = sa.inspect(connection).get_columns(table)
            names = [column["name"] for column in columns]
            statement = f"INSERT INTO {table} VALUES ({', '.join(f':{name}' for name in names)})"
            if values:
                connection.execute(sa.text(statement), [dict(zip(names, row, strict=True)) for row in values])


def bring(databases: Databases, db: dt.Database, rows: Rows, policies: Mapping[str, Any], folder: str) -> Any:
    """Import rows; return the receipt, or None where the import refused or had nothing to write."""
    source = databases.create("sqlite")
    fill(source, rows)
    with dt.Database(source, origin=ORIGIN) as left:
        package = dt.PackageBuilder(left).add_all().build(Path(folder, f"{uuid.uuid4()}.zip"), progress=False)
    databases.drop(source)
    try:
        receipt = dt.PackageImporter(package, db).run(**policies)
    except (dt.ConflictError, dt.MergeError):
        return None
    return receipt if receipt.recorded else None


def check_stack(databases: Databases, dialect: str, there: Rows, imports: list[tuple[Rows, Any]]) -> Counter[str]:
    """Import one after another, then undo in the opposite order, comparing after every step."""
    did: Counter[str] = Counter()
    target = databases.create(dialect)
    fill(target, there)
    with tempfile.TemporaryDirectory() as folder, dt.Database(target) as db:
        stack = []
        for rows, policies in imports:
            before = application(exact_digest(target))
            receipt = bring(databases, db, rows, policies, folder)
            if receipt is not None:
                stack.append((before, receipt))
                did["imports"] += 1
                for action in ("insert", "update", "reuse", "skip"):
                    did[action] += receipt.total(action) > 0
        for before, receipt in reversed(stack):
            after = application(exact_digest(target))
            undone = receipt.undo()
            assert_equal(before, application(exact_digest(target)))
            assert undone.check_undo().ok
            undone.undo()
            assert_equal(after, application(exact_digest(target)))
            receipt.undo()
            assert_equal(before, application(exact_digest(target)))
    databases.drop(target)
    return did


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_imports_undone_in_the_opposite_order_leave_nothing(databases: Databases, dialect: str) -> None:
    did: Counter[str] = Counter()

    @settings(max_examples=EXAMPLES if dialect == "sqlite" else max(6, EXAMPLES // 10), **COMMON)
    @given(there=shops(), imports=st.lists(st.tuples(shops(), POLICIES), min_size=2, max_size=4))
    def check(there: Rows, imports: list[tuple[Rows, Any]]) -> None:
        did.update(check_stack(databases, dialect, there, imports))

    check()
    assert did["imports"] >= (EXAMPLES if dialect == "sqlite" else 4), did
    if dialect == "sqlite":
        assert min(did[action] for action in ("insert", "update", "reuse", "skip")) > 0, did


# --- edits since ----------------------------------------------------------------------------------------------------


def snapshot(url: str) -> dict[tuple[str, Any], dict[str, Any]]:
    """Return every row that has a key."""
    found = {}
    with connected(url) as connection:
        for table, key in KEYS.items():
            for row in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings():
                name = row[key[0]] if len(key) == 1 else tuple(row[column] for column in key)
                found[table, name] = dict(row)
    return found


def expected(
    before: dict[tuple[str, Any], dict[str, Any]],
    after: dict[tuple[str, Any], dict[str, Any]],
    now: dict[tuple[str, Any], dict[str, Any]],
    marks: set[int],
) -> set[tuple[str, Any, str]]:
    """Say by rows in memory alone what an undo has to find."""
    inserted = set(after) - set(before)
    updated = {row for row in set(after) & set(before) if after[row] != before[row]}
    found = {row: "gone" for row in inserted | updated if row not in now}
    found |= {row: "edited" for row in inserted | updated if row in now and now[row] != after[row]}
    while True:
        leaves = {row for row in inserted | updated if row not in found}
        new = set()
        for (table, key), values in now.items():
            if (table, key) in leaves:
                continue
            for child, column, parent in REFERENCES:
                if child == table and (parent, values[column]) in leaves & inserted:
                    new.add((parent, values[column]))
        new |= {("people", person) for person in marks if ("people", person) in leaves & inserted}
        found |= dict.fromkeys(new, "referenced")
        leaves -= new
        held = {values["email"] for row, values in now.items() if row[0] == "people" and row not in leaves}
        taken = {row for row in leaves & updated if row[0] == "people" and before[row]["email"] in held - {None}}
        found |= dict.fromkeys(taken, "taken")
        if not new and not taken:
            return {(table, key, state) for (table, key), state in found.items()}


@st.composite
def edits(draw: st.DrawFn) -> list[tuple[str, int, Any]]:
    """Draw what an application does: kind, which row, and a value."""
    kinds = ["name", "note", "amount", "boss", "new order", "new line", "drop line", "drop order", "mark"]
    one = st.tuples(st.sampled_from(kinds), st.integers(0, 20), st.integers(0, 20))
    return draw(st.lists(one, min_size=1, max_size=5))


def edit(url: str, kind: str, which: int, value: int) -> None:
    """Carry out one edit, on a row that is there and so that no reference breaks."""
    rows = snapshot(url)
    of = {table: sorted((key for name, key in rows if name == table), key=repr) for table in KEYS}
    people, orders, lines = (of[table] for table in KEYS)
    order, person = (orders[which % len(orders)] if orders else None), people[which % len(people)]
    other = people[value % len(people)]
    if kind == "name":
        run(url, f"UPDATE people SET name = 'e{value % 3}' WHERE id = {person}")
    if kind == "boss":
        run(url, f"UPDATE people SET boss = {other} WHERE id = {person}")
    if kind == "new order":
        run(url, f"INSERT INTO orders VALUES ({max([1000, *orders]) + 1}, {other}, 'new')")
    if kind == "mark":
        run(url, f"INSERT INTO marks VALUES ({other}, 'late')")
    if kind == "note" and order is not None:
        run(url, f"UPDATE orders SET note = 'e{value % 3}' WHERE id = {order}")
    if kind == "new line" and order is not None:
        sku = next(f"new{n}" for n in range(len(lines) + 1) if (order, f"new{n}") not in lines)
        run(url, f"INSERT INTO parts VALUES ({order}, '{sku}', 1)")
    if kind == "drop order" and order is not None:
        run(url, f"DELETE FROM parts WHERE order_id = {order}", f"DELETE FROM orders WHERE id = {order}")
    if lines and kind in ("amount", "drop line"):
        number, sku = lines[which % len(lines)]
        change = f"UPDATE parts SET amount = {value}" if kind == "amount" else "DELETE FROM parts"
        run(url, f"{change} WHERE order_id = {number} AND sku = '{sku}'")


def check_edits(databases: Databases, dialect: str, there: Rows, rows: Rows, policies: Any, changes: Any) -> int:
    target = databases.create(dialect)
    fill(target, there)
    before = snapshot(target)
    with tempfile.TemporaryDirectory() as folder, dt.Database(target) as db:
        bring(databases, db, {**there, "marks": []}, {"match_on": {"people": "email"}}, folder)
        before = snapshot(target)
        receipt = bring(databases, db, {**rows, "marks": []}, policies, folder)
        if receipt is None:
            databases.drop(target)
            return 0
        after = snapshot(target)
        for kind, which, value in changes:
            edit(target, kind, which, value)
        now = snapshot(target)
        with connected(target) as connection:
            marks = set(connection.exec_driver_sql("SELECT person FROM marks WHERE person IS NOT NULL").scalars())
        wanted = expected(before, after, now, marks)
        report = receipt.check_undo()
        assert {(table, key, state) for table, key, state, _ in report.rows} == wanted
        assert report.ok == all(state == "gone" for _, _, state in wanted)
        if not report.ok:
            digest = exact_digest(target)
            with pytest.raises(dt.UndoConflictError):
                receipt.undo()
            assert_equal(digest, exact_digest(target))
        try:
            receipt.undo(keep_edited=True)
        except dt.UndoConflictError as error:  # what an earlier state refers to was deleted since
            assert "are gone" in str(error)  # noqa: PT017 - most undos are carried out
        else:
            left = snapshot(target)
            stays = {(table, key) for table, key, state in wanted if state != "gone"}
            for row in set(after) - set(before):
                assert (row in left) == (row in stays)
            for row in (set(after) & set(before) & set(left)) - stays:
                assert left[row] == (before[row] if after[row] != before[row] else now[row])
    databases.drop(target)
    return len(wanted)


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql", "mariadb"])
def test_exactly_the_edited_and_referenced_rows_are_named(databases: Databases, dialect: str) -> None:
    named = 0

    @settings(max_examples=EXAMPLES if dialect == "sqlite" else max(6, EXAMPLES // 10), **COMMON)
    @given(there=shops(), rows=shops(), policies=POLICIES, changes=edits())
    def check(there: Rows, rows: Rows, policies: Any, changes: Any) -> None:
        nonlocal named
        named += check_edits(databases, dialect, there, rows, policies, changes)

    check()
    assert named > 0
