"""One JSON line a request: what was asked, what became of it, and why."""

import json
import re
from collections.abc import Callable

import pytest

from support.endpoints import (
    OK,
    Endpoint,
    Script,
    StartEndpoint,
    answering,
    closing_after,
    closing_without_answer,
    head_and_body,
    held,
    naming_itself,
    refused_address,
    silent,
)
from support.proxy import Rig, target_of
from support.snapshots import Snapshot, listener, pool, route, snapshot
from support.wire import dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
FIELDS = {
    "time", "listener", "client", "method", "target", "host", "status", "received", "sent", "duration_ms", "pool",
    "endpoint", "attempts", "cause", "route",
}  # fmt: skip


def test_a_request_that_went_well_is_told_in_full(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(answering(head_and_body(b"answer")), "web.1"))
    sent = b'POST /a%20b?c="d\\ HTTP/1.1\r\nHost: ex.org:81\r\nContent-Length: 5\r\n\r\nhello'
    with dial(front) as wire:
        wire.send(sent).read_answer()
        own_port = wire.raw.getsockname()[1]
    line = rig.wait_log()[0]
    assert set(line) == FIELDS
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d\d\dZ", line.pop("time"))
    assert 0 <= line.pop("duration_ms") < 5000
    assert line.pop("client") in ("127.0.0.1", f"127.0.0.1:{own_port}")
    assert line == {
        "listener": "front",
        "method": "POST",
        "target": '/a%20b?c="d\\',
        "host": "ex.org:81",
        "status": 200,
        "received": 5,
        "sent": 6,
        "pool": "web",
        "endpoint": "web.1",
        "attempts": 1,
        "cause": None,
        "route": 0,
    }


def test_chunks_are_counted_by_what_they_carry(rig: Rig, endpoint: StartEndpoint) -> None:
    answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n2;x=y\r\n!!\r\n0\r\n\r\n"
    sent = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    talk(rig.serve(endpoint(answering(answer))), sent)
    line = rig.wait_log()[0]
    assert (line["received"], line["sent"]) == (3, 7)


def test_every_request_of_a_connection_has_a_line_in_order(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(naming_itself))
    with dial(front) as wire:
        wire.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number for number in range(50)))
        for _ in range(50):
            wire.read_answer()
    assert [line["target"] for line in rig.wait_log(50)] == [f"/{number}" for number in range(50)]


def test_the_endpoint_that_answered_and_the_attempts_are_told(rig: Rig, endpoint: StartEndpoint) -> None:
    gone = {"name": "gone", "address": refused_address(), "weight": 1, "mode": "ready"}
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(gone, endpoint(naming_itself, "alive").entry)]))
    with dial(target_of(address)) as wire:
        for _ in range(10):
            wire.send(GET).read_answer()
    lines = rig.wait_log(10)
    assert {line["endpoint"] for line in lines} == {"alive"}
    assert max(line["attempts"] for line in lines) == 2
    assert {line["status"] for line in lines} == {200}


Play = Callable[[Rig, StartEndpoint], None]


def asked(script: Script, sent: bytes = GET, **changes: object) -> Play:
    """Send this to an endpoint with that script."""

    def play(rig: Rig, endpoint: StartEndpoint) -> None:
        front = rig.serve(endpoint(script, "web.1"), **changes)
        with dial(front) as wire:
            wire.send(sent).closed_within(0.7)

    return play


def asked_pool(*entries: Snapshot, routes: list[Snapshot] | None = None) -> Play:
    """Send a request to a pool of these entries."""

    def play(rig: Rig, _endpoint: StartEndpoint) -> None:
        address = rig.bind()
        rig.apply(snapshot([listener(address)], [pool(*entries)], routes=routes))
        talk(target_of(address), GET)

    return play


def gone_while_waiting(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(held(), "web.1")
    with dial(rig.serve(program)) as wire:
        wire.send(GET)
        program.wait_requests(1)
        wire.reset()


REFUSED = {"name": "web.1", "address": refused_address(), "weight": 1, "mode": "ready"}
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
CHUNKED = POST.replace(b"Content-Length: 9", b"Transfer-Encoding: chunked")
CAUSES: dict[str, tuple[tuple[int, ...], str | None, Play]] = {
    "body_timeout": ((0, 408), "web.1", asked(answering(OK), POST, listener={"timeouts": {"body_ms": 200}})),
    "body_too_large": ((413,), None, asked(answering(OK), POST, listener={"limits": {"body_bytes": 5}})),
    "client_closed": ((0,), "web.1", gone_while_waiting),
    "connect_method": ((501,), None, asked(answering(OK), b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")),
    "connect_refused": ((502, 503), "web.1", asked_pool(REFUSED)),
    "endpoint_closed": ((502,), "web.1", asked(closing_without_answer, POST + b"x" * 9)),
    "first_byte_timeout": ((504,), "web.1", asked(silent, pool={"timeouts": {"first_byte_ms": 200}})),
    "head_timeout": ((0, 408), None, asked(silent, GET[:-2], listener={"timeouts": {"head_ms": 200}})),
    "head_too_large": ((431,), None, asked(silent, GET[:-2] + b"X: " + b"x" * 40_000)),
    "invalid_host": ((400,), None, asked(silent, b"GET / HTTP/1.1\r\n\r\n")),
    "invalid_target": ((400,), None, asked(silent, b"GET x HTTP/1.1\r\nHost: a\r\n\r\n")),
    "malformed_answer": ((502,), "web.1", asked(answering(b"nonsense\r\n\r\n"))),
    "malformed_body": ((400,), "web.1", asked(silent, CHUNKED + b"x")),
    "malformed_head": ((400,), None, asked(silent, b"GET / HTTP/1.1\r\nHost: a\r\nX : 1\r\n\r\n")),
    "method_not_allowed": ((405,), None, asked(silent, GET, listener={"methods": ["POST"]})),
    "no_endpoint": ((503,), None, asked_pool()),
    "no_route": ((404,), None, asked_pool(routes=[route(paths=["/other"])])),
    "silence_timeout": (
        (200,),
        "web.1",
        asked(answering(OK[:-1]), pool={"timeouts": {"silence_ms": 200}}),
    ),
    "too_many_fields": ((431,), None, asked(silent, GET[:-2] + b"X: 1\r\n" * 101 + b"\r\n")),
    "truncated_answer": ((200,), "web.1", asked(closing_after(OK[:-1]))),
    "unknown_coding": ((501,), None, asked(silent, GET[:-2] + b"Transfer-Encoding: gzip\r\n\r\n")),
    "version_not_supported": ((505,), None, asked(silent, b"GET / HTTP/3.0\r\nHost: a\r\n\r\n")),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_what_went_wrong_is_told_by_its_word(rig: Rig, endpoint: StartEndpoint, cause: str) -> None:
    statuses, name, play = CAUSES[cause]
    play(rig, endpoint)
    line = rig.wait_log()[0]
    assert line["cause"] == cause
    assert line["status"] in statuses
    assert line["endpoint"] in (name, None) if cause in ("malformed_body", "body_timeout") else name == line["endpoint"]
    assert len(rig.ground.lines) == 1


def test_what_cannot_be_read_is_still_a_line_of_json(rig: Rig, endpoint: StartEndpoint) -> None:
    odd = 'GET /"\\\x7f\x1b[31m\xff HTTP/1.1\r\nHost: \x00"\r\n\r\n'.encode("latin-1")
    with dial(rig.serve(endpoint(silent))) as wire:
        wire.send(odd).closed_within(2)
    line = rig.wait_log()[0]
    assert line["status"] == 400
    assert "\x1b" not in json.dumps(line, ensure_ascii=False)


def test_a_log_that_is_off_has_no_lines(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself)
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(program.entry)], access_log="off"))
    talk(target_of(address), GET)
    rig.apply(snapshot([listener(address)], [pool(program.entry)]))
    talk(target_of(address), b"GET /told HTTP/1.1\r\nHost: a\r\n\r\n")
    assert [line["target"] for line in rig.wait_log()] == ["/told"]


def test_a_log_that_nobody_reads_holds_no_request_up_and_is_counted(rig: Rig) -> None:
    with Endpoint(naming_itself, name="web.1") as program:
        front = rig.serve(program)
        rig.ground.reading.clear()
        target = b"/" + b"x" * 4000
        with dial(front) as wire:
            for _ in range(1000):
                assert wire.send(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n").read_answer().status == 200
        dropped = rig.stats()["access_log_dropped"]
        assert dropped > 0
        rig.ground.reading.set()
        lines = rig.wait_log(1000 - dropped)
        assert {line["target"] for line in lines} == {target.decode()}
