"""What of a request reaches the endpoint: all of it, byte for byte, but what the proxy owns."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.endpoints import OK, Endpoint, StartEndpoint, answering, head_and_body
from support.proxy import Rig, target_of
from support.snapshots import listener, pool, snapshot
from support.wire import Message, dial, talk

ODD_TARGETS = [
    "/",
    "/a%2Fb",
    "/a%2fb",
    "//double//slash/",
    "/a;b=c;d",
    "/a/../b/./c",
    "/?",
    "/?a=1&a=2&%20=+",
    "/%00%ff%zz",
    "/~user/(x)'!*,:@&=+$",
    "/a?b?c=/d//e",
    '/a|b[c]{d}^`\\"<>',
]
OWNED = ["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Port"]
SPOOFS = [
    *OWNED,
    "Forwarded",
    "X-Real-IP",
    "X-Forwarded-Prefix",
    "X-Forwarded-Server",
    "x-forwarded-for",
    "X-FORWARDED-HOST",
    "X_Forwarded_For",
    "X_Forwarded_Host",
    "X-Forwarded_Proto",
    "x_real_ip",
    "X_Forwarded_Prefix",
]


Forward = Callable[..., Message]
"""Send a request through the proxy; it as the endpoint got it."""


@pytest.fixture
def forwarded(rig: Rig, endpoint: StartEndpoint) -> Forward:
    program = endpoint(answering(OK))
    front = rig.serve(program)

    def forward(head: str, body: bytes = b"") -> Message:
        sent = head.replace("\n", "\r\n").encode("latin-1") + b"\r\n\r\n" + body
        assert talk(front, sent).status == 200
        return program.wait_requests(1)[-1]

    return forward


@pytest.mark.parametrize("target", ODD_TARGETS)
def test_a_target_arrives_byte_for_byte(forwarded: Forward, target: str) -> None:
    assert forwarded(f"GET {target} HTTP/1.1\nHost: a").line == f"GET {target} HTTP/1.1"


def test_an_absolute_target_arrives_as_it_was_sent(forwarded: Forward) -> None:
    request = forwarded("GET http://a.example:81/x?y HTTP/1.1\nHost: a.example:81")
    assert request.line == "GET http://a.example:81/x?y HTTP/1.1"
    assert request.values("host") == ["a.example:81"]


def test_the_asterisk_of_options_arrives(forwarded: Forward) -> None:
    assert forwarded("OPTIONS * HTTP/1.1\nHost: a").line == "OPTIONS * HTTP/1.1"


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "PROPFIND", "M-SEARCH", "get"])
def test_a_method_arrives_as_it_was_sent(forwarded: Forward, method: str) -> None:
    assert forwarded(f"{method} / HTTP/1.1\nHost: a").line == f"{method} / HTTP/1.1"


@pytest.mark.parametrize("host", ["a", "A.Example.ORG", "a.example:8772", "127.0.0.1:1", "[::1]:8443", "a_b"])
def test_the_host_arrives_as_it_was_sent(forwarded: Forward, host: str) -> None:
    request = forwarded(f"GET / HTTP/1.1\nHost: {host}")
    assert request.values("host") == request.values("x-forwarded-host") == [host]


def test_fields_keep_their_order_their_repeats_and_their_spelling(forwarded: Forward) -> None:
    sent = ["X-b: 2", "Accept: a", "x-A: 1", "accept: b", "Cookie: c=1", "X-Empty:", "Cookie: d=2", "X-b: \xe4\xff"]
    request = forwarded("\n".join(["GET / HTTP/1.1", "X-First: 0", "Host: a", *sent]))
    own = [pair for pair in request.fields if pair[0] not in OWNED]
    assert own == [
        ("X-First", "0"),
        ("Host", "a"),
        *[(line.split(":")[0], line.split(":")[1].strip()) for line in sent],
    ]


def test_a_body_arrives_byte_for_byte(forwarded: Forward) -> None:
    body = bytes(range(256)) * 300 + b"\r\n0\r\n\r\nGET / HTTP/1.1\r\n\r\n"
    request = forwarded(f"POST / HTTP/1.1\nHost: a\nContent-Length: {len(body)}", body)
    assert request.body == body
    assert request.values("content-length") == [str(len(body))]


def test_chunks_arrive_with_the_same_payload_and_without_extensions_and_trailers(forwarded: Forward) -> None:
    chunks = b'5;a=b\r\nhello\r\n00A;q="x"\r\n, world!!!\r\n0\r\nX-Trailer: 1\r\nContent-Length: 3\r\n\r\n'
    request = forwarded("POST / HTTP/1.1\nHost: a\nTransfer-Encoding: chunked\nTrailer: X-Trailer", chunks)
    assert request.body == b"hello, world!!!"
    assert request.values("transfer-encoding") == ["chunked"]
    assert not request.values("content-length")
    assert not request.values("trailer")


def test_the_endpoint_is_told_the_client_exactly_once(forwarded: Forward) -> None:
    request = forwarded("GET / HTTP/1.1\nHost: ex.org:1234")
    assert {name: request.values(name) for name in OWNED} == {
        "X-Forwarded-For": ["127.0.0.1"],
        "X-Forwarded-Proto": ["http"],
        "X-Forwarded-Host": ["ex.org:1234"],
        "X-Forwarded-Port": request.values("x-forwarded-port")[:1],
    }


def test_the_forwarded_port_is_that_of_the_listener(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    front = rig.serve(program)
    talk(front, b"GET / HTTP/1.1\r\nHost: a:9\r\n\r\n")
    assert program.requests[0].values("x-forwarded-port") == [str(front.port)]


@pytest.mark.parametrize("name", SPOOFS)
@pytest.mark.parametrize("repeats", [1, 2])
def test_what_a_client_claims_of_itself_is_gone(forwarded: Forward, name: str, repeats: int) -> None:
    lines = [f"{name}: 6.6.6.6"] * repeats
    request = forwarded("\n".join(["GET / HTTP/1.1", "Host: a", *lines, "X-Kept: 1"]))
    assert b"6.6.6.6" not in request.head
    assert [len(request.values(own)) for own in OWNED] == [1, 1, 1, 1]
    assert request.values("x-kept") == ["1"]


@pytest.mark.parametrize("name", OWNED)
def test_connection_cannot_strip_what_the_proxy_sets(forwarded: Forward, name: str) -> None:
    request = forwarded(f"GET / HTTP/1.1\nHost: a\nConnection: {name}, close\n{name}: 6.6.6.6")
    assert len(request.values(name)) == 1
    assert b"6.6.6.6" not in request.head


def test_connection_cannot_strip_what_the_message_is(forwarded: Forward) -> None:
    lines = "Connection: host, content-length, authorization, cookie\nContent-Length: 2\nAuthorization: x\nCookie: y"
    request = forwarded(f"POST / HTTP/1.1\nHost: a\n{lines}", b"hi")
    assert request.body == b"hi"
    named = ("host", "content-length", "authorization", "cookie")
    assert [request.values(name) for name in named] == [["a"], ["2"], ["x"], ["y"]]


def test_fields_of_one_hop_end_at_the_proxy(forwarded: Forward) -> None:
    hop = "Keep-Alive: 5\nProxy-Connection: keep-alive\nTE: trailers\nTrailer: X-T\nUpgrade: nothing"
    request = forwarded(f"GET / HTTP/1.1\nHost: a\n{hop}\nConnection: X-One , x-two\nX-One: 1\nX-Two: 2\nX-Three: 3")
    names = {name.lower() for name, _ in request.fields}
    assert not names & {"keep-alive", "proxy-connection", "te", "trailer", "upgrade", "x-one", "x-two"}
    assert request.values("x-three") == ["3"]


def test_a_request_of_an_old_client_arrives_as_one_of_today(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    front = rig.serve(program)
    assert talk(front, b"GET /old HTTP/1.0\r\nHost: a\r\n\r\n").status == 200
    assert program.requests[0].line == "GET /old HTTP/1.1"


def test_a_client_on_a_unix_socket_is_served(rig: Rig, endpoint: StartEndpoint, short_path: Path) -> None:

    program = endpoint(answering(OK))
    address = rig.bind(short_path / "front.sock")
    rig.apply(snapshot([listener(address)], [pool(program.entry)]))
    assert talk(target_of(address), b"GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n").status == 200
    assert b"6.6.6.6" not in program.requests[0].head


def test_a_body_in_small_pieces_arrives_whole(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    front = rig.serve(program)
    body = b"piece by piece"
    with dial(front) as wire:
        wire.send(b"POST / HT", b"TP/1.1\r\nHo", b"st: a\r\nContent-Length: 14\r", b"\n\r\n")
        for byte in body:
            wire.send(bytes([byte]))
        assert wire.read_answer().status == 200
    assert program.requests[0].body == body


def test_an_endpoint_on_a_port_is_reached_too(rig: Rig) -> None:

    with Endpoint(answering(head_and_body(b"by tcp"))) as program:
        front = rig.serve(program)
        assert talk(front, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").body == b"by tcp"
