"""Which name of a target is meant by one of a package: the same in another spelling, or one that is alike.

Knows names alone, not what they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher

_ALIKE = 0.6
# An end of capitals before a word, a word after a small letter, or what is neither letter nor digit.
_BETWEEN = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\W_]+")


def plain(name: str) -> str:
    """Return a name without what spellings differ in: case, underscores, spaces, and a schema before a point.

    Examples
    --------
    >>> plain("dbo.InvoiceLine"), plain("invoice_line"), plain("Invoice Line")
    ('invoiceline', 'invoiceline', 'invoiceline')
    """
    return "".join(_words(name))


def singular(name: str) -> str:
    """Return a plain name of which no word is a plural.

    Examples
    --------
    >>> singular("OrderItems"), singular("order_item"), singular("Categories"), singular("address")
    ('orderitem', 'orderitem', 'category', 'address')
    """
    return "".join(map(_one, _words(name)))


def _words(name: str) -> list[str]:
    last = name.rpartition(".")[2] or name
    return [word.lower() for word in _BETWEEN.split(last) if word] or [name.lower()]


def _one(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if word.endswith(("sses", "xes", "ches", "shes")):
        return word[:-2]
    return word[:-1] if len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "us", "is")) else word


def respelled(names: Iterable[str], among: Iterable[str]) -> dict[str, str]:
    """Return the name among others that each name is in another spelling; none where more than one may be meant.

    Examples
    --------
    >>> respelled(["AlbumId", "Tracks", "note"], ["album_id", "track", "notice"])
    {'AlbumId': 'album_id', 'Tracks': 'track'}
    >>> respelled(["User", "users"], ["Users"])
    {'users': 'Users'}
    >>> respelled(["User_s"], ["user-s", "UserS"])
    {}
    """
    left, free = list(dict.fromkeys(names)), list(dict.fromkeys(among))
    found: dict[str, str] = {}
    for spelled in (plain, singular):
        ours, theirs = _by(spelled, left), _by(spelled, free)
        found |= {ours[key][0]: theirs[key][0] for key in ours if len(ours[key]) == len(theirs.get(key, ())) == 1}
        left, free = [n for n in left if n not in found], [n for n in free if n not in found.values()]
    return found


def _by(spelled: Callable[[str], str], names: Iterable[str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(spelled(name), []).append(name)
    return groups


def similar(name: str, among: Iterable[str]) -> str | None:
    """Return the most similar of some names, None if none is alike.

    Examples
    --------
    >>> similar("placed", ["note", "placed_at", "total"])
    'placed_at'
    >>> similar("email", ["phone"]) is None
    True
    """
    scored = sorted(((SequenceMatcher(None, name.lower(), n.lower()).ratio(), n) for n in among), reverse=True)
    return scored[0][1] if scored and scored[0][0] >= _ALIKE else None
