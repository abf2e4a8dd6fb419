"""What a proxy holds in memory does not depend on what passes through it."""

import hashlib
import time

import pytest

from support.endpoints import Endpoint, Script, StartEndpoint, answering_slowly, naming_itself, telling_digest
from support.processes import cpu_seconds, peak_rss, rss
from support.proxy import Rig
from support.wire import Wire, dial

MIB = 1024 * 1024
PIECE = bytes(range(256)) * 4096
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def sending(count: int) -> Script:
    """An answer of so many pieces, made as it is sent."""

    def script(wire: Wire, endpoint: Endpoint) -> None:
        while endpoint.take(wire):
            wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count * len(PIECE)))
            for _ in range(count):
                wire.send(PIECE)

    return script


def test_a_proxy_with_nothing_to_do_is_small_and_sleeps(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(naming_itself))) as wire:
        wire.send(GET).read_answer()
        used = cpu_seconds(rig.proxy.pid)
        time.sleep(2)  # nothing can be waited for when nothing is to happen
        assert cpu_seconds(rig.proxy.pid) - used <= 0.02
    assert rss(rig.proxy.pid) <= 20 * MIB


def test_an_upload_of_a_hundred_megabytes_passes_without_growth(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(telling_digest))) as wire:
        before, digest = rss(rig.proxy.pid), hashlib.sha256()
        wire.send(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (100 * len(PIECE)))
        for _ in range(100):
            digest.update(PIECE)
            wire.send(PIECE)
        assert wire.read_answer().body.decode() == f"{100 * len(PIECE)} {digest.hexdigest()}"
    assert peak_rss(rig.proxy.pid) - before < 16 * MIB


def test_a_download_of_a_hundred_megabytes_passes_without_growth(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(sending(100)))) as wire:
        before, digest, wanted, left = rss(rig.proxy.pid), hashlib.sha256(), hashlib.sha256(), 100 * len(PIECE)
        wire.send(GET).read_head()
        digest.update(wire.pending)
        left -= len(wire.pending)
        while left and (piece := wire.raw.recv(MIB)):
            digest.update(piece)
            left -= len(piece)
    for _ in range(100):
        wanted.update(PIECE)
    assert left == 0
    assert digest.digest() == wanted.digest()
    assert peak_rss(rig.proxy.pid) - before < 16 * MIB


def test_clients_that_do_not_read_cost_little(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(sending(20))
    front = rig.serve(program)
    before = rss(rig.proxy.pid)
    clients = [dial(front).send(GET) for _ in range(20)]
    program.wait_requests(20)
    time.sleep(0.5)  # whatever would pile up does so now
    assert rss(rig.proxy.pid) - before < 16 * MIB
    for client in clients:
        client.close()


@pytest.mark.parametrize("asked", [GET, b""], ids=["served", "silent"])
def test_hundreds_of_idle_connections_cost_little(rig: Rig, endpoint: StartEndpoint, asked: bytes) -> None:
    front = rig.serve(endpoint(naming_itself))
    with dial(front) as first:
        first.send(GET).read_answer()
        before = rss(rig.proxy.pid)
        clients = [dial(front) for _ in range(400)]
        for client in clients:
            if asked:
                client.send(asked).read_answer()
        assert (rss(rig.proxy.pid) - before) / 400 < 16 * 1024
        for client in clients:
            client.close()


def test_an_endless_answer_is_stopped_when_its_client_goes(rig: Rig, endpoint: StartEndpoint) -> None:
    piece = b"400\r\n" + b"x" * 1024 + b"\r\n"
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    program = endpoint(answering_slowly(head, *[piece] * 10_000, pause=0.002), "program")
    with dial(rig.serve(program)) as wire:
        wire.send(GET).read_through(b"xxxx")
    program.wait_closed()
    rig.wait_endpoint("program", in_flight=0, connections=0)
