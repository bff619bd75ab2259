"""What plan and receipt are made of: the actions on entities and the policies that choose them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from datatransfer.errors import UsageError
from datatransfer.given import instance, names_of
from datatransfer.importing.mapping import Mapping as SchemaMapping


class Action(StrEnum):
    """What happens to one entity of the package."""

    INSERT = "insert"
    UPDATE = "update"
    REUSE = "reuse"
    SKIP = "skip"
    CONFLICT = "conflict"


class OnMatch(StrEnum):
    """What to do with an entity that the target holds already, with other content."""

    SKIP = "skip"
    UPDATE = "update"
    NEWEST = "newest"
    ERROR = "error"


class OnClash(StrEnum):
    """What to do when another row of the target holds the same unique values."""

    ERROR = "error"
    REUSE = "reuse"
    RENAME = "rename"


class Decision(StrEnum):
    """What may be decided for a single entity, whatever the policies say.

    ============  ==================================================================================================
    ``insert``    a row of its own in the target, even where one matches; not a second one that an import makes of it
    ``update``    the row that it matches, or that holds its unique values, takes the package's content
    ``skip``      that row stays as it is; what refers to the entity will refer to that row
    ``reuse``     the same, counted as one and the same
    ``rename``    as ``insert``, with texts that must be unique and clash changed to free ones: ``"name (2)"``
    ============  ==================================================================================================
    """

    INSERT = "insert"
    UPDATE = "update"
    SKIP = "skip"
    REUSE = "reuse"
    RENAME = "rename"


#: What an entity may become after it was decided; a row that is equal already is reused.
OUTCOMES: Mapping[Decision, tuple[Action, ...]] = {
    Decision.INSERT: (Action.INSERT,),
    Decision.UPDATE: (Action.UPDATE, Action.REUSE),
    Decision.SKIP: (Action.SKIP, Action.REUSE),
    Decision.REUSE: (Action.REUSE,),
    Decision.RENAME: (Action.INSERT,),
}


@dataclass(frozen=True)
class Newest:
    """The policy that the row with the later value in a column wins.

    Values are compared as the target compares its column, on SQLite times to the millisecond. A row without a value is
    older than any with one. Of two that are equally old, or both without a value, the target's stays.

    Parameters
    ----------
    column : str
        A column of the package's table: a time, a date, a number, a text.

    Examples
    --------
    >>> str(Newest("updated_at"))
    'newest:updated_at'
    """

    column: str

    def __post_init__(self) -> None:
        if not instance(self.column, str, "column"):
            raise UsageError("a column is needed", where="newest", hint='say "newest:updated_at"')

    def __str__(self) -> str:
        return f"{OnMatch.NEWEST}:{self.column}"


MatchRule = OnMatch | Newest
MatchWord = str | tuple[str, str] | Newest
MatchPolicy = MatchWord | Mapping[str, MatchWord]
ClashPolicy = str | Mapping[str, str]
#: Stands for every table that is not named.
DEFAULT = "*"


class Identity(StrEnum):
    """Whether entities keep their UUIDs or become copies with UUIDs of their own."""

    KEEP = "keep"
    COPY = "copy"


class OnOrphan(StrEnum):
    """What to do with references whose parent is neither in the package nor in the target."""

    ERROR = "error"
    KEEP = "keep"
    NULL = "null"


class Triggers(StrEnum):
    """Whether the target's triggers rest during the merge or fire."""

    SUSPEND = "suspend"
    FIRE = "fire"


_E = TypeVar("_E", bound=StrEnum)


def _choice(kind: type[_E], value: str, name: str) -> _E:
    try:
        return kind(value)
    except ValueError:
        known = ", ".join(repr(str(item)) for item in kind)
        raise UsageError(f"{name}={value!r} is not a policy", hint=f"it is one of {known}") from None


def _match_rule(value: MatchWord) -> MatchRule:
    if isinstance(value, Newest):
        return value
    word, column = value if isinstance(value, tuple) else str(value).partition(":")[::2]
    rule = _choice(OnMatch, word, "on_match")
    if (rule is OnMatch.NEWEST) != bool(column):
        raise UsageError(f"on_match={value!r} is not a policy", hint='it needs a column: "newest:updated_at"')
    return Newest(column) if column else rule


def _match_rules(value: MatchPolicy) -> dict[str, MatchRule]:
    by_table = value if isinstance(value, Mapping) else {DEFAULT: value}
    return {DEFAULT: OnMatch.SKIP, **{table: _match_rule(word) for table, word in by_table.items()}}


def _clash_rules(value: ClashPolicy) -> dict[str, OnClash]:
    by_table = value if isinstance(value, Mapping) else {DEFAULT: value}
    return {DEFAULT: OnClash.ERROR, **{table: _choice(OnClash, word, "on_clash") for table, word in by_table.items()}}


def _plain(rules: Mapping[str, object]) -> str | dict[str, str]:
    """Return policies of tables as plain data: one word where they are all the same."""
    return str(rules[DEFAULT]) if len(rules) == 1 else {table: str(rule) for table, rule in rules.items()}


POLICIES = ("on_match", "on_clash", "identity", "on_orphan", "triggers", "match_on")
"""What is decided for a whole import, beside how package and target differ."""


@dataclass(frozen=True)
class Policies:
    """All decisions that hold for a whole import.

    Parameters
    ----------
    on_match : mapping of table to OnMatch or Newest
    on_clash : mapping of table to OnClash
        Both by table; ``"*"`` is what holds for the others.
    identity, on_orphan, triggers : enum
        See the enums of this module.
    match_on : mapping of str to sequence of str
        Per table, the columns that identify a row to people, e.g. ``{"users": ["email"]}``.
    mapping : datatransfer.Mapping
        How package and target differ.
    """

    on_match: Mapping[str, MatchRule] = field(default_factory=lambda: {DEFAULT: OnMatch.SKIP})
    on_clash: Mapping[str, OnClash] = field(default_factory=lambda: {DEFAULT: OnClash.ERROR})
    identity: Identity = Identity.KEEP
    on_orphan: OnOrphan = OnOrphan.ERROR
    triggers: Triggers = Triggers.SUSPEND
    match_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mapping: SchemaMapping = field(default_factory=SchemaMapping)

    def match_rule(self, table: str) -> MatchRule:
        """Return what happens to matched rows of a table whose content differs."""
        return self.on_match.get(table, self.on_match[DEFAULT])

    def clash_rule(self, table: str) -> OnClash:
        """Return what happens to rows of a table whose unique values another row holds."""
        return self.on_clash.get(table, self.on_clash[DEFAULT])

    def to_json(self) -> dict[str, Any]:
        """Return the policies as plain data, as `of` takes them."""
        words = {name: str(value) for name, value in vars(self).items() if isinstance(value, StrEnum)}
        ours = {"on_match": _plain(self.on_match), "on_clash": _plain(self.on_clash)}
        mapping = {"mapping": self.mapping.to_json()} if self.mapping else {}
        natural = {table: list(columns) for table, columns in self.match_on.items()}
        return {**ours, **words, "match_on": natural, **mapping}

    @classmethod
    def of(
        cls,
        *,
        on_match: MatchPolicy = "skip",
        on_clash: ClashPolicy = "error",
        identity: str = "keep",
        on_orphan: str = "error",
        triggers: str = "suspend",
        match_on: Mapping[str, Sequence[str] | str] | None = None,
        mapping: SchemaMapping | Mapping[str, Any] | None = None,
    ) -> Policies:
        """Make policies from words.

        Raises
        ------
        UsageError
            A word is not known.
        """
        natural = instance(match_on or {}, Mapping, "match_on", hint='give {"users": ["email"]}')  # type: ignore[type-abstract]
        columns = {t: tuple(names_of(c, f"match_on of {t}")) for t, c in natural.items()}
        for table in (table for table, names in columns.items() if not names):
            raise UsageError("a column is needed", where=f"match_on of {table}", hint='give {"users": ["email"]}')
        return cls(
            on_match=_match_rules(on_match),
            on_clash=_clash_rules(on_clash),
            identity=_choice(Identity, identity, "identity"),
            on_orphan=_choice(OnOrphan, on_orphan, "on_orphan"),
            triggers=_choice(Triggers, triggers, "triggers"),
            match_on=columns,
            mapping=SchemaMapping.of({"mapping": mapping}),
        )


def given_policies(*, made: bool, **policies: Any) -> dict[str, Any]:
    """Return the policies that a caller said, those that are not None.

    Parameters
    ----------
    made : bool
        Whether the plan that they are said beside is made already.

    Raises
    ------
    UsageError
        It is, so that they would change nothing.
    """
    given = {name: value for name, value in policies.items() if value is not None}
    if made and given:
        raise UsageError(
            f"the plan was made with policies of its own, and {', '.join(given)} would change nothing now",
            hint="give policies when the plan is made, or run without a plan",
        )
    return given
