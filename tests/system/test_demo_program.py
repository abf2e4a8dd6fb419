"""The bundled program, alone: what the other system tests rely on."""

import hashlib
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.client import Connection, Target, exchange, fetch
from support.demo import DemoProgram
from support.load import generate
from support.subprocesses import Subprocess


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProgram]:
    with DemoProgram("web.1") as program:
        yield program


def test_the_answer_tells_who_answers_and_what_was_seen(demo: DemoProgram) -> None:
    answer = fetch(demo.target, "/a%20b?c=d", headers=[("X-One", "1"), ("x-one", "2")])
    assert answer.status == 200
    assert answer.json["instance"] == "web.1"
    assert answer.json["pid"] == demo.process.pid
    assert (answer.json["method"], answer.json["path"]) == ("GET", "/a%20b?c=d")
    assert answer.json["headers"] == [["Host", "localhost"], ["X-One", "1"], ["x-one", "2"]]


@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_an_upload_is_answered_with_its_checksum(demo: DemoProgram, framing: str) -> None:
    pieces = [b"pin" * 100_000, b"fold"]
    body = iter(pieces) if framing == "chunked" else b"".join(pieces)
    answer = fetch(demo.target, "/", method="POST", body=body)
    assert answer.json["body"] == {"bytes": 300_004, "sha256": hashlib.sha256(b"".join(pieces)).hexdigest()}


def test_a_connection_carries_many_requests(demo: DemoProgram) -> None:
    with Connection(demo.target) as connection:
        assert [connection.fetch(path).status for path in ("/", "/stream?n=2&ms=1", "/bytes?n=9", "/")] == [200] * 4


def test_pipelined_requests_are_answered_in_order(demo: DemoProgram) -> None:
    sent = b"GET /one HTTP/1.1\r\nHost: a\r\n\r\nGET /two HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    received = exchange(demo.target, sent)
    assert 0 < received.index(b'"/one"') < received.index(b'"/two"')


def test_a_client_that_asks_is_told_to_continue(demo: DemoProgram) -> None:
    head = b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    with demo.target.connect() as raw:
        raw.sendall(head)
        assert raw.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        raw.sendall(b"ok")
        assert raw.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"nonsense\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\na",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
    ],
)
def test_what_is_no_request_is_refused(demo: DemoProgram, sent: bytes) -> None:
    received = exchange(demo.target, sent, half_close=True)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("path", ["/", "/bytes?n=100000", "/stream"])
def test_head_is_answered_without_a_body(demo: DemoProgram, path: str) -> None:
    with Connection(demo.target) as connection:
        assert connection.fetch(path, method="HEAD").body == b""
        assert connection.fetch().status == 200


@pytest.mark.parametrize("code", [204, 304, 404, 503])
def test_any_status_can_be_had(demo: DemoProgram, code: int) -> None:
    with Connection(demo.target) as connection:
        assert connection.fetch(f"/status?code={code}").status == code
        assert connection.fetch().status == 200


def test_a_slow_answer_does_not_hold_up_others(demo: DemoProgram) -> None:
    with demo.target.connect() as slow:
        slow.sendall(b"GET /slow?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert fetch(demo.target).status == 200


def test_work_burns_the_time_it_is_asked_for(demo: DemoProgram) -> None:
    began = time.monotonic()
    assert fetch(demo.target, "/work?ms=30").status == 200
    assert time.monotonic() - began >= 0.03


def test_load_is_answered_by_name(demo: DemoProgram) -> None:
    load = generate(demo.target, connections=16, requests=500)
    assert (len(load.outcomes), load.failed, load.by_instance) == (500, [], {"web.1": 500}), str(load)


def test_load_on_nobody_is_told_as_failed(short_path: Path) -> None:
    load = generate(Target(path=short_path / "nobody"), connections=2, requests=10)
    assert (len(load.outcomes), len(load.failed)) == (10, 10), str(load)


def test_it_listens_on_a_unix_socket_also_where_a_dead_one_was(short_path: Path) -> None:
    path = short_path / "a.sock"
    for name in ("first", "second"):
        with DemoProgram(name, path=path) as program:
            assert fetch(Target(path=path)).json["instance"] == name
            assert program.process.kill() == -signal.SIGKILL


def test_a_socket_that_is_in_use_is_left_alone(short_path: Path) -> None:
    path = short_path / "a.sock"
    with DemoProgram("first", path=path) as program:
        second = Subprocess(program.process.command)
        assert second.wait(10.0) == 1
        assert "cannot listen" in second.output
        assert fetch(program.target).json["instance"] == "first"


def test_it_ends_at_once_in_the_middle_of_an_answer() -> None:
    with DemoProgram() as program, program.target.connect() as slow:
        slow.sendall(b"GET /stream?ms=60000 HTTP/1.1\r\nHost: a\r\n\r\n")
        assert slow.recv(1000).startswith(b"HTTP/1.1 200 OK\r\n")
        assert program.stop() == 0


def test_it_exits_with_the_code_it_is_asked_for() -> None:
    with DemoProgram() as program:
        assert exchange(program.target, b"GET /exit?code=7 HTTP/1.1\r\nHost: a\r\n\r\n") == b""
        assert program.process.wait(5.0) == 7


def test_it_waits_before_it_listens_when_told_to() -> None:
    began = time.monotonic()
    with DemoProgram(BOOT_DELAY="0.3"):
        assert time.monotonic() - began >= 0.3
