"""Looking many values up in a column gives the places that a loop would find."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datatransfer.schema import finding
from datatransfer.schema.finding import IntegerFinder, TextFinder
from datatransfer.schema.keycolumns import as_kind, joined, key_array, key_values
from datatransfer.schema.values import LogicalType

NUMBERS = st.one_of(st.integers(-20, 20), st.integers(-(2**63), 2**63 - 1))
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)


@settings(deadline=None)
@given(st.lists(NUMBERS, unique=True), st.lists(NUMBERS))
def test_integers_are_found_where_they_are(held: list[int], wanted: list[int]) -> None:
    found = IntegerFinder(pa.array(held, pa.int64())).find(pa.array(wanted, pa.int64()))
    assert found.tolist() == [held.index(value) if value in held else -1 for value in wanted]


@settings(deadline=None)
@given(st.lists(TEXTS, unique=True), st.lists(TEXTS))
def test_texts_are_found_where_they_are(held: list[str], wanted: list[str]) -> None:
    wanted += held[:3]
    found = TextFinder(pa.array(held, pa.string())).find(pa.array(wanted, pa.string()))
    assert found.tolist() == [held.index(value) if value in held else -1 for value in wanted]


def test_texts_with_one_hash_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    real = finding.text_hashes
    monkeypatch.setattr(finding, "text_hashes", lambda texts: real(texts) % 3)
    held = [f"text {n}" for n in range(50)]
    found = TextFinder(pa.array(held)).find(pa.array([*reversed(held), "text 50"]))
    assert found.tolist() == [*range(49, -1, -1), -1]


def test_texts_are_hashed_in_blocks_of_their_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = pa.array(["ab" * 40, "", "c", "ab" * 40])[1:]
    at_once = finding.text_hashes(texts).tolist()
    monkeypatch.setattr(finding, "_BLOCK_BYTES", 8)
    assert finding.text_hashes(texts).tolist() == at_once
    assert len(set(at_once)) == 3


def test_keys_come_back_as_they_were_kept() -> None:
    for values in ([1, -(2**63)], ["a", "", "i1"], [1, "1", 1.0, b"1"], [2**64 - 1, 1], [b"x"], []):
        assert key_values(key_array(values)) == values


def test_pieces_of_a_column_are_joined_whatever_their_form() -> None:
    pieces = [key_array([1, 2]), key_array(["a"]), key_array([3])]
    assert key_values(joined(pieces)) == [1, 2, "a", 3]


def test_a_time_in_a_notation_of_its_own_stays_the_text_that_it_is() -> None:
    kept = key_array(["infinity"])
    assert as_kind(kept, LogicalType("timestamp"))[0].to_pylist() == ["tinfinity"]
    parsed, kind = as_kind(key_array(["2026-01-02 03:04:05"]), LogicalType("timestamp"))
    assert (str(parsed[0]), kind.kind) == ("2026-01-02 03:04:05", "timestamp")
