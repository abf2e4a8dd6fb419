"""What was told: kept in memory up to a bound, one line each to the terminal, and to whoever listens for a while."""

import contextlib
import os
import select
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pinfold.base.clock import Clock

__all__ = ["Events", "Told", "announce_on_stderr"]

_KEPT: Final = 1000
_STDERR: Final = 2
_LINE_BYTES: Final = select.PIPE_BUF
"""A pipe that poll(2) calls writable takes so much without blocking."""

Listener = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Told:
    """Something an operator wants to read."""

    at: datetime
    name: str
    text: str

    def render(self) -> str:
        """One line: local time, whom it is about, what."""
        return f"{self.at.astimezone():%H:%M:%S} {self.name}: {self.text}"


class Events:
    """The last things that were told. Nothing secret is ever handed to it."""

    def __init__(self, clock: Clock, announce: Callable[[str], None]) -> None:
        self.recent: deque[Told] = deque(maxlen=_KEPT)
        self._clock = clock
        self._announce = announce
        self._listeners: list[Listener] = []

    def tell(self, name: str, text: str) -> None:
        """Something happened to `name`: an instance, a program, `proxy`, `shim` or `pinfold`."""
        told = Told(self._clock.now(), name, text)
        self.recent.append(told)
        self._announce(told.render())
        for listener in self._listeners:
            listener(name, text)

    @contextlib.contextmanager
    def listened(self, listener: Listener) -> Iterator[None]:
        """Tell `listener` too, for as long as the block lasts."""
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)


def announce_on_stderr(line: str) -> None:
    """Write a line to standard error unless nobody reads there: the daemon never waits for a terminal."""
    try:
        poll = select.poll()
        poll.register(_STDERR, select.POLLOUT)
        if any(event & select.POLLOUT for _, event in poll.poll(0)):
            os.write(_STDERR, line.encode(errors="replace")[: _LINE_BYTES - 1] + b"\n")
    except OSError:
        return  # The terminal is gone; the daemon runs on.
