"""How plans and receipts look in a notebook: made from what they hold, without asking any database."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from datatransfer.display import blocks, shown
from datatransfer.display.charts import Chart, Panel, bars
from datatransfer.display.grouping import grouped
from datatransfer.display.plain import aligned, counted, visible
from datatransfer.importing.actions import Action

if TYPE_CHECKING:
    from datatransfer.database.ledger import ImportedFile, ImportRecord
    from datatransfer.importing.plan import ImportPlan
    from datatransfer.importing.receipts import Receipt

_FILES = 20


class PlanLooks(shown.Listed):
    """What of an import plan is for people: a line, a table, a picture."""

    _unlisted = frozenset({"writer", "remap", "plans", "replan", "renew", "begin", "let_go", "done", "seen"})

    @property
    def counts(self) -> dict[str, dict[str, int]]:
        """Per table and action, how many entities."""
        raise NotImplementedError

    @property
    def renamed(self) -> dict[str, int]:
        """Per table, how many new rows take another text, as somebody holds theirs; tables without any are left out."""
        plans = cast("ImportPlan", self).plans
        return {name: plan.renamed_rows for name, plan in plans.items() if plan.renamed_rows}

    @shown.as_text
    def __repr__(self) -> str:
        totals = {a: sum(counts.get(str(a), 0) for counts in self.counts.values()) for a in Action}
        renamed = sum(self.renamed.values())
        more = {Action.INSERT: f" ({renamed:,} renamed)" if renamed else ""}
        said = ", ".join(f"{n:,} {a}{more.get(a, '')}" for a, n in totals.items() if n) or "nothing to do"
        return f"ImportPlan({said})"

    @shown.as_html
    def _repr_html_(self) -> str:
        return plan_html(cast("ImportPlan", self))

    def plot(self) -> Chart:
        """Return how many entities of each table get which action, as bars."""
        return actions_chart("What the import would do", self.counts)


def plan_html(plan: ImportPlan, *, calls: bool = True) -> str:
    """Return a plan as HTML: whether it can run, and what it would do with each table.

    Parameters
    ----------
    plan : ImportPlan
    calls : bool
        Whether it names the calls that come next, and the policies; a form has buttons for the former, and shows the
        latter in lists.
    """
    conflicts = plan.conflict_count
    if plan.done:
        state = blocks.note("quiet", "carried out or given up: importer.plan() makes another")
    elif conflicts:
        state = blocks.note(
            "bad",
            f"{blocks.plural(conflicts, 'entity is', 'entities are')} in conflict: "
            f"{'see plan.conflicts and plan.decide' if calls else 'decide below'}, or choose other policies",
        )
    else:
        ready = "ready: importer.run(plan)" if calls else "ready"
        state = blocks.note("good", f"{ready}. Nothing in the target has changed yet")
    rows = [
        (name, [each.counts.get(action, 0) for action in Action], each.staged.rows)
        for name, each in plan.plans.items()
    ]  # fmt: skip
    words = [f"{name}={value}" for name, value in sorted(plan.policies.to_json().items()) if value and calls]
    told = blocks.facts([
        ("package", plan.package.path.name), ("into", plan.target.url_shown), ("policies", ", ".join(words)),
    ])  # fmt: skip
    parts = [state, _counts([str(a) for a in Action], rows), _renamed(plan.renamed, calls=calls)]
    return blocks.block("Import plan", *parts, *_warnings(plan.warnings), told)


def receipt_html(receipt: Receipt, names: Mapping[str, str]) -> str:
    """Return a receipt as HTML; its state is the one that was read last.

    Parameters
    ----------
    receipt : Receipt
    names : mapping of word to action
        What the columns are called.
    """
    record, files = receipt.known.record, receipt.known.files
    if record is None:
        state = blocks.note("quiet", "nothing was written: it was all there already")
    else:
        total = sum(sum(counts.values()) for counts in receipt.counts.values())
        of = f"{blocks.plural(total, 'row')} of {blocks.plural(len(receipt.counts), 'table')}"
        state = blocks.note("quiet" if record.state == "undone" else "good", f"{receipt.when}: {of}")
    rows = []
    for table, counts in receipt.counts.items():
        numbers = [counts.get(action, 0) for action in names.values()]
        rows.append((table, numbers, sum(numbers)))
    parts = [state, _counts(list(names), rows), *_warnings(receipt.warnings)]
    if files:
        listed = blocks.table(["path", "bytes", "what"], [(f.path, f.bytes, f.action) for f in files], limit=_FILES)
        parts.append(blocks.fold(blocks.plural(len(files), "file path"), listed))
    seconds = [(phase, f"{value:.1f} s") for phase, value in receipt.timings.items()]
    parts.append(blocks.fold("about it", blocks.facts([*receipt.facts(), *seconds])))
    if receipt.way_back:
        parts.append(blocks.fold("how to undo it", blocks.facts([("say", receipt.way_back)])))
    return blocks.block("Undo" if receipt.undo_of else "Import", *parts)


def _counts(heads: Sequence[str], rows: Iterable[tuple[str, Sequence[int], int]]) -> str:
    """Show numbers by table and action, with a bar for the rows; actions that were never taken are left out."""
    kept = list(rows)
    used = [at for at in range(len(heads)) if any(numbers[at] for _, numbers, _ in kept)]
    most = max((total for _, _, total in kept), default=0)
    table = blocks.table(
        ["table", "rows", "", *(heads[at] for at in used)],
        [(name, total, blocks.share(total, most), *(numbers[at] for at in used)) for name, numbers, total in kept],
        nothing="no rows",
    )
    left = [head for at, head in enumerate(heads) if at not in used]
    return table + (blocks.note("quiet", f"0 rows: {', '.join(left)}") if left and kept else "")


def _renamed(counts: Mapping[str, int], *, calls: bool) -> str:
    if not counts:
        return ""
    said = ", ".join(f"{number:,} of {table}" for table, number in counts.items())
    listed = '; plan.diff(action="insert") lists them' if calls else ""
    return blocks.note("quiet", f"renamed, as another row holds the same unique text: {said}{listed}")


def _warnings(texts: Sequence[str]) -> list[str]:
    if not texts:
        return []
    return [blocks.note("warn", blocks.plural(len(texts), "warning"), grouped(texts))]


def actions_chart(title: str, counts: Mapping[str, Mapping[str, int]]) -> Chart:
    """Return stacked bars: a line for each table, a part for each action."""
    return bars(title, [Panel("rows", counts)])


def seconds_chart(timings: Mapping[str, float]) -> Chart:
    """Return how long each phase took."""
    milliseconds = {phase: {"seconds": round(value * 1000)} for phase, value in timings.items()}
    return bars("Seconds of each phase", [Panel("seconds", milliseconds, lambda value: f"{value / 1000:.2f} s")])


def state_since(record: ImportRecord) -> str:
    """Return the state of an import or an undo in words, and since when: the ledger's ``merged`` is done, to people."""
    ended = record.undone_at if record.state == "undone" else record.finished
    state = "done" if record.state == "merged" else record.state
    return f"{state} {_shown(ended)}".rstrip()


def _shown(time: dt.datetime | None) -> str:
    return time.astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC") if time else ""


def receipt_story(receipt: Receipt, files: Sequence[ImportedFile]) -> str:
    """Return a receipt as text: when, what, from where, how it was decided, and the way back."""
    lines = [f"{name:<9} {visible(value)}" for name, value in receipt.facts()]
    lines += ["", aligned(list(receipt.summary.columns), receipt.summary.to_numpy().tolist())]
    lines += [f"warning: {visible(warning)}" for warning in receipt.warnings]
    if files:
        lines += ["", f"{counted(len(files), 'file path')}:"]
        lines += [f"  {file.action:<8} {visible(file.path)}" for file in files[:_FILES]]
        lines += [f"  and {len(files) - _FILES} more"] if len(files) > _FILES else []
    if receipt.way_back:
        lines += ["", f"to undo it: {receipt.way_back}"]
    return "\n".join(lines)
