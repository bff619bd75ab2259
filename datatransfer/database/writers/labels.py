"""Texts that are none of the labels which a column of the target takes, refused before they are staged, and named."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TYPE_CHECKING

from datatransfer.errors import ValueLossError
from datatransfer.schema.columns import Column

if TYPE_CHECKING:
    import pyarrow as pa


def refuse_others(
    values: pa.Array, others: Callable[[str], Collection[str]], why: str, column: Column, cure: str
) -> None:
    """Refuse texts that hold what is no label, counted; the labels are told as evidence.

    Parameters
    ----------
    values : pyarrow.Array
        Texts.
    others : callable
        Returns what of a text is no label.
    why, cure : str
    column : Column

    Raises
    ------
    ValueLossError
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    found = {text: others(text) for text in pc.unique(values).to_pylist() if text is not None}
    odd = [text for text, labels in found.items() if labels]
    if odd:
        rows = int(pc.sum(pc.is_in(values, pa.array(odd, type=values.type))).as_py())
        labels = list(dict.fromkeys(label for text in odd for label in found[text]))
        raise ValueLossError(why, where=column.name, hint=cure, evidence={"rows": rows, "labels": labels})
