"""The report of an error goes onto the clipboard, or is shown selected where a browser forbids that.

A browser lets a page write there while a person clicks, and not when a kernel answers: the click is taken by a script,
which finds the report in the box already. Pages that come without encryption have no clipboard of their own, but the
older way of copying what is selected. The kernel shows the report in any case, also where scripts are refused.
"""

from __future__ import annotations

import re

BOX, BUTTON, SAID = "dt-error", "dt-copy", "dt-copied"
STATUS = f"<div role='status' class='{SAID}'></div>"
COPIED, SELECTED = "✓ the report is on the clipboard", "the browser forbids copying: press Ctrl+C (⌘C on a Mac)"

_SCRIPT = """if (!window.datatransferCopy) {
  const selected = (text) => {
    const area = document.createElement("textarea");
    area.value = text;
    area.style.cssText = "position:fixed;opacity:0";
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  };
  const copied = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return selected(text);
    }
  };
  const tell = (box, text) => { box.querySelector(".SAID").textContent = text; };
  const offer = (box, area, tries) => {
    if (area.offsetParent) {
      area.focus();
      area.select();
      tell(box, "SELECTED");
    } else if (tries) {
      setTimeout(() => offer(box, area, tries - 1), 100);
    }
  };
  window.datatransferCopy = async (event) => {
    const box = event.target.closest?.(".BUTTON")?.closest(".BOX");
    if (!box) return;
    const area = box.querySelector("textarea");
    if (await copied(area.value)) tell(box, "COPIED");
    else offer(box, area, 50);
  };
  window.addEventListener("click", window.datatransferCopy, true);
}"""


def script() -> str:
    """Return the script, see `datatransfer.notebook.scripts`."""
    words = {"SAID": SAID, "SELECTED": SELECTED, "BUTTON": BUTTON, "BOX": BOX, "COPIED": COPIED}
    return re.sub("|".join(words), lambda found: words[found[0]], _SCRIPT)
