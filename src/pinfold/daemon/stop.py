"""The end of a pinfold: accept no more, finish what is in flight, stop the programs, then the shim."""

import asyncio
from itertools import chain, repeat
from typing import Final

from pinfold.daemon.parts import Parts
from pinfold.proxy.wire import Stats

__all__ = ["wind_down"]

_DRAIN: Final = 30.0
"""Seconds for requests in flight to remote pools, and when there are no programs."""
_PAUSES: Final = (1.0, 4.0, 5.0)
"""Seconds between two lines that say who is waited for; the last is repeated."""


async def wind_down(parts: Parts) -> None:
    """Let requests in flight end, each within its program's drain time, then stop every program."""
    programs = parts.supervisor.programs.values()
    drain = max((program.config.drain for program in programs), default=_DRAIN)
    waiting = asyncio.create_task(_tell_who_is_waited_for(parts))
    try:
        # The sockets are closed at once: who comes now is refused, and not left in a queue that nobody reads.
        await asyncio.gather(parts.keeper.stop(drain), parts.shim.listen(()))
        await parts.supervisor.stop()
    finally:
        waiting.cancel()


async def _tell_who_is_waited_for(parts: Parts) -> None:
    for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
        await asyncio.sleep(pause)
        stats = await parts.keeper.stats()
        busy = _alive(parts) if parts.keeper.gone else _busy(stats) if stats else ""
        if busy:
            parts.outside.events.tell("pinfold", f"waiting for {busy}; Ctrl-C again cuts it short")


def _busy(stats: Stats) -> str:
    endpoints = [endpoint for pool in stats.pools for endpoint in pool.endpoints if endpoint.in_flight]
    total = sum(endpoint.in_flight for endpoint in endpoints)
    named = ", ".join(f"{endpoint.name} {endpoint.in_flight}" for endpoint in endpoints[:8])
    return f"{total} request{'s' if total != 1 else ''} in flight ({named})" if total else ""


def _alive(parts: Parts) -> str:
    return ", ".join(instance.name for instance in parts.supervisor.instances() if instance.pid is not None)
