"""Why an entity is in conflict, in the words in which a plan tells it, and what settles a conflict of each kind.

Plain data; knows neither packages nor databases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from datatransfer.importing.actions import Decision, OnClash, OnMatch

DIFFERS = "the row differs in the target"
SEVERAL = "several rows of the target match"
SHARED = "another entity of the package matches the same row"
BROUGHT = "an import has brought it already"
"""Why an entity gets no row of its own, though that was decided."""
REFERENCED = "a column that references point to differs"
_HELD, _TAKEN = "another row holds the same ", ", which the update would take"
_TWICE, _EXCHANGED = "another row of the package holds the same ", "rows exchange their "
REPAIR = "change these rows where they differ from what the target allows, or leave them out"


def held(label: str) -> str:
    """Return the reason of a row whose unique values another row has."""
    return f"{_HELD}{label}"


def taken(label: str) -> str:
    """Return the reason of an update to values that another row keeps."""
    return f"{_HELD}{label}{_TAKEN}"


def twice(label: str) -> str:
    """Return the reason of a row that the target would hold for the same as another of the package."""
    return f"{_TWICE}{label} to the target"


def exchanged(label: str) -> str:
    """Return the reason of updates that cannot be made one after the other."""
    return f"{_EXCHANGED}{label}, and the target has no place to hold it meanwhile"


@dataclass(frozen=True)
class Settling:
    """What settles conflicts of one kind.

    Parameters
    ----------
    policies : tuple of str
        As Python says them; any of them does.
    decisions : tuple of Decision
        Any of them does for one entity.
    """

    policies: tuple[str, ...] = ()
    decisions: tuple[Decision, ...] = ()


def settling(
    reason: str, matched_by: str = "", *, renamable: bool = False, on_match: object = OnMatch.SKIP
) -> Settling:
    """Return what settles a conflict.

    Parameters
    ----------
    reason, matched_by : str
        As a plan's frame tells them.
    renamable : bool
        Whether what clashes is a text that may be another one.
    on_match : OnMatch or Newest
        The policy of the table: a row that is reused and differs is one that matches.

    Examples
    --------
    >>> settling("the row differs in the target").policies
    ('on_match="skip" or "update"',)
    >>> settling("another row holds the same email", "clash:email").policies
    ('on_clash="reuse"', 'match_on=…')
    """
    skip = Settling((_said(OnMatch.SKIP),), (Decision.SKIP,))
    if reason == DIFFERS:
        return Settling((_said(OnMatch.SKIP, OnMatch.UPDATE),), (Decision.UPDATE, Decision.SKIP))
    if reason == SHARED:
        return Settling(("match_on=…",), (Decision.REUSE, Decision.SKIP, Decision.INSERT))
    if reason == SEVERAL:
        own = Decision.RENAME if matched_by.startswith("clash:") else Decision.INSERT
        return Settling(("match_on=…",), (own,) if renamable or own is Decision.INSERT else ())
    if reason.startswith(_TWICE):
        return Settling((_clash(OnClash.RENAME),), (Decision.RENAME,)) if renamable else Settling()
    if reason.startswith(_HELD) and reason.endswith(_TAKEN):
        return Settling((_clash(OnClash.REUSE), *skip.policies), skip.decisions)
    if reason.startswith(_HELD) and matched_by.startswith("clash:"):
        also = f" with {_said(OnMatch.SKIP, OnMatch.UPDATE)}" if on_match == OnMatch.ERROR else ""
        renames = ((_clash(OnClash.RENAME),), (Decision.RENAME,)) if renamable else ((), ())
        ways = (f"{_clash(OnClash.REUSE)}{also}", *renames[0], "match_on=…")
        return Settling(ways, (Decision.REUSE, Decision.UPDATE, *renames[1]))
    return skip if reason == REFERENCED or reason.startswith(_EXCHANGED) else Settling()


def label_of_clash(reason: str, matched_by: str) -> str:
    """Return the label of the rule by which rows clash, empty if they do not.

    Examples
    --------
    >>> label_of_clash("another row holds the same email", "clash:email"), label_of_clash(twice("email"), "")
    ('email', 'email')
    """
    if reason.startswith(_TWICE):
        return reason.removeprefix(_TWICE).removesuffix(" to the target")
    return matched_by.removeprefix("clash:") if matched_by.startswith("clash:") else ""


def _said(*words: OnMatch) -> str:
    return "on_match=" + " or ".join(f'"{word}"' for word in words)


def _clash(word: OnClash) -> str:
    return f'on_clash="{word}"'


def ways_out(settlings: Mapping[str, Settling], see: str, say: str) -> str:
    """Return the hint of conflicts: where to look, and the policies that settle those of each kind.

    Parameters
    ----------
    settlings : mapping of str to Settling
        By reason.
    see, say : str

    Examples
    --------
    >>> ways_out({reason: settling(reason) for reason in (DIFFERS, REFERENCED)}, "see", "say")
    'see, or say on_match="skip" or "update" where the row differs in the target; on_match="skip" where a column that \
references point to differs'
    """
    reasons: dict[tuple[str, ...], str] = {}
    for reason, each in settlings.items():
        reasons.setdefault(each.policies, reason)
    ways = [
        " or ".join(policies) + (f" where {reason}" if len(reasons) > 1 else "")
        for policies, reason in reasons.items()
        if policies
    ]
    hint = f"{see}, or {say} {'; '.join(ways)}" if ways else see
    return f"{hint}; {REPAIR}" + (f" where {reasons[()]}" if ways else "") if () in reasons else hint
