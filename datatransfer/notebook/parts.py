"""What both forms are made of: labelled controls, pages, boxes for progress and for errors.

Widgets are made in the kernel's own thread; a worker only sets their traits, at most ten times a second.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import ceil
from typing import Any, TypeVar

import ipywidgets as w

from datatransfer.background import Job
from datatransfer.display import blocks
from datatransfer.display.blocks import Tone
from datatransfer.errors import Cancelled, DataTransferError
from datatransfer.notebook import copying
from datatransfer.notebook.wording import Wording
from datatransfer.progress import WORDS

T = TypeVar("T")
_NEARLY = 0.97
_SILENT = 2.0
_MOST_LINES = 25
_WRAPPED = 100
"""Characters from which a line of code or of a report is wrapped where the page is not wide."""
_WIDE = {"description_width": "initial"}


CLASS = "dt-form"
# Labels hold names of tables and columns, which may be longer than a line: they wrap, as ipywidgets' own never do, and
# the control follows them on the next line. So does what stands in lists, tables and notes.
STYLE = (
    "<style>.dt-form,.dt-form .widget-box,.dt-form .widget-html,.dt-form .widget-html-content{min-width:0}"
    ".dt-form .widget-html-content{width:100%}"
    ".dt-form .widget-inline-hbox{flex-wrap:wrap;height:auto;min-width:0;max-width:100%}"
    ".dt-form .widget-inline-hbox .widget-label,.dt-form .widget-label-basic{white-space:normal;overflow-wrap:anywhere;"
    "flex-shrink:1;min-width:0;max-width:100%;height:auto;line-height:1.5;text-align:left}"
    ".dt-form .widget-inline-hbox>select,.dt-form .widget-inline-hbox>input{min-width:6em;max-width:100%}"
    ".dt-form .widget-dropdown>select{height:28px}"
    # lists below each other begin and end at the same places
    ".dt-form .dt-line>.widget-label{flex:0 1 auto;min-width:min(100%,12em)}.dt-form .dt-line>select{flex:0 1 24em}"
    ".dt-form .dt-findings .dt-line>.widget-label{min-width:min(100%,20em);max-width:min(100%,20em)}"
    ".dt-form .dt-wide>.widget-label{min-width:min(100%,40em);max-width:min(100%,40em)}"
    ".dt-form .dt-line>input{flex:0 1 12em}.dt-form .dt-line.dt-long>input{flex:1 1 12em}"
    ".dt-form select option{white-space:pre-wrap;overflow-wrap:anywhere}"
    ".dt-form .dt-t,.dt-form .dt-b>div{overflow-wrap:anywhere}"
    "@keyframes dt-moving{to{opacity:.4}}.dt-moving .progress{animation:dt-moving 1.5s infinite alternate}"
    "@media(prefers-reduced-motion:reduce){.dt-moving .progress{animation:none}}"
    # ipywidgets draws the arrow of a list in black, whatever the theme
    "[data-jp-theme-light=false] .dt-form select,.vscode-dark .dt-form select{--jp-widgets-dropdown-arrow:"
    "url(\"data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 18 18'%3E%3Cpath d='M5 7l4 4 4-4' "
    "fill='none' stroke='%23e8e8e8' stroke-width='2'/%3E%3C/svg%3E\")}</style>"
)


def full(**more: str) -> w.Layout:
    """Return a layout that fills the width inside margins; each widget needs its own, or they are hidden together."""
    return w.Layout(width="auto", **more)


def html(text: str = "") -> w.HTML:
    """Return a place for HTML; what goes in is escaped by who made it."""
    return w.HTML(text, layout=full())


def heading(text: str, level: int = 3) -> w.HTML:
    """Return a heading."""
    return html(f"<h{level} style='margin:0.4em 0'>{blocks.escape(text)}</h{level}>")


def words(text: str) -> str:
    """Return a line of text as HTML."""
    return blocks.block("", f"<div>{blocks.breakable(text)}</div>")


def scrolled(label: str, content: str) -> str:
    """Return HTML in a region that scrolls where it is too large, also by keys."""
    named = f"role='region' tabindex='0' aria-label='{blocks.escape(label)}'"
    return f"<div {named} style='overflow:auto;max-height:30em'>{content}</div>"


def mark(kind: Tone, text: str) -> str:
    """Return a line that says by a word, a sign and a border how good or bad it is, never by colour alone."""
    return blocks.block("", blocks.note(kind, text))


def button(label: str, on_click: Callable[[], object], *, tip: str = "", style: str = "") -> w.Button:
    """Return a button with a text; keys reach it like any button of a page."""
    made = w.Button(description=label, tooltip=tip or label, button_style=style, layout=w.Layout(width="auto"))
    made.on_click(lambda _button: on_click())
    return made


def text(label: str, value: str = "", *, hint: str = "", on_change: Callable[[str], object] | None = None) -> w.Text:
    """Return a labelled line to write in; who listens is told when it is finished."""
    made = w.Text(value=value, description=label, placeholder=hint, style=_WIDE, layout=full(), continuous_update=False)
    if on_change is not None:
        made.observe(lambda change: on_change(change["new"]), names="value")
    return made


def fill(area: w.Textarea, text: str) -> None:
    """Show text in a box that is as high as its lines need, also those that are wrapped, within reason."""
    area.rows = min(sum(max(1, ceil(len(line) / _WRAPPED)) for line in text.split("\n")), _MOST_LINES)
    area.value = text


def explained(words: Sequence[str], told: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return words as options of a list, each with what it means behind it."""
    return [(f"{word}: {told[word]}" if word in told else word, word) for word in words]


def choice(
    label: str, options: Sequence[Any], value: Any = None, *, on_change: Callable[[Any], object] | None = None
) -> w.Dropdown:
    """Return a labelled list of which one is chosen."""
    made = w.Dropdown(options=options, description=label, style=_WIDE, layout=w.Layout(width="auto", max_width="100%"))
    if value is not None:
        made.value = value
    if on_change is not None:
        made.observe(lambda change: on_change(change["new"]), names="value")
    return made


def line(made: w.Dropdown, *, wide: bool = False) -> w.Dropdown:
    """Let a list begin and end where those above and below it do, label beside list; wide where labels are long."""
    made.add_class("dt-line")
    if wide:
        made.add_class("dt-wide")
    return made


def tick(label: str, value: bool = False, *, on_change: Callable[[bool], object] | None = None) -> w.Checkbox:
    """Return a labelled check box."""
    made = w.Checkbox(value=value, description=label, indent=False, layout=full(), style=_WIDE)
    if on_change is not None:
        made.observe(lambda change: on_change(change["new"]), names="value")
    return made


def row(*children: w.Widget) -> w.HBox:
    """Return widgets beside each other, in more lines where there is no room."""
    return w.HBox(children, layout=full(flex_flow="row wrap", align_items="center", grid_gap="4px 12px"))


def column(*children: w.Widget) -> w.VBox:
    """Return widgets below each other."""
    return w.VBox(children, layout=full())


def show(widget: w.Widget, shown: bool) -> None:
    """Show or hide a widget; a hidden one cannot be reached by keys either."""
    widget.layout.display = None if shown else "none"


class Fold(w.VBox):
    """Something that is folded away until its button is pressed.

    Not an `Accordion`: its headings cannot be reached by keys, and are too faint in both of JupyterLab's themes.

    Parameters
    ----------
    title : str
    content : widget
    """

    def __init__(self, title: str, content: w.Widget) -> None:
        self._title = title
        self.button = button("", self._toggle)
        self.content = w.VBox((content,), layout=full(margin="0 0 8px 1.5em"))
        super().__init__((row(self.button), self.content), layout=full())
        self._toggle()

    def rename(self, title: str) -> None:
        """Give it another title; it stays open, or folded away."""
        self._title = title
        self._told()

    def _toggle(self) -> None:
        show(self.content, self.content.layout.display is not None)
        self._told()

    def _told(self) -> None:
        opened = self.content.layout.display is None
        self.button.description = f"{'▾' if opened else '▸'} {self._title}"
        self.button.tooltip = f"{'hide' if opened else 'show'}: {self._title}"


class ProgressBox(w.VBox):
    """How far a job is, with a button that cancels it."""

    def __init__(self) -> None:
        self.bar = w.FloatProgress(min=0, max=1, layout=full(), description="Progress", style=_WIDE)
        self.line = html()
        self.cancel = button("Cancel", self._cancel, tip="stop; nothing is left behind")
        self.job: Job[Any] | None = None
        self._lock = threading.Lock()
        super().__init__((self.bar, self.line, row(self.cancel)), layout=full())
        show(self, False)

    def follow(self, job: Job[Any]) -> None:
        """Show a job until it has ended."""
        self.job = job
        self.cancel.disabled = False
        show(self.cancel, True)
        self.bar.value, self.bar.bar_style = 0, ""
        self.line.value = words("starting")
        show(self, True)
        job.watch(self._update)
        threading.Thread(target=self._go_on, args=(job,), name="datatransfer-clock", daemon=True).start()

    def _go_on(self, job: Job[Any]) -> None:
        """Show once a second that a job is at work, also where it tells nothing for long."""
        while job is self.job and not job.wait(1.0):
            self._update(job)

    def _cancel(self) -> None:
        if self.job is not None:
            self.cancel.disabled = True
            self.line.value = words("stopping …")
            self.job.cancel()  # it may have ended, and said so, when this returns

    def _update(self, job: Job[Any]) -> None:
        with self._lock:
            if job is not self.job:
                return
            if job.state != "running":
                self._end(job)
                return
            if self.cancel.disabled:
                return
            progress = job.progress
            silent = job.seconds - progress.seconds
            self.bar.value = _far(progress)
            self.line.value = words(told(progress, silent))
            (self.bar.add_class if silent >= _SILENT else self.bar.remove_class)("dt-moving")

    def _end(self, job: Job[Any]) -> None:
        self.cancel.disabled = True
        self.bar.remove_class("dt-moving")
        show(self.cancel, False)
        said = f"{job.state} after {job.seconds:.1f} s"
        if job.state == "done":
            self.bar.value, self.bar.bar_style, self.line.value = 1.0, "success", words(said)
            return
        stood = replace(job.progress, rows_per_second=0.0, seconds_left=None)
        where = f", while {told(stood)}" if stood.phase else ""
        self.bar.value = _far(job.progress)
        self.bar.bar_style = "danger" if job.state == "failed" else "warning"
        self.line.value = mark("bad" if job.state == "failed" else "warn", said + where)


def _far(progress: Any) -> float:
    """Return how far a bar reaches; one phase that is through is not the whole, so it is full at the end only."""
    return min(progress.fraction or 0.0, _NEARLY)


def told(progress: Any, silent: float = 0.0) -> str:
    """Return how far a job is: phase, table, rows, speed, what is left of the phase.

    Nobody knows these two when it has told nothing for some seconds; then these are told.
    """
    if not progress.phase:
        return "starting"
    parts = [" ".join(part for part in (WORDS.get(progress.phase, progress.phase), progress.table) if part)]
    if progress.rows_total or progress.rows_done:
        parts.append(progress.rows_told)
    if progress.bytes_done:
        parts.append(blocks.size(progress.bytes_done))
    if silent >= _SILENT:
        return ", ".join([*parts, f"at this for {duration(silent)}"])
    if progress.rows_per_second >= 1:
        parts.append(f"{progress.rows_per_second:,.0f} rows/s")
    if progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left of this phase")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Return seconds for people.

    Examples
    --------
    >>> duration(0.4), duration(75), duration(7300)
    ('1 s', '1 min 15 s', '2 h 1 min')
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class ErrorBox(w.VBox):
    """What went wrong, where, why, and what to do; with buttons for it and a report to copy.

    Parameters
    ----------
    actions : (label, function) pairs
        Buttons, e.g. Resume.
    wording : Wording, optional
        How the form words errors.
    """

    def __init__(self, *actions: tuple[str, Callable[[], object]], wording: Wording | None = None) -> None:
        self._wording = wording
        self.said = html()
        self.buttons = {label: button(label, function) for label, function in actions}
        self.copy = button("Copy report", self._report, tip="put the report on the clipboard, and show it")
        self.copy.add_class(copying.BUTTON)
        self.report = w.Textarea(description="Report", layout=full(), style=_WIDE)
        super().__init__((self.said, row(*self.buttons.values(), self.copy), self.report), layout=full())
        self.add_class(copying.BOX)
        self.clear()

    def clear(self) -> None:
        """Show nothing."""
        self.error: BaseException | None = None
        self.said.value = ""
        show(self, False)
        show(self.report, False)

    def tell(self, error: BaseException, *, offer: Sequence[str] = ()) -> None:
        """Show an error, and those of the buttons that help."""
        self.error = error
        self.said.value = error_html(error, self._wording, offer) + copying.STATUS
        fill(self.report, report_of(error))  # a script copies it while the button is clicked
        for label, each in self.buttons.items():
            show(each, label in offer)
        show(self.report, False)
        show(self, True)

    def _report(self) -> None:
        show(self.report, True)


def error_html(error: BaseException, wording: Wording | None = None, offer: Sequence[str] = ()) -> str:
    """Return an error as a box: what, where, what to do; the kind and the evidence folded away."""
    if isinstance(error, DataTransferError):
        words = wording or Wording()
        rows = [("what", words.message(error)), ("where", error.where), ("what to do", words.advice(error, offer))]
        kind = f"{type(error).__name__} ({error.code})"
    else:
        rows = [("what", "something went wrong that this library did not foresee"), ("what to do", "copy the report")]
        kind = type(error).__name__
    if isinstance(error, Cancelled):  # it is what was wanted
        return f"<div role='alert'>{blocks.problem('Cancelled', rows, tone='warn')}</div>"
    return f"<div role='alert'>{blocks.problem('This did not work', rows, [('kind', kind)])}</div>"


def report_of(error: BaseException) -> str:
    """Return an error as text for a bug report: no row, no password, and of foreign errors only their class."""
    if isinstance(error, DataTransferError):
        return json.dumps({"class": type(error).__name__, **error.to_dict()}, indent=1, default=str)
    return json.dumps({"class": type(error).__name__, "error": "unexpected"}, indent=1)
