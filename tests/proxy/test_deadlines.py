"""Every wait for a client has an end, and one that takes its time holds nobody up."""

import time

import pytest

from support.endpoints import StartEndpoint, answering, answering_slowly, head_and_body, naming_itself
from support.proxy import Rig
from support.waiting import wait_for
from support.wire import dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def short(**timeouts: int) -> dict[str, dict[str, int]]:
    return {"timeouts": timeouts}


@pytest.mark.parametrize("begun", [b"G", b"GET / HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_end_is_given_up(rig: Rig, endpoint: StartEndpoint, begun: bytes) -> None:
    program = endpoint(naming_itself)
    with dial(rig.serve(program, listener=short(head_ms=500))) as wire:
        began = time.monotonic()
        assert wire.send(begun).closed_within(3)
        assert time.monotonic() - began > 0.4
        assert wire.pending == b"" or wire.pending.startswith(b"HTTP/1.1 408 ")
    assert not program.connections


def test_a_head_that_comes_byte_by_byte_is_given_up_all_the_same(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(naming_itself), listener=short(head_ms=500))) as wire:
        wire.send(b"GET / HTTP/1.1\r\nX: ")
        began = time.monotonic()
        while not wire.closed_within(0.1):
            assert time.monotonic() - began < 3
            try:
                wire.send(b"x")
            except OSError:
                break
        assert time.monotonic() - began > 0.35


def test_a_connection_on_which_nothing_was_asked_is_closed(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(naming_itself), listener=short(head_ms=500, idle_ms=500))) as wire:
        assert wire.closed_within(3)
        assert not wire.received


def test_an_idle_connection_is_closed_in_silence(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(naming_itself), listener=short(idle_ms=500))) as wire:
        wire.send(GET).read_answer()
        assert not wire.closed_within(0.3)
        wire.send(GET).read_answer()
        assert not wire.closed_within(0.3)
        assert wire.closed_within(2)
        assert not wire.pending
    wait_for(lambda: rig.stats()["listeners"][0]["connections"] == 0, 2, "the end of the connection")


@pytest.mark.parametrize("framing", [b"Content-Length: 10", b"Transfer-Encoding: chunked"])
def test_a_body_that_stops_is_given_up(rig: Rig, endpoint: StartEndpoint, framing: bytes) -> None:
    program = endpoint(naming_itself, "program")
    with dial(rig.serve(program, listener=short(body_ms=500))) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n", b"5\r\nhe")
        began = time.monotonic()
        assert wire.closed_within(3)
        assert time.monotonic() - began > 0.4
        assert wire.pending == b"" or wire.pending.startswith(b"HTTP/1.1 408 ")
    program.wait_closed()
    assert not program.requests
    rig.wait_endpoint("program", in_flight=0)


def test_a_body_that_goes_on_slowly_is_not_given_up(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(naming_itself, "program"), listener=short(body_ms=600))) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
        for _ in range(6):
            assert not wire.closed_within(0.2)
            wire.send(b"x")
        assert wire.read_answer().body == b"program"


def test_an_answer_that_is_not_read_is_given_up(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(head_and_body(b"x" * 30_000_000)), "program")
    with dial(rig.serve(program, listener=short(body_ms=500))) as wire:
        wire.send(GET)
        program.wait_requests(1)
        rig.wait_endpoint("program", in_flight=0, deadline=5.0)


def test_a_slow_endpoint_is_not_the_client_s_fault(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering_slowly(head_and_body(b"late"), pause=1.0))
    with dial(rig.serve(program, listener=short(head_ms=300, idle_ms=300, body_ms=300))) as wire:
        assert wire.send(GET).read_answer().body == b"late"


def test_four_hundred_slow_clients_hold_nobody_up(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(naming_itself, "program"))
    slow = [dial(front) for _ in range(400)]
    for number, wire in enumerate(slow):
        wire.send(
            b"GET / HTTP/1.1\r\nHost: a\r\n"
            if number % 2
            else b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx"
        )
    began = time.monotonic()
    assert [talk(front, GET).body for _ in range(10)] == [b"program"] * 10
    assert time.monotonic() - began < 2
    for wire in slow:
        wire.close()
    rig.wait_endpoint("program", in_flight=0)


def test_connections_past_the_bound_are_closed_and_those_within_go_on(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(naming_itself, "program"), listener={"limits": {"connections": 3}})
    kept = [dial(front) for _ in range(3)]
    for wire in kept:
        wire.send(GET).read_answer()
    with dial(front) as more:
        assert more.closed_within(3)
    assert [wire.send(GET).read_answer().body for wire in kept] == [b"program"] * 3
    assert rig.stats()["listeners"][0]["refused"] == 1
    for wire in kept:
        wire.close()
    wait_for(lambda: rig.stats()["listeners"][0]["connections"] == 0, 2, "the end of all connections")
    assert talk(front, GET).body == b"program"
