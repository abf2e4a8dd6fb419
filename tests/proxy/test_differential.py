"""Whatever a client sends, an endpoint reads what the client said, or nothing: judged by h11, which is not ours.

Requests are drawn from parts that confuse parsers, put together well, then spoiled a little. What reaches the endpoint
must be, for h11, exactly the requests that h11 finds in the bytes of the client: as many or fewer, in order, with the
same method, target, fields and body, and nothing left over.
"""

import os
from dataclasses import dataclass
from typing import Final

import h11
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from support.client import Target, exchange
from support.endpoints import Endpoint, StartEndpoint, closing_after, head_and_body
from support.proxy import Rig

EXAMPLES: Final = int(os.environ.get("PINFOLD_DIFFERENTIAL", "1500"))
"""How many; the same ones each time, unless the number is changed."""
OWN: Final = {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"}
ANEW: Final = OWN | {b"host", b"transfer-encoding", b"content-length", b"connection", b"upgrade"}
ODD: Final = [
    *(bytes([byte]) for byte in b"\r\n\0\t :;,+-\x0b\x0c\x7f\x85\xa0\xff0aG\"'#"),
    b"\r\n",
    b"\n\r",
    b"\r\n\r\n",
    b"\r\n ",
    b"\r\r\n",
    b"0x",
    b"0\r\n\r\n",
    b";a\n",
    b"chunked",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
]
LINES: Final = [
    *[b"GET / HTTP/1.1"] * 4,
    *[b"POST /a?b=c HTTP/1.1"] * 4,
    b"HEAD / HTTP/1.1",
    b"OPTIONS * HTTP/1.1",
    b"PUT //a/../b%2f%00;c HTTP/1.1",
    b"GET http://a/x HTTP/1.1",
    b"GET http://b/x HTTP/1.1",
    b"GET / HTTP/1.0",
    b"POST / HTTP/1.0",
    b"GET / HTTP/1.2",
    b"CONNECT a:1 HTTP/1.1",
    b"M-SEARCH / HTTP/1.1",
]
FIELDS: Final = [
    b"X-A: 1",
    b"x-a:2",
    b"X-Empty:",
    b"X-Blank: \t ",
    b"X-Raw: \xe4\xff",
    b'X-Quoted: "a\r',
    b"X_Forwarded_For: 6.6.6.6",
    b"X-Forwarded-For: 6.6.6.6",
    b"Content_Length: 3",
    b"Connection: close",
    b"Connection: keep-alive, X-A, Content-Length, Transfer-Encoding",
    b"Keep-Alive: 5",
    b"TE: trailers",
    b"Trailer: X-T",
    b"Upgrade: x",
    b"Expect: 100-continue",
    b"Cookie: a=b",
    b" folded: 1",
    b"X : 1",
    b": 1",
    b"Host: b",
]
FRAMINGS: Final = [
    *[b"Content-Length: %d"] * 4,
    b"Content-Length:%d ",
    b"content-length: 0%d",
    b"Content-Length: +%d",
    b"Content-Length: %d, %d",
    b"Content-Length: %d\r\nContent-Length: %d",
    b"Content-Length: %d\r\nTransfer-Encoding: chunked",
]
CODINGS: Final = [
    *[b"Transfer-Encoding: chunked"] * 6,
    b"transfer-encoding:CHUNKED\t",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: identity, chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 3",
]
SIZES: Final = ["%x", "%X", "%02x", "%x;a", '%x;a="b;c"', "%x ;a", "%x\n", "0x%x", "%016x", "%x;\xff"]


@dataclass(frozen=True)
class Read:
    """A request as h11 reads it."""

    method: bytes
    target: bytes
    fields: tuple[tuple[bytes, bytes], ...]
    body: bytes


def read(sent: bytes) -> tuple[list[Read], bytes]:
    """The whole requests that h11 finds, and what is left."""
    found, rest = [], sent
    while rest:
        start = rest
        while start.startswith(b"\r\n"):  # RFC 9112 section 2.2: a recipient should ignore empty lines before a request
            start = start[2:]
        one = read_one(start)
        if one is None:
            break
        found.append(one[0])
        rest = one[1]
    return found, rest


def read_one(sent: bytes) -> tuple[Read, bytes] | None:
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(sent)
    request, body = None, b""
    try:
        while True:
            match connection.next_event():
                case h11.Request() as request:
                    pass
                case h11.Data(data=piece):
                    body += bytes(piece)
                case h11.EndOfMessage():
                    assert request is not None
                    fields = tuple((name, value) for name, value in request.headers)
                    return Read(request.method, request.target, fields, body), connection.trailing_data[0]
                case _:
                    return None
    except h11.RemoteProtocolError:
        return None


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request that is mostly well put together, of parts some of which are bad."""
    line, host = draw(st.sampled_from(LINES)), draw(st.sampled_from([b"Host: a"] * 8 + [b"Host: b:80", b"Host:", b""]))
    fields = draw(st.lists(st.sampled_from(FIELDS[:17] * 4 + FIELDS), max_size=3))
    body = draw(st.sampled_from([b"", b"", b"abc", b"0\r\n\r\n", b"x" * 300, b"GET /in HTTP/1.1\r\nHost: a\r\n\r\n"]))
    match draw(st.sampled_from(["none", "length", "chunks", "chunks"])):
        case "length":
            framing = draw(st.sampled_from(FRAMINGS))
            fields.append(framing.replace(b"%d", b"%d" % len(body)))
        case "chunks":
            fields.append(draw(st.sampled_from(CODINGS)))
            body = draw(chunks(body))
        case _:
            body = b""
    fields = draw(st.permutations(fields))
    return b"\r\n".join([line, *([host] if host else []), *fields, b"", b""]) + body


@st.composite
def chunks(draw: st.DrawFn, body: bytes) -> bytes:
    """The body in chunks."""
    out, rest = b"", body
    while rest:
        size = draw(st.integers(1, len(rest)))
        written = draw(st.sampled_from(SIZES[:5] * 4 + SIZES)) % size
        out += written.encode("latin-1") + b"\r\n" + rest[:size] + b"\r\n"
        rest = rest[size:]
    end = draw(st.sampled_from([b"0\r\n\r\n"] * 6 + [b"000\r\nX-T: 1\r\n\r\n", b"0;x\r\n\r\n", b"0\r\n"]))
    return out + end


@st.composite
def spoiled(draw: st.DrawFn) -> bytes:
    """One or two requests, with up to two faults."""
    sent = b"".join(draw(st.lists(requests(), min_size=1, max_size=2)))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(sent)))
        match draw(st.sampled_from(["insert", "remove", "replace", "double"])):
            case "insert":
                sent = sent[:at] + draw(st.sampled_from(ODD)) + sent[at:]
            case "remove":
                sent = sent[:at] + sent[at + draw(st.integers(1, 4)) :]
            case "replace":
                sent = sent[:at] + draw(st.sampled_from(ODD)) + sent[at + 1 :]
            case _:
                sent = sent[: at + draw(st.integers(1, 40))] + sent[at:]
    return sent


def judge(program: Endpoint, front: Target, sent: bytes) -> int:
    """Send the bytes and compare; how many requests arrived whole."""
    program.connections.clear()
    received = exchange(front, sent, half_close=True, deadline=5)
    program.wait_closed()
    said, arrived = read(sent)[0], []
    for wire in program.connections:
        whole, rest = read(bytes(wire.received))
        assert len(whole) <= 1, "two requests where we meant one"
        assert not (whole and rest), "bytes behind a request"
        arrived += whole
    assert received.count(b"HTTP/1.1 200 OK\r\n") == len(arrived), received
    assert len(arrived) <= len(said), (arrived, said)
    for ours, theirs in zip(arrived, said, strict=False):
        assert (ours.method, ours.target, ours.body) == (theirs.method, theirs.target, theirs.body)
        names = [name for name, _ in ours.fields if name in OWN]
        assert len(names) == len(set(names)) >= len(OWN) - (b"host" not in dict(theirs.fields)), "each of ours once"
        passed = [field for field in ours.fields if field[0] not in ANEW]
        assert passed == [field for field in theirs.fields if field in passed], "as they came, in order"
    return len(arrived)


def test_an_endpoint_reads_what_the_client_said_or_nothing(rig: Rig, endpoint: StartEndpoint) -> None:
    program = endpoint(closing_after(head_and_body(b"ok", "Connection: close")))
    front = rig.serve(program)
    arrived = []

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(spoiled())
    def holds(sent: bytes) -> None:
        arrived.append(judge(program, front, sent))

    holds()
    assert sum(arrived) > len(arrived) / 5, "too little passes for this to mean much"
    assert arrived.count(0) > len(arrived) / 5, "too little is refused for this to mean much"
