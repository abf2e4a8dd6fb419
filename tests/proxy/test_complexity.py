"""What a request costs grows with its bytes and with nothing else: no head or body keeps a core busy for long."""

import pytest

from support.endpoints import StartEndpoint, answering, head_and_body
from support.processes import cpu_seconds
from support.proxy import Rig
from support.wire import dial

ROUNDS = 40
PLAIN = [f"X{number}: {'x' * 300}" for number in range(90)]
MANY = [f"X{number}: 1" for number in range(90)]
OPTIONS_MOST = 32


def request(*lines: str, body: bytes = b"") -> bytes:
    return "\r\n".join(["POST / HTTP/1.1", "Host: a", *lines, "", ""]).encode() + body


COSTLY = {
    "a head of the largest size": request(*PLAIN),
    "a target of the largest size": request().replace(b" / ", b" /" + b"%2e/" * 4000 + b" "),
    "as many cookies as fit": request(*["Cookie: a=b"] * 97),
    "a value of white space": request(*MANY, "X: a" + " \t" * 14_000 + "b"),
    "a body in chunks of one byte": request("Transfer-Encoding: chunked", body=b"1\r\nx\r\n" * 5000 + b"0\r\n\r\n"),
    "chunks with long extensions": request(
        "Transfer-Encoding: chunked", body=(b"1;" + b"x" * 3000 + b"\r\nx\r\n") * 10 + b"0\r\n\r\n"
    ),
    "as many trailers as fit": request("Transfer-Encoding: chunked", body=b"0\r\n" + b"X: 1\r\n" * 600 + b"\r\n"),
    "as many options as may be": request(*MANY, "Connection: " + ",".join(["a" * 700] * OPTIONS_MOST)),
}


@pytest.mark.parametrize("what", COSTLY)
def test_thirty_kilobytes_cost_less_than_a_millisecond(rig: Rig, endpoint: StartEndpoint, what: str) -> None:
    sent = COSTLY[what]
    assert len(sent) < 32_768
    with dial(rig.serve(endpoint(answering(head_and_body())))) as wire:
        assert wire.send(sent).read_answer().status == 200
        before = cpu_seconds(rig.proxy.pid)
        for _ in range(ROUNDS):
            wire.send(sent).read_answer()
        assert (cpu_seconds(rig.proxy.pid) - before) / ROUNDS < 0.001


@pytest.mark.parametrize("options", ["a," * OPTIONS_MOST + "a", "," * OPTIONS_MOST], ids=["named often", "empty"])
def test_more_options_of_connection_than_anybody_needs_are_refused(
    rig: Rig, endpoint: StartEndpoint, options: str
) -> None:
    with dial(rig.serve(endpoint(answering(head_and_body())))) as wire:
        assert wire.send(request(f"Connection: {options}")).read_answer().status == 400
