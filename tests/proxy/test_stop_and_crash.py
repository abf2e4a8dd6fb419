"""The end of a proxy: asked to stop it finishes, killed it is followed by another on the same sockets."""

import threading
import time
from pathlib import Path

import pytest

from support.client import Target
from support.endpoints import StartEndpoint, echoing_upgrades, held, naming_itself, silent
from support.proxy import Rig, target_of
from support.snapshots import listener, pool, snapshot
from support.waiting import wait_for
from support.wire import dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def refuses(target: Target) -> bool:
    try:
        target.connect(1.0).close()
    except ConnectionRefusedError:
        return True
    return False


def test_a_proxy_without_anything_in_flight_stops_at_once(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(naming_itself))
    with dial(front) as idle:
        idle.send(GET).read_answer()
        began = time.monotonic()
        rig.proxy.say({"type": "stop", "timeout_ms": 10_000})
        assert rig.proxy.wait(5) == 0
        assert time.monotonic() - began < 2
        assert idle.closed_within(1)


def test_a_proxy_that_is_stopped_finishes_what_is_in_flight(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(held())
    front = rig.serve(program)
    with dial(front) as wire, dial(front) as other:
        wire.send(GET)
        other.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
        program.wait_heads(2)
        rig.proxy.say({"type": "stop", "timeout_ms": 10_000})
        other.send(b"llo")
        program.wait_requests(2)
        assert rig.proxy.running
        program.gate.set()
        assert wire.read_answer().body == other.read_answer().body == b"ok"
        assert rig.proxy.wait(5) == 0


@pytest.mark.parametrize("script", [silent, echoing_upgrades()], ids=["request", "tunnel"])
def test_what_does_not_end_in_time_is_cut(rig: Rig, endpoint: StartEndpoint, script: object) -> None:
    program = endpoint(script)
    with dial(rig.serve(program)) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        program.wait_requests(1)
        began = time.monotonic()
        rig.proxy.say({"type": "stop", "timeout_ms": 500})
        assert rig.proxy.wait(5) == 0
        assert time.monotonic() - began > 0.4


def test_while_a_proxy_stops_clients_queue_for_the_next(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself, "program")
    front = rig.serve(program)
    rig.proxy.say({"type": "stop", "timeout_ms": 5000})
    assert rig.proxy.wait(5) == 0
    with dial(front) as waiting:
        waiting.send(GET)
        rig.replace()
        rig.apply(snapshot([listener(f"127.0.0.1:{front.port}")], [pool(program.entry)]))
        assert waiting.read_answer().body == b"program"


def test_a_killed_proxy_is_followed_on_the_same_sockets_and_nobody_is_refused(
    rig: Rig, endpoint: StartEndpoint
) -> None:
    program = endpoint(naming_itself, "program")
    front = rig.serve(program)
    wanted = snapshot([listener(f"127.0.0.1:{front.port}")], [pool(program.entry)])
    assert talk(front, GET).body == b"program"
    failures: list[BaseException] = []
    ending = threading.Event()

    def connect() -> None:
        while not ending.is_set():
            try:
                # A connection that a proxy had accepted dies with it; one that is refused is what must not be.
                talk(front, GET)
            except ConnectionRefusedError as error:
                failures.append(error)
            except Exception:  # noqa: BLE001 - see above
                continue

    threads = [threading.Thread(target=connect) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        rig.replace()
        assert rig.proxy.hello["generation"] == 0
        rig.apply(wanted)
        assert talk(front, GET).body == b"program"
    ending.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_proxy_outlives_the_daemon(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(naming_itself, "program"))
    with dial(front) as wire:
        wire.send(GET).read_answer()
        rig.proxy._control.close()
        assert wire.send(GET).read_answer().body == b"program"
        assert talk(front, GET).body == b"program"
        assert rig.proxy.reconnect()["generation"] == 1
        assert wire.send(GET).read_answer().body == b"program"


def test_an_address_that_is_given_up_refuses_and_can_be_had_again(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself, "program")
    kept, gone = rig.bind(), rig.bind()
    rig.apply(snapshot([listener(kept), listener(gone, name="gone")], [pool(program.entry)]))
    rig.apply(snapshot([listener(kept)], [pool(program.entry)]))
    rig.give_up(gone)
    wait_for(lambda: refuses(target_of(gone)), 2, "the proxy to close its copies")  # until then, connections queue
    rig.ground.bind_again(gone)
    rig.proxy.hand_over(gone)
    rig.apply(snapshot([listener(kept), listener(gone, name="gone")], [pool(program.entry)]))
    assert talk(target_of(gone), GET).body == b"program"


def test_two_threads_serve_one_listener(short_path: Path, endpoint: StartEndpoint) -> None:
    with Rig(short_path, threads=2) as rig:
        program = endpoint(naming_itself, "program")
        front = rig.serve(program)
        assert rig.proxy.hello["threads"] == 2
        wires = [dial(front) for _ in range(40)]
        assert {wire.send(GET).read_answer().body for wire in wires} == {b"program"}
        assert rig.stats()["listeners"][0]["accepted"] == 40
        old = endpoint(naming_itself, "old")
        address = f"127.0.0.1:{front.port}"
        rig.apply(snapshot([listener(address)], [pool(program.entry | {"mode": "drain"}, old.entry)]))
        assert rig.proxy.hear("drained")["address"] == program.address
        program.wait_closed(1.0)
        assert {wire.send(GET).read_answer().body for wire in wires} == {b"old"}
        for wire in wires:
            wire.close()
