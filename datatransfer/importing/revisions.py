"""The Alembic revisions of a package and a target: whether they are the same, and which is newer.

Only the application's own migrations know an order of revisions; without them both are named.
"""

from __future__ import annotations

from pathlib import Path

from datatransfer.errors import UsageError
from datatransfer.importing.validation import Misfit


def revisions(package: str | None, target: str | None, migrations: str | Path | None = None) -> list[Misfit]:
    """Return a finding if a package and a target are at different revisions.

    Parameters
    ----------
    package, target : str or None
        Their revisions, None where there is none.
    migrations : path, optional
        The application's folder of Alembic scripts.

    Examples
    --------
    >>> revisions("a1", "a1")
    []
    >>> revisions("a1", "b2")[0].message
    "the package is of revision 'a1', the target at 'b2'; which is newer, the application's migrations know"
    """
    if package == target or not (package and target):
        return []
    both = f"the package is of revision {package!r}, the target at {target!r}"
    way = "or say with a mapping how they differ"
    older = _older(package, target, migrations) if migrations is not None else None
    if older is None:
        message = f"{both}; which is newer, the application's migrations know"
        hint = f"bring the older of both up with 'alembic upgrade', {way}"
    elif older == target:
        message, hint = f"{both}, which is older", f"run 'alembic upgrade {package}' on the target, {way}"
    elif older == package:
        message = f"{both}, which is newer"
        hint = f"run 'alembic upgrade {target}' on the source and export again, {way}"
    else:
        message = f"{both}; {older}"
        hint = f"bring both to a revision that they share, {way}"
    return [Misfit("revision", "alembic_version", message, hint, severity="warning")]


def _older(package: str, target: str, migrations: str | Path) -> str:
    """Return the older of two revisions, or in words why neither is."""
    from alembic.script import ScriptDirectory
    from alembic.util.exc import CommandError

    try:
        scripts = ScriptDirectory(str(migrations))
        known = {script.revision for script in scripts.walk_revisions()}
    except (CommandError, OSError):
        known = set()
    if not known:
        raise UsageError(
            "this is no folder of Alembic migrations", where=str(migrations), hint="name the one with 'versions' in it"
        )
    sides = {package: set(package.split(",")), target: set(target.split(","))}
    for name, heads in sides.items():
        if not heads <= known:
            return f"the migrations do not know {name!r}"
    above = {name: _ancestors(scripts, heads) for name, heads in sides.items()}
    if sides[target] <= above[package]:
        return target
    return package if sides[package] <= above[target] else "they are of different branches"


def _ancestors(scripts: object, heads: set[str]) -> set[str]:
    found: set[str] = set()
    for head in heads:
        found |= {script.revision for script in scripts.iterate_revisions(head, "base")}  # type: ignore[attr-defined]
    return found
