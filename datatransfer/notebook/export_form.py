"""ExportForm: a part of a database into a package, without a line of code, and with the code that repeats it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import ipywidgets as w

from datatransfer.database.counting import RowCount, quick_counts
from datatransfer.display import blocks
from datatransfer.notebook import parts
from datatransfer.notebook.edges import EdgeChoice
from datatransfer.notebook.export_wizard import ExportWizard
from datatransfer.notebook.form import Form
from datatransfer.notebook.picker import PathPicker
from datatransfer.notebook.tables_list import TablesList
from datatransfer.notebook.wording import Wording
from datatransfer.package.looks import package_html

if TYPE_CHECKING:
    from datatransfer.background import Job
    from datatransfer.database.connection import Database
    from datatransfer.exporting.preview import Selection
    from datatransfer.package.package import DataPackage

_LABELS = {"choose": "Choose", "closure": "What belongs to it", "destination": "Where to", "run": "Run",
           "done": "Package"}  # fmt: skip
_AT_EDGES = {"follow": "yes", "stop": "no", "null": "no, the reference becomes NULL"}
_ENCODINGS = {
    "auto": "as it suits each table", "documents": "JSON, to be read by anything", "columns": "compact, for many rows",
}  # fmt: skip
_ORPHANS = {"error": "nothing is written", "keep": "they stay as they are", "null": "they become NULL"}
_MISSING = {"error": "nothing is written", "skip": "noted in the package"}
_POLICIES = (
    ("encoding", "Rows are stored as", _ENCODINGS),
    ("on_orphan", "References to rows that do not exist", _ORPHANS),
    ("on_missing_file", "Files that are missing", _MISSING),
)
_OVERWRITE = "Replace a package of that name"
_WORDING = Wording({name: label for name, label, _ in _POLICIES} | {"overwrite": _OVERWRITE, "where": "where"})
_NO_TABLE = ("no table: all rows are taken", "")
_COUNT_DELAY = 0.4
_MOST_EDGES = 60


class ExportForm(Form):
    """A wizard that exports a part of a database.

    Parameters
    ----------
    db : Database

    Attributes
    ----------
    wizard : ExportWizard
        What was chosen so far.
    package : DataPackage or None
        The result, of the latest export.

    Raises
    ------
    UsageError
        The database is in memory: the export runs in another thread.

    Examples
    --------
    >>> form = dt.ExportForm(db)      # doctest: +SKIP
    >>> form                          # doctest: +SKIP
    >>> form.package.tables           # doctest: +SKIP
    """

    wording = _WORDING

    def __init__(self, db: Database) -> None:
        db.check_threads()
        self._wizard = ExportWizard(db)
        self._shown_edges: tuple[tuple[EdgeChoice, ...], tuple[str, ...]] | None = None
        self._package: DataPackage | None = None
        self._counted: dict[str, int] = {}
        pages = {
            "choose": self._choose_page(),
            "closure": self._closure_page(),
            "destination": self._destination_page(),
            "run": self._run_page(),
            "done": self._done_page(),
        }
        super().__init__(f"Export from {db.url_shown}", pages, _LABELS, verb="Export")
        self.refresh()
        self.later.run("tables", lambda: quick_counts(db), self._tell_tables)

    @property
    def wizard(self) -> ExportWizard:
        return self._wizard

    @property
    def package(self) -> DataPackage | None:
        """The package that was written last, None before the first end."""
        return self._package

    def _error_actions(self) -> list[tuple[str, object]]:
        return [("Try again", self._again)]

    def _entered(self, step: str) -> None:
        if step == "choose" and self.wizard.not_accepted:
            self._count()  # the error that says why is shown again
        elif step == "closure" and self.wizard.selection is None:
            self._preview()
        elif step == "run":
            self._run()

    def _failed(self, error: BaseException) -> None:
        self._tell(error, offer=["Try again"] if self.wizard.step == "run" else [])

    def _go_back(self) -> None:
        self.later.forget("preview")  # of what may be chosen otherwise now
        super()._go_back()

    def _start_over(self) -> None:
        self.later.forget("verify")
        super()._start_over()
        self.choice.clear()
        self.picker.clear()
        self._list_columns([], ())
        for name, control in self.controls.items():
            control.value = getattr(self.wizard, name)
        self.refresh()

    # --- 1 choose -----------------------------------------------------------------------------------------------

    def _choose_page(self) -> w.Widget:
        self.choice = TablesList([table.name for table in self.wizard.db.schema], self._tables_chosen)
        self.tables = self.choice.list
        self.where_table = parts.choice("Only some rows of", [_NO_TABLE], "", on_change=self._where_asked)
        self.where = parts.text("where", hint="a condition in SQL, e.g. id = 42", on_change=self._where_written)
        self.where.disabled = True  # until it is said of which table
        for name in ("dt-line", "dt-long"):  # begins where the list above it does
            self.where.add_class(name)
        self.count = parts.html()
        return parts.column(
            parts.html(parts.words("Choose what to take. What the rows need to exist comes with them.")),
            self.choice, parts.line(self.where_table), self.where, self.count,
        )  # fmt: skip

    def _tables_chosen(self, chosen: Sequence[str]) -> None:
        self.error.clear()
        for table in [table for table in self.wizard.roots if table not in chosen]:
            self.wizard.unchoose(table)
        for table in chosen:
            if table not in self.wizard.roots:
                self.wizard.choose(table)
        keep = self.where_table.value
        self.where_table.options = [_NO_TABLE, *((table, table) for table in chosen)]
        self.where_table.value = keep if keep in chosen else (chosen[0] if len(chosen) == 1 else "")
        self._count()
        self.refresh()

    def _where_asked(self, table: str) -> None:
        self.where.value = self.wizard.roots.get(table, "")
        self.where.disabled = not table

    def _where_written(self, where: str) -> None:
        table = self.where_table.value
        if not table or table not in self.wizard.roots or self.wizard.roots[table] == where.strip():
            return
        self.error.clear()
        self.wizard.choose(table, where)
        self._count()
        self.refresh()

    def _count(self) -> None:
        """Count what was asked for itself; what belongs to it is counted in the next step."""
        conditions = {table: where for table, where in self.wizard.roots.items() if where}
        if not conditions:
            self.later.forget("count")
            self._tell_count({})
            return
        self._busy(self.count, "counting")
        self.later.run("count", lambda: _counted(self.wizard, conditions), self._tell_count, delay=_COUNT_DELAY)

    def _tell_count(self, counted: dict[str, int]) -> None:
        self._counted = counted
        rows = []
        for table, where in self.wizard.roots.items():
            count = RowCount(counted.get(table)) if where else self.wizard.counts.get(table, "counting")
            rows.append((table, where or "all rows", blocks.Figure(count)))
        shown = blocks.table(("table", "which", "rows asked for"), rows, limit=20)
        self.count.value = blocks.block("", shown) if rows else ""

    def _tell_tables(self, counts: dict[str, RowCount]) -> None:
        self.wizard.counts = counts
        self.choice.tell(counts)
        if self.count not in self._waiting:
            self._tell_count(self._counted)

    # --- 2 closure ----------------------------------------------------------------------------------------------

    def _closure_page(self) -> w.Widget:
        self.selection = parts.html()
        self.graph = parts.html()
        self.edges = parts.column()
        self.left_out = w.SelectMultiple(
            options=[], description="Columns to leave out", rows=6, style={"description_width": "initial"},
            layout=parts.full(),
        )  # fmt: skip
        self.left_out.observe(self._left_out_chosen, names="value")
        again = parts.button("Count again", self._preview)
        folds = (
            parts.Fold("Graph", self.graph), parts.Fold("Rules at foreign keys", self.edges),
            parts.Fold("Leave columns out", self.left_out),
        )  # fmt: skip
        return parts.column(self.selection, *folds, parts.row(again))

    def _preview(self) -> None:
        self.error.clear()
        self._busy(self.selection, "finding what belongs to it")
        self.later.run("preview", lambda: self.wizard.builder().preview(), self._tell_selection)

    def _tell_selection(self, selection: Selection) -> None:
        self.wizard.selection = selection
        self.selection.value = selection._repr_html_()
        self.graph.value = parts.scrolled("Graph of what is taken", selection.graph.to_svg())
        self._offer_edges()
        self._offer_columns(selection)
        self.refresh()

    def _offer_edges(self) -> None:
        edges, needed = tuple(self.wizard.edges), tuple(self.wizard.needed)
        if (edges, needed) == self._shown_edges:
            return
        self._shown_edges = (edges, needed)
        lines: list[w.Widget] = [self._edge(edge) for edge in edges[:_MOST_EDGES]]
        if needed:
            are = blocks.plural(len(needed), "foreign key is", "foreign keys are")
            told = f"{are} always followed, as rows cannot do without what they refer to: {blocks.names(needed)}"
            lines.append(parts.html(parts.words(told)))
        elif not edges:
            lines.append(parts.html(parts.words("no foreign key leads to rows that are not asked for already")))
        if len(edges) > _MOST_EDGES:
            lines.append(parts.html(parts.words(f"and {len(edges) - _MOST_EDGES:,} more, which code can set")))
        self.edges.children = tuple(lines)

    def _edge(self, edge: EdgeChoice) -> w.Widget:
        def chosen(action: str) -> None:
            self.wizard.set_rule(edge.label, edge.direction, action)
            self._preview()
            self.refresh()

        options = parts.explained(edge.choices, _AT_EDGES)
        return parts.line(parts.choice(edge.words, options, edge.chosen, on_change=chosen), wide=True)

    def _offer_columns(self, selection: Selection) -> None:
        schema = self.wizard.db.schema
        secrets = {warning.where for warning in selection.warnings if warning.code == "secret"}
        options = []
        for count in selection.table_counts:
            table = schema.table(count.table)
            for column in table.columns:
                if column.name not in table.key and column.name != "entity_uuid":
                    name = f"{table.name}.{column.name}"
                    label = f"{name}\u200b (looks like a secret)" if name in secrets else name
                    options.append((blocks.soft(label), name))
        kept = tuple(name for name in self.wizard.left_out if name in {value for _, value in options})
        if list(self.left_out.options) != options:
            self._list_columns(options, kept)

    def _list_columns(self, options: Sequence[tuple[str, str]], kept: tuple[str, ...]) -> None:
        """List columns, without leaving others out."""
        with self.left_out.hold_trait_notifications():
            self.left_out.unobserve(self._left_out_chosen, names="value")
            self.left_out.options = options
            self.left_out.value = kept
        self.left_out.observe(self._left_out_chosen, names="value")

    def _left_out_chosen(self, change: dict[str, tuple[str, ...]]) -> None:
        self.wizard.leave_out(list(change["new"]))
        self._preview()
        self.refresh()

    # --- 3 destination ------------------------------------------------------------------------------------------

    def _destination_page(self) -> w.Widget:
        self.picker = PathPicker("New file", self._named, hint="e.g. part.zip; without .zip it becomes a folder")
        overwrite = parts.tick(_OVERWRITE, on_change=self._set("overwrite"))
        lists = [
            parts.choice(label, parts.explained(list(told), told), on_change=self._set(name))
            for name, label, told in _POLICIES
        ]
        self.controls = {"overwrite": overwrite} | {
            name: each for (name, _, _), each in zip(_POLICIES, lists, strict=True)
        }
        return parts.column(self.picker, overwrite, parts.row(*lists))

    def _named(self, path: str) -> None:
        self.wizard.path = path
        self.refresh()

    def _set(self, name: str):  # type: ignore[no-untyped-def]
        def chosen(value: object) -> None:
            setattr(self.wizard, name, value)
            self.refresh()

        return chosen

    # --- 4 run, 5 done ------------------------------------------------------------------------------------------

    def _run_page(self) -> w.Widget:
        self.progress = parts.ProgressBox()
        return parts.column(self.progress)

    def _done_page(self) -> w.Widget:
        self.result = parts.html()
        self.verified = parts.html()
        self.verify = parts.button("Verify", self._verify, tip="read the whole package, and check what is in it")
        return parts.column(self.result, self.verified, parts.row(self.verify))

    def _run(self) -> None:
        job = self.wizard.start()
        self.refresh()
        self.progress.follow(job)
        job.watch(self._ended)

    def _again(self) -> None:
        self.error.clear()
        self._enter(lambda: self.wizard.step)

    def _ended(self, job: Job[DataPackage]) -> None:
        if job.state == "running" or job is not self.wizard.job:
            return
        error = job.exception()
        if error is not None:
            self._failed(error)
            return
        package = self._package = job.result()
        self._tell_package(package)
        self.wizard.next()
        self.refresh()

    def _tell_package(self, package: DataPackage) -> None:
        self.result.value = parts.mark("good", f"written: {package.path}") + package_html(package, calls=False)
        self.verified.value = ""
        parts.show(self.verify, package.report is None)

    def _verify(self) -> None:
        package = self.package
        if package is not None:
            self.error.clear()
            self._busy(self.verified, "verifying")
            self.later.run("verify", package.verify, lambda _report: self._tell_package(package))

    def wait(self, timeout: float = 60.0) -> None:
        """Wait until nothing runs in the background any more; for scripts."""
        self.later.wait(timeout)
        if self.wizard.job is not None:
            self.wizard.job.wait(timeout)


def _counted(wizard: ExportWizard, roots: dict[str, str]) -> dict[str, int]:
    return {table: wizard.count(table, where) for table, where in roots.items()}
