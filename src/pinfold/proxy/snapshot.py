"""From the configuration, the certificates and the instances that answer to the snapshot the proxy serves. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pinfold.certs.bundle import Bundle
from pinfold.config.model import Config, Listener, PoolTimeouts, Route
from pinfold.proxy import wire

__all__ = ["LiveEndpoint", "build"]


@dataclass(frozen=True, slots=True)
class LiveEndpoint:
    """An instance as an endpoint of the pool of one of its ports."""

    pool: str
    name: str
    address: str
    mode: Literal["ready", "drain"]


def build(config: Config, certificates: Mapping[str, Sequence[Bundle]], live: Iterable[LiveEndpoint]) -> wire.Snapshot:
    """The snapshot for `config`.

    Args:
        config: resolved configuration.
        certificates: by name of the listener, in order of preference.
        live: endpoints that are ready or draining, of all programs.
    """
    named = {bundle.name: bundle for bundles in certificates.values() for bundle in bundles}
    return wire.Snapshot(
        listeners=tuple(_listener(name, listener, certificates) for name, listener in config.listeners.items()),
        certificates=tuple(_certificate(bundle) for bundle in named.values()),
        pools=(*_program_pools(config, list(live)), *_remote_pools(config)),
        routes=tuple(_route(config, route) for route in config.resolved_routes),
        access_log=config.daemon.access_log.format,
    )


def _listener(name: str, listener: Listener, certificates: Mapping[str, Sequence[Bundle]]) -> wire.Listener:
    tls = None
    if listener.tls is not None:
        tls = wire.Tls(certificates=tuple(bundle.name for bundle in certificates[name]))
    return wire.Listener(
        name=name,
        addresses=tuple(str(address) for address in listener.bind),
        tls=tls,
        methods=listener.methods,
        timeouts=wire.ListenerTimeouts(
            head_ms=_ms(listener.timeouts.head),
            idle_ms=_ms(listener.timeouts.idle),
            body_ms=_ms(listener.timeouts.body),
        ),
        limits=wire.ListenerLimits(**listener.limits.model_dump()),
    )


def _certificate(bundle: Bundle) -> wire.Certificate:
    return wire.Certificate(
        name=bundle.name, server_names=bundle.server_names, chain_pem=bundle.chain_pem, key_pem=bundle.key_pem
    )


def _program_pools(config: Config, live: Sequence[LiveEndpoint]) -> Iterable[wire.Pool]:
    for program_name, program in config.programs.items():
        for port in program.ports:
            name = config.resolve_pool(f"{program_name}.{port}")
            endpoints = tuple(
                wire.Endpoint(name=endpoint.name, address=endpoint.address, weight=1, mode=endpoint.mode)
                for endpoint in live
                if endpoint.pool == name
            )
            yield wire.Pool(
                name=name,
                balance=program.pool.balance,
                timeouts=_pool_timeouts(program.pool.timeouts),
                endpoints=endpoints,
            )


def _remote_pools(config: Config) -> Iterable[wire.Pool]:
    for name, pool in config.pools.items():
        endpoints = tuple(
            wire.Endpoint(name=str(one.address), address=str(one.address), weight=one.weight, mode="ready")
            for one in pool.endpoints
        )
        timeouts = _pool_timeouts(pool.timeouts)
        yield wire.Pool(name=name, balance=pool.balance, timeouts=timeouts, endpoints=endpoints)


def _route(config: Config, route: Route) -> wire.Route:
    return wire.Route(
        listeners=route.listeners,
        match=wire.Match(hosts=route.match.host, paths=route.match.path),
        action=wire.Forward(pool=config.resolve_pool(route.pool)),
    )


def _pool_timeouts(timeouts: PoolTimeouts) -> wire.PoolTimeouts:
    return wire.PoolTimeouts(
        connect_ms=_ms(timeouts.connect), first_byte_ms=_ms(timeouts.first_byte), silence_ms=_ms(timeouts.silence)
    )


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
