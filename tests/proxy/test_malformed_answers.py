"""Answers that are no answers: 502 when nothing was sent on yet, else the connection is cut and nobody misled."""

from contextlib import suppress

import pytest

from support.client import exchange
from support.endpoints import (
    OK,
    StartEndpoint,
    answering,
    answering_slowly,
    closing_after,
    head_and_body,
    resetting_after,
)
from support.proxy import Rig
from support.wire import TruncatedError, dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def answer(*lines: str, line: str = "HTTP/1.1 200 OK", body: bytes = b"") -> bytes:
    return "\r\n".join([line, *lines, "", ""]).encode("latin-1") + body


BAD_ANSWERS = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "HTTP/0.9": b"hello\r\n\r\n",
    "a version in lower case": answer("Content-Length: 0", line="http/1.1 200 OK"),
    "version 2": answer("Content-Length: 0", line="HTTP/2.0 200 OK"),
    "no status": answer("Content-Length: 0", line="HTTP/1.1"),
    "a status of two digits": answer("Content-Length: 0", line="HTTP/1.1 20 OK"),
    "a status of four digits": answer("Content-Length: 0", line="HTTP/1.1 2000 OK"),
    "a status that is no number": answer("Content-Length: 0", line="HTTP/1.1 OK"),
    "a status below 100": answer("Content-Length: 0", line="HTTP/1.1 099 Odd"),
    "a control in the reason": answer("Content-Length: 0", line="HTTP/1.1 200 O\0K"),
    "a space before the colon": answer("Content-Length : 0"),
    "an empty field name": answer(": x", "Content-Length: 0"),
    "a field without colon": answer("nothing", "Content-Length: 0"),
    "a NUL in a value": answer("X: a\0b", "Content-Length: 0"),
    "a bare CR in a value": answer("X: a\rb", "Content-Length: 0"),
    "two different lengths": answer("Content-Length: 2", "Content-Length: 3", body=b"abc"),
    "a list of different lengths": answer("Content-Length: 2, 3", body=b"abc"),
    "a signed length": answer("Content-Length: +3", body=b"abc"),
    "a negative length": answer("Content-Length: -3", body=b"abc"),
    "a length past 64 bits": answer("Content-Length: 18446744073709551619", body=b"abc"),
    "length and chunked": answer("Content-Length: 3", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked twice": answer("Transfer-Encoding: chunked", "Transfer-Encoding: chunked", body=b"0\r\n\r\n"),
    "chunked with a vertical tab": answer("Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n"),
    "an unknown coding": answer("Transfer-Encoding: gzip", body=b"abc"),
    "a head that is too large": answer(*(f"X-{number}: {'x' * 1000}" for number in range(300)), "Content-Length: 0"),
    "interim answers without end": b"HTTP/1.1 103 Early Hints\r\n\r\n" * 10_000,
}
TRUNCATED_HEADS = [b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Le"]
TRUNCATED_BODIES = {
    "a short body": answer("Content-Length: 10", body=b"short"),
    "no last chunk": answer("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n"),
    "half a chunk": answer("Transfer-Encoding: chunked", body=b"a\r\nhello"),
    "no end of trailers": answer("Transfer-Encoding: chunked", body=b"5\r\nhello\r\n0\r\n"),
    "a chunk that is none": answer("Transfer-Encoding: chunked", body=b"5\r\nhello\r\nxyz\r\n"),
    "a chunk that is too long": answer("Transfer-Encoding: chunked", body=b"4\r\nhello\r\n0\r\n\r\n"),
}


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_a_malformed_answer_is_a_502(rig: Rig, endpoint: StartEndpoint, what: str) -> None:
    program = endpoint(answering(BAD_ANSWERS[what]), "program")
    with dial(rig.serve(program)) as wire:
        wire.send(GET)
        while (found := wire.read_answer()).status < 200:  # interim answers may have gone before the fault
            pass
    assert found.status == 502
    assert rig.endpoint_stats()["program"]["errors"] == 1
    program.wait_closed()


@pytest.mark.parametrize("sent", TRUNCATED_HEADS)
def test_an_answer_that_ends_in_its_head_is_a_502(rig: Rig, endpoint: StartEndpoint, sent: bytes) -> None:
    program = endpoint(closing_after(sent))
    found = talk(rig.serve(program), b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert found.status == 502
    assert len(program.requests) == 1


@pytest.mark.parametrize("what", TRUNCATED_BODIES)
def test_an_answer_that_ends_in_its_body_is_never_taken_for_a_whole_one(
    rig: Rig, endpoint: StartEndpoint, what: str
) -> None:
    with dial(rig.serve(endpoint(closing_after(TRUNCATED_BODIES[what])))) as wire:
        # Where the fault was seen before anything was sent on, the client is told; otherwise it is cut off.
        with suppress(TruncatedError, ConnectionResetError):
            assert wire.send(GET).read_answer().status == 502
        assert wire.received.startswith((b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 502 Bad Gateway\r\n"))
        assert wire.closed_within(2) or wire.received.startswith(b"HTTP/1.1 502 ")
        assert wire.received.count(b"HTTP/1.1 ") == 1
        assert not wire.received.endswith(b"0\r\n\r\n")


def test_an_answer_that_is_reset_in_its_body_cuts_the_connection(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(resetting_after(answer("Content-Length: 10", body=b"short")))
    with dial(rig.serve(program)) as wire, pytest.raises((TruncatedError, ConnectionResetError)):
        wire.send(GET).read_answer()


@pytest.mark.parametrize(
    "extra", [b"x", b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"], ids=["byte", "line", "answer"]
)
def test_bytes_behind_an_answer_reach_nobody_and_end_the_connection(
    rig: Rig, endpoint: StartEndpoint, extra: bytes
) -> None:
    program = endpoint(answering(OK + extra))
    with dial(rig.serve(program)) as wire:
        for _ in range(3):
            assert wire.send(GET).read_answer().body == b"ok"
    assert len(program.connections) == 3


def test_bytes_that_come_while_a_connection_is_idle_reach_nobody(rig: Rig, endpoint: StartEndpoint) -> None:
    evil = head_and_body(b"evil")
    program = endpoint(answering_slowly(OK, evil, pause=0.1))
    with dial(rig.serve(program)) as wire:
        assert wire.send(GET).read_answer().body == b"ok"
        assert not wire.closed_within(0.4)
        assert not wire.pending
        assert wire.send(GET).read_answer().body == b"ok"
    assert len(program.connections) == 2


def test_a_body_behind_an_answer_that_has_none_reaches_nobody(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(answer("Content-Length: 4", line="HTTP/1.1 304 Not Modified", body=b"evil"), OK))
    with dial(rig.serve(program)) as wire:
        assert wire.send(GET).read_answer().status == 304
        wire.send(GET).read_answer()
        assert b"evil" not in wire.received
    assert len(program.connections) == 2


def test_two_equal_lengths_are_one_or_none_but_never_two(rig: Rig, endpoint: StartEndpoint) -> None:
    found = talk(rig.serve(endpoint(answering(answer("Content-Length: 2", "Content-Length: 2", body=b"ok")))), GET)
    assert (found.status, len(found.values("content-length"))) in [(200, 1), (502, 1)]


@pytest.mark.parametrize("status", [400, 404, 418, 500, 503, 599])
def test_a_status_of_the_program_is_its_own(rig: Rig, endpoint: StartEndpoint, status: int) -> None:
    front = rig.serve(endpoint(answering(head_and_body(b"mine", status=f"{status} Own")), "program"))
    found = talk(front, GET)
    assert (found.status, found.body) == (status, b"mine")
    rig.wait_endpoint("program", in_flight=0, server_errors=int(status >= 500))


def test_the_status_line_is_ours_whatever_the_version_of_the_program(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(closing_after(answer(line="HTTP/1.0 200 OK", body=b"old"))))
    assert exchange(front, LAST).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("line", ["HTTP/1.1 204 No Content", "HTTP/1.1 103 Early Hints"])
def test_a_length_where_there_is_no_body_is_not_passed_on(rig: Rig, endpoint: StartEndpoint, line: str) -> None:
    program = endpoint(answering(answer("Content-Length: 4", line=line) + (OK if "103" in line else b"")))
    with dial(rig.serve(program)) as wire:
        found = wire.send(GET).read_answer()
        assert not found.values("content-length")
        assert found.status == int(line.split()[1])
