"""Notes that say the same of several places, ``"users: 3 rows …"``, told once, with the places in a fold.

Knows nothing of what the notes are about.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from datatransfer.display import blocks
from datatransfer.display.blocks import Html

LEAST = 3
"""Notes from which those that are alike stand together."""
_NUMBER = re.compile(r"\d+(?:[,.]\d+)*")


class Group(NamedTuple):
    """Notes that are alike: what they say, and which they are; a note alone has no title."""

    title: str
    members: tuple[int, ...]


def alike(notes: Sequence[str]) -> list[Group]:
    """Find notes that say the same of different places, apart from numbers and from the place's own name.

    Parameters
    ----------
    notes : sequence of str
        Each a place, a colon, and what there is to say of it; others stand alone.

    Returns
    -------
    list of Group
        Where the first of each stands.

    Examples
    --------
    >>> alike(["a: 2 rows are new", "b: 30 rows are new", "it is late", "c: 7 rows are new"])
    [Group(title='In 3 tables: … rows are new', members=(0, 1, 3)), Group(title='', members=(2,))]
    """
    found: dict[tuple[str, int], list[int]] = {}
    for number, note in enumerate(notes):
        said = _said(note)
        found.setdefault((said, -1 if said else number), []).append(number)
    groups = [Group(_title(said, [notes[n] for n in members]), tuple(members)) for (said, _), members in found.items()]
    alone = [Group("", (n,)) for group in groups if not group.title for n in group.members]
    return sorted([*(group for group in groups if group.title), *alone], key=lambda group: group.members[0])


def _said(note: str) -> str:
    """Return what a note says of its place, empty where it names none."""
    place, colon, said = note.partition(": ")
    named = re.compile(rf"""(["']){re.escape(place)}\1""")
    return _NUMBER.sub("…", named.sub(r"\1…\1", said)) if colon else ""


def _title(said: str, notes: Sequence[str]) -> str:
    if len(notes) < LEAST:
        return ""
    parts = [note.partition(": ") for note in notes]
    same = {message for _, _, message in parts}
    places = "places" if any("." in place for place, _, _ in parts) else "tables"
    return f"In {len(notes):,} {places}: {same.pop() if len(same) == 1 else said}"


def grouped(notes: Sequence[str], *, limit: int = blocks.MAX_ROWS) -> Html:
    """Return a list of notes as HTML, those that are alike in a fold; what is beyond the limit is counted."""
    groups = alike(notes)
    shown = [together(group.title, [notes[n] for n in group.members]) for group in groups[:limit]]
    left = sum(len(group.members) for group in groups[limit:])
    items = [*shown, *([f"and {left:,} more"] if left else [])]
    return Html(f"<ul>{''.join(f'<li>{item}</li>' for item in items)}</ul>")


def together(title: str, notes: Sequence[str]) -> Html:
    """Return notes as HTML: one alone as it is, several in a fold."""
    if not title:
        return Html(blocks.breakable(blocks.shorten(notes[0], 300)))
    return blocks.fold(blocks.shorten(title, 300), blocks.listing(notes))
