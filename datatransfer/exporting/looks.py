"""How selections and builders look in a notebook: made from what they hold, without asking any database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datatransfer.display import blocks
from datatransfer.display.grouping import grouped

if TYPE_CHECKING:
    from datatransfer.exporting.builder import PackageBuilder
    from datatransfer.exporting.leaving import Columns
    from datatransfer.exporting.plan import Rules
    from datatransfer.exporting.preview import Selection

_NOTHING = "no row is selected: none meets what was asked for, or the tables are empty"


def selection_html(selection: Selection) -> str:
    """Return a selection as HTML: how much of which table, and what deserves a look."""
    counts = selection.table_counts
    most, heaviest = max((c.rows for c in counts), default=0), max((c.bytes for c in counts), default=0)
    rows = [
        (c.table, c.rows, blocks.share(c.rows, most), blocks.size(c.bytes), blocks.share(c.bytes, heaviest), c.because)
        for c in counts
    ]
    told = f"{blocks.plural(selection.total, 'row')} of {blocks.plural(len(counts), 'table')}"
    parts = [
        blocks.note("quiet", f"{told}, about {blocks.size(selection.bytes)}; nothing has been written"),
        blocks.table(("table", "rows", "", "size, about", "", "because"), rows, nothing=_NOTHING),
    ]
    if selection.referenced_files:
        shown = [(f"{r.table}.{r.column}", r.path, n, r.problem) for r, n in selection.referenced_files]
        title = f"{blocks.plural(len(shown), 'file path')}; files with the same content are carried once"
        parts.append(blocks.fold(title, blocks.table(("column", "path", "bytes", "problem"), shown)))
    if selection.left_out:
        title = f"{blocks.plural(len(selection.left_out), 'column')} left out"
        parts.append(blocks.fold(title, blocks.listing(selection.left_out)))
    if selection.warnings:
        texts = [f"{w.where}: {w.message}" if w.where else w.message for w in selection.warnings]
        parts.append(blocks.note("warn", blocks.plural(len(texts), "warning"), grouped(texts)))
    return blocks.block("Selection", *parts)


def builder_html(builder: PackageBuilder, rules: Rules, left_out: Columns) -> str:
    """Return a builder as HTML: what was asked for so far, and what is held back."""
    roots = [f"{root.table}: {root.describe()}" for root in builder.roots]
    asked = blocks.listing(roots) if roots else blocks.note("quiet", "nothing was asked for yet: add(…) or add_all()")
    ruled = [
        f"{fk.label}, {direction}: {rule.action}{f' where {rule.where}' if rule.where else ''}"
        for fk, direction, rule in rules
    ]
    columns = [f"{table}.{column}" for table, names in left_out.items() for column in sorted(names)]
    facts = [("from", builder.db.url_shown), ("rules", "; ".join(ruled)), ("left out", ", ".join(columns))]
    return blocks.block("Package builder", blocks.facts(facts), asked)
