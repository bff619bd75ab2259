"""What was chosen about a package and a target that differ: the findings, the settled ones, and the mapping of both.

Knows no widgets, and no database: who asks for a comparison hands it in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from datatransfer.errors import UsageError
from datatransfer.importing.cures import missing_column_of
from datatransfer.importing.mapping import Mapping

if TYPE_CHECKING:
    from datatransfer.importing.checking import SchemaReport
    from datatransfer.importing.validation import Misfit

Compare = Callable[[Mapping], "SchemaReport"]
_TABLES = ("missing-table", "taken-table")
# What was chosen about a place may itself not fit; that is a finding about the same.
_SAME = {
    "taken-table": "missing-table", "taken-column": "missing-column", "needed-column": "missing-column",
    "computed-column": "missing-column", "fixed-column": "type", "cast": "type", "default": "required-column",
}  # fmt: skip


@dataclass(frozen=True)
class Settled:
    """A finding, and the mapping that was chosen for it."""

    finding: Misfit
    mapping: Mapping


@dataclass
class Differences:
    """The findings of the latest comparison, and what was chosen about those of all.

    Attributes
    ----------
    report : SchemaReport or None
    chosen : dict of str to Settled
        In the order of choice; replaced by every choice, never changed, so that any thread may read it.
    """

    report: SchemaReport | None = None
    chosen: dict[tuple[str, str], Settled] = field(default_factory=dict)
    _compared: Mapping = field(default_factory=Mapping)

    @property
    def mapping(self) -> Mapping:
        """All that was chosen, together."""
        whole = Mapping()
        for each in self.chosen.values():
            whole = whole | each.mapping
        return whole

    @property
    def is_outdated(self) -> bool:
        """Whether something was chosen since the latest comparison."""
        return self._compared != self.mapping

    @property
    def open(self) -> list[Misfit]:
        """The findings that forbid the import, proposals among them."""
        return list(self.report.errors) if self.report is not None else []

    @property
    def settled(self) -> list[Settled]:
        """What was chosen, but for what is open all the same."""
        again = {_about(finding) for finding in self.open}
        return [each for about, each in self.chosen.items() if about not in again]

    def compare(self, compare: Compare) -> SchemaReport:
        """Compare with what was chosen.

        Raises
        ------
        UsageError
            The target is not what it was, so that nothing of what was chosen holds; the comparison is without it.
        """
        mapping = self.mapping
        try:
            self.report, self._compared = compare(mapping), mapping
        except UsageError:
            if not mapping:
                raise
            self.chosen = {}
            self.report, self._compared = compare(Mapping()), Mapping()
            raise
        return self.report

    def choose(self, finding: Misfit, mapping: Mapping) -> None:
        """Settle a finding by a mapping, or open it again by an empty one; what hangs on it goes as well."""
        about = _about(finding)
        kept = {other: each for other, each in self.chosen.items() if other != about and not _hangs_on(each, finding)}
        columns = mapping.rename.get(finding.where, {}) if finding.code in _TABLES else {}
        if mapping:
            own = Mapping(rename_tables=mapping.rename_tables, drop_tables=mapping.drop_tables) if columns else mapping
            kept[about] = Settled(finding, own)
        for column, there in columns.items():  # each can be chosen otherwise
            found = missing_column_of(finding.where, column, there)
            kept[_about(found)] = Settled(found, found.cure)
        self.chosen = kept

    def clear(self) -> None:
        """Open all findings again."""
        self.chosen = {}

    def accept(self, compare: Compare) -> SchemaReport:
        """Choose all that is proposed and loses nothing, and what is proposed thereupon."""
        report = self.report if self.report is not None and not self.is_outdated else self.compare(compare)
        while proposed := [item for item in report.errors if item.sure and _about(item) not in self.chosen]:
            for finding in proposed:
                self.choose(finding, finding.cure)
            report = self.compare(compare)
        return report


def _about(finding: Misfit) -> tuple[str, str]:
    return _SAME.get(finding.code, finding.code), finding.where


def _hangs_on(each: Settled, finding: Misfit) -> bool:
    """Whether it was chosen about what another choice leads to: of a table its columns, of a place its values."""
    if finding.code in _TABLES:
        chosen = each.mapping
        return finding.where in {*chosen.rename, *chosen.drop, *chosen.default, *chosen.cast}
    return _about(finding)[0] == "missing-column" and each.finding.where == finding.where
