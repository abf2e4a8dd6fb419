"""What a request costs grows with its bytes and with nothing else: no head or body keeps a core busy for long."""

import pytest

from support.endpoints import StartEndpoint, answering, head_and_body
from support.processes import cpu_seconds
from support.proxy import Rig
from support.wire import dial

ROUNDS = 40
PLAIN = [f"X{number}: {'x' * 300}" for number in range(90)]
MANY = [f"X{number}: 1" for number in range(90)]
SLOW = pytest.mark.xfail(reason="each field is compared with each option of Connection")


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
    "an option that is named often": request(*MANY, "Connection: " + "a," * 14_000 + "a"),
    "options that are empty": request(*MANY, "Connection: " + "," * 28_000),
}
MARKS = {"an option that is named often": SLOW, "options that are empty": SLOW}


@pytest.mark.parametrize("what", [pytest.param(what, marks=MARKS.get(what, ())) for what in COSTLY])
def test_thirty_kilobytes_cost_less_than_a_millisecond(rig: Rig, endpoint: StartEndpoint, what: str) -> None:
    sent = COSTLY[what]
    assert len(sent) < 32_768
    with dial(rig.serve(endpoint(answering(head_and_body())))) as wire:
        assert wire.send(sent).read_answer().status == 200
        before = cpu_seconds(rig.proxy.pid)
        for _ in range(ROUNDS):
            wire.send(sent).read_answer()
        assert (cpu_seconds(rig.proxy.pid) - before) / ROUNDS < 0.001
