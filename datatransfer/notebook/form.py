"""What both forms share: pages of which one is shown, a line of steps, Back and Next, and the code that repeats it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import ipywidgets as w

from datatransfer.display import blocks
from datatransfer.notebook import copying, keys, parts, scripts
from datatransfer.notebook.later import Later
from datatransfer.notebook.wording import Wording

F = TypeVar("F", bound="Form")
P = ParamSpec("P")


def in_turn(act: Callable[Concatenate[F, P], None]) -> Callable[Concatenate[F, P], None]:
    """Let nothing be shown of what was chosen before, while something else is being chosen."""

    @wraps(act)
    def acted(form: F, /, *given: P.args, **named: P.kwargs) -> None:
        with form.later.lock:
            act(form, *given, **named)

    return acted


class Form(w.VBox):
    """A wizard as widgets.

    Parameters
    ----------
    title : str
    pages : mapping of step to widget
        In order.
    labels : mapping of step to str
        What a step is called.
    verb : str
        What the last step before the run does, e.g. ``"Import"``: its button says so, the others say Next.
    """

    def __init__(self, title: str, pages: Mapping[str, w.Widget], labels: Mapping[str, str], *, verb: str) -> None:
        self._labels = dict(labels)
        self._verb = verb
        self.pages = dict(pages)
        self.steps_line = parts.html()
        self.state_line = parts.html()
        self.back = parts.button("Back", self._go_back)
        self.next = parts.button("Next", self._go_on, style="primary")
        self.over = parts.button("Start over", self._start_over, tip="begin another one; what was done stays done")
        self.show_code = parts.button("Show code", self._toggle_code, tip="the calls that repeat what was chosen")
        self.code = w.Textarea(description="Code", layout=parts.full(display="none"))
        self.error = parts.ErrorBox(*self._error_actions(), wording=self.wording)
        self.title = parts.html(parts.STYLE + parts.heading(title).value)
        super().__init__(
            (
                self.title, self.steps_line, *self.pages.values(), self.error, self.state_line,
                parts.row(self.back, self.next, self.over, self.show_code), self.code,
                scripts.hidden(keys.SCRIPT, copying.script()),
            ),
            layout=parts.full(),
        )  # fmt: skip
        self.add_class(parts.CLASS)
        for turn in (self.back, self.next, self.over):
            turn.on_msg(self._turned)
        self.later = Later(self._failed)
        self._turned_to = next(iter(self.pages.values()))
        self._waiting: dict[w.HTML, str] = {}

    wording = Wording()

    # --- what a form says of itself -----------------------------------------------------------------------------

    @property
    def wizard(self) -> Any:
        """The state."""
        raise NotImplementedError

    def _error_actions(self) -> Sequence[tuple[str, Any]]:
        return ()

    def _code(self) -> str:
        """Return the calls that repeat what was done."""
        return str(self.wizard.code())

    def _entered(self, step: str) -> None:
        """Do what a step begins with."""

    def __repr__(self) -> str:
        step = self.wizard.step
        return f"{type(self).__name__}(step {list(self.pages).index(step) + 1} of {len(self.pages)}: {step})"

    # --- pages --------------------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the page of the step, and what may be done now."""
        step = self.wizard.step
        for name, page in self.pages.items():
            parts.show(page, name == step)
        self.steps_line.value = _steps(list(self.pages), self._labels, step)
        running = self.wizard.job is not None and self.wizard.job.state == "running"
        self.back.disabled = step == next(iter(self.pages)) or running
        self.next.disabled = bool(self.wizard.blocked)
        self.over.disabled = False
        before, run, last = list(self.pages)[-3:]
        self.next.description = self.next.tooltip = self._verb if step == before else "Next"
        parts.show(self.back, step != last)  # there is no way back from what is done, and into it again
        parts.show(self.next, step not in (run, last))  # a run that has ended goes on by itself
        parts.show(self.over, step == last)
        blocked = self.wizard.blocked if step not in (run, last) else ""
        self.state_line.value = parts.mark("warn", f"{self.next.description}: {blocked}") if blocked else ""
        if self.code.layout.display is None:
            parts.fill(self.code, self._code())

    def _turned(self, _turn: w.Button, content: Mapping[str, Any], _buffers: object) -> None:
        """Lead the keys to the page that a person has turned to; code that does so leaves them where they are."""
        page = self.pages[self.wizard.step]
        if content.get("event") != "click" or page is self._turned_to:
            return
        self._turned_to = page
        control = next((found for part in (page, self.next, self.over) if (found := keys.first(part))), None)
        if control is not None:
            control.focus()

    def _go_on(self) -> None:
        self.error.clear()
        self._enter(self.wizard.next)

    def _go_back(self) -> None:
        self.error.clear()
        self._enter(self.wizard.back)

    def _start_over(self) -> None:
        self._enter(self.wizard.start_over)

    def _enter(self, move: Any) -> None:
        try:
            step = move()
            self.refresh()
            self._entered(step)
        except Exception as error:  # shown in the form: a button has nobody to raise it to
            self._failed(error)

    def _busy(self, place: w.HTML, words: str) -> None:
        """Say in a place what is being done, until its result stands there, or an error is shown."""
        place.value = self._waiting[place] = parts.mark("quiet", words)

    def _failed(self, error: BaseException) -> None:
        """Show an error, and what can be done."""
        self._tell(error)

    def _tell(self, error: BaseException, offer: Sequence[str] = ()) -> None:
        for place, words in self._waiting.items():
            if place.value == words:
                place.value = parts.mark("bad", "not done, see the error")
        self._waiting.clear()
        self.error.tell(error, offer=list(offer))
        self.refresh()

    def _toggle_code(self) -> None:
        parts.show(self.code, self.code.layout.display is not None)
        self.refresh()


def _steps(names: Sequence[str], labels: Mapping[str, str], current: str) -> str:
    """Return the steps in one line; where one is, is said by a word and bold type."""
    shown = []
    for number, name in enumerate(names, start=1):
        label = blocks.escape(f"{number} {labels[name]}")
        shown.append(f"<b aria-current='step'>▸ {label}</b>" if name == current else f"<span>{label}</span>")
    return f"<div style='display:flex;gap:1.2em;flex-wrap:wrap;margin:4px 0'>{''.join(shown)}</div>"
