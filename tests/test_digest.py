"""The semantic digest: blind to surrogate keys, encoding and origin; sees every value and every reference."""

from __future__ import annotations

import copy
import random
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datatransfer.package.digest import semantic_digest
from datatransfer.schema.tables import Schema, Table
from tests.support.packages import batch, every_kind, metadata, shop, table, write

Tables = list[tuple[Table, list[dict[str, Any]]]]


def digest(tables: Any, *, rows_at_once: int = 10_000) -> str:
    rows = {one.name: (one, list(found)) for one, found in tables}

    def batches(name: str) -> Any:
        one, found = rows[name]
        return [batch(one, found[at : at + rows_at_once]) for at in range(0, len(found), rows_at_once)]

    return semantic_digest(Schema({one.name: one for one, _ in tables}), batches)


def renumbered(tables: Tables, shift: Callable[[str, int], int]) -> Tables:
    """Give every row another surrogate key, and move the references along."""
    made = copy.deepcopy(tables)
    for one, rows in made:
        for row in rows:
            for fk in one.foreign_keys:
                if row[fk.columns[0]] is not None:
                    row[fk.columns[0]] = shift(fk.parent, row[fk.columns[0]])
            if one.surrogate:
                row[one.surrogate] = shift(one.name, row[one.surrogate])
    return made


def shuffled(tables: Tables, seed: int) -> Tables:
    order = random.Random(seed)
    made = [(one, order.sample(rows, len(rows))) for one, rows in tables]
    return order.sample(made, len(made))


SHOP: Tables = shop()  # type: ignore[assignment]


def test_surrogate_keys_and_the_order_of_rows_do_not_matter() -> None:
    same = digest(SHOP)
    assert digest(renumbered(SHOP, lambda name, key: 1000 - 7 * key + len(name))) == same
    assert digest(shuffled(SHOP, 1)) == same
    assert digest(shuffled(renumbered(SHOP, lambda _, key: key * 13), 2), rows_at_once=2) == same


def test_encoding_and_origin_do_not_matter(tmp_path: Path) -> None:
    tables = [every_kind(), *SHOP]
    found = set()
    for n, encoding in enumerate(["documents", "columns", "documents"]):
        meta = metadata(origin=uuid.UUID(int=n))
        found.add(write(tmp_path / f"{n}.zip", tables, encoding=encoding, meta=meta).digest)
    assert found == {digest(tables)}


def every_change(tables: Tables) -> list[tuple[str, Tables]]:
    """Return the tables with one value changed, for every value but surrogate keys; and with a row less or more."""
    found = []
    for at, (one, rows) in enumerate(tables):
        for number, row in enumerate(rows):
            for column in one.columns:
                if column.name == one.surrogate:
                    continue
                made = copy.deepcopy(tables)
                old = row[column.name]
                if any(column.name in fk.columns for fk in one.foreign_keys):
                    # another parent: one whose content is different
                    new = None if old is not None else 1
                else:
                    new = (old or "") + "!" if column.type.kind == "text" else None
                made[at][1][number][column.name] = new
                found.append((f"{one.name}[{number}].{column.name}", made))
        less, more = copy.deepcopy(tables), copy.deepcopy(tables)
        less[at][1].pop()
        extra = dict(rows[-1])
        extra.update({one.surrogate: 99} if one.surrogate else {})
        more[at][1].append(extra)
        found += [(f"{one.name} less", less), (f"{one.name} more", more)]
    return found


@pytest.mark.parametrize(("what", "changed"), [pytest.param(*change, id=change[0]) for change in every_change(SHOP)])
def test_every_change_shows(what: str, changed: Tables) -> None:
    assert digest(changed) != digest(SHOP), what


def test_every_value_of_every_kind_shows() -> None:
    one, rows = every_kind()
    seen = {digest([(one, rows)])}
    changes = 1
    for number, row in enumerate(rows):
        for name, value in row.items():
            if value is None or name == "id":
                continue
            made = [dict(other) for other in rows]
            made[number][name] = None
            seen.add(digest([(one, made)]))
            changes += 1
    assert len(seen) == changes


def test_a_reference_to_another_row_of_other_content_shows() -> None:
    changed = copy.deepcopy(SHOP)
    changed[1][1][0]["customer_id"] = 2
    assert digest(changed) != digest(SHOP)
    same = copy.deepcopy(SHOP)
    # customers 2 and 3 have the same content, so to swap them is to renumber
    for row in same[1][1]:
        row["customer_id"] = {2: 3}.get(row["customer_id"], row["customer_id"])
    assert digest(same) == digest(SHOP)


def test_storage_classes_are_told_apart_and_types_are_not() -> None:
    integers = table("t", {"id": "integer", "v": "integer"})
    mixed = table("t", {"id": "integer", "v": "any"})
    assert digest([(integers, [{"id": 1, "v": 7}])]) == digest([(mixed, [{"id": 1, "v": "i7"}])])
    values = ["i7", "r0x1.c000000000000p+2", "t7", "b37", None]
    assert len({digest([(mixed, [{"id": 1, "v": value}])]) for value in values}) == len(values)


def test_lengths_keep_neighbours_apart() -> None:
    two = table("t", {"a": "text", "b": "text"}, key=())
    assert digest([(two, [{"a": "xy", "b": "z"}])]) != digest([(two, [{"a": "x", "b": "yz"}])])
    assert digest([(two, [{"a": "", "b": None}])]) != digest([(two, [{"a": None, "b": ""}])])


def chain(length: int, *, circle: bool = False) -> Tables:
    """Return rows of equal content, each referring to the one before; perhaps the first to the last."""
    one = table("t", {"id": "integer", "next": "integer"}, refers=[(["next"], "t", ["id"])])
    rows = [{"id": n, "next": n - 1 if n else (length - 1 if circle else None)} for n in range(length)]
    return [(one, rows)]


def test_deep_trees_and_circles_end() -> None:
    assert digest(chain(20_000)) != digest(chain(20_001))
    assert digest(chain(5, circle=True)) == digest(renumbered(chain(5, circle=True), lambda _, key: 50 - key))
    marked = chain(6, circle=True)
    one = table("t", {"id": "integer", "next": "integer", "x": "text"}, refers=[(["next"], "t", ["id"])])
    rows = [{**row, "x": "here" if row["id"] == 3 else None} for row in marked[0][1]]
    moved = [{**row, "x": "here" if row["id"] == 5 else None} for row in marked[0][1]]
    two = [{**row, "x": "here" if row["id"] in (3, 5) else None} for row in marked[0][1]]
    assert digest([(one, rows)]) == digest([(one, moved)])
    assert digest([(one, rows)]) != digest([(one, two)])


def test_rows_that_hang_on_a_circle_are_told_apart() -> None:
    base = SHOP[3:5]
    changed = copy.deepcopy(base)
    changed[0][1][0]["current_id"] = 1
    assert digest(changed) != digest(base)


def test_parents_outside_count_by_their_key() -> None:
    customers, orders = SHOP[0], SHOP[1]
    alone = [orders]
    assert digest(alone) != digest([(orders[0], [{**row, "customer_id": 9} for row in orders[1]])])
    lost = [(customers[0], []), orders]
    assert digest(lost) != digest([customers, orders])


def test_composite_and_natural_keys() -> None:
    parent = table("p", {"a": "integer", "b": "text", "v": "text"}, key=("a", "b"))
    child = table("c", {"id": "integer", "pa": "any", "pb": "text"}, refers=[(["pa", "pb"], "p", ["a", "b"])])
    parents = [{"a": 1, "b": "x", "v": "1"}, {"a": 1, "b": "y", "v": "2"}]
    first = [(parent, parents), (child, [{"id": 1, "pa": "i1", "pb": "x"}])]
    second = [(parent, parents), (child, [{"id": 1, "pa": "i1", "pb": "y"}])]
    third = [(parent, parents), (child, [{"id": 1, "pa": "i1", "pb": None}])]
    assert len({digest(first), digest(second), digest(third)}) == 3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_graph_of_rows_may_be_renumbered(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 9))
    one = table(
        "t", {"id": "integer", "a": "integer", "b": "integer", "x": "text"},
        refers=[(["a"], "t", ["id"]), (["b"], "t", ["id"])],
    )  # fmt: skip
    reference = st.none() | st.integers(0, count - 1)
    rows = [
        {"id": n, "a": data.draw(reference), "b": data.draw(reference), "x": data.draw(st.sampled_from("xy"))}
        for n in range(count)
    ]
    places = data.draw(st.permutations(range(count)))
    moved = renumbered([(one, rows)], lambda _, key: places[key])
    assert digest(moved) == digest([(one, rows)])
