"""When to try again: delays that double, with jitter, and the rule that calls a row of deaths a crash loop. Pure."""

from dataclasses import dataclass, replace
from typing import Final

__all__ = ["BASE", "CAP", "Backoff"]

BASE: Final = 0.5
"""Seconds before the first retry, without jitter."""
CAP: Final = 30.0
"""Most seconds before a retry, without jitter."""
STABLE_AFTER: Final = 60.0
"""Seconds of life after which earlier deaths are forgotten."""
LOOP_DEATHS: Final = 5
"""Deaths within `LOOP_WINDOW` that make a crash loop."""
LOOP_WINDOW: Final = 60.0
"""Seconds."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """The deaths of one instance that still count: `deaths` in monotonic seconds, oldest first, bounded."""

    row: int = 0
    deaths: tuple[float, ...] = ()

    def died(self, now: float, lived: float) -> "Backoff":
        """After a death at `now` of a process that lived `lived` seconds."""
        if lived >= STABLE_AFTER:
            return Backoff(row=1, deaths=(now,))
        recent = (*(death for death in self.deaths if now - death < LOOP_WINDOW), now)
        return replace(self, row=self.row + 1, deaths=recent[-LOOP_DEATHS:])

    @property
    def looping(self) -> bool:
        """Whether this is a crash loop: it is told, and tried on at the longest delay, never given up."""
        return len(self.deaths) >= LOOP_DEATHS

    def delay(self, jitter: float) -> float:
        """Seconds to wait before the next try.

        Args:
            jitter: a factor drawn from 0.5 to 1.5, so that instances which died together do not come back together.
        """
        if self.row == 0:
            return 0.0
        if self.looping:
            return CAP * jitter
        return min(CAP, BASE * 2.0 ** min(self.row - 1, 16)) * jitter
