"""In which order instances are replaced, started and stopped when what is wanted of a program changes. Pure.

A plan is a list of steps carried out one after the other: a step that fails ends the plan. A program whose addresses
are chosen anew for each process (sockets, `auto` ports) is replaced by surge: the new instance is ready before the old
one drains. One with fixed ports is replaced in place: drained and stopped before the new one starts.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import Enum

__all__ = ["Kind", "Step", "plan"]


class Kind(Enum):
    """What a step does to an instance."""

    START = "start"
    """Start it where there was none."""
    SURGE = "surge"
    """Start its successor, wait until that is ready, then drain and stop the old one."""
    REPLACE = "replace"
    """Drain and stop it, then start its successor and wait until that is ready."""
    STOP = "stop"
    """Drain and stop it for good."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do to the instance of this index (1 is the first)."""

    kind: Kind
    index: int


def plan(*, up: Collection[int], wanted: int, changed: Collection[int], surge: bool) -> list[Step]:
    """The steps from the instances that are up to those that are wanted.

    Args:
        up: indices of the instances that run or try to.
        wanted: how many instances there shall be.
        changed: indices of those that must be replaced if they stay.
        surge: whether old and new can run side by side.

    New instances come first, so that there are never fewer than before; surplus ones go last.
    """
    starts = [Step(Kind.START, index) for index in range(1, wanted + 1) if index not in up]
    kind = Kind.SURGE if surge else Kind.REPLACE
    replaced = [Step(kind, index) for index in sorted(up) if index <= wanted and index in changed]
    stops = [Step(Kind.STOP, index) for index in sorted(up) if index > wanted]
    return [*starts, *replaced, *stops]
