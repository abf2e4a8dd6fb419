"""How much a client may ask, how many connections it may have, how slowly it may send and how long all may take."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.client import Target
from support.endpoints import (
    OK,
    Endpoint,
    StartEndpoint,
    answering,
    answering_slowly,
    echoing_upgrades,
    head_and_body,
    naming_itself,
    silent,
)
from support.proxy import Rig
from support.waiting import wait_for
from support.wire import Wire, dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
OpenFrom = Callable[..., Wire]
"""The fixture `open_from`: a front, and the address to come from if it matters."""


def limited(**limits: int) -> dict[str, Any]:
    return {"limits": limits}


def timed(**timeouts: int) -> dict[str, Any]:
    return {"timeouts": timeouts}


@pytest.fixture
def open_from() -> Iterator[OpenFrom]:
    """Dial a front from an address of the loopback network; closed at the end."""
    with ExitStack() as opened:

        def dial_from(front: Target, address: str = "127.0.0.1") -> Wire:
            raw = socket.socket()
            raw.settimeout(10)
            raw.bind((address, 0))
            raw.connect((front.host, front.port or 0))
            return opened.enter_context(Wire(raw))

        yield dial_from


def test_a_target_past_the_bound_is_refused(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself, "program")
    front = rig.serve(program, listener=limited(target_bytes=100))
    target = "/" + "x" * 99
    assert talk(front, f"GET {target} HTTP/1.1\r\nHost: a\r\n\r\n".encode()).body == b"program"
    answer = talk(front, f"GET {target}x HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    assert (answer.line, answer.values("connection")) == ("HTTP/1.1 414 URI Too Long", ["close"])
    assert [line["cause"] for line in rig.wait_log(2)] == [None, "target_too_long"]
    assert len(program.requests) == 1


def test_a_client_has_so_many_connections_and_others_have_theirs(
    rig: Rig, endpoint: StartEndpoint, open_from: OpenFrom
) -> None:
    front = rig.serve(endpoint(naming_itself, "program"), listener=limited(connections_per_client=2))
    first, second = open_from(front), open_from(front)
    for wire in (first, second):
        assert wire.send(GET).read_answer().body == b"program"
    third = open_from(front)
    assert third.closed_within(3)
    assert not third.received
    assert open_from(front, "127.0.0.2").send(GET).read_answer().body == b"program"
    assert rig.stats()["listeners"][0]["refused"] == 1
    first.close()
    wait_for(lambda: rig.stats()["listeners"][0]["connections"] == 2, 2, "the end of the first")
    assert open_from(front).send(GET).read_answer().body == b"program"


def test_the_connections_of_a_client_are_counted_over_all_cores(
    short_path: Path, endpoint: StartEndpoint, open_from: OpenFrom
) -> None:
    with Rig(short_path, threads=2) as rig:
        front = rig.serve(endpoint(naming_itself, "program"), listener=limited(connections_per_client=8))
        wires = [open_from(front) for _ in range(40)]
        wait_for(lambda: rig.stats()["listeners"][0]["accepted"] == 40, 3, "all to be accepted")
        stats = rig.stats()["listeners"][0]
        assert (stats["refused"], stats["connections"]) == (32, 8)
        for wire in wires:
            wire.close()
        wait_for(lambda: rig.stats()["listeners"][0]["connections"] == 0, 3, "the end of all")
        assert open_from(front).send(GET).read_answer().body == b"program"


def test_trusted_proxies_have_as_many_as_they_like_but_not_whom_they_announce(
    rig: Rig, endpoint: StartEndpoint, open_from: OpenFrom
) -> None:
    trusted: dict[str, Any] = limited(connections_per_client=1) | {"trusted_proxies": ["127.0.0.1"]}
    front = rig.serve(endpoint(naming_itself, "program"), listener=trusted)
    for _ in range(3):
        assert open_from(front).send(GET).read_answer().body == b"program"
    front = rig.serve(endpoint(naming_itself, "other"), listener=trusted | {"proxy_protocol": "accept"})
    line = b"PROXY TCP4 192.0.2.%d 127.0.0.1 1 2\r\n"
    assert open_from(front).send(line % 7, GET).read_answer().body == b"other"
    assert open_from(front).send(line % 8, GET).read_answer().body == b"other"
    assert open_from(front).send(line % 7).closed_within(3)
    assert rig.stats()["listeners"][0]["refused"] == 1


@pytest.mark.parametrize("framing", [b"Content-Length: 100000", b"Transfer-Encoding: chunked"])
def test_a_body_that_trickles_is_given_up(rig: Rig, endpoint: StartEndpoint, framing: bytes) -> None:
    program = endpoint(naming_itself, "program")
    with dial(rig.serve(program, listener=limited(body_rate=100))) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        began = time.monotonic()
        while time.monotonic() - began < 9 and not wire.closed_within(0.25):
            try:
                wire.send(b"1\r\nx\r\n")
            except OSError:
                break
        assert 4.5 < time.monotonic() - began < 7
        assert wire.pending.startswith(b"HTTP/1.1 408 ")
    assert rig.wait_log()[0]["cause"] == "body_too_slow"
    program.wait_closed()


def test_a_body_that_keeps_the_pace_is_taken(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(naming_itself, "program"), listener=limited(body_rate=100))) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1400\r\n\r\n")
        for _ in range(28):
            wire.send(b"x" * 50)
            time.sleep(0.25)
        assert wire.read_answer().body == b"program"


def test_an_endpoint_that_takes_its_time_is_not_the_client_s_fault(rig: Rig, endpoint: StartEndpoint) -> None:
    def script(wire: Wire, endpoint: Endpoint) -> None:
        endpoint.take_head(wire)
        time.sleep(6.5)
        wire.read_exactly(8_000_000 - len(wire.pending))
        wire.send(OK)

    with dial(rig.serve(endpoint(script), listener=limited(body_rate=10_000_000)), deadline=15) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 8000000\r\n\r\n")
        sending = threading.Thread(target=wire.send, args=(b"x" * 8_000_000,))
        sending.start()
        assert wire.read_answer().status == 200
        sending.join()


def test_a_client_that_waits_to_be_asked_for_its_body_is_not_slow(rig: Rig, endpoint: StartEndpoint) -> None:
    def script(wire: Wire, endpoint: Endpoint) -> None:
        endpoint.take_head(wire)
        time.sleep(6)
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n").read_exactly(4)
        wire.send(OK)

    with dial(rig.serve(endpoint(script), listener=limited(body_rate=100)), deadline=15) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        assert wire.read_answer().status == 100
        assert wire.send(b"body").read_answer().status == 200


def test_a_request_that_takes_too_long_in_all_is_answered(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(silent, "program")
    with dial(rig.serve(program, listener=timed(total_ms=400))) as wire:
        began = time.monotonic()
        answer = wire.send(GET).read_answer()
        assert 0.35 < time.monotonic() - began < 2
        assert (answer.status, answer.values("connection")) == (504, ["close"])
        assert wire.closed_within(3)
    assert rig.wait_log()[0]["cause"] == "total_timeout"
    program.wait_closed()
    rig.wait_endpoint("program", in_flight=0, connections=0)


def test_an_answer_that_takes_too_long_in_all_is_cut(rig: Rig, endpoint: StartEndpoint) -> None:
    pieces = [head_and_body(b"x" * 10)[:-8], *[b"x"] * 8]
    program = endpoint(answering_slowly(*pieces, pause=0.2), "program")
    with dial(rig.serve(program, listener=timed(total_ms=700))) as wire:
        wire.send(GET)
        assert wire.closed_within(3)
        assert wire.pending.startswith(b"HTTP/1.1 200 ")
        assert len(wire.pending) < len(head_and_body(b"x" * 10))
    line = rig.wait_log()[0]
    assert (line["status"], line["cause"]) == (200, "total_timeout")
    rig.wait_endpoint("program", in_flight=0, connections=0)


def test_a_body_that_takes_too_long_in_all_is_refused(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(naming_itself), listener=timed(total_ms=500))) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n")
        for _ in range(4):
            wire.send(b"x")
            time.sleep(0.05)
        assert wire.read_answer().status == 504
        assert wire.closed_within(3)


def test_each_request_has_the_whole_time_and_idle_connections_are_not_bound(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering_slowly(OK, pause=0.25))
    with dial(rig.serve(program, listener=timed(total_ms=600))) as wire:
        for _ in range(4):
            assert wire.send(GET).read_answer().status == 200
        time.sleep(0.8)
        assert wire.send(GET).read_answer().status == 200


def test_tunnels_have_no_bound_in_all(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(echoing_upgrades()), listener=timed(total_ms=300))) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        assert wire.read_answer().status == 101
        time.sleep(0.7)
        assert wire.send(b"still").read_exactly(5) == b"still"


def test_nothing_is_bound_where_no_bound_is_set(rig: Rig, endpoint: StartEndpoint, open_from: OpenFrom) -> None:
    front = rig.serve(endpoint(answering(OK)), listener=limited(connections_per_client=0, connections=0))
    assert [open_from(front).send(GET).read_answer().status for _ in range(20)] == [200] * 20
