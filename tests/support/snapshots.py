"""What the proxy is told to serve, as plain dicts: each with defaults, so that a test says only what it is about."""

from collections.abc import Sequence
from typing import Any

__all__ = ["Snapshot", "certificate", "listener", "pool", "route", "snapshot"]

Snapshot = dict[str, Any]


def listener(*addresses: str, name: str = "front", **changes: Any) -> Snapshot:  # noqa: ANN401 - as JSON has them
    """A listener; `timeouts` and `limits` replace single values, `tls` is a list of certificates."""
    tls = changes.get("tls")
    return {
        "name": name,
        "addresses": list(addresses),
        "tls": {"certificates": list(tls)} if tls else None,
        "methods": list(changes.get("methods", ())),
        "timeouts": {"head_ms": 10_000, "idle_ms": 60_000, "body_ms": 60_000, "total_ms": 0}
        | changes.get("timeouts", {}),
        "limits": {
            "head_bytes": 32_768,
            "headers": 100,
            "target_bytes": 16_384,
            "body_bytes": 0,
            "body_rate": 0,
            "connections": 20_000,
            "connections_per_client": 0,
        }
        | changes.get("limits", {}),
        "trusted_proxies": list(changes.get("trusted_proxies", ())),
        "proxy_protocol": changes.get("proxy_protocol", "off"),
        "forwarded": changes.get("forwarded", "x-forwarded"),
    }


def pool(*endpoints: Snapshot, name: str = "web", **changes: Any) -> Snapshot:  # noqa: ANN401 - as JSON has them
    """A pool; `timeouts`, `queue`, `retry` and `ejection` replace single values, `balance` is a word or the whole."""
    balance = changes.get("balance", "round-robin")
    return {
        "name": name,
        "balance": {"type": balance} if isinstance(balance, str) else balance,
        "timeouts": {"connect_ms": 2000, "first_byte_ms": 20_000, "silence_ms": 20_000} | changes.get("timeouts", {}),
        "concurrency": changes.get("concurrency", 0),
        "queue": {"length": 1000, "timeout_ms": 10_000} | changes.get("queue", {}),
        "retry": {"budget_percent": 20, "replay_bytes": 65_536} | changes.get("retry", {}),
        "ejection": {"failures": 0, "latency_factor": 0, "base_ms": 10_000} | changes.get("ejection", {}),
        "slow_start_ms": changes.get("slow_start_ms", 0),
        "affinity": changes.get("affinity"),
        "send_proxy": changes.get("send_proxy", "off"),
        "endpoints": [{"spare": False} | endpoint for endpoint in endpoints],
    }


def route(
    pool: str = "web",
    *,
    listeners: Sequence[str] = (),
    hosts: Sequence[str] = (),
    paths: Sequence[str] = (),
    trailers: bool = False,
) -> Snapshot:
    """A route to a pool."""
    return {
        "listeners": list(listeners),
        "match": {"hosts": list(hosts), "paths": list(paths)},
        "action": {"type": "forward", "pool": pool},
        "trailers": trailers,
    }


def certificate(name: str, chain_pem: str, key_pem: str, server_names: Sequence[str]) -> Snapshot:
    """A certificate with its key."""
    return {"name": name, "server_names": list(server_names), "chain_pem": chain_pem, "key_pem": key_pem}


def snapshot(
    listeners: Sequence[Snapshot],
    pools: Sequence[Snapshot],
    *,
    routes: Sequence[Snapshot] | None = None,
    certificates: Sequence[Snapshot] = (),
    access_log: str = "json",
) -> Snapshot:
    """The whole; without routes, everything goes to the first pool."""
    return {
        "listeners": list(listeners),
        "certificates": list(certificates),
        "pools": list(pools),
        "routes": list(routes) if routes is not None else [route(pools[0]["name"])] if pools else [],
        "access_log": access_log,
    }
