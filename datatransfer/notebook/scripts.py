"""Scripts of forms, in an output that is not seen: no widget can be given one, but JupyterLab runs those of an output.

Each is the same for every form, and does nothing the second time. Where scripts are refused, forms work without.
"""

from __future__ import annotations

import ipywidgets as w


def hidden(*scripts: str) -> w.Output:
    """Return a widget, not to be seen, with which scripts are run."""
    bundles = [
        {"output_type": "display_data", "data": {"text/html": f"<script>\n{each}\n</script>"}, "metadata": {}}
        for each in scripts
    ]
    return w.Output(outputs=tuple(bundles), layout=w.Layout(display="none"))
