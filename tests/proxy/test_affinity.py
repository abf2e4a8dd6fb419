"""A cookie that keeps a client on its endpoint."""

import re

import pytest

from support.certificates import make, trusting
from support.client import Target
from support.endpoints import Endpoint, StartEndpoint, answering, head_and_body, held, naming_itself
from support.proxy import Rig, target_of
from support.snapshots import Snapshot, certificate, listener, pool, snapshot
from support.waiting import wait_for
from support.wire import Message, Wire, dial

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
BALANCES = ["least-requests", "round-robin", "two-random"]


def with_cookie(value: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: a\r\nCookie: theme=dark; pin={value}; x=y\r\n\r\n".encode()


def cookie_of(answer: Message) -> str:
    """The value that an answer sets."""
    (field,) = answer.values("set-cookie")
    found = re.fullmatch(r"pin=([0-9a-f]{16}); Path=/; HttpOnly; SameSite=Lax", field)
    assert found, field
    return found[1]


def greet(wire: Wire) -> tuple[str, str]:
    """The endpoint that a new client gets, and its cookie."""
    answer = wire.send(GET).read_answer()
    return answer.body.decode(), cookie_of(answer)


def named(programs: list[Endpoint]) -> list[Snapshot]:
    return [program.entry | {"name": f"api.{number}"} for number, program in enumerate(programs)]


@pytest.mark.parametrize("balance", BALANCES)
def test_a_client_stays_on_its_endpoint(rig: Rig, endpoint: StartEndpoint, balance: str) -> None:
    programs = [endpoint(naming_itself) for _ in range(3)]
    with dial(rig.serve(*programs, pool={"affinity": "pin", "balance": balance})) as wire:
        for _ in range(6):
            name, cookie = greet(wire)
            answers = [wire.send(with_cookie(cookie)).read_answer() for _ in range(10)]
            assert {answer.body.decode() for answer in answers} == {name}
            assert not any(answer.values("set-cookie") for answer in answers)


def test_the_endpoint_sees_the_request_as_it_came(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(answering(head_and_body(b"ok", "Set-Cookie: own=1")))
    with dial(rig.serve(program, pool={"affinity": "pin"})) as wire:
        first = wire.send(GET).read_answer()
        assert first.values("set-cookie")[0] == "own=1"
        value = first.values("set-cookie")[1][4:20]
        assert wire.send(with_cookie(value)).read_answer().values("set-cookie") == ["own=1"]
    assert program.requests[1].values("cookie") == [f"theme=dark; pin={value}; x=y"]


def test_the_cookie_means_the_same_to_the_next_proxy_and_at_another_address(rig: Rig, endpoint: StartEndpoint) -> None:
    first, second = ([endpoint(naming_itself, f"{letter}{n}") for n in range(4)] for letter in "ab")
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(*named(first), affinity="pin")]))
    with dial(target_of(address)) as wire:
        greeted = [greet(wire) for _ in range(8)]
    rig.replace()
    rig.apply(snapshot([listener(address)], [pool(*named(second), affinity="pin")]))
    with dial(target_of(address)) as wire:
        for name, cookie in greeted:
            answer = wire.send(with_cookie(cookie)).read_answer()
            assert (answer.body.decode()[1:], answer.values("set-cookie")) == (name[1:], [])


def test_a_client_whose_endpoint_is_gone_gets_another_and_its_cookie(rig: Rig, endpoint: StartEndpoint) -> None:
    programs = {name: endpoint(naming_itself, name) for name in ("one", "two")}
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(*(one.entry for one in programs.values()), affinity="pin")]))
    with dial(target_of(address)) as wire:
        name, cookie = greet(wire)
        programs[name].close()
        answer = wire.send(with_cookie(cookie)).read_answer()
        assert answer.body.decode() != name
        assert cookie_of(answer) != cookie
        assert not wire.send(with_cookie(cookie_of(answer))).read_answer().values("set-cookie")


@pytest.mark.parametrize("value", ["", "nonsense", "0" * 16, "F" * 16, "0" * 17, "%00"])
def test_a_cookie_that_is_none_of_ours_is_replaced(rig: Rig, endpoint: StartEndpoint, value: str) -> None:
    with dial(rig.serve(endpoint(naming_itself), pool={"affinity": "pin"})) as wire:
        assert cookie_of(wire.send(with_cookie(value)).read_answer()) not in ("", value)


def test_a_client_of_a_draining_endpoint_moves(rig: Rig, endpoint: StartEndpoint) -> None:
    one, two, address = endpoint(naming_itself, "one"), endpoint(naming_itself, "two"), rig.bind()
    rig.apply(snapshot([listener(address)], [pool(one.entry, affinity="pin")]))
    with dial(target_of(address)) as wire:
        _, cookie = greet(wire)
        web = pool(one.entry | {"mode": "drain"}, two.entry, affinity="pin")
        rig.apply(snapshot([listener(address)], [web]))
        answer = wire.send(with_cookie(cookie)).read_answer()
        assert (answer.body, cookie_of(answer) != cookie) == (b"two", True)


def test_a_client_waits_for_its_endpoint_while_others_do_not(rig: Rig, endpoint: StartEndpoint) -> None:
    one, two = endpoint(held(head_and_body(b"one")), "one"), endpoint(naming_itself, "two")
    address = rig.bind()
    rig.apply(snapshot([listener(address)], [pool(one.entry, affinity="pin", concurrency=1)]))
    with dial(target_of(address)) as wire, dial(target_of(address)) as other:
        one.gate.set()
        _, cookie = greet(wire)
        one.gate.clear()
        rig.apply(snapshot([listener(address)], [pool(one.entry, two.entry, affinity="pin", concurrency=1)]))
        wire.send(with_cookie(cookie))
        one.wait_requests(2)
        with dial(target_of(address)).send(with_cookie(cookie)) as waiting:
            wait_for(lambda: rig.stats()["pools"][0]["queued"] == 1, 5)
            assert other.send(GET).read_answer().body == b"two"
            one.gate.set()
            assert (wire.read_answer().body, waiting.read_answer().body) == (b"one", b"one")


def test_over_tls_the_cookie_is_secure(rig: Rig, endpoint: StartEndpoint) -> None:
    made, address = make("localhost"), rig.bind()
    front = listener(address, tls=["own"])
    own = certificate("own", made.chain_pem, made.key_pem, ["localhost"])
    rig.apply(snapshot([front], [pool(endpoint(naming_itself).entry, affinity="pin")], certificates=[own]))
    target: Target = target_of(address, tls=trusting(made))
    with dial(target) as wire:
        (field,) = wire.send(GET).read_answer().values("set-cookie")
    assert field.endswith("; Path=/; HttpOnly; SameSite=Lax; Secure")


def test_without_affinity_no_cookie_is_set(rig: Rig, endpoint: StartEndpoint) -> None:
    with dial(rig.serve(endpoint(naming_itself))) as wire:
        assert wire.send(GET).read_answer().values("set-cookie") == []
