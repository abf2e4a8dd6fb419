"""What of an answer reaches the client, and how the connections on both sides go on after it."""

import pytest

from support.client import exchange
from support.endpoints import (
    OK,
    Endpoint,
    StartEndpoint,
    answering,
    answering_early,
    answering_slowly,
    closing_after,
    head_and_body,
    held,
)
from support.proxy import Rig
from support.wire import Wire, dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def test_an_answer_arrives_with_its_fields_in_order(rig: Rig, endpoint: StartEndpoint) -> None:
    fields = ["Set-Cookie: a=1", "X-b: 2", "set-cookie: b=2", "Server: x", "Date: Tue, 24 Nov 2026 10:00:00 GMT"]
    answer = talk(rig.serve(endpoint(answering(head_and_body(b"hi", *fields, status="299 Very Odd")))), GET)
    assert answer.line == "HTTP/1.1 299 Very Odd"
    assert [f"{name}: {value}" for name, value in answer.fields if name != "Content-Length"] == fields
    assert answer.body == b"hi"


def test_fields_of_one_hop_of_an_answer_end_at_the_proxy(rig: Rig, endpoint: StartEndpoint) -> None:
    fields = ["Connection: X-Private", "X-Private: 1", "Keep-Alive: timeout=5", "Proxy-Connection: x", "X-Public: 1"]
    answer = talk(rig.serve(endpoint(answering(head_and_body(b"", *fields)))), GET)
    names = {name.lower() for name, _ in answer.fields}
    assert not names & {"x-private", "keep-alive", "proxy-connection"}
    assert "x-public" in names


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
def test_an_answer_without_body_leaves_the_connection_in_order(rig: Rig, endpoint: StartEndpoint, status: str) -> None:
    bare = f"HTTP/1.1 {status}\r\nETag: x\r\n\r\n".encode()
    with dial(rig.serve(endpoint(answering(bare, OK)))) as wire:
        assert wire.send(GET).read_answer().line == f"HTTP/1.1 {status}"
        assert wire.send(GET).read_answer().body == b"ok"


def test_a_304_may_tell_the_length_it_would_have_had(rig: Rig, endpoint: StartEndpoint) -> None:
    bare = b"HTTP/1.1 304 Not Modified\r\nContent-Length: 1000\r\n\r\n"
    with dial(rig.serve(endpoint(answering(bare, OK)))) as wire:
        assert wire.send(GET).read_answer().status == 304
        assert wire.send(GET).read_answer().body == b"ok"


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_the_answer_to_head_has_no_body(rig: Rig, endpoint: StartEndpoint, framing: str) -> None:
    head = f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n".encode()
    with dial(rig.serve(endpoint(answering(head, OK)))) as wire:
        answer = wire.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n").read_answer("HEAD")
        assert framing in answer.head.decode()
        assert wire.send(GET).read_answer().body == b"ok"


def test_a_chunked_answer_arrives_chunked_without_extensions_and_trailers(rig: Rig, endpoint: StartEndpoint) -> None:
    sent = CHUNKED + b"5;x=y\r\nhello\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\n"
    with dial(rig.serve(endpoint(answering(sent, OK)))) as wire:
        answer = wire.send(GET).read_answer()
        assert answer.values("transfer-encoding") == ["chunked"]
        assert answer.body == b"hello!"
        assert b"X-Trailer" not in wire.received
        assert b"x=y" not in wire.received
        assert wire.send(GET).read_answer().body == b"ok"


def test_an_answer_that_ends_with_its_connection_arrives_whole(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(closing_after(b"HTTP/1.1 200 OK\r\nX-One: 1\r\n\r\nuntil the end"))
    answer = talk(rig.serve(program), GET)
    assert answer.body == b"until the end"
    assert answer.values("x-one") == ["1"]


def test_an_answer_of_an_http_10_program_arrives_whole(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(closing_after(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok"))
    with dial(rig.serve(program)) as wire:
        first, second = wire.send(GET).read_answer(), wire.send(GET).read_answer()
    assert first.line == second.line == "HTTP/1.1 200 OK"
    assert first.body == second.body == b"ok"
    assert len(program.connections) == 2


def test_an_old_client_gets_a_chunked_answer_unchunked_until_the_close(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(answering(CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n")))
    for keep_alive in (b"", b"Connection: keep-alive\r\n"):
        received = exchange(front, b"GET / HTTP/1.0\r\nHost: a\r\n" + keep_alive + b"\r\n")
        head, _, body = received.partition(b"\r\n\r\n")
        assert b"chunked" not in head
        assert b"keep-alive" not in head
        assert body == b"hello!"


def test_an_old_client_that_asks_for_it_keeps_its_connection(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(answering(OK)))
    asked = b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n"
    with dial(front) as wire:
        first = wire.send(asked).read_answer()
        assert [value.lower() for value in first.values("connection")] == ["keep-alive"]
        assert wire.send(asked).read_answer().body == b"ok"


def test_an_old_client_that_does_not_ask_is_closed(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(answering(OK)))
    assert exchange(front, b"GET / HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\nok")


def test_a_client_that_asks_for_it_is_closed(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(OK))
    received = exchange(rig.serve(program), b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert received.endswith(b"\r\n\r\nok")
    assert b"connection: close" in received.lower()
    assert "close" not in [value.lower() for value in program.requests[0].values("connection")]


def test_interim_answers_arrive_before_the_final_one(rig: Rig, endpoint: StartEndpoint) -> None:
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n"
    with dial(rig.serve(endpoint(answering(hints + b"HTTP/1.1 102 Processing\r\n\r\n" + OK)))) as wire:
        wire.send(GET)
        answers = [wire.read_answer() for _ in range(3)]
    assert [answer.status for answer in answers] == [103, 102, 200]
    assert answers[0].values("link") == ["</a.css>"]


def test_an_old_client_gets_no_interim_answers(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(answering(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK)))
    assert exchange(front, b"GET / HTTP/1.0\r\nHost: a\r\n\r\n").startswith(b"HTTP/1.1 200 OK\r\n")


def test_a_client_waits_for_the_endpoint_to_say_continue(rig: Rig, endpoint: StartEndpoint) -> None:
    def consenting(wire: Wire, endpoint: Endpoint) -> None:
        head = endpoint.take_head(wire)
        assert head is not None
        wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        wire.send(head_and_body(wire.read_body(head)))

    program = endpoint(consenting)
    with dial(rig.serve(program)) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert wire.read_answer().status == 100
        assert wire.send(b"hello").read_answer().body == b"hello"
    assert b"100-continue" in program.heads[0]


def test_a_refusal_instead_of_continue_arrives_and_the_body_is_never_taken_for_a_request(
    rig: Rig, endpoint: StartEndpoint
) -> None:
    program = endpoint(answering_early(head_and_body(b"no", status="417 Expectation Failed")))
    with dial(rig.serve(program)) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 27\r\n\r\n")
        assert wire.read_answer().status == 417
        wire.send(GET)  # 27 bytes, which are the body that was announced
        wire.closed_within(0.5)  # it may be closed or read to its end, but nothing more is answered
        assert not wire.pending
    assert len(program.heads) == 1


def test_an_early_final_answer_arrives_while_the_client_still_sends(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering_early(head_and_body(b"too much", status="413 Content Too Large")))
    with dial(rig.serve(program)) as wire:
        wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n", b"x" * 1000)
        answer = wire.read_answer()
        assert (answer.status, answer.body) == (413, b"too much")


def test_after_an_early_answer_the_connection_to_the_endpoint_is_not_used_again(
    rig: Rig, endpoint: StartEndpoint
) -> None:
    program = endpoint(answering_early(OK))
    front = rig.serve(program)
    for _ in range(2):
        with dial(front) as wire:
            wire.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n")
            assert wire.read_answer().status == 200
    assert len(program.connections) == 2


@pytest.mark.parametrize("count", [2, 50])
def test_pipelined_requests_are_answered_in_order(rig: Rig, endpoint: StartEndpoint, count: int) -> None:
    bodies = [b"answer %d" % number for number in range(count)]
    front = rig.serve(endpoint(answering(*(head_and_body(body) for body in bodies))))
    requests = [b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" % number for number in range(count)]
    with dial(front) as wire:
        wire.send(b"".join(requests))
        assert [wire.read_answer().body for _ in requests] == bodies


def test_a_slow_answer_arrives_as_it_comes(rig: Rig, endpoint: StartEndpoint) -> None:
    pieces = [CHUNKED, b"1\r\na\r\n", b"1\r\nb\r\n0\r\n\r\n"]
    with dial(rig.serve(endpoint(answering_slowly(*pieces, pause=0.3)))) as wire:
        wire.send(GET)
        wire.read_head()
        assert not wire.pending  # the rest has not been sent yet: the head did not wait for it
        assert wire.read_through(b"a\r\n")
        assert not wire.pending
        assert wire.read_through(b"0\r\n\r\n")


def test_a_large_answer_arrives_whole(rig: Rig, endpoint: StartEndpoint) -> None:
    body = bytes(range(256)) * 40_000
    pieces = [body[at : at + 99_999] for at in range(0, len(body), 99_999)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    with dial(rig.serve(endpoint(answering(head_and_body(body), CHUNKED + chunks + b"0\r\n\r\n")))) as wire:
        assert wire.send(GET).read_answer().body == body
        assert wire.send(GET).read_answer().body == body


def test_a_client_that_closes_its_sending_side_still_gets_its_answer(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(held())
    with dial(rig.serve(program)) as wire:
        wire.send(GET).end_sending()
        program.wait_requests(1)
        program.gate.set()
        assert wire.read_answer().body == b"ok"
