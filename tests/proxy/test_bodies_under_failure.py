"""Bodies that meet a failure or an obstacle on their way: sent again whole or not at all, and never piled up."""

import socket
import time

import pytest

from support.endpoints import (
    Endpoint,
    StartEndpoint,
    closing_after,
    closing_without_answer,
    head_and_body,
    naming_itself,
    refused_address,
)
from support.processes import rss
from support.proxy import Rig, target_of
from support.snapshots import listener, pool, snapshot
from support.wire import Wire, dial, talk

MIB = 1024 * 1024
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LARGE = bytes(range(256)) * 4096


def framed(method: str, body: bytes, framing: str) -> bytes:
    """A request with this body."""
    head = f"{method} / HTTP/1.1\r\nHost: a\r\n".encode()
    if framing == "length":
        return head + b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    return head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("body", [b"small", LARGE], ids=["small", "large"])
def test_a_body_whose_first_endpoint_refuses_arrives_whole_at_another(
    rig: Rig, endpoint: StartEndpoint, framing: str, body: bytes
) -> None:
    gone = [{"name": f"gone{n}", "address": refused_address(), "weight": 1, "mode": "ready"} for n in range(3)]
    program, address = endpoint(naming_itself, "alive"), rig.bind()
    rig.apply(snapshot([listener(address)], [pool(*gone, program.entry)]))
    with dial(target_of(address)) as wire:
        for _ in range(4):
            assert wire.send(framed("POST", body, framing)).read_answer().body == b"alive"
    assert [request.body == body for request in program.requests] == [True] * 4


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_a_small_put_whose_endpoint_dies_arrives_whole_at_another(
    rig: Rig, endpoint: StartEndpoint, framing: str
) -> None:
    dying, alive = endpoint(closing_without_answer, "dying"), endpoint(naming_itself, "alive")
    with dial(rig.serve(dying, alive)) as wire:
        for _ in range(4):
            assert wire.send(framed("PUT", b"small", framing) + GET).read_answer().body == b"alive"
            assert wire.read_answer().body == b"alive"
    assert {request.body for request in alive.requests if request.line.startswith("PUT")} == {b"small"}


def test_a_put_that_is_too_large_to_keep_is_not_sent_half_a_second_time(rig: Rig, endpoint: StartEndpoint) -> None:
    dying, alive = endpoint(closing_without_answer, "dying"), endpoint(naming_itself, "alive")
    front = rig.serve(dying, alive)
    for _ in range(4):
        assert talk(front, framed("PUT", LARGE, "length")).status in (200, 502)
    assert alive.requests
    assert len(alive.requests) == len(alive.heads)
    assert all(request.body == LARGE for request in alive.requests)


def test_an_early_refusal_reaches_a_client_that_first_sends_everything(rig: Rig, endpoint: StartEndpoint) -> None:
    def refusing(wire: Wire, endpoint: Endpoint) -> None:
        if endpoint.take_head(wire):
            wire.send(head_and_body(b"too much", "Connection: close", status="413 Content Too Large"))

    with dial(rig.serve(endpoint(refusing))) as wire:
        wire.send(framed("POST", LARGE, "length"))
        assert wire.read_answer().status == 413


def test_an_answer_that_came_before_the_endpoint_died_is_not_lost(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(closing_after(head_and_body(LARGE, "Connection: close")))
    front = rig.serve(program)
    for _ in range(5):
        assert talk(front, framed("POST", b"x", "length")).body == LARGE


def test_an_endpoint_that_does_not_read_holds_its_client_back_and_nothing_piles_up(
    rig: Rig, endpoint: StartEndpoint
) -> None:
    def not_reading(wire: Wire, endpoint: Endpoint) -> None:
        endpoint.take_head(wire)
        endpoint.gate.wait(20)

    program = endpoint(not_reading)
    with dial(rig.serve(program)) as wire:
        before = rss(rig.proxy.pid)
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\n")
        program.wait_heads(1)
        wire.raw.settimeout(0.5)
        with pytest.raises(TimeoutError):
            wire.send(*[LARGE] * 100)
        assert rss(rig.proxy.pid) - before < 16 * MIB
        program.gate.set()


def test_a_client_that_goes_in_its_body_leaves_half_a_request_to_nobody(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself, "program")
    front = rig.serve(program)
    for half in (framed("POST", b"x" * 10, "length")[:-5], framed("POST", b"x" * 10, "chunked")[:-5]):
        with dial(front) as wire:
            wire.send(half)
            program.wait_heads(1)
        program.wait_closed()
    assert not program.requests
    rig.wait_endpoint("program", in_flight=0, connections=0)
    assert talk(front, GET).body == b"program"


def test_an_upload_and_its_answer_may_flow_at_the_same_time(rig: Rig, endpoint: StartEndpoint) -> None:
    def echoing(wire: Wire, endpoint: Endpoint) -> None:
        if endpoint.take_head(wire):
            wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(20):
                piece = wire.read_exactly(1000)
                wire.send(b"3e8\r\n" + piece + b"\r\n")
            wire.send(b"0\r\n\r\n")

    with dial(rig.serve(endpoint(echoing))) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n").read_head()
        for number in range(20):
            piece = bytes([number]) * 1000
            wire.send(piece)
            assert wire.read_exactly(1007) == b"3e8\r\n" + piece + b"\r\n"
        assert wire.read_exactly(5) == b"0\r\n\r\n"


def test_a_connect_that_hangs_goes_to_another_endpoint(rig: Rig, endpoint: StartEndpoint) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # Its queue takes one or two; from then on a connect hangs.
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.settimeout(0)
            filler.connect_ex(full.getsockname())
        address = "127.0.0.1:{1}".format(*full.getsockname())
        hanging = {"name": "hanging", "address": address, "weight": 1, "mode": "ready"}
        program, address = endpoint(naming_itself, "alive"), rig.bind()
        web = pool(hanging, program.entry, timeouts={"connect_ms": 300})
        rig.apply(snapshot([listener(address)], [web]))
        began = time.monotonic()
        with dial(target_of(address)) as wire:
            assert [wire.send(framed("POST", b"x", "length")).read_answer().body for _ in range(4)] == [b"alive"] * 4
        assert time.monotonic() - began < 4
        for filler in fillers:
            filler.close()
