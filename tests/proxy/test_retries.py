"""What is sent again, with which body, and how often at most."""

import time

import pytest

from support.endpoints import (
    Endpoint,
    StartEndpoint,
    closing_without_answer,
    naming_itself,
    refused_address,
    telling_digest,
)
from support.proxy import Rig, target_of
from support.snapshots import listener, pool, snapshot
from support.wire import Wire, dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def counters(rig: Rig) -> tuple[int, int]:
    web = rig.stats()["pools"][0]
    return web["retries"], web["retries_denied"]


def closing_within_body(wire: Wire, endpoint: Endpoint) -> None:
    """Reads the head and the first bytes of the body, then closes."""
    if endpoint.take_head(wire):
        wire.read_exactly(1)


def put(body: bytes, framing: str) -> tuple[bytes, list[bytes]]:
    """A PUT whose body comes in pieces behind the head."""
    pieces = [body[start : start + 8192] for start in range(0, len(body), 8192)]
    if framing == "length":
        return b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body), pieces
    chunks = [b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces]
    return b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", [*chunks, b"0\r\n\r\n"]


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [1, 20_000, 60_000])
def test_a_body_that_came_in_pieces_is_sent_again_whole(
    rig: Rig, endpoint: StartEndpoint, framing: str, size: int
) -> None:
    dying, alive = endpoint(closing_without_answer, "dying"), endpoint(naming_itself, "alive")
    wanted = (bytes(range(256)) * 300)[:size]
    head, pieces = put(wanted, framing)
    with dial(rig.serve(dying, alive)) as wire:
        for _ in range(4):
            wire.send(head)
            for piece in pieces:
                time.sleep(0.005)
                wire.send(piece)
            assert wire.read_answer().body == b"alive"
            assert wire.send(GET).read_answer().body == b"alive"
    bodies = [request.body for request in alive.requests if request.line.startswith("PUT")]
    assert [body == wanted for body in bodies] == [True] * 4
    assert dying.requests[0].body == wanted


def test_an_endpoint_that_closes_within_the_body_is_left_for_another(rig: Rig, endpoint: StartEndpoint) -> None:
    dying, alive = endpoint(closing_within_body, "dying"), endpoint(naming_itself, "alive")
    head, pieces = put(b"x" * 40_000, "length")
    with dial(rig.serve(dying, alive)) as wire:
        for _ in range(4):
            wire.send(head)
            for piece in pieces:
                time.sleep(0.01)
                wire.send(piece)
            assert wire.read_answer().body == b"alive"
    assert [len(request.body) for request in alive.requests] == [40_000] * 4


@pytest.mark.parametrize(("size", "bound"), [(100_000, 65_536), (20_000, 1000), (10, 0)])
def test_a_body_beyond_the_bound_is_not_sent_again(rig: Rig, endpoint: StartEndpoint, size: int, bound: int) -> None:
    dying = [endpoint(closing_without_answer) for _ in range(2)]
    head, pieces = put(b"x" * size, "length")
    with dial(rig.serve(*dying, pool={"retry": {"replay_bytes": bound}})) as wire:
        wire.send(head)
        for piece in pieces:
            time.sleep(0.005)
            wire.send(piece)
        assert wire.read_answer().status == 502
    assert sum(len(one.heads) for one in dying) == 1
    assert counters(rig) == (0, 0)


def test_a_post_in_pieces_is_never_sent_again(rig: Rig, endpoint: StartEndpoint) -> None:
    dying = [endpoint(closing_without_answer) for _ in range(2)]
    with dial(rig.serve(*dying)) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n")
        time.sleep(0.05)
        wire.send(b"0123456789")
        assert wire.read_answer().status == 502
    assert sum(len(one.heads) for one in dying) == 1


def test_a_large_body_still_passes_whole(rig: Rig, endpoint: StartEndpoint) -> None:
    size = 3_000_000
    with dial(rig.serve(endpoint(telling_digest))) as wire:
        wire.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size, b"x" * size)
        assert wire.read_answer().body.startswith(b"%d " % size)


def test_retries_are_bounded_when_everything_fails(rig: Rig, endpoint: StartEndpoint) -> None:
    dying = [endpoint(closing_without_answer) for _ in range(2)]
    front = rig.serve(*dying)
    assert [talk(front, GET).status for _ in range(40)] == [502] * 40
    assert counters(rig) == (10, 30)
    assert sum(len(one.requests) for one in dying) == 50
    lines = rig.wait_log(40)
    assert {line["cause"] for line in lines} == {"endpoint_closed"}


def test_requests_that_are_answered_pay_for_retries(rig: Rig, endpoint: StartEndpoint) -> None:
    alive, dying = endpoint(naming_itself, "alive"), endpoint(closing_without_answer, "dying")
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(alive.entry)]))
    with dial(target_of(address)) as wire:
        for _ in range(100):
            assert wire.send(GET).read_answer().status == 200
        rig.apply(snapshot([listener(address)], [pool(alive.entry, dying.entry)]))
        answers = [wire.send(GET).read_answer().status for _ in range(60)]
    retries, denied = counters(rig)
    assert 20 <= retries <= 35
    assert answers.count(502) == denied == 30 - retries


def test_what_cannot_have_arrived_goes_on_without_a_budget(rig: Rig, endpoint: StartEndpoint) -> None:
    gone = {"name": "gone", "address": refused_address(), "weight": 1, "mode": "ready"}
    address = rig.bind()
    web = pool(gone, endpoint(naming_itself, "alive").entry, retry={"budget_percent": 0})
    rig.apply(snapshot([listener(address)], [web]))
    with dial(target_of(address)) as wire:
        assert [wire.send(GET).read_answer().body for _ in range(100)] == [b"alive"] * 100
    assert counters(rig) == (50, 0)
