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


def refuse_running(job: Job[Any] | None) -> None:
    """Let nobody step back from a job that runs.

    Raises
    ------
    UsageError
    """
    if job is not None and job.state == "running":
        raise UsageError(f"the {job.kind} is running", hint="cancel it first")
