"""Proxy processes, started and killed through the shim on behalf of the keeper."""

import contextlib
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Final

from pinfold.base.seam import SeamLostError
from pinfold.proxy.keeper import ProxyStartError
from pinfold.supervise.shim import Shim, ShimError
from pinfold.supervise.wire import LogFile, Process, ProcessReport

__all__ = ["ProxyPlan", "ProxyProcesses"]

_KEY: Final = "proxy-"


class ProxyPlan:
    """What each proxy of this pinfold is started with."""

    def __init__(self, executable: Path, threads: int, log: LogFile, access_log: LogFile) -> None:
        self.executable = executable
        self.threads = threads
        self.log = log
        self.access_log = access_log

    def process(self, key: str) -> Process:
        """The process under this key. It needs no variables, and reads no file."""
        return Process(
            key=key,
            label="",
            role="proxy",
            argv=(str(self.executable), "--threads", str(self.threads)),
            environment=("RUST_BACKTRACE=1",),
            working_directory="/",
            identity=None,
            umask=0o077,
            rlimits=(),
            log=self.log,
            access_log=self.access_log,
        )


class ProxyProcesses:
    """The `Births` of the keeper."""

    def __init__(self, shim: Shim, plan: ProxyPlan) -> None:
        self.plan = plan
        self._shim = shim
        self._numbers = count(1)
        self._ended: list[str] = []

    async def adopt(self, reports: Sequence[ProcessReport]) -> str | None:
        """The key of the proxy that runs, if one does; what has ended is forgotten."""
        proxies = [report for report in reports if report.role == "proxy"]
        numbers = [int(report.key.removeprefix(_KEY)) for report in proxies]
        self._numbers = count(max(numbers, default=0) + 1)
        ended = {report.key for report in proxies if report.exit is not None} | set(self._ended)
        running = [report.key for report in proxies if report.key not in ended]
        gone = sorted(ended)
        self._ended.clear()
        if gone:
            await self._shim.forget(gone)
        for key in running[:-1]:
            await self.kill(key)
        return running[-1] if running else None

    def next_key(self) -> str:
        """Part of `Births`."""
        return f"{_KEY}{next(self._numbers)}"

    def exited(self, key: str) -> None:
        """It has ended; the shim is told to forget it when the next one is started."""
        self._ended.append(key)

    async def spawn(self, key: str) -> None:
        """Part of `Births`."""
        try:
            if self._ended:
                await self._shim.forget(self._ended)
                self._ended.clear()
            await self._shim.spawn(self.plan.process(key))
        except (ShimError, SeamLostError) as error:
            raise ProxyStartError(str(error)) from None

    async def kill(self, key: str) -> None:
        """Part of `Births`."""
        with contextlib.suppress(ShimError, SeamLostError):  # It has ended already, or the shim has, and it with it.
            await self._shim.kill_tree(key)
