"""The state of an export that is put together step by step; knows no widgets, and no thread of its own.

Steps: ``choose`` roots, look at the ``closure``, name the ``destination``, ``run``, ``done``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from datatransfer.display.blocks import plural
from datatransfer.errors import ConditionError
from datatransfer.exporting.builder import PackageBuilder
from datatransfer.exporting.roots import count
from datatransfer.notebook import writing
from datatransfer.notebook.edges import FOLLOW, EdgeChoice, Edges
from datatransfer.notebook.steps import following, refuse_back

if TYPE_CHECKING:
    from datatransfer.background import Job
    from datatransfer.database.connection import Database
    from datatransfer.database.counting import RowCount
    from datatransfer.exporting.preview import Selection
    from datatransfer.package.package import DataPackage

Step = Literal["choose", "closure", "destination", "run", "done"]
STEPS: tuple[Step, ...] = ("choose", "closure", "destination", "run", "done")


@dataclass
class ExportWizard:
    """An export as far as it is put together.

    Parameters
    ----------
    db : Database

    Examples
    --------
    >>> wizard = ExportWizard(db)                       # doctest: +SKIP
    >>> wizard.choose("orders", "placed >= '2026-01-01'")   # doctest: +SKIP
    >>> wizard.blocked                                  # doctest: +SKIP
    ''
    """

    db: Database
    step: Step = "choose"
    roots: dict[str, str] = field(default_factory=dict)
    rules: dict[tuple[str, str], str] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    path: str = ""
    overwrite: bool = False
    encoding: str = "auto"
    on_orphan: str = "error"
    on_missing_file: str = "error"
    counts: dict[str, RowCount] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    selection: Selection | None = None
    job: Job[DataPackage] | None = None

    # --- choosing -----------------------------------------------------------------------------------------------

    def choose(self, table: str, where: str = "") -> None:
        """Ask for rows of a table: those where a condition holds, or all."""
        self.db.schema.table(table)
        self.roots[table] = where.strip()
        self.selection = None

    def unchoose(self, table: str) -> None:
        """Ask for nothing of a table."""
        self.roots.pop(table, None)
        self.selection = None

    def choose_all(self) -> None:
        """Ask for the whole database."""
        self.roots = dict.fromkeys(self.db.schema.tables, "")
        self.selection = None

    def set_rule(self, label: str, direction: str, action: str) -> None:
        """Say what happens at a foreign key in a direction."""
        if action == FOLLOW:
            self.rules.pop((label, direction), None)
        else:
            self.rules[label, direction] = action
        self.selection = None

    def leave_out(self, columns: list[str]) -> None:
        """Say which columns, ``"table.column"``, are not carried."""
        self.left_out = list(columns)
        self.selection = None

    def count(self, table: str, where: str = "") -> int:
        """Count the rows of a table for which a condition holds, now.

        Raises
        ------
        ConditionError
            The database does not accept the condition.
        """
        self.refused.pop(table, None)
        try:
            return count(self.db, table, where or None)
        except ConditionError:
            self.refused[table] = where.strip()
            raise

    @property
    def not_accepted(self) -> list[str]:
        """The tables of which the condition, as it stands there now, was refused when it was counted last."""
        return [table for table, where in self.roots.items() if where and self.refused.get(table) == where]

    @property
    def edges(self) -> list[EdgeChoice]:
        """The foreign keys at which a rule makes a difference to what is selected, each with what may happen there."""
        return self._edges.offered(self._tables)

    @property
    def needed(self) -> list[str]:
        """The foreign keys that are always followed, as rows of the selection cannot do without what they refer to."""
        return self._edges.needed(self._tables)

    @property
    def active_rules(self) -> dict[tuple[str, str], str]:
        """The rules that can hold something back."""
        return self._edges.active

    @property
    def _edges(self) -> Edges:
        return Edges(self.db.schema, self.roots, self.rules, self.left_out)

    @property
    def _tables(self) -> set[str]:
        return {count.table for count in self.selection.table_counts} if self.selection else set(self.roots)

    @property
    def secrets(self) -> list[str]:
        """The columns of the selection that look like secrets and are not left out."""
        found = [w.where for w in self.selection.warnings if w.code == "secret"] if self.selection else []
        return [where for where in found if where not in self.left_out]

    # --- going on -----------------------------------------------------------------------------------------------

    @property
    def blocked(self) -> str:
        """Why the next step cannot be taken yet; empty if it can."""
        if self.step == "choose" and not self.roots:
            return "choose at least one table"
        if self.step == "choose" and self.not_accepted:
            return f"the condition of {self.not_accepted[0]} is not accepted"
        if self.step == "closure" and self.selection is None:
            return "the selection is not counted yet"
        if self.step == "closure" and self.selection is not None and not self.selection.total:
            return "nothing is selected"
        if self.step == "destination":
            return self._destination_blocked()
        if self.step == "run" and (self.job is None or self.job.state != "done"):
            return "the export is not done"
        return "there is nothing after the last step" if self.step == "done" else ""

    def _destination_blocked(self) -> str:
        if not self.path.strip():
            return "name the new file"
        path = Path(self.path).expanduser()
        if path.is_dir():
            return "that is a folder: add a name"
        if not path.absolute().parent.is_dir():
            return "there is no such folder"
        if path.exists() and not self.overwrite:
            return "there is a file of that name already"
        return ""

    def next(self) -> Step:
        """Take the next step.

        Raises
        ------
        UsageError
            It cannot be taken, with the reason.
        """
        self.step = following(STEPS, self.step, self.blocked)
        return self.step

    def back(self) -> Step:
        """Take a step back; not while the export runs, nor from its end."""
        refuse_back(self.job, ended=self.step == STEPS[-1])
        self.job = None
        before = {"destination": "closure", "run": "destination"}
        self.step = before.get(self.step, "choose")  # type: ignore[assignment]
        return self.step

    def start_over(self) -> Step:
        """Begin another export, of which nothing is chosen yet."""
        refuse_back(self.job, ended=False)
        vars(self).update(vars(ExportWizard(self.db, counts=self.counts)))
        return self.step

    # --- what comes of it ---------------------------------------------------------------------------------------

    def builder(self) -> PackageBuilder:
        """Return the builder of what was chosen."""
        builder = PackageBuilder(self.db)
        if self._everything:
            builder.add_all()
        else:
            for table, where in self.roots.items():
                builder.add(table, where=where or None)
        for (label, direction), action in self.active_rules.items():
            getattr(builder, action)(label, direction=direction)
        if self.left_out:
            builder.leave_out(*self.left_out)
        return builder

    @property
    def _everything(self) -> bool:
        return not any(self.roots.values()) and set(self.roots) == set(self.db.schema.tables)

    def start(self) -> Job[DataPackage]:
        """Start the export that was put together."""
        self.job = self.builder().start(Path(self.path).expanduser(), **self._options())  # type: ignore[arg-type]
        return self.job

    def _options(self) -> dict[str, object]:
        given = {
            "overwrite": self.overwrite, "encoding": self.encoding, "on_orphan": self.on_orphan,
            "on_missing_file": self.on_missing_file,
        }  # fmt: skip
        usual = {"overwrite": False, "encoding": "auto", "on_orphan": "error", "on_missing_file": "error"}
        return {name: value for name, value in given.items() if value != usual[name]}

    def code(self) -> str:
        """Return the calls that repeat what was chosen."""
        lines = ["import datatransfer as dt", "", *writing.opened("db", self.db.code)]
        lines.append("builder = dt.PackageBuilder(db)")
        if self._everything:
            lines.append("builder.add_all()")
        else:
            lines += [
                writing.call("builder.add", table, **({"where": where} if where else {}))
                for table, where in self.roots.items()
            ]
        for (label, direction), action in self.active_rules.items():
            lines.append(writing.call(f"builder.{action}", label, direction=direction))
        if self.left_out:
            lines.append(writing.call("builder.leave_out", *self.left_out))
        lines += ["selection = builder.preview()"]
        if self.path.strip():
            path = Path(self.path).expanduser()
            if path.exists() and not self.overwrite:
                lines.append("# the file exists already: overwrite=True replaces it")
            lines.append(writing.call("package = builder.build", str(path), **self._options()))
        return "\n".join(lines)

    def told(self) -> str:
        """Return what was chosen, in a few words."""
        if not self.roots:
            return "nothing chosen"
        if self.selection is None:
            return f"{plural(len(self.roots), 'table')} chosen"
        return repr(self.selection).removeprefix("Selection(").removesuffix(")")
