"""Controls for one value of a column: a number, a date, yes or no, else a text with an example."""

from __future__ import annotations

import datetime as dt

import ipywidgets as w

from datatransfer.importing.cures import neutral
from datatransfer.notebook import parts
from datatransfer.schema.tables import Column

_WIDE = {"description_width": "initial"}
_EXAMPLES = {
    "timestamp": "2026-01-31T12:00:00", "timestamptz": "2026-01-31T12:00:00Z", "time": "12:00:00", "decimal": "0.99",
    "uuid": "00000000-0000-0000-0000-000000000000", "json": '{"key": 1}',
}  # fmt: skip


def control(label: str, column: Column) -> w.Widget:
    """Return a control for a value of a column; it holds what says nothing."""
    made = _made(label, column)
    made.layout = w.Layout(width="34em", max_width="100%")
    made.add_class("dt-line")  # begins where lists above and below it do
    return made


def _made(label: str, column: Column) -> w.Widget:
    kind = column.type.kind
    plain = next(iter(neutral(column)), "")
    if kind == "integer":
        return w.IntText(value=plain, description=label, style=_WIDE)
    if kind == "float":
        return w.FloatText(value=plain, description=label, style=_WIDE)
    if kind == "boolean":
        return parts.choice(label, [("no", False), ("yes", True)], False)
    if kind == "date":
        return w.DatePicker(value=dt.date(1970, 1, 1), description=label, style=_WIDE)
    return parts.text(label, str(plain), hint=f"e.g. {_EXAMPLES[kind]}" if kind in _EXAMPLES else "a text")
