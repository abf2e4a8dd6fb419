"""The PROXY protocol: demanded of trusted proxies where a listener accepts it, and written to endpoints of a pool."""

import socket
import struct
import time
from pathlib import Path
from typing import Any

import pytest

from support.certificates import make, trusting
from support.endpoints import OK, Endpoint, Script, StartEndpoint, answering, echoing_upgrades, naming_itself
from support.proxy import Rig, target_of
from support.snapshots import certificate, listener, pool, snapshot
from support.waiting import wait_for
from support.wire import Wire, dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ACCEPTING: dict[str, Any] = {"trusted_proxies": ["127.0.0.1"], "proxy_protocol": "accept"}


def v2(client: str, local: str, ports: tuple[int, int], *, command: int = 0x21, more: bytes = b"") -> bytes:
    family = socket.AF_INET6 if ":" in client else socket.AF_INET
    told = socket.inet_pton(family, client) + socket.inet_pton(family, local) + struct.pack("!HH", *ports) + more
    kind = 0x21 if family == socket.AF_INET6 else 0x11
    return SIGNATURE + struct.pack("!BBH", command, kind, len(told)) + told


FOUR = b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 8443\r\n"
HEADERS = [
    (FOUR, "192.0.2.7", "8443"),
    (b"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n", "2001:db8::7", "65535"),
    (v2("192.0.2.7", "198.51.100.1", (4711, 8443)), "192.0.2.7", "8443"),
    (v2("192.0.2.7", "198.51.100.1", (1, 2), more=b"\x04\0\x03abc"), "192.0.2.7", "2"),
    (v2("2001:db8::7", "2001:db8::1", (1, 443)), "2001:db8::7", "443"),
]
OWN = [
    b"PROXY UNKNOWN\r\n",
    v2("192.0.2.7", "198.51.100.1", (1, 2), command=0x20),
    SIGNATURE + b"\x20\0\0\0",
    SIGNATURE + b"\x21\0\0\0",
]
"""Headers that tell of nobody else."""


@pytest.mark.parametrize(("header", "client", "port"), HEADERS)
def test_the_client_is_who_the_header_names(
    rig: Rig, endpoint: StartEndpoint, header: bytes, client: str, port: str
) -> None:
    program = endpoint(answering(OK))
    with dial(rig.serve(program, listener=ACCEPTING)) as wire:
        wire.send(header + GET).read_answer()
        wire.send(GET).read_answer()
    for request in program.requests:
        assert (request.values("x-forwarded-for"), request.values("x-forwarded-port")) == ([client], [port])
    assert [line["client"] for line in rig.wait_log(2)] == [client] * 2


@pytest.mark.parametrize("header", OWN)
def test_a_header_that_names_nobody_leaves_who_speaks(rig: Rig, endpoint: StartEndpoint, header: bytes) -> None:
    program = endpoint(answering(OK))
    front = rig.serve(program, listener=ACCEPTING)
    sent = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n\r\n"
    assert talk(front, header + sent).status == 200
    assert program.requests[0].values("x-forwarded-for") == ["192.0.2.9, 127.0.0.1"]


def test_who_is_named_is_believed_only_if_it_is_trusted_too(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    front = rig.serve(program, listener=ACCEPTING | {"trusted_proxies": ["127.0.0.1", "192.0.2.7"]})
    sent = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n"
    talk(front, FOUR + sent)
    talk(front, FOUR.replace(b".7 ", b".8 ") + sent)
    assert [one.values("x-forwarded-for") for one in program.requests] == [["1.2.3.4, 192.0.2.7"], ["192.0.2.8"]]


@pytest.mark.parametrize("header", [FOUR, HEADERS[3][0]])
def test_a_header_may_come_in_pieces(rig: Rig, endpoint: StartEndpoint, header: bytes) -> None:
    program = endpoint(naming_itself, "program")
    with dial(rig.serve(program, listener=ACCEPTING)) as wire:
        for byte in header:
            wire.send(bytes([byte]))
            time.sleep(0.002)
        assert wire.send(GET).read_answer().body == b"program"
    assert program.requests[0].values("x-forwarded-for") == ["192.0.2.7"]


def test_a_header_comes_before_tls(rig: Rig, endpoint: StartEndpoint) -> None:
    made = make("localhost")
    program = endpoint(answering(OK))
    address = rig.bind()
    named = certificate("one", made.chain_pem, made.key_pem, ["localhost"])
    front = listener(address, tls=["one"], **ACCEPTING)
    rig.apply(snapshot([front], [pool(program.entry)], certificates=[named]))
    raw = target_of(address).connect()
    raw.sendall(FOUR)
    with Wire(trusting(made).wrap_socket(raw, server_hostname="localhost")) as wire:
        wire.send(GET).read_answer()
    request = program.requests[0]
    assert [request.values(f"x-forwarded-{name}") for name in ("for", "proto")] == [["192.0.2.7"], ["https"]]


@pytest.mark.parametrize(
    "sent",
    [
        GET,
        b"\x16\x03\x01\x02\x00",
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711\r\n" + GET,
        b"PROXY TCP4 192.0.2.7 198.51.100.1 04711 8443\r\n" + GET,
        b"PROXY TCP4 192.0.2.7 198.51.100.1 4711 8443\n" + GET,
        b"PROXY TCP9 192.0.2.7 198.51.100.1 4711 8443\r\n" + GET,
        b"PROXY UNKNOWN " + b"x" * 200 + b"\r\n" + GET,
        SIGNATURE + b"\x31\x11\0\x0c" + bytes(12) + GET,
        SIGNATURE + b"\x21\x12\0\x0c" + bytes(12) + GET,
        SIGNATURE + b"\x21\x11\0\x0b" + bytes(11) + GET,
        SIGNATURE + b"\x21\x11\xff\xff" + bytes(65535) + GET,
    ],
)
def test_a_trusted_proxy_without_a_header_is_not_served(rig: Rig, endpoint: StartEndpoint, sent: bytes) -> None:
    program = endpoint(naming_itself)
    with dial(rig.serve(program, listener=ACCEPTING)) as wire:
        wire.raw.sendall(sent[:4096])
        assert wire.closed_within(3)
        assert not wire.received
    wait_for(lambda: rig.stats()["listeners"][0]["handshake_failures"] == 1, 2, "the failure to be counted")
    assert not program.connections


def test_a_header_that_does_not_end_is_given_up(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(naming_itself), listener=ACCEPTING | {"timeouts": {"head_ms": 300}})
    for begun in (b"", b"PROXY TCP4 1.2", SIGNATURE + b"\x21\x11\0\x0c12"):
        with dial(front) as wire:
            began = time.monotonic()
            assert wire.send(begun).closed_within(3)
            assert time.monotonic() - began > 0.2
    wait_for(lambda: rig.stats()["listeners"][0]["connections"] == 0, 2, "the end of the connections")


@pytest.mark.parametrize(
    "front", [{}, {"trusted_proxies": ["127.0.0.1"]}, ACCEPTING | {"trusted_proxies": ["10.0.0.1"]}]
)
@pytest.mark.parametrize("header", [FOUR, HEADERS[2][0]])
def test_nobody_else_is_understood(rig: Rig, endpoint: StartEndpoint, front: dict[str, Any], header: bytes) -> None:
    program = endpoint(naming_itself)
    answer = talk(rig.serve(program, listener=front), header + GET)
    assert answer.status == 400
    assert not program.connections


def v1_lines(script: Script) -> Script:
    """The script, behind a line of version 1."""

    def read_first(wire: Wire, endpoint: Endpoint) -> None:
        wire.read_through(b"\r\n")
        script(wire, endpoint)

    return read_first


def test_endpoints_are_told_by_version_1(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(v1_lines(naming_itself), "program")
    front = rig.serve(program, pool={"send_proxy": "v1"})
    with dial(front) as wire:
        port = wire.raw.getsockname()[1]
        assert wire.send(GET).read_answer().body == b"program"
    line = bytes(program.connections[0].received).partition(b"\r\n")[0]
    assert line == f"PROXY TCP4 127.0.0.1 127.0.0.1 {port} {front.port}".encode()
    assert program.requests[0].values("x-forwarded-for") == ["127.0.0.1"]


def test_endpoints_are_told_by_version_2(rig: Rig, endpoint: StartEndpoint) -> None:
    def script(wire: Wire, endpoint: Endpoint) -> None:
        wire.read_exactly(28)
        naming_itself(wire, endpoint)

    program = endpoint(script, "program")
    front = rig.serve(program, pool={"send_proxy": "v2"})
    with dial(front) as wire:
        ports = (wire.raw.getsockname()[1], front.port or 0)
        assert wire.send(GET).read_answer().body == b"program"
    assert bytes(program.connections[0].received).startswith(v2("127.0.0.1", "127.0.0.1", ports))


def test_endpoints_are_told_of_whom_a_trusted_proxy_tells(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(v1_lines(naming_itself), "program")
    front = rig.serve(program, listener=ACCEPTING, pool={"send_proxy": "v1"})
    assert talk(front, FOUR + GET).body == b"program"
    assert bytes(program.connections[0].received).startswith(FOUR)


def test_a_connection_that_was_told_of_its_client_carries_no_other(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(v1_lines(naming_itself), "program")
    front = rig.serve(program, pool={"send_proxy": "v1"})
    with dial(front) as one, dial(front) as other:
        for wire in (one, other, one, other):
            assert wire.send(GET).read_answer().body == b"program"
        ports = [wire.raw.getsockname()[1] for wire in (one, other, one, other)]
    told = [int(bytes(wire.received).split(b" ")[4]) for wire in program.connections]
    assert told == ports
    rig.wait_endpoint("program", connections=0, in_flight=0)


def test_connections_from_before_are_not_used_once_endpoints_are_to_be_told(rig: Rig, endpoint: StartEndpoint) -> None:
    def script(wire: Wire, endpoint: Endpoint) -> None:
        if len(endpoint.connections) > 1:
            wire.read_through(b"\r\n")
        naming_itself(wire, endpoint)

    program = endpoint(script, "program")
    address = rig.bind()
    for how in ("off", "v1"):
        rig.apply(snapshot([listener(address)], [pool(program.entry, send_proxy=how)]))
        assert talk(target_of(address), GET).body == b"program"
    assert len(program.connections) == 2


def test_a_client_on_a_unix_socket_is_unknown(rig: Rig, endpoint: StartEndpoint, short_path: Path) -> None:
    program = endpoint(v1_lines(naming_itself), "program")
    address = rig.bind(short_path / "front.sock")
    rig.apply(snapshot([listener(address)], [pool(program.entry, send_proxy="v1")]))
    assert talk(target_of(address), GET).body == b"program"
    assert bytes(program.connections[0].received).startswith(b"PROXY UNKNOWN\r\nGET / ")


def test_a_tunnel_begins_behind_the_header(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(v1_lines(echoing_upgrades()), "program")
    with dial(rig.serve(program, pool={"send_proxy": "v1"})) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        assert wire.read_answer().status == 101
        assert wire.send(b"hello").read_exactly(5) == b"hello"
