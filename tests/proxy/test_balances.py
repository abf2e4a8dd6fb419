"""Balances beside those of test_pools.py: by latency, by a hash; spares, and endpoints that are new."""

import time
from collections import Counter
from collections.abc import Callable

import pytest

from support.client import Target
from support.endpoints import Endpoint, StartEndpoint, head_and_body, held, naming_itself, refused_address
from support.proxy import Rig, target_of
from support.snapshots import Snapshot, listener, pool, snapshot
from support.waiting import wait_for
from support.wire import Wire, dial, talk

Connect = Callable[[Target, bytes], Wire]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
BALANCES = ["least-requests", "round-robin", "two-random", {"type": "hash", "by": {"type": "address"}}]
BY_HEADER = {"type": "hash", "by": {"type": "header", "name": "X-Key"}}
BY_COOKIE = {"type": "hash", "by": {"type": "cookie", "name": "key"}}


def slow(wire: Wire, endpoint: Endpoint) -> None:
    """Names itself after a while."""
    while endpoint.take(wire):
        time.sleep(0.02)
        wire.send(head_and_body(endpoint.name.encode()))


def keyed(key: int) -> bytes:
    return b"GET / HTTP/1.1\r\nHost: a\r\nX-Key: %d\r\nCookie: a=b; key=%d\r\n\r\n" % (key, key)


def ask(wire: Wire, count: int, sent: bytes = GET) -> Counter[str]:
    return Counter(wire.send(sent).read_answer().body.decode() for _ in range(count))


def owners(wire: Wire, keys: range) -> dict[int, str]:
    return {key: wire.send(keyed(key)).read_answer().body.decode() for key in keys}


def serve(rig: Rig, *entries: Snapshot, **changes: object) -> Target:
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(*entries, **changes)]))
    return target_of(address)


def test_of_two_the_one_that_answers_sooner_is_preferred(rig: Rig, endpoint: StartEndpoint) -> None:
    programs = [endpoint(naming_itself), endpoint(naming_itself), endpoint(slow, "slow")]
    with dial(rig.serve(*programs, pool={"balance": "two-random"})) as wire:
        served = ask(wire, 200)
    assert served["slow"] <= 20, served
    assert min(served[program.name] for program in programs[:2]) >= 50, served


def test_two_random_looks_at_requests_in_flight(rig: Rig, endpoint: StartEndpoint, connect: Connect) -> None:
    busy, idle = endpoint(held(), "busy"), endpoint(naming_itself, "idle")
    front = rig.serve(busy, idle, pool={"balance": "two-random"})
    waiting = []
    while len(busy.requests) < 1:
        waiting.append(connect(front, GET))
        wait_for(lambda: busy.requests or waiting[-1].closed_within(0.05) or waiting[-1].pending, 5)
    with dial(front) as wire:
        assert ask(wire, 50) == {"idle": 50}
    busy.gate.set()


@pytest.mark.parametrize("balance", [BY_HEADER, BY_COOKIE], ids=["header", "cookie"])
def test_a_key_stays_on_its_endpoint_and_moves_only_when_that_goes(
    rig: Rig, endpoint: StartEndpoint, balance: Snapshot
) -> None:
    programs = [endpoint(naming_itself) for _ in range(4)]
    address, keys = rig.bind(), range(60)
    rig.apply(snapshot([listener(address)], [pool(*(one.entry for one in programs), balance=balance)]))
    with dial(target_of(address)) as wire:
        before = owners(wire, keys)
        assert owners(wire, keys) == before
        assert set(before.values()) == {program.name for program in programs}
        fewer = [one.entry for one in reversed(programs[1:])]
        rig.apply(snapshot([listener(address)], [pool(*fewer, balance=balance)]))
        after = owners(wire, keys)
        stayed = {key for key in keys if before[key] != programs[0].name}
        assert {key for key in keys if after[key] == before[key]} == stayed
        rig.apply(snapshot([listener(address)], [pool(*(one.entry for one in programs), balance=balance)]))
        assert owners(wire, keys) == before


def test_a_key_means_the_same_to_the_next_proxy_and_at_another_address(rig: Rig, endpoint: StartEndpoint) -> None:
    def entries(programs: list[Endpoint]) -> list[Snapshot]:
        return [program.entry | {"name": f"api.{number}"} for number, program in enumerate(programs)]

    first, second = ([endpoint(naming_itself, f"{letter}{n}") for n in range(3)] for letter in "ab")
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(*entries(first), balance=BY_HEADER)]))
    with dial(target_of(address)) as wire:
        before = owners(wire, range(30))
    rig.replace()
    rig.apply(snapshot([listener(address)], [pool(*entries(second), balance=BY_HEADER)]))
    with dial(target_of(address)) as wire:
        after = owners(wire, range(30))
    assert {key: name[1:] for key, name in before.items()} == {key: name[1:] for key, name in after.items()}


def test_clients_of_one_address_share_an_endpoint(rig: Rig, endpoint: StartEndpoint) -> None:
    programs = [endpoint(naming_itself) for _ in range(4)]
    front = rig.serve(*programs, pool={"balance": {"type": "hash", "by": {"type": "address"}}})
    assert len({talk(front, GET).body for _ in range(20)}) == 1


def test_a_request_without_the_key_goes_to_the_least_loaded(rig: Rig, endpoint: StartEndpoint) -> None:
    programs = [endpoint(naming_itself) for _ in range(3)]
    with dial(rig.serve(*programs, pool={"balance": BY_HEADER})) as wire:
        assert set(ask(wire, 60)) == {program.name for program in programs}


def test_a_key_whose_endpoint_is_down_goes_to_the_next_in_order(rig: Rig, endpoint: StartEndpoint) -> None:
    programs = [endpoint(naming_itself, name) for name in ("one", "two", "three")]
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(*(one.entry for one in programs), balance=BY_HEADER)]))
    with dial(target_of(address)) as wire:
        before = owners(wire, range(30))
        programs[0].close()
        after = owners(wire, range(30))
        assert {key: name for key, name in after.items() if before[key] != "one"} == {
            key: name for key, name in before.items() if name != "one"
        }
        assert owners(wire, range(30)) == after
        assert set(after.values()) == {"two", "three"}


def test_keys_follow_the_weights(rig: Rig, endpoint: StartEndpoint) -> None:
    small, large = endpoint(naming_itself, "small"), endpoint(naming_itself, "large")
    with dial(serve(rig, small.entry, large.entry | {"weight": 9}, balance=BY_HEADER)) as wire:
        served = Counter(owners(wire, range(200)).values())
    assert 160 <= served["large"] <= 198, served


@pytest.mark.parametrize("balance", BALANCES, ids=str)
def test_a_spare_is_used_only_when_no_other_is_available(rig: Rig, endpoint: StartEndpoint, balance: object) -> None:
    main, spare = endpoint(naming_itself, "main"), endpoint(naming_itself, "spare")
    with dial(serve(rig, spare.entry | {"spare": True}, main.entry, balance=balance)) as wire:
        assert ask(wire, 20) == {"main": 20}
        main.close()
        assert ask(wire, 20) == {"spare": 20}


@pytest.mark.parametrize("balance", BALANCES, ids=str)
def test_a_spare_takes_over_from_one_that_was_set_aside(rig: Rig, endpoint: StartEndpoint, balance: object) -> None:
    spare, ejection = endpoint(naming_itself, "spare"), {"failures": 1, "base_ms": 60_000}
    entries = [spare.entry | {"spare": True}, spare.entry | {"address": refused_address(), "name": "gone"}]
    with dial(serve(rig, *entries, balance=balance, ejection=ejection)) as wire:
        assert ask(wire, 10) == {"spare": 10}
    assert rig.endpoint_stats()["gone"]["errors"] == 1


@pytest.mark.parametrize("balance", ["least-requests", "round-robin", "two-random"])
def test_an_endpoint_that_is_new_gets_little_at_first(
    rig: Rig, endpoint: StartEndpoint, connect: Connect, balance: str
) -> None:
    old, new, address = endpoint(held(), "old"), endpoint(held(), "new"), rig.bind()
    rig.apply(snapshot([listener(address)], [pool(old.entry, balance=balance, slow_start_ms=300)]))
    time.sleep(0.35)  # by now the first has its share
    rig.apply(snapshot([listener(address)], [pool(old.entry, new.entry, balance=balance, slow_start_ms=600_000)]))
    rig.apply(snapshot([listener(address)], [pool(old.entry, new.entry, balance=balance, slow_start_ms=300)]))
    clients = [connect(target_of(address), GET) for _ in range(3)]
    wait_for(lambda: len(old.requests) + len(new.requests) == 3, 5)
    assert len(old.requests) >= 2
    time.sleep(0.35)
    clients += [connect(target_of(address), GET) for _ in range(17)]
    wait_for(lambda: len(old.requests) + len(new.requests) == 20, 5)
    assert len(new.requests) >= 5
    for program in (old, new):
        program.gate.set()
    for client in clients:
        assert client.read_answer().status == 200
