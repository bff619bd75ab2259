"""The way through the steps of a wizard, which both wizards go; knows no widgets and not what a step is about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from datatransfer.errors import UsageError

if TYPE_CHECKING:
    from datatransfer.background import Job

S = TypeVar("S", bound=str)


def following(steps: Sequence[S], step: S, blocked: str) -> S:
    """Return the step after one.

    Raises
    ------
    UsageError
        It cannot be taken, with the reason.
    """
    if blocked:
        raise UsageError(blocked, where=step)
    return steps[steps.index(step) + 1]


def refuse_back(job: Job[Any] | None, *, ended: bool) -> None:
    """Let nobody step back from a job that runs, or from what it has made, to which no step would lead again.

    Raises
    ------
    UsageError
    """
    if job is not None and job.state == "running":
        raise UsageError(f"the {job.kind} is running", hint="cancel it first")
    if ended:
        raise UsageError("there is no step back from the last one", hint="start over")
