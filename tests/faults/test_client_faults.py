"""What a client does wrong, at each stage of a request: what it gets, what is told, counted and held."""

import resource
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Any, Final

import pytest

from support.client import Target
from support.endpoints import OK, Endpoint, Script, StartEndpoint, answering, head_and_body, held
from support.processes import rss
from support.proxy import Rig
from support.waiting import wait_for
from support.wire import Wire, dial, talk

KIB: Final = 1024
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\n"
LARGE = head_and_body(b"x" * 30_000_000)
TIMEOUTS = {"head_ms": 300, "body_ms": 300}
IDLE: Final = 10_000
"""Connections that are opened and left."""
IDLE_BYTES: Final = 4 * KIB
"""Most resident memory that one of them may cost."""


ANSWERING: Final = answering(OK)


@dataclass(frozen=True)
class Fault:
    """What the client sends, how it then goes, and what must come of it."""

    sent: bytes
    goes: Callable[[Wire], None]
    status: int = 0
    cause: str | None = "client_closed"
    script: Script = ANSWERING
    reaches: int = 1
    """Heads that reach the endpoint."""


def reset(wire: Wire) -> None:
    """It resets its connection."""
    wire.reset()


def end(wire: Wire) -> None:
    """It closes its connection in both directions."""
    wire.close()


def end_sending(wire: Wire) -> None:
    """It closes the direction away from it, and reads on."""
    wire.end_sending()


def stall(wire: Wire) -> None:
    """It does nothing until it is given up."""
    assert wire.closed_within(5)


def read_nothing(_wire: Wire) -> None:
    """It does not even read."""
    time.sleep(1.0)


SIZED, CHUNKED = POST + b"Content-Length: 10\r\n\r\n", POST + b"Transfer-Encoding: chunked\r\n\r\n"
FAULTS = {
    "it resets in its head": Fault(GET[:20], reset, cause=None, reaches=0),
    "it ends in its head": Fault(GET[:20], end, cause=None, reaches=0),
    "it stalls in its first line": Fault(GET[:7], stall, 408, "head_timeout", reaches=0),
    "it stalls in its head": Fault(GET[:-2], stall, 408, "head_timeout", reaches=0),
    "it resets behind its head": Fault(SIZED, reset),
    "it ends behind its head": Fault(SIZED, end),
    "it stalls behind its head": Fault(SIZED, stall, 408, "body_timeout"),
    "it resets in its body": Fault(SIZED + b"hello", reset),
    "it ends its sending in its body": Fault(SIZED + b"hello", end_sending),
    "it stalls in its body": Fault(SIZED + b"hello", stall, 408, "body_timeout"),
    "it resets between chunks": Fault(CHUNKED + b"5\r\nhello\r\n", reset),
    "it resets in a chunk": Fault(CHUNKED + b"a\r\nhello", reset),
    "it ends its sending in a chunk": Fault(CHUNKED + b"a\r\nhello", end_sending),
    "it stalls between chunks": Fault(CHUNKED + b"5\r\nhello\r\n", stall, 408, "body_timeout"),
    "it stalls in a chunk": Fault(CHUNKED + b"a\r\nhello", stall, 408, "body_timeout"),
    "it stalls in its trailers": Fault(CHUNKED + b"0\r\nX: 1\r\n", stall, 408, "body_timeout"),
    "it resets while it waits": Fault(GET, reset, script=held()),
    "it resets behind a body while it waits": Fault(SIZED + b"x" * 10, reset, script=held()),
    "it resets in its answer": Fault(GET, reset, 200, script=answering(LARGE)),
    "it reads nothing of its answer": Fault(GET, read_nothing, 200, "body_timeout", answering(LARGE)),
}


@pytest.mark.parametrize("what", FAULTS)
def test_a_fault_of_a_client_is_told_counted_and_no_fault_of_its_endpoint(
    rig: Rig, endpoint: StartEndpoint, what: str
) -> None:
    fault = FAULTS[what]
    program = endpoint(fault.script, "web.1")
    front = rig.serve(program, listener={"timeouts": TIMEOUTS})
    with dial(front) as wire, suppress(OSError):
        wire.send(fault.sent)
        program.wait_heads(fault.reaches)
        if fault.status == 200:
            wire.read_exactly(1000)
        fault.goes(wire)
    assert_told(rig, fault)
    wait_for(lambda: rig.stats()["listeners"][0]["connections"] == 0, 5, "the end of the client's connection")
    program.gate.set()
    rig.wait_endpoint("web.1", in_flight=0, connections=0)
    program.wait_closed()
    counters = rig.endpoint_stats()["web.1"]
    assert [counters[key] for key in ("requests", "errors", "server_errors")] == [fault.reaches, 0, 0]
    assert len(program.heads) == fault.reaches
    assert rig.stats()["listeners"][0]["requests"] == (fault.cause is not None)


def assert_told(rig: Rig, fault: Fault) -> None:
    """There is one line with status and cause, or none if there was no request yet."""
    if fault.cause is None:
        assert not rig.ground.lines
        return
    (line,) = rig.wait_log()
    named = "web.1" if fault.reaches else None
    assert (line["status"], line["cause"], line["endpoint"]) == (fault.status, fault.cause, named)


@pytest.mark.parametrize("what", [what for what, fault in FAULTS.items() if fault.status == 408])
def test_a_client_that_stalls_is_told_once_and_closed(rig: Rig, endpoint: StartEndpoint, what: str) -> None:
    front = rig.serve(endpoint(answering(OK), "web.1"), listener={"timeouts": TIMEOUTS})
    with dial(front) as wire:
        wire.send(FAULTS[what].sent)
        answer = wire.read_answer()
        assert (answer.status, answer.values("connection")) == (408, ["close"])
        assert wire.closed_within(2)
        assert not wire.pending


def test_clients_that_read_nothing_hold_no_more_than_their_buffers(rig: Rig) -> None:
    """Of 30 MB for each of fifty clients, a buffer's worth is held for each."""
    with Endpoint(answering(LARGE), name="web.1") as program, ExitStack() as open_until_here:
        front = rig.serve(program)
        talk(front, GET)
        before = rss(rig.proxy.pid)
        for _ in range(50):
            open_until_here.enter_context(dial(front)).send(GET)
        program.wait_requests(51, 20)
        time.sleep(0.5)  # whatever would pile up does so now
        assert (rss(rig.proxy.pid) - before) / 50 <= 192 * KIB


@pytest.fixture
def many_files() -> Iterator[None]:
    """Room for all the descriptors, here and in the proxy that is started next."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * IDLE - 100
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"no more than {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def leave_open(front: Target, sent: bytes, until: ExitStack) -> list[Wire]:
    """So many connections, on each of which this has been sent and answered; they are closed at the end."""
    opened = [until.enter_context(dial(front)) for _ in range(IDLE)]
    for wire in opened if sent else []:
        wire.send(sent).read_answer()
    return opened


@pytest.mark.usefixtures("many_files")
@pytest.mark.parametrize("sent", [b"", GET], ids=["silent", "served"])
def test_ten_thousand_connections_that_are_left_open_cost_little_and_hold_nobody_up(
    rig: Rig,
    endpoint: StartEndpoint,
    sent: bytes,
    record_property: Callable[[str, Any], None],
) -> None:
    front = rig.serve(endpoint(answering(OK), "web.1"))
    for _ in range(50):
        talk(front, GET)
    before = rss(rig.proxy.pid)
    with ExitStack() as until:
        leave_open(front, sent, until)
        wait_for(lambda: rig.stats()["listeners"][0]["connections"] >= IDLE, 10, "all connections")
        cost = (rss(rig.proxy.pid) - before) / IDLE
        record_property("bytes_per_idle_connection", round(cost))
        assert cost <= IDLE_BYTES
        began = time.monotonic()
        assert talk(front, GET).body == b"ok"
        assert time.monotonic() - began < 1
    wait_for(lambda: rig.stats()["listeners"][0]["connections"] == 0, 20, "the end of all connections")
    rig.wait_endpoint("web.1", in_flight=0)
    assert rig.endpoint_stats()["web.1"]["errors"] == 0
    assert rig.stats()["listeners"][0]["refused"] == 0
