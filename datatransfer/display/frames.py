"""DataFrames that fit a line each where a notebook shows them; to everything else they are DataFrames."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd
from pandas.api.types import is_object_dtype, is_string_dtype

from datatransfer.display.blocks import UUID

# twice, to be more precise than JupyterLab, which breaks UUIDs at their hyphens
_STYLE = (
    ".dt-o{overflow-x:auto}.dt-o.dt-o table td,.dt-o.dt-o table th{white-space:nowrap;padding-left:.3em;"
    "padding-right:.3em}"
)


class OneLine(pd.DataFrame):
    """A DataFrame whose rows are shown on one line each: times to the second, and one UUID whole, that of the row.

    Other UUIDs are shown by their first eight characters, so that what is beside them is seen without scrolling. What
    is made of it, by choosing rows or columns, is a plain DataFrame.
    """

    def _repr_html_(self) -> Any:
        """Return it as pandas shows it, or None where pandas is told to show text."""
        shown = pd.DataFrame(self)
        for name in shown.select_dtypes("datetimetz").columns:
            shown[name] = shown[name].dt.tz_convert("UTC").dt.strftime("%Y-%m-%d %H:%M:%S")
            shown = shown.rename(columns={name: f"{name} (UTC)"})
        for name in shown.columns[1:]:
            if is_object_dtype(shown[name]) or is_string_dtype(shown[name]):
                shown[name] = shown[name].map(_shortened)
        found = cast("Any", shown)._repr_html_()
        return None if found is None else f'<div class="dt-o"><style>{_STYLE}</style>{found}</div>'


def _shortened(value: Any) -> Any:
    return f"{value[:8]}…" if isinstance(value, str) and UUID.fullmatch(value) else value
