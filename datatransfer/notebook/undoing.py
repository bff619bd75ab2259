"""The undo below a receipt in the import form: asked for twice, refused where rows were edited, then with a choice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ipywidgets as w

from datatransfer.background import Job
from datatransfer.errors import DataTransferError, UndoConflictError
from datatransfer.importing.receipts import Receipt
from datatransfer.notebook import parts, writing

KEEP = "Leave rows that were edited or are referred to since, and what they need"


class Undoing(w.VBox):
    """A button that takes an import back, once it is ticked that this is meant.

    Parameters
    ----------
    on_undo : callable
        Is to call `begin`.
    """

    def __init__(self, on_undo: Callable[[], object]) -> None:
        self.sure = parts.tick("Undo takes back what this import wrote", on_change=self._sure)
        self.keep = parts.tick(KEEP)
        self.button = parts.button("Undo", on_undo, tip="take back what this import wrote")
        self.progress = parts.ProgressBox()
        self.said = parts.html()
        self.code = ""
        self.job: Job[Receipt] | None = None
        tick, button = parts.row(self.sure), parts.row(self.button)
        super().__init__((tick, self.keep, button, self.progress, self.said), layout=parts.full())
        self.offer(False)

    def offer(self, offered: bool) -> None:
        """Begin anew below another receipt; nothing can be undone of one that was not recorded."""
        self.sure.value = self.keep.value = False
        self.button.disabled, self.said.value, self.code = True, "", ""
        self._hold(False)
        self._show(offered)
        self.job = None
        parts.show(self.progress, False)

    def begin(
        self, receipt: Receipt, done: Callable[[Receipt], object], failed: Callable[[BaseException], object]
    ) -> None:
        """Take the import back in the background, as it is ticked now; tell the receipt of that, or why it failed."""
        self.button.disabled, self.said.value = True, ""
        self._hold(True)
        chosen: dict[str, Any] = {"keep_edited": True} if self.keep.value else {}

        def ended(job: Job[Receipt]) -> None:
            if job.state == "running" or job is not self.job:
                return
            try:
                undone = job.result()
                self.code = writing.call("receipt.undo", **chosen)
                done(undone)
            except BaseException as error:  # what the undo raised is shown, with what can be done
                failed(error)

        try:
            self.job = receipt.start_undo(**chosen)
        except DataTransferError as error:
            failed(error)
            return
        self.progress.follow(self.job)
        self.job.watch(ended)

    def wait(self, timeout: float) -> None:
        """Wait until it has ended; for scripts."""
        if self.job is not None:
            self.job.wait(timeout)

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
        parts.show(self.progress, False)
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
