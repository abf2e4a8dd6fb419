"""Keeps a proxy running and the newest snapshot in force in it.

Processes are started and killed by whoever holds the shim (`Births`). `publish` may be called at any time and any
number of times: while one snapshot is on its way only the newest of those after it is sent.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from pinfold.base.clock import Clock
from pinfold.base.messages import VersionMismatchError
from pinfold.base.seam import SeamLostError
from pinfold.proxy.link import ProxyLink, RejectedError
from pinfold.proxy.wire import Snapshot, Stats

__all__ = ["Births", "Keeper", "ProxyStartError"]

_RETRY_DELAYS: Final = (0.0, 0.1, 0.5, 1.0, 2.0, 5.0)
"""Seconds before a lost proxy is started again, by how many in a row ended soon."""
_SOON: Final = 10.0
"""A proxy that served for fewer seconds counts as one that did not come up."""
_EXIT_FOLLOWS: Final = 0.5
"""Seconds by which the news of an exit may come after the end of the connection."""
_KILL_DEADLINE: Final = 5.0


class ProxyStartError(Exception):
    """No proxy process came to be."""


class Births(Protocol):
    """Starts and kills proxy processes."""

    def next_key(self) -> str:
        """A key no process had before."""

    async def spawn(self, key: str) -> None:
        """Start a proxy under this key; returns once it has been executed, ProxyStartError when it cannot be."""

    async def kill(self, key: str) -> None:
        """Kill it; its exit is told to the keeper."""


class Keeper:
    """The one proxy, as the daemon sees it."""

    def __init__(
        self,
        control_path: str,
        births: Births,
        build: Callable[[], Snapshot],
        clock: Clock,
        tell: Callable[[str, str], None],
    ) -> None:
        """Prepare to keep a proxy.

        Args:
            control_path: its control socket.
            births: starts and kills its processes.
            build: the snapshot wanted now.
            clock: says how long a proxy has served.
            tell: is told what an operator should read.
        """
        self.on_drained: Callable[[str, str], None] = lambda _pool, _address: None
        self.on_applied: Callable[[Snapshot], None] = lambda _snapshot: None
        self.on_gone: Callable[[], None] = lambda: None
        self.generation = 0
        self.threads = 0
        self.pid: int | None = None
        self._control_path = control_path
        self._births = births
        self._build = build
        self._clock = clock
        self._tell = tell
        self._key = ""
        self._ended = asyncio.Event()
        self._link: ProxyLink | None = None
        self._dirty = asyncio.Event()
        self._turn = asyncio.Lock()
        self._hearing: asyncio.Task[str] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    @property
    def serving(self) -> bool:
        """Whether there is a proxy that listens to us."""
        return self._link is not None

    @property
    def gone(self) -> bool:
        """Whether it was stopped and its process has ended: nothing is in flight any more, nor will be."""
        return self._stopping and self._ended.is_set()

    async def attach(self, key: str | None) -> None:
        """Take over the running proxy of this key, or start one; returns when it has greeted.

        Raises:
            ProxyStartError: it cannot be started, or ended at once.
            SeamLostError: it does not greet.
            VersionMismatchError: it is of another build.
        """
        if key is None:
            await self._begin()
        else:
            self._key = key
        await self._connect()
        self._tasks = [asyncio.create_task(self._keep()), asyncio.create_task(self._publish_on_demand())]
        for task in self._tasks:
            task.add_done_callback(self._fell)

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
            snapshot = self._build()
            try:
                self.generation = await self._link.apply(snapshot)
            except SeamLostError:
                self._drop_link()  # One that hangs is looked after like one that is gone.
                raise
        self.on_applied(snapshot)
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

    def exited(self, key: str, how: str) -> None:
        """The shim tells that a proxy has ended: another is started, which gets the same sockets."""
        if key != self._key:
            return
        self.pid = None
        self._ended.set()
        if not self._stopping:
            self._tell("proxy", f"{how}; starting it again")
        self._drop_link()
        self.on_gone()

    async def stop(self, timeout: float) -> None:
        """Have the proxy end what is in flight within `timeout` seconds; returns when its process is gone."""
        self._stopping = True
        if not self._key:
            return
        if self._link is not None:
            self._link.stop(timeout)
            if await self._wait_ended(timeout + _KILL_DEADLINE):
                return
            self._tell("proxy", "did not end in time; killed")
        if not self._ended.is_set():
            await self._births.kill(self._key)
            await self._wait_ended(_KILL_DEADLINE)

    def close(self) -> None:
        """Let go of the proxy, which serves on."""
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        self._drop_link()

    async def _begin(self) -> None:
        self._ended = asyncio.Event()
        self._key = self._births.next_key()  # Known before the start, because the exit may be told together with it.
        try:
            await self._births.spawn(self._key)
        except ProxyStartError:
            self._ended.set()
            raise

    async def _keep(self) -> None:
        row = 0
        while True:
            served_from = self._clock.monotonic()
            lost = await self._hearing if self._hearing else "there is none"
            if self._stopping:
                return
            if not await self._wait_ended(_EXIT_FOLLOWS):
                self._tell("proxy", f"the connection to it is lost ({lost}); connecting again")
            row = row + 1 if self._clock.monotonic() - served_from < _SOON else 0
            await self._revive(row)

    async def _hear(self, link: ProxyLink) -> str:
        """Why the connection ended, once it has."""
        try:
            await link.run()
        except SeamLostError as error:
            if self._link is link:
                self._link = None
            return str(error)

    async def _revive(self, row: int) -> None:
        while True:
            await asyncio.sleep(_RETRY_DELAYS[min(row, len(_RETRY_DELAYS) - 1)])
            row += 1
            if self._stopping:
                return
            try:
                if self._ended.is_set():
                    await self._begin()
                await self._connect()
                await self.apply_now()
            except (SeamLostError, RejectedError, ProxyStartError, VersionMismatchError) as error:
                self._tell("proxy", f"did not come up: {error}")
                self._drop_link()
                if not self._ended.is_set():
                    await self._births.kill(self._key)
                    await self._wait_ended(_KILL_DEADLINE)
                continue
            self._tell("proxy", f"serving again, generation {self.generation}")
            return

    async def _connect(self) -> None:
        """Connect to the process of the key, or notice that it ends before it greets: the shim holds its socket."""
        connecting = asyncio.create_task(ProxyLink.connect(self._control_path))
        ended = asyncio.create_task(self._ended.wait())
        try:
            await asyncio.wait((connecting, ended), return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise ProxyStartError("it ended before it greeted")
            link = connecting.result()
        finally:
            connecting.cancel()
            ended.cancel()
        link.on_drained = self._drained
        self._link = link
        self.pid = link.hello.pid
        self.threads = link.hello.threads
        self.generation = link.hello.generation
        self._hearing = asyncio.create_task(self._hear(link))

    def _drained(self, pool: str, address: str) -> None:
        self.on_drained(pool, address)

    async def _publish_on_demand(self) -> None:
        while True:
            await self._dirty.wait()
            try:
                await self.apply_now()
            except RejectedError as error:
                self._tell("proxy", f"refused a snapshot, the one before it serves on: {error}")
            except SeamLostError:
                self._dirty.clear()  # The next proxy is given the newest snapshot when it comes up.

    def _fell(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            self._tell("proxy", f"is not looked after any more, a fault of pinfold's: {error!r}")

    async def _wait_ended(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._ended.wait()
        except TimeoutError:
            return False

    def _drop_link(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None
