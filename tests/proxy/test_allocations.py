"""In the steady state a request takes nothing from the heap: what it needs was taken by those before it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.allocations import Allocations
from support.client import Target
from support.endpoints import Endpoint, answering, head_and_body
from support.proxy import Rig, target_of
from support.snapshots import listener, pool, snapshot
from support.wire import Wire, dial

WARM, COUNTED = 1000, 1000
GET = b"GET /a/path?with=query HTTP/1.1\r\nHost: example.org\r\nUser-Agent: x\r\nAccept: */*\r\nCookie: a=b\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: example.org\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
EXCHANGES = {
    "a small answer": (GET, head_and_body(b"ok", "Content-Type: text/plain", "Set-Cookie: a=b")),
    "an answer of 16 KiB": (GET, head_and_body(b"x" * 16_384)),
    "an answer in chunks": (GET, CHUNKED),
    "an answer without body": (GET, b"HTTP/1.1 204 No Content\r\n\r\n"),
    "a body": (POST + b"Content-Length: 5\r\n\r\nhello", head_and_body()),
    "a body of 16 KiB": (POST + b"Content-Length: 16384\r\n\r\n" + b"x" * 16_384, head_and_body()),
    "a body in chunks": (POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", head_and_body()),
}


@pytest.fixture
def allocations(short_path: Path) -> Allocations:
    if not Allocations.countable():
        pytest.skip("there is no C compiler")
    return Allocations(short_path)


@pytest.fixture
def counted(short_path: Path, allocations: Allocations) -> Iterator[Rig]:
    with Rig(short_path, environment=allocations.environment) as rig:
        yield rig


def serve(rig: Rig, program: Endpoint) -> Target:
    """Without access log, whose lines are kept until there are enough of them to be written."""
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(program.entry)], access_log="off"))
    return target_of(address)


def repeat(wire: Wire, sent: bytes, count: int) -> None:
    for _ in range(count):
        assert wire.send(sent).read_answer().status in (200, 204)
        wire.received.clear()
        wire._taken = 0


@pytest.mark.parametrize("what", EXCHANGES)
def test_a_request_takes_nothing_from_the_heap(counted: Rig, allocations: Allocations, what: str) -> None:
    sent, answer = EXCHANGES[what]
    with Endpoint(answering(answer), name="web.1") as program, dial(serve(counted, program)) as wire:
        repeat(wire, sent, WARM)
        before = allocations.count
        assert before > 100, "the library counts"
        repeat(wire, sent, COUNTED)
        taken = allocations.count - before
        assert taken == 0, f"{taken} in {COUNTED} requests, the last of {allocations.last_sizes(12)} bytes"
