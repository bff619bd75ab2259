"""What a verification found: every finding, not the first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from datatransfer.display import blocks, shown

if TYPE_CHECKING:
    import pandas as pd

Severity = Literal["error", "warning", "note"]
SHOWN = 50
"""Findings that are printed; `Report.to_frame` has all of them."""
INCOMPLETE = frozenset({"missing-member"})
"""Codes of findings that say that something is not there, rather than wrong."""
MISSING_FILE = "missing-file"
"""Code of the findings about files that were missing when the package was made, as its maker allowed."""


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be.

    Parameters
    ----------
    severity : {"error", "warning", "note"}
    code : str
        Stable name of the kind of finding.
    where : str
        Member, table or path of a file.
    message : str
        What was found; never the value of a row.
    hint : str
        What to do about it.
    """

    severity: Severity
    code: str
    where: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.severity} {self.code}: {self.where}: {self.message}"


@dataclass(frozen=True)
class Report:
    """All findings about a package.

    Parameters
    ----------
    findings : tuple of Finding
    """

    findings: tuple[Finding, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that forbid using the package."""
        return tuple(finding for finding in self.findings if finding.severity == "error")

    @property
    def complete(self) -> bool:
        """Whether everything is there that the manifest names."""
        return all(finding.code not in INCOMPLETE for finding in self.errors)

    @property
    def valid(self) -> bool:
        """Whether everything that is there is as it should be."""
        return all(finding.code in INCOMPLETE for finding in self.errors)

    @property
    def ok(self) -> bool:
        """Whether the package is complete and valid."""
        return not self.errors

    def to_frame(self) -> pd.DataFrame:
        """Return one row a finding."""
        import pandas as pd

        names = ["severity", "code", "where", "message", "hint"]
        return pd.DataFrame([vars(finding) for finding in self.findings], columns=names)

    def __len__(self) -> int:
        return len(self.findings)

    def __bool__(self) -> bool:
        return self.ok

    def __iter__(self) -> Iterator[Finding]:
        return iter(self.findings)

    @property
    def words(self) -> str:
        """What is to be said of the package in a few words."""
        if not self.ok:
            return "not valid" if self.complete else "not complete"
        lost = sum(finding.code == MISSING_FILE for finding in self.findings)
        if lost:
            return f"valid, but {blocks.plural(lost, 'file was', 'files were')} missing when it was made"
        return "complete and valid"

    @shown.as_text
    def __repr__(self) -> str:
        kinds = Counter(finding.severity for finding in self.findings)
        counted = [blocks.plural(kinds[kind], kind) for kind in ("error", "warning", "note") if kinds[kind]]
        return f"Report({': '.join([self.words, *([', '.join(counted)] if counted else [])])})"

    def __str__(self) -> str:
        lines = [f"  {blocks.visible(str(finding))}" for finding in self.findings[:SHOWN]]
        more = [f"  and {len(self) - SHOWN:,} more"] if len(self) > SHOWN else []
        return "\n".join([repr(self), *lines, *more])

    @shown.as_html
    def _repr_html_(self) -> str:
        rows = [(f.severity, f.code, f.where, f.message, f.hint) for f in self.findings]
        header = ("severity", "code", "where", "what", "what to do")
        state = blocks.note("good" if self.ok else "bad", f"The package is {self.words}")
        return blocks.block("Report", state, *([blocks.table(header, rows)] if rows else []))
