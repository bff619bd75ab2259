"""The findings about the schemas in the form of an import: what is proposed, what is to be chosen, what is settled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from datatransfer.display import blocks
from datatransfer.display.blocks import Tone
from datatransfer.display.grouping import alike
from datatransfer.importing.mapping import Mapping
from datatransfer.notebook import keys, parts, values
from datatransfer.notebook.ways import proposal, way_of

if TYPE_CHECKING:
    from datatransfer.importing.validation import Misfit
    from datatransfer.notebook.differences import Differences, Settled
    from datatransfer.notebook.ways import Value, Way, Ways
    from datatransfer.notebook.wording import Wording

MOST = 30
_NOT_YET, _TAKE_BACK = -1, -2
_TABLES = ("missing-table", "taken-table")
_MINOR = ("narrowed", "widened")
_TONES: dict[str, Tone] = {"error": "bad", "warning": "warn"}

Chosen = Callable[["Misfit", Mapping], object]


class _Lines(w.VBox):
    """Lines of which more are made when they are asked for; a schema may differ in thousands."""

    def __init__(self) -> None:
        self._makers: Sequence[Callable[[], w.Widget]] = ()
        self._shown = MOST
        self._more = parts.button("", self._show_more)
        super().__init__((), layout=parts.full())

    def tell(self, makers: Sequence[Callable[[], w.Widget]]) -> None:
        """Show other lines, as many as were shown of those before."""
        self._makers = makers
        self._draw(())

    def _show_more(self) -> None:
        made = self.children[: self._shown]
        self._shown += MOST
        self._draw(made)
        control = next((found for line in self.children[len(made) :] if (found := keys.first(line))), None)
        if control is not None:
            control.focus()

    def _draw(self, made: Sequence[w.Widget]) -> None:
        lines = (*made, *(make() for make in self._makers[len(made) : self._shown]))
        left = len(self._makers) - len(lines)
        self._more.description = self._more.tooltip = f"Show {min(MOST, left):,} more of {left:,}"
        self.children = (*lines, parts.row(self._more)) if left else lines


class Findings(w.VBox):
    """The findings about the schemas, those that forbid the import with a list of what may be done.

    Parameters
    ----------
    chosen : callable
        Takes a finding, and the mapping that settles it; an empty one if it is to be open again.
    accept : callable
        Is to accept all that is proposed and loses nothing.
    take_back : callable
        Is to open all findings again.
    wording : Wording
    """

    def __init__(
        self, chosen: Chosen, accept: Callable[[], object], take_back: Callable[[], object], *, wording: Wording
    ) -> None:
        self._wording = wording
        self._chosen, self._was_chosen = chosen, False
        self.title = parts.html()
        self.offered = parts.html()
        self.accept = parts.button("Accept all proposals", self._then_lead(accept), style="primary")
        self._back = parts.button("Take all back", self._then_lead(take_back), tip="open all that is settled again")
        self._proposed, self.to_choose, self._minor, self._settled = (_Lines() for _ in range(4))
        self.grave = parts.column()
        self.proposals = parts.Fold("", self._proposed)
        self.minor = parts.Fold("", self._minor)
        self.settled = parts.Fold("", parts.column(self._settled, parts.row(self._back)))
        super().__init__(
            (
                self.title, self.offered, parts.row(self.accept), self.proposals, self.to_choose,
                self.grave, self.minor, self.settled,
            ),
            layout=parts.full(),
        )  # fmt: skip
        self.add_class("dt-findings")
        parts.show(self, False)

    def _then_lead(self, act: Callable[[], object]) -> Callable[[], None]:
        def done() -> None:
            self._was_chosen = True
            act()

        return done

    def _choose(self, finding: Misfit, mapping: Mapping) -> None:
        self._was_chosen = True
        self._chosen(finding, mapping)

    # --- what is shown ------------------------------------------------------------------------------------------

    def tell(self, differences: Differences, ways: Ways) -> None:
        """Show the findings of the latest comparison, and what was settled."""
        report = differences.report
        assert report is not None
        parts.show(self, True)
        proposed = [item for item in report.errors if item.sure]
        others = [item for item in report if item not in report.errors]
        grave = [item for item in others if item.severity == "warning" and item.code not in _MINOR]
        fits = parts.mark("good", "the schemas fit")
        self.title.value = parts.heading("Findings about the schemas", 4).value if report.errors else fits
        self._offer(proposed, ways)
        self.to_choose.tell([partial(self._open, item, ways) for item in report.errors if not item.sure])
        self.grave.children = tuple(make() for make in self._lines(grave))
        self._tell_minor([item for item in others if item not in grave])
        self._tell_settled(differences.settled, ways)
        self._lead()

    def _offer(self, proposed: Sequence[Misfit], ways: Ways) -> None:
        count = blocks.plural(len(proposed), "proposal")
        lose = "lose" if len(proposed) > 1 else "loses"
        told = f"{count} that {lose} nothing: names in another spelling, types that keep every value"
        self.offered.value = parts.mark("quiet", told) if proposed else ""
        self.accept.tooltip = f"accept {count}; what would be left out stays your own decision"
        self._proposed.tell([partial(self._open, item, ways) for item in proposed])
        self.proposals.rename(f"{count}, one by one")
        for part in (self.offered, self.accept, self.proposals):
            parts.show(part, bool(proposed))

    def _tell_minor(self, minor: Sequence[Misfit]) -> None:
        self._minor.tell(self._lines(minor))
        stops = "none stops the import" if len(minor) > 1 else "it does not stop the import"
        self.minor.rename(f"{blocks.plural(len(minor), 'note')}, {stops}")
        parts.show(self.minor, bool(minor))

    def _tell_settled(self, settled: Sequence[Settled], ways: Ways) -> None:
        self._settled.tell([partial(self._done, each, ways) for each in settled])
        self.settled.rename(f"{len(settled):,} settled")
        parts.show(self.settled, bool(settled))

    def _lead(self) -> None:
        """Lead the keys on, as the control at which they were is not where it was."""
        if not self._was_chosen:
            return
        self._was_chosen = False
        places = (self.to_choose, self.accept, self.settled.button)
        control = next((found for part in places if not _hidden(part) and (found := keys.first(part))), None)
        if control is not None:
            control.focus()

    def _lines(self, findings: Sequence[Misfit]) -> list[Callable[[], w.Widget]]:
        """Return what makes a line for each finding, and one line for all that say the same."""
        told = [_told(item, wording=self._wording) for item in findings]
        groups = [(_tone(findings[group.members[0]]), group) for group in alike(told)]
        return [partial(_line, tone, group.title, [told[n] for n in group.members]) for tone, group in groups]

    # --- one finding --------------------------------------------------------------------------------------------

    def _open(self, finding: Misfit, ways: Ways) -> w.Widget:
        """Show a finding, and what may be done about it."""
        controls: list[w.Widget] = []
        found = ways.of(finding)
        if found:
            controls.append(self._choice(finding, found, _NOT_YET, ("decide …", _NOT_YET)))
        if (value := ways.value(finding)) is not None:
            controls.append(self._value(finding, value))
        said = _said(finding, advice=not controls, wording=self._wording)
        if told := proposal(finding):
            said += parts.mark("quiet", told)
        return parts.column(parts.html(said), *controls)

    def _done(self, settled: Settled, ways: Ways) -> w.Widget:
        """Show what was chosen about a finding, to be chosen otherwise or taken back."""
        found = ways.of(settled.finding)
        number = next((n for n, way in enumerate(found) if _same(way.mapping, settled)), None)
        if number is None:
            found, number = [way_of(settled.mapping), *found], 0
        return self._choice(settled.finding, found, number, ("take back", _TAKE_BACK))

    def _choice(self, finding: Misfit, found: Sequence[Way], number: int, other: tuple[str, int]) -> w.Widget:
        listed = [(way.words, n) for n, way in enumerate(found)]
        listed = [other, *listed] if other[1] == _NOT_YET else [*listed, other]

        def chosen(n: int) -> None:
            if n != _NOT_YET:
                self._choose(finding, Mapping() if n == _TAKE_BACK else found[n].mapping)

        return parts.line(parts.choice(_label(finding), listed, number, on_change=chosen))

    def _value(self, finding: Misfit, value: Value) -> w.Widget:
        control = values.control(f"Value for {blocks.visible(finding.where)}", value.column)

        def use() -> Any:
            self._choose(finding, value.mapping(control.value))

        return parts.row(control, parts.button("Use this value", use, tip=f"use this value for {finding.where}"))


def _same(mapping: Mapping, settled: Settled) -> bool:
    """Whether a mapping is what was chosen; the columns of a table are findings of their own by then."""
    if settled.finding.code in _TABLES:
        mapping = Mapping(rename_tables=mapping.rename_tables, drop_tables=mapping.drop_tables)
    return mapping == settled.mapping


def _hidden(widget: w.Widget) -> bool:
    return bool(widget.layout.display == "none")


def _label(finding: Misfit) -> str:
    return f"{'Table' if finding.code in _TABLES else 'Column'} {blocks.visible(finding.where)}"


def _tone(finding: Misfit) -> Tone:
    return _TONES.get(finding.severity, "quiet")


def _line(tone: Tone, title: str, told: Sequence[str]) -> w.Widget:
    if not title:
        return parts.html(parts.mark(tone, told[0]))
    return parts.html(blocks.block("", blocks.note(tone, title, blocks.fold("where", blocks.listing(told)))))


def _told(finding: Misfit, *, wording: Wording, advice: bool = True) -> str:
    """Return a finding without its cure, which stands in the list below; where there is none, with what to do."""
    said = f"{finding.where}: {finding.message}"
    return f"{said} ({wording.said(finding.hint)})" if advice else said


def _said(finding: Misfit, *, wording: Wording, advice: bool) -> str:
    return parts.mark(_tone(finding), _told(finding, wording=wording, advice=advice))
