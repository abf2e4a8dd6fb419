"""One command at a time, and its reports: what is told while it runs, then the verdict.

A command runs to its end whether or not anybody listens: who hangs up has not taken it back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from pinfold.api.models import Progress, Verdict
from pinfold.base.errors import ConfigError, FailedError, PinfoldError
from pinfold.base.seam import SeamLostError
from pinfold.daemon.events import Events
from pinfold.supervise.shim import ShimError

__all__ = ["Commands", "verdict"]

_ALIVE: Final = 15.0
"""Seconds after which a listener is told that the command is still under way."""
_UNREAD_MOST: Final = 1000
"""Progress beyond this is dropped for a listener that does not read; the verdict never is."""


class Commands:
    """Runs commands one after the other."""

    def __init__(self, events: Events) -> None:
        self.turn = asyncio.Lock()
        self._events = events
        self._running: set[asyncio.Task[Verdict]] = set()

    async def reports(
        self, work: Callable[[], Awaitable[str]], concerns: Callable[[str], bool]
    ) -> AsyncIterator[Progress | Verdict | None]:
        """Run `work` when its turn comes; its reports, the last one the verdict, None when there is nothing new.

        Args:
            work: does it, and says what was done; a PinfoldError is the verdict that it failed.
            concerns: whether what is told about this name is progress of this command.
        """
        unread: asyncio.Queue[Progress | None] = asyncio.Queue()

        def listen(name: str, text: str) -> None:
            if concerns(name) and unread.qsize() < _UNREAD_MOST:
                unread.put_nowait(Progress(name=name, text=text))

        running = asyncio.create_task(self._run(work, listen))
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        running.add_done_callback(lambda _: unread.put_nowait(None))
        while True:
            try:
                async with asyncio.timeout(_ALIVE):
                    report = await unread.get()
            except TimeoutError:
                yield None
                continue
            if report is None:
                break
            yield report
        yield running.result()

    def cancel(self) -> None:
        """The daemon ends."""
        for running in self._running:
            running.cancel()

    async def _run(self, work: Callable[[], Awaitable[str]], listen: Callable[[str, str], None]) -> Verdict:
        if self.turn.locked():
            listen("pinfold", "waiting for another command to end")
        try:
            async with self.turn:
                with self._events.listened(listen):
                    return Verdict(ok=True, code="ok", exit_code=0, summary=await work())
        except PinfoldError as error:
            return verdict(error)
        except (SeamLostError, ShimError) as error:
            return verdict(FailedError(f"the shim or the proxy failed meanwhile: {error}", "pinfold status"))
        except asyncio.CancelledError:
            return verdict(FailedError("pinfold is stopping"))


def verdict(error: PinfoldError) -> Verdict:
    """How a command ended that failed."""
    problems = tuple(problem.render() for problem in error.problems) if isinstance(error, ConfigError) else ()
    count = f"{len(problems)} problem{'s' if len(problems) != 1 else ''}"
    summary = f"{count} in the config; nothing was changed" if problems else error.summary
    return Verdict(
        ok=False, code=error.code, exit_code=error.exit_code, summary=summary, hint=error.hint, problems=problems
    )
