"""The only place that draws random numbers."""

import random
from typing import Protocol

__all__ = ["Rng", "SystemRng"]


class Rng(Protocol):
    """Where random numbers come from."""

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`."""


class SystemRng:
    """Good enough for jitter; never for secrets."""

    def uniform(self, low: float, high: float) -> float:
        """A number between `low` and `high`."""
        return random.uniform(low, high)
