"""What plan and receipt are made of: the actions on entities and the policies that choose them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar

from datatransfer.errors import UsageError
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
    ERROR = "error"


class OnClash(StrEnum):
    """What to do when another row of the target holds the same unique values."""

    ERROR = "error"
    REUSE = "reuse"


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


@dataclass(frozen=True)
class Policies:
    """All decisions that hold for a whole import.

    Parameters
    ----------
    on_match, on_clash, identity, on_orphan, triggers : str or enum
        See the enums of this module.
    match_on : mapping of str to sequence of str
        Per table, the columns that identify a row to people, e.g. ``{"users": ["email"]}``.
    mapping : datatransfer.Mapping
        How package and target differ.
    """

    on_match: OnMatch = OnMatch.SKIP
    on_clash: OnClash = OnClash.ERROR
    identity: Identity = Identity.KEEP
    on_orphan: OnOrphan = OnOrphan.ERROR
    triggers: Triggers = Triggers.SUSPEND
    match_on: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mapping: SchemaMapping = field(default_factory=SchemaMapping)

    def to_json(self) -> dict[str, Any]:
        """Return the policies as plain data, as `of` takes them."""
        words = {name: str(value) for name, value in vars(self).items() if isinstance(value, StrEnum)}
        mapping = {"mapping": self.mapping.to_json()} if self.mapping else {}
        return {**words, "match_on": {table: list(columns) for table, columns in self.match_on.items()}, **mapping}

    @classmethod
    def of(
        cls,
        *,
        on_match: str = "skip",
        on_clash: str = "error",
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
        columns = {t: (c,) if isinstance(c, str) else tuple(c) for t, c in (match_on or {}).items()}
        return cls(
            on_match=_choice(OnMatch, on_match, "on_match"),
            on_clash=_choice(OnClash, on_clash, "on_clash"),
            identity=_choice(Identity, identity, "identity"),
            on_orphan=_choice(OnOrphan, on_orphan, "on_orphan"),
            triggers=_choice(Triggers, triggers, "triggers"),
            match_on=columns,
            mapping=SchemaMapping.of({"mapping": mapping}),
        )
