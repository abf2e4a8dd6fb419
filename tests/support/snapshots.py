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
        "timeouts": {"head_ms": 10_000, "idle_ms": 60_000, "body_ms": 60_000} | changes.get("timeouts", {}),
        "limits": {"head_bytes": 32_768, "headers": 100, "body_bytes": 0, "connections": 20_000}
        | changes.get("limits", {}),
    }


def pool(*endpoints: Snapshot, name: str = "web", **changes: Any) -> Snapshot:  # noqa: ANN401 - as JSON has them
    """A pool; `timeouts` replaces single values."""
    return {
        "name": name,
        "balance": changes.get("balance", "round-robin"),
        "timeouts": {"connect_ms": 2000, "first_byte_ms": 20_000, "silence_ms": 20_000} | changes.get("timeouts", {}),
        "endpoints": list(endpoints),
    }


def route(
    pool: str = "web", *, listeners: Sequence[str] = (), hosts: Sequence[str] = (), paths: Sequence[str] = ()
) -> Snapshot:
    """A route to a pool."""
    return {
        "listeners": list(listeners),
        "match": {"hosts": list(hosts), "paths": list(paths)},
        "action": {"type": "forward", "pool": pool},
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
