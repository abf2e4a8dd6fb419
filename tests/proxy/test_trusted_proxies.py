"""Who is believed about the client: trusted proxies by network, nobody else; and how the endpoint is told."""

import socket
from typing import Any

import pytest

from support.client import Target
from support.endpoints import OK, Endpoint, StartEndpoint, answering
from support.proxy import Rig, target_of
from support.snapshots import listener, pool, snapshot
from support.wire import Message, Wire, dial, talk

SAID = """X-Forwarded-For: 6.6.6.6, 192.0.2.9
X-Forwarded-Proto: https
X-Forwarded-Host: shop.example
X-Forwarded-Port: 443"""
TRUSTED = {"trusted_proxies": ["127.0.0.0/8", "10.0.0.0/8"]}


def ask(front: Target, lines: str, program: Endpoint) -> Message:
    """The request with these lines as the endpoint got it."""
    head = f"GET / HTTP/1.1\nHost: a.example:81\n{lines}".strip("\n").replace("\n", "\r\n")
    assert talk(front, head.encode("latin-1") + b"\r\n\r\n").status == 200
    return program.requests[-1]


def dial_from(front: Target, address: str) -> Wire:
    raw = socket.socket()
    raw.settimeout(10)
    raw.bind((address, 0))
    raw.connect((front.host, front.port or 0))
    return Wire(raw)


def values(request: Message, *names: str) -> list[list[str]]:
    return [request.values(f"x-forwarded-{name}") for name in names]


def test_a_trusted_proxy_is_added_to_what_it_says(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    request = ask(rig.serve(program, listener=TRUSTED), SAID, program)
    assert values(request, "for", "proto", "host", "port") == [
        ["6.6.6.6, 192.0.2.9, 127.0.0.1"],
        ["https"],
        ["shop.example"],
        ["443"],
    ]


def test_several_lines_become_one_in_order(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    lines = "X-Forwarded-For: 1.1.1.1\nAccept: a\nx-forwarded-for: [2001:db8::1]:80,unknown"
    request = ask(rig.serve(program, listener=TRUSTED), lines, program)
    assert values(request, "for") == [["1.1.1.1, [2001:db8::1]:80,unknown, 127.0.0.1"]]


def test_what_is_malformed_or_said_twice_is_replaced(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    front = rig.serve(program, listener=TRUSTED)
    lines = "X-Forwarded-For: 6.6.6.6, <script>\nX-Forwarded-Proto: gopher\nX-Forwarded-Host: a b\nX-Forwarded-Port: 0"
    twice = SAID.replace("\nX-Forwarded-Host", "\nX-Forwarded-Proto: https\nX-Forwarded-Host").replace("192.0.2.9", ",")
    ours = [["127.0.0.1"], ["http"], ["a.example:81"], [str(front.port)]]
    assert values(ask(front, lines, program), "for", "proto", "host", "port") == ours
    assert values(ask(front, twice, program), "for", "proto") == ours[:2]


@pytest.mark.parametrize("trusted", [[], ["10.0.0.0/8"], ["127.0.0.2"], ["::/0"]])
def test_nobody_else_is_believed(rig: Rig, endpoint: StartEndpoint, trusted: list[str]) -> None:
    program = endpoint(answering(OK))
    front = rig.serve(program, listener={"trusted_proxies": trusted})
    request = ask(front, SAID + "\nForwarded: for=6.6.6.6", program)
    assert values(request, "for", "proto", "host", "port") == [
        ["127.0.0.1"],
        ["http"],
        ["a.example:81"],
        [str(front.port)],
    ]
    assert rig.wait_log()[0]["client"] == "127.0.0.1"
    assert not request.values("forwarded")


@pytest.mark.parametrize(
    "name", ["X_Forwarded_For", "X-Forwarded_For", "X_FORWARDED_PROTO", "X-Real-IP", "X-Forwarded-Prefix"]
)
def test_aliases_are_dropped_even_of_trusted_proxies(rig: Rig, endpoint: StartEndpoint, name: str) -> None:
    program = endpoint(answering(OK))
    request = ask(rig.serve(program, listener=TRUSTED), f"{name}: 6.6.6.6", program)
    assert b"6.6.6.6" not in request.head


@pytest.mark.parametrize(
    ("said", "client"),
    [
        ("X-Forwarded-For: 6.6.6.6, 192.0.2.9", "192.0.2.9"),
        ("X-Forwarded-For: 6.6.6.6, 192.0.2.9, 10.0.0.3", "192.0.2.9"),
        ("X-Forwarded-For: 10.0.0.4, 10.0.0.3", "10.0.0.4"),
        ("X-Forwarded-For: 192.0.2.9:8080", "192.0.2.9"),
        ("X-Forwarded-For: evil", "127.0.0.1"),
        ("", "127.0.0.1"),
    ],
)
def test_the_log_names_the_rightmost_that_is_not_trusted(
    rig: Rig, endpoint: StartEndpoint, said: str, client: str
) -> None:
    program = endpoint(answering(OK))
    ask(rig.serve(program, listener=TRUSTED), said, program)
    assert rig.wait_log()[0]["client"] == client


def test_each_connection_is_trusted_by_its_own_address(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    front = rig.serve(program, listener={"trusted_proxies": ["127.0.0.2"]})
    sent = b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
    for address in ("127.0.0.2", "127.0.0.3"):
        with dial_from(front, address) as wire:
            wire.send(sent).read_answer()
    assert [request.values("x-forwarded-for") for request in program.requests] == [
        ["6.6.6.6, 127.0.0.2"],
        ["127.0.0.3"],
    ]


def test_requests_of_one_connection_may_have_different_senders(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    with dial(rig.serve(program, listener=TRUSTED)) as wire:
        for number in range(5):
            wire.send(f"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.{number}\r\n\r\n".encode()).read_answer()
    assert [line["client"] for line in rig.wait_log(5)] == [f"192.0.2.{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("how", "x", "forwarded"),
    [
        ("x-forwarded", ["127.0.0.1"], []),
        ("rfc7239", [], ['for=127.0.0.1;host="a.example:81";proto=http']),
        ("both", ["127.0.0.1"], ['for=127.0.0.1;host="a.example:81";proto=http']),
        ("none", [], []),
    ],
)
@pytest.mark.parametrize("trusted", [False, True])
def test_the_endpoint_is_told_as_configured(
    rig: Rig, endpoint: StartEndpoint, how: str, x: list[str], forwarded: list[str], *, trusted: bool
) -> None:
    program = endpoint(answering(OK))
    front: dict[str, Any] = {"forwarded": how} | (TRUSTED if trusted else {})
    request = ask(rig.serve(program, listener=front), "", program)
    assert (request.values("x-forwarded-for"), request.values("forwarded")) == (x, forwarded)
    told = [name.lower() for name, _ in request.fields if name.lower().startswith("x-forwarded")]
    assert bool(told) == bool(x)


def test_forwarded_of_a_trusted_proxy_is_kept_and_names_the_client(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    front = rig.serve(program, listener=TRUSTED | {"forwarded": "rfc7239"})
    said = 'for=6.6.6.6, for="[2001:db8::7]:4711";proto=https'
    request = ask(front, f"Forwarded: {said}\nForwarded: for=10.1.1.1\nX-Forwarded-For: 5.5.5.5", program)
    own = 'for=127.0.0.1;host="a.example:81";proto=http'
    assert request.values("forwarded") == [f"{said}, for=10.1.1.1, {own}"]
    assert rig.wait_log()[0]["client"] == "2001:db8::7"
    assert ask(front, 'Forwarded: for="1.2.3.4', program).values("forwarded") == [own]


def test_networks_that_are_none_are_problems(rig: Rig) -> None:
    address = rig.bind()
    front = listener(address, trusted_proxies=["10.0.0.0/8", "10.0.0.1/8", "localhost"])
    problems = rig.refuse(snapshot([front], [pool()]))
    assert [problem["place"] for problem in problems] == ["listeners.front.trusted_proxies"] * 2
    assert "10.0.0.1/8" in problems[0]["what"]


def test_trust_is_that_of_the_listener(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    inner, outer = rig.bind(), rig.bind()
    listeners = [listener(inner, name="inner", **TRUSTED), listener(outer, name="outer")]
    rig.apply(snapshot(listeners, [pool(program.entry)]))
    assert values(ask(target_of(inner), SAID, program), "proto") == [["https"]]
    assert values(ask(target_of(outer), SAID, program), "proto") == [["http"]]
