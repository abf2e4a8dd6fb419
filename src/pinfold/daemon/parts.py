"""The parts of a pinfold that runs, joined: shim, proxy and programs, and what is in force in them.

One `Parts` lives as long as one shim. It is here that an exit reaches the programs, a change of their standing the
proxy, and a drained endpoint its instance.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pinfold.base.clock import Clock
from pinfold.base.rng import Rng
from pinfold.certs.bundle import Bundle
from pinfold.config.model import Config
from pinfold.config.model import Program as ProgramConfig
from pinfold.config.read import LoadedConfig
from pinfold.daemon.events import Events
from pinfold.daemon.proxy_processes import ProxyPlan, ProxyProcesses
from pinfold.daemon.run_directory import RunDirectory
from pinfold.daemon.surroundings import surround
from pinfold.proxy.keeper import Keeper
from pinfold.proxy.snapshot import LiveEndpoint, build
from pinfold.proxy.wire import Snapshot
from pinfold.supervise.ground import Grounds
from pinfold.supervise.instance import Instance, describe_exit
from pinfold.supervise.shim import Shim
from pinfold.supervise.supervisor import Supervisor
from pinfold.supervise.wire import Dropped, Exited, LogFile

__all__ = ["InForce", "Outside", "Parts", "Site"]


@dataclass(frozen=True, slots=True)
class InForce:
    """What is served."""

    loaded: LoadedConfig
    certificates: Mapping[str, Sequence[Bundle]]
    leaving: Mapping[str, ProgramConfig] = field(default_factory=dict)
    """Programs that are not configured any more and not yet down: the proxy must know their pools to drain them."""

    @property
    def config(self) -> Config:
        """The config."""
        return self.loaded.config

    def to_serve(self) -> Config:
        """The config with the pools of what is leaving."""
        leaving = {name: program for name, program in self.leaving.items() if name not in self.config.pools}
        if not leaving:
            return self.config
        programs = {**leaving, **self.config.programs}
        return self.config.model_copy(update={"programs": programs, "routes": self.config.resolved_routes})


@dataclass(frozen=True, slots=True)
class Outside:
    """The outside world."""

    clock: Clock
    rng: Rng
    events: Events


@dataclass(frozen=True, slots=True)
class Site:
    """Where this pinfold is, settled when it starts."""

    directory: RunDirectory
    log_directory: Path
    proxy: Path
    """The executable of the proxy."""
    threads: int


class Parts:
    """See the head of the file."""

    def __init__(self, shim: Shim, site: Site, outside: Outside, force: InForce) -> None:
        """Join the parts; nothing is started or taken over yet."""
        self.shim = shim
        self.site = site
        self.outside = outside
        self.force = force
        self.grounds = Grounds(shim, site.directory.path, outside.clock, surround)
        self.grounds.log = lambda name: self._log(f"{name}.log")
        self.supervisor = Supervisor(self.grounds, outside.clock, outside.rng, outside.events.tell)
        access_log = self._log(force.config.daemon.access_log.path)
        plan = ProxyPlan(site.proxy, site.threads, self._log("proxy.log"), access_log)
        self.proxies = ProxyProcesses(shim, plan)
        control = str(site.directory.path / "proxy.sock")
        self.keeper = Keeper(control, self.proxies, self._snapshot, outside.clock, outside.events.tell)
        shim.on_exited = self._exited
        shim.on_dropped = self._dropped
        self.supervisor.on_standing = self._standing_changed
        self.keeper.on_drained = self.supervisor.drained
        self.keeper.on_applied = self._applied
        self.keeper.on_gone = lambda: self._settle_drains(lambda _instance, _address: True)

    def change(self, **changes: object) -> None:
        """Put something else in force; the proxy hears of it when it is next told."""
        self.force = replace(self.force, **changes)  # type: ignore[arg-type]  # the names of its own fields

    def log_path(self, instance: str) -> Path:
        """Where the output of an instance goes."""
        return self.site.log_directory / f"{instance}.log"

    def close(self) -> None:
        """Let go of everything; what runs, runs on."""
        self.keeper.close()
        self.supervisor.close()
        self.shim.close()

    def _log(self, name: str) -> LogFile:
        rotation = self.force.config.daemon.log_rotation
        path = str(self.site.log_directory / name)
        return LogFile(path=path, max_bytes=rotation.max_bytes, keep=rotation.keep)

    def _snapshot(self) -> Snapshot:
        return build(self.force.to_serve(), self.force.certificates, list(self.live()))

    def live(self) -> Iterator[LiveEndpoint]:
        """Every instance in a pool, ready or draining, as an endpoint."""
        for instance in self.supervisor.instances():
            if instance.standing == "out":
                continue
            program = instance.name.rpartition(".")[0]
            for port, address in instance.addresses.items():
                pool = program if len(instance.addresses) == 1 else f"{program}.{port}"
                yield LiveEndpoint(pool=pool, name=instance.name, address=str(address), mode=instance.standing)

    def _exited(self, exited: Exited) -> None:
        if exited.key.removeprefix("proxy-").isdecimal():
            self.proxies.exited(exited.key)
            self.keeper.exited(exited.key, describe_exit(exited.exit))
        else:
            self.supervisor.exited(exited)

    def _dropped(self, dropped: Dropped) -> None:
        self.outside.events.tell("shim", f"{dropped.lines} lines for {dropped.path} could not be written and are lost")

    def _standing_changed(self) -> None:
        self.keeper.publish()
        if self.keeper.gone:
            self._settle_drains(lambda _instance, _address: True)

    def _applied(self, snapshot: Snapshot) -> None:
        """What is drained in a pool the proxy does not have will never be told as drained: nothing can be in flight."""
        told = {endpoint.address for pool in snapshot.pools for endpoint in pool.endpoints if endpoint.mode == "drain"}
        ready = {endpoint.address for pool in snapshot.pools for endpoint in pool.endpoints if endpoint.mode == "ready"}
        self._settle_drains(lambda _instance, address: address not in told | ready)

    def _settle_drains(self, drained: Callable[[Instance, str], bool]) -> None:
        loop = asyncio.get_running_loop()
        for instance in self.supervisor.instances():
            if instance.standing != "drain":
                continue
            for address in map(str, instance.addresses.values()):
                if drained(instance, address):
                    loop.call_soon(instance.drained, address)
