"""What has to be settled about entities before an import: policies for all, and conflicts with a decision each."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from datatransfer.display import blocks
from datatransfer.importing.conflicts import SEVERAL
from datatransfer.importing.frames import Frames
from datatransfer.notebook import parts
from datatransfer.schema.secrets import secrets_in

if TYPE_CHECKING:
    from datatransfer.importing.plan import ImportPlan
    from datatransfer.importing.validation import TableFit
    from datatransfer.notebook.import_wizard import ImportWizard

MOST = 30
POLICIES = {
    "on_match": (
        "An entity is there with other content",
        {"skip": "the target's row stays", "update": "the package's values win", "error": "decide for each"},
    ),
    "on_clash": (
        "Another row holds its unique values",
        {"error": "decide for each", "reuse": "that row is taken for it", "rename": "its text gets a free suffix"},
    ),
    "identity": ("UUIDs", {"keep": "what is there is found again", "copy": "all become new entities"}),
    "on_orphan": (
        "References without a parent",
        {"error": "nothing is imported", "keep": "they stay as they are", "null": "they become NULL"},
    ),
    "triggers": ("Triggers of the target", {"suspend": "they rest meanwhile", "fire": "they act on each row"}),
}
TIPS = {
    "identity": "keep: what comes has its UUIDs, so that the same package again is found and adds nothing; "
    "copy: it gets new UUIDs, as entities of its own",
}
NATURAL_KEYS = "Natural keys"
_MEANT = {
    "skip": "the target's row stays",
    "update": "the package's values win",
    "reuse": "that row is taken for it",
    "rename": "its text gets a free suffix",
    "insert": "a row of its own",
}
_DECISIONS = parts.explained(list(_MEANT), _MEANT)
_OWN_ROW = ("insert", "rename")
_NOT_YET = "decide …"
_DIFFERS = "differs, not shown"
_TAKE_BACK = "take back"


class Conflicts(w.VBox):
    """The entities in conflict, each with a list of decisions, and one decision for all of a table.

    Parameters
    ----------
    decided : callable
        Takes a table, keys of the package, and a decision.
    """

    def __init__(self, decided: Callable[[str, list[Any], str], object]) -> None:
        self._decided = decided
        self.names = Names()
        super().__init__((), layout=parts.full())

    def lines(self, plan: ImportPlan) -> list[w.Widget]:
        """Return what shows the conflicts of a plan, for `tell`; this asks the database."""
        if not plan.conflict_count:
            return []
        self.names.learn(plan)
        frame = plan.conflicts
        title = f"{blocks.plural(plan.conflict_count, 'conflict')} to decide"
        lines: list[w.Widget] = [parts.heading(title, 4)]
        for table, group in frame.groupby("table", sort=False):
            keys = list(group["source_key"])
            if len(keys) > 1:
                several = all(map(_is_open, group["reason"]))
                lines.append(self._choice(f"all {len(keys):,} of {table}", str(table), keys, several=several))
        shown = frame.head(MOST)
        frames = Frames(plan.remap, plan.plans)
        named = [name for name in dict.fromkeys(shown["table"]) if plan.plans[name].key]
        held = {name: frames.texts(name, "conflict", MOST) for name in named}
        secrets = {name: _secrets(plan.plans[name].fit) for name in dict.fromkeys(shown["table"])}
        for entity in shown.itertuples():
            texts = held.get(entity.table, {}).get(entity.source_key, {})
            lines.append(parts.html(_told(entity, texts, secrets[entity.table], self.names)))
            table, key = str(entity.table), entity.source_key
            label = f"{table} {self.names.key(table, key)}"
            lines.append(self._choice(label, str(entity.table), [key], several=_is_open(str(entity.reason))))
        if len(frame) > MOST:
            lines.append(parts.html(parts.words(f"and {len(frame) - MOST:,} more: decide for all, or for these first")))
        return lines

    def tell(self, lines: Sequence[w.Widget]) -> None:
        """Show conflicts."""
        self.children = tuple(lines)

    def _choice(self, label: str, table: str, keys: list[Any], *, several: bool) -> w.Widget:
        """Offer decisions; where no single row of the target is meant, those that need none."""
        offered = [each for each in _DECISIONS if each[1] in _OWN_ROW] if several else _DECISIONS

        def chosen(decision: str) -> None:
            if decision != _NOT_YET:
                self._decided(table, keys, decision)

        return parts.line(parts.choice(label, [(_NOT_YET, _NOT_YET), *offered], on_change=chosen))


class Decided(parts.Fold):
    """What was decided for entities, folded away, each with a list to decide otherwise or to take it back.

    Parameters
    ----------
    decided : callable
        Takes a table, keys of the package, and a decision or None.
    names : Names
    """

    def __init__(self, decided: Callable[[str, list[Any], str | None], object], names: Names) -> None:
        self._decided = decided
        self._names = names
        self._list = parts.column()
        super().__init__("", self._list)
        self.tell([])

    def tell(self, decisions: Sequence[tuple[str, list[Any], str]]) -> None:
        """Show what was decided, the latest first."""
        latest = decisions[::-1]
        count = sum(len(keys) for _, keys, _ in latest)
        groups: dict[tuple[str, str], list[Any]] = {}
        for table, keys, word in latest:
            groups.setdefault((table, word), []).extend(keys)
        lines: list[w.Widget] = [
            self._choice(f"all {len(keys):,} of {table} decided as {word}", table, keys, word)
            for (table, word), keys in groups.items()
            if len(keys) > 1
        ]
        each = ((table, key, word) for table, keys, word in latest for key in keys)
        lines += [
            self._choice(f"{t} {self._names.key(t, key)} decided as", t, [key], word)
            for t, key, word in islice(each, MOST)
        ]
        if count > MOST:
            lines.append(parts.html(parts.words(f"and {count - MOST:,} more: decide for all, or for these first")))
        self._list.children = tuple(lines)
        self.rename(f"{blocks.plural(count, 'decision')} made")
        parts.show(self, bool(count))

    def _choice(self, label: str, table: str, keys: list[Any], word: str) -> w.Widget:
        def chosen(decision: str) -> None:
            self._decided(table, keys, None if decision == _TAKE_BACK else decision)

        return parts.line(parts.choice(label, [*_DECISIONS, (_TAKE_BACK, _TAKE_BACK)], word, on_change=chosen))


def natural_keys(wizard: ImportWizard, text: str) -> dict[str, list[str]]:
    """Return what ``users.email, orders.(shop, number)`` says, as ``match_on=`` takes it.

    Raises
    ------
    UnknownTableError, UnknownColumnError
    """
    found: dict[str, list[str]] = {}
    if wizard.package is None:
        return found
    for dotted in blocks.split_outside(text):
        table, columns = wizard.package.schema.split(dotted)
        found[table.name] = list(columns)
    return found


class Names:
    """What entities are called: by their keys, or by a number where the key looks like a secret."""

    def __init__(self) -> None:
        self._secret: set[str] = set()
        self._numbers: dict[tuple[str, Any], int] = {}

    def learn(self, plan: ImportPlan) -> None:
        """Look which tables have keys that are not to be shown."""
        for name, each in plan.plans.items():
            if not _secrets(each.fit).isdisjoint({*each.fit.source.key, *each.fit.target.key}):
                self._secret.add(name)

    def key(self, table: str, key: Any) -> str:
        """Return the key of an entity in the package, or its number."""
        if table not in self._secret:
            return _key(key)
        known = sum(named == table for named, _ in self._numbers)
        return f"number {self._numbers.setdefault((table, key), known + 1)}"

    def place(self, table: str, key: Any) -> str:
        """Return where the row of the target is, empty if its key is not to be shown."""
        return "" if table in self._secret else f" (there: {_key(key)})"


def _key(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _is_open(reason: str) -> bool:
    """Whether several rows of the target match, so that none of them can be updated or taken for the entity."""
    return reason == SEVERAL


def _secrets(fit: TableFit) -> set[str]:
    """Return the columns of package and target that look like secrets, on one side or the other."""
    named = {*secrets_in(fit.source), *secrets_in(fit.target)}
    pairs = ((column.source.name, column.target.name) for column in fit.columns)
    return {name for pair in pairs if named.intersection(pair) for name in pair}


def _told(entity: Any, texts: Mapping[str, Any], secrets: Container[str], names: Names) -> str:
    """Return why an entity is in conflict, what it is, of which row of the target, and what differs; no secrets."""
    said = f"{entity.table} {names.key(entity.table, entity.source_key)}: {entity.reason}"
    if not _is_open(entity.reason) and entity.target_key is not None:
        said += names.place(entity.table, entity.target_key)
    reason = parts.mark("warn", said)
    told = [
        f"{name} {blocks.shorten(str(value), 40)!r}" for name, value in texts.items() if value and name not in secrets
    ]
    reason += parts.words(", ".join(told[:4])) if told else ""
    before, after = entity.before or {}, entity.after or {}
    if not isinstance(before, dict) or not isinstance(after, dict):
        return reason
    rows = [
        (name, *((_DIFFERS, _DIFFERS) if name in secrets else (before.get(name, ""), after.get(name, ""))))
        for name in dict.fromkeys([*before, *after])
    ]
    table = blocks.table(("field", "in the target", "in the package"), rows, limit=10)
    return reason + (blocks.block("", table) if rows else "")
