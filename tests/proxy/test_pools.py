"""Which endpoint gets a request, and what becomes of it when that endpoint fails."""

import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from support.client import Target
from support.endpoints import (
    OK,
    Endpoint,
    StartEndpoint,
    answering,
    closing_after,
    closing_at_once,
    closing_without_answer,
    held,
    naming_itself,
    refused_address,
    resetting_after,
    silent,
)
from support.proxy import Rig, target_of
from support.snapshots import Snapshot, listener, pool, route, snapshot
from support.waiting import wait_for
from support.wire import Wire, dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
BALANCES = ["least-requests", "round-robin"]


def entry(address: str, **changes: object) -> Snapshot:
    return {"name": address, "address": address, "weight": 1, "mode": "ready"} | changes


def serve(rig: Rig, *entries: Snapshot, **changes: object) -> Target:
    """One listener before a pool of these entries, some of which may not exist."""
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(*entries, **changes)]))
    return target_of(address)


def ask(wire: Wire, count: int) -> Counter[str]:
    """Who answers so many requests on one connection."""
    return Counter(wire.send(GET).read_answer().body.decode() for _ in range(count))


@pytest.mark.parametrize("balance", BALANCES)
@pytest.mark.parametrize("sent", [GET, POST], ids=["get", "post"])
def test_a_refused_connect_goes_to_another_endpoint_unseen(
    rig: Rig, endpoint: StartEndpoint, short_path: Path, balance: str, sent: bytes
) -> None:
    gone, missing = refused_address(), f"unix:{short_path}/missing.sock"
    program = endpoint(naming_itself, "alive")
    front = serve(rig, entry(gone), entry(missing), program.entry, balance=balance)
    with dial(front) as wire:
        assert [wire.send(sent).read_answer().body for _ in range(20)] == [b"alive"] * 20
    assert len(program.requests) == 20


def test_a_refused_connect_is_counted_as_an_error(rig: Rig, endpoint: StartEndpoint) -> None:
    gone = refused_address()
    front = serve(rig, entry(gone), endpoint(naming_itself, "alive").entry)
    with dial(front) as wire:
        ask(wire, 10)
    counters = rig.endpoint_stats()
    assert counters[gone]["errors"] > 0
    assert counters["alive"]["errors"] == 0
    assert counters["alive"]["requests"] == 10


def test_when_all_refuse_the_client_is_told_promptly(rig: Rig) -> None:
    front = serve(rig, *(entry(refused_address()) for _ in range(4)))
    began = time.monotonic()
    assert talk(front, POST).status in (502, 503)
    assert time.monotonic() - began < 1


@pytest.mark.parametrize("drained", [False, True])
def test_without_an_endpoint_the_client_is_told_promptly(rig: Rig, drained: bool) -> None:
    entries = [entry(refused_address(), mode="drain")] if drained else []
    front = serve(rig, *entries)
    with dial(front) as wire:
        began = time.monotonic()
        assert [wire.send(GET).read_answer().status for _ in range(3)] == [503, 503, 503]
    assert time.monotonic() - began < 1
    assert rig.stats()["pools"][0]["unavailable"] == 3


@pytest.mark.parametrize("sent", [GET, POST], ids=["get", "post"])
def test_a_connection_that_was_closed_while_idle_is_not_used(rig: Rig, endpoint: StartEndpoint, sent: bytes) -> None:
    program = endpoint(closing_after(OK))
    with dial(rig.serve(program)) as wire:
        for _ in range(20):
            assert wire.send(sent).read_answer().status == 200
            program.wait_closed()
    assert len(program.requests) == len(program.connections) == 20


def test_closing_idle_connections_is_no_error_of_the_endpoint(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(closing_after(OK), "program")
    with dial(rig.serve(program)) as wire:
        for _ in range(10):
            wire.send(GET).read_answer()
            program.wait_closed()
    assert rig.endpoint_stats()["program"]["errors"] == 0


@pytest.mark.parametrize("script", [closing_without_answer, closing_at_once, resetting_after()])
def test_a_get_whose_endpoint_dies_is_tried_elsewhere(rig: Rig, endpoint: StartEndpoint, script: object) -> None:
    front = rig.serve(endpoint(script, "dying"), endpoint(naming_itself, "alive"))
    with dial(front) as wire:
        assert ask(wire, 10) == {"alive": 10}


def test_a_post_that_was_sent_is_not_sent_twice(rig: Rig, endpoint: StartEndpoint) -> None:
    dying = [endpoint(closing_without_answer), endpoint(closing_without_answer)]
    assert talk(rig.serve(*dying), POST).status == 502
    assert sum(len(one.requests) for one in dying) == 1


def test_a_get_is_not_tried_without_end(rig: Rig, endpoint: StartEndpoint) -> None:
    dying = [endpoint(closing_without_answer) for _ in range(6)]
    assert talk(rig.serve(*dying), GET).status == 502
    assert sum(len(one.requests) for one in dying) <= 3


def test_an_answer_that_has_begun_is_not_tried_again(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(resetting_after(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhal"))
    with dial(rig.serve(program)) as wire:
        assert wire.send(GET).closed_within(5)
    assert len(program.requests) == 1


def test_an_endpoint_that_never_answers_is_a_504(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(silent, "program")
    front = rig.serve(program, pool={"timeouts": {"first_byte_ms": 300}})
    began = time.monotonic()
    assert talk(front, POST).status == 504
    assert 0.25 < time.monotonic() - began < 3
    assert rig.endpoint_stats()["program"]["errors"] == 1
    program.wait_closed()


def test_an_endpoint_that_falls_silent_in_its_answer_is_cut(rig: Rig, endpoint: StartEndpoint) -> None:
    half = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
    front = rig.serve(endpoint(answering(half)), pool={"timeouts": {"silence_ms": 300}})
    with dial(front) as wire:
        assert wire.send(GET).closed_within(3)
        assert wire.received.endswith(b"half")


def test_two_hundred_requests_of_one_client_touch_all_endpoints_over_few_connections(
    rig: Rig, endpoint: StartEndpoint
) -> None:
    programs = [endpoint(naming_itself) for _ in range(4)]
    with dial(rig.serve(*programs, pool={"balance": "least-requests"})) as wire:
        served = ask(wire, 200)
    assert set(served) == {program.name for program in programs}
    connects = sum(counters["connects"] for counters in rig.endpoint_stats().values())
    assert connects == sum(len(program.connections) for program in programs)
    assert connects <= 8


def test_connections_to_an_endpoint_are_shared_by_clients(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself, "program")
    front = rig.serve(program)
    for _ in range(20):
        with dial(front) as wire:
            ask(wire, 2)
    assert rig.endpoint_stats()["program"]["connects"] == 1


@pytest.mark.parametrize("weights", [(1, 1, 1), (1, 2, 3), (5, 1, 1)])
def test_turns_follow_the_weights_exactly(rig: Rig, endpoint: StartEndpoint, weights: tuple[int, ...]) -> None:
    programs = [endpoint(naming_itself) for _ in weights]
    entries = [program.entry | {"weight": weight} for program, weight in zip(programs, weights, strict=True)]
    with dial(serve(rig, *entries)) as wire:
        served = ask(wire, 4 * sum(weights))
    assert [served[program.name] for program in programs] == [4 * weight for weight in weights]


def test_turns_are_spread_and_not_bunched(rig: Rig, endpoint: StartEndpoint) -> None:
    programs = [endpoint(naming_itself) for _ in range(2)]
    with dial(serve(rig, *(program.entry | {"weight": 3} for program in programs))) as wire:
        order = [wire.send(GET).read_answer().body for _ in range(12)]
    assert all(first != second for first, second in pairwise(order))


def test_the_endpoint_with_the_fewest_requests_is_preferred(rig: Rig, endpoint: StartEndpoint) -> None:
    busy, idle = endpoint(held(), "busy"), endpoint(naming_itself, "idle")
    front = rig.serve(busy, idle, pool={"balance": "least-requests"})
    with dial(front) as waiting:
        while not busy.requests:  # ties are drawn by lot
            waiting.send(GET)
            wait_for(lambda: busy.requests or waiting.closed_within(0.05) or waiting.pending, 5)
            if not busy.requests:
                waiting.read_answer()
        with dial(front) as wire:
            assert ask(wire, 50) == {"idle": 50}
        assert rig.endpoint_stats()["busy"]["in_flight"] == 1
        busy.gate.set()
        assert waiting.read_answer().status == 200
    rig.wait_endpoint("busy", in_flight=0)


def test_requests_in_flight_follow_the_weights(rig: Rig, endpoint: StartEndpoint) -> None:
    small, large = endpoint(held(), "small"), endpoint(held(), "large")
    front = serve(rig, small.entry, large.entry | {"weight": 3}, balance="least-requests")
    clients = [dial(front).send(GET) for _ in range(8)]
    wait_for(lambda: len(small.requests) + len(large.requests) == 8, 5)
    assert (len(small.requests), len(large.requests)) == (2, 6)
    for program in (small, large):
        program.gate.set()
    for client in clients:
        assert client.read_answer().status == 200
        client.close()


def test_a_client_that_goes_frees_its_endpoint(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(held(), "program")
    wire = dial(rig.serve(program)).send(GET)
    program.wait_requests(1)
    rig.wait_endpoint("program", in_flight=1)
    wire.reset()
    rig.wait_endpoint("program", in_flight=0)


def test_pools_are_chosen_by_the_first_route_that_matches(rig: Rig, endpoint: StartEndpoint) -> None:
    api, img, rest = (endpoint(naming_itself, name) for name in ("api", "img", "rest"))
    addresses = [rig.bind(), rig.bind()]
    rig.apply(
        snapshot(
            [listener(addresses[0], name="one"), listener(addresses[1], name="two")],
            [pool(program.entry, name=program.name) for program in (api, img, rest)],
            routes=[
                route("img", hosts=["*.img.example"], listeners=["one"]),
                route("api", paths=["/v1/api", "/v2"]),
                route("rest"),
            ],
        )
    )
    asked = {
        (0, "x.img.example", "/v2"): "img",
        (1, "x.img.example", "/v2"): "api",
        (0, "img.example", "/"): "rest",
        (0, "a", "/v1/api?x"): "api",
        (0, "a", "/v1/apis"): "rest",
        (0, "a", "/V2"): "rest",
    }
    found = {
        key: talk(
            target_of(addresses[key[0]]), f"GET {key[2]} HTTP/1.1\r\nHost: {key[1]}\r\n\r\n".encode()
        ).body.decode()
        for key in asked
    }
    assert found == asked


def test_many_clients_at_once_are_all_served(rig: Rig) -> None:
    with Endpoint(naming_itself, name="tcp") as program:
        front = rig.serve(program)
        clients = [dial(front) for _ in range(200)]
        for client in clients:
            client.send(GET)
        assert {client.read_answer().body for client in clients} == {b"tcp"}
        for client in clients:
            client.close()
