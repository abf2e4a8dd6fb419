"""HTTP/1.1 attacks on the whole of pinfold as it is installed: what the client got, and what the endpoint received.

Which rule is held by which test (`refused`: a row of REFUSED, `answers`: a row of BAD_ANSWERS or ODD_ANSWERS):

| rule | held by |
|---|---|
| Content-Length beside Transfer-Encoding; lengths that differ or are malformed | refused `cl ...` |
| Transfer-Encoding that is not exactly `chunked` once; 501; on HTTP/1.0 | refused `te ...` |
| space before the colon; obs-fold; controls, NUL, bare CR; bare LF line ends | refused `field ...`, `line ...` |
| Host missing, repeated, invalid; absolute form that disagrees | refused `host ...` |
| chunk sizes, junk in them, chunk ends, extensions, trailers | test_a_bad_chunk_is_never_the_end_of_a_request |
| targets with spaces, controls, `#`; CONNECT; 505; 0.9 | refused `target ...`, `version ...` |
| 414 and 431 past the limits | refused `limit ...` |
| trailers and extensions dropped; underscore aliases; Connection strips nothing of ours | test_what_passes_... |
| answers as strict: 502, cut, no reuse, extra bytes, 1xx, 101 unasked | answers |
| Expect end to end, and 0.CL through it | test_expect_..., test_a_body_that_was_not_asked_for_... |
| early data behind an upgrade | test_early_data_... |
| pipelining; half-closed clients; close both ways | test_pipelined_..., test_half_..., test_closing_... |
| HTTP/1.0 with and without keep-alive, and without an end | test_old_clients_... |
| `Date` and `Via` are the endpoint's affair | test_neither_date_nor_via_is_added |
"""

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from support.attacks import BAD_ANSWERS, BAD_CHUNKS, CUT_ANSWERS, LAST, ODD_ANSWERS, REFUSED, SMUGGLED, Said, ask, reply
from support.client import Target, exchange
from support.endpoints import OK, Endpoint, answering_early
from support.ports import free_port
from support.running import Pinfold
from support.waiting import wait_for
from support.wire import Message, TruncatedError, Wire, dial

OWN = ("x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-forwarded-port")


class Recorder:
    """A pinfold with one remote endpoint, which says what it is told to and keeps every byte since the last `mark`."""

    def __init__(self) -> None:
        self.said = Said(OK, 200)
        self.play = self._say
        self.endpoint = Endpoint(self._play)
        port = free_port()
        self.pinfold = Pinfold(f"""
            [listeners.front]
            bind = "127.0.0.1:{port}"
            [pools.remote]
            endpoints = ["{self.endpoint.address}"]
            [[routes]]
            pool = "remote"
        """)
        self.front = Target(port=port)

    def _play(self, wire: Wire, endpoint: Endpoint) -> None:
        self.play(wire, endpoint)

    def _say(self, wire: Wire, endpoint: Endpoint) -> None:
        while request := endpoint.take(wire):
            said = Said(OK, 200) if request.line.startswith("GET /ok ") else self.said
            wire.send(said.raw)
            if said.closes:
                return

    def mark(self) -> None:
        """Only what comes from now on counts, and comes on connections that are new."""
        self.said, self.play = Said(OK, 200), self._say
        self.endpoint.gate.set()
        wait_for(self._cleared, 5, "the end of all connections")
        for kept in (self.endpoint.heads, self.endpoint.requests, self.endpoint.connections):
            kept.clear()
        self.endpoint.gate.clear()

    def _cleared(self) -> bool:
        for wire in list(self.endpoint.connections):
            wire.close()
        return not self.endpoint.open_connections

    @property
    def lines(self) -> list[str]:
        """The first lines of the requests whose head came."""
        return [Message(head).line for head in list(self.endpoint.heads)]

    @property
    def requests(self) -> list[Message]:
        """The requests that came whole."""
        return self.endpoint.requests

    @property
    def received(self) -> bytes:
        """Every byte that came."""
        return self.endpoint.received

    def last(self) -> Message:
        """The last request that came whole."""
        return self.endpoint.wait_requests(1)[-1]


@pytest.fixture(scope="module")
def installed() -> Iterator[Recorder]:
    recorder = Recorder()
    try:
        recorder.pinfold.start()
        yield recorder
        recorder.pinfold.stop()
    finally:
        recorder.pinfold.clear()
        recorder.endpoint.close()


@pytest.fixture
def recorder(installed: Recorder) -> Iterator[Recorder]:
    installed.mark()
    yield installed
    installed.mark()
    with dial(installed.front) as wire:
        assert wire.send(ask(line="GET /ok HTTP/1.1")).read_answer().body == b"ok", "it serves on"


@pytest.mark.parametrize("attack", REFUSED)
def test_a_refused_request_gets_one_answer_and_reaches_nobody(recorder: Recorder, attack: str) -> None:
    wanted, sent = REFUSED[attack]
    received = exchange(recorder.front, sent + SMUGGLED, deadline=5)
    head, _, body = received.partition(b"\r\n\r\n")
    answer = Message(head + b"\r\n\r\n")
    assert answer.status == wanted, received
    assert answer.values("connection") == ["close"]
    assert [str(len(body))] == answer.values("content-length"), "one answer and no more"
    assert recorder.received == b""


@pytest.mark.parametrize("target", ["http://", "http:///admin", "http://?x"])
def test_an_absolute_target_of_nobody_is_refused_from_old_clients_too(recorder: Recorder, target: str) -> None:
    received = exchange(recorder.front, ask(line=f"GET {target} HTTP/1.0", host=None), deadline=5)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert recorder.received == b""


@pytest.mark.parametrize("attack", BAD_CHUNKS)
def test_a_bad_chunk_is_never_the_end_of_a_request(recorder: Recorder, attack: str) -> None:
    received = exchange(recorder.front, ask("Transfer-Encoding: chunked") + BAD_CHUNKS[attack] + SMUGGLED, deadline=5)
    assert re.findall(rb"HTTP/1\.1 (\d+)", received) == [b"400"]
    assert not recorder.requests
    assert b"/smuggled" not in recorder.received.replace(b"\r\n" + SMUGGLED + b"\r\n", b"")
    assert len(recorder.lines) <= 1


@pytest.mark.parametrize("trailer", [b"X", b"GET /smuggled HTTP/1.1", b"a b: c", b": x"])
def test_a_trailer_that_is_no_field_is_never_part_of_a_request(recorder: Recorder, trailer: bytes) -> None:
    sent = ask("Transfer-Encoding: chunked", "Connection: close") + b"0\r\n" + trailer + b"\r\n\r\n"
    received = exchange(recorder.front, sent, deadline=5)
    assert re.findall(rb"HTTP/1\.1 (\d+)", received) == [b"400"]
    assert not recorder.requests


@pytest.mark.parametrize("what", BAD_ANSWERS)
def test_an_answer_that_could_be_read_in_two_ways_is_a_502(recorder: Recorder, what: str) -> None:
    recorder.said = said = BAD_ANSWERS[what]
    with dial(recorder.front) as wire:
        wire.send(ask("Content-Length: 0", line=f"{said.method} / HTTP/1.1"))
        while (answer := wire.read_answer()).status < 200:  # some interim answers may go before it is one too many
            pass
        assert answer.status == said.status
        assert b"evil" not in wire.received
        assert wire.send(ask(line="GET /ok HTTP/1.1")).read_answer().body == b"ok"
    assert recorder.lines == [f"{said.method} / HTTP/1.1", "GET /ok HTTP/1.1"]


@pytest.mark.parametrize("what", ODD_ANSWERS)
def test_what_comes_behind_an_answer_reaches_nobody(recorder: Recorder, what: str) -> None:
    recorder.said = said = ODD_ANSWERS[what]
    with dial(recorder.front) as wire:
        for _ in range(3):
            wire.send(ask(line=f"{said.method} / HTTP/1.1"))
            answer = wire.read_answer(said.method)
            assert (answer.status, answer.body) == (said.status, b"ok" if said.raw.count(b"ok") else b"")
            assert wire.send(ask(line="GET /ok HTTP/1.1")).read_answer().body == b"ok"
        assert not wire.pending
        assert b"evil" not in wire.received
    assert len(recorder.lines) == 6


@pytest.mark.parametrize("what", CUT_ANSWERS)
def test_an_answer_that_ends_early_is_never_taken_for_a_whole_one(recorder: Recorder, what: str) -> None:
    recorder.said = Said(CUT_ANSWERS[what], 200, closes=True)
    with dial(recorder.front) as wire:
        try:
            assert wire.send(ask("Content-Length: 0")).read_answer().status == 502
        except (TruncatedError, ConnectionResetError):
            assert wire.received.startswith(b"HTTP/1.1 200 ")
            assert wire.closed_within(2)
        assert not wire.received.endswith(LAST)
        assert wire.received.count(b"HTTP/1.1 ") == 1
        assert b"evil" not in wire.received
    assert recorder.lines == ["POST / HTTP/1.1"], "an answer that has begun is not asked for again"


@pytest.mark.parametrize(
    "name", ["X_Forwarded_For", "X-Forwarded_Proto", "x_real_ip", "Content_Length", "Host_", "X.Y"]
)
def test_what_passes_has_no_alias_of_what_pinfold_sets(recorder: Recorder, name: str) -> None:
    with dial(recorder.front) as wire:
        wire.send(ask(f"{name}: 6", f"Connection: {name}", "X-Kept: 1", line="GET / HTTP/1.1")).read_answer()
    request = recorder.last()
    assert [len(request.values(own)) for own in OWN] == [1, 1, 1, 1]
    assert request.values("x-forwarded-for") == ["127.0.0.1"]
    assert not request.values(name)
    assert request.values("x-kept") == ["1"]


@pytest.mark.parametrize("name", [*OWN, "Host", "Content-Length", "Cookie", "Authorization"])
def test_what_passes_is_not_stripped_by_naming_it_in_connection(recorder: Recorder, name: str) -> None:
    lines = [f"Connection: close, {name}", f"Connection: {name.upper()}", "Cookie: c", "Authorization: d"]
    with dial(recorder.front) as wire:
        wire.send(ask(*lines, "X-Forwarded-For: 6.6.6.6", "Content-Length: 5") + b"hello").read_answer()
    request = recorder.last()
    assert (len(request.values(name)), request.body) == (1, b"hello")
    assert b"6.6.6.6" not in request.head


def test_what_passes_in_chunks_has_neither_extensions_nor_trailers(recorder: Recorder) -> None:
    body = b'5;a="\xff;\\"\r\nhello\r\n00A\r\n, world!!!\r\n0\r\nContent-Length: 9\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n'
    with dial(recorder.front) as wire:
        wire.send(ask("Transfer-Encoding: chunked") + body + ask(line="GET /next HTTP/1.1"))
        assert [wire.read_answer().status for _ in range(2)] == [200, 200]
    assert recorder.lines == ["POST / HTTP/1.1", "GET /next HTTP/1.1"]
    assert b"5\r\nhello\r\na\r\n, world!!!\r\n0\r\n\r\n" in recorder.received
    assert b"6.6.6.6" not in recorder.received


def test_an_absolute_target_that_agrees_passes_with_its_host(recorder: Recorder) -> None:
    with dial(recorder.front) as wire:
        assert wire.send(ask(line="GET http://A:81/x?y HTTP/1.1", host="a:81")).read_answer().status == 200
    assert recorder.last().line.endswith("/x?y HTTP/1.1")
    assert recorder.last().values("host") == ["a:81"]


def test_expect_is_passed_on_and_the_body_waits_for_the_endpoint(recorder: Recorder) -> None:
    def consenting(wire: Wire, endpoint: Endpoint) -> None:
        if head := endpoint.take_head(wire):
            endpoint.gate.wait(10)
            wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            wire.send(reply(f"Content-Length: {len(wire.read_body(head))}", body=b"hello"))

    recorder.play = consenting
    with dial(recorder.front) as wire:
        wire.send(ask("Expect: 100-continue", "Content-Length: 5"))
        wait_for(lambda: recorder.lines == ["POST / HTTP/1.1"], 5, "the head at the endpoint")
        assert b"expect: 100-continue" in recorder.received.lower()
        assert not wire.closed_within(0.1)
        assert not wire.pending, "pinfold does not promise for the endpoint"
        recorder.endpoint.gate.set()
        assert wire.read_answer().status == 100
        assert wire.send(b"hello").read_answer().body == b"hello"


@pytest.mark.parametrize("expect", ["100-continue", "100-Continue", "x 100-continue", "100-continue, 100-continue"])
def test_a_body_that_was_not_asked_for_is_never_a_request(recorder: Recorder, expect: str) -> None:
    """0.CL from the client's side: it does not send the body it announced, but what would be a request."""
    recorder.play = answering_early(OK)
    with dial(recorder.front) as wire:
        wire.send(ask(f"Expect: {expect}", f"Content-Length: {len(SMUGGLED)}"))
        assert wire.read_answer().values("connection") == ["close"], "a body may or may not come"
        wire.send(SMUGGLED).closed_within(0.2)
        assert not wire.pending
    assert recorder.lines == ["POST / HTTP/1.1"]
    assert b"/smuggled" not in recorder.received


def test_a_body_that_the_endpoint_did_not_read_is_answered_to_nobody(recorder: Recorder) -> None:
    """0.CL from the endpoint's side: it answers an `Expect` at once and takes the body for the next request."""

    def ignoring_bodies(wire: Wire, endpoint: Endpoint) -> None:
        while request := endpoint.take_head(wire):
            path = request.line.split()[1].encode()
            wire.send(reply(f"Content-Length: {len(path)}", body=path))
            endpoint.gate.wait(10)

    recorder.play = ignoring_bodies
    with ExitStack() as opened:
        # So many that one is on the attacker's core, with whose connections to endpoints it is served.
        attacker, *victims = (opened.enter_context(dial(recorder.front)) for _ in range(13))
        attacker.send(ask("Expect: 100-continue", f"Content-Length: {len(SMUGGLED)}") + SMUGGLED)
        assert attacker.read_answer().body == b"/"
        assert not attacker.closed_within(0.3)  # by now the connection to the endpoint would be free for others
        for victim in victims:
            victim.send(ask(line="GET /mine HTTP/1.1"))
        victims[0].closed_within(0.2)
        recorder.endpoint.gate.set()
        assert {victim.read_answer().body for victim in victims} == {b"/mine"}


@pytest.mark.parametrize("switches", [True, False])
def test_early_data_waits_for_the_endpoint_to_switch(recorder: Recorder, switches: bool) -> None:
    def waiting(wire: Wire, endpoint: Endpoint) -> None:
        while request := endpoint.take_head(wire):
            if not request.values("upgrade"):
                wire.send(OK)
                continue
            endpoint.gate.wait(10)
            if switches:
                wire.send(reply("Connection: Upgrade", "Upgrade: echo", line="HTTP/1.1 101 Switching Protocols"))
                wire.send(wire.read_exactly(len(SMUGGLED)))
                return
            wire.send(OK)

    recorder.play = waiting
    with dial(recorder.front) as wire:
        wire.send(ask("Connection: Upgrade", "Upgrade: echo", line="GET /chat HTTP/1.1") + SMUGGLED)
        wait_for(lambda: recorder.lines == ["GET /chat HTTP/1.1"], 5, "the head at the endpoint")
        assert not wire.closed_within(0.1)
        assert b"/smuggled" not in recorder.received
        recorder.endpoint.gate.set()
        assert wire.read_answer().status == (101 if switches else 200)
        if switches:
            assert wire.read_exactly(len(SMUGGLED)) == SMUGGLED
        else:
            assert wire.read_answer().body == b"ok"
            assert recorder.lines == ["GET /chat HTTP/1.1", "GET /smuggled HTTP/1.1"], "judged and routed as any other"
    if not switches:
        assert recorder.received.count(b"X-Forwarded-For: 127.0.0.1") == 2


@pytest.mark.parametrize("protocol", ["h2c", "websocket, h2c", "H2C"])
def test_an_upgrade_to_cleartext_http2_is_not_passed_on(recorder: Recorder, protocol: str) -> None:
    lines = ["Connection: Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAMAAABkAAQAAP__"]
    with dial(recorder.front) as wire:
        assert wire.send(ask(*lines, line="GET / HTTP/1.1")).read_answer().status == 200
    assert not re.search(rb"(?i)upgrade|http2-settings", recorder.last().head)


def test_pipelined_requests_are_answered_in_order_and_arrive_as_many(recorder: Recorder) -> None:
    bodies = [b"x" * size for size in (0, 1, 5000, 70_000, 0, 3)]
    sent = [ask(f"Content-Length: {len(body)}", line=f"PUT /{at} HTTP/1.1") + body for at, body in enumerate(bodies)]
    with dial(recorder.front) as wire:
        wire.send(b"".join(sent))
        assert [wire.read_answer().body for _ in sent] == [b"ok"] * len(sent)
    assert recorder.lines == [f"PUT /{at} HTTP/1.1" for at in range(len(sent))]
    assert [one.body for one in recorder.requests] == bodies


def test_half_closed_clients_get_their_answers(recorder: Recorder) -> None:
    received = exchange(recorder.front, ask("Content-Length: 2") + b"hi" + ask(line="GET / HTTP/1.1"), half_close=True)
    assert received.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert received.endswith(b"ok")


@pytest.mark.parametrize("side", ["client", "endpoint"])
def test_closing_is_told_to_one_side_and_not_to_the_other(recorder: Recorder, side: str) -> None:
    if side == "endpoint":
        recorder.said = Said(reply("Content-Length: 2", "Connection: close", body=b"ok"), 200, closes=True)
    lines = ["Connection: close"] if side == "client" else []
    with dial(recorder.front) as wire:
        answer = wire.send(ask(*lines, line="GET / HTTP/1.1")).read_answer()
        assert answer.values("connection") == (["close"] if side == "client" else [])
        assert wire.closed_within(0.2) == (side == "client")
    assert not recorder.last().values("connection")


@pytest.mark.parametrize("stays", [True, False])
def test_old_clients_are_kept_only_if_they_ask(recorder: Recorder, stays: bool) -> None:
    lines = ["Connection: keep-alive"] if stays else []
    with dial(recorder.front) as wire:
        answer = wire.send(ask(*lines, line="GET / HTTP/1.0", host=None)).read_answer()
        assert [value.lower() for value in answer.values("connection")] == (["keep-alive"] if stays else ["close"])
        assert wire.closed_within(0.2) != stays
    assert recorder.last().line == "GET / HTTP/1.1"
    assert recorder.last().values("host") == [f"127.0.0.1:{recorder.front.port}"]


def test_old_clients_may_not_send_what_ends_with_their_connection(recorder: Recorder) -> None:
    """A body without length is none: what follows is the next request or nothing, and never part of this one."""
    received = exchange(recorder.front, ask(line="POST / HTTP/1.0") + SMUGGLED, half_close=True)
    assert received.count(b"HTTP/1.1 ") == 1
    assert recorder.lines == ["POST / HTTP/1.1"]
    assert recorder.last().body == b""


def test_old_clients_are_told_of_no_chunks(recorder: Recorder) -> None:
    """RFC 9112 section 6.1: no Transfer-Encoding unless the request is of HTTP/1.1."""
    recorder.said = Said(reply("Transfer-Encoding: chunked"), 200, method="HEAD")
    with dial(recorder.front) as wire:
        answer = wire.send(ask(line="HEAD / HTTP/1.0")).read_answer("HEAD")
    assert answer.status == 200
    assert not answer.values("transfer-encoding")


def test_neither_date_nor_via_is_added(recorder: Recorder) -> None:
    with dial(recorder.front) as wire:
        answer = wire.send(ask(line="GET / HTTP/1.1")).read_answer()
    for message in (answer, recorder.last()):
        assert not message.values("date")
        assert not message.values("via")


def test_a_reset_between_head_and_body_leaves_nobody_half_a_request(recorder: Recorder) -> None:
    with dial(recorder.front) as wire:
        wire.send(ask("Content-Length: 100") + b"half")
        wait_for(lambda: recorder.lines, 5, "the head at the endpoint")
        wire.raw.shutdown(socket.SHUT_RDWR)
    wait_for(lambda: not recorder.endpoint.open_connections, 5, "the end of the endpoint's connection")
    assert not recorder.requests
