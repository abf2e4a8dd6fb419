"""Endpoints that traffic sets aside: when, for how long, how many at most, and how they come back."""

import time
from collections.abc import Callable
from itertools import pairwise

import pytest

from support.client import Target
from support.endpoints import (
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
)
from support.proxy import Rig, target_of
from support.snapshots import Snapshot, listener, pool, snapshot
from support.waiting import wait_for
from support.wire import Wire, dial

Connect = Callable[[Target, bytes], Wire]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"
OFTEN = {"failures": 3, "base_ms": 400}


def failing_while(broken: Callable[[], bool]) -> Script:
    """Closes without an answer as long as it is broken; then names itself."""

    def script(wire: Wire, endpoint: Endpoint) -> None:
        while endpoint.take(wire) and not broken():
            wire.send(head_and_body(endpoint.name.encode()))

    return script


class Switch:
    """A fault that can be mended."""

    broken = True

    def __call__(self) -> bool:
        return self.broken


def entry(address: str, **changes: object) -> Snapshot:
    return {"name": address, "address": address, "weight": 1, "mode": "ready"} | changes


def ejected(rig: Rig) -> set[str]:
    return {name for name, counters in rig.endpoint_stats().items() if counters["ejected"]}


def test_an_endpoint_that_fails_again_and_again_is_set_aside(rig: Rig, endpoint: StartEndpoint) -> None:
    bad, good = endpoint(closing_without_answer, "bad"), endpoint(naming_itself, "good")
    front = rig.serve(bad, good, pool={"ejection": OFTEN | {"base_ms": 60_000}})
    with dial(front) as wire:
        assert {wire.send(GET).read_answer().body for _ in range(50)} == {b"good"}
    assert len(bad.requests) == 3
    counters = rig.endpoint_stats()
    assert (counters["bad"]["ejected"], counters["bad"]["ejections"]) == (True, 1)
    assert (counters["good"]["ejected"], counters["good"]["ejections"]) == (False, 0)


def test_a_refused_connect_counts(rig: Rig, endpoint: StartEndpoint) -> None:
    gone, address = refused_address(), rig.bind()
    web = pool(entry(gone), endpoint(naming_itself, "good").entry, ejection=OFTEN | {"base_ms": 60_000})
    rig.apply(snapshot([listener(address)], [web]))
    with dial(target_of(address)) as wire:
        assert {wire.send(POST).read_answer().body for _ in range(20)} == {b"good"}
    assert rig.endpoint_stats()[gone]["errors"] == 3


@pytest.mark.parametrize(("status", "counts"), [(500, False), (404, False), (502, True), (503, True), (504, True)])
def test_only_answers_that_say_so_are_failures(rig: Rig, endpoint: StartEndpoint, status: int, counts: bool) -> None:
    bad = endpoint(answering(head_and_body(b"bad", status=f"{status} Own")), "bad")
    front = rig.serve(bad, endpoint(naming_itself, "good"), pool={"ejection": OFTEN | {"base_ms": 60_000}})
    with dial(front) as wire:
        for _ in range(20):
            wire.send(GET).read_answer()
    assert ejected(rig) == ({"bad"} if counts else set())


def test_failures_that_are_not_in_a_row_do_not_count(rig: Rig, endpoint: StartEndpoint) -> None:
    answers = [head_and_body(status="503 Busy"), head_and_body(status="503 Busy"), head_and_body()]
    front = rig.serve(endpoint(answering(*answers * 10), "flaky"), endpoint(naming_itself), pool={"ejection": OFTEN})
    with dial(front) as wire:
        for _ in range(40):
            wire.send(GET).read_answer()
    assert ejected(rig) == set()


def test_closing_idle_connections_ejects_nobody(rig: Rig, endpoint: StartEndpoint) -> None:
    programs = [endpoint(closing_after(), name) for name in ("one", "two")]
    with dial(rig.serve(*programs, pool={"ejection": {"failures": 1, "base_ms": 60_000}})) as wire:
        for _ in range(40):
            assert wire.send(GET).read_answer().status == 200
    assert ejected(rig) == set()


def test_a_client_that_goes_is_nobodys_failure(rig: Rig, endpoint: StartEndpoint, connect: Connect) -> None:
    programs = [endpoint(held(), name) for name in ("one", "two")]
    front = rig.serve(*programs, pool={"ejection": {"failures": 1, "base_ms": 60_000}})
    clients = [connect(front, GET) for _ in range(4)]
    wait_for(lambda: sum(len(program.requests) for program in programs) == 4, 5)
    for client in clients:
        client.reset()
    for program in programs:
        rig.wait_endpoint(program.name, in_flight=0)
    assert ejected(rig) == set()


@pytest.mark.parametrize(("ready", "most"), [(1, 0), (2, 1), (3, 1), (5, 2)])
def test_never_more_than_half_of_a_pool_is_set_aside(rig: Rig, endpoint: StartEndpoint, ready: int, most: int) -> None:
    programs = [endpoint(answering(head_and_body(status="503 Busy"))) for _ in range(ready)]
    with dial(rig.serve(*programs, pool={"ejection": {"failures": 1, "base_ms": 60_000}})) as wire:
        assert {wire.send(GET).read_answer().status for _ in range(30)} == {503}
    assert len(ejected(rig)) == most


def test_an_endpoint_comes_back_by_one_trial(rig: Rig, endpoint: StartEndpoint) -> None:
    switch = Switch()
    bad, good = endpoint(failing_while(switch), "bad"), endpoint(naming_itself, "good")
    with dial(rig.serve(bad, good, pool={"ejection": OFTEN})) as wire:
        while not ejected(rig):
            wire.send(GET).read_answer()
        switch.broken, asked = False, len(bad.requests)
        wire.send(GET).read_answer()
        assert len(bad.requests) == asked, "before its time"
        time.sleep(0.45)
        assert wire.send(GET).read_answer().body == b"bad"
        assert ejected(rig) == set()
        assert {wire.send(GET).read_answer().body for _ in range(4)} == {b"good", b"bad"}


def test_a_trial_that_fails_is_not_noticed_and_the_next_is_twice_as_far(rig: Rig, endpoint: StartEndpoint) -> None:
    bad, good = endpoint(closing_without_answer, "bad"), endpoint(naming_itself, "good")
    trials: list[float] = []
    with dial(rig.serve(bad, good, pool={"ejection": {"failures": 1, "base_ms": 300}})) as wire:
        seen, until = 0, time.monotonic() + 10
        while len(trials) < 4 and time.monotonic() < until:
            assert wire.send(GET).read_answer().body == b"good"
            if len(bad.requests) > seen:
                seen = len(bad.requests)
                trials.append(time.monotonic())
            time.sleep(0.01)
    gaps = [later - earlier for earlier, later in pairwise(trials)]
    assert [round(gap / 0.3) for gap in gaps] == [1, 2, 4], gaps
    assert rig.endpoint_stats()["bad"]["ejections"] == 1


def test_only_one_request_is_a_trial(rig: Rig, endpoint: StartEndpoint) -> None:
    switch = Switch()

    def script(wire: Wire, endpoint: Endpoint) -> None:
        while endpoint.take(wire) and not switch():
            endpoint.gate.wait(10)
            wire.send(head_and_body(b"bad"))

    bad, good = endpoint(script, "bad"), endpoint(naming_itself, "good")
    front = rig.serve(bad, good, pool={"ejection": OFTEN})
    with dial(front) as wire, dial(front) as trial:
        while not ejected(rig):
            wire.send(GET).read_answer()
        switch.broken, asked = False, len(bad.requests)
        time.sleep(0.45)
        trial.send(GET)
        bad.wait_requests(asked + 1)
        assert {wire.send(GET).read_answer().body for _ in range(20)} == {b"good"}
        assert (len(bad.requests), ejected(rig)) == (asked + 1, {"bad"})
        bad.gate.set()
        assert trial.read_answer().body == b"bad"
        assert ejected(rig) == set()


def test_a_trial_whose_client_goes_is_made_again(rig: Rig, endpoint: StartEndpoint, connect: Connect) -> None:
    switch = Switch()

    def script(wire: Wire, endpoint: Endpoint) -> None:
        while endpoint.take(wire) and not switch():
            endpoint.gate.wait(10)
            wire.send(head_and_body(b"bad"))

    bad, good = endpoint(script, "bad"), endpoint(naming_itself, "good")
    front = rig.serve(bad, good, pool={"ejection": OFTEN})
    with dial(front) as wire:
        while not ejected(rig):
            wire.send(GET).read_answer()
        switch.broken, asked = False, len(bad.requests)
        time.sleep(0.45)
        trial = connect(front, GET)
        bad.wait_requests(asked + 1)
        trial.reset()
        rig.wait_endpoint("bad", in_flight=0)
        bad.gate.set()
        assert wire.send(GET).read_answer().body == b"bad"
    assert ejected(rig) == set()


def test_a_post_is_a_trial_only_when_nothing_else_comes(rig: Rig, endpoint: StartEndpoint) -> None:
    switch = Switch()
    bad, good = endpoint(failing_while(switch), "bad"), endpoint(naming_itself, "good")
    with dial(rig.serve(bad, good, pool={"ejection": {"failures": 1, "base_ms": 500}})) as wire:
        while not ejected(rig):
            wire.send(GET).read_answer()
        switch.broken = False
        time.sleep(0.55)
        assert wire.send(POST).read_answer().body == b"good"
        time.sleep(0.5)
        assert wire.send(POST).read_answer().body == b"bad"


def test_what_is_set_aside_is_better_than_nothing(rig: Rig, endpoint: StartEndpoint) -> None:
    switch = Switch()
    bad, good, address = endpoint(failing_while(switch), "bad"), endpoint(naming_itself, "good"), rig.bind()
    ejection = {"failures": 1, "base_ms": 60_000}
    rig.apply(snapshot([listener(address)], [pool(bad.entry, good.entry, ejection=ejection)]))
    with dial(target_of(address)) as wire:
        while not ejected(rig):
            wire.send(GET).read_answer()
        switch.broken = False
        rig.apply(snapshot([listener(address)], [pool(bad.entry, good.entry | {"mode": "drain"}, ejection=ejection)]))
        assert wire.send(GET).read_answer().body == b"bad"
        assert ejected(rig) == set(), "half of one is none"


def test_an_endpoint_that_is_ready_anew_starts_clean(rig: Rig, endpoint: StartEndpoint) -> None:
    bad, good, address = endpoint(closing_without_answer, "bad"), endpoint(naming_itself, "good"), rig.bind()
    ejection = {"failures": 1, "base_ms": 60_000}
    rig.apply(snapshot([listener(address)], [pool(bad.entry, good.entry, ejection=ejection)]))
    with dial(target_of(address)) as wire:
        while not ejected(rig):
            wire.send(GET).read_answer()
    for mode in ("drain", "ready"):
        web = pool(bad.entry | {"mode": mode}, good.entry, ejection=ejection)
        rig.apply(snapshot([listener(address)], [web]))
    assert ejected(rig) == set()


def test_an_endpoint_that_is_far_slower_than_its_pool_is_set_aside(rig: Rig, endpoint: StartEndpoint) -> None:
    def slow(wire: Wire, endpoint: Endpoint) -> None:
        while endpoint.take(wire):
            time.sleep(0.02)
            wire.send(head_and_body(endpoint.name.encode()))

    programs = [endpoint(slow, "slow"), endpoint(naming_itself, "one"), endpoint(naming_itself, "two")]
    front = rig.serve(*programs, pool={"ejection": {"failures": 0, "latency_factor": 5, "base_ms": 60_000}})
    with dial(front) as wire:
        for _ in range(150):
            wire.send(GET).read_answer()
        assert ejected(rig) == {"slow"}
        assert {wire.send(GET).read_answer().body for _ in range(10)} == {b"one", b"two"}
    latencies = {name: counters["latency_us"] for name, counters in rig.endpoint_stats().items()}
    assert 0 < latencies["one"] < 20_000
