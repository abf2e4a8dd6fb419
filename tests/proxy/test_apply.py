"""Snapshots: taken whole or not at all; what did not change goes on as if nothing had happened."""

import copy
import json
from collections.abc import Callable
from contextlib import suppress

import pytest

from support.endpoints import StartEndpoint, held, naming_itself, refused_address
from support.proxy import Rig, target_of
from support.snapshots import Snapshot, certificate, listener, pool, route, snapshot
from support.wire import dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def with_listener(**changes: object) -> Callable[[Snapshot], None]:
    return lambda wanted: wanted["listeners"][0].update(changes)


def with_pool(**changes: object) -> Callable[[Snapshot], None]:
    return lambda wanted: wanted["pools"][0].update(changes)


def with_endpoint(**changes: object) -> Callable[[Snapshot], None]:
    return lambda wanted: wanted["pools"][0]["endpoints"][0].update(changes)


BROKEN: dict[str, Callable[[Snapshot], None]] = {
    "an unknown pool": lambda wanted: wanted["routes"].append(route("nowhere")),
    "an unknown listener": lambda wanted: wanted["routes"].append(route("web", listeners=["nowhere"])),
    "an unknown certificate": with_listener(tls={"certificates": ["nowhere"]}),
    "no certificate": with_listener(tls={"certificates": []}),
    "a certificate that is none": lambda wanted: (
        wanted["certificates"].append(certificate("c", "no pem", "no pem", ["a"])),
        wanted["listeners"][0].update(tls={"certificates": ["c"]}),
    ),
    "an address that was not handed over": with_listener(addresses=[refused_address()]),
    "an address that is none": with_listener(addresses=["nonsense"]),
    "an endpoint whose address is none": with_endpoint(address="nonsense"),
    "an endpoint by name": with_endpoint(address="localhost:80"),
    "an endpoint without a port": with_endpoint(address="127.0.0.1"),
    "an endpoint on a relative path": with_endpoint(address="unix:relative.sock"),
    "a weight of 0": with_endpoint(weight=0),
    "a weight past 1000": with_endpoint(weight=1001),
    "two listeners of one name": lambda wanted: wanted["listeners"].append(wanted["listeners"][0] | {"addresses": []}),
    "two pools of one name": lambda wanted: wanted["pools"].append(copy.deepcopy(wanted["pools"][0])),
    "two endpoints of one address": lambda wanted: wanted["pools"][0]["endpoints"].append(
        wanted["pools"][0]["endpoints"][0] | {"name": "twin"}
    ),
}
BROKEN_MESSAGES = {
    "no JSON": b"nonsense",
    "no message": b'{"type": "nonsense"}',
    "a list": b"[]",
    "a field too many": b'{"type": "stats", "serial": 1, "more": 1}',
    "a field too few": b'{"type": "stats"}',
    "a wrong type": b'{"type": "stats", "serial": "one"}',
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_snapshot_that_cannot_be_resolved_changes_nothing(rig: Rig, endpoint: StartEndpoint, what: str) -> None:
    front = rig.serve(endpoint(naming_itself, "program"))
    good = snapshot([listener(f"127.0.0.1:{front.port}")], [pool(endpoint(naming_itself).entry)])
    BROKEN[what](good)
    with dial(front) as wire:
        wire.send(GET).read_answer()
        problems = rig.refuse(good)
        assert all(problem["place"] and problem["what"] for problem in problems)
        assert wire.send(GET).read_answer().body == b"program"
    assert talk(front, GET).body == b"program"
    assert rig.stats()["generation"] == rig.generation - 1


def test_all_problems_are_told_at_once(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(naming_itself, "program"))
    wanted = snapshot([listener(f"127.0.0.1:{front.port}")], [pool(endpoint(naming_itself).entry)])
    for what in ("an unknown pool", "a weight of 0", "an unknown certificate"):
        BROKEN[what](wanted)
    assert len(rig.refuse(wanted)) >= 3


@pytest.mark.parametrize("generation", [0, 1, 2])
def test_a_generation_that_does_not_grow_is_refused(rig: Rig, endpoint: StartEndpoint, generation: int) -> None:
    front = rig.serve(endpoint(naming_itself, "program"))
    same = snapshot([listener(f"127.0.0.1:{front.port}")], [pool()])
    rig.apply(snapshot([listener(f"127.0.0.1:{front.port}")], [pool(endpoint(naming_itself, "second").entry)]))
    rig.proxy.say({"type": "apply", "generation": generation, "snapshot": same})
    assert rig.proxy.hear("rejected", "applied") | {"problems": []} == {
        "type": "rejected",
        "generation": generation,
        "problems": [],
    }
    assert talk(front, GET).body == b"second"


@pytest.mark.parametrize("what", BROKEN_MESSAGES)
def test_a_broken_message_ends_its_connection_and_nothing_else(rig: Rig, endpoint: StartEndpoint, what: str) -> None:
    front = rig.serve(endpoint(naming_itself, "program"))
    text = BROKEN_MESSAGES[what]
    rig.proxy.say_bytes(len(text).to_bytes(4, "big") + text)
    with pytest.raises(AssertionError, match="no \\('stats',\\)"):
        rig.proxy.hear("stats", deadline=5)
    assert talk(front, GET).body == b"program"
    assert rig.proxy.reconnect()["generation"] == 1
    assert rig.stats()["generation"] == 1


def test_a_frame_that_is_too_large_ends_its_connection(rig: Rig, endpoint: StartEndpoint) -> None:
    front = rig.serve(endpoint(naming_itself, "program"))
    rig.proxy.say_bytes((16 * 1024 * 1024 + 1).to_bytes(4, "big"))
    with pytest.raises(AssertionError):
        rig.proxy.hear("stats", deadline=5)
    assert rig.proxy.reconnect()["generation"] == 1
    assert talk(front, GET).body == b"program"


@pytest.mark.parametrize("hello", [{"protocol": 2, "version": "0.1.0"}, {"protocol": 1, "version": "9.9.9"}])
def test_a_daemon_of_another_build_is_sent_away(rig: Rig, hello: dict[str, object]) -> None:
    assert rig.proxy.hello["pid"] == rig.proxy.pid
    rig.proxy._control.close()
    rig.proxy._control = rig.proxy._connect()
    rig.proxy.say({"type": "hello"} | hello)
    with suppress(OSError):  # it may be sent away already
        rig.proxy.say({"type": "stats", "serial": 1})
    with pytest.raises(AssertionError):
        rig.proxy.hear("stats", deadline=5)
    assert rig.proxy.reconnect()["generation"] == 0


def test_hello_tells_process_threads_and_generation(rig: Rig) -> None:
    assert rig.proxy.hello == {
        "type": "hello",
        "protocol": 1,
        "version": rig.proxy.hello["version"],
        "pid": rig.proxy.pid,
        "threads": 1,
        "generation": 0,
    }


def test_counters_outlive_an_apply_and_go_with_their_endpoint(rig: Rig, endpoint: StartEndpoint) -> None:
    one, two = endpoint(naming_itself, "one"), endpoint(naming_itself, "two")
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(one.entry, two.entry)]))
    with dial(target_of(address)) as wire:
        for _ in range(10):
            wire.send(GET).read_answer()
        rig.apply(snapshot([listener(address)], [pool(two.entry, one.entry | {"name": "renamed", "weight": 2})]))
        counters = rig.endpoint_stats()
        assert {name: counted["requests"] for name, counted in counters.items()} == {"renamed": 5, "two": 5}
        rig.apply(snapshot([listener(address)], [pool(two.entry)]))
        assert {name: counted["requests"] for name, counted in rig.endpoint_stats().items()} == {"two": 5}
        front = rig.stats()["listeners"][0]
    assert (front["name"], front["accepted"], front["requests"], front["connections"]) == ("front", 1, 10, 1)


def test_connections_to_endpoints_outlive_an_apply(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself, "program")
    address = rig.bind()
    with dial(target_of(address)) as wire:
        for weight in range(1, 6):
            rig.apply(snapshot([listener(address)], [pool(program.entry | {"weight": weight})]))
            wire.send(GET).read_answer()
    assert len(program.connections) == 1


def test_a_listener_that_is_added_serves(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself, "program")
    first, second = rig.bind(), rig.bind()
    rig.apply(snapshot([listener(first)], [pool(program.entry)]))
    with dial(target_of(second)) as early:  # connected before anybody accepts there
        early.send(GET)
        rig.apply(snapshot([listener(first), listener(second, name="more")], [pool(program.entry)]))
        assert early.read_answer().body == b"program"


def test_a_listener_that_is_removed_closes_its_idle_clients_and_lets_requests_end(
    rig: Rig, endpoint: StartEndpoint
) -> None:
    program, slow = endpoint(naming_itself, "program"), endpoint(held(), "slow")
    kept, gone = rig.bind(), rig.bind()
    pools = [pool(program.entry), pool(slow.entry, name="slow")]
    routes = [route("slow", paths=["/slow"]), route("web")]
    rig.apply(snapshot([listener(kept), listener(gone, name="gone")], pools, routes=routes))
    with dial(target_of(kept)) as staying, dial(target_of(gone)) as idle, dial(target_of(gone)) as busy:
        staying.send(GET).read_answer()
        idle.send(GET).read_answer()
        busy.send(b"GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
        slow.wait_requests(1)
        rig.apply(snapshot([listener(kept)], pools, routes=routes))
        assert idle.closed_within(2)
        slow.gate.set()
        assert busy.read_answer().body == b"ok"
        assert busy.closed_within(2)
        assert staying.send(GET).read_answer().body == b"program"


def test_limits_that_changed_hold_for_the_next_request_of_an_open_connection(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(naming_itself, "program")
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(program.entry)]))
    with dial(target_of(address)) as wire:
        assert wire.send(GET).read_answer().status == 200
        rig.apply(snapshot([listener(address, methods=["POST"])], [pool(program.entry)]))
        assert wire.send(GET).read_answer().status == 405


def test_a_hundred_snapshots_under_requests_lose_none(rig: Rig, endpoint: StartEndpoint) -> None:
    programs = [endpoint(naming_itself) for _ in range(3)]
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(programs[0].entry)]))
    with dial(target_of(address)) as wire:
        for number in range(100):
            wire.send(GET)
            chosen = programs[number % 3 :]
            rig.apply(snapshot([listener(address)], [pool(*(program.entry for program in chosen))]))
            assert wire.read_answer().status == 200


def test_a_snapshot_of_many_endpoints_is_applied(rig: Rig) -> None:
    address = rig.bind()
    entries = [
        {"name": f"e{number}", "address": f"127.0.0.1:{number + 1}", "weight": 1, "mode": "ready"}
        for number in range(5000)
    ]
    wanted = snapshot([listener(address)], [pool(*entries)])
    assert len(json.dumps(wanted)) > 300_000
    rig.apply(wanted)
