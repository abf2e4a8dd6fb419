"""The one read model: from the parts and the proxy's counters to what status commands show."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from pinfold import __version__
from pinfold.api import models
from pinfold.config.model import Config
from pinfold.daemon.parts import Parts
from pinfold.proxy.wire import EndpointStats, ListenerStats, PoolStats, Stats
from pinfold.supervise.instance import Instance
from pinfold.supervise.machine import Phase
from pinfold.supervise.program import Program

__all__ = ["Daemon", "read_status"]


class Daemon(models.ApiModel):
    """What the daemon knows of itself."""

    pid: int
    config_path: Path | None
    uptime: float
    stopping: bool


async def read_status(parts: Parts, daemon: Daemon) -> models.Status:
    """Everything as it is now; counters are 0 while there is no proxy to ask."""
    stats = await parts.keeper.stats()
    counters = {endpoint.address: endpoint for pool in (stats.pools if stats else ()) for endpoint in pool.endpoints}
    programs = tuple(_program(parts, program, counters) for program in parts.supervisor.programs.values())
    pools = tuple(_pools(parts, stats))
    whole = all(program.ready >= program.wanted for program in programs) and all(pool.endpoints for pool in pools)
    state: Literal["ok", "degraded", "stopping"] = "ok" if whole and stats else "degraded"
    return models.Status(
        pinfold=__version__,
        pid=daemon.pid,
        config=str(daemon.config_path or ""),
        log_directory=str(parts.site.log_directory),
        state="stopping" if daemon.stopping else state,
        uptime=daemon.uptime,
        proxy=models.ProxyStatus(
            pid=parts.keeper.pid,
            generation=parts.keeper.generation,
            threads=parts.keeper.threads,
            state="serving" if stats else "starting",
        ),
        listeners=tuple(_listeners(parts, stats)),
        programs=programs,
        pools=pools,
    )


def _listeners(parts: Parts, stats: Stats | None) -> Iterator[models.ListenerStatus]:
    counters = {listener.name: listener for listener in (stats.listeners if stats else ())}
    for name, listener in parts.force.config.listeners.items():
        zero = ListenerStats(name=name, connections=0, accepted=0, refused=0, requests=0, handshake_failures=0)
        yield models.ListenerStatus(
            addresses=tuple(str(address) for address in listener.bind),
            tls=listener.tls is not None,
            certificates=tuple(
                models.CertificateStatus(names=bundle.server_names, not_after=bundle.not_after, path=bundle.name)
                for bundle in parts.force.certificates.get(name, ())
            ),
            **counters.get(name, zero).model_dump(),
        )


def _program(parts: Parts, program: Program, counters: Mapping[str, EndpointStats]) -> models.ProgramStatus:
    return models.ProgramStatus(
        name=program.name,
        groups=program.config.groups,
        wanted=sum(instance.wanted for instance in program.instances.values()),
        ready=sum(instance.ready for instance in program.everyone),
        instances=tuple(_instance(parts, instance, counters) for instance in program.everyone),
    )


def _instance(parts: Parts, instance: Instance, counters: Mapping[str, EndpointStats]) -> models.InstanceStatus:
    own = [found for address in instance.addresses.values() if (found := counters.get(str(address)))]
    now = parts.outside.clock.monotonic()
    return models.InstanceStatus(
        name=instance.name,
        wanted=instance.wanted,
        phase=instance.state.phase.value,
        ready=instance.ready,
        pid=instance.pid,
        generation=instance.birth.generation if instance.birth else None,
        uptime=instance.uptime,
        restarts=instance.restarts,
        in_flight=sum(one.in_flight for one in own),
        requests=sum(one.requests for one in own),
        addresses={port: str(address) for port, address in instance.addresses.items()},
        retry_in=None if instance.retry_at is None else max(0.0, instance.retry_at - now),
        note=_note(instance),
    )


def _note(instance: Instance) -> str:
    if instance.ready:
        return ""
    if instance.state.phase in (Phase.STARTING, Phase.RUNNING) and instance.probe_failure:
        return f"not ready: {instance.probe_failure}"
    return instance.last_exit


def _pools(parts: Parts, stats: Stats | None) -> Iterator[models.PoolStatus]:
    known: dict[str, PoolStats] = {pool.name: pool for pool in (stats.pools if stats else ())}
    for name, endpoints in _endpoints(parts, parts.force.config).items():
        zero = PoolStats(name=name, unavailable=0, queued=0, overflowed=0, retries=0, retries_denied=0, endpoints=())
        pool = known.get(name, zero)
        counters = {endpoint.address: endpoint for endpoint in pool.endpoints}
        yield models.PoolStatus(
            **pool.model_dump(exclude={"endpoints"}),
            endpoints=tuple(_endpoint(*endpoint, counters) for endpoint in endpoints),
        )


def _endpoints(parts: Parts, config: Config) -> dict[str, list[tuple[str, str]]]:
    """Name and address of every endpoint of every pool, as the next snapshot has them."""
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in config.pool_names}
    for name, pool in config.pools.items():
        found[name] = [(str(endpoint.address), str(endpoint.address)) for endpoint in pool.endpoints]
    for endpoint in parts.live():
        if endpoint.pool in found:
            found[endpoint.pool].append((endpoint.name, endpoint.address))
    return found


def _endpoint(name: str, address: str, counters: Mapping[str, EndpointStats]) -> models.EndpointStatus:
    found = counters.get(address)
    counted = found.model_dump(exclude={"name", "address", "tunnels", "latency_us"}) if found else {}
    zero = dict.fromkeys(("requests", "errors", "server_errors", "in_flight", "connects", "connections"), 0)
    latency = found.latency_us / 1_000_000 if found and found.latency_us else None
    return models.EndpointStatus(name=name, address=address, latency=latency, **{**zero, **counted})
