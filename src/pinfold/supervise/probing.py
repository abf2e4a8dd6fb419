"""The probes of one process, one after the other, from its start to its end: when it is ready, and when no longer.

Every `EAGER` seconds until it has passed `RISE` times in a row, then every `CALM` seconds; `FALL` failures in a row
make it unready.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from pinfold.base.address import Address
from pinfold.config.model import ReadyProbe
from pinfold.supervise.machine import Event
from pinfold.supervise.probes import probe

__all__ = ["Probing"]

EAGER: Final = 0.25
"""Seconds between probes of a process that is not ready."""
CALM: Final = 2.0
"""Seconds between probes of a process that is ready."""
RISE: Final = 2
"""Passes in a row that make it ready."""
FALL: Final = 3
"""Failures in a row that make it unready."""


class Probing:
    """Owns the task that probes; ends it in `cancel`."""

    def __init__(
        self,
        address: Address | None,
        wanted: Callable[[], ReadyProbe],
        tell: Callable[[Event | None], None],
        *,
        known: bool,
    ) -> None:
        """Begin to probe.

        Args:
            address: what to probe; None for a program without ports, which is ready once it runs.
            wanted: the probe as configured now.
            tell: is told READY and UNREADY, and None for a failure that decides nothing yet.
            known: it was ready before (a daemon came back); one pass is enough.
        """
        self.last_failure = ""
        self._rise = 1 if known else RISE
        self._tell = tell
        self._task = asyncio.create_task(self._run(address, wanted))

    def cancel(self) -> None:
        """Probe no more."""
        self._task.cancel()

    async def _run(self, address: Address | None, wanted: Callable[[], ReadyProbe]) -> None:
        if address is None:
            self._tell(Event.READY)
            return
        ready, row = False, 0
        while True:
            verdict = await probe(address, wanted())
            if not verdict.passed:
                self.last_failure = verdict.why
                self._tell(None)
            row = row + 1 if verdict.passed is not ready else 0
            if row >= (FALL if ready else self._rise):
                ready, row, self._rise = not ready, 0, RISE
                self._tell(Event.READY if ready else Event.UNREADY)
            await asyncio.sleep(CALM if ready else EAGER)
