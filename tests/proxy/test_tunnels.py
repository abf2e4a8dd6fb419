"""Upgraded connections: bytes pass both ways untouched; what was not asked for is no upgrade."""

import pytest

from support.endpoints import StartEndpoint, answering, closing_after, echoing_upgrades, held, naming_itself
from support.proxy import Rig
from support.wire import Wire, dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
ASK = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\nSec-X: 1\r\n\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


def read(wire: Wire, count: int) -> bytes:
    return wire.read_exactly(count)


def test_an_upgrade_is_asked_for_and_granted_end_to_end(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(echoing_upgrades(), "program")
    with dial(rig.serve(program)) as wire:
        answer = wire.send(ASK).read_answer()
        assert answer.status == 101
        assert [value.lower() for value in answer.values("connection")] == ["upgrade"]
        assert answer.values("upgrade") == ["echo"]
    request = program.requests[0]
    assert [value.lower() for value in request.values("connection")] == ["upgrade"]
    assert (request.values("upgrade"), request.values("sec-x")) == (["echo"], ["1"])


def test_bytes_pass_both_ways_untouched(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(echoing_upgrades()))) as wire:
        wire.send(ASK).read_answer()
        for piece in (b"\x00\xff", GET, b"x" * 1_000_000, b"HTTP/1.1 200 OK\r\n\r\n"):
            assert read(wire.send(piece), len(piece)) == piece


def test_bytes_right_behind_the_101_arrive(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(echoing_upgrades(behind=b"first words")))) as wire:
        wire.send(ASK).read_answer()
        assert read(wire, 11) == b"first words"


def test_bytes_that_a_client_sends_before_the_101_arrive_after_it(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(echoing_upgrades()))) as wire:
        assert wire.send(ASK + b"too early").read_answer().status == 101
        assert read(wire, 9) == b"too early"


def test_bytes_behind_an_upgrade_that_is_refused_are_a_request(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself, "program")
    with dial(rig.serve(program)) as wire:
        wire.send(ASK + GET)
        assert [wire.read_answer().status for _ in range(2)] == [200, 200]
    assert len(program.requests) == 2


def test_the_end_of_either_side_ends_the_other(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(echoing_upgrades(), "program")
    front = rig.serve(program)
    with dial(front) as wire:
        wire.send(ASK).read_answer()
        rig.wait_endpoint("program", tunnels=1, in_flight=1)
    program.wait_closed()
    rig.wait_endpoint("program", tunnels=0, in_flight=0, connections=0)
    with dial(rig.serve(endpoint(closing_after(SWITCH + b"bye"), "closing"))) as wire:
        wire.send(ASK).read_answer()
        assert wire.read_rest() == b"bye"


def test_what_is_still_on_its_way_arrives_when_the_client_has_ended_sending(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(echoing_upgrades()))) as wire:
        wire.send(ASK).read_answer()
        wire.send(b"x" * 500_000).end_sending()
        assert len(wire.read_rest()) == 500_000


@pytest.mark.parametrize("asked", [GET, ASK.replace(b", Upgrade", b""), ASK.replace(b"Upgrade: echo\r\n", b"")])
def test_an_upgrade_that_was_not_asked_for_is_a_502(rig: Rig, endpoint: StartEndpoint, asked: bytes) -> None:
    program = endpoint(answering(SWITCH + b"evil"))
    with dial(rig.serve(program)) as wire:
        assert wire.send(asked).read_answer().status == 502
        assert b"evil" not in wire.received
    program.wait_closed()


def test_http_2_is_never_upgraded_to(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself, "program")
    fields = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n"
    asked = b"GET / HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n"
    assert talk(rig.serve(program), asked).status == 200
    assert not program.requests[0].values("upgrade")
    assert not program.requests[0].values("http2-settings")


def test_an_old_client_cannot_ask_for_an_upgrade(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself, "program")
    assert talk(rig.serve(program), ASK.replace(b"HTTP/1.1", b"HTTP/1.0")).status == 200
    assert not program.requests[0].values("upgrade")


def test_a_tunnel_that_is_silent_too_long_is_closed(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(echoing_upgrades())
    with dial(rig.serve(program, pool={"timeouts": {"silence_ms": 500}})) as wire:
        wire.send(ASK).read_answer()
        assert not wire.closed_within(0.2)
        read(wire.send(b"alive"), 5)
        assert not wire.closed_within(0.35)
        assert wire.closed_within(2)
    program.wait_closed()


def test_a_tunnel_does_not_keep_the_requests_of_others(rig: Rig, endpoint: StartEndpoint) -> None:
    tunnel, other = endpoint(echoing_upgrades(), "tunnel"), endpoint(held(), "other")
    front = rig.serve(tunnel, other, pool={"balance": "least-requests"})
    wires = [dial(front) for _ in range(2)]
    for wire in wires:
        wire.send(ASK)
    tunnel.wait_requests(1)
    other.wait_requests(1)
    other.gate.set()
    assert sorted(wire.read_answer().status for wire in wires) == [101, 200]
    for wire in wires:
        wire.close()
