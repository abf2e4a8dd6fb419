"""Queue discipline: eight instances with one thread each at 80 % load, requests that come by chance.

The instances sleep instead of computing: eight of them that compute need eight cores. To whoever waits in the queue it
is the same, as an instance takes one request at a time either way. Every discipline meets the same arrivals and
the same work (the seed), each has instances of its own, and all run at the same time.
"""

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Final

from bench.configs import Front
from bench.load import Load, Outcome
from bench.peers import start
from support.ports import free_ports

__all__ = ["DISCIPLINES", "run", "table"]

INSTANCES: Final = 8
WORK_MS: Final = 20.0
"""Mean of the log-normal work of a request."""
SIGMA: Final = 1.0
LOAD: Final = 0.8
CONNECTIONS: Final = 2000
"""More than ever wait: the arrivals wait for no answer."""


@dataclass(frozen=True, slots=True)
class Discipline:
    """A peer with a way to pick."""

    name: str
    peer: str
    balance: str = ""
    concurrency: int = 0


DISCIPLINES: Final = (
    Discipline("pinfold, one FIFO (concurrency = 1)", "pinfold", concurrency=1),
    Discipline("pinfold, least-requests", "pinfold"),
    Discipline("pinfold, round-robin", "pinfold", balance="round-robin"),
    Discipline("HAProxy, maxconn 1, leastconn", "haproxy", concurrency=1),
    Discipline("HAProxy, leastconn", "haproxy"),
    Discipline("HAProxy, roundrobin", "haproxy", balance="roundrobin"),
    Discipline("nginx, least_conn", "nginx"),
    Discipline("nginx, two random, least_conn", "nginx", balance="random two least_conn"),
)


def run(directory: Path, seconds: float, peers: Iterable[str]) -> dict[str, Any]:
    """What came of each discipline; those of peers that are not wanted are left out."""
    wanted = [one for one in DISCIPLINES if one.peer in {"pinfold", *peers}]
    rate = INSTANCES * LOAD / (WORK_MS / 1000)
    order = f"rate={rate} poisson=1 work_ms={WORK_MS} sigma={SIGMA} connections={CONNECTIONS} seed=7"
    with ExitStack() as stack:
        started = [(one, *_start(stack, directory, one)) for one in wanted]
        for _, address, load in started:
            load.begin(address, order, seconds)
        outcomes = {one.name: asdict(load.finish(seconds)) for one, _, load in started}
    return {"instances": INSTANCES, "work_ms": WORK_MS, "load": LOAD, "seconds": seconds, "found": outcomes}


def _start(stack: ExitStack, directory: Path, discipline: Discipline) -> tuple[str, Load]:
    endpoints = tuple(f"127.0.0.1:{port}" for port in free_ports(INSTANCES))
    for endpoint in endpoints:
        stack.enter_context(Load([endpoint]))
    front = Front(directory, 0, endpoints)
    front = replace(front, balance=discipline.balance, concurrency=discipline.concurrency)
    peer = start(stack, discipline.peer, front)
    return peer.address, stack.enter_context(Load())


def table(result: dict[str, Any]) -> str:
    """Each discipline a line, in milliseconds."""
    head = (
        f"queue: {result['instances']} instances of one thread, load {result['load']:.0%}, work {result['work_ms']} ms"
    )
    lines = [f"\n{head} (log-normal), Poisson", f"  {'':<38} {'requests':>8} {'p50 ms':>8} {'p99 ms':>8} {'max ms':>8}"]
    for name, fields in result["found"].items():
        one = Outcome(**fields)
        failed = f"  {one.failed} FAILED" if one.failed else ""
        times = " ".join(f"{value / 1000:8.1f}" for value in (one.p50_us, one.p99_us, one.max_us))
        lines.append(f"  {name:<38} {one.requests:8} {times}{failed}")
    return "\n".join(lines)
