"""Draining: no new request, those in flight end in peace, and only then is it said, once."""

import pytest

from support.client import Target
from support.endpoints import Endpoint, StartEndpoint, echoing_upgrades, held, naming_itself
from support.proxy import Rig, target_of
from support.snapshots import Snapshot, listener, pool, snapshot
from support.wire import dial, talk

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"


class Scene:
    """A pool whose endpoints change their modes."""

    def __init__(self, rig: Rig, *endpoints: Endpoint) -> None:
        self.rig, self.endpoints = rig, endpoints
        self.address = rig.bind()
        self.front: Target = target_of(self.address)
        self.drain()

    def drain(self, *names: str) -> None:
        """Apply a snapshot in which these drain and the others are ready."""
        modes = {endpoint.name: "drain" if endpoint.name in names else "ready" for endpoint in self.endpoints}
        self.apply([endpoint.entry | {"mode": modes[endpoint.name]} for endpoint in self.endpoints])

    def apply(self, entries: list[Snapshot]) -> None:
        self.rig.apply(snapshot([listener(self.address)], [pool(*entries)]))

    def drained(self, deadline: float = 5.0) -> str:
        """The address of the next endpoint that is said to be drained."""
        message = self.rig.proxy.hear("drained", deadline=deadline)
        assert message["pool"] == "web"
        address: str = message["address"]
        return address

    def assert_not_drained(self, seconds: float = 0.3) -> None:
        """Nothing is said to be drained."""
        self.rig.stats()  # what was said before this has been heard
        with pytest.raises(AssertionError, match="no \\('drained',\\)"):
            self.rig.proxy.hear("drained", deadline=seconds)


def test_an_endpoint_that_drains_gets_no_new_request(rig: Rig, endpoint: StartEndpoint) -> None:
    old, new = endpoint(naming_itself, "old"), endpoint(naming_itself, "new")
    scene = Scene(rig, old, new)
    with dial(scene.front) as wire:
        wire.send(GET).read_answer()
        scene.drain("old")
        before = len(old.requests)
        assert {wire.send(GET).read_answer().body for _ in range(20)} == {b"new"}
    assert len(old.requests) == before


def test_an_idle_endpoint_is_drained_at_once_and_its_connections_are_closed(rig: Rig, endpoint: StartEndpoint) -> None:
    old = endpoint(naming_itself, "old")
    scene = Scene(rig, old, endpoint(naming_itself, "new"))
    with dial(scene.front) as wire:
        for _ in range(4):
            wire.send(GET).read_answer()
        assert old.open_connections == 1
        scene.drain("old")
        assert scene.drained() == old.address
        # Said only once they are closed: what the endpoint sees of it is a matter of its thread's turn.
        old.wait_closed(1.0)
    scene.assert_not_drained()


def test_an_endpoint_that_never_had_a_request_is_drained_at_once(rig: Rig, endpoint: StartEndpoint) -> None:
    scene = Scene(rig, endpoint(naming_itself, "old"))
    scene.drain("old")
    assert scene.drained() == scene.endpoints[0].address


def test_a_request_in_flight_ends_before_its_endpoint_is_drained(rig: Rig, endpoint: StartEndpoint) -> None:
    old = endpoint(held(), "old")
    scene = Scene(rig, old)
    with dial(scene.front) as wire:
        wire.send(GET)
        old.wait_requests(1)
        scene.drain("old")
        scene.assert_not_drained()
        old.gate.set()
        assert wire.read_answer().body == b"ok"
        assert scene.drained() == old.address
        old.wait_closed(1.0)
    scene.assert_not_drained()


def test_a_tunnel_keeps_its_endpoint_from_being_drained(rig: Rig, endpoint: StartEndpoint) -> None:
    old = endpoint(echoing_upgrades(), "old")
    scene = Scene(rig, old)
    with dial(scene.front) as wire:
        assert wire.send(UPGRADE).read_answer().status == 101
        scene.drain("old")
        scene.assert_not_drained()
        assert wire.send(b"still").read_exactly(5) == b"still"
    assert scene.drained() == old.address


def test_a_drain_that_is_called_off_lets_requests_in_again(rig: Rig, endpoint: StartEndpoint) -> None:
    old = endpoint(held(), "old")
    scene = Scene(rig, old)
    with dial(scene.front) as wire:
        wire.send(GET)
        old.wait_requests(1)
        scene.drain("old")
        scene.drain()
        old.gate.set()
        assert wire.read_answer().body == b"ok"
        scene.assert_not_drained()
        assert wire.send(GET).read_answer().body == b"ok"
        scene.drain("old")
        assert scene.drained() == old.address


def test_a_drain_goes_on_over_another_snapshot_and_is_said_once(rig: Rig, endpoint: StartEndpoint) -> None:
    old = endpoint(held(), "old")
    scene = Scene(rig, old)
    with dial(scene.front) as wire:
        wire.send(GET)
        old.wait_requests(1)
        scene.drain("old")
        scene.drain("old")
        old.gate.set()
        wire.read_answer()
    assert scene.drained() == old.address
    scene.drain("old")
    scene.assert_not_drained()


def test_a_request_outlives_the_removal_of_its_endpoint(rig: Rig, endpoint: StartEndpoint) -> None:
    old, new = endpoint(held(), "old"), endpoint(naming_itself, "new")
    scene = Scene(rig, old)
    with dial(scene.front) as wire:
        wire.send(GET)
        old.wait_requests(1)
        scene.apply([new.entry])
        assert talk(scene.front, GET).body == b"new"
        old.gate.set()
        assert wire.read_answer().body == b"ok"
        assert wire.send(GET).read_answer().body == b"new"
    old.wait_closed()


def test_a_drain_is_said_to_a_daemon_that_came_back(rig: Rig, endpoint: StartEndpoint) -> None:
    old = endpoint(held(), "old")
    scene = Scene(rig, old)
    with dial(scene.front) as wire:
        wire.send(GET)
        old.wait_requests(1)
        scene.drain("old")
        assert rig.proxy.reconnect()["generation"] == rig.generation
        scene.drain("old")
        old.gate.set()
        wire.read_answer()
        assert scene.drained() == old.address
