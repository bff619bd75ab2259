"""Keys that are typed in a form stay in it: JupyterLab takes them for commands to the notebook otherwise.

In JupyterLab's command mode a letter or an arrow is a command unless what has the focus can be written in: in a list
`d d` deletes the cell. Since 4.1 it leaves alone what has the attribute `data-lm-suppress-shortcuts`. Classes do not
help, since its selectors ask for nothing below the notebook but `:focus`, and no widget can be given an attribute. So
it is set by a script (`datatransfer.notebook.scripts`). Where scripts are refused, the keys are as they were.
"""

from __future__ import annotations

import ipywidgets as w

# On the window, to come before JupyterLab, which listens on the document. Of keys with Ctrl or Cmd only those stay that
# lists know: Ctrl+S still saves the notebook.
SCRIPT = """if (!window.datatransferKeys) {
  window.datatransferKeys = (event) => {
    const on = event.target;
    if (!on.closest?.(".dt-form") || on.matches(":read-write")) return;
    const command = (event.ctrlKey || event.metaKey) && event.key.length === 1 && !" aA".includes(event.key);
    if (command) on.removeAttribute("data-lm-suppress-shortcuts");
    else on.setAttribute("data-lm-suppress-shortcuts", "true");
  };
  window.addEventListener("keydown", window.datatransferKeys, true);
}"""


def first(widget: w.Widget) -> w.Widget | None:
    """Return the first control of a part of a form that can be used now."""
    if widget.layout.display == "none":
        return None
    if isinstance(widget, w.Box):
        return next((found for child in widget.children if (found := first(child)) is not None), None)
    return None if getattr(widget, "disabled", True) else widget
