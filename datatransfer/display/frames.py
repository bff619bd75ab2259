"""DataFrames whose values stay on one line where a notebook shows them; to everything else they are DataFrames."""

from __future__ import annotations

from typing import Any, cast

import pandas as pd

# twice, to be more precise than JupyterLab, which breaks UUIDs at their hyphens
_STYLE = ".dt-o{overflow-x:auto}.dt-o.dt-o table td,.dt-o.dt-o table th{white-space:nowrap}"


class OneLine(pd.DataFrame):
    """A DataFrame that is scrolled rather than squeezed: its UUIDs and times are not broken.

    What is made of it, by choosing rows or columns, is a plain DataFrame.
    """

    def _repr_html_(self) -> Any:
        """Return it as pandas shows it, times to the second, or None where pandas is told to show text."""
        shown = pd.DataFrame(self)
        for name in shown.select_dtypes(["datetime", "datetimetz"]).columns:
            shown[name] = shown[name].dt.floor("s")
        found = cast("Any", shown)._repr_html_()
        return None if found is None else f'<div class="dt-o"><style>{_STYLE}</style>{found}</div>'
