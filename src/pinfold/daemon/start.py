"""From a shim to a pinfold that serves: sockets, proxy, what runs already, the first snapshot, the programs."""

import asyncio
from collections.abc import Sequence
from typing import Final

from pinfold.base.errors import ConfigError, FailedError
from pinfold.base.files import last_lines
from pinfold.base.messages import VersionMismatchError
from pinfold.base.seam import SeamLostError
from pinfold.config.read import LoadedConfig
from pinfold.daemon.listening import addresses_of, listen_problems, union
from pinfold.daemon.parts import Parts
from pinfold.daemon.stopped import read_stopped
from pinfold.proxy.keeper import ProxyStartError
from pinfold.proxy.link import RejectedError
from pinfold.supervise.program import Program, RolloutError
from pinfold.supervise.shim import ShimError
from pinfold.supervise.wire import ListenAddress

__all__ = ["bring_up", "explain", "listen"]

_LINES_SHOWN: Final = 12


async def bring_up(parts: Parts, *, fresh: bool) -> list[RolloutError]:
    """Serve what is in force; returns, when all is settled, why programs of which nothing is ready are not.

    Args:
        parts: joined, with the connection to the shim being heard.
        fresh: the shim holds nothing yet. Otherwise what it holds is taken over, and stays as long as it fits.

    Raises:
        ConfigError: an address cannot be listened on; nothing has changed.
        FailedError: there is no proxy, or it refuses the snapshot.
    """
    config, hello = parts.force.config, parts.shim.hello
    wanted = addresses_of(config, parts.site.threads)
    await listen(parts, parts.force.loaded, union(hello.addresses, wanted))
    programs = [report for report in hello.processes if report.role == "program"]
    try:
        await parts.keeper.attach(await parts.proxies.adopt(hello.processes))
        strangers = await parts.supervisor.adopt(programs, config.programs)
        parts.change(leaving={name: parts.supervisor.programs[name].config for name in strangers})
        await parts.keeper.apply_now()
    except (ProxyStartError, RejectedError, SeamLostError, ShimError, VersionMismatchError) as error:
        raise FailedError(f"the proxy does not serve: {error}", _proxy_log(parts)) from None
    await listen(parts, parts.force.loaded, wanted)
    stopped = set() if fresh else read_stopped(parts.site.directory.stopped)
    failures = await _start_programs(parts, stopped)
    await dismiss(parts, strangers)
    return failures


async def listen(parts: Parts, loaded: LoadedConfig, addresses: Sequence[ListenAddress]) -> None:
    """Have exactly these addresses of `loaded` listened on.

    Raises:
        ConfigError: one cannot be; nothing has changed.
    """
    try:
        await parts.shim.listen(addresses)
    except ShimError as error:
        raise ConfigError(listen_problems(loaded, error.problems)) from None


async def dismiss(parts: Parts, names: Sequence[str]) -> None:
    """Drain and stop programs that are not configured any more, and have the proxy forget their pools."""
    if not names:
        return
    await asyncio.gather(*(parts.supervisor.remove(name) for name in names))
    parts.change(leaving={})
    parts.keeper.publish()


def explain(parts: Parts, error: RolloutError) -> str:
    """Why an instance is not ready, with the last lines that its process wrote and where the rest is."""
    path = parts.log_path(error.instance)
    own = [line.split(" ", 3) for line in last_lines(path, 200)]
    said = [fields[3] for fields in own if len(fields) == 4 and fields[1] == str(error.pid)]
    shown = "".join(f"\n  | {line}" for line in said[-_LINES_SHOWN:])
    where = f"\n  its log is {path}" if path.exists() else ""
    return f"{error}{shown}{where}"


async def _start_programs(parts: Parts, stopped: set[str]) -> list[RolloutError]:
    """Bring every program to what is configured, side by side."""
    started = []
    for name, config in parts.force.config.programs.items():
        known = parts.supervisor.programs.get(name)
        indices = {index for index in range(1, config.instances + 1) if f"{name}.{index}" in stopped}
        if known is None:
            started.append(parts.supervisor.add(name, config).first_start(indices))
        else:
            started.append(_complete(known, indices))
    outcomes = await asyncio.gather(*started, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, RolloutError)]
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and outcome not in failures:
            raise outcome
    return failures


async def _complete(program: Program, stopped: set[int]) -> None:
    """Bring a program that was taken over to its configuration."""
    program.start_all(stopped)
    await program.converge(program.config)
    await program.settle()


def _proxy_log(parts: Parts) -> str:
    lines = last_lines(parts.site.log_directory / "proxy.log", _LINES_SHOWN)
    return "\n  | ".join(["the last lines of its log:", *lines]) if lines else "it has written nothing into its log"
