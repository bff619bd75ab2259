"""What was interrupted, at the first step of an import: offered to be gone on with, or to be removed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from datatransfer.display import blocks
from datatransfer.errors import DataTransferError
from datatransfer.notebook import parts

if TYPE_CHECKING:
    from datatransfer.notebook.import_wizard import ImportWizard


class Interrupted(w.VBox):
    """Imports that are not finished, each with buttons.

    Parameters
    ----------
    go_on : callable
        Takes the id of an import, and the path of its package.
    drop : callable
        Takes the id of an import.
    look_again : callable
    """

    def __init__(
        self, go_on: Callable[[str, str], object], drop: Callable[[str], object], look_again: Callable[[], object]
    ) -> None:
        self._go_on, self._drop, self._look_again = go_on, drop, look_again
        super().__init__((), layout=parts.full())

    def tell(self, begun: Iterable[Mapping[str, Any]]) -> None:
        """Show imports that are not finished, as `ImportWizard.begun` lists them."""
        lines: list[w.Widget] = []
        for stage in begun:
            lines += self._at_work(stage) if stage["state"] == "running" else self._interrupted(stage)
        self.children = tuple(lines)

    def _at_work(self, stage: Mapping[str, Any]) -> list[w.Widget]:
        """Say what cannot be gone on with yet: a server ends the statement of a client that is gone only later."""
        package = Path(str(stage["package"]))
        what = f"an import of {package.name}" if package.is_absolute() else f"an import ({package})"
        told = f"{what} into this database is under way elsewhere, or its server is still ending it"
        look = parts.button("Look again", self._look_again, tip="whether it has ended")
        return [parts.html(parts.mark("warn", told)), parts.row(look)]

    def _interrupted(self, stage: Mapping[str, Any]) -> list[w.Widget]:
        import_id, package = str(stage["import_id"]), str(stage["package"])
        begun = str(stage["created"])[:19].replace("T", " ")
        told = f"{package or 'a package'}, begun {begun} UTC, {blocks.plural(stage['rows'], 'row')} staged"
        drop = partial(self._drop, import_id)
        buttons = [parts.button("Roll back", drop, tip=f"remove what was staged: {told}")]
        if package and Path(package).exists():
            go_on = parts.button("Resume", partial(self._go_on, import_id, package), tip=told)
            buttons.insert(0, go_on)
        said = parts.mark("warn", f"an import was interrupted, the target is unchanged: {told}")
        return [parts.html(said), parts.row(*buttons)]


def left_of(wizard: ImportWizard) -> str:
    """Return the id of the latest interrupted import of the package that is open, empty if there is none."""
    path = str(Path(wizard.package.path).absolute()) if wizard.package else ""
    return next((str(row["import_id"]) for row in wizard.left() if row["package"] == path), "")


def ways_on(wizard: ImportWizard) -> list[str]:
    """Return the buttons that go on after a run failed; where the database is lost, nobody can tell what was staged."""
    try:
        return ["Resume", "Roll back"] if left_of(wizard) else ["Plan again"]
    except DataTransferError:
        return ["Resume", "Roll back"]
