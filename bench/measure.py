"""The rounds: every peer in turn under the same load, as often as wanted, in another order each time."""

import itertools
import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench.configs import Front
from bench.cores import LOAD_CORE, PROXY_CORE, place, resident, usage
from bench.load import Load, Outcome
from bench.peers import Peer, pin, start, supports
from bench.scenarios import IDLE_CONNECTIONS, Scenario

__all__ = ["Field", "Sample", "Samples", "idle_kib", "place_load", "run_rounds", "thread_gain"]

CONNECTIONS: Final = 64
"""Enough that each core finds work; no more than nginx keeps open to its endpoints."""
CONNECTIONS_SPREAD: Final = 256
"""Where threads share connections by the hash of their addresses."""
WARM_SECONDS: Final = 0.3


@dataclass(frozen=True, slots=True)
class Field:
    """What all take part in: the load, where endpoints listen, priority, and how long and how often."""

    load: Load
    directory: Path
    tcp: tuple[str, ...]
    unix: tuple[str, ...]
    nice: int
    seconds: float
    rounds: int
    spin: bool
    """Clients and endpoints never sleep while they measure CPU; in runs at a fixed rate they never do."""
    builds: dict[str, Path]
    """Other installations of pinfold: their names, and the directories of their commands."""

    def front(self, transport: str, *, log: bool = False, threads: int = 1) -> Front:
        """What a peer is to serve; its directory and port come later."""
        endpoints = self.unix if transport == "unix" else self.tcp
        return Front(self.directory, 0, endpoints, log=log, threads=threads)

    def start(self, stack: ExitStack, name: str, front: Front, cores: tuple[int, ...] = (PROXY_CORE,)) -> Peer:
        """Start a peer on its core."""
        peer = start(stack, name, front, self.builds.get(name))
        pin(peer, cores, self.nice)
        return peer


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one peer; shares are of a core, latencies of the run at a fixed rate, in milliseconds."""

    cpu_us: float
    rate: float
    ran: float
    """Share of the time in which the proxy ran."""
    waited: float
    """Share in which it could have run, but others had its core."""
    load: float
    """Share in which clients and endpoints ran or could have; 1 where they do not sleep."""
    p50: float
    p99: float
    rss_mib: float
    failed: int


Samples = dict[str, list[Sample]]
"""By peer, in the order of the rounds."""


def run_rounds(field: Field, scenarios: Sequence[Scenario], names: Iterable[str]) -> dict[str, Samples]:
    """All rounds of scenarios that all write a log, or all do not: by scenario, what each peer did."""
    found: dict[str, Samples] = {scenario.name: defaultdict(list) for scenario in scenarios}
    with ExitStack() as stack:
        peers = {
            transport: [field.start(stack, name, front) for name in names if supports(name, front)]
            for transport in {scenario.transport for scenario in scenarios}
            for front in [field.front(transport, log=scenarios[0].log)]
        }
        for scenario in scenarios:
            for peer in peers[scenario.transport]:
                _load(field, peer, scenario, WARM_SECONDS)
        for number, scenario in itertools.product(range(field.rounds), scenarios):
            for peer in _rotated(peers[scenario.transport], number):
                found[scenario.name][peer.name].append(_sample(field, peer, scenario))
    return found


def _rotated(peers: list[Peer], number: int) -> list[Peer]:
    first = number % len(peers)
    return [*peers[first:], *peers[:first]]


def _load(field: Field, peer: Peer, scenario: Scenario, seconds: float, rate: int = 0) -> Outcome:
    spin = int(field.spin or rate > 0)
    words = f"{scenario.order} connections={CONNECTIONS} rate={rate} spin={spin}"
    return field.load.run(peer.address, words, seconds)


def _sample(field: Field, peer: Peer, scenario: Scenario) -> Sample:
    watched = (peer.pids, peer.proxies, [field.load.pid])
    before = [usage(pids) for pids in watched]
    outcome = _load(field, peer, scenario, field.seconds)
    used, proxy, load = (usage(pids) - earlier for pids, earlier in zip(watched, before, strict=True))
    paced = _load(field, peer, scenario, field.seconds / 2, scenario.rate)
    elapsed_ns = outcome.elapsed_us * 1000
    return Sample(
        cpu_us=used.ran / 1000 / max(1, outcome.requests),
        rate=outcome.requests / outcome.elapsed_us * 1e6,
        ran=proxy.ran / elapsed_ns,
        waited=proxy.waited / elapsed_ns,
        load=(load.ran + load.waited) / elapsed_ns,
        p50=paced.p50_us / 1000,
        p99=paced.p99_us / 1000,
        rss_mib=resident(peer.pids) / (1 << 20),
        failed=outcome.failed + paced.failed,
    )


def idle_kib(field: Field, names: Iterable[str]) -> dict[str, float]:
    """KiB that an idle connection costs each peer, after one request on it; peers are fresh, and warm."""
    found = {}
    for name in names:
        with ExitStack() as stack:
            peer = field.start(stack, name, field.front("tcp"))
            field.load.run(peer.address, f"target=/small connections={CONNECTIONS}", 2 * WARM_SECONDS)
            before = resident(peer.pids)
            outcome = field.load.run(peer.address, f"target=/small connections={IDLE_CONNECTIONS} once=1", 30.0)
            if outcome.failed:
                raise RuntimeError(f"{name} did not keep {IDLE_CONNECTIONS} connections: {outcome}")
            found[name] = (resident(peer.pids) - before) / 1024 / IDLE_CONNECTIONS
            field.load.drop()
    return found


def thread_gain(field: Field, name: str) -> tuple[float, float, float]:
    """How much more two threads carry than one, CPU a request with one, and with two.

    Clients and endpoints need a core as well, so on two cores nobody can see two threads at full speed. What they would
    carry follows from what a request costs while both run: locks and caches that they share make it dearer.
    """
    cores = tuple(sorted({LOAD_CORE, PROXY_CORE}))
    ones, twos = [], []
    with ExitStack() as stack:
        # A thread that shares its core with clients and endpoints has colder caches: so has one of the two.
        alike = [field.start(stack, name, field.front("tcp"), (core,)) for core in cores]
        two = field.start(stack, name, field.front("tcp", threads=2), cores)
        for _ in range(field.rounds):
            ones.append(statistics.mean(_per_request(field, one) for one in alike))
            twos.append(_per_request(field, two))
    alone, shared = statistics.median(ones), statistics.median(twos)
    return 2 * alone / shared, alone, shared


def _per_request(field: Field, peer: Peer) -> float:
    """CPU a request in microseconds."""
    before = usage(peer.pids)
    words = f"target=/small connections={CONNECTIONS_SPREAD}"
    outcome = field.load.run(peer.address, words, field.seconds)
    return (usage(peer.pids) - before).ran / 1000 / max(1, outcome.requests)


def place_load(load: Load, nice: int) -> None:
    """Give clients and endpoints their core."""
    place(load.pid, (LOAD_CORE,), nice)
