"""The undo below a receipt in the import form: asked for twice, refused where rows were edited, then with a choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from datatransfer.errors import UndoConflictError
from datatransfer.importing.receipts import Receipt
from datatransfer.notebook import parts, writing

KEEP = "Leave rows that were edited or are referred to since, and what they need"


class Undoing(w.VBox):
    """A button that takes an import back, once it is ticked that this is meant.

    Parameters
    ----------
    on_undo : callable
        Is to call `begin`, with the receipt.
    """

    def __init__(self, on_undo: Callable[[], object]) -> None:
        self.sure = parts.tick("Undo takes back what this import wrote", on_change=self._sure)
        self.keep = parts.tick(KEEP)
        self.button = parts.button("Undo", on_undo, tip="take back what this import wrote")
        self.said = parts.html()
        self.code = ""
        super().__init__((parts.row(self.sure), self.keep, parts.row(self.button), self.said), layout=parts.full())
        self.offer(False)

    def offer(self, offered: bool) -> None:
        """Begin anew below another receipt; nothing can be undone of one that was not recorded."""
        self.sure.value = self.keep.value = False
        self.button.disabled, self.said.value, self.code = True, "", ""
        self._hold(False)
        self._show(offered)

    def begin(self, receipt: Receipt) -> Callable[[], Receipt]:
        """Return what takes the import back, as it is ticked now."""
        self.button.disabled = True
        self._hold(True)
        chosen: dict[str, Any] = {"keep_edited": True} if self.keep.value else {}

        def undo() -> Receipt:
            undone = receipt.undo(**chosen)
            self.code = writing.call("receipt.undo", **chosen)
            return undone

        return undo

    def refused(self, error: BaseException) -> None:
        """Let it be tried again; leave the rows that forbid it, where such rows do."""
        self.button.disabled = not self.sure.value
        self._hold(False)
        if isinstance(error, UndoConflictError):
            parts.show(self.keep, True)

    def done(self, undone: Receipt) -> None:
        """Tell what was taken back."""
        but = ", but for the rows that were to be left" if self.keep.value else ""
        self._show(False)
        self.said.value = parts.mark("good", f"the import was taken back{but}") + undone._repr_html_()

    def _hold(self, held: bool) -> None:
        """Let nothing be ticked otherwise while it is done."""
        self.sure.disabled = self.keep.disabled = held

    def _show(self, shown: bool) -> None:
        parts.show(self.sure, shown)
        parts.show(self.button, shown)
        parts.show(self.keep, False)

    def _sure(self, sure: bool) -> None:
        self.button.disabled = not sure
