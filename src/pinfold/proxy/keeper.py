"""Keeps a proxy running and the newest snapshot in force in it.

Spawning is done by whoever holds the shim; the keeper is handed a function for it. `publish` may be called at any
time and any number of times: while one snapshot is on its way only the newest of those after it is sent.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from pinfold.base.seam import SeamLostError
from pinfold.proxy.link import ProxyLink, RejectedError
from pinfold.proxy.wire import Snapshot, Stats

__all__ = ["Keeper"]

_RETRY_DELAYS: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds before a lost proxy is started again, by how many in a row ended before they served."""


class Keeper:
    """The one proxy, as the daemon sees it."""

    def __init__(
        self,
        control_path: str,
        spawn: Callable[[], Awaitable[None]],
        build: Callable[[], Snapshot],
        tell: Callable[[str, str], None],
    ) -> None:
        """Prepare to keep a proxy.

        Args:
            control_path: its control socket.
            spawn: starts a new proxy process; returns once it has been executed.
            build: the snapshot wanted now.
            tell: is told what an operator should read.
        """
        self.on_drained: Callable[[str, str], None] = lambda _pool, _address: None
        self.generation = 0
        self.pid: int | None = None
        self._control_path = control_path
        self._spawn = spawn
        self._build = build
        self._tell = tell
        self._link: ProxyLink | None = None
        self._dirty = asyncio.Event()
        self._turn = asyncio.Lock()
        self._gone = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def attach(self, *, running: bool) -> None:
        """Take over the running proxy, or start one; returns when it has greeted.

        Raises:
            SeamLostError: it does not greet.
            VersionMismatchError: it is of another build.
        """
        if not running:
            await self._spawn()
        await self._connect()
        self._tasks.append(asyncio.create_task(self._publish_on_demand()))

    async def apply_now(self) -> int:
        """Put what is wanted now in force, and return its generation.

        Raises:
            RejectedError: the proxy refuses it; the snapshot before it serves on.
            SeamLostError: there is no proxy at this moment.
        """
        async with self._turn:
            self._dirty.clear()
            if self._link is None:
                raise SeamLostError("the proxy is being started")
            self.generation = await self._link.apply(self._build())
            return self.generation

    def publish(self) -> None:
        """Have what is wanted now put in force as soon as possible."""
        self._dirty.set()

    async def stats(self) -> Stats | None:
        """The counters, or None while there is no proxy."""
        if self._link is None:
            return None
        try:
            return await self._link.stats()
        except SeamLostError:
            return None

    async def exited(self, how: str) -> None:
        """The shim tells that the proxy has ended: start another, which gets the same sockets."""
        self.pid = None
        self._drop_link()
        if self._stopping:
            self._gone.set()
            return
        self._tell("proxy", f"{how}; starting it again")
        await self._revive()

    async def stop(self, timeout: float) -> None:
        """Have the proxy end what is in flight within `timeout` seconds; returns when its process is gone."""
        self._stopping = True
        if self._link is None:
            return
        self._link.stop(timeout)
        try:
            async with asyncio.timeout(timeout + 5.0):
                await self._gone.wait()
        except TimeoutError:
            self._tell("proxy", "did not end in time; it is killed")

    def close(self) -> None:
        """Let go of the proxy, which serves on."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        self._drop_link()

    async def _revive(self) -> None:
        attempt = 0
        while not self._stopping:
            await asyncio.sleep(_RETRY_DELAYS[min(attempt, len(_RETRY_DELAYS) - 1)])
            attempt += 1
            try:
                await self._spawn()
                await self._connect()
                await self.apply_now()
            except (SeamLostError, RejectedError, OSError) as error:
                self._tell("proxy", f"did not come up: {error}")
                continue
            self._tell("proxy", f"serving again, generation {self.generation}")
            return

    async def _connect(self) -> None:
        link = await ProxyLink.connect(self._control_path)
        link.on_drained = self._drained
        self._link = link
        self.pid = link.hello.pid
        self.generation = link.hello.generation
        self._tasks = [task for task in self._tasks if not task.done()]
        self._tasks.append(asyncio.create_task(self._listen(link)))

    def _drained(self, pool: str, address: str) -> None:
        self.on_drained(pool, address)

    async def _listen(self, link: ProxyLink) -> None:
        try:
            await link.run()
        except SeamLostError:
            if self._link is link:
                self._link = None

    async def _publish_on_demand(self) -> None:
        while True:
            await self._dirty.wait()
            try:
                await self.apply_now()
            except RejectedError as error:
                self._tell("proxy", f"refused a snapshot, the one before it serves on: {error}")
            except SeamLostError:
                self._dirty.clear()  # The next proxy is given the newest snapshot when it comes up.

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
