"""From the configuration, the certificates and the instances that answer to the snapshot the proxy serves. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pinfold.certs.bundle import Bundle
from pinfold.config.model import Config, Listener, PoolSettings, Route
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
            total_ms=_ms_or_off(listener.timeouts.total),
        ),
        limits=wire.ListenerLimits(**listener.limits.model_dump()),
        trusted_proxies=listener.trusted_proxies,
        proxy_protocol=listener.proxy_protocol,
        forwarded=listener.forwarded,
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
                wire.Endpoint(name=endpoint.name, address=endpoint.address, weight=1, mode=endpoint.mode, spare=False)
                for endpoint in live
                if endpoint.pool == name
            )
            yield _pool(name, program.pool, endpoints)


def _remote_pools(config: Config) -> Iterable[wire.Pool]:
    for name, pool in config.pools.items():
        endpoints = tuple(
            wire.Endpoint(
                name=str(one.address), address=str(one.address), weight=one.weight, mode="ready", spare=one.spare
            )
            for one in pool.endpoints
        )
        yield _pool(name, pool, endpoints)


def _pool(name: str, settings: PoolSettings, endpoints: tuple[wire.Endpoint, ...]) -> wire.Pool:
    timeouts, queue, retry, ejection = settings.timeouts, settings.queue, settings.retry, settings.ejection
    return wire.Pool(
        name=name,
        balance=_balance(settings),
        timeouts=wire.PoolTimeouts(
            connect_ms=_ms(timeouts.connect), first_byte_ms=_ms(timeouts.first_byte), silence_ms=_ms(timeouts.silence)
        ),
        concurrency=settings.concurrency,
        queue=wire.Queue(length=queue.length, timeout_ms=_ms(queue.timeout)),
        retry=wire.Retry(budget_percent=retry.budget, replay_bytes=retry.replay),
        ejection=wire.Ejection(
            failures=ejection.failures, latency_factor=ejection.latency_factor, base_ms=_ms(ejection.base)
        ),
        slow_start_ms=_ms_or_off(settings.slow_start),
        affinity=settings.affinity.cookie if settings.affinity else None,
        send_proxy=settings.send_proxy_protocol,
        endpoints=endpoints,
    )


def _balance(settings: PoolSettings) -> wire.Hash | wire.LeastRequests | wire.RoundRobin | wire.TwoRandom:
    match settings.balance:
        case "hash":
            return wire.Hash(by=_hash_key(settings))
        case "least-requests":
            return wire.LeastRequests()
        case "round-robin":
            return wire.RoundRobin()
        case "two-random":
            return wire.TwoRandom()


def _hash_key(settings: PoolSettings) -> wire.HashByAddress | wire.HashByCookie | wire.HashByHeader:
    if settings.hash.header:
        return wire.HashByHeader(name=settings.hash.header)
    if settings.hash.cookie:
        return wire.HashByCookie(name=settings.hash.cookie)
    return wire.HashByAddress()


def _route(config: Config, route: Route) -> wire.Route:
    return wire.Route(
        listeners=route.listeners,
        match=wire.Match(hosts=route.match.host, paths=route.match.path),
        action=wire.Forward(pool=config.resolve_pool(route.pool)),
        trailers=route.trailers,
    )


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _ms_or_off(seconds: float) -> int:
    return _ms(seconds) if seconds else 0
