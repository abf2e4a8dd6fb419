"""Requests that two parsers could read differently: refused, the connection closed, and never seen by an endpoint."""

import random
import re

import pytest

from support.client import Target, exchange
from support.endpoints import OK, StartEndpoint, answering
from support.proxy import Rig, target_of
from support.snapshots import listener, pool, route, snapshot
from support.wire import Message, dial

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"


def request(*lines: str, line: str = "GET / HTTP/1.1", host: str = "Host: a") -> bytes:
    """A request with these lines behind a valid start."""
    return "\r\n".join([line, *([host] if host else []), *lines, "", ""]).encode("latin-1")


BAD_REQUESTS = {
    # The request line.
    "no target": request(line="GET HTTP/1.1"),
    "two spaces before the target": request(line="GET  / HTTP/1.1"),
    "two spaces behind the target": request(line="GET /  HTTP/1.1"),
    "a space in the target": request(line="GET /a b HTTP/1.1"),
    "a tab in the target": request(line="GET /a\tb HTTP/1.1"),
    "a leading space": request(line=" GET / HTTP/1.1"),
    "a fragment in the target": request(line="GET /a#b HTTP/1.1"),
    "a raw byte in the target": request(line="GET /\xe4 HTTP/1.1"),
    "a NUL in the target": request(line="GET /\0 HTTP/1.1"),
    "a relative target": request(line="GET a/b HTTP/1.1"),
    "an authority as target": request(line="GET a:80 HTTP/1.1"),
    "an asterisk outside of OPTIONS": request(line="GET * HTTP/1.1"),
    "an unknown scheme": request(line="GET ftp://a/ HTTP/1.1"),
    "an absolute target that disagrees with Host": request(line="GET http://b/ HTTP/1.1"),
    "an absolute target with userinfo": request(line="GET http://u@a/ HTTP/1.1"),
    "a method that is no token": request(line="G(T / HTTP/1.1"),
    "a version in lower case": request(line="GET / http/1.1"),
    "a version with a letter": request(line="GET / HTTP/1.x"),
    "a version of two digits": request(line="GET / HTTP/1.10"),
    "no version": request(line="GET /"),
    "words behind the version": request(line="GET / HTTP/1.1 x"),
    "HTTP/0.9": b"GET /\r\n\r\n",
    # Line ends.
    "bare LF as line ends": b"GET / HTTP/1.1\nHost: a\n\n",
    "one bare LF in the head": b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
    "a bare CR in a value": request("X: a\rY: b"),
    "a bare CR as line end": b"GET / HTTP/1.1\rHost: a\r\r\n\r\n",
    "a CR too many": b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n",
    # Fields.
    "no Host": request(host=""),
    "two Hosts": request("Host: a"),
    "two different Hosts": request("Host: b"),
    "an empty Host": request(host="Host:"),
    "a Host with a space": request(host="Host: a b"),
    "a Host with a slash": request(host="Host: a/b"),
    "a Host with userinfo": request(host="Host: u@a"),
    "a Host with a bad port": request(host="Host: a:8x"),
    "a Host with two ports": request(host="Host: a:1:2"),
    "a Host that is a list": request(host="Host: a, b"),
    "a Host with an open bracket": request(host="Host: [::1"),
    "a space before the colon": request("X : b"),
    "a tab before the colon": request("X\t: b"),
    "Content-Length with a space before the colon": request("Content-Length : 3") + b"abc",
    "an empty field name": request(": b"),
    "a field without colon": request("nothing"),
    "a field name with a space": request("X Y: b"),
    "a field name with a raw byte": request("X\xe4: b"),
    "a folded field": request("X: a", " b"),
    "a folded field by tab": request("X: a", "\tb"),
    "a fold before the first field": request(host=" Host: a"),
    "a NUL in a value": request("X: a\0b"),
    "a control in a value": request("X: a\x01b"),
    # Framing.
    "Content-Length and chunked": request("Content-Length: 5", "Transfer-Encoding: chunked") + b"0\r\n\r\n" + SMUGGLED,
    "chunked and Content-Length": request("Transfer-Encoding: chunked", "Content-Length: 5") + b"0\r\n\r\n" + SMUGGLED,
    "two equal lengths": request("Content-Length: 3", "Content-Length: 3") + b"abc",
    "two different lengths": request("Content-Length: 3", "Content-Length: 0") + b"abc",
    "a list of lengths": request("Content-Length: 3, 3") + b"abc",
    "a signed length": request("Content-Length: +3") + b"abc",
    "a negative length": request("Content-Length: -1"),
    "a hexadecimal length": request("Content-Length: 0x3") + b"abc",
    "a length with a point": request("Content-Length: 3.0") + b"abc",
    "a length with a space": request("Content-Length: 3 0") + b"abc",
    "an empty length": request("Content-Length:"),
    "a length past 64 bits": request("Content-Length: 18446744073709551619") + b"abc",
    "a huge length": request("Content-Length: 99999999999999999999999") + b"abc",
    "chunked twice": request("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunked twice in a list": request("Transfer-Encoding: chunked, chunked") + b"0\r\n\r\n",
    "chunked with a vertical tab": request("Transfer-Encoding: \x0bchunked") + b"0\r\n\r\n",
    "chunked with a letter too many": request("Transfer-Encoding: xchunked") + b"0\r\n\r\n",
    "chunked in quotes": request('Transfer-Encoding: "chunked"') + b"0\r\n\r\n",
    "chunked with a parameter": request("Transfer-Encoding: chunked;q=1") + b"0\r\n\r\n",
    "chunked that is not last": request("Transfer-Encoding: chunked, gzip") + b"0\r\n\r\n",
    "an empty coding": request("Transfer-Encoding:") + b"0\r\n\r\n",
    "chunked on HTTP/1.0": request("Transfer-Encoding: chunked", line="POST / HTTP/1.0") + b"0\r\n\r\n",
}
OTHER_REFUSALS = {
    "an unknown coding": (501, request("Transfer-Encoding: gzip") + b"abc"),
    "the coding identity": (501, request("Transfer-Encoding: identity")),
    "CONNECT": (501, request(line="CONNECT a:443 HTTP/1.1")),
    "HTTP/2.0": (505, request(line="GET / HTTP/2.0")),
    "HTTP/1.2": (505, request(line="GET / HTTP/1.2")),
    "the preface of HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "too many fields": (431, request(*(f"X-{number}: 1" for number in range(101)))),
    "a head that is too large": (431, request(*(f"X-{number}: {'x' * 1000}" for number in range(40)))),
    "a target that is too large": (431, request(line=f"GET /{'x' * 40_000} HTTP/1.1")),
    "a head that is too large and never ends": (431, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 40_000),
}
BAD_CHUNKS = {
    "no size": b"\r\nhello\r\n0\r\n\r\n",
    "a size that is no number": b"g\r\nhello\r\n0\r\n\r\n",
    "a signed size": b"+5\r\nhello\r\n0\r\n\r\n",
    "a size with 0x": b"0x5\r\nhello\r\n0\r\n\r\n",
    "a space behind the size": b"5 \r\nhello\r\n0\r\n\r\n",
    "a size past 64 bits": b"10000000000000005\r\nhello\r\n0\r\n\r\n",
    "a size line that ends in LF": b"5\nhello\r\n0\r\n\r\n",
    "an extension that ends in LF": b"5;x\nhello\r\n0\r\n\r\n",
    "a chunk that is too long": b"4\r\nhello\r\n0\r\n\r\n",
    "a chunk that ends in LF": b"5\r\nhello\n0\r\n\r\n",
    "an extension without end": b"5;" + b"x" * 10_000,
    "a folded trailer": b"0\r\n x\r\n\r\n",
    "a trailer that ends in LF": b"0\r\nX: y\n\r\n",
}


@pytest.fixture
def front(rig: Rig, endpoint: StartEndpoint) -> Target:
    return rig.serve(endpoint(answering(OK), "program"))


def refused(rig: Rig, front: Target, sent: bytes) -> int:
    """The status of the only answer, behind which the connection is closed; no endpoint has been connected to."""
    received = exchange(front, sent, deadline=5)
    head, _, rest = received.partition(b"\r\n\r\n")
    answer = Message(head + b"\r\n\r\n")
    assert "close" in [value.lower() for value in answer.values("connection")], received
    assert len(rest) == int(answer.values("content-length")[0]), "one answer and no more"
    assert rig.endpoint_stats()["program"]["connects"] == 0
    return answer.status


@pytest.mark.parametrize("what", BAD_REQUESTS)
def test_a_malformed_request_is_refused(rig: Rig, front: Target, what: str) -> None:
    assert refused(rig, front, BAD_REQUESTS[what]) == 400


@pytest.mark.parametrize("what", OTHER_REFUSALS)
def test_what_is_not_offered_is_refused_by_its_own_status(rig: Rig, front: Target, what: str) -> None:
    status, sent = OTHER_REFUSALS[what]
    assert refused(rig, front, sent) == status


@pytest.mark.parametrize("what", BAD_CHUNKS)
def test_a_malformed_chunk_ends_the_connection_and_never_a_request(
    rig: Rig, endpoint: StartEndpoint, what: str
) -> None:
    program = endpoint(answering(OK))
    head = request("Transfer-Encoding: chunked", line="POST / HTTP/1.1")
    received = exchange(rig.serve(program), head + BAD_CHUNKS[what] + SMUGGLED, deadline=5)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1 ") == 1
    program.wait_closed()
    assert not program.requests
    assert b"/smuggled" not in program.received


def test_what_follows_a_refused_request_is_never_read(rig: Rig, front: Target) -> None:
    assert refused(rig, front, request("X : 1") + SMUGGLED) == 400


def test_a_good_request_before_a_malformed_one_is_answered(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    received = exchange(rig.serve(program), request() + request(host="") + SMUGGLED)
    assert re.findall(rb"HTTP/1\.1 (\d+)", received) == [b"200", b"400"]
    assert len(program.heads) == 1


def test_empty_lines_before_a_request_line_are_no_request(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    with dial(rig.serve(program)) as wire:
        wire.send(b"\r\n" + request()).read_answer()
    assert len(program.heads) <= 1


def test_the_refusal_tells_a_client_that_still_sends(front: Target) -> None:
    with dial(front) as wire:
        wire.send(b"POST / HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n", b"x" * 200_000)
        assert wire.read_answer().status == 400


def serve_limited(rig: Rig, endpoint: StartEndpoint, **limits: int) -> Target:
    return rig.serve(endpoint(answering(OK), "program"), listener={"limits": limits})


@pytest.mark.parametrize(("count", "status"), [(9, 200), (10, 431)])
def test_as_many_fields_as_allowed_pass_and_one_more_does_not(
    rig: Rig, endpoint: StartEndpoint, count: int, status: int
) -> None:
    with dial(serve_limited(rig, endpoint, headers=10)) as wire:
        wire.send(request(*(f"X-{number}: 1" for number in range(count))))
        assert wire.read_answer().status == status


@pytest.mark.parametrize(("more", "status"), [(0, 200), (1, 431)])
def test_a_head_as_large_as_allowed_passes_and_a_byte_more_does_not(
    rig: Rig, endpoint: StartEndpoint, more: int, status: int
) -> None:
    padding = "x" * (1024 - len(request("X: ")) + more)
    with dial(serve_limited(rig, endpoint, head_bytes=1024)) as wire:
        assert wire.send(request(f"X: {padding}")).read_answer().status == status


def test_an_announced_body_that_is_too_large_is_refused_at_once(rig: Rig, endpoint: StartEndpoint) -> None:
    front = serve_limited(rig, endpoint, body_bytes=1000)
    assert refused(rig, front, request("Content-Length: 1001", line="POST / HTTP/1.1")) == 413


def test_a_body_as_large_as_allowed_passes(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(serve_limited(rig, endpoint, body_bytes=1000)) as wire:
        wire.send(request("Content-Length: 1000", line="POST / HTTP/1.1"), b"x" * 1000)
        assert wire.read_answer().status == 200


def test_chunks_that_grow_past_the_bound_are_cut(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    front = rig.serve(program, listener={"limits": {"body_bytes": 1000}})
    with dial(front) as wire:
        wire.send(request("Transfer-Encoding: chunked", line="POST / HTTP/1.1"))
        for _ in range(11):
            wire.send(b"64\r\n" + b"x" * 100 + b"\r\n")
        assert wire.read_answer().status == 413
        assert wire.closed_within(5)
    program.wait_closed()
    assert not program.requests


def test_a_method_that_is_not_listed_is_refused_and_its_connection_stays_in_order(
    rig: Rig, endpoint: StartEndpoint
) -> None:
    program = endpoint(answering(OK))
    with dial(rig.serve(program, listener={"methods": ["GET", "HEAD"]})) as wire:
        assert wire.send(request()).read_answer().status == 200
        answer = wire.send(request("Content-Length: 0", line="DELETE / HTTP/1.1")).read_answer()
        assert answer.status == 405
        assert answer.values("allow") == ["GET, HEAD"]
    assert [head.split()[0] for head in program.heads] == [b"GET"]


def test_a_request_that_no_route_matches_is_refused(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    address = rig.bind()
    routes = [route(hosts=["a.example"], paths=["/api"])]
    rig.apply(snapshot([listener(address)], [pool(program.entry)], routes=routes))
    statuses = []
    with dial(target_of(address)) as wire:
        for host, path in [("a.example", "/api"), ("A.Example:81", "/api/x"), ("b", "/api"), ("a.example", "/apix")]:
            statuses.append(wire.send(request(line=f"GET {path} HTTP/1.1", host=f"Host: {host}")).read_answer().status)
    assert statuses == [200, 200, 404, 404]


def mutated(rng: random.Random) -> bytes:
    """A valid request with a body, spoiled in one to three places."""
    spoiled = bytearray(
        b"POST /a?b HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nConnection: keep-alive\r\nX-One: 1\r\n\r\nhello"
        if rng.random() < 0.5
        else b"POST /a?b HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-One: 1\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n"
    )
    odd = [
        b"\r",
        b"\n",
        b"\0",
        b" ",
        b"\t",
        b":",
        b"\x0b",
        b"\xff",
        b",",
        b";",
        b"0",
        b"Content-Length: 0\r\n",
        b"\r\n",
    ]
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(spoiled))
        match rng.randrange(4):
            case 0:
                spoiled[at] = rng.randrange(256)
            case 1:
                del spoiled[at : at + rng.randint(1, 4)]
            case 2:
                spoiled[at:at] = rng.choice(odd)
            case _:
                spoiled[at:at] = spoiled[at : at + rng.randint(1, 20)]
    return bytes(spoiled)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(4))
def test_no_spoiled_request_kills_the_proxy_or_becomes_two(rig: Rig, endpoint: StartEndpoint, seed: int) -> None:
    program = endpoint(answering(OK))
    front = rig.serve(program, listener={"timeouts": {"head_ms": 1000, "body_ms": 1000}})
    rng = random.Random(seed)
    for number in range(500):
        sent = mutated(rng)
        # Its end is closed so that what is incomplete is given up at once.
        received = exchange(front, sent, half_close=True)
        assert received.count(b"HTTP/1.1 200 ") <= 1, (number, sent, received)
    assert len(program.heads) <= 500
    assert rig.proxy.running
    assert exchange(front, request("Connection: close")).startswith(b"HTTP/1.1 200 OK\r\n")
