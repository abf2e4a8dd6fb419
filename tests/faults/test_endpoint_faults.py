"""What an endpoint does wrong, at each stage of a request: what the client gets, what the log says, what is counted.

Each case has one endpoint, so nothing can be tried elsewhere; tests/proxy/test_pools.py is about what can.
"""

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from support.endpoints import (
    Endpoint,
    Script,
    StartEndpoint,
    closing_at_once,
    closing_without_answer,
    naming_itself,
    refused_address,
    resetting_after,
    silent,
)
from support.proxy import Rig, target_of
from support.snapshots import Snapshot, listener, pool, snapshot
from support.wire import TruncatedError, Wire, dial

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
LARGE = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000
LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"
CHUNKS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TIMEOUTS = {"connect_ms": 300, "first_byte_ms": 300, "silence_ms": 300}


def stalling_after(sent: bytes = b"") -> Script:
    """Sends part of an answer when the request has come, then nothing, and holds the connection."""

    def script(wire: Wire, endpoint: Endpoint) -> None:
        if endpoint.take(wire):
            wire.send(sent)
            endpoint.gate.wait(10)

    return script


def stopping_after(sent: bytes) -> Script:
    """Sends part of an answer, a moment later closes: the part has gone to the client by then."""

    def script(wire: Wire, endpoint: Endpoint) -> None:
        if endpoint.take(wire):
            wire.send(sent)
            time.sleep(0.05)

    return script


def reading_nothing(wire: Wire, endpoint: Endpoint) -> None:
    """Takes the head and then nothing more."""
    endpoint.take_head(wire)
    endpoint.gate.wait(10)


def dying_in_the_body(wire: Wire, endpoint: Endpoint) -> None:
    """Takes the head and some of the body, then resets."""
    endpoint.take_head(wire)
    wire.read_exactly(100_000)
    wire.reset()


@dataclass(frozen=True)
class Fault:
    """What the endpoint does to which request, and what must come of it; status 200 is an answer that is cut."""

    script: Script
    status: int
    cause: str
    sent: bytes = POST
    requests: int = 1
    """Requests the endpoint is counted to have been sent."""


FAULTS = {
    "it closes as soon as it has accepted": Fault(closing_at_once, 502, "endpoint_closed"),
    "it closes when the request has come": Fault(closing_without_answer, 502, "endpoint_closed"),
    "it closes when a GET has come": Fault(closing_without_answer, 502, "endpoint_closed", GET),
    "it resets when the request has come": Fault(resetting_after(), 502, "endpoint_closed"),
    "it stalls when it has accepted": Fault(lambda _, endpoint: endpoint.gate.wait(10), 504, "first_byte_timeout"),
    "it stalls when the request has come": Fault(silent, 504, "first_byte_timeout"),
    "it stalls in the request's body": Fault(reading_nothing, 504, "first_byte_timeout", LARGE),
    "it dies in the request's body": Fault(dying_in_the_body, 502, "endpoint_closed", LARGE),
    "it closes in its head": Fault(stopping_after(LENGTH[:20]), 502, "endpoint_closed"),
    "it closes before the end of its head": Fault(stopping_after(LENGTH[:-2]), 502, "endpoint_closed"),
    "it resets in its head": Fault(resetting_after(LENGTH[:20]), 502, "endpoint_closed"),
    "it stalls in its head": Fault(stalling_after(LENGTH[:20]), 504, "silence_timeout"),
    "it stalls behind an interim answer": Fault(
        stalling_after(b"HTTP/1.1 103 Early Hints\r\n\r\n"), 504, "first_byte_timeout"
    ),
    "it closes before its body": Fault(stopping_after(LENGTH), 200, "truncated_answer"),
    "it closes in its body": Fault(stopping_after(LENGTH + b"hello"), 200, "truncated_answer"),
    "it resets in its body": Fault(resetting_after(LENGTH + b"hello"), 200, "truncated_answer"),
    "it stalls in its body": Fault(stalling_after(LENGTH + b"hello"), 200, "silence_timeout"),
    "it closes between chunks": Fault(stopping_after(CHUNKS + b"5\r\nhello\r\n"), 200, "truncated_answer"),
    "it resets between chunks": Fault(resetting_after(CHUNKS + b"5\r\nhello\r\n"), 200, "truncated_answer"),
    "it stalls between chunks": Fault(stalling_after(CHUNKS + b"5\r\nhello\r\n"), 200, "silence_timeout"),
    "it closes in a chunk": Fault(stopping_after(CHUNKS + b"a\r\nhello"), 200, "truncated_answer"),
    "it stalls in a chunk": Fault(stalling_after(CHUNKS + b"a\r\nhello"), 200, "silence_timeout"),
    "it stalls in the size of a chunk": Fault(stalling_after(CHUNKS + b"5\r\nhello\r\n1"), 200, "silence_timeout"),
    "it closes before the end of its trailers": Fault(
        stopping_after(CHUNKS + b"5\r\nhello\r\n0\r\n"), 200, "truncated_answer"
    ),
    "it says what is no chunk": Fault(stopping_after(CHUNKS + b"5\r\nhello\r\nxyz\r\n"), 502, "malformed_answer"),
}


def outcome(wire: Wire, sent: bytes) -> tuple[int, bool]:
    """Status of the only answer, and whether it was cut."""
    try:
        wire.send(sent)
        while (answer := wire.read_answer()).status < 200:
            pass
    except (TruncatedError, ConnectionResetError):
        assert wire.closed_within(2)
        assert wire.received.startswith(b"HTTP/1.1 200 ")
        return 200, True
    return answer.status, False


def serve(rig: Rig, *entries: Snapshot, **changes: Any) -> str:  # noqa: ANN401 - as in snapshots
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(*entries, timeouts=TIMEOUTS, **changes)]))
    return address


def told(rig: Rig) -> dict[str, Any]:
    """What the only line of the log says of how it went."""
    (line,) = rig.wait_log()
    return {key: line[key] for key in ("status", "cause", "endpoint", "attempts")}


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_of_an_endpoint_is_answered_told_and_counted(rig: Rig, endpoint: StartEndpoint, what: str) -> None:
    fault = FAULTS[what]
    program = endpoint(fault.script, "web.1")
    with dial(target_of(serve(rig, program.entry))) as wire:
        began = time.monotonic()
        assert outcome(wire, fault.sent) == (fault.status, fault.status == 200)
        assert time.monotonic() - began < 3
    assert told(rig) == {"status": fault.status, "cause": fault.cause, "endpoint": "web.1", "attempts": 1}
    program.gate.set()
    program.wait_closed()
    rig.wait_endpoint("web.1", in_flight=0, connections=0)
    counters = rig.endpoint_stats()["web.1"]
    assert {key: counters[key] for key in ("requests", "errors", "connects", "server_errors")} == {
        "requests": 1,
        "errors": 1,
        "connects": 1,
        "server_errors": 0,
    }


def test_an_endpoint_that_refuses_is_answered_told_and_counted(rig: Rig) -> None:
    entry = {"name": "gone", "address": refused_address(), "weight": 1, "mode": "ready"}
    with dial(target_of(serve(rig, entry))) as wire:
        assert outcome(wire, POST) == (503, False)
    assert told(rig) == {"status": 503, "cause": "connect_refused", "endpoint": "gone", "attempts": 1}
    counters = rig.endpoint_stats()["gone"]
    assert [counters[key] for key in ("requests", "errors", "connects", "in_flight")] == [0, 1, 0, 0]


@pytest.fixture
def full() -> Iterator[str]:
    """An address whose queue is full, so that a connect hangs."""
    with ExitStack() as held:
        listening = held.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):
            filler = held.enter_context(socket.socket())
            filler.settimeout(0)
            filler.connect_ex(listening.getsockname())
        yield "127.0.0.1:{1}".format(*listening.getsockname())


def test_an_endpoint_that_does_not_accept_is_answered_told_and_counted(rig: Rig, full: str) -> None:
    with dial(target_of(serve(rig, {"name": "full", "address": full, "weight": 1, "mode": "ready"}))) as wire:
        assert outcome(wire, POST) == (504, False)
    assert told(rig) == {"status": 504, "cause": "connect_timeout", "endpoint": "full", "attempts": 1}
    counters = rig.endpoint_stats()["full"]
    assert [counters[key] for key in ("requests", "errors", "connects", "in_flight")] == [0, 1, 0, 0]


@pytest.mark.parametrize("what", [what for what, fault in FAULTS.items() if fault.status != 200])
def test_after_a_fault_the_client_s_connection_serves_on(rig: Rig, endpoint: StartEndpoint, what: str) -> None:
    """What was answered in full, with its request read in full, costs the client no new connection."""
    fault, turn = FAULTS[what], iter(range(2))

    def once(wire: Wire, endpoint: Endpoint) -> None:
        (fault.script if next(turn, None) == 0 else naming_itself)(wire, endpoint)

    program = endpoint(once, "web.1")
    with dial(target_of(serve(rig, program.entry))) as wire:
        assert outcome(wire, fault.sent) == (fault.status, False)
        if fault.sent is LARGE or b"Connection: close" in wire.received:
            assert wire.closed_within(3)
            return
        assert wire.send(GET).read_answer().body == b"web.1"


SLOW = {
    "length": (LENGTH, b"hel", b"lo", b"hello"),
    "chunks": (CHUNKS, b"5\r\nhe", b"llo\r\n", b"5\r\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("framing", SLOW)
def test_an_endpoint_that_is_slow_in_its_body_is_not_cut(rig: Rig, endpoint: StartEndpoint, framing: str) -> None:
    def slow(wire: Wire, endpoint: Endpoint) -> None:
        while endpoint.take(wire):
            for piece in SLOW[framing]:
                time.sleep(0.2)
                wire.send(piece)

    with dial(target_of(serve(rig, endpoint(slow, "web.1").entry))) as wire:
        assert wire.send(GET).read_answer().body == b"hellohello"
    assert rig.endpoint_stats()["web.1"]["errors"] == 0
