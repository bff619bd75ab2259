"""Chains of rows, each with the reason why the one before it is there: as text and as a drawing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, TypeVar

from datatransfer.display import shown
from datatransfer.display.bundles import pictured
from datatransfer.display.plain import visible
from datatransfer.display.svg import Node, chain_svg

SHOWN = 40
"""Steps of a chain that are shown."""


class Linked(Protocol):
    """One row of a chain: ``reached`` is ``"up"`` where it is the parent of the next one's row."""

    @property
    def reached(self) -> str:
        """How it was reached from the next one."""

    @property
    def foreign_key(self) -> str:
        """By which foreign key, empty at a root."""

    @property
    def node(self) -> Node:
        """The row as it is drawn."""


S = TypeVar("S", bound=Linked)


class Steps(Sequence[S]):
    """The steps from a row to a root, the row first."""

    title: ClassVar[str]
    nothing: ClassVar[tuple[str, str]] = ("no chain to a root", "")

    def __init__(self, steps: Sequence[S]) -> None:
        self._steps = tuple(steps)

    def __getitem__(self, index: Any) -> Any:
        return self._steps[index]

    def __len__(self) -> int:
        return len(self._steps)

    @shown.as_text
    def __repr__(self) -> str:
        lines = [f"{'  ' * depth}{visible(str(step))}" for depth, step in enumerate(self._steps[:SHOWN])]
        lines += [f"and {len(self) - SHOWN:,} more"] if len(self) > SHOWN else []
        return "\n".join(lines) or ": ".join(self.nothing)

    def to_svg(self) -> str:
        """Return the chain as a drawing, the row above, the root below."""
        steps = [(step.node, step.foreign_key, step.reached == "up") for step in self._steps[:SHOWN]]
        return chain_svg(steps or [(Node(*self.nothing), "", False)], title=self.title)

    @shown.as_bundle
    def _repr_mimebundle_(self, **_asked: Any) -> dict[str, str]:
        return pictured(repr(self), self.to_svg())
