"""Waiting for conditions that have no event of their own; always with a deadline."""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["wait_for"]

T = TypeVar("T")


def wait_for(condition: Callable[[], T], deadline: float, what: str = "") -> T:
    """The first true value of `condition`, asked every 10 ms.

    Raises:
        AssertionError: it did not come true within `deadline` seconds; the last value is told.
    """
    until = time.monotonic() + deadline
    while not (value := condition()):
        if time.monotonic() > until:
            raise AssertionError(f"{what or condition} did not come true within {deadline:g} s; last: {value!r}")
        time.sleep(0.01)
    return value
