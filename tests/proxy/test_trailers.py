"""Trailers of chunked bodies: dropped, unless the route keeps them; then only fields that may follow a body."""

import pytest

from support.client import Target
from support.endpoints import OK, Endpoint, StartEndpoint, answering, answering_slowly
from support.proxy import Rig, target_of
from support.snapshots import listener, pool, route, snapshot
from support.wire import dial, talk

POST = b"POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
FORBIDDEN = [
    "Content-Length: 7",
    "Transfer-Encoding: chunked",
    "Host: evil",
    "Authorization: Basic x",
    "Cookie: a=b",
    "Set-Cookie: a=b",
    "Connection: close",
    "X-Forwarded-For: 6.6.6.6",
    "X_Forwarded_For: 6.6.6.6",
    "Forwarded: for=6.6.6.6",
    "Content-Type: text/html",
    "Trailer: X-Other",
]


def serve(rig: Rig, program: Endpoint, *, trailers: bool = True) -> Target:
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(program.entry)], routes=[route(trailers=trailers)]))
    return target_of(address)


def ending(*lines: str) -> bytes:
    return b"2;x=y\r\nhi\r\n0\r\n" + "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


def test_trailers_of_a_request_reach_the_endpoint(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    assert talk(serve(rig, program), POST + ending("X-Sum:  1 ", "grpc-status: 0")).status == 200
    assert program.received.endswith(b"\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\ngrpc-status: 0\r\n\r\n")
    request = program.requests[0]
    assert [request.values(name) for name in ("trailer", "te", "connection")] == [["X-Sum"], ["trailers"], ["TE"]]


def test_trailers_of_an_answer_reach_the_client(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(CHUNKED + ending("X-Sum: 1")))
    with dial(serve(rig, program)) as wire:
        for _ in range(2):
            assert wire.send(GET).read_answer().values("trailer") == ["X-Sum"]
            assert bytes(wire.received).endswith(b"\r\n2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n")
    assert len(program.connections) == 1


def test_without_the_word_of_the_route_they_are_dropped_in_both_directions(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(CHUNKED + ending("X-Sum: 1")))
    with dial(serve(rig, program, trailers=False)) as wire:
        answer = wire.send(POST + ending("X-Sum: 1")).read_answer()
        assert b"X-Sum" not in wire.received
    assert not answer.values("trailer")
    assert b"X-Sum" not in program.received
    assert not program.requests[0].values("te")


@pytest.mark.parametrize("line", FORBIDDEN)
def test_fields_that_belong_before_a_body_are_dropped(rig: Rig, endpoint: StartEndpoint, line: str) -> None:
    program = endpoint(answering(CHUNKED + ending(line, "X-Sum: 1")))
    with dial(serve(rig, program)) as wire:
        wire.send(POST + ending(line, "X-Sum: 1")).read_answer()
        assert bytes(wire.received).endswith(b"0\r\nX-Sum: 1\r\n\r\n")
    assert program.received.endswith(b"0\r\nX-Sum: 1\r\n\r\n")


@pytest.mark.parametrize("line", ["no colon", "X : 1", ": 1", "X: \x7f"])
def test_a_request_with_malformed_trailers_is_refused(rig: Rig, endpoint: StartEndpoint, line: str) -> None:
    program = endpoint(answering(OK))
    assert talk(serve(rig, program), POST + ending(line)).status == 400
    assert not program.requests


def test_an_answer_with_malformed_trailers_is_refused_or_cut(rig: Rig, endpoint: StartEndpoint) -> None:
    whole = CHUNKED + ending("no colon")
    assert talk(serve(rig, endpoint(answering(whole))), GET).status == 502
    begun = len(CHUNKED) + len(b"2;x=y\r\nhi\r\n")
    with dial(serve(rig, endpoint(answering_slowly(whole[:begun], whole[begun:], pause=0.1)))) as wire:
        wire.send(GET)
        assert wire.closed_within(3)
        assert bytes(wire.received).endswith(b"2\r\nhi\r\n")
    assert [line["cause"] for line in rig.wait_log(2)] == ["malformed_answer"] * 2


def test_an_old_client_gets_the_body_without_trailers(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(CHUNKED + ending("X-Sum: 1")))
    answer = talk(serve(rig, program), b"GET / HTTP/1.0\r\nHost: a\r\n\r\n")
    assert answer.body == b"hi"
    assert not answer.values("trailer")


def test_trailers_come_in_pieces_and_are_bounded(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    front = serve(rig, program)
    with dial(front) as wire:
        wire.send(POST, b"2\r\nhi\r\n0\r\nX-S", b"um: 1\r", b"\n", b"\r", b"\n")
        assert wire.read_answer().status == 200
    assert program.received.endswith(b"0\r\nX-Sum: 1\r\n\r\n")
    assert talk(front, POST + ending(*["X-Long: " + "x" * 1000] * 5)).status == 400
