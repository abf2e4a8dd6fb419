"""Endpoints that take so many requests at a time: the rest waits in one queue, in order, bounded in length and time."""

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from support.client import Target
from support.endpoints import DEADLINE, Endpoint, Script, StartEndpoint, closing_after, held, naming_itself
from support.load import loading
from support.proxy import Rig, target_of
from support.snapshots import listener, pool, snapshot
from support.waiting import wait_for
from support.wire import Wire, dial, talk

Connect = Callable[[Target, bytes], Wire]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def asking(number: int) -> bytes:
    return b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number


def queued(rig: Rig) -> int:
    found: int = rig.stats()["pools"][0]["queued"]
    return found


def wait_queued(rig: Rig, wanted: int) -> None:
    wait_for(lambda: queued(rig) == wanted, 5, f"{wanted} in the queue")


def line_up(rig: Rig, connect: Connect, front: Target, numbers: range) -> list[Wire]:
    """Clients whose requests came one after the other, each of which waits."""
    clients = []
    for number in numbers:
        before = queued(rig)
        clients.append(connect(front, asking(number)))
        wait_queued(rig, before + 1)
    return clients


class Bounded:
    """Counts how many requests it has at once; each takes a moment."""

    def __init__(self) -> None:
        self.most, self._now, self._count = 0, 0, threading.Lock()

    def script(self) -> Script:
        def play(wire: Wire, endpoint: Endpoint) -> None:
            while endpoint.take(wire):
                with self._count:
                    self._now += 1
                    self.most = max(self.most, self._now)
                time.sleep(0.002)
                with self._count:
                    self._now -= 1
                wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

        return play


@pytest.fixture
def cores(short_path: Path) -> Iterator[Rig]:
    """A rig whose proxy has two threads."""
    directory = short_path / "two"
    directory.mkdir()
    with Rig(directory, threads=2) as rig:
        yield rig


def test_requests_beyond_the_bound_wait_and_are_served_in_order(
    rig: Rig, endpoint: StartEndpoint, connect: Connect
) -> None:
    program = endpoint(held(), "program")
    front = rig.serve(program, pool={"concurrency": 1})
    clients = [connect(front, asking(0))]
    program.wait_requests(1)
    clients += line_up(rig, connect, front, range(1, 6))
    assert len(program.requests) == 1
    program.gate.set()
    assert [client.read_answer().status for client in clients] == [200] * 6
    assert [request.line.split()[1] for request in program.requests] == [f"/{number}" for number in range(6)]
    assert queued(rig) == 0


def test_the_endpoint_that_is_free_first_takes_the_next(rig: Rig, endpoint: StartEndpoint, connect: Connect) -> None:
    slow, quick = endpoint(held(), "slow"), endpoint(held(), "quick")
    front = rig.serve(slow, quick, pool={"concurrency": 1})
    first = [connect(front, GET) for _ in range(2)]
    wait_for(lambda: slow.requests and quick.requests, 5)
    waiting = line_up(rig, connect, front, range(3))
    quick.gate.set()
    assert [client.read_answer().status for client in waiting] == [200] * 3
    assert (len(slow.requests), len(quick.requests)) == (1, 4)
    slow.gate.set()
    assert [client.read_answer().status for client in first] == [200] * 2


def test_a_full_queue_is_told_at_once(rig: Rig, endpoint: StartEndpoint, connect: Connect) -> None:
    program = endpoint(held(), "program")
    front = rig.serve(program, pool={"concurrency": 1, "queue": {"length": 2}})
    clients = [connect(front, GET)]
    program.wait_requests(1)
    clients += line_up(rig, connect, front, range(2))
    began = time.monotonic()
    refused = talk(front, GET)
    assert (refused.status, refused.values("retry-after")) == (503, ["1"])
    assert b"queue full" in refused.body
    assert time.monotonic() - began < 0.5
    assert rig.stats()["pools"][0]["overflowed"] == 1
    program.gate.set()
    assert [client.read_answer().status for client in clients] == [200] * 3
    assert [line["cause"] for line in rig.wait_log(4)].count("queue_full") == 1


def test_a_wait_that_is_too_long_ends_and_leaves_the_queue(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(held(), "program")
    front = rig.serve(program, pool={"concurrency": 1, "queue": {"timeout_ms": 300}})
    with dial(front).send(GET) as busy:
        program.wait_requests(1)
        began = time.monotonic()
        with dial(front).send(GET) as waiting:
            refused = waiting.read_answer()
            assert (refused.status, refused.values("retry-after")) == (503, ["1"])
            assert b"queue timeout" in refused.body
            assert 0.25 < time.monotonic() - began < 2
            assert (queued(rig), rig.stats()["pools"][0]["overflowed"]) == (0, 1)
            program.gate.set()
            assert busy.read_answer().status == 200
            assert waiting.send(GET).read_answer().status == 200


def test_a_client_that_goes_leaves_the_queue(rig: Rig, endpoint: StartEndpoint, connect: Connect) -> None:
    program = endpoint(held(), "program")
    front = rig.serve(program, pool={"concurrency": 1})
    with dial(front).send(asking(0)) as busy:
        program.wait_requests(1)
        gone, staying = line_up(rig, connect, front, range(1, 3))
        gone.reset()
        wait_queued(rig, 1)
        program.gate.set()
        assert (busy.read_answer().status, staying.read_answer().status) == (200, 200)
    assert [request.line.split()[1] for request in program.requests] == ["/0", "/2"]


def test_an_endpoint_that_comes_serves_those_who_wait(rig: Rig, endpoint: StartEndpoint, connect: Connect) -> None:
    busy, fresh, address = endpoint(held(), "busy"), endpoint(naming_itself, "fresh"), rig.bind()
    rig.apply(snapshot([listener(address)], [pool(busy.entry, concurrency=1)]))
    front = target_of(address)
    first = connect(front, GET)
    busy.wait_requests(1)
    waiting = line_up(rig, connect, front, range(3))
    rig.apply(snapshot([listener(address)], [pool(busy.entry, fresh.entry, concurrency=1)]))
    assert [client.read_answer().body for client in waiting] == [b"fresh"] * 3
    busy.gate.set()
    first.read_answer()


def test_an_endpoint_that_drains_takes_none_of_those_who_wait(
    rig: Rig, endpoint: StartEndpoint, connect: Connect
) -> None:
    going, staying, address = endpoint(held(), "going"), endpoint(held(), "staying"), rig.bind()
    rig.apply(snapshot([listener(address)], [pool(going.entry, staying.entry, concurrency=1)]))
    front = target_of(address)
    first = [connect(front, GET) for _ in range(2)]
    wait_for(lambda: going.requests and staying.requests, 5)
    waiting = line_up(rig, connect, front, range(2))
    rig.apply(snapshot([listener(address)], [pool(going.entry | {"mode": "drain"}, staying.entry, concurrency=1)]))
    going.gate.set()
    rig.proxy.hear("drained")
    staying.gate.set()
    assert [client.read_answer().status for client in first + waiting] == [200] * 4
    assert (len(going.requests), len(staying.requests)) == (1, 3)


def test_a_bound_that_is_lifted_lets_all_go(rig: Rig, endpoint: StartEndpoint, connect: Connect) -> None:
    program, address = endpoint(held(), "program"), rig.bind()
    rig.apply(snapshot([listener(address)], [pool(program.entry, concurrency=1)]))
    clients = [connect(target_of(address), GET)]
    program.wait_requests(1)
    clients += line_up(rig, connect, target_of(address), range(3))
    rig.apply(snapshot([listener(address)], [pool(program.entry, concurrency=0)]))
    program.wait_requests(4)
    program.gate.set()
    assert [client.read_answer().status for client in clients] == [200] * 4


def test_an_endpoint_that_fails_does_not_keep_its_place_taken(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(closing_after(b"nonsense"), "program")
    front = rig.serve(program, pool={"concurrency": 1})
    assert [talk(front, GET).status for _ in range(5)] == [502] * 5
    rig.wait_endpoint("program", in_flight=0)


@pytest.mark.parametrize("concurrency", [1, 3])
def test_two_cores_never_exceed_the_bound_and_lose_nobody(
    cores: Rig, endpoint: StartEndpoint, concurrency: int
) -> None:
    counts = [Bounded() for _ in range(2)]
    programs = [endpoint(count.script()) for count in counts]
    front = cores.serve(*programs, pool={"concurrency": concurrency, "balance": "least-requests"})
    with loading(front, connections=24, requests=3000) as load:
        wait_for(lambda: len(load.outcomes) >= 3000, DEADLINE * 2)
    assert not load.failed, str(load)
    assert [count.most for count in counts] == [concurrency] * 2
    for program in programs:
        cores.wait_endpoint(program.name, in_flight=0)
    assert queued(cores) == 0


def test_waits_are_alike_on_both_cores(cores: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(Bounded().script())
    front = cores.serve(program, pool={"concurrency": 1})
    with loading(front, connections=16, requests=1500) as load:
        wait_for(lambda: len(load.outcomes) >= 1500, DEADLINE * 2)
    assert not load.failed, str(load)
    waits = sorted(outcome.took for outcome in load.outcomes)
    # Everyone waits for the fifteen before it, so nobody waits for much longer than anybody else.
    assert waits[-20] < 5 * waits[len(waits) // 2], list(pairwise(waits))[-5:]
